//! Reads flat Parquet files that are not snapshots into Arrow batches: manifests, ledgers, order books.
//!
//! Footer and pages pass the same gate as those of a snapshot. The `parquet` crate only decodes values, and its panics are
//! contained.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups as CrateRowGroups};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Type as Physical;
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::{ParquetError, Result as CrateResult};
use parquet::file::metadata::{FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::encoded::Chunk;
use super::encoded::checked::CheckedPages;
use super::footer::{FooterOutline, ReadAt, RowGroups, TAIL, WantedColumn, start_of};
use crate::error::{Error, Place, contained};
use crate::memory;
use crate::system::input::InputFile;

/// A Parquet file whose footer was read.
#[derive(Debug)]
pub struct FlatFile {
    content: Arc<FlatContent>,
    metadata: ParquetMetaData,
}

#[derive(Debug)]
struct FlatContent {
    metadata: FileMetaData,
    groups: RowGroups,
    file: InputFile,
    /// Length of the file in bytes.
    len: usize,
}

impl FlatFile {
    /// Reads the footer of a file.
    ///
    /// # Errors
    /// A file without a valid footer, in words. If the file could not be read, its
    /// [`failure`](InputFile::failure) says why.
    pub fn of(file: InputFile) -> Result<Self, String> {
        let len = usize::try_from(Length::len(&file)).map_err(|_| "it is too large")?;
        let end = len.saturating_sub(TAIL);
        let bytes = |range: Range<usize>| file.get_bytes(range.start as u64, range.len()).map_err(plain);
        let (head, tail) = (bytes(0..len.min(4))?, bytes(end..len)?);
        let start = start_of((&head, &tail), len).map_err(|fault| fault.to_string())?;
        let footer = bytes(start..end)?;
        let outline = FooterOutline::of_footer(&footer, start, &|_| {}).map_err(|fault| fault.to_string())?;
        let schema = outline.file.schema_descr_ptr();
        let wanted: Vec<WantedColumn<'_>> = (0..schema.num_columns())
            .map(|leaf| WantedColumn { leaf, name: schema.columns()[leaf].name(), pruned: false })
            .collect();
        let place = Place::file("");
        let at = ReadAt { place: &place, passed: &|_| {} };
        let groups = RowGroups::read(&outline, &wanted, &at).map_err(|error| reason(&error))?;
        let metadata = outline.file;
        let parquet = ParquetMetaData::new(metadata.clone(), Vec::new());
        Ok(Self { content: Arc::new(FlatContent { metadata, groups, file, len }), metadata: parquet })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.content.groups.total_rows()
    }

    /// The value of the file's metadata under a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let pairs = self.content.metadata.key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// The rows in batches of at most `rows`. Only the Parquet types decide the types of columns; an embedded Arrow schema
    /// is not read.
    ///
    /// # Errors
    /// Types that have no form in Arrow, in words.
    pub fn batches(&self, rows: usize) -> Result<FlatBatches, String> {
        let levels =
            || parquet_to_arrow_field_levels(self.content.metadata.schema_descr(), ProjectionMask::all(), None);
        let reader =
            || levels().and_then(|levels| ParquetRecordBatchReader::try_new_with_row_groups(&levels, self, rows, None));
        Ok(FlatBatches(contained(reader).ok_or(CONTRADICTION)?.map_err(plain)?))
    }
}

/// What is wrong with input on which the crate panics.
const CONTRADICTION: &str = "has a page with contradicting lengths";

/// The message of the crate without its prefix.
fn plain(error: ParquetError) -> String {
    match error {
        ParquetError::General(what) => what,
        other => other.to_string(),
    }
}

/// What is wrong with a file, without the name of the file.
fn reason(error: &Error) -> String {
    match error {
        Error::Snapshot { fault, .. } => fault.to_string(),
        other => other.to_string(),
    }
}

/// The batches of a file, in order.
pub struct FlatBatches(ParquetRecordBatchReader);

impl FlatBatches {
    /// The schema of the batches.
    #[must_use]
    pub fn schema(&self) -> arrow_schema::SchemaRef {
        arrow_array::RecordBatchReader::schema(&self.0)
    }
}

impl Iterator for FlatBatches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        match contained(|| self.0.next()) {
            None => Some(Err(CONTRADICTION.into())),
            Some(next) => next.map(|batch| batch.map_err(|error| error.to_string())),
        }
    }
}

impl FlatContent {
    fn pages(&self, group: usize, leaf: usize) -> CrateResult<CheckedPages> {
        let general = |what: &str| ParquetError::General(what.into());
        let chunk = self.groups.chunk(group, leaf).ok_or_else(|| general("a column chunk is missing"))?;
        let codec = chunk.codec.ok_or_else(|| general("a column has a codec that is not supported"))?;
        let range = chunk.range_of_pages(self.len);
        let range = range.ok_or_else(|| general("the pages of a column lie outside of the file"))?;
        if range.len() as u64 > memory::limit() {
            return Err(general("a column chunk does not fit into the memory limit"));
        }
        let bytes = self.file.get_bytes(range.start as u64, range.len())?;
        let column = self.metadata.schema_descr().column(leaf);
        let width = match column.physical_type() {
            Physical::BYTE_ARRAY => None,
            Physical::BOOLEAN => Some(1),
            Physical::INT32 | Physical::FLOAT => Some(4),
            Physical::INT64 | Physical::DOUBLE => Some(8),
            Physical::INT96 => Some(12),
            Physical::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.type_length()).ok(),
        };
        if column.max_rep_level() > 0 || column.max_def_level() > 1 {
            return Err(general("a column is nested"));
        }
        let rows = self.groups.rows(group) as usize;
        let chunk = Chunk { bytes: &bytes, codec, optional: column.max_def_level() == 1, rows, width };
        Ok(CheckedPages::new(chunk, bytes.clone()))
    }
}

impl CrateRowGroups for FlatFile {
    fn num_rows(&self) -> usize {
        self.rows() as usize
    }

    fn column_chunks(&self, leaf: usize) -> CrateResult<Box<dyn PageIterator>> {
        Ok(Box::new(FlatChunks { content: Arc::clone(&self.content), leaf, group: 0 }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::empty())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The chunks of one column.
struct FlatChunks {
    content: Arc<FlatContent>,
    leaf: usize,
    group: usize,
}

impl Iterator for FlatChunks {
    type Item = CrateResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.group;
        self.group += 1;
        (group < self.content.groups.len())
            .then(|| Ok(Box::new(self.content.pages(group, self.leaf)?) as Box<dyn PageReader>))
    }
}

impl PageIterator for FlatChunks {}
