//! Returns of hubs by ordering parties, and the answer to each line.
//!
//! Return types and fault reasons are those of the DUIS V5.4 schema. Each line is answered by itself, with one
//! exception: of several valid lines for a hub the one with the earliest date is accepted, so that the order of lines
//! has no effect.

use std::path::{Path, PathBuf};

use super::book::Book;
use super::bucket::HubFlags;
use super::table::{CsvLine, CsvTable, Days};
use crate::error::Result;
use crate::estate::DeviceId;

/// The columns of a file of returns.
pub const COLUMNS: [&str; 4] = ["device_id", "return_type", "fault_reason", "returned"];

/// Return types for a fault. They need a fault reason.
pub const FAULT_TYPES: [&str; 2] = ["Fault identified prior to installation", "Fault identified post installation"];

/// Fault reasons.
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

/// Return types without a fault. They have no fault reason.
pub const NO_FAULT_TYPES: [&str; 5] = [
    "No Fault Return (general)",
    "No Fault Return (non-dom opt out)",
    "No Fault Return (dual supplier HAN variant replacement)",
    "No Fault Return (SM WAN variant replacement requested by DCC)",
    "Lost or Stolen Hub",
];

/// The reason why a line is refused. The first that applies, in this order, is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReturnRefusal {
    /// The line has more or fewer cells than the header.
    BadLine,
    /// The Device ID is malformed.
    BadDeviceId,
    /// The hub is not in the order book.
    UnknownHub,
    /// The return type is not one of DUIS.
    BadType,
    /// The fault reason is not one of DUIS, is missing for a fault, or is given without a fault.
    BadReason,
    /// The date is missing or malformed.
    BadDate,
    /// The hub was never delivered.
    NotDelivered,
    /// The date is before the delivery.
    DateBeforeDelivery,
    /// The inventory has the hub in service.
    Commissioned,
    /// Another line for the hub was accepted.
    AlreadyReturned,
}

impl ReturnRefusal {
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

    /// Its name in the response file.
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

    /// The message to the party in the response file.
    #[must_use]
    pub const fn message(self) -> &'static str {
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
pub struct HubReturn {
    /// Index of its file.
    pub file: usize,
    /// Number of the line, from 1.
    pub line: u64,
    /// Its cells as found, in the order of `COLUMNS`.
    pub cells: [String; 4],
    /// What is wrong with its cells.
    flaw: Option<ReturnRefusal>,
    /// Index of its hub in the order book.
    hub: Option<usize>,
    /// Its date, days since 1970-01-01.
    day: i32,
    /// The reason why it is refused; `None`: it is accepted.
    pub refusal: Option<ReturnRefusal>,
}

/// Reads files of returns. An invalid line is refused in its answer and is not an error.
///
/// # Errors
/// A file that cannot be read, or that has other columns.
pub fn read(paths: &[PathBuf], book: &Book) -> Result<Vec<HubReturn>> {
    let mut returns = Vec::new();
    let mut days = Days::default();
    for (file, path) in paths.iter().enumerate() {
        read_file(path, file, book, &mut days, &mut returns)?;
    }
    Ok(returns)
}

fn read_file(path: &Path, file: usize, book: &Book, days: &mut Days, returns: &mut Vec<HubReturn>) -> Result<()> {
    let mut table = CsvTable::open(path, &COLUMNS)?;
    let mut line = CsvLine::default();
    while table.read(&mut line)? {
        let cells = [0, 1, 2, 3].map(|name| String::from_utf8_lossy(table.cell(&line, name)).into_owned());
        let [device, kind, reason, date] = &cells;
        let id = DeviceId::from_text(device.as_bytes());
        let hub = id.and_then(|id| book.find(id));
        let day = days.read(date.as_bytes());
        let fault = FAULT_TYPES.contains(&kind.as_str());
        let reasoned = if fault { FAULT_REASONS.contains(&reason.as_str()) } else { reason.is_empty() };
        let tries = [
            (!table.is_whole(&line), ReturnRefusal::BadLine),
            (id.is_none(), ReturnRefusal::BadDeviceId),
            (hub.is_none(), ReturnRefusal::UnknownHub),
            (!fault && !NO_FAULT_TYPES.contains(&kind.as_str()), ReturnRefusal::BadType),
            (!reasoned, ReturnRefusal::BadReason),
            (day.is_none(), ReturnRefusal::BadDate),
        ];
        let flaw = tries.into_iter().find(|(fails, _)| *fails).map(|(_, refusal)| refusal);
        let day = day.unwrap_or_default();
        returns.push(HubReturn { file, line: line.number, cells, flaw, hub, day, refusal: flaw });
    }
    Ok(())
}

/// Answers every line, and sets the flags of hubs that were returned by the count date.
pub fn settle(returns: &mut [HubReturn], book: &Book, flags: &mut [HubFlags], count: i32) {
    for entry in &mut *returns {
        let Some((hub, seen)) = entry.hub.map(|index| (&book.hubs[index], flags[index])) else { continue };
        entry.refusal = entry.flaw.or_else(|| match hub.delivered.get() {
            None => Some(ReturnRefusal::NotDelivered),
            Some(delivered) if entry.day < delivered => Some(ReturnRefusal::DateBeforeDelivery),
            Some(_) => seen.has(HubFlags::IN_SERVICE).then_some(ReturnRefusal::Commissioned),
        });
    }
    let mut valid: Vec<usize> = (0..returns.len()).filter(|&index| returns[index].refusal.is_none()).collect();
    valid.sort_by(|&a, &b| {
        let key = |entry: &HubReturn| (entry.hub, entry.day);
        let (a, b) = (&returns[a], &returns[b]);
        key(a).cmp(&key(b)).then_with(|| a.cells.cmp(&b.cells)).then_with(|| (a.file, a.line).cmp(&(b.file, b.line)))
    });
    let mut last = None;
    for index in valid {
        let entry = &mut returns[index];
        if last == entry.hub {
            entry.refusal = Some(ReturnRefusal::AlreadyReturned);
            continue;
        }
        last = entry.hub;
        if entry.day <= count
            && let Some(hub) = entry.hub
        {
            flags[hub].0 |= HubFlags::RETURNED;
        }
    }
}
