//! How a morsel reads its columns.
//!
//! Two kinds of reading are all that a sweep needs. [`classes`] turns the deciding columns, status and type, into one
//! small code for each row, in run space where the file has runs. [`sparse`] reads single values of the other columns,
//! for the few rows that are still in play. Both work on encoded pages. A chunk that comes in a form they leave alone
//! is read by `reference`, through the column reader of the `parquet` crate, with the same result; tests hold the two
//! against each other.

pub mod classes;
mod plain;
pub mod reference;
pub mod sparse;

use crate::error::{Error, Fault, Result};
use crate::snapshot::encoded::{self, Buffers, Damage};
use crate::snapshot::{Bound, SourceFile};

/// Which of the two readers is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// Encoded pages where they are in a form that is handled, else the reference reader: the fast way.
    #[default]
    Encoded,
    /// The reference reader for everything: the way to check the other.
    Reference,
}

/// A column of one row group.
#[derive(Debug, Clone, Copy)]
pub struct Lane<'a> {
    /// The file.
    pub file: &'a SourceFile,
    /// Index of the row group.
    pub group: usize,
    /// The column.
    pub bound: &'a Bound,
}

impl Lane<'_> {
    /// Tries the encoded pages, and where they are in a form that is left alone, the reference reader.
    fn read<T>(
        &self,
        reader: Reader,
        state: &mut T,
        by_pages: impl FnOnce(&mut T, encoded::Chunk<'_>) -> encoded::Result<()>,
        by_reference: impl FnOnce(&mut T) -> encoded::Result<()>,
    ) -> Result<()> {
        let chunk = match reader {
            Reader::Encoded => self.file.chunk(self.group, self.bound)?,
            Reader::Reference => None,
        };
        let outcome = match chunk {
            Some(chunk) => by_pages(state, chunk),
            None => Err(Damage::Unhandled),
        };
        match outcome {
            Err(Damage::Unhandled) => by_reference(state),
            outcome => outcome,
        }
        .map_err(|damage| self.refuse(damage))
    }

    fn refuse(&self, damage: Damage) -> Error {
        let what = match damage {
            Damage::Corrupt(what) => what,
            Damage::Unhandled => "its pages are in a form that no reader here knows".into(),
        };
        self.file.chunk_place(self.group, self.bound).refuse(Fault::Corrupt(what))
    }
}

/// A value as a lane hands it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'v> {
    /// Its plain bytes; `None` where it is null.
    pub bytes: Option<&'v [u8]>,
    /// Its code, where it came from the chunk's dictionary.
    pub code: Option<u32>,
}

/// Buffers that a worker keeps from morsel to morsel.
#[derive(Debug, Default)]
pub struct LaneBuffers {
    pub(super) pages: Buffers,
    pub(super) codes: Vec<u8>,
}
