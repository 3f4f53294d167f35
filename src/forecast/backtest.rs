//! Backtest: the last ledgers are held out, forecast from those before them, and compared with the forecast.

use std::collections::BTreeMap;

use super::estimate::estimate;
use super::history::LedgerGap;
use super::outcome::{Forecast, TypeForecast};
use super::project::forecast;
use super::quantiles::Quantiles;

use super::scenario::Scenario;
use super::simulate::{ForecastMeasure, MEASURES};
use super::strata::{PolicyEffect, bind, candidates};
use crate::error::{Error, Result};
use crate::estate::time::day_of;
use crate::ledger::{AgeCache, Ledger};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::Progress;

/// The most ledgers that are held out by default. The default is a third of them.
const MOST_HELD_OUT: usize = 12;

/// A figure that was forecast, and its actual value.
#[derive(Debug, Clone, PartialEq)]
pub struct BacktestPoint {
    /// Months from the last ledger that was used, rounded.
    pub horizon: u32,
    /// The day of the held-out ledger, days since 1970-01-01.
    pub day: i32,
    /// Name of the type.
    pub device_type: String,
    /// [`ForecastMeasure::Pending`] or [`ForecastMeasure::Retained`].
    pub measure: ForecastMeasure,
    /// The forecast.
    pub forecast: Quantiles,
    /// The count in the held-out ledger.
    pub actual: i64,
}

impl BacktestPoint {
    /// The relative error of the median; `None` if the actual count is zero.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    pub fn error(&self) -> Option<f64> {
        (self.actual != 0).then(|| (self.forecast.median - self.actual) as f64 / self.actual as f64)
    }
}

/// The result of a backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// Ledgers that the forecast was made from.
    pub used: usize,
    /// By held-out ledger, type and measure.
    pub points: Vec<BacktestPoint>,
}

/// Errors at one horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HorizonErrors {
    /// Months from the last ledger that was used.
    pub months: u32,
    /// Points that were compared.
    pub points: usize,
    /// Median of the absolute relative errors.
    pub median_error: f64,
    /// Largest absolute relative error.
    pub worst_error: f64,
    /// Share of the points within the 80 % band, 0 to 1.
    pub coverage: f64,
}

impl Backtest {
    /// The share of all points within the 80 % band, 0 to 1.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        coverage(self.points.iter())
    }

    /// Errors by horizon, the nearest first.
    #[must_use]
    pub fn horizons(&self) -> Vec<HorizonErrors> {
        let mut by_horizon: BTreeMap<u32, Vec<&BacktestPoint>> = BTreeMap::new();
        for point in &self.points {
            by_horizon.entry(point.horizon).or_default().push(point);
        }
        let errors = |(months, points): (u32, Vec<&BacktestPoint>)| {
            let mut errors: Vec<f64> = points.iter().filter_map(|point| point.error()).map(f64::abs).collect();
            errors.sort_by(f64::total_cmp);
            HorizonErrors {
                months,
                points: points.len(),
                median_error: errors.get(errors.len() / 2).copied().unwrap_or_default(),
                worst_error: errors.last().copied().unwrap_or_default(),
                coverage: coverage(points.iter().copied()),
            }
        };
        by_horizon.into_iter().map(errors).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts")]
fn coverage<'p>(points: impl Iterator<Item = &'p BacktestPoint> + Clone) -> f64 {
    let all = points.clone().count();
    let within = points.filter(|point| point.forecast.contains(point.actual)).count();
    within as f64 / all.max(1) as f64
}

/// Forecasts the last `holdout` ledgers from those before them. The ledgers must be in order
/// ([`in_order`](super::history::in_order)).
///
/// # Errors
/// Too few ledgers, and the errors of [`forecast`].
pub fn backtest(
    ledgers: &[Ledger],
    scenario: &Scenario,
    holdout: Option<usize>,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Backtest> {
    let holdout = holdout.unwrap_or((ledgers.len() / 3).min(MOST_HELD_OUT));
    let used = ledgers.len().saturating_sub(holdout);
    if holdout == 0 || used < 2 {
        return Err(Error::Usage {
            what: format!("{} ledgers, of which {holdout} are held out", ledgers.len()),
            remedy: "a backtest needs at least two ledgers to learn from and one to hold out".into(),
        });
    }
    let (known, held_out) = ledgers.split_at(used);
    let (base, last) = (&known[used - 1], &ledgers[ledgers.len() - 1]);
    let policy = policy_in_force(scenario)?;
    let scenario = Scenario {
        months: LedgerGap::between(base.as_of, last.as_of).months.ceil() as u32,
        policies: vec![policy.clone()],
        changes: Vec::new(),
        phases: Vec::new(),
        growth: None,
        ..scenario.clone()
    };
    let rates = estimate(known, &scenario)?;
    let forecast = forecast(base, &rates, &scenario, pool, progress)?;
    let mut points = Vec::new();
    for ledger in held_out {
        compare(base, ledger, &forecast, &actual_counts(ledger, &policy)?, &mut points);
    }
    Ok(Backtest { used, points })
}

/// Adds the points of one held-out ledger.
fn compare(
    base: &Ledger,
    ledger: &Ledger,
    forecast: &Forecast,
    actual: &BTreeMap<String, ActualCounts>,
    points: &mut Vec<BacktestPoint>,
) {
    let ahead = LedgerGap::between(base.as_of, ledger.as_of).months;
    let horizon = (ahead.round() as u32).max(1);
    let types = forecast.policies.iter().flat_map(|policy| &policy.types);
    for (of_type, actual) in types.filter_map(|of_type| Some((of_type, actual.get(&of_type.name)?))) {
        let Some(month) = at_time(of_type, ahead) else { continue };
        let measures = [(ForecastMeasure::Pending, actual.pending), (ForecastMeasure::Retained, actual.retained)];
        let point = |(measure, actual): (ForecastMeasure, i64)| BacktestPoint {
            horizon,
            day: day_of(ledger.as_of),
            device_type: of_type.name.clone(),
            measure,
            forecast: month[measure as usize],
            actual,
        };
        // A figure that is zero in the forecast and in the ledger gives no information about the error.
        points.extend(measures.map(point).into_iter().filter(|point| point.forecast.high != 0 || point.actual != 0));
    }
}

/// The quantiles at a time in months: those of the month before and after, in proportion.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn at_time(of_type: &TypeForecast, months: f64) -> Option<[Quantiles; MEASURES]> {
    let (before, after) = (months.floor() as usize, months.ceil() as usize);
    let (one, other) = (of_type.months.get(before)?, of_type.months.get(after)?);
    let share = months - months.floor();
    let between = |one: i64, other: i64| (one as f64 + share * (other - one) as f64).round() as i64;
    Some(std::array::from_fn(|measure| Quantiles {
        low: between(one[measure].low, other[measure].low),
        median: between(one[measure].median, other[measure].median),
        high: between(one[measure].high, other[measure].high),
    }))
}

/// The policy under which counts are compared: the last one of `[history]`. Without it, housekeeping is taken not to have
/// run: every type is excluded, and a device counts as retained from the threshold of the scenario's first policy, or
/// 12 months, on.
fn policy_in_force(scenario: &Scenario) -> Result<Policy> {
    if let Some(policy) = scenario.history.last().and_then(|period| period.policy.as_ref()) {
        return Ok(policy.clone());
    }
    let mut policy = match scenario.policies.first() {
        Some(policy) => policy.clone(),
        None => Policy::load("pre-change")?,
    };
    policy.exclude = policy.types.iter().map(|(device_type, _)| device_type).collect();
    Ok(policy)
}

/// Counts of a held-out ledger for one type.
#[derive(Debug, Clone, Copy, Default)]
struct ActualCounts {
    /// Candidates after housekeeping of the ledger's day.
    pending: i64,
    /// Devices past their threshold that are kept because their type is excluded.
    retained: i64,
}

fn actual_counts(ledger: &Ledger, policy: &Policy) -> Result<BTreeMap<String, ActualCounts>> {
    let rules = bind(ledger, std::slice::from_ref(policy))?;
    let mut cache = AgeCache::new(ledger.as_of);
    let mut all: BTreeMap<String, ActualCounts> = BTreeMap::new();
    for (cell, rows, key) in candidates(ledger) {
        let counts = all.entry(ledger.types.name(cell.type_code).to_owned()).or_default();
        let age = cache.age(cell.day);
        let reached = age.is_some_and(|age| rules[0].reached_at_age(cell.type_code, age));
        let effect = PolicyEffect::of(ledger, &rules[0], key);
        // A forecast counts candidates after the housekeeping of the month, so due devices count as deleted.
        if !reached || effect.keeps() {
            counts.pending += rows as i64;
        }
        if reached && effect == PolicyEffect::Retain {
            counts.retained += rows as i64;
        }
    }
    Ok(all)
}
