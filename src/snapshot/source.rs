//! One file of a snapshot: mapped into memory, with its footer and its columns of the contract.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::metadata::{
    ColumnChunkMask, ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};

use super::contract::{Columns, FileColumn};
use super::discover::FoundFile;
use super::encoded::{Chunk, Codec};
use super::mapping::Mapped;
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
}

impl FileIdentity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
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
    /// Its footer.
    pub footer: Arc<ParquetMetaData>,
    /// Its columns.
    pub columns: Columns,
    /// Its number of rows.
    pub rows: u64,
    /// The zero-based number of its first row within the snapshot.
    pub first_row: u64,
    /// Its BLAKE3 digest in hex, if a seal was verified.
    pub digest: Option<String>,
    map: Mapped,
    identity: FileIdentity,
}

impl SourceFile {
    /// Maps a file, reads its footer and binds its columns.
    ///
    /// # Errors
    /// A file that cannot be read, is not a Parquet file, or violates the column contract.
    pub fn open(found: FoundFile, spellings: &Spellings) -> Result<Self> {
        let FoundFile { path, name, root, keys } = found;
        let place = Place::file(&path);
        let (map, metadata) = Mapped::open(&path)?;
        let bytes = map.as_slice();
        if !bytes.starts_with(b"PAR1") {
            let what = match bytes {
                [] => "it is empty",
                _ if bytes.starts_with(b"PARE") => "its footer is encrypted",
                _ => "it does not begin with PAR1",
            };
            return Err(place.refuse(Fault::NotParquet(what.into())));
        }
        if !bytes.ends_with(b"PAR1") || bytes.len() < 12 {
            return Err(place.refuse(Fault::NotParquet("it does not end with PAR1: the file is cut short".into())));
        }
        let mut reader = ParquetMetaDataReader::new();
        reader.try_parse(&map.bytes()).map_err(|error| place.clone().refuse(Fault::NotParquet(error.to_string())))?;
        let footer = reader.finish().map_err(|error| place.clone().refuse(Fault::NotParquet(error.to_string())))?;
        tables::check_footer(footer.file_metadata().key_value_metadata(), &place)?;
        let columns = Columns::bind(footer.file_metadata(), &keys, spellings, &place)?;
        let footer = with_date_index(footer, &columns, &map);
        let rows = count_rows(&footer, &place)?;
        let identity = FileIdentity::of(&metadata);
        Ok(Self {
            path,
            name,
            root,
            footer: Arc::new(footer),
            columns,
            rows,
            first_row: 0,
            digest: None,
            map,
            identity,
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
        let pairs = self.footer.file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == TAKEN_AT_KEY)?.value.as_deref()
    }

    /// Number of rows of a row group.
    #[must_use]
    pub fn group_rows(&self, group: usize) -> usize {
        usize::try_from(self.footer.row_group(group).num_rows()).unwrap_or_default()
    }

    /// The place of a column in a row group, for errors.
    #[must_use]
    pub fn chunk_place(&self, group: usize, bound: &FileColumn) -> Place {
        self.place().row_group(group).column(&bound.name)
    }

    /// The footer's entry for a column chunk.
    #[must_use]
    pub fn chunk_footer(&self, group: usize, bound: &FileColumn) -> &ColumnChunkMetaData {
        self.footer.row_group(group).column(bound.leaf)
    }

    /// The bytes of a column chunk within the file.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub fn chunk_range(&self, group: usize, bound: &FileColumn) -> Result<Range<usize>> {
        let chunk = self.chunk_footer(group, bound);
        let data = chunk.data_page_offset();
        // Old writers store a dictionary offset of 0, or one after the data, if there is no dictionary.
        let start = chunk.dictionary_page_offset().filter(|&offset| offset > 0 && offset < data).unwrap_or(data);
        let corrupt =
            || self.chunk_place(group, bound).refuse(Fault::Corrupt("its pages lie outside of the file".into()));
        let start = usize::try_from(start).map_err(|_| corrupt())?;
        let len = usize::try_from(chunk.compressed_size()).map_err(|_| corrupt())?;
        let end = start.checked_add(len).filter(|&end| end <= self.map.as_slice().len()).ok_or_else(corrupt)?;
        Ok(start..end)
    }

    /// A column chunk in its encoded form; `None` if only the reference reader supports its codec.
    ///
    /// # Errors
    /// As [`chunk_range`](Self::chunk_range).
    pub fn chunk(&self, group: usize, bound: &FileColumn) -> Result<Option<Chunk<'_>>> {
        let range = self.chunk_range(group, bound)?;
        Ok(Codec::of(self.chunk_footer(group, bound).compression()).map(|codec| Chunk {
            bytes: &self.map.as_slice()[range],
            codec,
            optional: bound.optional,
            rows: self.group_rows(group),
            width: bound.form.width(),
        }))
    }

    /// Whether the file is still the one that was opened.
    ///
    /// # Errors
    /// A file that was written to, replaced or removed since.
    pub fn unchanged(&self) -> Result<()> {
        let now = fs::metadata(&self.path).map_err(Error::io("inspect", &self.path))?;
        if FileIdentity::of(&now) == self.identity { Ok(()) } else { Err(self.place().refuse(Fault::Changed)) }
    }
}

/// Reads the page index of the date column, the only one that is used for pruning. An unreadable index is ignored.
fn with_date_index(footer: ParquetMetaData, columns: &Columns, map: &Mapped) -> ParquetMetaData {
    let Some(date) = columns.in_file(Column::StatusSince) else { return footer };
    if footer.row_groups().iter().all(|group| group.column(date.leaf).column_index_range().is_none()) {
        return footer;
    }
    let without = footer.clone();
    let mut reader = ParquetMetaDataReader::new_with_metadata(footer)
        .with_page_index_policy(PageIndexPolicy::Optional)
        .with_page_index_mask(ColumnChunkMask::columns([date.leaf]));
    match reader.read_page_indexes(&map.bytes()) {
        Ok(()) => reader.finish().unwrap_or(without),
        Err(_) => without,
    }
}

fn count_rows(footer: &ParquetMetaData, place: &Place) -> Result<u64> {
    let mut total = 0u64;
    for (index, group) in footer.row_groups().iter().enumerate() {
        let corrupt = |what: &str| place.clone().row_group(index).refuse(Fault::Corrupt(what.into()));
        let rows = u32::try_from(group.num_rows())
            .map_err(|_| corrupt("its number of rows is not between 0 and 4294967295"))?;
        if group.columns().iter().any(|chunk| chunk.file_path().is_some()) {
            return Err(corrupt("its columns are in another file"));
        }
        total += u64::from(rows);
    }
    if u64::try_from(footer.file_metadata().num_rows()) != Ok(total) {
        let what = format!("the footer has {} rows, its row groups have {total}", footer.file_metadata().num_rows());
        return Err(place.clone().refuse(Fault::Corrupt(what)));
    }
    Ok(total)
}
