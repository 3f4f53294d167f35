//! Whether a run directory is what its record says: every file digested, every row looked at, every figure recounted.
//!
//! What is verified: the directory holds the files that the record names and no other; each has the size, rows and
//! digest recorded; each deletion is due under the recorded policy at the recorded moment, is of a type that may be
//! deleted, stands once and in order, and is of no Device ID that was quarantined as a duplicate; the alerts are those
//! that the deletions call for, in order; the quarantined rows are as many as were counted, by reason and type; cutoffs
//! follow from the policy, its guards let the figures pass, and all figures add up. What cannot be told without the
//! snapshot: whether rows are missing from all manifests alike, and, where the snapshot has roles, whether a silent
//! deletion was one by the party's role.
//!
//! Both manifests of due rows are read at the same time. Of each alert 32 bytes are kept from either side; all else is
//! streamed.

mod figures;
mod quarantine;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::manifest::{ALERTS, DELETE, QUARANTINE};
use super::page::PAGE;
use super::read::{Alerts, Batches, Deletes, Manifest, text};
use super::record::{RECORD, Record};
use crate::error::{Error, Result};
use crate::estate::time::{day_of, format_day, format_instant, parse};
use crate::estate::{DeviceId, DeviceType, Party, SmiStatus};
use crate::policy::{DateVerdict, Pair, Policy, Rules};
use crate::pool::Pool;
use crate::scan::PartyCounts;

/// The folder in which people approve a run. Who signed what is no part of the run: whoever asks about approvals judges
/// what is in it.
pub const APPROVALS: &str = "approvals";
/// What became of a run when it was loaded, written afterwards by whoever loads.
pub const LOADED: [&str; 2] = ["load.json", "load-outcome.parquet"];

/// A run that is what its record says.
#[derive(Debug)]
pub struct Verified {
    /// The run directory.
    pub path: PathBuf,
    /// Its record.
    pub record: Record,
}

/// Verifies a run directory, or each one in a folder of runs of several policies.
///
/// # Errors
/// [`Error::Verification`], with the file and what differs, at the first difference.
pub fn verify(folder: &Path, pool: &Pool) -> Result<Vec<Verified>> {
    if folder.join(RECORD).exists() {
        return Ok(vec![verify_run(folder, pool)?]);
    }
    let within = if folder.is_dir() { entries(folder)? } else { Vec::new() };
    let folders: Vec<PathBuf> = within
        .iter()
        .filter(|name| !name.starts_with('.'))
        .map(|name| folder.join(name))
        .filter(|path| path.is_dir())
        .collect();
    if !folders.iter().any(|path| path.join(RECORD).exists()) {
        return Err(Error::NoRun(folder.to_path_buf()));
    }
    folders.iter().map(|path| verify_run(path, pool)).collect()
}

fn verify_run(folder: &Path, pool: &Pool) -> Result<Verified> {
    let record = Record::read(folder)?;
    let refuse_record = |what: String| refuse(&folder.join(RECORD), what);
    figures::figures(&record).map_err(refuse_record)?;
    files(folder, &record)?;
    pool.map(vec![DELETE, ALERTS, QUARANTINE], |name| digest(folder, &record, name))?;
    let basis = Basis::of(folder, &record)?;
    figures::follows(&record, &basis.policy, &basis.rules).map_err(refuse_record)?;
    let duplicates = quarantine::quarantine(folder, &basis.policy, &record)?;
    let (deletes, alerts) = pool.join(|| deletes(folder, &basis, &record, &duplicates), || alerts(folder, &basis));
    same_alerts(folder, &deletes?, alerts?)?;
    Ok(Verified { path: folder.to_path_buf(), record })
}

fn refuse(path: &Path, what: impl Into<String>) -> Error {
    Error::Verification { path: path.to_path_buf(), what: what.into() }
}

/// Names of what is in a folder, in order.
fn entries(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        names.push(entry.map_err(Error::io("list", folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Whether the directory holds the manifests and nothing that the record does not know.
fn files(folder: &Path, record: &Record) -> Result<()> {
    let mut recorded: Vec<&str> = record.outputs.iter().map(|output| output.path.as_str()).collect();
    recorded.sort_unstable();
    let mut wanted = [DELETE, ALERTS, QUARANTINE];
    wanted.sort_unstable();
    if recorded != wanted {
        return Err(refuse(&folder.join(RECORD), format!("names the outputs {}", recorded.join(", "))));
    }
    for name in entries(folder)? {
        let beside = [RECORD, PAGE, APPROVALS].contains(&name.as_str()) || LOADED.contains(&name.as_str());
        if !beside && !wanted.contains(&name.as_str()) {
            return Err(refuse(&folder.join(&name), "is not of this run: a file too many"));
        }
        let path = folder.join(&name);
        if name != APPROVALS && !fs::symlink_metadata(&path).map_err(Error::io("inspect", &path))?.is_file() {
            return Err(refuse(&path, "is not a regular file"));
        }
    }
    Ok(())
}

/// Whether a manifest has the size and digest that the record gives it; that digest.
///
/// # Errors
/// [`Error::Verification`] where it has not, or is not there.
pub fn digest(folder: &Path, record: &Record, name: &str) -> Result<String> {
    let path = folder.join(name);
    let Some(output) = record.outputs.iter().find(|output| output.path == name) else {
        return Err(refuse(&folder.join(RECORD), format!("does not name {name}")));
    };
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(refuse(&path, "is missing")),
        file => file.map_err(Error::io("open", &path))?,
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => drop(hasher.update(&buffer[..read])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", &path)(error)),
        }
    }
    if hasher.count() != output.bytes {
        return Err(refuse(&path, format!("has {} bytes, recorded are {}", hasher.count(), output.bytes)));
    }
    let found = hasher.finalize().to_hex();
    if *found.as_str() != output.blake3 {
        return Err(refuse(&path, format!("has digest {found}, recorded is {}", output.blake3)));
    }
    Ok(output.blake3.clone())
}

/// What rows are judged by.
pub(super) struct Basis {
    pub policy: Policy,
    pub rules: Rules,
    /// The number of each party: its place among the parties of the record, which is the order of their names.
    parties: HashMap<String, u32>,
    /// Whether a row of the snapshot can say as what its party notified it; else the device type decides.
    has_roles: bool,
}

impl Basis {
    pub fn of(folder: &Path, record: &Record) -> Result<Self> {
        let path = folder.join(RECORD);
        let policy = Policy::from_json(&record.policy, RECORD)
            .map_err(|error| refuse(&path, format!("the policy cannot be read: {error}")))?;
        if record.policy.get("digest").and_then(|digest| digest.as_str()) != Some(policy.digest().as_str()) {
            return Err(refuse(&path, "the policy is not the one whose digest is recorded"));
        }
        let as_of = parse(&record.as_of).ok_or_else(|| refuse(&path, format!("as_of is `{}`", record.as_of)))?;
        let parties = record.by_party.keys().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        let has_roles = record.snapshot.files.iter().any(|file| file.role_column);
        Ok(Self { rules: policy.bind(as_of), policy, parties, has_roles })
    }

    /// The party's number, for the record's sums as well; behind all others that of no party.
    fn party(&self, name: Option<&str>) -> Result<u32, String> {
        let Some(name) = name else { return Ok(self.parties.len() as u32) };
        self.parties.get(name).copied().ok_or_else(|| format!("party `{name}` is not in the record"))
    }
}

/// A deletion that somebody is told of, from either manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    id: DeviceId,
    since: i64,
    due_on: i32,
    party: u32,
    type_code: u8,
}

/// Days on which devices become due. There are few days and many rows; each day is kept in the place it falls on.
struct DueDays<'r> {
    rules: &'r Rules,
    known: Vec<Option<(u8, i32, i32)>>,
}

impl<'r> DueDays<'r> {
    const PLACES: usize = 1 << 13;

    fn new(rules: &'r Rules) -> Self {
        Self { rules, known: vec![None; Self::PLACES] }
    }

    fn of(&mut self, type_code: u8, since: i64) -> Option<i32> {
        let day = day_of(since);
        let place = (day as usize ^ usize::from(type_code) << 10) % Self::PLACES;
        if let Some((of_type, of_day, due_on)) = self.known[place]
            && (of_type, of_day) == (type_code, day)
        {
            return Some(due_on);
        }
        let due_on = self.rules.due_on(type_code, day)?;
        self.known[place] = Some((type_code, day, due_on));
        Some(due_on)
    }
}

/// The canonical text of a Device ID, and nothing else.
pub(super) fn canonical(text: &str) -> Result<DeviceId, String> {
    DeviceId::from_text(text.as_bytes())
        .filter(|id| id.to_text() == text.as_bytes())
        .ok_or_else(|| format!("`{text}` is not a canonical Device ID"))
}

/// Reads the deletions, and returns those with an alert, in the order of their ids.
fn deletes(folder: &Path, basis: &Basis, record: &Record, duplicates: &[DeviceId]) -> Result<Vec<Told>> {
    let path = folder.join(DELETE);
    let mut batches = Batches::<Deletes>::open(folder)?;
    let mut told = Vec::new();
    let mut days = DueDays::new(&basis.rules);
    let mut by_type = [PartyCounts::default(); DeviceType::CODES];
    let mut by_party = vec![PartyCounts::default(); basis.parties.len() + 1];
    let mut before = None;
    while let Some(batch) = batches.next_batch()? {
        for row in 0..batch.len() {
            let deletion = deletion(&batch, row, basis, &mut days)
                .map_err(|what| refuse(&path, format!("{}: {what}", batch.id.value(row))))?;
            if before.replace(deletion.id).is_some_and(|before| before >= deletion.id) {
                return Err(refuse(&path, format!("{}: stands twice, or out of order", deletion.id)));
            }
            if duplicates.binary_search(&deletion.id).is_ok() {
                return Err(refuse(&path, format!("{}: is quarantined as a duplicate as well", deletion.id)));
            }
            let alert = batch.alert.value(row);
            let of_type = &mut by_type[usize::from(deletion.type_code)];
            for counts in [of_type, &mut by_party[deletion.party as usize]] {
                counts.deletes += 1;
                counts.alerts += u64::from(alert);
            }
            if alert {
                told.push(deletion);
            }
        }
    }
    let counted = by_type.iter().map(|counts| counts.deletes).sum();
    rows_as_recorded(&path, record, batches.rows(), counted)?;
    recorded_counts(&path, basis, record, &by_type, &by_party)?;
    Ok(told)
}

/// Judges a deletion again.
fn deletion(batch: &Deletes, row: usize, basis: &Basis, days: &mut DueDays<'_>) -> Result<Told, String> {
    let id = canonical(batch.id.value(row))?;
    let (type_name, status, since) = (batch.device_type.value(row), batch.status.value(row), batch.since.value(row));
    let device_type = basis.policy.types.get(type_name).ok_or_else(|| format!("type `{type_name}` is unknown"))?;
    let type_code = device_type.code();
    let status_code = SmiStatus::from_name(status).map_or(SmiStatus::UNKNOWN, SmiStatus::code);
    match basis.rules.pair(status_code, type_code) {
        Pair::Judge => {}
        Pair::Excluded => return Err(format!("type {type_name} is excluded by the policy")),
        _ => return Err(format!("status `{status}` is not one that the policy sweeps")),
    }
    if basis.rules.judge_date(type_code, Some(since)) != DateVerdict::Due {
        return Err(format!("is not due: its status has applied since {}", format_instant(since)));
    }
    let due_on = batch.due_on.value(row);
    if days.of(type_code, since) != Some(due_on) || due_on > day_of(basis.rules.as_of()) {
        return Err(format!("did not become due on {}", format_day(due_on)));
    }
    let party = text(&batch.party, row);
    if !basis.has_roles && batch.alert.value(row) == basis.policy.alerts.silent_types.contains(device_type) {
        return Err(format!(
            "type {type_name} is {} by the policy",
            if batch.alert.value(row) { "silent" } else { "told of" }
        ));
    }
    if batch.alert.value(row) && party.is_none_or(|party| Party::of(party.as_bytes()).name() != Some(party)) {
        return Err("has an alert, and no party to send it to".into());
    }
    Ok(Told { id, since, due_on, party: basis.party(party)?, type_code })
}

fn rows_as_recorded(path: &Path, record: &Record, footer: u64, counted: u64) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let recorded = record.outputs.iter().find(|output| *output.path == *name).map_or(0, |output| output.rows);
    if footer == counted && counted == recorded {
        return Ok(());
    }
    Err(refuse(path, format!("has {counted} rows, {footer} by its footer, {recorded} by the record")))
}

fn recorded_counts(
    path: &Path,
    basis: &Basis,
    record: &Record,
    by_type: &[PartyCounts],
    by_party: &[PartyCounts],
) -> Result<()> {
    let differ = |whose: &str, found: &PartyCounts, deletes: u64, alerts: u64| {
        if (found.deletes, found.alerts) == (deletes, alerts) {
            return Ok(());
        }
        let what = format!(
            "has {} deletions and {} alerts of {whose}, recorded are {deletes} and {alerts}",
            found.deletes, found.alerts
        );
        Err(refuse(path, what))
    };
    for (device_type, name) in basis.policy.types.iter() {
        let recorded = record.by_type.get(name).map_or((0, 0), |counts| (counts.delete, counts.alerts));
        differ(name, &by_type[usize::from(device_type.code())], recorded.0, recorded.1)?;
    }
    let parties = record.by_party.iter().map(|(name, recorded)| (name.as_str(), recorded));
    for (found, (name, recorded)) in by_party.iter().zip(parties.chain([("no party", &record.without_party)])) {
        differ(name, found, recorded.deletes, recorded.alerts)?;
    }
    Ok(())
}

/// Reads the alerts, in the order in which they stand: by party and, within a party, by Device ID.
fn alerts(folder: &Path, basis: &Basis) -> Result<Vec<Told>> {
    let path = folder.join(ALERTS);
    let mut batches = Batches::<Alerts>::open(folder)?;
    let mut told: Vec<Told> = Vec::new();
    while let Some(batch) = batches.next_batch()? {
        for row in 0..batch.len() {
            let alert =
                alert(&batch, row, basis).map_err(|what| refuse(&path, format!("{}: {what}", batch.id.value(row))))?;
            if told.last().is_some_and(|before| (before.party, before.id) >= (alert.party, alert.id)) {
                return Err(refuse(&path, format!("{}: stands twice, or out of order", alert.id)));
            }
            told.push(alert);
        }
    }
    Ok(told)
}

fn alert(batch: &Alerts, row: usize, basis: &Basis) -> Result<Told, String> {
    let code = batch.code.value(row);
    if code != basis.policy.alerts.code {
        return Err(format!("has the code `{code}`, the policy has `{}`", basis.policy.alerts.code));
    }
    let type_name = batch.device_type.value(row);
    let device_type = basis.policy.types.get(type_name).ok_or_else(|| format!("type `{type_name}` is unknown"))?;
    Ok(Told {
        id: canonical(batch.id.value(row))?,
        since: batch.since.value(row),
        due_on: batch.due_on.value(row),
        party: basis.party(Some(batch.party.value(row)))?,
        type_code: device_type.code(),
    })
}

/// Whether the alerts are those that the deletions call for, and no other.
fn same_alerts(folder: &Path, wanted: &[Told], mut found: Vec<Told>) -> Result<()> {
    let path = folder.join(ALERTS);
    found.sort_unstable_by_key(|told| told.id);
    let (mut wanted, mut found) = (wanted.iter().peekable(), found.iter().peekable());
    loop {
        let what = match (wanted.next(), found.next()) {
            (None, None) => return Ok(()),
            (Some(wanted), Some(found)) if wanted == found => continue,
            (Some(wanted), Some(found)) if wanted.id == found.id => {
                format!("{}: differs from its deletion in party, type or dates", wanted.id)
            }
            (Some(wanted), found) if found.is_none_or(|found| wanted.id < found.id) => {
                format!("{}: its deletion calls for an alert, and there is none", wanted.id)
            }
            (_, Some(found)) => format!("{}: an alert that no deletion calls for", found.id),
            (Some(wanted), None) => format!("{}: has no alert", wanted.id),
        };
        return Err(refuse(&path, what));
    }
}
