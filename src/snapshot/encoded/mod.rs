//! Reads column chunks in their encoded form: pages, codecs, hybrid runs (Parquet format, README.md and Encodings.md).
//!
//! A chunk is a sequence of pages: at most one dictionary page, then data pages whose values are plain, or codes into
//! the dictionary as a hybrid of run-length and bit-packed runs. Reading codes instead of values is much cheaper, and
//! the `parquet` crate does not export its decoders of codes.
//!
//! Input is not trusted: every length, count and code is checked against the available bytes, and an error is
//! [`Damage`], never a panic. Valid forms that are not supported here, such as delta encodings, are
//! [`Damage::Unhandled`]; the caller then reads the chunk with the reference reader.

pub mod checked;
mod codec;
mod cursor;
mod dictionary;
pub mod foreign;
mod full;
mod hybrid;
pub mod levels;
mod pages;
pub mod snappy;
mod starts;
pub mod thrift;

pub use codec::{Codec, PageBuffer, Unpacker};
pub use cursor::{Buffers, Chunk, DataPage, Page, PageCursor, Validity, Values};
pub use dictionary::Dictionary;
pub use full::is_full;
pub use hybrid::{Run, Runs, code_at};
pub use pages::{Encoding, LevelEncoding, PageHeader, PageKind, PageWalk};
pub use starts::{PageStart, page_starts};

use crate::error::Fault;

/// Why an encoded chunk cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The bytes contradict themselves or the footer.
    Corrupt(String),
    /// What it claims does not fit into the memory limit; the number of bytes.
    TooLarge(usize),
    /// No fault was found, but only the reference reader supports this form.
    Unhandled,
}

impl Damage {
    /// [`Damage::Corrupt`] with this reason.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    /// [`Damage::TooLarge`] with this number of bytes.
    #[must_use]
    pub const fn too_large(bytes: usize) -> Self {
        Self::TooLarge(bytes)
    }

    /// The fault of a snapshot that has this damage in a column chunk.
    #[must_use]
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Corrupt(what) => Fault::Corrupt(what),
            Self::TooLarge(bytes) => Fault::TooLarge(format!("a page of {bytes} bytes")),
            Self::Unhandled => Fault::Corrupt("its pages are in a form that no reader supports".into()),
        }
    }
}

/// A result whose error is [`Damage`].
pub type Result<T, E = Damage> = std::result::Result<T, E>;
