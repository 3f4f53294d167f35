//! How an estate writes dates that their Parquet type does not make certain: as text, or by a clock without a zone.

use std::fmt;

use jiff::civil::Date;
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Unit, civil};

use super::time::{DAY_MICROS, day_of_civil, day_start, parse};

/// What a policy declares about dates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DateSpelling {
    /// The format of dates that are stored as text.
    pub format: Option<DateFormat>,
    /// The zone of times that are stored without one; UTC if there is none.
    pub zone: Option<Zone>,
}

impl DateSpelling {
    /// Reads a text, UTC microseconds since 1970: in the declared format, else `2026-11-01` or an RFC 3339 time. A date
    /// without a time is its midnight in UTC, as with columns of dates. `None` if it cannot be read with certainty.
    #[must_use]
    pub fn read(&self, text: &[u8]) -> Option<i64> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(format) = &self.format {
            return format.read(text, self.zone.as_ref());
        }
        let micros = parse(text)?;
        match &self.zone {
            Some(zone) if is_local(text) => zone.to_utc(micros),
            _ => Some(micros),
        }
    }

    /// Whether a text is a time without a zone, and none is declared.
    #[must_use]
    pub fn leaves_zone_open(&self, text: &str) -> bool {
        let local = self.format.as_ref().map_or_else(|| is_local(text), DateFormat::needs_zone);
        local && self.zone.is_none()
    }
}

/// Whether a text that [`parse`] reads has a time of day without a zone.
fn is_local(text: &str) -> bool {
    let time = text.trim().get(10..).unwrap_or_default();
    !time.is_empty() && !time.contains(['Z', 'z', '+', '-'])
}

/// A format of dates as text, in the notation of `strptime`: `%d/%m/%Y`.
#[derive(Clone, PartialEq, Eq)]
pub struct DateFormat {
    pattern: String,
    /// Whether values have a time of day.
    timed: bool,
    /// Whether values have an offset from UTC.
    offset: bool,
}

/// The longest value that is read, in bytes: longer than any date.
const LONGEST: usize = 64;

impl DateFormat {
    /// Checks a format on two moments: what it writes it must read as the same date and hour.
    ///
    /// # Errors
    /// Why the format is not accepted.
    pub fn new(pattern: &str) -> Result<Self, &'static str> {
        let mut format = Self { pattern: pattern.to_owned(), timed: false, offset: false };
        for sample in [civil::datetime(2001, 2, 3, 4, 5, 6, 0), civil::datetime(1999, 11, 30, 23, 58, 57, 0)] {
            let moment = TimeZone::UTC.to_zoned_datetime(sample).map_err(|_| "it cannot be computed with")?;
            let text = strtime::format(pattern, &moment).map_err(|_| "it has a directive that is not known")?;
            let parsed = strtime::parse(pattern, &text).map_err(|_| "it has a directive that cannot be read back")?;
            if parsed.timestamp().is_some() || parsed.iana_time_zone().is_some() {
                return Err("it has seconds since 1970, or the name of a zone");
            }
            if parsed.to_date().ok() != Some(sample.date()) {
                return Err("it has no whole date: a day, a month and a year");
            }
            format.timed = parsed.hour().is_some();
            format.offset = parsed.offset().is_some();
            if format.timed && parsed.to_time().ok().map(civil::Time::hour) != Some(sample.hour()) {
                return Err("it has hours from 1 to 12 without `%p`");
            }
            if format.read(&text, None).is_none() {
                return Err("it cannot be read back");
            }
        }
        Ok(format)
    }

    /// The format as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether values have a time of day and no offset, so that a zone must be known.
    #[must_use]
    pub const fn needs_zone(&self) -> bool {
        self.timed && !self.offset
    }

    /// Reads a text, UTC microseconds since 1970, rounded down. The text must be exactly what the format writes, in
    /// either letter case: `1/2/2025` is not `%d/%m/%Y`.
    fn read(&self, text: &str, zone: Option<&Zone>) -> Option<i64> {
        if text.len() > LONGEST {
            return None;
        }
        let parsed = strtime::parse(&self.pattern, text).ok()?;
        // Decimals may be written with zeros at their end, which are not written back.
        let exact = parsed.subsec_nanosecond().is_some()
            || parsed.to_string(&self.pattern).is_ok_and(|written| written.eq_ignore_ascii_case(text));
        if !exact {
            return None;
        }
        if self.offset {
            return parsed.to_timestamp().ok()?.round(Unit::Microsecond).ok().map(Timestamp::as_microsecond);
        }
        let midnight = micros_of(parsed.to_date().ok()?);
        if !self.timed {
            return Some(midnight);
        }
        let time = parsed.to_time().ok()?;
        let seconds = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
        let local = midnight + seconds * 1_000_000 + i64::from(time.subsec_nanosecond() / 1000);
        zone.map_or(Some(local), |zone| zone.to_utc(local))
    }
}

impl fmt::Debug for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pattern, f)
    }
}

/// A time zone of the IANA database, which is a part of the program: the same on every machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of this name, in either letter case; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())?;
        zone.iana_name().is_some().then_some(Self(zone))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The instant at which a clock of the zone shows a time, both in microseconds since 1970. `None` if the clock skips
    /// that time or shows it twice: at the beginning and the end of summer time.
    ///
    /// Outside of the years -9999 to 9999, where no zone is defined, the time is returned as it is.
    #[must_use]
    pub fn to_utc(&self, local: i64) -> Option<i64> {
        let Ok(shown) = Timestamp::from_microsecond(local) else { return Some(local) };
        let shown = TimeZone::UTC.to_datetime(shown);
        match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => Some(local - i64::from(offset.seconds()) * 1_000_000),
            AmbiguousOffset::Gap { .. } | AmbiguousOffset::Fold { .. } => None,
        }
    }

    /// The instants of two times, if every time between them is one instant: the clock is not changed within a day of
    /// either.
    #[must_use]
    pub fn to_utc_range(&self, lowest: i64, highest: i64) -> Option<(i64, i64)> {
        let from = Timestamp::from_microsecond(lowest.checked_sub(DAY_MICROS)?).ok()?;
        let until = Timestamp::from_microsecond(highest.checked_add(DAY_MICROS)?).ok()?;
        let next = self.0.following(from).next();
        if next.is_some_and(|change| change.timestamp() <= until) {
            return None;
        }
        Some((self.to_utc(lowest)?, self.to_utc(highest)?))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn micros_of(date: Date) -> i64 {
    day_start(day_of_civil(date))
}

/// A time as a clock without a zone shows it, from microseconds since 1970.
#[must_use]
pub fn format_local(micros: i64) -> String {
    let text = super::time::format_instant(micros);
    text.strip_suffix('Z').map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        parse(text).unwrap()
    }

    #[test]
    fn a_text_is_read_exactly_as_the_format_writes_it() {
        let read = |pattern: &str, text: &str| DateFormat::new(pattern).unwrap().read(text, None);
        for (pattern, text, expected) in [
            ("%d/%m/%Y", "01/02/2025", "2025-02-01"),
            ("%Y%m%d", "20250201", "2025-02-01"),
            ("%d-%b-%y", "01-FEB-25", "2025-02-01"),
            ("%d.%m.%Y %H:%M", "01.02.2025 23:59", "2025-02-01T23:59:00Z"),
            ("%d/%m/%Y %H:%M:%S%.f", "01/02/2025 00:00:01.500000", "2025-02-01T00:00:01.5Z"),
            ("%I:%M %p, %d %B %Y", "11:30 pm, 01 february 2025", "2025-02-01T23:30:00Z"),
            ("%d/%m/%Y %H:%M %z", "01/02/2025 00:30 +0100", "2025-01-31T23:30:00Z"),
        ] {
            assert_eq!(read(pattern, text), Some(at(expected)), "{pattern} {text}");
        }
        for text in
            ["1/2/2025", "01/02/25", "31/02/2025", "13/13/2025", " 01/02/2025", "01/02/2025 ", "01-02-2025", "", "x"]
        {
            assert_eq!(read("%d/%m/%Y", text), None, "{text}");
        }
        let long = format!("01/02/2025{}", " ".repeat(100));
        assert_eq!(read("%d/%m/%Y", &long), None);
    }

    #[test]
    fn a_format_holds_a_whole_date() {
        for pattern in [
            "",
            "%d/%m",
            "%Y",
            "%H:%M",
            "%m/%Y",
            "%d/%m/%Y %I:%M",
            "%s",
            "%d/%m/%Y %Q",
            "%d/%m/%Y %Z",
            "%",
            "%d/%m/%Y %!",
        ] {
            assert!(DateFormat::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_clock_of_a_zone_is_read_as_the_zone_was() {
        let london = Zone::named("europe/london").unwrap();
        assert_eq!(london.name(), "Europe/London");
        let read = |text: &str| london.to_utc(at(text));
        assert_eq!(read("2025-01-15T12:00:00"), Some(at("2025-01-15T12:00:00Z")));
        assert_eq!(read("2025-07-15T00:30:00"), Some(at("2025-07-14T23:30:00Z")));
        // The clock goes from 01:00 to 02:00 on 2025-03-30, and from 02:00 back to 01:00 on 2025-10-26.
        assert_eq!(read("2025-03-30T01:30:00"), None);
        assert_eq!(read("2025-10-26T01:30:00"), None);
        assert_eq!(read("2025-10-26T02:00:00"), Some(at("2025-10-26T02:00:00Z")));
        assert_eq!(london.to_utc(i64::MAX - 1), Some(i64::MAX - 1), "no zone is defined for that year");
        assert!(
            Zone::named("Europe/Londn").is_none() && Zone::named("Etc/Unknown").is_none() && Zone::named("").is_none()
        );
    }

    #[test]
    fn a_range_is_one_only_where_the_clock_is_not_changed() {
        let london = Zone::named("Europe/London").unwrap();
        let range = |from: &str, until: &str| london.to_utc_range(at(from), at(until));
        let (from, until) = range("2025-05-01", "2025-09-01").unwrap();
        assert_eq!((from, until), (at("2025-04-30T23:00:00Z"), at("2025-08-31T23:00:00Z")));
        for (from, until) in [
            ("2025-05-01", "2025-12-01"),
            ("2025-03-31", "2025-05-01"),
            ("2025-10-25", "2025-10-26"),
            ("2025-01-01", "2026-01-01"),
        ] {
            assert_eq!(range(from, until), None, "{from} {until}");
        }
    }
}
