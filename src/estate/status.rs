//! SMI Status: the nine values of DUIS, and sets of them.

use std::fmt;

/// The status of a device in the inventory, as the DUIS schema lists it. Type 2 devices have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SmiStatus {
    /// Pre-notified, and not installed: the status that housekeeping sweeps.
    Pending,
    /// On the whitelist of a Communications Hub.
    Whitelisted,
    /// Installed, and not yet commissioned.
    InstalledNotCommissioned,
    /// In service.
    Commissioned,
    /// Taken out of service.
    Decommissioned,
    /// No longer in use, and recorded as withdrawn.
    Withdrawn,
    /// Suspended.
    Suspended,
    /// Being recovered.
    Recovery,
    /// Recovered.
    Recovered,
}

impl SmiStatus {
    /// Every status, in the order of the codes.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Whitelisted,
        Self::InstalledNotCommissioned,
        Self::Commissioned,
        Self::Decommissioned,
        Self::Withdrawn,
        Self::Suspended,
        Self::Recovery,
        Self::Recovered,
    ];
    /// Size of tables that are indexed by a status code: codes are below it.
    pub const CODES: usize = 16;
    /// Code of a spelling that neither DUIS nor the policy has.
    pub const UNKNOWN: u8 = 14;
    /// Code of a null.
    pub const NULL: u8 = 15;

    /// Index into tables of [`CODES`](Self::CODES), from 0 in the order of [`ALL`](Self::ALL).
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The DUIS spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Whitelisted => "Whitelisted",
            Self::InstalledNotCommissioned => "InstalledNotCommissioned",
            Self::Commissioned => "Commissioned",
            Self::Decommissioned => "Decommissioned",
            Self::Withdrawn => "Withdrawn",
            Self::Suspended => "Suspended",
            Self::Recovery => "Recovery",
            Self::Recovered => "Recovered",
        }
    }

    /// The DUIS spelling of a status code; `(null)` for [`NULL`](Self::NULL), `(unknown)` for every other code.
    #[must_use]
    pub fn code_name(code: u8) -> &'static str {
        match code {
            Self::NULL => "(null)",
            code => Self::ALL.get(usize::from(code)).map_or("(unknown)", |status| status.name()),
        }
    }

    /// The status of this exact spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl fmt::Display for SmiStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of statuses, as a bitmask over their codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusSet(u16);

impl StatusSet {
    /// Whether `status` is in the set.
    #[must_use]
    pub const fn contains(self, status: SmiStatus) -> bool {
        self.0 & 1 << status as u8 != 0
    }

    /// Whether the status of this code is in the set; never so for the codes of unknown and null.
    #[must_use]
    pub const fn contains_code(self, code: u8) -> bool {
        (self.0 as u32) & 1u32 << (code as u32 & 31) != 0
    }

    /// The members, in the order of the codes.
    pub fn iter(self) -> impl Iterator<Item = SmiStatus> {
        SmiStatus::ALL.into_iter().filter(move |&status| self.contains(status))
    }
}

impl FromIterator<SmiStatus> for StatusSet {
    fn from_iter<I: IntoIterator<Item = SmiStatus>>(statuses: I) -> Self {
        Self(statuses.into_iter().fold(0, |mask, status| mask | 1 << status.code()))
    }
}
