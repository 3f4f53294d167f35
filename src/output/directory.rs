//! A directory that appears whole, by one rename, or not at all.
//!
//! Files are written into a hidden directory next to the final one. Where its parents do not exist yet, they are made within the
//! hidden directory, in the nearest parent that does exist, and the same rename gives all of them their names: no parent is left
//! behind of an output that is not published.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder_of;
use super::staged::{self, Existing, Staged};
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::shown;
use crate::system::faults::Call;
use crate::system::{call, exists, flush};

/// Name of the seal of a snapshot. A directory that has one is a snapshot: no output may be placed inside it.
pub const SEAL_FILE: &str = "_snapshot.json";

/// A directory being written. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct OutputDirectory {
    out: PathBuf,
    /// The directory to write into: the hidden one, or one in it.
    inside: PathBuf,
    /// What the hidden directory is renamed to: `out`, or the first of its parents that did not exist.
    first: PathBuf,
    hidden: Staged,
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
        if exists(out).map_err(Error::io("inspect", out))? {
            return Err(taken(out));
        }
        let (home, missing) = nearest(out)?;
        refuse_within(out, &home, snapshot)?;
        let first = missing.first().map(OsString::as_os_str).unwrap_or_default();
        let hidden = Staged::folder(&home, first).map_err(Error::io("create a directory in", &home))?;
        let mut inside = hidden.path().to_path_buf();
        for name in missing.iter().skip(1) {
            inside.push(name);
            call(Call::MakeFolder, || fs::create_dir(&inside)).map_err(Error::io("create", out))?;
        }
        Ok(Self { out: out.to_path_buf(), inside, first: home.join(first), hidden })
    }

    /// The hidden directory to write into.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inside
    }

    /// Flushes all files to the disk in parallel, and renames the directory to its final name. The directory survives a
    /// power failure after that. Nothing is ever replaced: where two processes write the same name, the second fails.
    ///
    /// # Errors
    /// Where the disk reports an error, or the name was taken in the meantime.
    pub fn publish(self, pool: &Pool) -> Result<()> {
        let mut paths = vec![self.hidden.path().to_path_buf()];
        walk(self.hidden.path(), &mut paths)?;
        pool.map(paths, |path| flush(&path).map_err(Error::io("flush to disk", &path)))?;
        match staged::publish(self.hidden.path(), &self.first, Existing::Refuse) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.publish_below()?,
            named => named.map_err(Error::io("publish", &self.out))?,
        }
        // The name survives a power failure once its folder is flushed. An error is ignored: the directory is complete.
        let _ = flush(folder_of(&self.first));
        Ok(())
    }

    /// Publishes where another process has made the first missing parent in the meantime, or has taken the name.
    fn publish_below(&self) -> Result<()> {
        if self.inside == self.hidden.path() {
            return Err(taken(&self.out));
        }
        let parent = folder_of(&self.out);
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        staged::publish(&self.inside, &self.out, Existing::Refuse).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.out),
            _ => Error::io("publish", &self.out)(error),
        })?;
        let _ = flush(parent);
        Ok(())
    }
}

/// The nearest parent of `out` that exists, and the names from there to `out`.
fn nearest(out: &Path) -> Result<(PathBuf, Vec<OsString>)> {
    let name_of = |path: &Path| {
        path.file_name().map(OsStr::to_os_string).ok_or_else(|| Error::Usage {
            what: format!("{}: not a name for a new directory", shown::path(out)),
            remedy: "name a directory that does not exist yet, without `..`".into(),
        })
    };
    let mut missing = vec![name_of(out)?];
    let mut home = folder_of(out);
    while !exists(home).map_err(Error::io("inspect", home))? {
        missing.push(name_of(home)?);
        home = folder_of(home);
    }
    missing.reverse();
    if home.is_dir() {
        Ok((home.to_path_buf(), missing))
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

/// The paths of all entries below a folder.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in call(Call::List, || fs::read_dir(folder)).map_err(Error::io("list", folder))? {
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
