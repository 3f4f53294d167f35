//! The matrix: the ways in which a case's devices are stored and swept. Every cell must say the same.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{
    ArrayRef, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};

use super::case::Device;
use crate::error::{Error, Result};
use crate::estate::{Column, time};

/// How Device IDs are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    Text,
    Bytes,
    Number,
}

/// How status dates are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dates {
    Micros,
    MicrosWithoutZone,
    Millis,
    Nanos,
    Days,
}

/// One way of storing and sweeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    ids: Ids,
    dates: Dates,
    pages: u8,
    dictionary: bool,
    files: usize,
    group_rows: usize,
    /// Workers that sweep.
    pub threads: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ids as {}, dates as {}, pages v{}, {}, {}, {}, {}",
            match self.ids {
                Ids::Text => "text",
                Ids::Bytes => "8 bytes",
                Ids::Number => "numbers",
            },
            match self.dates {
                Dates::Micros => "microseconds",
                Dates::MicrosWithoutZone => "microseconds without a zone",
                Dates::Millis => "milliseconds",
                Dates::Nanos => "nanoseconds",
                Dates::Days => "days",
            },
            self.pages,
            if self.dictionary { "dictionaries" } else { "plain values" },
            if self.files == 1 { "one file" } else { "many files" },
            if self.group_rows == usize::MAX { "one row group" } else { "many row groups" },
            if self.threads == 1 { "1 thread" } else { "4 threads" },
        )
    }
}

/// The cells that can hold these devices. The first is the plainest; the forms of dates take turns.
#[must_use]
pub fn cells(devices: &[Device]) -> Vec<Cell> {
    let ids = if devices.iter().all(|device| device.id.is_none() || device.device_id().is_some()) {
        &[Ids::Text, Ids::Bytes, Ids::Number][..]
    } else {
        // What is malformed can only be stored as text.
        &[Ids::Text]
    };
    let mut dates = vec![Dates::Micros, Dates::MicrosWithoutZone];
    let since = || devices.iter().filter_map(|device| device.since);
    if since().all(|since| since % 1000 == 0) {
        dates.push(Dates::Millis);
    }
    if since().all(|since| since.checked_mul(1000).is_some()) {
        dates.push(Dates::Nanos);
    }
    if since().all(|since| since % time::DAY_MICROS == 0) {
        dates.push(Dates::Days);
    }
    let mut cells = Vec::new();
    for &ids in ids {
        for pages in [1, 2] {
            for dictionary in [true, false] {
                for files in [1, 3] {
                    for group_rows in [usize::MAX, 2] {
                        let dates = dates[cells.len() / 2 % dates.len()];
                        for threads in [1, 4] {
                            cells.push(Cell { ids, dates, pages, dictionary, files, group_rows, threads });
                        }
                    }
                }
            }
        }
    }
    cells
}

impl Cell {
    /// Whether another cell stores the devices in the same way, and only sweeps them with other threads.
    #[must_use]
    pub fn stores_like(&self, other: &Self) -> bool {
        Self { threads: other.threads, ..*self } == *other
    }

    /// Writes the devices as a snapshot, in their order, into an empty folder.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, devices: &[Device], folder: &Path) -> Result<()> {
        let roles = devices.iter().any(|device| device.role.is_some());
        let rows_per_file = devices.len().div_ceil(self.files).max(1);
        for number in 0..self.files {
            let path = folder.join(format!("part-{number}.parquet"));
            let start = (number * rows_per_file).min(devices.len());
            let end = (start + rows_per_file).min(devices.len());
            let file = File::create_new(&path).map_err(Error::io("create", &path))?;
            self.write_file(&devices[start..end], roles, file).map_err(Error::write(&path))?;
        }
        Ok(())
    }

    fn write_file(&self, devices: &[Device], roles: bool, file: File) -> Result<(), ParquetError> {
        let version = if self.pages == 1 { WriterVersion::PARQUET_1_0 } else { WriterVersion::PARQUET_2_0 };
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_dictionary_enabled(self.dictionary)
            .set_max_row_group_row_count(Some(self.group_rows))
            .build();
        let text = |value: fn(&Device) -> Option<&String>| -> ArrayRef {
            Arc::new(devices.iter().map(value).collect::<StringArray>())
        };
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            (Column::DeviceId.name(), self.ids(devices)?),
            (Column::DeviceType.name(), text(|device| device.device_type.as_ref())),
            (Column::SmiStatus.name(), text(|device| device.smi_status.as_ref())),
            (Column::StatusSince.name(), self.dates(devices)),
            (Column::NotifyingParty.name(), text(|device| device.party.as_ref())),
        ];
        if roles {
            columns.push((Column::NotifyingRole.name(), text(|device| device.role.as_ref())));
        }
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.close().map(drop)
    }

    fn ids(&self, devices: &[Device]) -> Result<ArrayRef, ParquetError> {
        let ids = devices.iter().map(Device::device_id);
        Ok(match self.ids {
            Ids::Text => Arc::new(devices.iter().map(|device| device.id.as_ref()).collect::<StringArray>()),
            Ids::Number => Arc::new(ids.map(|id| id.map(|id| id.0)).collect::<UInt64Array>()),
            Ids::Bytes => {
                let mut bytes = FixedSizeBinaryBuilder::new(8);
                for id in ids {
                    match id {
                        Some(id) => bytes.append_value(id.0.to_be_bytes())?,
                        None => bytes.append_null(),
                    }
                }
                Arc::new(bytes.finish())
            }
        })
    }

    fn dates(&self, devices: &[Device]) -> ArrayRef {
        let since = devices.iter().map(|device| device.since);
        match self.dates {
            Dates::Micros => Arc::new(since.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            Dates::MicrosWithoutZone => Arc::new(since.collect::<TimestampMicrosecondArray>()),
            Dates::Millis => {
                let millis = since.map(|since| since.map(|micros| micros.div_euclid(1000)));
                Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
            }
            Dates::Nanos => {
                let nanos = since.map(|since| since.map(|micros| micros.saturating_mul(1000)));
                Arc::new(nanos.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
            }
            Dates::Days => Arc::new(since.map(|since| since.map(time::day_of)).collect::<Date32Array>()),
        }
    }
}
