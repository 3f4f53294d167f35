//! A case through the engine: each cell is stored, swept and written as manifests, and compared.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, Device, Ending};
use super::cells::Cell;
use crate::error::{Error, Result};
use crate::estate::{DeviceId, DeviceType, Disposition, Party, SmiStatus, Tally, TallyByType, time};
use crate::policy::{PartyField, Policy, RoleField, Row};
use crate::pool::Pool;
use crate::run::manifest::{self, ALERTS, DELETE, Manifests};
use crate::run::read::{Alerts, Batches, Deletes, Manifest, text};
use crate::snapshot::Snapshot;
use crate::sweep::{self, Options, Reader, Swept, explain};
use crate::watch::Unwatched;

/// What a cell came to, as far as cells are compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The bytes of both manifests; none where a guard stopped the run.
    manifests: Option<[Vec<u8>; 2]>,
    /// Rows that cannot be judged, and why.
    quarantined: Vec<(u64, &'static str)>,
    /// The guards that stopped the run.
    stopped_by: Vec<&'static str>,
    by_type: TallyByType,
}

/// A case stored in one way.
pub(super) struct Stored {
    folder: PathBuf,
    snapshot: Snapshot,
}

impl Stored {
    /// Stores the devices in a folder that is not there yet.
    pub(super) fn new(case: &Case, cell: &Cell, folder: PathBuf) -> Result<Self> {
        let files = folder.join("snapshot");
        fs::create_dir_all(&files).map_err(Error::io("create", &files))?;
        // Cases speak in our words; what an estate calls its columns is not what they are about.
        cell.write(&case.devices, &files)?;
        let snapshot = Snapshot::open(&[files], &BTreeMap::new(), &Pool::new(Some(1)), &Unwatched)?;
        Ok(Self { folder, snapshot })
    }

    /// Sweeps, and writes the manifests.
    pub(super) fn sweep(&self, case: &Case, pool: &Pool) -> Result<Said> {
        let policies = std::slice::from_ref(&case.policy);
        let options =
            Options { policies, as_of: case.as_of, expected: case.accept, duplicates: &[], reader: Reader::Encoded };
        let swept = sweep::sweep(&self.snapshot, &options, pool, &Unwatched)?;
        let [swept] = &swept[..] else { return Err(Error::Unbalanced("one policy gave no findings".into())) };
        let run = self.run(pool);
        let manifests = if swept.trips.is_empty() {
            fs::create_dir(&run).map_err(Error::io("create", &run))?;
            write_manifests(&run, &self.snapshot, &case.policy, swept, pool)?;
            let read = |name: &str| fs::read(run.join(name)).map_err(Error::io("read", run.join(name)));
            Some([read(DELETE)?, read(ALERTS)?])
        } else {
            None
        };
        Ok(Said {
            manifests,
            quarantined: swept.findings.quarantined.iter().map(|row| (row.row, row.reason.name())).collect(),
            stopped_by: swept.trips.iter().map(|trip| trip.guard).collect(),
            by_type: swept.findings.by_type.clone(),
        })
    }

    fn run(&self, pool: &Pool) -> PathBuf {
        self.folder.join(format!("run-{}", pool.threads()))
    }

    /// What became of each device: as the manifests have it, and as the rule has it for those in neither, whom
    /// [`compare`] holds against the counts.
    pub(super) fn endings(&self, case: &Case, said: &Said, pool: &Pool) -> Result<Vec<Ending>> {
        let listed = if said.manifests.is_some() { listed(&self.run(pool))? } else { HashMap::new() };
        let quarantined: HashMap<u64, &str> = said.quarantined.iter().copied().collect();
        let rules = case.policy.bind(case.as_of);
        let ending = |(row, device): (usize, &Device)| {
            let mut ending = Ending { device_id: device.id.clone().unwrap_or_default(), ..Ending::default() };
            if let Some(reason) = quarantined.get(&(row as u64)) {
                ending.disposition = "quarantined".into();
                ending.reason = (*reason).into();
            } else if let Some(deleted) = device.device_id().and_then(|id| listed.get(&id))
                // Another row, which is not due, may have the same Device ID.
                && Some(deleted.since) == device.since
                && device.smi_status.as_ref().is_some_and(|status| {
                    case.policy.status_code(status.as_bytes()) == deleted.status_code
                })
            {
                ending.disposition = "delete".into();
                ending.due_on = time::format_day(deleted.due_on);
                if let Some((code, recipient)) = &deleted.alert {
                    ending.alert.clone_from(code);
                    ending.recipient.clone_from(recipient);
                }
            } else {
                let disposition = rules.judge(&judged(device, &case.policy));
                ending.disposition = disposition.name().into();
                if let Disposition::Quarantined(reason) = disposition {
                    ending.reason = reason.name().into();
                }
            }
            ending
        };
        Ok(case.devices.iter().enumerate().map(ending).collect())
    }

    /// Why the engine decided so for a device, where it has a Device ID to ask for.
    pub(super) fn because(&self, case: &Case, row: usize) -> Result<String> {
        let Some(id) = case.devices.get(row).and_then(Device::device_id) else { return Ok(String::new()) };
        let pool = Pool::new(Some(1));
        let found = explain::explain(&self.snapshot, &case.policy, case.as_of, id, false, &pool, &Unwatched)?;
        Ok(found.into_iter().find(|found| found.row == row as u64).map_or_else(String::new, |found| found.because))
    }
}

/// A device as far as the rule is concerned.
fn judged(device: &Device, policy: &Policy) -> Row {
    let code = |text: &Option<String>, null: u8, code: &dyn Fn(&[u8]) -> u8| {
        text.as_ref().map_or(null, |text| code(text.as_bytes()))
    };
    Row {
        status_code: code(&device.smi_status, SmiStatus::NULL, &|status| policy.status_code(status)),
        type_code: code(&device.device_type, DeviceType::NULL, &|name| policy.type_code(name)),
        since: device.since,
        id: device.device_id(),
        role: RoleField::from(device.role.as_deref().map(str::as_bytes)),
        party: device.party.as_ref().map_or(PartyField::Missing, |party| (&Party::of(party.as_bytes())).into()),
    }
}

fn write_manifests(run: &Path, snapshot: &Snapshot, policy: &Policy, swept: &Swept, pool: &Pool) -> Result<()> {
    let manifests = Manifests {
        findings: &swept.findings,
        types: &policy.types,
        alert_code: &policy.alerts.code,
        due_on: &|type_code, day| swept.rules.due_on(type_code, day).unwrap_or(day),
        locate: &|row| snapshot.locate(row).map_or(("", row), |(file, row)| (file.name.as_str(), row)),
    };
    manifest::write(run, &manifests, pool).map(drop)
}

/// A line of the delete manifest, with that of the alert manifest which goes with it.
struct Deleted {
    since: i64,
    status_code: u8,
    due_on: i32,
    alert: Option<(String, String)>,
}

fn listed(run: &Path) -> Result<HashMap<DeviceId, Deleted>> {
    let mut listed = HashMap::new();
    let mut deletes = Batches::<Deletes>::open(run)?;
    while let Some(batch) = deletes.next_batch()? {
        for row in 0..batch.len() {
            if let Some(id) = text(&batch.id, row).and_then(|id| DeviceId::from_text(id.as_bytes())) {
                let status = SmiStatus::from_name(batch.status.value(row));
                let line = Deleted {
                    since: batch.since.value(row),
                    status_code: status.map_or(SmiStatus::UNKNOWN, SmiStatus::code),
                    due_on: batch.due_on.value(row),
                    alert: None,
                };
                listed.insert(id, line);
            }
        }
    }
    let mut alerts = Batches::<Alerts>::open(run)?;
    while let Some(batch) = alerts.next_batch()? {
        for row in 0..batch.len() {
            let id = text(&batch.id, row).and_then(|id| DeviceId::from_text(id.as_bytes()));
            let told = id.and_then(|id| listed.get_mut(&id)).ok_or_else(|| Error::Verification {
                path: run.join(ALERTS),
                what: format!("{} is told of and not deleted", batch.id.value(row)),
            })?;
            told.alert = Some((batch.code.value(row).into(), batch.party.value(row).into()));
        }
    }
    Ok(listed)
}

/// How what was expected and what came differ, each in a sentence, with the row that it is about.
pub(super) fn compare(case: &Case, said: &Said, endings: &[Ending]) -> Vec<(Option<usize>, String)> {
    let mut differences = Vec::new();
    match (&case.stopped_by, said.stopped_by.first()) {
        (Some(guard), None) => differences.push((None, format!("the guard {guard} was to stop the run, and did not"))),
        (None, Some(guard)) => differences.push((None, format!("the guard {guard} stopped the run"))),
        (Some(wanted), Some(guard)) if wanted != guard => {
            differences.push((None, format!("the guard {guard} stopped the run, where {wanted} was to")));
        }
        _ => {}
    }
    for (row, ending) in endings.iter().enumerate() {
        let (line, device) = (row + 2, named(&ending.device_id));
        let Some(expected) = case.expected.get(row) else {
            differences.push((Some(row), format!("{device}: expected.csv has no line {line} for it")));
            continue;
        };
        if expected.device_id != ending.device_id {
            let other = named(&expected.device_id);
            differences.push((Some(row), format!("{device}: line {line} of expected.csv is of {other}")));
            continue;
        }
        // What a guard stops is published to nobody.
        let cells = if case.stopped_by.is_some() { 3 } else { Ending::COLUMNS.len() };
        let (wanted, got) = (expected.cells(), ending.cells());
        for column in (1..cells).filter(|&column| wanted[column] != got[column]) {
            let (wanted, got, name) = (quoted(wanted[column]), quoted(got[column]), Ending::COLUMNS[column]);
            differences.push((Some(row), format!("{device}: {name} was to be {wanted}, and is {got}")));
        }
    }
    for (row, extra) in case.expected.iter().enumerate().skip(endings.len()) {
        let device = named(&extra.device_id);
        differences.push((None, format!("{device}: in line {} of expected.csv, and not in snapshot.csv", row + 2)));
    }
    differences.extend(miscounted(case, &said.by_type.total()).into_iter().map(|what| (None, what)));
    differences
}

/// Dispositions whose counts are not those of `expected.csv`: who is in no manifest may still be miscounted.
fn miscounted(case: &Case, tally: &Tally) -> Vec<String> {
    let counted = [
        ("not_candidate", tally.not_candidate),
        ("excluded", tally.excluded),
        ("not_due", tally.not_due),
        ("delete", tally.deletes()),
        ("quarantined", tally.quarantined()),
    ];
    let expected = |name: &str| case.expected.iter().filter(|ending| ending.disposition == name).count() as u64;
    let wrong = counted.into_iter().filter(|&(name, count)| expected(name) != count);
    wrong
        .map(|(name, count)| format!("{} devices were to be {name}, and {count} were counted", expected(name)))
        .collect()
}

fn named(device_id: &str) -> &str {
    if device_id.is_empty() { "(no Device ID)" } else { device_id }
}

fn quoted(cell: &str) -> String {
    if cell.is_empty() { "nothing".into() } else { format!("`{cell}`") }
}
