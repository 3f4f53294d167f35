//! One file of a snapshot: mapped, its footer read, its columns bound.

use std::collections::BTreeMap;
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
use crate::error::{Error, Fault, Place, Result};
use crate::estate::Column;

/// The key under which files say when their snapshot was taken.
pub const TAKEN_AT_KEY: &str = "smi.taken_at";

/// What the system says of a file, enough to notice that it was replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Identity {
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
    /// Where it is.
    pub path: PathBuf,
    /// What manifests call it.
    pub name: String,
    /// The folder that the user named, where it lies in one.
    pub root: Option<PathBuf>,
    /// Its footer.
    pub footer: Arc<ParquetMetaData>,
    /// Its columns.
    pub columns: Columns,
    /// Its rows.
    pub rows: u64,
    /// The number of its first row within the snapshot.
    pub first_row: u64,
    /// Its BLAKE3 digest, where the snapshot's seal was verified.
    pub digest: Option<String>,
    map: Mapped,
    identity: Identity,
}

impl SourceFile {
    /// Maps a file, reads its footer and binds its columns.
    ///
    /// # Errors
    /// Where it is no Parquet file, or does not keep the column contract.
    pub fn open(found: FoundFile, names: &BTreeMap<String, Column>) -> Result<Self> {
        let FoundFile { path, name, root } = found;
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
        let columns = Columns::bind(footer.file_metadata(), names, &place)?;
        let footer = with_date_index(footer, &columns, &map);
        let rows = count_rows(&footer, &place)?;
        let identity = Identity::of(&metadata);
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

    /// What a seal in this folder calls the file: its path below the folder, or where it was named by itself its name.
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

    /// How the file has a column.
    ///
    /// # Errors
    /// Where it has none: never so for the columns that a snapshot must have, which were bound when it was opened.
    pub fn bound(&self, column: Column) -> Result<&FileColumn> {
        self.columns.get(column).ok_or_else(|| {
            let missing = Fault::MissingColumn { found: "none of that name".into(), nearest: None };
            self.place().column(column.name()).refuse(missing)
        })
    }

    /// Size of the file.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.identity.bytes
    }

    /// The mapped file.
    #[must_use]
    pub const fn map(&self) -> &Mapped {
        &self.map
    }

    /// When the file says its snapshot was taken.
    #[must_use]
    pub fn taken_at(&self) -> Option<&str> {
        let pairs = self.footer.file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == TAKEN_AT_KEY)?.value.as_deref()
    }

    /// Rows of a row group.
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

    /// Where in the file a column chunk lies.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub fn chunk_range(&self, group: usize, bound: &FileColumn) -> Result<Range<usize>> {
        let chunk = self.chunk_footer(group, bound);
        let data = chunk.data_page_offset();
        // A dictionary of 0, or behind the data, is an old writers' way to say that there is none.
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
    /// Where it was written to, replaced or removed since.
    pub fn unchanged(&self) -> Result<()> {
        let now = fs::metadata(&self.path).map_err(Error::io("inspect", &self.path))?;
        if Identity::of(&now) == self.identity { Ok(()) } else { Err(self.place().refuse(Fault::Changed)) }
    }
}

/// Reads the page index of the date column, the only one that is used for pruning. An unreadable index is ignored.
fn with_date_index(footer: ParquetMetaData, columns: &Columns, map: &Mapped) -> ParquetMetaData {
    let Some(date) = columns.get(Column::StatusSince) else { return footer };
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
            .map_err(|_| corrupt("its number of rows makes no sense, or is beyond four thousand million"))?;
        if group.columns().iter().any(|chunk| chunk.file_path().is_some()) {
            return Err(corrupt("its columns lie in another file"));
        }
        total += u64::from(rows);
    }
    if u64::try_from(footer.file_metadata().num_rows()) != Ok(total) {
        let what = format!("the footer says {} rows, its row groups have {total}", footer.file_metadata().num_rows());
        return Err(place.clone().refuse(Fault::Corrupt(what)));
    }
    Ok(total)
}
