//! Alerts by party and month, in expectation and with a band.
//!
//! Of a cohort that is a months old, the devices that survive to the threshold m raise alerts m - a months from now. The
//! share that survives is the product of one minus the hazard over the months between. The band comes from a part of
//! the simulated futures: each has its own hazards and arrivals, and draws the survivors of each party.

use std::collections::BTreeMap;

use super::draw::{arrivals, binomial};
use super::quantiles::Quantiles;
use super::rates::{Rates, TypeRates};
use super::schedule::Schedule;
use super::simulate::Simulation;
use super::strata::{PartyStratum, PolicyEffect};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::pool::Pool;
use crate::scan::Parties;

/// Futures that bands of parties are taken from, at most.
const FUTURES: u32 = 200;

/// Alerts of a party under a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PartyAlerts {
    /// Its name; `None` for devices without a party.
    pub party: Option<String>,
    /// Expected alerts of each month, from month 0.
    pub alerts: Vec<f64>,
    /// Their quantiles.
    pub months: Vec<Quantiles>,
    /// The quantiles of the alerts of all months together.
    pub total: Quantiles,
}

impl PartyAlerts {
    /// Expected alerts of all months.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.alerts.iter().sum()
    }

    /// Its name in tables for readers.
    #[must_use]
    pub fn name(&self) -> &str {
        self.party.as_deref().unwrap_or("no party")
    }

    /// The month with the most expected alerts, and these.
    #[must_use]
    pub fn peak(&self) -> (usize, f64) {
        let months = self.alerts.iter().copied().enumerate();
        months.fold((0, 0.0), |peak, month| if month.1 > peak.1 { month } else { peak })
    }
}

/// For each policy the parties that are alerted, those with the most alerts first.
///
/// # Errors
/// An interruption.
pub fn alerts(
    ledger: &Ledger,
    simulation: &Simulation<'_>,
    rates: &Rates,
    pool: &Pool,
) -> Result<Vec<Vec<PartyAlerts>>> {
    (0..simulation.rules.len())
        .map(|policy| {
            let survivals = survivals(simulation, rates, policy);
            let mut by_party: BTreeMap<u32, Vec<(&PartyStratum, &Survivals)>> = BTreeMap::new();
            for own in &simulation.start.parties {
                let type_code = simulation.start.strata[own.stratum].key.type_code;
                let alerted = simulation.effects[policy][own.stratum] == PolicyEffect::DeleteWithAlert;
                if let (true, Some(survivals)) = (alerted, survivals.get(&type_code)) {
                    by_party.entry(own.party).or_default().push((own, survivals));
                }
            }
            let months = simulation.scenario.months as usize + 1;
            let made = pool.map(by_party.into_iter().collect(), |(party, strata)| {
                if simulation.progress.interrupted() {
                    return Err(Error::Interrupted);
                }
                let name = (party != Parties::NONE).then(|| ledger.party_name(party).to_owned());
                Ok(party_alerts(name, &strata, months))
            })?;
            let mut made: Vec<PartyAlerts> = made.into_iter().filter(|party| party.expected() > 0.0).collect();
            made.sort_by(|one, other| other.expected().total_cmp(&one.expected()));
            Ok(made)
        })
        .collect()
}

/// The survival of each type's devices to the threshold of a policy.
fn survivals(simulation: &Simulation<'_>, rates: &Rates, policy: usize) -> BTreeMap<u8, Survivals> {
    let types = rates.by_type.iter().map(|(&code, rates)| (code, Survivals::new(simulation, (code, rates), policy)));
    types.collect()
}

/// How the devices of a type survive to their threshold.
struct Survivals {
    schedule: Schedule,
    /// In expectation.
    median: Survival,
    /// In each of some futures, with its random numbers.
    futures: Vec<(Survival, rand_chacha::ChaCha8Rng)>,
    dispersion: f64,
}

/// Survival to the threshold with some hazards.
struct Survival {
    /// Probability by the age in months at month 0; 0 if the threshold is not reached within the forecast.
    by_age: Vec<f64>,
    /// Expected survivors among the arrivals of each month, from month 1, with the month in which they are deleted.
    of_arrivals: Vec<(usize, f64)>,
}

impl Survivals {
    fn new(simulation: &Simulation<'_>, (code, rates): (u8, &TypeRates), policy: usize) -> Self {
        let schedule = simulation.schedule(policy, code);
        let expected: Vec<f64> = (simulation.widths.iter().enumerate())
            .map(|(month, width)| {
                #[expect(clippy::cast_precision_loss, reason = "months are few")]
                let years = (month as f64 + 0.5) / 12.0;
                let mean = rates.arrivals.pattern.as_ref().map_or(rates.arrivals.mean, |own| own.rate(years));
                mean * width
            })
            .collect();
        let hazards: Vec<f64> = (0..=simulation.start.oldest).map(|age| rates.hazard(age)).collect();
        let futures = (0..simulation.scenario.simulations.min(FUTURES)).map(|future| {
            let (drawn, rng) = simulation.drawn(code, rates, future);
            (Survival::new(simulation, (code, &schedule), &drawn.hazards, &drawn.arrivals), rng)
        });
        Self {
            median: Survival::new(simulation, (code, &schedule), &hazards, &expected),
            futures: futures.collect(),
            dispersion: rates.arrivals.dispersion,
            schedule,
        }
    }
}

impl Survival {
    fn new(simulation: &Simulation<'_>, (code, schedule): (u8, &Schedule), hazards: &[f64], arrivals: &[f64]) -> Self {
        let months = simulation.scenario.months;
        let factors: Vec<_> = (1..=months).map(|month| simulation.factors(code, month)).collect();
        let survival = |age: usize, from: usize, until: usize| -> f64 {
            let passed = (age..).zip(from..until);
            passed
                .map(|(age, month)| 1.0 - (hazards[age.min(hazards.len() - 1)] * factors[month].hazard).clamp(0.0, 1.0))
                .product()
        };
        let by_age =
            (0..hazards.len()).map(|age| schedule.deleted_in(age, 0).map_or(0.0, |until| survival(age, 0, until)));
        let of_arrivals = arrivals.iter().enumerate().filter_map(|(before, arrived)| {
            let month = before + 1;
            let until = schedule.deleted_in(0, month)?;
            Some((until, arrived * factors[before].arrivals * survival(0, month, until)))
        });
        Self { by_age: by_age.collect(), of_arrivals: of_arrivals.collect() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn party_alerts(party: Option<String>, strata: &[(&PartyStratum, &Survivals)], months: usize) -> PartyAlerts {
    let mut alerts = vec![0.0; months];
    for (own, survivals) in strata {
        for (age, &rows) in own.ages.iter().enumerate().filter(|(_, rows)| **rows > 0) {
            if let Some(month) = survivals.schedule.deleted_in(age, 0) {
                alerts[month] += rows as f64 * survivals.median.by_age[age];
            }
        }
        for &(month, arrived) in &survivals.median.of_arrivals {
            alerts[month] += own.share * arrived;
        }
    }
    let futures = strata.first().map_or(0, |(_, survivals)| survivals.futures.len());
    let drawn: Vec<Vec<i64>> = (0..futures).map(|future| drawn_alerts(strata, future, months)).collect();
    let mut totals: Vec<i64> = drawn.iter().map(|future| future.iter().sum()).collect();
    let total = Quantiles::of(&mut totals);
    let month = |month: usize| Quantiles::of(&mut drawn.iter().map(|future| future[month]).collect::<Vec<i64>>());
    PartyAlerts { party, alerts, months: (0..months).map(month).collect(), total }
}

/// The alerts of a party in one future, by month.
fn drawn_alerts(strata: &[(&PartyStratum, &Survivals)], future: usize, months: usize) -> Vec<i64> {
    let mut alerts = vec![0; months];
    for (own, survivals) in strata {
        let (survival, rng) = &survivals.futures[future];
        let mut rng = rng.clone();
        // Parties of one future share its rates, and have random numbers of their own.
        rng.set_stream(rng.get_stream() ^ (u64::from(own.party) + 1) << 40);
        for (age, &rows) in own.ages.iter().enumerate().filter(|(_, rows)| **rows > 0) {
            if let Some(month) = survivals.schedule.deleted_in(age, 0) {
                alerts[month] += binomial(rows, survival.by_age[age], &mut rng) as i64;
            }
        }
        for &(month, arrived) in &survival.of_arrivals {
            alerts[month] += arrivals(own.share * arrived, survivals.dispersion, &mut rng) as i64;
        }
    }
    alerts
}
