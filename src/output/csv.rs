//! Tables for spreadsheets: CSV with a header.

use std::path::Path;

use crate::error::{Error, Result};

/// Writes a table.
///
/// # Errors
/// Where the file cannot be written.
pub fn write<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<()> {
    let failed = |error: csv::Error| Error::io("write", path)(error.into());
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    writer.flush().map_err(Error::io("write", path))
}
