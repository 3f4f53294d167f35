//! What is not published yet: a hidden file or folder that gets its name by one rename.
//!
//! It is beside its final name, called `.NAME.partial-` and six random characters, and locked while it is in use. A process
//! that is killed leaves it behind without a lock: no command reads it, and the next output of the same name removes it.
//!
//! The process knows all that it has staged. [`abandon`] removes it for a process that has to end at once.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use crate::system::call;
use crate::system::faults::Call;

/// Mode of a directory, before the umask.
const FOLDER_MODE: u32 = 0o755;
/// Bytes of the final name that the hidden name has; a file system takes names of 255 bytes.
const NAME_BYTES: usize = 200;

/// What happens to a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Keep it, and refuse the new file.
    Refuse,
    /// Replace it.
    Replace,
}

/// What this process has staged and published.
#[derive(Debug)]
struct Ledger {
    staged: Vec<PathBuf>,
    published: u64,
}

static LEDGER: Mutex<Ledger> = Mutex::new(Ledger { staged: Vec::new(), published: 0 });

fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what this process has staged, and lets it publish nothing any more: every thread that tries waits for ever. For
/// a process that ends at once. Returns the number of files and folders that it had published before.
///
/// Where a file system does not answer for `patience`, what is staged is left behind, as after a kill.
pub fn abandon(patience: Duration) -> u64 {
    const STEP: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    let ledger = loop {
        match LEDGER.try_lock() {
            Ok(ledger) => break ledger,
            Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if waited < patience => {
                std::thread::sleep(STEP);
                waited += STEP;
            }
            Err(TryLockError::WouldBlock) => return 0,
        }
    };
    for path in &ledger.staged {
        // Other threads may still create files in a folder while it is emptied.
        let gone = |path: &Path| remove(path).is_ok() || fs::symlink_metadata(path).is_err();
        let _ = (0..20).any(|_| gone(path));
    }
    let published = ledger.published;
    std::mem::forget(ledger);
    published
}

/// Removes a file, or a folder with all that is in it.
fn remove(path: &Path) -> io::Result<()> {
    call(Call::Remove, || {
        let folder = fs::symlink_metadata(path)?.is_dir();
        if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    })
}

/// A hidden file or folder. Dropped before it is published, it is removed.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    /// The file, or a handle of the folder. It holds the lock, which shows other processes that it is in use.
    file: Option<File>,
}

impl Staged {
    /// Makes a hidden folder in `home`, for something that will be called `name`.
    ///
    /// # Errors
    /// Where `home` cannot be written.
    pub(super) fn folder(home: &Path, name: &OsStr) -> io::Result<Self> {
        Self::make(home, name, |path| {
            call(Call::MakeFolder, || DirBuilder::new().mode(FOLDER_MODE).create(path))?;
            Ok(call(Call::Open, || File::open(path)).ok())
        })
    }

    /// Makes a hidden file in `home`, for something that will be called `name`. `mode` is its mode before the umask.
    ///
    /// # Errors
    /// Where `home` cannot be written.
    pub(super) fn file(home: &Path, name: &OsStr, mode: u32) -> io::Result<Self> {
        Self::make(home, name, |path| {
            call(Call::Create, || OpenOptions::new().write(true).create_new(true).mode(mode).open(path)).map(Some)
        })
    }

    fn make(home: &Path, name: &OsStr, create: impl Fn(&Path) -> io::Result<Option<File>>) -> io::Result<Self> {
        let prefix = prefix(name);
        remove_stale(home, &prefix);
        loop {
            // Noted before it is there, so that nothing is staged that `abandon` does not know.
            let mut staged = Self { path: home.join(hidden_name(&prefix)?), file: None };
            ledger().staged.push(staged.path.clone());
            match create(&staged.path) {
                // Another process has this name. It must not be removed here.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    ledger().staged.retain(|path| *path != staged.path);
                    std::mem::forget(staged);
                    continue;
                }
                file => staged.file = file?,
            }
            let Some(file) = &staged.file else { return Ok(staged) };
            match call(Call::Lock, || Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)) {
                // Another process may have removed it between its creation and the lock.
                Ok(()) if fs::symlink_metadata(&staged.path).is_ok() => return Ok(staged),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // On a file system without locks nothing is locked, and nothing is removed as left behind.
                Err(_) => return Ok(staged),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file to write into. `None` for a folder that cannot be opened.
    pub(super) fn handle(&self) -> Option<&File> {
        self.file.as_ref()
    }
}

/// Gives what is staged its name: `from` is the path of a [`Staged`], or one below it.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] where the name is taken and `existing` refuses that, and those of the system.
pub(super) fn publish(from: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    let mut ledger = ledger();
    match existing {
        Existing::Replace => call(Call::Rename, || fs::rename(from, to))?,
        Existing::Refuse => rename_new(from, to)?,
    }
    ledger.published += 1;
    Ok(())
}

impl Drop for Staged {
    fn drop(&mut self) {
        let mut ledger = ledger();
        // After publication there is nothing to remove.
        let _ = remove(&self.path);
        ledger.staged.retain(|path| *path != self.path);
    }
}

/// Renames, unless the name is taken.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let renamed = call(Call::Rename, || Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?));
    let lacking = [Errno::INVAL, Errno::NOSYS].map(|errno| Some(errno.raw_os_error()));
    match renamed {
        // A file system that lacks this rename. A plain one refuses a folder that is not empty, and a link any name that is
        // taken.
        Err(error) if lacking.contains(&error.raw_os_error()) => {
            let folder = from.is_dir();
            call(Call::Rename, || if folder { fs::rename(from, to) } else { fs::hard_link(from, to) })
        }
        Err(error) if error.raw_os_error() == Some(Errno::NOTEMPTY.raw_os_error()) => {
            Err(ErrorKind::AlreadyExists.into())
        }
        renamed => renamed,
    }
}

/// What the hidden names of an output begin with.
fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(OsStr::from_bytes(&name.as_bytes()[..name.len().min(NAME_BYTES)]));
    prefix.push(".partial-");
    prefix
}

/// A hidden name that no other process has: the prefix and six random characters.
fn hidden_name(prefix: &OsStr) -> io::Result<OsString> {
    const CHARACTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let random = random.map(|byte| CHARACTERS[usize::from(byte) % CHARACTERS.len()]);
    let mut name = prefix.to_os_string();
    name.push(OsStr::from_bytes(&random));
    Ok(name)
}

/// Removes what killed processes left behind under hidden names of this kind: it has no lock. Errors are ignored.
fn remove_stale(home: &Path, prefix: &OsStr) {
    let entries = call(Call::List, || fs::read_dir(home));
    for entry in entries.into_iter().flatten().flatten() {
        let stale = entry.file_name().as_bytes().starts_with(prefix.as_bytes());
        if !stale || !entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_file()) {
            continue;
        }
        let left = call(Call::Open, || File::open(entry.path()));
        if let Ok(left) = left
            && call(Call::Lock, || Ok(flock(&left, FlockOperation::NonBlockingLockExclusive)?)).is_ok()
        {
            let _ = remove(&entry.path());
        }
    }
}
