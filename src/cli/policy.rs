//! `smi-sweep policy`: validates, prints and compares policies.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Common, figures, parse_time, print, print_json};
use crate::error::Result;
use crate::estate::{SmiStatus, time};
use crate::policy::{Boundary, Policy, changes, status_name};
use crate::query::{self, Dialect, QueryOptions};
use crate::run::record;
use crate::shown;

/// Validate, print and compare policies
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Validate policies, and print the digest of each
    Check {
        /// Files (with a `/`, or ending in .toml), or names of built-ins
        #[arg(required = true, value_name = "FILE_OR_NAME")]
        policy: Vec<String>,
    },
    /// Print effective months, exclusions, alerts, guards and digest, and the cutoffs at a moment
    Show {
        /// A file (with a `/`, or ending in .toml), or the name of a built-in
        #[arg(value_name = "FILE_OR_NAME")]
        policy: String,
        /// The moment that cutoffs are computed for
        #[arg(long, value_name = "T", value_parser = parse_time)]
        as_of: Option<i64>,
    },
    /// Write the whole rule as one SQL query, to be run by another engine
    ///
    /// The query gives each row of the relation its disposition, with reason, alert and due date. Its Device IDs and
    /// parties must be text, its times UTC.
    #[command(
        override_usage = "smi-sweep policy sql [OPTIONS] --as-of <T>\n                       --dialect <DIALECT> <FILE_OR_NAME>"
    )]
    Sql(SqlArgs),
    /// Describe what changes from one policy to another, for a change-control record
    Diff {
        /// The policy before
        #[arg(value_name = "A")]
        from: String,
        /// The policy after
        #[arg(value_name = "B")]
        to: String,
    },
}

/// Arguments of `policy sql`.
#[derive(clap::Args, Debug)]
struct SqlArgs {
    /// A file (with a `/`, or ending in .toml), or the name of a built-in
    #[arg(value_name = "FILE_OR_NAME")]
    policy: String,
    /// The moment to judge by
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: i64,
    /// The engine that runs the query
    #[arg(long, value_enum)]
    dialect: Dialect,
    /// The table, or another relation as the engine writes it: "read_parquet('snapshot/*.parquet')"
    #[arg(long, value_name = "RELATION", default_value = "snapshot")]
    from: String,
    /// The relation has no column of roles
    #[arg(long)]
    without_role: bool,
    /// A further column of the relation for the result; can be given several times
    #[arg(long, value_name = "COLUMN")]
    keep: Vec<String>,
}

/// The identity of a policy.
#[derive(Serialize)]
struct PolicyId<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'p str>,
    name: &'p str,
    version: u32,
    digest: String,
}

#[derive(Serialize)]
struct CheckDocument<'p> {
    policies: Vec<PolicyId<'p>>,
}

#[derive(Serialize)]
struct SqlDocument<'p> {
    policy: PolicyId<'p>,
    dialect: &'static str,
    sql: String,
}

#[derive(Serialize)]
struct DiffDocument<'p> {
    from: PolicyId<'p>,
    to: PolicyId<'p>,
    changes: Vec<String>,
}

#[derive(Serialize)]
struct ShowDocument {
    #[serde(flatten)]
    policy: serde_json::Value,
    digest: String,
    as_of: Option<String>,
    cutoffs: Option<BTreeMap<String, record::CutoffRecord>>,
}

impl<'p> PolicyId<'p> {
    fn of(policy: &'p Policy, source: Option<&'p str>) -> Self {
        Self { source, name: &policy.name, version: policy.version, digest: policy.digest() }
    }
}

/// Characters of a sentence about a change that are shown.
const LONGEST_SENTENCE: usize = 4096;

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    match &args.command {
        Command::Check { policy } => check(policy, common),
        Command::Diff { from, to } => diff(&Policy::load(from)?, &Policy::load(to)?, common),
        Command::Sql(args) => sql(args, common),
        Command::Show { policy, as_of } => show(&Policy::load(policy)?, *as_of, common),
    }
}

fn check(names: &[String], common: &Common) -> Result<()> {
    let policies = names.iter().map(|name| Ok((name, Policy::load(name)?))).collect::<Result<Vec<_>>>()?;
    if common.json {
        let policies = policies.iter().map(|(source, policy)| PolicyId::of(policy, Some(source))).collect();
        return print_json(&CheckDocument { policies });
    }
    let lines = policies.iter().map(|(source, policy)| {
        format!("{}: ok, {} version {}, digest {}\n", shown::path(source), policy.name, policy.version, policy.digest())
    });
    print(&lines.collect::<String>())
}

fn diff(from: &Policy, to: &Policy, common: &Common) -> Result<()> {
    let changes = changes(from, to);
    if common.json {
        return print_json(&DiffDocument { from: PolicyId::of(from, None), to: PolicyId::of(to, None), changes });
    }
    let mut text = String::new();
    for (when, policy) in [("before", from), ("after ", to)] {
        text.push_str(&format!("{when}  {} version {}, digest {}\n", policy.name, policy.version, policy.digest()));
    }
    if changes.is_empty() {
        text.push_str("Nothing changes.\n");
    }
    for sentence in changes {
        text.push_str(&format!("{}\n", shown::message(&sentence, LONGEST_SENTENCE)));
    }
    print(&text)
}

fn sql(args: &SqlArgs, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let options =
        QueryOptions { dialect: args.dialect, relation: &args.from, has_role: !args.without_role, keep: &args.keep };
    let sql = query::compile(&policy, args.as_of, &options)?;
    if common.json {
        return print_json(&SqlDocument { policy: PolicyId::of(&policy, None), dialect: args.dialect.name(), sql });
    }
    print(&sql)
}

fn show(policy: &Policy, as_of: Option<i64>, common: &Common) -> Result<()> {
    let cutoffs = as_of.map(|as_of| record::cutoffs(policy, &policy.bind(as_of)));
    if common.json {
        let (digest, as_of) = (policy.digest(), as_of.map(time::format_instant));
        return print_json(&ShowDocument { policy: policy.to_json(), digest, as_of, cutoffs });
    }
    let mut text = format!("{} version {}\n", policy.name, policy.version);
    for (label, lines) in facts(policy) {
        for (index, line) in lines.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            text.push_str(&figures::wrapped(&format!("  {label:<11} {line}\n"), VALUE));
        }
    }
    let rows = policy.types.iter().map(|(device_type, name)| {
        let excluded = policy.exclude.contains(device_type);
        let silent = policy.alerts.silent_types.contains(device_type);
        let months = policy.thresholds.months(device_type);
        let effect = match (excluded, silent) {
            (true, _) => "excluded: never deleted",
            (false, true) => "deleted silently",
            (false, false) => "deleted with an alert",
        };
        let mut row = vec![name.to_owned(), months.to_string(), effect.to_owned()];
        if let Some(cutoff) = cutoffs.as_ref().and_then(|cutoffs| cutoffs.get(name)) {
            row.push(if excluded { "never".into() } else { due(cutoff) });
        }
        row
    });
    let when = as_of.map(|as_of| format!("due as of {} if since", time::format_instant(as_of)));
    let mut header = vec!["type", "months", "when due"];
    header.extend(when.as_deref());
    text.push_str(&format!("{}\n", figures::table(&header, rows)));
    print(&text)
}

/// The column in which values begin, after their labels.
const VALUE: usize = 14;

/// The settings of a policy except its types: labels, each with its lines.
fn facts(policy: &Policy) -> Vec<(&'static str, Vec<String>)> {
    let statuses: Vec<&str> = policy.candidate_statuses.iter().map(SmiStatus::name).collect();
    let compared = match policy.boundary {
        Boundary::Date => "UTC calendar date",
        Boundary::Instant => "instant",
    };
    let guard = &policy.guard;
    let guards = format!(
        "at most {}, {}% of all rows, {} quarantined",
        figures::counted(guard.max_deletes, "deletion"),
        guard.max_delete_share * 100.0,
        figures::count(guard.max_quarantined),
    );
    let mut guards = vec![guards];
    guards.extend(guard.require_unique.then(|| "Device IDs must be proven unique".to_owned()));
    guards.extend(guard.require_sealed.then(|| "the snapshot must be sealed".to_owned()));
    let digest = policy.digest();
    let narrow = figures::width().is_some_and(|width| width < VALUE + digest.len());
    let (first, second) = digest.split_at(if narrow { digest.len() / 2 } else { digest.len() });
    let spellings = &policy.spellings;
    let read_as = |theirs: &String, ours: &str| format!("{} is read as {}", shown::quoted(theirs), shown::value(ours));
    vec![
        ("sweeps", vec![format!("{}, by {compared}", statuses.join(", "))]),
        ("alert", vec![policy.alerts.code.clone()]),
        ("guards", guards.into_iter().chain(further_guards(policy)).collect()),
        ("columns", spellings.columns.iter().map(|(theirs, ours)| read_as(theirs, ours.name())).collect()),
        ("statuses", spellings.statuses.iter().map(|(theirs, &ours)| read_as(theirs, status_name(ours))).collect()),
        (
            "types",
            spellings.types.iter().map(|(theirs, ours)| read_as(theirs, policy.types.name(ours.code()))).collect(),
        ),
        ("dates", dates(policy)),
        ("digest", [first, second].into_iter().filter(|half| !half.is_empty()).map(str::to_owned).collect()),
    ]
}

/// The guards that a policy need not have, one on each line.
fn further_guards(policy: &Policy) -> impl Iterator<Item = String> {
    let guard = &policy.guard;
    let usual = ["max_deletes", "max_delete_share", "max_quarantined"];
    let limits = guard.limits().into_iter().filter(move |limit| !usual.contains(&limit.key.as_str()));
    let previous = guard.previous.iter().map(|run| format!("previous = {}", shown::quoted(run)));
    limits.map(|limit| format!("{} = {}", shown::value(&limit.key), limit.text)).chain(previous)
}

/// What the policy declares about dates.
fn dates(policy: &Policy) -> Vec<String> {
    let dates = &policy.spellings.dates;
    let earliest = policy.earliest_date.map(|day| format!("before {} are not plausible", time::format_day(day)));
    let format = dates.format.as_ref().map(|format| format!("that are text are read as {:?}", format.pattern()));
    let zone = dates.zone.as_ref().map(|zone| format!("without a zone are read in {}", zone.name()));
    earliest.into_iter().chain(format).chain(zone).collect()
}

fn due(cutoff: &record::CutoffRecord) -> String {
    let mut words = format!("{} or before", cutoff.due_if_since);
    for (first, last) in &cutoff.and_between {
        words.push_str(&format!(", or from {first} to {last}"));
    }
    words
}
