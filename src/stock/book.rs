//! The order book: which hubs were ordered, by whom, for which region, and when they were delivered and accepted.
//!
//! Sixteen bytes for each hub, by Device ID. Who is charged, region and variant are kept once for each combination that
//! occurs. A book that cannot be right is refused, whole: an error in it would be an error in somebody's bill.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::book_parquet;
use super::region::Region;
use super::table::{CsvTable, Day, Days, Line};
use crate::error::{DocumentPlace, Error, Result, did_you_mean};
use crate::estate::{DeviceId, Party, time};
use crate::pool::Pool;
use crate::progress::Progress;

/// The columns of an order book.
pub const COLUMNS: [&str; 6] = ["device_id", "ordering_party", "region", "variant", "delivered", "accepted"];

/// Who is charged for which kind of hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Who ordered the hub, and is charged for it.
    pub party: String,
    /// For which region.
    pub region: Region,
    /// Which hub variant.
    pub variant: String,
}

/// A hub of the order book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hub {
    /// Its CHF.
    pub id: DeviceId,
    /// Index among the groups.
    pub group: u32,
    /// When it was delivered.
    pub delivered: Day,
    /// When it was accepted.
    pub accepted: Day,
}

/// An order book.
#[derive(Debug, Default)]
pub struct Book {
    /// The hubs, by ascending Device ID; each ID is there once.
    pub hubs: Vec<Hub>,
    /// The groups, in ascending order.
    pub groups: Vec<Group>,
}

impl Book {
    /// Reads an order book from CSV files, and from Parquet files where a name ends in `.parquet`.
    ///
    /// # Errors
    /// The first slip, with its file, line and field; a hub that is there twice; an interruption.
    pub fn read(paths: &[PathBuf], pool: &Pool, progress: &dyn Progress) -> Result<Self> {
        let parts = pool.map(paths.to_vec(), |path| {
            let mut gather = Gather::default();
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
            return Err(doubled(paths, hub.id));
        }
        Ok(book)
    }

    /// The index of a hub.
    #[must_use]
    pub fn find(&self, id: DeviceId) -> Option<usize> {
        self.hubs.binary_search_by_key(&id, |hub| hub.id).ok()
    }
}

/// An order, as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The Device ID.
    pub device: Cell<'a>,
    /// The ordering party, the region and the variant.
    pub words: [&'a [u8]; 3],
    /// When it was delivered.
    pub delivered: Cell<'a>,
    /// When it was accepted.
    pub accepted: Cell<'a>,
}

/// A Device ID or a date, as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// Text; empty where there is nothing.
    Text(&'a [u8]),
    /// A Device ID as its number.
    Id(DeviceId),
    /// Days since 1970-01-01.
    Day(i32),
}

/// Who takes an order, and says where it stands if something is wrong.
pub type TakeOrder<'a> = &'a mut dyn FnMut(&Order<'_>, &dyn Fn() -> DocumentPlace) -> Result<()>;

fn each_order(path: &Path, take: TakeOrder<'_>) -> Result<()> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        return book_parquet::each_order(path, take);
    }
    let mut table = CsvTable::open(path, &COLUMNS)?;
    let mut line = Line::default();
    while table.read(&mut line)? {
        if !table.is_whole(&line) {
            return Err(table.ragged(&line));
        }
        let cell = |name| table.cell(&line, name);
        let order = Order {
            device: Cell::Text(cell(0)),
            words: [cell(1), cell(2), cell(3)],
            delivered: Cell::Text(cell(4)),
            accepted: Cell::Text(cell(5)),
        };
        take(&order, &|| table.place(&line))?;
    }
    Ok(())
}

/// The orders of one file.
#[derive(Debug, Default)]
struct Gather {
    hubs: Vec<Hub>,
    groups: Vec<Group>,
    /// Groups by the words as they stand in the file.
    known: HashMap<Box<[u8]>, u32>,
    key: Vec<u8>,
    days: Days,
}

impl Gather {
    fn take(&mut self, order: &Order<'_>, place: &dyn Fn() -> DocumentPlace) -> Result<()> {
        let id = match order.device {
            Cell::Id(id) => Some(id),
            Cell::Text(text) => DeviceId::from_text(text),
            Cell::Day(_) => None,
        };
        let id = id.ok_or_else(|| {
            let found = if let Cell::Text(text) = order.device { shown(text) } else { "(none)".into() };
            let remedy = "write eight hex pairs joined by `-`, as in 00-DB-12-34-56-78-90-A0";
            place().field(COLUMNS[0]).refuse(format!("`{found}` is not a Device ID"), remedy)
        })?;
        let group = self.group(order.words, place)?;
        let delivered = self.day(order.delivered, COLUMNS[4], place)?;
        let accepted = self.day(order.accepted, COLUMNS[5], place)?;
        if accepted != Day::NONE && !delivered.is_by(accepted) {
            let what = if delivered == Day::NONE {
                format!("accepted on {} and never delivered", accepted.text())
            } else {
                format!("accepted on {}, before it was delivered on {}", accepted.text(), delivered.text())
            };
            return Err(place().field(COLUMNS[5]).refuse(what, "mend the dates: delivery comes first"));
        }
        self.hubs.push(Hub { id, group, delivered, accepted });
        Ok(())
    }

    fn group(&mut self, words: [&[u8]; 3], place: &dyn Fn() -> DocumentPlace) -> Result<u32> {
        self.key.clear();
        for word in words {
            self.key.extend_from_slice(&(word.len() as u32).to_le_bytes());
            self.key.extend_from_slice(word);
        }
        if let Some(group) = self.known.get(self.key.as_slice()) {
            return Ok(*group);
        }
        let [party, region, variant] = words;
        let name = text(region);
        let region = Region::from_name(&name).ok_or_else(|| {
            let remedy = format!("{}there are {}", did_you_mean(&name, Region::NAMES), Region::NAMES.join(", "));
            place().field(COLUMNS[2]).refuse(format!("`{}` is not a region", shown(region)), remedy)
        })?;
        let party = word(party).map_err(|(what, remedy)| place().field(COLUMNS[1]).refuse(what, remedy))?;
        let variant = word(variant).map_err(|(what, remedy)| place().field(COLUMNS[3]).refuse(what, remedy))?;
        let group = Group { party, region, variant };
        // Two spellings of a party are one group.
        let index = self.groups.iter().position(|known| *known == group).unwrap_or_else(|| {
            self.groups.push(group);
            self.groups.len() - 1
        });
        self.known.insert(self.key.as_slice().into(), index as u32);
        Ok(index as u32)
    }

    fn day(&mut self, cell: Cell<'_>, field: &str, place: &dyn Fn() -> DocumentPlace) -> Result<Day> {
        let day = match cell {
            Cell::Text(b"") => return Ok(Day::NONE),
            Cell::Text(text) => self.days.read(text),
            Cell::Day(day) => Some(day),
            Cell::Id(_) => None,
        };
        day.and_then(Day::new).ok_or_else(|| {
            let (what, remedy) = match (day, cell) {
                (Some(day), _) => (
                    format!("{} is not a day on which a hub can have been delivered", time::format_day(day)),
                    "days from 2000 to 2179 make sense",
                ),
                (None, Cell::Text(text)) => (format!("`{}` is not a date", shown(text)), "write 2026-11-01"),
                (None, _) => ("is not a date".into(), "write a date"),
            };
            place().field(field).refuse(what, remedy)
        })
    }
}

/// A party or a variant: a party has the name by which runs know it.
fn word(bytes: &[u8]) -> Result<String, (String, String)> {
    let what = match Party::of(bytes) {
        Party::Named(name) => return Ok(name.into_owned()),
        Party::Missing => "is empty".into(),
        Party::Bad => format!("`{}` is no name", shown(bytes)),
    };
    Err((what, format!("write text of up to {} bytes", Party::MAX_BYTES)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A cell as errors quote it.
pub fn shown(bytes: &[u8]) -> String {
    let text: String = text(bytes).chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().count() <= 40 { text } else { text.chars().take(39).chain(['…']).collect() }
}

/// All files as one book: groups are numbered in ascending order, hubs sorted.
fn join(parts: Vec<Gather>) -> Book {
    let mut groups: Vec<Group> = parts.iter().flat_map(|part| part.groups.iter().cloned()).collect();
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

/// Where a hub stands that is ordered twice. Lines are not remembered, as there are tens of millions: the files are read
/// again.
fn doubled(paths: &[PathBuf], id: DeviceId) -> Error {
    let mut first: Option<DocumentPlace> = None;
    for path in paths {
        let found = each_order(path, &mut |order, place| {
            let own = match order.device {
                Cell::Id(own) => Some(own),
                Cell::Text(text) => DeviceId::from_text(text),
                Cell::Day(_) => None,
            };
            match &first {
                _ if own != Some(id) => Ok(()),
                None => {
                    first = Some(place());
                    Ok(())
                }
                Some(first) => {
                    let remedy = "leave one of the two orders; a hub is charged once";
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
        .refuse(format!("{id} is ordered twice"), "leave one of the two orders")
}
