//! Reads ledgers, forecasts or backtests them, and writes tables and a page, in one call.

use std::path::{Path, PathBuf};

use super::backtest::{Backtest, backtest};
use super::estimate::estimate;
use super::history::in_order;
use super::outcome::Forecast;
use super::project::forecast;
use super::scenario::Scenario;
use super::write;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::Progress;

/// Measures the bytes of a row in a live inventory, whose columns the policy maps.
pub type MeasureRowBytes<'a> = &'a dyn Fn(&Policy) -> Result<f64>;

/// Arguments of [`forecast_files`].
#[derive(Clone, Copy)]
pub struct ForecastOptions<'a> {
    /// Ledgers of one estate, in any order.
    pub ledgers: &'a [PathBuf],
    /// The file of the scenario.
    pub scenario: &'a str,
    /// Measures the bytes of a row, and replaces those of the scenario.
    pub row_bytes: Option<MeasureRowBytes<'a>>,
    /// The folder to write. It must not exist, and appears whole or not at all.
    pub out: Option<&'a Path>,
}

/// A forecast from files.
#[derive(Debug)]
pub struct ForecastFiles {
    /// The forecast.
    pub forecast: Forecast,
    /// Its scenario.
    pub scenario: Scenario,
    /// Number of ledgers that it was made from.
    pub ledgers: usize,
}

/// Forecasts an estate from the files of its ledgers, and writes tables, a document and a page where a folder is named.
///
/// # Errors
/// Files that are not ledgers of one estate, a scenario that is refused, a folder that exists or cannot be written, or
/// an interruption.
pub fn forecast_files(options: &ForecastOptions<'_>, pool: &Pool, progress: &dyn Progress) -> Result<ForecastFiles> {
    let staging = options.out.map(OutputDirectory::create).transpose()?;
    let (ledgers, mut scenario) = read(options.ledgers, Some(options.scenario))?;
    if let (Some(measure), Some(policy)) = (options.row_bytes, scenario.policies.first()) {
        scenario.bytes_per_row = Some(measure(policy)?);
        scenario.bytes_are_live = true;
    }
    let rates = estimate(&ledgers, &scenario)?;
    let last = ledgers.last().ok_or_else(no_ledger)?;
    let forecast = forecast(last, &rates, &scenario, pool, progress)?;
    if let Some(staging) = staging {
        write::forecast(staging.path(), &forecast, scenario.price_per_gb_month)?;
        staging.publish(pool)?;
    }
    Ok(ForecastFiles { forecast, scenario, ledgers: ledgers.len() })
}

/// Arguments of [`backtest_files`].
#[derive(Debug, Clone, Copy)]
pub struct BacktestOptions<'a> {
    /// Ledgers of one estate, in any order.
    pub ledgers: &'a [PathBuf],
    /// The file of a scenario, whose `[history]`, arrivals and hazards are used; `None`: no assumptions.
    pub scenario: Option<&'a str>,
    /// How many of the last ledgers are held out; `None`: a third of them, twelve at most.
    pub holdout: Option<usize>,
    /// The folder to write. It must not exist, and appears whole or not at all.
    pub out: Option<&'a Path>,
}

/// A backtest from files.
#[derive(Debug)]
pub struct BacktestFiles {
    /// The backtest.
    pub backtest: Backtest,
    /// The scenario that was used.
    pub scenario: Scenario,
    /// Number of ledgers, including those held out.
    pub ledgers: usize,
}

/// Backtests the forecast on the files of ledgers, and writes tables, a document and a page where a folder is named.
///
/// # Errors
/// As [`forecast_files`], and too few ledgers.
pub fn backtest_files(options: &BacktestOptions<'_>, pool: &Pool, progress: &dyn Progress) -> Result<BacktestFiles> {
    let staging = options.out.map(OutputDirectory::create).transpose()?;
    let (ledgers, scenario) = read(options.ledgers, options.scenario)?;
    let backtest = backtest(&ledgers, &scenario, options.holdout, pool, progress)?;
    if let Some(staging) = staging {
        write::backtest(staging.path(), &backtest)?;
        staging.publish(pool)?;
    }
    Ok(BacktestFiles { backtest, scenario, ledgers: ledgers.len() })
}

fn read(paths: &[PathBuf], scenario: Option<&str>) -> Result<(Vec<Ledger>, Scenario)> {
    let ledgers = in_order(paths.iter().map(|path| Ledger::read(path)).collect::<Result<Vec<_>>>()?)?;
    let types = &ledgers.last().ok_or_else(no_ledger)?.types;
    let scenario = match scenario {
        Some(path) => Scenario::load(path, types)?,
        None => Scenario::default(),
    };
    Ok((ledgers, scenario))
}

fn no_ledger() -> Error {
    Error::Usage { what: "no ledger".into(), remedy: "name at least one".into() }
}
