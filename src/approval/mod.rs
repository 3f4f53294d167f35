//! Approvals: which keys have signed for a run, and whether they are enough.
//!
//! An approver signs a short text that anybody can read: the deletions and alerts of a run, in figures, and the digest of
//! each of its files ([`Statement`]). Approvals are in the run directory, one file for each key, so that two people may
//! sign at the same time. Nothing in such a file is trusted: the text that ought to have been signed is made again from the
//! run as it is now, and an approval that differs from it in one byte is void, as are all of them when a manifest or the
//! record changes. [`RequiredApprovals`] says which keys may approve, and how many must; it comes from the load's config.
//!
//! What the rows of a run are is [`run::verify`](mod@crate::run::verify)'s; what happens to an approved run is the loader's.

mod key;
mod required;
mod statement;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{Existing, OutputFile};
use crate::pool::Pool;
use crate::run::Record;
use crate::run::record::RECORD;
use crate::run::verify::{APPROVALS, verify};

pub use key::{KeyPair, PrivateKey, PublicKey};
pub use required::RequiredApprovals;
pub use statement::{Approval, Statement};

/// No approval is longer, in bytes.
const LONGEST: u64 = 16 * 1024;

/// A file in a run's folder of approvals: an approval, or the reason why it is none.
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

/// What came of signing.
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
    /// Verifies a run, every byte and every row, and puts together what there is to sign.
    ///
    /// # Errors
    /// [`Error::Verification`] where the run is not what its record says: such a run must not be signed.
    pub fn new(run: &Path, pool: &Pool) -> Result<Self> {
        single(run)?;
        let mut verified = verify(run, pool)?;
        let record = verified.pop().map(|verified| verified.record).ok_or_else(|| no_run(run))?;
        let statement = Statement::of(run, &record)?;
        Ok(Self { run: run.to_path_buf(), record, statement })
    }

    /// Signs, and puts the approval beside the run's files: whole, or not at all.
    ///
    /// A key that has approved the run already approves it once. An approval of the same key that is void is replaced.
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
        OutputFile::atomic(&path, Existing::Replace)?.finish_with(text.as_bytes())?;
        Ok(SignedApproval { path, approval, already: false })
    }
}

/// Everything in a run's folder of approvals, by path. None where no key has approved.
///
/// # Errors
/// Where the record or a manifest is not what was recorded, or the folder cannot be read.
pub fn list(run: &Path) -> Result<Vec<ApprovalFile>> {
    single(run)?;
    let record = Record::read(run)?;
    found(run, &Statement::of(run, &record)?)
}

/// Whether enough of those who may approve a run have done so; the approvals that count, one for each key, by name.
///
/// The manifests are digested again, so that none of them has changed since. Whether their rows are true is for
/// [`verify`](crate::run::verify()) to say: every approver asked it before signing, and a loader does.
///
/// # Errors
/// [`Error::Approval`] where they are too few, with what was found and does not count.
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
            Err(why) => rest += &format!("; {} is void: {why}", path.display()),
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

/// Refuses a folder with a run for each of several policies: each of them is approved for itself.
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
        // A hidden file is being written, or was left behind by a process that was killed.
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
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(text)
}
