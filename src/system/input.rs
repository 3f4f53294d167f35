//! Inputs are regular files.
//!
//! A pipe without a writer, a device or a socket in the place of a file would block the process at `open` or at the first
//! read, or never end. Such a file is opened without waiting for it, and refused.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use rustix::fs::OFlags;

use super::call;
use super::faults::Call;

/// Opens a file to read it. The file is neither a folder, a pipe, a device nor a socket.
///
/// # Errors
/// Those of the system, and [`io::ErrorKind::InvalidInput`] where it is not a regular file; its text says what it is.
pub fn open(path: impl AsRef<Path>) -> io::Result<InputFile> {
    let path = path.as_ref();
    // On a regular file the flag has no effect.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = call(Call::Open, || OpenOptions::new().read(true).custom_flags(flags).open(path))?;
    let metadata = call(Call::Inspect, || file.metadata())?;
    match what(metadata.file_type()) {
        None => Ok(InputFile(file)),
        Some(what) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, where a regular file is needed")))
        }
    }
}

/// What is not a regular file, in words.
fn what(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// Reads a whole file. See [`open`].
///
/// # Errors
/// Those of [`open`], and of reading.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of UTF-8 text. See [`open`].
///
/// # Errors
/// Those of [`open`], and of reading; [`io::ErrorKind::InvalidData`] where it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// A regular file that is read.
#[derive(Debug)]
pub struct InputFile(File);

impl InputFile {
    /// The file, for what is not read through it: a mapping, or its properties.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.0
    }
}

impl Read for InputFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        call(Call::Read, || self.0.read(bytes))
    }
}

impl Seek for InputFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Length for InputFile {
    fn len(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl ChunkReader for InputFile {
    type T = BufReader<Self>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut file = Self(self.0.try_clone()?);
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(file))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.saturating_add(length as u64);
        // Before memory is taken for them: a length that the file states may be any number.
        if end > self.len() {
            return Err(ParquetError::EOF(format!("bytes {start} to {end} of a file of {} bytes", self.len())));
        }
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}
