//! The delete and the alert manifest: their columns, and how their row groups are encoded in parallel and appended.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type};

use super::codes::{DueDays, MOST_DAYS, PartyCodes};
use super::input::{ALERTS, DELETE, GROUP_ROWS, properties};
use crate::error::{Error, Result};
use crate::estate::{SmiStatus, TypeNames};
use crate::output::parquet::{ChunkFile, ChunkWriter, EncodedChunk};
use crate::output::{OutputFile, Written};
use crate::pool::Pool;
use crate::scan::Parties;
use crate::sweep::{Due, DueRows, Spot};

/// A column of the delete or the alert manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DueColumn {
    AlertCode,
    DeviceId,
    DeviceType,
    SmiStatus,
    StatusSince,
    DueOn,
    Party { optional: bool },
    Alert,
}

pub(super) const DELETE_COLUMNS: [DueColumn; 7] = [
    DueColumn::DeviceId,
    DueColumn::DeviceType,
    DueColumn::SmiStatus,
    DueColumn::StatusSince,
    DueColumn::DueOn,
    DueColumn::Party { optional: true },
    DueColumn::Alert,
];

pub(super) const ALERT_COLUMNS: [DueColumn; 6] = [
    DueColumn::AlertCode,
    DueColumn::Party { optional: false },
    DueColumn::DeviceId,
    DueColumn::DeviceType,
    DueColumn::StatusSince,
    DueColumn::DueOn,
];

impl DueColumn {
    fn schema(self) -> Result<Type, ParquetError> {
        let text = |name: &'static str, optional: bool| {
            let repetition = if optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
            Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String))
                .with_repetition(repetition)
                .build()
        };
        match self {
            Self::AlertCode => text("alert_code", false),
            Self::DeviceId => text("device_id", false),
            Self::DeviceType => text("device_type", false),
            Self::SmiStatus => text("smi_status", false),
            Self::Party { optional } => text("notifying_party", optional),
            Self::StatusSince => Type::primitive_type_builder("status_since", Physical::INT64)
                .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
                .with_repetition(Repetition::REQUIRED)
                .build(),
            Self::DueOn => Type::primitive_type_builder("due_on", Physical::INT32)
                .with_logical_type(Some(LogicalType::Date))
                .with_repetition(Repetition::REQUIRED)
                .build(),
            Self::Alert => {
                Type::primitive_type_builder("alert", Physical::BOOLEAN).with_repetition(Repetition::REQUIRED).build()
            }
        }
    }
}

/// A delete or alert manifest to be written.
pub(super) struct DueTable<'a> {
    pub(super) columns: &'a [DueColumn],
    pub(super) due: &'a DueRows,
    /// The rows of the manifest in their order; `None`: all due rows in theirs.
    pub(super) order: Option<&'a [Spot]>,
    pub(super) days: &'a DueDays,
    pub(super) types: &'a TypeNames,
    pub(super) parties: &'a Parties,
    pub(super) alert_code: &'a str,
}

impl DueTable<'_> {
    fn schema(&self) -> Result<Type, ParquetError> {
        let fields = self.columns.iter().map(|column| column.schema().map(Arc::new)).collect::<Result<_, _>>()?;
        Type::group_type_builder("manifest").with_fields(fields).build()
    }

    fn len(&self) -> usize {
        self.order.map_or(self.due.len(), <[Spot]>::len)
    }

    /// Encodes the columns of a row group. Its rows are first copied together, because the rows of a
    /// party are spread over all due rows.
    fn encode(
        &self,
        schema: &SchemaDescriptor,
        group: usize,
        rows: &mut Vec<Due>,
    ) -> Result<Vec<EncodedChunk>, ParquetError> {
        let range = group * GROUP_ROWS..self.len().min((group + 1) * GROUP_ROWS);
        rows.clear();
        match self.order {
            None => self.due.slices(range).for_each(|slice| rows.extend_from_slice(slice)),
            Some(order) => rows.extend(order[range].iter().map(|&spot| self.due.at(spot))),
        }
        let columns = self.columns.iter().enumerate();
        columns.map(|(index, &column)| self.encode_column(column, schema.column(index), rows)).collect()
    }

    fn encode_column(
        &self,
        column: DueColumn,
        descriptor: ColumnDescPtr,
        due: &[Due],
    ) -> Result<EncodedChunk, ParquetError> {
        let mut chunk = ChunkWriter::new(descriptor);
        let len = due.len();
        match column {
            DueColumn::DeviceId => {
                if let (None, Some(first), Some(last)) = (self.order, due.first(), due.last()) {
                    chunk.bounds(&first.id.to_text(), &last.id.to_text());
                }
                chunk.device_ids(len, |row| due[row].id);
            }
            DueColumn::StatusSince => chunk.plain(len, |row| due[row].since.to_le_bytes()),
            DueColumn::DueOn => {
                let days = &self.days.days;
                if days.len() > MOST_DAYS {
                    chunk.plain(len, |row| days[self.days.place(&due[row]) as usize].to_le_bytes());
                } else {
                    chunk.dictionary(days.iter().map(|day| day.to_le_bytes()));
                    chunk.codes(len, days.len(), |row| self.days.place(&due[row]));
                }
            }
            DueColumn::Alert => chunk.booleans(len, |row| due[row].alert),
            DueColumn::AlertCode => {
                chunk.text_dictionary([self.alert_code.as_bytes()].into_iter());
                chunk.codes(len, 1, |_| 0);
            }
            DueColumn::DeviceType => {
                let names: Vec<&[u8]> = self.types.iter().map(|(_, name)| name.as_bytes()).collect();
                chunk.text_dictionary(names.iter().copied());
                chunk.codes(len, names.len(), |row| u32::from(due[row].type_code));
            }
            DueColumn::SmiStatus => {
                let names = SmiStatus::ALL.map(|status| status.name().as_bytes());
                chunk.text_dictionary(names.into_iter());
                chunk.codes(len, names.len(), |row| u32::from(due[row].status_code));
            }
            DueColumn::Party { optional } => {
                let names = self.parties.names();
                let own = PartyCodes::of(due, names.len());
                chunk.text_dictionary(own.parties.iter().map(|&party| names[party as usize].as_bytes()));
                if optional {
                    chunk.nullable_codes(len, own.parties.len(), |row| own.code(due[row].party));
                } else {
                    chunk.codes(len, own.parties.len(), |row| own.code(due[row].party).unwrap_or_default());
                }
            }
        }
        chunk.close()
    }
}

/// A manifest being written.
struct TableFile<'a> {
    table: &'a DueTable<'a>,
    file: ChunkFile,
}

impl<'a> TableFile<'a> {
    fn create(path: &Path, table: &'a DueTable<'a>) -> Result<Self> {
        let schema = Arc::new(table.schema().map_err(Error::write(path))?);
        Ok(Self { table, file: ChunkFile::new(OutputFile::create(path)?, schema, properties())? })
    }

    fn groups(&self) -> usize {
        self.table.len().div_ceil(GROUP_ROWS)
    }

    fn write(&self, group: usize, rows: &mut Vec<Due>) -> Result<()> {
        let chunks = self.table.encode(self.file.schema(), group, rows).map_err(Error::write(self.file.path()))?;
        self.file.append(group, chunks)
    }
}

/// Writes both manifests at the same time, alternating their row groups.
pub(super) fn write(
    folder: &Path,
    delete: &DueTable<'_>,
    alerts: &DueTable<'_>,
    pool: &Pool,
) -> Result<(Written, Written)> {
    let files = [TableFile::create(&folder.join(DELETE), delete)?, TableFile::create(&folder.join(ALERTS), alerts)?];
    let groups = 0..files.iter().map(TableFile::groups).max().unwrap_or_default();
    let tasks = groups.flat_map(|group| files.iter().map(move |file| (file, group)));
    let tasks = tasks.filter(|(file, group)| *group < file.groups()).collect();
    pool.map_with(tasks, Vec::new, |rows, (file, group)| file.write(group, rows))?;
    let [delete, alerts] = files;
    let (deletes, alerts) = pool.join(|| delete.file.finish(), || alerts.file.finish());
    Ok((deletes?, alerts?))
}
