//! A reclustered snapshot has the same rows with the same dispositions, for every form in which the source stores them.

use std::fs;
use std::path::Path;

use crate::common::{at, fixtures, open, run, sweep, unguarded};
use smi_sweep::estate::DeviceId;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::recluster::{fingerprint_of, recluster};
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::snapshot::{SEAL_FILE, Snapshot};

const AS_OF: &str = "2026-11-01";

fn copy_of(source: &Path, to: &Path, policy: &smi_sweep::policy::Policy) -> (Snapshot, Snapshot) {
    let source = open(&[source.to_path_buf()], policy);
    fs::create_dir(to).unwrap();
    let summary =
        recluster(&Scan::new(&source, &Pool::new(Some(2)), &NoProgress), policy, to).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(summary.rows, source.rows());
    assert!(to.join(SEAL_FILE).exists());
    let copy = open(&[to.to_path_buf()], policy);
    (source, copy)
}

/// The findings of a sweep, without row numbers, and with Device IDs in canonical form, because the copy stores them as bytes.
fn judged(snapshot: &Snapshot, policy: &str) -> String {
    let policy = unguarded(policy);
    let swept = sweep(snapshot, &policy, at(AS_OF), Reader::Encoded, 2);
    let findings = &swept.findings;
    let due: Vec<_> = findings.due.iter().map(|due| (due.id, due.since, due.party, due.type_code, due.alert)).collect();
    let as_found =
        |id: &Option<String>| id.as_ref().map(|id| id.parse::<DeviceId>().map_or(id.clone(), |id| id.to_string()));
    let quarantined = findings.quarantined.iter();
    let mut bad: Vec<_> =
        quarantined.map(|row| (row.reason.name(), as_found(&row.device_id), &row.device_type, row.since)).collect();
    bad.sort();
    format!("{:?} {due:?} {:?} {bad:?}", findings.by_type, findings.parties)
}

#[test]
fn the_fixture_estate_with_all_its_defects_is_judged_the_same() {
    let home = tempfile::tempdir().unwrap();
    let policy = unguarded("secmp0060");
    let (source, copy) = copy_of(&fixtures().join("estate"), &home.path().join("copy"), &policy);
    assert_eq!(copy.taken_at().unwrap().map(|(taken_at, _)| taken_at), source.taken_at().unwrap().map(|(at, _)| at));
    let names: Vec<&str> = copy.files().iter().map(|file| file.name.as_str()).collect();
    assert!(names.iter().any(|name| name.contains("malformed")), "malformed Device IDs are kept: {names:?}");
    for policy in ["secmp0060", "pre-change", "scr137"] {
        assert!(judged(&source, policy) == judged(&copy, policy), "{policy}");
    }
}

#[test]
fn every_writers_files_come_out_the_same() {
    let policy = unguarded("secmp0060");
    let mut copied = 0;
    for entry in fs::read_dir(fixtures().join("writers")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let home = tempfile::tempdir().unwrap();
        let (source, copy) = copy_of(&path, &home.path().join("copy"), &policy);
        assert_eq!(judged(&source, "secmp0060"), judged(&copy, "secmp0060"), "{}", path.display());
        copied += 1;
    }
    assert!(copied > 80);
}

/// One changed value changes the fingerprint; another order does not.
#[test]
fn the_fingerprint_is_of_every_value_and_of_no_order() {
    let home = tempfile::tempdir().unwrap();
    let policy = unguarded("secmp0060");
    let print = |name: &str, seed: &str, layout: &str, files: &str| {
        let to = home.path().join(name);
        let arguments = [
            "synth",
            "--rows",
            "3000",
            "--seed",
            seed,
            "--layout",
            layout,
            "--files",
            files,
            "--out",
            to.to_str().unwrap(),
        ];
        assert_eq!(run(&arguments).0, 0);
        fingerprint_of(&Scan::new(&open(&[to], &policy), &Pool::new(Some(1)), &NoProgress)).unwrap()
    };
    let first = print("a", "1", "strings", "1");
    assert_eq!(first, print("b", "1", "clustered", "3"));
    assert_ne!(first, print("c", "2", "strings", "1"));
}

#[test]
fn names_of_the_estates_own_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let text = "name = \"own\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_delete_share = 1.0\n\
                [snapshot.statuses]\nWAIT = \"Pending\"\n";
    let policy = home.path().join("own.toml");
    fs::write(&policy, text).unwrap();
    let out = home.path().join("copy");
    let estate = fixtures().join("estate");
    let arguments = ["recluster", estate.to_str().unwrap(), "--policy", policy.to_str().unwrap()];
    let (code, printed, err) = run(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{err}");
    assert_eq!(printed.trim(), out.to_str().unwrap());
    assert!(err.contains("the same rows"), "{err}");
    // Never into a folder that has files.
    let (code, _, err) = run(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat());
    assert_eq!(code, 2, "{err}");
}
