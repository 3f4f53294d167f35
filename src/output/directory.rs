//! A directory that appears whole, by one rename, or not at all.
//!
//! Files are written into a hidden directory on the same file system: beside the final one, or, where its parents are
//! not there yet, in the nearest of them that is. It is locked while it is in use. A process that is killed leaves it
//! behind, unlocked; no command reads it, and the next run of the same name removes it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::folder_of;
use crate::error::{Error, Result};
use crate::pool::Pool;

/// Mode of a directory, before the umask.
const MODE: u32 = 0o755;

/// Name of the seal of a snapshot. A directory that has one is a snapshot: no output may be placed inside it.
pub const SEAL_FILE: &str = "_snapshot.json";

/// A directory being written. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct OutputDirectory {
    out: PathBuf,
    hidden: PathBuf,
    /// Keeps others from taking the hidden directory for one that was left behind.
    _lock: Option<File>,
}

impl OutputDirectory {
    /// Begins a directory that will be called `out`, and must not exist.
    ///
    /// # Errors
    /// Where `out` exists already, would lie in a sealed snapshot, or nothing can be written where it will be.
    pub fn create(out: &Path) -> Result<Self> {
        Self::create_outside(out, &[])
    }

    /// As [`create`](Self::create), for something that is made from a snapshot: `out` must not lie in one of its folders,
    /// whose files it would join.
    ///
    /// # Errors
    /// As [`create`](Self::create), and where `out` lies below a folder of the snapshot.
    pub fn create_outside(out: &Path, snapshot: &[PathBuf]) -> Result<Self> {
        if fs::symlink_metadata(out).is_ok() {
            return Err(taken(out));
        }
        let name = out.file_name().ok_or_else(|| Error::Usage {
            what: format!("{}: not a name for a new directory", out.display()),
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

    /// Where to write.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.hidden
    }

    /// Waits until everything within has reached the disk, all files at the same time, gives the directory its name, and
    /// makes its parents where they are missing. A power failure afterwards finds the directory whole. Nothing is ever
    /// replaced: of two runs to one name, the second fails.
    ///
    /// # Errors
    /// Where the disk refuses, or the name was taken meanwhile.
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
            // Innermost first; one that another process uses by now is not empty, and stays.
            made.iter().take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
            return named;
        }
        // The name is lasting once the parent is flushed; that this fails changes nothing about what is there.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
        Ok(())
    }

    fn give_name(&self) -> Result<()> {
        match renameat_with(CWD, &self.hidden, CWD, &self.out, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => Err(taken(&self.out)),
            // Some file systems know no such rename; a plain one refuses a directory that is not empty.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::rename(&self.hidden, &self.out).map_err(Error::io("publish", &self.out))
            }
            Err(error) => Err(Error::io("publish", &self.out)(io::Error::from(error))),
        }
    }
}

impl Drop for OutputDirectory {
    fn drop(&mut self) {
        // Gone already where it was published.
        let _ = fs::remove_dir_all(&self.hidden);
    }
}

/// Whether there is something of this name. The empty name is that of the working directory.
fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || fs::symlink_metadata(path).is_ok()
}

/// The innermost folder above `out` that is there.
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

/// A snapshot is what lies in its folder: nothing may be added to it.
fn refuse_within(out: &Path, home: &Path, snapshot: &[PathBuf]) -> Result<()> {
    let home = home.canonicalize().map_err(Error::io("inspect", home))?;
    let folders: Vec<PathBuf> = snapshot.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let within =
        home.ancestors().find(|above| folders.iter().any(|folder| folder == above) || above.join(SEAL_FILE).exists());
    let Some(folder) = within else { return Ok(()) };
    Err(Error::Usage {
        what: format!("{} lies in the snapshot {}", out.display(), folder.display()),
        remedy: "name a directory outside of it: whatever lies in its folder is part of a snapshot".into(),
    })
}

/// Makes a hidden directory and locks it. Where the file system knows no locks there is none, and nothing is ever
/// taken for left behind either.
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
            // Between its creation and its lock another process may have removed it as left behind.
            Ok(()) if hidden.is_dir() => return Ok((hidden, Some(lock))),
            Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(_) => return Ok((hidden, None)),
        }
    }
}

/// Removes what killed runs of the same name left behind: hidden directories without a lock. What cannot
/// be removed does no harm.
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

/// Everything below a folder.
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
        what: format!("{} exists already", out.display()),
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
        // Somebody else is faster, if only with an empty directory.
        fs::create_dir(&out).unwrap();
        assert!(matches!(directory.publish(&Pool::new(Some(1))), Err(Error::Usage { .. })));
        assert!(matches!(OutputDirectory::create(&out), Err(Error::Usage { .. })));
        assert!(matches!(OutputDirectory::create(Path::new("..")), Err(Error::Usage { .. })));
        assert_eq!(entries(home.path()), ["run"]);
    }
}
