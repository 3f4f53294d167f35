//! What housekeeping deleted between two ledgers: as the scenario says, checked against the ledgers, or read from them.
//!
//! A device that housekeeping deletes has not left by itself, so hazards are estimated without the devices that a policy
//! may have deleted. A deletion shows in the ledgers: all devices that reach the threshold vanish at once, however many
//! they are. Where that contradicts the scenario, the forecast is refused; where the scenario says nothing, the
//! threshold is taken from the ledgers, and said.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::history::ByDay;
use super::scenario::HousekeepingPeriod;
use super::strata::candidate_status;
use crate::error::{Error, Result};
use crate::estate::time::{day_of, day_start, format_day, whole_months};
use crate::ledger::Ledger;
use crate::policy::{Pair, Rules};

/// Improbability, as a negative natural logarithm, from which devices cannot have left by chance all at once.
const EVIDENCE: f64 = 20.0;
/// Days after its due date for which a device may still be there: housekeeping may run once a month.
const GRACE_DAYS: i32 = 31;
/// Days that a policy must have been in force before devices that it should have deleted contradict it.
const SETTLED_DAYS: i32 = 92;
/// Devices past the threshold that contradict a policy, as a share of the candidates of their type, and at least so many.
const MOST_OVERDUE: (f64, u64) = (0.01, 10);

/// What housekeeping deleted between two ledgers.
#[derive(Debug, Clone, Default)]
pub struct Truncation {
    /// The policies in force, each bound to the last moment at which it deleted.
    rules: Vec<Rules>,
    status: u8,
    /// The later moment, UTC microseconds.
    later: i64,
    /// Thresholds in months that were read from the ledgers, by type code.
    derived: BTreeMap<u8, u32>,
}

impl Truncation {
    /// The deletions that a history names between two moments (UTC microseconds; the first is `i64::MIN` for all time).
    fn stated(ledger: &Ledger, history: &[HousekeepingPeriod], from: i64) -> Result<Self> {
        let (from, until) = (if from == i64::MIN { i32::MIN } else { day_of(from) }, day_of(ledger.as_of));
        let mut truncation = Self { status: candidate_status(ledger), later: ledger.as_of, ..Self::default() };
        for (index, period) in history.iter().enumerate() {
            let end = history.get(index + 1).map_or(i32::MAX, |next| next.from);
            let overlaps = period.from <= until && end > from;
            if let (true, Some(policy)) = (overlaps, &period.policy) {
                // The check of the policy is that of a ledger; the moment is the last on which it could delete.
                ledger.bind(policy)?;
                truncation.rules.push(policy.bind(day_start(until.min(end.saturating_sub(1)))));
            }
        }
        Ok(truncation)
    }

    /// Whether housekeeping may have deleted devices of a type and day.
    #[must_use]
    pub fn deletes(&self, type_code: u8, day: i32) -> bool {
        let since = day_start(day);
        let derived = self.derived.get(&type_code);
        self.rules.iter().any(|rules| rules.is_due(self.status, type_code, Some(since)))
            || derived.is_some_and(|months| whole_months(since, self.later) >= *months)
    }

    /// The thresholds in months of a type, under the policies in force.
    fn thresholds(&self, type_code: u8) -> BTreeSet<u32> {
        let judging = self.rules.iter().filter(|rules| rules.pair(self.status, type_code) == Pair::Judge);
        judging.map(|rules| rules.months(type_code)).collect()
    }
}

/// The deletions between each ledger and the next, and what there is to say about them. With one ledger: the deletions
/// before it.
///
/// # Errors
/// A history that the ledgers contradict, or a policy that needs counts which the ledgers do not have.
pub fn truncations(ledgers: &[Ledger], history: &[HousekeepingPeriod]) -> Result<(Vec<Truncation>, Vec<Finding>)> {
    let mut truncations = Vec::new();
    let mut derived: BTreeMap<(u32, String), (i32, i32)> = BTreeMap::new();
    for ledger in ledgers {
        check_overdue(ledger, history)?;
    }
    if let [ledger] = ledgers {
        let mut truncation = Truncation::stated(ledger, history, i64::MIN)?;
        for (code, months) in sharp_ends(ledger) {
            if truncation.thresholds(code).is_empty() {
                truncation.derived.insert(code, months);
                let day = day_of(ledger.as_of);
                derived.insert((months, ledger.types.name(code).to_owned()), (day, day));
            }
        }
        truncations.push(truncation);
    }
    let vanished = all_vanished(ledgers);
    for ([earlier, later], vanished) in ledgers.array_windows().zip(vanished) {
        let mut truncation = Truncation::stated(later, history, earlier.as_of)?;
        let covered = history.first().is_some_and(|first| first.from <= day_of(earlier.as_of));
        for (code, own) in vanished {
            let (Threshold::Shown(months) | Threshold::Likely(months)) = own;
            let name = later.types.name(code);
            let stated = truncation.thresholds(code);
            if stated.iter().any(|stated| (*stated..=stated + 1).contains(&months)) {
                continue;
            }
            match own {
                Threshold::Shown(_) if covered => {
                    return Err(contradicted((earlier, later), (name, months), &stated));
                }
                Threshold::Likely(_) if covered => continue,
                _ => _ = truncation.derived.insert(code, months),
            }
            let days = (day_of(earlier.as_of), day_of(later.as_of));
            let period = derived.entry((months, name.to_owned())).or_insert(days);
            period.1 = days.1;
        }
        truncations.push(truncation);
    }
    let mut by_period: BTreeMap<(u32, i32, i32), Vec<String>> = BTreeMap::new();
    for ((months, name), (from, until)) in derived {
        by_period.entry((months, from, until)).or_default().push(name);
    }
    let findings =
        by_period.into_iter().map(|((months, from, until), types)| Finding::Derived { types, months, from, until });
    Ok((truncations, findings.collect()))
}

fn contradicted((earlier, later): (&Ledger, &Ledger), (name, months): (&str, u32), stated: &BTreeSet<u32>) -> Error {
    let [from, until] = [earlier, later].map(|ledger| format_day(day_of(ledger.as_of)));
    let stated = match stated.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ") {
        none if none.is_empty() => "no deletion of this type".into(),
        months => format!("a threshold of {months} months"),
    };
    Error::Usage {
        what: format!(
            "[history]: between {from} and {until} every {name} that reached {months} months disappeared, and the history says {stated}"
        ),
        remedy: format!(
            "name the policy that was in force then: [[history]] from = {from}, policy = one with {months} months"
        ),
    }
}

/// Refuses a history whose policy was long in force, while many devices that it deletes are in the ledger.
fn check_overdue(ledger: &Ledger, history: &[HousekeepingPeriod]) -> Result<()> {
    let today = day_of(ledger.as_of);
    let Some(period) = history.iter().rev().find(|period| period.from <= today) else { return Ok(()) };
    let Some(policy) = period.policy.as_ref().filter(|_| period.from <= today - SETTLED_DAYS) else { return Ok(()) };
    ledger.bind(policy)?;
    let rules = policy.bind(day_start(today - GRACE_DAYS));
    let status = candidate_status(ledger);
    let mut by_type: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
    for ((code, day), rows) in without_flaws(ledger) {
        let counts = by_type.entry(code).or_default();
        counts.1 += rows;
        counts.0 += if rules.is_due(status, code, Some(day_start(day))) { rows } else { 0 };
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a share of counts")]
    let limit = |candidates: u64| ((candidates as f64 * MOST_OVERDUE.0) as u64).max(MOST_OVERDUE.1);
    match by_type.into_iter().find(|(_, (overdue, all))| *overdue > limit(*all)) {
        None => Ok(()),
        Some((code, (overdue, _))) => Err(Error::Usage {
            what: format!(
                "[history]: the ledger of {} has {overdue} {} that `{}` deletes at {} months, and it was in force for three months",
                format_day(today),
                ledger.types.name(code),
                policy.name,
                rules.months(code)
            ),
            remedy:
                "name the policies that were in force, each with its first day: [[history]] from = DATE, policy = NAME"
                    .into(),
        }),
    }
}

/// Candidates without a flaw, by type code and day: those that housekeeping can delete.
fn without_flaws(ledger: &Ledger) -> ByDay {
    let mut all = ByDay::new();
    let cells = ledger.counts.cells.iter().filter(|(cell, _)| cell.flaw.is_none() && ledger.is_candidate(cell));
    for (cell, rows) in cells {
        if let Some(day) = cell.day {
            *all.entry((cell.type_code, day)).or_default() += rows;
        }
    }
    all
}

/// A threshold that ledgers show.
#[derive(Debug, Clone, Copy)]
enum Threshold {
    /// Every device of this age in months has vanished, and they were too many for that to be chance.
    Shown(u32),
    /// No device is as old, too few would be, and other intervals or types show this threshold.
    Likely(u32),
}

/// The thresholds that each interval shows, by type.
fn all_vanished(ledgers: &[Ledger]) -> Vec<BTreeMap<u8, Threshold>> {
    let mut intervals = Vec::new();
    let mut times: BTreeMap<u32, usize> = BTreeMap::new();
    for [earlier, later] in ledgers.array_windows() {
        let (was, is) = (without_flaws(earlier), without_flaws(later));
        let mut of_interval = Vec::new();
        for (device_type, _) in later.types.iter() {
            let ages = AgesBetween::new(&was, &is, device_type.code(), (earlier, later));
            let shown = ages.vanished();
            if let Some(months) = shown {
                *times.entry(months).or_default() += 1;
            }
            of_interval.push((device_type.code(), shown, ages.oldest));
        }
        intervals.push(of_interval);
    }
    let known: Vec<u32> = times.into_iter().filter(|(_, times)| *times > 1).map(|(months, _)| months).collect();
    let threshold = |(code, shown, oldest): (u8, Option<u32>, Option<u32>)| {
        let likely = || known.iter().copied().find(|months| oldest.is_some_and(|oldest| oldest < *months));
        Some((code, shown.map(Threshold::Shown).or_else(|| likely().map(Threshold::Likely))?))
    };
    intervals.into_iter().map(|of_interval| of_interval.into_iter().filter_map(threshold).collect()).collect()
}

/// Devices of a type by the age in months that they have at a later ledger: how many there were, and how many are left.
struct AgesBetween {
    by_age: BTreeMap<u32, (u64, u64)>,
    /// The highest age in the later ledger.
    oldest: Option<u32>,
}

impl AgesBetween {
    fn new(was: &ByDay, is: &ByDay, code: u8, (earlier, later): (&Ledger, &Ledger)) -> Self {
        let until = day_of(earlier.as_of);
        let mut by_age: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        let of_type = (code, i32::MIN)..=(code, i32::MAX);
        for (&(_, day), &before) in was.range(of_type.clone()).filter(|((_, day), _)| *day <= until) {
            let age = by_age.entry(whole_months(day_start(day), later.as_of)).or_default();
            let after = is.get(&(code, day)).copied().unwrap_or_default();
            *age = (age.0 + before, age.1 + after.min(before));
        }
        let ages = is
            .range(of_type)
            .filter(|(_, rows)| **rows > 0)
            .map(|((_, day), _)| whole_months(day_start(*day), later.as_of));
        Self { by_age, oldest: ages.max() }
    }

    /// The sum over some ages.
    fn sum(&self, ages: impl std::ops::RangeBounds<u32>) -> (u64, u64) {
        self.by_age.range(ages).fold((0, 0), |sum, (_, own)| (sum.0 + own.0, sum.1 + own.1))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
    fn vanished(&self) -> Option<u32> {
        let threshold = self.oldest? + 1;
        let gone = self.sum(threshold..).0 as f64;
        let below = threshold.saturating_sub(1);
        let near = match self.sum(threshold.saturating_sub(4)..below) {
            near if near.0 >= 10 => near,
            _ => self.sum(..below),
        };
        let (before, left) = (near.0 as f64, (near.0 - near.1) as f64);
        let chance = ((left + 0.5) / (before + 1.0)).clamp(0.01, 0.95);
        if gone * -chance.ln() < EVIDENCE {
            return None;
        }
        // Housekeeping that runs between ledgers deletes a part of those that have just reached the threshold.
        let last = self.sum(below..threshold);
        let (here, left) = (last.0 as f64, (last.0 - last.1) as f64);
        let many = here * chance + 5.0 * (here * chance * (1.0 - chance)).sqrt() + 3.0;
        Some(if left > many { below } else { threshold })
    }
}

/// For each type of one ledger the age in months from which there is no device, although those a month younger are too
/// many for that to be chance: a threshold, or an estate that began then.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn sharp_ends(ledger: &Ledger) -> BTreeMap<u8, u32> {
    let mut ends = BTreeMap::new();
    for (code, ages) in ledger.ages().by_type {
        let Some(oldest) = ages.iter().rposition(|rows| *rows > 0) else { continue };
        let before = ages[oldest.saturating_sub(3)..oldest].iter().max().copied().unwrap_or_default() as f64;
        let last = ages[oldest] as f64;
        // The next age would have at least a third of the devices of this one, if they leave as fast as before.
        if oldest > 0 && last * (last / before.max(last)).min(0.33) > EVIDENCE {
            ends.insert(code, oldest as u32 + 1);
        }
    }
    ends
}
