//! `run.json`, the record of a run: snapshot, policy, options, counts, and the digests of the manifests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manifest::ManifestFile;
use crate::estate::{Column, DeviceType, Reason, Tally, TypeNames, time};
use crate::policy::{Boundary, Policy, Rules};
use crate::scan::PartyCounts;
use crate::snapshot::{AsOfFrom, OwnMoment, SealSchema, Snapshot, VerifiedSeal};
use crate::sweep::{Expected, Findings, GuardFigures, GuardTerms, Guarded, Swept, Uniqueness};

/// Name of the record within a run directory.
pub const RECORD: &str = "run.json";
/// The version of the format.
pub const SCHEMA: &str = "smi-sweep/run/1";

/// A run, as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// Always [`RunStatus::Published`].
    pub status: RunStatus,
    /// The as-of moment, RFC 3339 in UTC.
    pub as_of: String,
    /// Options of the sweep.
    #[serde(default)]
    pub options: OptionsRecord,
    /// Whether due rows may share a Device ID with rows that are not due; `None` in records of earlier versions. See
    /// [`uniqueness`](Self::uniqueness).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniqueness: Option<Uniqueness>,
    /// The run that this one was compared with; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousRecord>,
    /// The whole effective policy, with its `digest`.
    pub policy: Value,
    /// By device type, the threshold and the latest status date that is due.
    pub cutoffs: BTreeMap<String, CutoffRecord>,
    /// What was read.
    pub snapshot: SnapshotRecord,
    /// Counts of the whole.
    pub tally: TallyRecord,
    /// Counts of each type that occurs.
    pub by_type: BTreeMap<String, TallyRecord>,
    /// Deletions and alerts of each Notifying Party.
    pub by_party: BTreeMap<String, PartyCounts>,
    /// Deletions of devices that have no Notifying Party; they are silent.
    #[serde(default)]
    pub without_party: PartyCounts,
    /// The manifests.
    pub outputs: Vec<OutputRecord>,
    /// The page; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageRecord>,
    /// The digest of all that follows from snapshot, policy, moment and options: see
    /// [`content_digest`](Self::content_digest). `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Version, threads and times.
    pub engine: EngineRecord,
}

/// The state of a run that has a record. A run is published by one rename, so there is only one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// The directory is complete.
    Published,
}

/// Options of a sweep, in addition to policy and as-of moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionsRecord {
    /// Whether due devices were quarantined whose Device ID occurs anywhere else in the snapshot.
    #[serde(default)]
    pub unique: bool,
    /// Whether an as-of moment after the snapshot's own was accepted.
    #[serde(default)]
    pub as_of_later: bool,
    /// Whether the run was compared with no other, whatever the policy says.
    #[serde(default)]
    pub first_run: bool,
    /// The exact number of deletions that took the place of their guards.
    #[serde(default)]
    pub expect_deletes: Option<u64>,
    /// The exact number of quarantined rows that took the place of their guard.
    #[serde(default)]
    pub expect_quarantined: Option<u64>,
    /// The exact number of rows that took the place of the guards on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_rows: Option<u64>,
}

/// The run that another was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousRecord {
    /// Its identifier: [`Record::id`].
    pub run: String,
    /// Its as-of moment, RFC 3339 in UTC.
    pub as_of: String,
    /// Its figures.
    #[serde(rename = "tally")]
    pub figures: Guarded,
}

impl From<OptionsRecord> for Expected {
    fn from(options: OptionsRecord) -> Self {
        Self { deletes: options.expect_deletes, quarantined: options.expect_quarantined, rows: options.expect_rows }
    }
}

/// The threshold of a type, and the status dates that are due at the as-of moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutoffRecord {
    /// Calendar months.
    pub months: u32,
    /// Whether the type is excluded; the other fields then have no effect.
    pub excluded: bool,
    /// The latest status date that is due: a date under the `date` boundary, else an instant, RFC 3339.
    pub due_if_since: String,
    /// Later closed intervals that are due too. They occur at month ends under the `instant` boundary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub and_between: Vec<(String, String)>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRecord {
    /// Where the as-of moment comes from.
    pub as_of_from: AsOfFrom,
    /// The time at which the snapshot was taken, as its seal or files state it, RFC 3339.
    #[serde(default)]
    pub taken_at: Option<String>,
    /// Whether the snapshot says when it was taken; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_moment: Option<OwnMoment>,
    /// The seals that were verified. Their digests are part of what an approval of the run signs.
    #[serde(default)]
    pub seals: Vec<SealRecord>,
    /// The zone in which status dates without a zone were read, if there are any and the policy declares none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_zone: Option<String>,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files, in the order in which their rows are numbered.
    pub files: Vec<FileRecord>,
}

impl SnapshotRecord {
    /// The record of a snapshot that was swept.
    #[must_use]
    pub fn new(snapshot: &Snapshot, as_of_from: AsOfFrom) -> Self {
        Self {
            as_of_from,
            // Where seals or files contradict each other, the sweep needs the as-of moment from the user.
            taken_at: snapshot.taken_at().ok().flatten().map(|(taken_at, _)| time::format_instant(taken_at)),
            own_moment: Some(snapshot.own_moment()),
            seals: snapshot.seals().iter().map(SealRecord::from).collect(),
            assumed_zone: snapshot.assumed_zone().map(str::to_owned),
            rows: snapshot.rows(),
            bytes: snapshot.bytes(),
            files: snapshot
                .files()
                .iter()
                .map(|file| FileRecord {
                    path: file.name.clone(),
                    rows: file.rows,
                    bytes: file.bytes(),
                    role_column: file.columns.get(Column::NotifyingRole).is_some(),
                    folder_columns: file.columns.folder_texts(),
                    blake3: file.digest.clone(),
                })
                .collect(),
        }
    }
}

/// A seal that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealRecord {
    /// Its path below the folder that the user named, or its file name.
    pub path: String,
    /// The version of its format. A seal of schema 1 has no digest of itself, and does not prove unique Device IDs.
    pub schema: SealSchema,
    /// BLAKE3, in hex, of everything that it states.
    pub blake3: String,
}

impl From<&VerifiedSeal> for SealRecord {
    fn from(seal: &VerifiedSeal) -> Self {
        Self { path: seal.name.clone(), schema: seal.schema, blake3: seal.digest.clone() }
    }
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// The name that manifests use for it.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it has the column `notifying_role`. Without it, the device type decided which deletions raise an alert.
    #[serde(default)]
    pub role_column: bool,
    /// The columns whose value is in the name of a folder above it, with the value as text; `None` is null.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub folder_columns: BTreeMap<String, Option<String>>,
    /// Its BLAKE3 digest in hex, where a seal was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// A tally, as recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TallyRecord {
    /// All rows.
    pub rows: u64,
    /// Rows whose status is not swept.
    pub not_candidate: u64,
    /// Candidates whose type is excluded.
    pub excluded: u64,
    /// Candidates whose threshold is not reached.
    pub not_due: u64,
    /// Deletions.
    pub delete: u64,
    /// Rows that cannot be judged.
    pub quarantined: u64,
    /// Deletions with an alert.
    pub alerts: u64,
    /// Deletions without an alert.
    pub silent_deletes: u64,
    /// Rows that cannot be judged, by reason.
    #[serde(default)]
    pub quarantine_reasons: BTreeMap<String, u64>,
}

impl From<&Tally> for TallyRecord {
    fn from(tally: &Tally) -> Self {
        let reasons = Reason::ALL.into_iter().zip(tally.quarantined).filter(|(_, rows)| *rows > 0);
        Self {
            rows: tally.rows(),
            not_candidate: tally.not_candidate,
            excluded: tally.excluded,
            not_due: tally.not_due,
            delete: tally.deletes(),
            quarantined: tally.quarantined(),
            alerts: tally.alerts,
            silent_deletes: tally.silent_deletes,
            quarantine_reasons: reasons.map(|(reason, rows)| (reason.name().into(), rows)).collect(),
        }
    }
}

impl From<&TallyRecord> for Guarded {
    fn from(counts: &TallyRecord) -> Self {
        Self { rows: counts.rows, deletes: counts.delete, quarantined: counts.quarantined }
    }
}

impl Record {
    /// The figures that guards limit.
    #[must_use]
    pub fn guarded(&self, types: &TypeNames) -> GuardFigures {
        let code = |name: &String| types.get(name).map(DeviceType::code);
        GuardFigures {
            total: (&self.tally).into(),
            by_type: self.by_type.iter().filter_map(|(name, of)| Some((code(name)?, of.into()))).collect(),
        }
    }

    /// What the run was compared with.
    #[must_use]
    pub fn guard_terms(&self) -> GuardTerms {
        GuardTerms { expected: self.options.into(), previous: self.previous.as_ref().map(|previous| previous.figures) }
    }
}

impl TallyRecord {
    /// Whether the figures add up.
    #[must_use]
    pub fn add_up(&self) -> bool {
        let sum = |counts: &[u64]| counts.iter().map(|&count| u128::from(count)).sum::<u128>();
        let reasons: Vec<u64> = self.quarantine_reasons.values().copied().collect();
        sum(&[self.not_candidate, self.excluded, self.not_due, self.delete, self.quarantined]) == self.rows.into()
            && sum(&[self.alerts, self.silent_deletes]) == self.delete.into()
            && sum(&reasons) == self.quarantined.into()
    }
}

/// One manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRecord {
    /// Name within the run directory.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its BLAKE3 digest in hex.
    pub blake3: String,
}

impl From<&ManifestFile> for OutputRecord {
    fn from(output: &ManifestFile) -> Self {
        Self {
            path: output.path.into(),
            rows: output.rows,
            bytes: output.written.bytes,
            blake3: output.written.blake3.clone(),
        }
    }
}

/// The page of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageRecord {
    /// Name within the run directory.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its BLAKE3 digest in hex.
    pub blake3: String,
}

/// Version, threads and times of a run: the only part that differs between two runs with the same input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRecord {
    /// Version of the engine.
    pub version: String,
    /// Worker threads.
    pub threads: usize,
    /// The instructions that inner loops used: [`Kernel::name`](crate::kernel::Kernel::name). Empty in runs of versions
    /// that had no choice.
    #[serde(default)]
    pub kernel: String,
    /// Seconds by stage.
    pub seconds: BTreeMap<String, f64>,
    /// Bytes of pages that were read.
    pub bytes_read: u64,
}

/// What the runs of one sweep have in common under every policy.
#[derive(Debug, Clone, Copy)]
pub struct SweepContext<'a> {
    /// What was read.
    pub snapshot: &'a SnapshotRecord,
    /// Options of a sweep, in addition to policy and as-of moment.
    pub options: OptionsRecord,
    /// Whether due rows may share a Device ID with rows that are not due.
    pub uniqueness: Uniqueness,
}

impl Record {
    /// The record of a run whose manifests are written.
    #[must_use]
    pub fn new(
        context: &SweepContext<'_>,
        policy: &Policy,
        swept: &Swept,
        outputs: &[ManifestFile],
        engine: EngineRecord,
    ) -> Self {
        let SweepContext { snapshot, options, uniqueness } = *context;
        let Swept { rules, findings, .. } = swept;
        let mut policy_record = policy.to_json();
        policy_record["digest"] = policy.digest().into();
        Self {
            schema: SCHEMA.into(),
            status: RunStatus::Published,
            as_of: time::format_instant(rules.as_of()),
            options,
            uniqueness: Some(uniqueness),
            previous: None,
            policy: policy_record,
            cutoffs: cutoffs(policy, rules),
            snapshot: snapshot.clone(),
            tally: (&findings.by_type.total()).into(),
            by_type: by_type(findings, &policy.types),
            by_party: by_party(findings),
            without_party: findings.by_party.get(findings.parties.len()).copied().unwrap_or_default(),
            outputs: outputs.iter().map(OutputRecord::from).collect(),
            page: None,
            digest: None,
            engine,
        }
    }

    /// The identifier of the result, 16 hex digits: the same for the same policy, as-of moment and manifests on every machine
    /// and in every repetition.
    #[must_use]
    pub fn id(&self) -> String {
        let mut text = format!("{SCHEMA}\n{}\n{}\n", self.as_of, self.policy["digest"]);
        for output in &self.outputs {
            text += &format!("{} {} {}\n", output.path, output.rows, output.blake3);
        }
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Whether due rows may share a Device ID with rows that are not due.
    #[must_use]
    pub fn uniqueness(&self) -> Uniqueness {
        let by_option = if self.options.unique { Uniqueness::Checked } else { Uniqueness::Unproven };
        self.uniqueness.unwrap_or(by_option)
    }
}

/// The cutoffs of each type, by name.
#[must_use]
pub fn cutoffs(policy: &Policy, rules: &Rules) -> BTreeMap<String, CutoffRecord> {
    policy
        .types
        .iter()
        .map(|(device_type, name)| {
            let cutoff = rules.cutoff(device_type.code());
            let record = CutoffRecord {
                months: rules.months(device_type.code()),
                excluded: policy.exclude.contains(device_type),
                due_if_since: match policy.boundary {
                    Boundary::Date => time::format_day(time::day_of(cutoff.last())),
                    Boundary::Instant => time::format_instant(cutoff.last()),
                },
                and_between: cutoff
                    .beyond()
                    .iter()
                    .map(|&(first, last)| (time::format_instant(first), time::format_instant(last)))
                    .collect(),
            };
            (name.to_owned(), record)
        })
        .collect()
}

fn by_type(findings: &Findings, types: &TypeNames) -> BTreeMap<String, TallyRecord> {
    findings.by_type.iter().map(|(code, tally)| (types.name(code).to_owned(), tally.into())).collect()
}

fn by_party(findings: &Findings) -> BTreeMap<String, PartyCounts> {
    let all = findings.parties.names().iter().zip(&findings.by_party);
    all.filter(|(_, counts)| counts.deletes > 0).map(|(party, counts)| (party.clone(), *counts)).collect()
}
