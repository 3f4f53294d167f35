//! Which files a snapshot consists of: the paths that the user names, and what lies in folders among them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Fault, Place, Result};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// What manifests call it: its path below the folder that was named, or its own name. Distinct in a snapshot, and
    /// the same wherever the snapshot is kept.
    pub name: String,
    /// The folder that was named, where it lies in one.
    pub root: Option<PathBuf>,
}

/// What a snapshot consists of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// The files, in the order of their names.
    pub files: Vec<FoundFile>,
    /// Every folder that was walked: what lies in it, and below it, is all of the snapshot's.
    pub folders: BTreeSet<PathBuf>,
}

/// Finds the files of a snapshot. Hidden files and folders, and names that begin with `_`, are skipped in folders;
/// everything else there is taken for a snapshot file.
///
/// # Errors
/// A path with nothing there, or with something else than a file or a folder; a folder without files; a file or folder
/// that is named twice, directly or through links.
pub fn discover(paths: &[PathBuf]) -> Result<Discovered> {
    let mut walk = Walk::default();
    for path in paths {
        if inspect(path)?.is_dir() {
            let before = walk.found.files.len();
            walk.folder(path, path)?;
            if walk.found.files.len() == before {
                return Err(Place::file(path).refuse(Fault::NoFiles));
            }
        } else {
            let name = path.file_name().map_or(path.as_path(), Path::new);
            walk.file(path, name, None)?;
        }
    }
    let mut found = walk.found;
    tell_apart(&mut found.files);
    found.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// What is at a path: a file or a folder. Links are followed, as a folder of links to files is a common way to put a
/// snapshot together.
fn inspect(path: &Path) -> Result<Metadata> {
    let refuse = |fault| Err(Place::file(path).refuse(fault));
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() || metadata.is_dir() => Ok(metadata),
        Ok(_) => refuse(Fault::NotAFile),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|link| link.is_symlink()) => refuse(Fault::DeadLink),
        Err(error) if error.kind() == ErrorKind::NotFound => refuse(Fault::Absent),
        Err(error) => Err(Error::io("inspect", path)(error)),
    }
}

#[derive(Default)]
struct Walk {
    found: Discovered,
    /// Canonical paths of the files and folders seen so far: refuses duplicates and loops of links.
    met: HashSet<PathBuf>,
}

impl Walk {
    fn meet(&mut self, path: &Path) -> Result<()> {
        let real = fs::canonicalize(path).map_err(Error::io("resolve", path))?;
        if self.met.insert(real) { Ok(()) } else { Err(Place::file(path).refuse(Fault::NamedTwice)) }
    }

    fn folder(&mut self, root: &Path, folder: &Path) -> Result<()> {
        self.meet(folder)?;
        for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let entry = entry.map_err(Error::io("list", folder))?;
            if matches!(entry.file_name().as_encoded_bytes().first(), Some(b'.' | b'_')) {
                continue;
            }
            let path = entry.path();
            if inspect(&path)?.is_dir() {
                self.folder(root, &path)?;
            } else {
                self.file(&path, path.strip_prefix(root).unwrap_or(&path), Some(root))?;
            }
        }
        self.found.folders.insert(folder.to_path_buf());
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &Path, root: Option<&Path>) -> Result<()> {
        self.meet(path)?;
        let name = name.to_str().ok_or_else(|| Place::file(path).refuse(Fault::NameNotText))?.to_owned();
        let root = root.map(Path::to_path_buf);
        self.found.files.push(FoundFile { path: path.to_path_buf(), name, root });
        Ok(())
    }
}

/// Where two folders have files of the same name, all of those are called by the path as the user wrote it.
fn tell_apart(files: &mut [FoundFile]) {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for file in files.iter() {
        *count.entry(file.name.clone()).or_default() += 1;
    }
    for file in files {
        if count.get(&file.name).is_some_and(|&n| n > 1) {
            file.name = file.path.to_string_lossy().into_owned();
        }
    }
}
