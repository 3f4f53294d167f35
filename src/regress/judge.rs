//! Runs a case in one cell of the matrix: stores it, sweeps it, writes the manifests, and reads them back.

use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, Device};
use super::cells::MatrixCell;
use super::published::{PublishedManifests, Reconciliation, reconcile};
use super::store;
use crate::error::{Error, GuardTrip, Result};
use crate::estate::{Tally, TallyByType};
use crate::explain::explain;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::NoProgress;
use crate::run::manifest::{self, ALERTS, DELETE, Manifests, QUARANTINE};
use crate::scan::Scan;
use crate::snapshot::Snapshot;
use crate::sweep::{self, Options, Swept};

/// A temporary directory and two thread pools, used for one cell after another.
pub(super) struct Workspace {
    home: tempfile::TempDir,
    one_thread: Pool,
    four_threads: Pool,
}

impl Workspace {
    /// Creates the directory: in `TMPDIR` where that is set, else in `/dev/shm` where that is there, else in the system's
    /// folder for temporary files.
    pub(super) fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let builder = |prefix| tempfile::Builder::new().prefix(prefix).to_owned();
        let home = if std::env::var_os("TMPDIR").is_none() && memory.is_dir() {
            builder("smi-sweep-cases-").tempdir_in(memory).or_else(|_| tempfile::tempdir())
        } else {
            builder("smi-sweep-cases-").tempdir()
        };
        let home = home.map_err(Error::io("create a directory in", std::env::temp_dir()))?;
        for name in ["snapshot", "run"] {
            let path = home.path().join(name);
            fs::create_dir(&path).map_err(Error::io("create", &path))?;
        }
        Ok(Self { home, one_thread: Pool::new(Some(1)), four_threads: Pool::new(Some(4)) })
    }

    fn pool(&self, cell: &MatrixCell) -> &Pool {
        if cell.threads == 1 { &self.one_thread } else { &self.four_threads }
    }

    fn run(&self) -> PathBuf {
        self.home.path().join("run")
    }
}

/// What the engine made of a case in one cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CellResult {
    /// The bytes of the delete and the alert manifest; `None` where a guard stopped the run.
    pub manifests: Option<[Vec<u8>; 2]>,
    /// The guards that stopped the run.
    pub trips: Vec<GuardTrip>,
    /// The engine's counts by device type.
    pub by_type: TallyByType,
    /// What became of each device, by the manifests that were read back.
    pub reconciliation: Reconciliation,
}

impl CellResult {
    /// The engine's counts of all device types.
    pub(super) fn total(&self) -> Tally {
        self.by_type.total()
    }
}

/// The snapshot of a case in the form of one cell. Dropping it removes the files.
pub(super) struct StoredCase<'b> {
    workspace: &'b Workspace,
    files: Vec<PathBuf>,
    snapshot: Snapshot,
}

impl Drop for StoredCase<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            // A file that is left is removed with the workspace.
            let _ = fs::remove_file(file);
        }
    }
}

impl<'b> StoredCase<'b> {
    /// Stores the devices.
    pub(super) fn new(workspace: &'b Workspace, devices: &[Device], cell: &MatrixCell) -> Result<Self> {
        let folder = workspace.home.path().join("snapshot");
        let files = store::write(cell, devices, &folder)?;
        // A case has the standard columns: none is mapped.
        let snapshot =
            Snapshot::open(&[folder], &std::collections::BTreeMap::new(), &workspace.one_thread, &NoProgress)?;
        Ok(Self { workspace, files, snapshot })
    }

    /// Sweeps, writes the manifests, and reads them back.
    pub(super) fn sweep(&self, case: &Case, cell: &MatrixCell) -> Result<CellResult> {
        let pool = self.workspace.pool(cell);
        let policies = std::slice::from_ref(&case.policy);
        let options = Options { policies, as_of: case.as_of, expected: case.accept, duplicates: &[] };
        let swept = sweep::sweep(&Scan::new(&self.snapshot, pool, &NoProgress), &options)?;
        let [swept] = &swept[..] else { return Err(Error::Unbalanced("one policy gave no findings".into())) };
        let (manifests, published) = if swept.trips.is_empty() {
            let (bytes, published) = self.publish(&case.policy, swept, pool)?;
            (Some(bytes), Some(published))
        } else {
            (None, None)
        };
        Ok(CellResult {
            manifests,
            trips: swept.trips.clone(),
            by_type: swept.findings.by_type.clone(),
            reconciliation: reconcile(case, cell, published.as_ref()),
        })
    }

    fn publish(&self, policy: &Policy, swept: &Swept, pool: &Pool) -> Result<([Vec<u8>; 2], PublishedManifests)> {
        let run = self.workspace.run();
        let manifests = Manifests::new(&self.snapshot, policy, swept);
        let written = manifest::write(&run, &manifests, pool).and_then(|_| {
            let read = |name: &str| fs::read(run.join(name)).map_err(Error::io("read", run.join(name)));
            Ok(([read(DELETE)?, read(ALERTS)?], PublishedManifests::read(&run, &self.snapshot)?))
        });
        for name in [DELETE, ALERTS, QUARANTINE] {
            let _ = fs::remove_file(run.join(name));
        }
        written
    }

    /// The engine's explanation for a device, by its row; empty where it has no well-formed Device ID.
    pub(super) fn because(&self, case: &Case, row: usize) -> Result<String> {
        let Some(id) = case.devices.get(row).and_then(Device::device_id) else { return Ok(String::new()) };
        let pool = &self.workspace.one_thread;
        let found = explain(&Scan::new(&self.snapshot, pool, &NoProgress), &case.policy, case.as_of, id, false)?;
        Ok(found.into_iter().find(|found| found.row == row as u64).map_or_else(String::new, |found| found.because))
    }
}
