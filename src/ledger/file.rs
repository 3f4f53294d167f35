//! A ledger as a file: Parquet, a few megabytes, the same bytes for the same counts.
//!
//! One row for each cell: `device_type`, `smi_status`, `status_since` (date), `notifying_party`, `csp_region`,
//! `notifying_role`, `flaw`, `shared_id` (a number that rows with the same Device ID have in common) and `rows`. What
//! concerns the whole is one JSON document under the key `smi.ledger`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Date32Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use serde_json::{Value, json};

use super::count::{CandidateCounts, RowClass};
use super::{Ledger, Source, Weight};
use crate::error::{Error, Fault, Place, Result};
use crate::estate::{DeviceType, Reason, Role, SmiStatus, TypeNames, time};
use crate::output::parquet::{ArrowSchema, ParquetFile, writer_properties, zstd};
use crate::output::{Existing, OutputFile, folder_of};
use crate::scan::Parties;

/// What a ledger says it is.
pub const SCHEMA: &str = "smi-sweep/ledger/1";
/// The key of the document on the whole.
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

/// Columns of words.
const WORDS: [usize; 6] = [0, 1, 3, 4, 5, 6];

impl Ledger {
    /// Writes the ledger. The file appears whole or not at all, and never replaces another.
    ///
    /// # Errors
    /// A name that is taken, or a disk that refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = folder_of(path);
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let properties = writer_properties()
            .set_compression(zstd(3))
            .set_key_value_metadata(Some(vec![KeyValue::new(KEY.to_owned(), self.head().to_string())]))
            .build();
        let (schema, columns, _) = self.batch().map_err(|error| Error::write(path)(error.into()))?.into_parts();
        let file = OutputFile::atomic(path, Existing::Refuse)?;
        let mut file = ParquetFile::new(file, schema, properties, ArrowSchema::Stored)?;
        file.write(columns)?;
        file.finish().map(drop)
    }

    fn head(&self) -> Value {
        let sources: Vec<Value> = self
            .sources
            .iter()
            .map(|source| json!({ "path": source.name, "rows": source.rows, "blake3": source.digest }))
            .collect();
        json!({
            "schema": SCHEMA,
            "estate": self.estate,
            "synthetic": self.synthetic,
            "as_of": time::format_instant(self.as_of),
            "types": self.types.iter().map(|(_, name)| name).collect::<Vec<_>>(),
            "candidate_statuses": self.candidates.iter().map(SmiStatus::name).collect::<Vec<_>>(),
            "whole_days": self.census.whole_days,
            "rows": self.weight.rows,
            "bytes": self.weight.bytes,
            "bytes_by_column": self.weight.by_column,
            "sources": sources,
        })
    }

    fn batch(&self) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let CandidateCounts { cells, shared, parties, regions, .. } = &self.census;
        let single = cells.iter().map(|(cell, rows)| (cell, None, *rows));
        let lines: Vec<Line<'_>> = single.chain(shared.iter().map(|(group, cell)| (cell, Some(*group), 1))).collect();
        let columns: Vec<ArrayRef> = vec![
            words(&lines, |cell| Some(self.types.name(cell.type_code))),
            words(&lines, |cell| Some(Self::status_name(cell.status_code))),
            Arc::new(lines.iter().map(|(cell, ..)| cell.day).collect::<Date32Array>()),
            words(&lines, |cell| parties.name(cell.party)),
            words(&lines, |cell| regions.name(cell.region)),
            words(&lines, |cell| cell.role.map(Role::name)),
            words(&lines, |cell| cell.flaw.map(Reason::name)),
            Arc::new(lines.iter().map(|(_, group, _)| *group).collect::<UInt32Array>()),
            Arc::new(lines.iter().map(|(.., rows)| Some(*rows)).collect::<UInt64Array>()),
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
    /// A file that is not there, or is no ledger of this version, with what is wrong with it.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |what: String| Place::file(path).refuse(Fault::BadLedger(what));
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Place::file(path).refuse(Fault::Absent),
            _ => Error::io("read", path)(error),
        })?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| refuse(error.to_string()))?;
        let pairs = builder.metadata().file_metadata().key_value_metadata();
        let head = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == KEY)?.value.clone());
        let head: Value = head
            .and_then(|head| serde_json::from_str(&head).ok())
            .ok_or_else(|| refuse(format!("it says nothing under the key {KEY}")))?;
        let mut ledger = from_head(&head, path).map_err(&refuse)?;
        let mut reading = Reading { types: &ledger.types, lines: Vec::new(), parties: Vec::new(), regions: Vec::new() };
        for batch in builder.build().map_err(|error| refuse(error.to_string()))? {
            reading.batch(&batch.map_err(|error| refuse(error.to_string()))?).map_err(&refuse)?;
        }
        let census = reading.finish(ledger.census.whole_days);
        if census.rows() != ledger.weight.rows {
            return Err(refuse(format!("rows: it counts {} of {}", census.rows(), ledger.weight.rows)));
        }
        ledger.census = census;
        Ok(ledger)
    }
}

/// A cell, the number of the Device ID that its row shares, and how many rows there are.
type Line<'a> = (&'a RowClass, Option<u32>, u64);

/// A column of words, each stored once.
fn words<'w>(lines: &[Line<'_>], word: impl Fn(&RowClass) -> Option<&'w str>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    for (cell, ..) in lines {
        builder.append_option(word(cell));
    }
    Arc::new(builder.finish())
}

/// What the document on the whole says.
fn from_head(head: &Value, path: &Path) -> Result<Ledger, String> {
    let wrong = |field: &str| format!("{field}: {}", head.get(field).unwrap_or(&Value::Null));
    let text = |field: &str| head.get(field).and_then(Value::as_str);
    let number = |field: &str| head.get(field).and_then(Value::as_u64).ok_or_else(|| wrong(field));
    let names = |field: &str| -> Result<Vec<&str>, String> {
        let list = head.get(field).and_then(Value::as_array).ok_or_else(|| wrong(field))?;
        list.iter().map(|name| name.as_str().ok_or_else(|| wrong(field))).collect()
    };
    if text("schema") != Some(SCHEMA) {
        return Err(wrong("schema"));
    }
    let mut types = TypeNames::default();
    for name in names("types")?.into_iter().skip(DeviceType::BUILT_IN.len()) {
        types.add(name).map_err(|why| format!("types: `{name}` {why}"))?;
    }
    let candidates = names("candidate_statuses")?
        .into_iter()
        .map(|name| SmiStatus::from_name(name).ok_or_else(|| wrong("candidate_statuses")))
        .collect::<Result<_, _>>()?;
    let by_column: BTreeMap<String, u64> =
        serde_json::from_value(head.get("bytes_by_column").cloned().unwrap_or_default())
            .map_err(|_| wrong("bytes_by_column"))?;
    let sources = head.get("sources").and_then(Value::as_array).ok_or_else(|| wrong("sources"))?;
    let source = |source: &Value| -> Option<Source> {
        Some(Source {
            name: source.get("path")?.as_str()?.to_owned(),
            rows: source.get("rows")?.as_u64()?,
            digest: source.get("blake3").and_then(Value::as_str).map(str::to_owned),
        })
    };
    Ok(Ledger {
        name: path.display().to_string(),
        estate: text("estate").map(str::to_owned),
        synthetic: head.get("synthetic").and_then(Value::as_bool).ok_or_else(|| wrong("synthetic"))?,
        as_of: text("as_of").and_then(time::parse).ok_or_else(|| wrong("as_of"))?,
        types,
        candidates,
        census: CandidateCounts {
            whole_days: head.get("whole_days").and_then(Value::as_bool).ok_or_else(|| wrong("whole_days"))?,
            ..CandidateCounts::default()
        },
        weight: Weight { rows: number("rows")?, bytes: number("bytes")?, by_column },
        sources: sources.iter().map(|own| source(own).ok_or_else(|| wrong("sources"))).collect::<Result<_, _>>()?,
    })
}

/// A ledger that is being read.
struct Reading<'a> {
    types: &'a TypeNames,
    lines: Vec<(RowClass, Option<u32>, u64)>,
    parties: Vec<String>,
    regions: Vec<String>,
}

impl Reading<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let column = |index: usize, kind: &DataType| -> Result<ArrayRef, String> {
            let name = COLUMNS[index];
            let column = batch.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"))?;
            cast(column, kind).map_err(|error| format!("column `{name}`: {error}"))
        };
        let texts: Vec<ArrayRef> =
            WORDS.iter().map(|&index| column(index, &DataType::Utf8)).collect::<Result<_, _>>()?;
        let texts: Vec<&StringArray> = texts.iter().filter_map(|text| text.as_any().downcast_ref()).collect();
        let [types, statuses, parties, regions, roles, flaws] = texts[..] else { return Err("no words".into()) };
        let days = column(2, &DataType::Date32)?;
        let groups = column(7, &DataType::UInt32)?;
        let counts = column(8, &DataType::UInt64)?;
        let (Some(days), Some(groups), Some(counts)) = (
            days.as_any().downcast_ref::<Date32Array>(),
            groups.as_any().downcast_ref::<UInt32Array>(),
            counts.as_any().downcast_ref::<UInt64Array>(),
        ) else {
            return Err("no numbers".into());
        };
        let (mut party_number, mut region_number) = (Numbers::new(&mut self.parties), Numbers::new(&mut self.regions));
        for row in 0..batch.num_rows() {
            let text = |words: &'_ StringArray| words.is_valid(row).then(|| words.value(row).to_owned());
            let cell = RowClass {
                type_code: type_code(self.types, text(types).as_deref())?,
                status_code: status_code(text(statuses).as_deref())?,
                day: days.is_valid(row).then(|| days.value(row)),
                party: party_number.of(text(parties)),
                region: region_number.of(text(regions)),
                role: one_of("notifying_role", text(roles), &Role::ALL, Role::name)?,
                flaw: one_of("flaw", text(flaws), &Reason::ALL, Reason::name)?,
            };
            let group = groups.is_valid(row).then(|| groups.value(row));
            if counts.is_null(row) || (group.is_some() && counts.value(row) != 1) {
                return Err(format!("column `rows`: line {} has no count that makes sense", self.lines.len() + 1));
            }
            self.lines.push((cell, group, counts.value(row)));
        }
        Ok(())
    }

    fn finish(self, whole_days: bool) -> CandidateCounts {
        let (parties, party_rank) = Parties::sorted(self.parties);
        let (regions, region_rank) = Parties::sorted(self.regions);
        let mut census = CandidateCounts { parties, regions, whole_days, ..CandidateCounts::default() };
        for (cell, group, rows) in self.lines {
            let rank = |ranks: &[u32], number: u32| ranks.get(number as usize).copied().unwrap_or(Parties::NONE);
            let cell =
                RowClass { party: rank(&party_rank, cell.party), region: rank(&region_rank, cell.region), ..cell };
            match group {
                Some(group) => census.shared.push((group, cell)),
                None => census.cells.push((cell, rows)),
            }
        }
        census.cells.sort_unstable();
        census.shared.sort_unstable();
        census
    }
}

/// Gives each distinct name a number.
struct Numbers<'a> {
    met: &'a mut Vec<String>,
    known: std::collections::HashMap<String, u32>,
}

impl<'a> Numbers<'a> {
    fn new(met: &'a mut Vec<String>) -> Self {
        let known = met.iter().enumerate().map(|(number, name)| (name.clone(), number as u32)).collect();
        Self { met, known }
    }

    fn of(&mut self, name: Option<String>) -> u32 {
        let Some(name) = name else { return Parties::NONE };
        if let Some(&number) = self.known.get(&name) {
            return number;
        }
        let number = self.met.len() as u32;
        self.met.push(name.clone());
        self.known.insert(name, number);
        number
    }
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
    found: Option<String>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, String> {
    let Some(found) = found else { return Ok(None) };
    let known = all.iter().copied().find(|&one| name(one) == found);
    known.map(Some).ok_or_else(|| format!("column `{column}`: `{found}`"))
}
