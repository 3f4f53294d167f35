//! The rule as SQL gives every row the disposition that the rule itself gives it, on the engines that it is compiled for.

use std::path::Path;
use std::sync::LazyLock;

use crate::common::queries::{Task, compare_dates, compare_estates, python, run, sql};
use crate::common::{at, unguarded};
use smi_sweep::Error;
use smi_sweep::query::{Dialect, QueryOptions, compile};

/// The engines that run in one process.
const ENGINES: [Dialect; 2] = [Dialect::DuckDb, Dialect::DataFusion];

/// A Python with their packages.
static PYTHON: LazyLock<String> = LazyLock::new(|| python("requirements-tests.txt"));

fn run_here(home: &Path, tasks: &[Task]) -> Vec<Vec<Vec<serde_json::Value>>> {
    run(&PYTHON, "tests/engine/run_queries.py", home, tasks)
}

#[test]
fn the_query_says_what_the_rule_says() {
    compare_estates(60, &ENGINES, run_here);
}

#[test]
fn due_dates_are_those_of_the_calendar() {
    compare_dates(&ENGINES, run_here);
}

#[test]
fn the_text_follows_from_policy_moment_and_dialect() {
    for dialect in Dialect::ALL {
        let policy = unguarded("secmp0060");
        let text = sql(&policy, at("2026-11-01"), dialect, true);
        assert_eq!(text, sql(&policy, at("2026-11-01"), dialect, true));
        assert!(text.starts_with("-- Policy \"secmp0060\" version 3, digest "), "{text}");
        assert!(text.contains(&policy.digest()));
        assert!(text.contains("as of 2026-11-01T00:00:00Z"), "{text}");
    }
}

/// A name with a line break would end the comment, and a spelling with a quote the literal.
#[test]
fn names_and_spellings_stay_text() {
    let mut policy = unguarded("pre-change");
    policy.name = "a\nDROP TABLE device; --".into();
    policy.spellings.types.insert("it's \\ \"x\"".into(), policy.types.get("ESME").unwrap());
    policy.spellings.columns.insert("ID \"of\" `it`".into(), smi_sweep::estate::Column::DeviceId);
    for (dialect, literal, column) in [
        (Dialect::Spark, r#"'it\'s \\ "x"'"#, r#"`ID "of" ``it```"#),
        (Dialect::DuckDb, r#"'it''s \ "x"'"#, r#""ID ""of"" `it`""#),
        (Dialect::Postgres, r#"'it''s \ "x"'"#, r#""ID ""of"" `it`""#),
    ] {
        let text = sql(&policy, at("2026-11-01"), dialect, true);
        assert!(text.lines().all(|line| !line.starts_with("DROP")), "{text}");
        assert!(text.contains(literal), "{text}");
        assert!(text.contains(column), "{text}");
    }
}

#[test]
fn what_cannot_be_compiled_is_refused() {
    let mut policy = unguarded("pre-change");
    policy.spellings.types.insert("a\0".into(), policy.types.get("ESME").unwrap());
    let options = QueryOptions { dialect: Dialect::Postgres, relation: "snapshot", has_role: true, keep: &[] };
    let error = compile(&policy, 0, &options).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }));
    assert_eq!(error.to_string(), "the policy maps \"a\\0\", and postgres has no such text");
    let keep = ["Verdict".to_owned()];
    let error = compile(&unguarded("pre-change"), 0, &QueryOptions { keep: &keep, ..options }).unwrap_err();
    assert!(error.to_string().contains("\"Verdict\" cannot be kept"), "{error}");
}
