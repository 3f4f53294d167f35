//! The sweep: judges every row of a snapshot, and finds what may be deleted.
//!
//! [`sweep`] is the whole of it. `judge` judges a range of rows; what needs all ranges (duplicates, guards, the values of
//! quarantined rows) comes after, in `engine`. What is written of the findings is decided in [`crate::run`].

mod engine;
mod findings;
pub mod guard;
mod judge;
mod quote;
mod settle;

pub use engine::{SweepOptions, Swept, sweep};
pub use findings::{Due, DueRows, Findings, Quarantined, Spot};
pub use guard::{Expected, Headroom};
