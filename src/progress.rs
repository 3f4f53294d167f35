//! How a long operation reports its progress, and how a caller interrupts it.
//!
//! The library neither prints nor looks at the clock; a caller that wants progress or timings passes a [`Progress`].

use std::collections::BTreeMap;
use std::time::Duration;

/// The part of an operation that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Opening files and reading footers.
    Open,
    /// Comparing files with their seal.
    VerifySeal,
    /// Reading tables that are given in addition to the snapshot.
    Tables,
    /// Looking for Device IDs that occur twice.
    Unique,
    /// Reading and judging rows.
    Scan,
    /// Sorting findings.
    Sort,
    /// Writing files.
    Write,
    /// Running regression cases.
    Cases,
    /// Fetching rows from a live inventory.
    Fetch,
    /// Copying a manifest into a staging table of a live inventory.
    Stage,
    /// Deleting from a live inventory, or restoring to it.
    Load,
}

impl Stage {
    /// The name in progress lines and run records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::VerifySeal => "verify_seal",
            Self::Tables => "tables",
            Self::Unique => "unique",
            Self::Scan => "scan",
            Self::Sort => "sort",
            Self::Write => "write",
            Self::Cases => "cases",
            Self::Fetch => "fetch",
            Self::Stage => "stage",
            Self::Load => "load",
        }
    }
}

/// Receives the progress of an operation, and can cancel it. Called from many threads.
pub trait Progress: Sync {
    /// A stage begins. `units` is its number of rows or bytes; 0 where that is not known.
    fn begin(&self, stage: Stage, units: u64);
    /// `units` more rows or bytes of the current stage are done.
    fn advance(&self, units: u64);
    /// Whether the operation should stop with [`Error::Interrupted`](crate::Error::Interrupted).
    fn interrupted(&self) -> bool;
    /// The operation waits for another process: a sentence that says for what.
    fn waiting(&self, _: &str) {}
    /// The time spent in each stage so far, for records; empty where the caller measures none. No decision uses it.
    fn stage_times(&self) -> BTreeMap<Stage, Duration> {
        BTreeMap::new()
    }
    /// The time since the operation began; zero if the caller does not measure it.
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Ignores progress, and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _: Stage, _: u64) {}
    fn advance(&self, _: u64) {}
    fn interrupted(&self) -> bool {
        false
    }
}
