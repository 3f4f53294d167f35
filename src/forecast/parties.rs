//! Expected alerts by party and month.
//!
//! These are expectations, computed without simulation: of a cohort that is a months old, the devices that survive to
//! the threshold m raise alerts m - a months from now. The share that survives is the product of one minus the hazard
//! over the months between.

use std::collections::BTreeMap;

use super::rates::TypeRates;
use super::simulate::Simulation;
use super::strata::PolicyEffect;
use crate::ledger::Ledger;

/// Expected alerts of a party under a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PartyAlerts {
    /// Its name; `(none)` for devices without a party.
    pub party: String,
    /// Expected alerts of each month, from month 0.
    pub alerts: Vec<f64>,
}

impl PartyAlerts {
    /// Alerts of all months.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.alerts.iter().sum()
    }

    /// The month with the most alerts, and its alerts.
    #[must_use]
    pub fn peak(&self) -> (usize, f64) {
        let months = self.alerts.iter().copied().enumerate();
        months.fold((0, 0.0), |peak, month| if month.1 > peak.1 { month } else { peak })
    }
}

/// For each policy the parties that are alerted, those with the most alerts first.
#[must_use]
pub fn expected_alerts(
    ledger: &Ledger,
    simulation: &Simulation<'_>,
    rates: &BTreeMap<u8, TypeRates>,
) -> Vec<Vec<PartyAlerts>> {
    (0..simulation.rules.len()).map(|policy| alerts_of_policy(ledger, simulation, rates, policy)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn alerts_of_policy(
    ledger: &Ledger,
    simulation: &Simulation<'_>,
    rates: &BTreeMap<u8, TypeRates>,
    policy: usize,
) -> Vec<PartyAlerts> {
    let months = simulation.scenario.months as usize;
    let mut survival: BTreeMap<u8, SurvivalToThreshold> = BTreeMap::new();
    let mut by_party: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for own in &simulation.start.parties {
        let type_code = simulation.start.strata[own.stratum].key.type_code;
        if simulation.effects[policy][own.stratum] != PolicyEffect::DeleteWithAlert {
            continue;
        }
        let threshold = simulation.threshold(policy, type_code);
        let Some(rates) = rates.get(&type_code) else { continue };
        let survival = survival
            .entry(type_code)
            .or_insert_with(|| SurvivalToThreshold::new(simulation, rates, type_code, threshold));
        let alerts = by_party.entry(own.party).or_insert_with(|| vec![0.0; months + 1]);
        alerts[0] += own.ages[threshold..].iter().sum::<u64>() as f64;
        for (age, &rows) in own.ages[..threshold].iter().enumerate() {
            if let Some(alerts) = alerts.get_mut(threshold - age) {
                *alerts += rows as f64 * survival.by_age[age];
            }
        }
        for (month, arrived) in survival.of_arrivals.iter().enumerate() {
            if let Some(alerts) = alerts.get_mut(month + 1 + threshold) {
                *alerts += own.share * arrived;
            }
        }
    }
    let mut parties: Vec<PartyAlerts> = by_party
        .into_iter()
        .map(|(party, alerts)| PartyAlerts { party: ledger.party_name(party).to_owned(), alerts })
        .filter(|party| party.total() > 0.0)
        .collect();
    parties.sort_by(|one, other| other.total().total_cmp(&one.total()));
    parties
}

/// How many devices of a type survive to their threshold.
struct SurvivalToThreshold {
    /// Probability of survival to the threshold, by the age in months at month 0.
    by_age: Vec<f64>,
    /// Expected number of survivors among the arrivals of each month, from month 1.
    of_arrivals: Vec<f64>,
}

impl SurvivalToThreshold {
    fn new(simulation: &Simulation<'_>, rates: &TypeRates, type_code: u8, threshold: usize) -> Self {
        let months = simulation.scenario.months;
        let survival = |age: usize, month: u32| -> f64 {
            (age..threshold)
                .zip(month + 1..)
                .map(|(age, month)| {
                    1.0 - (rates.hazard(age) * simulation.factors(type_code, month).hazard).clamp(0.0, 1.0)
                })
                .product()
        };
        let arrived = |month: u32| rates.arrivals.mean * simulation.factors(type_code, month).arrivals;
        // Devices that arrive later reach their threshold after the end of the forecast.
        let last = months.saturating_sub(threshold as u32);
        Self {
            by_age: (0..threshold).map(|age| survival(age, 0)).collect(),
            of_arrivals: (1..=last).map(|month| arrived(month) * survival(0, month)).collect(),
        }
    }
}
