//! How a range of rows is read, column by column.
//!
//! Two kinds of reading are all that is needed. [`codes`] turns status and type into one small code for each row, as runs
//! where the file has runs. [`pick_values`] reads single values of the other columns, for the rows that are asked for. Both
//! work on encoded pages. A chunk in a form that they do not handle is read by [`reference`], through the column reader of
//! the `parquet` crate, with the same result; tests compare the two.

pub mod codes;
pub mod pick_values;
mod plain;
mod reader;
pub mod reference;

pub use reader::{ColumnBuffers, ColumnChunk, ColumnReader, ColumnValue, Reader};
