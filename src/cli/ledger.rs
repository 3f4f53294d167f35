//! `smi-sweep ledger`: count an estate once, and evaluate policies on the counts.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{AsOfArgs, Common, figures, print, print_json, remark};
use crate::error::{Error, Result};
use crate::estate::time;
use crate::ledger::{CountOptions, LedgerSummary, PolicyAnswer, count_to_file};
use crate::policy::Policy;
use crate::report::tally::{LedgerAnswers, TallyOptions, tally_file};
use crate::shown;

/// Count an estate once, so that any threshold and exclusion list can be evaluated without another scan
///
/// A ledger is a Parquet file of a few megabytes: counts by device type, status, day, party and region. It holds counts,
/// not Device IDs.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Parquet files, or folders of them
    #[arg(required = true, value_name = "SNAPSHOT")]
    snapshot: Vec<PathBuf>,
    /// The ledger to write, which must not exist yet
    #[arg(long, required = true, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Gives spellings and the statuses to count by day: a policy file or a built-in
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    #[command(flatten)]
    as_of: AsOfArgs,
    /// Name of the estate, which keeps ledgers of different estates apart [default: the value of `smi.estate` in the
    /// files]
    #[arg(long, value_name = "NAME")]
    estate: Option<String>,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Tally(Tally),
}

/// Evaluate policies on a ledger: the same counts as a sweep of the snapshot, for every threshold
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep ledger tally [OPTIONS]\n                              --policy <FILE_OR_NAME> <LEDGER>"
)]
struct Tally {
    /// A ledger
    #[arg(value_name = "LEDGER")]
    ledger: PathBuf,
    /// A policy file (with a `/`, or ending in .toml), or a built-in: pre-change, scr137, secmp0060
    #[arg(long, required = true, value_name = "FILE_OR_NAME")]
    policy: Vec<String>,
    /// Also print planned deletions at each of these thresholds, the same for all types: `12`, `1-60`
    #[arg(long, value_name = "MONTHS", value_parser = parse_months)]
    months: Option<(u32, u32)>,
    /// Also write tables (CSV) and a page with charts into this folder, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn parse_months(text: &str) -> std::result::Result<(u32, u32), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last && last <= crate::policy::Thresholds::LONGEST => {
            Ok((first, last))
        }
        _ => Err(format!("write months from 1 to {}, as in 12 or 1-60", crate::policy::Thresholds::LONGEST)),
    }
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    match (&args.command, &args.out) {
        (Some(Command::Tally(tally)), _) => exec_tally(tally, common),
        (None, Some(out)) => count(args, out, common),
        (None, None) => Err(Error::Usage { what: "no --out".into(), remedy: "add --out FILE".into() }),
    }
}

/// The JSON document of `ledger`.
#[derive(Serialize)]
struct CountDocument {
    #[serde(flatten)]
    summary: LedgerSummary,
    seconds: f64,
}

fn count(args: &Args, out: &Path, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let progress = TerminalProgress::new(common);
    let options = CountOptions {
        snapshot: &args.snapshot,
        policy: &policy,
        as_of: args.as_of.asked(),
        estate: args.estate.as_deref(),
        out,
    };
    let summary = count_to_file(&options, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&CountDocument { summary, seconds });
    }
    let rows = figures::count(summary.rows);
    let (cells, bytes) = (figures::count(summary.cells), figures::count(summary.bytes));
    remark(
        common,
        &format!("as of {}, {rows} rows counted in {cells} cells, {bytes} bytes, {seconds:.2} s", summary.as_of),
    );
    print(&format!("{}\n", shown::path(&out)))
}

fn exec_tally(args: &Tally, common: &Common) -> Result<()> {
    let policies = args.policy.iter().map(|name| Policy::load(name)).collect::<Result<Vec<_>>>()?;
    let options = TallyOptions { ledger: &args.ledger, policies, months: args.months, out: args.out.as_deref() };
    let tallied = tally_file(options, &common.pool())?;
    if common.json {
        return print_json(&tallied.document(&args.ledger, args.months.is_some()));
    }
    print(&tally_text(&tallied, args.months.is_some()))
}

/// A table for each policy, and one of all thresholds.
fn tally_text(tallied: &LedgerAnswers, with_months: bool) -> String {
    let LedgerAnswers { ledger, answers } = tallied;
    let mut text = String::new();
    for answer in answers {
        let as_of = time::format_instant(ledger.as_of);
        let table = figures::dispositions(&answer.tally.by_type, &ledger.types);
        text.push_str(&format!(
            "policy {} version {}, as of {as_of}\n{table}\n",
            answer.policy.name, answer.policy.version
        ));
    }
    if with_months {
        text.push_str(&format!("{}\n", threshold_table(answers)));
    }
    text
}

/// Planned deletions of each policy at each threshold.
fn threshold_table(answers: &[PolicyAnswer]) -> String {
    let names = answers.iter().flat_map(|answer| [answer.policy.name.clone(), "of which N8".into()]);
    let header: Vec<String> = std::iter::once("months".to_owned()).chain(names).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let months = answers.first().map(|answer| answer.by_months.as_slice()).unwrap_or_default();
    let rows = months.iter().enumerate().map(|(index, (months, _))| {
        let figures = answers.iter().flat_map(|answer| {
            let total = answer.by_months[index].1.by_type.total();
            [figures::count(total.deletes()), figures::count(total.alerts)]
        });
        std::iter::once(months.to_string()).chain(figures).collect()
    });
    figures::table(&header, rows)
}
