//! `smi-sweep recluster`: copies a snapshot into the layout that sweeps fastest.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{Common, SnapshotArgs, figures, print, print_json, remark};
use crate::error::Result;
use crate::policy::Policy;
use crate::recluster::recluster_into;
use crate::shown;

/// Copy a snapshot into the layout that sweeps fastest, sealed, with proof that its rows are the same
///
/// Rows are sorted by status, type and date, and candidates have row groups of their own. Columns that a sweep does not
/// read are not copied.
#[derive(clap::Args, Debug)]
#[command(override_usage = "smi-sweep recluster [OPTIONS] --out <DIR>\n                           <SNAPSHOT>...")]
pub struct Args {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// The folder to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The policy with the candidate statuses and the names of columns: a file (with a `/`, or ending in .toml), or a
    /// built-in
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
}

#[derive(Serialize)]
struct ReclusterDocument<'a> {
    path: &'a Path,
    rows: u64,
    files: usize,
    bytes: u64,
    fingerprint: String,
    source_bytes: u64,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let progress = TerminalProgress::new(common);
    let summary = recluster_into(&args.snapshot.snapshot, &policy, &args.out, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&ReclusterDocument {
            path: &args.out,
            rows: summary.rows,
            files: summary.files,
            bytes: summary.bytes,
            fingerprint: summary.fingerprint.to_string(),
            source_bytes: summary.source_bytes,
        });
    }
    remark(
        common,
        &format!(
            "{} in {}, {} bytes, {} before, {seconds:.1} s; the same rows, fingerprint {}",
            figures::counted(summary.rows, "row"),
            figures::counted(summary.files as u64, "file"),
            figures::count(summary.bytes),
            figures::count(summary.source_bytes),
            summary.fingerprint,
        ),
    );
    print(&format!("{}\n", shown::path(&args.out)))
}
