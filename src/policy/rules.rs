//! A policy bound to a moment. Each row is judged by comparisons, in the order of the rule.
//!
//! This is the one place that states the rule. The sweep calls it in steps, as it reads more columns of a row
//! ([`Rules::pair`], [`Rules::judge_date`], [`Rules::alerts`], [`PartyField::flaw`]). [`Rules::judge`] does all steps
//! for one row.

use crate::estate::time::{FIRST_DAY, add_months, day_of, day_start, whole_months};
use crate::estate::{DeviceId, DeviceType, Disposition, Party, Reason, Role, SmiStatus, TypeSet};

use super::{Boundary, Cutoff, Policy};

/// The verdict of status and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// The status is not one that the policy sweeps.
    NotCandidate,
    /// A candidate whose type is excluded.
    Excluded,
    /// The row cannot be judged.
    Quarantine(Reason),
    /// The date decides.
    Judge,
}

/// The verdict of the status date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateVerdict {
    /// The threshold is not reached.
    NotDue,
    /// The threshold is reached.
    Due,
    /// The row cannot be judged.
    Quarantine(Reason),
}

/// The role of the Notifying Party, as a row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleField {
    /// Null, or no such column. The type decides about the alert.
    Absent,
    /// One of the two roles.
    Known(Role),
    /// Any other value.
    Unknown,
}

/// The Notifying Party, as a row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyField {
    /// Null, or blanks only.
    Missing,
    /// A party that can be alerted.
    Usable,
    /// A value that cannot be alerted.
    Bad,
}

impl From<&Party<'_>> for PartyField {
    fn from(party: &Party<'_>) -> Self {
        match party {
            Party::Missing => Self::Missing,
            Party::Named(_) => Self::Usable,
            Party::Bad => Self::Bad,
        }
    }
}

impl PartyField {
    /// The reason why a due device is quarantined for its party; `alert` is whether its deletion raises an alert.
    #[must_use]
    #[inline]
    pub const fn flaw(self, alert: bool) -> Option<Reason> {
        match self {
            Self::Missing if alert => Some(Reason::MissingParty),
            Self::Bad if alert => Some(Reason::BadParty),
            _ => None,
        }
    }
}

impl From<Option<&[u8]>> for RoleField {
    /// Reads a value of the role column.
    fn from(value: Option<&[u8]>) -> Self {
        value.map_or(Self::Absent, |text| Role::from_text(text).map_or(Self::Unknown, Self::Known))
    }
}

/// The values of a row that the rule uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgedRow {
    /// Code of the status.
    pub status_code: u8,
    /// Code of the type.
    pub type_code: u8,
    /// The moment from which the status has applied, UTC microseconds; `None` for a null.
    pub since: Option<i64>,
    /// The Device ID; `None` if it is null or malformed.
    pub id: Option<DeviceId>,
    /// The role.
    pub role: RoleField,
    /// The party.
    pub party: PartyField,
}

/// A policy bound to a moment.
#[derive(Debug, Clone)]
pub struct Rules {
    as_of: i64,
    boundary: Boundary,
    pairs: Box<[[Pair; DeviceType::CODES]; SmiStatus::CODES]>,
    cutoffs: Box<[Cutoff]>,
    months: Box<[u32]>,
    /// The latest instant that is not in the future.
    latest: i64,
    /// The earliest plausible instant.
    earliest: i64,
    silent: TypeSet,
}

impl Policy {
    /// Binds the policy to a moment, UTC microseconds.
    #[must_use]
    pub fn bind(&self, as_of: i64) -> Rules {
        let mut pairs = Box::new([[Pair::NotCandidate; DeviceType::CODES]; SmiStatus::CODES]);
        for (status, row) in pairs.iter_mut().enumerate() {
            for (device_type, pair) in row.iter_mut().enumerate() {
                *pair = self.pair(status as u8, device_type as u8);
            }
        }
        let months: Box<[u32]> = (0..DeviceType::CODES)
            .map(|code| {
                DeviceType::from_code(code as u8).map_or(self.thresholds.default, |t| self.thresholds.months(t))
            })
            .collect();
        let cutoffs = months.iter().map(|&months| Cutoff::new(as_of, months, self.boundary)).collect();
        let (boundary, silent) = (self.boundary, self.alerts.silent_types);
        let earliest = self.earliest_date.map_or(EARLIEST, |day| day_start(day).max(EARLIEST));
        let latest = match self.boundary {
            Boundary::Date => day_start(day_of(as_of) + 1) - 1,
            Boundary::Instant => as_of,
        };
        Rules { as_of, boundary, pairs, cutoffs, months, latest, earliest, silent }
    }

    /// The verdict of status and type, in the order of the rule.
    fn pair(&self, status: u8, device_type: u8) -> Pair {
        match status {
            SmiStatus::NULL if TypeSet::TYPE_2.contains_code(device_type) => return Pair::NotCandidate,
            SmiStatus::NULL => return Pair::Quarantine(Reason::MissingStatus),
            status if usize::from(status) >= SmiStatus::ALL.len() => return Pair::Quarantine(Reason::UnknownStatus),
            status if !self.candidate_statuses.contains_code(status) => return Pair::NotCandidate,
            _ => {}
        }
        match DeviceType::from_code(device_type) {
            Some(t) if self.exclude.contains(t) => Pair::Excluded,
            Some(_) => Pair::Judge,
            None => Pair::Quarantine(Reason::UnknownType),
        }
    }
}

impl Rules {
    /// The moment, UTC microseconds.
    #[must_use]
    pub const fn as_of(&self) -> i64 {
        self.as_of
    }

    /// The latest instant that is not in the future, UTC microseconds.
    #[must_use]
    pub const fn latest(&self) -> i64 {
        self.latest
    }

    /// The earliest plausible instant, UTC microseconds.
    #[must_use]
    pub const fn earliest(&self) -> i64 {
        self.earliest
    }

    /// What is compared with a threshold.
    #[must_use]
    pub const fn boundary(&self) -> Boundary {
        self.boundary
    }

    /// The verdict of a status code and a type code.
    #[must_use]
    #[inline]
    pub fn pair(&self, status_code: u8, type_code: u8) -> Pair {
        self.pairs[usize::from(status_code) % SmiStatus::CODES][usize::from(type_code) % DeviceType::CODES]
    }

    /// The verdict of the status date, UTC microseconds, of a row whose [`pair`](Self::pair) is [`Pair::Judge`].
    #[must_use]
    #[inline]
    pub fn judge_date(&self, type_code: u8, since: Option<i64>) -> DateVerdict {
        let Some(since) = since else { return DateVerdict::Quarantine(Reason::MissingDate) };
        if since > self.latest {
            DateVerdict::Quarantine(Reason::FutureDate)
        } else if since < self.earliest {
            DateVerdict::Quarantine(Reason::ImplausibleDate)
        } else if self.cutoff(type_code).is_due(since) {
            DateVerdict::Due
        } else {
            DateVerdict::NotDue
        }
    }

    /// Whether a row is due by its status, type and date (UTC microseconds). It can still be quarantined for its Device
    /// ID, role or party.
    #[must_use]
    pub fn is_due(&self, status_code: u8, type_code: u8, since: Option<i64>) -> bool {
        self.pair(status_code, type_code) == Pair::Judge && self.judge_date(type_code, since) == DateVerdict::Due
    }

    /// Whether a status of this age, in whole calendar months between UTC dates, has reached the threshold of its type,
    /// excluded or not. Under [`Boundary::Instant`] the due instant may be later on the same day.
    #[must_use]
    pub fn reached_at_age(&self, type_code: u8, age_months: u32) -> bool {
        age_months >= self.months(type_code)
    }

    /// The cutoff of a type code.
    #[must_use]
    #[inline]
    pub fn cutoff(&self, type_code: u8) -> &Cutoff {
        &self.cutoffs[usize::from(type_code) % DeviceType::CODES]
    }

    /// The threshold of a type code, in calendar months.
    #[must_use]
    pub fn months(&self, type_code: u8) -> u32 {
        self.months[usize::from(type_code) % DeviceType::CODES]
    }

    /// The latest instant, UTC microseconds, that is due for any type, excluded or not.
    #[must_use]
    pub fn latest_due(&self) -> i64 {
        self.cutoffs.iter().map(Cutoff::latest).max().unwrap_or(i64::MIN)
    }

    /// The latest instant, UTC microseconds, that is not sure to be kept as not due: a later one, if it is not in the
    /// future, is plausible and not due for any type.
    #[must_use]
    pub fn latest_decided(&self) -> i64 {
        self.latest_due().max(self.earliest - 1)
    }

    /// The day on which a device of this type becomes due if its status applies from `day` (both days since
    /// 1970-01-01); `None` outside of the years 1 to 9999.
    #[must_use]
    pub fn due_on(&self, type_code: u8, day: i32) -> Option<i32> {
        add_months(day, self.months(type_code))
    }

    /// Whether the deletion of a device raises an alert: decided by the role of its party, or by its type if there is
    /// no role.
    #[must_use]
    pub fn alerts(&self, type_code: u8, role: Option<Role>) -> bool {
        match role {
            Some(Role::ServiceUser) => true,
            Some(Role::Csp) => false,
            None => !self.silent.contains_code(type_code),
        }
    }

    /// Whether the deletion of a device raises an alert. If it does, the row has a valid party.
    ///
    /// # Errors
    /// The reason why the row is quarantined.
    pub fn addressee(&self, type_code: u8, role: RoleField, party: PartyField) -> Result<bool, Reason> {
        let role = match role {
            RoleField::Unknown => return Err(Reason::UnknownRole),
            RoleField::Known(role) => Some(role),
            RoleField::Absent => None,
        };
        let alert = self.alerts(type_code, role);
        party.flaw(alert).map_or(Ok(alert), Err)
    }

    /// The rule for one row, except for duplicates: due rows that share a Device ID are found by comparing rows.
    #[must_use]
    pub fn judge(&self, row: &JudgedRow) -> Disposition {
        if self.pair(row.status_code, row.type_code) == Pair::Judge {
            match self.judge_date(row.type_code, row.since) {
                DateVerdict::NotDue => return Disposition::NotDue,
                DateVerdict::Quarantine(reason) => return Disposition::Quarantined(reason),
                DateVerdict::Due => {}
            }
        }
        self.judge_at_threshold(row)
    }

    /// The rule for a row whose threshold is reached: [`judge`](Self::judge) without the date.
    #[must_use]
    pub fn judge_at_threshold(&self, row: &JudgedRow) -> Disposition {
        match self.pair(row.status_code, row.type_code) {
            Pair::NotCandidate => return Disposition::NotCandidate,
            Pair::Excluded => return Disposition::Excluded,
            Pair::Quarantine(reason) => return Disposition::Quarantined(reason),
            Pair::Judge => {}
        }
        if row.id.is_none() {
            return Disposition::Quarantined(Reason::BadDeviceId);
        }
        match self.addressee(row.type_code, row.role, row.party) {
            Ok(alert) => Disposition::Delete { alert },
            Err(reason) => Disposition::Quarantined(reason),
        }
    }
}

/// The age of a status in whole calendar months as of a moment (both UTC microseconds); `None` if
/// [`Rules::judge_date`] would quarantine the date.
///
/// Where both are midnights, or thresholds are compared by date, a row is due under a threshold of m months exactly
/// where its age is m or more.
#[must_use]
pub fn age_months(since: Option<i64>, as_of: i64) -> Option<u32> {
    let since = since.filter(|since| (EARLIEST..day_start(day_of(as_of) + 1)).contains(since))?;
    Some(whole_months(since, as_of))
}

/// The first instant of the year 1, the first that can be computed with.
const EARLIEST: i64 = day_start(FIRST_DAY);
