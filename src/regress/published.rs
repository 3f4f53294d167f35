//! The manifests of a run, read back as a loader reads them, and reconciled with the snapshot line by line.
//!
//! Every line must be of a device of the snapshot, with that device's values, and no device may be in two lines. The
//! outcome of a device in no manifest comes from the rule; the engine's counts by type must then agree.

use std::collections::HashMap;
use std::path::Path;

use super::case::{Case, Device, DeviceOutcome, DispositionKind};
use super::cells::MatrixCell;
use crate::error::Result;
use crate::estate::{DeviceId, DeviceType, Disposition, Party, Reason, SmiStatus, time};
use crate::policy::{JudgedRow, PartyField, Policy, RoleField};
use crate::run::manifest::{ALERTS, DELETE, QUARANTINE};
use crate::run::read::{Alerts, Batches, Deletes, Manifest, Quarantine, text};
use crate::snapshot::Snapshot;
use arrow_array::Array;

/// A line of the delete manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeleteLine {
    pub id: String,
    pub device_type: String,
    pub status: String,
    pub since: i64,
    pub due_on: i32,
    pub party: Option<String>,
    pub alert: bool,
}

/// A line of the alert manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AlertLine {
    pub code: String,
    pub party: String,
    pub id: String,
    pub device_type: String,
    pub since: i64,
    pub due_on: i32,
}

/// A line of the quarantine manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QuarantineLine {
    pub reason: String,
    pub id: Option<String>,
    pub device_type: Option<String>,
    pub status: Option<String>,
    pub since: Option<i64>,
    pub party: Option<String>,
    /// The row within the snapshot, from 0; `None` where the file or the row that is named does not exist.
    pub row: Option<u64>,
}

/// The manifests of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PublishedManifests {
    pub deletes: Vec<DeleteLine>,
    pub alerts: Vec<AlertLine>,
    pub quarantined: Vec<QuarantineLine>,
}

impl PublishedManifests {
    /// Reads the manifests of a run directory.
    pub(super) fn read(run: &Path, snapshot: &Snapshot) -> Result<Self> {
        let mut published = Self::default();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let mut deletes = Batches::<Deletes>::open(run)?;
        while let Some(batch) = deletes.next_batch()? {
            published.deletes.extend((0..batch.len()).map(|row| DeleteLine {
                id: batch.id.value(row).into(),
                device_type: batch.device_type.value(row).into(),
                status: batch.status.value(row).into(),
                since: batch.since.value(row),
                due_on: batch.due_on.value(row),
                party: owned(text(&batch.party, row)),
                alert: batch.alert.value(row),
            }));
        }
        let mut alerts = Batches::<Alerts>::open(run)?;
        while let Some(batch) = alerts.next_batch()? {
            published.alerts.extend((0..batch.len()).map(|row| AlertLine {
                code: batch.code.value(row).into(),
                party: batch.party.value(row).into(),
                id: batch.id.value(row).into(),
                device_type: batch.device_type.value(row).into(),
                since: batch.since.value(row),
                due_on: batch.due_on.value(row),
            }));
        }
        let place = |file: &str, row: i64| {
            let file = snapshot.files().iter().find(|known| known.name == file)?;
            let row = u64::try_from(row).ok().filter(|&row| row < file.rows)?;
            Some(file.first_row + row)
        };
        let mut quarantined = Batches::<Quarantine>::open(run)?;
        while let Some(batch) = quarantined.next_batch()? {
            published.quarantined.extend((0..batch.len()).map(|row| QuarantineLine {
                reason: batch.reason.value(row).into(),
                id: owned(text(&batch.id, row)),
                device_type: owned(text(&batch.device_type, row)),
                status: owned(text(&batch.status, row)),
                since: batch.since.is_valid(row).then(|| batch.since.value(row)),
                party: owned(text(&batch.party, row)),
                row: place(batch.source_file.value(row), batch.row_in_file.value(row)),
            }));
        }
        Ok(published)
    }
}

/// Where the outcome of a device was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeSource {
    /// The delete manifest, and the alert manifest where an alert is raised.
    DeleteManifest,
    /// The quarantine manifest.
    QuarantineManifest,
    /// In no manifest: the outcome is that of the rule, confirmed by the engine's counts of the type.
    Counts,
}

impl OutcomeSource {
    /// The words in evidence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeleteManifest => "delete manifest",
            Self::QuarantineManifest => "quarantine manifest",
            Self::Counts => "counts",
        }
    }
}

/// The actual outcome of a device of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualOutcome {
    /// The outcome, in the columns of `expected.csv`.
    pub outcome: DeviceOutcome,
    /// Where it was found.
    pub source: OutcomeSource,
}

/// Manifests reconciled with the devices of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reconciliation {
    /// One for each device, in the order of the snapshot.
    pub actual: Vec<ActualOutcome>,
    /// What is wrong with the manifests, a sentence each.
    pub faults: Vec<String>,
}

/// Reconciles every line of the manifests, and gives every device its outcome. `published` is `None` for a run that a
/// guard stopped.
pub(super) fn reconcile(case: &Case, cell: &MatrixCell, published: Option<&PublishedManifests>) -> Reconciliation {
    let mut reconciler = Reconciler { case, found: vec![None; case.devices.len()], faults: Vec::new() };
    if let Some(published) = published {
        reconciler.quarantined(cell, &published.quarantined);
        reconciler.deleted(published);
    }
    let rules = case.policy.bind(case.as_of);
    let by_rule = |device: &Device| {
        let disposition = rules.judge(&rule_row(device, &case.policy));
        ActualOutcome { outcome: DeviceOutcome::new(device.written(), disposition), source: OutcomeSource::Counts }
    };
    let Reconciler { found, faults, .. } = reconciler;
    let found = found.into_iter().zip(&case.devices);
    let mut actual: Vec<ActualOutcome> =
        found.map(|(found, device)| found.unwrap_or_else(|| by_rule(device))).collect();
    if published.is_none() {
        quarantine_shared_ids(&case.devices, &mut actual);
    }
    Reconciliation { actual, faults }
}

/// Quarantines due devices that share a Device ID, where no manifest does: the rule sees one row at a time.
fn quarantine_shared_ids(devices: &[Device], actual: &mut [ActualOutcome]) {
    let due = |outcome: &DeviceOutcome| {
        outcome.disposition == DispositionKind::Delete
            || matches!(outcome.reason, Some(Reason::UnknownRole | Reason::MissingParty | Reason::BadParty))
    };
    let mut rows: HashMap<DeviceId, Vec<usize>> = HashMap::new();
    for (row, device) in devices.iter().enumerate().filter(|(row, _)| due(&actual[*row].outcome)) {
        if let Some(id) = device.device_id() {
            rows.entry(id).or_default().push(row);
        }
    }
    let duplicate = Disposition::Quarantined(Reason::DuplicateDeviceId);
    for row in rows.into_values().filter(|rows| rows.len() > 1).flatten() {
        actual[row].outcome = DeviceOutcome::new(devices[row].written(), duplicate);
    }
}

/// Collects the outcomes that manifests state, and what is wrong with them.
struct Reconciler<'c> {
    case: &'c Case,
    /// By row of the snapshot; `None` where no manifest has the device.
    found: Vec<Option<ActualOutcome>>,
    faults: Vec<String>,
}

impl Reconciler<'_> {
    fn quarantined(&mut self, cell: &MatrixCell, lines: &[QuarantineLine]) {
        let ascending = lines.array_windows().all(|[one, other]| one.row < other.row);
        if !ascending {
            self.faults.push(format!("{QUARANTINE} is not in the order of its rows, each once"));
        }
        for line in lines {
            let name = line.id.as_deref().unwrap_or("(no Device ID)");
            let Some(row) = line.row.map(|row| row as usize).filter(|&row| row < self.found.len()) else {
                self.faults.push(format!("{name}: {QUARANTINE} names a row that is not in the snapshot"));
                continue;
            };
            let device = &self.case.devices[row];
            let since = |since: Option<i64>| since.map(time::format_instant);
            let columns = [
                ("device_id", line.id.clone(), device.id.as_deref().map(|id| cell.quoted(id))),
                ("device_type", line.device_type.clone(), device.device_type.clone()),
                ("smi_status", line.status.clone(), device.smi_status.clone()),
                ("status_since", since(line.since), since(device.since)),
                ("notifying_party", line.party.clone(), device.party.clone()),
            ];
            self.compare(name, QUARANTINE, columns);
            let Some(reason) = Reason::ALL.into_iter().find(|reason| reason.name() == line.reason) else {
                self.faults.push(format!("{name}: {QUARANTINE} has the unknown reason `{}`", line.reason));
                continue;
            };
            let outcome = DeviceOutcome::new(device.written(), Disposition::Quarantined(reason));
            let found = ActualOutcome { outcome, source: OutcomeSource::QuarantineManifest };
            if self.found[row].replace(found).is_some() {
                self.faults.push(format!("{name}: {QUARANTINE} has its row twice"));
            }
        }
    }

    fn deleted(&mut self, published: &PublishedManifests) {
        let PublishedManifests { deletes, alerts, .. } = published;
        if !deletes.array_windows().all(|[one, other]| one.id < other.id) {
            self.faults.push(format!("{DELETE} is not in the order of its Device IDs, each once"));
        }
        let key = |line: &AlertLine| (line.party.clone(), line.id.clone());
        if !alerts.array_windows().all(|[one, other]| key(one) < key(other)) {
            self.faults.push(format!("{ALERTS} is not in the order of its parties and Device IDs, each once"));
        }
        let mut unmatched: Vec<Option<&AlertLine>> = alerts.iter().map(Some).collect();
        for line in deletes {
            let own = |alert: &&mut Option<&AlertLine>| alert.is_some_and(|alert| alert.id == line.id);
            let alert = unmatched.iter_mut().find(own).and_then(Option::take);
            self.alert(line, alert);
            let Some(row) = self.device_of(line) else { continue };
            let disposition = Disposition::Delete { alert: alert.is_some() };
            let outcome = DeviceOutcome {
                alert: alert.map(|alert| alert.code.clone()).unwrap_or_default(),
                recipient: alert.map(|alert| alert.party.clone()).unwrap_or_default(),
                due_on: time::format_day(line.due_on),
                ..DeviceOutcome::new(self.case.devices[row].written(), disposition)
            };
            self.found[row] = Some(ActualOutcome { outcome, source: OutcomeSource::DeleteManifest });
        }
        for AlertLine { id, party, .. } in unmatched.into_iter().flatten() {
            self.faults.push(format!("{id}: {ALERTS} alerts {party}, and {DELETE} has no line for that"));
        }
    }

    /// The row of the device of a line, if no other line has that row. Adds a fault where the values differ, or where there is
    /// no such device.
    fn device_of(&mut self, line: &DeleteLine) -> Option<usize> {
        let own = |row: &usize| {
            self.found[*row].is_none()
                && self.case.devices[*row].device_id().is_some_and(|id| id.to_string() == line.id)
        };
        let rows: Vec<usize> = (0..self.case.devices.len()).filter(own).collect();
        let values = |row: usize| manifest_values(&self.case.devices[row], &self.case.policy);
        let columns = |row: usize| {
            let [device_type, status, since, party] = values(row);
            let instant = Some(time::format_instant(line.since));
            [
                ("device_type", Some(line.device_type.clone()), device_type),
                ("smi_status", Some(line.status.clone()), status),
                ("status_since", instant, since),
                ("notifying_party", line.party.clone(), party),
            ]
        };
        let fits = |row: &&usize| columns(**row).iter().all(|(_, found, wanted)| found == wanted);
        if let Some(&row) = rows.iter().find(fits) {
            return Some(row);
        }
        let Some(&row) = rows.first() else {
            let what = "has one line too many for it: every device with that Device ID has one already";
            self.faults.push(format!("{}: {DELETE} {what}", line.id));
            return None;
        };
        let columns = columns(row);
        self.compare(&line.id, DELETE, columns);
        Some(row)
    }

    /// Compares a line of the alert manifest with that of the delete manifest.
    fn alert(&mut self, line: &DeleteLine, alert: Option<&AlertLine>) {
        match (line.alert, alert) {
            (true, None) => {
                self.faults.push(format!("{}: {DELETE} says that an alert is raised, and {ALERTS} has none", line.id));
            }
            (false, Some(alert)) => {
                let party = &alert.party;
                self.faults.push(format!("{}: {ALERTS} alerts {party}, and {DELETE} has no alert", line.id));
            }
            (true, Some(alert)) => {
                let columns = [
                    ("notifying_party", Some(alert.party.clone()), line.party.clone()),
                    ("device_type", Some(alert.device_type.clone()), Some(line.device_type.clone())),
                    ("status_since", Some(time::format_instant(alert.since)), Some(time::format_instant(line.since))),
                    ("due_on", Some(time::format_day(alert.due_on)), Some(time::format_day(line.due_on))),
                ];
                self.compare(&line.id, ALERTS, columns);
            }
            (false, None) => {}
        }
    }

    /// Adds a fault for each column of a line, `(name, found, wanted)`, that differs.
    fn compare<const N: usize>(
        &mut self,
        name: &str,
        manifest: &str,
        columns: [(&str, Option<String>, Option<String>); N],
    ) {
        for (column, found, wanted) in columns.into_iter().filter(|(_, found, wanted)| found != wanted) {
            let quoted =
                |value: Option<String>| value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
            self.faults.push(format!(
                "{name}: {column} in {manifest} is {}, and was to be {}",
                quoted(found),
                quoted(wanted)
            ));
        }
    }
}

/// Type, status, date and party of a device as a delete manifest has them.
fn manifest_values(device: &Device, policy: &Policy) -> [Option<String>; 4] {
    let row = rule_row(device, policy);
    let status = SmiStatus::ALL.into_iter().find(|status| status.code() == row.status_code);
    let party = device.party.as_ref().and_then(|party| Party::of(party.as_bytes()).name().map(str::to_owned));
    [
        Some(policy.types.name(row.type_code).to_owned()),
        status.map(|status| status.name().to_owned()),
        device.since.map(time::format_instant),
        party,
    ]
}

/// The part of a device that the rule looks at.
pub(super) fn rule_row(device: &Device, policy: &Policy) -> JudgedRow {
    let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    JudgedRow {
        status_code: bytes(&device.smi_status).map_or(SmiStatus::NULL, |status| policy.status_code(&status)),
        type_code: bytes(&device.device_type).map_or(DeviceType::NULL, |name| policy.type_code(&name)),
        since: device.since,
        id: device.device_id(),
        role: RoleField::from(device.role.as_deref().map(str::as_bytes)),
        party: device.party.as_ref().map_or(PartyField::Missing, |party| (&Party::of(party.as_bytes())).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::sweep::Expected;

    fn device(id: &str, device_type: &str, party: Option<&str>) -> Device {
        Device {
            id: Some(id.into()),
            device_type: Some(device_type.into()),
            smi_status: Some("Pending".into()),
            since: time::parse("2024-01-15"),
            party: party.map(str::to_owned),
            role: None,
        }
    }

    fn case() -> Case {
        Case {
            name: "case".into(),
            folder: "case".into(),
            title: String::new(),
            demonstrates: String::new(),
            requirements: Vec::new(),
            policy: Policy::load("pre-change").unwrap(),
            policy_digest: None,
            as_of: time::parse("2026-11-01").unwrap(),
            stopped_by: None,
            accept: Expected::default(),
            devices: vec![
                device("00-DB-12-34-56-78-90-01", "ESME", Some("Supplier A")),
                device("00-DB-12-34-56-78-90-02", "CHF", Some("CSP North")),
                device("00-DB-12-34-56-78-90-03", "ESME", None),
            ],
            expected: Vec::new(),
            digest: String::new(),
        }
    }

    /// What the engine publishes of the case.
    fn published() -> PublishedManifests {
        let since = time::parse("2024-01-15").unwrap();
        let due_on = time::day_of(time::parse("2025-01-15").unwrap());
        let line = |id: &str, device_type: &str, party: &str, alert| DeleteLine {
            id: id.into(),
            device_type: device_type.into(),
            status: "Pending".into(),
            since,
            due_on,
            party: Some(party.into()),
            alert,
        };
        PublishedManifests {
            deletes: vec![
                line("00-DB-12-34-56-78-90-01", "ESME", "Supplier A", true),
                line("00-DB-12-34-56-78-90-02", "CHF", "CSP North", false),
            ],
            alerts: vec![AlertLine {
                code: "N8".into(),
                party: "Supplier A".into(),
                id: "00-DB-12-34-56-78-90-01".into(),
                device_type: "ESME".into(),
                since,
                due_on,
            }],
            quarantined: vec![QuarantineLine {
                reason: "missing_party".into(),
                id: Some("00-DB-12-34-56-78-90-03".into()),
                device_type: Some("ESME".into()),
                status: Some("Pending".into()),
                since: Some(since),
                party: None,
                row: Some(2),
            }],
        }
    }

    /// The faults that are found after a change to what the engine publishes.
    fn faults(spoil: impl Fn(&mut PublishedManifests)) -> String {
        let mut published = published();
        spoil(&mut published);
        let case = case();
        reconcile(&case, &cells(&case.devices)[0], Some(&published)).faults.join("\n")
    }

    #[test]
    fn every_line_is_accounted_for() {
        let case = case();
        let Reconciliation { actual, faults } = reconcile(&case, &cells(&case.devices)[0], Some(&published()));
        assert_eq!(faults, Vec::<String>::new());
        let found: Vec<_> = actual.iter().map(|actual| (actual.outcome.disposition, actual.source)).collect();
        let wanted = [
            (DispositionKind::Delete, OutcomeSource::DeleteManifest),
            (DispositionKind::Delete, OutcomeSource::DeleteManifest),
            (DispositionKind::Quarantined, OutcomeSource::QuarantineManifest),
        ];
        assert_eq!(found, wanted);
        assert_eq!(actual[0].outcome.recipient, "Supplier A");
    }

    #[test]
    fn lines_too_many_are_faults() {
        let twice = faults(|published| published.deletes.push(published.deletes[1].clone()));
        assert!(twice.contains("each once") && twice.contains("too many"), "{twice}");
        let unknown = faults(|published| published.deletes[1].id = "00-DB-12-34-56-78-90-77".into());
        assert!(unknown.contains("90-77: delete.parquet has one line too many"), "{unknown}");
        let both = faults(|published| {
            let line = QuarantineLine {
                row: Some(1),
                id: Some("00-DB-12-34-56-78-90-02".into()),
                ..published.quarantined[0].clone()
            };
            published.quarantined.insert(0, line);
        });
        assert!(both.contains("90-02: delete.parquet has one line too many"), "{both}");
        let alerted =
            faults(|published| published.alerts.push(AlertLine { party: "Z".into(), ..published.alerts[0].clone() }));
        assert!(alerted.contains("alerts.parquet alerts Z"), "{alerted}");
        let nowhere = faults(|published| published.quarantined[0].row = None);
        assert!(nowhere.contains("a row that is not in the snapshot"), "{nowhere}");
    }

    type Spoil = fn(&mut PublishedManifests);

    #[test]
    fn every_column_counts() {
        let spoilt: [(&str, Spoil); 9] = [
            ("device_type in delete.parquet", |published| published.deletes[1].device_type = "GPF".into()),
            ("smi_status in delete.parquet", |published| published.deletes[0].status = "Withdrawn".into()),
            ("status_since in delete.parquet", |published| published.deletes[1].since += 1),
            ("notifying_party in delete.parquet", |published| published.deletes[1].party = None),
            ("an alert is raised", |published| published.alerts.clear()),
            ("device_type in alerts.parquet", |published| published.alerts[0].device_type = "GSME".into()),
            ("due_on in alerts.parquet", |published| published.alerts[0].due_on += 1),
            ("smi_status in quarantine.parquet", |published| published.quarantined[0].status = None),
            ("notifying_party in quarantine.parquet", |published| published.quarantined[0].party = Some("X".into())),
        ];
        for (says, spoil) in spoilt {
            let faults = faults(spoil);
            assert!(faults.contains(says), "`{says}` is not in: {faults}");
        }
        let order = faults(|published| published.deletes.reverse());
        assert!(order.contains("not in the order of its Device IDs"), "{order}");
    }
}
