//! Arrivals and hazards by type and age: estimated from ledgers by a life table, or assumed.
//!
//! Devices whose status has applied since the same day form a cohort. From one ledger to the next a cohort only loses
//! devices. For each age in whole months the life table has the *exposure*, the devices of that age at the earlier
//! moment, and the *events*, those of them that have left at the later moment; the hazard is events divided by
//! exposure. Devices whose status is younger than the earlier moment have arrived in between.
//!
//! Ledgers hold counts, so some things cannot be observed: devices that arrived and left between two ledgers (arrivals
//! are net of them), and why a device left Pending (installed, withdrawn, or set to Pending again, which moves it to
//! another cohort). Devices that housekeeping deleted are left out of the table where the scenario names the policy
//! that was in force.

use std::collections::BTreeMap;

use super::history::{LedgerGap, by_day};
use super::scenario::Scenario;
use super::strata::candidate_status;
use crate::error::Result;
use crate::estate::time::{day_of, day_start, whole_months};
use crate::ledger::Ledger;
use crate::policy::{Pair, Rules};

/// The highest age, in months, of a life table; older devices count at this age.
const OLDEST: usize = 240;
/// Events that a band of ages must have; ages with fewer are joined with the next.
const LEAST_EVENTS: f64 = 30.0;
/// Days of a month on average.
const MONTH_DAYS: f64 = 30.4375;

/// How a rate was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateBasis {
    /// Estimated from two or more ledgers by a life table.
    LifeTable,
    /// Estimated from the ages in one ledger, as if the estate were stationary.
    AgeProfile,
    /// Given by the scenario.
    Scenario,
}

impl RateBasis {
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LifeTable => "ledgers",
            Self::AgeProfile => "age profile",
            Self::Scenario => "scenario",
        }
    }
}

/// A band of ages with one hazard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgeBand {
    /// The first age, in months.
    pub from: u32,
    /// The first age after the band; `None` for the last band.
    pub until: Option<u32>,
    /// Device-months at risk.
    pub exposure: f64,
    /// Devices that left within the month.
    pub events: f64,
    /// Probability to leave within a month, 0 to 1.
    pub hazard: f64,
    /// Binomial trials with the same variance as the estimate; infinite if the hazard is assumed.
    pub trials: f64,
}

/// Arrivals of a type by month, net of devices that left before the month's end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArrivalRate {
    /// Mean number of devices in a month.
    pub mean: f64,
    /// Observed months; infinite if the mean is assumed.
    pub months: f64,
    /// Variance divided by mean: 1 for a Poisson process.
    pub dispersion: f64,
}

/// Hazards and arrivals of a type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeRates {
    /// Hazards by age, ascending. The first band begins at age 0, the last has no end.
    pub bands: Vec<AgeBand>,
    /// How the hazards were obtained.
    pub hazard_basis: RateBasis,
    /// Arrivals.
    pub arrivals: ArrivalRate,
    /// How the arrivals were obtained.
    pub arrival_basis: RateBasis,
    /// Monthly change of the rows in other statuses, besides candidates that leave: Type 2 devices, and devices that
    /// arrived and left between two ledgers. Negative where the inventory loses rows.
    pub other: f64,
}

/// Exposure and events of a type by age.
#[derive(Debug, Clone)]
struct LifeTable {
    exposure: Vec<f64>,
    events: Vec<f64>,
    /// Variance of the number of events; 0 where events are counted, so that it follows from their binomial law.
    variance: Vec<f64>,
}

impl Default for LifeTable {
    fn default() -> Self {
        Self { exposure: vec![0.0; OLDEST + 1], events: vec![0.0; OLDEST + 1], variance: vec![0.0; OLDEST + 1] }
    }
}

/// Estimates the rates of every type, by type code. The ledgers must be in order
/// ([`in_order`](super::history::in_order)). Rates that the scenario gives replace estimates.
///
/// # Errors
/// A `[history]` policy that needs counts which the ledgers do not have.
pub fn estimate(ledgers: &[Ledger], scenario: &Scenario) -> Result<BTreeMap<u8, TypeRates>> {
    let Some(last) = ledgers.last() else { return Ok(BTreeMap::new()) };
    let mut tables: BTreeMap<u8, LifeTable> = BTreeMap::new();
    let mut arrivals: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    let mut others: BTreeMap<u8, f64> = BTreeMap::new();
    let basis = if ledgers.len() > 1 { RateBasis::LifeTable } else { RateBasis::AgeProfile };
    let types: Vec<u8> = last.types.iter().map(|(device_type, _)| device_type.code()).collect();
    for [earlier, later] in ledgers.array_windows() {
        let rules = scenario.history.as_ref().map(|policy| later.bind(policy)).transpose()?;
        let left = add_departures(earlier, later, rules.as_ref(), &mut tables);
        let months = LedgerGap::between(ledgers[0].as_of, last.as_of).months;
        let (was, is) = (non_candidates(earlier), non_candidates(later));
        for &code in &types {
            let of = |counts: &BTreeMap<u8, f64>| counts.get(&code).copied().unwrap_or_default();
            *others.entry(code).or_default() += (of(&is) - of(&was) - of(&left)) / months;
        }
    }
    if basis == RateBasis::AgeProfile {
        let rules = scenario.history.as_ref().map(|policy| last.bind(policy)).transpose()?;
        arrivals = profile(last, rules.as_ref(), &mut tables);
    }
    let mut bands: BTreeMap<u8, Vec<AgeBand>> = BTreeMap::new();
    for &code in &types {
        let own = match scenario.hazards.get(&code) {
            Some(hazards) => assumed(hazards),
            None => tables.get(&code).map_or_else(|| assumed(&[0.0]), bands_of),
        };
        bands.insert(code, own);
    }
    for [earlier, later] in ledgers.array_windows() {
        add_arrivals(earlier, later, &types, &bands, &mut arrivals);
    }
    let rates = bands.into_iter().map(|(code, bands)| {
        let assumed = scenario.arrivals.get(&code);
        let observed = arrivals.get(&code).map(Vec::as_slice).unwrap_or_default();
        let rates = TypeRates {
            bands,
            hazard_basis: if scenario.hazards.contains_key(&code) { RateBasis::Scenario } else { basis },
            arrivals: assumed.map_or_else(
                || mean_of(observed),
                |&mean| ArrivalRate { mean, months: f64::INFINITY, dispersion: 1.0 },
            ),
            arrival_basis: if assumed.is_some() { RateBasis::Scenario } else { basis },
            other: others.get(&code).copied().unwrap_or_default(),
        };
        (code, rates)
    });
    Ok(rates.collect())
}

impl TypeRates {
    /// No arrivals and no departures.
    #[must_use]
    pub fn none() -> Self {
        Self {
            bands: assumed(&[0.0]),
            hazard_basis: RateBasis::Scenario,
            arrivals: mean_of(&[]),
            arrival_basis: RateBasis::Scenario,
            other: 0.0,
        }
    }

    /// The hazard at an age in months.
    #[must_use]
    pub fn hazard(&self, age: usize) -> f64 {
        self.band(age).map_or(0.0, |band| band.hazard)
    }

    /// The band of an age in months.
    #[must_use]
    pub fn band(&self, age: usize) -> Option<&AgeBand> {
        band_of(&self.bands, age)
    }
}

fn band_of(bands: &[AgeBand], age: usize) -> Option<&AgeBand> {
    bands.iter().rev().find(|band| band.from as usize <= age)
}

/// Devices that are not candidates, by type code.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn non_candidates(ledger: &Ledger) -> BTreeMap<u8, f64> {
    let mut all = BTreeMap::new();
    for (cell, rows) in ledger.counts.cells.iter().filter(|(cell, _)| !ledger.is_candidate(cell)) {
        *all.entry(cell.type_code).or_default() += *rows as f64;
    }
    all
}

/// Whether housekeeping under `rules` has deleted candidates of a type and day by now.
fn housekept(rules: Option<&Rules>, status_code: u8, type_code: u8, day: i32) -> bool {
    rules.is_some_and(|rules| rules.is_due(status_code, type_code, Some(day_start(day))))
}

/// Adds exposure and events between two ledgers to the life tables, and returns the departures by type code.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn add_departures(
    earlier: &Ledger,
    later: &Ledger,
    rules: Option<&Rules>,
    tables: &mut BTreeMap<u8, LifeTable>,
) -> BTreeMap<u8, f64> {
    let gap = LedgerGap::between(earlier.as_of, later.as_of);
    let until = day_of(earlier.as_of);
    let status = candidate_status(earlier);
    let now = by_day(later);
    let mut cohorts: BTreeMap<(u8, usize), (f64, f64)> = BTreeMap::new();
    let mut left: BTreeMap<u8, f64> = BTreeMap::new();
    for (&(code, day), &rows) in by_day(earlier).iter().filter(|((_, day), _)| *day <= until) {
        if housekept(rules, status, code, day) {
            continue;
        }
        let age = (whole_months(day_start(day), earlier.as_of) as usize).min(OLDEST);
        let stayed = now.get(&(code, day)).copied().unwrap_or_default();
        let cohort = cohorts.entry((code, age)).or_default();
        *cohort = (cohort.0 + rows as f64, cohort.1 + stayed as f64);
        *left.entry(code).or_default() += rows as f64 - stayed as f64;
    }
    for ((code, age), (before, after)) in cohorts {
        let table = tables.entry(code).or_default();
        let survival = (after / before).powf(1.0 / gap.months);
        let mut exposed = before;
        for step in 0..gap.steps as usize {
            let age = (age + step).min(OLDEST);
            // Events of one month are counted. Over several months only their total is known, and the hazard is taken
            // to be the same in each.
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

/// Adds the arrivals of each month between two ledgers: the young devices of the later ledger, divided by their
/// survival since arrival.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn add_arrivals(
    earlier: &Ledger,
    later: &Ledger,
    types: &[u8],
    bands: &BTreeMap<u8, Vec<AgeBand>>,
    arrivals: &mut BTreeMap<u8, Vec<f64>>,
) {
    let gap = LedgerGap::between(earlier.as_of, later.as_of);
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
        let bands = bands.get(&code).map(Vec::as_slice).unwrap_or_default();
        let mut survival = 1.0;
        for (age, rows) in counts.into_iter().enumerate() {
            let months = if whole == 0 { gap.months } else { 1.0 };
            arrivals.entry(code).or_default().push(rows / f64::max(survival, 1e-6) / months);
            survival *= 1.0 - band_of(bands, age).map_or(0.0, |band| band.hazard);
        }
    }
}

/// The life table of a stationary estate, from the ages of one ledger: the devices of one age are the survivors of the
/// age before. Counts are scaled to months of equal length. Returns the arrivals of the last month by type code.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn profile(ledger: &Ledger, rules: Option<&Rules>, tables: &mut BTreeMap<u8, LifeTable>) -> BTreeMap<u8, Vec<f64>> {
    let mut arrivals = BTreeMap::new();
    let status = candidate_status(ledger);
    let today = day_of(ledger.as_of);
    let mut days = vec![0u32; OLDEST + 2];
    let mut back = 0;
    loop {
        let age = whole_months(day_start(today - back), ledger.as_of) as usize;
        if age > OLDEST + 1 {
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
        for age in 0..ages.len().min(OLDEST).min(limit.map_or(usize::MAX, |limit| limit.saturating_sub(1))) {
            table.exposure[age] += even(age);
            table.events[age] += even(age) - even(age + 1);
            // Both counts vary, so the variance of their difference is larger than that of counted events.
            table.variance[age] += even(age) + even(age + 1);
        }
        arrivals.insert(code, vec![even(0)]);
    }
    arrivals
}

/// The bands of a life table: neighbouring ages are joined until a band has [`LEAST_EVENTS`], and bands whose hazards
/// do not differ significantly are joined too.
fn bands_of(table: &LifeTable) -> Vec<AgeBand> {
    let mut bands: Vec<AgeBand> = Vec::new();
    for next in with_enough_events(table) {
        match bands.last_mut() {
            Some(last) if similar(last, &next) => *last = joined(last, &next),
            _ => bands.push(next),
        }
    }
    let starts: Vec<u32> = bands.iter().skip(1).map(|band| band.from).collect();
    for (band, until) in bands.iter_mut().zip(starts) {
        band.until = Some(until);
    }
    bands
}

/// Whether the hazards of two bands differ by no more than two standard deviations.
fn similar(one: &AgeBand, other: &AgeBand) -> bool {
    let both = joined(one, other).hazard;
    let deviation = (both * (1.0 - both) * (1.0 / one.trials + 1.0 / other.trials)).sqrt();
    (one.hazard - other.hazard).abs() <= 2.0 * deviation
}

fn joined(one: &AgeBand, other: &AgeBand) -> AgeBand {
    let (exposure, events) = (one.exposure + other.exposure, one.events + other.events);
    let hazard = if exposure > 0.0 { events / exposure } else { 0.0 };
    AgeBand { from: one.from, until: None, exposure, events, hazard, trials: one.trials + other.trials }
}

/// Joins ages until each band has [`LEAST_EVENTS`].
fn with_enough_events(table: &LifeTable) -> Vec<AgeBand> {
    let mut bands: Vec<AgeBand> = Vec::new();
    let (mut from, mut exposure, mut events, mut ends) = (0, 0.0, 0.0, (0.0, 0.0));
    let oldest = table.exposure.iter().rposition(|exposure| *exposure > 0.0).unwrap_or_default();
    for age in 0..=oldest {
        exposure += table.exposure[age];
        events += table.events[age];
        if ends.0 == 0.0 {
            ends.0 = table.variance[age];
        }
        ends.1 = table.variance[age];
        if events >= LEAST_EVENTS {
            bands.push(band(from, exposure, events, f64::midpoint(ends.0, ends.1)));
            (from, exposure, events, ends) = (age + 1, 0.0, 0.0, (0.0, 0.0));
        }
    }
    // The oldest ages have too few events for a band of their own.
    if exposure > 0.0 {
        let rest = band(from, exposure, events, f64::midpoint(ends.0, ends.1));
        let last = bands.pop();
        bands.push(last.map_or(rest, |last| joined(&last, &rest)));
    }
    if bands.is_empty() { assumed(&[0.0]) } else { bands }
}

fn band(from: usize, exposure: f64, events: f64, variance: f64) -> AgeBand {
    let events = events.clamp(0.0, exposure);
    let hazard = if exposure > 0.0 { events / exposure } else { 0.0 };
    // A hazard counted among n devices has the variance h (1 - h) / n. Solved for n, it gives the equivalent trials.
    let trials = if variance > 0.0 {
        (hazard * (1.0 - hazard) * exposure * exposure / variance).min(exposure)
    } else {
        exposure
    };
    AgeBand { from: from as u32, until: None, exposure, events, hazard, trials }
}

fn assumed(hazards: &[f64]) -> Vec<AgeBand> {
    let last = hazards.len().saturating_sub(1);
    let band = |(age, &hazard): (usize, &f64)| AgeBand {
        from: age as u32,
        until: (age < last).then_some(age as u32 + 1),
        exposure: 0.0,
        events: 0.0,
        hazard,
        trials: f64::INFINITY,
    };
    hazards.iter().enumerate().map(band).collect()
}

#[expect(clippy::cast_precision_loss, reason = "months are few")]
fn mean_of(observed: &[f64]) -> ArrivalRate {
    let months = observed.len() as f64;
    if observed.is_empty() {
        return ArrivalRate { mean: 0.0, months: f64::INFINITY, dispersion: 1.0 };
    }
    let mean = observed.iter().sum::<f64>() / months;
    let mut dispersion = 1.0;
    if observed.len() > 2 && mean > 0.0 {
        let variance = observed.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (months - 1.0);
        // The 95 % limit of variance divided by mean for a Poisson process.
        if variance / mean > 1.0 + 2.0 * (2.0 / (months - 1.0)).sqrt() {
            dispersion = variance / mean;
        }
    }
    ArrivalRate { mean, months, dispersion }
}
