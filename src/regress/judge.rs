//! Runs a case in one cell of the matrix: stores it, sweeps it into a run, and reads the manifests back.

use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, Device};
use super::cells::MatrixCell;
use super::published::{PublishedManifests, Reconciliation, reconcile};
use super::store;
use crate::error::{Error, GuardTrip, Result};
use crate::estate::TallyByType;
use crate::explain::explain;
use crate::pool::Pool;
use crate::progress::NoProgress;
use crate::run::manifest::{ALERTS, DELETE};
use crate::run::{PreviousRun, Publication, SweepRequest, sweep_into};
use crate::scan::{Reader, Scan};
use crate::snapshot::{AsOf, Io, Snapshot};
use crate::system::input;

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
        let snapshot = home.path().join("snapshot");
        fs::create_dir(&snapshot).map_err(Error::io("create", &snapshot))?;
        Ok(Self { home, one_thread: Pool::new(Some(1)), four_threads: Pool::new(Some(4)) })
    }

    fn pool(&self, cell: &MatrixCell) -> &Pool {
        if cell.threads == 1 { &self.one_thread } else { &self.four_threads }
    }

    fn snapshot(&self) -> PathBuf {
        self.home.path().join("snapshot")
    }

    fn run(&self) -> PathBuf {
        self.home.path().join("run")
    }
}

/// The result of the engine for a case in one cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CellResult {
    /// The bytes of the delete and the alert manifest; `None` where a guard stopped the run.
    pub manifests: Option<[Vec<u8>; 2]>,
    /// The guards that stopped the run.
    pub trips: Vec<GuardTrip>,
    /// The engine's counts by device type.
    pub by_type: TallyByType,
    /// The outcome of each device, from the manifests that were read back.
    pub reconciliation: Reconciliation,
}

/// The snapshot of a case in the form of one cell. Dropping it removes the files.
pub(super) struct StoredCase<'b> {
    workspace: &'b Workspace,
    files: Vec<PathBuf>,
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
        let files = store::write(cell, devices, &workspace.snapshot())?;
        Ok(Self { workspace, files })
    }

    /// Sweeps and publishes a run, as `smi-sweep sweep` does, and reads its manifests back.
    pub(super) fn sweep(&self, case: &Case, cell: &MatrixCell) -> Result<CellResult> {
        let run = self.workspace.run();
        let request = SweepRequest {
            snapshot: &[self.workspace.snapshot()],
            policies: std::slice::from_ref(&case.policy),
            as_of: AsOf::Given(case.as_of),
            expected: case.accept,
            previous: PreviousRun::First,
            require_sealed: false,
            // A case may have one device, and that without a Device ID.
            accept_unreadable: true,
            io: Io::Mmap,
            unique: false,
            reader: Reader::default(),
            out: &run,
        };
        let outcome = sweep_into(&request, self.workspace.pool(cell), &NoProgress)?;
        let read = match outcome.publication {
            Publication::Published(_) => Some(read_run(&run, &outcome.snapshot)),
            Publication::Stopped(_) => None,
        };
        // What is left is removed with the workspace, and makes the next sweep fail.
        let _ = fs::remove_dir_all(&run);
        let (manifests, published) = read.transpose()?.unzip();
        let [swept] = &outcome.swept[..] else {
            return Err(Error::Unbalanced("one policy did not give one result".into()));
        };
        Ok(CellResult {
            manifests,
            trips: swept.trips.clone(),
            by_type: swept.findings.by_type.clone(),
            reconciliation: reconcile(case, cell, published.as_ref()),
        })
    }

    /// The engine's explanation for a device, by its row; empty where it has no well-formed Device ID.
    pub(super) fn because(&self, case: &Case, row: usize) -> Result<String> {
        let Some(id) = case.devices.get(row).and_then(Device::device_id) else { return Ok(String::new()) };
        let pool = &self.workspace.one_thread;
        let snapshot = Snapshot::open(&[self.workspace.snapshot()], &case.policy.spellings, pool, &NoProgress)?;
        let found = explain(&Scan::new(&snapshot, pool, &NoProgress), &case.policy, case.as_of, id, false)?;
        Ok(found.into_iter().find(|found| found.row == row as u64).map_or_else(String::new, |found| found.because))
    }
}

/// The bytes of the delete and the alert manifest of a run, and all three manifests as rows.
fn read_run(run: &Path, snapshot: &Snapshot) -> Result<([Vec<u8>; 2], PublishedManifests)> {
    let bytes = |name: &str| input::read(run.join(name)).map_err(Error::io("read", run.join(name)));
    Ok(([bytes(DELETE)?, bytes(ALERTS)?], PublishedManifests::read(run, snapshot)?))
}
