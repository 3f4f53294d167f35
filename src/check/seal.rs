//! A check as one call: from the paths of a snapshot to its findings and, on request, its seal.

use std::path::{Path, PathBuf};

use super::flaws::{Checked, check};
use crate::error::{Error, Place, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::Progress;
use crate::scan::Scan;
use crate::scan::unreadable::refuse_unreadable;
use crate::snapshot::{AsOf, DeviceIds, SEAL_FILE, Seal, SealContent, Snapshot};

/// The snapshot to check, and whether to seal it.
#[derive(Debug, Clone, Copy)]
pub struct CheckRequest<'a> {
    /// Files and folders of the snapshot; exactly one folder if it is to be sealed.
    pub snapshot: &'a [PathBuf],
    /// The policy whose spellings of columns, types and statuses apply.
    pub policy: &'a Policy,
    /// The time after which dates are in the future. If it is not given, and the snapshot has none either, future dates
    /// are not reported.
    pub as_of: AsOf,
    /// `Some` writes a seal into the folder.
    pub seal: Option<SealRequest>,
}

/// How to seal a snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub struct SealRequest {
    /// When the snapshot was taken, UTC microseconds since 1970; `None` takes the time in its files' metadata.
    pub taken_at: Option<i64>,
    /// Whether to seal a snapshot that has findings.
    pub despite_findings: bool,
}

/// The result of a check.
#[derive(Debug)]
pub struct CheckOutcome {
    /// The snapshot that was read.
    pub snapshot: Snapshot,
    /// The time after which dates counted as future dates, UTC microseconds since 1970; `None` if none was known.
    pub as_of: Option<i64>,
    /// The findings.
    pub checked: Checked,
    /// The path of the seal, if one was written.
    pub sealed: Option<PathBuf>,
}

/// Checks every value of a snapshot, and seals it if the request says so.
///
/// # Errors
/// [`Error::Usage`] if the snapshot to be sealed is not exactly one folder; a snapshot that is refused or changes
/// meanwhile, or has a column of which no value can be read; a folder that cannot be written; an interruption. Findings
/// are not an error.
pub fn check_and_seal(request: &CheckRequest<'_>, pool: &Pool, progress: &dyn Progress) -> Result<CheckOutcome> {
    let seal = request.seal.map(|seal| Ok::<_, Error>((seal, folder_to_seal(request.snapshot)?))).transpose()?;
    let spellings = &request.policy.spellings;
    // A seal that is about to be replaced is not verified.
    let snapshot = match seal {
        Some(_) => Snapshot::open_unverified(request.snapshot, spellings, pool, progress)?,
        None => Snapshot::open(request.snapshot, spellings, pool, progress)?,
    };
    if let Some((_, folder)) = seal {
        snapshot.files().iter().try_for_each(|file| file.covered_by_seal_of(folder))?;
    }
    let own_moment = || Ok::<_, Error>(snapshot.taken_at()?.map(|(micros, _)| micros));
    let as_of = match (request.as_of, seal.and_then(|(seal, folder)| Some((seal.taken_at?, folder)))) {
        (AsOf::OfSnapshot, None) => own_moment()?,
        (AsOf::OfSnapshot, Some((taken_at, _))) => Some(taken_at),
        (given, None) => Some(snapshot.as_of(given)?.0),
        (AsOf::Given(as_of) | AsOf::GivenEvenLater(as_of), Some((taken_at, folder))) => {
            request.as_of.no_later_than(taken_at, &Place::file(folder.join(SEAL_FILE)))?;
            Some(as_of)
        }
    };
    let scan = Scan::new(&snapshot, pool, progress);
    let checked = check(&scan, request.policy, as_of)?;
    refuse_unreadable(&scan, request.policy, &checked.columns_with_findings())?;
    snapshot.unchanged()?;
    if seal.is_none() {
        snapshot.verify_rest(pool, progress)?;
    }
    if checked.duplicate_ids > 0 && snapshot.device_ids_are_unique() {
        return Err(snapshot.not_unique());
    }
    let mut sealed = None;
    if let Some((seal, folder)) = seal
        && (seal.despite_findings || checked.findings.is_empty())
    {
        let taken_at = seal.taken_at.map_or_else(own_moment, |taken_at| Ok(Some(taken_at)))?;
        let device_ids = if checked.duplicate_ids == 0 { DeviceIds::Unique } else { DeviceIds::Duplicated };
        let taken_at = taken_at.map(time::format_instant);
        let content = SealContent { files: snapshot.files(), taken_at, device_ids };
        let seal = Seal::of(folder, content, pool, progress)?;
        snapshot.unchanged()?;
        seal.write(folder)?;
        sealed = Some(folder.join(SEAL_FILE));
    }
    Ok(CheckOutcome { snapshot, as_of, checked, sealed })
}

fn folder_to_seal(paths: &[PathBuf]) -> Result<&Path> {
    match paths {
        [folder] if folder.is_dir() => Ok(folder),
        _ => Err(Error::Usage {
            what: "a seal is of one folder".into(),
            remedy: "put the files of the snapshot into one folder, and name that".into(),
        }),
    }
}
