//! Text from outside that would control the terminal: values, names of files and columns, policies, approvals, arguments.
//!
//! Every command is walked with such text. Whatever it prints, no byte of it moves the cursor, hides or reverses text, or
//! begins a line that looks like one of the program's own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use crate::common::{Workspace, binary, fixtures, run};
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use smi_sweep::shown;
use tempfile::TempDir;

/// A value with all kinds of it. Shown as it is, it overwrites its line, clears the screen, and begins a line of its own.
const VALUE: &str =
    "x\r\x1b[2J\u{9b}31m\u{202e}\u{2066}\u{200b}\u{7}\u{7f}\u{85}\u{2028}\t\nFORGED approved 2026-11-01";

const AS_OF: &str = "2026-11-01";

/// Arguments of the binary.
macro_rules! args {
    ($($argument:expr),* $(,)?) => { [$(AsRef::<OsStr>::as_ref(&$argument).to_os_string()),*] };
}

/// The same as a file name, with a byte that is not UTF-8 where the file system takes it.
fn name(ending: &str) -> OsString {
    let mut bytes = VALUE.as_bytes().to_vec();
    bytes.extend(ending.as_bytes());
    OsString::from_vec(bytes)
}

fn not_utf8() -> OsString {
    OsString::from_vec(b"run-\xff\xfe\x1b[2J\nFORGED".to_vec())
}

/// As a basic string of TOML: JSON escapes the same way.
fn literal(text: &str) -> String {
    serde_json::to_string(text)
        .unwrap()
        .replace('\u{7f}', "\\u007f")
        .replace('\u{85}', "\\u0085")
        .replace('\u{9b}', "\\u009b")
}

struct Walk {
    home: TempDir,
    walked: Vec<String>,
}

impl Workspace for Walk {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Walk {
    fn folder(&self) -> PathBuf {
        self.home.path().join(name(""))
    }

    /// Runs the binary; its exit code is one of `codes`. What it prints is held against the law.
    #[track_caller]
    fn run(&mut self, codes: &[i32], arguments: &[OsString]) -> Output {
        let output = binary().args(arguments).current_dir(self.home.path()).output().unwrap();
        let command = format!("{arguments:?}");
        let (out, err) = (String::from_utf8(output.stdout.clone()), String::from_utf8(output.stderr.clone()));
        let (out, err) = (out.expect("UTF-8"), err.expect("UTF-8"));
        assert!(codes.contains(&output.status.code().unwrap_or(-1)), "{command}: {:?}: {err}", output.status);
        for text in [&out, &err] {
            let wrong = text.chars().find(|&c| c != '\n' && !shown::is_plain(c));
            assert!(wrong.is_none(), "{command} printed {wrong:?}: {text:?}");
            let forged = text.lines().any(|line| line.trim_start().starts_with("FORGED"));
            assert!(!forged, "{command} let a value begin a line: {text}");
            let longest = text.lines().map(str::len).max().unwrap_or(0);
            let document = arguments.iter().any(|argument| argument == "--json" || argument == "ndjson");
            assert!(document || longest < 20_000, "{command} printed a line of {longest} bytes");
        }
        self.walked.push(arguments[0].to_string_lossy().into_owned());
        output
    }

    /// Writes a snapshot of six rows, some of whose values are hostile, and one of 1 MB.
    fn snapshot(path: &Path) {
        let nul = format!("{VALUE}\0");
        let long = format!("{VALUE}{}", "y".repeat(1_000_000));
        let ids = ["00-DB-12-34-56-78-90-A0", "00-DB-12-34-56-78-90-A1", VALUE, "00-DB-12-34-56-78-90-A3"];
        let ids = [ids[0], ids[1], ids[2], ids[3], "00-DB-12-34-56-78-90-A4", "00-DB-12-34-56-78-90-A5"];
        let text = |values: [&str; 6]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("device_id", text(ids)),
            ("device_type", text(["ESME", &nul, "ESME", "ESME", "ESME", &long])),
            ("smi_status", text(["Pending", "Pending", "Pending", &nul, "Pending", "Pending"])),
            ("status_since", Arc::new(TimestampMicrosecondArray::from(vec![1_600_000_000_000_000; 6]))),
            ("notifying_party", text(["=Acme +Energy", "North", "Acme", VALUE, VALUE, &long])),
        ];
        write_parquet(path, columns);
    }
}

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn no_text_from_outside_controls_the_terminal() {
    let mut walk = Walk { home: tempfile::tempdir().unwrap(), walked: Vec::new() };
    let folder = walk.folder();
    fs::create_dir(&folder).unwrap();
    let policy = walk.policy(
        "hostile",
        &format!(
            "[threshold]\ndefault = 12\n[snapshot.columns]\n{} = \"csp_region\"\n[snapshot.statuses]\n{} = \"Recovered\"\n",
            literal(&format!("{VALUE}column")),
            literal(&format!("{VALUE}status")),
        ),
    );
    let plain = walk.policy("plain", "[threshold]\ndefault = 12\n");
    let estate = folder.join("estate");
    fs::create_dir(&estate).unwrap();
    Walk::snapshot(&estate.join(name(".parquet")));

    documents(&mut walk, &policy, &plain);
    walk.run(&[0], &args!["check", estate, "--policy", plain, "--json"]);
    walk.run(&[0], &args!["check", estate, "--policy", plain]);
    walk.run(&[3], &args!["check", estate, "--policy", plain, "--strict"]);
    walk.run(&[0], &args!["check", estate, "--policy", plain, "--seal", "--taken-at", AS_OF]);
    for device in 0..6 {
        let device = format!("00-DB-12-34-56-78-90-A{device}");
        walk.run(&[0], &args!["explain", device, estate, "--policy", plain]);
    }
    // A column that the policy maps is missing; a snapshot that is none; a folder with nothing.
    walk.run(&[3], &args!["check", estate, "--policy", policy]);
    fs::write(folder.join("text.parquet"), VALUE).unwrap();
    walk.run(&[3], &args!["check", folder.join("text.parquet")]);
    walk.run(&[3], &args!["check", folder.join("absent")]);
    wrong_columns(&mut walk, &folder);

    let out = folder.join("run");
    walk.run(&[0], &args!["sweep", estate, "--policy", plain, "--out", out]);
    walk.run(&[2], &args!["sweep", estate, "--policy", plain, "--out", out]);
    walk.run(&[0], &args!["sweep", estate, "--policy", plain, "--out", folder.join("second"), "--json"]);
    let third = folder.join("third");
    walk.run(&[5], &args!["sweep", estate, "--policy", plain, "--out", third, "--expect-deletes", "7"]);
    walk.run(&[0], &args!["sweep", estate, "--policy", plain, "--out", folder.join(not_utf8())]);
    approvals(&mut walk, &out);
    run_directories(&mut walk, &out, &plain);
    consumers(&mut walk, &estate, &plain);
    stock(&mut walk, &estate);
    usage(&mut walk);
    for command in [
        "sweep",
        "check",
        "explain",
        "policy",
        "verify",
        "diff",
        "approve",
        "keygen",
        "manifest",
        "regress",
        "recluster",
        "export",
        "load",
        "ledger",
        "forecast",
        "stock",
        "synth",
        "synth-orders",
    ] {
        assert!(walk.walked.iter().any(|walked| walked == command), "{command} was not walked");
    }
}

/// Policies: spellings that are mapped, and each place of an error.
fn documents(walk: &mut Walk, policy: &str, plain: &str) {
    walk.run(&[0], &args!["policy", "show", policy]);
    walk.run(&[0], &args!["policy", "check", policy]);
    walk.run(&[0], &args!["policy", "diff", plain, policy]);
    walk.run(&[4], &args!["policy", "check", &format!("./{}.toml", VALUE.replace('/', ""))]);
    walk.run(&[4], &args!["policy", "check", VALUE]);
    for (index, wrong) in [
        format!("{} = 1\n", literal(VALUE)),
        format!("candidate_statuses = [{}]\n", literal(VALUE)),
        format!("[types]\nextra = [{}]\n", literal(VALUE)),
        format!("[threshold]\ndefault = 12\n{} = 3\n", literal(VALUE)),
        format!("[alerts]\ncode = {}\n", literal(VALUE)),
        format!("[snapshot.statuses]\nfound = {}\n", literal(&VALUE.repeat(10_000))),
        format!("\u{1b}[2J{VALUE}"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("wrong-{index}");
        let path = walk.write(&format!("{name}.toml"), format!("name = \"{name}\"\nversion = 1\n{wrong}"));
        walk.run(&[4], &args!["policy", "check", &path]);
    }
    let path = walk.write("named.toml", format!("name = {}\nversion = 1\n[threshold]\ndefault = 12\n", literal(VALUE)));
    walk.run(&[4], &args!["policy", "check", &path]);
}

/// Columns with hostile names, of a wrong type and in place of ours.
fn wrong_columns(walk: &mut Walk, folder: &Path) {
    let text: ArrayRef = Arc::new(StringArray::from(vec![VALUE]));
    for (index, column) in [VALUE, "device_id\u{202e}", "DEVICE_ID"].iter().enumerate() {
        let path = folder.join(format!("{index}.parquet"));
        write_parquet(&path, vec![(*column, Arc::clone(&text)), ("smi_status", Arc::clone(&text))]);
        walk.run(&[3], &args!["check", path]);
    }
}

/// Approvals that say hostile things, and have hostile names.
fn approvals(walk: &mut Walk, out: &Path) {
    let key = walk.folder().join("key");
    walk.run(&[0], &args!["keygen", "--out", key]);
    walk.run(&[0], &args!["approve", out, "--key", key, "--expect-deletes", "1"]);
    walk.run(&[0], &args!["approve", out, "--key", key, "--expect-deletes", "1"]);
    let folder = out.join("approvals");
    let signed = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let signed = fs::read_to_string(signed).unwrap();
    fs::write(folder.join(name(".txt")), VALUE).unwrap();
    for (index, (line, hostile)) in
        [("approved_at ", "approved_at x\rapproved "), ("key ", "key \x1b[1A"), ("run ", "run \n")].iter().enumerate()
    {
        fs::write(folder.join(index.to_string()), signed.replace(line, hostile)).unwrap();
    }
    let other = walk.path("other-key");
    walk.run(&[0], &args!["keygen", "--out", other]);
    let public = |key: &Path| fs::read_to_string(format!("{}.pub", key.display())).unwrap().trim().to_owned();
    let keys = format!("{} = \"{}\"\nsecond = \"{}\"\n", literal(VALUE), public(&key), public(&other));
    let required = walk.write("approvals.toml", format!("[approvals]\nneeded = 2\n[approvals.keys]\n{keys}"));
    let listed = walk.run(&[0], &args!["approve", "--list", out]);
    assert_eq!(
        String::from_utf8(listed.stdout).unwrap().lines().filter(|line| line.starts_with("approved ")).count(),
        1
    );
    walk.run(&[0], &args!["approve", "--list", out, "--json"]);
    walk.run(&[6], &args!["approve", "--list", out, "--config", required]);
    walk.run(&[6], &args!["verify", out]);
    fs::remove_dir_all(folder).unwrap();
}

/// Runs: verified, compared, exported; a record that says hostile things.
fn run_directories(walk: &mut Walk, out: &Path, policy: &str) {
    let second = out.with_file_name("second");
    walk.run(&[0], &args!["verify", out]);
    walk.run(&[6], &args!["verify", walk.folder().join("estate")]);
    for more in [&args!["--json"][..], &[][..], &args!["--list", "ndjson"]] {
        walk.run(&[0], &[&args!["diff", out, second][..], more].concat());
    }
    for format in ["csv", "sql", "ndjson", "duis"] {
        let to = walk.folder().join(format);
        walk.run(&[0], &args!["manifest", "export", second, "--format", format, "--out", to]);
        let written = fs::read(to.join("quarantine.csv")).unwrap_or_default();
        assert!(!written.contains(&0), "PostgreSQL refuses a NUL");
    }
    let page = fs::read_to_string(second.join("report.html")).unwrap();
    let wrong = page.chars().find(|&c| c != '\n' && !shown::is_plain(c));
    assert_eq!(wrong, None, "the page of a run");
    let path = second.join("run.json");
    let record = fs::read_to_string(&path).unwrap();
    let hostile = literal(VALUE);
    let hostile = hostile.trim_matches('"');
    for (from, to) in [("2026-11-01", hostile), ("plain", hostile), ("ESME", hostile), ("delete.parquet", hostile)] {
        fs::write(&path, record.replace(from, to)).unwrap();
        walk.run(&[6], &args!["verify", second]);
        walk.run(&[0, 6], &args!["diff", second, second]);
    }
    fs::write(&path, record).unwrap();
    fs::write(second.join(name("")), "").unwrap();
    walk.run(&[6], &args!["verify", second]);
    walk.run(&[2], &args!["load", out, "--to", VALUE]);
    let absent = "postgresql://a@127.0.0.1:1/x?sslmode=disable&application_name=%1B%5B2J";
    walk.run(&[1], &args!["export", "--from", absent, "--out", walk.folder().join("exported"), "--policy", policy]);
}

/// Ledgers, forecasts, copies, and cases.
fn consumers(walk: &mut Walk, estate: &Path, policy: &str) {
    let folder = walk.folder();
    let ledger = folder.join("ledger");
    walk.run(&[0], &args!["recluster", estate, "--out", folder.join("copy"), "--policy", policy]);
    walk.run(&[0, 2], &args!["ledger", estate, "--estate", VALUE, "--out", ledger, "--policy", policy]);
    walk.run(&[0, 3], &args!["ledger", "tally", ledger, "--policy", policy, "--months", "1-3"]);
    walk.run(&[0, 3], &args!["ledger", "tally", ledger, "--policy", policy, "--json"]);
    walk.run(&[3], &args!["ledger", "tally", estate.join(name(".parquet")), "--policy", policy]);
    walk.run(&[2, 3], &args!["forecast", ledger, "--out", folder.join("forecast")]);
    let synthetic = folder.join("synthetic");
    walk.run(&[0], &args!["synth", "--rows", "10", "--out", synthetic]);
    walk.run(&[0], &args!["synth-orders", synthetic, "--out", folder.join("orders")]);
    let cases = cases(walk);
    walk.run(&[6], &args!["regress", cases]);
    walk.run(&[0], &args!["regress", cases, "--bless"]);
}

/// A folder with a case that fails, whose name, title and devices are hostile.
fn cases(walk: &Walk) -> PathBuf {
    let case = walk.path("cases").join(name(""));
    fs::create_dir_all(&case).unwrap();
    let from = fixtures().join("cases/alerts-by-role");
    for file in ["case.toml", "expected.csv", "snapshot.csv"] {
        let text = fs::read_to_string(from.join(file)).unwrap();
        let text = match file {
            "case.toml" => text.replacen("title = \"", &format!("title = {}", literal(VALUE).trim_end_matches('"')), 1),
            "expected.csv" => text.replace("delete", "not_due"),
            _ => text,
        };
        fs::write(case.join(file), text).unwrap();
    }
    walk.path("cases")
}

/// An order book with hostile values, columns and names.
fn stock(walk: &mut Walk, estate: &Path) {
    let orders = fs::read_to_string(fixtures().join("stock/orders.csv")).unwrap();
    let field = VALUE.replace(['\n', '\r'], "");
    for (index, (from, to)) in [
        ("90-B3-D5-1F-30-00-00-01", field.as_str()),
        ("North", &field),
        ("ordering_party", &field),
        ("2025-03-01", &field),
        ("00-DB-00-00-00-00-00-01", &field),
    ]
    .iter()
    .enumerate()
    {
        let path = walk.folder().join(format!("{index}.csv"));
        fs::write(&path, orders.replacen(from, to, 1)).unwrap();
        let out = walk.folder().join(format!("stock-{index}"));
        walk.run(&[0, 3], &args!["stock", estate, "--orders", path, "--out", out]);
    }
}

/// Arguments that are refused before a command begins.
fn usage(walk: &mut Walk) {
    let hostile = VALUE.replace('\n', "");
    walk.run(&[2], &args!["sweep", "--as-of", hostile]);
    walk.run(&[2], &args![hostile]);
    walk.run(&[2], &args!["sweep", format!("--{hostile}")]);
    walk.run(&[2], &args!["explain", hostile, "x"]);
    walk.run(&[2], &args!["synth", "--layout", hostile]);
    walk.run(&[2], &args!["check", walk.folder(), "--nonsense"]);
}

/// Blanks at the end, a NUL and a character without width: `Pending` is not what these estates have.
#[test]
fn spellings_that_look_alike_are_shown_apart() {
    for (name, shown) in [("blank", "\"Pending  \""), ("nul", "\"Pending\\0\""), ("zwsp", "\"Pending\\u{200b}\"")] {
        let file = fixtures().join(format!("faults/unseen-spellings/{name}.parquet"));
        let (_, out, err) = run(&["check", file.to_str().unwrap()]);
        assert!(out.contains(shown) || err.contains(shown), "{shown}\n{out}{err}");
    }
}
