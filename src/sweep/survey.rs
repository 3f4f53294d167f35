//! What is wrong with a snapshot, counted, with the first places: what `check` reports.
//!
//! Unlike a sweep, which looks only at what it needs, a survey reads every value of every column of the contract.

use std::collections::BTreeMap;

use super::dates;
use super::engine::morsels;
use super::fields;
use super::lanes::classes::{self, Classes};
use super::lanes::{Lane, LaneBuffers, Reader, sparse};
use super::morsel::Morsel;
use super::unique::{self, Duplicates};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceType, Role, SmiStatus, TypeSet, time};
use crate::policy::{Boundary, Policy};
use crate::pool::Pool;
use crate::snapshot::{Form, Snapshot};
use crate::watch::{Stage, Watch};

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
    /// No date, on a device whose status is a candidate one.
    MissingDate,
    /// A date after the moment the snapshot was taken.
    FutureDate,
    /// No Device ID.
    MissingDeviceId,
    /// A Device ID that is not eight hex pairs.
    MalformedDeviceId,
    /// A Device ID that other rows have as well.
    DuplicateDeviceId,
    /// No party, or a blank one, on a candidate whose deletion would raise an alert.
    MissingParty,
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
            Self::MissingDeviceId => "missing_device_id",
            Self::MalformedDeviceId => "malformed_device_id",
            Self::DuplicateDeviceId => "duplicate_device_id",
            Self::MissingParty => "missing_party",
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

/// Surveys a snapshot. Without a moment, dates cannot be in the future.
///
/// # Errors
/// Damaged data, or an interruption.
pub fn survey(
    snapshot: &Snapshot,
    policy: &Policy,
    as_of: Option<i64>,
    pool: &Pool,
    watch: &dyn Watch,
) -> Result<Survey> {
    let duplicates = unique::duplicates(snapshot, Reader::default(), pool, watch)?;
    watch.begin(Stage::Scan, snapshot.rows());
    let look = Look {
        snapshot,
        policy,
        latest: as_of.map(|as_of| latest(policy.boundary, as_of)),
        watch,
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

/// The latest instant that is not in the future.
const fn latest(boundary: Boundary, as_of: i64) -> i64 {
    match boundary {
        Boundary::Date => time::day_start(time::day_of(as_of) + 1) - 1,
        Boundary::Instant => as_of,
    }
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
    latest: Option<i64>,
    watch: &'a dyn Watch,
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
            if self.watch.interrupted() {
                return Err(Error::Interrupted);
            }
            let end = rows.min(start + SLAB);
            self.slab(morsel, start, end, desk, &mut notes)?;
            self.watch.advance((end - start) as u64);
        }
        for (_, bound) in file.columns.iter() {
            file.map().release(file.chunk_range(morsel.group, bound)?);
        }
        Ok(notes)
    }

    fn slab(&self, morsel: Morsel, start: usize, end: usize, desk: &mut Desk, notes: &mut Notes) -> Result<()> {
        let file = &self.snapshot.files()[morsel.file];
        let Desk { lanes, status, device_type } = desk;
        let reader = Reader::default();
        let row_of = |row: u32| morsel.first_row + u64::from(row);
        let all: Vec<u32> = (start as u32..end as u32).collect();

        for (column, out) in [(Column::SmiStatus, &mut *status), (Column::DeviceType, &mut *device_type)] {
            let Some(bound) = file.columns.get(column) else { continue };
            let classify = |value: Option<&[u8]>| match (column, value) {
                (Column::SmiStatus, Some(value)) => self.policy.status_code(value),
                (Column::SmiStatus, None) => SmiStatus::NULL,
                (_, Some(value)) => self.policy.type_code(value),
                (_, None) => DeviceType::NULL,
            };
            let lane = Lane { file, group: morsel.group, bound };
            classes::read(lane, start..end, reader, &classify, lanes, out)?;
        }
        let statuses: Vec<u8> = status.iter().collect();
        let types: Vec<u8> = device_type.iter().collect();
        for (&row, (&status, &device_type)) in all.iter().zip(statuses.iter().zip(&types)) {
            if status == SmiStatus::NULL && !TypeSet::TYPE_2.contains_code(device_type) {
                notes.add(Kind::MissingStatus, None, row_of(row));
            }
            if device_type == DeviceType::NULL {
                notes.add(Kind::MissingType, None, row_of(row));
            }
        }
        let candidate = |row: u32| self.policy.candidate_statuses.contains_code(statuses[row as usize - start]);

        for (column, bound) in file.columns.iter() {
            let lane = Lane { file, group: morsel.group, bound };
            // Of status and type only the spellings that nobody knows are of interest.
            let wanted: Vec<u32> = match column {
                Column::SmiStatus => {
                    all.iter().copied().filter(|&row| statuses[row as usize - start] == SmiStatus::UNKNOWN).collect()
                }
                Column::DeviceType => {
                    all.iter().copied().filter(|&row| types[row as usize - start] == DeviceType::UNKNOWN).collect()
                }
                _ => all.clone(),
            };
            sparse::read(lane, &wanted, reader, lanes, |index, value| {
                let row = wanted[index];
                let device_type = types[row as usize - start];
                if let Some((kind, spelling)) = self.flaw(column, bound.form, value.bytes, candidate(row), device_type)
                {
                    notes.add(kind, spelling, row_of(row));
                }
            })?;
        }
        Ok(())
    }

    /// What is wrong with one value of a column.
    fn flaw(
        &self,
        column: Column,
        form: Form,
        bytes: Option<&[u8]>,
        candidate: bool,
        device_type: u8,
    ) -> Option<(Kind, Option<String>)> {
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
        match (column, bytes) {
            (Column::SmiStatus, Some(bytes)) => Some((Kind::UnknownStatus, text(bytes))),
            (Column::DeviceType, Some(bytes)) => Some((Kind::UnknownType, text(bytes))),
            (Column::DeviceId, None) => Some((Kind::MissingDeviceId, None)),
            (Column::DeviceId, Some(bytes)) => match fields::device_id(form, bytes) {
                None => Some((Kind::MalformedDeviceId, None)),
                Some(id) if self.duplicates.ids.binary_search(&id).is_ok() => Some((Kind::DuplicateDeviceId, None)),
                Some(_) => None,
            },
            (Column::StatusSince, None) => candidate.then_some((Kind::MissingDate, None)),
            (Column::StatusSince, Some(bytes)) => self
                .latest
                .is_some_and(|latest| dates::micros(form, bytes) > latest)
                .then_some((Kind::FutureDate, None)),
            (Column::NotifyingParty, bytes) => {
                let blank = bytes.is_none_or(|bytes| bytes.iter().all(u8::is_ascii_whitespace));
                let alerts = candidate
                    && !self.policy.exclude.contains_code(device_type)
                    && !self.policy.alerts.silent_types.contains_code(device_type);
                (blank && alerts).then_some((Kind::MissingParty, None))
            }
            (Column::NotifyingRole, Some(bytes)) if Role::from_text(bytes).is_none() => {
                Some((Kind::UnknownRole, text(bytes)))
            }
            _ => None,
        }
    }
}
