//! The ledger: an estate counted by type, status, day and party. The result of every threshold and exclusion list
//! follows from it by addition.
//!
//! A [`Ledger`] is counted in one scan ([`Ledger::take`], or [`count_to_file`] with its file), kept as a small Parquet
//! file ([`Ledger::write`], [`Ledger::read`]), and evaluated by [`Ledger::tally`] and [`Ledger::answer`]. The counts of
//! a policy are exact: the ledger holds every property that [`Rules`](crate::policy::Rules) use. It does not hold
//! Device IDs, nor what happened to a device between two ledgers.

mod ages;
mod answer;
pub mod count;
mod data;
mod file;
mod job;
mod tally;

pub use ages::{AgeCache, CandidateAges};
pub use answer::PolicyAnswer;
pub use count::CandidateCounts;
pub use data::{ESTATE_KEY, Ledger, LedgerSource, StoredSize};
pub use file::SCHEMA;
pub use job::{CountOptions, LedgerSummary, count_to_file};
pub use tally::{PolicyTally, rule_row};
