//! Printed text, compared with `tests/command_line/snapshots`, and whether it fits the width of the terminal.
//!
//! After an intended change run `INSTA_UPDATE=always cargo test --test command_line shown`, and read the diff.

use std::fs;

use crate::common::{binary, fixtures, outcome};
use tempfile::TempDir;

/// A folder with the fixture estate and a few policies; commands run in it, so that no path of this machine is shown.
struct Terminal {
    home: TempDir,
}

const MAPPED: &str = r#"name = "mapped"
version = 4
candidate_statuses = ["Pending", "Suspended"]
boundary = "instant"
[threshold]
default = 12
PPMID = 36
[exclude]
types = ["CommsHub", "SAPC"]
[types]
extra = ["SAPC"]
[snapshot.columns]
DEVICE_EUI = "device_id"
[snapshot.statuses]
PENDING = "Pending"
[snapshot.types]
"Type 2 IHD" = "IHD"
"#;

const TIGHT: &str = r#"name = "tight"
version = 1
[threshold]
default = 12
[guard]
max_deletes = 10
max_delete_share = 0.001
max_quarantined = 100
"#;

const SLIP: &str = "name = \"slip\"\nversion = 1\n[threshold]\ndefault = 12\nPPMD = 36\n";

impl Terminal {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(fixtures().join("estate"), home.path().join("estate")).unwrap();
        for (name, text) in [("mapped.toml", MAPPED), ("tight.toml", TIGHT), ("slip.toml", SLIP)] {
            fs::write(home.path().join(name), text).unwrap();
        }
        Self { home }
    }

    /// What a command prints at a terminal with so many columns; no line may be wider.
    #[track_caller]
    fn shown(&self, columns: usize, command: &str) -> String {
        let output = binary()
            .current_dir(self.home.path())
            .env("COLUMNS", columns.to_string())
            .args(command.split(' '))
            .output()
            .unwrap();
        let (code, out, err) = outcome(&output);
        let messages = |line: &&str| !line.starts_with("smi-sweep: ") && !line.starts_with("  help: ");
        for line in out.lines().chain(err.lines().filter(messages)) {
            assert!(line.chars().count() <= columns, "wider than {columns}: {line}");
        }
        format!("exit code {code}\n--- standard output\n{out}--- standard error\n{err}")
    }
}

/// Compares with `tests/command_line/snapshots`; seconds differ from run to run.
macro_rules! same {
    ($name:expr, $shown:expr) => {
        insta::with_settings!({ omit_expression => true, filters => vec![(r"\d+\.\d+ s\b", "[seconds] s")] }, {
            insta::assert_snapshot!($name, $shown);
        });
    };
}

#[test]
fn the_closing_table() {
    let terminal = Terminal::new();
    for columns in [60, 100] {
        let command = format!("sweep estate --policy secmp0060 --out run{columns}");
        same!(format!("sweep_{columns}"), terminal.shown(columns, &command));
    }
    let larger = "sweep estate --policy pre-change --out larger --quiet";
    terminal.shown(60, larger);
    for columns in [60, 100] {
        same!(format!("diff_{columns}"), terminal.shown(columns, "diff run60 larger"));
    }
    same!("verify", terminal.shown(60, "verify run60"));
}

#[test]
fn a_policy() {
    let terminal = Terminal::new();
    for columns in [60, 100] {
        same!(format!("policy_show_{columns}"), terminal.shown(columns, "policy show secmp0060 --as-of 2026-11-01"));
    }
    same!("policy_show_mapped", terminal.shown(100, "policy show ./mapped.toml --as-of 2025-02-28T10:00:00Z"));
    same!("policy_error", terminal.shown(100, "policy check ./slip.toml"));
}

#[test]
fn a_checked_snapshot() {
    let terminal = Terminal::new();
    for columns in [60, 100] {
        same!(format!("check_{columns}"), terminal.shown(columns, "check estate"));
    }
}

#[test]
fn a_run_that_guards_stop() {
    let terminal = Terminal::new();
    same!("guards", terminal.shown(100, "sweep estate --policy ./tight.toml --out run"));
    same!("guards_json", terminal.shown(1000, "sweep estate --policy ./tight.toml --out run --json"));
    let exact = "sweep estate --policy ./tight.toml --out run --expect-deletes 3 --expect-quarantined 1 --quiet";
    same!("guards_exact", terminal.shown(100, exact));
}

#[test]
fn one_device() {
    let terminal = Terminal::new();
    let (code, _, err) = outcome(
        &binary()
            .current_dir(terminal.home.path())
            .args(["sweep", "estate", "--policy", "pre-change", "--out", "run", "-q"])
            .output()
            .unwrap(),
    );
    assert_eq!(code, 0, "{err}");
    let (_, list, _) = outcome(
        &binary()
            .current_dir(terminal.home.path())
            .args(["sweep", "estate", "--policy", "secmp0060", "--out", "kept", "-q"])
            .output()
            .unwrap(),
    );
    assert_eq!(list.trim(), "kept");
    let (_, list, _) = outcome(
        &binary().current_dir(terminal.home.path()).args(["diff", "kept", "run", "--list", "csv"]).output().unwrap(),
    );
    let device = list.lines().nth(1).and_then(|line| line.split(',').nth(1)).unwrap();
    same!("explain_excluded", terminal.shown(60, &format!("explain {device} estate --policy secmp0060")));
    same!("explain_deleted", terminal.shown(100, &format!("explain {device} estate --policy pre-change")));
    same!("explain_absent", terminal.shown(60, "explain 00-00-00-00-00-00-00-00 estate --policy secmp0060"));
}

#[test]
fn the_help_of_every_command() {
    let terminal = Terminal::new();
    let (_, help, _) = outcome(&binary().arg("--help").output().unwrap());
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    // A continuation line is indented further.
    let begins = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let mut commands: Vec<String> =
        listed.lines().filter(begins).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    commands.retain(|command| command != "help");
    commands.extend(["policy check", "policy show", "policy sql", "policy diff"].map(str::to_owned));
    assert!(commands.len() > 10, "{commands:?}");
    for command in &commands {
        terminal.shown(60, &format!("{command} --help"));
        terminal.shown(60, &format!("{command} -h"));
        same!(format!("help_{}", command.replace(' ', "_")), terminal.shown(100, &format!("{command} --help")));
    }
    same!("help", terminal.shown(60, "--help"));
}
