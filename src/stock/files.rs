//! The tables of a count.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, Date32Array, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::basic::Encoding;
use parquet::schema::types::ColumnPath;
use serde::Serialize;

use super::book::OrderGroup;
use super::bucket::Bucket;
use super::count::StockCount;
use crate::error::{Error, Result};
use crate::estate::{SmiStatus, time};
use crate::output::csv::CsvFile;
use crate::output::parquet::{ArrowSchema, ParquetFile, writer_properties, zstd};
use crate::output::{OutputFile, Written};
use crate::progress::{Progress, Stage};

/// Hubs by party, region, variant and bucket.
pub const STOCK: &str = "stock.csv";
/// Every hub of the order book.
pub const HUBS: &str = "hubs.parquet";
/// Charged hubs that a count of the inventory alone misses.
pub const MISSED: &str = "missed.csv";
/// Hubs of the inventory that are not in the order book.
pub const NOT_ORDERED: &str = "not_ordered.csv";
/// Answers to returns.
pub const RESPONSES: &str = "responses.csv";

/// Hubs that are encoded at a time.
const BATCH: usize = 32 * 1024;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StockFile {
    /// Its name.
    pub path: &'static str,
    /// Its rows, without the header.
    pub rows: u64,
    /// Size and digest.
    #[serde(flatten)]
    pub written: Written,
}

/// Writes all tables into a directory. `returns` are the names of the files of returns.
///
/// # Errors
/// If a file cannot be written, or on an interruption.
pub fn write(folder: &Path, stock: &StockCount, returns: &[String], progress: &dyn Progress) -> Result<Vec<StockFile>> {
    progress.begin(Stage::Write, stock.book.hubs.len() as u64);
    Ok(vec![
        table(folder, STOCK, STOCK_COLUMNS, |lines| stock_lines(stock, lines))?,
        hubs(folder, stock, progress)?,
        table(folder, MISSED, MISSED_COLUMNS, |lines| missed_lines(stock, lines))?,
        table(folder, NOT_ORDERED, ["device_id", "smi_status", "status_since"], |lines| {
            not_ordered_lines(stock, lines)
        })?,
        table(folder, RESPONSES, RESPONSE_COLUMNS, |lines| response_lines(stock, returns, lines))?,
    ])
}

const STOCK_COLUMNS: [&str; 8] =
    ["ordering_party", "region", "variant", "bucket", "charged", "hubs", "pounds_per_hub", "pounds"];
const MISSED_COLUMNS: [&str; 8] =
    ["device_id", "ordering_party", "region", "variant", "delivered", "accepted", "bucket", "deleted_as_of"];
const RESPONSE_COLUMNS: [&str; 9] =
    ["file", "line", "device_id", "return_type", "fault_reason", "returned", "answer", "reason", "says"];

fn table<const N: usize>(
    folder: &Path,
    name: &'static str,
    columns: [&str; N],
    write_lines: impl FnOnce(&mut CsvFile) -> Result<()>,
) -> Result<StockFile> {
    let mut table = CsvFile::create(&folder.join(name), columns)?;
    write_lines(&mut table)?;
    let (rows, written) = table.finish()?;
    Ok(StockFile { path: name, rows, written })
}

fn stock_lines(stock: &StockCount, lines: &mut CsvFile) -> Result<()> {
    for (group, counts) in stock.book.groups.iter().zip(&stock.groups) {
        for bucket in Bucket::ALL.into_iter().filter(|bucket| counts.of(*bucket) > 0) {
            let charged = stock.rules.charges(bucket);
            let hubs = counts.of(bucket);
            let rate = counts.rate.filter(|_| charged);
            lines.write([
                &group.party,
                group.region.name(),
                &group.variant,
                bucket.name(),
                if charged { "true" } else { "false" },
                &hubs.to_string(),
                &rate.map_or_else(String::new, |rate| rate.to_string()),
                &rate.map_or_else(String::new, |rate| rate.times(hubs).to_string()),
            ])?;
        }
    }
    Ok(())
}

fn missed_lines(stock: &StockCount, lines: &mut CsvFile) -> Result<()> {
    for (index, hub) in stock.book.hubs.iter().enumerate() {
        let bucket = stock.bucket(index);
        if !stock.rules.charges(bucket) || bucket.is_seen_by_the_smi() {
            continue;
        }
        let group = &stock.book.groups[hub.group as usize];
        lines.write([
            &hub.id.to_string(),
            &group.party,
            group.region.name(),
            &group.variant,
            &hub.delivered.text(),
            &hub.accepted.text(),
            bucket.name(),
            &stock.deletions.day(index).text(),
        ])?;
    }
    Ok(())
}

fn not_ordered_lines(stock: &StockCount, lines: &mut CsvFile) -> Result<()> {
    for hub in &stock.inventory.unordered {
        lines.write([
            &hub.id.map_or_else(String::new, |id| id.to_string()),
            SmiStatus::code_name(hub.status),
            &hub.since.map_or_else(String::new, time::format_instant),
        ])?;
    }
    Ok(())
}

fn response_lines(stock: &StockCount, files: &[String], lines: &mut CsvFile) -> Result<()> {
    for entry in &stock.returns {
        let [device, kind, reason, date] = &entry.cells;
        let (answer, why, says) = match entry.refusal {
            None => ("accepted", "", ""),
            Some(refusal) => ("refused", refusal.name(), refusal.message()),
        };
        let file = files.get(entry.file).map_or("", String::as_str);
        lines.write([file, &entry.line.to_string(), device, kind, reason, date, answer, why, says])?;
    }
    Ok(())
}

/// Writes every hub of the order book with its bucket.
fn hubs(folder: &Path, stock: &StockCount, progress: &dyn Progress) -> Result<StockFile> {
    let path = folder.join(HUBS);
    let id = ColumnPath::from("device_id");
    let properties = writer_properties()
        .set_compression(zstd(1))
        .set_column_dictionary_enabled(id.clone(), false)
        .set_column_encoding(id, Encoding::DELTA_BYTE_ARRAY)
        .set_max_row_group_row_count(Some(1 << 19))
        .build();
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = Arc::new(Schema::new(vec![
        Field::new("device_id", DataType::Utf8, false),
        Field::new("ordering_party", text.clone(), false),
        Field::new("region", text.clone(), false),
        Field::new("variant", text.clone(), false),
        Field::new("delivered", DataType::Date32, true),
        Field::new("accepted", DataType::Date32, true),
        Field::new("bucket", text, false),
        Field::new("charged", DataType::Boolean, false),
        Field::new("deleted_as_of", DataType::Date32, true),
    ]));
    let mut file = ParquetFile::new(OutputFile::create(&path)?, schema, properties, ArrowSchema::Stored)?;
    let total = stock.book.hubs.len();
    for start in (0..total).step_by(BATCH) {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let end = total.min(start + BATCH);
        file.write(hub_columns(stock, start..end))?;
        progress.advance((end - start) as u64);
    }
    Ok(StockFile { path: HUBS, rows: total as u64, written: file.finish()? })
}

fn hub_columns(stock: &StockCount, rows: std::ops::Range<usize>) -> Vec<ArrayRef> {
    let hubs = || stock.book.hubs[rows.clone()].iter();
    let text_column = |each: &dyn Fn(usize) -> &'static str| -> ArrayRef {
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        rows.clone().for_each(|index| builder.append_value(each(index)));
        Arc::new(builder.finish())
    };
    let group_column = |each: fn(&OrderGroup) -> &str| -> ArrayRef {
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        hubs().for_each(|hub| builder.append_value(each(&stock.book.groups[hub.group as usize])));
        Arc::new(builder.finish())
    };
    vec![
        Arc::new(hubs().map(|hub| Some(hub.id.to_string())).collect::<StringArray>()),
        group_column(|group| &group.party),
        group_column(|group| group.region.name()),
        group_column(|group| &group.variant),
        Arc::new(hubs().map(|hub| hub.delivered.get()).collect::<Date32Array>()),
        Arc::new(hubs().map(|hub| hub.accepted.get()).collect::<Date32Array>()),
        text_column(&|index| stock.bucket(index).name()),
        Arc::new(rows.clone().map(|index| Some(stock.rules.charges(stock.bucket(index)))).collect::<BooleanArray>()),
        Arc::new(rows.clone().map(|index| stock.deletions.day(index).get()).collect::<Date32Array>()),
    ]
}
