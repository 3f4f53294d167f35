//! What a scan read, and what it did not have to read.

use std::ops::AddAssign;

/// The reason why a part of a column was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Statistics of the row group: all rows have one status, which no policy sweeps.
    StatusStatistics,
    /// The dictionary of the column chunk has no status that a policy sweeps.
    StatusDictionary,
    /// Statistics of the row group: no status date is due.
    DateStatistics,
    /// The page index: no status date of the page is due.
    DatePageIndex,
}

impl SkipReason {
    /// All reasons.
    pub const ALL: [Self; 4] =
        [Self::StatusStatistics, Self::StatusDictionary, Self::DateStatistics, Self::DatePageIndex];
}

/// What was skipped for one reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Column chunks of which no page was read. A chunk that several ranges share is counted by the range with its
    /// first row.
    pub row_groups: u64,
    /// Pages that were skipped one by one.
    pub pages: u64,
    /// Rows whose value was not read.
    pub rows: u64,
    /// Bytes in the file, as stored.
    pub bytes: u64,
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        self.row_groups += other.row_groups;
        self.pages += other.pages;
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// What a scan read and skipped. The only result that may depend on the number of workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanMetrics {
    /// Rows of all ranges.
    pub rows: u64,
    /// Bytes in the file, as stored, of the pages that were opened.
    pub bytes_read: u64,
    skipped: [Skipped; SkipReason::ALL.len()],
}

impl ScanMetrics {
    /// What was skipped for this reason.
    #[must_use]
    pub const fn skipped(&self, reason: SkipReason) -> Skipped {
        self.skipped[reason as usize]
    }

    /// Counts a part that is not read.
    pub fn skip(&mut self, reason: SkipReason, skipped: Skipped) {
        self.skipped[reason as usize] += skipped;
    }
}

impl AddAssign for ScanMetrics {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes_read += other.bytes_read;
        for (skipped, more) in self.skipped.iter_mut().zip(other.skipped) {
            *skipped += more;
        }
    }
}
