//! The effect of a change of policy on a snapshot: two policies in one scan, and the devices that only one would delete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::estate::{Reason, time};
use crate::policy::{Guard, Policy};
use crate::scan::Scan;
use crate::sweep::{Due, Expected, Findings, Headroom, SweepOptions, Swept, Uniqueness, guard, sweep};

/// The effect of a change from one policy to another. Serialised, it is the document of `diff --policy --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// Name, version and digest of the policy before.
    pub from: String,
    /// Name, version and digest of the policy after.
    pub to: String,
    /// The as-of moment of both, RFC 3339 in UTC.
    pub as_of: String,
    /// Rows of the snapshot.
    pub rows: u64,
    /// Devices that both policies delete.
    pub deleted_by_both: u64,
    /// Devices that only the policy after deletes.
    pub newly_deleted: DeviceCounts,
    /// Devices that only the policy before deletes.
    pub no_longer_deleted: DeviceCounts,
    /// Alerts by party.
    pub alerts_by_party: BTreeMap<String, BeforeAfter>,
    /// Quarantined rows by reason, where there are any.
    pub quarantined: BTreeMap<String, BeforeAfter>,
    /// Guards of the policy after that would stop a run.
    pub would_stop: Vec<GuardStop>,
}

/// A figure under the policy before, and under the policy after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeforeAfter {
    /// Under the policy before.
    pub before: u64,
    /// Under the policy after.
    pub after: u64,
}

/// A guard that would stop a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardStop {
    /// The guard's key in the policy.
    pub guard: String,
    /// The figure of the run.
    pub reached: String,
    /// The limit of the guard.
    pub limit: String,
}

/// Some devices, by type, party and age.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceCounts {
    /// Their number.
    pub devices: u64,
    /// The number of their deletions that raise an alert.
    pub alerts: u64,
    /// By device type.
    pub by_type: BTreeMap<String, u64>,
    /// By Notifying Party.
    pub by_party: BTreeMap<String, u64>,
    /// By whole months for which the status has applied.
    pub by_months: BTreeMap<u32, u64>,
}

impl PolicyChange {
    /// Sweeps a snapshot with two policies in one scan, and compares their deletions. Their guards stop nothing here:
    /// [`Self::would_stop`] lists those that would.
    ///
    /// # Errors
    /// Those of [`sweep()`].
    pub fn between([from, to]: [&Policy; 2], scan: &Scan<'_>, as_of: i64) -> Result<Self> {
        let policies = [from, to].map(without_guards);
        let options = SweepOptions {
            policies: &policies,
            as_of,
            expected: Expected::default(),
            previous: &[],
            uniqueness: Uniqueness::Unproven,
        };
        let swept = sweep(scan, &options)?;
        let [before, after] = &swept[..] else {
            return Err(Error::Unbalanced("two policies gave not two findings".into()));
        };
        let name = |policy: &Policy| format!("{} version {}, digest {}", policy.name, policy.version, policy.digest());
        let mut change = Self {
            from: name(from),
            to: name(to),
            as_of: time::format_instant(as_of),
            rows: scan.snapshot.rows(),
            deleted_by_both: 0,
            newly_deleted: DeviceCounts::default(),
            no_longer_deleted: DeviceCounts::default(),
            alerts_by_party: BTreeMap::new(),
            quarantined: quarantined(before, after),
            would_stop: stops(to, after),
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
            change.alerts_by_party.entry(party(due, &before.findings)).or_default().before += 1;
        }
        for due in after.findings.due.iter().filter(|due| due.alert) {
            change.alerts_by_party.entry(party(due, &after.findings)).or_default().after += 1;
        }
        Ok(change)
    }

    /// The figures that differ from the expected change, a sentence each.
    #[must_use]
    pub fn differs_from(&self, expected: &Self) -> Vec<String> {
        let mut differs = Vec::new();
        add_differences("", &json!(expected), &json!(self), &mut differs);
        differs
    }
}

/// Adds a sentence for each value that differs between two documents, with its path.
fn add_differences(path: &str, wanted: &Value, got: &Value, differs: &mut Vec<String>) {
    if let (Value::Object(one), Value::Object(other)) = (wanted, got) {
        let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for key in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path} {key}") };
            add_differences(
                &path,
                one.get(key).unwrap_or(&Value::Null),
                other.get(key).unwrap_or(&Value::Null),
                differs,
            );
        }
    } else if wanted != got {
        let say = |value: &Value| if value.is_null() { "nothing".into() } else { value.to_string() };
        differs.push(format!("{path} was to be {}, and is {}", say(wanted), say(got)));
    }
}

fn quarantined(before: &Swept, after: &Swept) -> BTreeMap<String, BeforeAfter> {
    let rows = |swept: &Swept, reason: Reason| swept.findings.by_type.total().quarantined[reason as usize];
    Reason::ALL
        .into_iter()
        .map(|reason| (reason, BeforeAfter { before: rows(before, reason), after: rows(after, reason) }))
        .filter(|(_, rows)| *rows != BeforeAfter::default())
        .map(|(reason, rows)| (reason.name().to_owned(), rows))
        .collect()
}

/// A policy whose guards stop nothing.
fn without_guards(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.guard = Guard::none();
    policy
}

fn stops(policy: &Policy, swept: &Swept) -> Vec<GuardStop> {
    let headroom = guard::headroom(policy, &(&swept.findings.by_type).into(), swept.terms);
    let tripped = headroom.into_iter().filter(|headroom| headroom.tripped);
    let stop =
        |own: Headroom| GuardStop { reached: own.figure(own.reached), limit: own.figure(own.limit), guard: own.guard };
    tripped.map(stop).collect()
}

impl DeviceCounts {
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
