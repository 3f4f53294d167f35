//! The seal of a snapshot folder: `_snapshot.json`, with bytes, rows and BLAKE3 digest of each file.
//!
//! Parquet alone does not detect a flipped bit. If a folder has a seal, every byte of its files is verified before any
//! row is judged, and a missing or additional file is refused. Files that the user names one by one are compared with
//! the seal in their folder: each must be listed and match; other listed files need not be present.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{SourceFile, mapping::Mapped};
use crate::error::{Error, Fault, Place, Result};
use crate::output::{Existing, OutputFile, json};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};

pub use crate::output::SEAL_FILE;

/// The version of the format that is written and read.
const SCHEMA: &str = "smi-sweep/snapshot/1";

/// The content of a seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    schema: String,
    /// When the snapshot was taken, in RFC 3339; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// The files. No path occurs twice.
    pub files: Vec<SealedFile>,
}

/// The entry of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// Path below the folder.
    pub path: String,
    /// Its number of rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its BLAKE3 digest, in hex.
    pub blake3: String,
}

/// A folder that has a seal.
#[derive(Debug, Clone, Copy)]
pub struct SealedFolder<'a> {
    /// Its path. The files to verify are in it, or below it.
    pub path: &'a Path,
    /// Whether the files to verify are all of its files: each file that the seal names must then be among them.
    pub whole: bool,
}

impl Seal {
    /// Reads the seal of a folder; `None` if it has none.
    ///
    /// # Errors
    /// A seal that cannot be read or parsed, has another schema, or lists a path twice.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(SEAL_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory) => {
                return Err(Place::file(&path).refuse(Fault::BadSeal("it is not text".into())));
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let bad = |what: String| Place::file(&path).refuse(Fault::BadSeal(what));
        let seal: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if seal.schema != SCHEMA {
            return Err(bad(format!("its schema is `{}`, not `{SCHEMA}`", seal.schema)));
        }
        let mut names = HashSet::new();
        if let Some(twice) = seal.files.iter().find(|file| !names.insert(&file.path)) {
            return Err(bad(format!("it names {} twice", twice.path)));
        }
        Ok(Some(seal))
    }

    /// Digests the files of a folder, and makes a seal of them.
    ///
    /// # Errors
    /// An interruption.
    pub fn of(
        folder: &Path,
        files: &[SourceFile],
        taken_at: Option<String>,
        pool: &Pool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let digests = digests(&files.iter().collect::<Vec<_>>(), pool, progress)?;
        let files = files
            .iter()
            .zip(digests)
            .map(|(file, blake3)| SealedFile {
                path: file.below(folder).unwrap_or(&file.name).into(),
                rows: file.rows,
                bytes: file.bytes(),
                blake3,
            })
            .collect();
        Ok(Self { schema: SCHEMA.into(), taken_at, files })
    }

    /// Writes the seal into its folder atomically.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let file = OutputFile::atomic(&folder.join(SEAL_FILE), Existing::Replace)?;
        json::write(file, self).map(drop)
    }

    /// Compares files in or below the sealed folder with this seal, and sets their digests. If `whole`, a file that
    /// only the seal lists is missing.
    ///
    /// # Errors
    /// The first difference, in the order of the files.
    pub fn verify(
        &self,
        SealedFolder { path: folder, whole }: SealedFolder<'_>,
        files: &mut [&mut SourceFile],
        pool: &Pool,
        progress: &dyn Progress,
    ) -> Result<()> {
        // Cheap comparisons come before the digests.
        let sealed: HashMap<&str, &SealedFile> = self.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut entries = Vec::new();
        for file in files.iter() {
            let Some(&sealed) = file.below(folder).and_then(|name| sealed.get(name)) else {
                return Err(file.place().refuse(Fault::NotSealed));
            };
            entries.push(sealed);
        }
        if whole {
            let found: HashSet<&str> = entries.iter().map(|sealed| sealed.path.as_str()).collect();
            if let Some(missing) = self.files.iter().find(|sealed| !found.contains(sealed.path.as_str())) {
                return Err(Place::file(folder.join(&missing.path)).refuse(Fault::SealedFileMissing));
            }
        }
        for (file, sealed) in files.iter().zip(&entries) {
            differ(file, "its size", &file.bytes().to_string(), &sealed.bytes.to_string())?;
            differ(file, "its number of rows", &file.rows.to_string(), &sealed.rows.to_string())?;
        }
        // A file below two seals is digested once.
        let fresh: Vec<usize> = (0..files.len()).filter(|&index| files[index].digest.is_none()).collect();
        let digests = digests(&fresh.iter().map(|&index| &*files[index]).collect::<Vec<_>>(), pool, progress)?;
        for (index, digest) in fresh.into_iter().zip(digests) {
            files[index].digest = Some(digest);
        }
        for (file, sealed) in files.iter().zip(entries) {
            let digest = file.digest.as_deref().unwrap_or_default();
            differ(file, "its BLAKE3 digest", digest, &sealed.blake3.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

fn differ(file: &SourceFile, what: &'static str, found: &str, sealed: &str) -> Result<()> {
    if found == sealed {
        return Ok(());
    }
    let (found, sealed) = (found.into(), sealed.into());
    Err(file.place().refuse(Fault::SealBroken { what, found, sealed }))
}

fn digests(files: &[&SourceFile], pool: &Pool, progress: &dyn Progress) -> Result<Vec<String>> {
    progress.begin(Stage::VerifySeal, files.iter().map(|file| file.bytes()).sum());
    pool.map(files.to_vec(), |file| digest(file.map(), progress))
}

/// Bytes that are digested at a time: enough work for all workers, and little memory.
const DIGEST_BYTES: usize = 16 << 20;

fn digest(map: &Mapped, progress: &dyn Progress) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    for piece in map.as_slice().chunks(DIGEST_BYTES) {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        hasher.update_rayon(piece);
        map.release(at..at + piece.len());
        at += piece.len();
        progress.advance(piece.len() as u64);
    }
    Ok(hasher.finalize().to_hex().to_string())
}
