//! Decides by statistics, dictionaries and page indexes which parts of a column need not be read.
//!
//! Statistics may only be used to skip rows, never to delete one: with wrong statistics a device is then kept too long.

use super::columns::ColumnChunk;
use super::driver::RangeReader;
use super::metrics::{SkipReason, Skipped};
use super::plan::CandidatePlan;
use crate::error::Result;
use crate::estate::Column;
use crate::snapshot::FileContent;
use crate::snapshot::encoded::{Codec, DataPage, PageKind, PageWalk, is_full};
use crate::snapshot::footer::{ChunkFooter, ChunkStatistics, DatePages};

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
        if one_closed_status(self.chunk(Column::SmiStatus)?, plan) && self.is_full(Column::SmiStatus)? {
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

    /// Whether the levels of every page of the range show that no row is null. A null count in statistics is not enough:
    /// some writers store 0 for pages with nulls, and a row without a date would be counted as not due.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub(super) fn is_full(&mut self, column: Column) -> Result<bool> {
        let bound = self.file.bound(column)?;
        if !bound.optional {
            return Ok(true);
        }
        let end = self.range.rows.end as usize;
        // Bytes that are read are kept for the column's reader. Mapped ones are not verified for this.
        let pages = match self.file.content() {
            FileContent::Mapped(_) => self.file.unverified_pages(self.range.group, bound)?,
            FileContent::Read(_) => self.pages(column)?,
        };
        let start = self.start(column, &pages)?;
        let chunk = self.file.chunk(self.range.group, bound, &pages)?;
        let mut pages = PageWalk::new(chunk.bytes.get(start.offset..).unwrap_or_default());
        let mut row = start.first_row;
        while row < end {
            // A damaged page is reported when it is read.
            let Ok(Some((header, body))) = pages.next_page() else { return Ok(false) };
            if !matches!(header.kind, PageKind::Data | PageKind::DataV2 { .. }) {
                continue;
            }
            let is_before = row + header.values <= self.range.rows.start as usize;
            if !is_before && !is_full(&header, body, chunk.codec) {
                return Ok(false);
            }
            row += header.values;
        }
        Ok(true)
    }

    /// Counts a chunk of which the range reads no page, for a reason that applies to the whole row group.
    pub(super) fn skip_chunk(&mut self, reason: SkipReason, column: Column) -> Result<()> {
        let chunk = self.chunk(column)?;
        let bytes = chunk.file.chunk_footer(chunk.group, chunk.bound).map_or(0, ChunkFooter::bytes);
        let is_first = self.range.rows.start == 0;
        self.skip(reason, if is_first { bytes } else { 0 });
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
    let Some(statistics) = statistics_of(chunk) else { return false };
    if chunk.bound.optional && statistics.nulls != Some(0) {
        return false;
    }
    match (&statistics.lowest, &statistics.highest) {
        (Some(lowest), Some(highest)) if statistics.exact => {
            lowest == highest && plan.is_closed(plan.status_code(Some(lowest)))
        }
        _ => false,
    }
}

fn statistics_of(chunk: ColumnChunk<'_>) -> Option<&ChunkStatistics> {
    chunk.file.chunk_footer(chunk.group, chunk.bound)?.statistics.as_deref()
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
    /// The page index, if the chunk must be read.
    pages: Option<DatePages>,
    /// Offset of the chunk in the file.
    start: u64,
    codec: Option<Codec>,
}

impl<'a> NotDuePages<'a> {
    /// For the date column of a row group; times are UTC microseconds since 1970.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub fn new(chunk: ColumnChunk<'a>, latest_due: i64, as_of: i64) -> Result<Self> {
        let start = chunk.file.chunk_range(chunk.group, chunk.bound)?.start as u64;
        let codec = chunk.file.chunk_footer(chunk.group, chunk.bound).and_then(|chunk| chunk.codec);
        let mut pages = Self { chunk, latest_due, as_of, whole_chunk: None, pages: None, start, codec };
        let Some(statistics) = statistics_of(chunk) else { return Ok(pages) };
        pages.whole_chunk = pages.chunk_bounds(statistics).and_then(|bounds| pages.substitute(bounds));
        if pages.whole_chunk.is_none() && chunk.file.dates.are_ordered() {
            pages.pages = chunk.file.date_pages(chunk.group, chunk.bound)?;
        }
        Ok(pages)
    }

    /// A date that is judged like every date of the chunk, unless a row is null; `None` if the chunk must be read.
    #[must_use]
    pub const fn whole_chunk(&self) -> Option<i64> {
        self.whole_chunk
    }

    /// A date that is judged like every date of the data page; `None` if it must be read.
    #[must_use]
    pub fn page(&self, page: &DataPage<'_>) -> Option<i64> {
        if self.chunk.bound.optional && !self.codec.is_some_and(|codec| page.is_full(codec)) {
            return None;
        }
        let offset = self.start + page.offset as u64;
        let values = self.pages.as_ref()?.values(offset, page.first_row as u64, self.chunk.bound.optional)?;
        self.bounds(values.0, values.1).and_then(|bounds| self.substitute(bounds))
    }

    fn substitute(&self, (lowest, highest): DateBounds) -> Option<i64> {
        (lowest > self.latest_due && highest <= self.as_of).then_some(lowest)
    }

    fn chunk_bounds(&self, statistics: &ChunkStatistics) -> Option<DateBounds> {
        if (self.chunk.bound.optional && statistics.nulls != Some(0)) || !self.chunk.file.dates.are_ordered() {
            return None;
        }
        self.bounds(statistics.lowest.as_deref()?, statistics.highest.as_deref()?)
    }

    fn bounds(&self, lowest: &[u8], highest: &[u8]) -> Option<DateBounds> {
        self.chunk.file.dates.bounds(lowest, highest)
    }
}
