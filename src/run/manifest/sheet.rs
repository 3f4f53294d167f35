//! The two manifests of due rows: their columns, and how they are encoded and put together.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type};

use super::codes::{DueDays, MOST_DAYS, PartyCodes};
use super::{ALERTS, DELETE, GROUP_ROWS, properties};
use crate::error::{Error, Result};
use crate::estate::{SmiStatus, TypeNames};
use crate::output::parquet::{ChunkWriter, EncodedChunk};
use crate::output::{DigestingFile, Written};
use crate::pool::Pool;
use crate::scan::Parties;
use crate::sweep::{Due, DueRows, Spot};

/// A column of the two manifests of due rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    AlertCode,
    DeviceId,
    DeviceType,
    SmiStatus,
    StatusSince,
    DueOn,
    Party { optional: bool },
    Alert,
}

pub(super) const DELETE_COLUMNS: [Field; 7] = [
    Field::DeviceId,
    Field::DeviceType,
    Field::SmiStatus,
    Field::StatusSince,
    Field::DueOn,
    Field::Party { optional: true },
    Field::Alert,
];

pub(super) const ALERT_COLUMNS: [Field; 6] = [
    Field::AlertCode,
    Field::Party { optional: false },
    Field::DeviceId,
    Field::DeviceType,
    Field::StatusSince,
    Field::DueOn,
];

impl Field {
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

/// A manifest of due rows.
pub(super) struct Sheet<'a> {
    pub(super) columns: &'a [Field],
    pub(super) due: &'a DueRows,
    /// Which of them it has, in its order; all as they are where there is none.
    pub(super) order: Option<&'a [Spot]>,
    pub(super) days: &'a DueDays,
    pub(super) types: &'a TypeNames,
    pub(super) parties: &'a Parties,
    pub(super) alert_code: &'a str,
}

impl Sheet<'_> {
    fn schema(&self) -> Result<Type, ParquetError> {
        let fields = self.columns.iter().map(|column| column.schema().map(Arc::new)).collect::<Result<_, _>>()?;
        Type::group_type_builder("manifest").with_fields(fields).build()
    }

    fn len(&self) -> usize {
        self.order.map_or(self.due.len(), <[Spot]>::len)
    }

    /// Encodes the columns of a row group. Its rows are gathered once for all columns: those of one party lie all over.
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
        column: Field,
        descriptor: ColumnDescPtr,
        due: &[Due],
    ) -> Result<EncodedChunk, ParquetError> {
        let mut chunk = ChunkWriter::new(descriptor);
        let len = due.len();
        match column {
            Field::DeviceId => {
                if let (None, Some(first), Some(last)) = (self.order, due.first(), due.last()) {
                    chunk.bounds(&first.id.to_text(), &last.id.to_text());
                }
                chunk.device_ids(len, |row| due[row].id);
            }
            Field::StatusSince => chunk.plain(len, |row| due[row].since.to_le_bytes()),
            Field::DueOn => {
                let days = &self.days.days;
                if days.len() > MOST_DAYS {
                    chunk.plain(len, |row| days[self.days.place(&due[row]) as usize].to_le_bytes());
                } else {
                    chunk.dictionary(days.iter().map(|day| day.to_le_bytes()));
                    chunk.codes(len, days.len(), |row| self.days.place(&due[row]));
                }
            }
            Field::Alert => chunk.booleans(len, |row| due[row].alert),
            Field::AlertCode => {
                chunk.text_dictionary([self.alert_code.as_bytes()].into_iter());
                chunk.codes(len, 1, |_| 0);
            }
            Field::DeviceType => {
                let names: Vec<&[u8]> = self.types.iter().map(|(_, name)| name.as_bytes()).collect();
                chunk.text_dictionary(names.iter().copied());
                chunk.codes(len, names.len(), |row| u32::from(due[row].type_code));
            }
            Field::SmiStatus => {
                let names = SmiStatus::ALL.map(|status| status.name().as_bytes());
                chunk.text_dictionary(names.into_iter());
                chunk.codes(len, names.len(), |row| u32::from(due[row].status_code));
            }
            Field::Party { optional } => {
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

/// A manifest file in the making.
struct SheetFile<'a> {
    sheet: &'a Sheet<'a>,
    path: PathBuf,
    schema: SchemaDescriptor,
    tail: Mutex<Tail>,
}

/// The end of a file to which row groups are appended, in order.
struct Tail {
    writer: SerializedFileWriter<DigestingFile>,
    /// The row group that comes next.
    next: usize,
    /// Row groups that were encoded before their turn.
    early: BTreeMap<usize, Vec<EncodedChunk>>,
}

impl<'a> SheetFile<'a> {
    fn create(path: PathBuf, sheet: &'a Sheet<'a>) -> Result<Self> {
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let schema = Arc::new(sheet.schema().map_err(Error::write(&path))?);
        let writer = SerializedFileWriter::new(DigestingFile::new(file), Arc::clone(&schema), properties())
            .map_err(Error::write(&path))?;
        let tail = Mutex::new(Tail { writer, next: 0, early: BTreeMap::new() });
        Ok(Self { sheet, path, schema: SchemaDescriptor::new(schema), tail })
    }

    fn groups(&self) -> usize {
        self.sheet.len().div_ceil(GROUP_ROWS)
    }

    /// Encodes a row group, and appends it once it is its turn: whoever comes last appends for those who came early.
    fn write(&self, group: usize, rows: &mut Vec<Due>) -> Result<(), ParquetError> {
        let chunks = self.sheet.encode(&self.schema, group, rows)?;
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.early.insert(group, chunks);
        while let Some(chunks) = {
            let next = tail.next;
            tail.early.remove(&next)
        } {
            let mut group = tail.writer.next_row_group()?;
            for chunk in chunks {
                group.append_column(&chunk.bytes, chunk.close)?;
            }
            group.close()?;
            tail.next += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<Written> {
        let tail = self.tail.into_inner().unwrap_or_else(PoisonError::into_inner);
        let file = tail.writer.into_inner().map_err(Error::write(&self.path))?;
        file.finish().map_err(Error::io("write", &self.path))
    }
}

/// Writes both manifests of due rows at once, a row group of the one and a row group of the other.
pub(super) fn write(folder: &Path, delete: &Sheet<'_>, alerts: &Sheet<'_>, pool: &Pool) -> Result<(Written, Written)> {
    let files = [SheetFile::create(folder.join(DELETE), delete)?, SheetFile::create(folder.join(ALERTS), alerts)?];
    let groups = 0..files.iter().map(SheetFile::groups).max().unwrap_or_default();
    let tasks = groups.flat_map(|group| files.iter().map(move |file| (file, group)));
    let tasks = tasks.filter(|(file, group)| *group < file.groups()).collect();
    pool.map_with(tasks, Vec::new, |rows, (file, group)| file.write(group, rows).map_err(Error::write(&file.path)))?;
    let [delete, alerts] = files;
    let (deletes, alerts) = pool.join(|| delete.finish(), || alerts.finish());
    Ok((deletes?, alerts?))
}
