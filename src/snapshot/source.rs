//! One file of a snapshot: mapped into memory, with its footer and its columns of the contract.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parquet::file::metadata::KeyValue;

use super::contract::{ColumnSource, Columns, FileColumn};
use super::dates::StatusDates;
use super::discover::FoundFile;
use super::encoded::Chunk;
use super::footer::{ChunkFooter, DatePages, FooterOutline, ReadAt, RowGroups, WantedColumn, column_bytes};
use super::form::PhysicalForm;
use super::mapping::Mapped;
use super::seal::BlockDigests;
use super::tables;
use crate::error::{Error, Fault, Place, Result};
use crate::estate::{Column, Spellings};

/// The key in a file's metadata that has the time when its snapshot was taken, in RFC 3339.
pub const TAKEN_AT_KEY: &str = "smi.taken_at";

/// File system metadata that shows whether a file was replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// The time of the last change of content or metadata. No call sets it: a program that restores the time of
    /// modification changes this one.
    changed: (i64, i64),
}

impl FileIdentity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// One file of a snapshot.
#[derive(Debug)]
pub struct SourceFile {
    /// Its path.
    pub path: PathBuf,
    /// Its name in manifests.
    pub name: String,
    /// The folder that the user named, if the file was found in one.
    pub root: Option<PathBuf>,
    /// Its row groups, as far as columns of the contract are concerned.
    pub groups: RowGroups,
    /// Its columns.
    pub columns: Columns,
    /// How its status dates are read.
    pub dates: StatusDates,
    /// Its number of rows.
    pub rows: u64,
    /// The zero-based number of its first row within the snapshot.
    pub first_row: u64,
    /// Its BLAKE3 digest in hex, if a seal was verified.
    pub digest: Option<String>,
    /// Pairs of its metadata whose key begins with [`KEYS`].
    pairs: Vec<KeyValue>,
    map: Mapped,
    identity: FileIdentity,
    /// The digests of its blocks, if a seal has them.
    blocks: Option<BlockDigests>,
}

/// How the keys of the metadata begin that the engine reads.
const KEYS: &str = "smi.";

/// Bytes that are verified at a time.
const VERIFY_BYTES: usize = 4 << 20;
/// Bytes of a range from which on the memory of what is verified is given back at once.
const LARGE_BYTES: usize = 32 << 20;

impl SourceFile {
    /// Maps a file, reads its footer and binds its columns.
    ///
    /// # Errors
    /// A file that cannot be read, is not a Parquet file, or violates the column contract.
    pub fn open(found: FoundFile, spellings: &Spellings) -> Result<Self> {
        let FoundFile { path, name, root, keys } = found;
        let place = Place::file(&path);
        let (map, metadata) = Mapped::open(&path)?;
        let passed = |range| map.release(range);
        let outline = FooterOutline::of(map.as_slice(), &passed).map_err(|fault| place.clone().refuse(fault))?;
        tables::check_footer(outline.file.key_value_metadata(), &place)?;
        readable(&outline, spellings, &place)?;
        let columns = Columns::bind(&outline.file, &keys, spellings, &place)?;
        let form = columns.get(Column::StatusSince).map_or(PhysicalForm::Null, ColumnSource::form);
        let groups =
            RowGroups::read(&outline, &WantedColumn::of(&columns), &ReadAt { place: &place, passed: &passed })?;
        let pairs = outline.file.key_value_metadata().into_iter().flatten();
        let pairs = pairs.filter(|pair| pair.key.starts_with(KEYS)).cloned().collect();
        // The pages of the footer that are mapped now would stay in memory as long as the file is open.
        map.release(0..map.as_slice().len());
        let identity = FileIdentity::of(&metadata);
        Ok(Self {
            path,
            name,
            root,
            rows: groups.total_rows(),
            groups,
            columns,
            dates: StatusDates::new(form, spellings.dates.clone()),
            first_row: 0,
            digest: None,
            pairs,
            map,
            identity,
            blocks: None,
        })
    }

    /// The file's path in a seal of this folder: the path below the folder, or the file name if the user named the
    /// file.
    #[must_use]
    pub fn below(&self, folder: &Path) -> Option<&str> {
        match self.root {
            Some(_) => self.path.strip_prefix(folder).ok()?.to_str(),
            None => self.path.file_name()?.to_str(),
        }
    }

    /// The file as a place for errors.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::file(&self.path)
    }

    /// A column of the contract that is in this file.
    ///
    /// # Errors
    /// A column that the file itself does not have.
    pub fn bound(&self, column: Column) -> Result<&FileColumn> {
        self.columns.in_file(column).ok_or_else(|| {
            let missing = Fault::MissingColumn { found: "no column of that name".into(), nearest: None };
            self.place().column(column.name()).refuse(missing)
        })
    }

    /// Checks that a seal of `folder` covers every value that is in the name of a folder.
    ///
    /// # Errors
    /// A column that `folder` itself or a folder above it gives: it could be renamed without breaking the seal.
    pub fn covered_by_seal_of(&self, folder: &Path) -> Result<()> {
        for column in Column::ALL.into_iter().filter_map(|column| self.columns.in_folder(column)) {
            if !column.is_below(folder)? {
                let fault = Fault::OutsideOfSeal(column.folder.clone());
                return Err(self.place().column(&column.name).refuse(fault));
            }
        }
        Ok(())
    }

    /// Size of the file in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.identity.bytes
    }

    /// The mapped file.
    #[must_use]
    pub const fn map(&self) -> &Mapped {
        &self.map
    }

    /// When the snapshot was taken, as written in the file's metadata; RFC 3339, not yet parsed.
    #[must_use]
    pub fn taken_at(&self) -> Option<&str> {
        self.metadata(TAKEN_AT_KEY)
    }

    /// The value of the file's metadata under a key that begins with `smi.`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// Compressed bytes of each leaf column, by its path in the schema; columns that no rule reads are included.
    ///
    /// # Errors
    /// A footer that was changed since the file was opened.
    pub fn column_bytes(&self) -> Result<BTreeMap<String, u64>> {
        let passed = |range| self.map.release(range);
        let outline = FooterOutline::of(self.map.as_slice(), &passed).map_err(|fault| self.place().refuse(fault))?;
        let bytes = column_bytes(&outline).map_err(|_| self.place().refuse(Fault::Changed))?;
        self.map.release(0..self.map.as_slice().len());
        Ok(bytes)
    }

    /// Number of rows of a row group.
    #[must_use]
    pub fn group_rows(&self, group: usize) -> usize {
        self.groups.rows(group) as usize
    }

    /// The place of a column in a row group, for errors.
    #[must_use]
    pub fn chunk_place(&self, group: usize, bound: &FileColumn) -> Place {
        self.place().row_group(group).column(&bound.name)
    }

    /// What the footer says about a column chunk; `None` if there is no such chunk.
    #[must_use]
    pub fn chunk_footer(&self, group: usize, bound: &FileColumn) -> Option<&ChunkFooter> {
        self.groups.chunk(group, bound.leaf)
    }

    /// The bytes of a column chunk within the file, as the footer says.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub fn chunk_range(&self, group: usize, bound: &FileColumn) -> Result<Range<usize>> {
        let range = self.chunk_footer(group, bound).and_then(|chunk| chunk.range(self.map.as_slice().len()));
        range.ok_or_else(|| {
            self.chunk_place(group, bound).refuse(Fault::Corrupt("its pages lie outside of the file".into()))
        })
    }

    /// A column chunk in its encoded form.
    ///
    /// # Errors
    /// As [`chunk_range`](Self::chunk_range), a codec that is not supported, and bytes that differ from the sealed ones.
    pub fn chunk(&self, group: usize, bound: &FileColumn) -> Result<Chunk<'_>> {
        let chunk = self.unverified_chunk(group, bound)?;
        let at = self.chunk_range(group, bound)?;
        let pages = self.chunk_footer(group, bound).and_then(|chunk| chunk.range_of_pages(self.map.as_slice().len()));
        self.verify(&pages.unwrap_or(at), || self.chunk_place(group, bound))?;
        Ok(chunk)
    }

    /// As [`chunk`](Self::chunk), without comparing the bytes with a seal: for decisions that can only keep rows.
    ///
    /// # Errors
    /// As [`chunk_range`](Self::chunk_range), and a codec that is not supported.
    pub fn unverified_chunk(&self, group: usize, bound: &FileColumn) -> Result<Chunk<'_>> {
        let chunk = self.chunk_footer(group, bound);
        let codec = chunk.and_then(|chunk| chunk.codec).ok_or_else(|| {
            let what = "its pages are compressed with a codec that is not supported".into();
            self.chunk_place(group, bound).refuse(Fault::Corrupt(what))
        })?;
        let at = self.chunk_range(group, bound)?;
        let pages = chunk.and_then(|chunk| chunk.range_of_pages(self.map.as_slice().len())).unwrap_or(at);
        Ok(Chunk {
            bytes: &self.map.as_slice()[pages],
            codec,
            optional: bound.optional,
            rows: self.group_rows(group),
            width: bound.form.width(),
        })
    }

    /// Gives the file the digests of its seal, and verifies the footer.
    ///
    /// # Errors
    /// A footer that differs from its seal.
    pub fn seal(&mut self, digests: BlockDigests) -> Result<()> {
        self.digest = Some(digests.file().to_hex().to_string());
        self.blocks = Some(digests);
        let bytes = self.map.as_slice();
        let end = bytes.len();
        let length = bytes.split_last_chunk::<8>().and_then(|(_, tail)| tail.first_chunk::<4>());
        let length = length.map_or(end, |length| u32::from_le_bytes(*length) as usize);
        self.verify(&(end.saturating_sub(length.saturating_add(8))..end), || self.place())
    }

    /// Verifies the bytes of a range, if the file is sealed: those that were not verified before. Bytes around it are
    /// verified with it, up to whole blocks. `place` is the place of the bytes, for errors.
    ///
    /// Workers that verify the same bytes at the same time share them out; see [`BlockDigests::verify_once`].
    ///
    /// # Errors
    /// Bytes that differ from the sealed ones.
    pub fn verify(&self, range: &Range<usize>, place: impl FnOnce() -> Place) -> Result<()> {
        let Some(digests) = &self.blocks else { return Ok(()) };
        let blocks = digests.whole_blocks(range);
        for start in blocks.clone().step_by(VERIFY_BYTES) {
            let piece = start..blocks.end.min(start + VERIFY_BYTES);
            match digests.verify_once(self.map.as_slice(), &piece) {
                Ok(compared) if compared > 0 && range.len() >= LARGE_BYTES => self.map.release(piece),
                Ok(_) => {}
                Err(block) => {
                    let fault = Fault::BlockBroken { first: block.start, last: block.end - 1 };
                    return Err(place().refuse(fault));
                }
            }
        }
        // What is around the range is not read now.
        self.map.release(blocks.start..range.start);
        self.map.release(range.end..blocks.end);
        Ok(())
    }

    /// The page index of a date column in a row group; `None` if there is none that is whole.
    ///
    /// # Errors
    /// An index that differs from the sealed one.
    pub fn date_pages(&self, group: usize, bound: &FileColumn) -> Result<Option<DatePages>> {
        let statistics = self.chunk_footer(group, bound).and_then(|chunk| chunk.statistics.as_deref());
        let Some(statistics) = statistics else { return Ok(None) };
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.map.as_slice().len());
        for (start, len) in [statistics.offset_index, statistics.column_index].into_iter().flatten() {
            let range = within(start)..within(start.saturating_add(u64::from(len)));
            self.verify(&range, || self.chunk_place(group, bound))?;
        }
        Ok(DatePages::read(self.map.as_slice(), statistics))
    }

    /// Whether the file is still the one that was opened.
    ///
    /// # Errors
    /// A file that was written to, replaced or removed since.
    pub fn unchanged(&self) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(now) if FileIdentity::of(&now) == self.identity => Ok(()),
            Ok(_) => Err(self.place().refuse(Fault::Changed)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(self.place().refuse(Fault::Removed))
            }
            Err(error) => Err(Error::io("inspect", &self.path)(error)),
        }
    }
}

/// Refuses a file in which a column of the contract has a type that cannot be read.
fn readable(outline: &FooterOutline<'_>, spellings: &Spellings, place: &Place) -> Result<()> {
    for column in Column::ALL {
        let name = spellings.name_of(column).unwrap_or(column.name());
        if let Some(why) = outline.unreadable(name) {
            return Err(place.clone().column(name).refuse(Fault::Footer(why.into())));
        }
    }
    Ok(())
}
