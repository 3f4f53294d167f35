//! Finds the flaws of a snapshot: counts them, and lists the first rows that have them.
//!
//! Unlike a sweep, which reads only what it needs, the check reads every value of every column of the contract.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::estate::{Column, DeviceType, Reason, SmiStatus, TypeSet, time};
use crate::policy::{DateVerdict, Pair, Policy, RoleField, Rules};
use crate::progress::Stage;
use crate::scan::columns::codes::Codes;
use crate::scan::duplicates::{Duplicates, duplicates};
use crate::scan::{RangeReader, Scan, values};
use crate::snapshot::{PhysicalForm, StatusDates};

/// A kind of flaw in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlawKind {
    /// A status that the policy does not know.
    UnknownStatus,
    /// No status, on a device that is not Type 2 (Type 2 devices have no SMI Status).
    MissingStatus,
    /// A type that the policy does not know.
    UnknownType,
    /// No type.
    MissingType,
    /// No status date, on a candidate.
    MissingDate,
    /// A status date after the as-of time.
    FutureDate,
    /// A status date before the year 1, or before the earliest date of the policy.
    ImplausibleDate,
    /// A status date before 1971, which many systems store for no date: 0001-01-01, 1900-01-01, 1970-01-01.
    EarlyDate,
    /// A text that is not a date in the declared format, or a time that the declared zone skips or has twice.
    UnreadableDate,
    /// No Device ID.
    MissingDeviceId,
    /// A Device ID that is not eight hex pairs.
    MalformedDeviceId,
    /// A Device ID that other rows have as well.
    DuplicateDeviceId,
    /// No party, or a blank one, on a candidate whose deletion would raise an alert.
    MissingParty,
    /// A value that is not the name of a party, on a candidate whose deletion would raise an alert.
    BadParty,
    /// A role that is neither `ServiceUser` nor `CSP`.
    UnknownRole,
}

impl FlawKind {
    /// The column whose values have the flaw; `None` for flaws of values that can be read.
    const fn unreadable_column(self) -> Option<Column> {
        match self {
            Self::UnknownStatus | Self::MissingStatus => Some(Column::SmiStatus),
            Self::UnknownType | Self::MissingType => Some(Column::DeviceType),
            Self::MissingDate | Self::ImplausibleDate | Self::UnreadableDate => Some(Column::StatusSince),
            Self::MissingDeviceId | Self::MalformedDeviceId => Some(Column::DeviceId),
            Self::UnknownRole => Some(Column::NotifyingRole),
            Self::BadParty => Some(Column::NotifyingParty),
            Self::FutureDate | Self::EarlyDate | Self::DuplicateDeviceId | Self::MissingParty => None,
        }
    }

    /// The name in reports and JSON.
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
            Self::EarlyDate => "early_date",
            Self::UnreadableDate => "unreadable_date",
            Self::MissingDeviceId => "missing_device_id",
            Self::MalformedDeviceId => "malformed_device_id",
            Self::DuplicateDeviceId => "duplicate_device_id",
            Self::MissingParty => "missing_party",
            Self::BadParty => "bad_party",
            Self::UnknownRole => "unknown_role",
        }
    }
}

/// One kind of flaw; for unknown spellings, one spelling of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFinding {
    /// The kind of flaw.
    pub kind: FlawKind,
    /// The spelling that the policy does not know, the value that is no date, or the early date; `None` for kinds that
    /// are not listed by value.
    pub value: Option<String>,
    /// Number of rows that have it.
    pub rows: u64,
    /// The first of these rows, at most 3: zero-based numbers within the snapshot.
    pub first: Vec<u64>,
}

/// Row numbers that are kept of each finding.
const PLACES: usize = 3;
/// Findings after which further spellings are counted together as `(other spellings)`.
const SPELLINGS: usize = 50;

/// All flaws of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// In ascending order of kind and spelling.
    pub findings: Vec<CheckFinding>,
    /// Number of distinct Device IDs that occur more than once.
    pub duplicate_ids: u64,
}

impl Checked {
    /// The columns that have values which cannot be read.
    #[must_use]
    pub fn columns_with_findings(&self) -> Vec<Column> {
        let columns: BTreeSet<_> =
            self.findings.iter().filter_map(|finding| finding.kind.unreadable_column()).collect();
        columns.into_iter().collect()
    }
}

/// Checks every row of a snapshot. `as_of` is in UTC microseconds since 1970; `None` reports no date of the calendar as
/// a future date.
///
/// # Errors
/// Damaged data, or an interruption.
pub fn check(scan: &Scan<'_>, policy: &Policy, as_of: Option<i64>) -> Result<Checked> {
    let duplicates = duplicates(scan)?;
    let rules = policy.bind(as_of.unwrap_or(time::day_start(time::LAST_DAY + 1) - 1));
    let checker = Checker { policy, rules, duplicates: &duplicates };
    let scanned = scan.run(Stage::Scan, CheckBuffers::default, |range, buffers| checker.range(range, buffers))?;
    let mut all = Flaws::default();
    for part in scanned.parts {
        all.merge(part);
    }
    let findings =
        all.0.into_iter().map(|((kind, value), (rows, first))| CheckFinding { kind, value, rows, first }).collect();
    Ok(Checked { findings, duplicate_ids: duplicates.ids.len() as u64 })
}

/// Rows and first row numbers by kind and spelling. Ranges are merged in order, so that the first rows are kept.
#[derive(Debug, Default)]
struct Flaws(BTreeMap<(FlawKind, Option<String>), (u64, Vec<u64>)>);

impl Flaws {
    fn add(&mut self, kind: FlawKind, value: Option<String>, row: u64) {
        self.add_rows(kind, value, 1, &[row]);
    }

    fn add_rows(&mut self, kind: FlawKind, value: Option<String>, rows: u64, first: &[u64]) {
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

/// Buffers that a worker reuses for every range.
#[derive(Debug, Default)]
struct CheckBuffers {
    status: Codes,
    device_type: Codes,
}

struct Checker<'a> {
    policy: &'a Policy,
    rules: Rules,
    duplicates: &'a Duplicates,
}

/// Status and type codes of the rows of a range.
struct RangePairs {
    first_row: u32,
    pairs: Vec<(u8, u8)>,
}

impl RangePairs {
    /// The codes of a row, by its number in the row group.
    fn of(&self, row: u32) -> (u8, u8) {
        self.pairs[(row - self.first_row) as usize]
    }
}

impl Checker<'_> {
    fn range(&self, range: &mut RangeReader<'_>, buffers: &mut CheckBuffers) -> Result<Flaws> {
        let mut flaws = Flaws::default();
        let pairs = self.pairs(range, buffers)?;
        let all = range.all_rows();
        for &row in &all {
            let (status, device_type) = pairs.of(row);
            if status == SmiStatus::NULL && !TypeSet::TYPE_2.contains_code(device_type) {
                flaws.add(FlawKind::MissingStatus, None, range.range.row_number(row));
            }
            if device_type == DeviceType::NULL {
                flaws.add(FlawKind::MissingType, None, range.range.row_number(row));
            }
        }
        let mut roles = vec![RoleField::Absent; all.len()];
        // The role comes before the party, because whether an alert is due depends on both.
        for column in [
            Column::SmiStatus,
            Column::DeviceType,
            Column::DeviceId,
            Column::StatusSince,
            Column::NotifyingRole,
            Column::NotifyingParty,
        ] {
            let Some(bound) = range.file.columns.get(column) else { continue };
            let wanted = self.wanted(column, &all, &pairs);
            let (place, dates) = (range.range, &range.file.dates);
            range.values(column, &wanted, |index, value| {
                let row = wanted[index];
                let role = &mut roles[(row - pairs.first_row) as usize];
                if column == Column::NotifyingRole {
                    *role = RoleField::from(value.bytes);
                }
                let checked = CheckedValue { column, form: bound.form(), dates, bytes: value.bytes };
                if let Some((kind, spelling)) = self.flaw(&checked, pairs.of(row), *role) {
                    flaws.add(kind, spelling, place.row_number(row));
                }
            })?;
        }
        Ok(flaws)
    }

    /// The rows whose value of `column` is read. Status and type are read only where their code is unknown, for the
    /// spelling.
    fn wanted(&self, column: Column, all: &[u32], pairs: &RangePairs) -> Vec<u32> {
        let is_wanted = |row: &u32| {
            let (status, device_type) = pairs.of(*row);
            match column {
                Column::SmiStatus => status == SmiStatus::UNKNOWN,
                Column::DeviceType => device_type == DeviceType::UNKNOWN,
                Column::NotifyingParty => self.rules.pair(status, device_type) == Pair::Judge,
                _ => true,
            }
        };
        all.iter().copied().filter(is_wanted).collect()
    }

    /// The codes of status and type of each row.
    fn pairs(&self, range: &mut RangeReader<'_>, buffers: &mut CheckBuffers) -> Result<RangePairs> {
        let CheckBuffers { status, device_type } = buffers;
        let status_code = |value: Option<&[u8]>| value.map_or(SmiStatus::NULL, |text| self.policy.status_code(text));
        let type_code = |value: Option<&[u8]>| value.map_or(DeviceType::NULL, |text| self.policy.type_code(text));
        range.codes(Column::SmiStatus, &status_code, status)?;
        range.codes(Column::DeviceType, &type_code, device_type)?;
        let pairs = status.iter().zip(device_type.iter()).collect();
        Ok(RangePairs { first_row: range.range.rows.start, pairs })
    }

    /// The flaw of one value, in a row with these codes of status and type and this role; and its spelling, if the kind
    /// of flaw is listed by spelling.
    fn flaw(
        &self,
        value: &CheckedValue<'_>,
        (status, device_type): (u8, u8),
        role: RoleField,
    ) -> Option<(FlawKind, Option<String>)> {
        let spelling = || value.bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let kind = match (value.column, value.bytes) {
            (Column::SmiStatus, Some(_)) => return Some((FlawKind::UnknownStatus, spelling())),
            (Column::DeviceType, Some(_)) => return Some((FlawKind::UnknownType, spelling())),
            (Column::NotifyingRole, Some(_)) if role == RoleField::Unknown => {
                return Some((FlawKind::UnknownRole, spelling()));
            }
            (Column::DeviceId, None) => FlawKind::MissingDeviceId,
            (Column::DeviceId, Some(bytes)) => match values::device_id(value.form, bytes) {
                None => FlawKind::MalformedDeviceId,
                Some(id) if self.duplicates.ids.binary_search(&id).is_ok() => FlawKind::DuplicateDeviceId,
                Some(_) => return None,
            },
            (Column::StatusSince, _) => return self.flaw_of_date(value, (status, device_type)),
            (Column::NotifyingParty, bytes) => {
                let party = values::party_field(value.form, bytes);
                match self.rules.addressee(device_type, role, (&party).into()) {
                    Err(Reason::MissingParty) => FlawKind::MissingParty,
                    Err(Reason::BadParty) => FlawKind::BadParty,
                    // An unknown role is reported as `UnknownRole`.
                    Ok(_) | Err(_) => return None,
                }
            }
            _ => return None,
        };
        Some((kind, None))
    }

    /// The flaw of a date, and its value if the kind of flaw is listed by value.
    fn flaw_of_date(
        &self,
        value: &CheckedValue<'_>,
        (status, device_type): (u8, u8),
    ) -> Option<(FlawKind, Option<String>)> {
        let since = value.dates.read(value.bytes);
        if let Some(text) = value.dates.misread(value.bytes) {
            return Some((FlawKind::UnreadableDate, Some(text)));
        }
        // A missing date is a flaw only where the rule needs the date; any other date is checked in every row.
        if since.is_none() && self.rules.pair(status, device_type) != Pair::Judge {
            return None;
        }
        match self.rules.judge_date(device_type, since) {
            DateVerdict::Quarantine(Reason::MissingDate) => Some((FlawKind::MissingDate, None)),
            DateVerdict::Quarantine(Reason::FutureDate) => Some((FlawKind::FutureDate, None)),
            DateVerdict::Quarantine(_) => Some((FlawKind::ImplausibleDate, None)),
            DateVerdict::Due | DateVerdict::NotDue => {
                let day = since.map(time::day_of).filter(|&day| day < FIRST_USUAL_DAY)?;
                Some((FlawKind::EarlyDate, Some(time::format_day(day))))
            }
        }
    }
}

/// 1971-01-01. Zero in any unit is before it in every time zone, and so are the lowest dates of common systems.
const FIRST_USUAL_DAY: i32 = 365;

/// One value of a row.
struct CheckedValue<'a> {
    column: Column,
    form: PhysicalForm,
    dates: &'a StatusDates,
    bytes: Option<&'a [u8]>,
}
