//! Any snapshot into the layout that sweeps fastest.
//!
//! Rows are taken a few million at a time and split: candidates into files where they lie by status, type and date, a
//! row group for each status and type, identifiers and dates as plain bytes that need no decompressing; all others into
//! compressed files that a sweep hardly touches. Device IDs are stored as eight bytes; the rare row whose Device ID is
//! malformed goes, as it was found, into a file that stores them as text. Columns outside of the contract are left
//! behind.
//!
//! What was written is read again, and its rows must be those of the source: see [`Fingerprint`].

mod fingerprint;
mod layout;

use std::path::Path;

pub use fingerprint::Fingerprint;
pub use layout::{BATCH_ROWS, BatchTarget, ColumnNames};

use crate::error::{Error, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::progress::Stage;
use crate::scan::Scan;
use crate::scan::rows::Rows;
use crate::snapshot::{Seal, Snapshot};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReclusterSummary {
    /// Rows, of the source and of the copy.
    pub rows: u64,
    /// Files of the copy.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// The fingerprint that both have.
    pub fingerprint: Fingerprint,
}

/// Copies a snapshot into an empty folder, sealed, and proves that the rows are the same.
///
/// The policy says which statuses are candidates and how columns are called; the copy has the same names.
///
/// # Errors
/// Damaged data, text that is not UTF-8, a folder that cannot be written, an interruption, and rows that differ.
pub fn recluster(scan: &Scan<'_>, policy: &Policy, folder: &Path) -> Result<ReclusterSummary> {
    let Scan { snapshot, pool, progress, .. } = *scan;
    let taken_at = snapshot.taken_at()?.map(|(micros, _)| time::format_instant(micros));
    let names =
        ColumnNames::of(policy, |column| snapshot.files().iter().any(|file| file.columns.get(column).is_some()));
    let prints = scan.with_range_rows(BATCH_ROWS as u32 / 4).run_batches(
        Stage::Write,
        BATCH_ROWS as u64,
        |range, rows: &mut Rows| rows.read(range),
        |number, rows| {
            BatchTarget { folder, number, taken_at: taken_at.as_deref(), names: &names, policy }.write(&rows)?;
            Ok(Fingerprint::of(&rows))
        },
    )?;
    snapshot.unchanged()?;
    let source: Fingerprint = prints.parts.into_iter().sum();

    let copy = Snapshot::open_unverified(&[folder.to_path_buf()], &policy.spellings.columns, pool, progress)?;
    let copied = fingerprint_of(&Scan::new(&copy, pool, progress))?;
    if copied != source {
        return Err(Error::Unbalanced(format!(
            "the copy has {} rows with fingerprint {copied}, the snapshot {} with {source}",
            copied.rows, source.rows
        )));
    }
    Seal::of(folder, copy.files(), taken_at, pool, progress)?.write(folder)?;
    Ok(ReclusterSummary { rows: copy.rows(), files: copy.files().len(), bytes: copy.bytes(), fingerprint: source })
}

/// The fingerprint of all rows of a snapshot.
///
/// # Errors
/// Damaged data, text that is not UTF-8, or an interruption.
pub fn fingerprint_of(scan: &Scan<'_>) -> Result<Fingerprint> {
    let prints = scan.with_range_rows(BATCH_ROWS as u32 / 4).run(
        Stage::Scan,
        || (),
        |range, ()| {
            let mut rows = Rows::default();
            rows.read(range)?;
            Ok(Fingerprint::of(&rows))
        },
    )?;
    Ok(prints.parts.into_iter().sum())
}
