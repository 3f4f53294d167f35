//! Runs: [`sweep_into`] sweeps a snapshot and publishes manifests, record and page in a directory that is whole or absent;
//! [`verify`](mod@verify) recounts a run directory, and [`diff`](mod@diff) compares two.

mod advice;
pub mod diff;
mod document;
pub mod manifest;
mod page;
mod previous;
mod publish;
pub mod read;
pub mod record;
mod required;
pub mod verify;

pub use diff::diff;
pub use page::PAGE;
pub use previous::{PreviousRun, must_be_earlier, previous};
pub use publish::write_record;
pub use publish::{Publication, PublishedRun, SweepOutcome, SweepRequest, sweep_into};
pub use record::Record;
pub use verify::verify;
