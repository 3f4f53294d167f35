//! A file of a handover: counted and digested on its way to the disk.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::HandedFile;
use crate::error::{Error, Result};
use crate::output::OutputFile;

/// A file that is being written.
pub(super) struct Outlet {
    path: PathBuf,
    name: String,
    party: Option<String>,
    rows: u64,
    file: OutputFile,
}

impl Outlet {
    /// Begins a file that must not be there yet: two parties never share one.
    pub(super) fn create(folder: &Path, name: &str, party: Option<String>) -> Result<Self> {
        let path = folder.join(name);
        Ok(Self { file: OutputFile::create(&path)?, path, name: name.into(), party, rows: 0 })
    }

    /// Whose file it is.
    pub(super) fn party(&self) -> Option<&str> {
        self.party.as_deref()
    }

    /// Writes text that holds so many rows.
    pub(super) fn write(&mut self, text: &[u8], rows: usize) -> Result<()> {
        self.rows += rows as u64;
        self.file.write_all(text).map_err(Error::io("write", &self.path))
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<HandedFile> {
        let Self { name, party, rows, file, .. } = self;
        let written = file.finish()?;
        Ok(HandedFile { path: name, party, rows, bytes: written.bytes, blake3: written.blake3 })
    }
}
