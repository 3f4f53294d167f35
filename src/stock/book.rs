//! The order book: the hubs that were ordered, with party, region, variant, and the days of delivery and acceptance.
//!
//! Each hub takes sixteen bytes. Each combination of party, region and variant is stored once. A book with an error is
//! refused as a whole, because an error in it would be an error in a bill.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use super::book_parquet;
use super::order::{COLUMNS, Order, OrderField, TakeOrder};
use super::region::Region;
use super::table::{CsvLine, CsvTable, Day, Days};
use crate::error::{DocumentPlace, Error, Result, did_you_mean};
use crate::estate::{DeviceId, Party, time};
use crate::pool::Pool;
use crate::progress::Progress;

/// Hubs of one party, region and variant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderGroup {
    /// The ordering party, which is charged.
    pub party: String,
    /// The CSP region.
    pub region: Region,
    /// The hub variant.
    pub variant: String,
}

/// A hub of the order book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hub {
    /// The Device ID of its CHF.
    pub id: DeviceId,
    /// Index of its group.
    pub group: u32,
    /// The day of delivery.
    pub delivered: Day,
    /// The day of acceptance.
    pub accepted: Day,
}

/// An order book.
#[derive(Debug, Default)]
pub struct Book {
    /// The hubs by ascending Device ID. Device IDs are unique.
    pub hubs: Vec<Hub>,
    /// The groups, in ascending order.
    pub groups: Vec<OrderGroup>,
}

impl Book {
    /// Reads an order book from CSV files, and from Parquet files where a name ends in `.parquet`.
    ///
    /// # Errors
    /// The first error, with its file, line and field; a hub that is ordered twice; an interruption.
    pub fn read(paths: &[PathBuf], pool: &Pool, progress: &dyn Progress) -> Result<Self> {
        let parts = pool.map(paths.to_vec(), |path| {
            let mut gather = BookBuilder::default();
            each_order(&path, &mut |order, place| {
                if gather.hubs.len().is_multiple_of(1 << 16) && progress.interrupted() {
                    return Err(Error::Interrupted);
                }
                gather.take(order, place)
            })?;
            Ok::<_, Error>(gather)
        })?;
        let book = join(parts);
        if book.hubs.is_empty() {
            let first = paths.first().cloned().unwrap_or_default();
            return Err(
                DocumentPlace::table(&first).refuse("the order book has no hubs", "name an order book with hubs")
            );
        }
        if let Some([hub, _]) = book.hubs.array_windows().find(|[hub, next]| hub.id == next.id) {
            return Err(ordered_twice(paths, hub.id));
        }
        Ok(book)
    }

    /// The index of a hub, by binary search.
    #[must_use]
    pub fn find(&self, id: DeviceId) -> Option<usize> {
        self.hubs.binary_search_by_key(&id, |hub| hub.id).ok()
    }
}

fn each_order(path: &Path, take: TakeOrder<'_>) -> Result<()> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        return book_parquet::each_order(path, take);
    }
    let mut table = CsvTable::open(path, &COLUMNS)?;
    let mut line = CsvLine::default();
    while table.read(&mut line)? {
        if !table.is_whole(&line) {
            return Err(table.ragged(&line));
        }
        let cell = |name| table.cell(&line, name);
        let order = Order {
            device: OrderField::Text(cell(0)),
            group: [cell(1), cell(2), cell(3)],
            delivered: OrderField::Text(cell(4)),
            accepted: OrderField::Text(cell(5)),
        };
        take(&order, &|| table.place(&line))?;
    }
    Ok(())
}

/// The orders of one file.
#[derive(Debug, Default)]
struct BookBuilder {
    hubs: Vec<Hub>,
    groups: IndexSet<OrderGroup>,
    /// Indexes of groups by the text in the file, so that a line needs one look-up.
    by_text: HashMap<Box<[u8]>, u32>,
    key: Vec<u8>,
    days: Days,
}

impl BookBuilder {
    fn take(&mut self, order: &Order<'_>, place: &dyn Fn() -> DocumentPlace) -> Result<()> {
        let id = match order.device {
            OrderField::Id(id) => Some(id),
            OrderField::Text(text) => DeviceId::from_text(text),
            OrderField::Day(_) => None,
        };
        let id = id.ok_or_else(|| {
            let found = if let OrderField::Text(text) = order.device { shown(text) } else { "(none)".into() };
            let remedy = "write eight hex pairs joined by `-`, as in 00-DB-12-34-56-78-90-A0";
            place().field(COLUMNS[0]).refuse(format!("`{found}` is not a Device ID"), remedy)
        })?;
        let group = self.group(order.group, place)?;
        let delivered = self.day(order.delivered, COLUMNS[4], place)?;
        let accepted = self.day(order.accepted, COLUMNS[5], place)?;
        if accepted != Day::NONE && !delivered.is_by(accepted) {
            let what = if delivered == Day::NONE {
                format!("accepted on {} and never delivered", accepted.text())
            } else {
                format!("accepted on {}, before it was delivered on {}", accepted.text(), delivered.text())
            };
            return Err(place().field(COLUMNS[5]).refuse(what, "correct the dates: delivery comes first"));
        }
        self.hubs.push(Hub { id, group, delivered, accepted });
        Ok(())
    }

    fn group(&mut self, texts: [&[u8]; 3], place: &dyn Fn() -> DocumentPlace) -> Result<u32> {
        self.key.clear();
        for text in texts {
            self.key.extend_from_slice(&(text.len() as u32).to_le_bytes());
            self.key.extend_from_slice(text);
        }
        if let Some(group) = self.by_text.get(self.key.as_slice()) {
            return Ok(*group);
        }
        let [party, region, variant] = texts;
        let name = text(region);
        let region = Region::from_name(&name).ok_or_else(|| {
            let remedy = format!("{}there are {}", did_you_mean(&name, Region::NAMES), Region::NAMES.join(", "));
            place().field(COLUMNS[2]).refuse(format!("`{}` is not a region", shown(region)), remedy)
        })?;
        let party = canonical_name(party).map_err(|(what, remedy)| place().field(COLUMNS[1]).refuse(what, remedy))?;
        let variant =
            canonical_name(variant).map_err(|(what, remedy)| place().field(COLUMNS[3]).refuse(what, remedy))?;
        let group = OrderGroup { party, region, variant };
        // Several spellings of a party have one canonical name, and so one group.
        let (index, _) = self.groups.insert_full(group);
        self.by_text.insert(self.key.as_slice().into(), index as u32);
        Ok(index as u32)
    }

    fn day(&mut self, cell: OrderField<'_>, field: &str, place: &dyn Fn() -> DocumentPlace) -> Result<Day> {
        let day = match cell {
            OrderField::Text(b"") => return Ok(Day::NONE),
            OrderField::Text(text) => self.days.read(text),
            OrderField::Day(day) => Some(day),
            OrderField::Id(_) => None,
        };
        day.and_then(Day::new).ok_or_else(|| {
            let (what, remedy) = match (day, cell) {
                (Some(day), _) => {
                    (format!("{} is not a plausible day", time::format_day(day)), "write a day from 2000 to 2179")
                }
                (None, OrderField::Text(text)) => (format!("`{}` is not a date", shown(text)), "write 2026-11-01"),
                (None, _) => ("is not a date".into(), "write a date"),
            };
            place().field(field).refuse(what, remedy)
        })
    }
}

/// The canonical name of a party or a variant, as in runs.
fn canonical_name(bytes: &[u8]) -> Result<String, (String, String)> {
    let what = match Party::of(bytes) {
        Party::Named(name) => return Ok(name.into_owned()),
        Party::Missing => "is empty".into(),
        Party::Bad => format!("`{}` is not a valid name", shown(bytes)),
    };
    Err((what, format!("write text of up to {} bytes", Party::MAX_BYTES)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A cell as error messages quote it: at most 40 characters, without control characters.
pub fn shown(bytes: &[u8]) -> String {
    let text: String = text(bytes).chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().count() <= 40 { text } else { text.chars().take(39).chain(['…']).collect() }
}

/// The orders of all files as one book. Groups are sorted and numbered, hubs sorted.
fn join(parts: Vec<BookBuilder>) -> Book {
    let mut groups: Vec<OrderGroup> = parts.iter().flat_map(|part| part.groups.iter().cloned()).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut hubs: Vec<Hub> = Vec::new();
    for part in parts {
        let ranks: Vec<u32> =
            part.groups.iter().map(|group| groups.binary_search(group).unwrap_or_default() as u32).collect();
        let mut own = part.hubs;
        for hub in &mut own {
            hub.group = ranks[hub.group as usize];
        }
        if hubs.is_empty() {
            hubs = own;
        } else {
            hubs.append(&mut own);
        }
    }
    hubs.sort_unstable_by_key(|hub| hub.id);
    Book { hubs, groups }
}

/// The error for a hub that is ordered twice. Line numbers are not stored for tens of millions of hubs, so the files
/// are read again to find them.
fn ordered_twice(paths: &[PathBuf], id: DeviceId) -> Error {
    let mut first: Option<DocumentPlace> = None;
    for path in paths {
        let found = each_order(path, &mut |order, place| {
            let own = match order.device {
                OrderField::Id(own) => Some(own),
                OrderField::Text(text) => DeviceId::from_text(text),
                OrderField::Day(_) => None,
            };
            match &first {
                _ if own != Some(id) => Ok(()),
                None => {
                    first = Some(place());
                    Ok(())
                }
                Some(first) => {
                    let remedy = "remove one of the two orders; a hub is charged once";
                    Err(place().field(COLUMNS[0]).refuse(format!("{id} is ordered twice, first at {first}"), remedy))
                }
            }
        });
        if let Err(error) = found {
            return error;
        }
    }
    let path = paths.first().cloned().unwrap_or_default();
    DocumentPlace::table(&path)
        .field(COLUMNS[0])
        .refuse(format!("{id} is ordered twice"), "remove one of the two orders")
}
