//! A census: how many rows there are of each kind, over the same lanes as a sweep, and without a verdict.
//!
//! What the rule could ever ask of a row is a [`Cell`]: type, status, day, party, role, and the first thing that is
//! wrong with it. Candidates are counted by cell; of all others type and status are counted, since nothing else of them
//! can decide. Candidates that share a Device ID are listed one by one, because which of them are due at the same time
//! depends on the policy. What a policy makes of the counts is [`crate::ledger`]'s.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::by_id::{Key, Keys};
use super::engine::morsels;
use super::fields::{Noted, PartyNumbers};
use super::findings::{Parties, PartyRegister};
use super::lanes::{Lane, Reader, sparse};
use super::morsel::{Morsel, Scratch, Slab, each_slab};
use super::plan::{PAIRS, Plan, pair_codes};
use super::{dates, split};
use crate::error::{Error, Result};
use crate::estate::time::{DAY_MICROS, FIRST_DAY, LAST_DAY, day_of};
use crate::estate::{Column, DeviceId, Reason, Role, TypeSet};
use crate::policy::{Pair, Policy, Rules};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::snapshot::Snapshot;

/// What rows of one kind have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Code of the type.
    pub type_code: u8,
    /// Code of the status.
    pub status_code: u8,
    /// The day from which the status has applied, from the day before the year 1 to the one after the year 9999; `None`
    /// where the date is null, and for all rows that are no candidates.
    pub day: Option<i32>,
    /// Who notified the rows: an index into [`Census::parties`], or [`Parties::NONE`].
    pub party: u32,
    /// Their CSP region: an index into [`Census::regions`], or [`Parties::NONE`].
    pub region: u32,
    /// As what the party notified them, where they say so.
    pub role: Option<Role>,
    /// The first of these that holds: [`Reason::BadDeviceId`], [`Reason::UnknownRole`], [`Reason::MissingParty`],
    /// [`Reason::BadParty`]. The last two matter only where an alert is due.
    pub flaw: Option<Reason>,
}

/// The rows of a snapshot, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Rows of each cell, in the order of the cells; without those of [`shared`](Self::shared).
    pub cells: Vec<(Cell, u64)>,
    /// Candidates that share their Device ID with another: a number for each Device ID, from 0, and the row's cell.
    pub shared: Vec<(u32, Cell)>,
    /// What [`Cell::party`] refers to.
    pub parties: Parties,
    /// What [`Cell::region`] refers to.
    pub regions: Parties,
    /// Whether every date of a candidate is a midnight, so that days say as much as instants.
    pub whole_days: bool,
}

/// A candidate.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: DeviceId,
    cell: Cell,
}

/// What a row group has.
#[derive(Debug, Default)]
struct Counted {
    /// Rows of pairs that no date can decide.
    settled: BTreeMap<usize, u64>,
    /// Candidates with a Device ID, by ascending ID.
    candidates: Vec<Candidate>,
    /// Cells of those without.
    nameless: Vec<Cell>,
}

/// Rows of each cell.
type Counts = HashMap<Cell, u64, ahash::RandomState>;

/// What the workers share besides the plan.
struct Shared<'a> {
    plan: Plan<'a>,
    regions: Mutex<PartyRegister>,
    whole_days: AtomicBool,
}

/// Counts a snapshot. Which statuses are candidates, and how things are spelt, is the policy's to say; its thresholds and
/// exclusions have no part in it.
///
/// # Errors
/// Damaged data, a file that changed meanwhile, or an interruption.
pub fn census(
    snapshot: &Snapshot,
    policy: &Policy,
    as_of: i64,
    reader: Reader,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Census> {
    let mut open_to_all = policy.clone();
    open_to_all.exclude = TypeSet::EMPTY;
    let rules = [open_to_all.bind(as_of)];
    let mut plan = Plan::new(snapshot, policy, &rules, reader, &[0], progress);
    for pair in 0..PAIRS {
        plan.open[pair] = pair_of(&rules[0], pair) == Pair::Judge;
    }
    // No status is passed over, since each is counted, and no date stands in for others.
    plan.closed_status.fill(false);
    plan.latest_due = i64::MAX;
    let shared = Shared { plan, regions: Mutex::default(), whole_days: AtomicBool::new(true) };
    progress.begin(Stage::Scan, snapshot.rows());
    let counted = pool.map_with(morsels(snapshot), Worker::default, |worker, morsel| count(&shared, morsel, worker))?;
    snapshot.unchanged()?;

    progress.begin(Stage::Sort, 0);
    let census = gather(counted, shared, pool)?;
    if census.rows() != snapshot.rows() {
        return Err(Error::Unbalanced(format!("{} rows were counted of {}", census.rows(), snapshot.rows())));
    }
    Ok(census)
}

impl Census {
    /// Every row that was counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.cells.iter().fold(self.shared.len() as u64, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// Leaves out parties and regions that no cell speaks of: those of rows that have another flaw.
    fn forget_the_unnamed(&mut self) {
        let Self { cells, shared, parties, regions, .. } = self;
        let mut all: Vec<&mut Cell> =
            cells.iter_mut().map(|(cell, _)| cell).chain(shared.iter_mut().map(|(_, cell)| cell)).collect();
        for (names, number) in
            [(parties, (|cell| &mut cell.party) as fn(&mut Cell) -> &mut u32), (regions, |cell| &mut cell.region)]
        {
            let mut places = vec![Parties::NONE; names.len()];
            for cell in &mut all {
                if let Some(place) = places.get_mut(*number(cell) as usize) {
                    *place = 0;
                }
            }
            let named: Vec<String> = names
                .names()
                .iter()
                .zip(&places)
                .filter(|(_, place)| **place == 0)
                .map(|(name, _)| name.clone())
                .collect();
            for (number, place) in (0..).zip(places.iter_mut().filter(|place| **place == 0)) {
                *place = number;
            }
            for cell in &mut all {
                let number = number(cell);
                *number = places.get(*number as usize).copied().unwrap_or(Parties::NONE);
            }
            *names = Parties::sorted(named).0;
        }
    }
}

fn pair_of(rules: &Rules, pair: usize) -> Pair {
    let (status, device_type) = pair_codes(pair);
    rules.pair(status, device_type)
}

/// Memory that a worker keeps from row group to row group.
#[derive(Default)]
struct Worker {
    scratch: Scratch,
    regions: PartyNumbers,
    keys: Keys<u32>,
}

fn count(shared: &Shared<'_>, morsel: Morsel, worker: &mut Worker) -> Result<Counted> {
    let Worker { scratch, regions, keys } = worker;
    let mut counted = Counted::default();
    let mut candidates = Vec::new();
    each_slab(&shared.plan, morsel, scratch, |slab, scratch| {
        slab.read_pairs(scratch)?;
        for (pair, rows) in scratch.counts.drain() {
            if !shared.plan.open[pair] {
                *counted.settled.entry(pair).or_default() += rows;
            }
        }
        if scratch.open.rows.is_empty() {
            return Ok(());
        }
        slab.read_dates(scratch)?;
        let all: Vec<u32> = (0..scratch.open.rows.len() as u32).collect();
        slab.read_due_columns(scratch, &all)?;
        let regions = read_regions(shared, slab, scratch, regions)?;
        let mut whole_days = true;
        candidates.reserve(all.len());
        for (index, id) in scratch.due.ids.iter().enumerate() {
            let since = scratch.since[index];
            whole_days &= since == dates::NULL || since.rem_euclid(DAY_MICROS) == 0;
            let cell = cell(scratch, index, regions.get(index).copied());
            match *id {
                Some(id) => candidates.push(Candidate { id, cell }),
                None => counted.nameless.push(Cell { flaw: Some(Reason::BadDeviceId), ..cell }),
            }
        }
        if !whole_days {
            shared.whole_days.store(false, Ordering::Relaxed);
        }
        Ok(())
    })?;
    keys.clear();
    keys.extend(candidates.iter().enumerate().map(|(place, candidate)| Key::new(candidate.id, place as u32)));
    counted.candidates.extend(keys.sorted().iter().map(|key| candidates[key.place as usize]));
    Ok(counted)
}

/// What kind of row a candidate is, by its place among those of its slab.
fn cell(scratch: &Scratch, index: usize, region: Option<u32>) -> Cell {
    let (status_code, type_code) = pair_codes(usize::from(scratch.open.pairs[index]));
    let since = scratch.since[index];
    let (party, flaw) = match Noted::of(scratch.due.parties[index]) {
        Noted::Party(number) => (number, None),
        Noted::Missing => (Parties::NONE, Some(Reason::MissingParty)),
        Noted::Bad => (Parties::NONE, Some(Reason::BadParty)),
        Noted::UnknownRole => (Parties::NONE, Some(Reason::UnknownRole)),
    };
    Cell {
        type_code,
        status_code,
        day: (since != dates::NULL).then(|| day_of(since).clamp(FIRST_DAY - 1, LAST_DAY + 1)),
        party,
        region: region.unwrap_or(Parties::NONE),
        role: scratch.due.roles.get(index).copied().flatten(),
        flaw,
    }
}

/// The regions of a slab's candidates; empty where there is no such column.
fn read_regions(
    shared: &Shared<'_>,
    slab: &Slab<'_>,
    scratch: &mut Scratch,
    numbers: &mut PartyNumbers,
) -> Result<Vec<u32>> {
    let Some(bound) = slab.file.columns.get(Column::CspRegion) else { return Ok(Vec::new()) };
    let lane = Lane { file: slab.file, group: slab.morsel.group, bound };
    let rows = &scratch.open.rows;
    let mut regions = vec![Parties::NONE; rows.len()];
    numbers.begin_chunk();
    sparse::read(lane, rows, shared.plan.reader, &mut scratch.lanes, |index, value| {
        // A region that is blank, or no text, is none.
        if let Noted::Party(number) = Noted::of(numbers.number(bound.form, value, &shared.regions)) {
            regions[index] = number;
        }
    })?;
    Ok(regions)
}

fn met(register: &Mutex<PartyRegister>) -> (Parties, Vec<u32>) {
    let register = std::mem::take(&mut *register.lock().unwrap_or_else(PoisonError::into_inner));
    Parties::sorted(register.into_met())
}

/// Puts the row groups together: first by Device ID, to find those that several rows share, then by cell.
fn gather(counted: Vec<Counted>, shared: Shared<'_>, pool: &Pool) -> Result<Census> {
    let (parties, party_rank) = met(&shared.plan.parties);
    let (regions, region_rank) = met(&shared.regions);
    let ranked = |cell: Cell| Cell {
        party: party_rank.get(cell.party as usize).copied().unwrap_or(Parties::NONE),
        region: region_rank.get(cell.region as usize).copied().unwrap_or(Parties::NONE),
        ..cell
    };
    let mut settled: BTreeMap<usize, u64> = BTreeMap::new();
    let mut candidates = Vec::with_capacity(counted.len());
    let mut counts = Counts::default();
    for own in counted {
        for (pair, rows) in own.settled {
            *settled.entry(pair).or_default() += rows;
        }
        candidates.push(own.candidates);
        for cell in own.nameless {
            *counts.entry(ranked(cell)).or_default() += 1;
        }
    }

    let by_id = |candidate: &Candidate| candidate.id;
    // As many counts as there are workers: each range of Device IDs goes on with one that is free.
    let free = Mutex::new(vec![counts]);
    let groups = pool.map_with(split::ranges(&candidates, by_id), Keys::default, |keys, range| {
        let rows = split::within(&candidates, range, by_id);
        keys.clear();
        keys.extend(rows.iter().enumerate().map(|(place, candidate)| Key::new(candidate.id, place as u32)));
        let mut counts = free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let mut groups = Vec::new();
        for same in keys.sorted().chunk_by(|one, other| one.id == other.id) {
            let cell = |key: &Key<u32>| ranked(rows[key.place as usize].cell);
            if let [alone] = same {
                *counts.entry(cell(alone)).or_default() += 1;
            } else {
                let mut group: Vec<Cell> = same.iter().map(cell).collect();
                group.sort_unstable();
                groups.push(group);
            }
        }
        free.lock().unwrap_or_else(PoisonError::into_inner).push(counts);
        Ok::<_, Error>(groups)
    })?;
    drop(candidates);
    let mut census = Census { parties, regions, whole_days: shared.whole_days.into_inner(), ..Census::default() };
    for (number, group) in (0..).zip(groups.into_iter().flatten()) {
        census.shared.extend(group.into_iter().map(|cell| (number, cell)));
    }
    let mut counts = free.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
    let mut all = counts.next().unwrap_or_default();
    for (cell, rows) in counts.flatten() {
        *all.entry(cell).or_default() += rows;
    }
    census.cells = all.into_iter().collect();
    census.cells.extend(settled.into_iter().map(|(pair, rows)| {
        let (status_code, type_code) = pair_codes(pair);
        let nothing = Parties::NONE;
        let cell = Cell { type_code, status_code, day: None, party: nothing, region: nothing, role: None, flaw: None };
        (cell, rows)
    }));
    census.cells.sort_unstable();
    census.forget_the_unnamed();
    Ok(census)
}
