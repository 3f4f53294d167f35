//! The engine: judges a row group, runs them all in parallel, and hands findings on in order.
//!
//! [`sweep`] is the whole of it. `morsel` judges one row group, reading columns through `lanes`; what can only be
//! said of the whole snapshot (duplicates, guards, quotations of bad rows) comes after, in [`engine`](self). What is
//! done with the findings is [`crate::run`]'s. [`census`] counts a snapshot over the same lanes, without a verdict.

mod by_id;
pub mod census;
mod dates;
mod engine;
pub mod explain;
mod fields;
mod findings;
pub mod guard;
pub mod lanes;
pub mod layout;
mod morsel;
pub mod pick;
mod plan;
mod quote;
pub mod rows;
mod settle;
mod split;
pub mod survey;
pub mod unique;

pub use engine::{Options, Swept, morsels, sweep};
pub use findings::{Due, DueRows, Findings, Parties, PartyCounts, PartyRegister, Quarantined, Spot};
pub use guard::{Expected, Headroom};
pub use lanes::Reader;
pub use morsel::Morsel;
