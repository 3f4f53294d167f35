//! The three manifests of a run, as Parquet.
//!
//! Row groups are encoded in parallel, those of the delete and the alert manifest at once, and appended in order, digested
//! on their way. Due rows arrive sorted by Device ID; the alert manifest's order, by party and Device ID,
//! follows from that by sorting them into their parties.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
use crate::sweep::{Due, DueRows, Findings, Parties, Quarantined, Spot};

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
    let (alerting, days) = pool.join(|| by_party(manifests.findings), || DueDays::of(due, manifests.due_on));
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
    let sheet = |columns, order| Sheet {
        columns,
        due,
        order,
        days: &days,
        types: manifests.types,
        parties,
        alert_code: manifests.alert_code,
    };
    let delete = sheet(&DELETE_COLUMNS[..], None);
    let alerts = sheet(&ALERT_COLUMNS[..], Some(&alerting[..]));
    let (delete_file, alert_file) = write_sheets(folder, &delete, &alerts, pool)?;
    let quarantine_file = write_quarantine(&folder.join(QUARANTINE), manifests, quarantined)?;
    Ok(vec![
        Output { path: DELETE, rows: due.len() as u64, written: delete_file },
        Output { path: ALERTS, rows: alerting.len() as u64, written: alert_file },
        Output { path: QUARANTINE, rows: quarantined.len() as u64, written: quarantine_file },
    ])
}

/// Where the alerting rows lie, by party, and within a party in the order of the due rows, which is by Device ID.
fn by_party(findings: &Findings) -> Vec<Spot> {
    let mut start = 0;
    let mut places: Vec<usize> = Vec::with_capacity(findings.parties.len());
    for counts in &findings.by_party[..findings.parties.len().min(findings.by_party.len())] {
        places.push(start);
        start += counts.alerts as usize;
    }
    let mut order = vec![Spot::default(); start];
    for (spot, due) in findings.due.spots().filter(|(_, due)| due.alert) {
        let Some(place) = places.get_mut(due.party as usize) else { continue };
        if let Some(free) = order.get_mut(*place) {
            *free = spot;
        }
        *place += 1;
    }
    order
}

/// The days on which rows became due. There are far fewer of them than rows, so that each is worked out once.
struct DueDays {
    /// The day of the earliest status date.
    earliest: i32,
    /// By type code and days from `earliest` on: the place in `days`.
    places: Vec<Vec<u32>>,
    /// Every day on which a row became due, ascending.
    days: Vec<i32>,
}

/// With more days than this, each row has its own day written out.
const MOST_DAYS: usize = 1 << 14;

impl DueDays {
    fn of(due: &DueRows, due_on: &(dyn Fn(u8, i32) -> i32 + Sync)) -> Self {
        let earliest = due.iter().map(|due| due.since).min().map_or(0, time::day_of);
        let mut met: Vec<Vec<bool>> = vec![Vec::new(); DeviceType::CODES];
        for due in due.iter() {
            let of_type = &mut met[usize::from(due.type_code) % DeviceType::CODES];
            let at = (time::day_of(due.since) - earliest) as usize;
            if of_type.len() <= at {
                of_type.resize(at + 1, false);
            }
            of_type[at] = true;
        }
        let day = |code: usize, at: usize| due_on(code as u8, earliest + at as i32);
        let each = |code: usize, met: &[bool]| (0..met.len()).filter(|&at| met[at]).map(|at| day(code, at)).collect();
        let mut days: Vec<i32> =
            met.iter().enumerate().flat_map(|(code, met)| -> Vec<i32> { each(code, met) }).collect();
        days.sort_unstable();
        days.dedup();
        let place = |day: i32| days.partition_point(|&known| known < day) as u32;
        let places = met.iter().enumerate().map(|(code, met)| {
            met.iter().enumerate().map(|(at, &met)| if met { place(day(code, at)) } else { 0 }).collect()
        });
        Self { earliest, places: places.collect(), days }
    }

    /// The place of a row's day among all.
    #[inline]
    fn place(&self, due: &Due) -> u32 {
        let at = time::day_of(due.since) - self.earliest;
        self.places[usize::from(due.type_code) % DeviceType::CODES][at as usize]
    }
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

/// A manifest of due rows.
struct Sheet<'a> {
    columns: &'a [Field],
    due: &'a DueRows,
    /// Which of them it has, in its order; all as they are where there is none.
    order: Option<&'a [Spot]>,
    days: &'a DueDays,
    types: &'a TypeNames,
    parties: &'a Parties,
    alert_code: &'a str,
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

/// The parties of some rows, numbered anew: a dictionary of those that occur, however many others there are.
struct PartyCodes {
    /// Those that occur, ascending.
    parties: Vec<u32>,
    /// For each party its place among them, where that many places are no burden; else it is searched for.
    places: Option<Vec<u32>>,
}

impl PartyCodes {
    fn of(due: &[Due], parties: usize) -> Self {
        if parties > GROUP_ROWS {
            let mut occurring: Vec<u32> =
                due.iter().map(|due| due.party).filter(|&party| (party as usize) < parties).collect();
            occurring.sort_unstable();
            occurring.dedup();
            return Self { parties: occurring, places: None };
        }
        let mut places = vec![u32::MAX; parties];
        for due in due {
            if let Some(place) = places.get_mut(due.party as usize) {
                *place = 0;
            }
        }
        let occurring: Vec<u32> = (0..parties as u32).filter(|&party| places[party as usize] == 0).collect();
        for (place, &party) in occurring.iter().enumerate() {
            places[party as usize] = place as u32;
        }
        Self { parties: occurring, places: Some(places) }
    }

    /// The place of a party that occurs; `None` for the number of no party.
    #[inline]
    fn code(&self, party: u32) -> Option<u32> {
        match &self.places {
            Some(places) => places.get(party as usize).copied(),
            None => self.parties.binary_search(&party).ok().map(|place| place as u32),
        }
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

/// Properties of all files of a run. Nothing in them depends on the machine or the moment.
pub(super) fn properties() -> WriterPropertiesPtr {
    Arc::new(
        WriterProperties::builder()
            .set_created_by(concat!("smi-sweep version ", env!("CARGO_PKG_VERSION")).into())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .build(),
    )
}

/// Writes both manifests of due rows at once, a row group of the one and a row group of the other.
fn write_sheets(folder: &Path, delete: &Sheet<'_>, alerts: &Sheet<'_>, pool: &Pool) -> Result<(Written, Written)> {
    let files = [SheetFile::create(folder.join(DELETE), delete)?, SheetFile::create(folder.join(ALERTS), alerts)?];
    let groups = 0..files.iter().map(SheetFile::groups).max().unwrap_or_default();
    let tasks = groups.flat_map(|group| files.iter().map(move |file| (file, group)));
    let tasks = tasks.filter(|(file, group)| *group < file.groups()).collect();
    pool.map_with(tasks, Vec::new, |rows, (file, group)| file.write(group, rows).map_err(Error::write(&file.path)))?;
    let [delete, alerts] = files;
    let (deletes, alerts) = pool.join(|| delete.finish(), || alerts.finish());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estate::DeviceId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parties_that_occur_are_numbered_the_same_however_many_others_there_are(
            parties in prop::collection::vec(prop_oneof![0u32..90, Just(Parties::NONE)], 0..300),
        ) {
            let row = |&party: &u32| Due {
                id: DeviceId(0), since: 0, row: 0, party, type_code: 0, status_code: 0, alert: false,
            };
            let due: Vec<Due> = parties.iter().map(row).collect();
            let (few, many) = (PartyCodes::of(&due, 90), PartyCodes::of(&due, GROUP_ROWS + 1));
            prop_assert!(few.places.is_some() && many.places.is_none());
            prop_assert_eq!(&few.parties, &many.parties);
            for party in parties {
                let code = few.code(party);
                prop_assert_eq!(code, many.code(party));
                prop_assert_eq!(code.map(|code| few.parties[code as usize]), (party != Parties::NONE).then_some(party));
            }
        }
    }
}
