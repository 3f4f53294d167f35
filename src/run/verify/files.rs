//! Verifies the files of a run directory against its record: names, sizes, digests and numbers of rows.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::run::manifest::{ALERTS, DELETE, QUARANTINE};
use crate::run::page::PAGE;
use crate::run::record::{RECORD, Record};
use crate::shown;
use crate::system::input;

/// The folder of approvals. It is not verified here: [`approval`](crate::approval) checks its files.
pub const APPROVALS: &str = "approvals";
/// The outcome of a load, written into the run directory by `smi-sweep load`.
pub const LOADED: [&str; 2] = ["load.json", "load-outcome.parquet"];

pub(in crate::run) fn refuse(path: &Path, what: impl Into<String>) -> Error {
    Error::Verification { path: path.to_path_buf(), what: what.into() }
}

/// The names of a folder's entries, sorted.
pub(in crate::run) fn entries(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        names.push(entry.map_err(Error::io("list", folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Refuses a directory with files that do not belong to a run.
pub(in crate::run) fn files(folder: &Path, record: &Record) -> Result<()> {
    let mut recorded: Vec<&str> = record.outputs.iter().map(|output| output.path.as_str()).collect();
    recorded.sort_unstable();
    let mut wanted = [DELETE, ALERTS, QUARANTINE];
    wanted.sort_unstable();
    if recorded != wanted {
        return Err(refuse(&folder.join(RECORD), format!("names the outputs {}", recorded.join(", "))));
    }
    for name in entries(folder)? {
        let allowed = [RECORD, PAGE, APPROVALS].contains(&name.as_str()) || LOADED.contains(&name.as_str());
        if !allowed && !wanted.contains(&name.as_str()) {
            return Err(refuse(&folder.join(&name), "is not of this run: a file too many"));
        }
        let path = folder.join(&name);
        if name != APPROVALS && !fs::symlink_metadata(&path).map_err(Error::io("inspect", &path))?.is_file() {
            return Err(refuse(&path, "is not a regular file"));
        }
    }
    Ok(())
}

/// Compares the size and digest of the page with the record, where that has them: records of earlier versions do not.
pub(super) fn page(folder: &Path, record: &Record) -> Result<()> {
    let Some(page) = &record.page else { return Ok(()) };
    if page.path != PAGE {
        return Err(refuse(&folder.join(RECORD), format!("names the page {}", shown::value(&page.path))));
    }
    same_bytes(&folder.join(PAGE), page.bytes, &page.blake3)
}

/// Compares the size and digest of a manifest with the record. Returns the digest, BLAKE3 in hex.
///
/// # Errors
/// [`Error::Verification`] where they differ, or the file is missing.
pub fn digest(folder: &Path, record: &Record, name: &str) -> Result<String> {
    let path = folder.join(name);
    let Some(output) = record.outputs.iter().find(|output| output.path == name) else {
        return Err(refuse(&folder.join(RECORD), format!("does not name {name}")));
    };
    same_bytes(&path, output.bytes, &output.blake3)?;
    Ok(output.blake3.clone())
}

/// Refuses a file that does not have this size and digest.
fn same_bytes(path: &Path, bytes: u64, blake3: &str) -> Result<()> {
    let mut file = input::open(path).map_err(Error::run_file(path))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => drop(hasher.update(&buffer[..read])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    if hasher.count() != bytes {
        return Err(refuse(path, format!("has {} bytes, recorded are {bytes}", hasher.count())));
    }
    let found = hasher.finalize().to_hex();
    if found.as_str() != blake3 {
        return Err(refuse(path, format!("has digest {found}, recorded is {}", shown::value(blake3))));
    }
    Ok(())
}

pub(in crate::run) fn rows_as_recorded(path: &Path, record: &Record, footer: u64, counted: u64) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let recorded = record.outputs.iter().find(|output| *output.path == *name).map_or(0, |output| output.rows);
    if footer == counted && counted == recorded {
        return Ok(());
    }
    Err(refuse(path, format!("has {counted} rows, {footer} by its footer, {recorded} by the record")))
}
