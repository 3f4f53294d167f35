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

use std::ops::Range;
use std::path::Path;

pub use fingerprint::Fingerprint;

use crate::error::{Error, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::snapshot::{Seal, Snapshot};
use crate::sweep::lanes::LaneBuffers;
use crate::sweep::layout::{BATCH_ROWS, Names, Target};
use crate::sweep::rows::Rows;
use crate::sweep::{Morsel, morsels};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
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
pub fn recluster(
    snapshot: &Snapshot,
    policy: &Policy,
    folder: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Summary> {
    let taken_at = snapshot.taken_at()?.map(|(micros, _)| time::format_instant(micros));
    let names = Names::of(policy, |column| snapshot.files().iter().any(|file| file.columns.get(column).is_some()));
    progress.begin(Stage::Write, snapshot.rows());
    let batches: Vec<(usize, Vec<Piece>)> = batches(snapshot).into_iter().enumerate().collect();
    let prints = pool.map_with(batches, LaneBuffers::default, |buffers, (number, pieces)| {
        let mut rows = Rows::default();
        for piece in &pieces {
            read(snapshot, piece, &mut rows, buffers, progress)?;
        }
        Target { folder, number, taken_at: taken_at.as_deref(), names: &names, policy }.write(&rows)?;
        Ok(Fingerprint::of(&rows))
    })?;
    snapshot.unchanged()?;
    let source: Fingerprint = prints.into_iter().sum();

    let copy = Snapshot::open_unverified(&[folder.to_path_buf()], &policy.spellings.columns, pool, progress)?;
    let copied = fingerprint_of(&copy, pool, progress)?;
    if copied != source {
        return Err(Error::Unbalanced(format!(
            "the copy has {} rows with fingerprint {copied}, the snapshot {} with {source}",
            copied.rows, source.rows
        )));
    }
    Seal::of(folder, copy.files(), taken_at, pool, progress)?.write(folder)?;
    Ok(Summary { rows: copy.rows(), files: copy.files().len(), bytes: copy.bytes(), fingerprint: source })
}

/// The fingerprint of all rows of a snapshot.
///
/// # Errors
/// Damaged data, text that is not UTF-8, or an interruption.
pub fn fingerprint_of(snapshot: &Snapshot, pool: &Pool, progress: &dyn Progress) -> Result<Fingerprint> {
    progress.begin(Stage::Scan, snapshot.rows());
    let prints = pool.map_with(pieces(snapshot), LaneBuffers::default, |buffers, piece| {
        let mut rows = Rows::default();
        read(snapshot, &piece, &mut rows, buffers, progress)?;
        Ok::<_, Error>(Fingerprint::of(&rows))
    })?;
    Ok(prints.into_iter().sum())
}

/// Rows of a row group that are read at a time.
#[derive(Debug, Clone)]
struct Piece {
    morsel: Morsel,
    rows: Range<u32>,
}

fn pieces(snapshot: &Snapshot) -> Vec<Piece> {
    let step = BATCH_ROWS as u32 / 4;
    let of = |morsel: Morsel| {
        let rows = snapshot.files()[morsel.file].group_rows(morsel.group) as u32;
        (0..rows).step_by(step as usize).map(move |start| Piece { morsel, rows: start..rows.min(start + step) })
    };
    morsels(snapshot).into_iter().flat_map(of).collect()
}

/// Pieces of which each list comes to about [`BATCH_ROWS`] rows.
fn batches(snapshot: &Snapshot) -> Vec<Vec<Piece>> {
    let mut batches: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut rows = 0;
    for piece in pieces(snapshot) {
        let more = u64::from(piece.rows.end - piece.rows.start);
        if rows + more > BATCH_ROWS as u64 {
            batches.push(Vec::new());
            rows = 0;
        }
        rows += more;
        if let Some(batch) = batches.last_mut() {
            batch.push(piece);
        }
    }
    batches
}

fn read(
    snapshot: &Snapshot,
    piece: &Piece,
    rows: &mut Rows,
    buffers: &mut LaneBuffers,
    progress: &dyn Progress,
) -> Result<()> {
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    rows.read(snapshot, piece.morsel, piece.rows.clone(), buffers)?;
    let file = &snapshot.files()[piece.morsel.file];
    for (_, bound) in file.columns.iter() {
        file.map().release(file.chunk_range(piece.morsel.group, bound)?);
    }
    progress.advance(u64::from(piece.rows.end - piece.rows.start));
    Ok(())
}
