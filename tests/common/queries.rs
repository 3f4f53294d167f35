//! Runs the rule as SQL on other engines, and compares what they say of random estates and of the calendar.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde::Serialize;
use smi_sweep::estate::time::{add_months, day_of, day_start, format_day};
use smi_sweep::policy::Policy;
use smi_sweep::query::{Dialect, QueryOptions, compile};

use super::estates::{Layout, MOMENTS, Row, ends, policies, rows, text_id, write};
use super::{at, unguarded};

/// A query over a Parquet file, which it calls `snapshot`.
#[derive(Serialize)]
pub struct Task {
    engine: &'static str,
    parquet: String,
    sql: String,
}

/// Rows of a result.
type Rows = Vec<Vec<serde_json::Value>>;

/// A Python with the packages that a list of requirements in `scripts` names.
pub fn python(requirements: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/python-env");
    let python = Command::new(script).arg(requirements).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    String::from_utf8(python.stdout).unwrap().trim().to_owned()
}

/// Runs a Python script that reads tasks from the first file and writes the rows of each to the second.
pub fn run(python: &str, script: &str, home: &Path, tasks: &[Task]) -> Vec<Rows> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let (input, output) = (home.join("tasks.json"), home.join("results.json"));
    std::fs::write(&input, serde_json::to_vec(tasks).unwrap()).unwrap();
    let done = Command::new(python).args([&script, &input, &output]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&std::fs::read(output).unwrap()).unwrap()
}

pub fn sql(policy: &Policy, as_of: i64, dialect: Dialect, has_role: bool) -> String {
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

/// Compares what engines say of every row of `count` random estates, under random policies, with the rule.
pub fn compare_estates(count: usize, dialects: &[Dialect], run: impl Fn(&Path, &[Task]) -> Vec<Rows>) {
    let home = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let (mut tasks, mut expected) = (Vec::new(), Vec::new());
    for (number, moment) in MOMENTS.iter().cycle().take(count).enumerate() {
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
        for &dialect in dialects {
            let sql = sql(&policy, as_of, dialect, layout.roles);
            tasks.push(Task { engine: dialect.name(), parquet: path.display().to_string(), sql });
            expected.push((number, ends(&estate, &policy, as_of), estate.clone()));
        }
    }
    let mut seen = BTreeSet::new();
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

/// Compares Device IDs and parties in canonical form, and due dates, for every day of three centuries.
pub fn compare_dates(dialects: &[Dialect], run: impl Fn(&Path, &[Task]) -> Vec<Rows>) {
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
    let all: Vec<(u32, Dialect)> =
        [1, 12, 36, 1200].iter().flat_map(|&months| dialects.iter().map(move |&dialect| (months, dialect))).collect();
    for &(months, dialect) in &all {
        policy.thresholds.default = months;
        let judged = sql(&policy, at("2400-01-01"), dialect, true);
        let sql =
            format!("SELECT ignored, device_id, due_on, notifying_party FROM ({judged}) AS judged ORDER BY ignored");
        tasks.push(Task { engine: dialect.name(), parquet: path.display().to_string(), sql });
    }
    for ((months, dialect), result) in all.iter().zip(run(home.path(), &tasks)) {
        assert_eq!(result.len(), days.len());
        for (row, &day) in result.iter().zip(&days) {
            let due = format_day(add_months(day, *months).unwrap());
            assert_eq!(row[1], text_id(day.cast_unsigned().into()), "{}", dialect.name());
            assert_eq!(row[2], due, "{} of {} and {months} months", dialect.name(), format_day(day));
            assert_eq!(row[3], "Party");
        }
    }
}
