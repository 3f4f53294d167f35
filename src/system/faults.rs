//! Faults on purpose: a debug build fails at the n-th call of the system, or dies there.
//!
//! Tests run the binary of a debug build with the variable [`VARIABLE`], which has one of these values:
//! - `trace:FILE` appends the name of every call to a file, one on each line;
//! - `EIO:N`, `ENOSPC:N`, `EINTR:N` (and `EIO:N+` for all calls from there on) let the n-th call fail with that error;
//! - `SHORT:N` writes a half of its bytes, where the n-th call is a write;
//! - `KILL:N` ends the process by SIGKILL before the n-th call;
//! - `HANG:N:FILE` creates a file, and never returns from the n-th call, as a file system that does not answer.
//!
//! Calls are counted from 1, in the order in which one thread makes them. In a release build there are no such faults.

use std::io;

/// The environment variable.
pub const VARIABLE: &str = "SMI_SWEEP_FAULT";

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Reads the properties of a file: `statx`.
    Inspect,
    /// Opens a file or a folder that is there.
    Open,
    /// Creates a file.
    Create,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Flushes a file or a folder to the disk: `fsync`.
    Flush,
    /// Gives a file or a folder its name: `renameat2`, `linkat`.
    Rename,
    /// Makes a folder: `mkdir`.
    MakeFolder,
    /// Removes a file or a folder: `unlink`, `rmdir`.
    Remove,
    /// Lists a folder.
    List,
    /// Locks a file: `flock`.
    Lock,
}

/// How much of a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// A half of the bytes.
    Half,
}

/// Comes before each call.
///
/// # Errors
/// The error that is asked for, in a debug build, at the n-th call.
#[cfg(not(debug_assertions))]
#[inline]
pub fn before(_: Call) -> io::Result<Extent> {
    Ok(Extent::Whole)
}

/// Comes before each call.
///
/// # Errors
/// The error that is asked for, in a debug build, at the n-th call.
#[cfg(debug_assertions)]
pub fn before(call: Call) -> io::Result<Extent> {
    on_purpose::before(call)
}

#[cfg(debug_assertions)]
mod on_purpose {
    use std::fs::OpenOptions;
    use std::io::{self, Write};
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::io::Errno;

    use super::{Call, Extent, VARIABLE};

    enum Action {
        Fail(Errno),
        Shorten,
        Kill,
        Hang(PathBuf),
    }

    enum Plan {
        None,
        Trace(PathBuf),
        At { action: Action, first: u64, last: u64 },
    }

    impl Plan {
        fn read() -> Self {
            let Ok(text) = std::env::var(VARIABLE) else { return Self::None };
            let Some((action, at)) = text.split_once(':') else { return Self::None };
            let (at, file) = at.split_once(':').unwrap_or((at, ""));
            let action = match action {
                "trace" => return Self::Trace(at.into()),
                "EIO" => Action::Fail(Errno::IO),
                "ENOSPC" => Action::Fail(Errno::NOSPC),
                "EINTR" => Action::Fail(Errno::INTR),
                "SHORT" => Action::Shorten,
                "KILL" => Action::Kill,
                "HANG" => Action::Hang(file.into()),
                _ => return Self::None,
            };
            let Ok(first) = at.trim_end_matches('+').parse() else { return Self::None };
            Self::At { action, first, last: if at.ends_with('+') { u64::MAX } else { first } }
        }
    }

    pub(super) fn before(call: Call) -> io::Result<Extent> {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        static CALLS: AtomicU64 = AtomicU64::new(0);
        match PLAN.get_or_init(Plan::read) {
            Plan::None => {}
            Plan::Trace(path) => {
                let mut file = OpenOptions::new().append(true).create(true).open(path)?;
                file.write_all(format!("{call:?}\n").as_bytes())?;
            }
            Plan::At { action, first, last } => {
                let number = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
                if (*first..=*last).contains(&number) {
                    return act(action);
                }
            }
        }
        Ok(Extent::Whole)
    }

    fn act(action: &Action) -> io::Result<Extent> {
        match action {
            Action::Fail(error) => Err((*error).into()),
            Action::Shorten => Ok(Extent::Half),
            Action::Kill => {
                signal_hook::low_level::raise(signal_hook::consts::SIGKILL)?;
                Ok(Extent::Whole)
            }
            Action::Hang(file) => {
                OpenOptions::new().write(true).create(true).truncate(false).open(file)?;
                loop {
                    std::thread::park();
                }
            }
        }
    }
}
