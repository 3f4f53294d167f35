//! Returns: what ordering parties say they gave back, and the answer that each line gets.
//!
//! Types and reasons are those that DUIS lists. A line is answered on its own merits, but for one thing: of several good
//! lines for a hub the one of the earliest date is accepted, so that the order of the lines does not decide.

use std::path::{Path, PathBuf};

use super::book::Book;
use super::bucket::Marks;
use super::table::{CsvTable, Days, Line};
use crate::error::Result;
use crate::estate::DeviceId;

/// The columns of a file of returns.
pub const COLUMNS: [&str; 4] = ["device_id", "return_type", "fault_reason", "returned"];

/// Types of a return because of a fault, which needs a reason.
pub const FAULT_TYPES: [&str; 2] = ["Fault identified prior to installation", "Fault identified post installation"];

/// Reasons of a fault.
pub const FAULT_REASONS: [&str; 9] = [
    "Damaged case",
    "Damaged Connector",
    "Illegal interference or missing seals",
    "Environmental conditions exceeded",
    "SM WAN Fault",
    "SMHAN Interface Fault",
    "LED Fault",
    "Aerial fault",
    "Manufacturing defect",
];

/// Types of a return without a fault, which has no reason.
pub const NO_FAULT_TYPES: [&str; 5] = [
    "No Fault Return (general)",
    "No Fault Return (non-dom opt out)",
    "No Fault Return (dual supplier HAN variant replacement)",
    "No Fault Return (SM WAN variant replacement requested by DCC)",
    "Lost or Stolen Hub",
];

/// Why a line is refused, in the order in which it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It has not as many cells as the header.
    BadLine,
    /// The Device ID is malformed.
    BadDeviceId,
    /// The order book does not have the hub.
    UnknownHub,
    /// The type is none of DUIS.
    BadType,
    /// The reason is none of DUIS, is missing for a fault, or given without one.
    BadReason,
    /// The date is missing, or is none.
    BadDate,
    /// The hub was never delivered.
    NotDelivered,
    /// The date lies before delivery.
    DateBeforeDelivery,
    /// The inventory says that the hub is at work.
    Commissioned,
    /// Another line returned the hub.
    AlreadyReturned,
}

impl Refusal {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::BadLine,
        Self::BadDeviceId,
        Self::UnknownHub,
        Self::BadType,
        Self::BadReason,
        Self::BadDate,
        Self::NotDelivered,
        Self::DateBeforeDelivery,
        Self::Commissioned,
        Self::AlreadyReturned,
    ];

    /// The word in the response file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadLine => "bad_line",
            Self::BadDeviceId => "bad_device_id",
            Self::UnknownHub => "unknown_hub",
            Self::BadType => "bad_type",
            Self::BadReason => "bad_reason",
            Self::BadDate => "bad_date",
            Self::NotDelivered => "not_delivered",
            Self::DateBeforeDelivery => "date_before_delivery",
            Self::Commissioned => "commissioned",
            Self::AlreadyReturned => "already_returned",
        }
    }

    /// What to tell the party.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::BadLine => "the line does not have as many cells as the header",
            Self::BadDeviceId => "the Device ID is not eight hex pairs joined by -",
            Self::UnknownHub => "no order has this hub",
            Self::BadType => "the return type is none of those listed",
            Self::BadReason => "a fault needs one of the reasons listed, and a return without a fault has none",
            Self::BadDate => "the date of the return is missing, or is not a date",
            Self::NotDelivered => "the hub was not delivered",
            Self::DateBeforeDelivery => "the return lies before the delivery",
            Self::Commissioned => "the inventory has the hub in service",
            Self::AlreadyReturned => "another line returned the hub",
        }
    }
}

/// A line of a file of returns, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// Index of its file.
    pub file: usize,
    /// Its line.
    pub line: u64,
    /// Its cells, in the order of the columns of such files, as they were found.
    pub cells: [String; 4],
    /// Its cells make no sense: why.
    flaw: Option<Refusal>,
    /// Index of its hub in the order book.
    hub: Option<usize>,
    /// Its date, days since 1970-01-01.
    day: i32,
    /// The answer: accepted where there is none.
    pub refusal: Option<Refusal>,
}

/// Reads files of returns. What is wrong with a line is its answer, not an error.
///
/// # Errors
/// A file that cannot be read, or whose columns are others.
pub fn read(paths: &[PathBuf], book: &Book) -> Result<Vec<Return>> {
    let mut returns = Vec::new();
    let mut days = Days::default();
    for (file, path) in paths.iter().enumerate() {
        read_file(path, file, book, &mut days, &mut returns)?;
    }
    Ok(returns)
}

fn read_file(path: &Path, file: usize, book: &Book, days: &mut Days, returns: &mut Vec<Return>) -> Result<()> {
    let mut table = CsvTable::open(path, &COLUMNS)?;
    let mut line = Line::default();
    while table.read(&mut line)? {
        let cells = [0, 1, 2, 3].map(|name| String::from_utf8_lossy(table.cell(&line, name)).into_owned());
        let [device, kind, reason, date] = &cells;
        let id = DeviceId::from_text(device.as_bytes());
        let hub = id.and_then(|id| book.find(id));
        let day = days.read(date.as_bytes());
        let fault = FAULT_TYPES.contains(&kind.as_str());
        let reasoned = if fault { FAULT_REASONS.contains(&reason.as_str()) } else { reason.is_empty() };
        let tries = [
            (!table.is_whole(&line), Refusal::BadLine),
            (id.is_none(), Refusal::BadDeviceId),
            (hub.is_none(), Refusal::UnknownHub),
            (!fault && !NO_FAULT_TYPES.contains(&kind.as_str()), Refusal::BadType),
            (!reasoned, Refusal::BadReason),
            (day.is_none(), Refusal::BadDate),
        ];
        let flaw = tries.into_iter().find(|(fails, _)| *fails).map(|(_, refusal)| refusal);
        let day = day.unwrap_or_default();
        returns.push(Return { file, line: line.number, cells, flaw, hub, day, refusal: flaw });
    }
    Ok(())
}

/// Answers every line, and marks the hubs whose return lies on or before the count date.
pub fn settle(returns: &mut [Return], book: &Book, marks: &mut [Marks], count: i32) {
    for entry in &mut *returns {
        let Some((hub, mark)) = entry.hub.map(|index| (&book.hubs[index], marks[index])) else { continue };
        entry.refusal = entry.flaw.or_else(|| match hub.delivered.get() {
            None => Some(Refusal::NotDelivered),
            Some(delivered) if entry.day < delivered => Some(Refusal::DateBeforeDelivery),
            Some(_) => mark.has(Marks::IN_SERVICE).then_some(Refusal::Commissioned),
        });
    }
    let mut good: Vec<usize> = (0..returns.len()).filter(|&index| returns[index].refusal.is_none()).collect();
    good.sort_by(|&a, &b| {
        let key = |entry: &Return| (entry.hub, entry.day);
        let (a, b) = (&returns[a], &returns[b]);
        key(a).cmp(&key(b)).then_with(|| a.cells.cmp(&b.cells)).then_with(|| (a.file, a.line).cmp(&(b.file, b.line)))
    });
    let mut last = None;
    for index in good {
        let entry = &mut returns[index];
        if last == entry.hub {
            entry.refusal = Some(Refusal::AlreadyReturned);
            continue;
        }
        last = entry.hub;
        if entry.day <= count
            && let Some(hub) = entry.hub
        {
            marks[hub].0 |= Marks::RETURNED;
        }
    }
}
