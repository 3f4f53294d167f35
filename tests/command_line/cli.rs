//! The command line as scripts and people use it: exit codes, one line for each mistake, no files left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Workspace, binary, copy_files, fixtures, outcome, run};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;

/// A temporary directory with a copy of the fixture estate.
struct CommandLine {
    home: TempDir,
}

impl Workspace for CommandLine {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl CommandLine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        copy_files(&fixtures().join("estate"), &home.path().join("estate"));
        Self { home }
    }

    fn sweep(&self, snapshot: &str, policy: &str, more: &[&str]) -> (i32, String, String) {
        let (snapshot, out) = (self.text(snapshot), self.text("run"));
        let mut arguments = vec!["sweep", &snapshot, "--policy", policy, "--out", &out];
        arguments.extend(more);
        run(&arguments)
    }

    /// There is no run directory, and no hidden directory of one.
    #[track_caller]
    fn nothing_published(&self) {
        let left: Vec<String> = fs::read_dir(self.home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("run") || name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// A sweep with these arguments is refused with this exit code, in one line that has all of `says`, and leaves nothing.
    #[track_caller]
    fn refused(&self, (snapshot, policy, more): (&str, &str, &[&str]), exit: i32, says: &[&str]) {
        one_line(&self.sweep(snapshot, policy, more), exit, says);
        self.nothing_published();
    }
}

/// Exit code, and an error of one line with at most one line of help, that says all of `says`.
#[track_caller]
fn one_line((code, out, err): &(i32, String, String), exit: i32, says: &[&str]) {
    assert_eq!(*code, exit, "{err}");
    assert_eq!(out, "", "what fails prints no data");
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].starts_with("smi-sweep: "), "{err}");
    assert!(lines.len() <= 2 && lines[1..].iter().all(|line| line.starts_with("  help: ")), "{err}");
    for part in says {
        assert!(err.contains(part), "`{part}` is not in: {err}");
    }
}

/// Columns by name.
type Columns = Vec<(&'static str, ArrayRef)>;

/// Those of a small snapshot.
fn columns() -> Columns {
    let text = |values: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    vec![
        ("device_id", text(["00-DB-12-34-56-78-90-A0", "00-DB-12-34-56-78-90-A1"])),
        ("device_type", text(["ESME", "CHF"])),
        ("smi_status", text(["Pending", "Pending"])),
        ("status_since", Arc::new(TimestampMicrosecondArray::from(vec![1_600_000_000_000_000; 2]))),
        ("notifying_party", text(["Acme Energy", "North"])),
    ]
}

fn write_columns(path: &Path, columns: Columns) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

const AS_OF: [&str; 2] = ["--as-of", "2026-11-01"];

#[test]
fn the_first_run_of_the_readme() {
    let scratch = CommandLine::new();
    let (code, out, err) = scratch.sweep("estate", "secmp0060", &[]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.trim(), scratch.text("run"), "standard output is the run's path, and no more");
    for word in ["CHF", "ESME", "excluded", "max_delete_share", "as of 2026-11-01"] {
        assert!(err.contains(word), "`{word}` is not in: {err}");
    }
    let (code, out, _) = run(&["verify", &scratch.text("run")]);
    assert!(code == 0 && out.contains("verified"), "{out}");
    let record: Value = serde_json::from_slice(&fs::read(scratch.path("run/run.json")).unwrap()).unwrap();
    let tally = &record["tally"];
    let sum: u64 = ["not_candidate", "excluded", "not_due", "delete", "quarantined"]
        .iter()
        .map(|disposition| tally[disposition].as_u64().unwrap())
        .sum();
    assert_eq!(tally["rows"], sum);
    assert_eq!(
        tally["delete"].as_u64(),
        Some(tally["alerts"].as_u64().unwrap() + tally["silent_deletes"].as_u64().unwrap())
    );
    for hub in ["CHF", "GPF"] {
        assert_eq!(record["by_type"][hub]["delete"], 0, "no Comms Hub is deleted");
    }
}

#[test]
fn before_the_change_hubs_were_deleted_silently() {
    let scratch = CommandLine::new();
    let (code, _, err) = scratch.sweep("estate", "pre-change", &["--quiet"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let record: Value = serde_json::from_slice(&fs::read(scratch.path("run/run.json")).unwrap()).unwrap();
    let hubs = &record["by_type"]["CHF"];
    assert!(hubs["delete"].as_u64() > Some(0));
    // Hubs that a Service User notified raise an alert; all others do not.
    assert!(hubs["silent_deletes"].as_u64() > hubs["alerts"].as_u64());
}

#[test]
fn json_is_one_document_and_a_run_without_deletions_succeeds() {
    let scratch = CommandLine::new();
    let policy = scratch.write(
        "none.toml",
        "name = \"none\"\nversion = 1\n[threshold]\ndefault = 1200\n[guard]\nmax_quarantined = 100000",
    );
    let (code, out, err) = scratch.sweep("estate", &policy, &["--json", "--quiet"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["runs"][0]["record"]["tally"]["delete"], 0);
}

#[test]
fn guards_stop_a_run_at_exactly_their_limit() {
    let scratch = CommandLine::new();
    let (_, out, _) = scratch.sweep("estate", "secmp0060", &["--json", "--quiet"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    let tally = &document["runs"][0]["record"]["tally"];
    let (deletes, quarantined) = (tally["delete"].as_u64().unwrap(), tally["quarantined"].as_u64().unwrap());
    fs::remove_dir_all(scratch.path("run")).unwrap();
    let guarded = |max_deletes: u64, max_quarantined: u64| {
        scratch.write(
            "guarded.toml",
            format!(
                "name = \"guarded\"\nversion = 1\n[threshold]\ndefault = 12\n[exclude]\ntypes = [\"CommsHub\"]\n\
                 [guard]\nmax_deletes = {max_deletes}\nmax_delete_share = 1.0\nmax_quarantined = {max_quarantined}\n"
            ),
        )
    };
    let passes = |policy: &str, more: &[&str]| {
        let (code, _, err) = scratch.sweep("estate", policy, more);
        assert_eq!(code, 0, "{err}");
        fs::remove_dir_all(scratch.path("run")).unwrap();
    };
    let stops = |policy: &str, more: &[&str], says: &str| {
        let (code, out, err) = scratch.sweep("estate", policy, more);
        assert_eq!((code, out.as_str()), (5, ""), "{err}");
        assert!(err.contains("nothing was published") && err.contains(says), "{err}");
        assert!(err.contains("not due") && err.contains("STOPPED"), "the figures are shown: {err}");
        scratch.nothing_published();
    };
    passes(&guarded(deletes + 1, quarantined + 1), &[]);
    passes(&guarded(deletes, quarantined), &[]);
    let tight = guarded(deletes - 1, quarantined);
    stops(&tight, &[], &format!("--expect-deletes {deletes}"));
    stops(&tight, &["--expect-deletes", &(deletes - 1).to_string()], "--expect-deletes");
    stops(&tight, &["--expect-deletes", &(deletes + 1).to_string()], "--expect-deletes");
    passes(&tight, &["--expect-deletes", &deletes.to_string()]);
    let tight = guarded(deletes, quarantined - 1);
    stops(&tight, &[], &format!("--expect-quarantined {quarantined}"));
    passes(&tight, &["--expect-quarantined", &quarantined.to_string()]);
}

#[test]
fn snapshots_that_cannot_be_read_are_refused_by_name() {
    let scratch = CommandLine::new();
    let secmp = |snapshot: &str, says: &[&str]| scratch.refused((snapshot, "secmp0060", &AS_OF), 3, says);
    scratch.write("text.parquet", "device_id,device_type\n");
    secmp("text.parquet", &["text.parquet", "not a Parquet file"]);
    scratch.write("nothing.parquet", "");
    secmp("nothing.parquet", &["nothing.parquet", "not a Parquet file"]);
    let whole = fs::read(scratch.path("estate/part-00000.parquet")).unwrap();
    scratch.write("cut.parquet", &whole[..whole.len() / 2]);
    secmp("cut.parquet", &["cut.parquet", "not a Parquet file", "truncated"]);
    // The footer is whole and the middle is missing: only the pages show it.
    scratch.write("hollow.parquet", [&whole[..4], &whole[whole.len() / 2..]].concat());
    secmp("hollow.parquet", &["hollow.parquet"]);
    secmp("absent", &["absent", "no such file or folder"]);
    fs::create_dir(scratch.path("empty")).unwrap();
    secmp("empty", &["empty", "no Parquet files"]);
    let (one, out) = (scratch.text("estate/part-00000.parquet"), scratch.text("run"));
    let twice = run(&["sweep", &one, &one, "--policy", "secmp0060", "--as-of", "2026-11-01", "--out", &out]);
    one_line(&twice, 3, &["part-00000.parquet", "named twice"]);
}

#[test]
fn columns_that_break_the_contract_are_refused_by_name() {
    let scratch = CommandLine::new();
    let with = |name: &str, change: &dyn Fn(&mut Columns)| {
        let mut columns = columns();
        change(&mut columns);
        write_columns(&scratch.path(name), columns);
        name.to_owned()
    };
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    for (at, (column, _)) in columns().into_iter().enumerate() {
        let lacks = with("lacks.parquet", &|columns| drop(columns.remove(at)));
        scratch.refused(
            (&lacks, "secmp0060", &AS_OF),
            3,
            &["lacks.parquet", column, "no such column", "[snapshot.columns]"],
        );
    }
    for at in [1, 2, 3] {
        let kind = with("kind.parquet", &|columns| columns[at].1 = Arc::clone(&numbers));
        scratch.refused(
            (&kind, "secmp0060", &AS_OF),
            3,
            &["kind.parquet", columns()[at].0, "INT64", "cannot be read as"],
        );
    }
    let mapped = with("mapped.parquet", &|columns| columns[0].0 = "DEVICE_EUI");
    let policy = scratch.write(
        "mapped.toml",
        "name = \"mapped\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_delete_share = 1.0\n\
         [snapshot.columns]\nDEVICE_EUI = \"device_id\"\n",
    );
    assert_eq!(scratch.sweep(&mapped, &policy, &AS_OF).0, 0);
    fs::remove_dir_all(scratch.path("run")).unwrap();
    // Neither the seal nor the file states when it was taken, and the clock is never used.
    scratch.refused((&mapped, &policy, &[]), 3, &["does not say when it was taken", "--as-of"]);
}

#[test]
fn a_seal_that_does_not_hold_is_refused() {
    let scratch = CommandLine::new();
    let part = scratch.path("estate/part-00001.parquet");
    let whole = fs::read(&part).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&part, &flipped).unwrap();
    scratch.refused(("estate", "secmp0060", &[]), 3, &["part-00001.parquet", "BLAKE3"]);
    fs::write(&part, &whole[..whole.len() - 1]).unwrap();
    scratch.refused(("estate", "secmp0060", &[]), 3, &["part-00001.parquet"]);
    fs::write(&part, &whole).unwrap();
    fs::copy(&part, scratch.path("estate/part-00009.parquet")).unwrap();
    scratch.refused(("estate", "secmp0060", &[]), 3, &["part-00009.parquet", "not named in the seal"]);
    fs::remove_file(scratch.path("estate/part-00009.parquet")).unwrap();
    fs::remove_file(&part).unwrap();
    scratch.refused(("estate", "secmp0060", &[]), 3, &["part-00001.parquet", "does not exist"]);
    fs::write(&part, &whole).unwrap();
    scratch.write("estate/_snapshot.json", "{}");
    scratch.refused(("estate", "secmp0060", &[]), 3, &["_snapshot.json", "seal"]);
}

#[test]
fn sealing_says_when_a_snapshot_was_taken() {
    let scratch = CommandLine::new();
    fs::create_dir(scratch.path("own")).unwrap();
    write_columns(&scratch.path("own/a.parquet"), columns());
    let (code, _, err) = run(&["check", &scratch.text("own"), "--seal", "--taken-at", "2026-11-01"]);
    assert_eq!(code, 0, "{err}");
    let policy = scratch
        .write("own.toml", "name = \"own\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_delete_share = 1.0\n");
    let (code, _, err) = scratch.sweep("own", &policy, &[]);
    assert!(code == 0 && err.contains("as the seal says"), "{err}");
    fs::remove_dir_all(scratch.path("run")).unwrap();
    let (_, _, err) = scratch.sweep("own", &policy, &["--as-of", "2026-12-01", "--as-of-later"]);
    assert!(err.contains("as given") && err.contains("taken at 2026-11-01T00:00:00Z"), "{err}");
    let record: Value = serde_json::from_slice(&fs::read(scratch.path("run/run.json")).unwrap()).unwrap();
    assert_eq!(record["snapshot"]["taken_at"], "2026-11-01T00:00:00Z");
    assert_eq!(record["cutoffs"]["ESME"]["due_if_since"], "2025-12-01");
    assert_eq!(record["snapshot"]["files"][0]["role_column"], false);
    // A finding is no failure, unless that was asked for.
    let (code, out, _) = run(&["check", &scratch.text("estate")]);
    assert!(code == 0 && out.contains("unknown"), "{out}");
    let (code, out, err) = run(&["check", "--strict", &scratch.text("estate")]);
    assert!(code == 3 && out.contains("unknown") && err.contains("--strict"), "{err}");
}

#[test]
fn policies_are_refused_with_line_and_column() {
    let scratch = CommandLine::new();
    let slip = scratch.write("slip.toml", "name = \"slip\"\nversion = 1\n[threshold]\ndefault = 12\nPPMD = 36\n");
    scratch.refused(("estate", &slip, &[]), 4, &["slip.toml:5:1", "PPMD", "PPMID"]);
    scratch.refused(("estate", "secmp060", &[]), 4, &["secmp060", "secmp0060"]);
    scratch.refused(("estate", "policies/none.toml", &[]), 4, &["policies/none.toml"]);
    one_line(&run(&["policy", "check", &slip]), 4, &["slip.toml:5:1"]);
}

#[test]
fn invalid_command_lines_are_refused() {
    let scratch = CommandLine::new();
    fs::create_dir(scratch.path("taken")).unwrap();
    let (estate, taken) = (scratch.text("estate"), scratch.text("taken"));
    one_line(
        &run(&["sweep", &estate, "--policy", "secmp0060", "--out", &taken]),
        2,
        &["taken exists already", "does not exist"],
    );
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 0);
    scratch.refused(("estate", "secmp0060", &["--policy", "secmp0060"]), 2, &["two policies are called"]);
    scratch.refused(("estate", "secmp0060", &["--policy", "scr137", "--expect-deletes", "1"]), 2, &["one policy"]);
    for arguments in [&["sweep"][..], &["swep"], &["sweep", &estate, "--polcy", "x"], &["explain"]] {
        assert_eq!(run(arguments).0, 2, "{arguments:?}");
    }
    assert_eq!(scratch.sweep("estate", "secmp0060", &["--as-of", "1 Nov"]).0, 2);
    scratch.nothing_published();
}

#[test]
fn a_full_disk_is_reported_and_nothing_is_published() {
    let scratch = CommandLine::new();
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_smi-sweep"), "sweep", &scratch.text("estate")])
        .args(["--policy", "secmp0060", "--quiet", "--out", &scratch.text("run")])
        .output()
        .unwrap();
    one_line(&outcome(&output), 1, &["run", "cannot"]);
    scratch.nothing_published();
    if Path::new("/dev/full").exists() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = binary().args(["policy", "show", "secmp0060"]).stdout(full).output().unwrap();
        one_line(&outcome(&output), 1, &["standard output"]);
    }
}

#[test]
fn an_interruption_leaves_nothing() {
    let scratch = CommandLine::new();
    let child = binary()
        .args(["synth", "--rows", "500000000", "--quiet", "--out", &scratch.text("run")])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    one_line(&outcome(&output), 130, &["interrupted"]);
    scratch.nothing_published();
}

#[test]
fn one_device_is_explained_in_a_sentence() {
    let scratch = CommandLine::new();
    write_columns(&scratch.path("two.parquet"), columns());
    let snapshot = scratch.text("two.parquet");
    let explain = |id: &str| {
        let (code, out, err) = run(&["explain", id, &snapshot, "--policy", "secmp0060", "--as-of", "2026-11-01"]);
        assert_eq!(code, 0, "{err}");
        out
    };
    let due = explain("00-db-12-34-56-78-90-a0");
    for part in ["ESME", "Pending", "2020-09-13", "2021-09-13", "Acme Energy"] {
        assert!(due.contains(part), "`{part}` is not in: {due}");
    }
    assert!(explain("00-DB-12-34-56-78-90-A1").contains("exclu"));
    // A device that is not in the snapshot is no error.
    assert!(explain("00-DB-12-34-56-78-90-A2").contains("not in this snapshot"));
    assert_eq!(explain("00db1234567890a0"), due);
    let (code, _, err) = run(&["explain", "00DB-1234-5678-90A0", &snapshot, "--policy", "secmp0060"]);
    assert!(code == 2 && err.contains("write 00-DB-12-34-56-78-90-A0"), "{err}");
}

/// Guards of several policies stop the run: one document, with every guard, and a remedy that exists.
#[test]
fn all_guards_that_stop_a_run_are_listed() {
    let scratch = CommandLine::new();
    let tight = |name: &str| {
        let text = format!(
            "name = \"{name}\"\nversion = 1\n[threshold]\ndefault = 12\n\
             [guard]\nmax_deletes = 1\nmax_delete_share = 0.0\nmax_quarantined = 0\n"
        );
        scratch.write(&format!("{name}.toml"), text)
    };
    let (one, two) = (tight("one"), tight("two"));
    let (code, out, err) = scratch.sweep("estate", &one, &["--quiet"]);
    assert_eq!((code, out.as_str()), (5, ""));
    for part in
        ["max_deletes", "max_delete_share", "max_quarantined", "not due", "--expect-deletes", "--expect-quarantined"]
    {
        assert!(err.contains(part), "`{part}` is not in: {err}");
    }
    assert_eq!(err.matches("help: ").count(), 1, "{err}");

    let (code, out, err) = scratch.sweep("estate", &one, &["--policy", &two, "--policy", "secmp0060", "--json"]);
    assert_eq!(code, 5);
    let document: Value = serde_json::from_str(&out).unwrap();
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["trips"].as_array().unwrap().len()).collect::<Vec<_>>(), [3, 3, 0]);
    assert!(runs.iter().all(|run| run["published"] == false));
    assert_eq!(runs[0]["trips"][0]["limit"], 1);
    assert_eq!(runs[0]["trips"][0]["reached"], runs[0]["tally"]["delete"]);
    assert!(err.contains("`one`") && err.contains("`two`") && err.contains("sweep alone by"), "{err}");

    let (_, _, err) = scratch.sweep("estate", &one, &["--expect-deletes", "3", "--expect-quarantined", "1"]);
    assert!(err.contains("deletions where exactly 3 were expected"), "{err}");
    assert!(err.contains("quarantined rows where exactly 1 was expected"), "{err}");
    scratch.nothing_published();
}

#[test]
fn a_run_does_not_join_the_snapshot_and_leaves_no_empty_parents() {
    let scratch = CommandLine::new();
    let estate = scratch.text("estate");
    let within = scratch.text("estate/runs/first");
    for arguments in [
        &["sweep", &estate, "--policy", "secmp0060", "--out", &within][..],
        &["recluster", &estate, "--out", &within],
        &["synth", "--rows", "10", "--out", &within],
    ] {
        one_line(&run(arguments), 2, &["is inside the snapshot", "outside of it"]);
    }
    assert!(!scratch.path("estate/runs").exists());
    let deep = scratch.text("run/2026/11");
    assert_eq!(run(&["sweep", "absent", "--policy", "secmp0060", "--out", &deep]).0, 3);
    scratch.nothing_published();
    assert_eq!(run(&["sweep", &estate, "--policy", "secmp0060", "--out", &deep]).0, 0);
    assert_eq!(run(&["verify", &deep]).0, 0);
}

#[test]
fn a_directory_without_a_run_is_refused() {
    let scratch = CommandLine::new();
    let (home, absent, file) = (scratch.text(""), scratch.text("absent"), scratch.write("file", ""));
    for path in [&home, &absent, &file] {
        one_line(&run(&["verify", path]), 6, &["not a run directory", "smi-sweep sweep --out"]);
        one_line(&run(&["diff", path, path]), 6, &["not a run directory"]);
    }
}

#[test]
fn the_number_of_threads_has_limits() {
    for threads in ["0", "1025", "100000", "many"] {
        assert_eq!(run(&["policy", "check", "secmp0060", "--threads", threads]).0, 2, "{threads}");
    }
    assert_eq!(run(&["policy", "check", "secmp0060", "--threads", "1024"]).0, 0);
}

/// The first command of the README, exactly as it is there.
#[test]
fn the_first_command_of_the_readme_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let command = readme.lines().find_map(|line| line.strip_prefix("cargo run --release -- ")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("first-run");
    let arguments = command.replace("target/first-run", out.to_str().unwrap());
    let output = binary().current_dir(root).args(arguments.split(' ')).output().unwrap();
    let (code, path, err) = outcome(&output);
    assert!(code == 0 && path.trim() == out.to_str().unwrap(), "{err}");
    assert_eq!(run(&["verify", out.to_str().unwrap()]).0, 0);
}

#[test]
fn unique_quarantines_due_devices_that_occur_anywhere_else() {
    let scratch = CommandLine::new();
    let mut doubled = columns();
    let same = "00-DB-12-34-56-78-90-A0";
    doubled[0].1 = Arc::new(StringArray::from(vec![same, same]));
    doubled[1].1 = Arc::new(StringArray::from(vec!["ESME", "ESME"]));
    doubled[2].1 = Arc::new(StringArray::from(vec!["Pending", "Commissioned"]));
    write_columns(&scratch.path("doubled.parquet"), doubled);
    let policy = scratch.write(
        "open.toml",
        "name = \"open\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_delete_share = 1.0\n",
    );
    let deletes = |more: &[&str]| {
        let (code, out, err) = scratch.sweep("doubled.parquet", &policy, &[&AS_OF[..], &["--json"], more].concat());
        assert_eq!(code, 0, "{err}");
        fs::remove_dir_all(scratch.path("run")).unwrap();
        let document: Value = serde_json::from_str(&out).unwrap();
        let tally = &document["runs"][0]["record"]["tally"];
        (tally["delete"].as_u64().unwrap(), tally["quarantined"].as_u64().unwrap())
    };
    assert_eq!(deletes(&[]), (1, 0));
    assert_eq!(deletes(&["--unique"]), (0, 1));
}
