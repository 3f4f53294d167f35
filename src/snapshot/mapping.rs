//! Files mapped into memory. `unsafe` is needed here to map a file and to release its pages.
//!
//! A snapshot is immutable by contract, and before the engine publishes it checks that no file changed meanwhile (see
//! [`super::SourceFile::unchanged`]). If a file is truncated while it is mapped, the system sends SIGBUS to the
//! process. A program calls [`install_sigbus_handler`] so that it then ends with a clear message, and leaves nothing
//! behind; because runs are published by one rename, nothing is published in that case.

#![expect(unsafe_code, reason = "mapping files is what this module is for")]

use std::ffi::c_int;
use std::fs::Metadata;
use std::io::{PipeReader, PipeWriter, Read};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions, UncheckedAdvice};
use signal_hook::consts::SIGBUS;

use crate::error::{Error, ExitCode, Result};
use crate::output;
use crate::system::input;

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

/// The message for a truncated file.
const TRUNCATED: &[u8] = b"smi-sweep: a file of the snapshot was cut short while it was read";
/// Its end, if nothing was published before.
const UNPUBLISHED: &[u8] = b"; nothing was published";
const TRUNCATED_HELP: &[u8] = b"\n  help: sweep a snapshot that no other program writes to\n";
/// How long a thread may take that is publishing something at that moment.
const PATIENCE: Duration = Duration::from_millis(500);

// The C library's function for the action of a signal (POSIX.1-2024, `signal`); the program is linked with that library.
unsafe extern "C" {
    fn signal(number: c_int, action: usize) -> usize;
}
/// `SIG_DFL`.
const DEFAULT_ACTION: usize = 0;

/// Installs a SIGBUS handler: if a mapped file is truncated or its disk fails, the process removes what it has not
/// published, prints one line and exits with the code of a refused snapshot.
///
/// A signal handler must not remove files. So a thread waits for it from the beginning; the handler wakes that thread, and
/// never returns. Without that thread, or without its pipe, the handler prints the line and exits.
pub fn install_sigbus_handler() {
    let end = end_after_truncation();
    let handler = move || {
        let Some((wake, wait)) = &end else { exit_truncated(0) };
        let _ = rustix::io::write(wake, &[1]);
        // Nothing is ever written to this pipe, so that the access which failed is not tried again.
        while rustix::io::read(wait, &mut [0]).is_ok_and(|read| read > 0) {}
        exit_truncated(0)
    };
    // The handler of the standard library would come first, and restore the default action: a second thread that reads the
    // missing page would then end the process before it is tidied up.
    // SAFETY: `signal` with the default action has no precondition.
    unsafe { signal(SIGBUS, DEFAULT_ACTION) };
    // SAFETY: the handler does only what a handler may: `write`, `read` and `_exit`. It allocates nothing and takes no lock.
    let _ = unsafe { signal_hook::low_level::register(SIGBUS, handler) };
}

/// Starts the thread that ends the process once a byte is written to the first pipe. The second pipe stays empty.
fn end_after_truncation() -> Option<(PipeWriter, PipeReader)> {
    let (mut woken, wake) = std::io::pipe().ok()?;
    let (wait, never) = std::io::pipe().ok()?;
    let waiting = move || {
        let _open = never;
        if woken.read_exact(&mut [0]).is_ok() {
            exit_truncated(output::abandon(PATIENCE));
        }
    };
    std::thread::Builder::new().name("truncation".into()).spawn(waiting).ok()?;
    Some((wake, wait))
}

/// Prints the line and exits. `published` is the number of files and folders that were published before.
fn exit_truncated(published: u64) -> ! {
    // SAFETY: descriptor 2 is standard error, borrowed for three calls; were it closed, they would fail.
    let stderr = unsafe { BorrowedFd::borrow_raw(2) };
    for text in [TRUNCATED, if published == 0 { UNPUBLISHED } else { b"" }, TRUNCATED_HELP] {
        let _ = rustix::io::write(stderr, text);
    }
    // It runs no destructors and no handlers of the C library, which could wait for the thread that failed.
    signal_hook::low_level::exit(ExitCode::Snapshot as i32)
}

impl Mapped {
    /// Maps a file, and returns its metadata, too. An empty file maps to no bytes.
    ///
    /// # Errors
    /// A file that cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<(Self, Metadata)> {
        let file = input::open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("inspect", path))?;
        // SAFETY: the bytes are only read, as untrusted input, through code that checks every length. The caller of the
        // engine guarantees that no process writes to a snapshot during a sweep; `SourceFile::unchanged` checks this
        // before anything is published.
        let map = unsafe { MmapOptions::new().map(file.file()) }.map_err(Error::io("map into memory", path))?;
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
