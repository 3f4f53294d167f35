//! placeholder
pub mod cli;
pub mod error;
pub mod estate;
pub mod policy;
pub mod pool;
pub mod synth;
pub mod watch;
pub use error::{Error, Result};
pub mod report;
pub mod run;
pub mod snapshot;
pub mod sweep;
