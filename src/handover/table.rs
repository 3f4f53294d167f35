//! The manifests as tables of values, for the formats that write every column in the same way.

use arrow_array::Array;

use crate::error::{Error, Result};
use crate::estate::time::{format_day, format_instant};
use crate::run::read::{Alerts, Deletes, Manifest, Quarantine, text};
use crate::shown;

/// A value of a manifest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ManifestValue<'a> {
    /// No value.
    Null,
    /// Text.
    Text(&'a str),
    /// UTC microseconds since 1970.
    Instant(i64),
    /// Days since 1970.
    Day(i32),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(i64),
}

impl<'a> ManifestValue<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

/// An instant as all databases read it: always with six decimals and a zone, `2025-01-15 06:30:00.000000+00:00`.
///
/// A quarantined date after the year 9999, which no date column takes, is written as microseconds since 1970, in words.
pub(super) fn instant(micros: i64) -> String {
    let text = format_instant(micros);
    let Some((date, time)) = text.strip_suffix('Z').and_then(|text| text.split_once('T')) else { return text };
    let (seconds, decimals) = time.split_once('.').unwrap_or((time, ""));
    format!("{date} {seconds}.{decimals:0<6}+00:00")
}

/// A day, `2026-01-15`.
pub(super) fn day(day: i32) -> String {
    format_day(day)
}

/// Refuses text with a NUL, which PostgreSQL's text cannot hold. A sweep quarantines such a party, so that no manifest of its
/// has one.
///
/// # Errors
/// [`Error::Usage`] for a NUL.
pub(super) fn without_nul<M: Manifest>(text: &str) -> Result<&str> {
    if !text.contains('\0') {
        return Ok(text);
    }
    Err(Error::Usage {
        what: format!("{}: `{}` has a NUL in it, which no database text can hold", M::NAME, shown::value(text)),
        remedy: "sweep again: such a party is quarantined; or export the run as ndjson".into(),
    })
}

/// A manifest as a table.
pub(super) trait ManifestTable: Manifest {
    /// Names of the columns, in their order.
    const COLUMNS: &'static [&'static str];

    /// The values of a row, in the order of the columns.
    fn values(&self, row: usize) -> impl Iterator<Item = ManifestValue<'_>>;
}

impl ManifestTable for Deletes {
    const COLUMNS: &'static [&'static str] =
        &["device_id", "device_type", "smi_status", "status_since", "due_on", "notifying_party", "alert"];

    fn values(&self, row: usize) -> impl Iterator<Item = ManifestValue<'_>> {
        [
            ManifestValue::Text(self.id.value(row)),
            ManifestValue::Text(self.device_type.value(row)),
            ManifestValue::Text(self.status.value(row)),
            ManifestValue::Instant(self.since.value(row)),
            ManifestValue::Day(self.due_on.value(row)),
            ManifestValue::text(text(&self.party, row)),
            ManifestValue::Flag(self.alert.value(row)),
        ]
        .into_iter()
    }
}

impl ManifestTable for Alerts {
    const COLUMNS: &'static [&'static str] =
        &["alert_code", "notifying_party", "device_id", "device_type", "status_since", "due_on"];

    fn values(&self, row: usize) -> impl Iterator<Item = ManifestValue<'_>> {
        [
            ManifestValue::Text(self.code.value(row)),
            ManifestValue::Text(self.party.value(row)),
            ManifestValue::Text(self.id.value(row)),
            ManifestValue::Text(self.device_type.value(row)),
            ManifestValue::Instant(self.since.value(row)),
            ManifestValue::Day(self.due_on.value(row)),
        ]
        .into_iter()
    }
}

impl ManifestTable for Quarantine {
    const COLUMNS: &'static [&'static str] = &[
        "reason",
        "device_id",
        "device_type",
        "smi_status",
        "status_since",
        "notifying_party",
        "source_file",
        "row_in_file",
    ];

    fn values(&self, row: usize) -> impl Iterator<Item = ManifestValue<'_>> {
        let since = self.since.is_valid(row).then(|| self.since.value(row));
        [
            ManifestValue::Text(self.reason.value(row)),
            ManifestValue::text(text(&self.id, row)),
            ManifestValue::text(text(&self.device_type, row)),
            ManifestValue::text(text(&self.status, row)),
            since.map_or(ManifestValue::Null, ManifestValue::Instant),
            ManifestValue::text(text(&self.party, row)),
            ManifestValue::Text(self.source_file.value(row)),
            ManifestValue::Number(self.row_in_file.value(row)),
        ]
        .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estate::time::parse;

    #[test]
    fn instants_have_the_same_width_whatever_their_decimals() {
        for (time, written) in [
            ("2025-01-15", "2025-01-15 00:00:00.000000+00:00"),
            ("2025-01-15T06:30:00.5Z", "2025-01-15 06:30:00.500000+00:00"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31 23:59:59.999999+00:00"),
            ("0001-01-01", "0001-01-01 00:00:00.000000+00:00"),
            ("9999-12-30T21:59:59.000001Z", "9999-12-30 21:59:59.000001+00:00"),
        ] {
            assert_eq!(instant(parse(time).unwrap()), written);
        }
        assert_eq!(instant(i64::MAX), "9223372036854775807 microseconds since 1970");
    }
}
