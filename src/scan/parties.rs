//! The distinct parties of a snapshot. Each is kept once, and rows refer to it by number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use super::columns::ColumnValue;
use super::values::party_field;
use crate::estate::{Party, Reason};
use crate::policy::PartyField;
use crate::snapshot::PhysicalForm;

/// Planned deletions and alerts of one party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyCounts {
    /// Devices of the party that are to be deleted.
    pub deletes: u64,
    /// Alerts that are to be sent to the party.
    pub alerts: u64,
}

/// The distinct parties of a scan, in ascending order of their text. A clone shares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parties {
    names: Arc<Vec<String>>,
}

impl Parties {
    /// The index that means "no party".
    pub const NONE: u32 = u32::MAX;

    /// Sorts the names of a [`PartyRegister`]. Also returns, for each number in the register, the index in the result.
    #[must_use]
    pub fn sorted(registered: Vec<String>) -> (Self, Vec<u32>) {
        let mut order: Vec<u32> = (0..registered.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| registered[a as usize].cmp(&registered[b as usize]));
        let mut rank = vec![0; registered.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
        }
        let mut registered: Vec<Option<String>> = registered.into_iter().map(Some).collect();
        let names: Vec<String> = order.iter().filter_map(|&old| registered[old as usize].take()).collect();
        (Self { names: Arc::new(names) }, rank)
    }

    /// The name of the party with this index; `None` if there is no such party.
    #[must_use]
    pub fn name(&self, index: u32) -> Option<&str> {
        self.names.get(index as usize).map(String::as_str)
    }

    /// Number of parties.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no party.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names, by index, in ascending order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Numbers the distinct parties, from 0, in the order of their first [`number`](Self::number) call.
#[derive(Debug, Default)]
pub struct PartyRegister {
    names: IndexSet<String, ahash::RandomState>,
}

impl PartyRegister {
    /// The number of this party.
    pub fn number(&mut self, party: &str) -> u32 {
        let number = match self.names.get_index_of(party) {
            Some(number) => number,
            None => self.names.insert_full(party.to_owned()).0,
        };
        number as u32
    }

    /// The names in the order of their numbers.
    #[must_use]
    pub fn into_names(self) -> Vec<String> {
        self.names.into_iter().collect()
    }
}

/// The Notifying Party of a row, as one number: the number of a party in the register, or one of the three highest
/// numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyCode {
    /// A party, by its number in the [`PartyRegister`].
    Party(u32),
    /// Null or blank.
    Missing,
    /// A value that is not the name of a party.
    Bad,
    /// The row's role is neither `ServiceUser` nor `CSP`, so that the party does not matter.
    UnknownRole,
}

impl PartyCode {
    /// The code as a number.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u32 {
        match self {
            Self::Party(number) => number,
            Self::Missing => Parties::NONE,
            Self::Bad => Parties::NONE - 1,
            Self::UnknownRole => Parties::NONE - 2,
        }
    }

    /// The code with this number.
    #[must_use]
    #[inline]
    pub const fn of(number: u32) -> Self {
        match Parties::NONE - number {
            0 => Self::Missing,
            1 => Self::Bad,
            2 => Self::UnknownRole,
            _ => Self::Party(number),
        }
    }

    /// The reason to quarantine a due row with this party; `alert` is whether its deletion raises an alert.
    #[must_use]
    #[inline]
    pub const fn flaw(self, alert: bool) -> Option<Reason> {
        match self {
            Self::Party(_) => None,
            Self::Missing => PartyField::Missing.flaw(alert),
            Self::Bad => PartyField::Bad.flaw(alert),
            Self::UnknownRole => Some(Reason::UnknownRole),
        }
    }
}

/// Converts stored parties into [`PartyCode`] numbers, with a cache in front of the register that all workers share.
#[derive(Debug, Default)]
pub struct PartyNumbers {
    by_code: Vec<Option<u32>>,
    by_bytes: HashMap<Box<[u8]>, u32>,
}

/// Number of plain values that a worker caches. For further values it asks the register each time.
const CACHED_VALUES: usize = 4096;

impl PartyNumbers {
    /// Forgets the codes of the last column chunk, because each chunk has its own dictionary.
    pub fn begin_chunk(&mut self) {
        self.by_code.clear();
    }

    /// The [`PartyCode`] number of a stored party.
    pub fn number(&mut self, form: PhysicalForm, value: ColumnValue<'_>, register: &Mutex<PartyRegister>) -> u32 {
        let Some(bytes) = value.bytes else { return PartyCode::Missing.number() };
        if let Some(code) = value.code {
            let code = code as usize;
            if let Some(Some(number)) = self.by_code.get(code) {
                return *number;
            }
            let number = number(form, bytes, register);
            if self.by_code.len() <= code {
                self.by_code.resize(code + 1, None);
            }
            self.by_code[code] = Some(number);
            return number;
        }
        if let Some(number) = self.by_bytes.get(bytes) {
            return *number;
        }
        let number = number(form, bytes, register);
        if self.by_bytes.len() < CACHED_VALUES {
            self.by_bytes.insert(bytes.into(), number);
        }
        number
    }
}

fn number(form: PhysicalForm, bytes: &[u8], register: &Mutex<PartyRegister>) -> u32 {
    let code = match party_field(form, Some(bytes)) {
        Party::Missing => PartyCode::Missing,
        Party::Bad => PartyCode::Bad,
        Party::Named(name) => PartyCode::Party(register.lock().unwrap_or_else(PoisonError::into_inner).number(&name)),
    };
    code.number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_codes_are_read_back() {
        for code in
            [PartyCode::Party(0), PartyCode::Party(7), PartyCode::Missing, PartyCode::Bad, PartyCode::UnknownRole]
        {
            assert_eq!(PartyCode::of(code.number()), code);
        }
        assert_eq!(
            PartyCode::Missing.number(),
            Parties::NONE,
            "no party has the same number before and after settling"
        );
    }
}
