//! The three manifests of a run, as Parquet.
//!
//! Row groups are encoded in parallel, for the delete and the alert manifest at the same time, then appended in order and
//! digested. Due rows are sorted by Device ID; a stable distribution over parties gives the order of the alert manifest,
//! by party and Device ID.

mod codes;
mod input;
mod quarantine;
mod table;

use std::path::Path;

use codes::DueDays;
use table::{ALERT_COLUMNS, DELETE_COLUMNS, DueTable};

use crate::error::{Error, Result};
use crate::output::Written;
use crate::pool::Pool;
use crate::sweep::{Findings, Spot};

pub use input::{ALERTS, DELETE, Manifests, QUARANTINE};

/// A manifest that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Name within the run directory.
    pub path: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Size and digest.
    pub written: Written,
}

/// Writes all three manifests into a directory.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(folder: &Path, manifests: &Manifests<'_>, pool: &Pool) -> Result<Vec<ManifestFile>> {
    let Findings { due, parties, quarantined, .. } = manifests.findings;
    let (alerting, days) = pool.join(|| by_party(manifests.findings), || DueDays::of(due, &*manifests.due_on));
    let counted = manifests.findings.by_type.total();
    if alerting.len() as u64 != counted.alerts || due.len() as u64 != counted.deletes() {
        return Err(Error::Unbalanced(format!(
            "{} deletions and {} alerts are listed, {} and {} were counted",
            due.len(),
            alerting.len(),
            counted.deletes(),
            counted.alerts
        )));
    }
    let table = |columns, order| DueTable {
        columns,
        due,
        order,
        days: &days,
        types: manifests.types,
        parties,
        alert_code: manifests.alert_code,
    };
    let delete = table(&DELETE_COLUMNS[..], None);
    let alerts = table(&ALERT_COLUMNS[..], Some(&alerting[..]));
    let (delete_file, alert_file) = table::write(folder, &delete, &alerts, pool)?;
    let quarantine_file = quarantine::write(&folder.join(QUARANTINE), manifests, quarantined)?;
    Ok(vec![
        ManifestFile { path: DELETE, rows: due.len() as u64, written: delete_file },
        ManifestFile { path: ALERTS, rows: alerting.len() as u64, written: alert_file },
        ManifestFile { path: QUARANTINE, rows: quarantined.len() as u64, written: quarantine_file },
    ])
}

/// The places of the rows with an alert, by party and, within a party, by Device ID.
fn by_party(findings: &Findings) -> Vec<Spot> {
    let mut start = 0;
    let mut places: Vec<usize> = Vec::with_capacity(findings.parties.len());
    for counts in &findings.by_party[..findings.parties.len().min(findings.by_party.len())] {
        places.push(start);
        start += counts.alerts as usize;
    }
    let mut order = vec![Spot::default(); start];
    for (spot, due) in findings.due.spots().filter(|(_, due)| due.alert) {
        let Some(place) = places.get_mut(due.party as usize) else { continue };
        if let Some(free) = order.get_mut(*place) {
            *free = spot;
        }
        *place += 1;
    }
    order
}
