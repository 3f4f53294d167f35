//! Candidates of one kind, by age: what a policy treats alike. A line is what a forecast moves forward.

use std::collections::BTreeMap;

use super::scenario::Scenario;
use crate::error::Result;
use crate::estate::time::FIRST_DAY;
use crate::estate::{Disposition, Reason, Role, SmiStatus};
use crate::ledger::AgeOfDay;
use crate::ledger::Ledger;
use crate::ledger::count::RowClass;
use crate::policy::{Policy, Rules};
use crate::scan::Parties;

/// Devices of less than so many months say how those that arrive are made up.
const YOUNG: usize = 3;

/// What devices of a line have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Code of the type.
    pub type_code: u8,
    /// The role of their party, where they say so.
    pub role: Option<Role>,
    /// What is wrong with them.
    pub flaw: Option<Reason>,
}

/// Devices of one kind.
#[derive(Debug, Clone)]
pub struct Line {
    /// What they have in common.
    pub kind: Kind,
    /// How many there are of each age in months; the last is of that age or more.
    pub ages: Vec<u64>,
    /// Their part of what arrives of their type.
    pub share: f64,
}

/// What a policy does with a line once its threshold is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Keeps it, because its type is excluded.
    Retained,
    /// Deletes it, and tells its party.
    Alert,
    /// Deletes it silently.
    Silent,
    /// Keeps it, because it cannot be judged.
    Stuck,
}

impl Fate {
    /// What the policy does with this kind of device.
    #[must_use]
    pub fn of(ledger: &Ledger, rules: &Rules, kind: Kind) -> Self {
        if kind.flaw == Some(Reason::DuplicateDeviceId) {
            return Self::Stuck;
        }
        let status_code = ledger.candidates.iter().next().map_or(0, SmiStatus::code);
        // As old as can be: due under any threshold.
        let cell = RowClass {
            type_code: kind.type_code,
            status_code,
            day: Some(FIRST_DAY),
            party: Parties::NONE,
            region: Parties::NONE,
            role: kind.role,
            flaw: kind.flaw,
        };
        match ledger.judge(rules, &cell) {
            Disposition::Delete { alert: true } => Self::Alert,
            Disposition::Delete { alert: false } => Self::Silent,
            Disposition::Excluded => Self::Retained,
            _ => Self::Stuck,
        }
    }
}

/// The devices of one party in one line.
#[derive(Debug, Clone)]
pub struct PartyLine {
    /// The party, by its index in the ledger.
    pub party: u32,
    /// The line, by its index.
    pub line: usize,
    /// How many there are of each age in months.
    pub ages: Vec<u64>,
    /// Their part of what arrives of their type.
    pub share: f64,
}

/// The estate at the moment from which it is forecast.
#[derive(Debug, Clone)]
pub struct Start {
    /// Ages from this on are not told apart; no threshold of the scenario is as long.
    pub oldest: usize,
    /// The lines, in the order of their kinds.
    pub lines: Vec<Line>,
    /// The same by party.
    pub parties: Vec<PartyLine>,
    /// Candidates of each type that have no age: they stay what they are.
    pub undated: BTreeMap<u8, u64>,
    /// Devices of each type that are no candidates.
    pub others: BTreeMap<u8, u64>,
}

impl Start {
    /// The estate of a ledger.
    #[must_use]
    pub fn of(ledger: &Ledger, policies: &[Policy]) -> Self {
        let longest = policies
            .iter()
            .flat_map(|policy| policy.thresholds.by_type.values().copied().chain([policy.thresholds.default]));
        let oldest = longest.max().unwrap_or_default().max(60) as usize + 1;
        let mut by_kind: BTreeMap<Kind, BTreeMap<u32, Vec<u64>>> = BTreeMap::new();
        let mut undated: BTreeMap<u8, u64> = BTreeMap::new();
        let mut of_day = AgeOfDay::new(ledger.as_of);
        let single = ledger.census.cells.iter().map(|(cell, rows)| (cell, *rows, cell.flaw));
        let shared = ledger.census.shared.iter().map(|(_, cell)| (cell, 1, Some(Reason::DuplicateDeviceId)));
        for (cell, rows, flaw) in single.chain(shared).filter(|(cell, ..)| ledger.is_candidate(cell)) {
            let Some(age) = of_day.age(cell.day) else {
                *undated.entry(cell.type_code).or_default() += rows;
                continue;
            };
            let kind = Kind { type_code: cell.type_code, role: cell.role, flaw };
            let ages = by_kind.entry(kind).or_default().entry(cell.party).or_insert_with(|| vec![0; oldest + 1]);
            ages[(age as usize).min(oldest)] += rows;
        }
        let mut others: BTreeMap<u8, u64> = BTreeMap::new();
        for (cell, rows) in ledger.census.cells.iter().filter(|(cell, _)| !ledger.is_candidate(cell)) {
            *others.entry(cell.type_code).or_default() += rows;
        }
        let mut start = Self { oldest, lines: Vec::new(), parties: Vec::new(), undated, others };
        for (kind, parties) in by_kind {
            let mut line = Line { kind, ages: vec![0; oldest + 1], share: 0.0 };
            for (party, ages) in parties {
                line.ages.iter_mut().zip(&ages).for_each(|(sum, rows)| *sum += rows);
                start.parties.push(PartyLine { party, line: start.lines.len(), ages, share: 0.0 });
            }
            start.lines.push(line);
        }
        start.shares();
        start
    }

    /// Says how arrivals are made up: as the young devices of the type are, or where there are none as all of them are.
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    fn shares(&mut self) {
        let young = |ages: &[u64]| ages.iter().take(YOUNG).sum::<u64>();
        let all = |ages: &[u64]| ages.iter().sum::<u64>();
        let mut totals: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
        for line in &self.lines {
            let total = totals.entry(line.kind.type_code).or_default();
            *total = (total.0 + young(&line.ages), total.1 + all(&line.ages));
        }
        let share = |type_code: u8, ages: &[u64]| match totals.get(&type_code) {
            Some(&(total, _)) if total > 0 => young(ages) as f64 / total as f64,
            Some(&(_, total)) if total > 0 => all(ages) as f64 / total as f64,
            _ => 0.0,
        };
        for party in &mut self.parties {
            party.share = share(self.lines[party.line].kind.type_code, &party.ages);
        }
        for line in &mut self.lines {
            line.share = share(line.kind.type_code, &line.ages);
        }
    }

    /// Lets types arrive that the ledger has no candidate of, where the scenario says that they do.
    pub fn expect_arrivals(&mut self, scenario: &Scenario) {
        for &type_code in scenario.arrivals.keys() {
            if self.lines.iter().all(|line| line.kind.type_code != type_code) {
                let kind = Kind { type_code, role: None, flaw: None };
                self.lines.push(Line { kind, ages: vec![0; self.oldest + 1], share: 1.0 });
            }
        }
    }

    /// The type codes that occur, ascending.
    #[must_use]
    pub fn types(&self) -> Vec<u8> {
        let lines = self.lines.iter().map(|line| line.kind.type_code);
        let mut types: Vec<u8> = lines.chain(self.undated.keys().copied()).chain(self.others.keys().copied()).collect();
        types.sort_unstable();
        types.dedup();
        types
    }
}

/// Policies bound to the moment of a ledger. All must sweep what the ledger counted by day.
///
/// # Errors
/// As [`Ledger::bind`].
pub fn bind(ledger: &Ledger, policies: &[Policy]) -> Result<Vec<Rules>> {
    policies
        .iter()
        .map(|policy| {
            if policy.candidate_statuses != ledger.candidates {
                return Err(crate::error::Error::Usage {
                    what: format!(
                        "{}: policy `{}` sweeps other statuses than the ledger counted by day",
                        ledger.name, policy.name
                    ),
                    remedy: "take the ledgers with `--policy` of this one".into(),
                });
            }
            ledger.bind(policy)
        })
        .collect()
}
