//! One file of a snapshot: mapped into memory, with its footer and its columns of the contract.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::file::metadata::KeyValue;

use super::content::{FileBytes, FileContent, Io};
use super::contract::{ColumnSource, Columns, FileColumn};
use super::dates::StatusDates;
use super::discover::FoundFile;
use super::encoded::Chunk;
use super::footer::{
    ChunkFooter, ChunkStatistics, DatePages, FooterOutline, ReadAt, RowGroups, TAIL, WantedColumn, column_bytes,
    start_of,
};
use super::form::PhysicalForm;
use super::seal::{BLOCK_BYTES, BlockDigests};
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
    content: FileContent,
    /// Where the footer is in the file.
    footer: Range<usize>,
    /// The end of the file as it was read, from the beginning of a block on, and where that is, until it is verified.
    /// `None` if the file is mapped.
    tail: Option<(usize, Bytes)>,
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
    pub fn open(found: FoundFile, spellings: &Spellings, io: Io) -> Result<Self> {
        let FoundFile { path, name, root, keys } = found;
        let place = Place::file(&path);
        let (content, metadata) = FileContent::open(&path, io)?;
        let refuse = |fault| place.clone().refuse(fault);
        let passed = |range| content.release(range);
        let FileTail { bytes, start, footer } = tail_of(&content, &place)?;
        let stored = &bytes[footer.start - start..footer.end - TAIL - start];
        let outline = FooterOutline::of_footer(stored, footer.start, &passed).map_err(refuse)?;
        tables::check_footer(outline.file.key_value_metadata(), &place)?;
        readable(&outline, spellings, &place)?;
        let columns = Columns::bind(&outline.file, &keys, spellings, &place)?;
        let form = columns.get(Column::StatusSince).map_or(PhysicalForm::Null, ColumnSource::form);
        let groups =
            RowGroups::read(&outline, &WantedColumn::of(&columns), &ReadAt { place: &place, passed: &passed })?;
        let pairs = outline.file.key_value_metadata().into_iter().flatten();
        let pairs = pairs.filter(|pair| pair.key.starts_with(KEYS)).cloned().collect();
        let tail = match &bytes {
            FileBytes::Mapped(_) => None,
            FileBytes::Read(bytes) => Some((start, bytes.clone())),
        };
        // The pages of the footer that are mapped now would stay in memory as long as the file is open.
        content.release(0..content.size());
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
            footer,
            tail,
            content,
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

    /// The bytes of the file. Nothing here is compared with a seal; see [`read`](Self::read).
    #[must_use]
    pub const fn content(&self) -> &FileContent {
        &self.content
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
        let FileTail { bytes, start, footer } = tail_of(&self.content, &self.place())?;
        let passed = |range| self.content.release(range);
        let stored = &bytes[footer.start - start..footer.end - TAIL - start];
        let outline =
            FooterOutline::of_footer(stored, footer.start, &passed).map_err(|fault| self.place().refuse(fault))?;
        let bytes = column_bytes(&outline).map_err(|_| self.place().refuse(Fault::Changed))?;
        self.content.release(0..self.content.size());
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
        let range = self.chunk_footer(group, bound).and_then(|chunk| chunk.range(self.content.size()));
        range.ok_or_else(|| {
            self.chunk_place(group, bound).refuse(Fault::Corrupt("its pages lie outside of the file".into()))
        })
    }

    /// The bytes of the pages of a column chunk, compared with the seal.
    ///
    /// # Errors
    /// As [`chunk_range`](Self::chunk_range) and [`read`](Self::read).
    pub fn pages(&self, group: usize, bound: &FileColumn) -> Result<FileBytes<'_>> {
        self.read(self.range_of_pages(group, bound)?, || self.chunk_place(group, bound))
    }

    /// As [`pages`](Self::pages), without comparing the bytes with a seal: for decisions that can only keep rows.
    ///
    /// # Errors
    /// As [`chunk_range`](Self::chunk_range), and a file that cannot be read.
    pub fn unverified_pages(&self, group: usize, bound: &FileColumn) -> Result<FileBytes<'_>> {
        self.content.bytes(self.range_of_pages(group, bound)?)
    }

    fn range_of_pages(&self, group: usize, bound: &FileColumn) -> Result<Range<usize>> {
        let at = self.chunk_range(group, bound)?;
        let pages = self.chunk_footer(group, bound).and_then(|chunk| chunk.range_of_pages(self.content.size()));
        Ok(pages.unwrap_or(at))
    }

    /// A column chunk in its encoded form. `pages` are the bytes that [`pages`](Self::pages) returned for it.
    ///
    /// # Errors
    /// A codec that is not supported.
    pub fn chunk<'p>(&self, group: usize, bound: &FileColumn, pages: &'p [u8]) -> Result<Chunk<'p>> {
        let codec = self.chunk_footer(group, bound).and_then(|chunk| chunk.codec).ok_or_else(|| {
            let what = "its pages are compressed with a codec that is not supported".into();
            self.chunk_place(group, bound).refuse(Fault::Corrupt(what))
        })?;
        Ok(Chunk {
            bytes: pages,
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
        let read = self.tail.take().map(|(start, bytes)| digests.verify(start, &bytes));
        self.blocks = Some(digests);
        match read {
            Some(verified) => verified.map_err(|block| broken(self.place(), &block)),
            None => self.verify(&self.footer, || self.place()),
        }
    }

    /// Forgets the end of a file that no seal covers.
    pub fn forget_tail(&mut self) {
        self.tail = None;
    }

    /// Some bytes of the file. If it is sealed, they are compared with the seal, with the bytes around them up to whole
    /// blocks. `place` is their place, for errors.
    ///
    /// # Errors
    /// Bytes that differ from the sealed ones, and a file that cannot be read.
    pub fn read(&self, range: Range<usize>, place: impl FnOnce() -> Place) -> Result<FileBytes<'_>> {
        let (FileContent::Read(_), Some(digests)) = (&self.content, &self.blocks) else {
            self.verify(&range, place)?;
            return self.content.bytes(range);
        };
        let blocks = digests.whole_blocks(&range);
        let bytes = self.content.bytes(blocks.clone())?;
        digests.verify(blocks.start, &bytes).map_err(|block| broken(place(), &block))?;
        let bytes = self.content.shared(&bytes);
        Ok(FileBytes::Read(bytes.slice(range.start - blocks.start..range.end - blocks.start)))
    }

    /// Verifies mapped bytes, if the file is sealed: those that were not verified before.
    ///
    /// Workers that verify the same bytes at the same time share them out; see [`BlockDigests::verify_once`].
    fn verify(&self, range: &Range<usize>, place: impl FnOnce() -> Place) -> Result<()> {
        let (FileContent::Mapped(map), Some(digests)) = (&self.content, &self.blocks) else { return Ok(()) };
        let blocks = digests.whole_blocks(range);
        for start in blocks.clone().step_by(VERIFY_BYTES) {
            let piece = start..blocks.end.min(start + VERIFY_BYTES);
            match digests.verify_once(map.as_slice(), &piece) {
                Ok(compared) if compared > 0 && range.len() >= LARGE_BYTES => map.release(piece),
                Ok(_) => {}
                Err(block) => return Err(broken(place(), &block)),
            }
        }
        // What is around the range is not read now.
        map.release(blocks.start..range.start);
        map.release(range.end..blocks.end);
        Ok(())
    }

    /// The page index of a date column in a row group; `None` if there is none that is whole.
    ///
    /// # Errors
    /// An index that differs from the sealed one, and a file that cannot be read.
    pub fn date_pages(&self, group: usize, bound: &FileColumn) -> Result<Option<DatePages>> {
        let statistics = self.chunk_footer(group, bound).and_then(|chunk| chunk.statistics.as_deref());
        let within = |(start, len): (u64, u32)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(len as usize).filter(|&end| end <= self.content.size())?)
        };
        let range = |of: fn(&ChunkStatistics) -> Option<(u64, u32)>| statistics.and_then(of).and_then(within);
        let (Some(offsets), Some(bounds)) = (range(|index| index.offset_index), range(|index| index.column_index))
        else {
            return Ok(None);
        };
        let place = || self.chunk_place(group, bound);
        Ok(DatePages::read(&self.read(offsets, place)?, &self.read(bounds, place)?))
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

/// The last bytes of a file, with the footer.
struct FileTail<'c> {
    bytes: FileBytes<'c>,
    /// Where they begin in the file: of a file that is read, with a block.
    start: usize,
    /// Where the footer is in the file, with its length and magic number.
    footer: Range<usize>,
}

fn tail_of<'c>(content: &'c FileContent, place: &Place) -> Result<FileTail<'c>> {
    let end = content.size();
    let block_of = |at: usize| at / BLOCK_BYTES * BLOCK_BYTES;
    let start = match content {
        FileContent::Mapped(_) => 0,
        FileContent::Read(_) => block_of(end.saturating_sub(BLOCK_BYTES)),
    };
    let (magic, bytes) = (content.bytes(0..end.min(4))?, content.bytes(start..end)?);
    let last = &bytes[bytes.len().saturating_sub(TAIL)..];
    let footer = start_of((&magic, last), end).map_err(|fault| place.clone().refuse(fault))?..end;
    let first = block_of(footer.start);
    if first >= start {
        return Ok(FileTail { bytes, start, footer });
    }
    let whole = [&content.bytes(first..start)?[..], &bytes[..]].concat();
    Ok(FileTail { bytes: FileBytes::Read(whole.into()), start: first, footer })
}

/// The error of a block that is not the sealed one.
fn broken(place: Place, block: &Range<usize>) -> Error {
    place.refuse(Fault::BlockBroken { first: block.start, last: block.end.saturating_sub(1) })
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
