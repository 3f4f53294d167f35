//! Which devices only one of two runs deletes, and why the other keeps them, as far as the records say.
//!
//! Both delete manifests are in the order of their Device IDs, so that one pass over both is enough; only the Device IDs
//! of the quarantined rows are kept. Runs of different snapshots can be compared: a device that the other policy would
//! have deleted is then [`KeptBecause::NotThere`].

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use super::manifest::{DELETE, QUARANTINE};
use super::read::{Batches, Deletes, Manifest, Quarantine, text};
use super::record::Record;
use super::verify::{Basis, canonical, digest};
use crate::error::{Error, Result};
use crate::estate::{DeviceId, DeviceType, Reason, SmiStatus};
use crate::policy::{Cutoff, DateVerdict, Pair};

/// Which of the two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Why a run does not delete a device that another deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptBecause {
    /// It quarantined a row with this Device ID.
    Quarantined(Reason),
    /// Its policy does not know the type.
    UnknownType,
    /// Its policy does not sweep the status.
    NotCandidate,
    /// Its policy excludes the type.
    Excluded,
    /// Its policy's threshold is longer, and not reached.
    Threshold,
    /// Its as-of time is earlier: neither policy's threshold is reached at that time.
    AsOf,
    /// It compares instants where the other compares dates.
    Boundary,
    /// The device is not in its snapshot, or with other values: with those of the other snapshot it would be deleted.
    NotThere,
}

impl KeptBecause {
    /// The name that listings and JSON have, such as `threshold_not_reached`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Quarantined(reason) => return format!("quarantined:{reason}"),
            Self::UnknownType => "unknown_type",
            Self::NotCandidate => "not_candidate",
            Self::Excluded => "excluded",
            Self::Threshold => "threshold_not_reached",
            Self::AsOf => "not_due_at_as_of",
            Self::Boundary => "boundary",
            Self::NotThere => "not_in_snapshot",
        }
        .into()
    }
}

/// A device that only one of the runs deletes.
#[derive(Debug, Clone, Copy)]
pub struct OneSidedDeletion<'r> {
    /// The run that deletes it.
    pub side: Side,
    /// The device.
    pub id: DeviceId,
    /// Its type.
    pub device_type: &'r str,
    /// Its Notifying Party.
    pub party: Option<&'r str>,
    /// From when its status has applied, UTC microseconds.
    pub since: i64,
    /// When it became due under the policy of the run that deletes it, days since 1970-01-01.
    pub due_on: i32,
    /// Why the other run does not delete it.
    pub why: KeptBecause,
}

/// The properties by which differing devices are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DifferenceGroup {
    /// The run that deletes them.
    pub side: Side,
    /// Their type.
    pub device_type: String,
    /// Their Notifying Party.
    pub party: Option<String>,
    /// Why the other run does not delete them.
    pub why: KeptBecause,
}

/// How two runs differ.
#[derive(Debug)]
pub struct RunDifference {
    /// The record of the first.
    pub a: Record,
    /// The record of the second.
    pub b: Record,
    /// Devices that both delete.
    pub both: u64,
    /// Devices that only one deletes.
    pub only: BTreeMap<DifferenceGroup, u64>,
}

impl RunDifference {
    /// How many devices only this run deletes.
    #[must_use]
    pub fn only(&self, side: Side) -> u64 {
        self.only.iter().filter(|(group, _)| group.side == side).map(|(_, devices)| devices).sum()
    }
}

/// Compares two run directories. Calls `each` for every device that only one of them deletes, ordered by Device ID.
///
/// # Errors
/// [`Error::Verification`] where a directory is not a run, or its manifests are not those recorded; and the errors of
/// `each`.
pub fn diff(a: &Path, b: &Path, each: &mut dyn FnMut(&OneSidedDeletion<'_>) -> Result<()>) -> Result<RunDifference> {
    let (mut run_a, mut run_b) = (DeleteCursor::open(a)?, DeleteCursor::open(b)?);
    let mut both = 0;
    let mut only: BTreeMap<DifferenceGroup, u64> = BTreeMap::new();
    let mut count = |side: Side, run: &DeleteCursor, other: &DeleteCursor| -> Result<()> {
        let Some(device) = run.only(side, other) else { return Ok(()) };
        let group = DifferenceGroup {
            side,
            device_type: device.device_type.into(),
            party: device.party.map(Into::into),
            why: device.why,
        };
        *only.entry(group).or_default() += 1;
        each(&device)
    };
    loop {
        match (run_a.id, run_b.id) {
            (None, None) => break,
            (Some(x), Some(y)) if x == y => {
                both += 1;
                run_a.advance()?;
                run_b.advance()?;
            }
            (Some(x), y) if y.is_none_or(|y| x < y) => {
                count(Side::A, &run_a, &run_b)?;
                run_a.advance()?;
            }
            _ => {
                count(Side::B, &run_b, &run_a)?;
                run_b.advance()?;
            }
        }
    }
    Ok(RunDifference { a: run_a.record, b: run_b.record, both, only })
}

/// The deletions of a run, one at a time.
struct DeleteCursor {
    folder: std::path::PathBuf,
    record: Record,
    basis: Basis,
    quarantined: HashMap<DeviceId, Reason>,
    batches: Batches<Deletes>,
    batch: Option<Deletes>,
    row: usize,
    /// The device of the current row; `None` at the end.
    id: Option<DeviceId>,
}

impl DeleteCursor {
    fn open(folder: &Path) -> Result<Self> {
        let record = Record::read(folder)?;
        digest(folder, &record, DELETE)?;
        digest(folder, &record, QUARANTINE)?;
        let mut run = Self {
            basis: Basis::of(folder, &record)?,
            quarantined: quarantined(folder)?,
            batches: Batches::open(folder)?,
            folder: folder.to_path_buf(),
            record,
            batch: None,
            row: 0,
            id: None,
        };
        run.advance()?;
        Ok(run)
    }

    /// Goes to the next deletion.
    fn advance(&mut self) -> Result<()> {
        self.row += 1;
        if self.batch.as_ref().is_none_or(|batch| self.row >= batch.len()) {
            self.batch = self.batches.next_batch()?;
            self.row = 0;
        }
        let refuse = |what| Error::Verification { path: self.folder.join(DELETE), what };
        let id = match &self.batch {
            None => None,
            Some(batch) => Some(canonical(batch.id.value(self.row)).map_err(refuse)?),
        };
        if id.is_some() && self.id >= id {
            return Err(refuse("a Device ID occurs twice, or is out of order".into()));
        }
        self.id = id;
        Ok(())
    }

    /// The current deletion, which `other` does not have.
    fn only(&self, side: Side, other: &Self) -> Option<OneSidedDeletion<'_>> {
        let (id, batch, row) = (self.id?, self.batch.as_ref()?, self.row);
        Some(OneSidedDeletion {
            side,
            id,
            device_type: batch.device_type.value(row),
            party: text(&batch.party, row),
            since: batch.since.value(row),
            due_on: batch.due_on.value(row),
            why: other.why_not(id, batch, row, &self.basis),
        })
    }

    /// Why this run does not delete the device `id`, row `row` of the deletions of a run with the basis `theirs`. The
    /// reasons are tried in the order in which a sweep judges a row.
    fn why_not(&self, id: DeviceId, batch: &Deletes, row: usize, theirs: &Basis) -> KeptBecause {
        let (device_type, status, since) =
            (batch.device_type.value(row), batch.status.value(row), batch.since.value(row));
        if let Some(&reason) = self.quarantined.get(&id) {
            return KeptBecause::Quarantined(reason);
        }
        let (policy, rules) = (&self.basis.policy, &self.basis.rules);
        let type_code = policy.types.get(device_type).map_or(DeviceType::UNKNOWN, DeviceType::code);
        let status_code = SmiStatus::from_name(status).map_or(SmiStatus::UNKNOWN, SmiStatus::code);
        match rules.pair(status_code, type_code) {
            Pair::NotCandidate => return KeptBecause::NotCandidate,
            Pair::Excluded => return KeptBecause::Excluded,
            Pair::Quarantine(Reason::UnknownType) => return KeptBecause::UnknownType,
            Pair::Quarantine(reason) => return KeptBecause::Quarantined(reason),
            Pair::Judge => {}
        }
        if rules.judge_date(type_code, Some(since)) == DateVerdict::Due {
            return KeptBecause::NotThere;
        }
        let their_code = theirs.policy.types.get(device_type).map_or(type_code, DeviceType::code);
        let (mine, longer) = (rules.months(type_code), theirs.rules.months(their_code));
        if mine != longer && Cutoff::new(rules.as_of(), longer, rules.boundary()).is_due(since) {
            KeptBecause::Threshold
        } else if rules.boundary() != theirs.rules.boundary()
            && Cutoff::new(rules.as_of(), mine, theirs.rules.boundary()).is_due(since)
        {
            KeptBecause::Boundary
        } else {
            KeptBecause::AsOf
        }
    }
}

/// The Device IDs of the quarantined rows, with the first reason of each, as far as they are well-formed.
fn quarantined(folder: &Path) -> Result<HashMap<DeviceId, Reason>> {
    let mut batches = Batches::<Quarantine>::open(folder)?;
    let mut reasons = HashMap::new();
    while let Some(batch) = batches.next_batch()? {
        for row in 0..batch.len() {
            let id = text(&batch.id, row).and_then(|id| DeviceId::from_text(id.as_bytes()));
            let reason = Reason::ALL.into_iter().find(|reason| reason.name() == batch.reason.value(row));
            if let (Some(id), Some(reason)) = (id, reason) {
                reasons.entry(id).or_insert(reason);
            }
        }
    }
    Ok(reasons)
}
