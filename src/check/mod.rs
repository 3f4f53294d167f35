//! The check of a snapshot: what is wrong with it, counted, with the first places; and its seal.

mod flaws;
mod seal;

pub use flaws::{CheckFinding, Checked, FlawKind, check};
pub use seal::{CheckOutcome, CheckRequest, SealRequest, check_and_seal};
