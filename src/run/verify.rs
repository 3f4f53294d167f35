//! Verifies a run directory against its record: every file is digested, every row is judged, every figure is recounted.
//!
//! What is verified: the directory holds the files that the record names and no other; each has the size, rows and
//! digest recorded; each deletion is due under the recorded policy at the recorded moment, is of a type that may be
//! deleted, occurs once and in order, and is of no Device ID that was quarantined as a duplicate; the alerts are those
//! that the deletions call for, in order; the quarantined rows are as many as were counted, by reason and type; cutoffs
//! follow from the policy, its guards let the figures pass, and all figures add up. What cannot be verified without the
//! snapshot: rows that are missing from all manifests and, where the snapshot has roles, whether the party's role made a
//! deletion silent.
//!
//! The delete and the alert manifest are read at the same time. Of each alert 32 bytes from each of them are in memory; all
//! else is streamed.

mod basis;
mod due;
mod figures;
mod files;
mod inputs;
mod quarantine;

use std::path::{Path, PathBuf};

use super::manifest::{ALERTS, DELETE, QUARANTINE};
use super::record::{RECORD, Record};
use crate::error::{Error, Result};
use crate::pool::Pool;
use files::{entries, refuse};

pub(super) use basis::{Basis, canonical};
pub use files::{APPROVALS, LOADED, digest};

/// A run that agrees with its record.
#[derive(Debug)]
pub struct Verified {
    /// The run directory.
    pub path: PathBuf,
    /// Its record.
    pub record: Record,
}

/// Verifies a run directory, or each one in a folder of runs of several policies.
///
/// # Errors
/// [`Error::Verification`], with the file and what differs, at the first difference.
pub fn verify(folder: &Path, pool: &Pool) -> Result<Vec<Verified>> {
    if folder.join(RECORD).exists() {
        return Ok(vec![verify_run(folder, pool)?]);
    }
    let within = if folder.is_dir() { entries(folder)? } else { Vec::new() };
    let folders: Vec<PathBuf> = within
        .iter()
        .filter(|name| !name.starts_with('.'))
        .map(|name| folder.join(name))
        .filter(|path| path.is_dir())
        .collect();
    if !folders.iter().any(|path| path.join(RECORD).exists()) {
        return Err(Error::NoRun(folder.to_path_buf()));
    }
    folders.iter().map(|path| verify_run(path, pool)).collect()
}

fn verify_run(folder: &Path, pool: &Pool) -> Result<Verified> {
    let record = Record::read(folder)?;
    let refuse_record = |what: String| refuse(&folder.join(RECORD), what);
    figures::figures(&record).map_err(refuse_record)?;
    files::files(folder, &record)?;
    files::page(folder, &record)?;
    pool.map(vec![DELETE, ALERTS, QUARANTINE], |name| digest(folder, &record, name))?;
    let basis = Basis::of(folder, &record)?;
    inputs::inputs(&record, &basis.policy).map_err(refuse_record)?;
    figures::follows(&record, &basis.policy, &basis.rules).map_err(refuse_record)?;
    let duplicates = quarantine::quarantine(folder, &basis.policy, &record)?;
    let (deletes, alerts) =
        pool.join(|| due::deletes(folder, &basis, &record, &duplicates), || due::alerts(folder, &basis, &record));
    due::same_alerts(folder, &deletes?, alerts?)?;
    Ok(Verified { path: folder.to_path_buf(), record })
}
