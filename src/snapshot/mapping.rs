//! Files mapped into memory. `unsafe` is needed here to map a file and to release its pages.
//!
//! A snapshot is immutable by contract, and before the engine publishes it checks that no file changed meanwhile (see
//! [`super::SourceFile::unchanged`]). If a file is truncated while it is mapped, the system sends SIGBUS to the
//! process. A program calls [`install_sigbus_handler`] so that it then ends with a clear message; because runs are
//! published by one rename, nothing is published in that case.

#![expect(unsafe_code, reason = "mapping files is what this module is for")]

use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions, UncheckedAdvice};

use crate::error::{Error, ExitCode, Result};

/// A file mapped into memory, for reading only.
#[derive(Debug, Clone)]
pub struct Mapped {
    map: Arc<Mmap>,
}

/// Lets [`Bytes`] share ownership of the mapping.
struct MapOwner(Arc<Mmap>);

impl AsRef<[u8]> for MapOwner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The message for a truncated file. It is written from a signal handler, so it must be a constant.
const TRUNCATED: &[u8] =
    b"smi-sweep: a file of the snapshot was cut short while it was read; nothing was published\n  \
    help: sweep a snapshot that no other program writes to\n";

/// Installs a SIGBUS handler: if a mapped file is truncated or its disk fails, the process prints one line and exits
/// with the code of a refused snapshot.
pub fn install_sigbus_handler() {
    let end = || {
        // SAFETY: descriptor 2 is standard error, borrowed for one call; were it closed, the call would fail.
        let stderr = unsafe { BorrowedFd::borrow_raw(2) };
        let _ = rustix::io::write(stderr, TRUNCATED);
        signal_hook::low_level::exit(ExitCode::Snapshot as i32);
    };
    // SAFETY: the handler does only what a handler may: one `write` of a constant and `_exit`. It allocates nothing and
    // takes no lock. It never returns, so that the access which failed is not tried again.
    let _ = unsafe { signal_hook::low_level::register(signal_hook::consts::SIGBUS, end) };
}

impl Mapped {
    /// Maps a file, and returns its metadata, too. An empty file maps to no bytes.
    ///
    /// # Errors
    /// A file that cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<(Self, Metadata)> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("inspect", path))?;
        // SAFETY: the bytes are only read, as untrusted input, through code that checks every length. The caller of the
        // engine guarantees that no process writes to a snapshot during a sweep; `SourceFile::unchanged` checks this
        // before anything is published.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(Error::io("map into memory", path))?;
        Ok((Self { map: Arc::new(map) }, metadata))
    }

    /// The whole file.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.map
    }

    /// The whole file as shared bytes, for readers that need owned bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes::from_owner(MapOwner(Arc::clone(&self.map)))
    }

    /// Advises the system that these bytes are needed soon. A failure is ignored.
    pub fn will_need(&self, range: Range<usize>) {
        let _ = self.map.advise_range(Advice::WillNeed, range.start, range.len());
    }

    /// Gives the memory of these bytes back to the system. They can be read again, usually from the page cache.
    pub fn release(&self, range: Range<usize>) {
        let range = range.start.min(self.map.len())..range.end.min(self.map.len());
        if range.is_empty() {
            return;
        }
        // SAFETY: the mapping is read-only and backed by a file, so that pages which are dropped come back from the
        // file with the same content. There are no changes of ours that could be lost.
        let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
    }
}
