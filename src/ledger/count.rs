//! Counts the rows of a snapshot by the properties that the rule uses, without judging them.
//!
//! These properties are a [`RowClass`]: type, status, day, party, role, and the first flaw. Candidates are counted by
//! class. All other rows are counted by type and status only, because the rule uses nothing else of them. Candidates
//! that share a Device ID are listed one by one, because the policy decides which of them are due at the same time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::estate::time::{DAY_MICROS, FIRST_DAY, LAST_DAY, day_of};
use crate::estate::{Column, DeviceId, Reason, Role, TypeSet};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::Stage;
use crate::scan::by_id::{IdKey, IdKeys};
use crate::scan::candidates::Candidates;
use crate::scan::parties::PartyNumbers;
use crate::scan::{
    CandidatePlan, Parties, PartyCode, PartyRegister, Purpose, RangeReader, Scan, key_ranges, pair_codes,
};
use crate::snapshot::StatusDates;

/// The properties of a row that the rule uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowClass {
    /// Code of the type.
    pub type_code: u8,
    /// Code of the status.
    pub status_code: u8,
    /// The day from which the status has applied, days since 1970-01-01, clamped to one day outside of the years 1 to
    /// 9999; `None` if the date is null, and for all rows that are not candidates.
    pub day: Option<i32>,
    /// The Notifying Party: an index into [`CandidateCounts::parties`], or [`Parties::NONE`].
    pub party: u32,
    /// The CSP region: an index into [`CandidateCounts::regions`], or [`Parties::NONE`].
    pub region: u32,
    /// The role of the party, if the rows have one.
    pub role: Option<Role>,
    /// The first of these that holds: [`Reason::BadDeviceId`], [`Reason::UnknownRole`], [`Reason::MissingParty`],
    /// [`Reason::BadParty`]. The last two matter only where an alert is due.
    pub flaw: Option<Reason>,
}

/// The counts of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CandidateCounts {
    /// Rows of each class, ordered by class, without those in [`shared`](Self::shared).
    pub cells: Vec<(RowClass, u64)>,
    /// Candidates that share their Device ID with another row: the number of the Device ID, from 0, and the row's
    /// class.
    pub shared: Vec<(u32, RowClass)>,
    /// The parties by index.
    pub parties: Parties,
    /// The regions by index.
    pub regions: Parties,
    /// Whether every date of a candidate is a midnight, so that a comparison by days equals one by instants.
    pub whole_days: bool,
}

/// A candidate.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: DeviceId,
    class: RowClass,
}

/// The counts of a row range.
#[derive(Debug, Default)]
struct RangeCounts {
    /// Rows by pair of status and type, for pairs that are not candidates.
    settled: BTreeMap<usize, u64>,
    /// Candidates with a valid Device ID, ascending by ID.
    candidates: Vec<Candidate>,
    /// Classes of candidates without a valid Device ID.
    nameless: Vec<RowClass>,
}

/// Rows of each class.
type ClassCounts = HashMap<RowClass, u64, ahash::RandomState>;

/// State that the workers share.
struct Counter<'a> {
    plan: CandidatePlan<'a>,
    regions: Mutex<PartyRegister>,
    /// Whether every date so far is a midnight.
    whole_days: AtomicBool,
}

/// Counts a snapshot as of `as_of`, UTC microseconds. The policy gives the candidate statuses and the spellings; its
/// thresholds and exclusions are not used.
///
/// # Errors
/// Damaged data, a file that changed meanwhile, or an interruption.
pub fn count_candidates(scan: &Scan<'_>, policy: &Policy, as_of: i64) -> Result<CandidateCounts> {
    let mut without_exclusions = policy.clone();
    without_exclusions.exclude = TypeSet::EMPTY;
    let rules = [without_exclusions.bind(as_of)];
    let counter = Counter {
        plan: CandidatePlan::new(policy, &rules, Purpose::Count),
        regions: Mutex::default(),
        whole_days: AtomicBool::new(true),
    };
    let scanned = scan.run(Stage::Scan, CountBuffers::default, |range, buffers| counter.range(range, buffers))?;
    scan.snapshot.unchanged()?;

    scan.progress.begin(Stage::Sort, 0);
    let counts = gather(scanned.parts, counter, scan.pool)?;
    if counts.rows() != scan.snapshot.rows() {
        return Err(Error::Unbalanced(format!("{} rows were counted of {}", counts.rows(), scan.snapshot.rows())));
    }
    Ok(counts)
}

impl CandidateCounts {
    /// Every row that was counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.cells.iter().fold(self.shared.len() as u64, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// Removes parties and regions to which no class refers: those of rows that have another flaw.
    fn remove_unused_names(&mut self) {
        let Self { cells, shared, parties, regions, .. } = self;
        let mut all: Vec<&mut RowClass> =
            cells.iter_mut().map(|(class, _)| class).chain(shared.iter_mut().map(|(_, class)| class)).collect();
        for (names, number) in [
            (parties, (|class| &mut class.party) as fn(&mut RowClass) -> &mut u32),
            (regions, |class| &mut class.region),
        ] {
            let mut places = vec![Parties::NONE; names.len()];
            for class in &mut all {
                if let Some(place) = places.get_mut(*number(class) as usize) {
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
            for class in &mut all {
                let number = number(class);
                *number = places.get(*number as usize).copied().unwrap_or(Parties::NONE);
            }
            *names = Parties::sorted(named).0;
        }
    }
}

/// Memory that a worker keeps from range to range.
#[derive(Default)]
struct CountBuffers {
    candidates: Candidates,
    regions: PartyNumbers,
    keys: IdKeys<u32>,
}

impl Counter<'_> {
    fn range(&self, range: &mut RangeReader<'_>, buffers: &mut CountBuffers) -> Result<RangeCounts> {
        let CountBuffers { candidates, regions, keys } = buffers;
        let mut counted = RangeCounts::default();
        candidates.read_pairs(range, &self.plan)?;
        for (pair, rows) in candidates.counts.drain() {
            if !self.plan.open[pair] {
                *counted.settled.entry(pair).or_default() += rows;
            }
        }
        if candidates.open.rows.is_empty() {
            return Ok(counted);
        }
        candidates.read_dates(range, &self.plan)?;
        let all: Vec<u32> = (0..candidates.open.rows.len() as u32).collect();
        candidates.read_details(range, &self.plan, &all)?;
        let regions = self.regions(range, &candidates.open.rows, regions)?;
        let is_whole_day = |&since: &i64| since == StatusDates::NULL || since.rem_euclid(DAY_MICROS) == 0;
        if !candidates.since.iter().all(is_whole_day) {
            self.whole_days.store(false, Ordering::Relaxed);
        }
        let mut named = Vec::with_capacity(all.len());
        for (index, id) in candidates.details.ids.iter().enumerate() {
            let class = class_of(candidates, index, regions.get(index).copied());
            match *id {
                Some(id) => named.push(Candidate { id, class }),
                None => counted.nameless.push(RowClass { flaw: Some(Reason::BadDeviceId), ..class }),
            }
        }
        keys.clear();
        keys.extend(named.iter().enumerate().map(|(place, candidate)| IdKey::new(candidate.id, place as u32)));
        counted.candidates.extend(keys.sorted().iter().map(|key| named[key.place as usize]));
        Ok(counted)
    }

    /// The regions of candidates, by their numbers in the register; empty if there is no such column.
    fn regions(&self, range: &mut RangeReader<'_>, rows: &[u32], numbers: &mut PartyNumbers) -> Result<Vec<u32>> {
        let Some(bound) = range.file.columns.get(Column::CspRegion) else { return Ok(Vec::new()) };
        let mut regions = vec![Parties::NONE; rows.len()];
        numbers.begin_chunk();
        range.values(Column::CspRegion, rows, |index, value| {
            // A region that is blank or not text counts as none.
            if let PartyCode::Party(number) = PartyCode::of(numbers.number(bound.form(), value, &self.regions)) {
                regions[index] = number;
            }
        })?;
        Ok(regions)
    }
}

/// The class of a candidate, by its index among the candidates of its range.
fn class_of(candidates: &Candidates, index: usize, region: Option<u32>) -> RowClass {
    let (status_code, type_code) = pair_codes(usize::from(candidates.open.pairs[index]));
    let since = candidates.since[index];
    let (party, flaw) = match PartyCode::of(candidates.details.parties[index]) {
        PartyCode::Party(number) => (number, None),
        PartyCode::Missing => (Parties::NONE, Some(Reason::MissingParty)),
        PartyCode::Bad => (Parties::NONE, Some(Reason::BadParty)),
        PartyCode::UnknownRole => (Parties::NONE, Some(Reason::UnknownRole)),
    };
    RowClass {
        type_code,
        status_code,
        day: (since != StatusDates::NULL).then(|| day_of(since).clamp(FIRST_DAY - 1, LAST_DAY + 1)),
        party,
        region: region.unwrap_or(Parties::NONE),
        role: candidates.details.roles.get(index).copied().flatten(),
        flaw,
    }
}

fn take_sorted(register: &Mutex<PartyRegister>) -> (Parties, Vec<u32>) {
    let register = std::mem::take(&mut *register.lock().unwrap_or_else(PoisonError::into_inner));
    Parties::sorted(register.into_names())
}

/// Merges the counts of all ranges: first by Device ID, to find those that several rows share, then by class.
fn gather(parts: Vec<RangeCounts>, counter: Counter<'_>, pool: &Pool) -> Result<CandidateCounts> {
    let (parties, party_rank) = take_sorted(&counter.plan.parties);
    let (regions, region_rank) = take_sorted(&counter.regions);
    let ranked = |class: RowClass| RowClass {
        party: party_rank.get(class.party as usize).copied().unwrap_or(Parties::NONE),
        region: region_rank.get(class.region as usize).copied().unwrap_or(Parties::NONE),
        ..class
    };
    let mut settled: BTreeMap<usize, u64> = BTreeMap::new();
    let mut candidates = Vec::with_capacity(parts.len());
    let mut counts = ClassCounts::default();
    for own in parts {
        for (pair, rows) in own.settled {
            *settled.entry(pair).or_default() += rows;
        }
        candidates.push(own.candidates);
        for class in own.nameless {
            *counts.entry(ranked(class)).or_default() += 1;
        }
    }

    let by_id = |candidate: &Candidate| candidate.id;
    // One map of counts for each worker: a range of Device IDs takes one that is free, and returns it.
    let free = Mutex::new(vec![counts]);
    let groups = pool.map_with(key_ranges::ranges(&candidates, by_id), IdKeys::default, |keys, range| {
        let rows = key_ranges::within(&candidates, range, by_id);
        keys.clear();
        keys.extend(rows.iter().enumerate().map(|(place, candidate)| IdKey::new(candidate.id, place as u32)));
        let mut counts = free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let mut groups = Vec::new();
        for same in keys.sorted().chunk_by(|one, other| one.id == other.id) {
            let class_of_key = |key: &IdKey<u32>| ranked(rows[key.place as usize].class);
            if let [alone] = same {
                *counts.entry(class_of_key(alone)).or_default() += 1;
            } else {
                let mut group: Vec<RowClass> = same.iter().map(class_of_key).collect();
                group.sort_unstable();
                groups.push(group);
            }
        }
        free.lock().unwrap_or_else(PoisonError::into_inner).push(counts);
        Ok::<_, Error>(groups)
    })?;
    drop(candidates);
    let mut all_counts =
        CandidateCounts { parties, regions, whole_days: counter.whole_days.into_inner(), ..CandidateCounts::default() };
    for (number, group) in (0..).zip(groups.into_iter().flatten()) {
        all_counts.shared.extend(group.into_iter().map(|class| (number, class)));
    }
    let mut counts = free.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
    let mut all = counts.next().unwrap_or_default();
    for (class, rows) in counts.flatten() {
        *all.entry(class).or_default() += rows;
    }
    all_counts.cells = all.into_iter().collect();
    all_counts.cells.extend(settled.into_iter().map(|(pair, rows)| {
        let (status_code, type_code) = pair_codes(pair);
        let nothing = Parties::NONE;
        let class =
            RowClass { type_code, status_code, day: None, party: nothing, region: nothing, role: None, flaw: None };
        (class, rows)
    }));
    all_counts.cells.sort_unstable();
    all_counts.remove_unused_names();
    Ok(all_counts)
}
