//! The row groups in a footer, and what is needed of their column chunks.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::contract::{Columns, FileColumn};
use super::super::encoded::thrift::{Thrift, wire};
use super::super::encoded::{self, Codec};
use super::{FooterOutline, Passed, fault_of, pass};
use crate::error::{Fault, Place, Result};
use crate::estate::Column;

/// The row groups of a file, with the column chunks of the columns of the contract.
#[derive(Debug, Default)]
pub struct RowGroups {
    /// Number of rows of each row group.
    rows: Vec<u32>,
    /// The columns whose chunks are kept, by their index among the leaf columns that the contract was bound to.
    leaves: Vec<usize>,
    /// The chunks of each row group in the order of `leaves`.
    chunks: Vec<ChunkFooter>,
}

/// A column whose chunks are kept.
#[derive(Debug, Clone, Copy)]
pub struct WantedColumn<'a> {
    /// Zero-based index among the leaf columns of the outline's schema.
    pub leaf: usize,
    /// Its name in the file.
    pub name: &'a str,
    /// Whether statistics are kept, and where the page index is.
    pub pruned: bool,
}

impl<'a> WantedColumn<'a> {
    /// The columns of the contract that a file has.
    #[must_use]
    pub fn of(columns: &'a Columns) -> Vec<Self> {
        let bound = |column| -> Option<Self> {
            let FileColumn { leaf, name, .. } = columns.in_file(column)?;
            Some(Self { leaf: *leaf, name, pruned: matches!(column, Column::SmiStatus | Column::StatusSince) })
        };
        Column::ALL.into_iter().filter_map(bound).collect()
    }
}

/// The file that row groups are read from.
#[derive(Clone, Copy)]
pub struct ReadAt<'a> {
    /// The file, for errors.
    pub place: &'a Place,
    /// Called with bytes that are not needed any more.
    pub passed: Passed<'a>,
}

/// What the footer says about a column chunk.
#[derive(Debug)]
pub struct ChunkFooter {
    /// Offset in the file of its first page; beyond every file if the footer has no valid one.
    start: u64,
    /// Bytes of its pages, as the footer says.
    len: u64,
    /// Bytes between its end, as the footer says, and the next column chunk.
    slack: u32,
    /// How its pages are compressed; `None` if that is not supported.
    pub codec: Option<Codec>,
    /// Statistics, and where the page index is: of the two columns that are pruned by them.
    pub statistics: Option<Box<ChunkStatistics>>,
}

impl ChunkFooter {
    /// Bytes of its pages, as the footer says.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.len
    }

    /// The bytes of its pages within a file of this length; `None` if they lie outside.
    #[must_use]
    pub fn range(&self, file_len: usize) -> Option<Range<usize>> {
        let (start, len) = (usize::try_from(self.start).ok()?, usize::try_from(self.len).ok()?);
        let end = start.checked_add(len).filter(|&end| end <= file_len)?;
        Some(start..end)
    }

    /// As [`range`](Self::range), up to the next column chunk. Old writers did not count the header of the dictionary
    /// page (PARQUET-816), or the page as a whole, so that the last page ends after the range.
    #[must_use]
    pub fn range_of_pages(&self, file_len: usize) -> Option<Range<usize>> {
        let range = self.range(file_len)?;
        Some(range.start..file_len.min(range.end + self.slack as usize))
    }
}

/// Statistics of a column chunk, and where its page index is. Values are in PLAIN encoding, without a length.
#[derive(Debug, Default)]
pub struct ChunkStatistics {
    /// Number of rows that are null.
    pub nulls: Option<u64>,
    /// The lowest value, or a lower bound.
    pub lowest: Option<Box<[u8]>>,
    /// The highest value, or an upper bound.
    pub highest: Option<Box<[u8]>>,
    /// Whether `lowest` and `highest` occur in the chunk, and are not only bounds.
    pub exact: bool,
    /// Offset and length in the file of the column index.
    pub column_index: Option<(u64, u32)>,
    /// Offset and length in the file of the offset index.
    pub offset_index: Option<(u64, u32)>,
}

/// Longest value of statistics that is kept: no status and no date is longer.
const LONGEST_VALUE: usize = 64;

impl RowGroups {
    /// Reads the row groups of a footer, with the chunks of some columns.
    ///
    /// # Errors
    /// Numbers of rows that contradict each other, and a row group that does not have the columns of the schema.
    pub fn read(outline: &FooterOutline<'_>, columns: &[WantedColumn<'_>], at: &ReadAt<'_>) -> Result<Self> {
        let groups = Self { leaves: columns.iter().map(|column| column.leaf).collect(), ..Self::default() };
        let mut reader =
            GroupReader { outline, bound: columns, place: at.place, groups, stored: Vec::new(), last: Vec::new() };
        reader.read(at.passed)?;
        Ok(reader.groups)
    }

    /// Number of row groups.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row group.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of rows of a row group; 0 if there is no such group.
    #[must_use]
    pub fn rows(&self, group: usize) -> u32 {
        self.rows.get(group).copied().unwrap_or_default()
    }

    /// Number of rows of all row groups.
    #[must_use]
    pub fn total_rows(&self) -> u64 {
        self.rows.iter().map(|&rows| u64::from(rows)).sum()
    }

    /// The chunk of a column that was bound when the row groups were read; `None` if there is no such chunk.
    #[must_use]
    pub fn chunk(&self, group: usize, leaf: usize) -> Option<&ChunkFooter> {
        let slot = self.leaves.iter().position(|&other| other == leaf)?;
        self.chunks.get(group * self.leaves.len() + slot)
    }
}

/// A column chunk as a row group has it.
#[derive(Debug, Default)]
struct StoredChunk {
    elsewhere: bool,
    encrypted: bool,
    physical: Option<i64>,
    /// The name at the top of its path, if the path has one name.
    name: Option<Box<[u8]>>,
    codec: i64,
    start: u64,
    len: u64,
    statistics: ChunkStatistics,
}

struct GroupReader<'a> {
    outline: &'a FooterOutline<'a>,
    bound: &'a [WantedColumn<'a>],
    place: &'a Place,
    groups: RowGroups,
    /// The chunks of the row group that is read.
    stored: Vec<StoredChunk>,
    /// Indices in [`RowGroups::chunks`] of chunks that no chunk of their row group follows.
    last: Vec<usize>,
}

impl GroupReader<'_> {
    fn read(&mut self, passed: Passed<'_>) -> Result<()> {
        let place = self.place;
        let footer = |damage| place.clone().refuse(fault_of(damage));
        let Some(at) = self.outline.groups_at else { return self.check_rows() };
        let start = self.outline.start;
        let mut thrift = self.outline.thrift.at(at);
        let (kind, items) = thrift.list().map_err(footer)?;
        if kind != wire::STRUCT && items > 0 {
            return Err(footer(thrift.damage("has no list of row groups")));
        }
        let mut behind = at;
        for group in 0..items {
            let rows = self.stored_group(&mut thrift).map_err(footer)?;
            self.add(group, rows)?;
            pass(&mut behind, thrift.position(), &|range: Range<usize>| passed(start + range.start..start + range.end));
        }
        self.end_last(start as u64);
        self.check_rows()
    }

    /// Reads a row group into `stored`, and returns its number of rows.
    fn stored_group(&mut self, thrift: &mut Thrift<'_>) -> encoded::Result<Option<i64>> {
        self.stored.clear();
        let mut rows = None;
        thrift.fields(|thrift, id, kind| match (id, kind) {
            (1, wire::LIST) => thrift.structs(|thrift| {
                let leaf = self.stored.len();
                let wanted = self.bound.iter().find(|bound| self.outline.leaves.get(bound.leaf) == Some(&leaf));
                self.stored.push(StoredChunk::read(thrift, wanted.is_some_and(|bound| bound.pruned))?);
                Ok(())
            }),
            (3, wire::I64) => {
                rows = Some(thrift.number()?);
                Ok(())
            }
            _ => thrift.skip(kind),
        })?;
        Ok(rows)
    }

    /// Adds the row group that was read.
    fn add(&mut self, group: usize, rows: Option<i64>) -> Result<()> {
        let place = || self.place.clone().row_group(group);
        let corrupt = |what: String| place().refuse(Fault::Corrupt(what));
        let rows = rows
            .and_then(|rows| u32::try_from(rows).ok())
            .ok_or_else(|| corrupt("its number of rows is not between 0 and 4294967295".into()))?;
        let (found, wanted) = (self.stored.len(), self.outline.leaf_count);
        if found != wanted {
            return Err(corrupt(format!("it has {found} columns, the schema has {wanted}")));
        }
        if self.stored.iter().any(|chunk| chunk.elsewhere) {
            return Err(corrupt("its columns are in another file".into()));
        }
        let mut starts: Vec<u64> = self.stored.iter().map(|chunk| chunk.start).collect();
        starts.sort_unstable();
        if let Some(first) = starts.first() {
            self.end_last(*first);
        }
        for bound in self.bound {
            let leaf = self.outline.leaves.get(bound.leaf).copied().unwrap_or(usize::MAX);
            let Some(stored) = self.stored.get_mut(leaf) else { continue };
            let stored = std::mem::take(stored);
            let corrupt = |what: &str| place().column(bound.name).refuse(Fault::Corrupt(what.into()));
            self.check(&stored, bound).map_err(corrupt)?;
            let next = starts.get(starts.partition_point(|&start| start <= stored.start));
            if next.is_none() {
                self.last.push(self.groups.chunks.len());
            }
            let mut chunk = stored.footer();
            if let Some(&next) = next {
                chunk.end_at(next);
            }
            self.groups.chunks.push(chunk);
        }
        self.groups.rows.push(rows);
        Ok(())
    }

    /// Why a chunk of a bound column cannot be read.
    fn check(&self, stored: &StoredChunk, bound: &WantedColumn<'_>) -> Result<(), &'static str> {
        let schema = self.outline.file.schema_descr();
        if stored.encrypted {
            return Err("it is encrypted");
        }
        if stored.physical != Some(schema.column(bound.leaf).physical_type() as i64) {
            return Err("its type in the row group is not that of the schema");
        }
        if stored.name.as_deref().is_some_and(|name| String::from_utf8_lossy(name) != bound.name) {
            return Err("the row group has another column in its place");
        }
        Ok(())
    }

    /// Ends the chunks that no other chunk followed at this offset in the file.
    fn end_last(&mut self, next: u64) {
        for index in self.last.drain(..) {
            if let Some(chunk) = self.groups.chunks.get_mut(index) {
                chunk.end_at(next);
            }
        }
    }

    fn check_rows(&self) -> Result<()> {
        let (footer, total) = (self.outline.file.num_rows(), self.groups.total_rows());
        if u64::try_from(footer) == Ok(total) {
            return Ok(());
        }
        let what = format!("the footer has {footer} rows, its row groups have {total}");
        Err(self.place.clone().refuse(Fault::Corrupt(what)))
    }
}

impl ChunkFooter {
    /// Extends the pages to what follows at this offset in the file.
    fn end_at(&mut self, next: u64) {
        let slack = next.saturating_sub(self.start.saturating_add(self.len));
        self.slack = u32::try_from(slack).unwrap_or_default();
    }
}

impl StoredChunk {
    /// Reads the struct `ColumnChunk`.
    fn read(thrift: &mut Thrift<'_>, with_statistics: bool) -> encoded::Result<Self> {
        let mut found = Self { encrypted: true, ..Self::default() };
        let (mut column_index, mut offset_index) = ((None, None), (None, None));
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, wire::BINARY) => {
                    thrift.binary()?;
                    found.elsewhere = true;
                }
                (3, wire::STRUCT) => found.metadata(thrift, with_statistics)?,
                (4, wire::I64) => offset_index.0 = Some(thrift.number()?),
                (5, wire::I32) => offset_index.1 = Some(thrift.number()?),
                (6, wire::I64) => column_index.0 = Some(thrift.number()?),
                (7, wire::I32) => column_index.1 = Some(thrift.number()?),
                _ => thrift.skip(kind)?,
            }
            Ok(())
        })?;
        found.statistics.column_index = index_place(column_index);
        found.statistics.offset_index = index_place(offset_index);
        Ok(found)
    }

    /// Reads the struct `ColumnMetaData`. An encrypted column has none.
    fn metadata(&mut self, thrift: &mut Thrift<'_>, with_statistics: bool) -> encoded::Result<()> {
        self.encrypted = false;
        let (mut data, mut dictionary) = (None, None);
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, wire::I32) => self.physical = Some(thrift.number()?),
                (3, wire::LIST) => self.name = single_name(thrift)?,
                (4, wire::I32) => self.codec = thrift.number()?,
                (7, wire::I64) => self.len = offset(Some(thrift.number()?)),
                (9, wire::I64) => data = Some(thrift.number()?),
                (11, wire::I64) => dictionary = Some(thrift.number()?),
                (12, wire::STRUCT) if with_statistics => self.statistics.read(thrift)?,
                _ => thrift.skip(kind)?,
            }
            Ok(())
        })?;
        // Old writers store a dictionary offset of 0, or one after the data, if there is no dictionary.
        let data = offset(data);
        let dictionary = dictionary.and_then(|dictionary| u64::try_from(dictionary).ok());
        self.start = dictionary.filter(|&offset| offset > 0 && offset < data).unwrap_or(data);
        Ok(())
    }

    fn footer(self) -> ChunkFooter {
        let statistics = self.statistics;
        let known = statistics.nulls.is_some()
            || statistics.lowest.is_some()
            || statistics.highest.is_some()
            || statistics.column_index.is_some();
        ChunkFooter {
            start: self.start,
            len: self.len,
            slack: 0,
            codec: Codec::of(self.codec),
            statistics: known.then(|| Box::new(statistics)),
        }
    }
}

/// An offset or length; beyond every file if there is no valid one.
fn offset(value: Option<i64>) -> u64 {
    value.and_then(|value| u64::try_from(value).ok()).unwrap_or(u64::MAX)
}

fn index_place((offset, len): (Option<i64>, Option<i64>)) -> Option<(u64, u32)> {
    Some((u64::try_from(offset?).ok()?, u32::try_from(len?).ok()?))
}

/// The name in a path of one name.
fn single_name(thrift: &mut Thrift<'_>) -> encoded::Result<Option<Box<[u8]>>> {
    let mut names = names(thrift)?;
    Ok(names.pop().filter(|_| names.is_empty()).map(Into::into))
}

/// The texts of a list.
fn names<'a>(thrift: &mut Thrift<'a>) -> encoded::Result<Vec<&'a [u8]>> {
    let before = *thrift;
    let (kind, items) = thrift.list()?;
    if kind != wire::BINARY {
        *thrift = before;
        thrift.skip(wire::LIST)?;
        return Ok(Vec::new());
    }
    (0..items).map(|_| thrift.binary()).collect()
}

impl ChunkStatistics {
    /// Reads the struct `Statistics`. `min_value` and `max_value` take the place of the older `min` and `max`.
    fn read(&mut self, thrift: &mut Thrift<'_>) -> encoded::Result<()> {
        let (mut exact, mut old, mut new) = ((false, false), (None, None), (None, None));
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, wire::BINARY) => old.1 = Some(thrift.binary()?),
                (2, wire::BINARY) => old.0 = Some(thrift.binary()?),
                (3, wire::I64) => self.nulls = u64::try_from(thrift.number()?).ok(),
                (5, wire::BINARY) => new.1 = Some(thrift.binary()?),
                (6, wire::BINARY) => new.0 = Some(thrift.binary()?),
                (7, wire::TRUE | wire::FALSE) => exact.1 = kind == wire::TRUE,
                (8, wire::TRUE | wire::FALSE) => exact.0 = kind == wire::TRUE,
                _ => thrift.skip(kind)?,
            }
            Ok(())
        })?;
        let bounds = if new == (None, None) { old } else { new };
        let kept = |value: Option<&[u8]>| value.filter(|value| value.len() <= LONGEST_VALUE).map(Into::into);
        (self.lowest, self.highest) = (kept(bounds.0), kept(bounds.1));
        self.exact = exact == (true, true);
        Ok(())
    }
}

/// Compressed bytes of each leaf column of a file, by its path in the schema; columns that no rule reads are included.
///
/// # Errors
/// A footer that ends early.
pub fn column_bytes(outline: &FooterOutline<'_>) -> encoded::Result<BTreeMap<String, u64>> {
    let mut bytes = BTreeMap::new();
    let Some(at) = outline.groups_at else { return Ok(bytes) };
    let mut thrift = outline.thrift.at(at);
    let mut chunk = |thrift: &mut Thrift<'_>| {
        let (mut path, mut len) = (Vec::new(), 0);
        thrift.fields(|thrift, id, kind| match (id, kind) {
            (3, wire::LIST) => {
                path = names(thrift)?;
                Ok(())
            }
            (7, wire::I64) => {
                len = u64::try_from(thrift.number()?).unwrap_or_default();
                Ok(())
            }
            _ => thrift.skip(kind),
        })?;
        let path: Vec<_> = path.into_iter().map(String::from_utf8_lossy).collect();
        *bytes.entry(path.join(".")).or_default() += len;
        Ok(())
    };
    thrift.structs(|thrift| {
        thrift.fields(|thrift, id, kind| match (id, kind) {
            (1, wire::LIST) => thrift.structs(|thrift| {
                thrift.fields(|thrift, id, kind| match (id, kind) {
                    (3, wire::STRUCT) => chunk(thrift),
                    _ => thrift.skip(kind),
                })
            }),
            _ => thrift.skip(kind),
        })
    })?;
    Ok(bytes)
}
