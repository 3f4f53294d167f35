//! Reads status dates from their stored forms, as UTC microseconds since 1970.
//!
//! A number that stands for no date is none: the lowest and the highest number of a unit, which writers store for NaT,
//! -infinity and infinity, and every number on the two days of the lowest and the highest nanosecond, because a NaT that
//! was converted to another unit lies there.

use super::form::{PhysicalForm, TimestampUnit};
use crate::estate::time::{DAY_MICROS, is_no_date};
use crate::estate::{DateSpelling, format_local};

/// Julian day number of 1970-01-01: INT96 timestamps store Julian days.
const JULIAN_EPOCH: i64 = 2_440_588;

/// How the status dates of a file are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusDates {
    form: PhysicalForm,
    spelling: DateSpelling,
}

impl StatusDates {
    /// A row without a date, where a number is needed. No date that can be read is this number.
    pub const NULL: i64 = i64::MIN;

    /// Dates of this form; `spelling` is what the policy declares.
    #[must_use]
    pub const fn new(form: PhysicalForm, spelling: DateSpelling) -> Self {
        Self { form, spelling }
    }

    /// A stored date; `None` if it is null, or a number or text that is no date.
    #[must_use]
    pub fn read(&self, bytes: Option<&[u8]>) -> Option<i64> {
        Some(self.read_or_null(bytes)).filter(|&micros| micros != Self::NULL)
    }

    /// As [`read`](Self::read), with [`NULL`](Self::NULL) for no date. A date outside of the range of `i64` microseconds
    /// becomes the nearest value in range, which is a future or an implausible date.
    #[must_use]
    #[inline]
    pub fn read_or_null(&self, bytes: Option<&[u8]>) -> i64 {
        let Some(bytes) = bytes else { return Self::NULL };
        match self.form {
            PhysicalForm::LocalTimestamp(_) | PhysicalForm::Text | PhysicalForm::Raw => self.declared(bytes),
            form => stored(form, bytes),
        }
    }

    /// A date whose meaning depends on what the policy declares.
    fn declared(&self, bytes: &[u8]) -> i64 {
        if matches!(self.form, PhysicalForm::Text | PhysicalForm::Raw) {
            return self.spelling.read(bytes).filter(|&micros| !is_no_date(micros)).unwrap_or(Self::NULL);
        }
        let local = stored(self.form, bytes);
        match &self.spelling.zone {
            Some(zone) if local != Self::NULL => zone.to_utc(local).unwrap_or(Self::NULL),
            _ => local,
        }
    }

    /// Whether statistics of the stored values are in the order of the dates. The order of INT96 is not defined.
    #[must_use]
    pub const fn are_ordered(&self) -> bool {
        matches!(self.form, PhysicalForm::Timestamp(_) | PhysicalForm::LocalTimestamp(_) | PhysicalForm::Date)
    }

    /// Lowest and highest date, from statistics of the stored values; `None` if they do not bound every date.
    #[must_use]
    pub fn bounds(&self, lowest: &[u8], highest: &[u8]) -> Option<(i64, i64)> {
        let width = self.form.width().filter(|_| self.are_ordered())?;
        if lowest.len() != width || highest.len() != width {
            return None;
        }
        let (lowest, highest) = (stored(self.form, lowest), stored(self.form, highest));
        if lowest == Self::NULL || lowest > highest {
            return None;
        }
        match (self.form, &self.spelling.zone) {
            (PhysicalForm::LocalTimestamp(_), Some(zone)) => zone.to_utc_range(lowest, highest),
            _ => Some((lowest, highest)),
        }
    }

    /// A value that was meant as a date and is none, as text: a text that is not in the declared format, or a time that
    /// the declared zone skips or has twice. `None` for dates, nulls, blanks, and numbers that stand for no date.
    #[must_use]
    pub fn misread(&self, bytes: Option<&[u8]>) -> Option<String> {
        let bytes = bytes?;
        if self.read_or_null(Some(bytes)) != Self::NULL {
            return None;
        }
        match self.form {
            PhysicalForm::Text | PhysicalForm::Raw => {
                Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.trim().is_empty())
            }
            form => Some(stored(form, bytes)).filter(|&local| local != Self::NULL).map(format_local),
        }
    }

    /// Whether the dates have times without a zone, and the policy declares none, so that they are read as UTC.
    #[must_use]
    pub fn assume_utc(&self) -> bool {
        let needs_zone = match self.form {
            PhysicalForm::LocalTimestamp(_) => true,
            PhysicalForm::Text | PhysicalForm::Raw => {
                self.spelling.format.as_ref().is_some_and(crate::estate::DateFormat::needs_zone)
            }
            _ => false,
        };
        needs_zone && self.spelling.zone.is_none()
    }
}

/// A stored number, in microseconds since 1970, rounded down; [`StatusDates::NULL`] if it stands for no date.
fn stored(form: PhysicalForm, bytes: &[u8]) -> i64 {
    let value = match (form, bytes.len()) {
        (PhysicalForm::Date, 4..) => {
            let days = i64::from(i32::from_le_bytes(first(bytes)));
            limited(days, i32::MIN.into(), i32::MAX.into(), |days| days.saturating_mul(DAY_MICROS))
        }
        (PhysicalForm::Timestamp(unit) | PhysicalForm::LocalTimestamp(unit), 8..) => {
            limited(i64::from_le_bytes(first(bytes)), i64::MIN, i64::MAX, |value| scale(unit, value))
        }
        (PhysicalForm::Int96, 12..) => {
            let nanos = i64::from_le_bytes(first(bytes));
            let julian = i64::from(i32::from_le_bytes(first(&bytes[8..])));
            limited(julian, i32::MIN.into(), i32::MAX.into(), |julian| {
                (julian - JULIAN_EPOCH).saturating_mul(DAY_MICROS).saturating_add(nanos.div_euclid(1000))
            })
        }
        _ => return StatusDates::NULL,
    };
    match value {
        Some(micros) if !is_no_date(micros) => micros.max(StatusDates::NULL + 1),
        _ => StatusDates::NULL,
    }
}

/// Converts a number, unless it is the lowest of its type, the one after it, or the highest. Some systems store
/// -infinity as the negative of infinity, which is the second lowest.
#[inline]
fn limited(value: i64, lowest: i64, highest: i64, convert: impl FnOnce(i64) -> i64) -> Option<i64> {
    (value > lowest + 1 && value < highest).then(|| convert(value))
}

fn scale(unit: TimestampUnit, value: i64) -> i64 {
    match unit {
        TimestampUnit::Second => value.saturating_mul(1_000_000),
        TimestampUnit::Milli => value.saturating_mul(1000),
        TimestampUnit::Micro => value,
        TimestampUnit::Nano => value.div_euclid(1000),
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estate::time::{NO_DATES, day_of, day_start, format_day, parse};
    use crate::estate::{DateFormat, Zone};

    const UNITS: [TimestampUnit; 4] =
        [TimestampUnit::Second, TimestampUnit::Milli, TimestampUnit::Micro, TimestampUnit::Nano];

    fn read(form: PhysicalForm, bytes: &[u8]) -> Option<i64> {
        StatusDates::new(form, DateSpelling::default()).read(Some(bytes))
    }

    fn timestamp(unit: TimestampUnit, value: i64) -> Option<i64> {
        let utc = read(PhysicalForm::Timestamp(unit), &value.to_le_bytes());
        assert_eq!(read(PhysicalForm::LocalTimestamp(unit), &value.to_le_bytes()), utc, "UTC without a declared zone");
        utc
    }

    fn int96(micros: i64) -> Vec<u8> {
        let mut bytes = (micros.rem_euclid(DAY_MICROS) * 1000).to_le_bytes().to_vec();
        bytes.extend(((micros.div_euclid(DAY_MICROS) + JULIAN_EPOCH) as i32).to_le_bytes());
        bytes
    }

    #[test]
    fn every_form_of_one_moment_is_the_same_microsecond() {
        let micro = 1_700_000_000_123_456_i64;
        assert_eq!(timestamp(TimestampUnit::Micro, micro), Some(micro));
        assert_eq!(timestamp(TimestampUnit::Nano, micro * 1000 + 999), Some(micro));
        assert_eq!(timestamp(TimestampUnit::Milli, micro / 1000), Some(micro / 1000 * 1000));
        assert_eq!(timestamp(TimestampUnit::Second, micro / 1_000_000), Some(1_700_000_000_000_000));
        assert_eq!(timestamp(TimestampUnit::Nano, -1), Some(-1));
        assert_eq!(read(PhysicalForm::Date, &19_675_i32.to_le_bytes()), Some(19_675 * DAY_MICROS));
        assert_eq!(read(PhysicalForm::Int96, &int96(micro)), Some(micro));
    }

    /// NaT was read as 1677-09-21, and the device was deleted.
    #[test]
    fn the_lowest_and_highest_number_of_every_unit_is_no_date() {
        for unit in UNITS {
            for number in [i64::MIN, i64::MIN + 1, i64::MAX] {
                assert_eq!(timestamp(unit, number), None, "{unit:?} {number}");
            }
        }
        for number in [i32::MIN, i32::MIN + 1, i32::MAX] {
            assert_eq!(read(PhysicalForm::Date, &number.to_le_bytes()), None, "{number}");
            let bytes = [&0i64.to_le_bytes()[..], &number.to_le_bytes()].concat();
            assert_eq!(read(PhysicalForm::Int96, &bytes), None, "{number}");
        }
        // A NaT of nanoseconds in other units, rounded down or towards zero.
        for (unit, divisor) in UNITS.into_iter().zip([1_000_000_000, 1_000_000, 1000, 1]) {
            for number in [i64::MIN, i64::MAX].map(|nanos| [nanos / divisor, nanos.div_euclid(divisor)]).concat() {
                assert_eq!(timestamp(unit, number), None, "{unit:?} {number}");
            }
        }
        for micros in [i64::MIN / 1000, i64::MAX / 1000] {
            assert_eq!(read(PhysicalForm::Int96, &int96(micros)), None);
            assert_eq!(read(PhysicalForm::Date, &(micros.div_euclid(DAY_MICROS) as i32).to_le_bytes()), None);
        }
        for ((first, last), day) in NO_DATES.into_iter().zip(["1677-09-21", "2262-04-11"]) {
            assert_eq!([first, last].map(|micros| format_day(day_of(micros))), [day; 2]);
            assert!(timestamp(TimestampUnit::Micro, first - 1).is_some());
            assert!(timestamp(TimestampUnit::Micro, last + 1).is_some());
        }
    }

    #[test]
    fn beyond_the_range_is_its_end_and_never_null() {
        assert_eq!(timestamp(TimestampUnit::Second, i64::MAX - 1), Some(i64::MAX));
        assert_eq!(timestamp(TimestampUnit::Second, i64::MIN + 2), Some(StatusDates::NULL + 1));
        assert!(read(PhysicalForm::Date, &(i32::MIN + 2).to_le_bytes()).is_some_and(|micros| micros < 0));
    }

    #[test]
    fn bounds_hold_for_every_date_or_there_are_none() {
        let utc = StatusDates::new(PhysicalForm::MICROS, DateSpelling::default());
        let bytes = |text: &str| parse(text).unwrap().to_le_bytes();
        let (may, september) = (bytes("2025-05-01"), bytes("2025-09-01"));
        assert_eq!(utc.bounds(&may, &september), Some((parse("2025-05-01").unwrap(), parse("2025-09-01").unwrap())));
        assert_eq!(utc.bounds(&september, &may), None);
        assert_eq!(utc.bounds(&i64::MIN.to_le_bytes(), &may), None);
        assert_eq!(utc.bounds(&may, &i64::MAX.to_le_bytes()), None);
        assert_eq!(utc.bounds(&may[..4], &september), None);
        let zone = DateSpelling { format: None, zone: Zone::named("Europe/London") };
        let local = StatusDates::new(PhysicalForm::LocalTimestamp(TimestampUnit::Micro), zone);
        let hour = 3_600_000_000;
        assert_eq!(
            local.bounds(&may, &september),
            Some((parse("2025-05-01").unwrap() - hour, parse("2025-09-01").unwrap() - hour))
        );
        assert_eq!(local.bounds(&may, &bytes("2025-12-01")), None, "the clock is changed in between");
    }

    #[test]
    fn what_is_no_date_is_quoted() {
        let format = DateFormat::new("%d/%m/%Y").ok();
        let text = StatusDates::new(PhysicalForm::Text, DateSpelling { format, zone: None });
        assert_eq!(text.read(Some(b"01/02/2025")), parse("2025-02-01"));
        assert_eq!(text.misread(Some(b"31/02/2025")).as_deref(), Some("31/02/2025"));
        assert_eq!(
            (text.misread(Some(b"  ")), text.misread(None), text.misread(Some(b"01/02/2025"))),
            (None, None, None)
        );
        let zone = DateSpelling { format: None, zone: Zone::named("Europe/London") };
        let local = StatusDates::new(PhysicalForm::LocalTimestamp(TimestampUnit::Second), zone);
        let skipped = (parse("2025-03-30T01:30:00").unwrap() / 1_000_000).to_le_bytes();
        assert_eq!(local.misread(Some(&skipped)).as_deref(), Some("2025-03-30T01:30:00"));
        assert_eq!(local.misread(Some(&i64::MIN.to_le_bytes())), None);
        assert_eq!(local.read(Some(&day_start(0).to_le_bytes())), parse("1969-12-31T23:00:00"), "summer time all year");
    }
}
