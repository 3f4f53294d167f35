//! Sweeps columnar snapshots of a smart metering inventory: which devices housekeeping deletes, and who is told.
//!
//! A [`Policy`](policy::Policy) bound to a moment gives [`Rules`](policy::Rules); a
//! [`Snapshot`](snapshot::Snapshot) is a set of Parquet files; [`sweep`](sweep::sweep) judges every row of it, and
//! [`run`] writes what was found. Reading goes down the list of modules, never up: see ARCHITECTURE.md for the journey
//! of a row.
//!
//! ```
//! use smi_sweep::estate::time;
//! use smi_sweep::policy::Policy;
//! use smi_sweep::pool::Pool;
//! use smi_sweep::snapshot::Snapshot;
//! use smi_sweep::scan::Scan;
//! use smi_sweep::sweep::{self, Expected, Options};
//! use smi_sweep::synth::{self, Estate, EstateFiles, Layout};
//! use smi_sweep::progress::NoProgress;
//!
//! # fn main() -> smi_sweep::Result<()> {
//! // A synthetic estate to try things on.
//! let folder = std::env::temp_dir().join(format!("smi-sweep-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder).expect("a folder");
//! let as_of = time::parse("2026-11-01").expect("a date");
//! let estate = Estate { seed: 1, rows: 10_000, as_of, defects: false };
//! let pool = Pool::new(None);
//! synth::write(&estate, EstateFiles { layout: Layout::Strings, count: 1 }, &folder, &pool, &NoProgress)?;
//!
//! // What does the Change delete of it?
//! let policies = [Policy::load("secmp0060")?];
//! let snapshot = Snapshot::open(&[folder.clone()], &policies[0].spellings.columns, &pool, &NoProgress)?;
//! let options = Options {
//!     policies: &policies,
//!     as_of,
//!     expected: Expected::default(),
//!     duplicates: &[],
//! };
//! let swept = sweep::sweep(&Scan::new(&snapshot, &pool, &NoProgress), &options)?;
//! let total = swept[0].findings.by_type.total();
//! assert_eq!(total.rows(), 10_000);
//! assert_eq!(total.deletes(), swept[0].findings.due.len() as u64);
//! # std::fs::remove_dir_all(&folder).expect("the folder");
//! # Ok(())
//! # }
//! ```

pub mod error;
pub mod progress;

pub mod pool;

pub mod estate;

pub mod config;
pub mod output;
pub mod plot;

pub mod policy;
pub mod snapshot;

pub mod scan;

pub mod check;
pub mod explain;
pub mod ledger;
pub mod recluster;
pub mod sweep;

pub mod run;

pub mod approval;

pub mod handover;

pub mod forecast;

pub mod regress;
pub mod report;
pub mod smi;
pub mod stock;
pub mod synth;

pub mod cli;

pub use error::{Error, ExitCode, Result};
