//! Sweeps Parquet snapshots of a smart metering inventory: which devices housekeeping deletes, and which parties are
//! alerted.
//!
//! [`run::sweep_into`] is the whole job in one call: it opens a [`Snapshot`](snapshot::Snapshot), judges every row by a
//! [`Policy`](policy::Policy), and publishes a run directory. To use the parts:
//!
//! - [`policy`]: read a policy, or build one; `Policy::bind` gives the [`Rules`](policy::Rules) at a moment, which judge a
//!   row.
//! - [`snapshot`], [`scan`]: open Parquet files, and read their columns in parallel.
//! - [`sweep`](mod@sweep), [`check`], [`ledger`], [`explain`], [`recluster`]: what is done with the rows.
//! - [`run`]: read, verify and compare run directories. [`approval`]: sign them. [`handover`]: export them. [`smi`]: load
//!   them into PostgreSQL.
//! - [`forecast`], [`stock`], [`regress`], [`synth`]: planning, stock counts, regression cases, synthetic estates.
//!
//! A module uses only modules above it in the list below. ARCHITECTURE.md follows a row through them, and `examples/` has
//! small programs.
//!
//! ```
//! use smi_sweep::estate::{DeviceId, DeviceType, Disposition, SmiStatus, time};
//! use smi_sweep::policy::{JudgedRow, PartyField, Policy, RoleField};
//!
//! # fn main() -> smi_sweep::Result<()> {
//! let rules = Policy::load("secmp0060")?.bind(time::parse("2026-11-01").expect("a date"));
//! let meter = JudgedRow {
//!     status_code: SmiStatus::Pending.code(),
//!     type_code: DeviceType::ESME.code(),
//!     since: time::parse("2025-11-01"),
//!     id: Some(DeviceId(0x00DB_1234_5678_90A0)),
//!     role: RoleField::Absent,
//!     party: PartyField::Usable,
//! };
//! // Pending for twelve months: deleted, and its Notifying Party is alerted.
//! assert_eq!(rules.judge(&meter), Disposition::Delete { alert: true });
//! # Ok(())
//! # }
//! ```

pub mod shown;

pub mod error;
pub mod progress;
pub mod system;

pub mod kernel;
pub mod pool;

pub mod estate;

pub mod config;
pub mod output;
pub mod plot;

pub mod policy;
pub mod snapshot;

pub mod query;
pub mod scan;

pub mod check;
pub mod explain;
pub mod ledger;
pub mod memory;
pub mod recluster;
pub mod sweep;

pub mod run;

pub mod approval;

pub mod handover;

pub mod cluster;
pub mod forecast;

pub mod regress;
pub mod report;
pub mod smi;
pub mod stock;
pub mod synth;

pub mod cli;

pub use error::{Error, ExitCode, Result};
