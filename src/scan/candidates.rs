//! Finds the candidates of a range, and reads their other columns.
//!
//! The pair of status and type, as codes, decides nearly all rows. The rest are open rows: their dates are read, and
//! Device ID, role and party of those that the caller chooses.

use super::columns::ColumnChunk;
use super::columns::codes::{CodeSpan, Codes};
use super::driver::RangeReader;
use super::metrics::{SkipReason, Skipped};
use super::parties::{PartyCode, PartyNumbers};
use super::plan::{CandidatePlan, PAIRS, pair_index};
use super::pruning::NotDuePages;
use super::values;
use crate::error::Result;
use crate::estate::{Column, DeviceId, DeviceType, Role};
use crate::kernel::Kernel;
use crate::snapshot::StatusDates;
use crate::snapshot::encoded::DataPage;

/// Rows of a page, as most writers make them.
const ROWS_OF_A_PAGE: usize = 20_000;

/// The candidates of one range. A worker reuses the memory for every range.
#[derive(Debug, Default)]
pub struct Candidates {
    status: Codes,
    device_type: Codes,
    /// Number of rows of each pair of status and type.
    pub counts: PairCounts,
    /// Rows that are judged one by one.
    pub open: OpenRows,
    /// The status dates of the open rows, UTC microseconds since 1970; [`StatusDates::NULL`] for null.
    pub since: Vec<i64>,
    /// A buffer for indices of rows.
    others: Vec<u32>,
    parties: PartyNumbers,
    /// Device ID, party and role of the rows that were chosen.
    pub details: Details,
}

/// Number of rows of each pair, in four tables. Consecutive rows often have the same pair; with one table each
/// increment would wait for the one before it.
#[derive(Debug)]
pub struct PairCounts(Box<[[u32; PAIRS]; 4]>);

impl Default for PairCounts {
    fn default() -> Self {
        Self(Box::new([[0; PAIRS]; 4]))
    }
}

impl PairCounts {
    /// The pairs that occur, with their numbers of rows. Sets all counts to zero.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, u64)> {
        let [a, b, c, d] = &mut *self.0;
        a.iter_mut().zip(b).zip(c).zip(d).enumerate().filter_map(|(pair, (((a, b), c), d))| {
            let rows = [a, b, c, d].into_iter().map(|count| u64::from(std::mem::take(count))).sum();
            (rows > 0).then_some((pair, rows))
        })
    }
}

/// Rows that at least one policy judges by more than status and type.
#[derive(Debug, Default)]
pub struct OpenRows {
    /// Zero-based numbers within the row group, ascending.
    pub rows: Vec<u32>,
    /// The `pair_index` of each row.
    pub pairs: Vec<u16>,
}

impl OpenRows {
    fn clear(&mut self) {
        self.rows.clear();
        self.pairs.clear();
    }
}

/// Device ID, party and role of some open rows; all lists are parallel.
#[derive(Debug, Default)]
pub struct Details {
    /// Zero-based numbers within the row group, ascending.
    pub rows: Vec<u32>,
    /// Device IDs; `None` if null or malformed.
    pub ids: Vec<Option<DeviceId>>,
    /// [`PartyCode`]s as numbers.
    pub parties: Vec<u32>,
    /// Roles; `None` if null or unknown. Empty if the file has no such column.
    pub roles: Vec<Option<Role>>,
}

/// Whether `rows` rows, spread evenly over the range, would need most pages of a column.
const fn are_many(rows: usize, range: &RangeReader<'_>) -> bool {
    rows.saturating_mul(ROWS_OF_A_PAGE) >= range.range.len()
}

impl Candidates {
    /// Reads status and type, counts their pairs, and lists the open rows.
    ///
    /// # Errors
    /// A damaged chunk.
    pub fn read_pairs(&mut self, range: &mut RangeReader<'_>, plan: &CandidatePlan<'_>) -> Result<()> {
        let Self { status, device_type, counts, open, others, .. } = self;
        open.clear();
        if range.statuses_are_closed(plan)? {
            status.clear();
            status.push_same(plan.any_closed(), range.range.len());
        } else {
            range.read_ahead(Column::SmiStatus)?;
            range.codes(Column::SmiStatus, &|value| plan.status_code(value), status)?;
        }
        range.read_ahead(Column::DeviceType)?;
        range.codes(Column::DeviceType, &|value| plan.type_code(value), device_type)?;
        let first_row = range.range.rows.start;
        PairCounter { plan, kernel: range.kernel, counts, open, others }.count(status, device_type, first_row);
        Ok(())
    }

    /// Reads the dates of the open rows. If statistics show that no date of a page or of the row group is due, it is
    /// not read: its rows get a substitute date that every policy judges like theirs.
    ///
    /// # Errors
    /// A damaged chunk.
    pub fn read_dates(&mut self, range: &mut RangeReader<'_>, plan: &CandidatePlan<'_>) -> Result<()> {
        let Self { open, since, .. } = self;
        since.clear();
        let file = range.file;
        if let Some(folder) = file.columns.in_folder(Column::StatusSince) {
            since.resize(open.rows.len(), file.dates.read_or_null(folder.value.as_deref()));
            return Ok(());
        }
        let bound = file.bound(Column::StatusSince)?;
        let pages =
            NotDuePages::new(ColumnChunk { file, group: range.range.group, bound }, plan.latest_due, plan.as_of())?;
        if let Some(substitute) = pages.whole_chunk()
            && range.is_full(Column::StatusSince)?
        {
            since.resize(open.rows.len(), substitute);
            range.skip_chunk(SkipReason::DateStatistics, Column::StatusSince)?;
            return Ok(());
        }
        since.resize(open.rows.len(), StatusDates::NULL);
        if are_many(open.rows.len(), range) {
            range.read_ahead(Column::StatusSince)?;
        }
        let mut skipped = Skipped::default();
        let mut substitute = |page: &DataPage<'_>, rows: usize| {
            let date = pages.page(page)?;
            skipped += Skipped { row_groups: 0, pages: 1, rows: rows as u64, bytes: page.bytes() as u64 };
            Some(date)
        };
        range.column(Column::StatusSince)?.values_unless(&open.rows, &mut substitute, |index, value| {
            since[index] = match value {
                Ok(value) => file.dates.read_or_null(value.bytes),
                Err(substitute) => substitute,
            };
        })?;
        range.metrics().skip(SkipReason::DatePageIndex, skipped);
        Ok(())
    }

    /// Reads Device ID, party and role of some open rows; `wanted` has their indices in [`open`](Self::open),
    /// ascending.
    ///
    /// # Errors
    /// A damaged chunk.
    pub fn read_details(
        &mut self,
        range: &mut RangeReader<'_>,
        plan: &CandidatePlan<'_>,
        wanted: &[u32],
    ) -> Result<()> {
        let Self { open, parties: numbers, details, .. } = self;
        let Details { rows, ids, parties, roles } = details;
        rows.clear();
        rows.extend(wanted.iter().map(|&index| open.rows[index as usize]));

        if are_many(rows.len(), range) {
            range.read_ahead(Column::DeviceId)?;
        }
        let form = range.form(Column::DeviceId)?;
        ids.clear();
        ids.resize(rows.len(), None);
        range.values(Column::DeviceId, rows, |index, value| {
            ids[index] = value.bytes.and_then(|bytes| values::device_id(form, bytes));
        })?;

        let form = range.form(Column::NotifyingParty)?;
        parties.clear();
        parties.resize(rows.len(), PartyCode::Missing.number());
        numbers.begin_chunk();
        range.values(Column::NotifyingParty, rows, |index, value| {
            parties[index] = numbers.number(form, value, &plan.parties);
        })?;

        roles.clear();
        if range.file.columns.get(Column::NotifyingRole).is_none() {
            return Ok(());
        }
        roles.resize(rows.len(), None);
        range.values(Column::NotifyingRole, rows, |index, value| {
            let Some(bytes) = value.bytes else { return };
            roles[index] = Role::from_text(bytes);
            if roles[index].is_none() {
                parties[index] = PartyCode::UnknownRole.number();
            }
        })
    }
}

/// Counts the pairs of two columns, and lists the rows whose pair is open.
struct PairCounter<'a> {
    plan: &'a CandidatePlan<'a>,
    kernel: Kernel,
    counts: &'a mut PairCounts,
    open: &'a mut OpenRows,
    /// A buffer for indices of rows.
    others: &'a mut Vec<u32>,
}

impl PairCounter<'_> {
    /// Counts the rows of a range. Rows that are in a run of both columns are counted in one step.
    fn count(&mut self, status: &Codes, device_type: &Codes, first_row: u32) {
        let (mut statuses, mut types) = (SpanWalk::new(status), SpanWalk::new(device_type));
        let mut row = first_row;
        loop {
            let len = statuses.left().min(types.left());
            if len == 0 {
                return;
            }
            match (statuses.take(len), types.take(len)) {
                (CodePiece::Same(status), CodePiece::Same(device_type)) => {
                    self.count_run(pair_index(status, device_type), row, len as u32);
                }
                (CodePiece::Same(status), CodePiece::Each(types)) if self.plan.is_closed(status) => {
                    self.count_types(|kernel, by_type| kernel.count_types(types, by_type));
                }
                (CodePiece::Same(status), CodePiece::Each(types)) => {
                    self.count_each((row..).zip(types.iter().map(|&t| pair_index(status, t))), len);
                }
                (CodePiece::Each(statuses), CodePiece::Same(device_type)) => {
                    self.count_each((row..).zip(statuses.iter().map(|&s| pair_index(s, device_type))), len);
                }
                (CodePiece::Each(statuses), CodePiece::Each(types)) if self.plan.has_closed() => {
                    self.count_mixed(statuses, types, row);
                }
                (CodePiece::Each(statuses), CodePiece::Each(types)) => {
                    self.count_each((row..).zip(statuses.iter().zip(types).map(|(&s, &t)| pair_index(s, t))), len);
                }
            }
            row += len as u32;
        }
    }

    fn count_run(&mut self, pair: usize, first_row: u32, rows: u32) {
        self.counts.0[0][pair] += rows;
        if self.plan.open[pair] {
            self.open.rows.extend(first_row..first_row + rows);
            self.open.pairs.resize(self.open.rows.len(), pair as u16);
        }
    }

    /// Counts rows with closed statuses, which `count` adds up by type.
    fn count_types(&mut self, count: impl FnOnce(Kernel, &mut [u32; DeviceType::CODES])) {
        let mut by_type = [0; DeviceType::CODES];
        count(self.kernel, &mut by_type);
        for (device_type, rows) in by_type.into_iter().enumerate() {
            self.counts.0[0][pair_index(self.plan.any_closed(), device_type as u8)] += rows;
        }
    }

    /// Nearly all rows have a closed status, and are counted by type only.
    fn count_mixed(&mut self, statuses: &[u8], types: &[u8], first_row: u32) {
        let mut others = std::mem::take(self.others);
        others.clear();
        let closed = &self.plan.closed_status;
        self.count_types(|kernel, by_type| kernel.count_closed((statuses, types), closed, by_type, &mut others));
        let pairs = others.iter().map(|&row| {
            let index = row as usize;
            (first_row + row, pair_index(statuses[index], types[index]))
        });
        self.count_each(pairs, others.len());
        *self.others = others;
    }

    /// Counts `len` rows with their pairs. There is no branch on whether a row is open, because it would be mispredicted.
    #[inline]
    fn count_each(&mut self, pairs: impl Iterator<Item = (u32, usize)>, len: usize) {
        let Self { plan, counts, open, .. } = self;
        let mut at = open.rows.len();
        open.rows.resize(at + len + 1, 0);
        open.pairs.resize(at + len + 1, 0);
        let (rows, open_pairs) = (&mut open.rows[..], &mut open.pairs[..]);
        for (index, (row, pair)) in pairs.enumerate() {
            let pair = pair % PAIRS;
            counts.0[index % 4][pair] += 1;
            rows[at] = row;
            open_pairs[at] = pair as u16;
            at += usize::from(plan.open[pair]);
        }
        open.rows.truncate(at);
        open.pairs.truncate(at);
    }
}

/// Reads codes in pieces of any length.
struct SpanWalk<'a> {
    spans: std::slice::Iter<'a, CodeSpan>,
    bytes: &'a [u8],
    span: Option<CodeSpan>,
}

enum CodePiece<'a> {
    Same(u8),
    Each(&'a [u8]),
}

impl<'a> SpanWalk<'a> {
    fn new(codes: &'a Codes) -> Self {
        let mut spans = codes.spans.iter();
        let span = spans.next().copied();
        Self { spans, bytes: &codes.bytes, span }
    }

    /// Rows that are left in the current span; 0 at the end of the codes.
    fn left(&self) -> usize {
        self.span.map_or(0, |span| span.len())
    }

    /// Takes up to [`left`](Self::left) rows.
    fn take(&mut self, rows: usize) -> CodePiece<'a> {
        let Some(span) = self.span else { return CodePiece::Each(&[]) };
        let left = span.len() - rows;
        let (piece, rest) = match span {
            CodeSpan::Same { code, .. } => (CodePiece::Same(code), CodeSpan::Same { code, len: left }),
            CodeSpan::Mixed { .. } => {
                let (here, after) = self.bytes.split_at(rows);
                self.bytes = after;
                (CodePiece::Each(here), CodeSpan::Mixed { len: left })
            }
        };
        self.span = if left > 0 { Some(rest) } else { self.spans.next().copied() };
        piece
    }
}
