//! The outcome of judging a row. Each row of the estate gets exactly one [`Disposition`].

use std::fmt;

/// The outcome of judging a row. The rule, with the order in which outcomes are tried, is
/// [`Rules::judge`](crate::policy::Rules::judge).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It cannot be judged, and the judgement could have been a deletion.
    Quarantined(Reason),
    /// Its status is not one that the policy sweeps.
    NotCandidate,
    /// A candidate whose type is on the exclusion list.
    Excluded,
    /// A candidate whose threshold is not reached.
    NotDue,
    /// Due for deletion; with an alert to the Notifying Party, or silently.
    Delete {
        /// Whether the Notifying Party is alerted.
        alert: bool,
    },
}

impl Disposition {
    /// The word that records and reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quarantined(_) => "quarantined",
            Self::NotCandidate => "not_candidate",
            Self::Excluded => "excluded",
            Self::NotDue => "not_due",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Why a row is quarantined, in the order in which the rule tries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The status is not one of DUIS, and the policy does not map it.
    UnknownStatus,
    /// The status is null on a device that is not Type 2.
    MissingStatus,
    /// The type is null, or is neither listed nor mapped.
    UnknownType,
    /// The date of the status is null, or a value that is no date.
    MissingDate,
    /// The date of the status is after the as-of time.
    FutureDate,
    /// The date of the status is before the year 1, outside of the range of dates that can be computed, or before the
    /// earliest date of the policy.
    ImplausibleDate,
    /// The Device ID is null or malformed.
    BadDeviceId,
    /// Another due row has the same Device ID.
    DuplicateDeviceId,
    /// A role that is neither `ServiceUser` nor `CSP`.
    UnknownRole,
    /// An alert is required, and the row has no party.
    MissingParty,
    /// An alert is required, and the party is not a valid name: see [`Party`](super::Party).
    BadParty,
}

impl Reason {
    /// Every reason, in the order in which they are tried.
    pub const ALL: [Self; 11] = [
        Self::UnknownStatus,
        Self::MissingStatus,
        Self::UnknownType,
        Self::MissingDate,
        Self::FutureDate,
        Self::ImplausibleDate,
        Self::BadDeviceId,
        Self::DuplicateDeviceId,
        Self::UnknownRole,
        Self::MissingParty,
        Self::BadParty,
    ];

    /// The word in the quarantine manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownStatus => "unknown_status",
            Self::MissingStatus => "missing_status",
            Self::UnknownType => "unknown_type",
            Self::MissingDate => "missing_date",
            Self::FutureDate => "future_date",
            Self::ImplausibleDate => "implausible_date",
            Self::BadDeviceId => "bad_device_id",
            Self::DuplicateDeviceId => "duplicate_device_id",
            Self::UnknownRole => "unknown_role",
            Self::MissingParty => "missing_party",
            Self::BadParty => "bad_party",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
