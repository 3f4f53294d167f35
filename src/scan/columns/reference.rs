//! The same reading through the `parquet` crate's own column reader.
//!
//! It knows every encoding and codec, and is what the encoded path is compared with. It decodes whole values, and so is
//! several times slower; rows that are not wanted are skipped by page where the reader can.
//!
//! Its decoders trust the lengths within a page, and panic on some that are wrong. Such a panic is caught here and
//! becomes damage like any other.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType};
use parquet::data_type::{Int32Type, Int64Type, Int96, Int96Type};
use parquet::errors::ParquetError;
use parquet::file::serialized_reader::SerializedPageReader;

use super::codes::{Classifier, Codes};
use super::reader::{ColumnChunk, ColumnValue};
use crate::snapshot::encoded::{self, Damage};

/// How many rows are read at a time.
const BATCH: usize = 8192;

impl From<ParquetError> for Damage {
    fn from(error: ParquetError) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// Reads the codes of `rows`, as [`ColumnReader::codes`] does.
///
/// # Errors
/// A damaged chunk.
pub fn codes(
    chunk: ColumnChunk<'_>,
    rows: Range<usize>,
    classify: Classifier<'_>,
    out: &mut Codes,
) -> encoded::Result<()> {
    let wanted = rows.end - rows.start;
    read(chunk, &mut |column| {
        column.skip(rows.start)?;
        let mut done = 0;
        while done < wanted {
            let count = column.next((wanted - done).min(BATCH))?;
            let into = out.push_mixed(count);
            column.each(&mut |index, bytes| into[index] = classify(bytes));
            done += count;
        }
        Ok(())
    })
}

/// Reads the values of `rows`, as [`ColumnReader::values`] does.
///
/// # Errors
/// A damaged chunk.
pub fn values(
    chunk: ColumnChunk<'_>,
    rows: &[u32],
    mut take: impl FnMut(usize, ColumnValue<'_>),
) -> encoded::Result<()> {
    read(chunk, &mut |column| {
        let (mut at, mut row) = (0, 0);
        while let Some(&first) = rows.get(at) {
            column.skip(first as usize - row)?;
            // Rows that follow each other are read together.
            let run = rows[at..].iter().zip(first..).take(BATCH).take_while(|(row, expected)| *row == expected).count();
            let mut done = 0;
            while done < run {
                let count = column.next(run - done)?;
                column.each(&mut |index, bytes| take(at + done + index, ColumnValue { bytes, code: None }));
                done += count;
            }
            row = first as usize + run;
            at += run;
        }
        Ok(())
    })
}

/// What both ways of reading need, whatever the physical type.
trait RowSource {
    fn skip(&mut self, rows: usize) -> encoded::Result<()>;
    /// Reads up to `rows` rows, and at least one.
    fn next(&mut self, rows: usize) -> encoded::Result<usize>;
    /// Calls back with the index and the plain bytes of each row that was read.
    fn each(&self, take: &mut dyn FnMut(usize, Option<&[u8]>));
}

thread_local! {
    static EXPECTING_PANIC: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is about to be caught and reported as damage: a panic hook need not report it.
#[must_use]
pub fn expecting_panic() -> bool {
    EXPECTING_PANIC.get()
}

/// Does work that panics on some damaged pages; `None` where it did.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    EXPECTING_PANIC.set(true);
    // After a panic the reader is gone, and what it handed over so far is dropped with the whole operation.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    EXPECTING_PANIC.set(false);
    outcome.ok()
}

fn read(
    chunk: ColumnChunk<'_>,
    work: &mut dyn FnMut(&mut dyn RowSource) -> encoded::Result<()>,
) -> encoded::Result<()> {
    guarded(|| read_chunk(chunk, work))
        .unwrap_or_else(|| Err(Damage::corrupt("a page whose lengths contradict each other")))
}

fn read_chunk(
    chunk: ColumnChunk<'_>,
    work: &mut dyn FnMut(&mut dyn RowSource) -> encoded::Result<()>,
) -> encoded::Result<()> {
    let file = chunk.file;
    let footer = file.chunk_footer(chunk.group, chunk.bound);
    // The footer's claims were checked against the file before they get to a reader that panics on nonsense.
    file.chunk_range(chunk.group, chunk.bound).map_err(|error| Damage::corrupt(error.to_string()))?;
    let pages = SerializedPageReader::new(Arc::new(file.map().bytes()), footer, file.group_rows(chunk.group), None)?;
    let levels = Levels { optional: chunk.bound.optional, levels: Vec::new() };
    match (get_column_reader(footer.column_descr_ptr(), Box::new(pages)), footer.column_type()) {
        (ColumnReader::ByteArrayColumnReader(reader), _) => {
            work(&mut Typed::<ByteArrayType> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::FixedLenByteArrayColumnReader(reader), _) => {
            work(&mut Typed::<FixedLenByteArrayType> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::Int32ColumnReader(reader), _) => {
            work(&mut Typed::<Int32Type> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::Int64ColumnReader(reader), _) => {
            work(&mut Typed::<Int64Type> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::Int96ColumnReader(reader), _) => {
            work(&mut Typed::<Int96Type> { reader, levels, values: Vec::new() })
        }
        (_, physical @ (Type::BOOLEAN | Type::FLOAT | Type::DOUBLE) | physical) => {
            Err(Damage::corrupt(format!("a column of {physical}")))
        }
    }
}

struct Levels {
    optional: bool,
    levels: Vec<i16>,
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    levels: Levels,
    values: Vec<T::T>,
}

/// A value as its plain bytes.
trait Plain {
    fn plain(&self, take: &mut dyn FnMut(&[u8]));
}

impl Plain for ByteArray {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(self.data());
    }
}

impl Plain for FixedLenByteArray {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(self.data());
    }
}

impl Plain for i32 {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(&self.to_le_bytes());
    }
}

impl Plain for i64 {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(&self.to_le_bytes());
    }
}

impl Plain for Int96 {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        let mut bytes = [0; 12];
        for (word, bytes) in self.data().iter().zip(bytes.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        take(&bytes);
    }
}

impl<T: DataType> RowSource for Typed<T>
where
    T::T: Plain,
{
    fn skip(&mut self, rows: usize) -> encoded::Result<()> {
        let mut left = rows;
        while left > 0 {
            match self.reader.skip_records(left)? {
                0 => return Err(Damage::corrupt("the pages end before the rows do")),
                skipped => left -= skipped,
            }
        }
        Ok(())
    }

    fn next(&mut self, rows: usize) -> encoded::Result<usize> {
        self.values.clear();
        self.levels.levels.clear();
        let levels = self.levels.optional.then_some(&mut self.levels.levels);
        match self.reader.read_records(rows, levels, None, &mut self.values)?.0 {
            0 => Err(Damage::corrupt("the pages end before the rows do")),
            read => Ok(read),
        }
    }

    fn each(&self, take: &mut dyn FnMut(usize, Option<&[u8]>)) {
        let mut values = self.values.iter();
        if !self.levels.optional {
            for (index, value) in values.enumerate() {
                value.plain(&mut |bytes| take(index, Some(bytes)));
            }
            return;
        }
        for (index, level) in self.levels.levels.iter().enumerate() {
            match values.as_slice().first() {
                Some(value) if *level == 1 => {
                    value.plain(&mut |bytes| take(index, Some(bytes)));
                    values.next();
                }
                _ => take(index, None),
            }
        }
    }
}
