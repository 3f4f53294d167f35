//! Regression cases: all cases of the project pass, and a mistake in one is reported.

use std::fs;
use std::path::Path;

use crate::common::{Workspace, binary, copy_files, fixtures, run};
use tempfile::TempDir;

const EDGE: &str = "before-edge-of-twelve-months";

/// A temporary directory with a copy of a case, to change.
struct ChangedCase {
    home: TempDir,
}

impl Workspace for ChangedCase {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl ChangedCase {
    fn new() -> Self {
        let scratch = Self { home: tempfile::tempdir().unwrap() };
        copy_files(&fixtures().join("cases").join(EDGE), &scratch.path("cases").join(EDGE));
        scratch
    }

    /// Runs the case in one storage form: what is reported does not depend on the form.
    fn regress(&self, more: &[&str]) -> (i32, String, String) {
        run(&[&["regress", "--quick", self.path("cases").to_str().unwrap()], more].concat())
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path("cases").join(EDGE).join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }

    /// The case fails, and the output has all of these parts.
    #[track_caller]
    fn fails(&self, says: &[&str]) {
        let (code, out, err) = self.regress(&[]);
        assert_eq!(code, 6, "{out}{err}");
        for part in says {
            assert!(out.contains(part), "`{part}` is not in: {out}");
        }
    }

    /// The case is refused, and the error has all of these parts.
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
    let report = quick_junit::Report::deserialize_from_str(&fs::read_to_string(junit).unwrap()).unwrap();
    let tests = report.test_suites.iter().flat_map(|suite| &suite.test_cases);
    assert!(tests.clone().count() > 100 && tests.clone().all(|test| test.time.is_some()));
    assert!(report.test_suites.iter().all(|suite| suite.timestamp.is_some()));
    let page = fs::read_to_string(html).unwrap();
    assert!(page.ends_with("</html>\n") && page.contains("MP60-DR2") && page.contains("<th>signature</th>"));
    for foreign in ["http://", "https://", "<script", "src="] {
        assert!(!page.contains(foreign), "the page is self-contained: {foreign}");
    }
}

#[test]
fn a_failure_names_the_device_and_the_reason() {
    let scratch = ChangedCase::new();
    scratch.replace("expected.csv", "device_id,", "# a comment\n\ndevice_id,");
    scratch.replace("expected.csv", "00-DB-12-34-56-78-90-03,not_due,,,,", "00-DB-12-34-56-78-90-03,delete,,,,");
    scratch.fails(&[
        "00-DB-12-34-56-78-90-03 (line 6 of expected.csv): disposition was to be `delete`, and is `not_due`",
        "12 months later is 2026-11-02, which 2026-11-01 has not reached",
        "1 case fails, 0 of 1 pass",
    ]);
    let scratch = ChangedCase::new();
    scratch.replace("expected.csv", "N8,Supplier A,2026-10-31", "N9,Supplier B,2026-10-31");
    scratch.fails(&[
        "alert was to be `N9`, and is `N8`; recipient was to be `Supplier B`, and is `Supplier A`. The engine: It",
    ]);
    let scratch = ChangedCase::new();
    scratch.replace("case.toml", "max_delete_share = 1.0", "max_deletes = 1");
    scratch.fails(&[
        "the guard max_deletes stopped the run: 2 where 1 is the limit",
        "the guard max_delete_share stopped",
    ]);
    let scratch = ChangedCase::new();
    scratch.replace("case.toml", "as_of = ", "policy_digest = \"00\"\nas_of = ");
    scratch.fails(&["the policy's digest was to be 00, and is "]);
}

#[test]
fn a_guard_that_does_not_stop_the_run_as_expected_fails() {
    let scratch = ChangedCase::new();
    scratch.replace("case.toml", "as_of = ", "stopped_by = \"max_deletes\"\nas_of = ");
    scratch.refused(&["expected.csv:2: max_deletes stops the run"]);
    scratch.replace("expected.csv", "N8,Supplier A,2026-10-31", ",,");
    scratch.replace("expected.csv", "N8,Supplier A,2026-11-01", ",,");
    scratch.fails(&["the guard max_deletes was to stop the run, and did not: 2 where 500,000 is the limit"]);
}

#[test]
fn a_missing_or_extra_device_fails() {
    let scratch = ChangedCase::new();
    scratch.replace("expected.csv", "00-DB-12-34-56-78-90-03,not_due,,,,\n", "");
    scratch.fails(&["00-DB-12-34-56-78-90-03: expected.csv has no line for it"]);
    scratch.replace(
        "expected.csv",
        "2026-11-01\n",
        "2026-11-01\n00-DB-12-34-56-78-90-03,not_due,,,,\nFF,not_due,,,,\n",
    );
    scratch.fails(&["FF: in line 5 of expected.csv, and not in snapshot.csv"]);
}

#[test]
fn mistakes_are_refused_with_file_and_line() {
    let slips: [(&str, &str, &str, &[&str]); 15] = [
        ("snapshot.csv", "2025-11-01", "1 Nov", &["snapshot.csv:3: status_since `1 Nov`"]),
        (
            "snapshot.csv",
            "device_type",
            "type",
            &["snapshot.csv:1: the header is device_id,type,", "must be device_id,device_type"],
        ),
        ("snapshot.csv", "2025-11-01,Supplier A", "2025-11-01", &["snapshot.csv:3: 4 cells, where the header has 5"]),
        ("case.toml", "title", "titel", &["case.toml:1:1: unknown key `titel`", "did you mean `title`?"]),
        ("case.toml", "requirements = [", "requirements = [] # [", &["case.toml:5:16: the case names no statement"]),
        ("case.toml", "as_of = \"2026-11-01\"", "as_of = \"1 Nov\"", &["case.toml:14:9: found `1 Nov`"]),
        (
            "case.toml",
            "as_of = ",
            "stopped_by = \"max_delete\"\nas_of = ",
            &["unknown guard `max_delete`", "did you mean `max_deletes`?"],
        ),
        (
            "case.toml",
            "default = 12",
            "defualt = 12",
            &["case.toml:10:1: unknown device type `defualt`", "did you mean `default`?"],
        ),
        ("case.toml", "default = 12", "default = 0", &["case.toml:10:11", "found integer `0`"]),
        ("case.toml", "[guard]", "[snapshot.columns]\nEUI = \"device_id\"\n[guard]", &["the policy maps columns"]),
        (
            "case.toml",
            "policy = '''",
            "policy_digest = \"\"\n[policy]\nx = '''",
            &["case.toml:7:1: found a table, expected text in quotes"],
        ),
        (
            "expected.csv",
            "not_due",
            "notdue",
            &["expected.csv:4: unknown disposition `notdue`", "did you mean `not_due`?"],
        ),
        (
            "expected.csv",
            "not_due,",
            "quarantined,missing_data",
            &["expected.csv:4: unknown reason", "did you mean `missing_date`?"],
        ),
        ("expected.csv", "not_due", "", &["expected.csv:4: no disposition"]),
        ("expected.csv", "due_on\n", "due_on,comment\n", &["expected.csv:1: the header is"]),
    ];
    for (file, from, to, says) in slips {
        let scratch = ChangedCase::new();
        scratch.replace(file, from, to);
        let (code, out, err) = scratch.regress(&[]);
        assert!(matches!(code, 2 | 4) && out.is_empty(), "{from} -> {to}: {code} {out}{err}");
        for part in says {
            assert!(err.contains(part), "`{part}` is not in: {err}");
        }
    }
    let scratch = ChangedCase::new();
    let case = scratch.path("cases").join(EDGE);
    let snapshot = fs::read(case.join("snapshot.csv")).unwrap();
    fs::write(case.join("snapshot.csv"), [&snapshot[..], b"00,ESME,Pending,,Suppli\xe9r\n"].concat()).unwrap();
    scratch.refused(&["snapshot.csv:5: is not UTF-8"]);
    fs::remove_file(case.join("snapshot.csv")).unwrap();
    scratch.refused(&["snapshot.csv:1: the file is not there"]);
}

#[test]
fn a_policy_may_be_a_name_a_text_or_a_file_beside_the_case() {
    let scratch = ChangedCase::new();
    let case = scratch.path("cases").join(EDGE);
    let text = fs::read_to_string(case.join("case.toml")).unwrap();
    let (before, rest) = text.split_once("policy = '''\n").unwrap();
    let (policy, after) = rest.split_once("'''\n").unwrap();
    fs::write(case.join("mine.toml"), policy).unwrap();
    // A date of TOML's own is a date as well.
    let after = after.replace("\"2026-11-01\"", "2026-11-01");
    let with = |name: &str| fs::write(case.join("case.toml"), format!("{before}policy = \"{name}\"\n{after}")).unwrap();
    with("mine.toml");
    assert_eq!(scratch.regress(&[]).0, 0);
    with("secmp060");
    let (code, _, err) = scratch.regress(&[]);
    assert!(code == 4 && err.contains("case.toml:6:10: policy `secmp060`") && err.contains("secmp0060"), "{err}");
}

#[test]
fn a_folder_without_a_case_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["regress", text(empty.path())]);
    assert!(code == 2 && err.contains("no cases"), "{err}");
    let scratch = ChangedCase::new();
    fs::create_dir_all(scratch.path("cases/group/nested")).unwrap();
    fs::write(scratch.path("cases/group/Case.toml"), "").unwrap();
    scratch.refused(&["cases/group: a folder among cases, and it has no case.toml"]);
}

#[test]
fn the_output_says_whether_statements_are_checked() {
    let scratch = ChangedCase::new();
    let (code, out, _) = scratch.regress(&[]);
    assert!(code == 0 && out.contains("statements not checked: no requirements.toml beside DIR"), "{out}");
    // With the folder of cases, then the case, as the working directory.
    fs::copy(fixtures().join("requirements.toml"), scratch.path("requirements.toml")).unwrap();
    let inside = |folder: &str| {
        let command = ["regress", "--quick", "."];
        crate::common::outcome(&binary().args(command).current_dir(scratch.path(folder)).output().unwrap())
    };
    let (code, out, _) = inside("cases");
    assert!(code == 6 && out.contains("R1: no passing case shows"), "{out}");
    let (code, out, _) = inside(&format!("cases/{EDGE}"));
    assert!(code == 0 && out.contains("only the names of its statements are checked"), "{out}");
}

#[test]
fn statements_are_checked_against_cases() {
    let scratch = ChangedCase::new();
    let statements = scratch.path("requirements.toml");
    let statement = |id: &str, needs: &str| {
        format!("[[statement]]\nid = \"{id}\"\nsection = \"1\"\nsays = \"Something.\"\nneeds = [{needs}]\n")
    };
    let age = statement("2.6-age", "\"ESME delete\", \"not_due\"");
    fs::write(&statements, &age).unwrap();
    scratch.refused(&["case.toml:5:28: no statement is called `2.4-removal`"]);
    fs::write(&statements, age.clone() + &statement("2.4-removal", "\"alert\", \"CHF silent\"")).unwrap();
    scratch.fails(&["2.4-removal: no passing case shows CHF silent: Something.", "1 of 2 statements are demonstrated"]);
    for (needs, says) in [("", "needs nothing"), ("\"deleted\"", "did you mean `delete`?"), ("\"CHX delete\"", "`CHF`")]
    {
        fs::write(&statements, age.clone() + &statement("2.4-removal", needs)).unwrap();
        scratch.refused(&[says]);
    }
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_run() {
    let scratch = ChangedCase::new();
    let cases = scratch.path("cases");
    let (code, out, err) = run(&["regress", text(&cases), "--html", text(&scratch.path("no/page.html"))]);
    assert!(code == 1 && out.is_empty() && err.contains("no: cannot write into"), "{err}");
    let (code, _, err) = run(&["regress", text(&cases), "--junit", text(&cases)]);
    assert!(code == 2 && err.contains("exists already"), "{err}");
}

#[test]
fn blessing_writes_and_prints_actual_outcomes() {
    let scratch = ChangedCase::new();
    let expected = scratch.path("cases").join(EDGE).join("expected.csv");
    scratch.replace("expected.csv", "device_id,", "# why\ndevice_id,");
    scratch.replace("expected.csv", "00-DB-12-34-56-78-90-02", "# its day\n00-DB-12-34-56-78-90-02");
    let whole = fs::read_to_string(&expected).unwrap();
    scratch.replace("expected.csv", "2026-10-31", "2026-10-30");
    let (code, out, err) = scratch.regress(&["--bless"]);
    assert_eq!(code, 0, "{err}");
    let shown: Vec<&str> = out.lines().skip(1).map(|line| &line[..25]).collect();
    assert_eq!(shown, ["- 00-DB-12-34-56-78-90-01", "+ 00-DB-12-34-56-78-90-01"], "{out}");
    assert_eq!(fs::read_to_string(&expected).unwrap(), whole, "comments stay");
    assert_eq!(scratch.regress(&["--bless"]).1, "", "nothing changed");
    fs::remove_file(&expected).unwrap();
    assert_eq!(scratch.regress(&["--bless"]).0, 0);
    assert_eq!(fs::read_to_string(&expected).unwrap(), whole.replace("# why\n", "").replace("# its day\n", ""));
    assert_eq!(scratch.regress(&["--bless", "--json"]).0, 2);
}

#[test]
fn only_outcomes_can_be_blessed() {
    let scratch = ChangedCase::new();
    let expected = scratch.path("cases").join(EDGE).join("expected.csv");
    scratch.replace("expected.csv", "2026-10-31", "2026-10-30");
    scratch.replace("case.toml", "max_delete_share = 1.0", "max_deletes = 1");
    let before = fs::read_to_string(&expected).unwrap();
    let (code, out, err) = scratch.regress(&["--bless"]);
    assert!(code == 6 && out.contains("the guard max_deletes stopped") && err.contains("nothing is blessed"), "{err}");
    assert_eq!(fs::read_to_string(&expected).unwrap(), before);
}

#[test]
fn a_policy_change_is_printed_and_compared_with_its_expectation() {
    let home = tempfile::tempdir().unwrap();
    let estate = fixtures().join("estate");
    let expect = home.path().join("expect.json");
    let change =
        |more: &[&str]| run(&[&["diff", "--policy", "scr137", "--policy", "secmp0060", text(&estate)], more].concat());
    let (code, out, err) = change(&[]);
    assert_eq!(code, 0, "{err}");
    for part in [
        "GPF and CHF join the exclusion list",
        "is 12 months, where it was 36",
        "165 are to be deleted under both policies, 197 newly, 130 no longer",
        "newly to delete, by party",
        "no longer to delete, by whole months",
        "Rows that cannot be judged: 845 before, 845 after",
    ] {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    let (_, document, _) = change(&["--json"]);
    fs::write(&expect, &document).unwrap();
    assert_eq!(change(&["--expect", text(&expect)]).0, 0);
    let value: serde_json::Value = serde_json::from_str(&document).unwrap();
    let newly = &value["newly_deleted"];
    assert_eq!((value["deleted_by_both"].as_u64(), newly["devices"].as_u64()), (Some(165), Some(197)));
    assert_eq!(value["no_longer_deleted"]["devices"].as_u64(), Some(130));
    let by_months = newly["by_months"].as_object().unwrap();
    assert_eq!(by_months.values().map(|devices| devices.as_u64().unwrap()).sum::<u64>(), 197);
    assert!(by_months.keys().all(|months| (12..36).contains(&months.parse::<u32>().unwrap())));
    fs::write(&expect, document.replacen("\"devices\": 197", "\"devices\": 1", 1)).unwrap();
    let (code, _, err) = change(&["--expect", text(&expect)]);
    assert!(code == 6 && err.contains("newly_deleted devices was to be 1, and is 197"), "{err}");
    fs::write(&expect, "{}").unwrap();
    assert_eq!(change(&["--expect", text(&expect)]).0, 2);
    assert_eq!(run(&["diff", "--policy", "scr137", text(&estate)]).0, 2);
    assert_eq!(run(&["diff", text(&estate)]).0, 2);
}

#[test]
fn a_guard_that_would_stop_the_new_policy_is_printed() {
    let home = tempfile::tempdir().unwrap();
    let policy = home.path().join("tight.toml");
    let tight = "name = \"tight\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_deletes = 100\n";
    fs::write(&policy, tight).unwrap();
    let estate = fixtures().join("estate");
    let (code, out, err) = run(&["diff", "--policy", "secmp0060", "--policy", text(&policy), text(&estate)]);
    assert!(code == 0 && out.contains("The guard max_deletes of the policy after would stop its run"), "{out}{err}");
}

#[test]
fn policies_are_compared_in_words_and_wider_scope_comes_first() {
    let home = tempfile::tempdir().unwrap();
    let policy = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, format!("name = \"p\"\nversion = 1\n{text}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let diff = |a: &str, b: &str| {
        let (code, out, err) = run(&["policy", "diff", a, b]);
        assert_eq!(code, 0, "{err}");
        out.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(diff("scr137", "scr137"), ["Nothing changes."]);
    let out = diff("scr137", "secmp0060");
    assert!(out[0].starts_with("The threshold of ESME, GSME, HCALCS, PPMID, IHD and CAD is 12 months"), "{out:?}");
    assert!(out.iter().any(|line| line.contains("GPF and CHF is 12 months, where it was 36: of no effect")), "{out:?}");
    let spelt = "[threshold]\ndefault = 12\n[snapshot.statuses]\nWAITING = \"Pending\"\nGONE = \"Withdrawn\"\n";
    let (a, b) = (policy("a.toml", "[threshold]\ndefault = 36\n"), policy("b.toml", spelt));
    assert_eq!(
        diff(&a, &b),
        [
            "p version 1: both have this name and version, and they are not the same: raise the version.",
            "The threshold of every type is 12 months, where it was 36: shorter, so that more devices are due.",
            "The status `WAITING` is read as Pending: rows with it can be deleted.",
            "The status `GONE` is read as Withdrawn.",
        ]
    );
}

/// The text that each change of `scripts/mutants` replaces occurs once in the code.
#[test]
fn mutants_apply() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("scripts/mutants.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let mutants = table["mutant"].as_array().unwrap();
    assert!(mutants.len() >= 25);
    for mutant in mutants {
        let [file, before, after] = ["file", "before", "after"].map(|key| mutant[key].as_str().unwrap());
        let source = fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(source.matches(before).count(), 1, "{file}: {before}");
        assert_ne!(before, after);
    }
}
