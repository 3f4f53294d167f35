//! A writer that digests what passes through it, so that no file is read again for its digest.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZero;

use rustix::fs::{Advice, fadvise};

/// How much is gathered before it is digested and written.
const GATHER: usize = 1 << 20;

/// Writes to a file, counting and digesting.
#[derive(Debug)]
pub struct DigestingFile {
    file: File,
    gathered: Vec<u8>,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// What is known of a file once it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its size.
    pub bytes: u64,
    /// Its BLAKE3 digest, in hex.
    pub blake3: String,
}

impl DigestingFile {
    /// Begins with an empty file.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, gathered: Vec::with_capacity(GATHER), hasher: blake3::Hasher::new(), bytes: 0 }
    }

    fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)?;
        // "Not needed any more" makes the system begin to write to the disk now, beside what is still to be encoded, instead
        // of when the run is flushed. Advice only: a refusal changes nothing.
        let _ = fadvise(&self.file, self.bytes, NonZero::new(bytes.len() as u64), Advice::DontNeed);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let outcome = self.pass_on(&gathered);
        gathered.clear();
        self.gathered = gathered;
        outcome
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(mut self) -> io::Result<Written> {
        self.drain()?;
        Ok(Written { bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() })
    }
}

impl Write for DigestingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= GATHER {
            self.drain()?;
            self.pass_on(bytes)?;
            return Ok(bytes.len());
        }
        if self.gathered.len() + bytes.len() > GATHER {
            self.drain()?;
        }
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Small pieces are better gathered; `finish` writes the last of them.
        Ok(())
    }
}
