//! The counts of a policy, from a ledger: the same as those of a sweep of the snapshot.

use std::collections::BTreeMap;

use super::count::RowClass;
use super::data::Ledger;
use crate::error::{Error, Result};
use crate::estate::time::day_start;
use crate::estate::{DeviceId, Disposition, Reason, TallyByType, TypeNames};
use crate::policy::{Boundary, JudgedRow, PartyField, Policy, RoleField, Rules};
use crate::scan::PartyCounts;

/// The counts of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyTally {
    /// Counts by device type, equal to those of a sweep.
    pub by_type: TallyByType,
    /// Deletions by party, by its index in [`CandidateCounts::parties`](super::count::CandidateCounts::parties);
    /// [`Parties::NONE`](crate::scan::Parties::NONE) for rows without a party.
    pub by_party: BTreeMap<u32, PartyCounts>,
}

impl Ledger {
    /// Binds a policy to the ledger's moment.
    ///
    /// # Errors
    /// A policy that needs counts which the ledger does not have: another candidate status, other device types, or a
    /// comparison by instants while dates are not all midnights.
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
        if policy.boundary == Boundary::Instant && !self.counts.whole_days {
            let what = format!("policy `{}` compares instants, and the ledger counts days", policy.name);
            return Err(refuse(what, "sweep the snapshot itself, or compare by date"));
        }
        Ok(policy.bind(self.as_of))
    }

    /// The counts of a policy.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn tally(&self, policy: &Policy) -> Result<PolicyTally> {
        let rules = self.bind(policy)?;
        let mut tally = PolicyTally::default();
        for (cell, rows) in &self.counts.cells {
            tally.add(cell, rules.judge(&rule_row(cell)), *rows);
        }
        for group in self.counts.shared.chunk_by(|one, other| one.0 == other.0) {
            // Two or more due rows that share a Device ID are quarantined as duplicates.
            let due = group.iter().filter(|(_, cell)| is_due(&rules, cell)).count();
            for (_, cell) in group {
                let disposition = if due > 1 && is_due(&rules, cell) {
                    Disposition::Quarantined(Reason::DuplicateDeviceId)
                } else {
                    rules.judge(&rule_row(cell))
                };
                tally.add(cell, disposition, 1);
            }
        }
        Ok(tally)
    }
}

fn is_due(rules: &Rules, cell: &RowClass) -> bool {
    rules.is_due(cell.status_code, cell.type_code, cell.day.map(day_start))
}

/// A row of a cell as the input of [`Rules::judge`]. A valid Device ID is assumed to be unique.
#[must_use]
pub fn rule_row(cell: &RowClass) -> JudgedRow {
    JudgedRow {
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
    }
}

impl PolicyTally {
    fn add(&mut self, cell: &RowClass, disposition: Disposition, rows: u64) {
        self.by_type.add(cell.type_code, disposition, rows);
        if let Disposition::Delete { alert } = disposition {
            let party = self.by_party.entry(cell.party).or_default();
            party.deletes += rows;
            party.alerts += if alert { rows } else { 0 };
        }
    }
}
