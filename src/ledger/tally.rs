//! What a policy makes of a ledger: exactly what a sweep of the same snapshot would say, without a second scan.

use std::collections::BTreeMap;

use super::Ledger;
use super::count::RowClass;
use crate::error::{Error, Result};
use crate::estate::time::day_start;
use crate::estate::{DeviceId, DeviceType, Disposition, Reason, SmiStatus, TallyByType, TypeNames};
use crate::policy::{Boundary, DateVerdict, Pair, PartyField, Policy, RoleField, Row, Rules};
use crate::scan::PartyCounts;

/// What a policy makes of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Counts by device type: those of a sweep.
    pub by_type: TallyByType,
    /// Deletions by party, by its index in [`CandidateCounts::parties`](super::count::CandidateCounts::parties);
    /// [`Parties::NONE`](crate::scan::Parties::NONE) for those without one.
    pub by_party: BTreeMap<u32, PartyCounts>,
}

impl Ledger {
    /// Binds a policy to the ledger's moment and to the types that the ledger knows.
    ///
    /// # Errors
    /// A policy that asks what was not counted: another status, other types of its own, or instants where the ledger
    /// has days.
    pub fn bind(&self, policy: &Policy) -> Result<Rules> {
        let refuse =
            |what: String, remedy: &str| Error::Usage { what: format!("{}: {what}", self.name), remedy: remedy.into() };
        if let Some(status) = policy.candidate_statuses.iter().find(|status| !self.candidates.contains(*status)) {
            let what = format!("policy `{}` sweeps {status}, which was not counted by day", policy.name);
            return Err(refuse(what, "take the ledger with `--policy` of one that sweeps this status"));
        }
        if policy.types != self.types && policy.types != TypeNames::default() {
            let what = format!(
                "policy `{}` knows device types ({}) other than the ledger's ({})",
                policy.name, policy.types, self.types
            );
            return Err(refuse(what, "take the ledger with `--policy` of one with the same [types]"));
        }
        if policy.boundary == Boundary::Instant && !self.census.whole_days {
            let what = format!("policy `{}` compares instants, and the ledger counts days", policy.name);
            return Err(refuse(what, "sweep the snapshot itself, or compare by date"));
        }
        Ok(policy.bind(self.as_of))
    }

    /// What the policy makes of the ledger.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn tally(&self, policy: &Policy) -> Result<Tallied> {
        let rules = self.bind(policy)?;
        let mut tallied = Tallied::default();
        for (cell, rows) in &self.census.cells {
            tallied.add(cell, self.judge(&rules, cell), *rows);
        }
        for group in self.census.shared.chunk_by(|one, other| one.0 == other.0) {
            let due = group.iter().filter(|(_, cell)| is_due(&rules, cell)).count();
            for (_, cell) in group {
                let duplicate = due > 1 && is_due(&rules, cell);
                let disposition = if duplicate {
                    Disposition::Quarantined(Reason::DuplicateDeviceId)
                } else {
                    self.judge(&rules, cell)
                };
                tallied.add(cell, disposition, 1);
            }
        }
        Ok(tallied)
    }

    /// What becomes of a row of this cell whose Device ID, if it has one, is its own.
    #[must_use]
    pub fn judge(&self, rules: &Rules, cell: &RowClass) -> Disposition {
        let row = Row {
            status_code: cell.status_code,
            type_code: cell.type_code,
            since: cell.day.map(day_start),
            id: (cell.flaw != Some(Reason::BadDeviceId)).then_some(DeviceId(0)),
            role: match (cell.flaw, cell.role) {
                (Some(Reason::UnknownRole), _) => RoleField::Unknown,
                (_, Some(role)) => RoleField::Known(role),
                (_, None) => RoleField::Absent,
            },
            party: match cell.flaw {
                Some(Reason::MissingParty) => PartyField::Missing,
                Some(Reason::BadParty) => PartyField::Bad,
                _ => PartyField::Usable,
            },
        };
        rules.judge(&row)
    }

    /// Whether rows of this cell are of a recognised type, and in a status that is counted by day.
    #[must_use]
    pub fn is_candidate(&self, cell: &RowClass) -> bool {
        self.candidates.contains_code(cell.status_code) && DeviceType::from_code(cell.type_code).is_some()
    }

    /// The name of a status code; `(unknown)` and `(null)` for what is no status.
    #[must_use]
    pub fn status_name(code: u8) -> &'static str {
        match code {
            SmiStatus::NULL => "(null)",
            code => SmiStatus::ALL.get(usize::from(code)).map_or("(unknown)", |status| status.name()),
        }
    }

    /// The name of a party of [`Tallied::by_party`].
    #[must_use]
    pub fn party_name(&self, party: u32) -> &str {
        self.census.parties.name(party).unwrap_or("(none)")
    }
}

impl Tallied {
    fn add(&mut self, cell: &RowClass, disposition: Disposition, rows: u64) {
        self.by_type.add(cell.type_code, disposition, rows);
        if let Disposition::Delete { alert } = disposition {
            let party = self.by_party.entry(cell.party).or_default();
            party.deletes += rows;
            party.alerts += if alert { rows } else { 0 };
        }
    }
}

/// Whether the threshold is reached, which is all that rows need to have in common to be each other's duplicates.
fn is_due(rules: &Rules, cell: &RowClass) -> bool {
    rules.pair(cell.status_code, cell.type_code) == Pair::Judge
        && rules.judge_date(cell.type_code, cell.day.map(day_start)) == DateVerdict::Due
}
