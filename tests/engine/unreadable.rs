//! A column that is unreadable as a whole. An export that writes every Device ID, status, type or date in a form of its
//! own quarantines every row: the run passes with no deletion, as if nothing were due.

use crate::common::estates::{Layout, Row, mixed_rows, text_id, write};
use crate::common::{Workspace, at, run};
use tempfile::TempDir;

const AS_OF: &str = "2026-11-01";

fn rows(count: u64) -> Vec<Row> {
    let row = |n: u64| Row {
        id: Some(text_id(n)),
        device_type: Some(["ESME", "GSME"][n as usize % 2].into()),
        status: Some("Pending".into()),
        since: Some(at("2020-01-01")),
        party: Some("P1".into()),
        role: Some("ServiceUser".into()),
    };
    (0..count).map(row).collect()
}

fn stored(rows: &[Row]) -> (TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("a.parquet"), rows, &Layout { group_rows: 40, ..Layout::PLAIN });
    let snapshot = home.text("a.parquet");
    (home, snapshot)
}

fn sweep(home: &TempDir, snapshot: &str) -> (i32, String, String) {
    let policy = home.policy("p", "[threshold]\ndefault = 12");
    run(&["sweep", snapshot, "--policy", &policy, "--as-of", AS_OF, "--out", &home.text("run")])
}

/// Both commands end with exit code 3 and one line that has all of `says`.
#[track_caller]
fn refused(rows: &[Row], says: &[&str]) {
    let (home, snapshot) = stored(rows);
    let swept = sweep(&home, &snapshot);
    let checked = run(&["check", &snapshot, "--as-of", AS_OF]);
    for (code, out, err) in [swept, checked] {
        assert_eq!((code, out.as_str()), (3, ""), "{err}");
        assert!(!home.path().join("run").exists());
        for part in says {
            assert!(err.contains(part), "`{part}` is not in: {err}");
        }
        assert!(!err.contains('\u{1b}') && err.lines().all(|line| line.len() < 500), "{err}");
    }
}

fn all(change: impl Fn(usize, &mut Row)) -> Vec<Row> {
    let mut rows = rows(100);
    rows.iter_mut().enumerate().for_each(|(n, row)| change(n, row));
    rows
}

#[test]
fn device_ids_that_are_all_malformed() {
    let rows = all(|n, row| row.id = Some(format!("METER/{n}")));
    refused(&rows, &["column `device_id`", "can be read as a Device ID", "\"METER/0\", \"METER/1\", \"METER/2\""]);
    refused(&all(|_, row| row.id = None), &["as a Device ID", "there are (null)"]);
}

#[test]
fn statuses_that_are_all_unknown() {
    let spellings = ["PEND", "COMM", "PEND", "DECOM", "OTHER"];
    let rows = all(|n, row| row.status = Some(spellings[n % 5].into()));
    refused(&rows, &["column `smi_status`", "\"PEND\", \"COMM\", \"DECOM\"", "[snapshot.statuses]"]);
    // Devices of Type 2 have no status, and are none.
    let displays = all(|n, row| {
        if n < 50 {
            (row.device_type, row.status) = (Some("IHD".into()), None);
        } else {
            row.status = Some("PEND".into());
        }
    });
    refused(&displays, &["column `smi_status`", "\"PEND\""]);
}

#[test]
fn types_that_are_all_unknown() {
    let rows = all(|_, row| row.device_type = Some("Electric meter".into()));
    refused(&rows, &["column `device_type`", "\"Electric meter\"", "[snapshot.types]"]);
    refused(&all(|_, row| row.device_type = None), &["column `device_type`"]);
}

#[test]
fn dates_that_are_all_missing() {
    refused(&all(|_, row| row.since = None), &["column `status_since`", "as a date", "(null)"]);
    let rows = all(|_, row| row.since = Some(at("0001-01-01") - 1_000_000));
    refused(&rows, &["column `status_since`", "as a date"]);
}

#[test]
fn roles_that_are_all_unknown() {
    let rows = all(|_, row| row.role = Some("Supplier".into()));
    refused(&rows, &["column `notifying_role`", "\"Supplier\"", "ServiceUser or CSP"]);
}

/// Values are escaped and cut: one may be a megabyte long, or move the cursor.
#[test]
fn examples_are_escaped_and_cut() {
    let rows = all(|n, row| row.id = Some(format!("\u{1b}[2J{n}{}", "x".repeat(5000))));
    refused(&rows, &["\"\\u{1b}[2J0xxx", "..."]);
}

/// One value that can be read is enough: its row is judged, all others are quarantined and counted by the guards.
#[test]
fn one_readable_value_makes_the_column_readable() {
    let changes: [fn(&mut Row); 5] = [
        |row| row.id = Some("x".into()),
        |row| row.status = Some("x".into()),
        |row| row.device_type = Some("x".into()),
        |row| row.since = None,
        |row| row.role = Some("x".into()),
    ];
    for change in changes {
        let mut rows = rows(100);
        rows[..99].iter_mut().for_each(change);
        let (home, snapshot) = stored(&rows);
        let (code, _, err) = sweep(&home, &snapshot);
        assert_eq!(code, 0, "{err}");
        assert_eq!(run(&["check", &snapshot, "--as-of", AS_OF]).0, 0);
    }
}

/// A snapshot in which no due row has a Device ID, and other rows do, is read: the column is not at fault.
#[test]
fn a_column_is_readable_by_rows_that_are_not_due() {
    let mut rows = rows(100);
    for row in &mut rows[..3] {
        row.id = None;
    }
    rows[3..].iter_mut().for_each(|row| row.since = Some(at("2026-10-01")));
    let (home, snapshot) = stored(&rows);
    let (code, _, err) = sweep(&home, &snapshot);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn snapshots_without_rows_and_ordinary_ones_are_swept() {
    for rows in [Vec::new(), mixed_rows(300, &["P1"])] {
        let (home, snapshot) = stored(&rows);
        let (code, _, err) = sweep(&home, &snapshot);
        assert_eq!(code, 0, "{err}");
    }
}
