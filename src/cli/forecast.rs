//! `smi-sweep forecast`: the effect of policies on the inventory, month by month.

use std::path::{Path, PathBuf};

use super::load::DatabaseUrl;
use super::progress::TerminalProgress;
use super::{Common, figures, print, print_json, remark};
use crate::error::{Error, Result};
use crate::estate::time::format_day;
use crate::forecast::backtest::Backtest;
use crate::forecast::document::{BacktestDocument, ForecastDocument};
use crate::forecast::{
    BacktestOptions, Forecast, ForecastMeasure, ForecastOptions, Quantiles, Scenario, backtest_files, bytes,
    forecast_files,
};
use crate::policy::Policy;
use crate::smi::{self, Config, Target};

/// Forecast the inventory under several policies, month by month: candidates, deletions, alerts, retained devices, storage
///
/// With two or more ledgers, arrivals and hazards are estimated by a life table; with one, from its ages, as if the
/// estate were stationary. The scenario may give other values.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Ledgers of one estate, made by `smi-sweep ledger`
    #[arg(required = true, value_name = "LEDGER")]
    ledger: Vec<PathBuf>,
    /// The scenario (policies, months, assumptions), as TOML
    #[arg(long, value_name = "FILE", required_unless_present = "backtest")]
    scenario: Option<String>,
    /// The folder to write, which must not exist yet: tables (CSV, Parquet), a JSON document, a page with charts
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure the bytes of a row in this live inventory, indexes included
    #[arg(long, value_name = "URL", conflicts_with = "backtest")]
    inventory: Option<DatabaseUrl>,
    /// Names the device table of the inventory [default: public.device]
    #[arg(long, value_name = "FILE", requires = "inventory")]
    config: Option<PathBuf>,
    /// Forecast the last ledgers from those before them, and measure the error
    #[arg(long)]
    backtest: bool,
    /// How many of the last ledgers to hold out [default: a third of them, twelve at most]
    #[arg(long, value_name = "N", requires = "backtest")]
    holdout: Option<usize>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    match &args.scenario {
        Some(scenario) if !args.backtest => exec_forecast(args, scenario, common),
        scenario => exec_backtest(args, scenario.as_deref(), common),
    }
}

fn exec_forecast(args: &Args, scenario: &str, common: &Common) -> Result<()> {
    let measure =
        args.inventory.as_ref().map(|url| |policy: &Policy| row_bytes(url, args.config.as_deref(), policy, common));
    let options = ForecastOptions {
        ledgers: &args.ledger,
        scenario,
        row_bytes: measure.as_ref().map(|measure| measure as _),
        out: args.out.as_deref(),
    };
    let progress = TerminalProgress::new(common);
    let made = forecast_files(&options, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&ForecastDocument::new(&made.forecast, made.scenario.price_per_gb_month));
    }
    remark_size(common, made.ledgers, &made.scenario, seconds);
    print(&summary(&made.forecast))
}

fn exec_backtest(args: &Args, scenario: Option<&str>, common: &Common) -> Result<()> {
    let options = BacktestOptions { ledgers: &args.ledger, scenario, holdout: args.holdout, out: args.out.as_deref() };
    let progress = TerminalProgress::new(common);
    let made = backtest_files(&options, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&BacktestDocument::new(&made.backtest));
    }
    remark_size(common, made.ledgers, &made.scenario, seconds);
    print(&horizons(&made.backtest))
}

fn remark_size(common: &Common, ledgers: usize, scenario: &Scenario, seconds: f64) {
    let futures = figures::count(u64::from(scenario.simulations));
    remark(common, &format!("{ledgers} ledgers, {futures} simulated futures, {seconds:.2} s"));
}

/// The bytes of a row in the live inventory.
fn row_bytes(url: &DatabaseUrl, config: Option<&Path>, policy: &Policy, common: &Common) -> Result<f64> {
    let weight = smi::weigh(&Target::parse(url.as_str())?, &Config::load(config)?, policy)?;
    let Some(bytes) = weight.per_row() else {
        return Err(Error::Inventory {
            what: format!("table {} has no rows to measure", weight.table),
            remedy: "give `bytes_per_row` under [storage] of the scenario".into(),
        });
    };
    remark(common, &format!("{} has {} rows of {bytes:.1} bytes", weight.table, figures::count(weight.rows)));
    Ok(bytes)
}

/// Two tables with a row for each policy: deletions and alerts, and what is left at the end; then what there is to say.
fn summary(forecast: &Forecast) -> String {
    let end = forecast.days.last().map(|&day| format_day(day)).unwrap_or_default();
    let flows = forecast.policies.iter().filter_map(|policy| {
        let all = policy.all()?;
        let first = all.months.first()?;
        let (peak, alerts) = all.peak(ForecastMeasure::Alerts);
        Some(vec![
            policy.policy.clone(),
            count(first[ForecastMeasure::Deleted as usize].median),
            with_band(all.total(ForecastMeasure::Deleted)),
            with_band(all.total(ForecastMeasure::Alerts)),
            with_band(alerts),
            format_day(*forecast.days.get(peak)?),
        ])
    });
    let header = ["policy", "due on the first day", "deletions in total", "alerts in total", "most alerts", "in"];
    let flows = figures::table(&header, flows);
    let stocks = forecast.policies.iter().filter_map(|policy| {
        let all = policy.all()?;
        let (retained, rows) = (all.last(ForecastMeasure::Retained), all.last(ForecastMeasure::Rows));
        #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
        let weight = |rows: i64| bytes(rows as f64 * forecast.bytes_per_row);
        Some(vec![
            policy.policy.clone(),
            with_band(retained),
            policy.boxes.as_ref().map_or_else(String::new, |own| with_band(own.last(ForecastMeasure::Retained))),
            weight(retained.median),
            with_band(rows),
            weight(rows.median),
        ])
    });
    let header =
        ["at the end", "devices retained", "hubs (boxes) retained", "bytes retained", "rows", "bytes of all rows"];
    let mut text = format!(
        "{flows}\n{}\nThe forecast ends on {end}. Figures are medians, with the 80 % band in brackets.\n\
         A row takes {:.1} bytes, {}.\n",
        figures::table(&header, stocks),
        forecast.bytes_per_row,
        forecast.bytes_from.description()
    );
    if forecast.policies.iter().any(|policy| policy.boxes.is_some()) {
        text.push_str(if forecast.hubs_paired {
            "A hub is a CHF and a GPF in one box. They are drawn together.\n"
        } else {
            "CHF and GPF of this ledger are not in pairs. The boxes are those of the type with more devices.\n"
        });
    }
    for finding in &forecast.findings {
        text.push_str(&format!("{}: {finding}.\n", if finding.warns() { "warning" } else { "note" }));
    }
    text
}

fn count(number: i64) -> String {
    figures::count(u64::try_from(number).unwrap_or_default())
}

fn with_band(own: Quantiles) -> String {
    if own.low == own.high {
        return count(own.median);
    }
    format!("{} ({} to {})", count(own.median), count(own.low), count(own.high))
}

/// A table with a row for each horizon.
fn horizons(tested: &Backtest) -> String {
    let header = ["months ahead", "figures", "median error", "largest error", "within the band"];
    let share = |share: f64| format!("{:.1} %", share * 100.0);
    let rows = tested.horizons().into_iter().map(|horizon| {
        vec![
            horizon.months.to_string(),
            horizon.points.to_string(),
            share(horizon.median_error),
            share(horizon.worst_error),
            share(horizon.coverage),
        ]
    });
    format!(
        "{}\n{} of {} figures are within the 80 % band.\n",
        figures::table(&header, rows),
        share(tested.coverage()),
        tested.points.len()
    )
}
