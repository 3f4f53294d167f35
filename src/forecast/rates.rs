//! How fast devices arrive and leave, by type and age: estimated from ledgers by a life table, or assumed.
//!
//! From one ledger to the next, devices whose status has applied since the same day are the same devices, those that
//! left taken off. For each age in whole months the life table therefore has *exposure*, the devices of that age at the
//! earlier moment, and *events*, those that are gone at the later one; the hazard is events by exposure. Devices whose
//! status is younger than the earlier moment have arrived in between.
//!
//! What aggregated ledgers cannot tell: devices that came and went between two ledgers (arrivals are net of them),
//! whether one that left was installed, withdrawn or set to Pending anew (which leaves one cohort and joins another),
//! and which of several that left is which. Devices that housekeeping itself took away are left out of the table, if the
//! scenario says by which policy it ran.

use std::collections::BTreeMap;

use super::history::{Gap, by_day};
use super::scenario::Scenario;
use crate::error::Result;
use crate::estate::time::{day_of, day_start, whole_months};
use crate::ledger::{Age, Ledger};
use crate::policy::{DateVerdict, Pair, Rules};

/// Ages of the table; older devices are in its last line.
const TABLE: usize = 240;
/// Events that an age must have to stand alone; younger ages with fewer are put together with the next.
const EVENTS: f64 = 30.0;
/// Days of a month on average.
const MONTH_DAYS: f64 = 30.4375;

/// Where rates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Two or more ledgers, by the life table.
    Ledgers,
    /// The age profile of one ledger, taken for that of an estate which does not change.
    Profile,
    /// The scenario.
    Scenario,
}

impl Basis {
    /// The word in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ledgers => "ledgers",
            Self::Profile => "age profile",
            Self::Scenario => "scenario",
        }
    }
}

/// Ages that share a hazard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The first age, in months.
    pub from: Age,
    /// The first age behind it; `None` where it goes on.
    pub until: Option<Age>,
    /// Devices that could have left in a month.
    pub exposure: f64,
    /// Those that did.
    pub events: f64,
    /// The share of the devices that leaves in a month.
    pub hazard: f64,
    /// How many binomial trials the estimate is worth; infinite where it is assumed.
    pub trials: f64,
}

/// Arrivals of a month, net of those that left before its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrivals {
    /// On average.
    pub mean: f64,
    /// Months that were observed; infinite where the mean is assumed.
    pub months: f64,
    /// Variance by mean: 1 where arrivals are independent.
    pub dispersion: f64,
}

/// The rates of a type.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// Hazards by age, ascending; the first begins at 0, the last goes on.
    pub bands: Vec<Band>,
    /// Where they come from.
    pub hazard_basis: Basis,
    /// Arrivals.
    pub arrivals: Arrivals,
    /// Where they come from.
    pub arrival_basis: Basis,
    /// Devices that each month adds to those which are no candidates, besides the candidates that leave: Type 2 devices,
    /// and what came and went between two ledgers; below zero where the inventory loses more than that.
    pub other: f64,
}

/// Exposure and events of a type by age.
#[derive(Debug, Clone)]
struct LifeTable {
    exposure: Vec<f64>,
    events: Vec<f64>,
    /// What the events are worth as evidence: 1 for counted ones.
    variance: Vec<f64>,
}

impl Default for LifeTable {
    fn default() -> Self {
        Self { exposure: vec![0.0; TABLE + 1], events: vec![0.0; TABLE + 1], variance: vec![0.0; TABLE + 1] }
    }
}

/// Estimates the rates of every type of the ledgers, which are in order. What the scenario says takes the place of
/// estimates.
///
/// # Errors
/// A policy of history that asks what the ledgers have not counted.
pub fn estimate(ledgers: &[Ledger], scenario: &Scenario) -> Result<BTreeMap<u8, Rates>> {
    let Some(last) = ledgers.last() else { return Ok(BTreeMap::new()) };
    let mut tables: BTreeMap<u8, LifeTable> = BTreeMap::new();
    let mut arrivals: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    let mut others: BTreeMap<u8, f64> = BTreeMap::new();
    let basis = if ledgers.len() > 1 { Basis::Ledgers } else { Basis::Profile };
    let types: Vec<u8> = last.types.iter().map(|(device_type, _)| device_type.code()).collect();
    for [earlier, later] in ledgers.array_windows() {
        let rules = scenario.history.as_ref().map(|policy| later.bind(policy)).transpose()?;
        let left = observe(earlier, later, rules.as_ref(), &mut tables);
        let months = Gap::between(ledgers[0].as_of, last.as_of).months;
        let (was, is) = (non_candidates(earlier), non_candidates(later));
        for &code in &types {
            let of = |counts: &BTreeMap<u8, f64>| counts.get(&code).copied().unwrap_or_default();
            *others.entry(code).or_default() += (of(&is) - of(&was) - of(&left)) / months;
        }
    }
    if basis == Basis::Profile {
        let rules = scenario.history.as_ref().map(|policy| last.bind(policy)).transpose()?;
        arrivals = profile(last, rules.as_ref(), &mut tables);
    }
    let mut bands: BTreeMap<u8, Vec<Band>> = BTreeMap::new();
    for &code in &types {
        let own = match scenario.hazards.get(&code) {
            Some(hazards) => assumed(hazards),
            None => tables.get(&code).map_or_else(|| assumed(&[0.0]), pool),
        };
        bands.insert(code, own);
    }
    for [earlier, later] in ledgers.array_windows() {
        arrived(earlier, later, &types, &bands, &mut arrivals);
    }
    let rates = bands.into_iter().map(|(code, bands)| {
        let assumed = scenario.arrivals.get(&code);
        let observed = arrivals.get(&code).map(Vec::as_slice).unwrap_or_default();
        let rates = Rates {
            bands,
            hazard_basis: if scenario.hazards.contains_key(&code) { Basis::Scenario } else { basis },
            arrivals: assumed
                .map_or_else(|| mean_of(observed), |&mean| Arrivals { mean, months: f64::INFINITY, dispersion: 1.0 }),
            arrival_basis: if assumed.is_some() { Basis::Scenario } else { basis },
            other: others.get(&code).copied().unwrap_or_default(),
        };
        (code, rates)
    });
    Ok(rates.collect())
}

impl Rates {
    /// Nothing arrives, and nothing leaves.
    #[must_use]
    pub fn none() -> Self {
        Self {
            bands: assumed(&[0.0]),
            hazard_basis: Basis::Scenario,
            arrivals: mean_of(&[]),
            arrival_basis: Basis::Scenario,
            other: 0.0,
        }
    }

    /// The hazard of an age.
    #[must_use]
    pub fn hazard(&self, age: usize) -> f64 {
        self.band(age).map_or(0.0, |band| band.hazard)
    }

    /// The band of an age.
    #[must_use]
    pub fn band(&self, age: usize) -> Option<&Band> {
        self.bands.iter().rev().find(|band| band.from as usize <= age)
    }
}

/// Devices of each type that are no candidates, whatever else they are.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn non_candidates(ledger: &Ledger) -> BTreeMap<u8, f64> {
    let mut all = BTreeMap::new();
    for (cell, rows) in ledger.census.cells.iter().filter(|(cell, _)| !ledger.is_candidate(cell)) {
        *all.entry(cell.type_code).or_default() += *rows as f64;
    }
    all
}

/// Whether housekeeping has taken these devices away by now.
fn housekept(rules: Option<&Rules>, status: u8, code: u8, day: i32) -> bool {
    rules.is_some_and(|rules| {
        rules.pair(status, code) == Pair::Judge && rules.judge_date(code, Some(day_start(day))) == DateVerdict::Due
    })
}

/// Adds what became of the devices of one ledger by the next, and returns how many of each type have left.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn observe(
    earlier: &Ledger,
    later: &Ledger,
    rules: Option<&Rules>,
    tables: &mut BTreeMap<u8, LifeTable>,
) -> BTreeMap<u8, f64> {
    let gap = Gap::between(earlier.as_of, later.as_of);
    let until = day_of(earlier.as_of);
    let status = earlier.candidates.iter().next().map_or(0, crate::estate::SmiStatus::code);
    let is = by_day(later);
    let mut cohorts: BTreeMap<(u8, usize), (f64, f64)> = BTreeMap::new();
    let mut left: BTreeMap<u8, f64> = BTreeMap::new();
    for (&(code, day), &rows) in by_day(earlier).iter().filter(|((_, day), _)| *day <= until) {
        if housekept(rules, status, code, day) {
            continue;
        }
        let age = (whole_months(day_start(day), earlier.as_of) as usize).min(TABLE);
        let stayed = is.get(&(code, day)).copied().unwrap_or_default();
        let cohort = cohorts.entry((code, age)).or_default();
        *cohort = (cohort.0 + rows as f64, cohort.1 + stayed as f64);
        *left.entry(code).or_default() += rows as f64 - stayed as f64;
    }
    for ((code, age), (before, after)) in cohorts {
        let table = tables.entry(code).or_default();
        let survival = (after / before).powf(1.0 / gap.months);
        let mut exposed = before;
        for step in 0..gap.steps as usize {
            let age = (age + step).min(TABLE);
            // Of one month all is known; of several only what they have in common.
            let events = if gap.steps == 1 && (gap.months - 1.0).abs() < 1e-9 {
                before - after
            } else {
                exposed * (1.0 - survival)
            };
            table.exposure[age] += exposed;
            table.events[age] += events;
            exposed -= events;
        }
    }
    left
}

/// Adds the arrivals of each month between two ledgers: devices of the later one that are so young, and those that have
/// left since at the hazard of their age.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn arrived(
    earlier: &Ledger,
    later: &Ledger,
    types: &[u8],
    bands: &BTreeMap<u8, Vec<Band>>,
    arrivals: &mut BTreeMap<u8, Vec<f64>>,
) {
    let gap = Gap::between(earlier.as_of, later.as_of);
    let whole = whole_months(earlier.as_of, later.as_of) as usize;
    let mut young: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    for (&(code, day), &rows) in &by_day(later) {
        if day > day_of(earlier.as_of) && day <= day_of(later.as_of) {
            let age = whole_months(day_start(day), later.as_of) as usize;
            let of_type = young.entry(code).or_insert_with(|| vec![0.0; whole.max(1)]);
            let last = of_type.len() - 1;
            of_type[age.min(last)] += rows as f64;
        }
    }
    for &code in types {
        let counts = young.remove(&code).unwrap_or_else(|| vec![0.0; whole.max(1)]);
        let hazard = |age: usize| {
            bands
                .get(&code)
                .and_then(|bands| bands.iter().rev().find(|band| band.from as usize <= age))
                .map_or(0.0, |band| band.hazard)
        };
        let mut survival = 1.0;
        for (age, rows) in counts.into_iter().enumerate() {
            let months = if whole == 0 { gap.months } else { 1.0 };
            arrivals.entry(code).or_default().push(rows / f64::max(survival, 1e-6) / months);
            survival *= 1.0 - hazard(age);
        }
    }
}

/// The life table of an estate that does not change, from the ages of one ledger: those of one age become those of the
/// next. Months have different lengths, which is evened out. Returns the arrivals of each type's youngest month.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn profile(ledger: &Ledger, rules: Option<&Rules>, tables: &mut BTreeMap<u8, LifeTable>) -> BTreeMap<u8, Vec<f64>> {
    let mut arrivals = BTreeMap::new();
    let status = ledger.candidates.iter().next().map_or(0, crate::estate::SmiStatus::code);
    let today = day_of(ledger.as_of);
    let mut days = vec![0u32; TABLE + 2];
    let mut back = 0;
    loop {
        let age = whole_months(day_start(today - back), ledger.as_of) as usize;
        if age > TABLE + 1 {
            break;
        }
        days[age] += 1;
        back += 1;
    }
    for (code, ages) in ledger.ages().by_type {
        let limit =
            rules.filter(|rules| rules.pair(status, code) == Pair::Judge).map(|rules| rules.months(code) as usize);
        let even =
            |age: usize| ages.get(age).map_or(0.0, |rows| *rows as f64 * MONTH_DAYS / f64::from(days[age].max(1)));
        let table = tables.entry(code).or_default();
        for age in 0..ages.len().min(TABLE).min(limit.map_or(usize::MAX, |limit| limit.saturating_sub(1))) {
            table.exposure[age] += even(age);
            table.events[age] += even(age) - even(age + 1);
            // Both counts are uncertain, and not only which of the devices left.
            table.variance[age] += even(age) + even(age + 1);
        }
        arrivals.insert(code, vec![even(0)]);
    }
    arrivals
}

/// The bands of a life table: ages are put together until there are events enough to say something, and as long as the
/// next ones leave at a rate that chance alone may make different.
fn pool(table: &LifeTable) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for next in enough(table) {
        match bands.last_mut() {
            Some(last) if alike(last, &next) => *last = joined(last, &next),
            _ => bands.push(next),
        }
    }
    let starts: Vec<Age> = bands.iter().skip(1).map(|band| band.from).collect();
    for (band, until) in bands.iter_mut().zip(starts) {
        band.until = Some(until);
    }
    bands
}

/// Whether the hazards of two bands are no further apart than twice what chance makes of them.
fn alike(one: &Band, other: &Band) -> bool {
    let both = joined(one, other).hazard;
    let deviation = (both * (1.0 - both) * (1.0 / one.trials + 1.0 / other.trials)).sqrt();
    (one.hazard - other.hazard).abs() <= 2.0 * deviation
}

fn joined(one: &Band, other: &Band) -> Band {
    let (exposure, events) = (one.exposure + other.exposure, one.events + other.events);
    let hazard = if exposure > 0.0 { events / exposure } else { 0.0 };
    Band { from: one.from, until: None, exposure, events, hazard, trials: one.trials + other.trials }
}

/// Puts ages together until each band has events enough to say something.
fn enough(table: &LifeTable) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    let (mut from, mut exposure, mut events, mut ends) = (0, 0.0, 0.0, (0.0, 0.0));
    let oldest = table.exposure.iter().rposition(|exposure| *exposure > 0.0).unwrap_or_default();
    for age in 0..=oldest {
        exposure += table.exposure[age];
        events += table.events[age];
        if ends.0 == 0.0 {
            ends.0 = table.variance[age];
        }
        ends.1 = table.variance[age];
        if events >= EVENTS {
            bands.push(band(from, exposure, events, f64::midpoint(ends.0, ends.1)));
            (from, exposure, events, ends) = (age + 1, 0.0, 0.0, (0.0, 0.0));
        }
    }
    // What is left is too little to stand alone.
    if exposure > 0.0 {
        let rest = band(from, exposure, events, f64::midpoint(ends.0, ends.1));
        let last = bands.pop();
        bands.push(last.map_or(rest, |last| joined(&last, &rest)));
    }
    if bands.is_empty() { assumed(&[0.0]) } else { bands }
}

fn band(from: usize, exposure: f64, events: f64, variance: f64) -> Band {
    let events = events.clamp(0.0, exposure);
    let hazard = if exposure > 0.0 { events / exposure } else { 0.0 };
    // A hazard counted among n devices has the variance h (1 - h) / n; one of another variance is worth so many.
    let trials = if variance > 0.0 {
        (hazard * (1.0 - hazard) * exposure * exposure / variance).min(exposure)
    } else {
        exposure
    };
    Band { from: from as Age, until: None, exposure, events, hazard, trials }
}

fn assumed(hazards: &[f64]) -> Vec<Band> {
    let last = hazards.len().saturating_sub(1);
    let band = |(age, &hazard): (usize, &f64)| Band {
        from: age as Age,
        until: (age < last).then_some(age as Age + 1),
        exposure: 0.0,
        events: 0.0,
        hazard,
        trials: f64::INFINITY,
    };
    hazards.iter().enumerate().map(band).collect()
}

#[expect(clippy::cast_precision_loss, reason = "months are few")]
fn mean_of(observed: &[f64]) -> Arrivals {
    let months = observed.len() as f64;
    if observed.is_empty() {
        return Arrivals { mean: 0.0, months: f64::INFINITY, dispersion: 1.0 };
    }
    let mean = observed.iter().sum::<f64>() / months;
    let mut dispersion = 1.0;
    if observed.len() > 2 && mean > 0.0 {
        let variance = observed.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (months - 1.0);
        // Independent arrivals stay below this nineteen times of twenty.
        if variance / mean > 1.0 + 2.0 * (2.0 / (months - 1.0)).sqrt() {
            dispersion = variance / mean;
        }
    }
    Arrivals { mean, months, dispersion }
}
