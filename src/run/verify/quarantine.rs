//! The quarantine manifest, row by row, against the record.

use std::collections::HashMap;
use std::path::Path;

use super::files::{refuse, rows_as_recorded};
use crate::error::Result;
use crate::estate::{DeviceId, DeviceType, Reason};
use crate::policy::Policy;
use crate::run::manifest::QUARANTINE;
use crate::run::read::{Batches, Manifest, Quarantine, text};
use crate::run::record::Record;

/// Refuses a quarantine manifest whose rows differ from the record's counts by type and reason, are out of order, or are
/// not rows of the snapshot. Returns the Device IDs that were quarantined as duplicates, ascending.
pub(super) fn quarantine(folder: &Path, policy: &Policy, record: &Record) -> Result<Vec<DeviceId>> {
    let path = folder.join(QUARANTINE);
    let mut batches = Batches::<Quarantine>::open(folder)?;
    let mut order = RowOrder::new(record);
    let mut reasons = [[0u64; Reason::ALL.len()]; DeviceType::CODES];
    let mut duplicates = Vec::new();
    while let Some(batch) = batches.next_batch()? {
        for row in 0..batch.len() {
            let (file, number) = (batch.source_file.value(row), batch.row_in_file.value(row));
            let at = |what: &str| refuse(&path, format!("{file}, row {number}: {what}"));
            order.advance(file, number).map_err(at)?;
            let reason = batch.reason.value(row);
            let Some(place) = Reason::ALL.iter().position(|known| known.name() == reason) else {
                return Err(at("no such reason"));
            };
            let type_code = text(&batch.device_type, row).map_or(DeviceType::NULL, |t| policy.type_code(t.as_bytes()));
            reasons[usize::from(type_code) % DeviceType::CODES][place] += 1;
            if Reason::ALL[place] == Reason::DuplicateDeviceId {
                let id = text(&batch.id, row).and_then(|id| DeviceId::from_text(id.as_bytes()));
                duplicates.push(id.ok_or_else(|| at("a duplicate without a Device ID"))?);
            }
        }
    }
    rows_as_recorded(&path, record, batches.rows(), reasons.iter().flatten().sum())?;
    for (code, reasons) in (0..).zip(&reasons) {
        let name = policy.types.name(code);
        // Codes without a type all have the name of the unknown type.
        if usize::from(code) < policy.types.iter().count() || code >= DeviceType::UNKNOWN {
            recorded_reasons(&path, record, name, reasons)?;
        }
    }
    duplicates.sort_unstable();
    if !record.options.unique {
        single(&duplicates).map_or(Ok(()), |id| Err(refuse(&path, format!("{id}: is a duplicate of no other row"))))?;
    }
    Ok(duplicates)
}

/// Checks that rows are in the snapshot, and each after the one before it.
struct RowOrder<'r> {
    /// By name: the file's place in the snapshot, and its number of rows.
    files: HashMap<&'r str, (usize, u64)>,
    /// File and row number of the row before.
    before: Option<(usize, u64)>,
}

impl<'r> RowOrder<'r> {
    fn new(record: &'r Record) -> Self {
        let files = record.snapshot.files.iter().enumerate();
        Self { files: files.map(|(place, file)| (file.path.as_str(), (place, file.rows))).collect(), before: None }
    }

    /// The error says what is wrong with the row.
    fn advance(&mut self, file: &str, number: i64) -> std::result::Result<(), &'static str> {
        let number = u64::try_from(number).map_err(|_| "no such row")?;
        let place = match self.files.get(file) {
            Some(&(place, rows)) if number < rows => place,
            _ => return Err("not a row of the snapshot"),
        };
        if self.before.replace((place, number)).is_some_and(|before| before >= (place, number)) {
            return Err("occurs twice, or is out of order");
        }
        Ok(())
    }
}

/// Refuses counts by reason that differ from those that the record has for the type `name`.
fn recorded_reasons(path: &Path, record: &Record, name: &str, found: &[u64]) -> Result<()> {
    for (reason, &rows) in Reason::ALL.iter().zip(found) {
        let counts = record.by_type.get(name);
        let recorded = counts.and_then(|counts| counts.quarantine_reasons.get(reason.name())).copied().unwrap_or(0);
        if rows != recorded {
            return Err(refuse(path, format!("has {rows} rows of {name} with {reason}, recorded are {recorded}")));
        }
    }
    Ok(())
}

/// The first Device ID that occurs only once; `ids` ascend.
fn single(ids: &[DeviceId]) -> Option<DeviceId> {
    ids.chunk_by(|a, b| a == b).find(|same| same.len() == 1).map(|same| same[0])
}
