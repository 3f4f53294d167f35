//! One output file: digested while it is written, and never visible half written.
//!
//! The policy for every file that the engine writes:
//! - A file of an [`OutputDirectory`](super::OutputDirectory) is written in place ([`OutputFile::create`]); the directory
//!   is flushed and renamed as a whole.
//! - Any other file is written into a hidden file beside it, flushed to the disk, and renamed
//!   ([`OutputFile::atomic`]). If the process ends before, there is no file of that name, or the old one.
//! - The mode is 0644, less what the process's umask takes; private keys have 0600.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};
use serde::Serialize;

use super::staged::{self, Existing, Staged};
use crate::error::{Error, Result};
use crate::system::faults::Call;
use crate::system::{call, flush, write_all};

/// Bytes that are buffered before they are digested and written.
const GATHER: usize = 1 << 20;
/// Mode of files, before the umask.
const MODE: u32 = 0o644;
/// Mode of private keys.
const PRIVATE_MODE: u32 = 0o600;

/// Size and digest of a file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// BLAKE3, in hex.
    pub blake3: String,
}

/// A file being written. It is there, whole, after [`finish`](Self::finish).
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    target: Target,
    gathered: Vec<u8>,
    hasher: blake3::Hasher,
    bytes: u64,
}

#[derive(Debug)]
enum Target {
    InPlace(File),
    Hidden(Staged, Existing),
}

impl Target {
    fn file(&self) -> io::Result<&File> {
        match self {
            Self::InPlace(file) => Ok(file),
            Self::Hidden(staged, _) => staged.handle().ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }
}

impl OutputFile {
    /// Begins a file of a directory that is not published yet.
    ///
    /// # Errors
    /// Where there is a file of that name, or the folder cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file = call(Call::Create, || OpenOptions::new().write(true).create_new(true).mode(MODE).open(path));
        Ok(Self::new(path, Target::InPlace(file.map_err(Error::io("create", path))?)))
    }

    /// Begins a file that appears whole, by one rename, when it is finished.
    ///
    /// # Errors
    /// Where its folder cannot be written.
    pub fn atomic(path: &Path, existing: Existing) -> Result<Self> {
        Self::atomic_through(folder_of(path), path, existing)
    }

    /// As [`atomic`](Self::atomic), with the hidden file in another folder of the same file system. A killed process may
    /// leave the hidden file behind; use this where every file of the target folder is read.
    ///
    /// # Errors
    /// Where `folder` cannot be written.
    pub fn atomic_through(folder: &Path, path: &Path, existing: Existing) -> Result<Self> {
        let staged = Staged::file(folder, name_of(path), MODE).map_err(Error::io("write into", folder))?;
        Ok(Self::new(path, Target::Hidden(staged, existing)))
    }

    fn new(path: &Path, target: Target) -> Self {
        let gathered = Vec::with_capacity(GATHER);
        Self { path: path.to_path_buf(), target, gathered, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// The name that the file has once it is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        let file = self.target.file()?;
        write_all(file, bytes)?;
        // This advice makes the kernel write these bytes to the disk now, while the next ones are encoded, not only when the
        // file is flushed. An error is ignored: it is only advice.
        let _ = fadvise(file, self.bytes, NonZero::new(bytes.len() as u64), Advice::DontNeed);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let outcome = self.pass_on(&gathered);
        gathered.clear();
        self.gathered = gathered;
        outcome
    }

    /// Writes what is left. An atomic file is flushed to the disk and gets its name.
    ///
    /// # Errors
    /// Where the file cannot be written, or its name is taken and [`Existing::Refuse`] was asked for.
    pub fn finish(mut self) -> Result<Written> {
        self.drain().map_err(Error::io("write", &self.path))?;
        if let Target::Hidden(staged, existing) = &self.target {
            publish(staged, &self.path, *existing)?;
        }
        Ok(Written { bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() })
    }

    /// Writes `bytes` and finishes: for a file whose content is in memory.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(mut self, bytes: &[u8]) -> Result<Written> {
        self.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.finish()
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= GATHER {
            self.drain()?;
            self.pass_on(bytes)?;
            return Ok(bytes.len());
        }
        if self.gathered.len() + bytes.len() > GATHER {
            self.drain()?;
        }
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Small pieces are buffered; `finish` writes the rest.
        Ok(())
    }
}

/// Writes a new file that only its owner can read, from its first byte on. The bytes are not copied, so that the caller can
/// wipe them from memory.
///
/// # Errors
/// Where the name is taken, or the folder cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let staged = Staged::file(folder_of(path), name_of(path), PRIVATE_MODE).map_err(Error::io("write", path))?;
    let Some(file) = staged.handle() else { return Err(Error::io("write", path)(io::ErrorKind::NotFound.into())) };
    write_all(file, bytes).map_err(Error::io("write", path))?;
    publish(&staged, path, Existing::Refuse)
}

/// The parent folder of a path; `.` for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that a file can be created in a folder, for callers that write only after long work.
///
/// # Errors
/// Where it cannot.
pub fn check_writable(folder: &Path) -> Result<()> {
    Staged::file(folder, OsStr::new("smi-sweep"), MODE).map(drop).map_err(Error::io("write into", folder))
}

/// Checks that a file that is begun in the folder `from` can be moved into the folder `to`. It leaves nothing behind in `to`, even
/// if the process is killed: the file that it tries has no name (Linux, `O_TMPFILE`).
///
/// # Errors
/// A folder that cannot be written, such as one of a read-only mount, and one of another file system.
pub fn check_movable(from: &Path, to: &Path) -> Result<()> {
    let device = |folder: &Path| folder.metadata().map(|metadata| metadata.dev());
    let check = || {
        tempfile::tempfile_in(to)?;
        if device(from)? == device(to)? { Ok(()) } else { Err(io::Error::from(io::ErrorKind::CrossesDevices)) }
    };
    check().map_err(Error::io("write into", to))
}

/// The last part of a path, which names the hidden file.
fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn publish(staged: &Staged, path: &Path, existing: Existing) -> Result<()> {
    let file = staged.handle().ok_or_else(|| io::ErrorKind::NotFound.into());
    file.and_then(|file| call(Call::Flush, || file.sync_all())).map_err(Error::io("flush to disk", path))?;
    staged::publish(staged.path(), path, existing).map_err(Error::io("write", path))?;
    // The name survives a power failure once the folder is flushed. An error is ignored: the file is complete.
    let _ = flush(folder_of(path));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_has_its_name_only_once_it_is_finished() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        let mut file = OutputFile::atomic(&path, Existing::Refuse).unwrap();
        file.write_all(b"te").unwrap();
        assert!(!path.exists());
        let written = file.finish_with(b"xt").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
        assert_eq!(written, Written { bytes: 4, blake3: blake3::hash(b"text").to_hex().to_string() });
        drop(OutputFile::atomic(&path, Existing::Replace).unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_only_where_that_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        fs::write(&path, "old").unwrap();
        assert!(OutputFile::create(&path).is_err());
        assert!(OutputFile::atomic(&path, Existing::Refuse).unwrap().finish_with(b"new").is_err());
        assert!(write_private(&path, b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        OutputFile::atomic(&path, Existing::Replace).unwrap().finish_with(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn private_files_are_private_and_others_are_alike() {
        let home = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(home.path().join(name)).unwrap().permissions().mode() & 0o777;
        write_private(&home.path().join("key"), b"secret").unwrap();
        OutputFile::create(&home.path().join("a")).unwrap().finish().unwrap();
        OutputFile::atomic(&home.path().join("b"), Existing::Refuse).unwrap().finish().unwrap();
        assert_eq!(mode("key"), 0o600);
        assert_eq!(mode("a"), mode("b"));
        assert_eq!(mode("a") & !0o644, 0);
    }
}
