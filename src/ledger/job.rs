//! Counts a snapshot and writes its ledger, in one call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::data::Ledger;
use crate::error::{Error, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::scan::Scan;
use crate::shown;
use crate::snapshot::{AsOf, Snapshot};

/// What [`count_to_file`] counts, and where it writes.
#[derive(Debug, Clone, Copy)]
pub struct CountOptions<'a> {
    /// Parquet files, or folders of them.
    pub snapshot: &'a [PathBuf],
    /// The policy with the candidate statuses and the spellings of the snapshot.
    pub policy: &'a Policy,
    /// The moment to judge by.
    pub as_of: AsOf,
    /// Name of the estate; `None`: the one that the files name.
    pub estate: Option<&'a str>,
    /// The file to write. It must not exist.
    pub out: &'a Path,
}

/// Figures of a ledger that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerSummary {
    /// The file.
    pub path: PathBuf,
    /// The as-of moment.
    pub as_of: String,
    /// Name of the estate, if there is one.
    pub estate: Option<String>,
    /// Whether the estate is synthetic.
    pub synthetic: bool,
    /// Rows of the snapshot.
    pub rows: u64,
    /// Rows of the ledger.
    pub cells: u64,
    /// Bytes of the ledger's file.
    pub bytes: u64,
    /// Bytes of the snapshot's files.
    pub snapshot_bytes: u64,
    /// Compressed bytes of each column of the snapshot.
    pub bytes_by_column: BTreeMap<String, u64>,
}

/// Counts a snapshot and writes the ledger. The file appears whole or not at all.
///
/// # Errors
/// A file that exists, a snapshot that is refused or has no as-of moment, a file that cannot be written, or an
/// interruption.
pub fn count_to_file(options: &CountOptions<'_>, pool: &Pool, progress: &dyn Progress) -> Result<LedgerSummary> {
    let CountOptions { policy, estate, out, .. } = *options;
    if out.exists() {
        return Err(Error::Usage {
            what: format!("{} exists already", shown::path(&out)),
            remedy: "name a file that does not exist yet; nothing is ever replaced".into(),
        });
    }
    let snapshot = Snapshot::open(options.snapshot, &policy.spellings, pool, progress)?;
    let (as_of, _) = snapshot.as_of(options.as_of)?;
    let ledger = Ledger::take(&Scan::new(&snapshot, pool, progress), policy, as_of, estate)?;
    progress.begin(Stage::Write, 0);
    ledger.write(out)?;
    let bytes = std::fs::metadata(out).map_err(Error::io("inspect", out))?.len();
    Ok(LedgerSummary {
        path: out.to_path_buf(),
        as_of: time::format_instant(as_of),
        estate: ledger.estate,
        synthetic: ledger.synthetic,
        rows: ledger.size.rows,
        cells: (ledger.counts.cells.len() + ledger.counts.shared.len()) as u64,
        bytes,
        snapshot_bytes: ledger.size.bytes,
        bytes_by_column: ledger.size.by_column,
    })
}
