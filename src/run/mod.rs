//! What we write: manifests, the run's record, and a directory that is whole or absent.

mod digest;
pub mod manifest;
mod publish;
pub mod record;

pub use digest::{DigestingFile, Written};
pub use publish::Staging;
pub use record::Record;
