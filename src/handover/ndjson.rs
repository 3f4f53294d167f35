//! NDJSON: one object a line, with every column by name; times as RFC 3339, in UTC.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::sheet::{Cell, Sheet, day};
use crate::estate::time::format_instant;

/// Writes a row.
pub(super) fn row<M: Sheet>(sheet: &M, row: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, &Row { sheet, row })?;
    out.push(b'\n');
    Ok(())
}

struct Row<'a, M> {
    sheet: &'a M,
    row: usize,
}

impl<M: Sheet> Serialize for Row<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(M::COLUMNS.len()))?;
        for (column, cell) in M::COLUMNS.iter().zip(self.sheet.cells(self.row)) {
            map.serialize_entry(column, &cell)?;
        }
        map.end()
    }
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Cell::Null => serializer.serialize_unit(),
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::Instant(micros) => serializer.serialize_str(&format_instant(micros)),
            Cell::Day(number) => serializer.serialize_str(&day(number)),
            Cell::Flag(flag) => serializer.serialize_bool(flag),
            Cell::Number(number) => serializer.serialize_i64(number),
        }
    }
}
