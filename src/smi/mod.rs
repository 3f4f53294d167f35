//! The live inventory: a consistent snapshot out of PostgreSQL, and the guarded load of a run back into it.
//!
//! [`export`](mod@export) reads the device table as of one moment, over several connections. [`load`](mod@load) deletes
//! what a run lists *and is still due*: in small transactions, each of which moves full rows aside, writes the alerts
//! of what it really deleted, and notes how far it came. [`undo`](mod@undo) takes a load back; [`outcome`] accounts for
//! every planned device.
//!
//! Whatever is decided by time is decided by the database's clock. Names out of the configuration are quoted as
//! identifiers, values are bound. What is due is not judged here: that is the run's, which is verified before it is
//! touched.

mod batch;
pub mod config;
pub mod connect;
mod copy;
pub mod export;
mod fault;
pub(crate) mod guarded_delete;
pub mod load;
pub mod outcome;
mod password;
pub mod stage;
mod state;
mod table;
mod tls;
pub mod undo;
mod weight;

pub use config::Config;
pub use connect::Target;
pub use export::export;
pub use load::load;
pub use stage::Plan;
pub use state::init;
pub use undo::undo;
pub use weight::{Weight, weigh};
