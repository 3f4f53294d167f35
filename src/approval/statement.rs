//! The text that an approver signs. It is the same for all approvers of a run.
//!
//! It does not contain the path of the run, so that approvals are valid for copies too. The first line names the version of
//! the format, so that a signature of one version is not valid for another. An approval is that text, followed by the time,
//! the key, and the signature of all lines before it.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::key::{PrivateKey, PublicKey};
use crate::error::{Error, Result};
use crate::estate::time;
use crate::run::manifest::{ALERTS, DELETE, QUARANTINE};
use crate::run::record::{RECORD, Record};
use crate::run::verify;
use crate::shown;
use crate::system::input;

/// The first line.
const FORM: &str = "smi-sweep approval 2";
/// The first line for runs whose record has no digest.
const FIRST_FORM: &str = "smi-sweep approval 1";
/// Name of the line with the digest of the record.
const CONTENT: &str = "record";
/// Names of the lines that an approval adds.
const APPROVED_AT: &str = "approved_at";
const KEY: &str = "key";
const SIGNATURE: &str = "signature";

/// The text to sign for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    text: String,
}

/// A valid approval of a run by one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The name of the key in [`RequiredApprovals`](super::RequiredApprovals), where that was consulted.
    pub name: Option<String>,
    /// The key that signed.
    pub key: PublicKey,
    /// When it was signed, RFC 3339, by the clock of the approver's machine, which can be wrong.
    pub approved_at: String,
}

impl Statement {
    /// Makes the statement of a run. Every manifest is digested.
    ///
    /// # Errors
    /// [`Error::Verification`] where a manifest differs from the record, or the record is not the one in the directory.
    pub fn of(run: &Path, record: &Record) -> Result<Self> {
        let path = run.join(RECORD);
        let refuse = |what: &str| Error::Verification { path: path.clone(), what: what.into() };
        let bytes = input::read(&path).map_err(Error::run_file(&path))?;
        if Record::parse(&bytes).ok().as_ref() != Some(record) {
            return Err(refuse("changed while it was read"));
        }
        let as_of = time::parse(&record.as_of).ok_or_else(|| refuse("as_of is not a time"))?;
        let tally = &record.tally;
        // Records of earlier versions have no digest: the bytes of the file, timings included, are signed.
        let (form, content, digest) = match &record.digest {
            Some(digest) => (FORM, CONTENT, digest.clone()),
            None => (FIRST_FORM, RECORD, blake3::hash(&bytes).to_hex().to_string()),
        };
        let mut text = format!("{form}\n");
        line(&mut text, "run", record.id());
        line(&mut text, "policy", format!("{} version {}", record.policy["name"], record.policy["version"]));
        line(&mut text, "as_of", time::format_instant(as_of));
        line(&mut text, "snapshot_rows", tally.rows);
        line(&mut text, "delete", tally.delete);
        line(&mut text, "alerts", tally.alerts);
        line(&mut text, "silent_deletes", tally.silent_deletes);
        line(&mut text, "quarantined", tally.quarantined);
        line(&mut text, "policy_digest", record.policy.get("digest").and_then(Value::as_str).unwrap_or_default());
        for name in [DELETE, ALERTS, QUARANTINE] {
            line(&mut text, name, verify::digest(run, record, name)?);
        }
        line(&mut text, content, digest);
        Ok(Self { text })
    }

    /// The lines, each with its end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signed lines: the statement, the time and the key.
    fn by(&self, key: &PublicKey, approved_at: &str) -> String {
        let mut text = self.text.clone();
        line(&mut text, APPROVED_AT, approved_at);
        line(&mut text, KEY, key);
        text
    }

    /// Signs. Returns the approval, and the text of its file.
    pub(super) fn sign(&self, key: &PrivateKey, approved_at: &str) -> (Approval, String) {
        let public = key.public();
        let mut text = self.by(&public, approved_at);
        let signature = key.sign(text.as_bytes());
        line(&mut text, SIGNATURE, signature);
        (Approval { name: None, key: public, approved_at: approved_at.into() }, text)
    }

    /// Reads the text of an approval. The error is the reason why it is void.
    pub(super) fn approval(&self, text: &str) -> Result<Approval, String> {
        let approved_at = value(text, APPROVED_AT)?;
        if time::parse(approved_at).map(time::format_instant).as_deref() != Some(approved_at) {
            return Err(format!("`{}` is not a time", shown::value(approved_at)));
        }
        let key: PublicKey = value(text, KEY)?.parse()?;
        let signature = value(text, SIGNATURE)?;
        let signed = self.by(&key, approved_at);
        let mut whole = signed.clone();
        line(&mut whole, SIGNATURE, signature);
        if text != whole {
            let differing = whole.lines().zip(text.lines().chain(std::iter::repeat(""))).find(|(own, its)| own != its);
            return Err(match differing.map(|(own, its)| (squeeze(own), squeeze(its))) {
                Some((own, its)) if own != its => format!("it says `{its}` where the run has `{own}`"),
                _ => "it is not written as it was signed".into(),
            });
        }
        if !key.verifies(signed.as_bytes(), signature) {
            return Err("its signature does not fit".into());
        }
        Ok(Approval { name: None, key, approved_at: approved_at.into() })
    }
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name:<19} {value}");
}

/// The value of a line of an approval.
fn value<'t>(text: &'t str, name: &str) -> Result<&'t str, String> {
    let values = text.lines().filter_map(|line| line.split_once(' ')).filter(|(found, _)| *found == name);
    values.map(|(_, value)| value.trim_start()).next().ok_or_else(|| format!("it has no line `{name}`"))
}

fn squeeze(line: &str) -> String {
    shown::value(line).to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
