//! The footer of a Parquet file (Parquet format, parquet.thrift), read by our own parser.
//!
//! It is the gate that every file passes before anything else is read. Input is not trusted: the work and the memory are
//! bounded by the bytes that are there. It is also tolerant: what is odd in a column or in metadata that no rule uses
//! does not make a file unreadable.
//!
//! A footer is read in two steps. [`FooterOutline`] checks the structure of the whole footer, and reads the schema and
//! the key-value metadata. Then, once columns are bound, [`RowGroups`] keeps what is needed of their column chunks and
//! nothing of the others, so that a file of a hundred thousand row groups takes little memory.

mod groups;
mod index;
mod schema;

use std::ops::Range;

use parquet::file::metadata::{FileMetaData, KeyValue};

pub use groups::{ChunkFooter, ChunkStatistics, ReadAt, RowGroups, WantedColumn, column_bytes};
pub use index::DatePages;

use super::encoded::thrift::{Thrift, wire};
use super::encoded::{self, Damage};
use crate::error::Fault;

/// Called with ranges of bytes of the file that are not needed any more, so that a caller can give the memory back.
pub type Passed<'a> = &'a dyn Fn(Range<usize>);

/// Bytes of a footer after which [`Passed`] is called.
const PASSED_BYTES: usize = 1 << 20;

/// The name of a footer in errors.
const WHAT: &str = "the footer";

/// A footer whose structure was checked, without its row groups.
#[derive(Debug)]
pub struct FooterOutline<'a> {
    /// The columns at the top of the schema, and the metadata of the file. Columns below others are left out: a group has
    /// no fields.
    pub file: FileMetaData,
    /// For each leaf of the schema in `file`, its index among all leaf columns of the file.
    leaves: Vec<usize>,
    /// Number of leaf columns of the file.
    leaf_count: usize,
    /// Columns at the top of the schema that cannot be read, and why.
    unreadable: Vec<(String, &'static str)>,
    thrift: Thrift<'a>,
    /// Where the list of row groups begins in the footer.
    groups_at: Option<usize>,
    /// Where the footer begins in the file.
    start: usize,
}

impl<'a> FooterOutline<'a> {
    /// Reads the footer of a file.
    ///
    /// # Errors
    /// A file without a valid footer, with what is wrong.
    pub fn of(file: &'a [u8], passed: Passed<'_>) -> Result<Self, Fault> {
        let end = file.len().saturating_sub(TAIL);
        let start = start_of((file, &file[end..]), file.len())?;
        Self::of_footer(&file[start..end], start, passed)
    }

    /// As [`of`](Self::of), from the bytes of the footer alone, which begins at `start` in the file.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_footer(footer: &'a [u8], start: usize, passed: Passed<'_>) -> Result<Self, Fault> {
        Self::read(Thrift::new(footer, WHAT), start, passed).map_err(fault_of)
    }

    fn read(thrift: Thrift<'a>, start: usize, passed: Passed<'_>) -> encoded::Result<Self> {
        let mut found = TopFields::default();
        thrift.clone().fields(|thrift, id, kind| {
            found.field(thrift, (id, kind), &|range: Range<usize>| {
                passed(start + range.start..start + range.end);
            })
        })?;
        let schema_at = found.schema_at.ok_or_else(|| thrift.damage("has no schema"))?;
        let schema = schema::read(thrift.at(schema_at))?;
        let rows = found.rows.ok_or_else(|| thrift.damage("has no number of rows"))?;
        let pairs = (!found.pairs.is_empty()).then_some(found.pairs);
        let file = FileMetaData::new(0, rows, found.created_by, pairs, schema.descriptor, None);
        Ok(Self {
            file,
            leaves: schema.leaves,
            leaf_count: schema.leaf_count,
            unreadable: schema.unreadable,
            thrift,
            groups_at: found.groups_at,
            start,
        })
    }

    /// Why a column at the top of the schema cannot be read; `None` if it can.
    #[must_use]
    pub fn unreadable(&self, name: &str) -> Option<&'static str> {
        self.unreadable.iter().find(|(other, _)| other == name).map(|(_, why)| *why)
    }
}

/// Bytes after the footer: its length, and the magic number.
pub(super) const TAIL: usize = 8;

/// Where the footer begins in a file of `len` bytes, of which `head` has the first four or more, and `tail` the last eight.
pub(super) fn start_of((head, tail): (&[u8], &[u8]), len: usize) -> Result<usize, Fault> {
    if !head.starts_with(b"PAR1") {
        let what = match head {
            [] => "it is empty",
            _ if head.starts_with(b"PARE") => "its footer is encrypted",
            _ => "it does not begin with PAR1",
        };
        return Err(Fault::NotParquet(what.into()));
    }
    let length = tail.first_chunk().filter(|_| tail.ends_with(b"PAR1") && len >= 12);
    let length = length.ok_or_else(|| Fault::NotParquet("it does not end with PAR1: the file is cut short".into()))?;
    let length = u32::from_le_bytes(*length) as usize;
    let start = len.saturating_sub(TAIL).checked_sub(length).filter(|&start| start >= 4);
    start.ok_or_else(|| Fault::Footer(format!("it claims {length} bytes in a file of {len}")))
}

/// The fields of the struct `FileMetaData`.
#[derive(Default)]
struct TopFields {
    schema_at: Option<usize>,
    rows: Option<i64>,
    groups_at: Option<usize>,
    pairs: Vec<KeyValue>,
    created_by: Option<String>,
}

impl TopFields {
    fn field(&mut self, thrift: &mut Thrift<'_>, field: (i64, u8), passed: Passed<'_>) -> encoded::Result<()> {
        let before = thrift.position();
        match field {
            (2, wire::LIST) => {
                self.schema_at = Some(before);
                thrift.skip(wire::LIST)
            }
            (3, wire::I64) => {
                self.rows = Some(thrift.number()?);
                Ok(())
            }
            (4, wire::LIST) => {
                self.groups_at = Some(before);
                let mut behind = before;
                thrift.structs(|thrift| {
                    thrift.skip(wire::STRUCT)?;
                    pass(&mut behind, thrift.position(), passed);
                    Ok(())
                })
            }
            (5, wire::LIST) => thrift.structs(|thrift| {
                self.pairs.extend(key_value(thrift)?);
                Ok(())
            }),
            (6, wire::BINARY) => {
                self.created_by = Some(String::from_utf8_lossy(thrift.binary()?).into_owned());
                Ok(())
            }
            (_, kind) => thrift.skip(kind),
        }
    }
}

/// Calls `passed` if enough bytes were read since the last call.
fn pass(behind: &mut usize, position: usize, passed: Passed<'_>) {
    if position - *behind >= PASSED_BYTES {
        passed(*behind..position);
        *behind = position;
    }
}

/// A pair of the key-value metadata; `None` if it has no key. A value that is not text counts as none.
fn key_value(thrift: &mut Thrift<'_>) -> encoded::Result<Option<KeyValue>> {
    let (mut key, mut value) = (None, None);
    thrift.fields(|thrift, id, kind| {
        let text = |thrift: &mut Thrift<'_>| thrift.binary().map(|text| String::from_utf8_lossy(text).into_owned());
        match (id, kind) {
            (1, wire::BINARY) => key = Some(text(thrift)?),
            (2, wire::BINARY) => value = Some(text(thrift)?),
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(key.map(|key| KeyValue { key, value }))
}

/// The fault of a file whose footer has this damage.
fn fault_of(damage: Damage) -> Fault {
    match damage {
        Damage::Corrupt(what) => Fault::Footer(what),
        other => other.into_fault(),
    }
}
