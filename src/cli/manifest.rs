//! `smi-sweep manifest`: a run's manifests for other systems.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::figures::count;
use super::progress::TerminalProgress;
use super::{Common, parse_time, print, print_json, remark};
use crate::approval::{self, Required};
use crate::error::Result;
use crate::handover::{self, Format, Handover, Letterhead};

/// Hand a run's manifests over to other systems
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Export(ExportArgs),
}

/// Write a run's manifests as CSV, NDJSON, guarded SQL, or DUIS alerts
///
/// The run is verified first. The folder appears whole, or not at all, and has export.json in it: what it was written
/// from, and the digest of each file.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep manifest export [OPTIONS]\n                                 --format <F> --out <DIR> <RUN>"
)]
struct ExportArgs {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The form
    #[arg(long, value_enum)]
    format: Name,
    /// The folder to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only what enough people have approved: a file with [approvals]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Devices of one transaction, for sql
    #[arg(long, value_name = "N", default_value = "10000")]
    batch: NonZeroUsize,
    /// ResponseDateTime of the alerts, for duis [default: the moment of the run]
    #[arg(long, value_name = "T", value_parser = parse_time)]
    response_time: Option<i64>,
    /// ResponseCode of the alerts, for duis
    #[arg(long, value_name = "CODE", default_value = "I0")]
    response_code: String,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Name {
    /// A file for each manifest, for COPY, LOAD DATA and SQL*Loader
    Csv,
    /// Deletions that are still due, as transactions for PostgreSQL
    Sql,
    /// A file for each manifest, a JSON object a line
    Ndjson,
    /// Alerts for each Notifying Party, a DUIS document a line
    Duis,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let Command::Export(args) = &args.command;
    export(args, common)
}

fn export(args: &ExportArgs, common: &Common) -> Result<()> {
    let format = match args.format {
        Name::Csv => Format::Csv,
        Name::Ndjson => Format::Ndjson,
        Name::Sql => Format::Sql { batch: args.batch.get() },
        Name::Duis => {
            Format::Duis(Letterhead { response_code: args.response_code.clone(), response_time: args.response_time })
        }
    };
    if let Some(config) = &args.config {
        approval::check(&args.run, &Required::load(config)?)?;
    }
    let progress = TerminalProgress::new(common);
    let handover = handover::hand_over(&args.run, &format, &args.out, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&json!({ "path": args.out, "export": handover, "seconds": seconds }));
    }
    remark(common, &format!("{}, {seconds:.2} s", summary(&handover)));
    print(&format!("{}\n", args.out.display()))
}

fn summary(handover: &Handover) -> String {
    let rows = handover.files.iter().map(|file| file.rows).sum();
    let bytes: u64 = handover.files.iter().map(|file| file.bytes).sum();
    let files = handover.files.len();
    format!("{}: {} rows in {} files, {} bytes", handover.format, count(rows), files, count(bytes))
}
