//! Simulated futures: every cohort moves forward month by month, and each month gives the figures of each policy.
//!
//! One future is used for all policies, because arrivals and departures do not depend on which old devices housekeeping
//! deletes. Under a policy with a threshold of m months, devices that reach the age of m months are deleted.
//! Differences between policies are taken within one future, so that they do not contain the randomness that both
//! share.
//!
//! Each future draws its own rates from the uncertainty of the estimates: hazards from a Beta, arrivals from a Gamma
//! distribution. Types are simulated one after the other, so that memory holds the futures of one type at a time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Beta, Binomial, Distribution, Gamma, Poisson};

use super::rates::{AgeBand, ArrivalRate, TypeRates};
use super::scenario::Scenario;
use super::strata::{PolicyEffect, StartingEstate, Stratum};
use crate::error::{Error, Result};
use crate::estate::DeviceType;
use crate::policy::Rules;
use crate::pool::Pool;
use crate::progress::Progress;

/// Futures that a worker simulates at a time.
const CHUNK: u32 = 20;

/// A figure that is forecast for a type, a policy and a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum ForecastMeasure {
    /// Candidates in the inventory after housekeeping of the month.
    Pending,
    /// Deletions of the month.
    Deleted,
    /// Deletions of the month that raise an alert.
    Alerts,
    /// Devices past their threshold that are kept because their type is excluded.
    Retained,
    /// Rows in the inventory, of all statuses.
    Rows,
}

impl ForecastMeasure {
    /// Every measure, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Deleted, Self::Alerts, Self::Retained, Self::Rows];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Deleted => "deleted",
            Self::Alerts => "alerts",
            Self::Retained => "retained",
            Self::Rows => "rows",
        }
    }
}

/// Number of figures for each policy and month.
pub const MEASURES: usize = ForecastMeasure::ALL.len();

/// One type in one future: for each policy, each month (0 first) and each [`ForecastMeasure`] its figure, in this
/// order.
pub type SimulatedFuture = Vec<i64>;

/// Factors on the rates of a type in a month, from growth and changes of the scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateFactors {
    /// Factor on arrivals.
    pub arrivals: f64,
    /// Factor on the hazard.
    pub hazard: f64,
}

/// The input of all futures.
pub struct Simulation<'a> {
    /// The estate at month 0.
    pub start: &'a StartingEstate,
    /// Months, changes, number of futures, and seed.
    pub scenario: &'a Scenario,
    /// The policies, bound to the moment of the ledger.
    pub rules: &'a [Rules],
    /// For each policy its effect on each stratum.
    pub effects: Vec<Vec<PolicyEffect>>,
    /// Reports interruptions.
    pub progress: &'a dyn Progress,
}

impl Simulation<'_> {
    /// The threshold of a type under a policy, in months, as an index into ages.
    #[must_use]
    pub fn threshold(&self, policy: usize, type_code: u8) -> usize {
        (self.rules[policy].months(type_code) as usize).min(self.start.oldest)
    }

    /// The factors on the rates of a type in a month, from month 1.
    #[must_use]
    pub fn factors(&self, type_code: u8, month: u32) -> RateFactors {
        let growth = (1.0 + self.scenario.growth).powf(f64::from(month) / 12.0);
        let changes = self.scenario.changes.iter().filter(|change| {
            change.from <= month && DeviceType::from_code(type_code).is_some_and(|own| change.types.contains(own))
        });
        changes.fold(RateFactors { arrivals: growth, hazard: 1.0 }, |factors, change| RateFactors {
            arrivals: factors.arrivals * change.arrivals,
            hazard: factors.hazard * change.hazard,
        })
    }

    /// Every future of a type. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// An interruption.
    pub fn futures(&self, type_code: u8, rates: &TypeRates, pool: &Pool) -> Result<Vec<SimulatedFuture>> {
        let factors: Vec<RateFactors> =
            (1..=self.scenario.months).map(|month| self.factors(type_code, month)).collect();
        let chunks: Vec<u32> = (0..self.scenario.simulations).step_by(CHUNK as usize).collect();
        let futures = pool.map(chunks, |first| {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let until = self.scenario.simulations.min(first + CHUNK);
            Ok::<_, Error>((first..until).map(|future| self.future(type_code, rates, &factors, future)).collect())
        })?;
        Ok(futures.into_iter().flat_map(|futures: Vec<SimulatedFuture>| futures).collect())
    }

    fn future(&self, type_code: u8, rates: &TypeRates, factors: &[RateFactors], number: u32) -> SimulatedFuture {
        // A random stream for each future and type: the same numbers whichever worker draws them, and when.
        let mut rng = ChaCha8Rng::seed_from_u64(self.scenario.seed);
        rng.set_stream(u64::from(number) << 8 | u64::from(type_code));
        let hazards = draw_hazards(&rates.bands, self.start.oldest, &mut rng);
        let mean = draw_mean(rates.arrivals, &mut rng);
        let mut strata: Vec<SimulatedStratum<'_>> = (self.start.strata.iter().enumerate())
            .filter(|(_, stratum)| stratum.key.type_code == type_code)
            .map(|(index, stratum)| SimulatedStratum::new(index, stratum))
            .collect();
        let mut others: Vec<f64> = vec![count(self.start.others.get(&type_code)); self.rules.len()];
        let months = factors.len() + 1;
        let mut out = vec![0; self.rules.len() * months * MEASURES];
        for month in 0..months {
            if let Some(factors) = month.checked_sub(1).map(|before| factors[before]) {
                let arrivals = draw_arrivals(mean * factors.arrivals, rates.arrivals.dispersion, &mut rng);
                step_all(&mut strata, arrivals, &hazards, factors.hazard, &mut rng);
                for (policy, others) in others.iter_mut().enumerate() {
                    let threshold = self.threshold(policy, type_code);
                    for stratum in &strata {
                        *others += stratum.departures(self.effects[policy][stratum.index], threshold);
                    }
                    *others += rates.other;
                }
            }
            for (policy, others) in others.iter().enumerate() {
                let own = &mut out[(policy * months + month) * MEASURES..][..MEASURES];
                self.read_month(policy, type_code, (&strata, *others, month == 0), own);
            }
        }
        out
    }

    /// The figures of a policy in a month, from the strata, the rows of other statuses, and whether it is month 0.
    fn read_month(
        &self,
        policy: usize,
        type_code: u8,
        (strata, others, first): (&[SimulatedStratum<'_>], f64, bool),
        out: &mut [i64],
    ) {
        let threshold = self.threshold(policy, type_code);
        for stratum in strata {
            stratum.add_figures(self.effects[policy][stratum.index], threshold, first, out);
        }
        out[ForecastMeasure::Pending as usize] +=
            self.start.undated.get(&type_code).copied().unwrap_or_default() as i64;
        out[ForecastMeasure::Rows as usize] = out[ForecastMeasure::Pending as usize] + others.max(0.0).round() as i64;
    }
}

/// A month passes for all strata of a type. Arrivals are split by the strata's shares.
fn step_all(strata: &mut [SimulatedStratum<'_>], arrivals: u64, hazards: &[f64], factor: f64, rng: &mut ChaCha8Rng) {
    // A multinomial split as a chain of binomial ones: each stratum takes its share of the remaining arrivals.
    let (mut left, mut share_left) = (arrivals, 1.0);
    for stratum in strata {
        let share = if share_left > 0.0 { (stratum.stratum.share / share_left).min(1.0) } else { 0.0 };
        let own = binomial(left, share, rng);
        share_left -= stratum.stratum.share;
        left -= own;
        stratum.step(own, hazards, factor, rng);
    }
}

/// A stratum in one future, without any housekeeping.
struct SimulatedStratum<'a> {
    index: usize,
    stratum: &'a Stratum,
    /// Devices by age in months; the last entry is of that age or older.
    ages: Vec<u64>,
    /// Departures of the last month, by the age at departure.
    departed: Vec<u64>,
}

impl<'a> SimulatedStratum<'a> {
    fn new(index: usize, stratum: &'a Stratum) -> Self {
        Self { index, stratum, ages: stratum.ages.clone(), departed: vec![0; stratum.ages.len()] }
    }

    /// A month passes: devices leave at their hazard times `factor`, the rest become a month older.
    fn step(&mut self, arrivals: u64, hazards: &[f64], factor: f64, rng: &mut ChaCha8Rng) {
        let oldest = self.ages.len() - 1;
        let mut kept_oldest = 0;
        for age in (0..=oldest).rev() {
            let here = self.ages[age];
            let left = if here == 0 { 0 } else { binomial(here, (hazards[age] * factor).clamp(0.0, 1.0), rng) };
            self.departed[age] = left;
            if age == oldest {
                kept_oldest = here - left;
            } else {
                self.ages[age + 1] = here - left;
            }
        }
        self.ages[oldest] += kept_oldest;
        self.ages[0] = arrivals;
    }

    /// Adds the figures of a policy in this month. In month 0 all devices past the threshold are deleted.
    fn add_figures(&self, effect: PolicyEffect, threshold: usize, first: bool, out: &mut [i64]) {
        let old: u64 = self.ages[threshold..].iter().sum();
        let young: u64 = self.ages[..threshold].iter().sum();
        let reached = if first { old } else { self.ages[threshold] } as i64;
        out[ForecastMeasure::Pending as usize] += if effect.keeps() { young + old } else { young } as i64;
        match effect {
            PolicyEffect::Retain => out[ForecastMeasure::Retained as usize] += old as i64,
            PolicyEffect::DeleteWithAlert => {
                out[ForecastMeasure::Deleted as usize] += reached;
                out[ForecastMeasure::Alerts as usize] += reached;
            }
            PolicyEffect::DeleteSilently => out[ForecastMeasure::Deleted as usize] += reached,
            PolicyEffect::Quarantine => {}
        }
    }

    /// Departures of this month among the devices that the policy had not deleted before.
    #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
    fn departures(&self, effect: PolicyEffect, threshold: usize) -> f64 {
        let departed = if effect.keeps() { &self.departed[..] } else { &self.departed[..threshold] };
        departed.iter().sum::<u64>() as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn count(rows: Option<&u64>) -> f64 {
    rows.copied().unwrap_or_default() as f64
}

/// A hazard for each age up to `oldest`, drawn from the posterior of each band.
fn draw_hazards(bands: &[AgeBand], oldest: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut hazards = Vec::with_capacity(oldest + 1);
    for band in bands {
        let drawn = if band.trials.is_finite() && band.trials > 0.0 {
            let (gone, stayed) = (band.hazard * band.trials, (1.0 - band.hazard) * band.trials);
            // Jeffreys' prior: half an event and half a survivor are added to those observed.
            Beta::new(gone + 0.5, stayed + 0.5).map_or(band.hazard, |beta| beta.sample(rng))
        } else {
            band.hazard
        };
        let until = band.until.map_or(oldest + 1, |until| (until as usize).min(oldest + 1));
        hazards.resize(until.max(hazards.len()), drawn);
    }
    hazards.resize(oldest + 1, hazards.last().copied().unwrap_or_default());
    hazards
}

/// A mean of the monthly arrivals; the assumed one where it was not observed.
fn draw_mean(arrivals: ArrivalRate, rng: &mut ChaCha8Rng) -> f64 {
    if !arrivals.months.is_finite() || arrivals.months <= 0.0 {
        return arrivals.mean;
    }
    // The posterior of the mean, given the observed months and their dispersion.
    let shape = arrivals.mean * arrivals.months / arrivals.dispersion + 0.5;
    Gamma::new(shape, arrivals.dispersion / arrivals.months).map_or(arrivals.mean, |gamma| gamma.sample(rng))
}

/// Arrivals of a month: Poisson, or with a Gamma-distributed mean where the observed months vary more than that.
fn draw_arrivals(mean: f64, dispersion: f64, rng: &mut ChaCha8Rng) -> u64 {
    let mean = if dispersion > 1.0 && mean > 0.0 {
        Gamma::new(mean / (dispersion - 1.0), dispersion - 1.0).map_or(mean, |gamma| gamma.sample(rng))
    } else {
        mean
    };
    Poisson::new(mean).map_or(0, |poisson| poisson.sample(rng) as u64)
}

/// Successes among `trials` that succeed with probability `share`.
fn binomial(trials: u64, share: f64, rng: &mut ChaCha8Rng) -> u64 {
    if share >= 1.0 {
        return trials;
    }
    if trials == 0 || share <= 0.0 {
        return 0;
    }
    Binomial::new(trials, share).map_or(0, |binomial| binomial.sample(rng)).min(trials)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::estate::time::{day_of, parse};
    use crate::estate::{SmiStatus, TypeNames};
    use crate::forecast::rates::RateBasis;
    use crate::forecast::strata;
    use crate::ledger::count::{CandidateCounts, RowClass};
    use crate::ledger::{Ledger, StoredSize};
    use crate::policy::Policy;
    use crate::progress::NoProgress;
    use crate::scan::Parties;

    /// A ledger of meters by age in days, and of commissioned ones.
    fn ledger(days: &[(i32, u64)], others: u64) -> Ledger {
        let as_of = parse("2026-11-01").unwrap();
        let cell = |status: SmiStatus, day: Option<i32>| RowClass {
            type_code: DeviceType::ESME.code(),
            status_code: status.code(),
            day,
            party: Parties::NONE,
            region: Parties::NONE,
            role: None,
            flaw: None,
        };
        let pending = days.iter().map(|&(days, rows)| (cell(SmiStatus::Pending, Some(day_of(as_of) - days)), rows));
        let mut cells: Vec<(RowClass, u64)> = pending.collect();
        cells.push((cell(SmiStatus::Commissioned, None), others));
        Ledger {
            name: "ledger".into(),
            estate: None,
            synthetic: true,
            as_of,
            types: TypeNames::default(),
            candidates: [SmiStatus::Pending].into_iter().collect(),
            counts: CandidateCounts { cells, whole_days: true, ..CandidateCounts::default() },
            size: StoredSize::default(),
            sources: Vec::new(),
        }
    }

    fn rates(hazard: f64, arrivals: f64, other: f64) -> TypeRates {
        let band = AgeBand { from: 0, until: None, exposure: 0.0, events: 0.0, hazard, trials: 50.0 };
        let arrivals = ArrivalRate { mean: arrivals, months: 6.0, dispersion: 1.5 };
        TypeRates {
            bands: vec![band],
            hazard_basis: RateBasis::LifeTable,
            arrivals,
            arrival_basis: RateBasis::LifeTable,
            other,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Within one future, rows plus deletions so far are the same for every policy: no device is lost or counted
        /// twice.
        #[test]
        fn rows_and_deletions_add_up_to_the_same_under_every_policy(
            days in prop::collection::vec((0i32..2500, 0u64..500), 0..12),
            others in 0u64..10_000,
            hazard in 0.0f64..1.0,
            arrivals in 0.0f64..300.0,
            months in prop::collection::vec(1u32..60, 1..4),
            seed in any::<u32>(),
        ) {
            let ledger = ledger(&days, others);
            let mut policies = vec![Policy::load("secmp0060").unwrap()];
            for months in months {
                let mut policy = Policy::load("pre-change").unwrap();
                policy.thresholds.default = months;
                policies.push(policy.clone());
                policy.exclude = [DeviceType::ESME].into_iter().collect();
                policies.push(policy);
            }
            let scenario = Scenario { months: 30, simulations: 10, seed: seed.into(), policies, ..Scenario::default() };
            let rules = strata::bind(&ledger, &scenario.policies).unwrap();
            let start = StartingEstate::new(&ledger, &scenario.policies);
            let effects = rules
                .iter()
                .map(|rules| start.strata.iter().map(|own| PolicyEffect::of(&ledger, rules, own.key)).collect())
                .collect();
            let simulation =
                Simulation { start: &start, scenario: &scenario, rules: &rules, effects, progress: &NoProgress };
            let futures = simulation.futures(DeviceType::ESME.code(), &rates(hazard, arrivals, 7.0), &Pool::new(Some(1))).unwrap();
            let months = scenario.months as usize + 1;
            for future in &futures {
                let mut deleted: BTreeMap<usize, i64> = BTreeMap::new();
                for month in 0..months {
                    let mut sums = Vec::new();
                    for policy in 0..rules.len() {
                        let own = &future[(policy * months + month) * MEASURES..][..MEASURES];
                        prop_assert!(own.iter().all(|number| *number >= 0));
                        prop_assert!(own[ForecastMeasure::Alerts as usize] <= own[ForecastMeasure::Deleted as usize]);
                        prop_assert!(own[ForecastMeasure::Retained as usize] <= own[ForecastMeasure::Pending as usize]);
                        let deleted = deleted.entry(policy).or_default();
                        *deleted += own[ForecastMeasure::Deleted as usize];
                        sums.push(own[ForecastMeasure::Rows as usize] + *deleted);
                    }
                    prop_assert!(sums.iter().all(|sum| *sum == sums[0]), "month {}: {:?}", month, sums);
                }
            }
        }
    }
}
