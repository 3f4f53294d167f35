//! A case through the engine: each cell is stored, swept and written as manifests, which are read back.

use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, Device};
use super::cells::Cell;
use super::published::{Account, Published, account};
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

/// A place to work at: the same names are written and removed for every cell.
pub(super) struct Bench {
    home: tempfile::TempDir,
    alone: Pool,
    together: Pool,
}

impl Bench {
    /// Lays out a bench: in `TMPDIR` where that is set, else in memory where the system has such a place, else where
    /// temporary files go.
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
        Ok(Self { home, alone: Pool::new(Some(1)), together: Pool::new(Some(4)) })
    }

    fn pool(&self, cell: &Cell) -> &Pool {
        if cell.threads == 1 { &self.alone } else { &self.together }
    }

    fn run(&self) -> PathBuf {
        self.home.path().join("run")
    }
}

/// What a cell came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    /// The bytes of the delete and the alert manifest; none where a guard stopped the run.
    pub manifests: Option<[Vec<u8>; 2]>,
    /// The guards that stopped the run.
    pub trips: Vec<GuardTrip>,
    /// Counts of each type.
    pub by_type: TallyByType,
    /// What became of each device, by the manifests as they were read back.
    pub account: Account,
}

impl Said {
    /// The counts of all types together.
    pub(super) fn total(&self) -> Tally {
        self.by_type.total()
    }
}

/// A case stored in the form of a cell. Dropped, its files are removed.
pub(super) struct Stored<'b> {
    bench: &'b Bench,
    files: Vec<PathBuf>,
    snapshot: Snapshot,
}

impl Drop for Stored<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            // What cannot be removed now goes with the bench.
            let _ = fs::remove_file(file);
        }
    }
}

impl<'b> Stored<'b> {
    /// Stores the devices.
    pub(super) fn new(bench: &'b Bench, devices: &[Device], cell: &Cell) -> Result<Self> {
        let folder = bench.home.path().join("snapshot");
        let files = store::write(cell, devices, &folder)?;
        // Cases speak in our words: no column is mapped.
        let snapshot = Snapshot::open(&[folder], &std::collections::BTreeMap::new(), &bench.alone, &NoProgress)?;
        Ok(Self { bench, files, snapshot })
    }

    /// Sweeps, writes the manifests, and reads them back.
    pub(super) fn sweep(&self, case: &Case, cell: &Cell) -> Result<Said> {
        let pool = self.bench.pool(cell);
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
        Ok(Said {
            manifests,
            trips: swept.trips.clone(),
            by_type: swept.findings.by_type.clone(),
            account: account(case, cell, published.as_ref()),
        })
    }

    fn publish(&self, policy: &Policy, swept: &Swept, pool: &Pool) -> Result<([Vec<u8>; 2], Published)> {
        let run = self.bench.run();
        let manifests = Manifests {
            findings: &swept.findings,
            types: &policy.types,
            alert_code: &policy.alerts.code,
            due_on: &|type_code, day| swept.rules.due_on(type_code, day).unwrap_or(day),
            locate: &|row| self.snapshot.locate(row).map_or(("", row), |(file, row)| (file.name.as_str(), row)),
        };
        let written = manifest::write(&run, &manifests, pool).and_then(|_| {
            let read = |name: &str| fs::read(run.join(name)).map_err(Error::io("read", run.join(name)));
            Ok(([read(DELETE)?, read(ALERTS)?], Published::read(&run, &self.snapshot)?))
        });
        for name in [DELETE, ALERTS, QUARANTINE] {
            let _ = fs::remove_file(run.join(name));
        }
        written
    }

    /// Why the engine decides as it does for a device, where it has a Device ID to ask for.
    pub(super) fn because(&self, case: &Case, row: usize) -> Result<String> {
        let Some(id) = case.devices.get(row).and_then(Device::device_id) else { return Ok(String::new()) };
        let pool = &self.bench.alone;
        let found = explain(&Scan::new(&self.snapshot, pool, &NoProgress), &case.policy, case.as_of, id, false)?;
        Ok(found.into_iter().find(|found| found.row == row as u64).map_or_else(String::new, |found| found.because))
    }
}
