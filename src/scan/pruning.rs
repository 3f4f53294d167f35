//! Decides by statistics, dictionaries and page indexes which parts of a column need not be read.
//!
//! Statistics may only be used to skip rows, never to delete one: with wrong statistics a device is then kept too long.

use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::columns::ColumnChunk;
use super::dates::micros;
use super::driver::RangeReader;
use super::metrics::{SkipReason, Skipped};
use super::plan::CandidatePlan;
use crate::error::Result;
use crate::estate::Column;

impl RangeReader<'_> {
    /// Whether statistics or the dictionary show that every status of the range is closed under the plan. The caller
    /// then need not read its status pages; they are counted as skipped.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub(super) fn statuses_are_closed(&mut self, plan: &CandidatePlan<'_>) -> Result<bool> {
        if let Some(folder) = self.file.columns.in_folder(Column::SmiStatus) {
            return Ok(plan.is_closed(plan.status_code(folder.value.as_deref())));
        }
        if one_closed_status(self.chunk(Column::SmiStatus)?, plan) {
            self.skip_chunk(SkipReason::StatusStatistics, Column::SmiStatus)?;
            return Ok(true);
        }
        let rows = self.range.rows.start as usize..self.range.rows.end as usize;
        let settled =
            self.column(Column::SmiStatus)?
                .settled_by_dictionary(rows, &|value| plan.status_code(value), |code| !plan.is_closed(code))?;
        let Some(bytes) = settled else { return Ok(false) };
        self.skip(SkipReason::StatusDictionary, bytes);
        Ok(true)
    }

    /// Counts a chunk of which the range reads no page, for a reason that applies to the whole row group.
    pub(super) fn skip_chunk(&mut self, reason: SkipReason, column: Column) -> Result<()> {
        let chunk = self.chunk(column)?;
        let bytes = u64::try_from(chunk.file.chunk_footer(chunk.group, chunk.bound).compressed_size());
        let is_first = self.range.rows.start == 0;
        self.skip(reason, if is_first { bytes.unwrap_or_default() } else { 0 });
        Ok(())
    }

    fn skip(&mut self, reason: SkipReason, bytes: u64) {
        let row_groups = u64::from(self.range.rows.start == 0);
        let rows = self.range.len() as u64;
        self.metrics().skip(reason, Skipped { row_groups, pages: 0, rows, bytes });
    }
}

/// Whether statistics show that all rows of the chunk have one status, and that it is closed.
fn one_closed_status(chunk: ColumnChunk<'_>, plan: &CandidatePlan<'_>) -> bool {
    let Some(statistics) = chunk.file.chunk_footer(chunk.group, chunk.bound).statistics() else { return false };
    if chunk.bound.optional && statistics.null_count_opt() != Some(0) {
        return false;
    }
    match (statistics.min_bytes_opt(), statistics.max_bytes_opt()) {
        (Some(lowest), Some(highest)) if statistics.min_is_exact() && statistics.max_is_exact() => {
            lowest == highest && plan.is_closed(plan.status_code(Some(lowest)))
        }
        _ => false,
    }
}

/// Lowest and highest date of rows without nulls, UTC microseconds since 1970, from statistics.
type DateBounds = (i64, i64);

/// Finds pages of a date column in which every date is neither due nor in the future. Such a page need not be read: any
/// of its dates, as a substitute, is judged like the others.
#[derive(Debug)]
pub struct NotDuePages<'a> {
    chunk: ColumnChunk<'a>,
    /// The latest date that is due for any type under any policy, UTC microseconds since 1970.
    latest_due: i64,
    as_of: i64,
    whole_chunk: Option<i64>,
}

impl<'a> NotDuePages<'a> {
    /// For the date column of a row group; times are UTC microseconds since 1970.
    #[must_use]
    pub fn new(chunk: ColumnChunk<'a>, latest_due: i64, as_of: i64) -> Self {
        let mut pages = Self { chunk, latest_due, as_of, whole_chunk: None };
        pages.whole_chunk = pages.chunk_bounds().and_then(|bounds| pages.substitute(bounds));
        pages
    }

    /// A date that is judged like every date of the chunk; `None` if the chunk must be read.
    #[must_use]
    pub const fn whole_chunk(&self) -> Option<i64> {
        self.whole_chunk
    }

    /// A date that is judged like every date of the data page with this zero-based number; `None` if it must be read.
    #[must_use]
    pub fn page(&self, ordinal: usize) -> Option<i64> {
        self.page_bounds(ordinal).and_then(|bounds| self.substitute(bounds))
    }

    fn substitute(&self, (lowest, highest): DateBounds) -> Option<i64> {
        (lowest > self.latest_due && highest <= self.as_of).then_some(lowest)
    }

    fn chunk_bounds(&self) -> Option<DateBounds> {
        let statistics = self.chunk.file.chunk_footer(self.chunk.group, self.chunk.bound).statistics()?;
        if self.chunk.bound.optional && statistics.null_count_opt() != Some(0) {
            return None;
        }
        match statistics {
            Statistics::Int64(values) => {
                self.bounds(&values.min_opt()?.to_le_bytes(), &values.max_opt()?.to_le_bytes())
            }
            Statistics::Int32(values) => {
                self.bounds(&values.min_opt()?.to_le_bytes(), &values.max_opt()?.to_le_bytes())
            }
            // The order of INT96 in statistics is not defined.
            _ => None,
        }
    }

    fn page_bounds(&self, ordinal: usize) -> Option<DateBounds> {
        let index = self.chunk.file.footer.page_index()?.column_index(self.chunk.group, self.chunk.bound.leaf)?;
        if ordinal as u64 >= index.num_pages() || (self.chunk.bound.optional && index.null_count(ordinal) != Some(0)) {
            return None;
        }
        match index {
            ColumnIndexMetaData::INT64(values) => {
                self.bounds(&values.min_value(ordinal)?.to_le_bytes(), &values.max_value(ordinal)?.to_le_bytes())
            }
            ColumnIndexMetaData::INT32(values) => {
                self.bounds(&values.min_value(ordinal)?.to_le_bytes(), &values.max_value(ordinal)?.to_le_bytes())
            }
            _ => None,
        }
    }

    fn bounds(&self, lowest: &[u8], highest: &[u8]) -> Option<DateBounds> {
        let form = self.chunk.bound.form;
        let bounds = (micros(form, lowest), micros(form, highest));
        (bounds.0 <= bounds.1).then_some(bounds)
    }
}
