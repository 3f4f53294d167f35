//! What the inventory says of the hubs of the order book, and which hubs it has besides.
//!
//! The inventory is the only large table beside the book. Hubs of a row group are sorted and looked up in one walk
//! through the book, which marks them; marks are bits that are only ever added, so that neither threads nor the order of
//! rows can be told from the result.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Terms;
use super::book::{Book, Hub};
use super::bucket::Marks;
use super::rules::StockRules;
use super::table::Day;
use crate::error::Result;
use crate::estate::{DeviceId, DeviceType, SmiStatus, TypeSet, time};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::run::read::{Batches, Deletes, Manifest};
use crate::run::verify::verify;
use crate::scan::Scan;
use crate::scan::types::{TypeBuffers, TypedDevice, scan_types};
use crate::snapshot::Snapshot;

/// A hub that the inventory has and the order book has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stray {
    /// Its Device ID, where it can be read.
    pub id: Option<DeviceId>,
    /// Code of its status.
    pub status: u8,
    /// From when the status has applied, UTC microseconds.
    pub since: Option<i64>,
}

/// What the inventory says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Rows of hubs, by status code.
    pub by_status: [u64; SmiStatus::CODES],
    /// Of those, rows that the order book does not have, by status code.
    pub strays_by_status: [u64; SmiStatus::CODES],
    /// Of those, the ones that were not commissioned, by Device ID.
    pub strays: Vec<Stray>,
    /// Rows of any kind whose type is missing or unknown: they may be hubs.
    pub untyped: u64,
}

impl Inventory {
    fn add(&mut self, other: Self) {
        for (mine, theirs) in self.by_status.iter_mut().zip(other.by_status) {
            *mine += theirs;
        }
        for (mine, theirs) in self.strays_by_status.iter_mut().zip(other.strays_by_status) {
            *mine += theirs;
        }
        self.strays.extend(other.strays);
        self.untyped += other.untyped;
    }
}

/// Reads the inventory, and marks the hubs of the book. A hub's other device, the GPF, is the same box and not looked at.
/// Rows that are `gone`, ascending, are passed over.
///
/// # Errors
/// Damaged data, a file that changed meanwhile, or an interruption.
pub fn read(
    snapshot: &Snapshot,
    terms: Terms<'_>,
    book: &Book,
    gone: &[Gone],
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<(Inventory, Vec<Marks>)> {
    let Terms { policy, rules, count_day, .. } = terms;
    let marks: Vec<AtomicU8> = (0..book.hubs.len()).map(|_| AtomicU8::new(0)).collect();
    let last_instant = time::day_start(count_day.saturating_add(1)).saturating_sub(1);
    let hubs: TypeSet = [DeviceType::CHF].into_iter().collect();
    let scan = Scan::new(snapshot, pool, progress);
    let scanned = scan.run(Stage::Scan, TypeBuffers::default, |range, buffers| {
        let untyped = scan_types(range, policy, hubs, buffers)?;
        let mut own = Inventory { untyped, ..Inventory::default() };
        buffers.devices.retain(|row| !is_gone(row, gone));
        look_up(&mut buffers.devices, &book.hubs, &mut own, rules, &|row, index| {
            let seen = Marks::of_row(rules, row.status, row.since, last_instant);
            marks[index].fetch_or(seen.0, Ordering::Relaxed);
        });
        Ok(own)
    })?;
    snapshot.unchanged()?;
    let mut all = Inventory::default();
    for part in scanned.parts {
        all.add(part);
    }
    all.strays.sort_unstable();
    Ok((all, marks.into_iter().map(|mark| Marks(mark.into_inner())).collect()))
}

/// Looks hubs of the inventory up in the book, in one walk through both.
fn look_up(
    rows: &mut [TypedDevice],
    hubs: &[Hub],
    own: &mut Inventory,
    rules: &StockRules,
    found: &dyn Fn(&TypedDevice, usize),
) {
    rows.sort_unstable_by_key(|row| row.id);
    let mut at = 0;
    for row in &*rows {
        let status = usize::from(row.status) % SmiStatus::CODES;
        own.by_status[status] += 1;
        if let Some(id) = row.id {
            at += ahead(&hubs[at..], id);
            if hubs.get(at).is_some_and(|hub| hub.id == id) {
                found(row, at);
                continue;
            }
        }
        own.strays_by_status[status] += 1;
        if !rules.commissioned.contains_code(row.status) {
            own.strays.push(Stray { id: row.id, status: row.status, since: row.since });
        }
    }
}

/// How many hubs come before an ID: first in strides that double, so that near ones are found soon.
fn ahead(hubs: &[Hub], id: DeviceId) -> usize {
    let mut reach = 1;
    while hubs.get(reach).is_some_and(|hub| hub.id < id) {
        reach *= 2;
    }
    let from = reach / 2;
    let to = hubs.len().min(reach + 1);
    from + hubs[from..to].partition_point(|hub| hub.id < id)
}

/// A row that a past run deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gone {
    /// The hub.
    pub id: DeviceId,
    /// From when its status had applied, UTC microseconds.
    pub since: i64,
    /// Code of its status.
    pub status: u8,
    /// The day as of which it was deleted.
    pub day: Day,
}

fn is_gone(row: &TypedDevice, gone: &[Gone]) -> bool {
    let (Some(id), Some(since)) = (row.id, row.since) else { return false };
    gone.binary_search_by_key(&(id, since, row.status), |gone| (gone.id, gone.since, gone.status)).is_ok()
}

/// What past runs deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The runs.
    pub runs: Vec<PastRun>,
    /// Rows of hubs, ascending.
    pub gone: Vec<Gone>,
}

/// A past run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PastRun {
    /// The moment it was judged by.
    pub as_of: String,
    /// Its policy.
    pub policy: String,
    /// Hubs that it deleted.
    pub hubs: u64,
}

/// Verifies past runs, and reads which hubs they deleted.
///
/// # Errors
/// A run that does not verify.
pub fn past(folders: &[PathBuf], pool: &Pool) -> Result<Past> {
    let mut past = Past::default();
    let chf = DeviceType::BUILT_IN[usize::from(DeviceType::CHF.code())];
    for folder in folders {
        for run in verify(folder, pool)? {
            let day = time::parse(&run.record.as_of).map(time::day_of).and_then(Day::new).unwrap_or(Day::NONE);
            let before = past.gone.len();
            let mut batches: Batches<Deletes> = Batches::open(&run.path)?;
            while let Some(batch) = batches.next_batch()? {
                for row in (0..batch.len()).filter(|&row| batch.device_type.value(row) == chf) {
                    // A run that verifies has Device IDs only that can be read.
                    let Some(id) = DeviceId::from_text(batch.id.value(row).as_bytes()) else { continue };
                    let status =
                        SmiStatus::from_name(batch.status.value(row)).map_or(SmiStatus::UNKNOWN, SmiStatus::code);
                    past.gone.push(Gone { id, since: batch.since.value(row), status, day });
                }
            }
            let policy = run.record.policy["name"].as_str().unwrap_or_default().to_owned();
            let hubs = (past.gone.len() - before) as u64;
            past.runs.push(PastRun { as_of: run.record.as_of, policy, hubs });
        }
    }
    past.runs.sort_unstable();
    past.gone.sort_unstable();
    Ok(past)
}

/// Hubs of the book that past runs deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deletions {
    /// Index of the hub, and the earliest day as of which a run deleted it; by index.
    pub days: Vec<(u32, Day)>,
    /// Hubs that runs deleted and the order book does not have.
    pub not_ordered: u64,
    /// Hubs that runs deleted and the inventory still has: were the runs loaded?
    pub still_there: u64,
    /// The runs.
    pub runs: Vec<PastRun>,
}

impl Deletions {
    /// Marks the hubs of the book that past runs deleted.
    #[must_use]
    pub fn mark(past: Past, book: &Book, marks: &mut [Marks]) -> Self {
        let mut all = Self { runs: past.runs, ..Self::default() };
        for gone in &past.gone {
            match book.find(gone.id) {
                Some(index) => all.days.push((index as u32, gone.day)),
                None => all.not_ordered += 1,
            }
        }
        all.days.sort_unstable();
        all.days.dedup_by_key(|(index, _)| *index);
        for (index, _) in &all.days {
            let mark = &mut marks[*index as usize];
            all.still_there += u64::from(mark.has(Marks::INVENTORY));
            mark.0 |= Marks::DELETED;
        }
        all
    }

    /// The day as of which a hub was deleted.
    #[must_use]
    pub fn day(&self, hub: usize) -> Day {
        let found = self.days.binary_search_by_key(&hub, |(index, _)| *index as usize);
        found.map_or(Day::NONE, |at| self.days[at].1)
    }
}
