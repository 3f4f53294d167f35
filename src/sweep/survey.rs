//! What is wrong with a snapshot, counted, with the first places: what `check` reports.
//!
//! Unlike a sweep, which looks only at what it needs, a survey reads every value of every column of the contract.

use std::collections::BTreeMap;
use std::ops::Range;

use super::dates;
use super::engine::morsels;
use super::fields;
use super::lanes::classes::{self, Classes};
use super::lanes::{Lane, LaneBuffers, Reader, sparse};
use super::morsel::Morsel;
use super::unique::{self, Duplicates};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceType, Reason, SmiStatus, TypeSet, time};
use crate::policy::{DateVerdict, Pair, Policy, RoleField, Rules};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::snapshot::{Form, Snapshot};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A status that the policy does not know.
    UnknownStatus,
    /// No status, on a device that is not Type 2.
    MissingStatus,
    /// A type that the policy does not know.
    UnknownType,
    /// No type.
    MissingType,
    /// No date, on a candidate.
    MissingDate,
    /// A date after the moment the snapshot was taken.
    FutureDate,
    /// A date before the year 1.
    ImplausibleDate,
    /// No Device ID.
    MissingDeviceId,
    /// A Device ID that is not eight hex pairs.
    MalformedDeviceId,
    /// A Device ID that other rows have as well.
    DuplicateDeviceId,
    /// No party, or a blank one, on a candidate whose deletion would raise an alert.
    MissingParty,
    /// A party that names nobody, on a candidate whose deletion would raise an alert.
    BadParty,
    /// A role that is neither `ServiceUser` nor `CSP`.
    UnknownRole,
}

impl Kind {
    /// The word for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownStatus => "unknown_status",
            Self::MissingStatus => "missing_status",
            Self::UnknownType => "unknown_type",
            Self::MissingType => "missing_type",
            Self::MissingDate => "missing_date",
            Self::FutureDate => "future_date",
            Self::ImplausibleDate => "implausible_date",
            Self::MissingDeviceId => "missing_device_id",
            Self::MalformedDeviceId => "malformed_device_id",
            Self::DuplicateDeviceId => "duplicate_device_id",
            Self::MissingParty => "missing_party",
            Self::BadParty => "bad_party",
            Self::UnknownRole => "unknown_role",
        }
    }
}

/// One kind of finding, for a spelling where spellings matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// The spelling that is not known, or an example of what is malformed.
    pub value: Option<String>,
    /// How many rows.
    pub rows: u64,
    /// The first of them, as numbers within the snapshot.
    pub first: Vec<u64>,
}

/// How many places are kept of each finding.
const PLACES: usize = 3;
/// How many different spellings are told apart; the rest is counted together.
const SPELLINGS: usize = 50;

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// By kind and spelling.
    pub findings: Vec<Finding>,
    /// How many different Device IDs occur more than once.
    pub duplicate_ids: u64,
}

/// Surveys a snapshot. Without a moment, no date that the calendar has is in the future.
///
/// # Errors
/// Damaged data, or an interruption.
pub fn survey(
    snapshot: &Snapshot,
    policy: &Policy,
    as_of: Option<i64>,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Survey> {
    let duplicates = unique::duplicates(snapshot, Reader::default(), pool, progress)?;
    progress.begin(Stage::Scan, snapshot.rows());
    let look = Look {
        snapshot,
        policy,
        rules: policy.bind(as_of.unwrap_or(time::day_start(time::LAST_DAY + 1) - 1)),
        progress,
        duplicates: &duplicates,
    };
    let parts = pool.map_with(morsels(snapshot), Desk::default, |desk, morsel| look.at(morsel, desk))?;
    let mut all = Notes::default();
    for part in parts {
        all.merge(part);
    }
    let findings =
        all.0.into_iter().map(|((kind, value), (rows, first))| Finding { kind, value, rows, first }).collect();
    Ok(Survey { findings, duplicate_ids: duplicates.ids.len() as u64 })
}

/// Findings by kind and spelling; row groups are merged in order, so that places stay the first.
#[derive(Debug, Default)]
struct Notes(BTreeMap<(Kind, Option<String>), (u64, Vec<u64>)>);

impl Notes {
    fn add(&mut self, kind: Kind, value: Option<String>, row: u64) {
        self.add_rows(kind, value, 1, &[row]);
    }

    fn add_rows(&mut self, kind: Kind, value: Option<String>, rows: u64, first: &[u64]) {
        let mut key = (kind, value);
        if self.0.len() >= SPELLINGS && !self.0.contains_key(&key) {
            key.1 = key.1.map(|_| "(other spellings)".into());
        }
        let (total, places) = self.0.entry(key).or_default();
        *total += rows;
        places.extend(first.iter().take(PLACES - places.len().min(PLACES)));
    }

    fn merge(&mut self, other: Self) {
        for ((kind, value), (rows, first)) in other.0 {
            self.add_rows(kind, value, rows, &first);
        }
    }
}

/// What a worker keeps from row group to row group.
#[derive(Debug, Default)]
struct Desk {
    lanes: LaneBuffers,
    status: Classes,
    device_type: Classes,
}

struct Look<'a> {
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    rules: Rules,
    progress: &'a dyn Progress,
    duplicates: &'a Duplicates,
}

/// Rows that are looked at together.
const SLAB: usize = 1 << 18;

impl Look<'_> {
    fn at(&self, morsel: Morsel, desk: &mut Desk) -> Result<Notes> {
        let file = &self.snapshot.files()[morsel.file];
        let rows = file.group_rows(morsel.group);
        let mut notes = Notes::default();
        for start in (0..rows).step_by(SLAB) {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let end = rows.min(start + SLAB);
            self.slab(morsel, start, end, desk, &mut notes)?;
            self.progress.advance((end - start) as u64);
        }
        for (_, bound) in file.columns.iter() {
            file.map().release(file.chunk_range(morsel.group, bound)?);
        }
        Ok(notes)
    }

    fn slab(&self, morsel: Morsel, start: usize, end: usize, desk: &mut Desk, notes: &mut Notes) -> Result<()> {
        let file = &self.snapshot.files()[morsel.file];
        let reader = Reader::default();
        let row_of = |row: u32| morsel.first_row + u64::from(row);
        let pairs = self.pairs(morsel, start..end, desk)?;
        let pair = |row: u32| pairs[row as usize - start];
        let all: Vec<u32> = (start as u32..end as u32).collect();
        for &row in &all {
            let (status, device_type) = pair(row);
            if status == SmiStatus::NULL && !TypeSet::TYPE_2.contains_code(device_type) {
                notes.add(Kind::MissingStatus, None, row_of(row));
            }
            if device_type == DeviceType::NULL {
                notes.add(Kind::MissingType, None, row_of(row));
            }
        }
        let judged = |row: u32| self.rules.pair(pair(row).0, pair(row).1) == Pair::Judge;
        let mut roles = vec![RoleField::Absent; all.len()];
        // The role before the party: whether anybody is told is for both to say.
        for column in [
            Column::SmiStatus,
            Column::DeviceType,
            Column::DeviceId,
            Column::StatusSince,
            Column::NotifyingRole,
            Column::NotifyingParty,
        ] {
            let Some(bound) = file.columns.get(column) else { continue };
            let lane = Lane { file, group: morsel.group, bound };
            // Of status and type only the spellings that nobody knows are of interest.
            let wanted: Vec<u32> = match column {
                Column::SmiStatus => all.iter().copied().filter(|&row| pair(row).0 == SmiStatus::UNKNOWN).collect(),
                Column::DeviceType => all.iter().copied().filter(|&row| pair(row).1 == DeviceType::UNKNOWN).collect(),
                Column::NotifyingParty => all.iter().copied().filter(|&row| judged(row)).collect(),
                _ => all.clone(),
            };
            sparse::read(lane, &wanted, reader, &mut desk.lanes, |index, value| {
                let row = wanted[index];
                let role = &mut roles[row as usize - start];
                if column == Column::NotifyingRole {
                    *role = RoleField::from(value.bytes);
                }
                let cell = Cell { column, form: bound.form, bytes: value.bytes };
                if let Some((kind, spelling)) = self.flaw(&cell, pair(row), *role) {
                    notes.add(kind, spelling, row_of(row));
                }
            })?;
        }
        Ok(())
    }

    /// Status and type of each row, as codes.
    fn pairs(&self, morsel: Morsel, rows: Range<usize>, desk: &mut Desk) -> Result<Vec<(u8, u8)>> {
        let file = &self.snapshot.files()[morsel.file];
        let Desk { lanes, status, device_type } = desk;
        for (column, out) in [(Column::SmiStatus, &mut *status), (Column::DeviceType, &mut *device_type)] {
            let Some(bound) = file.columns.get(column) else { continue };
            let classify = |value: Option<&[u8]>| match (column, value) {
                (Column::SmiStatus, Some(value)) => self.policy.status_code(value),
                (Column::SmiStatus, None) => SmiStatus::NULL,
                (_, Some(value)) => self.policy.type_code(value),
                (_, None) => DeviceType::NULL,
            };
            let lane = Lane { file, group: morsel.group, bound };
            classes::read(lane, rows.clone(), Reader::default(), &classify, lanes, out)?;
        }
        Ok(status.iter().zip(device_type.iter()).collect())
    }

    /// What is wrong with one value, in a row of this status and type, and where it is known, of this role.
    fn flaw(
        &self,
        cell: &Cell<'_>,
        (status, device_type): (u8, u8),
        role: RoleField,
    ) -> Option<(Kind, Option<String>)> {
        let spelling = || cell.bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let kind = match (cell.column, cell.bytes) {
            (Column::SmiStatus, Some(_)) => return Some((Kind::UnknownStatus, spelling())),
            (Column::DeviceType, Some(_)) => return Some((Kind::UnknownType, spelling())),
            (Column::NotifyingRole, Some(_)) if role == RoleField::Unknown => {
                return Some((Kind::UnknownRole, spelling()));
            }
            (Column::DeviceId, None) => Kind::MissingDeviceId,
            (Column::DeviceId, Some(bytes)) => match fields::device_id(cell.form, bytes) {
                None => Kind::MalformedDeviceId,
                Some(id) if self.duplicates.ids.binary_search(&id).is_ok() => Kind::DuplicateDeviceId,
                Some(_) => return None,
            },
            // A date that is there is looked at in every row, one that is missing where the date decides.
            (Column::StatusSince, None) if self.rules.pair(status, device_type) != Pair::Judge => return None,
            (Column::StatusSince, bytes) => {
                let since = bytes.map(|bytes| dates::micros(cell.form, bytes));
                match self.rules.judge_date(device_type, since) {
                    DateVerdict::Quarantine(Reason::MissingDate) => Kind::MissingDate,
                    DateVerdict::Quarantine(Reason::FutureDate) => Kind::FutureDate,
                    DateVerdict::Quarantine(_) => Kind::ImplausibleDate,
                    DateVerdict::Due | DateVerdict::NotDue => return None,
                }
            }
            (Column::NotifyingParty, bytes) => {
                let party = fields::party_field(cell.form, bytes);
                match self.rules.addressee(device_type, role, (&party).into()) {
                    Err(Reason::MissingParty) => Kind::MissingParty,
                    Err(Reason::BadParty) => Kind::BadParty,
                    // A role that nobody knows is a finding of its own.
                    Ok(_) | Err(_) => return None,
                }
            }
            _ => return None,
        };
        Some((kind, None))
    }
}

/// One value of a row.
struct Cell<'a> {
    column: Column,
    form: Form,
    bytes: Option<&'a [u8]>,
}
