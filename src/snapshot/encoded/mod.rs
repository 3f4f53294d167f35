//! A column chunk in its encoded form: pages, codecs, hybrid runs.
//!
//! Parquet stores a chunk as pages: at most one dictionary, then data pages whose values are plain, or codes into the
//! dictionary as a hybrid of run-length and bit-packed runs. Reading codes instead of values is what makes a sweep
//! cheap, and the `parquet` crate keeps its own decoders for that private; hence these.
//!
//! Nothing here trusts what it reads: every length, count and code is checked against the bytes that are there, and
//! what does not fit is [`Damage`], never a panic. What is sound but not handled here, such as delta encodings, is
//! [`Damage::Unhandled`]; the caller then reads that chunk with the arrow reader.

mod codec;
mod cursor;
mod dictionary;
mod hybrid;
mod pages;
pub mod snappy;
mod starts;

pub use codec::{Codec, Unpacker};
pub use cursor::{Buffers, Chunk, Head, Page, PageCursor, Validity, Values};
pub use dictionary::Dictionary;
pub use hybrid::{Run, Runs, code_at, unpack};
pub use pages::{Encoding, PageHeader, PageKind, PageWalk};
pub use starts::{PageStart, page_starts};

/// Why an encoded chunk cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The bytes contradict themselves or the footer.
    Corrupt(String),
    /// No fault was found, but only the reference reader supports this form.
    Unhandled,
}

impl Damage {
    /// Corrupt, for this reason.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }
}

/// A result whose error is [`Damage`].
pub type Result<T> = std::result::Result<T, Damage>;
