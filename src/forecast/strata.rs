//! Strata of candidates: devices of the same type, role and flaw, which every policy treats alike, by age in months.

use std::collections::BTreeMap;

use super::scenario::Scenario;
use crate::error::{Error, Result};
use crate::estate::time::FIRST_DAY;
use crate::estate::{DeviceType, Disposition, Reason, Role, SmiStatus};
use crate::ledger::count::RowClass;
use crate::ledger::{AgeCache, Ledger, rule_row};
use crate::policy::{Policy, Rules};
use crate::scan::Parties;

/// Devices younger than this many months show the composition of arrivals.
const YOUNG_MONTHS: usize = 3;
/// The squared difference of the counts of CHF and GPF, divided by their sum, from which they are not pairs: half of
/// what it is on average where they have nothing to do with each other.
const UNPAIRED: f64 = 0.5;
/// Ages up to this many months are kept apart, whatever the thresholds.
const LEAST_OLDEST: u32 = 60;

/// The properties that the devices of a stratum share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StratumKey {
    /// Code of the type.
    pub type_code: u8,
    /// The role of their party, where the rows have one.
    pub role: Option<Role>,
    /// The first flaw of the rows.
    pub flaw: Option<Reason>,
}

impl StratumKey {
    /// The stratum of rows of a cell. Rows that share a Device ID have [`Reason::DuplicateDeviceId`] as their flaw.
    #[must_use]
    pub const fn new(cell: &RowClass, shares_id: bool) -> Self {
        let flaw = if shares_id { Some(Reason::DuplicateDeviceId) } else { cell.flaw };
        Self { type_code: cell.type_code, role: cell.role, flaw }
    }
}

/// All candidates of a ledger: the cell, its rows, and the stratum of these rows.
pub fn candidates(ledger: &Ledger) -> impl Iterator<Item = (&RowClass, u64, StratumKey)> {
    let single = ledger.counts.cells.iter().map(|(cell, rows)| (cell, *rows, StratumKey::new(cell, false)));
    let shared = ledger.counts.shared.iter().map(|(_, cell)| (cell, 1, StratumKey::new(cell, true)));
    single.chain(shared).filter(|(cell, ..)| ledger.is_candidate(cell))
}

/// The effect of a policy on the devices of a stratum whose threshold is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyEffect {
    /// They are kept, because their type is excluded.
    Retain,
    /// They are deleted, and their party is alerted.
    DeleteWithAlert,
    /// They are deleted without an alert.
    DeleteSilently,
    /// They are kept, because the rule quarantines them.
    Quarantine,
}

impl PolicyEffect {
    /// The effect of a policy on a stratum.
    #[must_use]
    pub fn of(ledger: &Ledger, rules: &Rules, key: StratumKey) -> Self {
        // The ledger has no Device IDs. Rows that share one are taken to be due together.
        if key.flaw == Some(Reason::DuplicateDeviceId) {
            return Self::Quarantine;
        }
        let cell = RowClass {
            type_code: key.type_code,
            status_code: candidate_status(ledger),
            day: Some(FIRST_DAY),
            party: Parties::NONE,
            region: Parties::NONE,
            role: key.role,
            flaw: key.flaw,
        };
        match rules.judge_at_threshold(&rule_row(&cell)) {
            Disposition::Delete { alert: true } => Self::DeleteWithAlert,
            Disposition::Delete { alert: false } => Self::DeleteSilently,
            Disposition::Excluded => Self::Retain,
            _ => Self::Quarantine,
        }
    }

    /// Whether devices past their threshold stay in the inventory.
    #[must_use]
    pub const fn keeps(self) -> bool {
        matches!(self, Self::Retain | Self::Quarantine)
    }
}

/// The code of a status that the ledger counts by day. Policies treat all of these alike.
#[must_use]
pub fn candidate_status(ledger: &Ledger) -> u8 {
    ledger.candidates.iter().next().map_or(0, SmiStatus::code)
}

/// The devices of a stratum.
#[derive(Debug, Clone)]
pub struct Stratum {
    /// The properties that they share.
    pub key: StratumKey,
    /// Devices by age in months; the last entry is of that age or older.
    pub ages: Vec<u64>,
    /// The share of this stratum in the arrivals of its type, 0 to 1.
    pub share: f64,
}

/// The devices of one party in one stratum.
#[derive(Debug, Clone)]
pub struct PartyStratum {
    /// Index of the party in the ledger.
    pub party: u32,
    /// Index of the stratum.
    pub stratum: usize,
    /// Devices by age in months; the last entry is of that age or older.
    pub ages: Vec<u64>,
    /// The share of these devices in the arrivals of their type, 0 to 1.
    pub share: f64,
}

/// The estate at month 0 of a forecast.
#[derive(Debug, Clone)]
pub struct StartingEstate {
    /// The last age, in months, that is kept apart: longer than every threshold of the scenario.
    pub oldest: usize,
    /// The strata, in the order of their keys.
    pub strata: Vec<Stratum>,
    /// The same devices by party.
    pub parties: Vec<PartyStratum>,
    /// Candidates without an age, by type code. They stay as they are.
    pub undated: BTreeMap<u8, u64>,
    /// Devices that are not candidates, by type code.
    pub others: BTreeMap<u8, u64>,
}

impl StartingEstate {
    /// The estate of a ledger, for a forecast of this scenario.
    #[must_use]
    pub fn new(ledger: &Ledger, scenario: &Scenario) -> Self {
        let longest = scenario.policies.iter().map(|policy| policy.thresholds.longest());
        let longest = longest.chain(scenario.phases.iter().map(|phase| phase.months)).max();
        let oldest = longest.unwrap_or_default().max(LEAST_OLDEST) as usize + 1;
        let mut by_key: BTreeMap<StratumKey, BTreeMap<u32, Vec<u64>>> = BTreeMap::new();
        let mut undated: BTreeMap<u8, u64> = BTreeMap::new();
        let mut cache = AgeCache::new(ledger.as_of);
        for (cell, rows, key) in candidates(ledger) {
            let Some(age) = cache.age(cell.day) else {
                *undated.entry(cell.type_code).or_default() += rows;
                continue;
            };
            let ages = by_key.entry(key).or_default().entry(cell.party).or_insert_with(|| vec![0; oldest + 1]);
            ages[(age as usize).min(oldest)] += rows;
        }
        let mut others: BTreeMap<u8, u64> = BTreeMap::new();
        for (cell, rows) in ledger.counts.cells.iter().filter(|(cell, _)| !ledger.is_candidate(cell)) {
            *others.entry(cell.type_code).or_default() += rows;
        }
        let mut start = Self { oldest, strata: Vec::new(), parties: Vec::new(), undated, others };
        for (key, parties) in by_key {
            let mut stratum = Stratum { key, ages: vec![0; oldest + 1], share: 0.0 };
            for (party, ages) in parties {
                stratum.ages.iter_mut().zip(&ages).for_each(|(sum, rows)| *sum += rows);
                start.parties.push(PartyStratum { party, stratum: start.strata.len(), ages, share: 0.0 });
            }
            start.strata.push(stratum);
        }
        start.set_arrival_shares();
        start
    }

    /// Sets the shares in arrivals: those among the young devices of the type, or among all of them where none is
    /// young.
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    fn set_arrival_shares(&mut self) {
        let young = |ages: &[u64]| ages.iter().take(YOUNG_MONTHS).sum::<u64>();
        let all = |ages: &[u64]| ages.iter().sum::<u64>();
        let mut totals: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
        for stratum in &self.strata {
            let total = totals.entry(stratum.key.type_code).or_default();
            *total = (total.0 + young(&stratum.ages), total.1 + all(&stratum.ages));
        }
        let share = |type_code: u8, ages: &[u64]| match totals.get(&type_code) {
            Some(&(total, _)) if total > 0 => young(ages) as f64 / total as f64,
            Some(&(_, total)) if total > 0 => all(ages) as f64 / total as f64,
            _ => 0.0,
        };
        for party in &mut self.parties {
            party.share = share(self.strata[party.stratum].key.type_code, &party.ages);
        }
        for stratum in &mut self.strata {
            stratum.share = share(stratum.key.type_code, &stratum.ages);
        }
    }

    /// Adds an empty stratum for each type that has arrivals in the scenario and no candidate in the ledger.
    pub fn expect_arrivals(&mut self, scenario: &Scenario) {
        for &type_code in scenario.arrivals.keys() {
            if self.strata.iter().all(|stratum| stratum.key.type_code != type_code) {
                let key = StratumKey { type_code, role: None, flaw: None };
                self.strata.push(Stratum { key, ages: vec![0; self.oldest + 1], share: 1.0 });
            }
        }
    }

    /// The type codes that occur, ascending.
    #[must_use]
    pub fn types(&self) -> Vec<u8> {
        let strata = self.strata.iter().map(|stratum| stratum.key.type_code);
        let others = self.undated.keys().chain(self.others.keys()).copied();
        let mut types: Vec<u8> = strata.chain(others).collect();
        types.sort_unstable();
        types.dedup();
        types
    }
}

/// Whether the two devices of hubs show as pairs in a ledger: as many CHF as GPF of each day and party. Where they
/// arrive and leave alone, the squared difference of two counts is as large as their sum on average; where they come
/// in boxes, it is zero.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
pub fn hubs_are_paired(ledger: &Ledger) -> bool {
    let mut counts: BTreeMap<(Option<i32>, u32), (f64, f64)> = BTreeMap::new();
    for (cell, rows) in ledger.candidates() {
        let own = match cell.type_code {
            code if code == DeviceType::CHF.code() => (rows as f64, 0.0),
            code if code == DeviceType::GPF.code() => (0.0, rows as f64),
            _ => continue,
        };
        let sum = counts.entry((cell.day, cell.party)).or_default();
        *sum = (sum.0 + own.0, sum.1 + own.1);
    }
    let (squares, all, gpf) = counts
        .values()
        .fold((0.0, 0.0, 0.0), |sum, (chf, gpf)| (sum.0 + (chf - gpf).powi(2), sum.1 + chf + gpf, sum.2 + gpf));
    gpf > 0.0 && squares < UNPAIRED * all
}

/// Policies bound to the moment of a ledger. Each must sweep exactly the statuses that the ledger counts by day.
///
/// # Errors
/// As [`Ledger::bind`], and a policy with other candidate statuses.
pub fn bind(ledger: &Ledger, policies: &[Policy]) -> Result<Vec<Rules>> {
    let bind = |policy: &Policy| {
        if policy.candidate_statuses != ledger.candidates {
            return Err(Error::Usage {
                what: format!(
                    "{}: policy `{}` sweeps other statuses than the ledger counted by day",
                    ledger.name, policy.name
                ),
                remedy: "take the ledgers with `--policy` of this one".into(),
            });
        }
        ledger.bind(policy)
    };
    policies.iter().map(bind).collect()
}
