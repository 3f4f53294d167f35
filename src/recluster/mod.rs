//! Copies a snapshot into the layout that a sweep reads fastest.
//!
//! Rows are taken a few million at a time and split. Candidates go into uncompressed files, sorted by status, type and
//! date, with a row group for each status and type. All other rows go into compressed files, of which a sweep reads
//! little. Device IDs are stored as eight bytes; rows with a malformed Device ID go into a file that stores it as text,
//! unchanged. Columns outside of the contract are not copied.
//!
//! The copy is read again, and its rows must be those of the source: see [`Fingerprint`].

mod fingerprint;
mod layout;

use std::path::{Path, PathBuf};

pub use fingerprint::Fingerprint;
pub use layout::{BATCH_ROWS, BatchTarget, ColumnNames};

use crate::error::{Error, Result};
use crate::estate::time;
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::scan::Scan;
use crate::scan::duplicates::device_ids;
use crate::scan::rows::Rows;
use crate::snapshot::{DeviceIds, Seal, SealContent, Snapshot};

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReclusterSummary {
    /// Rows, of the source and of the copy.
    pub rows: u64,
    /// Files of the copy.
    pub files: usize,
    /// Bytes of the copy.
    pub bytes: u64,
    /// Bytes of the source.
    pub source_bytes: u64,
    /// The fingerprint of both.
    pub fingerprint: Fingerprint,
}

/// Copies the snapshot at `paths` into the folder `out`, which must not exist and appears whole or not at all.
///
/// # Errors
/// As [`recluster`]; a snapshot that is refused; an `out` that exists or is inside the snapshot.
pub fn recluster_into(
    paths: &[PathBuf],
    policy: &Policy,
    out: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<ReclusterSummary> {
    let staging = OutputDirectory::create_outside(out, paths)?;
    let snapshot = Snapshot::open(paths, &policy.spellings, pool, progress)?;
    let summary = recluster(&Scan::new(&snapshot, pool, progress), policy, staging.path())?;
    staging.publish(pool)?;
    Ok(summary)
}

/// Copies a snapshot into an empty folder, compares the rows of source and copy, and seals the copy.
///
/// The policy gives the candidate statuses and the names of the columns, which the copy keeps.
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

    let copy = Snapshot::open_unverified(&[folder.to_path_buf()], &policy.spellings, pool, progress)?;
    let copied = fingerprint_of(&Scan::new(&copy, pool, progress))?;
    if copied != source {
        return Err(Error::Unbalanced(format!(
            "the copy has {} rows with fingerprint {copied}, the snapshot {} with {source}",
            copied.rows, source.rows
        )));
    }
    // The rows are those of the source, so that its proof holds for the copy.
    let device_ids = if snapshot.device_ids_are_unique() {
        DeviceIds::Unique
    } else {
        device_ids(&Scan::new(&copy, pool, progress))?
    };
    let content = SealContent { files: copy.files(), taken_at, device_ids };
    Seal::of(folder, content, pool, progress)?.write(folder)?;
    Ok(ReclusterSummary {
        rows: copy.rows(),
        files: copy.files().len(),
        bytes: copy.bytes(),
        source_bytes: snapshot.bytes(),
        fingerprint: source,
    })
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
