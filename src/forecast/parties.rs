//! Which party is told how often: expected alerts by party and month.
//!
//! Expectation needs no chance: of a cohort that is a months old, those that reach the threshold m are told of m - a
//! months from now, and how many they are is the product of the hazards on the way.

use std::collections::BTreeMap;

use super::lines::Fate;
use super::rates::Rates;
use super::simulate::Setting;
use crate::ledger::Ledger;

/// What a party has to expect under a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PartyOutlook {
    /// Its name; `(none)` where the devices have none.
    pub party: String,
    /// Expected alerts of each month, from 0.
    pub alerts: Vec<f64>,
}

impl PartyOutlook {
    /// Of all months.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.alerts.iter().sum()
    }

    /// The month with the most alerts, and how many they are.
    #[must_use]
    pub fn peak(&self) -> (usize, f64) {
        let months = self.alerts.iter().copied().enumerate();
        months.fold((0, 0.0), |peak, month| if month.1 > peak.1 { month } else { peak })
    }
}

/// For each policy, the parties that are told of anything, most alerts first.
#[must_use]
pub fn outlooks(ledger: &Ledger, setting: &Setting<'_>, rates: &BTreeMap<u8, Rates>) -> Vec<Vec<PartyOutlook>> {
    (0..setting.rules.len()).map(|policy| of_policy(ledger, setting, rates, policy)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn of_policy(ledger: &Ledger, setting: &Setting<'_>, rates: &BTreeMap<u8, Rates>, policy: usize) -> Vec<PartyOutlook> {
    let months = setting.scenario.months as usize;
    let mut ways: BTreeMap<u8, Way> = BTreeMap::new();
    let mut by_party: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for own in &setting.start.parties {
        let type_code = setting.start.lines[own.line].kind.type_code;
        if setting.fates[policy][own.line] != Fate::Alert {
            continue;
        }
        let threshold = (setting.rules[policy].months(type_code) as usize).min(setting.start.oldest);
        let Some(rates) = rates.get(&type_code) else { continue };
        let way = ways.entry(type_code).or_insert_with(|| Way::new(setting, rates, type_code, threshold));
        let alerts = by_party.entry(own.party).or_insert_with(|| vec![0.0; months + 1]);
        alerts[0] += own.ages[threshold..].iter().sum::<u64>() as f64;
        for (age, &rows) in own.ages[..threshold].iter().enumerate() {
            if let Some(alerts) = alerts.get_mut(threshold - age) {
                *alerts += rows as f64 * way.from_age[age];
            }
        }
        for (month, arrived) in way.of_arrivals.iter().enumerate() {
            if let Some(alerts) = alerts.get_mut(month + 1 + threshold) {
                *alerts += own.share * arrived;
            }
        }
    }
    let mut outlooks: Vec<PartyOutlook> = by_party
        .into_iter()
        .map(|(party, alerts)| PartyOutlook { party: ledger.party_name(party).to_owned(), alerts })
        .filter(|outlook| outlook.total() > 0.0)
        .collect();
    outlooks.sort_by(|one, other| other.total().total_cmp(&one.total()));
    outlooks
}

/// The way of a type's devices to their threshold.
struct Way {
    /// Which part of those of each age reaches it.
    from_age: Vec<f64>,
    /// How many of those that arrive in each month, from 1, reach it.
    of_arrivals: Vec<f64>,
}

impl Way {
    fn new(setting: &Setting<'_>, rates: &Rates, type_code: u8, threshold: usize) -> Self {
        let months = setting.scenario.months;
        let reach = |age: usize, month: u32| -> f64 {
            (age..threshold)
                .zip(month + 1..)
                .map(|(age, month)| 1.0 - (rates.hazard(age) * setting.factors(type_code, month).1).clamp(0.0, 1.0))
                .product()
        };
        let arrived = |month: u32| rates.arrivals.mean * setting.factors(type_code, month).0;
        // What arrives so late that the forecast ends before its threshold is nobody's alert yet.
        let last = months.saturating_sub(threshold as u32);
        Self {
            from_age: (0..threshold).map(|age| reach(age, 0)).collect(),
            of_arrivals: (1..=last).map(|month| arrived(month) * reach(0, month)).collect(),
        }
    }
}
