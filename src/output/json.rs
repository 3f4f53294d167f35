//! JSON documents: indented, with a newline at the end.

use serde::Serialize;

use super::{OutputFile, Written};
use crate::error::{Error, Result};

/// The text of a document.
///
/// # Errors
/// A value that JSON cannot express, such as a map whose keys are no text.
pub fn text(document: &impl Serialize) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    Ok(text)
}

/// Writes a document into a file, and finishes it.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(file: OutputFile, document: &impl Serialize) -> Result<Written> {
    let text = text(document).map_err(|error| Error::io("write", file.path())(error.into()))?;
    file.finish_with(text.as_bytes())
}
