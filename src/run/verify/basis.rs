//! What verification judges rows by: the recorded policy at the recorded as-of moment.

use std::collections::HashMap;
use std::path::Path;

use super::files::refuse;
use crate::error::Result;
use crate::estate::DeviceId;
use crate::estate::time::parse;
use crate::policy::{Policy, Rules};
use crate::run::record::{RECORD, Record};

/// The recorded policy and its rules.
pub(in crate::run) struct Basis {
    pub policy: Policy,
    pub rules: Rules,
    /// The number of each party: its place among the parties of the record, which is the order of their names.
    pub parties: HashMap<String, u32>,
    /// Whether the snapshot has a column of roles. Without it, the device type decides which deletions raise an alert.
    pub has_roles: bool,
}

impl Basis {
    pub fn of(folder: &Path, record: &Record) -> Result<Self> {
        let path = folder.join(RECORD);
        let policy = Policy::from_json(&record.policy, RECORD)
            .map_err(|error| refuse(&path, format!("the policy cannot be read: {error}")))?;
        if record.policy.get("digest").and_then(|digest| digest.as_str()) != Some(policy.digest().as_str()) {
            return Err(refuse(&path, "the policy is not the one whose digest is recorded"));
        }
        let as_of = parse(&record.as_of).ok_or_else(|| refuse(&path, format!("as_of is `{}`", record.as_of)))?;
        let parties = record.by_party.keys().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        let has_roles = record.snapshot.files.iter().any(|file| file.role_column);
        Ok(Self { rules: policy.bind(as_of), policy, parties, has_roles })
    }

    /// The number of a party, which is also its index in the sums; no party has the highest number.
    pub fn party(&self, name: Option<&str>) -> Result<u32, String> {
        let Some(name) = name else { return Ok(self.parties.len() as u32) };
        self.parties.get(name).copied().ok_or_else(|| format!("party `{name}` is not in the record"))
    }
}

/// Reads a Device ID in its canonical form; other forms are refused.
pub(in crate::run) fn canonical(text: &str) -> Result<DeviceId, String> {
    DeviceId::from_text(text.as_bytes())
        .filter(|id| id.to_text() == text.as_bytes())
        .ok_or_else(|| format!("`{text}` is not a canonical Device ID"))
}
