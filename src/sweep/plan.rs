//! What is settled before the first row is read: for all policies of a scan, which rows need a closer look.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::findings::PartyRegister;
use super::lanes::Reader;
use crate::estate::{DeviceType, SmiStatus};
use crate::policy::{Pair, Policy, Rules};
use crate::progress::Progress;
use crate::snapshot::Snapshot;

/// How many pairs of a status code and a type code there are.
pub const PAIRS: usize = SmiStatus::CODES * DeviceType::CODES;

/// The pair of a status code and a type code, as an index.
#[must_use]
#[inline]
pub const fn pair_index(status: u8, device_type: u8) -> usize {
    (status as usize & (SmiStatus::CODES - 1)) << 6 | (device_type as usize & (DeviceType::CODES - 1))
}

/// The status code and the type code of a [`pair_index`].
#[must_use]
pub const fn pair_codes(pair: usize) -> (u8, u8) {
    ((pair >> 6) as u8, (pair & 63) as u8)
}

/// One scan: a snapshot, the policies bound to its moment, and what the workers share.
pub struct Plan<'a> {
    /// What is read.
    pub snapshot: &'a Snapshot,
    /// Knows the spellings. All policies of a scan read a snapshot alike.
    pub policy: &'a Policy,
    /// The policies, bound to the moment.
    pub rules: &'a [Rules],
    /// Which reader is used.
    pub reader: Reader,
    /// Pairs that some policy must look at row by row.
    pub open: Box<[bool; PAIRS]>,
    /// Statuses that no policy looks at, whatever the type.
    pub closed_status: [bool; SmiStatus::CODES],
    /// The latest date that is due for any type under any policy.
    pub latest_due: i64,
    /// The parties met so far.
    pub parties: Mutex<PartyRegister>,
    /// For each policy, how many quarantined rows are still remembered; the rest is only counted.
    pub room: Vec<AtomicU64>,
    /// Bytes of the pages that were looked into so far.
    pub bytes_read: AtomicU64,
    /// Somebody who waits.
    pub progress: &'a dyn Progress,
}

impl<'a> Plan<'a> {
    /// Settles what can be settled. `room` is, for each policy, how many quarantined rows are worth remembering.
    #[must_use]
    pub fn new(
        snapshot: &'a Snapshot,
        policy: &'a Policy,
        rules: &'a [Rules],
        reader: Reader,
        room: &[u64],
        progress: &'a dyn Progress,
    ) -> Self {
        let mut open = Box::new([false; PAIRS]);
        for (pair, open) in open.iter_mut().enumerate() {
            let (status, device_type) = pair_codes(pair);
            *open =
                rules.iter().any(|rules| matches!(rules.pair(status, device_type), Pair::Judge | Pair::Quarantine(_)));
        }
        let mut closed_status = [false; SmiStatus::CODES];
        for (status, closed) in closed_status.iter_mut().enumerate() {
            *closed = (0..DeviceType::CODES).all(|device_type| {
                rules.iter().all(|rules| rules.pair(status as u8, device_type as u8) == Pair::NotCandidate)
            });
        }
        let latest_due = rules.iter().map(Rules::latest_due).max().unwrap_or(i64::MIN);
        Self {
            snapshot,
            policy,
            rules,
            reader,
            open,
            closed_status,
            latest_due,
            parties: Mutex::default(),
            room: room.iter().copied().map(AtomicU64::new).collect(),
            bytes_read: AtomicU64::new(0),
            progress,
        }
    }

    /// Whether one more quarantined row of this policy is worth remembering.
    #[must_use]
    pub fn takes_quarantined(&self, policy: usize) -> bool {
        self.room[policy].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1)).is_ok()
    }

    /// The moment that all policies are bound to.
    #[must_use]
    pub fn as_of(&self) -> i64 {
        self.rules.first().map_or(i64::MIN, Rules::as_of)
    }

    /// Code of a status as the snapshot spells it.
    #[must_use]
    pub fn status_code(&self, value: Option<&[u8]>) -> u8 {
        value.map_or(SmiStatus::NULL, |spelling| self.policy.status_code(spelling))
    }

    /// Code of a type as the snapshot spells it.
    #[must_use]
    pub fn type_code(&self, value: Option<&[u8]>) -> u8 {
        value.map_or(DeviceType::NULL, |spelling| self.policy.type_code(spelling))
    }
}
