//! `smi-sweep export`: the live inventory as of one moment, as a sealed snapshot.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::load::DatabaseUrl;
use super::progress::TerminalProgress;
use super::{Common, figures, print, print_json, remark};
use crate::error::Result;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::shown;
use crate::smi::{self, Config, ExportOptions, Target};

/// Export the device table of a PostgreSQL inventory into a sealed snapshot
///
/// All rows are read in one transaction, whose time by the database's clock is the snapshot's taken_at. The files have
/// the layout that sweeps fastest, and the columns that a sweep reads.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The database: postgresql://USER@HOST/DATABASE?sslmode=require
    ///
    /// Give a password in PGPASSWORD or .pgpass.
    #[arg(long, value_name = "URL")]
    from: DatabaseUrl,
    /// The folder to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The name of the device table and of its columns [default: public.device]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy with the candidate statuses and the names of columns: a file (with a `/`, or ending in .toml), or a
    /// built-in
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    /// Number of connections that read at the same time [default: one for each worker thread]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: Option<u16>,
}

/// The JSON document of an export.
#[derive(Serialize)]
struct ExportDocument<'a> {
    path: &'a Path,
    rows: u64,
    files: usize,
    bytes: u64,
    taken_at: &'a str,
    table: &'a str,
    seconds: f64,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let config = Config::load(args.config.as_deref())?;
    let target = Target::parse(args.from.as_str())?;
    let pool = args.connections.map_or_else(|| common.pool(), |connections| Pool::new(Some(usize::from(connections))));
    let progress = TerminalProgress::new(common);
    let options = ExportOptions { target: &target, config: &config, policy: &policy, out: &args.out };
    let summary = smi::export(&options, &pool, &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&ExportDocument {
            path: &args.out,
            rows: summary.rows,
            files: summary.files,
            bytes: summary.bytes,
            taken_at: &summary.taken_at,
            table: &summary.table,
            seconds,
        });
    }
    remark(
        common,
        &format!(
            "{} rows of {} as of {}, {} files, {} bytes, {seconds:.1} s",
            figures::count(summary.rows),
            summary.table,
            summary.taken_at,
            summary.files,
            figures::count(summary.bytes),
        ),
    );
    print(&format!("{}\n", shown::path(&args.out)))
}
