//! The three manifests of a run, as Parquet.
//!
//! Row groups are encoded in parallel, those of the delete and the alert manifest at once; each file is then put together
//! in order, digested on its way. Due rows arrive sorted by Device ID; the alert manifest's order, by party and Device ID,
//! follows from that by sorting them into their parties.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type};

use super::digest::{DigestingFile, Written};
use crate::error::{Error, Result};
use crate::estate::{DeviceType, Reason, SmiStatus, TypeNames, time};
use crate::pool::Pool;
use crate::snapshot::encoded::write::{ChunkWriter, EncodedChunk};
use crate::sweep::{Due, Findings, Parties, Quarantined};

/// Name of the delete manifest.
pub const DELETE: &str = "delete.parquet";
/// Name of the alert manifest.
pub const ALERTS: &str = "alerts.parquet";
/// Name of the quarantine manifest.
pub const QUARANTINE: &str = "quarantine.parquet";

/// Rows of a row group.
const GROUP_ROWS: usize = 1 << 17;

/// What manifests are written from.
pub struct Manifests<'a> {
    /// What was found.
    pub findings: &'a Findings,
    /// The names of types.
    pub types: &'a TypeNames,
    /// The code of alerts.
    pub alert_code: &'a str,
    /// The day on which a device becomes due, from its type code and the day of its status date.
    pub due_on: &'a (dyn Fn(u8, i32) -> i32 + Sync),
    /// The file that has a row of the snapshot, and the row's number in it.
    pub locate: &'a dyn Fn(u64) -> (&'a str, u64),
}

/// A manifest that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Name within the run directory.
    pub path: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Size and digest.
    pub written: Written,
}

/// Writes all three manifests into a directory.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(folder: &Path, manifests: &Manifests<'_>, pool: &Pool) -> Result<Vec<Output>> {
    let Findings { due, parties, quarantined, .. } = manifests.findings;
    let due_on = manifests.due_on;
    let (alerting, days) = pool.join(|| by_party(due, parties), || due_days(due, due_on));
    let counted = manifests.findings.by_type.total();
    if alerting.len() as u64 != counted.alerts || due.len() as u64 != counted.deletes() {
        return Err(Error::Unbalanced(format!(
            "{} deletions and {} alerts are listed, {} and {} were counted",
            due.len(),
            alerting.len(),
            counted.deletes(),
            counted.alerts
        )));
    }
    let sheet = |columns, rows| Sheet {
        columns,
        rows,
        days: &days,
        types: manifests.types,
        parties,
        alert_code: manifests.alert_code,
    };
    let delete = sheet(&DELETE_COLUMNS[..], Rows::All(due));
    let alerts = sheet(&ALERT_COLUMNS[..], Rows::Picked(due, &alerting));
    let (delete_file, alert_file) = write_sheets(folder, &delete, &alerts, pool)?;
    let quarantine_file = write_quarantine(&folder.join(QUARANTINE), manifests, quarantined)?;
    Ok(vec![
        Output { path: DELETE, rows: due.len() as u64, written: delete_file },
        Output { path: ALERTS, rows: alerting.len() as u64, written: alert_file },
        Output { path: QUARANTINE, rows: quarantined.len() as u64, written: quarantine_file },
    ])
}

/// Indices of the alerting rows by party, and within a party in the order of the due rows, which is by Device ID.
fn by_party(due: &[Due], parties: &Parties) -> Vec<u32> {
    let mut starts = vec![0usize; parties.len() + 1];
    let alerting = || due.iter().enumerate().filter(|(_, due)| due.alert && (due.party as usize) < parties.len());
    for (_, due) in alerting() {
        starts[due.party as usize + 1] += 1;
    }
    for party in 0..parties.len() {
        starts[party + 1] += starts[party];
    }
    let mut order = vec![0; starts[parties.len()]];
    for (index, due) in alerting() {
        let place = &mut starts[due.party as usize];
        order[*place] = index as u32;
        *place += 1;
    }
    order
}

/// The day on which each row became due. There are far fewer days than rows, so that each is worked out once.
fn due_days(due: &[Due], due_on: &dyn Fn(u8, i32) -> i32) -> Vec<i32> {
    let earliest = due.iter().map(|due| due.since).min().map_or(0, time::day_of);
    let mut known: Vec<Vec<Option<i32>>> = vec![Vec::new(); DeviceType::CODES];
    due.iter()
        .map(|due| {
            let day = time::day_of(due.since);
            let of_type = &mut known[usize::from(due.type_code) % DeviceType::CODES];
            let place = (day - earliest) as usize;
            if of_type.len() <= place {
                of_type.resize(place + 1, None);
            }
            *of_type[place].get_or_insert_with(|| due_on(due.type_code, day))
        })
        .collect()
}

/// A column of the two manifests of due rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    AlertCode,
    DeviceId,
    DeviceType,
    SmiStatus,
    StatusSince,
    DueOn,
    Party { optional: bool },
    Alert,
}

const DELETE_COLUMNS: [Field; 7] = [
    Field::DeviceId,
    Field::DeviceType,
    Field::SmiStatus,
    Field::StatusSince,
    Field::DueOn,
    Field::Party { optional: true },
    Field::Alert,
];

const ALERT_COLUMNS: [Field; 6] = [
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

/// The due rows of a manifest, in its order.
#[derive(Clone, Copy)]
enum Rows<'a> {
    All(&'a [Due]),
    Picked(&'a [Due], &'a [u32]),
}

impl Rows<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::All(due) => due.len(),
            Self::Picked(_, order) => order.len(),
        }
    }
}

/// A manifest of due rows.
struct Sheet<'a> {
    columns: &'a [Field],
    rows: Rows<'a>,
    /// For each due row the day on which it became due.
    days: &'a [i32],
    types: &'a TypeNames,
    parties: &'a Parties,
    alert_code: &'a str,
}

impl Sheet<'_> {
    fn schema(&self) -> Result<Type, ParquetError> {
        let fields = self.columns.iter().map(|column| column.schema().map(Arc::new)).collect::<Result<_, _>>()?;
        Type::group_type_builder("manifest").with_fields(fields).build()
    }

    /// Encodes the columns of a row group.
    fn encode(&self, schema: &SchemaDescriptor, group: usize) -> Result<Vec<EncodedChunk>, ParquetError> {
        let rows = group * GROUP_ROWS..self.rows.len().min((group + 1) * GROUP_ROWS);
        let gathered: (Vec<Due>, Vec<i32>);
        let (due, days) = match self.rows {
            Rows::All(due) => (&due[rows.clone()], &self.days[rows]),
            // Gathered once for all columns: rows of one party lie all over the due rows.
            Rows::Picked(due, order) => {
                gathered = order[rows].iter().map(|&index| (due[index as usize], self.days[index as usize])).unzip();
                (&gathered.0[..], &gathered.1[..])
            }
        };
        let columns = self.columns.iter().enumerate();
        columns.map(|(index, &column)| self.encode_column(column, schema.column(index), due, days)).collect()
    }

    fn encode_column(
        &self,
        column: Field,
        descriptor: ColumnDescPtr,
        due: &[Due],
        days: &[i32],
    ) -> Result<EncodedChunk, ParquetError> {
        let mut chunk = ChunkWriter::new(descriptor);
        let len = due.len();
        match column {
            Field::DeviceId => {
                if let (Rows::All(_), Some(first), Some(last)) = (self.rows, due.first(), due.last()) {
                    chunk.bounds(&first.id.to_text(), &last.id.to_text());
                }
                chunk.device_ids(len, |row| due[row].id);
            }
            Field::StatusSince => chunk.plain(len, |row| due[row].since.to_le_bytes()),
            Field::DueOn => chunk.plain(len, |row| days[row].to_le_bytes()),
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
                chunk.text_dictionary(names.iter().map(String::as_bytes));
                if optional {
                    let code = |row: usize| Some(due[row].party).filter(|&party| party != Parties::NONE);
                    chunk.nullable_codes(len, names.len(), code);
                } else {
                    chunk.codes(len, names.len(), |row| due[row].party);
                }
            }
        }
        chunk.close()
    }
}

/// A manifest file in the making.
struct SheetFile<'a> {
    sheet: &'a Sheet<'a>,
    name: &'static str,
    schema: SchemaDescriptor,
    writer: SerializedFileWriter<DigestingFile>,
}

impl<'a> SheetFile<'a> {
    fn create(folder: &Path, name: &'static str, sheet: &'a Sheet<'a>) -> Result<Self> {
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let schema = Arc::new(sheet.schema().map_err(Error::write(&path))?);
        let writer = SerializedFileWriter::new(DigestingFile::new(file), Arc::clone(&schema), properties())
            .map_err(Error::write(&path))?;
        Ok(Self { sheet, name, schema: SchemaDescriptor::new(schema), writer })
    }

    fn groups(&self) -> usize {
        self.sheet.rows.len().div_ceil(GROUP_ROWS)
    }

    /// Appends row groups, in order.
    fn append(&mut self, folder: &Path, groups: Vec<Vec<EncodedChunk>>) -> Result<()> {
        let write = || Error::write(folder.join(self.name));
        for chunks in groups {
            let mut group = self.writer.next_row_group().map_err(write())?;
            for chunk in chunks {
                group.append_column(&chunk.bytes, chunk.close).map_err(write())?;
            }
            group.close().map_err(write())?;
        }
        Ok(())
    }

    fn finish(self, folder: &Path) -> Result<Written> {
        let path = folder.join(self.name);
        let file = self.writer.into_inner().map_err(Error::write(&path))?;
        file.finish().map_err(Error::io("write", &path))
    }
}

/// Properties of all files of a run. Nothing in them depends on the machine or the moment.
pub(super) fn properties() -> WriterPropertiesPtr {
    Arc::new(
        WriterProperties::builder()
            .set_created_by(concat!("smi-sweep version ", env!("CARGO_PKG_VERSION")).into())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .build(),
    )
}

fn write_sheets(folder: &Path, delete: &Sheet<'_>, alerts: &Sheet<'_>, pool: &Pool) -> Result<(Written, Written)> {
    let mut delete_file = SheetFile::create(folder, DELETE, delete)?;
    let mut alert_file = SheetFile::create(folder, ALERTS, alerts)?;
    let groups = delete_file.groups().max(alert_file.groups());
    // A few row groups of both at a time: enough for all threads, and no more than that in memory.
    for first in (0..groups).step_by(pool.threads()) {
        let some = first..groups.min(first + pool.threads());
        let tasks = some.flat_map(|group| [(&delete_file, group), (&alert_file, group)]);
        let encoded = pool.map(tasks.filter(|(file, group)| *group < file.groups()).collect(), |(file, group)| {
            let chunks = file.sheet.encode(&file.schema, group).map_err(Error::write(folder.join(file.name)))?;
            Ok((file.name, chunks))
        })?;
        let (of_delete, of_alerts): (Vec<_>, Vec<_>) = encoded.into_iter().partition(|(name, _)| *name == DELETE);
        let only = |groups: Vec<(&str, Vec<EncodedChunk>)>| groups.into_iter().map(|(_, chunks)| chunks).collect();
        let (first, second) =
            pool.join(|| delete_file.append(folder, only(of_delete)), || alert_file.append(folder, only(of_alerts)));
        first.and(second)?;
    }
    let (deletes, alerts) = pool.join(|| delete_file.finish(folder), || alert_file.finish(folder));
    Ok((deletes?, alerts?))
}

/// The quarantine manifest: few rows of much text, for which the general writer is right.
fn write_quarantine(path: &Path, manifests: &Manifests<'_>, rows: &[Quarantined]) -> Result<Written> {
    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_writer::ArrowWriterOptions;

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
