//! The forecast of an estate: rates applied to the strata of a ledger, for all policies of a scenario.

use super::finding::Finding;
use super::outcome::{Forecast, PolicyForecast, TypeForecast, quantiles};
use super::parties;
use super::rates::{Rates, TypeRates};
use super::scenario::{HazardSource, Scenario};
use super::simulate::{ForecastMeasure, MEASURES, SimulatedFuture, SimulatedGroup, Simulation};
use super::strata::{PolicyEffect, StartingEstate, bind, hubs_are_paired};
use crate::error::Result;
use crate::estate::DeviceType;
use crate::estate::time::{add_months, day_of};
use crate::forecast::history::MONTH_DAYS;
use crate::ledger::Ledger;
use crate::pool::Pool;
use crate::progress::Progress;

/// Bytes that simulated futures may take at a time. More policies are simulated one part after the other.
const MOST_BYTES: usize = 320 << 20;
/// Sets of futures that are in memory together: the sums of all types, and the two types of a hub.
const SETS: usize = 3;
/// The part of a figure that may rest on ages never observed without a word.
const UNSAID_SHARE: f64 = 0.005;
/// The name of hubs counted as boxes.
const BOXES: &str = "hubs (boxes)";

/// Forecasts an estate from its last ledger. Month 0 is the ledger's moment: its figures are those of a sweep of that
/// day.
///
/// # Errors
/// Policies that need counts which the ledger does not have, or an interruption.
pub fn forecast(
    ledger: &Ledger,
    rates: &Rates,
    scenario: &Scenario,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Forecast> {
    let rules = bind(ledger, &scenario.policies)?;
    let mut start = StartingEstate::new(ledger, scenario);
    start.expect_arrivals(scenario);
    let effects = rules
        .iter()
        .map(|rules| start.strata.iter().map(|stratum| PolicyEffect::of(ledger, rules, stratum.key)).collect())
        .collect();
    let widths = month_widths(ledger, scenario.months);
    let simulation = Simulation { start: &start, scenario, rules: &rules, effects, widths, progress };
    let paired = hubs_are_paired(ledger) && hubs_have_one_rate(scenario);
    let mut policies: Vec<PolicyForecast> = Vec::new();
    for block in blocks(scenario) {
        let made = policies_of(&simulation, (ledger, rates), (&block, paired), pool)?;
        // The first policy is in every block, because differences are from it.
        policies.extend(made.into_iter().skip(usize::from(!policies.is_empty())));
    }
    for (policy, parties) in policies.iter_mut().zip(parties::alerts(ledger, &simulation, rates, pool)?) {
        policy.parties = parties;
    }
    let mut forecast = Forecast::new(ledger, scenario, rates, policies);
    forecast.hubs_paired = paired;
    let unobserved = unobserved(ledger, &simulation, rates, &forecast);
    forecast.findings.extend(unobserved);
    Ok(forecast)
}

/// The days of each month from month 1, as a multiple of an average month.
#[must_use]
pub fn month_widths(ledger: &Ledger, months: u32) -> Vec<f64> {
    let today = day_of(ledger.as_of);
    let day = |month: u32| add_months(today, month).unwrap_or(today);
    (0..months).map(|month| f64::from(day(month + 1) - day(month)) / MONTH_DAYS).collect()
}

/// Whether the scenario treats the two devices of a hub alike.
fn hubs_have_one_rate(scenario: &Scenario) -> bool {
    let (chf, gpf) = (DeviceType::CHF, DeviceType::GPF);
    let like = |source: Option<&HazardSource>| match source {
        Some(HazardSource::Like(other)) if *other == chf.code() || *other == gpf.code() => None,
        other => other.cloned(),
    };
    like(scenario.hazards.get(&chf.code())) == like(scenario.hazards.get(&gpf.code()))
        && scenario.arrivals.get(&chf.code()) == scenario.arrivals.get(&gpf.code())
        && scenario.changes.iter().all(|change| change.types.contains(chf) == change.types.contains(gpf))
}

/// The policies that are simulated at a time, by index. The first is in each block.
fn blocks(scenario: &Scenario) -> Vec<Vec<usize>> {
    let numbers = (scenario.months as usize + 1) * MEASURES * scenario.simulations as usize;
    let fits = (MOST_BYTES / (numbers * size_of::<i32>() * SETS)).max(2);
    let others: Vec<usize> = (1..scenario.policies.len()).collect();
    let block = |others: &[usize]| [&[0], others].concat();
    if others.is_empty() { vec![vec![0]] } else { others.chunks(fits - 1).map(block).collect() }
}

/// The forecasts of some policies.
fn policies_of(
    simulation: &Simulation<'_>,
    (ledger, rates): (&Ledger, &Rates),
    (block, paired): (&[usize], bool),
    pool: &Pool,
) -> Result<Vec<PolicyForecast>> {
    let months = simulation.scenario.months as usize + 1;
    let shape = (block.len(), months);
    let no_rates = TypeRates::none();
    let zeros = || vec![0; block.len() * months * MEASURES];
    let mut sums: Vec<SimulatedFuture> = (0..simulation.scenario.simulations).map(|_| zeros()).collect();
    let named = block.iter().filter_map(|policy| simulation.scenario.policies.get(*policy));
    let mut made: Vec<PolicyForecast> = named
        .map(|policy| PolicyForecast {
            policy: policy.name.clone(),
            types: Vec::new(),
            boxes: None,
            parties: Vec::new(),
        })
        .collect();
    let (hubs, types) = groups(&simulation.start.types());
    let mut by_code: Vec<(u8, Vec<TypeForecast>)> = Vec::new();
    let mut add = |group: &[u8], boxes: &mut Option<Vec<SimulatedFuture>>| -> Result<()> {
        let own = group.iter().map(|code| rates.by_type.get(code).unwrap_or(&no_rates)).collect();
        let group = SimulatedGroup { types: group, rates: own };
        for (code, futures) in group.types.iter().zip(simulation.futures(&group, block, pool)?) {
            for (sum, future) in sums.iter_mut().zip(&futures) {
                sum.iter_mut().zip(future).for_each(|(sum, own)| *sum = sum.saturating_add(*own));
            }
            let name = ledger.types.name(*code);
            let own = quantiles(&futures, shape, pool)?.into_iter().map(|own| own.named(name));
            by_code.push((*code, own.collect()));
            if hubs.contains(code) {
                *boxes = Some(match boxes.take() {
                    Some(first) => larger(first, &futures),
                    None => futures,
                });
            }
        }
        Ok(())
    };
    let mut boxes = None;
    if paired {
        add(&hubs, &mut boxes)?;
    } else {
        hubs.iter().try_for_each(|code| add(&[*code], &mut boxes))?;
    }
    if let Some(boxes) = boxes.take() {
        for (policy, own) in made.iter_mut().zip(quantiles(&boxes, shape, pool)?) {
            policy.boxes = Some(own.named(BOXES));
        }
    }
    types.iter().try_for_each(|code| add(&[*code], &mut None))?;
    by_code.sort_by_key(|(code, _)| *code);
    let all = quantiles(&sums, shape, pool)?.into_iter().map(|own| own.named("all")).collect();
    for own in by_code.into_iter().map(|(_, own)| own).chain([all]) {
        made.iter_mut().zip(own).for_each(|(policy, own)| policy.types.push(own));
    }
    Ok(made)
}

/// The types of hubs, CHF first, and all others.
fn groups(types: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let hubs = [DeviceType::CHF.code(), DeviceType::GPF.code()];
    let of_hubs = hubs.into_iter().filter(|code| types.contains(code)).collect();
    (of_hubs, types.iter().copied().filter(|code| !hubs.contains(code)).collect())
}

/// The larger figure of two types in each future: a box has one device of each, so there are at least so many boxes.
fn larger(mut first: Vec<SimulatedFuture>, other: &[SimulatedFuture]) -> Vec<SimulatedFuture> {
    for (first, other) in first.iter_mut().zip(other) {
        first.iter_mut().zip(other).for_each(|(own, other)| *own = (*own).max(*other));
    }
    first
}

/// What rests on ages that no ledger shows, by policy: retained devices, and alerts.
fn unobserved(ledger: &Ledger, simulation: &Simulation<'_>, rates: &Rates, forecast: &Forecast) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, policy) in forecast.policies.iter().enumerate() {
        let Some(all) = policy.all() else { continue };
        let from = |code: u8| rates.by_type.get(&code).map_or(usize::MAX, TypeRates::observed_until);
        let ages = |names: &mut dyn Iterator<Item = u8>| -> Vec<(String, u32)> {
            names.map(|code| (ledger.types.name(code).to_owned(), from(code) as u32)).collect()
        };
        let codes = simulation.start.types();
        let of_type = |code: &u8| policy.types.iter().find(|own| own.name == ledger.types.name(*code));
        let retains = |code: &u8| of_type(code).is_some_and(|own| own.last(ForecastMeasure::Unobserved).high > 0);
        if all.unobserved_share() > UNSAID_SHARE {
            findings.push(Finding::Unobserved {
                policy: policy.policy.clone(),
                figure: "what is retained at the end",
                share: all.unobserved_share(),
                types: ages(&mut codes.iter().copied().filter(|code| retains(code))),
            });
        }
        let beyond: Vec<u8> = codes
            .iter()
            .copied()
            .filter(|code| {
                // The last month before the threshold hardly matters.
                let threshold = simulation.schedule(index, *code).threshold(simulation.scenario.months as usize);
                threshold > from(*code).saturating_add(1)
            })
            .collect();
        let alerts = |own: &TypeForecast| {
            let first = own.months.first().map_or(0, |month| month[ForecastMeasure::Alerts as usize].median);
            (own.total(ForecastMeasure::Alerts).median - first).max(0)
        };
        let sum: i64 = beyond.iter().filter_map(of_type).map(alerts).sum();
        #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
        let share = sum as f64 / alerts(all).max(1) as f64;
        if sum > 0 && share > UNSAID_SHARE {
            findings.push(Finding::Unobserved {
                policy: policy.policy.clone(),
                figure: "the alerts after the first day",
                share: share.min(1.0),
                types: ages(
                    &mut beyond.iter().copied().filter(|code| of_type(code).is_some_and(|own| alerts(own) > 0)),
                ),
            });
        }
    }
    findings
}
