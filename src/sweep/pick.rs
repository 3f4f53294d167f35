//! The devices of a few types, with their status and date: for who counts some of an estate instead of judging all.
//!
//! Types are read as codes first. Where a row group has none of the types that are asked for, nothing else of it is read.

use super::lanes::classes::{self, Classes};
use super::lanes::{Lane, LaneBuffers, Reader, sparse};
use super::morsel::Morsel;
use super::{dates, fields};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, DeviceType, SmiStatus, TypeSet};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::snapshot::Snapshot;

/// Rows that are looked at together.
const SLAB: usize = 1 << 18;

/// A device of one of the types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picked {
    /// Its Device ID; `None` where there is none, or one that is malformed.
    pub id: Option<DeviceId>,
    /// Code of its status.
    pub status: u8,
    /// From when the status has applied, UTC microseconds.
    pub since: Option<i64>,
}

/// What a worker keeps from row group to row group.
#[derive(Debug, Default)]
pub struct Desk {
    lanes: LaneBuffers,
    classes: Classes,
    rows: Vec<u32>,
    picked: Vec<Picked>,
}

/// What is picked, and from where.
pub struct Pick<'a> {
    /// What is read.
    pub snapshot: &'a Snapshot,
    /// Knows the spellings.
    pub policy: &'a Policy,
    /// The types that are asked for.
    pub types: TypeSet,
    /// Somebody who waits.
    pub progress: &'a dyn Progress,
}

impl Pick<'_> {
    /// Calls `each` with the devices of a row group, some thousands at a time and in the order of the rows, and returns
    /// how many other rows have no type, or one that the policy does not know.
    ///
    /// # Errors
    /// Damaged data, or an interruption.
    pub fn read(&self, morsel: Morsel, desk: &mut Desk, mut each: impl FnMut(&mut Vec<Picked>)) -> Result<u64> {
        let file = &self.snapshot.files()[morsel.file];
        let rows = file.group_rows(morsel.group);
        let mut untyped = 0;
        for start in (0..rows).step_by(SLAB) {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let end = rows.min(start + SLAB);
            untyped += self.find(morsel, start, end, desk)?;
            if !desk.rows.is_empty() {
                self.fill(morsel, start, end, desk)?;
                each(&mut desk.picked);
            }
            self.progress.advance((end - start) as u64);
        }
        for (_, bound) in file.columns.iter() {
            file.map().release(file.chunk_range(morsel.group, bound)?);
        }
        Ok(untyped)
    }

    fn lane(&self, morsel: Morsel, column: Column) -> Result<Lane<'_>> {
        let file = &self.snapshot.files()[morsel.file];
        Ok(Lane { file, group: morsel.group, bound: file.bound(column)? })
    }

    /// Notes the rows of the types, and counts those whose type nobody knows.
    fn find(&self, morsel: Morsel, start: usize, end: usize, desk: &mut Desk) -> Result<u64> {
        let Desk { lanes, classes, rows, .. } = desk;
        let classify =
            |value: Option<&[u8]>| value.map_or(DeviceType::NULL, |spelling| self.policy.type_code(spelling));
        classes::read(self.lane(morsel, Column::DeviceType)?, start..end, Reader::Encoded, &classify, lanes, classes)?;
        rows.clear();
        let mut untyped = 0;
        for (row, code) in (start as u32..).zip(classes.iter()) {
            if self.types.contains_code(code) {
                rows.push(row);
            }
            untyped += u64::from(code >= DeviceType::UNKNOWN);
        }
        Ok(untyped)
    }

    /// Reads what is asked for of the rows that were found.
    fn fill(&self, morsel: Morsel, start: usize, end: usize, desk: &mut Desk) -> Result<()> {
        let Desk { lanes, classes, rows, picked } = desk;
        let classify =
            |value: Option<&[u8]>| value.map_or(SmiStatus::NULL, |spelling| self.policy.status_code(spelling));
        classes::read(self.lane(morsel, Column::SmiStatus)?, start..end, Reader::Encoded, &classify, lanes, classes)?;
        picked.clear();
        let mut statuses = classes.iter();
        let mut next = start;
        for &row in &*rows {
            let status = statuses.nth(row as usize - next).unwrap_or(SmiStatus::NULL);
            next = row as usize + 1;
            picked.push(Picked { id: None, status, since: None });
        }
        let lane = self.lane(morsel, Column::DeviceId)?;
        sparse::read(lane, rows, Reader::Encoded, lanes, |index, value| {
            picked[index].id = value.bytes.and_then(|bytes| fields::device_id(lane.bound.form, bytes));
        })?;
        let lane = self.lane(morsel, Column::StatusSince)?;
        sparse::read(lane, rows, Reader::Encoded, lanes, |index, value| {
            picked[index].since = value.bytes.map(|bytes| dates::micros(lane.bound.form, bytes));
        })
    }
}
