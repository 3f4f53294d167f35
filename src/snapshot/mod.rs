//! What the engine reads: a dated, immutable, ordered set of Parquet files.
//!
//! Opening a [`Snapshot`] finds its files, maps them, binds their columns to the contract, and verifies the seal if
//! there is one. [`Snapshot::as_of`] gives the time to judge by. Rows are judged in [`crate::sweep`].

mod content;
mod contract;
mod dates;
mod discover;
pub mod encoded;
pub mod flat_file;
pub mod footer;
mod form;
mod mapping;
mod moment;
mod partitions;
mod seal;
mod source;
mod tables;

use std::path::PathBuf;

pub use content::{FileBytes, FileContent, Io};
pub use contract::{ColumnSource, Columns, FileColumn};
pub use dates::StatusDates;
use discover::{Discovered, FoundFile};
pub use form::{PhysicalForm, TimestampUnit};
pub use mapping::install_sigbus_handler;
pub use moment::{AsOf, AsOfFrom, OwnMoment};
pub use partitions::FolderColumn;
use seal::VerifiedSeals;
pub use seal::{DeviceIds, SEAL_FILE, Seal, SealContent, SealSchema, SealedFile, SealedFolder, VerifiedSeal};
pub use source::{SourceFile, TAKEN_AT_KEY};

use crate::error::{Error, Fault, Place, Result};
use crate::estate::{Column, Spellings};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};

/// A dated, immutable, ordered set of files.
#[derive(Debug)]
pub struct Snapshot {
    files: Vec<SourceFile>,
    seals: VerifiedSeals,
}

impl Snapshot {
    /// Opens a snapshot: files, or folders of files. `spellings` has the names of columns in the files.
    ///
    /// # Errors
    /// A path that does not exist, a file that is not a Parquet file or violates the column contract, or a folder that
    /// differs from its seal.
    pub fn open(paths: &[PathBuf], spellings: &Spellings, pool: &Pool, progress: &dyn Progress) -> Result<Self> {
        Self::open_by(Io::Mmap, paths, spellings, pool, progress)
    }

    /// As [`open`](Self::open), with the choice of how files are read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_by(
        io: Io,
        paths: &[PathBuf],
        spellings: &Spellings,
        pool: &Pool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let Discovered { files: found, folders } = discover::discover(paths)?;
        let mut files = open_files(found, io, spellings, pool, progress)?;
        let seals = VerifiedSeals::verify(&mut files, folders, pool, progress)?;
        files.iter_mut().for_each(SourceFile::forget_tail);
        Ok(Self { files, seals })
    }

    /// As [`open`](Self::open), for a snapshot whose seal is about to be replaced: it is not verified.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_unverified(
        paths: &[PathBuf],
        spellings: &Spellings,
        pool: &Pool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let found = discover::discover(paths)?.files;
        let files = open_files(found, Io::Mmap, spellings, pool, progress)?;
        Ok(Self { files, seals: VerifiedSeals::default() })
    }

    /// The files in path order.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The zone in which times without a zone are read although the policy declares none: UTC, if there are such times.
    #[must_use]
    pub fn assumed_zone(&self) -> Option<&'static str> {
        self.files.iter().any(|file| file.dates.assume_utc()).then_some("UTC")
    }

    /// Number of rows of all files.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Size of all files in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(SourceFile::bytes).sum()
    }

    /// Number of files that the verified seals list and that are not part of this snapshot, because the user named
    /// single files.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.seals.left_out
    }

    /// The seals that were verified, by path.
    #[must_use]
    pub fn seals(&self) -> &[VerifiedSeal] {
        &self.seals.all
    }

    /// Whether every file is covered by a seal that covers itself, too.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        let all = self.files.iter().all(|file| file.digest.is_some());
        all && self.seals.all.iter().all(|seal| seal.schema != SealSchema::V1)
    }

    /// Whether a seal that covers all files states that no two rows have the same Device ID.
    #[must_use]
    pub fn device_ids_are_unique(&self) -> bool {
        self.seals.all.iter().any(|seal| seal.proves_unique)
    }

    /// The error that rows share a Device ID, although a seal states that none do.
    #[must_use]
    pub fn not_unique(&self) -> Error {
        let seal = self.seals.all.iter().find(|seal| seal.proves_unique);
        let place = seal.map_or_else(|| self.place(), |seal| Place::file(&seal.path));
        place.refuse(Fault::SealBroken { what: "device_ids", found: "duplicated".into(), sealed: "unique".into() })
    }

    /// The file that has a row of the snapshot, and the row's zero-based number within the file.
    #[must_use]
    pub fn locate(&self, row: u64) -> Option<(&SourceFile, u64)> {
        let after = self.files.partition_point(|file| file.first_row <= row);
        // A file without rows has the same first row as the file after it.
        let file = self.files[..after].iter().rev().find(|file| file.rows > 0)?;
        Some((file, row - file.first_row))
    }

    /// Verifies all bytes of sealed files that no reader has verified, because none has read them.
    ///
    /// # Errors
    /// The first file that differs from its seal, or an interruption.
    pub fn verify_rest(&self, pool: &Pool, progress: &dyn Progress) -> Result<()> {
        seal::verify_rest(&self.files, pool, progress)
    }

    /// Checks that no file changed since it was opened.
    ///
    /// # Errors
    /// The first file that changed.
    pub fn unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(SourceFile::unchanged)
    }

    /// The whole snapshot as a place for errors: the first folder or file that the user named.
    #[must_use]
    pub fn place(&self) -> Place {
        let file = self.files.first();
        Place::file(file.map_or_else(PathBuf::new, |file| file.root.clone().unwrap_or_else(|| file.path.clone())))
    }
}

/// Opens files, and numbers their rows through all of them.
fn open_files(
    found: Vec<FoundFile>,
    io: Io,
    spellings: &Spellings,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Vec<SourceFile>> {
    progress.begin(Stage::Open, found.len() as u64);
    let mut files = pool.map(found, |found| {
        let file = SourceFile::open(found, spellings, io);
        progress.advance(1);
        file
    })?;
    same_columns(&files)?;
    let mut first_row = 0;
    for file in &mut files {
        file.first_row = first_row;
        first_row += file.rows;
    }
    Ok(files)
}

/// Refuses a snapshot in which only some files have a role column: the rule for alerts would differ from file to file.
fn same_columns(files: &[SourceFile]) -> Result<()> {
    let column = Column::NotifyingRole;
    let with = files.iter().find(|file| file.columns.get(column).is_some());
    let without = files.iter().find(|file| file.columns.get(column).is_none());
    let (Some(with), Some(without)) = (with, without) else { return Ok(()) };
    Err(without.place().column(column.name()).refuse(Fault::InSomeFiles(with.path.clone())))
}
