//! The policy that change control signs, and the rules that follow from it as of a moment.
//!
//! A [`Policy`] is read from TOML, or is one of the [`BUILT_IN`] ones. [`Policy::bind`] turns it into [`Rules`], the
//! one place that states the rule of housekeeping. Nothing here reads a snapshot.

mod built_in;
mod changes;
mod cutoff;
mod guard;
mod json;
mod parse;
mod rules;

use std::collections::BTreeMap;
use std::path::Path;

pub use built_in::{BUILT_IN, built_in};
pub use changes::changes;
pub use cutoff::Cutoff;
pub use guard::{Guard, Limit, TypeGuard, TypeLimits};
pub use json::status_name;
pub use rules::{DateVerdict, JudgedRow, Pair, PartyField, RoleField, Rules, age_months};

use crate::config;
use crate::error::{DocumentKind, Result};
use crate::estate::{DeviceType, Spellings, StatusSet, TypeNames, TypeSet};

/// What a spelling is mapped to that means no status, as Type 2 devices have none.
pub const NO_STATUS: &str = "none";

/// What is compared to decide whether a threshold is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// UTC calendar dates.
    Date,
    /// Instants, to the microsecond.
    Instant,
}

impl Boundary {
    /// Both, in the order in which errors list them.
    pub const ALL: [Self; 2] = [Self::Date, Self::Instant];

    /// The word in a policy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Instant => "instant",
        }
    }
}

/// How long a device may stay in a candidate status, in calendar months.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// The threshold of types that are not in `by_type`.
    pub default: u32,
    /// Thresholds of single types.
    pub by_type: BTreeMap<DeviceType, u32>,
}

impl Thresholds {
    /// The longest threshold that is accepted: a hundred years.
    pub const LONGEST: u32 = 1200;

    /// The threshold of a type.
    #[must_use]
    pub fn months(&self, device_type: DeviceType) -> u32 {
        self.by_type.get(&device_type).copied().unwrap_or(self.default)
    }

    /// The longest threshold of any type.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.by_type.values().copied().fold(self.default, u32::max)
    }
}

/// Which deletions raise an alert, and with which code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertPolicy {
    /// Code of the DCC Alert.
    pub code: String,
    /// Types that CSPs notify: their deletions raise no alert, unless the role of the row is `ServiceUser`.
    pub silent_types: TypeSet,
}

/// A policy, as change control signs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The name, which is also the name of its folder in a run with several policies.
    pub name: String,
    /// The version: at least 1, raised by change control with each change.
    pub version: u32,
    /// The statuses whose devices are candidates for deletion.
    pub candidate_statuses: StatusSet,
    /// What is compared with a threshold.
    pub boundary: Boundary,
    /// Calendar months after which a candidate is due.
    pub thresholds: Thresholds,
    /// Types that are never deleted, whatever their age.
    pub exclude: TypeSet,
    /// Which deletions raise an alert.
    pub alerts: AlertPolicy,
    /// Limits of a run.
    pub guard: Guard,
    /// The earliest plausible status date, days since 1970-01-01; the year 1 if there is none.
    pub earliest_date: Option<i32>,
    /// The device types that the policy knows: those of DUIS and its own.
    pub types: TypeNames,
    /// Spellings of the estate.
    pub spellings: Spellings,
}

impl Policy {
    /// Loads a policy as a command line names it: a value with a `/`, or one that ends in `.toml`, is a file; anything
    /// else the name of a built-in.
    ///
    /// # Errors
    /// A file that cannot be read, or an invalid policy.
    pub fn load(argument: &str) -> Result<Self> {
        #[expect(
            clippy::case_sensitive_file_extension_comparisons,
            reason = "the contract names `.toml`, in lower case"
        )]
        let is_file = argument.contains('/') || argument.ends_with(".toml");
        if !is_file {
            return built_in(argument);
        }
        Self::parse(&config::read_file(DocumentKind::Policy, Path::new(argument))?, argument)
    }

    /// Reads a policy from TOML. `source` is its name in errors.
    ///
    /// # Errors
    /// The first error, with its line and column: an unknown key, type, status or column, or an invalid value. Every
    /// error is refused, because a mistake must never cause more deletions.
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        parse::parse(text, source)
    }

    /// Code of a status as the estate spells it; [`UNKNOWN`](crate::estate::SmiStatus::UNKNOWN) for an unknown spelling.
    #[must_use]
    pub fn status_code(&self, spelling: &[u8]) -> u8 {
        self.spellings.status_code(spelling)
    }

    /// Code of a type as the estate spells it; [`DeviceType::UNKNOWN`] for an unknown spelling.
    #[must_use]
    pub fn type_code(&self, spelling: &[u8]) -> u8 {
        let Ok(spelling) = std::str::from_utf8(spelling) else { return DeviceType::UNKNOWN };
        let mapped = self.spellings.types.get(spelling).copied();
        mapped.or_else(|| self.types.get(spelling)).map_or(DeviceType::UNKNOWN, DeviceType::code)
    }
}

#[cfg(test)]
mod tests;
