//! Run directories: `verify` accepts what a sweep writes and refuses any change to it, and `diff` compares two runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crate::common::estates::{Layout, Row, mixed_rows, text_id, write};
use crate::common::{Workspace, at, binary, run, with_content_digest};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use serde_json::{Value, json};
use smi_sweep::estate::time::DAY_MICROS;
use tempfile::TempDir;

const AS_OF: &str = "2026-11-01";
const LAYOUT: Layout = Layout { group_rows: 200, page_rows: 50, ..Layout::PLAIN };

/// An estate in which every disposition occurs.
fn estate(rows: u64) -> Vec<Row> {
    mixed_rows(rows, &["P3", "A Party", "P1", "\u{e9}nergie, \"fils\""])
}

/// A temporary directory with a snapshot, and runs of it.
struct RunsOfOneSnapshot {
    home: TempDir,
}

impl Workspace for RunsOfOneSnapshot {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl RunsOfOneSnapshot {
    fn new(rows: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        write(&home.path().join("snapshot.parquet"), &estate(rows), &LAYOUT);
        Self { home }
    }

    fn sweep(&self, out: &str, policy: &str, more: &[&str]) -> PathBuf {
        let out = self.path(out);
        let snapshot = self.path("snapshot.parquet");
        let mut arguments =
            vec!["sweep", snapshot.to_str().unwrap(), "--policy", policy, "--out", out.to_str().unwrap()];
        arguments.extend(more);
        if !more.contains(&"--as-of") {
            arguments.extend(["--as-of", AS_OF]);
        }
        let (code, _, err) = run(&arguments);
        assert_eq!(code, 0, "{err}");
        out
    }

    /// A run for a test to change.
    fn run(&self) -> PathBuf {
        let policy = self.policy("months12", "[threshold]\ndefault = 12\n[exclude]\ntypes = [\"CommsHub\"]");
        self.sweep("run", &policy, &[])
    }
}

fn verify(run_directory: &Path) -> (i32, String, String) {
    run(&["verify", run_directory.to_str().unwrap()])
}

/// The run is refused with a message that has `says`.
#[track_caller]
fn refused(run_directory: &Path, says: &str) {
    let (code, _, err) = verify(run_directory);
    assert_eq!(code, 6, "{err}");
    assert!(err.contains(says), "`{says}` is not in: {err}");
}

fn change_record(run_directory: &Path, change: impl FnOnce(&mut Value)) {
    let path = run_directory.join("run.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut record);
    with_content_digest(&mut record);
    fs::write(&path, record.to_string()).unwrap();
}

/// Replaces a manifest, and writes its new digest into the record, as a careful forger would.
fn forge(run_directory: &Path, name: &str, change: impl FnOnce(RecordBatch) -> Vec<RecordBatch>) {
    let path = run_directory.join(name);
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(&path).unwrap(), options).unwrap();
    let batches: Vec<_> = reader.with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect();
    let [batch] = &batches[..] else { panic!("one batch") };
    let batches = change(batch.clone());
    let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(File::create(&path).unwrap(), batch.schema(), options).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    let bytes = fs::read(&path).unwrap();
    change_record(run_directory, |record| {
        let outputs = record["outputs"].as_array_mut().unwrap();
        let output = outputs.iter_mut().find(|output| output["path"] == name).unwrap();
        output["rows"] = json!(batches.iter().map(RecordBatch::num_rows).sum::<usize>());
        output["bytes"] = json!(bytes.len());
        output["blake3"] = json!(blake3::hash(&bytes).to_hex().to_string());
    });
}

fn with_column(batch: &RecordBatch, name: &str, column: impl Array + 'static) -> RecordBatch {
    let index = batch.schema().index_of(name).unwrap();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[index] = Arc::new(column);
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// The texts of a column, with that of one row replaced.
fn with_text(batch: &RecordBatch, name: &str, row: usize, text: &str) -> RecordBatch {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    let texts: StringArray =
        column.iter().enumerate().map(|(n, old)| if n == row { Some(text) } else { old }).collect();
    with_column(batch, name, texts)
}

fn rest(batch: &RecordBatch, from: usize) -> RecordBatch {
    batch.slice(from, batch.num_rows() - from)
}

#[test]
fn a_new_run_is_verified() {
    let scratch = RunsOfOneSnapshot::new(3000);
    let out = scratch.run();
    let (code, text, err) = verify(&out);
    assert_eq!(code, 0, "{err}");
    assert!(text.contains(": verified: "), "{text}");
    let (code, text, _) = run(&["verify", "--json", out.to_str().unwrap()]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &document["runs"][0]["verified"]), (0, &json!(true)));
    let tally = &document["runs"][0]["tally"];
    for figure in ["not_candidate", "excluded", "not_due", "alerts", "silent_deletes", "quarantined"] {
        assert_ne!(tally[figure], json!(0), "the estate has {figure}");
    }
    // The page is what people read before they approve a run.
    let page = out.join("report.html");
    let text = fs::read_to_string(&page).unwrap();
    fs::write(&page, text.replacen("devices are to be deleted", "devices are to be retained", 1)).unwrap();
    refused(&out, "report.html: has");
    fs::remove_file(&page).unwrap();
    refused(&out, "report.html: is missing");
}

#[test]
fn runs_of_several_policies_and_runs_without_deletions_are_verified() {
    let scratch = RunsOfOneSnapshot::new(2000);
    let one = scratch.policy("one", "[threshold]\ndefault = 12");
    let two = scratch.policy("two", "[threshold]\ndefault = 1200");
    let out = scratch.sweep("both", &one, &["--policy", &two]);
    let (code, text, err) = verify(&out);
    assert_eq!(code, 0, "{err}");
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("two: verified: 0 deletions"), "{text}");
    refused(scratch.home.path(), "not a run directory");
}

#[test]
fn the_number_of_threads_does_not_change_a_run() {
    let scratch = RunsOfOneSnapshot::new(3000);
    let policy = scratch.policy("p", "[threshold]\ndefault = 6");
    let runs = ["1", "2", "8"].map(|threads| scratch.sweep(&format!("run{threads}"), &policy, &["--threads", threads]));
    for name in ["delete.parquet", "alerts.parquet", "quarantine.parquet"] {
        let bytes = runs.each_ref().map(|run| fs::read(run.join(name)).unwrap());
        assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2], "{name}");
    }
}

#[test]
fn a_flipped_byte_is_noticed_wherever_it_is() {
    let scratch = RunsOfOneSnapshot::new(500);
    let out = scratch.run();
    for name in ["delete.parquet", "alerts.parquet", "quarantine.parquet"] {
        let path = out.join(name);
        let whole = fs::read(&path).unwrap();
        for place in [4, whole.len() / 3, whole.len() / 2, whole.len() - 20] {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(&path, &bytes).unwrap();
            refused(&out, "digest");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        refused(&out, "bytes");
        fs::remove_file(&path).unwrap();
        refused(&out, "is missing");
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(verify(&out).0, 0);
}

#[test]
fn an_extra_file_is_refused() {
    let scratch = RunsOfOneSnapshot::new(200);
    let out = scratch.run();
    fs::write(out.join("delete2.parquet"), "").unwrap();
    refused(&out, "a file too many");
}

#[test]
fn figures_that_were_changed_are_noticed() {
    let scratch = RunsOfOneSnapshot::new(2000);
    let out = scratch.run();
    let whole = fs::read(out.join("run.json")).unwrap();
    let spoilt = |says: &str, change: fn(&mut Value)| {
        change_record(&out, change);
        refused(&out, says);
        fs::write(out.join("run.json"), &whole).unwrap();
    };
    spoilt("do not add up", |record| record["tally"]["delete"] = json!(1));
    spoilt("by_type does not add up", |record| {
        for key in ["rows", "not_due"] {
            let count = &mut record["by_type"]["ESME"][key];
            *count = json!(count.as_i64().unwrap() + 1);
        }
    });
    spoilt("deletions and", |record| {
        for (party, by) in [("P1", -1), ("P3", 1)] {
            let count = &mut record["by_party"][party]["deletes"];
            *count = json!(count.as_i64().unwrap() + by);
        }
    });
    spoilt("alerts, the tally", |record| record["by_party"]["P1"]["alerts"] = json!(0));
    spoilt("policy", |record| record["policy"]["threshold"]["default"] = json!(13));
    spoilt("policy", |record| record["policy"]["exclude"]["types"] = json!([]));
    spoilt("the cutoff of", |record| record["as_of"] = json!("2026-01-01T00:00:00Z"));
    spoilt("smi-sweep/run/1", |record| *record = json!({ "schema": "smi-sweep/run/2" }));
    spoilt("unknown variant `draft`", |record| record["status"] = json!("draft"));
    spoilt("the cutoff of ESME", |record| record["cutoffs"]["ESME"]["due_if_since"] = json!("2025-11-02"));
    spoilt("types that the policy does not know", |record| {
        record["cutoffs"]["SAPC"] = record["cutoffs"]["ESME"].clone();
    });
    spoilt("bytes, recorded are", |record| record["snapshot"]["bytes"] = json!(1));
    spoilt("a guard would have stopped this run", |record| record["options"]["expect_deletes"] = json!(1));
    spoilt("without a party", |record| record["without_party"]["alerts"] = json!(1));
    spoilt("deletions, the tally", |record| record["without_party"]["deletes"] = json!(0));
    spoilt("recorded are", |record| {
        // The sums of all types stay as they are.
        for (device_type, reason, by) in [
            ("ESME", "missing_date", -1),
            ("ESME", "missing_party", 1),
            ("GSME", "missing_date", 1),
            ("GSME", "missing_party", -1),
        ] {
            let count = &mut record["by_type"][device_type]["quarantine_reasons"][reason];
            *count = json!(count.as_i64().unwrap() + by);
        }
    });
    fs::rename(out.join("report.html"), scratch.path("page")).unwrap();
    std::os::unix::fs::symlink("run.json", out.join("report.html")).unwrap();
    refused(&out, "not a regular file");
    fs::rename(scratch.path("page"), out.join("report.html")).unwrap();
    assert_eq!(verify(&out).0, 0);
}

/// A party may have any name, even `(none)`, which tables show where there is no party.
#[test]
fn a_party_called_none_is_a_party() {
    let scratch = RunsOfOneSnapshot { home: tempfile::tempdir().unwrap() };
    let row = |id: u64, device_type: &str, party: Option<&str>| Row {
        id: Some(text_id(id)),
        device_type: Some(device_type.into()),
        status: Some("Pending".into()),
        since: Some(at("2020-01-01")),
        party: party.map(Into::into),
        role: None,
    };
    let rows = [row(1, "ESME", Some("(none)")), row(2, "CHF", None), row(3, "CHF", Some("(none)"))];
    write(&scratch.path("snapshot.parquet"), &rows, &Layout { roles: false, ..LAYOUT });
    let policy = scratch.policy("p", "[threshold]\ndefault = 12");
    let out = scratch.sweep("run", &policy, &[]);
    let record: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["by_party"], json!({ "(none)": { "deletes": 2, "alerts": 1 } }));
    assert_eq!(record["without_party"], json!({ "deletes": 1, "alerts": 0 }));
    let (code, _, err) = verify(&out);
    assert_eq!(code, 0, "{err}");
    // Without a role column the type decides which deletions raise an alert; a forged alert is refused.
    forge(&out, "delete.parquet", |batch| {
        vec![with_column(&batch, "alert", BooleanArray::from(vec![true, false, true]))]
    });
    refused(&out, "CHF is silent by the policy");
}

#[test]
fn a_deleted_device_that_is_quarantined_as_a_duplicate_is_refused() {
    let scratch = RunsOfOneSnapshot::new(2000);
    let mut rows = estate(2000);
    let twice: Vec<Row> = rows.iter().filter(|row| row.since.is_some()).take(400).cloned().collect();
    rows.extend(twice);
    write(&scratch.path("snapshot.parquet"), &rows, &LAYOUT);
    let out = scratch.run();
    assert_eq!(verify(&out).0, 0);
    let column = |name: &str, column: &str| -> Vec<String> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(out.join(name)).unwrap()).unwrap();
        let batch = reader.with_batch_size(1 << 20).build().unwrap().next().unwrap().unwrap();
        batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
    };
    let place =
        column("quarantine.parquet", "reason").iter().position(|reason| reason == "duplicate_device_id").unwrap();
    let deleted = column("delete.parquet", "device_id").swap_remove(0);
    let whole = fs::read(out.join("run.json")).unwrap();
    let quarantine = fs::read(out.join("quarantine.parquet")).unwrap();
    forge(&out, "quarantine.parquet", |batch| vec![with_text(&batch, "device_id", place, &deleted)]);
    refused(&out, "is a duplicate of no other row");
    // `--unique` finds duplicates among rows that are not due, which no manifest has.
    change_record(&out, |record| record["options"]["unique"] = json!(true));
    refused(&out, "uniqueness does not follow from options and seals");
    change_record(&out, |record| record["uniqueness"] = json!("checked"));
    refused(&out, "is quarantined as a duplicate as well");
    fs::write(out.join("run.json"), whole).unwrap();
    fs::write(out.join("quarantine.parquet"), quarantine).unwrap();
    assert_eq!(verify(&out).0, 0);
}

#[test]
fn keys_that_this_version_does_not_know_are_refused() {
    let scratch = RunsOfOneSnapshot::new(200);
    let out = scratch.run();
    let whole = fs::read(out.join("run.json")).unwrap();
    for (says, change) in [
        ("unknown field `weather`", (|record| record["weather"] = json!("fair")) as fn(&mut Value)),
        ("unknown field `rain`", |record| record["tally"]["rain"] = json!(0)),
        ("the policy cannot be read", |record| record["policy"]["sun"] = json!(0)),
        ("unknown field `clouds`", |record| record["engine"]["clouds"] = json!(0)),
    ] {
        change_record(&out, change);
        refused(&out, says);
        fs::write(out.join("run.json"), &whole).unwrap();
    }
}

/// A manifest is changed, and its digest in the record too.
#[test]
fn forged_deletions_are_noticed() {
    let scratch = RunsOfOneSnapshot::new(2000);
    let forged = |run: &str, says: &str, change: fn(RecordBatch) -> Vec<RecordBatch>| {
        let policy = scratch.policy("p", "[threshold]\ndefault = 12\n[exclude]\ntypes = [\"CommsHub\"]");
        let out = scratch.sweep(run, &policy, &[]);
        forge(&out, "delete.parquet", change);
        refused(&out, says);
    };
    forged("dropped", "deletions and", |batch| vec![batch.slice(0, 5), rest(&batch, 6)]);
    forged("twice", "occurs twice", |batch| vec![batch.slice(0, 6), rest(&batch, 5)]);
    forged("order", "out of order", |batch| vec![batch.slice(1, 1), batch.slice(0, 1), rest(&batch, 2)]);
    forged("hub", "is excluded by the policy", |batch| vec![with_text(&batch, "device_type", 3, "CHF")]);
    forged("type", "is unknown", |batch| vec![with_text(&batch, "device_type", 3, "SAPC")]);
    forged("status", "is not one that the policy sweeps", |batch| {
        vec![with_text(&batch, "smi_status", 3, "Commissioned")]
    });
    forged("id", "not a canonical Device ID", |batch| {
        let id = batch.column_by_name("device_id").unwrap().as_string::<i32>().value(0).to_lowercase();
        vec![with_text(&batch, "device_id", 0, &id)]
    });
    forged("party", "is not in the record", |batch| vec![with_text(&batch, "notifying_party", 3, "Mallory")]);
    forged("silent", "alerts of", |batch| {
        let count = batch.num_rows();
        vec![with_column(&batch, "alert", BooleanArray::from(vec![false; count]))]
    });
    forged("young", "is not due", |batch| {
        let since = batch
            .column_by_name("status_since")
            .unwrap()
            .as_primitive::<arrow_array::types::TimestampMicrosecondType>();
        let since = since.unary::<_, arrow_array::types::TimestampMicrosecondType>(|since| since + 1400 * DAY_MICROS);
        vec![with_column(&batch, "status_since", since.with_timezone("UTC"))]
    });
    forged("due", "did not become due on", |batch| {
        let days = batch.column_by_name("due_on").unwrap().as_primitive::<arrow_array::types::Date32Type>();
        let days = days.unary::<_, arrow_array::types::Date32Type>(|day| day - 1);
        vec![with_column(&batch, "due_on", days)]
    });
}

#[test]
fn forged_alerts_and_quarantine_are_noticed() {
    let scratch = RunsOfOneSnapshot::new(2000);
    let forged = |run: &str, name: &str, says: &str, change: fn(RecordBatch) -> Vec<RecordBatch>| {
        let policy = scratch.policy("p", "[threshold]\ndefault = 12");
        let out = scratch.sweep(run, &policy, &[]);
        forge(&out, name, change);
        refused(&out, says);
    };
    let alerts = |run: &str, says: &str, change: fn(RecordBatch) -> Vec<RecordBatch>| {
        forged(run, "alerts.parquet", says, change);
    };
    alerts("dropped", "calls for an alert", |batch| vec![batch.slice(0, 5), rest(&batch, 6)]);
    alerts("last", "calls for an alert", |batch| vec![batch.slice(0, batch.num_rows() - 1)]);
    alerts("order", "out of order", |batch| vec![batch.slice(1, 1), batch.slice(0, 1), rest(&batch, 2)]);
    alerts("code", "has the code", |batch| vec![with_text(&batch, "alert_code", 0, "N9")]);
    alerts("added", "that no deletion calls for", |batch| {
        vec![with_text(&batch, "device_id", 0, "00-00-00-00-00-00-00-00")]
    });
    alerts("type", "differs from its deletion", |batch| {
        let old = batch.column_by_name("device_type").unwrap().as_string::<i32>().value(0);
        vec![with_text(&batch, "device_type", 0, if old == "ESME" { "GSME" } else { "ESME" })]
    });
    let quarantine = |run: &str, says: &str, change: fn(RecordBatch) -> Vec<RecordBatch>| {
        forged(run, "quarantine.parquet", says, change);
    };
    quarantine("q-dropped", "recorded are", |batch| vec![batch.slice(0, 2), rest(&batch, 3)]);
    quarantine("q-reason", "recorded are", |batch| vec![with_text(&batch, "reason", 0, "unknown_role")]);
    quarantine("q-type", "rows of", |batch| vec![with_text(&batch, "device_type", 0, "CAD")]);
    quarantine("q-word", "no such reason", |batch| vec![with_text(&batch, "reason", 0, "boredom")]);
    quarantine("q-file", "not a row of the snapshot", |batch| vec![with_text(&batch, "source_file", 0, "other")]);
    quarantine("q-order", "out of order", |batch| vec![batch.slice(1, 1), batch.slice(0, 1), rest(&batch, 2)]);
}

fn difference(a: &Path, b: &Path) -> Value {
    let (code, text, err) = run(&["diff", "--json", a.to_str().unwrap(), b.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&text).unwrap()
}

/// Devices of a difference by run and reason.
fn by_reason(difference: &Value) -> Vec<(String, String, u64)> {
    let mut sums = std::collections::BTreeMap::new();
    for group in difference["only"].as_array().unwrap() {
        let text = |key: &str| group[key].as_str().unwrap().to_owned();
        *sums.entry((text("deleted_by"), text("reason"))).or_default() += group["devices"].as_u64().unwrap();
    }
    sums.into_iter().map(|((side, reason), devices)| (side, reason, devices)).collect()
}

/// Six devices, and runs that keep each of them for another reason.
#[test]
fn a_difference_has_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let row = |id: u64, device_type: &str, since: &str, party: Option<&str>| Row {
        id: Some(text_id(id)),
        device_type: Some(device_type.into()),
        status: Some("Pending".into()),
        since: Some(at(since)),
        party: party.map(Into::into),
        role: None,
    };
    let scratch = RunsOfOneSnapshot { home };
    let rows = [
        row(1, "ESME", "2020-01-01", Some("P1")),
        row(2, "CHF", "2020-01-01", Some("C1")),
        row(3, "ESME", "2025-06-01", Some("P2")),
        row(4, "GSME", "2025-10-20", Some("P1")),
        row(5, "GPF", "2020-01-01", None),
        row(6, "ESME", "2026-01-01", Some("P1")),
    ];
    write(&scratch.path("snapshot.parquet"), &rows, &LAYOUT);
    let twelve = scratch.policy("twelve", "[threshold]\ndefault = 12");
    let a = scratch.sweep("a", &twelve, &[]);
    let hubs = scratch.policy("hubs", "[threshold]\ndefault = 12\n[exclude]\ntypes = [\"CommsHub\"]");
    let longer = scratch.policy("longer", "[threshold]\ndefault = 36");
    let loud = scratch.policy("loud", "[threshold]\ndefault = 12\n[alerts]\nsilent_types = [\"CHF\"]");
    let only = |run: &Path| by_reason(&difference(&a, run));
    let case = |reason: &str, devices: u64| vec![("a".to_owned(), reason.to_owned(), devices)];
    assert_eq!(only(&a), vec![]);
    assert_eq!(only(&scratch.sweep("b1", &hubs, &[])), case("excluded", 2));
    assert_eq!(only(&scratch.sweep("b2", &longer, &[])), case("threshold_not_reached", 2));
    assert_eq!(only(&scratch.sweep("b3", &twelve, &["--as-of", "2026-10-01"])), case("not_due_at_as_of", 1));
    assert_eq!(only(&scratch.sweep("b4", &loud, &[])), case("quarantined:missing_party", 1));
    write(&scratch.path("snapshot.parquet"), &rows[1..], &LAYOUT);
    assert_eq!(only(&scratch.sweep("b5", &twelve, &[])), case("not_in_snapshot", 1));

    let b = scratch.path("b1");
    let (_, list, figures) = run(&["diff", "--list", "csv", b.to_str().unwrap(), a.to_str().unwrap()]);
    assert_eq!(
        list,
        "deleted_by,device_id,device_type,notifying_party,status_since,due_on,reason\n\
         b,00-00-00-00-00-00-00-02,CHF,C1,2020-01-01T00:00:00Z,2021-01-01,excluded\n\
         b,00-00-00-00-00-00-00-05,GPF,,2020-01-01T00:00:00Z,2021-01-01,excluded\n"
    );
    assert!(figures.contains("to delete in both: 3 devices"), "{figures}");
    let (_, list, _) = run(&["diff", "--list", "ndjson", b.to_str().unwrap(), a.to_str().unwrap()]);
    let first: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    assert_eq!((&first["device_type"], &first["notifying_party"]), (&json!("CHF"), &json!("C1")));
    assert_eq!(run(&["diff", "--json", "--list", "csv", "x", "y"]).0, 2);
    assert_eq!(run(&["diff", a.to_str().unwrap(), scratch.home.path().to_str().unwrap()]).0, 6);
}

/// A sweep is killed at every stage of its work: its run directory is then absent, or whole.
#[test]
fn a_killed_sweep_leaves_a_whole_run_or_none() {
    let scratch = RunsOfOneSnapshot::new(60_000);
    let policy = scratch.policy("p", "[threshold]\ndefault = 12");
    let snapshot = scratch.path("snapshot.parquet");
    let (mut absent, mut whole) = (0, 0);
    for step in 0..400 {
        let out = scratch.path(&format!("killed{step}"));
        let mut child = binary()
            .args(["sweep", snapshot.to_str().unwrap(), "--policy", &policy, "--as-of", AS_OF, "--out"])
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(step * 2500));
        child.kill().unwrap();
        child.wait().unwrap();
        if out.exists() {
            let (code, _, err) = verify(&out);
            assert_eq!(code, 0, "{err}");
            whole += 1;
        } else {
            absent += 1;
        }
        if whole == 8 {
            break;
        }
    }
    assert!(absent > 0 && whole > 0, "{absent} absent, {whole} whole");
}
