//! The reader of one column: which of the two readers is used, and what a worker keeps from chunk to chunk.

use super::super::metrics::ScanMetrics;
use crate::error::{Error, Fault, Result};
use crate::estate::Column;
use crate::snapshot::encoded::{self, Buffers, Chunk, Damage, Dictionary, PageCursor, PageStart};
use crate::snapshot::{FileColumn, SourceFile};

/// Which of the two readers is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// Encoded pages where they are in a form that is handled, else the reference reader: the fast one.
    #[default]
    Encoded,
    /// The reference reader for everything: to check the other.
    Reference,
}

/// A column of one row group.
#[derive(Debug, Clone, Copy)]
pub struct ColumnChunk<'a> {
    /// The file.
    pub file: &'a SourceFile,
    /// Index of the row group.
    pub group: usize,
    /// How the file stores the column.
    pub bound: &'a FileColumn,
}

impl ColumnChunk<'_> {
    pub(super) fn refuse(&self, damage: Damage) -> Error {
        let what = match damage {
            Damage::Corrupt(what) => what,
            Damage::Unhandled => "its pages are in a form that no reader here knows".into(),
        };
        self.file.chunk_place(self.group, self.bound).refuse(Fault::Corrupt(what))
    }
}

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnValue<'v> {
    /// Its plain bytes; `None` where it is null.
    pub bytes: Option<&'v [u8]>,
    /// Its code, where it came from the chunk's dictionary.
    pub code: Option<u32>,
}

/// Buffers that a worker keeps from range to range.
#[derive(Debug, Default)]
pub struct ColumnBuffers {
    pages: Buffers,
    /// The dictionary of each column, kept as long as ranges of one row group are read.
    dictionaries: [Dictionary; Column::ALL.len()],
    codes: Vec<u8>,
    /// What was read and skipped since it was last taken.
    pub(in super::super) metrics: ScanMetrics,
}

impl ColumnBuffers {
    /// Another row group is read from now on.
    pub(in super::super) fn forget_dictionaries(&mut self) {
        self.dictionaries.iter_mut().for_each(Dictionary::forget);
    }

    /// What was read and skipped since the last call.
    pub(in super::super) fn take_metrics(&mut self) -> ScanMetrics {
        let mut metrics = std::mem::take(&mut self.metrics);
        metrics.bytes_read += self.pages.take_looked_into();
        metrics
    }
}

/// Reads a column of one row group.
#[derive(Debug)]
pub struct ColumnReader<'a> {
    /// What is read.
    pub chunk: ColumnChunk<'a>,
    /// Which column of the contract it is.
    pub column: Column,
    /// Which reader is used.
    pub reader: Reader,
    /// The worker's buffers.
    pub buffers: &'a mut ColumnBuffers,
    /// From where pages are read: rows before it are not asked for.
    pub(in super::super) start: PageStart,
}

/// A walk over the pages of a chunk, with a buffer for codes.
pub(super) struct OpenChunk<'c> {
    pub chunk: Chunk<'c>,
    pub cursor: PageCursor<'c, 'c>,
    pub codes: &'c mut Vec<u8>,
}

impl<'a> ColumnReader<'a> {
    /// A reader of a chunk by itself, outside of a scan.
    #[must_use]
    pub fn new(chunk: ColumnChunk<'a>, column: Column, buffers: &'a mut ColumnBuffers) -> Self {
        buffers.forget_dictionaries();
        Self { chunk, column, reader: Reader::default(), buffers, start: PageStart::default() }
    }

    /// Begins to walk over the pages; `None` where the codec is not handled, or the reference reader is asked for.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub(super) fn open(&mut self) -> Result<Option<OpenChunk<'_>>> {
        let chunk = match self.reader {
            Reader::Encoded => self.chunk.file.chunk(self.chunk.group, self.chunk.bound)?,
            Reader::Reference => None,
        };
        let Some(chunk) = chunk else { return Ok(None) };
        let ColumnBuffers { pages, dictionaries, codes, .. } = &mut *self.buffers;
        let dictionary = &mut dictionaries[self.column as usize];
        Ok(Some(OpenChunk { chunk, cursor: PageCursor::new(chunk, self.start, pages, dictionary), codes }))
    }

    /// Tries the encoded pages, and where they are in a form that is not handled, the reference reader.
    pub(super) fn read<T>(
        &mut self,
        state: &mut T,
        by_pages: impl FnOnce(&mut T, OpenChunk<'_>) -> encoded::Result<()>,
        by_reference: impl FnOnce(&mut T, ColumnChunk<'a>) -> encoded::Result<()>,
    ) -> Result<()> {
        let outcome = match self.open()? {
            Some(open) => by_pages(state, open),
            None => Err(Damage::Unhandled),
        };
        match outcome {
            Err(Damage::Unhandled) => by_reference(state, self.chunk),
            outcome => outcome,
        }
        .map_err(|damage| self.chunk.refuse(damage))
    }
}
