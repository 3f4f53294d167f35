//! The moment to judge by. A device that was commissioned after the snapshot was taken is still Pending in it: judged by
//! a later moment it would be deleted. So a moment after the snapshot's own needs `--as-of-later`.

use std::fs;
use std::path::Path;

use crate::common::estates::{Layout, mixed_rows, write};
use crate::common::{Workspace, copy_files, fixtures, run};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The fixture estate says that it was taken at 2026-11-01.
const LATER: &str = "2026-11-01T00:00:00.000001Z";

/// A directory with a copy of the fixture estate, its seal included.
fn dated() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    copy_files(&fixtures().join("estate"), &home.path().join("estate"));
    home
}

fn record(run_directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(run_directory.join("run.json")).unwrap()).unwrap()
}

/// Every command that judges a snapshot: its arguments, apart from the moment.
fn commands(home: &TempDir) -> Vec<Vec<String>> {
    let (estate, orders) = (home.text("estate"), home.text("orders"));
    let (code, _, err) = run(&["synth-orders", &estate, "--out", &orders]);
    assert_eq!(code, 0, "{err}");
    let out = |name: &str| home.text(name);
    let commands: [&[&str]; 7] = [
        &["sweep", &estate, "--policy", "secmp0060", "--out", &out("run")],
        &["explain", "00-DB-12-34-56-78-90-A0", &estate, "--policy", "secmp0060"],
        &["ledger", &estate, "--out", &out("ledger")],
        &["stock", &estate, "--orders", &format!("{orders}/orders.csv"), "--out", &out("stock")],
        &["check", &estate],
        &["diff", &estate, "--policy", "scr137", "--policy", "secmp0060"],
        &["synth-orders", &estate, "--out", &out("more-orders")],
    ];
    commands.iter().map(|command| command.iter().map(|&word| word.to_owned()).collect()).collect()
}

#[test]
fn a_moment_after_that_of_the_snapshot_needs_a_flag() {
    let home = dated();
    for command in commands(&home) {
        let with = |more: &[&str]| run(&[&command.iter().map(String::as_str).collect::<Vec<_>>()[..], more].concat());
        let (code, out, err) = with(&["--as-of", LATER]);
        assert_eq!((code, out.as_str()), (2, ""), "{command:?}: {err}");
        for part in ["_snapshot.json: taken at 2026-11-01T00:00:00Z", LATER, "--as-of-later"] {
            assert!(err.contains(part), "{command:?}: `{part}` is not in: {err}");
        }
        let (code, _, err) = with(&["--as-of", LATER, "--as-of-later"]);
        assert_eq!(code, 0, "{command:?}: {err}");
        let (code, _, _) = with(&["--as-of-later"]);
        assert_eq!(code, 2, "{command:?}: the flag alone means nothing");
    }
    let record = record(&home.path().join("run"));
    assert_eq!(record["options"]["as_of_later"], json!(true));
    assert_eq!(record["snapshot"]["own_moment"], json!("stated"));
    let page = fs::read_to_string(home.path().join("run/report.html")).unwrap();
    assert!(page.contains("what changed in between was not known"));
}

#[test]
fn the_moment_of_the_snapshot_and_earlier_ones_need_no_flag() {
    let home = dated();
    for (name, as_of) in [("same", "2026-11-01"), ("zone", "2026-11-01T01:00:00+01:00"), ("before", "2026-10-01")] {
        let arguments = ["sweep", &home.text("estate"), "--policy", "secmp0060", "--as-of", as_of, "--out"];
        let (code, _, err) = run(&[&arguments[..], &[&home.text(name)]].concat());
        assert_eq!(code, 0, "{err}");
        assert_eq!(record(&home.path().join(name))["options"]["as_of_later"], json!(false));
    }
}

/// The moment of the files counts too, and so does each of several that contradict each other.
#[test]
fn every_moment_that_a_file_states_is_compared() {
    let home = dated();
    fs::remove_file(home.path().join("estate/_snapshot.json")).unwrap();
    let sweep = |paths: &[&str], more: &[&str]| {
        let _ = fs::remove_dir_all(home.path().join("run"));
        run(&[&["sweep"], paths, &["--policy", "secmp0060", "--out", &home.text("run")], more].concat())
    };
    let estate = home.text("estate");
    let (code, _, err) = sweep(&[&estate], &["--as-of", "2026-11-02"]);
    assert!(code == 2 && err.contains("part-00000.parquet: taken at 2026-11-01"), "{err}");
    // A later file beside it.
    let synth = |name: &str, seed: &str, as_of: &str| {
        let out = home.text(name);
        let (code, _, err) = run(&["synth", "--rows", "2000", "--seed", seed, "--as-of", as_of, "--out", &out]);
        assert_eq!(code, 0, "{err}");
        out
    };
    let (earlier, later) = (synth("earlier", "1", "2026-11-01"), synth("later", "2", "2026-12-01"));
    for (as_of, expected) in [("2026-11-15", 2), ("2026-11-01", 0)] {
        let (code, _, err) = sweep(&[&earlier, &later], &["--as-of", as_of]);
        assert_eq!(code, expected, "{err}");
    }
    assert_eq!(record(&home.path().join("run"))["snapshot"]["own_moment"], json!("contradictory"));
    assert_eq!(record(&home.path().join("run"))["snapshot"]["taken_at"], Value::Null);
}

/// A moment that cannot be read cannot be compared.
#[test]
fn a_moment_that_cannot_be_read_is_refused() {
    let home = dated();
    let seal = home.path().join("estate/_snapshot.json");
    let text = fs::read_to_string(&seal).unwrap();
    fs::write(&seal, text.replace("2026-11-01T00:00:00Z", "last Sunday")).unwrap();
    let out = home.text("run");
    let arguments = ["sweep", &home.text("estate"), "--policy", "secmp0060", "--out", &out, "--as-of", "2026-10-01"];
    let (code, _, err) = run(&arguments);
    assert!(code == 3, "{err}");
}

#[test]
fn a_snapshot_without_a_moment_is_recorded_as_such() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("a.parquet"), &mixed_rows(500, &["P1"]), &Layout::PLAIN);
    let policy = home.policy("p", "[threshold]\ndefault = 12");
    let out = home.text("run");
    let (code, _, err) =
        run(&["sweep", &home.text("a.parquet"), "--policy", &policy, "--as-of", "2026-11-01", "--out", &out]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("does not say when it was taken"), "{err}");
    let record = record(Path::new(&out));
    assert_eq!((&record["snapshot"]["own_moment"], &record["snapshot"]["taken_at"]), (&json!("none"), &Value::Null));
}

/// A check before sealing compares with the moment that the seal will have.
#[test]
fn a_check_that_seals_compares_with_the_new_moment() {
    let home = dated();
    let check = |more: &[&str]| run(&[&["check", &home.text("estate"), "--seal"], more].concat());
    let (code, _, err) = check(&["--taken-at", "2026-11-05", "--as-of", "2026-11-06"]);
    assert!(code == 2 && err.contains("taken at 2026-11-05"), "{err}");
    let (code, _, err) = check(&["--taken-at", "2026-11-05", "--as-of", "2026-11-05"]);
    assert_eq!(code, 0, "{err}");
}
