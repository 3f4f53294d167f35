//! `smi-sweep ledger`: count an estate once, and ask what any policy would make of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::TerminalProgress;
use super::{Common, figures, parse_time, print, print_json, remark};
use crate::error::{Error, Result};
use crate::estate::time;
use crate::ledger::{Ledger, Tallied};
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::progress::{Progress, Stage};
use crate::report::ledger::{self as page, Asked};
use crate::run::record::Counts;
use crate::scan::Scan;
use crate::snapshot::Snapshot;

/// Count an estate once, so that any threshold and exclusion list can be answered without another scan
///
/// A ledger is a Parquet file of a few megabytes: counts by device type, status, day, party and region. It says how many,
/// never which.
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
    /// Says how things are spelt, and which statuses are counted by day: a policy file or a built-in
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    /// The moment that is counted [default: the one at which the snapshot says it was taken]
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: Option<i64>,
    /// What the estate is called, so that ledgers of different ones are not mixed up [default: what the files say under
    /// `smi.estate`]
    #[arg(long, value_name = "NAME")]
    estate: Option<String>,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Tally(Tally),
}

/// What policies make of a ledger: exactly what a sweep of the snapshot would count, for every threshold
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
    /// Also print what each policy would delete if its threshold were each of these, for all types alike: `12`, `1-60`
    #[arg(long, value_name = "MONTHS", value_parser = parse_months)]
    months: Option<(u32, u32)>,
    /// Also write tables (CSV) and a page with pictures into this folder, which must not exist yet
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
        (None, Some(out)) => take(args, out, common),
        (None, None) => Err(Error::Usage { what: "no --out".into(), remedy: "say --out FILE".into() }),
    }
}

fn take(args: &Args, out: &Path, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    if out.exists() {
        return Err(Error::Usage {
            what: format!("{} exists already", out.display()),
            remedy: "name a file that does not exist yet; nothing is ever replaced".into(),
        });
    }
    let pool = common.pool();
    let progress = TerminalProgress::new(common);
    let snapshot = Snapshot::open(&args.snapshot, &policy.spellings.columns, &pool, &progress)?;
    let (as_of, _) = snapshot.as_of(args.as_of)?;
    let ledger = Ledger::take(&Scan::new(&snapshot, &pool, &progress), &policy, as_of, args.estate.as_deref())?;
    progress.begin(Stage::Write, 0);
    ledger.write(out)?;
    let (_, seconds) = progress.finish();
    let cells = ledger.census.cells.len() + ledger.census.shared.len();
    let bytes = std::fs::metadata(out).map_err(Error::io("inspect", out))?.len();
    if common.json {
        return print_json(&json!({
            "path": out, "as_of": time::format_instant(as_of), "estate": ledger.estate, "synthetic": ledger.synthetic,
            "rows": ledger.weight.rows, "cells": cells, "bytes": bytes, "snapshot_bytes": ledger.weight.bytes,
            "bytes_by_column": ledger.weight.by_column, "seconds": seconds,
        }));
    }
    remark(
        common,
        &format!(
            "as of {}, {} rows counted in {} cells, {} bytes, {seconds:.2} s",
            time::format_instant(as_of),
            figures::count(ledger.weight.rows),
            figures::count(cells as u64),
            figures::count(bytes),
        ),
    );
    print(&format!("{}\n", out.display()))
}

fn exec_tally(args: &Tally, common: &Common) -> Result<()> {
    let policies = args.policy.iter().map(|name| Policy::load(name)).collect::<Result<Vec<_>>>()?;
    let staging = args.out.as_ref().map(|out| OutputDirectory::create(out)).transpose()?;
    let ledger = Ledger::read(&args.ledger)?;
    let asked: Vec<Asked> = policies
        .into_iter()
        .map(|policy| Asked::new(&ledger, policy, args.months.unwrap_or(page::MONTHS)))
        .collect::<Result<_>>()?;
    if let Some(staging) = staging {
        page::write(staging.path(), &ledger, &asked)?;
        staging.publish(&common.pool())?;
    }
    if common.json {
        return print_json(&document(args, &ledger, &asked));
    }
    let mut text = String::new();
    for asked in &asked {
        let head = format!(
            "policy {} version {}, as of {}",
            asked.policy.name,
            asked.policy.version,
            time::format_instant(ledger.as_of)
        );
        text.push_str(&format!("{head}\n{}\n", figures::dispositions(&asked.tallied.by_type, &ledger.types)));
    }
    if args.months.is_some() {
        text.push_str(&format!("{}\n", cliff(&asked)));
    }
    print(&text)
}

/// What each policy deletes for each threshold.
fn cliff(asked: &[Asked]) -> String {
    let names = asked.iter().flat_map(|asked| [asked.policy.name.clone(), "of which N8".into()]);
    let header: Vec<String> = std::iter::once("months".to_owned()).chain(names).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let months = asked.first().map(|asked| asked.cliff.as_slice()).unwrap_or_default();
    let rows = months.iter().enumerate().map(|(index, (months, _))| {
        let figures = asked.iter().flat_map(|asked| {
            let total = asked.cliff[index].1.by_type.total();
            [figures::count(total.deletes()), figures::count(total.alerts)]
        });
        std::iter::once(months.to_string()).chain(figures).collect()
    });
    figures::table(&header, rows)
}

fn document(args: &Tally, ledger: &Ledger, asked: &[Asked]) -> Value {
    let parties = |tallied: &Tallied| -> Value {
        let of = tallied.by_party.iter().map(|(party, tally)| {
            (ledger.party_name(*party).to_owned(), json!({ "deletes": tally.deletes, "alerts": tally.alerts }))
        });
        Value::Object(of.collect())
    };
    let policies: Vec<Value> = asked
        .iter()
        .map(|asked| {
            let by_type = asked.tallied.by_type.iter();
            let by_type: serde_json::Map<String, Value> =
                by_type.map(|(code, tally)| (ledger.types.name(code).to_owned(), json!(Counts::from(tally)))).collect();
            let mut document = json!({
                "policy": asked.policy.name,
                "version": asked.policy.version,
                "digest": asked.policy.digest(),
                "tally": Counts::from(&asked.tallied.by_type.total()),
                "by_type": by_type,
                "by_party": parties(&asked.tallied),
            });
            if args.months.is_some() {
                let cliff = asked.cliff.iter().map(|(months, tallied)| {
                    let total = tallied.by_type.total();
                    json!({ "months": months, "delete": total.deletes(), "alerts": total.alerts, "silent_deletes": total.silent_deletes })
                });
                document["by_months"] = cliff.collect();
            }
            document
        })
        .collect();
    json!({ "ledger": args.ledger, "as_of": time::format_instant(ledger.as_of), "estate": ledger.estate, "synthetic": ledger.synthetic, "policies": policies })
}
