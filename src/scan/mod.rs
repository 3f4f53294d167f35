//! The one pass over a snapshot: row groups are cut into ranges of rows, which workers read in parallel.
//!
//! [`Scan::run`] is the driver. It gives each [`RowRange`] to a worker as a [`RangeReader`], checks for interruption,
//! reports progress, gives mapped pages back, and adds up [`ScanMetrics`]. All code that reads rows uses it: the sweep,
//! the check, the ledger, `recluster`, `explain` and the count of stock.
//!
//! Belongs here: reading columns of ranges of rows, and what several consumers read in the same way ([`candidates`],
//! [`duplicates`], [`types`], [`rows`]). Does not belong here: deciding the disposition of a row.

pub mod by_id;
pub mod candidates;
pub mod columns;
mod driver;
pub mod duplicates;
mod group;
pub mod key_ranges;
mod metrics;
pub mod parties;
mod plan;
mod pruning;
mod range;
pub mod repeated;
pub mod rows;
pub mod types;
pub mod unreadable;
pub mod values;

pub use columns::Reader;
pub use driver::{RangeReader, Scan, Scanned};
pub use metrics::{ScanMetrics, SkipReason, Skipped};
pub use parties::{Parties, PartyCode, PartyCounts, PartyRegister};
pub use plan::{CandidatePlan, PAIRS, Purpose, pair_codes};
pub use range::RowRange;
