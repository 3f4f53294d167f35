//! Approvals: which keys have signed for a run, and whether they are enough.
//!
//! An approver signs a short text: the numbers of deletions and alerts of a run, and the digest of each of its files
//! ([`Statement`]). Approvals are in the run directory, one file for each key, so that two people may
//! sign at the same time. Nothing in such a file is trusted: the text is computed again from the
//! run, and an approval whose text differs in one byte is void. So a changed manifest or record makes all approvals void. [`RequiredApprovals`] says which keys may approve, and how many must; it comes from the load's config.
//!
//! The rows of a run are checked by [`run::verify`](mod@crate::run::verify), and approved runs are loaded by `smi`.

mod key;
mod required;
mod statement;

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{Existing, OutputFile};
use crate::pool::Pool;
use crate::run::Record;
use crate::run::record::RECORD;
use crate::run::verify::{APPROVALS, verify};
use crate::shown;
use crate::system::input;

pub use key::{KeyPair, PrivateKey, PublicKey};
pub use required::RequiredApprovals;
pub use statement::{Approval, Statement};

/// The most bytes of an approval that are read.
const LONGEST: u64 = 16 * 1024;

/// A file in a run's folder of approvals: an approval, or the reason why it is void.
#[derive(Debug)]
pub struct ApprovalFile {
    /// The file.
    pub path: PathBuf,
    /// The approval, or why it is void.
    pub approval: Result<Approval, String>,
}

/// A run that was verified and can be signed.
#[derive(Debug)]
pub struct Proposal {
    run: PathBuf,
    /// The run's record.
    pub record: Record,
    /// What is to be signed.
    pub statement: Statement,
}

/// The result of [`Proposal::sign`].
#[derive(Debug)]
pub struct SignedApproval {
    /// The file.
    pub path: PathBuf,
    /// The approval.
    pub approval: Approval,
    /// Whether the key had approved before, so that nothing was written.
    pub already: bool,
}

impl Proposal {
    /// Verifies a run, every byte and every row, and makes the text to sign.
    ///
    /// # Errors
    /// [`Error::Verification`] where the run differs from its record: such a run must not be signed.
    pub fn new(run: &Path, pool: &Pool) -> Result<Self> {
        single(run)?;
        let mut verified = verify(run, pool)?;
        let record = verified.pop().map(|verified| verified.record).ok_or_else(|| no_run(run))?;
        let statement = Statement::of(run, &record)?;
        Ok(Self { run: run.to_path_buf(), record, statement })
    }

    /// Signs, and writes the approval into the run directory: whole, or not at all.
    ///
    /// Where the key has approved the run already, nothing is written. A void approval of the same key is replaced.
    ///
    /// # Errors
    /// Where the run directory cannot be written.
    pub fn sign(&self, key: &PrivateKey, approved_at: &str) -> Result<SignedApproval> {
        let public = key.public();
        let folder = self.run.join(APPROVALS);
        for ApprovalFile { path, approval } in found(&self.run, &self.statement)? {
            if let Ok(approval) = approval
                && approval.key == public
            {
                return Ok(SignedApproval { path, approval, already: true });
            }
        }
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io("create", &folder)(error)),
            _ => {}
        }
        let path = folder.join(format!("{}.txt", public.hex()));
        let (approval, text) = self.statement.sign(key, approved_at);
        let written = OutputFile::atomic(&path, Existing::Replace).and_then(|file| file.finish_with(text.as_bytes()));
        written.inspect_err(|_| {
            // A folder of approvals with none in it would say nothing. One that has others is not empty, and remains.
            let _ = fs::remove_dir(&folder);
        })?;
        Ok(SignedApproval { path, approval, already: false })
    }
}

/// All files in a run's folder of approvals, sorted by path; none where no key has approved.
///
/// # Errors
/// Where a manifest differs from the record, or the folder cannot be read.
pub fn list(run: &Path) -> Result<Vec<ApprovalFile>> {
    single(run)?;
    let record = Record::read(run)?;
    found(run, &Statement::of(run, &record)?)
}

/// Checks that enough of the listed keys have approved a run. Returns the approvals that count, one for each key, sorted by
/// name.
///
/// The manifests are digested again, so that a changed one is found. Their rows are not checked here:
/// [`verify`](crate::run::verify()) does that before signing and before a load.
///
/// # Errors
/// [`Error::Approval`] where there are too few, with the approvals that do not count.
pub fn check(run: &Path, required: &RequiredApprovals) -> Result<Vec<Approval>> {
    let mut counted = BTreeMap::new();
    let mut rest = String::new();
    for ApprovalFile { path, approval } in list(run)? {
        match approval {
            Ok(mut approval) => match required.name(&approval.key) {
                Some(name) => {
                    approval.name = Some(name.to_owned());
                    counted.entry(name.to_owned()).or_insert(approval);
                }
                None => rest += &format!("; {} is not a key that may approve", approval.key),
            },
            Err(why) => rest += &format!("; {} is void: {why}", shown::path(&path)),
        }
    }
    if counted.len() >= required.needed() {
        return Ok(counted.into_values().collect());
    }
    let by = match counted.len() {
        0 => String::new(),
        _ => format!(" (by {})", counted.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    Err(Error::Approval {
        path: run.to_path_buf(),
        what: format!("has {} of the {} approvals that it needs{by}{rest}", counted.len(), required.needed()),
        remedy: "holders of other keys of [approvals] approve it with `smi-sweep approve RUN --key FILE`".into(),
    })
}

/// Refuses a folder with runs of several policies: each run is approved separately.
fn single(run: &Path) -> Result<()> {
    if run.join(RECORD).exists() { Ok(()) } else { Err(no_run(run)) }
}

fn no_run(run: &Path) -> Error {
    Error::Verification {
        path: run.to_path_buf(),
        what: format!("has no {RECORD}; runs are approved one by one, so name a single run directory"),
    }
}

fn found(run: &Path, statement: &Statement) -> Result<Vec<ApprovalFile>> {
    let folder = run.join(APPROVALS);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(Error::Verification { path: folder, what: "is not a folder of approvals".into() });
        }
        entries => entries.map_err(Error::io("list", &folder))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", &folder))?;
        // A hidden file is being written, or was left behind by a killed process.
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths
        .into_iter()
        .map(|path| {
            let approval = read(&path).and_then(|text| statement.approval(&text));
            ApprovalFile { path, approval }
        })
        .collect())
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    input::open(path)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(text)
}
