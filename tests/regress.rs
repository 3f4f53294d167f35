//! Regression cases: all of the project's own pass, and whatever is wrong with one is said.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fixtures, run};
use tempfile::TempDir;

const EDGE: &str = "before-edge-of-twelve-months";

/// A copy of a case, to spoil.
struct Desk {
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (fixtures().join("cases").join(EDGE), home.path().join("cases").join(EDGE));
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn regress(&self, more: &[&str]) -> (i32, String, String) {
        run(&[&["regress", self.path("cases").to_str().unwrap()], more].concat())
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path("cases").join(EDGE).join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }

    /// The case differs, in these words among others.
    #[track_caller]
    fn fails(&self, says: &[&str]) {
        let (code, out, err) = self.regress(&[]);
        assert_eq!(code, 6, "{out}{err}");
        for part in says {
            assert!(out.contains(part), "`{part}` is not in: {out}");
        }
    }

    /// The case cannot be understood, in these words among others.
    #[track_caller]
    fn refused(&self, says: &[&str]) {
        let (code, out, err) = self.regress(&[]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        for part in says {
            assert!(err.contains(part), "`{part}` is not in: {err}");
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_case_passes_and_every_statement_is_demonstrated() {
    let home = tempfile::tempdir().unwrap();
    let (junit, html) = (home.path().join("junit.xml"), home.path().join("evidence.html"));
    let cases = fixtures().join("cases");
    let (code, out, err) = run(&["regress", text(&cases), "--junit", text(&junit), "--html", text(&html)]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("statements are demonstrated"));
    let report = quick_junit::Report::deserialize_from_str(&fs::read_to_string(junit).unwrap()).unwrap();
    assert!(report.test_suites.iter().map(|suite| suite.test_cases.len()).sum::<usize>() > 90);
    let page = fs::read_to_string(html).unwrap();
    assert!(page.ends_with("</html>\n") && page.contains("MP60-DR2"));
    for foreign in ["http://", "https://", "<script", "src="] {
        assert!(!page.contains(foreign), "the page is self-contained: {foreign}");
    }
}

#[test]
fn what_differs_is_said_of_which_device_and_why() {
    let desk = Desk::new();
    desk.replace("expected.csv", "00-DB-12-34-56-78-90-03,not_due,,,,", "00-DB-12-34-56-78-90-03,delete,,,,");
    desk.fails(&[
        "00-DB-12-34-56-78-90-03: disposition was to be `delete`, and is `not_due`",
        "12 months later is 2026-11-02, which 2026-11-01 has not reached",
        "3 devices were to be delete, and 2 were counted",
    ]);
    let desk = Desk::new();
    desk.replace("expected.csv", "Supplier A", "Supplier B");
    desk.fails(&["recipient was to be `Supplier B`, and is `Supplier A`"]);
    let desk = Desk::new();
    desk.replace("case.toml", "as_of = ", "stopped_by = \"max_deletes\"\nas_of = ");
    desk.fails(&["the guard max_deletes was to stop the run, and did not"]);
}

#[test]
fn a_device_too_many_or_too_few_fails() {
    let desk = Desk::new();
    desk.replace("expected.csv", "00-DB-12-34-56-78-90-03,not_due,,,,\n", "");
    desk.fails(&["00-DB-12-34-56-78-90-03: expected.csv has no line 4", "0 devices were to be not_due, and 1"]);
    desk.replace("expected.csv", "2026-11-01\n", "2026-11-01\n00-DB-12-34-56-78-90-03,not_due,,,,\nFF,not_due,,,,\n");
    desk.fails(&["FF: in line 5 of expected.csv, and not in snapshot.csv"]);
}

#[test]
fn slips_are_refused_with_file_and_line() {
    let desk = Desk::new();
    desk.replace("snapshot.csv", "2025-11-01", "1 Nov");
    desk.refused(&["snapshot.csv:3: status_since `1 Nov`"]);
    let desk = Desk::new();
    desk.replace("snapshot.csv", "device_type", "type");
    desk.refused(&["snapshot.csv:1: ", "device_type"]);
    let desk = Desk::new();
    desk.replace("case.toml", "title", "titel");
    desk.refused(&["case.toml:1: ", "titel"]);
    let desk = Desk::new();
    desk.replace("case.toml", "default = 12", "default = 0");
    let (code, _, err) = desk.regress(&[]);
    assert!(code == 4 && err.contains("case.toml") && err.contains("default"), "{err}");
    let empty = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["regress", text(empty.path())]);
    assert!(code == 2 && err.contains("no cases"), "{err}");
}

#[test]
fn statements_hold_cases_to_account() {
    let desk = Desk::new();
    let statements = desk.path("requirements.toml");
    let statement = |id: &str| format!("[[statement]]\nid = \"{id}\"\nsection = \"1\"\nsays = \"Something.\"\n");
    fs::write(&statements, statement("2.6-age")).unwrap();
    let (code, _, err) = desk.regress(&[]);
    assert!(code == 2 && err.contains("no statement is called `2.4-removal`"), "{err}");
    fs::write(&statements, statement("2.6-age") + &statement("2.4-removal") + &statement("9.9")).unwrap();
    desk.fails(&["9.9: no passing case speaks for it", "2 of 3 statements are demonstrated"]);
}

#[test]
fn blessing_writes_what_came_and_shows_it() {
    let desk = Desk::new();
    let expected = desk.path("cases").join(EDGE).join("expected.csv");
    let whole = fs::read_to_string(&expected).unwrap();
    desk.replace("expected.csv", "2026-10-31", "2026-10-30");
    let (code, out, err) = desk.regress(&["--bless"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("- 00-DB-12-34-56-78-90-01") && out.contains("+ 00-DB-12-34-56-78-90-01"), "{out}");
    assert_eq!(fs::read_to_string(&expected).unwrap(), whole);
    fs::remove_file(&expected).unwrap();
    assert_eq!(desk.regress(&["--bless"]).0, 0);
    assert_eq!(fs::read_to_string(&expected).unwrap(), whole);
    assert_eq!(desk.regress(&["--bless"]).1, "", "nothing changed");
}

#[test]
fn a_change_of_policy_is_told_and_held_to_its_expectation() {
    let home = tempfile::tempdir().unwrap();
    let estate = fixtures().join("estate");
    let expect = home.path().join("expect.json");
    let change =
        |more: &[&str]| run(&[&["diff", "--policy", "scr137", "--policy", "secmp0060", text(&estate)], more].concat());
    let (code, out, err) = change(&[]);
    assert_eq!(code, 0, "{err}");
    for part in ["GPF, CHF joins the exclusion list", "is 12 months, where it was 36", "newly deleted", "whole months"]
    {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    let (_, document, _) = change(&["--json"]);
    fs::write(&expect, &document).unwrap();
    assert_eq!(change(&["--expect", text(&expect)]).0, 0);
    let value: serde_json::Value = serde_json::from_str(&document).unwrap();
    let newly = value["newly_deleted"]["devices"].as_u64().unwrap();
    let by_months = value["newly_deleted"]["by_months"].as_object().unwrap();
    assert_eq!(by_months.values().map(|devices| devices.as_u64().unwrap()).sum::<u64>(), newly);
    assert!(by_months.keys().all(|months| (12..36).contains(&months.parse::<u32>().unwrap())));
    fs::write(&expect, document.replacen(&format!("\"devices\": {newly}"), "\"devices\": 1", 1)).unwrap();
    let (code, _, err) = change(&["--expect", text(&expect)]);
    assert!(code == 6 && err.contains("newly_deleted"), "{err}");
    fs::write(&expect, "{}").unwrap();
    assert_eq!(change(&["--expect", text(&expect)]).0, 2);
    assert_eq!(run(&["diff", "--policy", "scr137", text(&estate)]).0, 2);
    assert_eq!(run(&["diff", text(&estate)]).0, 2);
}

#[test]
fn policies_are_compared_in_words() {
    let (code, out, _) = run(&["policy", "diff", "pre-change", "secmp0060"]);
    assert!(code == 0 && out.contains("GPF, CHF joins the exclusion list"), "{out}");
    let (code, out, _) = run(&["policy", "diff", "scr137", "scr137"]);
    assert!(code == 0 && out.contains("Nothing changes"), "{out}");
}
