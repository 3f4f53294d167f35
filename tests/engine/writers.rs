//! The same rows, as pyarrow, DuckDB and Polars write them in every form that the contract accepts, have the same dispositions.
//!
//! `scripts/make-fixtures` wrote the files, and computed the disposition of each row independently of the engine.

use std::collections::BTreeMap;
use std::fs;

use crate::common::{at, fixtures, open, sweep, unguarded};
use smi_sweep::estate::time;
use smi_sweep::scan::Reader;

/// The expected disposition, reason, alert and due date of a row.
type End = (String, String, String, String);

fn expectation(file: &str) -> BTreeMap<u64, (String, End)> {
    let text = fs::read_to_string(fixtures().join("writers").join(file)).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [row, _, device_type, disposition, reason, alert, due_on] = fields[..] else { panic!("{line}") };
        let end = (disposition.to_owned(), reason.to_owned(), alert.to_owned(), due_on.to_owned());
        rows.insert(row.parse().unwrap(), (device_type.to_owned(), end));
    }
    rows
}

#[test]
fn every_writer_and_form_gives_the_same_ends() {
    let policy = unguarded("secmp0060");
    let cases = fs::read_to_string(fixtures().join("writers/cases.csv")).unwrap();
    let mut seen = 0;
    for line in cases.lines().skip(1) {
        let (case, expected_file) = line.split_once(',').unwrap();
        let expected = expectation(expected_file);
        let snapshot = open(&[fixtures().join("writers").join(case)], &policy);
        assert_eq!(snapshot.rows(), expected.len() as u64, "{case}");
        for reader in [Reader::Encoded, Reader::Reference] {
            let swept = sweep(&snapshot, &policy, at("2026-11-01"), reader, 2);
            let mut found: BTreeMap<u64, End> = BTreeMap::new();
            for due in swept.findings.due.iter() {
                let due_on = swept.rules.due_on(due.type_code, time::day_of(due.since)).unwrap();
                let alert = if due.alert { "true" } else { "false" };
                let end = ("delete".into(), String::new(), alert.into(), time::format_day(due_on));
                found.insert(due.row, end);
            }
            for row in &swept.findings.quarantined {
                let end = ("quarantined".into(), row.reason.name().to_owned(), String::new(), String::new());
                assert!(found.insert(row.row, end).is_none(), "{case}: row {} meets two ends", row.row);
            }
            for (row, (_, end)) in &expected {
                let listed = matches!(end.0.as_str(), "delete" | "quarantined");
                assert_eq!(found.get(row), listed.then_some(end), "{case}, {reader:?}, row {row}");
            }
            // Rows with other dispositions are counted, not listed.
            let mut by_type: BTreeMap<(&str, &str), u64> = BTreeMap::new();
            for (device_type, end) in expected.values() {
                *by_type.entry((device_type, &end.0)).or_default() += 1;
            }
            let mut counted: BTreeMap<(&str, &str), u64> = BTreeMap::new();
            for (code, tally) in swept.findings.by_type.iter() {
                let name = policy.types.name(code);
                for (disposition, rows) in [
                    ("not_candidate", tally.not_candidate),
                    ("excluded", tally.excluded),
                    ("not_due", tally.not_due),
                    ("delete", tally.deletes()),
                    ("quarantined", tally.quarantined()),
                ] {
                    if rows > 0 {
                        *counted.entry((name, disposition)).or_default() += rows;
                    }
                }
            }
            let known = |name: &str| policy.types.get(name).is_some();
            by_type.retain(|(name, _), _| known(name));
            counted.retain(|(name, _), _| known(name));
            assert_eq!(counted, by_type, "{case}, {reader:?}");
        }
        seen += 1;
    }
    assert!(seen > 80, "only {seen} cases");
}
