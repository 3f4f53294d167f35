//! Pages for people, made from records: data in, text out.

mod advice;
pub mod ledger;
mod page;

use std::path::Path;

use crate::error::Result;
use crate::output::OutputFile;
use crate::run::Record;

/// Name of the page within a run directory.
pub const PAGE: &str = "report.html";

/// Writes the page of a run into its directory.
///
/// # Errors
/// Where the file cannot be written, or the record has a policy that cannot be read.
pub fn write(folder: &Path, record: &Record) -> Result<()> {
    let path = folder.join(PAGE);
    OutputFile::create(&path)?.finish_with(page::render(record)?.as_bytes()).map(drop)
}
