//! The layouts of synthetic estates: three that real exporters write.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::estate::{Estate, SynthRow};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, time};
use crate::output::OutputFile;
use crate::output::parquet::{ArrowSchema, ParquetFile, writer_properties, zstd};
use crate::progress::Progress;
use crate::snapshot::TAKEN_AT_KEY;

/// The rows of a snapshot by their index, and the metadata of its files.
pub(super) trait RowSource: Sync {
    /// The number of rows.
    fn rows(&self) -> u64;
    /// The row at an index, from 0.
    fn row(&self, index: u64) -> SynthRow;
    /// The moment at which the snapshot is taken, UTC microseconds.
    fn as_of(&self) -> i64;
    /// The name of the estate, where it has one.
    fn estate(&self) -> Option<String>;
    /// Whether there is a column of roles.
    fn roles(&self) -> bool;
    /// Whether there is a column of regions.
    fn regions(&self) -> bool;
}

impl RowSource for Estate {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn row(&self, index: u64) -> SynthRow {
        Estate::row(self, index)
    }

    fn as_of(&self) -> i64 {
        self.as_of
    }

    fn estate(&self) -> Option<String> {
        None
    }

    fn roles(&self) -> bool {
        self.defects
    }

    fn regions(&self) -> bool {
        false
    }
}

/// How the rows of an estate are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Identifiers as text, snappy: what most exporters write.
    Strings,
    /// Identifiers as eight bytes, zstd, a page index.
    Bytes,
    /// As bytes, each file sorted by status, type and date.
    Clustered,
}

/// Rows that the writer takes at a time.
const BATCH: usize = 32 * 1024;

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 3] = [Self::Strings, Self::Bytes, Self::Clustered];

    /// The word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strings => "strings",
            Self::Bytes => "bytes",
            Self::Clustered => "clustered",
        }
    }

    fn properties(self, estate: &dyn RowSource) -> WriterProperties {
        let mut pairs = vec![
            KeyValue::new(TAKEN_AT_KEY.to_owned(), time::format_instant(estate.as_of())),
            KeyValue::new("smi.synthetic".to_owned(), "true".to_owned()),
        ];
        pairs.extend(estate.estate().map(|name| KeyValue::new("smi.estate".to_owned(), name)));
        let common = writer_properties().set_key_value_metadata(Some(pairs));
        match self {
            Self::Strings => common
                .set_compression(Compression::SNAPPY)
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_max_row_group_row_count(Some(1 << 20))
                .build(),
            Self::Bytes | Self::Clustered => common
                .set_compression(zstd(1))
                .set_statistics_enabled(EnabledStatistics::Page)
                .set_data_page_row_count_limit(20_000)
                .set_write_batch_size(2_500)
                .set_max_row_group_row_count(Some(1 << 19))
                // All identifiers differ, so that a dictionary would only cost space.
                .set_column_dictionary_enabled(ColumnPath::from(Column::DeviceId.name()), false)
                .build(),
        }
    }
}

/// Writes some rows of an estate to a file. Returns its size in bytes.
pub(super) fn write_file(
    estate: &dyn RowSource,
    layout: Layout,
    rows: Range<u64>,
    path: &Path,
    progress: &dyn Progress,
) -> Result<u64> {
    let properties = layout.properties(estate);
    let schema = schema(layout, estate);
    let mut file = ParquetFile::new(OutputFile::create(path)?, schema, properties, ArrowSchema::Stored)?;
    let order = if layout == Layout::Clustered { Some(clustered(estate, rows.clone())) } else { None };
    let total = (rows.end - rows.start) as usize;
    for start in (0..total).step_by(BATCH) {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let end = total.min(start + BATCH);
        let number = |index: usize| order.as_ref().map_or(rows.start + index as u64, |order| order[index]);
        let batch: Vec<SynthRow> = (start..end).map(|index| estate.row(number(index))).collect();
        file.write(columns(&batch, layout, estate))?;
        progress.advance((end - start) as u64);
    }
    Ok(file.finish()?.bytes)
}

/// The indexes of a file's rows, sorted by status, type and date. Only the sort keys are in memory, not the rows.
fn clustered(estate: &dyn RowSource, rows: Range<u64>) -> Vec<u64> {
    let key = |number: u64| {
        let row = estate.row(number);
        (row.smi_status, row.device_type, row.status_since, number)
    };
    let mut keys: Vec<_> = rows.map(key).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(.., number)| number).collect()
}

fn schema(layout: Layout, estate: &dyn RowSource) -> Arc<Schema> {
    let id = if layout == Layout::Strings { DataType::Utf8 } else { DataType::FixedSizeBinary(8) };
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new(Column::DeviceId.name(), id.clone(), true),
        Field::new(Column::DeviceType.name(), DataType::Utf8, true),
        Field::new(Column::SmiStatus.name(), DataType::Utf8, true),
        Field::new(Column::StatusSince.name(), utc, true),
        Field::new(Column::NotifyingParty.name(), id, true),
    ];
    if estate.roles() {
        fields.push(Field::new(Column::NotifyingRole.name(), DataType::Utf8, true));
    }
    if estate.regions() {
        fields.push(Field::new(Column::CspRegion.name(), DataType::Utf8, true));
    }
    Arc::new(Schema::new(fields))
}

fn columns(rows: &[SynthRow], layout: Layout, estate: &dyn RowSource) -> Vec<ArrayRef> {
    let text = |value: &dyn Fn(&SynthRow) -> Option<&str>| -> ArrayRef {
        let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * 16);
        for row in rows {
            builder.append_option(value(row));
        }
        Arc::new(builder.finish())
    };
    let identifier = |value: &dyn Fn(&SynthRow) -> Option<&str>| -> ArrayRef {
        if layout == Layout::Strings {
            return text(value);
        }
        let mut builder = FixedSizeBinaryBuilder::with_capacity(rows.len(), 8);
        for row in rows {
            match value(row).and_then(|text| DeviceId::from_text(text.as_bytes())) {
                // Eight bytes always fit a column of eight bytes.
                Some(id) => builder.append_value(id.0.to_be_bytes()).unwrap_or_else(|_| builder.append_null()),
                None => builder.append_null(),
            }
        }
        Arc::new(builder.finish())
    };
    let mut since = TimestampMicrosecondBuilder::with_capacity(rows.len());
    for row in rows {
        since.append_option(row.status_since);
    }
    let mut columns: Vec<ArrayRef> = vec![
        identifier(&|row| row.device_id.as_deref()),
        text(&|row| row.device_type),
        text(&|row| row.smi_status),
        Arc::new(since.finish().with_timezone("UTC")),
        identifier(&|row| row.notifying_party.as_deref()),
    ];
    if estate.roles() {
        columns.push(text(&|row| row.notifying_role));
    }
    if estate.regions() {
        columns.push(text(&|row| row.csp_region));
    }
    columns
}
