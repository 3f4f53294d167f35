//! `smi-sweep forecast`: what policies do to the inventory, month by month.

use std::path::{Path, PathBuf};

use super::load::DatabaseUrl;
use super::progress::TerminalProgress;
use super::{Common, figures, print, print_json, remark};
use crate::error::{Error, Result};
use crate::estate::time::format_day;
use crate::forecast::backtest::{Backtest, backtest};
use crate::forecast::{Forecast, Measure, Scenario, bytes, forecast, history, rates, write};
use crate::ledger::Ledger;
use crate::output::OutputDirectory;
use crate::smi::{self, Config, Target};

/// Forecast what policies do to the inventory month by month: devices waiting, deleted, retained, alerts, storage
///
/// With two or more ledgers, arrivals and the hazard of leaving are estimated from them; with one, from its ages, as if
/// the estate did not change. The scenario may say otherwise.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Ledgers of one estate, made by `smi-sweep ledger`
    #[arg(required = true, value_name = "LEDGER")]
    ledger: Vec<PathBuf>,
    /// What is asked and assumed, as TOML
    #[arg(long, value_name = "FILE", required_unless_present = "backtest")]
    scenario: Option<String>,
    /// The folder to write, which must not exist yet: tables (CSV, Parquet), a JSON document, a page with pictures
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the bytes of a row from this inventory, as it lies on the disk of its server
    #[arg(long, value_name = "URL", conflicts_with = "backtest")]
    inventory: Option<DatabaseUrl>,
    /// Where the device table of the inventory is [default: public.device]
    #[arg(long, value_name = "FILE", requires = "inventory")]
    config: Option<PathBuf>,
    /// Forecast the last ledgers from those before them, and tell how far that is off
    #[arg(long)]
    backtest: bool,
    /// How many ledgers are held out [default: a third of them, twelve at most]
    #[arg(long, value_name = "N", requires = "backtest")]
    holdout: Option<usize>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let staging = args.out.as_ref().map(|out| OutputDirectory::create(out)).transpose()?;
    let ledgers = args.ledger.iter().map(|path| Ledger::read(path)).collect::<Result<Vec<_>>>()?;
    let ledgers = history::in_order(ledgers)?;
    let Some(last) = ledgers.last() else { return Ok(()) };
    let mut scenario = match &args.scenario {
        Some(path) => Scenario::load(path, &last.types)?,
        None => Scenario::default(),
    };
    if let Some(url) = &args.inventory {
        weigh(url, args.config.as_deref(), &mut scenario, common)?;
    }
    let pool = common.pool();
    let progress = TerminalProgress::new(common);
    let (text, document) = if args.backtest {
        let tested = backtest(&ledgers, &scenario, args.holdout, &pool, &progress)?;
        if let Some(staging) = &staging {
            write::backtest(staging.path(), &tested)?;
        }
        (horizons(&tested), write::backtest_document(&tested))
    } else {
        let rates = rates::estimate(&ledgers, &scenario)?;
        let forecast = forecast(last, &rates, &scenario, &pool, &progress)?;
        if let Some(staging) = &staging {
            write::forecast(staging.path(), &forecast, scenario.price_per_gb_month)?;
        }
        (summary(&forecast), write::document(&forecast, scenario.price_per_gb_month))
    };
    let (_, seconds) = progress.finish();
    if let Some(staging) = staging {
        staging.publish(&pool)?;
    }
    if common.json {
        return print_json(&document);
    }
    let futures = figures::count(u64::from(scenario.simulations));
    remark(common, &format!("{} ledgers, {futures} futures, {seconds:.2} s", ledgers.len()));
    print(&text)
}

/// Lets the live inventory say how much a row takes.
fn weigh(url: &DatabaseUrl, config: Option<&Path>, scenario: &mut Scenario, common: &Common) -> Result<()> {
    let Some(policy) = scenario.policies.first() else { return Ok(()) };
    let weight = smi::weigh(&Target::parse(url.as_str())?, &Config::load(config)?, policy)?;
    let Some(bytes) = weight.per_row() else {
        return Err(Error::Inventory {
            what: format!("table {} has no rows to weigh", weight.table),
            remedy: "say `bytes_per_row` under [storage] of the scenario".into(),
        });
    };
    remark(common, &format!("{} has {} rows of {bytes:.1} bytes", weight.table, figures::count(weight.rows)));
    scenario.bytes_per_row = Some(bytes);
    scenario.bytes_are_live = true;
    Ok(())
}

/// One line for each policy.
fn summary(forecast: &Forecast) -> String {
    let end = forecast.days.last().map(|&day| format_day(day)).unwrap_or_default();
    let header = [
        "policy",
        "deleted on the first day",
        "deleted in all",
        "alerts in all",
        "most alerts",
        "in",
        "retained at the end",
        "their bytes",
        "rows at the end",
        "bytes",
    ];
    let rows = forecast.outlooks.iter().filter_map(|outlook| {
        let all = outlook.all()?;
        let (first, last) = (all.months.first()?, all.months.last()?);
        let (peak, alerts) = all.peak(Measure::Alerts);
        let count = |number: i64| figures::count(u64::try_from(number).unwrap_or_default());
        let retained = last[Measure::Retained as usize];
        let rows = last[Measure::Rows as usize].median;
        #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
        let weight = |rows: i64| bytes(rows as f64 * forecast.bytes_per_row);
        Some(vec![
            outlook.policy.clone(),
            count(first[Measure::Deleted as usize].median),
            count(all.total(Measure::Deleted)),
            count(all.total(Measure::Alerts)),
            count(alerts),
            format_day(*forecast.days.get(peak)?),
            format!("{} ({} to {})", count(retained.median), count(retained.low), count(retained.high)),
            weight(retained.median),
            count(rows),
            weight(rows),
        ])
    });
    format!(
        "{}\nThe end is {end}; figures are medians, in brackets what holds eight futures of ten.\n",
        figures::table(&header, rows)
    )
}

/// One line for each horizon.
fn horizons(tested: &Backtest) -> String {
    let header = ["months ahead", "numbers", "half are off by at most", "worst", "the band held"];
    let share = |share: f64| format!("{:.1} %", share * 100.0);
    let rows = tested.horizons().into_iter().map(|horizon| {
        vec![
            horizon.months.to_string(),
            horizon.points.to_string(),
            share(horizon.median_error),
            share(horizon.worst_error),
            share(horizon.held),
        ]
    });
    format!(
        "{}\nThe band of 80 % held {} of {} numbers.\n",
        figures::table(&header, rows),
        share(tested.held()),
        tested.points.len()
    )
}
