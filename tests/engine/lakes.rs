//! Folders that mean more than their files: table formats, writes that have not ended, and partitions.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::slice::from_ref;

use crate::common::columns::{meters, write};
use crate::common::{copy_files, fixtures, open, run, text_of, unguarded};
use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use smi_sweep::error::{ExitCode, Result};
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
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
