//! Which files a snapshot consists of: the paths that the user names, and what lies in folders among them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Fault, Place, Result};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What manifests call it: its path below the folder that was named, or its own name. Distinct in a snapshot, and
    /// the same wherever the snapshot is kept.
    pub name: String,
    /// Its path below the folder that was named, or its own name: what a seal calls it.
    pub relative: String,
    /// The folder that was named, where it lies in one.
    pub root: Option<PathBuf>,
}

/// Finds the files of a snapshot, in the order of their names. Hidden files and folders, and names that begin with `_`,
/// are skipped in folders; everything else there is taken for a snapshot file.
///
/// # Errors
/// A path with nothing there, a folder without files, or a file that is named twice.
pub fn discover(paths: &[PathBuf]) -> Result<Vec<Found>> {
    let mut files = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Place::file(path).refuse(Fault::Absent),
            _ => Error::io("inspect", path)(error),
        })?;
        if metadata.is_dir() {
            let before = files.len();
            walk(path, path, &mut files)?;
            if files.len() == before {
                return Err(Place::file(path).refuse(Fault::NoFiles));
            }
        } else {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            files.push(Found { path: path.clone(), relative: name.clone(), name, root: None });
        }
    }
    refuse_twice(&files)?;
    tell_apart(&mut files);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<Found>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let file_name = entry.file_name();
        if matches!(file_name.as_encoded_bytes().first(), Some(b'.' | b'_')) {
            continue;
        }
        let path = entry.path();
        // Follows links, as a folder of links to files is a common way to put a snapshot together.
        if fs::metadata(&path).map_err(Error::io("inspect", &path))?.is_dir() {
            walk(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push(Found { path, relative: name.clone(), name, root: Some(root.to_path_buf()) });
        }
    }
    Ok(())
}

fn refuse_twice(files: &[Found]) -> Result<()> {
    let mut seen = HashSet::new();
    for file in files {
        let real = fs::canonicalize(&file.path).map_err(Error::io("resolve", &file.path))?;
        if !seen.insert(real) {
            return Err(Place::file(&file.path).refuse(Fault::NamedTwice));
        }
    }
    Ok(())
}

/// Where two folders have files of the same name, all of those are called by the path as the user wrote it.
fn tell_apart(files: &mut [Found]) {
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
