//! The file of a ledger: Parquet, a few megabytes, the same bytes for the same counts.
//!
//! One row for each cell: `device_type`, `smi_status`, `status_since` (date), `notifying_party`, `csp_region`,
//! `notifying_role`, `flaw`, `shared_id` (a number that rows with the same Device ID have in common) and `rows`. All
//! other properties of the ledger are one JSON document ([`LedgerHead`]) in the key-value metadata, under `smi.ledger`.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Date32Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_schema::{Field, Schema};
use indexmap::IndexSet;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::count::{CandidateCounts, RowClass};
use super::data::{Ledger, LedgerSource, StoredSize};
use crate::error::{Error, Fault, Place, Result};
use crate::estate::{DeviceType, Reason, Role, SmiStatus, TypeNames, time};
use crate::output::parquet::{ArrowSchema, ParquetFile, writer_properties, zstd};
use crate::output::{Existing, OutputDirectory, OutputFile, folder_of};
use crate::pool::Pool;
use crate::scan::Parties;
use crate::shown;
use crate::snapshot::flat_file::FlatFile;
use crate::system::input;

/// The version of the format.
pub const SCHEMA: &str = "smi-sweep/ledger/1";
/// Rows in memory at a time.
const BATCH_ROWS: usize = 16 * 1024;
/// The metadata key of the [`LedgerHead`].
const KEY: &str = "smi.ledger";

/// The columns, in their order.
const COLUMNS: [&str; 9] = [
    "device_type",
    "smi_status",
    "status_since",
    "notifying_party",
    "csp_region",
    "notifying_role",
    "flaw",
    "shared_id",
    "rows",
];

/// The properties of a ledger besides its cells.
#[derive(Debug, Serialize, Deserialize)]
struct LedgerHead {
    schema: String,
    estate: Option<String>,
    synthetic: bool,
    as_of: String,
    types: Vec<String>,
    candidate_statuses: Vec<String>,
    whole_days: bool,
    #[serde(flatten)]
    size: StoredSize,
    sources: Vec<LedgerSource>,
}

impl Ledger {
    /// Writes the ledger. The file appears whole or not at all, with the folders above it that do not exist, and never
    /// replaces an existing file.
    ///
    /// # Errors
    /// A file of this name, or a file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = folder_of(path);
        if folder.exists() {
            return self.write_into(OutputFile::atomic(path, Existing::Refuse)?, path);
        }
        let directory = OutputDirectory::create(folder)?;
        self.write_into(OutputFile::create(&directory.path().join(path.file_name().unwrap_or_default()))?, path)?;
        directory.publish(&Pool::new(Some(1)))
    }

    fn write_into(&self, file: OutputFile, path: &Path) -> Result<()> {
        let properties = writer_properties()
            .set_compression(zstd(3))
            .set_key_value_metadata(Some(vec![KeyValue::new(
                KEY.to_owned(),
                self.head().map_err(Error::io("write", path))?,
            )]))
            .build();
        let (schema, columns, _) = self.batch().map_err(|error| Error::write(path)(error.into()))?.into_parts();
        let mut file = ParquetFile::new(file, schema, properties, ArrowSchema::Stored)?;
        file.write(columns)?;
        file.finish().map(drop)
    }

    /// The [`LedgerHead`] as JSON with sorted keys.
    fn head(&self) -> std::io::Result<String> {
        let head = LedgerHead {
            schema: SCHEMA.into(),
            estate: self.estate.clone(),
            synthetic: self.synthetic,
            as_of: time::format_instant(self.as_of),
            types: self.types.iter().map(|(_, name)| name.to_owned()).collect(),
            candidate_statuses: self.candidates.iter().map(|status| status.name().to_owned()).collect(),
            whole_days: self.counts.whole_days,
            size: self.size.clone(),
            sources: self.sources.clone(),
        };
        Ok(serde_json::to_value(head)?.to_string())
    }

    fn batch(&self) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let CandidateCounts { cells, shared, parties, regions, .. } = &self.counts;
        let single = cells.iter().map(|(cell, count)| (cell, None, *count));
        let rows: Vec<LedgerRow<'_>> =
            single.chain(shared.iter().map(|(group, cell)| (cell, Some(*group), 1))).collect();
        let columns: Vec<ArrayRef> = vec![
            text_column(&rows, |cell| Some(self.types.name(cell.type_code))),
            text_column(&rows, |cell| Some(SmiStatus::code_name(cell.status_code))),
            Arc::new(rows.iter().map(|(cell, ..)| cell.day).collect::<Date32Array>()),
            text_column(&rows, |cell| parties.name(cell.party)),
            text_column(&rows, |cell| regions.name(cell.region)),
            text_column(&rows, |cell| cell.role.map(Role::name)),
            text_column(&rows, |cell| cell.flaw.map(Reason::name)),
            Arc::new(rows.iter().map(|(_, group, _)| *group).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|(.., count)| Some(*count)).collect::<UInt64Array>()),
        ];
        let fields: Vec<Field> = COLUMNS
            .iter()
            .zip(&columns)
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
            .collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }

    /// Reads a ledger.
    ///
    /// # Errors
    /// A file that does not exist, or that is not a ledger of this version, with the reason.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |what: String| Place::file(path).refuse(Fault::BadLedger(what));
        let file = input::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Place::file(path).refuse(Fault::Absent),
            _ => Error::io("read", path)(error),
        })?;
        let failure = file.failure();
        let refuse = |what: String| failure.get().map_or_else(|| refuse(what), Error::io("read", path));
        // Without the embedded Arrow schema, text columns are read as text, not as dictionaries.
        let file = FlatFile::of(file).map_err(refuse)?;
        let head = file.value(KEY);
        let head = head.ok_or_else(|| refuse(format!("it has no metadata under the key {KEY}")))?;
        let head: LedgerHead = serde_json::from_str(head).map_err(|error| refuse(format!("{KEY}: {error}")))?;
        let whole_days = head.whole_days;
        let mut ledger = from_head(head, path).map_err(&refuse)?;
        let mut reader = CellReader::new(&ledger.types);
        for batch in file.batches(BATCH_ROWS).map_err(refuse)? {
            reader.read_batch(&batch.map_err(refuse)?).map_err(refuse)?;
        }
        let counts = reader.finish(whole_days);
        if counts.rows() != ledger.size.rows {
            return Err(refuse(format!("rows: it counts {} of {}", counts.rows(), ledger.size.rows)));
        }
        ledger.counts = counts;
        Ok(ledger)
    }
}

/// A cell, the number of the Device ID that the row shares with others, and how many rows the cell has.
type LedgerRow<'a> = (&'a RowClass, Option<u32>, u64);

/// A dictionary-encoded column of text.
fn text_column<'w>(rows: &[LedgerRow<'_>], text: impl Fn(&RowClass) -> Option<&'w str>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    for (cell, ..) in rows {
        builder.append_option(text(cell));
    }
    Arc::new(builder.finish())
}

/// A ledger without its cells.
fn from_head(head: LedgerHead, path: &Path) -> Result<Ledger, String> {
    if head.schema != SCHEMA {
        return Err(format!("schema: {}", head.schema));
    }
    let mut types = TypeNames::default();
    for name in head.types.iter().skip(DeviceType::BUILT_IN.len()) {
        types.add(name).map_err(|why| format!("types: `{name}` {why}"))?;
    }
    let status = |name: &String| SmiStatus::from_name(name).ok_or_else(|| format!("candidate_statuses: {name}"));
    Ok(Ledger {
        name: shown::path(&path).to_string(),
        estate: head.estate,
        synthetic: head.synthetic,
        as_of: time::parse(&head.as_of).ok_or_else(|| format!("as_of: {}", head.as_of))?,
        types,
        candidates: head.candidate_statuses.iter().map(status).collect::<Result<_, _>>()?,
        counts: CandidateCounts::default(),
        size: head.size,
        sources: head.sources,
    })
}

/// Reads the cells of a ledger. Parties and regions are numbered in the order in which they occur.
struct CellReader<'a> {
    types: &'a TypeNames,
    rows: Vec<(RowClass, Option<u32>, u64)>,
    parties: IndexSet<String>,
    regions: IndexSet<String>,
}

impl<'a> CellReader<'a> {
    fn new(types: &'a TypeNames) -> Self {
        Self { types, rows: Vec::new(), parties: IndexSet::new(), regions: IndexSet::new() }
    }

    fn read_batch(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let text = |index: usize| column::<StringArray>(batch, index);
        let [types, statuses, parties, regions, roles, flaws] =
            [text(0)?, text(1)?, text(3)?, text(4)?, text(5)?, text(6)?];
        let days = column::<Date32Array>(batch, 2)?;
        let groups = column::<UInt32Array>(batch, 7)?;
        let counts = column::<UInt64Array>(batch, 8)?;
        for row in 0..batch.num_rows() {
            let cell = RowClass {
                type_code: type_code(self.types, text_at(types, row))?,
                status_code: status_code(text_at(statuses, row))?,
                day: days.is_valid(row).then(|| days.value(row)),
                party: number_of(&mut self.parties, text_at(parties, row)),
                region: number_of(&mut self.regions, text_at(regions, row)),
                role: one_of("notifying_role", text_at(roles, row), &Role::ALL, Role::name)?,
                flaw: one_of("flaw", text_at(flaws, row), &Reason::ALL, Reason::name)?,
            };
            let group = groups.is_valid(row).then(|| groups.value(row));
            if counts.is_null(row) || (group.is_some() && counts.value(row) != 1) {
                return Err(format!("column `rows`: the count of row {} is not valid", self.rows.len() + 1));
            }
            self.rows.push((cell, group, counts.value(row)));
        }
        Ok(())
    }

    /// All cells, with parties and regions numbered in the order of their names.
    fn finish(self, whole_days: bool) -> CandidateCounts {
        let (parties, party_rank) = Parties::sorted(self.parties.into_iter().collect());
        let (regions, region_rank) = Parties::sorted(self.regions.into_iter().collect());
        let mut counts = CandidateCounts { parties, regions, whole_days, ..CandidateCounts::default() };
        let rank = |ranks: &[u32], number: u32| ranks.get(number as usize).copied().unwrap_or(Parties::NONE);
        for (cell, group, rows) in self.rows {
            let cell =
                RowClass { party: rank(&party_rank, cell.party), region: rank(&region_rank, cell.region), ..cell };
            match group {
                Some(group) => counts.shared.push((group, cell)),
                None => counts.cells.push((cell, rows)),
            }
        }
        counts.cells.sort_unstable();
        counts.shared.sort_unstable();
        counts
    }
}

/// Column `index` of [`COLUMNS`], in the Arrow type of its Parquet type.
fn column<A: Array + 'static>(batch: &RecordBatch, index: usize) -> Result<&A, String> {
    let name = COLUMNS[index];
    let column = batch.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"))?;
    let typed = column.as_any().downcast_ref();
    typed.ok_or_else(|| format!("column `{name}` is {}, which is not its type in a ledger", column.data_type()))
}

fn text_at(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

/// The number of a name, which it gets on its first occurrence.
fn number_of(names: &mut IndexSet<String>, name: Option<&str>) -> u32 {
    let Some(name) = name else { return Parties::NONE };
    names.get_index_of(name).unwrap_or_else(|| names.insert_full(name.to_owned()).0) as u32
}

fn type_code(types: &TypeNames, name: Option<&str>) -> Result<u8, String> {
    match name {
        Some("(null)") => Ok(DeviceType::NULL),
        Some("(unknown)") => Ok(DeviceType::UNKNOWN),
        Some(name) => types.get(name).map(DeviceType::code).ok_or_else(|| format!("column `device_type`: `{name}`")),
        None => Err("column `device_type`: a null".into()),
    }
}

fn status_code(name: Option<&str>) -> Result<u8, String> {
    match name {
        Some("(null)") => Ok(SmiStatus::NULL),
        Some("(unknown)") => Ok(SmiStatus::UNKNOWN),
        Some(name) => {
            SmiStatus::from_name(name).map(SmiStatus::code).ok_or_else(|| format!("column `smi_status`: `{name}`"))
        }
        None => Err("column `smi_status`: a null".into()),
    }
}

fn one_of<T: Copy>(
    column: &str,
    found: Option<&str>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, String> {
    let Some(found) = found else { return Ok(None) };
    let known = all.iter().copied().find(|&one| name(one) == found);
    known.map(Some).ok_or_else(|| format!("column `{column}`: `{found}`"))
}
