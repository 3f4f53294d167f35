//! The rule as SQL gives every row the disposition that the rule itself gives it, on Spark.

use std::path::Path;

use crate::common::queries::{Task, compare_dates, compare_estates, python, run};
use smi_sweep::query::Dialect;

fn run_on_spark(home: &Path, tasks: &[Task]) -> Vec<Vec<Vec<serde_json::Value>>> {
    run(&python("requirements-spark.txt"), "tests/cluster/run_queries.py", home, tasks)
}

#[test]
fn the_query_says_what_the_rule_says() {
    compare_estates(36, &[Dialect::Spark], run_on_spark);
}

#[test]
fn due_dates_are_those_of_the_calendar() {
    compare_dates(&[Dialect::Spark], run_on_spark);
}
