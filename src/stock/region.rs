//! CSP regions of the DUIS V5.4 schema.

use std::fmt;

/// A region, ordered as in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(u8);

impl Region {
    /// The names of all regions.
    pub const NAMES: [&'static str; 8] =
        ["North", "Central", "South", "4G North", "4G Central", "4G South", "Unknown", "SMETS1"];

    /// The region of this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|index| Self(index as u8))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
