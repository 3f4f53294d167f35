//! `smi-sweep manifest export`: writes a run's manifests in the formats of other systems.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use super::figures::count;
use super::progress::TerminalProgress;
use super::{Common, parse_time, print, print_json, remark};
use crate::approval::{self, RequiredApprovals};
use crate::error::Result;
use crate::handover::{self, DuisHeader, Format, ManifestExport};
use crate::shown;

/// Export a run's manifests for other systems
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
/// The run is verified first. The folder appears whole or not at all. Its export.json names the run, and has the digest
/// of each file.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep manifest export [OPTIONS]\n                                 --format <F> --out <DIR> <RUN>"
)]
struct ExportArgs {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    format: FormatName,
    /// The folder to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Export only an approved run: a file with [approvals]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Devices in a transaction, for sql
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
enum FormatName {
    /// A file for each manifest, for COPY, LOAD DATA and SQL*Loader
    Csv,
    /// Guarded deletions, as transactions for PostgreSQL
    Sql,
    /// A file for each manifest, with a JSON object on each line
    Ndjson,
    /// A file for each Notifying Party, with a DUIS alert on each line
    Duis,
}

#[derive(Serialize)]
struct ExportDocument<'a> {
    path: &'a Path,
    export: &'a ManifestExport,
    seconds: f64,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let Command::Export(args) = &args.command;
    export(args, common)
}

fn export(args: &ExportArgs, common: &Common) -> Result<()> {
    let format = match args.format {
        FormatName::Csv => Format::Csv,
        FormatName::Ndjson => Format::Ndjson,
        FormatName::Sql => Format::Sql { batch: args.batch.get() },
        FormatName::Duis => {
            Format::Duis(DuisHeader { response_code: args.response_code.clone(), response_time: args.response_time })
        }
    };
    if let Some(config) = &args.config {
        approval::check(&args.run, &RequiredApprovals::load(config)?)?;
    }
    let progress = TerminalProgress::new(common);
    let export = handover::export_manifests(&args.run, &format, &args.out, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&ExportDocument { path: &args.out, export: &export, seconds });
    }
    remark(common, &format!("{}, {seconds:.2} s", summary(&export)));
    print(&format!("{}\n", shown::path(&args.out)))
}

fn summary(export: &ManifestExport) -> String {
    let rows = export.files.iter().map(|file| file.rows).sum();
    let bytes: u64 = export.files.iter().map(|file| file.bytes).sum();
    let files = export.files.len();
    format!("{}: {} rows in {} files, {} bytes", export.format, count(rows), files, count(bytes))
}
