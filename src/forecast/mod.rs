//! Capacity and storage: what policies do to the inventory month by month. Pure arithmetic over ledgers.
//!
//! [`history::in_order`] checks that ledgers belong together, [`rates::estimate`] says how fast devices arrive and leave,
//! and [`forecast`] moves the cohorts of the last ledger forward through many futures. [`backtest`] holds out the last
//! ledgers, and tells how far the forecast would have been off. Nothing here reads a snapshot.

pub mod backtest;
pub mod history;
mod lines;
mod outcome;
mod page;
mod parties;
pub mod rates;
pub mod scenario;
mod simulate;
pub mod write;

use std::collections::BTreeMap;

pub use outcome::{BytesFrom, Forecast, Outlook, Series, Spread};
pub use page::bytes;
pub use parties::PartyOutlook;
pub use scenario::Scenario;
pub use simulate::Measure;

use crate::error::Result;
use crate::ledger::Ledger;
use crate::pool::Pool;
use crate::progress::Progress;
use lines::{Fate, Start};
use outcome::Collector;
use rates::Rates;
use simulate::Setting;

/// Forecasts an estate from its last ledger. Month 0 is its moment: what housekeeping would do on that day.
///
/// # Errors
/// Policies that ask what the ledger has not counted, or an interruption.
pub fn forecast(
    ledger: &Ledger,
    rates: &BTreeMap<u8, Rates>,
    scenario: &Scenario,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Forecast> {
    let rules = lines::bind(ledger, &scenario.policies)?;
    let mut start = Start::of(ledger, &scenario.policies);
    start.expect_arrivals(scenario);
    let fates =
        rules.iter().map(|rules| start.lines.iter().map(|line| Fate::of(ledger, rules, line.kind)).collect()).collect();
    let setting = Setting { start: &start, scenario, rules: &rules, fates, progress };
    let mut collector = Collector::new(scenario);
    let nothing = Rates::none();
    for type_code in start.types() {
        let rates = rates.get(&type_code).unwrap_or(&nothing);
        let futures = setting.futures(type_code, rates, pool)?;
        collector.add(type_code, &futures, pool)?;
    }
    let parties = parties::outlooks(ledger, &setting, rates);
    collector.finish(ledger, scenario, rates.clone(), parties, pool)
}
