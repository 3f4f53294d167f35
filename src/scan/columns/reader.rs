//! The reader of one column chunk, with the choice between the encoded and the reference reader.

use bytes::Bytes;

use super::super::metrics::ScanMetrics;
use crate::error::{Error, Result};
use crate::estate::Column;
use crate::kernel::Kernel;
use crate::snapshot::encoded::{self, Buffers, Chunk, Damage, Dictionary, PageCursor, PageStart};
use crate::snapshot::{FileBytes, FileColumn, SourceFile};

/// Which of the two readers reads a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// The encoded reader; the reference reader for chunks in a form that it does not support.
    #[default]
    Encoded,
    /// The reference reader for all chunks; tests compare its results with those of the encoded reader.
    Reference,
}

/// A column of one row group.
#[derive(Debug, Clone, Copy)]
pub struct ColumnChunk<'a> {
    /// The file.
    pub file: &'a SourceFile,
    /// Zero-based index of the row group.
    pub group: usize,
    /// How the file stores the column.
    pub bound: &'a FileColumn,
}

/// A column of one row group, with its pages.
#[derive(Debug, Clone, Copy)]
pub struct StoredChunk<'a> {
    /// The column and the row group.
    pub chunk: ColumnChunk<'a>,
    /// The bytes of its pages.
    pub pages: &'a FileBytes<'a>,
}

impl ColumnChunk<'_> {
    pub(super) fn refuse(&self, damage: Damage) -> Error {
        self.file.chunk_place(self.group, self.bound).refuse(damage.into_fault())
    }
}

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnValue<'v> {
    /// Its bytes in PLAIN encoding, without a length; `None` if it is null.
    pub bytes: Option<&'v [u8]>,
    /// Its code, if it comes from the chunk's dictionary.
    pub code: Option<u32>,
}

/// Buffers that a worker reuses for every range.
#[derive(Debug, Default)]
pub struct ColumnBuffers {
    pages: Buffers,
    /// The dictionary of each column, kept while the worker reads ranges of one row group.
    dictionaries: [Dictionary; Column::ALL.len()],
    /// The pages of each column that were read into memory, kept as long; none if the file is mapped.
    read: [Option<Bytes>; Column::ALL.len()],
    codes: Vec<u8>,
    /// What was read and skipped since the last [`take_metrics`](Self::take_metrics).
    pub(in super::super) metrics: ScanMetrics,
}

impl ColumnBuffers {
    /// Forgets what is kept of a row group; to be called before another one is read.
    pub(in super::super) fn forget_row_group(&mut self) {
        self.dictionaries.iter_mut().for_each(Dictionary::forget);
        self.read.fill(None);
    }

    /// The pages of a column chunk. They are read into memory once for each row group.
    ///
    /// # Errors
    /// A footer that points beyond the file, bytes that differ from the seal, and a file that cannot be read.
    pub(in super::super) fn pages<'f>(&mut self, chunk: ColumnChunk<'f>, column: Column) -> Result<FileBytes<'f>> {
        let read = &mut self.read[column as usize];
        if let Some(bytes) = read {
            return Ok(FileBytes::Read(bytes.clone()));
        }
        let pages = chunk.file.pages(chunk.group, chunk.bound)?;
        if let FileBytes::Read(bytes) = &pages {
            *read = Some(bytes.clone());
        }
        Ok(pages)
    }

    /// Takes what was read and skipped since the last call.
    pub(in super::super) fn take_metrics(&mut self) -> ScanMetrics {
        let mut metrics = std::mem::take(&mut self.metrics);
        metrics.bytes_read += self.pages.take_bytes_read();
        metrics
    }
}

/// Reads a column of one row group.
#[derive(Debug)]
pub struct ColumnReader<'a> {
    /// The chunk that is read.
    pub chunk: ColumnChunk<'a>,
    /// The bytes of its pages.
    pub(in super::super) pages: FileBytes<'a>,
    /// The column of the contract.
    pub column: Column,
    /// Which reader is used.
    pub reader: Reader,
    /// The instructions for inner loops.
    pub kernel: Kernel,
    /// The worker's buffers.
    pub buffers: &'a mut ColumnBuffers,
    /// The first page that is read; no row before it may be read.
    pub(in super::super) start: PageStart,
}

/// The pages of a chunk, with a buffer for codes.
pub(super) struct OpenChunk<'c> {
    pub chunk: Chunk<'c>,
    pub cursor: PageCursor<'c, 'c>,
    pub codes: &'c mut Vec<u8>,
}

impl<'a> ColumnReader<'a> {
    /// A reader of a whole chunk, outside of a scan.
    ///
    /// # Errors
    /// A footer that points beyond the file, bytes that differ from the seal, and a file that cannot be read.
    pub fn new(chunk: ColumnChunk<'a>, column: Column, buffers: &'a mut ColumnBuffers) -> Result<Self> {
        buffers.forget_row_group();
        Ok(Self {
            pages: chunk.file.pages(chunk.group, chunk.bound)?,
            chunk,
            column,
            reader: Reader::default(),
            kernel: Kernel::default(),
            buffers,
            start: PageStart::default(),
        })
    }

    /// Opens the pages of the chunk; `None` if the encoded reader is not to be used.
    ///
    /// # Errors
    /// A footer that points beyond the file, or a codec that is not supported.
    pub(super) fn open(&mut self) -> Result<Option<OpenChunk<'_>>> {
        if self.reader == Reader::Reference {
            return Ok(None);
        }
        let chunk = self.chunk.file.chunk(self.chunk.group, self.chunk.bound, &self.pages)?;
        let ColumnBuffers { pages, dictionaries, codes, .. } = &mut *self.buffers;
        let dictionary = &mut dictionaries[self.column as usize];
        Ok(Some(OpenChunk { chunk, cursor: PageCursor::new(chunk, self.start, pages, dictionary), codes }))
    }

    /// Reads with the encoded reader, or with the reference reader if the pages are in a form that the encoded reader
    /// does not support.
    pub(super) fn read<T>(
        &mut self,
        state: &mut T,
        by_pages: impl FnOnce(&mut T, OpenChunk<'_>) -> encoded::Result<()>,
        by_reference: impl FnOnce(&mut T, StoredChunk<'_>) -> encoded::Result<()>,
    ) -> Result<()> {
        let outcome = match self.open()? {
            Some(open) => by_pages(state, open),
            None => Err(Damage::Unhandled),
        };
        match outcome {
            Err(Damage::Unhandled) => by_reference(state, StoredChunk { chunk: self.chunk, pages: &self.pages }),
            outcome => outcome,
        }
        .map_err(|damage| self.chunk.refuse(damage))
    }
}
