//! NDJSON: one object a line, with every column by name; times as RFC 3339, in UTC.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::table::{ManifestTable, ManifestValue, day};
use crate::estate::time::format_instant;

/// Writes a row.
pub(super) fn row<M: ManifestTable>(table: &M, row: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, &Row { table, row })?;
    out.push(b'\n');
    Ok(())
}

struct Row<'a, M> {
    table: &'a M,
    row: usize,
}

impl<M: ManifestTable> Serialize for Row<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(M::COLUMNS.len()))?;
        for (column, cell) in M::COLUMNS.iter().zip(self.table.values(self.row)) {
            map.serialize_entry(column, &cell)?;
        }
        map.end()
    }
}

impl Serialize for ManifestValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            ManifestValue::Null => serializer.serialize_unit(),
            ManifestValue::Text(text) => serializer.serialize_str(text),
            ManifestValue::Instant(micros) => serializer.serialize_str(&format_instant(micros)),
            ManifestValue::Day(number) => serializer.serialize_str(&day(number)),
            ManifestValue::Flag(flag) => serializer.serialize_bool(flag),
            ManifestValue::Number(number) => serializer.serialize_i64(number),
        }
    }
}
