//! Sweeps a folder of Parquet files into a run directory, as `smi-sweep sweep` does.
//!
//! ```sh
//! cargo run --release --example sweep_folder -- fixtures/estate target/run
//! ```

use std::path::{Path, PathBuf};

use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::run::{PreviousRun, Publication, SweepRequest, sweep_into};
use smi_sweep::scan::Reader;
use smi_sweep::snapshot::{AsOf, Io};
use smi_sweep::sweep::Expected;
use smi_sweep::{Error, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let snapshot = arguments.next().unwrap_or_else(|| "fixtures/estate".into());
    let out = arguments.next().unwrap_or_else(|| "target/run".into());
    println!("{} devices to delete; see {}", sweep_folder(&snapshot, &out)?, out.display());
    Ok(())
}

/// Sweeps a snapshot under the policy of SECMP0060, and publishes the run. Returns the number of planned deletions.
///
/// # Errors
/// A snapshot that is refused, a guard that stops the run, or an `out` that exists.
pub fn sweep_folder(snapshot: &Path, out: &Path) -> Result<u64> {
    let request = SweepRequest {
        snapshot: &[snapshot.to_path_buf()],
        policies: &[Policy::load("secmp0060")?],
        // The moment that the snapshot itself states, in its seal or its files.
        as_of: AsOf::OfSnapshot,
        expected: Expected::default(),
        previous: PreviousRun::OfPolicy,
        require_sealed: false,
        accept_unreadable: false,
        io: Io::Mmap,
        unique: false,
        reader: Reader::default(),
        out,
    };
    match sweep_into(&request, &Pool::new(None), &NoProgress)?.publication {
        Publication::Published(runs) => Ok(runs.iter().map(|run| run.record.tally.delete).sum()),
        // A guard of the policy stopped the run, and nothing was written.
        Publication::Stopped(stopped) => Err(Error::Guard(stopped)),
    }
}
