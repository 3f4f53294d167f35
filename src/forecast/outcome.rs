//! Medians and bands over all simulated futures.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::parties::PartyAlerts;
use super::quantiles::Quantiles;
use super::rates::{Rates, TypeRates};
use super::scenario::Scenario;
use super::simulate::{ForecastMeasure, MEASURES, SimulatedFuture};
use crate::error::{Error, Result};
use crate::estate::time::{add_months, day_of};
use crate::ledger::Ledger;
use crate::pool::Pool;

/// Bytes of a gigabyte, as storage is priced.
pub const GIGABYTE: f64 = 1e9;

/// The forecast of one type, or of all together, under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeForecast {
    /// Name of the type; `all` for the sum of all types.
    pub name: String,
    /// For each month (0 first) the quantiles of each [`ForecastMeasure`].
    pub months: Vec<[Quantiles; MEASURES]>,
    /// The same for the difference from the first policy within the same future.
    pub differences: Vec<[Quantiles; MEASURES]>,
    /// The quantiles of the sum of each measure over all months.
    pub totals: [Quantiles; MEASURES],
}

impl TypeForecast {
    /// The quantiles of a measure in the last month.
    #[must_use]
    pub fn last(&self, measure: ForecastMeasure) -> Quantiles {
        self.months.last().map_or(Quantiles::default(), |month| month[measure as usize])
    }

    /// The medians of a measure, by month.
    pub fn medians(&self, measure: ForecastMeasure) -> impl Iterator<Item = i64> {
        self.months.iter().map(move |month| month[measure as usize].median)
    }

    /// The month in which the median of a measure is highest, and its quantiles.
    #[must_use]
    pub fn peak(&self, measure: ForecastMeasure) -> (usize, Quantiles) {
        let months = self.months.iter().map(|month| month[measure as usize]).enumerate();
        months.fold((0, Quantiles::default()), |peak, month| if month.1.median > peak.1.median { month } else { peak })
    }

    /// The quantiles of the sum of a measure over all months. It is no sum of quantiles: a month's median is 0 where
    /// devices are few, and the sum is not.
    #[must_use]
    pub const fn total(&self, measure: ForecastMeasure) -> Quantiles {
        self.totals[measure as usize]
    }

    /// The part of the retained devices of the last month that rests on ages never observed, 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    pub fn unobserved_share(&self) -> f64 {
        let retained = self.last(ForecastMeasure::Retained).median;
        let unobserved = self.last(ForecastMeasure::Unobserved).median;
        if retained > 0 { (unobserved as f64 / retained as f64).min(1.0) } else { 0.0 }
    }
}

/// The forecast under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyForecast {
    /// Name of the policy.
    pub policy: String,
    /// By type, types without candidates included. The sum of all types is the last.
    pub types: Vec<TypeForecast>,
    /// The same in boxes for Comms Hubs: a CHF and a GPF are one; `None` without hubs.
    pub boxes: Option<TypeForecast>,
    /// Alerts by party.
    pub parties: Vec<PartyAlerts>,
}

impl PolicyForecast {
    /// The sum of all types.
    #[must_use]
    pub fn all(&self) -> Option<&TypeForecast> {
        self.types.last()
    }
}

/// The forecast of an estate.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Name of the estate, where the ledger has one.
    pub estate: Option<String>,
    /// Whether the estate is synthetic.
    pub synthetic: bool,
    /// The date of each month, days since 1970-01-01; the first is the day of the ledger.
    pub days: Vec<i32>,
    /// By policy, in the order of the scenario.
    pub policies: Vec<PolicyForecast>,
    /// Hazards and arrivals, by the name of the type.
    pub rates: BTreeMap<String, TypeRates>,
    /// What a reader must know before the figures are used.
    pub findings: Vec<Finding>,
    /// Whether the two devices of a hub are drawn together, because the ledger shows them as pairs.
    pub hubs_paired: bool,
    /// Bytes of storage by row.
    pub bytes_per_row: f64,
    /// Where `bytes_per_row` comes from.
    pub bytes_from: RowBytesSource,
}

impl Forecast {
    /// A forecast of the ledger's estate.
    pub(super) fn new(ledger: &Ledger, scenario: &Scenario, rates: &Rates, policies: Vec<PolicyForecast>) -> Self {
        let today = day_of(ledger.as_of);
        let named = rates.by_type.iter().map(|(code, rates)| (ledger.types.name(*code).to_owned(), rates.clone()));
        Self {
            estate: ledger.estate.clone(),
            synthetic: ledger.synthetic,
            days: (0..=scenario.months).map(|month| add_months(today, month).unwrap_or(today)).collect(),
            policies,
            rates: named.collect(),
            findings: rates.findings.clone(),
            hubs_paired: false,
            bytes_per_row: scenario.bytes_per_row.or_else(|| ledger.bytes_per_row()).unwrap_or_default(),
            bytes_from: match scenario.bytes_per_row {
                None => RowBytesSource::Snapshot,
                Some(_) if scenario.bytes_are_live => RowBytesSource::Inventory,
                Some(_) => RowBytesSource::Scenario,
            },
        }
    }
}

/// Where the bytes of a row come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowBytesSource {
    /// Measured in the snapshot's files when the ledger was counted.
    Snapshot,
    /// Measured in the live inventory.
    Inventory,
    /// Given by the scenario.
    Scenario,
}

impl RowBytesSource {
    /// Its name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Inventory => "inventory",
            Self::Scenario => "scenario",
        }
    }

    /// Its description on pages.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Snapshot => "measured in the files of the snapshot",
            Self::Inventory => "measured in the live inventory, indexes included",
            Self::Scenario => "given by the scenario",
        }
    }
}

/// The quantiles of a type under a policy.
#[derive(Debug, Clone)]
pub(super) struct PolicyQuantiles {
    months: Vec<[Quantiles; MEASURES]>,
    /// Differences from the first policy.
    differences: Vec<[Quantiles; MEASURES]>,
    totals: [Quantiles; MEASURES],
}

impl PolicyQuantiles {
    /// The forecast of a type with this name.
    pub(super) fn named(self, name: &str) -> TypeForecast {
        let Self { months, differences, totals } = self;
        TypeForecast { name: name.to_owned(), months, differences, totals }
    }
}

/// Quantiles of futures of so many policies and months, by policy.
pub(super) fn quantiles(
    futures: &[SimulatedFuture],
    (policies, months): (usize, usize),
    pool: &Pool,
) -> Result<Vec<PolicyQuantiles>> {
    let at = |policy: usize, month: usize, measure: usize| (policy * months + month) * MEASURES + measure;
    let of = |policy: usize, month: usize| {
        let mut numbers = vec![0; futures.len()];
        let mut own = [Quantiles::default(); MEASURES];
        let mut difference = [Quantiles::default(); MEASURES];
        for measure in 0..MEASURES {
            let (here, first) = (at(policy, month, measure), at(0, month, measure));
            numbers.iter_mut().zip(futures).for_each(|(number, future)| *number = i64::from(future[here]));
            own[measure] = Quantiles::of(&mut numbers);
            if policy > 0 {
                let between = |future: &SimulatedFuture| i64::from(future[here]) - i64::from(future[first]);
                numbers.iter_mut().zip(futures).for_each(|(number, future)| *number = between(future));
                difference[measure] = Quantiles::of(&mut numbers);
            }
        }
        (own, difference)
    };
    let total = |policy: usize, measure: usize| {
        let sum = |future: &SimulatedFuture| -> i64 {
            (0..months).map(|month| i64::from(future[at(policy, month, measure)])).sum()
        };
        Quantiles::of(&mut futures.iter().map(sum).collect::<Vec<i64>>())
    };
    let all = pool.map(
        (0..policies).flat_map(|policy| (0..months).map(move |month| (policy, month))).collect(),
        |(policy, month)| Ok::<_, Error>(of(policy, month)),
    )?;
    let by_policy = all.chunks(months).enumerate().map(|(policy, own)| {
        let (months, differences) = own.iter().copied().unzip();
        PolicyQuantiles { months, differences, totals: std::array::from_fn(|measure| total(policy, measure)) }
    });
    Ok(by_policy.collect())
}
