//! What the engine reads: a dated, immutable, ordered set of Parquet files.
//!
//! Opening a [`Snapshot`] finds its files, maps them, binds their columns to the contract, and verifies the seal if
//! there is one. [`Snapshot::as_of`] gives the time to judge by. Rows are judged in [`crate::sweep`].

mod contract;
mod discover;
pub mod encoded;
mod mapping;
mod seal;
mod source;
mod tables;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

pub use contract::{Columns, FileColumn, PhysicalForm, TimestampUnit};
use discover::Discovered;
pub use mapping::install_sigbus_handler;
pub use seal::{SEAL_FILE, Seal, SealedFile, SealedFolder};
pub use source::{SourceFile, TAKEN_AT_KEY};

use serde::{Deserialize, Serialize};

use crate::error::{Fault, Place, Result};
use crate::estate::{Column, Spellings, time};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};

/// Where the as-of time of a sweep comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsOfFrom {
    /// The user gave it.
    Argument,
    /// `taken_at` of `_snapshot.json`.
    Seal,
    /// The key-value `smi.taken_at` of the files.
    Files,
}

impl AsOfFrom {
    /// The name in the run record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::Seal => "seal",
            Self::Files => "files",
        }
    }
}

/// A dated, immutable, ordered set of files.
#[derive(Debug)]
pub struct Snapshot {
    files: Vec<SourceFile>,
    seals: VerifiedSeals,
}

/// The content of the seals that were verified.
#[derive(Debug, Default)]
struct VerifiedSeals {
    /// Path and time of the seals that have a time.
    taken_at: Vec<(PathBuf, String)>,
    /// Names of files that no seal with a time covers.
    undated: HashSet<String>,
    /// Number of files that the seals list and that are not part of this snapshot.
    left_out: usize,
}

impl Snapshot {
    /// Opens a snapshot: files, or folders of files. `spellings` has the names of columns in the files.
    ///
    /// # Errors
    /// A path that does not exist, a file that is not a Parquet file or violates the column contract, or a folder that
    /// differs from its seal.
    pub fn open(paths: &[PathBuf], spellings: &Spellings, pool: &Pool, progress: &dyn Progress) -> Result<Self> {
        Self::open_with(paths, spellings, pool, progress, true)
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
        Self::open_with(paths, spellings, pool, progress, false)
    }

    fn open_with(
        paths: &[PathBuf],
        spellings: &Spellings,
        pool: &Pool,
        progress: &dyn Progress,
        verify: bool,
    ) -> Result<Self> {
        let Discovered { files: found, folders } = discover::discover(paths)?;
        progress.begin(Stage::Open, found.len() as u64);
        let mut files = pool.map(found, |found| {
            let file = SourceFile::open(found, spellings);
            progress.advance(1);
            file
        })?;
        same_columns(&files)?;
        let mut first_row = 0;
        for file in &mut files {
            file.first_row = first_row;
            first_row += file.rows;
        }
        let seals = if verify { verify_seals(&mut files, folders, pool, progress)? } else { VerifiedSeals::default() };
        Ok(Self { files, seals })
    }

    /// The files in path order.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
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

    /// When the snapshot was taken, UTC microseconds since 1970, and the source of that time.
    ///
    /// # Errors
    /// Seals or files that contradict each other, or a time that is not RFC 3339.
    pub fn taken_at(&self) -> Result<Option<(i64, AsOfFrom)>> {
        if !self.seals.taken_at.is_empty() {
            let seals = self.seals.taken_at.iter().map(|(path, text)| (Place::file(path), Some(text.as_str())));
            let undated = self.files.iter().filter(|file| self.seals.undated.contains(&file.name));
            let micros = agree(seals.chain(undated.map(|file| (file.place(), None))))?;
            return Ok(micros.map(|micros| (micros, AsOfFrom::Seal)));
        }
        Ok(self.files_taken_at()?.map(|micros| (micros, AsOfFrom::Files)))
    }

    /// The time in the files' own metadata (`smi.taken_at`), UTC microseconds since 1970. Seals are not read.
    ///
    /// # Errors
    /// Files that contradict each other, or a time that is not RFC 3339.
    pub fn files_taken_at(&self) -> Result<Option<i64>> {
        if self.files.iter().all(|file| file.taken_at().is_none()) {
            return Ok(None);
        }
        agree(self.files.iter().map(|file| (file.place(), file.taken_at())))
    }

    /// The time to judge by, UTC microseconds since 1970: the user's, else the snapshot's. Never the wall clock.
    ///
    /// # Errors
    /// If neither is given, or the times of the snapshot contradict each other.
    pub fn as_of(&self, argument: Option<i64>) -> Result<(i64, AsOfFrom)> {
        if let Some(micros) = argument {
            return Ok((micros, AsOfFrom::Argument));
        }
        self.taken_at()?.ok_or_else(|| self.any_place().refuse(Fault::NoAsOf))
    }

    /// The file that has a row of the snapshot, and the row's zero-based number within the file.
    #[must_use]
    pub fn locate(&self, row: u64) -> Option<(&SourceFile, u64)> {
        let after = self.files.partition_point(|file| file.first_row <= row);
        // A file without rows has the same first row as the file after it.
        let file = self.files[..after].iter().rev().find(|file| file.rows > 0)?;
        Some((file, row - file.first_row))
    }

    /// Checks that no file changed since it was opened.
    ///
    /// # Errors
    /// The first file that changed.
    pub fn unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(SourceFile::unchanged)
    }

    fn any_place(&self) -> Place {
        let file = self.files.first();
        Place::file(file.map_or_else(PathBuf::new, |file| file.root.clone().unwrap_or_else(|| file.path.clone())))
    }
}

/// Refuses a snapshot in which only some files have a role column: the rule for alerts would differ from file to file.
fn same_columns(files: &[SourceFile]) -> Result<()> {
    let column = Column::NotifyingRole;
    let with = files.iter().find(|file| file.columns.get(column).is_some());
    let without = files.iter().find(|file| file.columns.get(column).is_none());
    let (Some(with), Some(without)) = (with, without) else { return Ok(()) };
    Err(without.place().column(column.name()).refuse(Fault::InSomeFiles(with.path.clone())))
}

/// Verifies the seal of every folder that has one: folders the user named, and the parent folders of single files.
fn verify_seals(
    files: &mut [SourceFile],
    walked: BTreeSet<PathBuf>,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<VerifiedSeals> {
    let beside = files.iter().filter(|file| file.root.is_none()).map(|file| folder_of(&file.path).to_path_buf());
    let folders: BTreeMap<PathBuf, bool> =
        beside.map(|folder| (folder, false)).chain(walked.into_iter().map(|folder| (folder, true))).collect();
    let mut verified = VerifiedSeals::default();
    let mut dated = HashSet::new();
    for (folder, whole) in folders {
        let Some(seal) = Seal::read(&folder)? else { continue };
        let mut inside: Vec<&mut SourceFile> = files
            .iter_mut()
            .filter(|file| if whole { file.path.starts_with(&folder) } else { folder_of(&file.path) == folder })
            .collect();
        seal.verify(SealedFolder { path: &folder, whole }, &mut inside, pool, progress)?;
        verified.left_out += seal.files.len() - inside.len();
        if let Some(taken_at) = seal.taken_at {
            dated.extend(inside.iter().map(|file| file.name.clone()));
            verified.taken_at.push((folder.join(SEAL_FILE), taken_at));
        }
    }
    verified.undated = files.iter().map(|file| file.name.clone()).filter(|name| !dated.contains(name)).collect();
    Ok(verified)
}

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The time, UTC microseconds since 1970, if it is the same at all places; `None` for no places.
fn agree<'a>(times: impl Iterator<Item = (Place, Option<&'a str>)>) -> Result<Option<i64>> {
    let mut agreed: Option<(i64, &str)> = None;
    for (place, text) in times {
        let text = text.unwrap_or("no time at all");
        let micros = time::parse(text);
        match (agreed, micros) {
            (Some((other, _)), Some(micros)) if other == micros => {}
            (None, Some(micros)) => agreed = Some((micros, text)),
            (None, None) => return Err(place.refuse(Fault::BadTime(text.into()))),
            (Some((_, other)), _) => {
                return Err(place.refuse(Fault::MixedAsOf { found: text.into(), other: other.into() }));
            }
        }
    }
    Ok(agreed.map(|(micros, _)| micros))
}
