//! A sweep as one call: from the paths of a snapshot to a published run directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::manifest::{self, ManifestFile, Manifests};
use super::page;
use super::previous::{PreviousRun, must_be_earlier, previous};
use super::record::{EngineRecord, OptionsRecord, Record, SnapshotRecord, SweepContext};
use super::required::required;
use crate::error::{Error, Result, Stopped};
use crate::kernel::Kernel;
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::scan::unreadable::{refuse_unreadable, suspects};
use crate::scan::{Reader, Scan};
use crate::snapshot::{AsOf, Io, Snapshot};
use crate::sweep::{self, Expected, SweepOptions, Swept, Uniqueness};

/// What to sweep, by which policies, and where to publish it.
#[derive(Debug, Clone, Copy)]
pub struct SweepRequest<'a> {
    /// Files and folders of the snapshot.
    pub snapshot: &'a [PathBuf],
    /// The policies, at least one, with different names. They share one scan.
    pub policies: &'a [Policy],
    /// The moment to judge by.
    pub as_of: AsOf,
    /// Exact numbers that take the place of guards; only with a single policy.
    pub expected: Expected,
    /// The run to compare this one with.
    pub previous: PreviousRun<'a>,
    /// Whether due devices are quarantined whose Device ID occurs anywhere else in the snapshot.
    pub unique: bool,
    /// Whether a snapshot is refused that is not sealed in the current schema, whatever the policies say.
    pub require_sealed: bool,
    /// How the files of the snapshot are read.
    pub io: Io,
    /// Which reader decodes the columns.
    pub reader: Reader,
    /// Whether a column of which no value can be read is accepted: its rows are then quarantined, one by one.
    pub accept_unreadable: bool,
    /// The run directory, which must not exist. With several policies it gets a run directory for each, named by policy.
    pub out: &'a Path,
}

/// A run that was published.
#[derive(Debug)]
pub struct PublishedRun {
    /// The run directory.
    pub path: PathBuf,
    /// Its record, as in `run.json`.
    pub record: Record,
}

/// How a sweep ended.
#[derive(Debug)]
pub enum Publication {
    /// Everything is published: a run for each policy, in their order.
    Published(Vec<PublishedRun>),
    /// A guard tripped; nothing is published.
    Stopped(Stopped),
}

/// The outcome of a sweep: findings, and whether they are published.
#[derive(Debug)]
pub struct SweepOutcome {
    /// What was read.
    pub snapshot: Snapshot,
    /// The findings of each policy, in their order.
    pub swept: Vec<Swept>,
    /// Whether they are published.
    pub publication: Publication,
}

/// Sweeps a snapshot under every policy and publishes the runs: manifests, record and page of each, all by one rename.
/// A tripped guard is no error, so that the figures can be shown; it is [`Publication::Stopped`].
///
/// The seconds by stage in `run.json` are those that `progress` has measured; a caller that measures none leaves them out.
///
/// # Errors
/// [`Error::Usage`] for policies that do not go together, or an `out` that exists or is inside the snapshot; a snapshot
/// that is refused or changes meanwhile; a file that cannot be written; an interruption.
pub fn sweep_into(request: &SweepRequest<'_>, pool: &Pool, progress: &dyn Progress) -> Result<SweepOutcome> {
    let policies = request.policies;
    check_policies(policies, request.expected)?;
    let before = policies.iter().map(|policy| previous(request.previous, policy, pool)).collect::<Result<Vec<_>>>()?;
    let directory = OutputDirectory::create_outside(request.out, request.snapshot)?;
    let spellings = policies.first().map(|policy| policy.spellings.clone()).unwrap_or_default();
    let snapshot = Snapshot::open_by(request.io, request.snapshot, &spellings, pool, progress)?;
    let (as_of, as_of_from) = snapshot.as_of(request.as_of)?;
    let uniqueness = Uniqueness::of(&snapshot, request.unique);
    required(&snapshot, policies, uniqueness, request.require_sealed)?;
    let scan = Scan::new(&snapshot, pool, progress).with_reader(request.reader);
    before.iter().flatten().try_for_each(|previous| must_be_earlier(previous, as_of))?;
    let figures: Vec<_> = before.iter().map(|previous| previous.as_ref().map(|run| run.figures)).collect();
    let options = SweepOptions { policies, as_of, expected: request.expected, previous: &figures, uniqueness };
    let swept = sweep::sweep(&scan, &options)?;
    if let (false, Some(policy)) = (request.accept_unreadable, policies.first()) {
        let suspects: BTreeSet<_> = swept.iter().flat_map(|swept| suspects(&swept.findings.by_type)).collect();
        refuse_unreadable(&scan, policy, &suspects.into_iter().collect::<Vec<_>>())?;
    }
    let trips: Vec<_> = swept.iter().flat_map(|swept| swept.trips.clone()).collect();
    if !trips.is_empty() {
        let stopped = Stopped { trips, policies: policies.len() };
        return Ok(SweepOutcome { snapshot, swept, publication: Publication::Stopped(stopped) });
    }

    progress.begin(Stage::Write, 0);
    let folder_in = |root: &Path, policy: &Policy| {
        if policies.len() == 1 { root.to_path_buf() } else { root.join(&policy.name) }
    };
    let mut written: Vec<Vec<ManifestFile>> = Vec::new();
    for (policy, swept) in policies.iter().zip(&swept) {
        let folder = folder_in(directory.path(), policy);
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let locate = |row| snapshot.locate(row).map_or(("", row), |(file, row)| (file.name.as_str(), row));
        written.push(manifest::write(&folder, &Manifests::new(policy, swept, locate), pool)?);
    }
    let read = SnapshotRecord::new(&snapshot, as_of_from);
    let context = SweepContext { snapshot: &read, options: options_record(request), uniqueness };
    let mut before = before.into_iter();
    let engine = engine_record(&swept, pool, progress);
    let mut runs = Vec::new();
    for ((policy, swept), outputs) in policies.iter().zip(&swept).zip(&written) {
        let folder = folder_in(directory.path(), policy);
        let previous = before.next().flatten();
        let record = Record { previous, ..Record::new(&context, policy, swept, outputs, engine.clone()) };
        let record = write_record(&folder, record)?;
        runs.push(PublishedRun { path: folder_in(request.out, policy), record });
    }
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    snapshot.unchanged()?;
    directory.publish(pool)?;
    Ok(SweepOutcome { snapshot, swept, publication: Publication::Published(runs) })
}

/// Writes page and record of a run whose manifests are in the folder. Returns the record with the digests of the page and
/// of its own content.
///
/// # Errors
/// Where a file cannot be written.
pub fn write_record(folder: &Path, record: Record) -> Result<Record> {
    let record = Record { page: Some(page::write(folder, &record)?), ..record };
    let record = Record { digest: Some(record.content_digest()), ..record };
    record.write(folder)?;
    Ok(record)
}

/// Refuses two policies of the same name, whose runs would have the same directory, and an exact number for several
/// policies.
fn check_policies(policies: &[Policy], expected: Expected) -> Result<()> {
    let refuse = |what: String, remedy: &str| Err(Error::Usage { what, remedy: remedy.into() });
    let mut names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    names.sort_unstable();
    if names.is_empty() {
        return refuse("there is no policy to sweep by".into(), "name at least one policy");
    }
    if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
        let remedy = "give each policy its own name: it is the name of the run's directory";
        return refuse(format!("two policies are called `{name}`"), remedy);
    }
    if policies.len() > 1 && expected != Expected::default() {
        let remedy = "sweep once for each policy, or raise the guards in the policies";
        return refuse("an exact number goes with one policy".into(), remedy);
    }
    Ok(())
}

const fn options_record(request: &SweepRequest<'_>) -> OptionsRecord {
    OptionsRecord {
        unique: request.unique,
        as_of_later: request.as_of.even_later(),
        first_run: matches!(request.previous, PreviousRun::First),
        expect_deletes: request.expected.deletes,
        expect_quarantined: request.expected.quarantined,
        expect_rows: request.expected.rows,
    }
}

fn engine_record(swept: &[Swept], pool: &Pool, progress: &dyn Progress) -> EngineRecord {
    let seconds = progress.stage_times().into_iter().map(|(stage, time)| (stage.name().into(), time.as_secs_f64()));
    EngineRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        threads: pool.threads(),
        kernel: Kernel::default().name().to_owned(),
        seconds: seconds.collect(),
        bytes_read: swept.first().map_or(0, |swept| swept.metrics.bytes_read),
    }
}
