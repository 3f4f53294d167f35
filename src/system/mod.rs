//! Files of the operating system: the seam through which inputs are opened and outputs are written.
//!
//! Every operation is a [`call`]: one that a signal interrupts is made again, and a debug build can be told to fail at any of
//! them, so that tests try each one; see [`faults`]. An input is opened by [`input::open`], which takes regular files only.
//!
//! For: what has to be the same wherever a file is opened or written. Not for: deciding what an error means.

pub mod faults;
pub mod input;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use faults::{Call, Extent};

/// Makes a call of the system, and makes it again as long as a signal interrupts it.
///
/// # Errors
/// Those of the call.
pub fn call<T>(kind: Call, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match faults::before(kind).and_then(|_| work()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Writes all bytes, in as many calls as it takes.
///
/// # Errors
/// Those of the system, such as a full disk or a limit on the size of files.
pub fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = match faults::before(Call::Write) {
            Ok(Extent::Whole) => file.write(bytes),
            Ok(Extent::Half) => file.write(&bytes[..bytes.len().div_ceil(2)]),
            Err(error) => Err(error),
        };
        match written {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Flushes a file or a folder to the disk.
///
/// # Errors
/// Those of the system.
pub fn flush(path: &Path) -> io::Result<()> {
    let file = call(Call::Open, || File::open(path))?;
    call(Call::Flush, || file.sync_all())
}

/// Whether there is anything of this name, also a link without a target. An empty path is the working directory.
///
/// # Errors
/// Where that cannot be found out.
pub fn exists(path: &Path) -> io::Result<bool> {
    if path.as_os_str().is_empty() {
        return Ok(true);
    }
    match call(Call::Inspect, || fs::symlink_metadata(path)) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}
