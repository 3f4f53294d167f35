//! Parquet files: from Arrow batches ([`ParquetFile`]), or from column chunks that we encode ourselves ([`ChunkFile`]).

mod chunk_file;
mod chunk_writer;
mod delta;
mod hybrid;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use super::{OutputFile, Written};
use crate::error::{Error, Result};

pub use chunk_file::ChunkFile;
pub use chunk_writer::{ChunkWriter, EncodedChunk};

/// Properties of every Parquet file that the engine writes: its name and version as the writer, and nothing that depends
/// on the machine or the moment. Callers add compression, statistics and limits.
#[must_use]
pub fn writer_properties() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_created_by(concat!("smi-sweep version ", env!("CARGO_PKG_VERSION")).into())
}

/// Zstd of a level, 1 to 22. Another level is that of the `parquet` crate's choice.
#[must_use]
pub fn zstd(level: i32) -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default())
}

/// Whether the Arrow schema is stored in the file's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrowSchema {
    /// Stored: Arrow readers restore dictionaries and time zones.
    Stored,
    /// Left out: readers use the Parquet types only.
    LeftOut,
}

/// A Parquet file being written from Arrow columns.
pub struct ParquetFile {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<OutputFile>,
}

impl ParquetFile {
    /// Begins a file.
    ///
    /// # Errors
    /// A schema or properties that the `parquet` crate refuses.
    pub fn new(
        file: OutputFile,
        schema: SchemaRef,
        properties: WriterProperties,
        arrow_schema: ArrowSchema,
    ) -> Result<Self> {
        let path = file.path().to_path_buf();
        let skip = arrow_schema == ArrowSchema::LeftOut;
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(skip);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options);
        Ok(Self { writer: writer.map_err(Error::write(&path))?, path, schema })
    }

    /// Writes rows: a column for each field of the schema, all of one length.
    ///
    /// # Errors
    /// Columns that are not those of the schema, or a file that cannot be written.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(ParquetError::from);
        batch.and_then(|batch| self.writer.write(&batch)).map_err(Error::write(&self.path))
    }

    /// Ends a row group: the next row begins another.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn end_row_group(&mut self) -> Result<()> {
        self.writer.flush().map_err(Error::write(&self.path))
    }

    /// Writes the footer, and finishes the file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(self) -> Result<Written> {
        self.writer.into_inner().map_err(Error::write(&self.path))?.finish()
    }
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("path", &self.path).finish_non_exhaustive()
    }
}
