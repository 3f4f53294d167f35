//! Tables for spreadsheets: CSV with a header, digested while it is written.
//!
//! A spreadsheet computes a cell that begins like a formula, whatever the cell is quoted with. Text from outside must not do
//! that, so such a cell is written with an apostrophe before it, and control characters are escaped. Tables that programs load,
//! such as the export of a manifest, are not written here: their values are exact.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::{OutputFile, Written};
use crate::error::{Error, Result};
use crate::shown;

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
        let cells = cells.map(inert);
        self.writer
            .write_record(cells.each_ref().map(AsRef::as_ref))
            .map_err(|error| Error::io("write", &self.path)(error.into()))
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

/// The text of a cell that a spreadsheet takes for text, or for a plain number.
fn inert(cell: &str) -> Cow<'_, str> {
    let number = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // Full-width forms count as well in some locales. A tab or a line end is skipped before a formula is looked for.
    let opens = cell.trim_start_matches(|c: char| c.is_whitespace() || !shown::is_plain(c));
    let formula = opens.starts_with(['=', '+', '-', '@', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}']) && !is_number;
    let controls = cell.contains(char::is_control);
    if !formula && !controls {
        return Cow::Borrowed(cell);
    }
    let text: String =
        cell.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.into() }).collect();
    Cow::Owned(if formula { format!("'{text}") } else { text })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_formula_and_numbers_stay() {
        for (cell, written) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+1+1", "'+1+1"),
            ("-2+3", "'-2+3"),
            ("\t=1", "'\\t=1"),
            ("\r\n=1", "'\\r\\n=1"),
            (" =1", "' =1"),
            ("\u{200b}=1", "'\u{200b}=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("a\0b", "a\\0b"),
        ] {
            assert_eq!(inert(cell), written, "{cell:?}");
        }
        for cell in ["", "-5", "+1.25", "1,234", "Acme", "a=b", "-", "2026-11-01", "Jose\u{301}"] {
            assert_eq!(inert(cell), cell);
        }
    }
}
