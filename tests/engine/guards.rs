//! Guards: a run that a limit stops publishes nothing, prints its figures, and says exactly what accepts it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::estates::{Layout, Row, text_id, write};
use crate::common::{Workspace, at, run, text_of};
use serde_json::{Value, json};
use smi_sweep::policy::{Policy, changes};
use tempfile::TempDir;

const AS_OF: &str = "2026-11-01";

/// Rows of a type, all with the same date, and a Device ID each.
fn devices(first: u64, count: u64, device_type: &str, since: Option<&str>) -> Vec<Row> {
    let row = |number| Row {
        id: Some(text_id(number)),
        device_type: Some(device_type.into()),
        status: Some("Pending".into()),
        since: since.map(at),
        party: Some("P1".into()),
        role: None,
    };
    (first..first + count).map(row).collect()
}

/// 1000 rows: 40 meters, 6 hubs (4 and 2) are due, 30 have no date, the rest is not due.
fn estate() -> Vec<Row> {
    let old = Some("2020-01-01");
    [
        devices(0, 40, "ESME", old),
        devices(100, 4, "CHF", old),
        devices(200, 2, "GPF", old),
        devices(300, 20, "ESME", None),
        devices(400, 10, "GSME", None),
        devices(1000, 924, "ESME", Some("2026-10-01")),
    ]
    .concat()
}

struct Guarded {
    home: TempDir,
}

impl Workspace for Guarded {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Guarded {
    fn new(rows: &[Row]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let scratch = Self { home };
        scratch.rows(rows);
        scratch
    }

    fn rows(&self, rows: &[Row]) {
        write(&self.path("snapshot.parquet"), rows, &Layout { roles: false, ..Layout::PLAIN });
    }

    fn guard(&self, guard: &str) -> String {
        self.write("p.toml", format!("name = \"p\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\n{guard}\n"))
    }

    fn sweep(&self, policy: &str, out: &str, more: &[&str]) -> (i32, String, String) {
        let (snapshot, out) = (self.text("snapshot.parquet"), self.text(out));
        let arguments = ["sweep", &snapshot, "--policy", policy, "--as-of", AS_OF, "--out", &out];
        run(&[&arguments[..], more].concat())
    }

    /// The run is stopped with messages that have all of `says`, nothing is published, and the flags accept it.
    #[track_caller]
    fn stopped(&self, guard: &str, says: &[&str], flags: &[&str]) {
        let policy = self.guard(guard);
        let (code, out, err) = self.sweep(&policy, "run", &[]);
        assert_eq!((code, out.as_str()), (5, ""), "{guard}: {err}");
        assert!(!self.path("run").exists());
        for part in says.iter().chain(&[flags.join(" ").as_str()]) {
            assert!(err.contains(part), "{guard}: `{part}` is not in: {err}");
        }
        let (code, _, err) = self.sweep(&policy, "run", flags);
        assert_eq!(code, 0, "{guard}: {err}");
        self.verified("run");
        fs::remove_dir_all(self.path("run")).unwrap();
    }

    #[track_caller]
    fn passes(&self, guard: &str, more: &[&str]) -> Value {
        let (code, _, err) = self.sweep(&self.guard(guard), "run", more);
        assert_eq!(code, 0, "{guard}: {err}");
        self.verified("run");
        let record = serde_json::from_slice(&fs::read(self.path("run/run.json")).unwrap()).unwrap();
        fs::remove_dir_all(self.path("run")).unwrap();
        record
    }

    #[track_caller]
    fn verified(&self, out: &str) {
        let (code, _, err) = run(&["verify", &self.text(out)]);
        assert_eq!(code, 0, "{err}");
    }
}

#[test]
fn a_share_of_quarantined_rows_stops_a_run() {
    let scratch = Guarded::new(&estate());
    scratch.stopped(
        "max_quarantined_share = 0.0299",
        &["3.0000% of all rows quarantined where max_quarantined_share allows 2.9900%"],
        &["--expect-quarantined", "30"],
    );
    scratch.passes("max_quarantined_share = 0.03", &[]);
}

#[test]
fn a_type_has_limits_of_its_own() {
    let scratch = Guarded::new(&estate());
    scratch.stopped(
        "[guard.by_type.ESME]\nmax_deletes = 39",
        &["40 deletions of ESME where by_type.ESME.max_deletes allows 39"],
        &["--expect-deletes", "46"],
    );
    scratch.passes("[guard.by_type.ESME]\nmax_deletes = 40\n[guard.by_type.GSME]\nmax_deletes = 0", &[]);
    scratch.stopped(
        "by_type.GSME.max_quarantined = 9",
        &["10 quarantined rows of GSME where by_type.GSME.max_quarantined allows 9"],
        &["--expect-quarantined", "30"],
    );
    // Shares are of the rows of the type.
    scratch.stopped(
        "by_type.GSME.max_quarantined_share = 0.99",
        &["100.0000% of all rows of GSME quarantined where by_type.GSME.max_quarantined_share allows 99.0000%"],
        &["--expect-quarantined", "30"],
    );
    scratch.stopped(
        "by_type.ESME.max_delete_share = 0.01",
        &["by_type.ESME.max_delete_share allows 1.0000%"],
        &["--expect-deletes", "46"],
    );
}

/// A Comms Hub is two devices; the limit of the alias is one for both together.
#[test]
fn a_limit_of_comms_hubs_counts_both_devices() {
    let scratch = Guarded::new(&estate());
    scratch.stopped(
        "by_type.CommsHub.max_deletes = 5",
        &["6 deletions of CommsHub where by_type.CommsHub.max_deletes allows 5"],
        &["--expect-deletes", "46"],
    );
    let record = scratch.passes("by_type.CommsHub.max_deletes = 6", &[]);
    assert_eq!(record["policy"]["guard"]["by_type"], json!({ "CommsHub": { "max_deletes": 6 } }));
}

#[test]
fn mistakes_in_guards_are_refused_with_their_place() {
    for (guard, says, remedy) in [
        ("max_quarantined_share = 2", "p:6:25: found integer `2`, expected a number from 0 to 1", "write a number"),
        ("by_type.ESMA.max_deletes = 1", "p:6:9: unknown device type `ESMA`", "did you mean `ESME`?"),
        ("by_type.ESME.max_delete = 1", "p:6:14: unknown key `max_delete`", "did you mean `max_deletes`?"),
        ("[guard.by_type.ESME]", "p:6:1: sets no limit for ESME", "set max_deletes"),
        ("by_type = 3", "p:6:11: found integer `3`, expected a table", "write a table"),
        ("previous = \" \"", "p:6:12: `previous` names no run", "name the directory"),
        ("max_growth = -0.1", "p:6:14: found floating point `-0.1`", "write a number"),
    ] {
        let text = format!("name = \"p\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\n{guard}\n");
        let error = Policy::parse(&text, "p").unwrap_err();
        assert!(error.to_string().starts_with(says), "{guard}: {error}");
        assert!(error.remedy().starts_with(remedy), "{guard}: {}", error.remedy());
    }
}

/// Limits that a policy does not set leave its digest as it was before they existed.
#[test]
fn new_limits_do_not_change_the_digests_of_other_policies() {
    let digest = |name: &str| Policy::load(name).unwrap().digest();
    assert_eq!(digest("secmp0060"), "aac3550f6ba21b47e85f1fcbe1ce0dec473560c63f66b224c1713f413447510b");
    let parse = |guard: &str| {
        let text = format!("name = \"p\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\n{guard}\n");
        Policy::parse(&text, "p").unwrap()
    };
    let guard = "max_quarantined_share = 0.1\nmax_growth = 0.5\nprevious = \"runs/a\"\nby_type.ESME.max_deletes = 1";
    let policy = parse(guard);
    assert_eq!(Policy::from_json(&policy.to_json(), "p").unwrap(), policy);
    let says = changes(&parse(""), &policy).join("\n");
    for part in ["max_quarantined_share is 0.1, where there was none", "by_type.ESME.max_deletes is 1", "`runs/a`"] {
        assert!(says.contains(part), "{says}");
    }
    let first = changes(&policy, &parse("")).remove(1);
    assert!(first.contains("There is no guard") && first.ends_with("it stops less."), "{first}");
}

/// An estate and the run of it, and then the same estate with so many more or fewer rows.
fn two_months() -> (Guarded, PathBuf) {
    let scratch = Guarded::new(&estate());
    let (code, _, err) = scratch.sweep("pre-change", "before", &[]);
    assert_eq!(code, 0, "{err}");
    let before = scratch.path("before");
    (scratch, before)
}

#[test]
fn a_run_is_compared_with_the_previous_one() {
    let (scratch, before) = two_months();
    let growth =
        |share: &str| format!("max_delete_share = 1\nprevious = \"{}\"\nmax_growth = {share}", text_of(&before));
    // The same snapshot again.
    let record = scratch.passes(&growth("0"), &[]);
    let earlier: Value = serde_json::from_slice(&fs::read(before.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["previous"]["tally"], json!({ "rows": 1000, "delete": 46, "quarantined": 30 }));
    assert_eq!(record["previous"]["as_of"], earlier["as_of"]);
    assert_eq!(record["previous"]["run"].as_str().unwrap().len(), 16);
    // 14 more deletions: 60 after 46.
    let more = [estate(), devices(5000, 14, "ESME", Some("2020-01-01"))].concat();
    scratch.rows(&more);
    scratch.stopped(
        &growth("0.25"),
        &["60 deletions where max_growth allows at most 57, after 46 in the previous run"],
        &["--expect-deletes", "60"],
    );
    scratch.passes(&growth("0.31"), &[]);
    // 8 more that cannot be judged: 38 after 30.
    scratch.rows(&[estate(), devices(5000, 8, "ESME", None)].concat());
    scratch.stopped(
        &growth("0.25"),
        &["38 quarantined rows where max_growth allows at most 37, after 30 in the previous run"],
        &["--expect-quarantined", "38"],
    );
    // A part of the estate is missing; and then it is there twice.
    scratch.rows(&estate()[..700]);
    scratch.stopped(
        &growth("0.25"),
        &["700 rows where max_growth allows no fewer than 750, after 1,000 in the previous run"],
        &["--expect-rows", "700"],
    );
    scratch.rows(&[estate(), devices(5000, 300, "PPMID", Some("2026-10-01"))].concat());
    scratch.stopped(
        &growth("0.25"),
        &["1,300 rows where max_growth allows at most 1,250, after 1,000 in the previous run"],
        &["--expect-rows", "1300"],
    );
    // Fewer deletions are no reason to stop.
    scratch.rows(&estate()[40..]);
    scratch.passes(&growth("0.25"), &[]);
}

#[test]
fn the_previous_run_is_named_on_the_command_line_too() {
    let (scratch, before) = two_months();
    let before = text_of(&before);
    let record = scratch.passes("", &["--previous", &before]);
    assert_eq!(record["previous"]["tally"]["delete"], json!(46));
    assert_eq!(scratch.passes("previous = \"no/such/run\"", &["--previous", &before])["previous"], record["previous"]);
    assert_eq!(scratch.passes("previous = \"no/such/run\"", &["--first-run"])["previous"], Value::Null);
    // A policy that limits growth is not swept without a previous run by an oversight.
    let policy = scratch.guard("max_growth = 0.1");
    let (code, _, err) = scratch.sweep(&policy, "run", &[]);
    assert!(code == 2 && err.contains("--previous RUN, or --first-run"), "{err}");
    scratch.passes("max_growth = 0.1", &["--first-run"]);
    // Without `max_growth` a quarter is allowed.
    scratch.rows(&estate()[..700]);
    let (code, _, err) = scratch.sweep("pre-change", "run", &["--previous", &before, "--expect-deletes", "46"]);
    assert!(code == 5 && err.contains("no fewer than 750"), "{err}");
}

#[test]
fn the_previous_run_must_verify_and_be_earlier() {
    let (scratch, before) = two_months();
    let text = text_of(&before);
    let sweep = |more: &[&str]| {
        let outcome = scratch.sweep("pre-change", "run", &[&["--previous", text.as_str()], more].concat());
        let _ = fs::remove_dir_all(scratch.path("run"));
        outcome
    };
    assert_eq!(sweep(&[]).0, 0);
    let path = before.join("delete.parquet");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[1..]).unwrap();
    let (code, _, err) = sweep(&[]);
    assert!(code == 6 && err.contains("delete.parquet"), "{err}");
    fs::write(&path, bytes).unwrap();
    let (code, _, err) = scratch.sweep("pre-change", "run", &["--previous", &scratch.text("nowhere")]);
    assert_eq!(code, 6, "{err}");
    // Two months are compared in their order.
    let arguments = ["sweep", &scratch.text("snapshot.parquet"), "--policy", "pre-change", "--previous", &text];
    let (code, _, err) = run(&[&arguments[..], &["--as-of", "2026-10-31", "--out", &scratch.text("run")]].concat());
    assert!(code == 2 && err.contains("name a run of an earlier moment"), "{err}");
}

/// Each policy of a sweep is compared with its own run.
#[test]
fn runs_of_several_policies_are_compared_by_name() {
    let scratch = Guarded::new(&estate());
    let both = ["--policy", "scr137"];
    let (code, _, err) = scratch.sweep("pre-change", "before", &both);
    assert_eq!(code, 0, "{err}");
    let before = scratch.text("before");
    let (code, _, err) = scratch.sweep("pre-change", "after", &[&both[..], &["--previous", &before]].concat());
    assert_eq!(code, 0, "{err}");
    scratch.verified("after");
    let (code, _, err) = scratch.sweep("secmp0060", "other", &["--previous", &before]);
    assert!(code == 2 && err.contains("none of these runs is by the policy `secmp0060`"), "{err}");
}
