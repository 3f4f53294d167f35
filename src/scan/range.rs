//! The unit of work: a range of rows of one row group.

use std::ops::Range;

use crate::snapshot::Snapshot;

/// Rows of a range, if the row group is cut.
const RANGE_ROWS: u32 = 1 << 19;
/// A row group of up to this number of rows is one range. The row groups of most writers are not cut, so that no page
/// is decompressed for two ranges.
const UNCUT_ROWS: u32 = 1 << 20;

/// A range of rows of one row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRange {
    /// Index of the file in the snapshot.
    pub file: usize,
    /// Index of the row group in the file.
    pub group: usize,
    /// The rows, by their zero-based numbers within the row group.
    pub rows: Range<u32>,
    /// Zero-based number within the snapshot of the row group's first row.
    pub group_first_row: u64,
}

impl RowRange {
    /// Number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.rows.end - self.rows.start) as usize
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The zero-based number within the snapshot of a row of the row group.
    #[must_use]
    pub fn row_number(&self, row: u32) -> u64 {
        self.group_first_row + u64::from(row)
    }
}

/// How row groups are cut into ranges. The cuts do not depend on the number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RangeSize {
    rows: u32,
    uncut: u32,
}

impl Default for RangeSize {
    fn default() -> Self {
        Self { rows: RANGE_ROWS, uncut: UNCUT_ROWS }
    }
}

impl RangeSize {
    /// Rows after which large row groups are cut.
    pub const fn rows(self) -> u32 {
        self.rows
    }

    /// Every row group is cut after so many rows; at least one.
    pub fn exactly(rows: u32) -> Self {
        Self { rows: rows.max(1), uncut: rows.max(1) }
    }

    /// The ranges of a row group of so many rows.
    fn cut(self, rows: u32) -> impl Iterator<Item = Range<u32>> {
        let step = if rows <= self.uncut { rows.max(1) } else { self.rows };
        (0..rows).step_by(step as usize).map(move |start| start..rows.min(start.saturating_add(step)))
    }

    /// All ranges of a snapshot, in the order of its rows.
    pub fn ranges(self, snapshot: &Snapshot) -> Vec<RowRange> {
        let mut ranges = Vec::new();
        for (index, file) in snapshot.files().iter().enumerate() {
            let mut group_first_row = file.first_row;
            for group in 0..file.groups.len() {
                let group_rows = file.groups.rows(group);
                let range = |rows| RowRange { file: index, group, rows, group_first_row };
                ranges.extend(self.cut(group_rows).map(range));
                group_first_row += u64::from(group_rows);
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_row_groups_are_cut_and_usual_ones_are_not() {
        let cut = |rows| RangeSize::default().cut(rows).map(|range| range.end - range.start).collect::<Vec<_>>();
        assert_eq!(cut(0), [0; 0]);
        assert_eq!(cut(UNCUT_ROWS), [UNCUT_ROWS]);
        assert_eq!(cut(UNCUT_ROWS + 1), [RANGE_ROWS, RANGE_ROWS, 1]);
        assert_eq!(cut(10_000_000).len(), 20);
        assert_eq!(RangeSize::exactly(7).cut(20).collect::<Vec<_>>(), [0..7, 7..14, 14..20]);
        assert_eq!(cut(u32::MAX).iter().map(|&rows| u64::from(rows)).sum::<u64>(), u64::from(u32::MAX));
    }
}
