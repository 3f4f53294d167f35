//! Life tables: exposure and events by age in months, from the cohorts of two ledgers, and the hazards that they give.
//!
//! Devices whose status has applied since the same day form a cohort. From one ledger to the next a cohort only loses
//! devices. For each age in whole months the life table has the *exposure*, the devices of that age at the earlier
//! moment, and the *events*, those of them that have left a month later; the hazard is events divided by exposure.
//! Where ledgers are not a month apart, only the departures of the whole interval are known. They are spread over the
//! ages that the cohort passed by the hazards of these ages, which are estimated in turn until they agree
//! (expectation and maximisation, Dempster, Laird and Rubin 1977).

use std::collections::BTreeMap;

use super::history::{LedgerGap, by_day};
use super::housekeeping::Truncation;
use crate::estate::time::{day_of, day_start, whole_months};
use crate::ledger::Ledger;

/// The highest age, in months, of a life table; older devices count at this age.
pub const OLDEST: usize = 240;
/// Events that a band of ages must have; ages with fewer are joined with the next.
const LEAST_EVENTS: f64 = 30.0;
/// Device-months below which ages count as never observed.
const LEAST_EXPOSURE: f64 = 10.0;
/// Rounds of expectation and maximisation.
const ROUNDS: usize = 12;

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

/// The devices of a type and age at a ledger that no policy deleted before the next, and those that are left there.
#[derive(Debug, Clone, Copy, Default)]
pub struct AgeCohort {
    /// Age in whole months at the earlier ledger.
    pub age: usize,
    /// Devices at the earlier ledger.
    pub before: f64,
    /// Those of them that are left at the later ledger.
    pub after: f64,
}

/// The cohorts of a type from one ledger to the next.
#[derive(Debug, Clone, Default)]
pub struct IntervalCohorts {
    /// The time between the ledgers, in calendar months.
    pub months: f64,
    /// The day of the earlier ledger, days since 1970-01-01.
    pub day: i32,
    /// By age, ascending.
    pub cohorts: Vec<AgeCohort>,
}

impl IntervalCohorts {
    /// Devices that left.
    #[must_use]
    pub fn left(&self) -> f64 {
        self.cohorts.iter().map(|cohort| cohort.before - cohort.after).sum()
    }
}

/// The cohorts of every type between two ledgers, by type code.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
pub fn cohorts(earlier: &Ledger, later: &Ledger, truncation: &Truncation) -> BTreeMap<u8, IntervalCohorts> {
    let gap = LedgerGap::between(earlier.as_of, later.as_of);
    let until = day_of(earlier.as_of);
    let now = by_day(later);
    let mut by_age: BTreeMap<(u8, usize), AgeCohort> = BTreeMap::new();
    for (&(code, day), &rows) in by_day(earlier).iter().filter(|((_, day), _)| *day <= until) {
        if truncation.deletes(code, day) {
            continue;
        }
        let age = (whole_months(day_start(day), earlier.as_of) as usize).min(OLDEST);
        // Devices that appear with old dates are no departures with a minus sign; they count as arrivals.
        let stayed = now.get(&(code, day)).copied().unwrap_or_default().min(rows);
        let cohort = by_age.entry((code, age)).or_insert(AgeCohort { age, ..AgeCohort::default() });
        cohort.before += rows as f64;
        cohort.after += stayed as f64;
    }
    let mut all: BTreeMap<u8, IntervalCohorts> = BTreeMap::new();
    for ((code, _), cohort) in by_age {
        let own =
            all.entry(code).or_insert_with(|| IntervalCohorts { months: gap.months, day: until, cohorts: Vec::new() });
        own.cohorts.push(cohort);
    }
    all
}

/// Exposure and events of a type by age.
#[derive(Debug, Clone)]
pub struct LifeTable {
    /// Device-months at risk, by age in months.
    pub exposure: Vec<f64>,
    /// Departures within a month, by age.
    pub events: Vec<f64>,
    /// Variance of the number of events; 0 where events are counted, so that it follows from their binomial law.
    pub variance: Vec<f64>,
}

impl Default for LifeTable {
    fn default() -> Self {
        Self { exposure: vec![0.0; OLDEST + 1], events: vec![0.0; OLDEST + 1], variance: vec![0.0; OLDEST + 1] }
    }
}

impl LifeTable {
    /// The life table of some intervals.
    #[must_use]
    pub fn of(intervals: &[&IntervalCohorts]) -> Self {
        let monthly = intervals.iter().all(|interval| (interval.months - 1.0).abs() < 1e-9);
        let mut table = Self::default();
        for round in 0..if monthly { 1 } else { ROUNDS } {
            let hazards = (round > 0).then(|| table.hazards());
            table = Self::default();
            for interval in intervals {
                for cohort in &interval.cohorts {
                    table.add(cohort, interval.months, hazards.as_deref());
                }
            }
        }
        table
    }

    fn hazards(&self) -> Vec<f64> {
        self.exposure.iter().zip(&self.events).map(|(exposure, events)| quotient(*events, *exposure)).collect()
    }

    /// Adds a cohort that was observed for so many months. `hazards` spread its departures over its ages; without
    /// them, every month has the same hazard.
    fn add(&mut self, cohort: &AgeCohort, months: f64, hazards: Option<&[f64]>) {
        let events = cohort.before - cohort.after;
        let same = 1.0 - quotient(cohort.after, cohort.before).powf(1.0 / months);
        let steps = (months - 1e-9).ceil().max(1.0) as usize;
        let mut parts = Vec::with_capacity(steps);
        let mut alive = 1.0;
        for step in 0..steps {
            let age = (cohort.age + step).min(OLDEST);
            #[expect(clippy::cast_precision_loss, reason = "months are few")]
            let weight = (months - step as f64).min(1.0);
            let hazard = hazards.map_or(same, |hazards| hazards[age]).clamp(0.0, 0.999);
            let leaves = 1.0 - (1.0 - hazard).powf(weight);
            // A part of a month counts as the exposure in which a whole month's hazard has the same events.
            let exposed = if hazard > 1e-12 { leaves / hazard } else { weight };
            parts.push((age, alive * leaves, exposed));
            alive *= 1.0 - leaves;
        }
        let all: f64 = parts.iter().map(|part| part.1).sum();
        let mut left = cohort.before;
        let count = parts.len();
        for (age, share, exposed) in parts {
            #[expect(clippy::cast_precision_loss, reason = "months are few")]
            let own = if all > 0.0 { events * share / all } else { events / count as f64 };
            self.exposure[age] += left * exposed;
            self.events[age] += own;
            left -= own;
        }
    }

    /// The first age, in months, from which on nearly no device was observed.
    #[must_use]
    pub fn observed_until(&self) -> u32 {
        let mut sum = 0.0;
        let last = (0..=OLDEST).rev().find(|age| {
            sum += self.exposure[*age];
            sum >= LEAST_EXPOSURE
        });
        last.map_or(0, |age| age as u32 + 1)
    }

    /// Bands of ages: neighbouring ages are joined until a band has [`LEAST_EVENTS`], and bands whose hazards do not
    /// differ significantly are joined too.
    #[must_use]
    pub fn bands(&self) -> Vec<AgeBand> {
        let mut bands: Vec<AgeBand> = Vec::new();
        for next in self.with_enough_events() {
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

    /// Joins ages until each band has [`LEAST_EVENTS`].
    fn with_enough_events(&self) -> Vec<AgeBand> {
        let mut bands: Vec<AgeBand> = Vec::new();
        let (mut from, mut exposure, mut events, mut ends) = (0, 0.0, 0.0, (0.0, 0.0));
        let oldest = self.exposure.iter().rposition(|exposure| *exposure > 0.0).unwrap_or_default();
        for age in 0..=oldest {
            exposure += self.exposure[age];
            events += self.events[age];
            if ends.0 == 0.0 {
                ends.0 = self.variance[age];
            }
            ends.1 = self.variance[age];
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

    /// How the hazard changes beyond the observed ages: the exponent of `age + 1` in a power law (Weibull's), and its
    /// standard deviation. It is taken from the observed ages, and no data show whether it goes on.
    #[must_use]
    pub fn slope(&self) -> (f64, f64) {
        let mut sums = [0.0; 5];
        let oldest = self.observed_until();
        for band in self.bands().iter().filter(|band| band.events >= LEAST_EVENTS) {
            let until = band.until.unwrap_or(oldest).max(band.from + 1);
            let middle = f64::from(band.from + until - 1) / 2.0;
            let (x, y) = ((middle + 1.0).ln(), band.hazard.max(1e-9).ln());
            for (sum, own) in sums.iter_mut().zip([1.0, x, y, x * x, x * y]) {
                *sum += own;
            }
        }
        let [all, x, y, xx, xy] = sums;
        let spread = all * xx - x * x;
        if all <= 0.0 || spread / (all * all) < 0.05 {
            return (0.0, LEAST_SLOPE_DEVIATION);
        }
        let slope = ((all * xy - x * y) / spread).clamp(-2.0, 1.0);
        (slope * SLOPE_KEPT, LEAST_SLOPE_DEVIATION.max(slope.abs() * SLOPE_DEVIATION))
    }
}

/// The part of the observed change with age that is taken to go on beyond the observed ages.
const SLOPE_KEPT: f64 = 0.75;
/// The standard deviation of the exponent, as a part of the observed one.
const SLOPE_DEVIATION: f64 = 0.6;
/// The standard deviation of the exponent at least. With an observed exponent of -0.7, which is usual where easy
/// installations come first, the 80 % band reaches from hazards that stay as they are to hazards that halve while the
/// age doubles.
const LEAST_SLOPE_DEVIATION: f64 = 0.55;

fn quotient(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
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

/// Bands of assumed hazards, by age in months; the last is for all higher ages.
#[must_use]
pub fn assumed(hazards: &[f64]) -> Vec<AgeBand> {
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

/// The band of an age in months.
#[must_use]
pub fn band_of(bands: &[AgeBand], age: usize) -> Option<&AgeBand> {
    bands.iter().rev().find(|band| band.from as usize <= age)
}
