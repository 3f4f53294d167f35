//! How a range of rows is read, column by column.
//!
//! A scan reads in two ways, both on encoded pages. [`ColumnReader::codes`] turns status and type into one small code for
//! each row, as runs where the file has runs. [`ColumnReader::values`] reads single values of the other columns, for the
//! rows that the caller asks for. A chunk in a form that neither handles is read by [`reference`](mod@reference), through the column
//! reader of the `parquet` crate, with the same result; tests compare the two.

pub mod codes;
pub mod pick_values;
mod plain;
mod read_codes;
mod reader;
pub mod reference;

pub use reader::{ColumnBuffers, ColumnChunk, ColumnReader, ColumnValue, Reader};
