//! The bytes of a file: mapped into memory, or read into memory of our own.
//!
//! A mapped file is shared with every program that writes to it: what is decoded may differ from what was verified a
//! moment before, and only the identity of the file shows that (see [`super::SourceFile::unchanged`]). Bytes that are
//! read are a copy: they are verified and decoded as they are, whatever happens to the file.

use std::fs::Metadata;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::mapping::Mapped;
use crate::error::{Error, Fault, Place, Result};
use crate::system::call;
use crate::system::faults::Call;
use crate::system::input::{self, InputFile};

/// How the bytes of a snapshot come into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Io {
    /// Files are mapped: the fastest, and the least memory.
    #[default]
    Mmap,
    /// Bytes are read into memory once, and verified and decoded there. Memory for a worker: the column chunks of one row
    /// group that it reads.
    Read,
}

/// An open file.
#[derive(Debug)]
pub enum FileContent {
    /// Mapped.
    Mapped(Mapped),
    /// To be read.
    Read(OpenFile),
}

/// A file that is read by position.
#[derive(Debug)]
pub struct OpenFile {
    file: InputFile,
    path: PathBuf,
    bytes: usize,
}

/// Some bytes of a file.
#[derive(Debug, Clone)]
pub enum FileBytes<'f> {
    /// In the mapping.
    Mapped(&'f [u8]),
    /// A copy.
    Read(Bytes),
}

impl Deref for FileBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Read(bytes) => bytes,
        }
    }
}

impl FileContent {
    /// Opens a file, and returns its metadata, too.
    ///
    /// # Errors
    /// A file that cannot be opened or mapped.
    pub fn open(path: &Path, io: Io) -> Result<(Self, Metadata)> {
        if io == Io::Mmap {
            let (map, metadata) = Mapped::open(path)?;
            return Ok((Self::Mapped(map), metadata));
        }
        let file = input::open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("inspect", path))?;
        let bytes = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        Ok((Self::Read(OpenFile { file, path: path.to_path_buf(), bytes }), metadata))
    }

    /// Size in bytes, when it was opened.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Mapped(map) => map.as_slice().len(),
            Self::Read(file) => file.bytes,
        }
    }

    /// The bytes of a range that is within the file.
    ///
    /// # Errors
    /// A file that cannot be read, or is shorter now.
    pub fn bytes(&self, range: Range<usize>) -> Result<FileBytes<'_>> {
        match self {
            Self::Mapped(map) => Ok(FileBytes::Mapped(&map.as_slice()[range])),
            Self::Read(file) => file.read(range).map(FileBytes::Read),
        }
    }

    /// The same bytes with shared ownership. `bytes` are of this file.
    #[must_use]
    pub fn shared(&self, bytes: &FileBytes<'_>) -> Bytes {
        match (self, bytes) {
            (Self::Mapped(map), FileBytes::Mapped(bytes)) => map.bytes().slice_ref(bytes),
            (_, FileBytes::Mapped(bytes)) => Bytes::copy_from_slice(bytes),
            (_, FileBytes::Read(bytes)) => bytes.clone(),
        }
    }

    /// Advises the system that these bytes are needed soon.
    pub fn will_need(&self, range: Range<usize>) {
        if let Self::Mapped(map) = self {
            map.will_need(range);
        }
    }

    /// Gives the memory of these bytes back to the system, if they are mapped.
    pub fn release(&self, range: Range<usize>) {
        if let Self::Mapped(map) = self {
            map.release(range);
        }
    }
}

impl OpenFile {
    fn read(&self, range: Range<usize>) -> Result<Bytes> {
        let mut bytes = vec![0; range.len()];
        let mut done = 0;
        while done < bytes.len() {
            let at = (range.start + done) as u64;
            match call(Call::Read, || self.file.file().read_at(&mut bytes[done..], at)) {
                Ok(0) => return Err(Place::file(&self.path).refuse(Fault::Changed)),
                Ok(read) => done += read,
                Err(error) => return Err(Error::io("read", &self.path)(error)),
            }
        }
        Ok(bytes.into())
    }
}
