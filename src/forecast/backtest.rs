//! The forecast, held against what came: the last ledgers are held out, forecast from those before them, and compared.

use std::collections::BTreeMap;

use super::history::Gap;
use super::lines::{Fate, Kind};
use super::outcome::Spread;
use super::rates::estimate;
use super::scenario::Scenario;
use super::simulate::Measure;
use super::{forecast, lines};
use crate::error::{Error, Result};
use crate::estate::Reason;
use crate::ledger::{AgeOfDay, Ledger};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::Progress;

/// Held out where nobody says how many: a third of the ledgers, a year's at most.
const MOST: usize = 12;

/// One number that was forecast, and came.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Months from the last ledger that was used.
    pub horizon: u32,
    /// The day of the ledger that was held out.
    pub day: i32,
    /// The type.
    pub device_type: String,
    /// [`Measure::Pending`], or [`Measure::Retained`]: devices that have reached their threshold and are still there.
    pub measure: Measure,
    /// What was forecast.
    pub forecast: Spread,
    /// What came.
    pub actual: i64,
}

impl Point {
    /// How far the median was off, as a share of what came; `None` where nothing came.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    pub fn error(&self) -> Option<f64> {
        (self.actual != 0).then(|| (self.forecast.median - self.actual) as f64 / self.actual as f64)
    }
}

/// All that was held out.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// Ledgers that were used.
    pub used: usize,
    /// In the order of time, type and measure.
    pub points: Vec<Point>,
}

/// The figures of one horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Horizon {
    /// Months.
    pub months: u32,
    /// Numbers that were compared.
    pub points: usize,
    /// Half of the numbers were off by no more than this.
    pub median_error: f64,
    /// None was off by more.
    pub worst_error: f64,
    /// The share of the numbers that the band held.
    pub held: f64,
}

impl Backtest {
    /// The share of all numbers that the band held.
    #[must_use]
    pub fn held(&self) -> f64 {
        held(self.points.iter())
    }

    /// By horizon, the nearest first.
    #[must_use]
    pub fn horizons(&self) -> Vec<Horizon> {
        let mut by_horizon: BTreeMap<u32, Vec<&Point>> = BTreeMap::new();
        for point in &self.points {
            by_horizon.entry(point.horizon).or_default().push(point);
        }
        let horizon = |(months, points): (u32, Vec<&Point>)| {
            let mut errors: Vec<f64> = points.iter().filter_map(|point| point.error()).map(f64::abs).collect();
            errors.sort_by(f64::total_cmp);
            Horizon {
                months,
                points: points.len(),
                median_error: errors.get(errors.len() / 2).copied().unwrap_or_default(),
                worst_error: errors.last().copied().unwrap_or_default(),
                held: held(points.iter().copied()),
            }
        };
        by_horizon.into_iter().map(horizon).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts")]
fn held<'p>(points: impl Iterator<Item = &'p Point> + Clone) -> f64 {
    let all = points.clone().count();
    let held = points.filter(|point| point.forecast.holds(point.actual)).count();
    held as f64 / all.max(1) as f64
}

/// Forecasts the last ledgers from those before them. They must be in order.
///
/// # Errors
/// Too few ledgers, and what [`forecast`] refuses.
pub fn backtest(
    ledgers: &[Ledger],
    scenario: &Scenario,
    holdout: Option<usize>,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Backtest> {
    let holdout = holdout.unwrap_or((ledgers.len() / 3).min(MOST));
    let used = ledgers.len().saturating_sub(holdout);
    if holdout == 0 || used < 2 {
        return Err(Error::Usage {
            what: format!("{} ledgers, of which {holdout} are held out", ledgers.len()),
            remedy: "a backtest needs at least two ledgers to learn from and one to hold out".into(),
        });
    }
    let (known, later) = ledgers.split_at(used);
    let (base, last) = (&known[used - 1], &ledgers[ledgers.len() - 1]);
    let policy = observer(scenario)?;
    let scenario = Scenario {
        months: Gap::between(base.as_of, last.as_of).steps,
        policies: vec![policy.clone()],
        changes: Vec::new(),
        growth: 0.0,
        ..scenario.clone()
    };
    let rates = estimate(known, &scenario)?;
    let forecast = forecast(base, &rates, &scenario, pool, progress)?;
    let mut points = Vec::new();
    for actual in later {
        let horizon = Gap::between(base.as_of, actual.as_of).steps;
        let came = observed(actual, &policy)?;
        for outlook in &forecast.outlooks {
            for series in outlook.series.iter().filter(|series| came.contains_key(&series.name)) {
                let Some(month) = series.months.get(horizon as usize) else { continue };
                let (pending, retained) = came.get(&series.name).copied().unwrap_or_default();
                for (measure, actual_count) in [(Measure::Pending, pending), (Measure::Retained, retained)] {
                    let spread = month[measure as usize];
                    // Nothing to forecast, and nothing came.
                    if spread.high == 0 && actual_count == 0 {
                        continue;
                    }
                    points.push(Point {
                        horizon,
                        day: crate::estate::time::day_of(actual.as_of),
                        device_type: series.name.clone(),
                        measure,
                        forecast: spread,
                        actual: actual_count,
                    });
                }
            }
        }
    }
    Ok(Backtest { used, points })
}

/// The policy under which history is looked at: the one that was in force; else none deletes anything, and the thresholds
/// of the scenario's first policy, or 12 months, say what counts as old.
fn observer(scenario: &Scenario) -> Result<Policy> {
    if let Some(policy) = &scenario.history {
        return Ok(policy.clone());
    }
    let mut policy = match scenario.policies.first() {
        Some(policy) => policy.clone(),
        None => Policy::load("pre-change")?,
    };
    policy.exclude = policy.types.iter().map(|(device_type, _)| device_type).collect();
    Ok(policy)
}

/// Candidates of each type, and those past their threshold that the policy keeps.
fn observed(ledger: &Ledger, policy: &Policy) -> Result<BTreeMap<String, (i64, i64)>> {
    let rules = lines::bind(ledger, std::slice::from_ref(policy))?;
    let mut all: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut of_day = AgeOfDay::new(ledger.as_of);
    let single = ledger.census.cells.iter().map(|(cell, rows)| (cell, *rows, cell.flaw));
    let shared = ledger.census.shared.iter().map(|(_, cell)| (cell, 1, Some(Reason::DuplicateDeviceId)));
    for (cell, rows, flaw) in single.chain(shared).filter(|(cell, ..)| ledger.is_candidate(cell)) {
        let counts = all.entry(ledger.types.name(cell.type_code).to_owned()).or_default();
        let kind = Kind { type_code: cell.type_code, role: cell.role, flaw };
        let old = of_day.age(cell.day).is_some_and(|age| age >= rules[0].months(cell.type_code));
        let fate = Fate::of(ledger, &rules[0], kind);
        // Housekeeping of the ledger's own day is taken as done, as the forecast has it.
        if !old || matches!(fate, Fate::Retained | Fate::Stuck) {
            counts.0 += rows as i64;
        }
        counts.1 += if old && fate == Fate::Retained { rows as i64 } else { 0 };
    }
    Ok(all)
}
