//! A sweep by Apache Spark: the compiled rule runs on the cluster, and the run is written here.
//!
//! [`sweep_on_cluster`] starts a Python process that gives Spark the query of [`crate::query`]. The cluster counts every row, and
//! guards are held against the counts. Then it writes the rows to be deleted and the quarantined rows into a staging
//! folder, from which manifests, record and page are made as for any other run. Does not belong here: the rule, and the
//! formats of a run.

mod files;
mod results;
mod runner;

use std::collections::BTreeMap;
use std::path::Path;

use files::Files;
use runner::{Runner, Task};

use crate::error::{Error, Result, Stopped};
use crate::estate::Column;
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::query::{Dialect, QueryOptions, compile};
use crate::run::manifest::{self, Manifests};
use crate::run::record::{EngineRecord, OptionsRecord, Record, SnapshotRecord, SweepContext};
use crate::run::{self, PreviousRun, Publication, PublishedRun};
use crate::scan::ScanMetrics;
use crate::snapshot::{AsOfFrom, OwnMoment};
use crate::sweep::{Expected, Findings, GuardTerms, Swept, Uniqueness, guard};

/// What to sweep on a cluster, by which policy, and where to publish it.
#[derive(Debug, Clone, Copy)]
pub struct ClusterRequest<'a> {
    /// The address of the master: `spark://HOST:PORT`, `local[N]`, `yarn`, `k8s://…`.
    pub master: &'a str,
    /// The Python that has pyspark.
    pub python: &'a str,
    /// Further settings of Spark.
    pub settings: &'a BTreeMap<String, String>,
    /// Parquet files or folders, as Spark names them; all machines of the cluster reach them.
    pub snapshot: &'a [String],
    /// The policy.
    pub policy: &'a Policy,
    /// The moment to judge by, UTC microseconds since 1970.
    pub as_of: i64,
    /// Exact numbers that take the place of guards.
    pub expected: Expected,
    /// The run that this one is compared with.
    pub previous: PreviousRun<'a>,
    /// A folder for listed rows that all machines of the cluster reach at the same path; `None`: one beside `out`.
    pub staging: Option<&'a Path>,
    /// The run directory, which must not exist.
    pub out: &'a Path,
}

/// The outcome of a sweep on a cluster.
#[derive(Debug)]
pub struct ClusterOutcome {
    /// What was found.
    pub swept: Swept,
    /// Whether it is published.
    pub publication: Publication,
}

/// Sweeps a snapshot on a cluster and publishes the run, whole or not at all. A tripped guard is no error, so that the
/// figures can be shown; it is [`Publication::Stopped`].
///
/// # Errors
/// [`Error::Cluster`] where Spark cannot start, the snapshot is refused or the cluster stops; an `out` that exists; a file
/// that cannot be written; an interruption.
pub fn sweep_on_cluster(request: &ClusterRequest<'_>, pool: &Pool, progress: &dyn Progress) -> Result<ClusterOutcome> {
    let ClusterRequest { policy, .. } = *request;
    can_be_met(policy)?;
    let previous = run::previous(request.previous, policy, pool)?;
    previous.iter().try_for_each(|previous| run::must_be_earlier(previous, request.as_of))?;
    let directory = OutputDirectory::create(request.out)?;
    let staging = staging_in(request.staging.unwrap_or(directory.path()))?;
    let keep = ["source_file".to_owned(), "row_in_file".to_owned()];
    let options = QueryOptions { dialect: Dialect::Spark, relation: "snapshot", has_role: true, keep: &keep };
    let name = |column: Column| policy.spellings.name_of(column).unwrap_or(column.name());
    let listed = staging.path().join("listed");
    let task = Task {
        master: request.master,
        settings: request.settings,
        snapshot: request.snapshot,
        columns: Column::READ_BY_SWEEP.into_iter().map(|column| (column.name(), name(column))).collect(),
        sql: &compile(policy, request.as_of, &options)?,
        staging: &format!("file://{}", listed.to_string_lossy()),
        remedy: "check that all machines reach the snapshot and the staging folder, and have room there",
    };
    progress.begin(Stage::Scan, 0);
    let mut runner = Runner::start(request.python, staging.path(), &task)?;
    let counted = runner.counted(progress)?;
    let files = Files::of(&counted, request.snapshot);
    let by_type = results::tally(&counted, &policy.types)?;
    let rules = policy.bind(request.as_of);
    let total = by_type.total();
    let terms = GuardTerms { expected: request.expected, previous: previous.as_ref().map(|run| run.figures) };
    let trips = guard::trips(policy, &(&by_type).into(), terms);
    let findings = Findings { by_type, ..Findings::default() };
    let mut swept = Swept { rules, findings, trips, terms, metrics: ScanMetrics::default() };
    if !swept.trips.is_empty() {
        let stopped = Stopped { trips: swept.trips.clone(), policies: 1 };
        return Ok(ClusterOutcome { swept, publication: Publication::Stopped(stopped) });
    }

    progress.begin(Stage::Write, 0);
    let written = runner.write(progress)?;
    drop(runner);
    if written != total.deletes() + total.quarantined() {
        return Err(Error::Unbalanced(format!(
            "the cluster wrote {written} rows of {}",
            total.deletes() + total.quarantined()
        )));
    }
    swept.findings = results::findings(&listed, &files, policy, swept.findings.by_type, pool)?;
    drop(staging);
    let snapshot = SnapshotRecord {
        as_of_from: AsOfFrom::Argument,
        taken_at: None,
        own_moment: Some(OwnMoment::None),
        seals: Vec::new(),
        assumed_zone: counted.assumes_utc.then(|| "UTC".to_owned()),
        rows: total.rows(),
        bytes: counted.files.iter().map(|file| file.bytes).sum(),
        files: files.records(),
    };
    let outputs = manifest::write(directory.path(), &Manifests::new(policy, &swept, |row| files.locate(row)), pool)?;
    let expected = request.expected;
    let options = OptionsRecord {
        expect_deletes: expected.deletes,
        expect_quarantined: expected.quarantined,
        expect_rows: expected.rows,
        ..OptionsRecord::default()
    };
    let context = SweepContext { snapshot: &snapshot, options, uniqueness: Uniqueness::Unproven };
    let seconds = progress.stage_times().into_iter().map(|(stage, time)| (stage.name().into(), time.as_secs_f64()));
    let engine = EngineRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        threads: counted.cores,
        kernel: format!("spark {}", counted.spark),
        seconds: seconds.collect(),
        bytes_read: 0,
    };
    let record = Record { previous, ..Record::new(&context, policy, &swept, &outputs, engine) };
    let record = run::write_record(directory.path(), record)?;
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    directory.publish(pool)?;
    let published = PublishedRun { path: request.out.to_path_buf(), record };
    Ok(ClusterOutcome { swept, publication: Publication::Published(vec![published]) })
}

/// Refuses a policy that requires what is not known of a snapshot on a cluster.
fn can_be_met(policy: &Policy) -> Result<()> {
    let guard = &policy.guard;
    let required = [("require_sealed", guard.require_sealed), ("require_unique", guard.require_unique)];
    let Some((key, _)) = required.into_iter().find(|(_, required)| *required) else { return Ok(()) };
    Err(Error::Usage {
        what: format!("policy `{}` has `{key}`, and a cluster verifies no seal", policy.name),
        remedy: "sweep on one machine, or by a policy without the key".into(),
    })
}

/// A folder for one sweep, which is removed when it is dropped. Spark needs its whole path.
fn staging_in(parent: &Path) -> Result<tempfile::TempDir> {
    let parent = std::path::absolute(parent).map_err(Error::io("find", parent))?;
    let folder = tempfile::Builder::new().prefix(".cluster-").tempdir_in(&parent);
    folder.map_err(Error::io("create a folder in", parent))
}
