//! Futures by chance: every cohort moves forward month by month, and what each policy would make of it is read off.
//!
//! One future serves all policies: how devices arrive and leave does not depend on which of the old ones housekeeping
//! takes away. So a policy that deletes at m months has, of each line, those younger than m; and it deletes those that
//! reach m. What is told of two policies in the same future is their difference, free of chance that both share.
//!
//! Each future has its own rates as well, drawn from what the estimates are worth: hazards from a Beta, arrivals from a
//! Gamma distribution. Types are drawn one after the other, so that memory holds one of them at a time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Beta, Binomial, Distribution, Gamma, Poisson};

use super::lines::{Fate, Line, Start};
use super::rates::{Arrivals, Band, Rates};
use super::scenario::Scenario;
use crate::error::{Error, Result};
use crate::estate::DeviceType;
use crate::policy::Rules;
use crate::pool::Pool;
use crate::progress::Progress;

/// Futures that a worker takes at a time.
const CHUNK: u32 = 20;

/// What is forecast of a type under a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Measure {
    /// Candidates that are left after housekeeping.
    Pending,
    /// Deletions of the month.
    Deleted,
    /// Those of them that a party is told of.
    Alerts,
    /// Devices past their threshold that an exclusion keeps.
    Retained,
    /// Rows in the inventory.
    Rows,
}

impl Measure {
    /// Every measure, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Deleted, Self::Alerts, Self::Retained, Self::Rows];

    /// The word in outputs.
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

/// How many numbers a future has for a policy and month.
pub const MEASURES: usize = Measure::ALL.len();

/// One type in one future: for each policy and month (0 first) its [`Measure`]s.
pub type Future = Vec<i64>;

/// What all futures start from.
pub struct Setting<'a> {
    /// The estate.
    pub start: &'a Start,
    /// How it changes, and for how long.
    pub scenario: &'a Scenario,
    /// The policies, bound.
    pub rules: &'a [Rules],
    /// What each policy does with each line.
    pub fates: Vec<Vec<Fate>>,
    /// Somebody who waits.
    pub progress: &'a dyn Progress,
}

impl Setting<'_> {
    /// How many times the arrivals and the hazard of a type there are in a month, from 1.
    #[must_use]
    pub fn factors(&self, type_code: u8, month: u32) -> (f64, f64) {
        let growth = (1.0 + self.scenario.growth).powf(f64::from(month) / 12.0);
        let changes = self.scenario.changes.iter().filter(|change| {
            change.from <= month && DeviceType::from_code(type_code).is_some_and(|own| change.types.contains(own))
        });
        changes.fold((growth, 1.0), |(arrivals, hazard), change| (arrivals * change.arrivals, hazard * change.hazard))
    }

    /// Every future of a type.
    ///
    /// # Errors
    /// An interruption.
    pub fn futures(&self, type_code: u8, rates: &Rates, pool: &Pool) -> Result<Vec<Future>> {
        let factors: Vec<(f64, f64)> = (1..=self.scenario.months).map(|month| self.factors(type_code, month)).collect();
        let chunks: Vec<u32> = (0..self.scenario.simulations).step_by(CHUNK as usize).collect();
        let futures = pool.map(chunks, |first| {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let until = self.scenario.simulations.min(first + CHUNK);
            Ok::<_, Error>((first..until).map(|future| self.future(type_code, rates, &factors, future)).collect())
        })?;
        Ok(futures.into_iter().flat_map(|futures: Vec<Future>| futures).collect())
    }

    fn future(&self, type_code: u8, rates: &Rates, factors: &[(f64, f64)], number: u32) -> Future {
        // A stream for each future and type: the same whoever draws it, and when.
        let mut chance = ChaCha8Rng::seed_from_u64(self.scenario.seed);
        chance.set_stream(u64::from(number) << 8 | u64::from(type_code));
        let hazards = draw_hazards(&rates.bands, self.start.oldest, &mut chance);
        let mean = draw_mean(rates.arrivals, &mut chance);
        let mut cohorts: Vec<Cohorts<'_>> = (self.start.lines.iter().enumerate())
            .filter(|(_, line)| line.kind.type_code == type_code)
            .map(|(index, line)| Cohorts::new(index, line))
            .collect();
        let mut others: Vec<f64> = vec![count(self.start.others.get(&type_code)); self.rules.len()];
        let undated = self.start.undated.get(&type_code).copied().unwrap_or_default() as i64;
        let mut out = vec![0; self.rules.len() * (factors.len() + 1) * MEASURES];
        for month in 0..=factors.len() {
            if month > 0 {
                let (arrivals, hazard) = factors[month - 1];
                let mut left = draw_arrivals(mean * arrivals, rates.arrivals.dispersion, &mut chance);
                let mut share_left = 1.0;
                for cohorts in &mut cohorts {
                    let share = if share_left > 0.0 { (cohorts.line.share / share_left).min(1.0) } else { 0.0 };
                    let own = binomial(left, share, &mut chance);
                    share_left -= cohorts.line.share;
                    left -= own;
                    cohorts.step(own, &hazards, hazard, &mut chance);
                }
            }
            for (policy, rules) in self.rules.iter().enumerate() {
                let at = (policy * (factors.len() + 1) + month) * MEASURES;
                let own = &mut out[at..at + MEASURES];
                let threshold = (rules.months(type_code) as usize).min(self.start.oldest);
                for cohorts in &cohorts {
                    let fate = self.fates[policy][cohorts.index];
                    cohorts.add(fate, threshold, month == 0, own);
                    if month > 0 {
                        others[policy] += cohorts.gone(fate, threshold);
                    }
                }
                own[Measure::Pending as usize] += undated;
                if month > 0 {
                    others[policy] += rates.other;
                }
                own[Measure::Rows as usize] = own[Measure::Pending as usize] + others[policy].max(0.0).round() as i64;
            }
        }
        out
    }
}

/// A line on its way.
struct Cohorts<'a> {
    index: usize,
    line: &'a Line,
    /// By age; the last is of that age or more.
    ages: Vec<u64>,
    /// Who left in the last month, by the age that they had.
    left: Vec<u64>,
}

impl<'a> Cohorts<'a> {
    fn new(index: usize, line: &'a Line) -> Self {
        Self { index, line, ages: line.ages.clone(), left: vec![0; line.ages.len()] }
    }

    /// A month goes by.
    fn step(&mut self, arrivals: u64, hazards: &[f64], factor: f64, chance: &mut ChaCha8Rng) {
        let oldest = self.ages.len() - 1;
        let mut kept_oldest = 0;
        for age in (0..=oldest).rev() {
            let here = self.ages[age];
            let left = if here == 0 { 0 } else { binomial(here, (hazards[age] * factor).clamp(0.0, 1.0), chance) };
            self.left[age] = left;
            if age == oldest {
                kept_oldest = here - left;
            } else {
                self.ages[age + 1] = here - left;
            }
        }
        self.ages[oldest] += kept_oldest;
        self.ages[0] = arrivals;
    }

    /// What a policy makes of the line this month. In the first month it finds all that has waited for it.
    fn add(&self, fate: Fate, threshold: usize, first: bool, out: &mut [i64]) {
        let old: u64 = self.ages[threshold..].iter().sum();
        let young: u64 = self.ages[..threshold].iter().sum();
        let reached = if first { old } else { self.ages[threshold] } as i64;
        let kept = if matches!(fate, Fate::Retained | Fate::Stuck) { young + old } else { young };
        out[Measure::Pending as usize] += kept as i64;
        match fate {
            Fate::Retained => out[Measure::Retained as usize] += old as i64,
            Fate::Alert => {
                out[Measure::Deleted as usize] += reached;
                out[Measure::Alerts as usize] += reached;
            }
            Fate::Silent => out[Measure::Deleted as usize] += reached,
            Fate::Stuck => {}
        }
    }

    /// How many of those that the policy had kept have left this month.
    #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
    fn gone(&self, fate: Fate, threshold: usize) -> f64 {
        let left = match fate {
            Fate::Retained | Fate::Stuck => &self.left[..],
            Fate::Alert | Fate::Silent => &self.left[..threshold],
        };
        left.iter().sum::<u64>() as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn count(rows: Option<&u64>) -> f64 {
    rows.copied().unwrap_or_default() as f64
}

/// A hazard for each age.
fn draw_hazards(bands: &[Band], oldest: usize, chance: &mut ChaCha8Rng) -> Vec<f64> {
    let mut hazards = Vec::with_capacity(oldest + 1);
    for band in bands {
        let drawn = if band.trials.is_finite() && band.trials > 0.0 {
            let (gone, stayed) = (band.hazard * band.trials, (1.0 - band.hazard) * band.trials);
            // Half an event and half a survivor more than were seen: Jeffreys' prior.
            Beta::new(gone + 0.5, stayed + 0.5).map_or(band.hazard, |beta| beta.sample(chance))
        } else {
            band.hazard
        };
        let until = band.until.map_or(oldest + 1, |until| (until as usize).min(oldest + 1));
        hazards.resize(until.max(hazards.len()), drawn);
    }
    hazards.resize(oldest + 1, hazards.last().copied().unwrap_or_default());
    hazards
}

fn draw_mean(arrivals: Arrivals, chance: &mut ChaCha8Rng) -> f64 {
    if !arrivals.months.is_finite() || arrivals.months <= 0.0 {
        return arrivals.mean;
    }
    // What the observed months say of their mean, where each varies so much more than independent arrivals do.
    let shape = arrivals.mean * arrivals.months / arrivals.dispersion + 0.5;
    Gamma::new(shape, arrivals.dispersion / arrivals.months).map_or(arrivals.mean, |gamma| gamma.sample(chance))
}

fn draw_arrivals(mean: f64, dispersion: f64, chance: &mut ChaCha8Rng) -> u64 {
    let mean = if dispersion > 1.0 && mean > 0.0 {
        Gamma::new(mean / (dispersion - 1.0), dispersion - 1.0).map_or(mean, |gamma| gamma.sample(chance))
    } else {
        mean
    };
    Poisson::new(mean).map_or(0, |poisson| poisson.sample(chance) as u64)
}

fn binomial(trials: u64, share: f64, chance: &mut ChaCha8Rng) -> u64 {
    if share >= 1.0 {
        return trials;
    }
    if trials == 0 || share <= 0.0 {
        return 0;
    }
    Binomial::new(trials, share).map_or(0, |binomial| binomial.sample(chance)).min(trials)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::estate::time::{day_of, parse};
    use crate::estate::{SmiStatus, TypeNames};
    use crate::forecast::lines;
    use crate::forecast::rates::Basis;
    use crate::ledger::count::{CandidateCounts, RowClass};
    use crate::ledger::{Ledger, Weight};
    use crate::policy::Policy;
    use crate::progress::NoProgress;
    use crate::scan::Parties;

    /// A ledger of meters that are so many days old, and of others.
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
            census: CandidateCounts { cells, whole_days: true, ..CandidateCounts::default() },
            weight: Weight::default(),
            sources: Vec::new(),
        }
    }

    fn rates(hazard: f64, arrivals: f64, other: f64) -> Rates {
        let band = Band { from: 0, until: None, exposure: 0.0, events: 0.0, hazard, trials: 50.0 };
        let arrivals = Arrivals { mean: arrivals, months: 6.0, dispersion: 1.5 };
        Rates { bands: vec![band], hazard_basis: Basis::Ledgers, arrivals, arrival_basis: Basis::Ledgers, other }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// In one and the same future, what a policy keeps and what it has deleted are together the same for every
        /// policy: nobody is lost on the way, and nobody is counted twice.
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
            let rules = lines::bind(&ledger, &scenario.policies).unwrap();
            let start = Start::of(&ledger, &scenario.policies);
            let fates = rules.iter().map(|rules| start.lines.iter().map(|line| Fate::of(&ledger, rules, line.kind)).collect()).collect();
            let setting = Setting { start: &start, scenario: &scenario, rules: &rules, fates, progress: &NoProgress };
            let futures = setting.futures(DeviceType::ESME.code(), &rates(hazard, arrivals, 7.0), &Pool::new(Some(1))).unwrap();
            let months = scenario.months as usize + 1;
            for future in &futures {
                let mut deleted: BTreeMap<usize, i64> = BTreeMap::new();
                for month in 0..months {
                    let mut sums = Vec::new();
                    for policy in 0..rules.len() {
                        let own = &future[(policy * months + month) * MEASURES..][..MEASURES];
                        prop_assert!(own.iter().all(|number| *number >= 0));
                        prop_assert!(own[Measure::Alerts as usize] <= own[Measure::Deleted as usize]);
                        prop_assert!(own[Measure::Retained as usize] <= own[Measure::Pending as usize]);
                        let deleted = deleted.entry(policy).or_default();
                        *deleted += own[Measure::Deleted as usize];
                        sums.push(own[Measure::Rows as usize] + *deleted);
                    }
                    prop_assert!(sums.iter().all(|sum| *sum == sums[0]), "month {}: {:?}", month, sums);
                }
            }
        }
    }
}
