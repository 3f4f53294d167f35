//! The sums of a ledger equal the counts of a sweep of the same snapshot, for every threshold and exclusion list, also on
//! estates with defects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::estates::{Layout, Row, held, layouts, rows, write};
use crate::common::{at, fixtures, open, outcome, run, unguarded};
use proptest::prelude::*;
use smi_sweep::estate::time::DAY_MICROS;
use smi_sweep::estate::{DeviceType, TypeSet};
use smi_sweep::ledger::Ledger;
use smi_sweep::policy::{Boundary, Policy};
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::{Parties, Scan};
use smi_sweep::snapshot::{AsOf, Snapshot};
use smi_sweep::sweep::{self, Expected, SweepOptions, Swept, Uniqueness};

const MOMENTS: [&str; 3] = ["2026-02-28T12:00:00Z", "2024-02-29", "2026-11-01"];

fn take(snapshot: &Snapshot, policy: &Policy, as_of: i64, threads: usize) -> Ledger {
    Ledger::take(&Scan::new(snapshot, &Pool::new(Some(threads)), &NoProgress), policy, as_of, None).unwrap()
}

/// Deletions and alerts by the name of the party.
type ByParty = BTreeMap<String, (u64, u64)>;

fn by_party_of_sweep(swept: &Swept) -> ByParty {
    let mut all = ByParty::new();
    for due in swept.findings.due.iter() {
        let name = swept.findings.parties.name(due.party).unwrap_or("(none)");
        let party = all.entry(name.to_owned()).or_default();
        party.0 += 1;
        party.1 += u64::from(due.alert);
    }
    all
}

fn by_party_of_ledger(ledger: &Ledger, policy: &Policy) -> ByParty {
    let tallied = ledger.tally(policy).unwrap();
    tallied
        .by_party
        .iter()
        .map(|(&party, own)| (ledger.party_name(party).to_owned(), (own.deletes, own.alerts)))
        .collect()
}

/// Policies with thresholds from 1 to 60 months, with varying exclusions, silent types and thresholds by type.
fn policies_of(excluded: &[u64], own: &[(u8, u32)], silent: u64, boundary: Boundary) -> Vec<Policy> {
    let set = |mask: u64| -> TypeSet {
        (0..8u8).filter(|code| mask >> code & 1 == 1).filter_map(DeviceType::from_code).collect()
    };
    (1..=60u32)
        .map(|months| {
            let mut policy = unguarded("pre-change");
            policy.name = format!("p{months}");
            policy.boundary = boundary;
            policy.thresholds.default = months;
            policy.exclude = set(excluded[months as usize % excluded.len()]);
            policy.alerts.silent_types = set(silent);
            if let Some(&(code, months)) = own.get(months as usize % 5) {
                policy.thresholds.by_type.extend(DeviceType::from_code(code).map(|own| (own, months)));
            }
            policy
        })
        .collect()
}

fn written(rows: &[Row], layout: &Layout) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    write(&path, rows, layout);
    (folder, vec![path])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_counts_as_sixty_sweeps_do(
        (moment, rows) in prop::sample::select(&MOMENTS[..]).prop_flat_map(|m| (Just(m), rows(at(m)))),
        layout in layouts(),
        excluded in prop::collection::vec(any::<u64>(), 1..7),
        own in prop::collection::vec((0u8..8, 1u32..60), 0..5),
        silent in any::<u64>(),
        whole_days in any::<bool>(),
    ) {
        let as_of = at(moment);
        let mut rows: Vec<Row> = rows.iter().map(|row| held(row, &layout)).collect();
        if whole_days {
            for row in &mut rows {
                row.since = row.since.map(|since| since / DAY_MICROS * DAY_MICROS);
            }
        }
        let (folder, paths) = written(&rows, &layout);
        for boundary in Boundary::ALL {
            let policies = policies_of(&excluded, &own, silent, boundary);
            let snapshot = open(&paths, &policies[0]);
            let options = SweepOptions { policies: &policies, as_of, expected: Expected::default(), previous: &[], uniqueness: Uniqueness::Unproven };
            let swept = sweep::sweep(&Scan::new(&snapshot, &Pool::new(Some(1)), &NoProgress), &options).unwrap();
            let ledger = take(&snapshot, &policies[0], as_of, 2);
            prop_assert_eq!(&ledger.counts, &take(&snapshot, &policies[0], as_of, 1).counts);

            // A ledger that was written and read has the same counts.
            let path = folder.path().join(format!("{}.ledger", boundary.name()));
            ledger.write(&path).unwrap();
            let read = Ledger::read(&path).unwrap();
            prop_assert_eq!(&read.counts.cells, &ledger.counts.cells);
            prop_assert_eq!(&read.counts.shared, &ledger.counts.shared);
            for (policy, swept) in policies.iter().zip(&swept) {
                if boundary == Boundary::Instant && !ledger.counts.whole_days {
                    prop_assert!(read.tally(policy).is_err());
                    continue;
                }
                prop_assert_eq!(&read.tally(policy).unwrap().by_type, &swept.findings.by_type);
                prop_assert_eq!(by_party_of_ledger(&read, policy), by_party_of_sweep(swept));
            }
        }
    }
}

/// The fixture estate, with defects of every kind: every threshold with one type excluded, and the thresholds of history
/// with each.
#[test]
fn the_fixture_estate_by_every_threshold_and_exclusion() {
    let estate = [fixtures().join("estate")];
    let mut policies = Vec::new();
    for months in 1..=60 {
        for excluded in (0..8u8).filter_map(DeviceType::from_code) {
            if !matches!(months, 12 | 36) && months % 8 != u32::from(excluded.code()) {
                continue;
            }
            let mut policy = unguarded("pre-change");
            policy.thresholds.default = months;
            policy.exclude = [excluded].into_iter().collect();
            policies.push(policy);
        }
    }
    let snapshot = open(&estate, &policies[0]);
    let as_of = snapshot.as_of(AsOf::OfSnapshot).unwrap().0;
    let ledger = take(&snapshot, &policies[0], as_of, 2);
    let options = SweepOptions {
        policies: &policies,
        as_of,
        expected: Expected::default(),
        previous: &[],
        uniqueness: Uniqueness::Unproven,
    };
    let swept = sweep::sweep(&Scan::new(&snapshot, &Pool::new(Some(2)), &NoProgress), &options).unwrap();
    for (policy, swept) in policies.iter().zip(&swept) {
        assert_eq!(ledger.tally(policy).unwrap().by_type, swept.findings.by_type);
    }
    assert!(ledger.counts.cells.iter().all(|(cell, _)| cell.region == Parties::NONE));
}

fn ledger_of(folder: &Path, name: &str, threads: &str) -> (i32, String, String) {
    let out = folder.join(name);
    let estate = fixtures().join("estate");
    run(&["ledger", estate.to_str().unwrap(), "--out", out.to_str().unwrap(), "--threads", threads])
}

#[test]
fn the_same_bytes_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for (name, threads) in [("one", "1"), ("three", "3")] {
        let (code, out, err) = ledger_of(folder.path(), name, threads);
        assert_eq!(code, 0, "{err}");
        assert!(out.trim_end().ends_with(name));
    }
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(bytes("one"), bytes("three"));
    // Nothing is replaced.
    let (code, _, err) = ledger_of(folder.path(), "one", "1");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("exists already"), "{err}");
}

#[test]
fn the_command_answers_as_a_sweep_does() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ledger_of(folder.path(), "estate.ledger", "2").0, 0);
    let ledger = folder.path().join("estate.ledger");
    let pages = folder.path().join("pages");
    let arguments = [
        "ledger",
        "tally",
        ledger.to_str().unwrap(),
        "--policy",
        "secmp0060",
        "--policy",
        "scr137",
        "--months",
        "12-36",
    ];
    let (code, out, err) = run(&[&arguments[..], &["--json", "--out", pages.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{err}");
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    let estate = fixtures().join("estate");
    let runs = folder.path().join("run");
    let swept = outcome(
        &crate::common::binary()
            .args([
                "sweep",
                estate.to_str().unwrap(),
                "--policy",
                "secmp0060",
                "--json",
                "--out",
                runs.to_str().unwrap(),
            ])
            .output()
            .unwrap(),
    );
    assert_eq!(swept.0, 0, "{}", swept.2);
    let swept: serde_json::Value = serde_json::from_str(&swept.1).unwrap();
    let record = &swept["runs"][0]["record"];
    for key in ["tally", "by_type", "by_party"] {
        assert_eq!(document["policies"][0][key], record[key], "{key}");
    }
    assert_eq!(document["policies"][1]["by_months"].as_array().unwrap().len(), 25);
    for file in ["tally.csv", "by-months.csv", "ages.csv", "parties.csv", "report.html"] {
        assert!(pages.join(file).is_file(), "{file}");
    }
    let page = std::fs::read_to_string(pages.join("report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 2);
}

/// Policies that a ledger cannot answer, and files that are not ledgers, are refused with the reason.
#[test]
fn what_a_ledger_cannot_answer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ledger_of(folder.path(), "estate.ledger", "2").0, 0);
    let ledger = folder.path().join("estate.ledger");
    let ledger = ledger.to_str().unwrap();
    let policy = |name: &str, more: &str| {
        let path = folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, format!("name = \"{name}\"\nversion = 1\n{more}\n[threshold]\ndefault = 12\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let part = fixtures().join("estate/part-00000.parquet");
    let cases = [
        (
            vec!["ledger", "tally", ledger, "--policy"],
            policy("other", "candidate_statuses = [\"Suspended\"]"),
            2,
            "sweeps Suspended",
        ),
        (
            vec!["ledger", "tally", ledger, "--policy"],
            policy("instants", "boundary = \"instant\""),
            2,
            "compares instants",
        ),
        (
            vec!["ledger", "tally", ledger, "--policy"],
            policy("types", "types = { extra = [\"SAPC\"] }"),
            2,
            "knows device types",
        ),
        (vec!["ledger", "tally", ledger, "--policy", "scr137", "--months"], "0-3".into(), 2, "write months from 1"),
        (vec!["ledger", "tally", part.to_str().unwrap(), "--policy"], "scr137".into(), 3, "not a ledger"),
        (vec!["ledger", "tally", "nowhere.ledger", "--policy"], "scr137".into(), 3, "no such file"),
        (vec!["ledger", part.to_str().unwrap()], "--quiet".into(), 2, "--out"),
    ];
    for (arguments, last, code, says) in cases {
        let found = run(&[&arguments[..], &[last.as_str()]].concat());
        assert_eq!(found.0, code, "{arguments:?}: {}", found.2);
        assert!(found.2.contains(says), "{arguments:?}: {}", found.2);
    }
}

/// A party that is only on rows with another flaw is in no cell and not in the ledger, so that parties have the same indexes
/// before and after a ledger is written and read.
#[test]
fn parties_without_a_cell_are_removed() {
    let row = |id: &str, party: &str, role: &str| Row {
        id: Some(id.into()),
        device_type: Some("ESME".into()),
        status: Some("Pending".into()),
        since: Some(at("2022-12-01")),
        party: Some(party.into()),
        role: Some(role.into()),
    };
    let rows = [row("00-DB-12-00-00-00-00-00", "Acme", "csp"), row("00-DB-12-00-00-00-00-01", "Zenith", "CSP")];
    let layout = Layout { group_rows: 10, page_rows: 10, ..Layout::PLAIN };
    let (folder, paths) = written(&rows, &layout);
    let policy = unguarded("pre-change");
    let ledger = take(&open(&paths, &policy), &policy, at("2024-02-29"), 1);
    assert_eq!(ledger.counts.parties.names(), ["Zenith"]);
    let path = folder.path().join("kept.ledger");
    ledger.write(&path).unwrap();
    assert_eq!(Ledger::read(&path).unwrap().counts.cells, ledger.counts.cells);
}
