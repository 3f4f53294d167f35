//! Digests files to make a seal of them, and compares files with their seal.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use super::SEAL_FILE;
use super::blocks::{BLOCK_BYTES, BlockDigests, digests_of};
use super::document::{DeviceIds, Seal, SealSchema, SealedFile};
use crate::error::{Error, Fault, Place, Result};
use crate::estate::Column;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::snapshot::SourceFile;

/// A folder that has a seal.
#[derive(Debug, Clone, Copy)]
pub struct SealedFolder<'a> {
    /// Its path. The files to verify are in it, or below it.
    pub path: &'a Path,
    /// Whether the files to verify are all of its files: each file that the seal names must then be among them.
    pub whole: bool,
}

/// What a new seal states about a snapshot, in addition to its digests.
#[derive(Debug, Clone)]
pub struct SealContent<'a> {
    /// The files.
    pub files: &'a [SourceFile],
    /// When the snapshot was taken, in RFC 3339; `None` if that is not known.
    pub taken_at: Option<String>,
    /// Whether Device IDs are unique in the files.
    pub device_ids: DeviceIds,
}

impl Seal {
    /// Digests the files of a folder, and makes a seal of them.
    ///
    /// # Errors
    /// An interruption.
    pub fn of(folder: &Path, content: SealContent<'_>, pool: &Pool, progress: &dyn Progress) -> Result<Self> {
        let SealContent { files, taken_at, device_ids } = content;
        let digests = digests(&files.iter().collect::<Vec<_>>(), pool, progress)?;
        let sealed = files.iter().zip(&digests).map(|(file, digests)| {
            let path = file.below(folder).unwrap_or(&file.name);
            SealedFile::from((path, file.rows, digests))
        });
        let mut seal = Self::new(sealed.collect());
        seal.taken_at = taken_at;
        seal.device_ids = Some(device_ids);
        seal.device_id_columns = device_id_columns(files);
        Ok(seal.digested())
    }

    /// Compares files in or below the sealed folder with this seal, and gives them their digests. If `whole`, a file that
    /// only the seal lists is missing. In schema 2 the footers are verified here, and other bytes when they are read.
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
        match self.schema {
            SealSchema::V1 => digest_whole(files, pool, progress)?,
            SealSchema::V2 => {
                for (file, sealed) in files.iter_mut().zip(&entries).filter(|(file, _)| file.digest.is_none()) {
                    let bad = |what| Place::file(folder.join(SEAL_FILE)).refuse(Fault::BadSeal(what));
                    file.seal(sealed.digests().map_err(bad)?)?;
                }
            }
        }
        // A file below two seals has its digest from one of them.
        for (file, sealed) in files.iter().zip(entries) {
            let digest = file.digest.as_deref().unwrap_or_default();
            differ(file, "its BLAKE3 digest", digest, &sealed.blake3.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// Digests files of which only the digest of the whole is sealed.
fn digest_whole(files: &mut [&mut SourceFile], pool: &Pool, progress: &dyn Progress) -> Result<()> {
    let fresh: Vec<usize> = (0..files.len()).filter(|&index| files[index].digest.is_none()).collect();
    let digests = digests(&fresh.iter().map(|&index| &*files[index]).collect::<Vec<_>>(), pool, progress)?;
    for (index, digests) in fresh.into_iter().zip(digests) {
        files[index].digest = Some(digests.file().to_hex().to_string());
    }
    Ok(())
}

/// Verifies all bytes of sealed files that were not verified before.
///
/// # Errors
/// The first file that differs from its seal, or an interruption.
pub fn verify_rest(files: &[SourceFile], pool: &Pool, progress: &dyn Progress) -> Result<()> {
    progress.begin(Stage::VerifySeal, files.iter().map(SourceFile::bytes).sum());
    pool.map(pieces(&files.iter().collect::<Vec<_>>()), |(index, piece)| {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let file = &files[index];
        file.read(piece.clone(), || file.place())?;
        progress.advance(piece.len() as u64);
        file.content().release(piece);
        Ok(())
    })?;
    Ok(())
}

/// The names of the columns that are read as Device IDs, ascending, each once.
///
/// Two readings of the same files that have the same names here read the same column of each file: a file with two of
/// the names would be refused.
pub fn device_id_columns(files: &[SourceFile]) -> Vec<String> {
    let bound = files.iter().filter_map(|file| file.columns.get(Column::DeviceId));
    bound.map(|column| column.name().to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn differ(file: &SourceFile, what: &'static str, found: &str, sealed: &str) -> Result<()> {
    if found == sealed {
        return Ok(());
    }
    let (found, sealed) = (found.into(), sealed.into());
    Err(file.place().refuse(Fault::SealBroken { what, found, sealed }))
}

/// Bytes that a worker digests at a time: whole blocks, and little memory.
const PIECE_BYTES: usize = 256 * BLOCK_BYTES;

/// All pieces of the files: the index of the file, and the bytes in it.
fn pieces(files: &[&SourceFile]) -> Vec<(usize, Range<usize>)> {
    let mut pieces = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let bytes = file.content().size();
        pieces.extend((0..bytes).step_by(PIECE_BYTES).map(|at| (index, at..bytes.min(at + PIECE_BYTES))));
    }
    pieces
}

/// Digests whole files.
fn digests(files: &[&SourceFile], pool: &Pool, progress: &dyn Progress) -> Result<Vec<BlockDigests>> {
    progress.begin(Stage::VerifySeal, files.iter().map(|file| file.bytes()).sum());
    let digested = pool.map(pieces(files), |(index, piece)| {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let content = files[index].content();
        let digests = digests_of(piece.start / BLOCK_BYTES, &content.bytes(piece.clone())?);
        progress.advance(piece.len() as u64);
        content.release(piece);
        Ok((index, digests))
    })?;
    let mut blocks: Vec<Vec<_>> = files.iter().map(|_| Vec::new()).collect();
    for (index, digests) in digested {
        blocks[index].extend(digests);
    }
    let digests = files.iter().zip(blocks).map(|(file, blocks)| {
        let content = file.content();
        // Only a file of one block is digested as a whole.
        let whole = if blocks.len() > 1 { content.bytes(0..0)? } else { content.bytes(0..content.size())? };
        Ok(BlockDigests::of(content.size(), blocks, &whole))
    });
    digests.collect()
}
