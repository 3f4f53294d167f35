//! Verifies the delete and the alert manifest: each deletion is judged again, and alerts are compared with deletions.

use std::path::Path;

use super::basis::{Basis, canonical};
use super::files::{refuse, rows_as_recorded};
use crate::error::Result;
use crate::estate::time::{day_of, format_day, format_instant};
use crate::estate::{DeviceId, DeviceType, Party, SmiStatus};
use crate::policy::{DateVerdict, Pair, Rules};
use crate::run::manifest::{ALERTS, DELETE};
use crate::run::read::{Alerts, Batches, Deletes, Manifest, text};
use crate::run::record::Record;
use crate::scan::PartyCounts;

/// A deletion with an alert, from either manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlertedDeletion {
    id: DeviceId,
    since: i64,
    due_on: i32,
    party: u32,
    type_code: u8,
}

/// A cache of due days: a slot for each type and day. There are few days and many rows.
struct DueDayCache<'r> {
    rules: &'r Rules,
    known: Vec<Option<(u8, i32, i32)>>,
}

impl<'r> DueDayCache<'r> {
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

/// Reads the deletions, and returns those with an alert, in the order of their ids.
pub(super) fn deletes(
    folder: &Path,
    basis: &Basis,
    record: &Record,
    duplicates: &[DeviceId],
) -> Result<Vec<AlertedDeletion>> {
    let path = folder.join(DELETE);
    let mut batches = Batches::<Deletes>::open(folder)?;
    let mut alerted = Vec::new();
    let mut days = DueDayCache::new(&basis.rules);
    let mut by_type = [PartyCounts::default(); DeviceType::CODES];
    let mut by_party = vec![PartyCounts::default(); basis.parties.len() + 1];
    let mut before = None;
    while let Some(batch) = batches.next_batch()? {
        for row in 0..batch.len() {
            let deletion = deletion(&batch, row, basis, &mut days)
                .map_err(|what| refuse(&path, format!("{}: {what}", batch.id.value(row))))?;
            if before.replace(deletion.id).is_some_and(|before| before >= deletion.id) {
                return Err(refuse(&path, format!("{}: occurs twice, or is out of order", deletion.id)));
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
                alerted.push(deletion);
            }
        }
    }
    let counted = by_type.iter().map(|counts| counts.deletes).sum();
    rows_as_recorded(&path, record, batches.rows(), counted)?;
    recorded_counts(&path, basis, record, &by_type, &by_party)?;
    Ok(alerted)
}

/// Judges a deletion again.
fn deletion(batch: &Deletes, row: usize, basis: &Basis, days: &mut DueDayCache<'_>) -> Result<AlertedDeletion, String> {
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
            if batch.alert.value(row) { "silent" } else { "alerted" }
        ));
    }
    if batch.alert.value(row) && party.is_none_or(|party| Party::of(party.as_bytes()).name() != Some(party)) {
        return Err("has an alert, and no party to send it to".into());
    }
    Ok(AlertedDeletion { id, since, due_on, party: basis.party(party)?, type_code })
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

/// Reads the alerts, in their order: by party and, within a party, by Device ID.
pub(super) fn alerts(folder: &Path, basis: &Basis, record: &Record) -> Result<Vec<AlertedDeletion>> {
    let path = folder.join(ALERTS);
    let mut batches = Batches::<Alerts>::open(folder)?;
    let mut alerted: Vec<AlertedDeletion> = Vec::new();
    while let Some(batch) = batches.next_batch()? {
        for row in 0..batch.len() {
            let alert =
                alert(&batch, row, basis).map_err(|what| refuse(&path, format!("{}: {what}", batch.id.value(row))))?;
            if alerted.last().is_some_and(|before| (before.party, before.id) >= (alert.party, alert.id)) {
                return Err(refuse(&path, format!("{}: occurs twice, or is out of order", alert.id)));
            }
            alerted.push(alert);
        }
    }
    rows_as_recorded(&path, record, batches.rows(), alerted.len() as u64)?;
    Ok(alerted)
}

fn alert(batch: &Alerts, row: usize, basis: &Basis) -> Result<AlertedDeletion, String> {
    let code = batch.code.value(row);
    if code != basis.policy.alerts.code {
        return Err(format!("has the code `{code}`, the policy has `{}`", basis.policy.alerts.code));
    }
    let type_name = batch.device_type.value(row);
    let device_type = basis.policy.types.get(type_name).ok_or_else(|| format!("type `{type_name}` is unknown"))?;
    Ok(AlertedDeletion {
        id: canonical(batch.id.value(row))?,
        since: batch.since.value(row),
        due_on: batch.due_on.value(row),
        party: basis.party(Some(batch.party.value(row)))?,
        type_code: device_type.code(),
    })
}

/// Refuses alerts that differ from those that the deletions require.
pub(super) fn same_alerts(folder: &Path, wanted: &[AlertedDeletion], mut found: Vec<AlertedDeletion>) -> Result<()> {
    let path = folder.join(ALERTS);
    found.sort_unstable_by_key(|alerted| alerted.id);
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
