//! The rule as SQL gives every row the disposition that the rule itself gives it, on the engines that it is compiled for.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use crate::common::estates::{Layout, MOMENTS, Row, ends, policies, rows, text_id, write};
use crate::common::{at, unguarded};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde::Serialize;
use smi_sweep::Error;
use smi_sweep::estate::time::{add_months, day_of, day_start, format_day};
use smi_sweep::policy::Policy;
use smi_sweep::query::{Dialect, QueryOptions, compile};

/// The engines that run in one process, and whose packages the tests install.
const ENGINES: [Dialect; 2] = [Dialect::DuckDb, Dialect::DataFusion];

#[derive(Serialize)]
struct Task {
    engine: &'static str,
    parquet: String,
    sql: String,
}

/// A Python with the engines' packages.
static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/python-env");
    let python = Command::new(script).arg("requirements-tests.txt").output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    String::from_utf8(python.stdout).unwrap().trim().to_owned()
});

/// Runs queries; for each of them the rows of its result.
fn run(home: &Path, tasks: &[Task]) -> Vec<Vec<Vec<serde_json::Value>>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/run_queries.py");
    let (input, output) = (home.join("tasks.json"), home.join("results.json"));
    std::fs::write(&input, serde_json::to_vec(tasks).unwrap()).unwrap();
    let done = Command::new(&*PYTHON).args([&script, &input, &output]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&std::fs::read(output).unwrap()).unwrap()
}

fn sql(policy: &Policy, as_of: i64, dialect: Dialect, has_role: bool) -> String {
    let keep = ["ignored".to_owned()];
    compile(policy, as_of, &QueryOptions { dialect, relation: "snapshot", has_role, keep: &keep }).unwrap()
}

/// What a row of the result says, in the words of [`ends`].
fn end(row: &[serde_json::Value]) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match row[1].as_str() {
        Some("delete") if row[3].as_bool() == Some(true) => "alert".into(),
        Some("delete") => "silent".into(),
        Some("quarantined") => text(&row[2]),
        _ => text(&row[1]),
    }
}

#[test]
fn the_query_says_what_the_rule_says() {
    let home = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let (mut tasks, mut expected) = (Vec::new(), Vec::new());
    for (number, moment) in MOMENTS.iter().cycle().take(60).enumerate() {
        let as_of = at(moment);
        let policy = policies().new_tree(&mut runner).unwrap().current();
        let mut estate: Vec<Row> = rows(as_of).new_tree(&mut runner).unwrap().current();
        let layout = Layout { roles: number % 4 != 0, ..Layout::PLAIN };
        if !layout.roles {
            for row in &mut estate {
                row.role = None;
            }
        }
        let path = home.path().join(format!("{number}.parquet"));
        write(&path, &estate, &layout);
        for dialect in ENGINES {
            tasks.push(Task {
                engine: dialect.name(),
                parquet: path.display().to_string(),
                sql: sql(&policy, as_of, dialect, layout.roles),
            });
            expected.push((number, ends(&estate, &policy, as_of), estate.clone()));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for ((task, result), (number, expected, estate)) in tasks.iter().zip(run(home.path(), &tasks)).zip(expected) {
        assert_eq!(result.len(), expected.len(), "{} of estate {number}", task.engine);
        for row in result {
            let index = row[0].as_u64().unwrap() as usize;
            assert_eq!(end(&row), expected[index], "{} of {:?}\n{}", task.engine, estate[index], task.sql);
            seen.insert(end(&row));
        }
    }
    assert!(seen.len() >= 16, "too few kinds of ends: {seen:?}");
}

/// Device IDs and parties in canonical form, and the date on which a device became due, for every day of three centuries.
#[test]
fn due_dates_are_those_of_the_calendar() {
    let home = tempfile::tempdir().unwrap();
    let days: Vec<i32> = (day_of(at("1899-12-01"))..day_of(at("2200-03-01"))).collect();
    let row = |&day: &i32| Row {
        id: Some(text_id(day.cast_unsigned().into()).to_lowercase()),
        device_type: Some("ESME".into()),
        status: Some("Pending".into()),
        since: Some(day_start(day) + 86_399_999_999),
        party: Some(" Party ".into()),
        role: None,
    };
    let path = home.path().join("days.parquet");
    write(&path, &days.iter().map(row).collect::<Vec<_>>(), &Layout::PLAIN);
    let mut policy = unguarded("pre-change");
    let mut tasks = Vec::new();
    let months = [1, 12, 36, 1200];
    for (months, dialect) in months.iter().flat_map(|&months| ENGINES.map(|dialect| (months, dialect))) {
        policy.thresholds.default = months;
        let all = sql(&policy, at("2400-01-01"), dialect, true);
        let sql = format!("SELECT ignored, device_id, due_on, notifying_party FROM ({all}) AS judged ORDER BY ignored");
        tasks.push(Task { engine: dialect.name(), parquet: path.display().to_string(), sql });
    }
    let months = months.iter().flat_map(|&months| [months; ENGINES.len()]);
    for ((task, months), result) in tasks.iter().zip(months).zip(run(home.path(), &tasks)) {
        assert_eq!(result.len(), days.len());
        for (row, &day) in result.iter().zip(&days) {
            let due = format_day(add_months(day, months).unwrap());
            assert_eq!(row[1], text_id(day.cast_unsigned().into()), "{}", task.engine);
            assert_eq!(row[2], due, "{} of {} and {months} months", task.engine, format_day(day));
            assert_eq!(row[3], "Party");
        }
    }
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
