//! How an estate writes what the contract and DUIS name otherwise.

use std::collections::BTreeMap;

use super::{Column, DateSpelling, DeviceType, SmiStatus};

/// The names of columns, statuses and types in an estate's files. What is not mapped has its name of the contract or of
/// DUIS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spellings {
    /// Columns by their names in the files.
    pub columns: BTreeMap<String, Column>,
    /// Statuses by their spelling in the files; `None` is no status, as Type 2 devices have it.
    pub statuses: BTreeMap<String, Option<SmiStatus>>,
    /// Types by their spelling in the files.
    pub types: BTreeMap<String, DeviceType>,
    /// Dates.
    pub dates: DateSpelling,
}

impl Spellings {
    /// The name of a column in the files, if it is mapped.
    #[must_use]
    pub fn name_of(&self, column: Column) -> Option<&str> {
        self.columns.iter().find(|(_, ours)| **ours == column).map(|(theirs, _)| theirs.as_str())
    }

    /// Code of a status as the estate spells it; [`SmiStatus::UNKNOWN`] for an unknown spelling.
    #[must_use]
    pub fn status_code(&self, spelling: &[u8]) -> u8 {
        let Ok(spelling) = std::str::from_utf8(spelling) else { return SmiStatus::UNKNOWN };
        match self.statuses.get(spelling) {
            Some(mapped) => mapped.map_or(SmiStatus::NULL, SmiStatus::code),
            None => SmiStatus::from_name(spelling).map_or(SmiStatus::UNKNOWN, SmiStatus::code),
        }
    }
}
