//! Whether a due row may share its Device ID with a row that is not due.
//!
//! Two rows with one Device ID contradict each other: a device that is due by one of them may be in use by the other. Due
//! rows are always compared with each other; comparing them with all rows needs every Device ID of the snapshot, unless
//! its seal states that they are unique.

use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;

/// What is known about Device IDs that occur more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uniqueness {
    /// The seal of the snapshot states that no two rows have the same Device ID.
    Proven,
    /// The Device IDs of due rows were compared with those of all rows; rows that share one are quarantined.
    Checked,
    /// Due rows were compared with each other only.
    #[default]
    Unproven,
}

impl Uniqueness {
    /// What a sweep of this snapshot knows. `check` asks for a comparison with all rows, also where a seal makes it
    /// unnecessary.
    #[must_use]
    pub fn of(snapshot: &Snapshot, check: bool) -> Self {
        match check {
            true => Self::Checked,
            false if snapshot.device_ids_are_unique() => Self::Proven,
            false => Self::Unproven,
        }
    }
}
