//! A directory that appears whole, by one rename, or not at all.
//!
//! Files are written into a hidden sibling of the final directory, on the same file system. A process that is killed
//! leaves at most that sibling behind, whose name says what it is; nobody reads it, and it may be removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::{Error, Result};
use crate::pool::Pool;

/// A directory in the making. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct Staging {
    out: PathBuf,
    parent: PathBuf,
    hidden: PathBuf,
}

impl Staging {
    /// Begins a directory that will be called `out`, and must not exist. Its parents are made where they are missing.
    ///
    /// # Errors
    /// Where `out` exists already, or nothing can be written beside it.
    pub fn new(out: &Path) -> Result<Self> {
        if fs::symlink_metadata(out).is_ok() {
            return Err(taken(out));
        }
        let name = out.file_name().ok_or_else(|| Error::Usage {
            what: format!("{}: not a name for a new directory", out.display()),
            remedy: "name a directory that does not exist yet".into(),
        })?;
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        prefix.push(".partial-");
        let hidden = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&parent)
            .map_err(Error::io("create a directory in", &parent))?
            .keep();
        // Temporary directories are private; a run is as readable as any other file of the user.
        let staging = Self { out: out.to_path_buf(), parent, hidden };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&staging.hidden, mode).map_err(Error::io("set permissions of", &staging.hidden))?;
        }
        Ok(staging)
    }

    /// Where to write.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.hidden
    }

    /// Waits until everything within has reached the disk, all files at the same time, so that a power failure after
    /// [`publish`](Self::publish) finds the directory whole as well. The end of a process alone needs no such care.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn sync(&self, pool: &Pool) -> Result<()> {
        let mut paths = vec![self.hidden.clone()];
        walk(&self.hidden, &mut paths)?;
        pool.map(paths, |path| {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("flush to disk", &path))
        })?;
        Ok(())
    }

    /// Gives the directory its name. Nothing is ever replaced: of two runs to one name, the second fails.
    ///
    /// # Errors
    /// Where the name was taken meanwhile, or the file system refuses.
    pub fn publish(self) -> Result<()> {
        match renameat_with(CWD, &self.hidden, CWD, &self.out, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => return Err(taken(&self.out)),
            // Some file systems know no such rename; a plain one refuses a directory that is not empty.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::rename(&self.hidden, &self.out).map_err(Error::io("publish", &self.out))?;
            }
            Err(error) => return Err(Error::io("publish", &self.out)(io::Error::from(error))),
        }
        // The name is lasting once the parent is; that this fails changes nothing about what is there.
        let _ = File::open(&self.parent).and_then(|parent| parent.sync_all());
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone already where it was published.
        let _ = fs::remove_dir_all(&self.hidden);
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
        let staging = Staging::new(&out).unwrap();
        fs::write(staging.path().join("a"), "text").unwrap();
        assert!(!out.exists());
        staging.sync(&Pool::new(Some(2))).unwrap();
        staging.publish().unwrap();
        assert_eq!(entries(&home.path().join("deep")), ["run"]);
        assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "text");
    }

    #[test]
    fn nothing_is_left_of_a_directory_that_failed() {
        let home = tempfile::tempdir().unwrap();
        let staging = Staging::new(&home.path().join("run")).unwrap();
        fs::write(staging.path().join("a"), "text").unwrap();
        drop(staging);
        assert!(entries(home.path()).is_empty());
    }

    #[test]
    fn what_is_there_is_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("run");
        let staging = Staging::new(&out).unwrap();
        // Somebody else is faster, if only with an empty directory.
        fs::create_dir(&out).unwrap();
        assert!(matches!(staging.publish(), Err(Error::Usage { .. })));
        assert!(matches!(Staging::new(&out), Err(Error::Usage { .. })));
        assert!(matches!(Staging::new(Path::new("..")), Err(Error::Usage { .. })));
        assert_eq!(entries(home.path()), ["run"]);
    }
}
