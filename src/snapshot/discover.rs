//! Finds the files of a snapshot: the files that the user names, and all files in the folders that the user names.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::partitions::PartitionKey;
use super::tables::TableCheck;
use crate::error::{Error, Fault, Place, Result};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path.
    pub path: PathBuf,
    /// Its name in manifests: the path below the folder that the user named, or the file name. Distinct within a
    /// snapshot, and normally independent of where the snapshot is stored.
    pub name: String,
    /// The folder that the user named, if the file was found in one.
    pub root: Option<PathBuf>,
    /// The folders above it whose names have the form `name=value`.
    pub keys: Vec<PartitionKey>,
}

/// The files and folders of a snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// The files, in ascending order of their names.
    pub files: Vec<FoundFile>,
    /// Every folder that was walked. All files in and below these folders are part of the snapshot.
    pub folders: BTreeSet<PathBuf>,
}

/// Finds the files of a snapshot. In folders, names that begin with `.` or `_` are skipped; all other files are part of
/// the snapshot.
///
/// # Errors
/// A path that does not exist, or is neither a file nor a folder; a folder without files; a file or folder that is
/// named twice, directly or through links; a file name that is not UTF-8; a part of a table format, or of a write that
/// has not ended.
pub fn discover(paths: &[PathBuf]) -> Result<Discovered> {
    let mut walk = FolderWalk::default();
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
    make_names_distinct(&mut found.files);
    found.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The metadata of a file or folder. Links are followed, because snapshots are often folders of links to files.
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
struct FolderWalk {
    found: Discovered,
    /// Canonical paths of the files and folders so far, to refuse duplicates and loops of links.
    visited: HashSet<PathBuf>,
    tables: TableCheck,
}

impl FolderWalk {
    /// Notes a path, and returns it without links.
    fn visit(&mut self, path: &Path) -> Result<PathBuf> {
        let real = fs::canonicalize(path).map_err(Error::io("resolve", path))?;
        self.tables.check(path, &real)?;
        if self.visited.insert(real.clone()) { Ok(real) } else { Err(Place::file(path).refuse(Fault::NamedTwice)) }
    }

    fn folder(&mut self, root: &Path, folder: &Path) -> Result<()> {
        self.visit(folder)?;
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
        let keys = PartitionKey::above(path, &self.visit(path)?)?;
        let name = name.to_str().ok_or_else(|| Place::file(path).refuse(Fault::NameNotText))?.to_owned();
        let root = root.map(Path::to_path_buf);
        self.found.files.push(FoundFile { path: path.to_path_buf(), name, root, keys });
        Ok(())
    }
}

/// If files of several folders have the same name, the name of each becomes its path as the user wrote it.
fn make_names_distinct(files: &mut [FoundFile]) {
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
