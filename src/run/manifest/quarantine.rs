//! The quarantine manifest. It has few rows with much text, so that Arrow's general writer is fast enough.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::input::{GROUP_ROWS, Manifests, properties};
use crate::error::Result;
use crate::estate::Reason;
use crate::output::parquet::{ArrowSchema, ParquetFile};
use crate::output::{OutputFile, Written};
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
    let mut file = ParquetFile::new(OutputFile::create(path)?, schema, properties(), ArrowSchema::LeftOut)?;
    for rows in rows.chunks(GROUP_ROWS / 4) {
        let text = |value: fn(&Quarantined) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(value).collect::<StringArray>())
        };
        let places: Vec<(&str, u64)> = rows.iter().map(|row| (manifests.locate)(row.row)).collect();
        let since: TimestampMicrosecondArray = rows.iter().map(|row| row.since).collect();
        file.write(vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| Reason::name(row.reason)))),
            text(|row| row.device_id.as_deref()),
            text(|row| row.device_type.as_deref()),
            text(|row| row.smi_status.as_deref()),
            Arc::new(since.with_timezone(Arc::clone(&utc))),
            text(|row| row.party.as_deref()),
            Arc::new(StringArray::from_iter_values(places.iter().map(|(file, _)| file))),
            Arc::new(Int64Array::from_iter_values(places.iter().map(|(_, row)| row.cast_signed()))),
        ])?;
    }
    file.finish()
}
