//! What all futures together say: the median, and the band that holds eight of ten.

use std::collections::BTreeMap;

use super::parties::PartyOutlook;
use super::rates::Rates;
use super::scenario::Scenario;
use super::simulate::{Future, MEASURES, Measure};
use crate::error::{Error, Result};
use crate::estate::time::{add_months, day_of};
use crate::ledger::Ledger;
use crate::pool::Pool;

/// The middle of all futures, and the band from which one in ten falls out on either side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// One in ten is below.
    pub low: i64,
    /// Half are below.
    pub median: i64,
    /// One in ten is above.
    pub high: i64,
}

impl Spread {
    /// The spread of some numbers, in any order.
    fn of(numbers: &mut [i64]) -> Self {
        numbers.sort_unstable();
        let last = numbers.len().saturating_sub(1);
        let at = |tenths: usize| numbers.get((last * tenths + 5) / 10).copied().unwrap_or_default();
        Self { low: at(1), median: at(5), high: at(9) }
    }

    /// Whether a number lies in the band.
    #[must_use]
    pub const fn holds(&self, number: i64) -> bool {
        self.low <= number && number <= self.high
    }
}

/// One type, or all of them: a spread for each month (0 first) and [`Measure`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The type; `all` for the sum of all.
    pub name: String,
    /// Under the policy.
    pub months: Vec<[Spread; MEASURES]>,
    /// Under the policy, less what there is under the first policy in the same future.
    pub differences: Vec<[Spread; MEASURES]>,
}

/// What a policy leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Its name.
    pub policy: String,
    /// By type, those without candidates as well; the sum comes last.
    pub series: Vec<Series>,
    /// Expected alerts by party.
    pub parties: Vec<PartyOutlook>,
}

impl Outlook {
    /// The sum of all types.
    #[must_use]
    pub fn all(&self) -> Option<&Series> {
        self.series.last()
    }
}

impl Series {
    /// The median of a measure in each month.
    pub fn medians(&self, measure: Measure) -> impl Iterator<Item = i64> {
        self.months.iter().map(move |month| month[measure as usize].median)
    }

    /// The month, and how many, in which the median of a measure is highest.
    #[must_use]
    pub fn peak(&self, measure: Measure) -> (usize, i64) {
        self.medians(measure).enumerate().fold((0, 0), |peak, month| if month.1 > peak.1 { month } else { peak })
    }

    /// The sum of the medians of a measure over all months.
    #[must_use]
    pub fn total(&self, measure: Measure) -> i64 {
        self.medians(measure).sum()
    }
}

/// What is forecast of an estate.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Of which estate, where that was said.
    pub estate: Option<String>,
    /// Whether the estate is made up.
    pub synthetic: bool,
    /// The first day of each month: day 0 is the moment of the ledger.
    pub days: Vec<i32>,
    /// By policy.
    pub outlooks: Vec<Outlook>,
    /// How fast devices arrive and leave, by the name of the type.
    pub rates: BTreeMap<String, Rates>,
    /// Bytes of a row.
    pub bytes_per_row: f64,
    /// Who says so.
    pub bytes_from: BytesFrom,
}

/// Where the bytes of a row come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesFrom {
    /// They were measured in the snapshot's files when the ledger was made.
    Snapshot,
    /// They were measured in the live inventory.
    Inventory,
    /// The scenario says so.
    Scenario,
}

impl BytesFrom {
    /// The word of the document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Inventory => "inventory",
            Self::Scenario => "scenario",
        }
    }

    /// The words of the page.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Snapshot => "measured in the files of the snapshot",
            Self::Inventory => "measured in the live inventory, indexes included",
            Self::Scenario => "as the scenario says",
        }
    }
}

/// Takes the futures of one type after the other.
pub(super) struct Collector {
    policies: usize,
    months: usize,
    /// Futures of all types together.
    sum: Vec<Future>,
    types: Vec<(u8, Vec<PolicySpreads>)>,
}

/// A policy's months, and their differences.
type PolicySpreads = (Vec<[Spread; MEASURES]>, Vec<[Spread; MEASURES]>);

impl Collector {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let months = scenario.months as usize + 1;
        let policies = scenario.policies.len();
        let sum = vec![vec![0; policies * months * MEASURES]; scenario.simulations as usize];
        Self { policies, months, sum, types: Vec::new() }
    }

    pub(super) fn add(&mut self, type_code: u8, futures: &[Future], pool: &Pool) -> Result<()> {
        for (sum, future) in self.sum.iter_mut().zip(futures) {
            sum.iter_mut().zip(future).for_each(|(sum, own)| *sum += own);
        }
        let spreads = self.spreads(futures, pool)?;
        self.types.push((type_code, spreads));
        Ok(())
    }

    /// For each policy, the spreads of every month.
    fn spreads(&self, futures: &[Future], pool: &Pool) -> Result<Vec<PolicySpreads>> {
        let (policies, months) = (self.policies, self.months);
        let of = |policy: usize, month: usize| -> ([Spread; MEASURES], [Spread; MEASURES]) {
            let at = |policy: usize, measure: usize| (policy * months + month) * MEASURES + measure;
            let mut numbers = vec![0; futures.len()];
            let mut own = [Spread::default(); MEASURES];
            let mut difference = [Spread::default(); MEASURES];
            for measure in 0..MEASURES {
                let (here, first) = (at(policy, measure), at(0, measure));
                numbers.iter_mut().zip(futures).for_each(|(number, future)| *number = future[here]);
                own[measure] = Spread::of(&mut numbers);
                if policy > 0 {
                    numbers.iter_mut().zip(futures).for_each(|(number, future)| *number = future[here] - future[first]);
                    difference[measure] = Spread::of(&mut numbers);
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

    pub(super) fn finish(
        mut self,
        ledger: &Ledger,
        scenario: &Scenario,
        rates: BTreeMap<u8, Rates>,
        parties: Vec<Vec<PartyOutlook>>,
        pool: &Pool,
    ) -> Result<Forecast> {
        let sum = std::mem::take(&mut self.sum);
        let total = self.spreads(&sum, pool)?;
        let mut outlooks = Vec::new();
        for (index, (policy, parties)) in scenario.policies.iter().zip(parties).enumerate() {
            let series = |name: &str, spreads: &[PolicySpreads]| {
                let (months, differences) = spreads.get(index).cloned().unwrap_or_default();
                Series { name: name.to_owned(), months, differences }
            };
            let types = self.types.iter().map(|(code, spreads)| series(ledger.types.name(*code), spreads));
            let series = types.chain([series("all", &total)]).collect();
            outlooks.push(Outlook { policy: policy.name.clone(), series, parties });
        }
        let today = day_of(ledger.as_of);
        Ok(Forecast {
            estate: ledger.estate.clone(),
            synthetic: ledger.synthetic,
            days: (0..=scenario.months).map(|month| add_months(today, month).unwrap_or(today)).collect(),
            outlooks,
            rates: rates.into_iter().map(|(code, rates)| (ledger.types.name(code).to_owned(), rates)).collect(),
            bytes_per_row: scenario.bytes_per_row.or_else(|| ledger.bytes_per_row()).unwrap_or_default(),
            bytes_from: match scenario.bytes_per_row {
                None => BytesFrom::Snapshot,
                Some(_) if scenario.bytes_are_live => BytesFrom::Inventory,
                Some(_) => BytesFrom::Scenario,
            },
        })
    }
}
