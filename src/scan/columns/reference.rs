//! Reads columns with the column reader of the `parquet` crate.
//!
//! It supports every encoding and codec, and tests compare the encoded reader with it. It decodes all values, and so is
//! several times slower; unwanted rows are skipped by page if the crate's reader can do so.
//!
//! The crate's decoders do not check all lengths within a page, and panic on some wrong ones. Such a panic is caught
//! here and reported as damage.

use std::ops::Range;
use std::sync::Arc;

use parquet::basic::{Repetition, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType};
use parquet::data_type::{Int32Type, Int64Type, Int96, Int96Type};
use parquet::errors::ParquetError;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, ColumnPath, Type as SchemaType};

use super::codes::{Classifier, Codes};
use super::reader::{ColumnValue, StoredChunk};
use crate::error::contained;
use crate::snapshot::encoded::checked::CheckedPages;
use crate::snapshot::encoded::{self, Damage};
use crate::snapshot::{FileColumn, PhysicalForm};

/// Number of rows that are read at a time.
const BATCH: usize = 8192;

impl From<ParquetError> for Damage {
    fn from(error: ParquetError) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// Reads the codes of `rows`, as [`ColumnReader::codes`](super::ColumnReader::codes) does.
///
/// # Errors
/// A damaged chunk.
pub fn codes(
    stored: StoredChunk<'_>,
    rows: Range<usize>,
    classify: Classifier<'_>,
    out: &mut Codes,
) -> encoded::Result<()> {
    let wanted = rows.end - rows.start;
    read(stored, &mut |column| {
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

/// Reads the values of `rows`, as [`ColumnReader::values`](super::ColumnReader::values) does.
///
/// # Errors
/// A damaged chunk.
pub fn values(
    stored: StoredChunk<'_>,
    rows: &[u32],
    mut take: impl FnMut(usize, ColumnValue<'_>),
) -> encoded::Result<()> {
    read(stored, &mut |column| {
        let (mut at, mut row) = (0, 0);
        while let Some(&first) = rows.get(at) {
            column.skip(first as usize - row)?;
            // Consecutive rows are read together.
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

/// The operations that [`codes`] and [`values`] need, for every physical type.
trait RowSource {
    fn skip(&mut self, rows: usize) -> encoded::Result<()>;
    /// Reads up to `rows` rows, and at least one.
    fn next(&mut self, rows: usize) -> encoded::Result<usize>;
    /// Calls `take` with the index and the bytes, in PLAIN encoding, of each row of the last [`next`](Self::next).
    fn each(&self, take: &mut dyn FnMut(usize, Option<&[u8]>));
}

fn read(
    stored: StoredChunk<'_>,
    work: &mut dyn FnMut(&mut dyn RowSource) -> encoded::Result<()>,
) -> encoded::Result<()> {
    contained(|| read_chunk(stored, work))
        .unwrap_or_else(|| Err(Damage::corrupt("a page whose lengths contradict each other")))
}

fn read_chunk(
    stored: StoredChunk<'_>,
    work: &mut dyn FnMut(&mut dyn RowSource) -> encoded::Result<()>,
) -> encoded::Result<()> {
    let StoredChunk { chunk, pages } = stored;
    let encoded = chunk.file.chunk(chunk.group, chunk.bound, pages);
    let encoded = encoded.map_err(|error| Damage::corrupt(error.to_string()))?;
    let pages = CheckedPages::new(encoded, chunk.file.content().shared(pages));
    let levels = Levels { optional: chunk.bound.optional, levels: Vec::new() };
    match (get_column_reader(descriptor(chunk.bound)?, Box::new(pages)), chunk.bound.form) {
        (ColumnReader::ByteArrayColumnReader(reader), _) => {
            work(&mut TypedReader::<ByteArrayType> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::FixedLenByteArrayColumnReader(reader), _) => {
            work(&mut TypedReader::<FixedLenByteArrayType> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::Int32ColumnReader(reader), _) => {
            work(&mut TypedReader::<Int32Type> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::Int64ColumnReader(reader), _) => {
            work(&mut TypedReader::<Int64Type> { reader, levels, values: Vec::new() })
        }
        (ColumnReader::Int96ColumnReader(reader), _) => {
            work(&mut TypedReader::<Int96Type> { reader, levels, values: Vec::new() })
        }
        (_, form) => Err(Damage::corrupt(format!("a column of {form:?}"))),
    }
}

/// The column for the crate, which reads values of a physical type only: an annotation does not matter.
fn descriptor(bound: &FileColumn) -> Result<ColumnDescPtr, ParquetError> {
    let physical = match bound.form {
        PhysicalForm::Text | PhysicalForm::Raw => Type::BYTE_ARRAY,
        PhysicalForm::Fixed8 => Type::FIXED_LEN_BYTE_ARRAY,
        PhysicalForm::Number | PhysicalForm::Timestamp(_) | PhysicalForm::LocalTimestamp(_) => Type::INT64,
        PhysicalForm::Int96 => Type::INT96,
        PhysicalForm::Date | PhysicalForm::Null => Type::INT32,
    };
    let repetition = if bound.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let column = SchemaType::primitive_type_builder(&bound.name, physical).with_repetition(repetition).with_length(8);
    let path = ColumnPath::new(vec![bound.name.clone()]);
    Ok(Arc::new(ColumnDescriptor::new(Arc::new(column.build()?), i16::from(bound.optional), 0, path)))
}

struct Levels {
    optional: bool,
    levels: Vec<i16>,
}

struct TypedReader<T: DataType> {
    reader: ColumnReaderImpl<T>,
    levels: Levels,
    values: Vec<T::T>,
}

/// A value that can be given in PLAIN encoding, without a length.
trait PlainBytes {
    fn plain(&self, take: &mut dyn FnMut(&[u8]));
}

impl PlainBytes for ByteArray {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(self.data());
    }
}

impl PlainBytes for FixedLenByteArray {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(self.data());
    }
}

impl PlainBytes for i32 {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(&self.to_le_bytes());
    }
}

impl PlainBytes for i64 {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        take(&self.to_le_bytes());
    }
}

impl PlainBytes for Int96 {
    fn plain(&self, take: &mut dyn FnMut(&[u8])) {
        let mut bytes = [0; 12];
        for (word, bytes) in self.data().iter().zip(bytes.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        take(&bytes);
    }
}

impl<T: DataType> RowSource for TypedReader<T>
where
    T::T: PlainBytes,
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
