//! State that the ranges of one row group share: where each range begins in every column, and how many are not read
//! yet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::columns::ColumnChunk;
use super::range::RowRange;
use crate::error::Result;
use crate::estate::Column;
use crate::snapshot::encoded::{PageStart, page_starts};
use crate::snapshot::{FileBytes, FileContent, SourceFile};

/// Bytes of a chunk after which the pages that were passed are given back, while page headers are read.
const RELEASE_BYTES: usize = 4 << 20;

/// Shared by the ranges of one row group.
#[derive(Debug)]
pub(super) struct SharedGroup {
    range_rows: usize,
    /// Ranges that are not read yet.
    left: AtomicUsize,
    starts: [OnceLock<Vec<PageStart>>; Column::ALL.len()],
    /// The pages of each column that were read into memory; none if the file is mapped.
    read: [Mutex<Option<Bytes>>; Column::ALL.len()],
}

/// A range to be read, and the state it shares with other ranges; `None` if the range is the whole row group.
#[derive(Debug, Clone)]
pub(super) struct RangeTask {
    pub range: RowRange,
    pub shared: Option<Arc<SharedGroup>>,
}

/// Tasks for ranges, which are in the order of the snapshot and were cut after every `range_rows` rows.
pub(super) fn tasks(ranges: &[RowRange], range_rows: u32, group_rows: impl Fn(&RowRange) -> usize) -> Vec<RangeTask> {
    let same_group = |one: &RowRange, other: &RowRange| (one.file, one.group) == (other.file, other.group);
    let mut tasks = Vec::with_capacity(ranges.len());
    for ranges in ranges.chunk_by(same_group) {
        let is_whole = ranges.first().is_some_and(|range| range.len() == group_rows(range));
        let shared = (!is_whole).then(|| {
            Arc::new(SharedGroup {
                range_rows: range_rows as usize,
                left: AtomicUsize::new(ranges.len()),
                starts: Default::default(),
                read: Default::default(),
            })
        });
        tasks.extend(ranges.iter().map(|range| RangeTask { range: range.clone(), shared: shared.clone() }));
    }
    tasks
}

impl SharedGroup {
    /// The pages of a column chunk. They are read into memory once, for all ranges.
    ///
    /// # Errors
    /// A footer that points beyond the file, bytes that differ from the seal, and a file that cannot be read.
    pub fn pages<'f>(&self, chunk: ColumnChunk<'f>, column: Column) -> Result<FileBytes<'f>> {
        if let FileContent::Mapped(_) = chunk.file.content() {
            return chunk.file.pages(chunk.group, chunk.bound);
        }
        let mut read = self.read[column as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = &*read {
            return Ok(FileBytes::Read(bytes.clone()));
        }
        let pages = chunk.file.pages(chunk.group, chunk.bound)?;
        *read = Some(chunk.file.content().shared(&pages));
        Ok(pages)
    }

    /// Where a range begins in a column. The first call for a column reads the page headers of its chunk.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub fn start(
        &self,
        ColumnChunk { file, group, bound }: ColumnChunk<'_>,
        pages: &[u8],
        column: Column,
        range: &RowRange,
    ) -> Result<PageStart> {
        let chunk = file.chunk(group, bound, pages)?;
        let at = file.chunk_range(group, bound)?.start;
        let starts = self.starts[column as usize].get_or_init(|| {
            let mut mapped = at..at;
            page_starts(chunk, self.range_rows, |page| {
                mapped.end = at + page.end;
                if mapped.len() > RELEASE_BYTES {
                    file.content().release(mapped.clone());
                    mapped.start = mapped.end;
                }
            })
        });
        Ok(starts.get(range.rows.start as usize / self.range_rows).copied().unwrap_or_default())
    }

    /// Gives back the memory of the pages that only this range reads; after the last range, of the whole row group.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub fn release(&self, file: &SourceFile, range: &RowRange) -> Result<()> {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            return release_group(file, range.group);
        }
        let number = range.rows.start as usize / self.range_rows;
        for column in Column::ALL {
            let Some(bound) = file.columns.in_file(column) else { continue };
            let chunk = file.chunk_range(range.group, bound)?;
            // The reference reader does not find page starts. The whole chunk is given back; other ranges page it in
            // again.
            let Some(starts) = self.starts[column as usize].get() else {
                file.content().release(chunk);
                continue;
            };
            let offset = |number: usize| starts.get(number).map_or(chunk.end, |start| chunk.start + start.offset);
            file.content().release(offset(number)..offset(number + 1));
        }
        Ok(())
    }
}

/// Gives back the memory of a row group.
///
/// # Errors
/// A footer that points beyond the file.
pub(super) fn release_group(file: &SourceFile, group: usize) -> Result<()> {
    for bound in Column::ALL.into_iter().filter_map(|column| file.columns.in_file(column)) {
        file.content().release(file.chunk_range(group, bound)?);
    }
    Ok(())
}
