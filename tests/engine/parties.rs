//! Who is alerted: a party has one name however it is written, and all commands agree on whether a value is a party.

use std::collections::BTreeMap;
use std::path::Path;
use std::slice::from_ref;
use std::sync::Arc;

use crate::common::columns::{Columns, meters, text, with, write};
use crate::common::{at, open, run, sweep, unguarded};
use arrow_array::{ArrayRef, BinaryArray, TimestampMicrosecondArray};
use smi_sweep::check::check;
use smi_sweep::explain::explain;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::{Reader, Scan};

/// The quarantined rows of a sweep and the findings of a check, counted by reason or kind.
fn both(path: &Path) -> (BTreeMap<&'static str, usize>, BTreeMap<&'static str, u64>) {
    let policy = unguarded("pre-change");
    let snapshot = open(&[path.to_path_buf()], &policy);
    let swept = sweep(&snapshot, &policy, at("2026-11-01"), Reader::Encoded, 1);
    let mut reasons = BTreeMap::new();
    for row in &swept.findings.quarantined {
        *reasons.entry(row.reason.name()).or_default() += 1;
    }
    let found =
        check(&Scan::new(&snapshot, &Pool::new(Some(1)), &NoProgress), &policy, Some(at("2026-11-01"))).unwrap();
    (reasons, found.findings.iter().map(|finding| (finding.kind.name(), finding.rows)).collect())
}

fn parties(path: &Path) -> Vec<String> {
    let policy = unguarded("pre-change");
    let swept = sweep(&open(&[path.to_path_buf()], &policy), &policy, at("2026-11-01"), Reader::Encoded, 1);
    swept.findings.parties.names().to_vec()
}

fn raw(values: [&[u8]; 2]) -> ArrayRef {
    Arc::new(BinaryArray::from(values.to_vec()))
}

#[test]
fn a_party_has_one_name_however_it_is_written() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("parties.parquet");
    let named = |array: ArrayRef| {
        write(&path, with(meters(0), vec![("notifying_party", array)]));
        parties(&path)
    };
    assert_eq!(named(text([Some(" Acme"), Some("Acme  ")])), ["Acme"]);
    assert_eq!(
        named(text([Some("90-b3-d5-1f-30-00-00-01 "), Some("90-B3-D5-1F-30-00-00-01")])),
        ["90-B3-D5-1F-30-00-00-01"]
    );
    assert_eq!(named(raw([b"PARTY001", b"Acme    "])), ["Acme", "PARTY001"]);
    assert_eq!(named(raw([b"        ", &[0x90, 0xB3, 0xD5, 0x1F, 0x30, 0, 0, 1]])), ["90-B3-D5-1F-30-00-00-01"]);
}

/// A check reported other missing parties than those for which a sweep quarantines rows.
#[test]
fn a_check_finds_what_a_sweep_quarantines() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("estate.parquet");
    let hubs = || text([Some("CHF"), Some("GPF")]);
    let long = "x".repeat(65);
    let before_the_calendar = -62_135_596_800_000_001;
    let cases: [(Columns, &[(&str, usize)]); 9] = [
        (
            vec![
                ("device_type", hubs()),
                ("notifying_party", text([None, Some("x")])),
                ("notifying_role", text([Some("ServiceUser"), None])),
            ],
            &[("missing_party", 1)],
        ),
        (vec![("notifying_party", text([None, Some("x")])), ("notifying_role", text([Some("CSP"), None]))], &[]),
        (vec![("device_type", hubs()), ("notifying_party", text([None, Some(&long)]))], &[]),
        (vec![("notifying_party", text([Some(&long), Some("\u{200b}")]))], &[("bad_party", 2)]),
        (
            vec![("notifying_party", text([Some("\u{a0}"), Some("Ac\u{0}me")]))],
            &[("bad_party", 1), ("missing_party", 1)],
        ),
        (vec![("notifying_party", raw([b"        ", b"\xFF\xFE"]))], &[("bad_party", 1), ("missing_party", 1)]),
        (vec![("notifying_role", text([Some("csp"), Some("CSP")]))], &[("unknown_role", 1)]),
        (
            vec![("status_since", Arc::new(TimestampMicrosecondArray::from(vec![before_the_calendar, i64::MAX - 1])))],
            &[("future_date", 1), ("implausible_date", 1)],
        ),
        (
            vec![("status_since", Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX])))],
            &[("missing_date", 2)],
        ),
    ];
    for (columns, expected) in cases {
        let case = format!("{columns:?}");
        write(&path, with(meters(0), columns));
        let (swept, checked) = both(&path);
        assert_eq!(swept, expected.iter().copied().collect(), "{case}");
        assert_eq!(checked, expected.iter().map(|&(kind, rows)| (kind, rows as u64)).collect(), "{case}");
    }
}

#[test]
fn an_explanation_gives_the_right_reason_for_silence() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("estate.parquet");
    let because = |columns: Columns, unique: bool| {
        write(&path, with(meters(0), columns));
        let policy = unguarded("pre-change");
        let snapshot = open(from_ref(&path), &policy);
        let id = "00-DB-12-34-56-78-00-A0".parse().unwrap();
        let pool = Pool::new(Some(1));
        let found = explain(&Scan::new(&snapshot, &pool, &NoProgress), &policy, at("2026-11-01"), id, unique).unwrap();
        found[0].because.clone()
    };
    let hubs = || ("device_type", text([Some("CHF"), Some("CHF")]));
    assert!(because(vec![hubs()], false).contains("since its type is silent under the policy"));
    let csp = ("notifying_role", text([Some("CSP"), Some("CSP")]));
    assert!(because(vec![csp], false).contains("since a CSP notified it"));
    let user = text([Some(" 90-b3-d5-1f-30-00-00-01"), None]);
    assert!(because(vec![("notifying_party", user)], false).contains("; 90-B3-D5-1F-30-00-00-01 is alerted by an N8"));
    // The second row is not due; it is a duplicate only for a sweep with `--unique`.
    let same = Some("00-DB-12-34-56-78-00-A0");
    let twice =
        || vec![("device_id", text([same, same])), ("smi_status", text([Some("Pending"), Some("Commissioned")]))];
    assert!(because(twice(), false).contains("Acme Energy is alerted"));
    assert!(because(twice(), true).contains("other rows have the same Device ID"));
    let arguments = ["explain", "00-DB-12-34-56-78-00-A0", path.to_str().unwrap(), "--policy", "pre-change"];
    let (code, out, err) = run(&[&arguments[..], &["--as-of", "2026-11-01", "--unique"]].concat());
    assert!(
        code == 0 && out.contains("quarantined") && out.contains("not_candidate".replace('_', " ").as_str()),
        "{err}"
    );
}
