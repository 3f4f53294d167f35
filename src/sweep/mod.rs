//! The sweep: judges every row of a snapshot, and finds what may be deleted.
//!
//! [`sweep`] does all of it. `judge` judges a range of rows; `engine` then does what needs all ranges: duplicates,
//! guards and the values of quarantined rows. [`crate::run`] writes the findings.

mod engine;
mod findings;
pub mod guard;
mod judge;
mod quote;
mod settle;
mod uniqueness;

pub use engine::{SweepOptions, Swept, sweep};
pub use findings::{Due, DueRows, Findings, Quarantined, Spot};
pub use guard::{Expected, GuardFigures, GuardTerms, Guarded, Headroom};
pub use settle::{SettleRules, Settled, settle};
pub use uniqueness::Uniqueness;
