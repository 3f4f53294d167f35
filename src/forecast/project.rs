//! The forecast of an estate: rates applied to the strata of a ledger, for all policies of a scenario.

use std::collections::BTreeMap;

use super::outcome::{Forecast, FutureCollector};
use super::parties;
use super::rates::TypeRates;
use super::scenario::Scenario;
use super::simulate::Simulation;
use super::strata::{PolicyEffect, StartingEstate, bind};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::pool::Pool;
use crate::progress::Progress;

/// Forecasts an estate from its last ledger. Month 0 is the ledger's moment: its figures are those of a sweep of that
/// day. `rates` are by type code.
///
/// # Errors
/// Policies that need counts which the ledger does not have, or an interruption.
pub fn forecast(
    ledger: &Ledger,
    rates: &BTreeMap<u8, TypeRates>,
    scenario: &Scenario,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Forecast> {
    let rules = bind(ledger, &scenario.policies)?;
    let mut start = StartingEstate::new(ledger, &scenario.policies);
    start.expect_arrivals(scenario);
    let effects = rules
        .iter()
        .map(|rules| start.strata.iter().map(|stratum| PolicyEffect::of(ledger, rules, stratum.key)).collect())
        .collect();
    let simulation = Simulation { start: &start, scenario, rules: &rules, effects, progress };
    let mut collector = FutureCollector::new(scenario);
    let no_rates = TypeRates::none();
    for type_code in start.types() {
        let rates = rates.get(&type_code).unwrap_or(&no_rates);
        let futures = simulation.futures(type_code, rates, pool)?;
        collector.add(type_code, &futures, pool)?;
    }
    let parties = parties::expected_alerts(ledger, &simulation, rates);
    let policies = collector.finish(ledger, scenario, parties, pool)?;
    Ok(Forecast::new(ledger, scenario, rates, policies))
}
