//! Exports of manifests: other readers find exactly the manifest's rows in every format, with any text in them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::common::columns;
use crate::common::estates::{Layout, Row, mixed_rows, write};
use crate::common::{Workspace, run};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use smi_sweep::approval::KeyPair;
use smi_sweep::estate::time::{day_of, parse};
use tempfile::TempDir;

const AS_OF: &str = "2026-11-01";
/// Party names with characters that some format must quote or escape.
const PARTIES: [&str; 12] = [
    "00-DB-12-34-56-78-90-A0",
    "Acme",
    "O'Brien & Sons",
    "back\\slash \"quoted\", comma",
    "a;b|c\u{a0}d",
    "'); DROP TABLE device; --",
    "\u{e9}nergie \u{1f50c}",
    "../../etc/passwd",
    ".hidden",
    "NULL",
    "\\.",
    "-- <party/> &amp; $1 :name %41",
];

/// An estate in which due rows, with and without an alert, and quarantined ones occur.
fn estate(rows: u64) -> Vec<Row> {
    mixed_rows(rows, &PARTIES)
}

/// A temporary directory with a run, to export from.
struct ExportedRun {
    home: TempDir,
}

impl Workspace for ExportedRun {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl ExportedRun {
    fn new(rows: &[Row], policy: &str) -> Self {
        let scratch = Self { home: tempfile::tempdir().unwrap() };
        write(&scratch.path("snapshot.parquet"), rows, &Layout::PLAIN);
        let policy = scratch.policy("p", policy);
        let (snapshot, out) = (scratch.text("snapshot.parquet"), scratch.text("run"));
        let (code, _, err) = run(&["sweep", &snapshot, "--policy", &policy, "--as-of", AS_OF, "--out", &out]);
        assert_eq!(code, 0, "{err}");
        scratch
    }

    fn usual() -> Self {
        Self::new(&estate(5000), "[threshold]\ndefault = 12")
    }

    fn export(&self, format: &str, out: &str, more: &[&str]) -> (i32, String, String) {
        let (source, out) = (self.text("run"), self.text(out));
        let mut arguments = vec!["manifest", "export", &source, "--format", format, "--out", &out];
        arguments.extend(more);
        run(&arguments)
    }

    /// Exports, checks the export's record against its files, and returns the folder.
    fn exported(&self, format: &str, out: &str, more: &[&str]) -> PathBuf {
        let (code, stdout, err) = self.export(format, out, more);
        assert_eq!(code, 0, "{err}");
        assert_eq!(stdout.trim(), self.text(out));
        let folder = self.path(out);
        let record: Value = serde_json::from_slice(&fs::read(folder.join("export.json")).unwrap()).unwrap();
        let mut named = vec!["export.json".to_owned()];
        for file in record["files"].as_array().unwrap() {
            let name = file["path"].as_str().unwrap();
            let bytes = fs::read(folder.join(name)).unwrap();
            assert_eq!(file["bytes"], bytes.len());
            assert_eq!(file["blake3"], blake3::hash(&bytes).to_hex().as_str());
            named.push(name.to_owned());
        }
        named.sort();
        assert_eq!(named, entries(&folder));
        let source = fs::read(self.path("run/run.json")).unwrap();
        assert_eq!(record["run"], blake3::hash(&source).to_hex().as_str());
        folder
    }

    /// The rows of a manifest, by name of the column.
    fn rows(&self, name: &str) -> Vec<BTreeMap<String, Value>> {
        let file = File::open(self.path("run").join(name)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        reader.flat_map(|batch| values(&batch.unwrap())).collect()
    }

    /// An export is refused with this exit code and a message that has `says`, and leaves no file.
    #[track_caller]
    fn refused(&self, format: &str, more: &[&str], exit: i32, says: &str) {
        let before = entries(self.home.path());
        let (code, stdout, err) = self.export(format, "refused", more);
        assert_eq!((code, stdout.as_str()), (exit, ""), "{err}");
        assert!(err.starts_with("smi-sweep: ") && err.contains(says), "`{says}` is not in: {err}");
        assert_eq!(entries(self.home.path()), before);
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Names of the files with this ending.
fn files(folder: &Path, ending: &str) -> Vec<String> {
    let with = |name: &String| Path::new(name).extension().is_some_and(|found| found == ending);
    entries(folder).into_iter().filter(with).collect()
}

/// Rows as values: instants as microseconds, days as days.
fn values(batch: &RecordBatch) -> Vec<BTreeMap<String, Value>> {
    let value = |column: &dyn Array, row: usize| -> Value {
        if column.is_null(row) {
            return Value::Null;
        }
        match column.data_type() {
            DataType::Utf8 => column.as_string::<i32>().value(row).into(),
            DataType::Boolean => column.as_boolean().value(row).into(),
            DataType::Date32 => column.as_primitive::<Date32Type>().value(row).into(),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
            _ => column.as_primitive::<TimestampMicrosecondType>().value(row).into(),
        }
    };
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let columns: Vec<_> = names.zip(batch.columns()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|(name, column)| (name.clone(), value(column, row))).collect())
        .collect()
}

/// A value that another reader gave as text, in the form that [`values`] has.
fn understood(name: &str, text: &str) -> Value {
    match name {
        "status_since" => parse(&text.replace(' ', "T")).unwrap().into(),
        "due_on" => day_of(parse(text).unwrap()).into(),
        "alert" => text.to_lowercase().parse::<bool>().unwrap().into(),
        "row_in_file" => text.parse::<i64>().unwrap().into(),
        _ => text.into(),
    }
}

const MANIFESTS: [&str; 3] = ["delete", "alerts", "quarantine"];

#[test]
fn csv_has_the_rows_of_each_manifest() {
    let scratch = ExportedRun::usual();
    let folder = scratch.exported("csv", "out", &[]);
    for name in MANIFESTS {
        let path = folder.join(format!("{name}.csv"));
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let names = reader.headers().unwrap().clone();
        let mut found = Vec::new();
        for record in reader.records() {
            let record = record.unwrap();
            // This reader gives empty text for a null; the next test covers the difference.
            let cells = names.iter().zip(&record).filter(|(_, text)| !text.is_empty());
            found.push(cells.map(|(name, text)| (name.to_owned(), understood(name, text))).collect::<BTreeMap<_, _>>());
        }
        let mut wanted = scratch.rows(&format!("{name}.parquet"));
        assert!(wanted.len() > 50, "{name} has {} rows", wanted.len());
        for row in &mut wanted {
            row.retain(|_, value| !value.is_null() && value != "");
        }
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn csv_distinguishes_null_from_empty_text_and_from_the_word_null() {
    let scratch = ExportedRun::usual();
    let folder = scratch.exported("csv", "out", &[]);
    let text = fs::read_to_string(folder.join("quarantine.csv")).unwrap();
    let line = |start: &str, end: &str| text.lines().any(|line| line.starts_with(start) && line.contains(end));
    assert!(line("missing_party,", ",\"\",snapshot.parquet,"), "empty text is quoted");
    assert!(line("missing_party,", ",,snapshot.parquet,"), "null is nothing");
    let text = fs::read_to_string(folder.join("alerts.csv")).unwrap();
    assert!(text.contains("N8,\"NULL\",") && text.contains("N8,\"\\.\",") && text.contains("N8,Acme,"));
}

#[test]
fn ndjson_has_the_rows_of_each_manifest() {
    let scratch = ExportedRun::usual();
    let folder = scratch.exported("ndjson", "out", &["--threads", "1"]);
    for name in MANIFESTS {
        let text = fs::read_to_string(folder.join(format!("{name}.ndjson"))).unwrap();
        let found: Vec<BTreeMap<String, Value>> = text
            .lines()
            .map(|line| {
                let object: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
                let time = |name: &str| matches!(name, "status_since" | "due_on");
                let understood = object.into_iter().map(|(name, value)| match value.as_str() {
                    Some(text) if time(&name) => (name.clone(), understood(&name, text)),
                    _ => (name, value),
                });
                understood.collect()
            })
            .collect();
        assert_eq!(found, scratch.rows(&format!("{name}.parquet")), "{name}");
    }
}

/// Checks an alert against the rules of the DUIS schema, and returns its Device ID.
fn device_of(document: &str, time: &str) -> String {
    let tree = roxmltree::Document::parse(document).unwrap();
    let namespace = "http://www.dccinterface.co.uk/ServiceUserGateway";
    let root = tree.root_element();
    assert_eq!((root.tag_name().name(), root.attribute("schemaVersion")), ("Response", Some("5.4")));
    assert_eq!(root.attributes().count(), 1);
    let mut leaves = Vec::new();
    let mut path = Vec::new();
    for node in tree.descendants().filter(roxmltree::Node::is_element) {
        assert_eq!(node.tag_name().namespace(), Some(namespace));
        path.push(node.tag_name().name());
        if !node.children().any(|child| child.is_element()) {
            leaves.push((node.tag_name().name(), node.text().unwrap_or_default()));
        }
    }
    let nest = [
        "Response",
        "Header",
        "ResponseCode",
        "ResponseDateTime",
        "Body",
        "DCCAlertMessage",
        "DCCAlertCode",
        "DCCAlert",
        "DeviceStatusChangeEvent",
        "DeviceID",
        "DeviceStatusChange",
        "DeviceRemovedFromInventory",
    ];
    assert_eq!(path, nest);
    let device = leaves[3].1;
    let wanted = [
        ("ResponseCode", "I0"),
        ("ResponseDateTime", time),
        ("DCCAlertCode", "N8"),
        ("DeviceID", device),
        ("DeviceRemovedFromInventory", ""),
    ];
    assert_eq!(leaves, wanted);
    device.into()
}

#[test]
fn duis_has_every_alert_once_in_the_file_of_its_party() {
    let scratch = ExportedRun::usual();
    let folder = scratch.exported("duis", "out", &[]);
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in scratch.rows("alerts.parquet") {
        let of = |name: &str| row[name].as_str().unwrap().to_owned();
        wanted.entry(of("notifying_party")).or_default().push(of("device_id"));
    }
    assert_eq!(wanted.len(), PARTIES.len(), "every party has an alert");
    let record: Value = serde_json::from_slice(&fs::read(folder.join("export.json")).unwrap()).unwrap();
    let mut found = BTreeMap::new();
    for file in record["files"].as_array().unwrap() {
        let name = file["path"].as_str().unwrap();
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_%.".contains(&byte);
        assert!(name.bytes().all(safe) && !name.starts_with('.') && name.matches('.').count() == 1, "{name}");
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let devices: Vec<_> = text.lines().map(|line| device_of(line, "2026-11-01T00:00:00.000Z")).collect();
        assert_eq!(file["rows"], devices.len());
        assert!(found.insert(file["party"].as_str().unwrap().to_owned(), devices).is_none());
    }
    assert_eq!(found, wanted);
    assert!(folder.join("00-DB-12-34-56-78-90-A0.xmll").exists(), "an EUI-64 is its own name");
}

#[test]
fn response_code_and_time_can_be_given() {
    let scratch = ExportedRun::usual();
    let time = ["--response-time", "2026-11-03T10:11:12.3456Z", "--response-code", "I99"];
    let folder = scratch.exported("duis", "out", &time);
    let text = fs::read_to_string(folder.join("Acme.xmll")).unwrap();
    let line = text.lines().next().unwrap();
    assert!(line.contains("<ResponseDateTime>2026-11-03T10:11:12.345Z</ResponseDateTime>"), "{line}");
    device_of(&line.replace("I99", "I0"), "2026-11-03T10:11:12.345Z");
    scratch.refused("duis", &["--response-code", "E1"], 2, "E1");
    let other = ExportedRun::new(&estate(500), "[threshold]\ndefault = 12\n[alerts]\ncode = \"N32\"");
    other.refused("duis", &[], 2, "N32");
    other.exported("csv", "out", &[]);
}

/// The same run gives the same bytes with any number of threads.
#[test]
fn an_export_is_the_same_each_time() {
    let scratch = ExportedRun::usual();
    for format in ["csv", "ndjson", "sql", "duis"] {
        let one = scratch.exported(format, &format!("{format}-1"), &["--threads", "1"]);
        let many = scratch.exported(format, &format!("{format}-4"), &["--threads", "4"]);
        for name in entries(&one) {
            assert_eq!(fs::read(one.join(&name)).unwrap(), fs::read(many.join(&name)).unwrap(), "{format}: {name}");
        }
    }
}

#[test]
fn a_run_with_nothing_due_is_exported() {
    let scratch = ExportedRun::new(&estate(300), "[threshold]\ndefault = 900");
    let csv = scratch.exported("csv", "csv", &[]);
    let text = fs::read_to_string(csv.join("delete.csv")).unwrap();
    assert_eq!(text, "device_id,device_type,smi_status,status_since,due_on,notifying_party,alert\n");
    assert_eq!(fs::read(scratch.exported("ndjson", "ndjson", &[]).join("delete.ndjson")).unwrap(), b"");
    assert_eq!(entries(&scratch.exported("duis", "duis", &[])), ["export.json"]);
    let script = fs::read_to_string(scratch.exported("sql", "sql", &[]).join("load.sql")).unwrap();
    assert!(!script.contains("DELETE FROM"), "{script}");
}

#[test]
fn a_refused_export_leaves_no_file() {
    let scratch = ExportedRun::usual();
    // The folder exists already.
    fs::create_dir(scratch.path("taken")).unwrap();
    let (code, _, err) = scratch.export("csv", "taken", &[]);
    assert_eq!(code, 2, "{err}");
    assert!(entries(&scratch.path("taken")).is_empty());
    for (more, says) in [(["--batch", "0"], "batch"), (["--response-time", "soon"], "not a date")] {
        assert_eq!(scratch.export("sql", "refused", &more).0, 2);
        assert!(scratch.export("sql", "refused", &more).2.contains(says));
    }
    // The run differs from its record.
    let path = scratch.path("run/alerts.parquet");
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[50] ^= 1;
    fs::write(&path, bytes).unwrap();
    for format in ["csv", "ndjson", "sql", "duis"] {
        scratch.refused(format, &[], 6, "alerts.parquet");
    }
    fs::write(&path, whole).unwrap();
    fs::rename(scratch.path("run"), scratch.path("elsewhere")).unwrap();
    scratch.refused("csv", &[], 6, "run.json");
}

/// The names of columns are within dollar quotes of the script, which such a name would end.
#[test]
fn a_column_that_a_script_cannot_quote_is_refused() {
    let scratch = ExportedRun { home: tempfile::tempdir().unwrap() };
    let named = columns::with(
        columns::without(columns::meters(0), "notifying_party"),
        vec![("party$delete$x", columns::text([Some("Acme"); 2]))],
    );
    columns::write(&scratch.path("snapshot.parquet"), named);
    let mapped = "[threshold]\ndefault = 12\n[snapshot.columns]\n\"party$delete$x\" = \"notifying_party\"";
    let policy = scratch.policy("p", mapped);
    let (snapshot, out) = (scratch.text("snapshot.parquet"), scratch.text("run"));
    let (code, _, err) = run(&["sweep", &snapshot, "--policy", &policy, "--as-of", AS_OF, "--out", &out]);
    assert_eq!(code, 0, "{err}");
    scratch.refused("sql", &[], 2, "\"party$delete$x\", whose name a script cannot quote");
    scratch.exported("csv", "csv", &[]);
}

#[test]
fn with_a_config_only_an_approved_run_is_exported() {
    let scratch = ExportedRun::usual();
    let key = KeyPair::create(&scratch.path("ann")).unwrap().public;
    fs::write(scratch.path("load.toml"), format!("[approvals]\nneeded = 1\n[approvals.keys]\nann = \"{key}\"\n"))
        .unwrap();
    let config = scratch.text("load.toml");
    scratch.refused("sql", &["--config", &config], 6, "0 of the 1");
    let record: Value = serde_json::from_slice(&fs::read(scratch.path("run/run.json")).unwrap()).unwrap();
    let deletes = record["tally"]["delete"].to_string();
    let arguments = ["approve", &scratch.text("run"), "--key", &scratch.text("ann"), "--expect-deletes", &deletes];
    let (code, _, err) = run(&arguments);
    assert_eq!(code, 0, "{err}");
    scratch.exported("sql", "out", &["--config", &config]);
}

/// The project has no copy of the schema. Where you have it, name its folder:
/// `SMI_SWEEP_DUIS=FOLDER cargo test --test engine manifest_export -- --ignored`, with `xmllint` installed.
#[test]
#[ignore = "needs a folder with the schema of DUIS V5.4, named by SMI_SWEEP_DUIS, and xmllint"]
fn every_document_is_valid_by_the_schema_of_duis() {
    let schema = PathBuf::from(std::env::var_os("SMI_SWEEP_DUIS").expect("SMI_SWEEP_DUIS names the folder"));
    let scratch = ExportedRun::new(&estate(40_000), "[threshold]\ndefault = 12");
    // The schemas import each other by file names with spaces, which some validators cannot open.
    for name in files(&schema, "xsd") {
        let text = fs::read_to_string(schema.join(&name)).unwrap();
        let text = ["DUIS Schema V5.4.xsd", "MMC Schema V5.4.xsd"]
            .into_iter()
            .fold(text, |text, name| text.replace(name, &name.replace(' ', "-")));
        fs::write(scratch.path(&name.replace(' ', "-")), text).unwrap();
    }
    let folder = scratch.exported("duis", "out", &["--response-time", "2026-11-03T10:11:12Z"]);
    let mut documents = Vec::new();
    for name in files(&folder, "xmll") {
        for line in fs::read_to_string(folder.join(name)).unwrap().lines() {
            let path = scratch.path(&format!("{}.xml", documents.len()));
            fs::write(&path, line).unwrap();
            documents.push(path);
        }
    }
    assert_eq!(documents.len(), scratch.rows("alerts.parquet").len());
    assert!(documents.len() > 10_000, "{}", documents.len());
    let validate = |documents: &[PathBuf]| {
        let mut xmllint = std::process::Command::new("xmllint");
        xmllint.args(["--nonet", "--noout", "--schema"]).arg(scratch.path("DUIS-Schema-V5.4.xsd")).args(documents);
        crate::common::outcome(&xmllint.output().expect("xmllint runs"))
    };
    for some in documents.chunks(1000) {
        let (code, _, err) = validate(some);
        assert_eq!(code, 0, "{}", &err[..err.len().min(2000)]);
        assert_eq!(err.lines().filter(|line| line.ends_with(" validates")).count(), some.len());
    }
    // The validator refuses a wrong document.
    let text = fs::read_to_string(&documents[0]).unwrap();
    fs::write(&documents[0], text.replace("<DeviceID>", "<DeviceID>x")).unwrap();
    assert_ne!(validate(&documents[..1]).0, 0);
}
