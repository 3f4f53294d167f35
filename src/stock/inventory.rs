//! What the inventory says of the hubs of the order book, and which hubs it has besides.
//!
//! The inventory is the only large table beside the book. Hubs of a row group are sorted and looked up in one walk
//! through the book, which marks them; marks are bits that are only ever added, so that neither threads nor the order of
//! rows can be told from the result.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use super::book::{Book, Hub};
use super::bucket::Marks;
use super::rules::Rules;
use super::table::Day;
use crate::error::Result;
use crate::estate::{DeviceId, DeviceType, SmiStatus, TypeSet, time};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::run::read::{Batches, Deletes};
use crate::run::verify::verify;
use crate::snapshot::Snapshot;
use crate::sweep::morsels;
use crate::sweep::pick::{Desk, Pick, Picked};
use crate::watch::{Stage, Watch};

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
///
/// # Errors
/// Damaged data, a file that changed meanwhile, or an interruption.
pub fn read(
    snapshot: &Snapshot,
    policy: &Policy,
    rules: &Rules,
    book: &Book,
    count_day: i32,
    pool: &Pool,
    watch: &dyn Watch,
) -> Result<(Inventory, Vec<Marks>)> {
    watch.begin(Stage::Scan, snapshot.rows());
    let marks: Vec<AtomicU8> = (0..book.hubs.len()).map(|_| AtomicU8::new(0)).collect();
    let last_instant = time::day_start(count_day.saturating_add(1)).saturating_sub(1);
    let pick = Pick { snapshot, policy, types: [DeviceType::CHF].into_iter().collect::<TypeSet>(), watch };
    let parts = pool.map_with(morsels(snapshot), Desk::default, |desk, morsel| {
        let mut own = Inventory::default();
        own.untyped = pick.read(morsel, desk, |picked| {
            look_up(picked, &book.hubs, &mut own, rules, &|row, index| {
                let seen = Marks::of_row(rules, row.status, row.since, last_instant);
                marks[index].fetch_or(seen.0, Ordering::Relaxed);
            });
        })?;
        Ok::<_, crate::Error>(own)
    })?;
    snapshot.unchanged()?;
    let mut all = Inventory::default();
    for part in parts {
        all.add(part);
    }
    all.strays.sort_unstable();
    Ok((all, marks.into_iter().map(|mark| Marks(mark.into_inner())).collect()))
}

/// Looks hubs of the inventory up in the book, in one walk through both.
fn look_up(picked: &mut [Picked], hubs: &[Hub], own: &mut Inventory, rules: &Rules, found: &dyn Fn(&Picked, usize)) {
    picked.sort_unstable_by_key(|row| row.id);
    let mut at = 0;
    for row in &*picked {
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

impl Deletions {
    /// The day as of which a hub was deleted.
    #[must_use]
    pub fn day(&self, hub: usize) -> Day {
        let found = self.days.binary_search_by_key(&hub, |(index, _)| *index as usize);
        found.map_or(Day::NONE, |at| self.days[at].1)
    }
}

/// Verifies runs, reads which hubs they deleted, and marks those of the book.
///
/// # Errors
/// A run that does not verify.
pub fn deletions(folders: &[PathBuf], book: &Book, marks: &mut [Marks], pool: &Pool) -> Result<Deletions> {
    let mut all = Deletions::default();
    for folder in folders {
        for run in verify(folder, pool)? {
            let as_of = time::parse(&run.record.as_of).map_or(0, time::day_of);
            let day = Day::new(as_of).unwrap_or(Day::NONE);
            let mut hubs = 0;
            let mut batches: Batches<Deletes> = Batches::open(&run.path)?;
            while let Some(batch) = batches.next_batch()? {
                let chf = DeviceType::BUILT_IN[usize::from(DeviceType::CHF.code())];
                let ids = batch.id.iter().zip(batch.device_type.iter());
                for (id, _) in ids.filter(|(_, device_type)| *device_type == Some(chf)) {
                    hubs += 1;
                    match id.and_then(|id| DeviceId::from_text(id.as_bytes())).and_then(|id| book.find(id)) {
                        Some(index) => all.days.push((index as u32, day)),
                        None => all.not_ordered += 1,
                    }
                }
            }
            let policy = run.record.policy["name"].as_str().unwrap_or_default().to_owned();
            all.runs.push(PastRun { as_of: run.record.as_of, policy, hubs });
        }
    }
    all.runs.sort_unstable();
    all.days.sort_unstable();
    all.days.dedup_by_key(|(index, _)| *index);
    for (index, _) in &all.days {
        let mark = &mut marks[*index as usize];
        all.still_there += u64::from(mark.has(Marks::INVENTORY));
        mark.0 |= Marks::DELETED;
    }
    Ok(all)
}
