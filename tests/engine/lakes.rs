//! Folders that mean more than their files: table formats, writes that have not ended, and partitions.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::slice::from_ref;

use crate::common::Workspace;
use crate::common::columns::{meters, text, with, without, write};
use crate::common::estates::{self, Ids, Layout, Row, held, layouts, rows};
use crate::common::{at, copy_files, fixtures, open, run, sweep, sweep_by, text_of, unguarded};
use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use smi_sweep::check::check;
use smi_sweep::error::{ExitCode, Result};
use smi_sweep::estate::{Column, DeviceId, time};
use smi_sweep::explain::explain;
use smi_sweep::ledger::Ledger;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::recluster::fingerprint_of;
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::snapshot::Snapshot;

fn try_open(paths: &[PathBuf]) -> Result<Snapshot> {
    Snapshot::open(paths, &unguarded("pre-change").spellings, &Pool::new(Some(1)), &NoProgress)
}

#[track_caller]
fn refused(paths: &[PathBuf], words: &[&str]) {
    let Err(error) = try_open(paths) else { panic!("{paths:?} is not refused") };
    let said = format!("{error} | {}", error.remedy());
    assert_eq!(error.exit_code(), ExitCode::Snapshot, "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// A Delta Lake folder keeps the files of earlier versions. They were read as well, and a device was deleted that had been
/// commissioned since.
#[test]
fn no_part_of_a_delta_lake_table_is_read_as_plain_files() {
    let home = tempfile::tempdir().unwrap();
    let table = home.path().join("estate");
    for entry in fs::read_dir(fixtures().join("faults/lake-folder/delta")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            fs::create_dir_all(&table).unwrap();
            fs::copy(&entry, table.join(entry.file_name().unwrap())).unwrap();
        }
    }
    copy_files(&fixtures().join("faults/lake-folder/delta/_delta_log"), &table.join("_delta_log"));
    let words = ["a Delta Lake table", "_delta_log", "export its current version"];
    refused(from_ref(&table), &words);
    refused(&[home.path().to_path_buf()], &words);
    let file = fs::read_dir(&table).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap();
    refused(from_ref(&file), &words);
    let plain = home.path().join("plain/a.parquet");
    write(&plain, meters(0));
    refused(&[plain.clone(), file.clone()], &words);
    // A partition of the table, and links into it.
    let partition = table.join("csp_region=North");
    fs::create_dir(&partition).unwrap();
    fs::rename(&file, partition.join("b.parquet")).unwrap();
    refused(from_ref(&partition), &words);
    let links = home.path().join("links");
    fs::create_dir(&links).unwrap();
    symlink(partition.join("b.parquet"), links.join("b.parquet")).unwrap();
    refused(from_ref(&links), &words);
    refused(&[links.join("b.parquet")], &words);
    // A table that holds links to files elsewhere.
    symlink(&plain, table.join("c.parquet")).unwrap();
    refused(&[table.join("c.parquet")], &words);
    assert_eq!(open(&[plain], &unguarded("pre-change")).rows(), 2);
}

/// What each format leaves in or above a folder, and a name that it must not be confused with.
#[test]
fn every_table_format_is_recognized_at_above_and_below_a_path() {
    for (evidence, format) in [
        ("_delta_log/00000000000000000000.json", "a Delta Lake table"),
        ("_symlink_format_manifest/manifest", "a Delta Lake table"),
        (".hoodie/hoodie.properties", "an Apache Hudi table"),
        (".hoodie_partition_metadata", "an Apache Hudi table"),
        ("metadata/v3.metadata.json", "an Apache Iceberg table"),
        ("metadata/00001-6c9b.gz.metadata.json", "an Apache Iceberg table"),
        ("metadata/v3.metadata.json.gz", "an Apache Iceberg table"),
        ("metadata/version-hint.text", "an Apache Iceberg table"),
        ("_spark_metadata/0", "the output of a Spark stream"),
        ("_temporary/0/part-0.parquet", "has not ended"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("estate/north/a.parquet");
        write(&file, meters(0));
        let evidence = home.path().join("estate").join(evidence);
        fs::create_dir_all(evidence.parent().unwrap()).unwrap();
        fs::write(&evidence, "{}").unwrap();
        for path in [home.path(), &home.path().join("estate"), file.parent().unwrap(), &file] {
            refused(&[path.to_path_buf()], &[format]);
        }
    }
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("estate/manifest")).unwrap();
    fs::create_dir_all(home.path().join("estate/snapshot")).unwrap();
    fs::write(home.path().join("estate/snapshot/LATEST"), "1").unwrap();
    let file = home.path().join("estate/bucket-0/a.parquet");
    write(&file, meters(0));
    refused(&[file], &["an Apache Paimon table"]);
}

#[test]
fn formats_that_are_known_by_their_names_are_refused() {
    for (name, format) in [
        ("main/inventory/ducklake-019a-4b.parquet", "a DuckLake table"),
        ("main/inventory/ducklake-019a-4b-delete.parquet", "a DuckLake table"),
        ("inventory/base_0000007/000000_0", "a transactional table of Apache Hive"),
        ("inventory/delta_0000008_0000008_0000/000000_0", "a transactional table of Apache Hive"),
        ("inventory/delete_delta_0000009_0000009/bucket_00000", "a transactional table of Apache Hive"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(name);
        write(&file, meters(0));
        for path in [home.path(), file.parent().unwrap(), &file] {
            refused(&[path.to_path_buf()], &[format]);
        }
    }
}

/// A file that was copied out of its table may hold rows that the table has replaced.
#[test]
fn a_data_file_of_a_table_is_known_by_its_footer() {
    let home = tempfile::tempdir().unwrap();
    for (key, format) in [
        ("iceberg.schema", "an Apache Iceberg table"),
        ("org.apache.hudi.bloomfilter", "an Apache Hudi table"),
        ("hoodie_min_record_key", "an Apache Hudi table"),
    ] {
        let path = home.path().join("a.parquet");
        let batch = RecordBatch::try_from_iter(meters(0)).unwrap();
        let pairs = Some(vec![KeyValue::new(key.into(), "x".to_owned())]);
        let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
        let file = fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        refused(&[path], &[format, key]);
    }
}

#[test]
fn files_that_writers_leave_beside_the_data_do_no_harm() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("estate/part-0.parquet"), meters(0));
    for name in ["_SUCCESS", "_metadata", "_common_metadata", ".part-0.parquet.crc"] {
        fs::write(home.path().join("estate").join(name), "not Parquet").unwrap();
    }
    // Names that only resemble those of a table.
    write(&home.path().join("estate/base_2026/a.parquet"), meters(1));
    write(&home.path().join("estate/metadata/b.parquet"), meters(2));
    write(&home.path().join("estate/snapshot/c.parquet"), meters(3));
    write(&home.path().join("estate/delta_north/d.parquet"), meters(4));
    assert_eq!(open(&[home.path().join("estate")], &unguarded("pre-change")).rows(), 10);
}

/// Every command that opens a snapshot says so in one line, and exits with 3.
#[test]
fn every_command_refuses_a_table() {
    let home = tempfile::tempdir().unwrap();
    let table = text_of(&fixtures().join("faults/lake-folder/delta"));
    let orders = text_of(&fixtures().join("stock/orders.csv"));
    let out = |name: &str| text_of(&home.path().join(name));
    let commands: [&[&str]; 7] = [
        &["check", &table],
        &["check", &table, "--seal", "--taken-at", "2026-11-01"],
        &["sweep", &table, "--policy", "secmp0060", "--as-of", "2026-11-01", "--out", &out("run")],
        &["explain", "00-DB-12-34-56-78-00-00", &table, "--policy", "secmp0060", "--as-of", "2026-11-01"],
        &["recluster", &table, "--out", &out("copy")],
        &["ledger", &table, "--as-of", "2026-11-01", "--out", &out("ledger")],
        &["stock", &table, "--orders", &orders, "--as-of", "2026-11-01", "--out", &out("stock")],
    ];
    for command in commands {
        let (code, _, said) = run(command);
        assert_eq!(code, 3, "{command:?}: {said}");
        assert!(said.contains("a Delta Lake table"), "{command:?}: {said}");
        assert!(Path::new(&table).join("_delta_log").is_dir() && !Path::new(&table).join("_snapshot.json").exists());
    }
}

/// The role was in the name of a folder only. It was overlooked, and the alert went to the wrong party.
#[test]
fn the_role_of_a_folder_decides_about_the_alert() {
    let mut policy = unguarded("pre-change");
    policy.guard.max_delete_share = 1.0;
    let snapshot = open(&[fixtures().join("faults/hive-role")], &policy);
    for reader in [Reader::Encoded, Reader::Reference] {
        let swept = sweep(&snapshot, &policy, at("2026-11-01"), reader, 1);
        let due: Vec<_> =
            swept.findings.due.iter().map(|due| (due.alert, swept.findings.parties.name(due.party))).collect();
        assert!(due.contains(&(true, Some("Supplier A"))) && due.iter().any(|(alert, _)| !alert), "{due:?}");
        assert!(due.iter().all(|(alert, party)| !alert || *party == Some("Supplier A")), "{due:?}");
    }
}

#[test]
fn a_status_in_the_name_of_a_folder_is_read_from_there() {
    let policy = unguarded("secmp0060");
    let folder = fixtures().join("faults/hive-status");
    let inside = folder.join("smi_status=Pending");
    let total = |path: &Path| {
        let snapshot = open(&[path.to_path_buf()], &policy);
        sweep(&snapshot, &policy, at("2026-11-01"), Reader::Encoded, 1).findings.by_type.total()
    };
    let whole = total(&folder);
    assert!(whole.deletes() > 0 && whole.not_candidate == 0, "{whole:?}");
    // The folder that is named, and a folder above it, give columns as well.
    assert_eq!(total(&inside), whole);
    assert_eq!(total(&inside.join("data_0.parquet")), whole);
}

/// Two meters in one file below these folders, without the columns that the folders give.
fn below(home: &Path, folders: &str, left_out: &[&str]) -> PathBuf {
    let path = home.join("estate").join(folders).join("a.parquet");
    write(&path, left_out.iter().fold(meters(0), |columns, name| without(columns, name)));
    path
}

#[test]
fn the_name_of_a_folder_is_decoded_and_checked() {
    let home = tempfile::tempdir().unwrap();
    let mut policy = unguarded("pre-change");
    policy.spellings.columns.insert("STATUS".into(), Column::SmiStatus);
    let encoded = "STATUS=Pending/notifying_party=Acme%20%26%20Co/status_since=2020-09-13/country=GB";
    let path = below(home.path(), encoded, &["smi_status", "notifying_party", "status_since"]);
    let snapshot = open(from_ref(&path), &policy);
    let swept = sweep(&snapshot, &policy, at("2026-11-01"), Reader::Encoded, 1);
    assert_eq!(swept.findings.parties.names(), ["Acme & Co"]);
    assert!(swept.findings.due.iter().all(|due| due.since == at("2020-09-13") && due.alert));
    assert_eq!(swept.findings.due.iter().count(), 2);
    let null = below(&home.path().join("null"), "device_type=__HIVE_DEFAULT_PARTITION__", &["device_type"]);
    let swept = sweep(&open(&[null], &unguarded("pre-change")), &policy, at("2026-11-01"), Reader::Encoded, 1);
    assert_eq!(swept.findings.by_type.total().quarantined(), 2, "a null type");
}

#[test]
fn a_folder_whose_name_is_not_certain_is_refused() {
    for (folders, left_out, words) in [
        ("smi_status=Pending", &[][..], ["`smi_status`", "is in the file, and the folder"]),
        ("SMI_STATUS=Pending", &["smi_status"], ["`SMI_STATUS`", "is not spelled `smi_status`"]),
        ("SMI_STATUS=Commissioned", &[], ["`SMI_STATUS`", "is not spelled `smi_status`"]),
        ("Device_Type=CHF", &[], ["`Device_Type`", "is not spelled `device_type`"]),
        ("Notifying_Role=CSP", &[], ["`Notifying_Role`", "is not spelled `notifying_role`"]),
        ("smi_status=Pending/x/smi_status=Withdrawn", &["smi_status"], ["is given twice", "smi_status=Withdrawn"]),
        ("smi_status=", &["smi_status"], ["smi_status= gives no value", "null"]),
        ("smi_status=100%", &["smi_status"], ["gives no value", "percent-encoded"]),
        ("smi_status=%FF", &["smi_status"], ["gives no value", "percent-encoded"]),
        ("status_since=01%2F02%2F2025", &["status_since"], ["gives no value", "not a date"]),
        ("status_since=20250102", &["status_since"], ["gives no value", "not a date"]),
    ] {
        let home = tempfile::tempdir().unwrap();
        let path = below(home.path(), folders, left_out);
        refused(from_ref(&path), &words);
        refused(&[home.path().join("estate")], &words);
    }
    // A column that is spelled otherwise in the file may hold other values.
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("smi_status=Pending/a.parquet");
    write(&path, with(without(meters(0), "smi_status"), vec![("SMI_STATUS", text([Some("Commissioned"); 2]))]));
    refused(&[path], &["`SMI_STATUS`", "is in the file, and the folder"]);
    // Some files have the column, some do not.
    for (folder, column) in [("smi_status=Pending", "smi_status"), ("notifying_role=CSP", "notifying_role")] {
        let home = tempfile::tempdir().unwrap();
        below(home.path(), folder, &["smi_status"]);
        write(&home.path().join("estate/b.parquet"), without(meters(1), column));
        refused(&[home.path().join("estate")], &[column, "no such column"]);
    }
}

/// A folder of links has the columns of the folders that the links lead to.
#[test]
fn a_link_does_not_hide_the_folder_of_a_file() {
    let home = tempfile::tempdir().unwrap();
    let path = below(home.path(), "notifying_role=CSP", &[]);
    let links = home.path().join("links");
    fs::create_dir_all(links.join("notifying_role=ServiceUser")).unwrap();
    symlink(&path, links.join("a.parquet")).unwrap();
    let policy = unguarded("pre-change");
    let swept = sweep(&open(from_ref(&links), &policy), &policy, at("2026-11-01"), Reader::Encoded, 1);
    assert_eq!(swept.findings.by_type.total().silent_deletes, 2);
    fs::rename(links.join("a.parquet"), links.join("notifying_role=ServiceUser/a.parquet")).unwrap();
    refused(&[links], &["`notifying_role`", "is given twice"]);
}

/// A file whose folder has a status that is not swept is counted without reading its status, and exactly.
#[test]
fn a_folder_whose_status_is_not_swept_is_counted_and_not_read() {
    let home = tempfile::tempdir().unwrap();
    let path = below(home.path(), "smi_status=Commissioned", &["smi_status"]);
    let policy = unguarded("pre-change");
    let snapshot = open(from_ref(&path), &policy);
    let pool = Pool::new(Some(1));
    let swept = sweep_by(&Scan::new(&snapshot, &pool, &NoProgress), &policy, at("2026-11-01"));
    assert_eq!(swept.findings.by_type.total().not_candidate, 2);
    let file = &snapshot.files()[0];
    let types = file.bound(Column::DeviceType).unwrap();
    let bytes = file.chunk_footer(0, types).unwrap().bytes();
    assert!(swept.metrics.bytes_read <= bytes, "only the types are read: {} of {bytes}", swept.metrics.bytes_read);
}

/// A seal covers the names of folders below the sealed one only.
#[test]
fn a_folder_that_gives_a_column_is_below_the_seal() {
    let home = tempfile::tempdir().unwrap();
    below(home.path(), "notifying_role=CSP", &[]);
    let (estate, inner) = (home.text("estate"), home.text("estate/notifying_role=CSP"));
    let seal = |path: &str| run(&["check", path, "--seal", "--taken-at", "2026-11-01"]);
    let (code, _, said) = seal(&inner);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("whose name the seal does not cover"), "{said}");
    assert_eq!(seal(&estate).0, 0);
    let (out, policy) = (home.text("run"), home.policy("all", "[threshold]\ndefault = 12"));
    let sweep = |out: &str, path: &str| run(&["sweep", path, "--policy", &policy, "--out", out]);
    let (code, _, said) = sweep(&out, &estate);
    assert_eq!(code, 0, "{said}");
    let record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(home.path().join("run/run.json")).unwrap()).unwrap();
    assert_eq!(record["snapshot"]["files"][0]["folder_columns"]["notifying_role"], "CSP");
    assert_eq!(run(&["verify", &out]).0, 0);
    // Another name of the folder breaks the seal, and a sealed folder is not moved below another one.
    fs::rename(&inner, home.path().join("estate/notifying_role=ServiceUser")).unwrap();
    assert_eq!(sweep(&home.text("other"), &estate).0, 3);
    fs::rename(home.path().join("estate/notifying_role=ServiceUser"), &inner).unwrap();
    fs::create_dir(home.path().join("csp_region=North")).unwrap();
    fs::rename(&estate, home.path().join("csp_region=North/estate")).unwrap();
    let (code, _, said) = sweep(&home.text("other"), &home.text("csp_region=North/estate"));
    assert!(code == 3 && said.contains("whose name the seal does not cover"), "{said}");
}

/// The columns by which [`partitioned`] may lay rows out.
const KEYS: [&str; 5] = ["smi_status", "device_type", "notifying_role", "status_since", "notifying_party"];

/// Percent-encodes text as a folder's name.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Writes rows as a folder partitioned by `keys`, and returns them in the order of its files.
fn partitioned(folder: &Path, rows: &[Row], layout: &Layout, keys: &[&str]) -> Vec<Row> {
    let value = |row: &Row, key: &str| match key {
        "smi_status" => row.status.clone(),
        "device_type" => row.device_type.clone(),
        "notifying_role" => row.role.clone(),
        "notifying_party" => row.party.clone(),
        _ => row.since.map(time::format_instant),
    };
    let mut parts: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        let segment = |key: &&str| {
            let value = value(row, key).map_or_else(|| "__HIVE_DEFAULT_PARTITION__".into(), |value| encoded(&value));
            format!("{key}={value}/")
        };
        let name = keys.iter().map(segment).collect::<String>() + "part-0.parquet";
        parts.entry(name).or_default().push(row.clone());
    }
    for (name, rows) in &parts {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        estates::write_without(keys, &path, rows, layout);
    }
    parts.into_values().flatten().collect()
}

/// The row as a folder's name can hold it: Hive has no text without characters, and no date before the year 1.
fn nameable(mut row: Row) -> Row {
    for field in [&mut row.status, &mut row.device_type, &mut row.role, &mut row.party] {
        field.take_if(|text| text.is_empty());
    }
    row.since.take_if(|since| *since < time::day_start(time::FIRST_DAY));
    row
}

fn spelled() -> Policy {
    let mut policy = unguarded("secmp0060");
    policy.spellings.statuses.insert("Waiting".into(), Some(smi_sweep::estate::SmiStatus::Pending));
    policy.spellings.types.insert("Meter".into(), policy.types.get("ESME").unwrap());
    policy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A partitioned folder and one file that has the partition keys as columns are the same snapshot for every consumer.
    #[test]
    fn a_partitioned_folder_is_one_file_with_these_columns(
        found in rows(at("2026-11-01")),
        layout in layouts(),
        keys in prop::sample::subsequence(&KEYS[..], 1..=4),
        order in any::<bool>(),
    ) {
        let mut keys = keys;
        // As bytes, a party is written in another way than in a folder's name.
        keys.retain(|key| *key != "notifying_party" || matches!(layout.ids, Ids::Text | Ids::View));
        keys.retain(|key| *key != "notifying_role" || layout.roles);
        if order {
            keys.reverse();
        }
        let rows: Vec<Row> = found.iter().map(|row| nameable(held(row, &layout))).collect();
        prop_assume!(!rows.is_empty() && !keys.is_empty());
        let home = tempfile::tempdir().unwrap();
        let (folder, file) = (home.path().join("folder"), home.path().join("plain.parquet"));
        let rows = partitioned(&folder, &rows, &layout, &keys);
        estates::write(&file, &rows, &layout);
        let policy = spelled();
        let (folder, file) = (open(&[folder], &policy), open(&[file], &policy));
        let (pool, as_of) = (Pool::new(Some(2)), at("2026-11-01"));
        for (reader, range_rows) in [(Reader::Encoded, 1000), (Reader::Encoded, 3), (Reader::Reference, 5)] {
            let scan = |snapshot| Scan::new(snapshot, &pool, &NoProgress).with_reader(reader).with_range_rows(range_rows);
            let (one, other) = (scan(&folder), scan(&file));
            let listed = |scan: &Scan<'_>| {
                let findings = sweep_by(scan, &policy, as_of).findings;
                let quarantined: Vec<_> = findings.quarantined.iter().map(|row| format!("{row:?}")).collect();
                let due: Vec<_> = findings.due.iter().map(|due| format!("{due:?}")).collect();
                (findings.by_type.clone(), findings.by_party.clone(), findings.parties.clone(), due, quarantined)
            };
            prop_assert_eq!(listed(&one), listed(&other));
            prop_assert_eq!(check(&one, &policy, Some(as_of)).unwrap(), check(&other, &policy, Some(as_of)).unwrap());
            // Text that is not UTF-8 has no fingerprint.
            prop_assert_eq!(fingerprint_of(&one).ok(), fingerprint_of(&other).ok());
            let counted = |scan: &Scan<'_>| Ledger::take(scan, &policy, as_of, None).unwrap().tally(&policy).unwrap();
            prop_assert_eq!(format!("{:?}", counted(&one)), format!("{:?}", counted(&other)));
            for id in rows.iter().filter_map(|row| row.id.as_deref()?.parse::<DeviceId>().ok()).take(3) {
                let explained = |scan: &Scan<'_>| explain(scan, &policy, as_of, id, false).unwrap();
                prop_assert_eq!(explained(&one), explained(&other));
            }
        }
    }
}
