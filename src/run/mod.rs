//! What we write: manifests, the run's record, and a directory that is whole or absent; and what is asked of it
//! afterwards: whether it is what it says ([`verify`](mod@verify)), and how two of them differ ([`diff`](mod@diff)).

pub mod diff;
pub mod manifest;
pub(crate) mod read;
pub mod record;
pub mod verify;

pub use diff::diff;
pub use record::Record;
pub use verify::verify;
