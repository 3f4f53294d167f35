//! The page index of a date column: lowest and highest date of each page (Parquet format, PageIndex.md).
//!
//! A column index has an entry for each page that has rows, in the order of the offset index, which gives the position of
//! these pages. Pages are found in it by their position: writers leave pages without rows out of the index, so that the
//! number of a page in the chunk is not that of its entry.

use super::super::encoded::Result;
use super::super::encoded::thrift::{Thrift, wire};

/// The page index of one column chunk.
#[derive(Debug, Default)]
pub struct DatePages {
    /// Offset in the file of each page, ascending, and its first row within the row group.
    places: Vec<(u64, u64)>,
    bounds: ColumnIndex,
}

/// The struct `ColumnIndex`.
#[derive(Debug, Default)]
struct ColumnIndex {
    null_pages: Vec<bool>,
    lowest: Vec<Box<[u8]>>,
    highest: Vec<Box<[u8]>>,
    nulls: Option<Vec<i64>>,
}

/// Lowest and highest value of a page, in PLAIN encoding.
pub type PageValues<'a> = (&'a [u8], &'a [u8]);

impl DatePages {
    /// Reads the page index of a chunk; `None` if it is not whole.
    #[must_use]
    pub fn read(offset_index: &[u8], column_index: &[u8]) -> Option<Self> {
        let places = places(offset_index).ok()?;
        let bounds = bounds(column_index).ok()?;
        let pages = places.len();
        let whole =
            [bounds.null_pages.len(), bounds.lowest.len(), bounds.highest.len()].iter().all(|&len| len == pages)
                && bounds.nulls.as_ref().is_none_or(|nulls| nulls.len() == pages);
        let ascending = places.array_windows().all(|[one, next]| one.0 < next.0 && one.1 <= next.1);
        (whole && ascending).then_some(Self { places, bounds })
    }

    /// Lowest and highest value of the page at this offset in the file, whose first row within the row group is
    /// `first_row`. `None` if the index does not have this page, or not its values. `no_nulls` requires that the index
    /// says that no row of the page is null.
    #[must_use]
    pub fn values(&self, offset: u64, first_row: u64, no_nulls: bool) -> Option<PageValues<'_>> {
        let page = self.places.binary_search_by_key(&offset, |place| place.0).ok()?;
        if self.places[page].1 != first_row || self.bounds.null_pages[page] {
            return None;
        }
        if no_nulls && self.bounds.nulls.as_ref()?.get(page) != Some(&0) {
            return None;
        }
        Some((&self.bounds.lowest[page], &self.bounds.highest[page]))
    }
}

/// Reads the struct `OffsetIndex`: offset and first row of each page.
fn places(bytes: &[u8]) -> Result<Vec<(u64, u64)>> {
    let mut places = Vec::new();
    let mut thrift = Thrift::new(bytes, "the offset index");
    let damage = thrift.damage("has a page without a place");
    thrift.fields(|thrift, id, kind| match (id, kind) {
        (1, wire::LIST) => thrift.structs(|thrift| {
            let (mut offset, mut row) = (None, None);
            thrift.fields(|thrift, id, kind| {
                match (id, kind) {
                    (1, wire::I64) => offset = u64::try_from(thrift.number()?).ok(),
                    (3, wire::I64) => row = u64::try_from(thrift.number()?).ok(),
                    _ => thrift.skip(kind)?,
                }
                Ok(())
            })?;
            places.push(offset.zip(row).ok_or_else(|| damage.clone())?);
            Ok(())
        }),
        _ => thrift.skip(kind),
    })?;
    Ok(places)
}

fn bounds(bytes: &[u8]) -> Result<ColumnIndex> {
    let mut found = ColumnIndex::default();
    Thrift::new(bytes, "the column index").fields(|thrift, id, kind| {
        match (id, kind) {
            (1, wire::LIST) => found.null_pages = list(thrift, |thrift| Ok(thrift.byte()? == wire::TRUE))?,
            (2, wire::LIST) => found.lowest = list(thrift, |thrift| Ok(thrift.binary()?.into()))?,
            (3, wire::LIST) => found.highest = list(thrift, |thrift| Ok(thrift.binary()?.into()))?,
            (5, wire::LIST) => found.nulls = Some(list(thrift, Thrift::number)?),
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn list<'a, T>(thrift: &mut Thrift<'a>, item: impl Fn(&mut Thrift<'a>) -> Result<T>) -> Result<Vec<T>> {
    let (_, items) = thrift.list()?;
    (0..items).map(|_| item(thrift)).collect()
}
