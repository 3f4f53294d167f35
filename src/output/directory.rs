//! A directory that appears whole, by one rename, or not at all.
//!
//! Files are written into a hidden directory next to the final one or, where its parents do not exist yet, in the nearest
//! parent that does. It is locked while it is in use. A killed process leaves it behind without a lock; no command reads it,
//! and the next output of the same name removes it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::folder_of;
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::shown;

/// Mode of a directory, before the umask.
const MODE: u32 = 0o755;

/// Name of the seal of a snapshot. A directory that has one is a snapshot: no output may be placed inside it.
pub const SEAL_FILE: &str = "_snapshot.json";

/// A directory being written. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct OutputDirectory {
    out: PathBuf,
    hidden: PathBuf,
    /// The lock, which shows other processes that the hidden directory is in use.
    _lock: Option<File>,
}

impl OutputDirectory {
    /// Begins a directory that will be called `out`, and must not exist.
    ///
    /// # Errors
    /// Where `out` exists already or would be in a sealed snapshot, or its parent cannot be written.
    pub fn create(out: &Path) -> Result<Self> {
        Self::create_outside(out, &[])
    }

    /// As [`create`](Self::create), for output made from a snapshot: `out` must not be in one of the snapshot's folders, where
    /// its files would become part of the snapshot.
    ///
    /// # Errors
    /// As [`create`](Self::create), and where `out` is below a folder of the snapshot.
    pub fn create_outside(out: &Path, snapshot: &[PathBuf]) -> Result<Self> {
        if fs::symlink_metadata(out).is_ok() {
            return Err(taken(out));
        }
        let name = out.file_name().ok_or_else(|| Error::Usage {
            what: format!("{}: not a name for a new directory", shown::path(&out)),
            remedy: "name a directory that does not exist yet".into(),
        })?;
        let home = nearest(out)?;
        refuse_within(out, &home, snapshot)?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".partial-");
        remove_stale(&home, &prefix);
        let (hidden, lock) = locked(&home, &prefix)?;
        Ok(Self { out: out.to_path_buf(), hidden, _lock: lock })
    }

    /// The hidden directory to write into.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.hidden
    }

    /// Flushes all files to the disk in parallel, creates missing parents, and renames the directory to its final name. The
    /// directory survives a power failure after that. Nothing is ever replaced: where two processes write the same name, the
    /// second fails.
    ///
    /// # Errors
    /// Where the disk reports an error, or the name was taken in the meantime.
    pub fn publish(self, pool: &Pool) -> Result<()> {
        let mut paths = vec![self.hidden.clone()];
        walk(&self.hidden, &mut paths)?;
        pool.map(paths, |path| {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("flush to disk", &path))
        })?;
        let parent = folder_of(&self.out);
        let made: Vec<&Path> = parent.ancestors().take_while(|folder| !is_there(folder)).collect();
        let named = fs::create_dir_all(parent).map_err(Error::io("create", parent)).and_then(|()| self.give_name());
        if named.is_err() {
            // Innermost first. A parent that another process uses now is not empty, and remains.
            made.iter().take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
            return named;
        }
        // The name survives a power failure once the parent is flushed. An error is ignored: the directory is complete.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
        Ok(())
    }

    fn give_name(&self) -> Result<()> {
        match renameat_with(CWD, &self.hidden, CWD, &self.out, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => Err(taken(&self.out)),
            // Some file systems lack this rename. A plain rename refuses a target directory that is not empty.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::rename(&self.hidden, &self.out).map_err(Error::io("publish", &self.out))
            }
            Err(error) => Err(Error::io("publish", &self.out)(io::Error::from(error))),
        }
    }
}

impl Drop for OutputDirectory {
    fn drop(&mut self) {
        // After publication there is nothing to remove.
        let _ = fs::remove_dir_all(&self.hidden);
    }
}

/// Whether the path exists. An empty path is the working directory.
fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || fs::symlink_metadata(path).is_ok()
}

/// The nearest parent of `out` that exists.
fn nearest(out: &Path) -> Result<PathBuf> {
    let mut home = folder_of(out);
    while !is_there(home) {
        home = folder_of(home);
    }
    if home.is_dir() {
        Ok(home.to_path_buf())
    } else {
        Err(Error::io("create", folder_of(out))(io::ErrorKind::NotADirectory.into()))
    }
}

/// Refuses an output inside a snapshot's folder: every file there is part of the snapshot.
fn refuse_within(out: &Path, home: &Path, snapshot: &[PathBuf]) -> Result<()> {
    let home = home.canonicalize().map_err(Error::io("inspect", home))?;
    let folders: Vec<PathBuf> = snapshot.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let within =
        home.ancestors().find(|above| folders.iter().any(|folder| folder == above) || above.join(SEAL_FILE).exists());
    let Some(folder) = within else { return Ok(()) };
    Err(Error::Usage {
        what: format!("{} is inside the snapshot {}", shown::path(&out), shown::path(&folder)),
        remedy: "name a directory outside of it: every file in its folder is part of the snapshot".into(),
    })
}

/// Creates a hidden directory and locks it. On a file system without locks it is not locked, and no directory is removed as
/// left behind.
fn locked(home: &Path, prefix: &OsString) -> Result<(PathBuf, Option<File>)> {
    let refuse = |error| Error::io("create a directory in", home)(error);
    loop {
        let hidden = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(MODE))
            .tempdir_in(home)
            .map_err(refuse)?
            .keep();
        let lock = match File::open(&hidden) {
            Ok(lock) => lock,
            Err(_) if hidden.is_dir() => return Ok((hidden, None)),
            Err(_) => continue,
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            // Another process may have removed it between its creation and the lock.
            Ok(()) if hidden.is_dir() => return Ok((hidden, Some(lock))),
            Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(_) => return Ok((hidden, None)),
        }
    }
}

/// Removes hidden directories of the same name without a lock, which killed processes left behind. Errors are ignored.
fn remove_stale(home: &Path, prefix: &OsString) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let stale = entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
        if !stale || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(folder) = File::open(entry.path())
            && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The paths of all entries below a folder.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        paths.push(path.clone());
        if path.is_dir() {
            walk(&path, paths)?;
        }
    }
    Ok(())
}

fn taken(out: &Path) -> Error {
    Error::Usage {
        what: format!("{} exists already", shown::path(&out)),
        remedy: "name a directory that does not exist yet; nothing is ever replaced".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_directory_has_its_name_only_once_it_is_published() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("deep/run");
        let directory = OutputDirectory::create(&out).unwrap();
        fs::write(directory.path().join("a"), "text").unwrap();
        assert!(!out.exists());
        directory.publish(&Pool::new(Some(2))).unwrap();
        assert_eq!(entries(&home.path().join("deep")), ["run"]);
        assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "text");
    }

    #[test]
    fn nothing_is_left_of_a_directory_that_failed() {
        let home = tempfile::tempdir().unwrap();
        let directory = OutputDirectory::create(&home.path().join("run")).unwrap();
        fs::write(directory.path().join("a"), "text").unwrap();
        drop(directory);
        assert!(entries(home.path()).is_empty());
    }

    #[test]
    fn parents_are_made_when_something_is_published_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("a/b/run");
        drop(OutputDirectory::create(&out).unwrap());
        assert!(entries(home.path()).is_empty());
        OutputDirectory::create(&out).unwrap().publish(&Pool::new(Some(1))).unwrap();
        assert_eq!(entries(&home.path().join("a/b")), ["run"]);
        fs::write(home.path().join("file"), "").unwrap();
        assert!(matches!(OutputDirectory::create(&home.path().join("file/run")), Err(Error::Io { .. })));
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_in_use_is_not() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("run");
        let left = home.path().join(".run.partial-killed");
        let other = home.path().join(".other.partial-killed");
        for folder in [&left, &other] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("delete.parquet"), "half").unwrap();
        }
        let in_use = OutputDirectory::create(&out).unwrap();
        assert!(!left.exists() && other.exists());
        let second = OutputDirectory::create(&out).unwrap();
        assert!(in_use.path().exists() && second.path().exists());
        in_use.publish(&Pool::new(Some(1))).unwrap();
        drop(second);
        assert_eq!(entries(home.path()), [".other.partial-killed", "run"]);
    }

    #[test]
    fn nothing_is_put_into_a_snapshot() {
        let home = tempfile::tempdir().unwrap();
        let estate = home.path().join("estate");
        fs::create_dir_all(estate.join("north")).unwrap();
        let within = estate.join("north/new/run");
        assert!(matches!(
            OutputDirectory::create_outside(&within, std::slice::from_ref(&estate)),
            Err(Error::Usage { .. })
        ));
        assert!(
            OutputDirectory::create_outside(&home.path().join("estate-run"), std::slice::from_ref(&estate)).is_ok()
        );
        assert!(OutputDirectory::create(&within).is_ok());
        // A seal marks a folder as a snapshot, for every kind of output.
        fs::write(estate.join(SEAL_FILE), "{}").unwrap();
        assert!(matches!(OutputDirectory::create(&within), Err(Error::Usage { .. })));
        assert!(!within.parent().unwrap().exists());
    }

    #[test]
    fn what_is_there_is_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("run");
        let directory = OutputDirectory::create(&out).unwrap();
        // Another process takes the name first, with an empty directory.
        fs::create_dir(&out).unwrap();
        assert!(matches!(directory.publish(&Pool::new(Some(1))), Err(Error::Usage { .. })));
        assert!(matches!(OutputDirectory::create(&out), Err(Error::Usage { .. })));
        assert!(matches!(OutputDirectory::create(Path::new("..")), Err(Error::Usage { .. })));
        assert_eq!(entries(home.path()), ["run"]);
    }
}
