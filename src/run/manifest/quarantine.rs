//! The quarantine manifest: few rows of much text, for which the general writer is right.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use super::{GROUP_ROWS, Manifests, properties};
use crate::error::{Error, Result};
use crate::estate::Reason;
use crate::output::{DigestingFile, Written};
use crate::sweep::Quarantined;

/// Writes the rows, which are in the order of the snapshot.
pub(super) fn write(path: &Path, manifests: &Manifests<'_>, rows: &[Quarantined]) -> Result<Written> {
    let utc: Arc<str> = "UTC".into();
    let schema = Arc::new(Schema::new(vec![
        Field::new("reason", DataType::Utf8, false),
        Field::new("device_id", DataType::Utf8, true),
        Field::new("device_type", DataType::Utf8, true),
        Field::new("smi_status", DataType::Utf8, true),
        Field::new("status_since", DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(&utc))), true),
        Field::new("notifying_party", DataType::Utf8, true),
        Field::new("source_file", DataType::Utf8, false),
        Field::new("row_in_file", DataType::Int64, false),
    ]));
    let file = File::create_new(path).map_err(Error::io("create", path))?;
    let options =
        ArrowWriterOptions::new().with_properties(Arc::unwrap_or_clone(properties())).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(DigestingFile::new(file), Arc::clone(&schema), options)
        .map_err(Error::write(path))?;
    for rows in rows.chunks(GROUP_ROWS / 4) {
        let text = |value: fn(&Quarantined) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(value).collect::<StringArray>())
        };
        let places: Vec<(&str, u64)> = rows.iter().map(|row| (manifests.locate)(row.row)).collect();
        let since: TimestampMicrosecondArray = rows.iter().map(|row| row.since).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| Reason::name(row.reason)))),
            text(|row| row.device_id.as_deref()),
            text(|row| row.device_type.as_deref()),
            text(|row| row.smi_status.as_deref()),
            Arc::new(since.with_timezone(Arc::clone(&utc))),
            text(|row| row.party.as_deref()),
            Arc::new(StringArray::from_iter_values(places.iter().map(|(file, _)| file))),
            Arc::new(Int64Array::from_iter_values(places.iter().map(|(_, row)| row.cast_signed()))),
        ];
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| Error::write(path)(error.into()))?;
        writer.write(&batch).map_err(Error::write(path))?;
    }
    let file = writer.into_inner().map_err(Error::write(path))?;
    file.finish().map_err(Error::io("write", path))
}
