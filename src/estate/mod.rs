//! The vocabulary of the Smart Metering Inventory: devices, statuses, parties, dispositions, tallies, the calendar.
//!
//! Pure values, without I/O. The rule that gives a row its [`Disposition`] is in [`crate::policy`].

mod column;
mod date_spelling;
mod device_id;
mod device_type;
mod disposition;
mod party;
mod spellings;
mod status;
mod tally;
pub mod time;

pub use column::Column;
pub use date_spelling::{DateFormat, DateSpelling, Zone, format_local};
pub use device_id::{DeviceId, TEXT_LEN};
pub use device_type::{CannotAdd, DeviceType, TypeNames, TypeSet};
pub use disposition::{Disposition, Reason};
pub use party::{INVISIBLE, Party, WHITE_SPACE};
pub use spellings::Spellings;
pub use status::{SmiStatus, StatusSet};
pub use tally::{Tally, TallyByType};

/// The role of a Notifying Party: the value of the column `notifying_role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A Service User: alerted of deletions by an N8.
    ServiceUser,
    /// A Communication Service Provider: deletions of its devices raise no alert.
    Csp,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ServiceUser, Self::Csp];

    /// The snapshot's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceUser => "ServiceUser",
            Self::Csp => "CSP",
        }
    }

    /// Reads the snapshot's spelling, which is exact.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name().as_bytes() == text)
    }
}
