//! `smi-sweep export`: the live inventory as of one moment, as a sealed snapshot.

use std::path::PathBuf;

use serde_json::json;

use super::load::DatabaseUrl;
use super::progress::TerminalProgress;
use super::{Common, figures, print, print_json, remark};
use crate::error::Result;
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::smi::{self, Config, Target};

/// Export the device table of a PostgreSQL inventory into a sealed snapshot
///
/// All rows are of one moment, which is the snapshot's taken_at by the database's clock. The files have the layout that
/// sweeps fastest, and hold the columns that a sweep knows.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The database: postgresql://USER@HOST/DATABASE?sslmode=require
    ///
    /// A password is best given by PGPASSWORD or .pgpass.
    #[arg(long, value_name = "URL")]
    from: DatabaseUrl,
    /// The folder to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where the device table is, and how its columns are called [default: public.device]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy that says which statuses are candidates and how columns are called: a file (with a `/`, or ending in
    /// .toml), or the name of a built-in
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    /// How many connections read at the same time [default: one for each worker thread]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: Option<u16>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let config = Config::load(args.config.as_deref())?;
    let target = Target::parse(args.from.as_str())?;
    let staging = OutputDirectory::create(&args.out)?;
    let pool = args.connections.map_or_else(|| common.pool(), |connections| Pool::new(Some(usize::from(connections))));
    let progress = TerminalProgress::new(common);
    let summary = smi::export(&target, &config, &policy, staging.path(), &pool, &progress)?;
    staging.publish(&pool)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&json!({
            "path": args.out, "rows": summary.rows, "files": summary.files, "bytes": summary.bytes,
            "taken_at": summary.taken_at, "table": summary.table, "seconds": seconds,
        }));
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
    print(&format!("{}\n", args.out.display()))
}
