//! Snapshots of two devices, column by column, for tests of what single columns may be.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

/// Columns by name.
pub type Columns = Vec<(&'static str, ArrayRef)>;

/// A column of text.
pub fn text<const N: usize>(values: [Option<&str>; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Two meters that have been pending since 2020; `number` makes their Device IDs.
pub fn meters(number: u8) -> Columns {
    let ids = [0, 1].map(|at| format!("00-DB-12-34-56-78-{number:02X}-A{at}"));
    vec![
        ("device_id", text([Some(&ids[0]), Some(&ids[1])])),
        ("device_type", text([Some("ESME"), Some("ESME")])),
        ("smi_status", text([Some("Pending"), Some("Pending")])),
        ("status_since", Arc::new(TimestampMicrosecondArray::from(vec![1_600_000_000_000_000; 2]))),
        ("notifying_party", text([Some("Acme Energy"), Some("North")])),
    ]
}

/// The same with some columns replaced, or added at the end.
pub fn with(mut columns: Columns, others: Columns) -> Columns {
    for (name, array) in others {
        match columns.iter_mut().find(|(own, _)| *own == name) {
            Some(column) => column.1 = array,
            None => columns.push((name, array)),
        }
    }
    columns
}

/// The same without a column.
pub fn without(mut columns: Columns, name: &str) -> Columns {
    columns.retain(|(own, _)| *own != name);
    columns
}

/// Writes a file.
pub fn write(path: &Path, columns: Columns) {
    write_at(path, columns, None);
}

/// Writes a file that says when it was taken.
pub fn write_at(path: &Path, columns: Columns, taken_at: Option<&str>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fields = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(fields).unwrap();
    let pairs = taken_at.map(|taken_at| vec![KeyValue::new("smi.taken_at".into(), taken_at.to_owned())]);
    let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
