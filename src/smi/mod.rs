//! The live inventory: a consistent snapshot out of PostgreSQL, and the guarded load of a run into it.
//!
//! [`export()`] reads the device table as of one moment, over several connections. [`load()`] deletes what a run lists *and is
//! still due*, in small transactions; each archives the rows that it deletes, writes their alerts, and records how far the load
//! has come. [`undo()`] reverts a load. [`outcome`] accounts for every planned device.
//!
//! Whatever depends on the time uses the database's clock. Names from the configuration are quoted as identifiers, values are
//! bound. What is due is decided by the run, which is verified before anything is changed; here it is only compared.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use smi_sweep::pool::Pool;
//! use smi_sweep::progress::NoProgress;
//! use smi_sweep::smi::{self, Config, LoadOptions, Plan, Target};
//!
//! # fn main() -> smi_sweep::Result<()> {
//! let target = Target::parse("postgresql://loader@db.example/smi?sslmode=verify-full")?;
//! let config = Config::load(Some(Path::new("load.toml")))?;
//! let plan = Plan::for_load(Path::new("runs/2026-11"), config.approvals.as_ref(), &Pool::new(None))?;
//! let options = LoadOptions { plan: &plan, target: &target, config: &config, execute: false, wait_seconds: 10 };
//! let dry_run = smi::load(&options, &NoProgress)?;
//! println!("{} of {} devices are still due", dry_run.account.total.deleted, plan.planned);
//! # Ok(())
//! # }
//! ```

mod batch;
pub mod config;
pub mod connect;
mod copy;
mod entry;
pub mod export;
mod fault;
mod foreign_keys;
pub(crate) mod guarded_delete;
pub mod load;
mod options;
pub mod outcome;
mod password;
pub mod preflight;
mod restore;
mod session;
pub(crate) mod settings;
mod shape;
mod spelled;
pub mod stage;
mod table;
mod tables;
mod tls;
mod triggers;
pub mod undo;
mod undo_trial;
mod weight;

pub use config::Config;
pub use connect::Target;
pub use export::{ExportOptions, export};
pub(crate) use fault::NOT_OF_A_ROW;
pub use load::load;
pub use options::LoadOptions;
pub use preflight::Preflight;
pub(crate) use shape::columns_sql;
pub use stage::Plan;
pub use tables::init;
pub use undo::undo;
pub use weight::{Weight, weigh};
