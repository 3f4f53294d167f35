//! Decides, for all policies and before the first row is read, which rows a scan must judge one by one.

use std::sync::Mutex;

use super::parties::PartyRegister;
use crate::estate::{DeviceType, SmiStatus};
use crate::policy::{Pair, Policy, Rules};

/// Number of pairs of a status code and a type code.
pub const PAIRS: usize = SmiStatus::CODES * DeviceType::CODES;

/// The index, below [`PAIRS`], of a pair of a status code and a type code.
#[must_use]
#[inline]
pub const fn pair_index(status: u8, device_type: u8) -> usize {
    (status as usize & (SmiStatus::CODES - 1)) << 6 | (device_type as usize & (DeviceType::CODES - 1))
}

/// The status code and the type code of a `pair_index`.
#[must_use]
pub const fn pair_codes(pair: usize) -> (u8, u8) {
    ((pair >> 6) as u8, (pair & 63) as u8)
}

/// What a scan reads rows for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To judge them. Statuses that no policy sweeps are not distinguished.
    Judge,
    /// To count them by status and date. Every status is counted, and the date of every candidate is read.
    Count,
}

/// Which rows a scan must read one by one, and which columns of the other rows it can skip.
pub struct CandidatePlan<'a> {
    policy: &'a Policy,
    /// The policies, bound to one as-of time.
    pub rules: &'a [Rules],
    /// Whether the rows of each `pair_index` are open: read one by one.
    pub open: Box<[bool; PAIRS]>,
    /// Statuses that no policy sweeps, for any type.
    pub(super) closed_status: [bool; SmiStatus::CODES],
    /// The latest date that is due for any type, or not plausible, under any policy; UTC microseconds since 1970.
    pub latest_due: i64,
    /// The parties that were read so far.
    pub parties: Mutex<PartyRegister>,
}

impl<'a> CandidatePlan<'a> {
    /// A plan for these rules. `policy` gives the spellings, which must be the same for all rules.
    #[must_use]
    pub fn new(policy: &'a Policy, rules: &'a [Rules], purpose: Purpose) -> Self {
        let is_open = |pair: Pair| match purpose {
            Purpose::Judge => matches!(pair, Pair::Judge | Pair::Quarantine(_)),
            Purpose::Count => pair == Pair::Judge,
        };
        let mut open = Box::new([false; PAIRS]);
        for (pair, open) in open.iter_mut().enumerate() {
            let (status, device_type) = pair_codes(pair);
            *open = rules.iter().any(|rules| is_open(rules.pair(status, device_type)));
        }
        let mut closed_status = [false; SmiStatus::CODES];
        if purpose == Purpose::Judge {
            for (status, closed) in closed_status.iter_mut().enumerate() {
                *closed = (0..DeviceType::CODES).all(|device_type| {
                    rules.iter().all(|rules| rules.pair(status as u8, device_type as u8) == Pair::NotCandidate)
                });
            }
        }
        let latest_due = match purpose {
            Purpose::Judge => rules.iter().map(Rules::latest_decided).max().unwrap_or(i64::MIN),
            Purpose::Count => i64::MAX,
        };
        Self { policy, rules, open, closed_status, latest_due, parties: Mutex::default() }
    }

    /// The as-of time of all policies, UTC microseconds since 1970.
    #[must_use]
    pub fn as_of(&self) -> i64 {
        self.rules.first().map_or(i64::MIN, Rules::as_of)
    }

    /// Whether no policy sweeps this status, for any type.
    #[must_use]
    pub fn is_closed(&self, status: u8) -> bool {
        self.closed_status[usize::from(status) % SmiStatus::CODES]
    }

    /// Whether there is a closed status.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.closed_status.contains(&true)
    }

    /// A closed status, to be used in place of any other closed status.
    #[must_use]
    pub fn any_closed(&self) -> u8 {
        self.closed_status.iter().position(|&closed| closed).unwrap_or_default() as u8
    }

    /// The code of a status as spelled in the snapshot; `None` is null.
    #[must_use]
    pub fn status_code(&self, value: Option<&[u8]>) -> u8 {
        value.map_or(SmiStatus::NULL, |spelling| self.policy.status_code(spelling))
    }

    /// The code of a type as spelled in the snapshot; `None` is null.
    #[must_use]
    pub fn type_code(&self, value: Option<&[u8]>) -> u8 {
        value.map_or(DeviceType::NULL, |spelling| self.policy.type_code(spelling))
    }
}
