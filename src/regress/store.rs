//! Writes a case's devices as Parquet files, in the storage form of a cell.
//!
//! The `parquet` crate's column writers are used, not those of Arrow: Arrow cannot write INT96, and does not give control
//! of every form.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit as ArrowUnit};
use parquet::arrow::add_encoded_arrow_schema_to_metadata;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType as Stored, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
    Int96, Int96Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use super::case::Device;
use super::cells::{DateForm, IdForm, MatrixCell, PageCodec, ValueEncoding};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, time};
use crate::output::OutputFile;

/// Day number of 1970-01-01 in the Julian count of INT96.
const JULIAN_EPOCH: i64 = 2_440_588;

/// Writes the devices into a folder. Returns the files in the order of their rows.
///
/// # Errors
/// Where a file cannot be written.
pub(super) fn write(cell: &MatrixCell, devices: &[Device], folder: &Path) -> Result<Vec<PathBuf>> {
    let roles = devices.iter().any(|device| device.role.is_some());
    let rows_per_file = devices.len().div_ceil(cell.files).max(1);
    let mut paths = Vec::new();
    for number in 0..cell.files {
        let path = folder.join(format!("part-{number}.parquet"));
        let start = (number * rows_per_file).min(devices.len());
        let end = (start + rows_per_file).min(devices.len());
        let file = OutputFile::create(&path)?;
        write_file(cell, &devices[start..end], roles, file).map_err(Error::write(&path))?.finish()?;
        paths.push(path);
    }
    Ok(paths)
}

fn write_file(
    cell: &MatrixCell,
    devices: &[Device],
    roles: bool,
    file: OutputFile,
) -> Result<OutputFile, ParquetError> {
    let columns: Vec<Column> =
        Column::READ_BY_SWEEP.into_iter().filter(|&column| roles || column != Column::NotifyingRole).collect();
    let fields = columns.iter().map(|&column| schema_of(cell, column).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("snapshot").with_fields(fields).build()?);
    let properties = Arc::new(properties(cell, &columns));
    let mut writer = SerializedFileWriter::new(file, schema, properties)?;
    for rows in devices.chunks(cell.group_rows) {
        let mut group = writer.next_row_group()?;
        for &column in &columns {
            write_column(cell, column, rows, &mut group)?;
        }
        group.close()?;
    }
    writer.into_inner()
}

fn properties(cell: &MatrixCell, columns: &[Column]) -> WriterProperties {
    let version = if cell.pages == 1 { WriterVersion::PARQUET_1_0 } else { WriterVersion::PARQUET_2_0 };
    let codec = match cell.codec {
        PageCodec::None => Compression::UNCOMPRESSED,
        PageCodec::Snappy => Compression::SNAPPY,
        PageCodec::Zstd => Compression::ZSTD(parquet::basic::ZstdLevel::default()),
    };
    let mut builder = WriterProperties::builder()
        .set_writer_version(version)
        .set_compression(codec)
        .set_dictionary_enabled(cell.values == ValueEncoding::Dictionary)
        .set_encoding(Encoding::PLAIN);
    if cell.values == ValueEncoding::Delta {
        for &column in columns {
            let encoding = match column {
                Column::StatusSince if cell.dates == DateForm::Int96 => Encoding::PLAIN,
                Column::StatusSince => Encoding::DELTA_BINARY_PACKED,
                Column::DeviceId if matches!(cell.ids, IdForm::Unsigned | IdForm::Signed) => {
                    Encoding::DELTA_BINARY_PACKED
                }
                Column::DeviceId => Encoding::DELTA_BYTE_ARRAY,
                _ => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            };
            builder = builder.set_column_encoding(ColumnPath::from(column.name()), encoding);
        }
    }
    let mut properties = builder.build();
    if let Some(schema) = hint(cell, columns) {
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
    }
    properties
}

/// The embedded Arrow schema: for forms that only it identifies, and as a hint for string views.
fn hint(cell: &MatrixCell, columns: &[Column]) -> Option<Schema> {
    let date = match cell.dates {
        DateForm::Seconds => DataType::Timestamp(ArrowUnit::Second, Some("UTC".into())),
        DateForm::Date64 => DataType::Date64,
        _ if cell.ids == IdForm::TextView => return Some(view(columns)),
        _ => return None,
    };
    let field = |&column: &Column| match column {
        Column::StatusSince => Field::new(column.name(), date.clone(), true),
        Column::DeviceId => Field::new(column.name(), id_hint(cell.ids), true),
        _ => Field::new(column.name(), DataType::Utf8, true),
    };
    Some(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn id_hint(ids: IdForm) -> DataType {
    match ids {
        IdForm::Text => DataType::Utf8,
        IdForm::TextView => DataType::Utf8View,
        IdForm::Fixed8 => DataType::FixedSizeBinary(8),
        IdForm::Bytes => DataType::Binary,
        IdForm::Unsigned => DataType::UInt64,
        IdForm::Signed => DataType::Int64,
    }
}

/// A schema with all text as string views.
fn view(columns: &[Column]) -> Schema {
    let field = |&column: &Column| match column {
        Column::StatusSince => Field::new(column.name(), DataType::Timestamp(ArrowUnit::Microsecond, None), true),
        _ => Field::new(column.name(), DataType::Utf8View, true),
    };
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

fn schema_of(cell: &MatrixCell, column: Column) -> Result<Type, ParquetError> {
    let instant = |utc, unit| (Physical::INT64, Some(LogicalType::timestamp(utc, unit)));
    let (physical, logical) = match column {
        Column::DeviceId => match cell.ids {
            IdForm::Text | IdForm::TextView => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            IdForm::Fixed8 => (Physical::FIXED_LEN_BYTE_ARRAY, None),
            IdForm::Bytes => (Physical::BYTE_ARRAY, None),
            IdForm::Unsigned => (Physical::INT64, Some(LogicalType::integer(64, false))),
            IdForm::Signed => (Physical::INT64, None),
        },
        Column::StatusSince => match cell.dates {
            DateForm::Micros => instant(true, TimeUnit::MICROS),
            DateForm::MicrosWithoutZone => instant(false, TimeUnit::MICROS),
            DateForm::Millis => instant(true, TimeUnit::MILLIS),
            DateForm::Nanos => instant(true, TimeUnit::NANOS),
            DateForm::Seconds | DateForm::Date64 => (Physical::INT64, None),
            DateForm::Int96 => (Physical::INT96, None),
            DateForm::Date32 => (Physical::INT32, Some(LogicalType::Date)),
        },
        _ => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let length = if physical == Physical::FIXED_LEN_BYTE_ARRAY { 8 } else { -1 };
    Type::primitive_type_builder(column.name(), physical)
        .with_logical_type(logical)
        .with_length(length)
        .with_repetition(Repetition::OPTIONAL)
        .build()
}

fn write_column(
    cell: &MatrixCell,
    column: Column,
    devices: &[Device],
    group: &mut SerializedRowGroupWriter<'_, OutputFile>,
) -> Result<(), ParquetError> {
    let text = |value: fn(&Device) -> Option<&String>| {
        devices.iter().map(|device| value(device).map(|text| ByteArray::from(text.as_str()))).collect::<Vec<_>>()
    };
    let ids = || devices.iter().map(Device::device_id);
    let since = || devices.iter().map(|device| device.since);
    match column {
        Column::DeviceId => match cell.ids {
            IdForm::Text | IdForm::TextView => put::<ByteArrayType>(group, text(|device| device.id.as_ref())),
            IdForm::Fixed8 => {
                put::<FixedLenByteArrayType>(group, ids().map(|id| id.map(|id| FixedLenByteArray::from(bytes(id)))))
            }
            IdForm::Bytes => put::<ByteArrayType>(group, ids().map(|id| id.map(|id| ByteArray::from(bytes(id))))),
            IdForm::Unsigned | IdForm::Signed => {
                put::<Int64Type>(group, ids().map(|id| id.map(|id| id.0.cast_signed())))
            }
        },
        Column::StatusSince => match cell.dates {
            DateForm::Int96 => put::<Int96Type>(group, since().map(|since| since.map(int96))),
            DateForm::Date32 => put::<Int32Type>(group, since().map(|since| since.map(time::day_of))),
            dates => put::<Int64Type>(group, since().map(|since| since.map(|since| scaled(dates, since)))),
        },
        Column::DeviceType => put::<ByteArrayType>(group, text(|device| device.device_type.as_ref())),
        Column::SmiStatus => put::<ByteArrayType>(group, text(|device| device.smi_status.as_ref())),
        Column::NotifyingParty => put::<ByteArrayType>(group, text(|device| device.party.as_ref())),
        Column::NotifyingRole => put::<ByteArrayType>(group, text(|device| device.role.as_ref())),
        Column::CspRegion => put::<ByteArrayType>(group, text(|_| None)),
    }
}

fn bytes(id: DeviceId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

/// Microseconds in the unit of a form.
fn scaled(dates: DateForm, since: i64) -> i64 {
    match dates {
        DateForm::Seconds => since.div_euclid(1_000_000),
        DateForm::Millis | DateForm::Date64 => since.div_euclid(1000),
        DateForm::Nanos => since.saturating_mul(1000),
        _ => since,
    }
}

fn int96(since: i64) -> Int96 {
    let nanos = since.rem_euclid(time::DAY_MICROS) * 1000;
    let mut value = Int96::new();
    value.set_data(nanos as u32, (nanos >> 32) as u32, (i64::from(time::day_of(since)) + JULIAN_EPOCH) as u32);
    value
}

/// Writes the next column of a row group; `None` is a null.
fn put<T: Stored>(
    group: &mut SerializedRowGroupWriter<'_, OutputFile>,
    values: impl IntoIterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = values.into_iter().collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    column.close()
}
