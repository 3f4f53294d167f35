//! What a scan read, and what it did not have to read.

use std::ops::AddAssign;

/// Why a part of a column was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Statistics of the row group: all its rows have one status, which no policy looks at.
    StatusStatistics,
    /// The dictionary of the column chunk: it has no status that a policy looks at.
    StatusDictionary,
    /// Statistics of the row group: no status date of it is due.
    DateStatistics,
    /// The page index: no status date of the page is due.
    DatePageIndex,
}

impl SkipReason {
    /// All reasons.
    pub const ALL: [Self; 4] =
        [Self::StatusStatistics, Self::StatusDictionary, Self::DateStatistics, Self::DatePageIndex];
}

/// How much was skipped for one reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Column chunks of which no page was read. A chunk that several ranges share is counted with its first row.
    pub row_groups: u64,
    /// Pages, where they are skipped one by one.
    pub pages: u64,
    /// Rows whose value was not read.
    pub rows: u64,
    /// Bytes in the file.
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

/// What a scan read and skipped. How the work was spread over workers may show here, and nowhere else in a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanMetrics {
    /// Rows of all ranges.
    pub rows: u64,
    /// Bytes in the file of the pages that were opened.
    pub bytes_read: u64,
    skipped: [Skipped; SkipReason::ALL.len()],
}

impl ScanMetrics {
    /// How much was skipped for this reason.
    #[must_use]
    pub const fn skipped(&self, reason: SkipReason) -> Skipped {
        self.skipped[reason as usize]
    }

    /// Counts something that is not read.
    pub fn skip(&mut self, reason: SkipReason, skipped: Skipped) {
        self.skipped[reason as usize] += skipped;
    }
}

impl AddAssign for ScanMetrics {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes_read += other.bytes_read;
        for (own, other) in self.skipped.iter_mut().zip(other.skipped) {
            *own += other;
        }
    }
}
