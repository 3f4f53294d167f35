//! Checks a snapshot: counts its flaws, lists the first rows that have them, and seals the snapshot on request.

mod flaws;
mod seal;

pub use flaws::{CheckFinding, Checked, FlawKind, check};
pub use seal::{CheckOutcome, CheckRequest, SealRequest, check_and_seal};
