//! Tables for spreadsheets: CSV with a header, digested while it is written.

use std::path::{Path, PathBuf};

use super::{OutputFile, Written};
use crate::error::{Error, Result};

/// A table being written. Every row has as many cells as the header.
#[derive(Debug)]
pub struct CsvFile {
    writer: csv::Writer<OutputFile>,
    path: PathBuf,
    rows: u64,
}

impl CsvFile {
    /// Begins a table of an output directory with its header.
    ///
    /// # Errors
    /// Where the file exists or cannot be written.
    pub fn create<const N: usize>(path: &Path, header: [&str; N]) -> Result<Self> {
        let mut table =
            Self { writer: csv::Writer::from_writer(OutputFile::create(path)?), path: path.into(), rows: 0 };
        table.write(header)?;
        table.rows = 0;
        Ok(table)
    }

    /// Writes a row.
    ///
    /// # Errors
    /// Where the file cannot be written, or the row has another number of cells than the header.
    pub fn write<const N: usize>(&mut self, cells: [&str; N]) -> Result<()> {
        self.rows += 1;
        self.writer.write_record(cells).map_err(|error| Error::io("write", &self.path)(error.into()))
    }

    /// Finishes the file; the number of its rows, without the header.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(self) -> Result<(u64, Written)> {
        let file = self.writer.into_inner().map_err(|error| Error::io("write", &self.path)(error.into_error()))?;
        Ok((self.rows, file.finish()?))
    }
}

/// Writes a whole table of an output directory.
///
/// # Errors
/// Where the file exists or cannot be written.
pub fn write<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<()> {
    let mut table = CsvFile::create(path, header)?;
    for row in rows {
        table.write(row.each_ref().map(String::as_str))?;
    }
    table.finish().map(drop)
}
