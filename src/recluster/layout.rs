//! Writes the layout that a sweep reads fastest; docs/performance.md has the measurements.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::estate::Column;
use crate::output::OutputFile;
use crate::output::parquet::{ArrowSchema, ParquetFile, writer_properties, zstd};
use crate::policy::Policy;
use crate::scan::rows::{Rows, TextColumn};
use crate::snapshot::TAKEN_AT_KEY;

/// Rows that are sorted at a time. A worker holds them in memory, about 60 bytes each.
pub const BATCH_ROWS: usize = 1 << 21;
/// Rows that are passed to the writer at a time.
const CHUNK: usize = 64 * 1024;
/// Rows of a page, the smallest unit that is decompressed.
const PAGE_ROWS: usize = 20_000;
/// Largest number of rows of a row group.
const GROUP_ROWS: usize = 1 << 20;

/// The columns that are written, under the names by which the policy reads them.
#[derive(Debug, Clone)]
pub struct ColumnNames(Vec<(Column, String)>);

impl ColumnNames {
    /// The names of the columns of which `there` says that the snapshot has them.
    #[must_use]
    pub fn of(policy: &Policy, there: impl Fn(Column) -> bool) -> Self {
        let name = |column: Column| {
            let mapped = policy.spellings.columns.iter().find(|(_, ours)| **ours == column);
            mapped.map_or_else(|| column.name().to_owned(), |(theirs, _)| theirs.clone())
        };
        Self(
            Column::READ_BY_SWEEP
                .into_iter()
                .filter(|&column| there(column))
                .map(|column| (column, name(column)))
                .collect(),
        )
    }

    fn of_column(&self, column: Column) -> ColumnPath {
        let name = self.0.iter().find(|(ours, _)| *ours == column).map_or(column.name(), |(_, name)| name);
        ColumnPath::from(name)
    }
}

/// Which rows of a batch a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BatchPart {
    /// Rows with a candidate status.
    Candidates,
    /// Rows that a sweep only counts.
    Others,
    /// Rows whose Device ID is malformed; it is stored as text.
    Malformed,
}

impl BatchPart {
    const fn name(self) -> &'static str {
        match self {
            Self::Candidates => "candidates",
            Self::Others => "others",
            Self::Malformed => "malformed",
        }
    }
}

/// Where and how a batch of rows is written.
#[derive(Debug, Clone, Copy)]
pub struct BatchTarget<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// The batch's number, part of its files' names.
    pub number: usize,
    /// When the snapshot was taken, in RFC 3339; `None` if that is not known.
    pub taken_at: Option<&'a str>,
    /// The columns that are written.
    pub names: &'a ColumnNames,
    /// Gives the candidate statuses.
    pub policy: &'a Policy,
}

impl BatchTarget<'_> {
    /// Writes the files of a batch. A batch without rows makes one file without rows, because a snapshot needs a file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, rows: &Rows) -> Result<()> {
        let is_candidate =
            |status: &str| self.policy.candidate_statuses.contains_code(self.policy.status_code(status.as_bytes()));
        let (statuses, types) = (rows.statuses.ranks(), rows.types.ranks());
        let candidates: Vec<bool> = rows.statuses.words.iter().map(|word| is_candidate(word)).collect();
        let rank = |ranks: &[u32], words: &TextColumn, row: usize| ranks.get(words.numbers[row] as usize).copied();
        let mut malformed = rows.malformed.iter().map(|&(row, _)| row).peekable();
        let mut parts: [Vec<SortKey>; 3] = Default::default();
        for row in 0..rows.len() {
            let key = SortKey {
                status: rank(&statuses, &rows.statuses, row),
                device_type: rank(&types, &rows.types, row),
                since: rows.since[row],
                row: row as u32,
            };
            let part = if malformed.next_if_eq(&row).is_some() {
                BatchPart::Malformed
            } else if candidates.get(rows.statuses.numbers[row] as usize).copied().unwrap_or_default() {
                BatchPart::Candidates
            } else {
                BatchPart::Others
            };
            parts[part as usize].push(key);
        }
        for (part, mut keys) in [BatchPart::Candidates, BatchPart::Others, BatchPart::Malformed].into_iter().zip(parts)
        {
            let wanted = !keys.is_empty() || (rows.is_empty() && part == BatchPart::Others);
            keys.sort_unstable();
            if wanted {
                self.write_part(part, rows, &keys)?;
            }
        }
        Ok(())
    }

    fn write_part(&self, part: BatchPart, rows: &Rows, keys: &[SortKey]) -> Result<()> {
        let path = self.folder.join(format!("{}-{:05}.parquet", part.name(), self.number));
        let schema = self.schema(part);
        let mut file =
            ParquetFile::new(OutputFile::create(&path)?, schema, self.properties(part), ArrowSchema::LeftOut)?;
        let runs = keys.chunk_by(|a, b| match part {
            // One status and one type in each row group: excluded types are then decided by statistics alone.
            BatchPart::Candidates => (a.status, a.device_type) == (b.status, b.device_type),
            BatchPart::Others => a.status == b.status,
            BatchPart::Malformed => true,
        });
        for run in runs {
            for chunk in run.chunks(CHUNK) {
                let columns = self.columns(part, rows, chunk);
                file.write(columns.map_err(|error| Error::write(&path)(error.into()))?)?;
            }
            file.end_row_group()?;
        }
        file.finish().map(drop)
    }

    fn properties(&self, part: BatchPart) -> WriterProperties {
        let pairs = self.taken_at.map(|at| vec![KeyValue::new(TAKEN_AT_KEY.to_owned(), at.to_owned())]);
        let codec = match part {
            BatchPart::Candidates => Compression::UNCOMPRESSED,
            BatchPart::Others | BatchPart::Malformed => zstd(1),
        };
        let ids = self.names.of_column(Column::DeviceId);
        let dates = self.names.of_column(Column::StatusSince);
        writer_properties()
            .set_key_value_metadata(pairs)
            .set_compression(codec)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS / 8)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_column_dictionary_enabled(dates, false)
            // Nearly all Device IDs are distinct: a dictionary would only add bytes.
            .set_column_dictionary_enabled(ids, false)
            .build()
    }

    fn schema(&self, part: BatchPart) -> Arc<Schema> {
        let kind = |column: Column| match column {
            Column::DeviceId if part == BatchPart::Malformed => DataType::Utf8,
            Column::DeviceId => DataType::FixedSizeBinary(8),
            Column::StatusSince => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Column::DeviceType
            | Column::SmiStatus
            | Column::NotifyingParty
            | Column::NotifyingRole
            | Column::CspRegion => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        };
        let fields = self.names.0.iter().map(|(column, name)| Field::new(name, kind(*column), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn columns(&self, part: BatchPart, rows: &Rows, keys: &[SortKey]) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.names.0.iter().map(|(column, _)| match column {
            Column::DeviceId if part == BatchPart::Malformed => Ok(malformed(rows, keys)),
            Column::DeviceId => device_ids(rows, keys),
            Column::StatusSince => {
                let since: TimestampMicrosecondArray = keys.iter().map(|key| key.since).collect();
                Ok(Arc::new(since.with_timezone("UTC")) as ArrayRef)
            }
            Column::DeviceType => text(&rows.types, keys),
            Column::SmiStatus => text(&rows.statuses, keys),
            Column::NotifyingParty => text(&rows.parties, keys),
            // `CspRegion` never occurs here: `ColumnNames` has the columns of `Column::READ_BY_SWEEP` only.
            Column::NotifyingRole | Column::CspRegion => text(&rows.roles, keys),
        });
        columns.collect()
    }
}

/// Rows are sorted by this key; null comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    status: Option<u32>,
    device_type: Option<u32>,
    since: Option<i64>,
    row: u32,
}

fn device_ids(rows: &Rows, keys: &[SortKey]) -> Result<ArrayRef, ArrowError> {
    let mut ids = FixedSizeBinaryBuilder::with_capacity(keys.len(), 8);
    for key in keys {
        match rows.ids[key.row as usize] {
            Some(id) => ids.append_value(id.0.to_be_bytes())?,
            None => ids.append_null(),
        }
    }
    Ok(Arc::new(ids.finish()))
}

fn malformed(rows: &Rows, keys: &[SortKey]) -> ArrayRef {
    let mut texts = StringBuilder::new();
    for key in keys {
        let found = rows.malformed.binary_search_by_key(&(key.row as usize), |(row, _)| *row);
        texts.append_option(found.ok().map(|index| &rows.malformed[index].1));
    }
    Arc::new(texts.finish())
}

fn text(words: &TextColumn, keys: &[SortKey]) -> Result<ArrayRef, ArrowError> {
    let number = |key: &SortKey| {
        let number = words.numbers[key.row as usize];
        (number != TextColumn::NULL).then_some(number.cast_signed())
    };
    let values = StringArray::from_iter_values(&words.words);
    let numbers: Int32Array = keys.iter().map(number).collect();
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(numbers, Arc::new(values))?))
}
