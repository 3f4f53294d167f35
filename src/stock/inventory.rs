//! Hubs in the inventory, and hubs that past runs deleted from it, matched with the order book.
//!
//! The hubs of a range of rows are sorted and merged with the book, which is sorted too. A match only sets bits of the
//! hub's [`HubFlags`], so the result does not depend on the order of rows or on threads.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;

use super::book::{Book, Hub};
use super::bucket::HubFlags;
use super::inputs::StockInputs;
use super::rules::StockRules;
use super::table::Day;
use crate::error::Result;
use crate::estate::{DeviceId, DeviceType, SmiStatus, TypeSet, time};
use crate::pool::Pool;
use crate::progress::Stage;
use crate::run::read::{Batches, Deletes, Manifest};
use crate::run::verify::verify;
use crate::scan::Scan;
use crate::scan::types::{TypeBuffers, TypedDevice, scan_types};

/// A hub of the inventory that is not in the order book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnorderedHub {
    /// Its Device ID; `None` if it is malformed.
    pub id: Option<DeviceId>,
    /// Code of its status.
    pub status: u8,
    /// The moment from which the status has applied, UTC microseconds.
    pub since: Option<i64>,
}

/// Counts of the hubs of the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InventoryCounts {
    /// Rows of hubs, by status code.
    pub by_status: [u64; SmiStatus::CODES],
    /// Of those, rows that are not in the order book, by status code.
    pub unordered_by_status: [u64; SmiStatus::CODES],
    /// Of those, rows that are not commissioned, by Device ID.
    pub unordered: Vec<UnorderedHub>,
    /// Rows whose type is null or unknown. They may be hubs.
    pub untyped: u64,
}

impl InventoryCounts {
    fn add(&mut self, other: Self) {
        for (mine, theirs) in self.by_status.iter_mut().zip(other.by_status) {
            *mine += theirs;
        }
        for (mine, theirs) in self.unordered_by_status.iter_mut().zip(other.unordered_by_status) {
            *mine += theirs;
        }
        self.unordered.extend(other.unordered);
        self.untyped += other.untyped;
    }
}

/// Counts the hubs of the inventory, and sets the flags of the hubs of the book. Only CHF rows are counted: the GPF is
/// the second device of the same hub. Rows in `deleted`, which is sorted, are left out. `count_day` is in days since
/// 1970-01-01.
///
/// # Errors
/// Damaged data, a file that changed during the scan, or an interruption.
pub fn read(
    scan: &Scan<'_>,
    inputs: &StockInputs<'_>,
    book: &Book,
    deleted: &[DeletedRow],
    count_day: i32,
) -> Result<(InventoryCounts, Vec<HubFlags>)> {
    let StockInputs { policy, rules, .. } = *inputs;
    let flags: Vec<AtomicU8> = (0..book.hubs.len()).map(|_| AtomicU8::new(0)).collect();
    let last_instant = time::day_start(count_day.saturating_add(1)).saturating_sub(1);
    let hubs: TypeSet = [DeviceType::CHF].into_iter().collect();
    let scanned = scan.run(Stage::Scan, TypeBuffers::default, |range, buffers| {
        let untyped = scan_types(range, policy, hubs, buffers)?;
        let mut own = InventoryCounts { untyped, ..InventoryCounts::default() };
        buffers.devices.retain(|row| !is_deleted(row, deleted));
        match_book(&mut buffers.devices, &book.hubs, &mut own, rules, &|row, index| {
            let seen = flags_of_row(rules, row.status, row.since, last_instant);
            flags[index].fetch_or(seen.0, Ordering::Relaxed);
        });
        Ok(own)
    })?;
    scan.snapshot.unchanged()?;
    let mut all = InventoryCounts::default();
    for part in scanned.parts {
        all.add(part);
    }
    all.unordered.sort_unstable();
    Ok((all, flags.into_iter().map(|flags| HubFlags(flags.into_inner())).collect()))
}

/// Counts hubs of the inventory, and calls `found` with each that is in the book and its index there. Both are sorted
/// and merged.
fn match_book(
    rows: &mut [TypedDevice],
    hubs: &[Hub],
    own: &mut InventoryCounts,
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
        own.unordered_by_status[status] += 1;
        if !rules.commissioned.contains_code(row.status) {
            own.unordered.push(UnorderedHub { id: row.id, status: row.status, since: row.since });
        }
    }
}

/// The flags of a row of the inventory. `count` is the last microsecond of the count date, UTC microseconds.
fn flags_of_row(rules: &StockRules, status: u8, since: Option<i64>, count: i64) -> HubFlags {
    let service = if rules.in_service.contains_code(status) { HubFlags::IN_SERVICE } else { 0 };
    let place = if rules.charged.contains_code(status) {
        HubFlags::IN_STOCK
    } else if rules.commissioned.contains_code(status) {
        if since.is_some_and(|since| since > count) { HubFlags::LATER } else { HubFlags::COMMISSIONED }
    } else if SmiStatus::ALL.iter().any(|known| known.code() == status) {
        HubFlags::EXEMPT
    } else {
        HubFlags::UNCLEAR
    };
    HubFlags(place | service)
}

/// The number of hubs before an ID, by galloping search, because the next match is usually near.
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
pub struct DeletedRow {
    /// The hub.
    pub id: DeviceId,
    /// The moment from which its status had applied, UTC microseconds.
    pub since: i64,
    /// Code of its status.
    pub status: u8,
    /// The as-of day of the run.
    pub day: Day,
}

fn is_deleted(row: &TypedDevice, deleted: &[DeletedRow]) -> bool {
    let (Some(id), Some(since)) = (row.id, row.since) else { return false };
    let key = |deleted: &DeletedRow| (deleted.id, deleted.since, deleted.status);
    deleted.binary_search_by_key(&(id, since, row.status), key).is_ok()
}

/// Hubs that past runs deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastDeletions {
    /// The runs.
    pub runs: Vec<PastRun>,
    /// Their rows, sorted.
    pub deleted: Vec<DeletedRow>,
}

/// A past run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PastRun {
    /// Its as-of moment.
    pub as_of: String,
    /// Name of its policy.
    pub policy: String,
    /// Hubs that it deleted.
    pub hubs: u64,
}

/// Verifies past runs, and reads which hubs they deleted.
///
/// # Errors
/// A run that does not verify.
pub fn read_runs(folders: &[PathBuf], pool: &Pool) -> Result<PastDeletions> {
    let mut past = PastDeletions::default();
    for folder in folders {
        for run in verify(folder, pool)? {
            let day = time::parse(&run.record.as_of).map(time::day_of).and_then(Day::new).unwrap_or(Day::NONE);
            let before = past.deleted.len();
            read_deletions(&run.path, day, &mut past.deleted)?;
            let policy = run.record.policy["name"].as_str().unwrap_or_default().to_owned();
            let hubs = (past.deleted.len() - before) as u64;
            past.runs.push(PastRun { as_of: run.record.as_of, policy, hubs });
        }
    }
    past.runs.sort_unstable();
    past.deleted.sort_unstable();
    Ok(past)
}

/// Adds the CHF rows of a delete manifest.
fn read_deletions(run: &Path, day: Day, deleted: &mut Vec<DeletedRow>) -> Result<()> {
    let chf = DeviceType::BUILT_IN[usize::from(DeviceType::CHF.code())];
    let mut batches: Batches<Deletes> = Batches::open(run)?;
    while let Some(batch) = batches.next_batch()? {
        for row in (0..batch.len()).filter(|&row| batch.device_type.value(row) == chf) {
            // All Device IDs of a verified run are well-formed.
            let Some(id) = DeviceId::from_text(batch.id.value(row).as_bytes()) else { continue };
            let status = SmiStatus::from_name(batch.status.value(row)).map_or(SmiStatus::UNKNOWN, SmiStatus::code);
            deleted.push(DeletedRow { id, since: batch.since.value(row), status, day });
        }
    }
    Ok(())
}

/// Hubs of the book that past runs deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deletions {
    /// Index of the hub, and the earliest as-of day of a run that deleted it; by index.
    pub days: Vec<(u32, Day)>,
    /// Hubs that runs deleted and that are not in the order book.
    pub not_ordered: u64,
    /// Hubs that runs deleted and that are in the inventory: perhaps the runs were not loaded.
    pub still_there: u64,
    /// The runs.
    pub runs: Vec<PastRun>,
}

impl Deletions {
    /// Sets the flags of the hubs of the book that past runs deleted.
    #[must_use]
    pub fn mark(past: PastDeletions, book: &Book, flags: &mut [HubFlags]) -> Self {
        let mut all = Self { runs: past.runs, ..Self::default() };
        for deleted in &past.deleted {
            match book.find(deleted.id) {
                Some(index) => all.days.push((index as u32, deleted.day)),
                None => all.not_ordered += 1,
            }
        }
        all.days.sort_unstable();
        all.days.dedup_by_key(|(index, _)| *index);
        for (index, _) in &all.days {
            let flags = &mut flags[*index as usize];
            all.still_there += u64::from(flags.has(HubFlags::INVENTORY));
            flags.0 |= HubFlags::DELETED;
        }
        all
    }

    /// The as-of day of the run that deleted a hub, by its index.
    #[must_use]
    pub fn day(&self, hub: usize) -> Day {
        let found = self.days.binary_search_by_key(&hub, |(index, _)| *index as usize);
        found.map_or(Day::NONE, |at| self.days[at].1)
    }
}
