//! What a change of policy does to a real estate: two policies, one scan, and the devices that only one deletes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::sweep::{Due, Findings, Swept};

/// The consequences of going from one policy to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The policy before: name, version and digest.
    pub from: String,
    /// The policy after.
    pub to: String,
    /// When both were asked, RFC 3339.
    pub as_of: String,
    /// Rows of the snapshot.
    pub rows: u64,
    /// Devices that both delete.
    pub deleted_by_both: u64,
    /// Devices that only the policy after deletes.
    pub newly_deleted: Devices,
    /// Devices that only the policy before deletes.
    pub no_longer_deleted: Devices,
    /// Alerts by party: under the policy before, and after.
    pub alerts_by_party: BTreeMap<String, (u64, u64)>,
}

/// Some devices, counted in several ways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// How many.
    pub devices: u64,
    /// How many of them raise an alert.
    pub alerts: u64,
    /// By device type.
    pub by_type: BTreeMap<String, u64>,
    /// By Notifying Party.
    pub by_party: BTreeMap<String, u64>,
    /// By whole months for which the status has applied.
    pub by_months: BTreeMap<u32, u64>,
}

impl Change {
    /// Compares what two policies found in one scan.
    ///
    /// # Errors
    /// Findings that are not of two policies.
    pub fn new(policies: &[Policy], swept: &[Swept], rows: u64) -> Result<Self> {
        let ([from, to], [before, after]) = (policies, swept) else {
            return Err(Error::Usage {
                what: format!("a change is from one policy to another, and there are {}", policies.len()),
                remedy: "give --policy twice: before and after".into(),
            });
        };
        let name = |policy: &Policy| format!("{} version {}, digest {}", policy.name, policy.version, policy.digest());
        let as_of = after.rules.as_of();
        let mut change = Self {
            from: name(from),
            to: name(to),
            as_of: time::format_instant(as_of),
            rows,
            deleted_by_both: 0,
            newly_deleted: Devices::default(),
            no_longer_deleted: Devices::default(),
            alerts_by_party: BTreeMap::new(),
        };
        let (mut old, mut new) = (before.findings.due.iter().peekable(), after.findings.due.iter().peekable());
        loop {
            let (a, b) = (old.peek().map(|due| due.id), new.peek().map(|due| due.id));
            match (a, b) {
                (None, None) => break,
                (a, b) if a == b => {
                    change.deleted_by_both += 1;
                    old.next();
                    new.next();
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    if let Some(due) = old.next() {
                        change.no_longer_deleted.add(due, &before.findings, from, as_of);
                    }
                }
                _ => {
                    if let Some(due) = new.next() {
                        change.newly_deleted.add(due, &after.findings, to, as_of);
                    }
                }
            }
        }
        for due in before.findings.due.iter().filter(|due| due.alert) {
            change.alerts_by_party.entry(party(due, &before.findings)).or_default().0 += 1;
        }
        for due in after.findings.due.iter().filter(|due| due.alert) {
            change.alerts_by_party.entry(party(due, &after.findings)).or_default().1 += 1;
        }
        Ok(change)
    }

    /// The fields in which this change is not the one that was expected.
    #[must_use]
    pub fn differs_from(&self, expected: &Self) -> Vec<&'static str> {
        let fields = [
            ("from", self.from == expected.from),
            ("to", self.to == expected.to),
            ("as_of", self.as_of == expected.as_of),
            ("rows", self.rows == expected.rows),
            ("deleted_by_both", self.deleted_by_both == expected.deleted_by_both),
            ("newly_deleted", self.newly_deleted == expected.newly_deleted),
            ("no_longer_deleted", self.no_longer_deleted == expected.no_longer_deleted),
            ("alerts_by_party", self.alerts_by_party == expected.alerts_by_party),
        ];
        fields.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect()
    }
}

impl Devices {
    fn add(&mut self, due: &Due, findings: &Findings, policy: &Policy, as_of: i64) {
        self.devices += 1;
        self.alerts += u64::from(due.alert);
        *self.by_type.entry(policy.types.name(due.type_code).to_owned()).or_default() += 1;
        *self.by_party.entry(party(due, findings)).or_default() += 1;
        *self.by_months.entry(time::whole_months(due.since, as_of)).or_default() += 1;
    }
}

fn party(due: &Due, findings: &Findings) -> String {
    findings.parties.name(due.party).unwrap_or("(none)").to_owned()
}
