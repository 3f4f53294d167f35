//! The outcome of judging a row. Each row of the estate gets exactly one [`Disposition`].

use std::fmt;

/// The outcome of judging a row. The rule is in `policy`; the order in which outcomes are tried is that of the README.
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
    /// The status has a spelling that the policy does not know.
    UnknownStatus,
    /// The status is null on a device that is not Type 2.
    MissingStatus,
    /// The type is null, or has a spelling that the policy does not know.
    UnknownType,
    /// The date of the status is null.
    MissingDate,
    /// The date of the status is after the as-of time.
    FutureDate,
    /// The date of the status lies before the year 1, where no calendar of the industry reaches.
    ImplausibleDate,
    /// The Device ID is null or malformed.
    BadDeviceId,
    /// The Device ID is that of another due row as well.
    DuplicateDeviceId,
    /// A role that is neither `ServiceUser` nor `CSP`.
    UnknownRole,
    /// An alert is required, and there is no party to send it to.
    MissingParty,
    /// An alert is required, and the party is longer than can be addressed, or not text.
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
