//! A Parquet file of row groups that several threads encode, in any order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescriptor, TypePtr};

use super::{EncodedChunk, OutputFile, Written};
use crate::error::{Error, Result};

/// A Parquet file to which encoded row groups are appended in the order of their numbers, in whatever order they arrive.
pub struct ChunkFile {
    path: PathBuf,
    schema: SchemaDescriptor,
    tail: Mutex<Tail>,
}

/// The end of the file.
struct Tail {
    writer: SerializedFileWriter<OutputFile>,
    /// The row group that comes next.
    next: usize,
    /// Row groups that were encoded before their turn.
    early: BTreeMap<usize, Vec<EncodedChunk>>,
}

impl ChunkFile {
    /// Begins a file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn new(file: OutputFile, schema: TypePtr, properties: WriterProperties) -> Result<Self> {
        let path = file.path().to_path_buf();
        let writer = SerializedFileWriter::new(file, Arc::clone(&schema), Arc::new(properties));
        let tail = Tail { writer: writer.map_err(Error::write(&path))?, next: 0, early: BTreeMap::new() };
        Ok(Self { path, schema: SchemaDescriptor::new(schema), tail: Mutex::new(tail) })
    }

    /// The name that the file has once it is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The schema, with a descriptor for each column.
    #[must_use]
    pub fn schema(&self) -> &SchemaDescriptor {
        &self.schema
    }

    /// Appends row group `number`, from 0, once those before it are there. The thread that closes a gap appends all that
    /// waited behind it. `chunks` are those of all columns, in order.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn append(&self, number: usize, chunks: Vec<EncodedChunk>) -> Result<()> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.early.insert(number, chunks);
        tail.write_ready().map_err(Error::write(&self.path))
    }

    /// Writes the footer, and finishes the file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(self) -> Result<Written> {
        let tail = self.tail.into_inner().unwrap_or_else(PoisonError::into_inner);
        tail.writer.into_inner().map_err(Error::write(&self.path))?.finish()
    }
}

impl Tail {
    fn write_ready(&mut self) -> Result<(), ParquetError> {
        while let Some(chunks) = self.early.remove(&self.next) {
            let mut group = self.writer.next_row_group()?;
            for chunk in chunks {
                group.append_column(&chunk.bytes, chunk.close)?;
            }
            group.close()?;
            self.next += 1;
        }
        Ok(())
    }
}
