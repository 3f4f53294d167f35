//! The one pass over a snapshot: row groups are cut into ranges of rows, which workers read in parallel.
//!
//! [`Scan::run`] is the driver. It hands each [`RowRange`] to a worker as a [`RangeReader`], asks for interruption, reports
//! progress, gives mapped pages back, and adds up [`ScanMetrics`]. Everything that reads rows is a consumer of it: the sweep,
//! the check, the ledger, `recluster`, `explain` and the count of stock.
//!
//! For: reading columns of ranges of rows, and what several consumers read in the same way ([`candidates`],
//! [`duplicates`], [`types`], [`rows`]). Not for: deciding what becomes of a row.

pub mod by_id;
pub mod candidates;
pub mod columns;
pub mod dates;
mod driver;
pub mod duplicates;
mod group;
pub mod key_ranges;
mod metrics;
pub mod parties;
mod plan;
mod pruning;
mod range;
pub mod rows;
pub mod types;
pub mod values;

pub use columns::Reader;
pub use driver::{RangeReader, Scan, Scanned};
pub use metrics::{ScanMetrics, SkipReason, Skipped};
pub use parties::{Parties, PartyCode, PartyCounts, PartyRegister};
pub use plan::{CandidatePlan, PAIRS, Purpose, pair_codes};
pub use range::RowRange;
