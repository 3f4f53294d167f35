//! Inputs are regular files.
//!
//! A pipe without a writer, a device or a socket in the place of a file would block the process at `open` or at the first
//! read, or never end. Such a file is opened without waiting for it, and refused.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};

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
        None => Ok(InputFile { file, failure: ReadFailure::default() }),
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
pub struct InputFile {
    file: File,
    failure: ReadFailure,
}

/// The first failure to read a file, for callers of a decoder: its errors are texts, and a disk that fails is no damage.
#[derive(Debug, Clone, Default)]
pub struct ReadFailure(Arc<OnceLock<io::Error>>);

impl ReadFailure {
    /// The failure, if there was one.
    #[must_use]
    pub fn get(&self) -> Option<io::Error> {
        let error = self.0.get()?;
        Some(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error))
    }
}

impl InputFile {
    /// What tells of a failure to read this file, also after a decoder has taken it.
    #[must_use]
    pub fn failure(&self) -> ReadFailure {
        self.failure.clone()
    }

    /// The properties of the open file: the file cannot be exchanged between a look at them and the reading.
    ///
    /// # Errors
    /// Those of the system.
    pub fn metadata(&self) -> io::Result<Metadata> {
        call(Call::Inspect, || self.file.metadata())
    }

    /// The file, for what is not read through it, such as a mapping.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }
}

impl Read for InputFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        call(Call::Read, || self.file.read(bytes)).inspect_err(|error| {
            let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            // Only the first is kept.
            let _ = self.failure.0.set(copy);
        })
    }
}

impl Seek for InputFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Length for InputFile {
    fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl ChunkReader for InputFile {
    type T = BufReader<Self>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut file = Self { file: self.file.try_clone()?, failure: self.failure.clone() };
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
