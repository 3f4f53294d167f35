//! Medians and bands over all simulated futures.

use std::collections::BTreeMap;

use super::parties::PartyAlerts;
use super::rates::TypeRates;
use super::scenario::Scenario;
use super::simulate::{ForecastMeasure, MEASURES, SimulatedFuture};
use crate::error::{Error, Result};
use crate::estate::time::{add_months, day_of};
use crate::ledger::Ledger;
use crate::pool::Pool;

/// Bytes of a gigabyte, as storage is priced.
pub const GIGABYTE: f64 = 1e9;

/// Quantiles of a figure over all futures. Low to high is the 80 % band.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// The 10 % quantile.
    pub low: i64,
    /// The median.
    pub median: i64,
    /// The 90 % quantile.
    pub high: i64,
}

impl Quantiles {
    /// The quantiles of some numbers, which are sorted in place.
    fn of(numbers: &mut [i64]) -> Self {
        numbers.sort_unstable();
        let last = numbers.len().saturating_sub(1);
        let at = |tenths: usize| numbers.get((last * tenths + 5) / 10).copied().unwrap_or_default();
        Self { low: at(1), median: at(5), high: at(9) }
    }

    /// Whether the band contains a number.
    #[must_use]
    pub const fn contains(&self, number: i64) -> bool {
        self.low <= number && number <= self.high
    }
}

/// The forecast of one type, or of all together, under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeForecast {
    /// Name of the type; `all` for the sum of all types.
    pub name: String,
    /// For each month (0 first) the quantiles of each [`ForecastMeasure`].
    pub months: Vec<[Quantiles; MEASURES]>,
    /// The same for the difference from the first policy within the same future.
    pub differences: Vec<[Quantiles; MEASURES]>,
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

    /// The month in which the median of a measure is highest, and that median.
    #[must_use]
    pub fn peak(&self, measure: ForecastMeasure) -> (usize, i64) {
        self.medians(measure).enumerate().fold((0, 0), |peak, month| if month.1 > peak.1 { month } else { peak })
    }

    /// The sum of the medians of a measure over all months.
    #[must_use]
    pub fn total(&self, measure: ForecastMeasure) -> i64 {
        self.medians(measure).sum()
    }
}

/// The forecast under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyForecast {
    /// Name of the policy.
    pub policy: String,
    /// By type, types without candidates included. The sum of all types is the last.
    pub types: Vec<TypeForecast>,
    /// Expected alerts by party.
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
    /// Bytes of storage by row.
    pub bytes_per_row: f64,
    /// Where `bytes_per_row` comes from.
    pub bytes_from: RowBytesSource,
}

impl Forecast {
    /// A forecast of the ledger's estate. `rates` are by type code.
    pub(super) fn new(
        ledger: &Ledger,
        scenario: &Scenario,
        rates: &BTreeMap<u8, TypeRates>,
        policies: Vec<PolicyForecast>,
    ) -> Self {
        let today = day_of(ledger.as_of);
        let named = rates.iter().map(|(code, rates)| (ledger.types.name(*code).to_owned(), rates.clone()));
        Self {
            estate: ledger.estate.clone(),
            synthetic: ledger.synthetic,
            days: (0..=scenario.months).map(|month| add_months(today, month).unwrap_or(today)).collect(),
            policies,
            rates: named.collect(),
            bytes_per_row: scenario.bytes_per_row.or_else(|| ledger.bytes_per_row()).unwrap_or_default(),
            bytes_from: match scenario.bytes_per_row {
                None => RowBytesSource::Snapshot,
                Some(_) if scenario.bytes_are_live => RowBytesSource::Inventory,
                Some(_) => RowBytesSource::Scenario,
            },
        }
    }
}

/// If the bytes of a row come from.
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

/// Collects the futures of one type after the other.
pub(super) struct FutureCollector {
    policies: usize,
    months: usize,
    /// The sums of all types, by future.
    sums: Vec<SimulatedFuture>,
    types: Vec<(u8, Vec<PolicyQuantiles>)>,
}

/// The months of a policy, and their differences from the first policy.
type PolicyQuantiles = (Vec<[Quantiles; MEASURES]>, Vec<[Quantiles; MEASURES]>);

impl FutureCollector {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let months = scenario.months as usize + 1;
        let policies = scenario.policies.len();
        let sums = vec![vec![0; policies * months * MEASURES]; scenario.simulations as usize];
        Self { policies, months, sums, types: Vec::new() }
    }

    /// Adds the futures of a type.
    pub(super) fn add(&mut self, type_code: u8, futures: &[SimulatedFuture], pool: &Pool) -> Result<()> {
        for (sum, future) in self.sums.iter_mut().zip(futures) {
            sum.iter_mut().zip(future).for_each(|(sum, own)| *sum += own);
        }
        let quantiles = self.quantiles(futures, pool)?;
        self.types.push((type_code, quantiles));
        Ok(())
    }

    /// For each policy the quantiles of every month.
    fn quantiles(&self, futures: &[SimulatedFuture], pool: &Pool) -> Result<Vec<PolicyQuantiles>> {
        let (policies, months) = (self.policies, self.months);
        let of = |policy: usize, month: usize| -> ([Quantiles; MEASURES], [Quantiles; MEASURES]) {
            let at = |policy: usize, measure: usize| (policy * months + month) * MEASURES + measure;
            let mut numbers = vec![0; futures.len()];
            let mut own = [Quantiles::default(); MEASURES];
            let mut difference = [Quantiles::default(); MEASURES];
            for measure in 0..MEASURES {
                let (here, first) = (at(policy, measure), at(0, measure));
                numbers.iter_mut().zip(futures).for_each(|(number, future)| *number = future[here]);
                own[measure] = Quantiles::of(&mut numbers);
                if policy > 0 {
                    numbers.iter_mut().zip(futures).for_each(|(number, future)| *number = future[here] - future[first]);
                    difference[measure] = Quantiles::of(&mut numbers);
                }
            }
            (own, difference)
        };
        let all = pool.map(
            (0..policies).flat_map(|policy| (0..months).map(move |month| (policy, month))).collect(),
            |(policy, month)| Ok::<_, Error>(of(policy, month)),
        )?;
        Ok(all.chunks(months).map(|policy| policy.iter().copied().unzip()).collect())
    }

    /// The forecast of each policy. `parties` are the expected alerts, by policy.
    pub(super) fn finish(
        mut self,
        ledger: &Ledger,
        scenario: &Scenario,
        parties: Vec<Vec<PartyAlerts>>,
        pool: &Pool,
    ) -> Result<Vec<PolicyForecast>> {
        let sums = std::mem::take(&mut self.sums);
        let total = self.quantiles(&sums, pool)?;
        let mut forecasts = Vec::new();
        for (index, (policy, parties)) in scenario.policies.iter().zip(parties).enumerate() {
            let of_type = |name: &str, quantiles: &[PolicyQuantiles]| {
                let (months, differences) = quantiles.get(index).cloned().unwrap_or_default();
                TypeForecast { name: name.to_owned(), months, differences }
            };
            let types = self.types.iter().map(|(code, quantiles)| of_type(ledger.types.name(*code), quantiles));
            let types = types.chain([of_type("all", &total)]).collect();
            forecasts.push(PolicyForecast { policy: policy.name.clone(), types, parties });
        }
        Ok(forecasts)
    }
}
