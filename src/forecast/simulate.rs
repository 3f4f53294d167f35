//! Simulated futures: every cohort moves forward month by month, and each month gives the figures of each policy.
//!
//! One future is used for all policies, because arrivals and departures do not depend on which old devices housekeeping
//! deletes. Under a policy with a threshold of m months, devices that reach the age of m months are deleted.
//! Differences between policies are taken within one future, so that they do not contain the randomness that both
//! share.
//!
//! Each future draws its own rates from the uncertainty of the estimates (`draw`). Types are simulated one
//! after the other, so that memory holds the futures of one type at a time; the two devices of a hub are simulated
//! together.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::draw::{DrawnRates, arrivals, binomial, hypergeometric};
use super::rates::TypeRates;
use super::scenario::Scenario;
use super::schedule::{Schedule, thresholds};
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
    /// Retained devices that have passed ages which no ledger shows.
    Unobserved,
}

impl ForecastMeasure {
    /// Every measure, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Deleted, Self::Alerts, Self::Retained, Self::Rows, Self::Unobserved];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Deleted => "deleted",
            Self::Alerts => "alerts",
            Self::Retained => "retained",
            Self::Rows => "rows",
            Self::Unobserved => "retained_unobserved",
        }
    }
}

/// Number of figures for each policy and month.
pub const MEASURES: usize = ForecastMeasure::ALL.len();

/// One type in one future: for each policy, each month (0 first) and each [`ForecastMeasure`] its figure, in this
/// order. Rows of an estate are fewer than two billion, so 32 bits hold them, at half the memory.
pub type SimulatedFuture = Vec<i32>;

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
    /// The days of each month from month 1, as a multiple of an average month.
    pub widths: Vec<f64>,
    /// Reports interruptions.
    pub progress: &'a dyn Progress,
}

/// The devices that are simulated together, and their rates: one type, or the two of a hub.
pub struct SimulatedGroup<'a> {
    /// The type codes. The second type follows the first: its devices arrive and leave with theirs.
    pub types: &'a [u8],
    /// The rates of each.
    pub rates: Vec<&'a TypeRates>,
}

/// The thresholds of some policies, by policy and type of the group.
type Schedules = Vec<Vec<Schedule>>;

impl Simulation<'_> {
    /// The thresholds of a type under a policy, by month.
    #[must_use]
    pub fn schedule(&self, policy: usize, type_code: u8) -> Schedule {
        let months = self.rules[policy].months(type_code);
        Schedule::new(&thresholds(self.scenario, policy, months), self.start.oldest)
    }

    /// The factors on the rates of a type in a month, from month 1.
    #[must_use]
    pub fn factors(&self, type_code: u8, month: u32) -> RateFactors {
        let growth = (1.0 + self.scenario.growth.unwrap_or_default()).powf(f64::from(month) / 12.0);
        let changes = self.scenario.changes.iter().filter(|change| {
            change.from <= month && DeviceType::from_code(type_code).is_some_and(|own| change.types.contains(own))
        });
        changes.fold(RateFactors { arrivals: growth, hazard: 1.0 }, |factors, change| RateFactors {
            arrivals: factors.arrivals * change.arrivals,
            hazard: factors.hazard * change.hazard,
        })
    }

    /// The rates of a type in a future, and the random numbers that go on from them: a stream for each future and
    /// type, the same numbers whichever worker draws them, and when.
    #[must_use]
    pub fn drawn(&self, type_code: u8, rates: &TypeRates, future: u32) -> (DrawnRates, ChaCha8Rng) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.scenario.seed);
        rng.set_stream(u64::from(future) << 8 | u64::from(type_code));
        let drawn = DrawnRates::new(rates, self.start.oldest, &self.widths, &mut rng);
        (drawn, rng)
    }

    /// Every future of a group under some policies: for each of its types all futures. The result does not depend on
    /// the number of threads.
    ///
    /// # Errors
    /// An interruption.
    pub fn futures(
        &self,
        group: &SimulatedGroup<'_>,
        policies: &[usize],
        pool: &Pool,
    ) -> Result<Vec<Vec<SimulatedFuture>>> {
        let factors: Vec<RateFactors> =
            (1..=self.scenario.months).map(|month| self.factors(group.types[0], month)).collect();
        let schedules: Schedules = policies
            .iter()
            .map(|&policy| group.types.iter().map(|&code| self.schedule(policy, code)).collect())
            .collect();
        let chunks: Vec<u32> = (0..self.scenario.simulations).step_by(CHUNK as usize).collect();
        let futures = pool.map(chunks, |first| {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let until = self.scenario.simulations.min(first + CHUNK);
            let own = |number| self.future(group, (policies, &schedules), &factors, number);
            Ok::<_, Error>((first..until).map(own).collect())
        })?;
        let mut by_type: Vec<Vec<SimulatedFuture>> = group.types.iter().map(|_| Vec::new()).collect();
        for future in futures.into_iter().flat_map(|futures: Vec<Vec<SimulatedFuture>>| futures) {
            by_type.iter_mut().zip(future).for_each(|(all, own)| all.push(own));
        }
        Ok(by_type)
    }

    fn future(
        &self,
        group: &SimulatedGroup<'_>,
        (policies, schedules): (&[usize], &Schedules),
        factors: &[RateFactors],
        number: u32,
    ) -> Vec<SimulatedFuture> {
        let leader = group.types[0];
        let (drawn, mut rng) = self.drawn(leader, group.rates[0], number);
        let months = factors.len() + 1;
        let mut types: Vec<SimulatedType<'_>> = (group.types.iter().zip(&group.rates))
            .map(|(&code, rates)| SimulatedType::new(self, (code, rates), policies, months))
            .collect();
        for month in 0..months {
            if let Some(before) = month.checked_sub(1) {
                let step = MonthStep { drawn: &drawn, factors: factors[before], month: before };
                if let Some((first, others)) = types.split_first_mut() {
                    first.step(&step, &mut rng);
                    for other in others {
                        other.follow(first, &step, &mut rng);
                    }
                }
            }
            for (index, own) in types.iter_mut().enumerate() {
                for (place, &policy) in policies.iter().enumerate() {
                    own.read_month(self, (policy, place), &schedules[place][index], month);
                }
            }
        }
        types.into_iter().map(|own| own.figures).collect()
    }
}

/// What happens in a month.
struct MonthStep<'a> {
    drawn: &'a DrawnRates,
    factors: RateFactors,
    /// The month, from 0 for the first after the ledger.
    month: usize,
}

impl MonthStep<'_> {
    fn hazard(&self, age: usize) -> f64 {
        (self.drawn.hazards[age] * self.factors.hazard).clamp(0.0, 1.0)
    }
}

/// A type in one future.
struct SimulatedType<'a> {
    rates: &'a TypeRates,
    strata: Vec<SimulatedStratum<'a>>,
    /// Candidates without an age.
    undated: u64,
    /// Rows of other statuses, by policy.
    others: Vec<f64>,
    months: usize,
    figures: SimulatedFuture,
}

impl<'a> SimulatedType<'a> {
    fn new(simulation: &Simulation<'a>, (code, rates): (u8, &'a TypeRates), policies: &[usize], months: usize) -> Self {
        let start = simulation.start;
        let strata = (start.strata.iter().enumerate())
            .filter(|(_, stratum)| stratum.key.type_code == code)
            .map(|(index, stratum)| SimulatedStratum::new(index, stratum));
        Self {
            rates,
            strata: strata.collect(),
            undated: start.undated.get(&code).copied().unwrap_or_default(),
            others: vec![count(start.others.get(&code)); policies.len()],
            months,
            figures: vec![0; policies.len() * months * MEASURES],
        }
    }

    /// A month passes.
    fn step(&mut self, step: &MonthStep<'_>, rng: &mut ChaCha8Rng) {
        let mean = step.drawn.arrivals[step.month] * step.factors.arrivals;
        let mut left = arrivals(mean, step.drawn.dispersion, rng);
        let mut share_left: f64 = self.strata.iter().map(|stratum| stratum.stratum.share).sum();
        for stratum in &mut self.strata {
            let share = stratum.stratum.share;
            let own = if share_left > 0.0 { binomial(left, (share / share_left).min(1.0), rng) } else { 0 };
            share_left -= share;
            left -= own;
            stratum.step(own, |here, age, rng| binomial(here, step.hazard(age), rng), rng);
        }
        self.add_backdated(rng);
    }

    /// A month passes for the second devices of boxes: they arrive and leave with the first. A stratum follows that of
    /// the same role and flaw; devices beyond those of the first type are on their own.
    fn follow(&mut self, first: &Self, step: &MonthStep<'_>, rng: &mut ChaCha8Rng) {
        for stratum in &mut self.strata {
            let key = stratum.stratum.key;
            let matches = |other: &&SimulatedStratum<'_>| {
                (other.stratum.key.role, other.stratum.key.flaw) == (key.role, key.flaw)
            };
            let leader = first.strata.iter().find(matches);
            let arrived = leader.map_or(0, |leader| leader.ages[0]);
            stratum.step(
                arrived,
                |here, age, rng| {
                    let (boxes, left) = leader.map_or((0, 0), |leader| (leader.before[age], leader.departed[age]));
                    if here <= boxes {
                        hypergeometric(boxes, left, here, rng)
                    } else {
                        left + binomial(here - boxes, step.hazard(age), rng)
                    }
                },
                rng,
            );
        }
        self.add_backdated(rng);
    }

    fn add_backdated(&mut self, rng: &mut ChaCha8Rng) {
        for &(age, mean) in &self.rates.backdated {
            for stratum in &mut self.strata {
                let oldest = stratum.ages.len() - 1;
                stratum.ages[age.min(oldest)] += arrivals(mean * stratum.stratum.share, 1.0, rng);
            }
        }
    }

    /// Sets the figures of a policy in a month. `place` is its place among those that are simulated.
    fn read_month(
        &mut self,
        simulation: &Simulation<'_>,
        (policy, place): (usize, usize),
        schedule: &Schedule,
        month: usize,
    ) {
        let mut out = [0i64; MEASURES];
        let effects = &simulation.effects[policy];
        let others = &mut self.others[place];
        if month > 0 {
            let boundary = schedule.boundary(month - 1);
            *others += self.strata.iter().map(|own| own.departures(effects[own.index], boundary)).sum::<f64>();
            *others += self.rates.other;
        }
        for stratum in &self.strata {
            let unobserved = if month > 0 { self.rates.observed_until().saturating_add(1) } else { usize::MAX };
            stratum.add_figures(effects[stratum.index], schedule, (month, unobserved), &mut out);
        }
        out[ForecastMeasure::Pending as usize] += self.undated as i64;
        out[ForecastMeasure::Rows as usize] = out[ForecastMeasure::Pending as usize] + others.max(0.0).round() as i64;
        let own = &mut self.figures[(place * self.months + month) * MEASURES..][..MEASURES];
        own.iter_mut().zip(out).for_each(|(own, number)| *own = i32::try_from(number).unwrap_or(i32::MAX));
    }
}

/// A stratum in one future, without any housekeeping.
struct SimulatedStratum<'a> {
    index: usize,
    stratum: &'a Stratum,
    /// Devices by age in months; the last entry is of that age or older.
    ages: Vec<u64>,
    /// The same before the last month.
    before: Vec<u64>,
    /// Departures of the last month, by the age before it.
    departed: Vec<u64>,
}

impl<'a> SimulatedStratum<'a> {
    fn new(index: usize, stratum: &'a Stratum) -> Self {
        let zeros = vec![0; stratum.ages.len()];
        Self { index, stratum, ages: stratum.ages.clone(), before: zeros.clone(), departed: zeros }
    }

    /// A month passes: devices leave, as many as `leave` says of those of an age, and the rest become a month older.
    fn step(&mut self, arrivals: u64, leave: impl Fn(u64, usize, &mut ChaCha8Rng) -> u64, rng: &mut ChaCha8Rng) {
        let oldest = self.ages.len() - 1;
        self.before.copy_from_slice(&self.ages);
        for age in (0..=oldest).rev() {
            let here = self.before[age];
            self.departed[age] = if here == 0 { 0 } else { leave(here, age, rng) };
        }
        for age in (1..=oldest).rev() {
            self.ages[age] = self.before[age - 1] - self.departed[age - 1];
        }
        self.ages[oldest] += self.before[oldest] - self.departed[oldest];
        self.ages[0] = arrivals;
    }

    /// Adds the figures of a policy in a month. Devices of the age `unobserved` or older have passed ages that no
    /// ledger shows.
    fn add_figures(
        &self,
        effect: PolicyEffect,
        schedule: &Schedule,
        (month, unobserved): (usize, usize),
        out: &mut [i64; MEASURES],
    ) {
        let sum = |ages: &[u64]| ages.iter().sum::<u64>() as i64;
        let threshold = schedule.threshold(month);
        out[ForecastMeasure::Pending as usize] +=
            if effect.keeps() { sum(&self.ages) } else { sum(&self.ages[..schedule.boundary(month)]) };
        match effect {
            PolicyEffect::Retain => {
                out[ForecastMeasure::Retained as usize] += sum(&self.ages[threshold..]);
                let from = unobserved.max(threshold).min(self.ages.len());
                out[ForecastMeasure::Unobserved as usize] += sum(&self.ages[from..]);
            }
            PolicyEffect::DeleteWithAlert | PolicyEffect::DeleteSilently => {
                let reached = sum(&self.ages[schedule.deleted(month)]);
                out[ForecastMeasure::Deleted as usize] += reached;
                if effect == PolicyEffect::DeleteWithAlert {
                    out[ForecastMeasure::Alerts as usize] += reached;
                }
            }
            PolicyEffect::Quarantine => {}
        }
    }

    /// Departures of this month among the devices that the policy had not deleted before: those younger than
    /// `boundary`.
    #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
    fn departures(&self, effect: PolicyEffect, boundary: usize) -> f64 {
        let departed = if effect.keeps() { &self.departed[..] } else { &self.departed[..boundary] };
        departed.iter().sum::<u64>() as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn count(rows: Option<&u64>) -> f64 {
    rows.copied().unwrap_or_default() as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::estate::time::{day_of, parse};
    use crate::estate::{SmiStatus, TypeNames};
    use crate::forecast::arrivals::ArrivalRate;
    use crate::forecast::life_table::AgeBand;
    use crate::forecast::scenario::Phase;
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
        let arrivals = ArrivalRate { mean: arrivals, months: 6.0, dispersion: 1.5, pattern: None };
        TypeRates { bands: vec![band], arrivals, other, ..TypeRates::none() }
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
            phases in prop::collection::vec((0u32..30, 1u32..70), 0..4),
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
            let mut phases: Vec<Phase> =
                phases.into_iter().map(|(from, months)| Phase { policy: 1, from, months }).collect();
            phases.sort_by_key(|phase| phase.from);
            let scenario =
                Scenario { months: 30, simulations: 10, seed: seed.into(), policies, phases, ..Scenario::default() };
            let rules = strata::bind(&ledger, &scenario.policies).unwrap();
            let start = StartingEstate::new(&ledger, &scenario);
            let effects = rules
                .iter()
                .map(|rules| start.strata.iter().map(|own| PolicyEffect::of(&ledger, rules, own.key)).collect())
                .collect();
            let (scenario, rules, widths) = (&scenario, &rules[..], vec![1.0; 30]);
            let simulation = Simulation { start: &start, scenario, rules, effects, widths, progress: &NoProgress };
            let rates = rates(hazard, arrivals, 7.0);
            let group = SimulatedGroup { types: &[DeviceType::ESME.code()], rates: vec![&rates] };
            let policies: Vec<usize> = (0..rules.len()).collect();
            let futures = simulation.futures(&group, &policies, &Pool::new(Some(1))).unwrap().remove(0);
            let months = scenario.months as usize + 1;
            for future in &futures {
                let mut deleted: BTreeMap<usize, i32> = BTreeMap::new();
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
