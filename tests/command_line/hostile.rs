//! Files that claim more than they have: small inputs that took minutes, gigabytes or the stack. Each is refused, in seconds and
//! in little memory, by a process of its own.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Workspace, binary, fixtures, text_of};
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;

/// How a process ended.
#[derive(Debug)]
struct End {
    code: Option<i32>,
    /// The most memory that it had, in MiB.
    peak_mib: u64,
    said: String,
}

/// The most resident memory of a process so far, in KiB.
fn peak_kib(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs the binary, and ends it after 60 seconds.
fn run_watched(arguments: &[&str]) -> End {
    let mut child = binary().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (began, mut peak) = (Instant::now(), 0);
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(&child).unwrap_or_default());
        if began.elapsed() > Duration::from_mins(1) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    End { code: output.status.code(), peak_mib: peak / 1024, said }
}

fn sweep(file: &str, reader: &str) -> End {
    let home = tempfile::tempdir().unwrap();
    let out = home.text("run");
    let end = run_watched(&[
        "sweep",
        file,
        "--policy",
        "pre-change",
        "--as-of",
        "2026-11-01",
        "--reader",
        reader,
        "--out",
        &out,
    ]);
    assert!(!Workspace::path(&home, "run").exists(), "{file}: published");
    end
}

/// Deep schemas, lists of elements that take no bytes, numbers of children and of dictionary values, and pages that claim
/// two gigabytes.
#[test]
fn claims_without_bytes_are_refused_in_little_memory() {
    let names = [
        "bomb-brotli-100-bytes",
        "claim-2g-zstd",
        "deep-schema",
        "dict-values-reference",
        "hang-footer-4",
        "hang-thrift-list",
        "num-children",
    ];
    for name in names {
        let file = text_of(&fixtures().join(format!("faults/hostile/{name}.parquet")));
        for reader in ["encoded", "reference"] {
            let end = sweep(&file, reader);
            assert_eq!(end.code, Some(3), "{name} {reader}: {end:?}");
            assert!(end.peak_mib < 64, "{name} {reader}: {end:?}");
            assert!(!end.said.contains("not a Parquet file"), "{name}: {}", end.said);
        }
        let end = run_watched(&["check", &file]);
        assert!(end.code == Some(3) && end.peak_mib < 64, "check {name}: {end:?}");
    }
}

/// Ten million equal due rows in 647 bytes: what is beyond a guard's limit is counted and not kept.
#[test]
#[cfg_attr(debug_assertions, ignore = "ten million rows take a minute without optimisation")]
fn rows_without_bytes_stay_within_the_memory_limit() {
    let file = text_of(&fixtures().join("faults/hostile/rle-1e7-rows.parquet"));
    let end = sweep(&file, "encoded");
    assert_eq!(end.code, Some(5), "{end:?}");
    assert!(end.said.contains("--expect-quarantined 10000000"), "{}", end.said);
    assert!(end.peak_mib < 1024, "{end:?}");
}

/// The same file with a limit that its due rows do not fit into.
#[test]
fn the_memory_limit_bounds_the_list_of_due_rows() {
    let file = text_of(&fixtures().join("faults/hostile/rle-1e7-rows.parquet"));
    let home = tempfile::tempdir().unwrap();
    let out = home.text("run");
    let as_of = "2026-11-01";
    let end = run_watched(&[
        "sweep",
        &file,
        "--policy",
        "pre-change",
        "--as-of",
        as_of,
        "--out",
        &out,
        "--memory-limit",
        "64MiB",
        "--threads",
        "1",
    ]);
    assert_eq!(end.code, Some(3), "{end:?}");
    assert!(end.said.contains("due rows") && end.said.contains("--memory-limit"), "{}", end.said);
    assert!(end.peak_mib < 256, "{end:?}");
}

/// A manifest and a ledger on which the decoders of the `parquet` crate panic.
#[test]
fn a_panic_of_a_decoder_is_a_refusal() {
    let run = text_of(&fixtures().join("faults/hostile/panic-run"));
    let end = run_watched(&["verify", &run]);
    assert_eq!(end.code, Some(6), "{end:?}");
    assert!(!end.said.contains("panicked"), "{}", end.said);
    let ledger = text_of(&fixtures().join("faults/hostile/panic.ledger"));
    let end = run_watched(&["ledger", "tally", &ledger, "--policy", "secmp0060", "--months", "1-3"]);
    assert_eq!(end.code, Some(3), "{end:?}");
    assert!(!end.said.contains("panicked"), "{}", end.said);
}

/// One row: a Pending device that is not due.
fn one_row() -> RecordBatch {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let since = TimestampMicrosecondArray::from(vec![1_790_000_000_000_000]).with_timezone("UTC");
    RecordBatch::try_from_iter([
        ("device_id", text("00-DB-12-34-56-78-90-A0")),
        ("device_type", text("ESME")),
        ("smi_status", text("Pending")),
        ("status_since", Arc::new(since) as ArrayRef),
        ("notifying_party", text("P1")),
    ])
    .unwrap()
}

/// Only what the columns of the contract need is kept of a row group, and counts are not kept for each of them: a hundred
/// thousand row groups took 1.3 GiB.
#[test]
fn row_groups_of_one_row_take_little_memory() {
    let home = tempfile::tempdir().unwrap();
    let row = one_row();
    let file = fs::File::create(Workspace::path(&home, "groups.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, row.schema(), None).unwrap();
    for _ in 0..10_000 {
        writer.write(&row).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    let out = home.text("run");
    let file = home.text("groups.parquet");
    let end = run_watched(&["sweep", &file, "--policy", "pre-change", "--as-of", "2026-11-01", "--out", &out]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.peak_mib < 64, "{end:?}");
}

#[test]
fn files_of_one_row_take_little_memory() {
    let home = tempfile::tempdir().unwrap();
    let row = one_row();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, row.schema(), None).unwrap();
    writer.write(&row).unwrap();
    writer.close().unwrap();
    for file in 0..1000 {
        home.write(&format!("estate/{file}.parquet"), &bytes);
    }
    let (out, estate) = (home.text("run"), home.text("estate"));
    let end = run_watched(&["sweep", &estate, "--policy", "pre-change", "--as-of", "2026-11-01", "--out", &out]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.peak_mib < 64, "{end:?}");
}
