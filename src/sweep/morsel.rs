//! Judges one row group, the unit of work.
//!
//! The journey of its rows: status and type, as codes, settle nearly all of them in pairs. Of what is left the dates
//! are read; of what is due the Device ID, the role and the party. A row group is taken in slabs, so that memory does
//! not follow the size that some writer chose.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::by_id::{Key, Keys};
use super::dates::{self, NotDuePages};
use super::fields::{self, Noted, PartyNumbers};
use super::findings::Due;
use super::lanes::classes::{self, Classes, Span};
use super::lanes::{Lane, LaneBuffers, sparse};
use super::plan::{PAIRS, Plan, pair_codes, pair_index};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, Disposition, Reason, Role, SmiStatus, TallyByType};
use crate::policy::{DateVerdict, Pair};
use crate::snapshot::SourceFile;

/// Rows that are taken at a time.
const SLAB: usize = 1 << 20;

/// Rows of a page as most writers have them.
const ROWS_OF_A_PAGE: usize = 20_000;

/// A row group of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Morsel {
    /// Index of the file.
    pub file: usize,
    /// Index of the row group.
    pub group: usize,
    /// Number of its first row within the snapshot.
    pub first_row: u64,
}

/// What a policy makes of a row group. Due rows are not yet told from duplicates, nor counted.
#[derive(Debug, Default)]
pub struct Judged {
    /// Counts of all rows but the due ones.
    pub by_type: TallyByType,
    /// Due rows by ascending Device ID; [`Due::party`] as [`Noted`] has it.
    pub due: Vec<Due>,
    /// Quarantined rows in the order of the snapshot, as far as they are worth remembering.
    pub quarantined: Vec<(u64, Reason)>,
}

/// Memory that a worker keeps from morsel to morsel.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) lanes: LaneBuffers,
    status: Classes,
    device_type: Classes,
    pub(super) counts: PairCounts,
    pub(super) open: OpenRows,
    pub(super) since: Vec<i64>,
    parties: PartyNumbers,
    pub(super) due: DueColumns,
    keys: Keys<u32>,
}

/// Rows of each pair, in four tables: rows of the same pair often follow each other, and a counter cannot be raised
/// twice at once.
#[derive(Debug)]
pub(super) struct PairCounts(Box<[[u32; PAIRS]; 4]>);

impl Default for PairCounts {
    fn default() -> Self {
        Self(Box::new([[0; PAIRS]; 4]))
    }
}

impl PairCounts {
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (usize, u64)> {
        let [a, b, c, d] = &mut *self.0;
        a.iter_mut().zip(b).zip(c).zip(d).enumerate().filter_map(|(pair, (((a, b), c), d))| {
            let rows = [a, b, c, d].into_iter().map(|count| u64::from(std::mem::take(count))).sum();
            (rows > 0).then_some((pair, rows))
        })
    }
}

/// Rows that some policy must look at: their number within the row group, and their pair.
#[derive(Debug, Default)]
pub(super) struct OpenRows {
    pub rows: Vec<u32>,
    pub pairs: Vec<u16>,
}

/// What is read of rows that are due under any policy, a value for each.
#[derive(Debug, Default)]
pub(super) struct DueColumns {
    /// Their numbers within the row group.
    pub rows: Vec<u32>,
    pub ids: Vec<Option<DeviceId>>,
    /// Numbers of the scan's register, or what [`Noted`] has in their place.
    pub parties: Vec<u32>,
    /// Empty where the file has no such column.
    pub roles: Vec<Option<Role>>,
}

impl OpenRows {
    fn clear(&mut self) {
        self.rows.clear();
        self.pairs.clear();
    }
}

/// Judges a row group under every policy of the plan.
///
/// # Errors
/// Damaged data, or an interruption.
pub fn judge(plan: &Plan<'_>, morsel: Morsel, scratch: &mut Scratch) -> Result<Vec<Judged>> {
    let mut judged: Vec<Judged> = plan.rules.iter().map(|_| Judged::default()).collect();
    each_slab(plan, morsel, scratch, |slab, scratch| slab.judge(scratch, &mut judged))?;
    for judged in &mut judged {
        // Each slab's rows ascend already; of several the order is still to be found.
        judged.due.sort_by_key(|due| due.id);
    }
    Ok(judged)
}

/// Takes a row group slab by slab, and releases its pages.
pub(super) fn each_slab(
    plan: &Plan<'_>,
    morsel: Morsel,
    scratch: &mut Scratch,
    mut each: impl FnMut(&Slab<'_>, &mut Scratch) -> Result<()>,
) -> Result<()> {
    let file = &plan.snapshot.files()[morsel.file];
    let rows = file.group_rows(morsel.group);
    for start in (0..rows).step_by(SLAB) {
        if plan.progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let slab = Slab { plan, file, morsel, rows: start..(start + SLAB).min(rows) };
        each(&slab, scratch)?;
        plan.progress.advance(slab.rows.len() as u64);
    }
    plan.bytes_read.fetch_add(scratch.lanes.pages.take_looked_into(), Ordering::Relaxed);
    for (_, bound) in file.columns.iter() {
        file.map().release(file.chunk_range(morsel.group, bound)?);
    }
    Ok(())
}

/// Some rows of a row group.
pub(super) struct Slab<'a> {
    plan: &'a Plan<'a>,
    pub file: &'a SourceFile,
    pub morsel: Morsel,
    rows: Range<usize>,
}

impl Slab<'_> {
    fn lane(&self, column: Column) -> Result<Lane<'_>> {
        Ok(Lane { file: self.file, group: self.morsel.group, bound: self.file.bound(column)? })
    }

    /// Asks for the pages of a column before they are looked at, so that a cold disk reads them in one go.
    fn ahead(&self, lane: Lane<'_>) -> Result<()> {
        if self.rows.start == 0 {
            self.file.map().will_need(self.file.chunk_range(lane.group, lane.bound)?);
        }
        Ok(())
    }

    /// Whether so many rows lie in most pages of a column, were they spread evenly.
    const fn are_many(&self, rows: usize) -> bool {
        rows.saturating_mul(ROWS_OF_A_PAGE) >= self.rows.end - self.rows.start
    }

    fn judge(&self, scratch: &mut Scratch, judged: &mut [Judged]) -> Result<()> {
        self.read_pairs(scratch)?;
        for (pair, rows) in scratch.counts.drain() {
            let (status, device_type) = pair_codes(pair);
            for (rules, judged) in self.plan.rules.iter().zip(judged.iter_mut()) {
                let disposition = match rules.pair(status, device_type) {
                    Pair::NotCandidate => Disposition::NotCandidate,
                    Pair::Excluded => Disposition::Excluded,
                    Pair::Quarantine(reason) => Disposition::Quarantined(reason),
                    Pair::Judge => continue,
                };
                judged.by_type.add(device_type, disposition, rows);
            }
        }
        if scratch.open.rows.is_empty() {
            return Ok(());
        }
        self.read_dates(scratch)?;
        let due: Vec<Vec<u32>> =
            judged.iter_mut().enumerate().map(|(policy, judged)| self.judge_dates(policy, scratch, judged)).collect();
        self.read_due(scratch, &due, judged)
    }

    /// Reads status and type, counts their pairs, and notes the rows that are still in play.
    pub(super) fn read_pairs(&self, scratch: &mut Scratch) -> Result<()> {
        let Scratch { lanes, status, device_type, counts, open, .. } = scratch;
        open.clear();
        if self.statuses_are_closed(lanes)? {
            status.clear();
            // Whichever status it is: all closed ones end alike.
            let closed = self.plan.closed_status.iter().position(|&closed| closed).unwrap_or_default();
            status.push_same(closed as u8, self.rows.len());
        } else {
            let classify = |value: Option<&[u8]>| self.plan.status_code(value);
            let lane = self.lane(Column::SmiStatus)?;
            self.ahead(lane)?;
            classes::read(lane, self.rows.clone(), self.plan.reader, &classify, lanes, status)?;
        }
        let classify = |value: Option<&[u8]>| self.plan.type_code(value);
        let lane = self.lane(Column::DeviceType)?;
        self.ahead(lane)?;
        classes::read(lane, self.rows.clone(), self.plan.reader, &classify, lanes, device_type)?;
        count_pairs(status, device_type, self.rows.start as u32, &self.plan.open, counts, open);
        Ok(())
    }

    /// Whether statistics or dictionary say that no policy looks at any status of the row group.
    fn statuses_are_closed(&self, lanes: &mut LaneBuffers) -> Result<bool> {
        let lane = self.lane(Column::SmiStatus)?;
        let closed = |code: u8| self.plan.closed_status[usize::from(code) % SmiStatus::CODES];
        if let Some(statistics) = self.file.chunk_footer(lane.group, lane.bound).statistics()
            && (!lane.bound.optional || statistics.null_count_opt() == Some(0))
            && statistics.min_is_exact()
            && statistics.max_is_exact()
            && let (Some(lowest), Some(highest)) = (statistics.min_bytes_opt(), statistics.max_bytes_opt())
            && lowest == highest
            && closed(self.plan.status_code(Some(lowest)))
        {
            return Ok(true);
        }
        let Some(chunk) = self.file.chunk(lane.group, lane.bound)? else { return Ok(false) };
        let classify = |value: Option<&[u8]>| self.plan.status_code(value);
        match classes::settled_by_dictionary(chunk, &classify, |code| !closed(code), lanes) {
            Ok(settled) => Ok(settled),
            Err(_) => Ok(false),
        }
    }

    pub(super) fn read_dates(&self, scratch: &mut Scratch) -> Result<()> {
        let Scratch { lanes, open, since, .. } = scratch;
        let lane = self.lane(Column::StatusSince)?;
        let form = lane.bound.form;
        let not_due = NotDuePages::new(lane, self.plan.latest_due, self.plan.as_of());
        since.clear();
        if let Some(stand_in) = not_due.whole_chunk() {
            since.resize(open.rows.len(), stand_in);
            return Ok(());
        }
        since.resize(open.rows.len(), dates::NULL);
        if self.are_many(open.rows.len()) {
            self.ahead(lane)?;
        }
        sparse::read_unless(lane, &open.rows, self.plan.reader, &|page| not_due.page(page), lanes, |index, value| {
            since[index] = match value {
                Ok(value) => value.bytes.map_or(dates::NULL, |bytes| dates::micros(form, bytes)),
                Err(stand_in) => stand_in,
            };
        })
    }

    /// Judges the open rows by their dates under one policy, and returns the indices of those that are due.
    fn judge_dates(&self, policy: usize, scratch: &Scratch, judged: &mut Judged) -> Vec<u32> {
        let rules = &self.plan.rules[policy];
        let mut due = Vec::new();
        let mut not_due = [0u64; crate::estate::DeviceType::CODES];
        for (index, (&pair, &since)) in scratch.open.pairs.iter().zip(&scratch.since).enumerate() {
            let (status, device_type) = pair_codes(usize::from(pair));
            let reason = match rules.pair(status, device_type) {
                Pair::NotCandidate | Pair::Excluded => continue,
                Pair::Quarantine(reason) => reason,
                Pair::Judge => match rules.judge_date(device_type, (since != dates::NULL).then_some(since)) {
                    DateVerdict::NotDue => {
                        not_due[usize::from(device_type)] += 1;
                        continue;
                    }
                    DateVerdict::Due => {
                        due.push(index as u32);
                        continue;
                    }
                    DateVerdict::Quarantine(reason) => {
                        judged.by_type.add(device_type, Disposition::Quarantined(reason), 1);
                        reason
                    }
                },
            };
            if self.plan.takes_quarantined(policy) {
                judged.quarantined.push((self.snapshot_row(scratch.open.rows[index]), reason));
            }
        }
        for (code, rows) in not_due.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
            judged.by_type.add(code as u8, Disposition::NotDue, rows);
        }
        due
    }

    fn snapshot_row(&self, row: u32) -> u64 {
        self.morsel.first_row + u64::from(row)
    }

    /// Reads Device ID, role and party of the rows that are due under any policy.
    fn read_due(&self, scratch: &mut Scratch, due: &[Vec<u32>], judged: &mut [Judged]) -> Result<()> {
        let wanted = union(due);
        if wanted.is_empty() {
            return Ok(());
        }
        self.read_due_columns(scratch, &wanted)?;
        let Scratch { open, since, due: columns, keys, .. } = scratch;
        for ((policy, due), judged) in due.iter().enumerate().zip(judged) {
            let rules = &self.plan.rules[policy];
            keys.clear();
            let mut at = 0;
            for &index in due {
                while wanted[at] != index {
                    at += 1;
                }
                if let Some(id) = columns.ids[at] {
                    keys.push(Key::new(id, at as u32));
                    continue;
                }
                let (_, device_type) = pair_codes(usize::from(open.pairs[index as usize]));
                judged.by_type.add(device_type, Disposition::Quarantined(Reason::BadDeviceId), 1);
                if self.plan.takes_quarantined(policy) {
                    judged.quarantined.push((self.snapshot_row(columns.rows[at]), Reason::BadDeviceId));
                }
            }
            judged.due.reserve_exact(due.len());
            judged.due.extend(keys.sorted().iter().map(|key| {
                let at = key.place as usize;
                let index = wanted[at] as usize;
                let (status, device_type) = pair_codes(usize::from(open.pairs[index]));
                Due {
                    id: DeviceId(key.id),
                    since: since[index],
                    row: self.snapshot_row(columns.rows[at]),
                    party: columns.parties[at],
                    type_code: device_type,
                    status_code: status,
                    alert: rules.alerts(device_type, columns.roles.get(at).copied().flatten()),
                }
            }));
        }
        Ok(())
    }

    /// Reads the columns of which only due rows are read; `wanted` has their places among the open rows.
    pub(super) fn read_due_columns(&self, scratch: &mut Scratch, wanted: &[u32]) -> Result<()> {
        let Scratch { lanes, open, parties: numbers, due, .. } = scratch;
        let DueColumns { rows, ids, parties, roles } = due;
        rows.clear();
        rows.extend(wanted.iter().map(|&index| open.rows[index as usize]));

        let lane = self.lane(Column::DeviceId)?;
        if self.are_many(rows.len()) {
            self.ahead(lane)?;
        }
        let form = lane.bound.form;
        ids.clear();
        ids.resize(rows.len(), None);
        sparse::read(lane, rows, self.plan.reader, lanes, |index, value| {
            ids[index] = value.bytes.and_then(|bytes| fields::device_id(form, bytes));
        })?;

        let lane = self.lane(Column::NotifyingParty)?;
        let form = lane.bound.form;
        parties.clear();
        parties.resize(rows.len(), Noted::Missing.number());
        numbers.begin_chunk();
        sparse::read(lane, rows, self.plan.reader, lanes, |index, value| {
            parties[index] = numbers.number(form, value, &self.plan.parties);
        })?;

        roles.clear();
        let Some(bound) = self.file.columns.get(Column::NotifyingRole) else { return Ok(()) };
        roles.resize(rows.len(), None);
        let lane = Lane { file: self.file, group: self.morsel.group, bound };
        sparse::read(lane, rows, self.plan.reader, lanes, |index, value| {
            let Some(bytes) = value.bytes else { return };
            roles[index] = Role::from_text(bytes);
            if roles[index].is_none() {
                parties[index] = Noted::UnknownRole.number();
            }
        })
    }
}

/// The indices that are due under any policy, ascending.
fn union(due: &[Vec<u32>]) -> Vec<u32> {
    let mut wanted: Vec<u32> = due.iter().flatten().copied().collect();
    if due.len() > 1 {
        wanted.sort_unstable();
        wanted.dedup();
    }
    wanted
}

/// Counts the pairs of two columns, and notes the rows whose pair is open. Where both have a run, its rows are counted
/// at once.
fn count_pairs(
    status: &Classes,
    device_type: &Classes,
    first_row: u32,
    is_open: &[bool; PAIRS],
    counts: &mut PairCounts,
    open: &mut OpenRows,
) {
    let (mut statuses, mut types) = (Walk::new(status), Walk::new(device_type));
    let mut row = first_row;
    loop {
        let len = statuses.left().min(types.left());
        if len == 0 {
            return;
        }
        match (statuses.take(len), types.take(len)) {
            (Stretch::Same(status), Stretch::Same(device_type)) => {
                let pair = pair_index(status, device_type);
                counts.0[0][pair] += len as u32;
                if is_open[pair] {
                    open.rows.extend(row..row + len as u32);
                    open.pairs.resize(open.rows.len(), pair as u16);
                }
            }
            (Stretch::Same(status), Stretch::Each(types)) => {
                count_each(types.iter().map(|&t| pair_index(status, t)), row, is_open, counts, open);
            }
            (Stretch::Each(statuses), Stretch::Same(device_type)) => {
                count_each(statuses.iter().map(|&s| pair_index(s, device_type)), row, is_open, counts, open);
            }
            (Stretch::Each(statuses), Stretch::Each(types)) => {
                let pairs = statuses.iter().zip(types).map(|(&s, &t)| pair_index(s, t));
                count_each(pairs, row, is_open, counts, open);
            }
        }
        row += len as u32;
    }
}

/// Counts one pair for each row. Whether a row is open is not branched on, since it cannot be foreseen.
#[inline]
fn count_each(
    pairs: impl ExactSizeIterator<Item = usize>,
    first_row: u32,
    is_open: &[bool; PAIRS],
    counts: &mut PairCounts,
    open: &mut OpenRows,
) {
    let mut at = open.rows.len();
    open.rows.resize(at + pairs.len() + 1, 0);
    open.pairs.resize(at + pairs.len() + 1, 0);
    let (rows, noted) = (&mut open.rows[..], &mut open.pairs[..]);
    for (index, pair) in pairs.enumerate() {
        let pair = pair % PAIRS;
        counts.0[index % 4][pair] += 1;
        rows[at] = first_row + index as u32;
        noted[at] = pair as u16;
        at += usize::from(is_open[pair]);
    }
    open.rows.truncate(at);
    open.pairs.truncate(at);
}

/// Walks over classes in stretches of any length.
struct Walk<'a> {
    spans: std::slice::Iter<'a, Span>,
    bytes: &'a [u8],
    span: Option<Span>,
}

enum Stretch<'a> {
    Same(u8),
    Each(&'a [u8]),
}

impl<'a> Walk<'a> {
    fn new(classes: &'a Classes) -> Self {
        let mut spans = classes.spans.iter();
        let span = spans.next().copied();
        Self { spans, bytes: &classes.bytes, span }
    }

    /// Rows until the span ends; 0 at the end of the classes.
    fn left(&self) -> usize {
        self.span.map_or(0, |span| span.len())
    }

    /// Takes up to [`left`](Self::left) rows.
    fn take(&mut self, rows: usize) -> Stretch<'a> {
        let Some(span) = self.span else { return Stretch::Each(&[]) };
        let left = span.len() - rows;
        let (stretch, rest) = match span {
            Span::Same { class, .. } => (Stretch::Same(class), Span::Same { class, len: left }),
            Span::Mixed { .. } => {
                let (here, after) = self.bytes.split_at(rows);
                self.bytes = after;
                (Stretch::Each(here), Span::Mixed { len: left })
            }
        };
        self.span = if left > 0 { Some(rest) } else { self.spans.next().copied() };
        stretch
    }
}
