//! A file of an export: rows are counted, and bytes digested, while it is written.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::output::OutputFile;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// Its name within the folder.
    pub path: String,
    /// The Notifying Party that it is for; `None` where it has all parties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Rows, messages or devices in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its BLAKE3 digest, in hex.
    pub blake3: String,
}

/// A file that is being written.
pub(super) struct ExportFile {
    path: PathBuf,
    name: String,
    party: Option<String>,
    rows: u64,
    file: OutputFile,
}

impl ExportFile {
    /// Begins a file that must not exist yet, so that two parties never share one.
    pub(super) fn create(folder: &Path, name: &str, party: Option<String>) -> Result<Self> {
        let path = folder.join(name);
        Ok(Self { file: OutputFile::create(&path)?, path, name: name.into(), party, rows: 0 })
    }

    /// The party that the file is for.
    pub(super) fn party(&self) -> Option<&str> {
        self.party.as_deref()
    }

    /// Writes text that holds so many rows.
    pub(super) fn write(&mut self, text: &[u8], rows: usize) -> Result<()> {
        self.rows += rows as u64;
        self.file.write_all(text).map_err(Error::io("write", &self.path))
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<ExportedFile> {
        let Self { name, party, rows, file, .. } = self;
        let written = file.finish()?;
        Ok(ExportedFile { path: name, party, rows, bytes: written.bytes, blake3: written.blake3 })
    }
}
