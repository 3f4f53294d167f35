//! The columns of a snapshot, by the names that the contract gives them.

use std::fmt;

/// A column that the engine reads. All other columns are ignored and never decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Column {
    /// EUI-64 of the device.
    DeviceId,
    /// Device Type.
    DeviceType,
    /// SMI Status; null for Type 2 devices.
    SmiStatus,
    /// The date from which the status has applied.
    StatusSince,
    /// The party that notified the device.
    NotifyingParty,
    /// The role in which that party notified it. Optional.
    NotifyingRole,
    /// The CSP region. Optional. No rule uses it; ledgers and stock counts do.
    CspRegion,
}

impl Column {
    /// The columns that a sweep reads, in the order of the contract: all but the region, which no rule uses.
    pub const READ_BY_SWEEP: [Self; 6] = [
        Self::DeviceId,
        Self::DeviceType,
        Self::SmiStatus,
        Self::StatusSince,
        Self::NotifyingParty,
        Self::NotifyingRole,
    ];

    /// Every column, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::DeviceId,
        Self::DeviceType,
        Self::SmiStatus,
        Self::StatusSince,
        Self::NotifyingParty,
        Self::NotifyingRole,
        Self::CspRegion,
    ];

    /// The contract's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceId => "device_id",
            Self::DeviceType => "device_type",
            Self::SmiStatus => "smi_status",
            Self::StatusSince => "status_since",
            Self::NotifyingParty => "notifying_party",
            Self::NotifyingRole => "notifying_role",
            Self::CspRegion => "csp_region",
        }
    }

    /// The column of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// Whether a snapshot must have it.
    #[must_use]
    pub const fn required(self) -> bool {
        !matches!(self, Self::NotifyingRole | Self::CspRegion)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
