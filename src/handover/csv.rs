//! CSV as `COPY ... WITH (FORMAT csv, HEADER)` takes it: nothing between commas is null, `""` is empty text.
//!
//! The `csv` crate cannot write that difference: it quotes all text or only where needed.

use super::table::{ManifestTable, ManifestValue, day, instant, without_nul};
use crate::error::Result;
use crate::run::manifest::QUARANTINE;

/// Writes the names of the columns.
pub(super) fn header<M: ManifestTable>(out: &mut Vec<u8>) {
    out.extend_from_slice(M::COLUMNS.join(",").as_bytes());
    out.push(b'\n');
}

/// Writes a row.
///
/// PostgreSQL's text cannot hold a NUL. In a quarantined value, which is as it was found, each is written as U+FFFD, like bytes
/// that are not UTF-8.
///
/// # Errors
/// A NUL in a manifest that is loaded: see [`without_nul`].
pub(super) fn row<M: ManifestTable>(table: &M, row: usize, out: &mut Vec<u8>) -> Result<()> {
    for (column, cell) in table.values(row).enumerate() {
        if column > 0 {
            out.push(b',');
        }
        match cell {
            ManifestValue::Null => {}
            ManifestValue::Text(value) if M::NAME == QUARANTINE => text(&value.replace('\0', "\u{FFFD}"), out),
            ManifestValue::Text(value) => text(without_nul::<M>(value)?, out),
            ManifestValue::Instant(micros) => out.extend_from_slice(instant(micros).as_bytes()),
            ManifestValue::Day(number) => out.extend_from_slice(day(number).as_bytes()),
            ManifestValue::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            ManifestValue::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        }
    }
    out.push(b'\n');
    Ok(())
}

/// Text is quoted unless it is of characters that mean nothing to any reader of CSV.
fn text(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'/' | b'.');
    // `\.` ends the data for some readers, and the bare word NULL is null for others.
    let bare = text.bytes().all(plain)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && !text.eq_ignore_ascii_case("null");
    if bare {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
