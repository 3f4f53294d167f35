//! Calendar arithmetic: instants as microseconds, dates as days, and adding calendar months.
//!
//! Everything is UTC. Months follow the corresponding-date rule (Dodds v Walker \[1981\]): the same day of the
//! month, or the last day of a month that is too short.

use jiff::{Span, Timestamp, civil::Date, tz::Offset};

/// Microseconds of a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// The day of an instant: days since 1970-01-01, rounded towards the past.
#[must_use]
#[inline]
pub const fn day_of(micros: i64) -> i32 {
    // The whole range of i64 microseconds is some 107 million days, which fits.
    micros.div_euclid(DAY_MICROS) as i32
}

/// The instant at which a day begins.
#[must_use]
pub const fn day_start(day: i32) -> i64 {
    (day as i64).saturating_mul(DAY_MICROS)
}

/// First day of the year 1.
pub const FIRST_DAY: i32 = -719_162;
/// Last day of the year 9999.
pub const LAST_DAY: i32 = 2_932_896;

/// The civil date of a day; `None` outside of the years 1 to 9999.
#[must_use]
pub fn civil(day: i32) -> Option<Date> {
    if !(FIRST_DAY..=LAST_DAY).contains(&day) {
        return None;
    }
    EPOCH.checked_add(Span::new().try_days(day).ok()?).ok()
}

/// The day of a civil date.
#[must_use]
pub fn day_of_civil(date: Date) -> i32 {
    EPOCH.until(date).map_or(i32::MAX, |span| span.get_days())
}

const EPOCH: Date = Date::constant(1970, 1, 1);

/// The day that comes `months` calendar months after `day`, by the corresponding-date rule.
///
/// `None` where either lies outside of the years 1 to 9999.
#[must_use]
pub fn add_months(day: i32, months: u32) -> Option<i32> {
    let date = civil(day)?.checked_add(Span::new().try_months(months).ok()?).ok()?;
    Some(day_of_civil(date))
}

/// How many whole calendar months lie between the dates of two instants; none where the second comes first.
#[must_use]
pub fn whole_months(since: i64, until: i64) -> u32 {
    let (since, until) = (day_of(since), day_of(until));
    // Never too high, and at most two too low: no month has more than 31 days.
    let mut months = u32::try_from(until.saturating_sub(since).max(0) / 31).unwrap_or_default();
    while add_months(since, months + 1).is_some_and(|day| day <= until) {
        months += 1;
    }
    months
}

/// Reads `2026-11-01` (its midnight) or an RFC 3339 time, as UTC microseconds. A time without a zone is UTC.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let micros = if let Ok(instant) = text.parse::<Timestamp>() {
        // Finer than a microsecond is cut off, towards the past.
        i64::try_from(instant.as_nanosecond().div_euclid(1000)).ok()?
    } else {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let instant = Offset::UTC.to_timestamp(civil).ok()?;
        i64::try_from(instant.as_nanosecond().div_euclid(1000)).ok()?
    };
    civil_range(micros).then_some(micros)
}

fn civil_range(micros: i64) -> bool {
    (FIRST_DAY..=LAST_DAY).contains(&day_of(micros))
}

/// A day as `2026-11-01`.
#[must_use]
pub fn format_day(day: i32) -> String {
    civil(day).map_or_else(|| format!("day {day}"), |date| date.to_string())
}

/// An instant as RFC 3339 in UTC, with as many decimals as it needs.
#[must_use]
pub fn format_instant(micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(instant) if civil_range(micros) => instant.to_string(),
        _ => format!("{micros} microseconds since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i32 {
        day_of(parse(text).unwrap())
    }

    #[test]
    fn whole_months_are_those_that_have_been_reached() {
        let months = |from: &str, to: &str| whole_months(parse(from).unwrap(), parse(to).unwrap());
        assert_eq!(months("2025-01-15", "2026-01-14"), 11);
        assert_eq!(months("2025-01-15", "2026-01-15"), 12);
        assert_eq!(months("2025-08-31", "2026-02-28"), 6);
        assert_eq!(months("2024-02-29", "2025-02-28"), 12);
        assert_eq!(months("1980-01-01", "2026-11-01"), 46 * 12 + 10);
        assert_eq!(months("2026-11-02", "2026-11-01"), 0);
    }

    #[test]
    fn months_keep_the_day_or_clamp_to_the_last() {
        for (from, months, to) in [
            ("2025-01-15", 12, "2026-01-15"),
            ("2025-08-31", 6, "2026-02-28"),
            ("2023-08-31", 6, "2024-02-29"),
            ("2024-02-29", 12, "2025-02-28"),
            ("2024-02-29", 48, "2028-02-29"),
            ("2025-01-31", 1, "2025-02-28"),
            ("2025-01-31", 3, "2025-04-30"),
            ("2025-02-28", 12, "2026-02-28"),
            ("2023-02-28", 12, "2024-02-28"),
            ("2025-12-31", 2, "2026-02-28"),
            ("1969-12-31", 1, "1970-01-31"),
        ] {
            assert_eq!(add_months(day(from), months), Some(day(to)), "{from} + {months}");
        }
    }

    #[test]
    fn the_range_of_dates_ends_at_the_years_1_and_9999() {
        assert_eq!(civil(FIRST_DAY).unwrap().to_string(), "0001-01-01");
        assert_eq!(civil(LAST_DAY).unwrap().to_string(), "9999-12-31");
        assert!(civil(FIRST_DAY - 1).is_none() && civil(LAST_DAY + 1).is_none());
        assert_eq!(add_months(LAST_DAY, 1), None);
    }

    #[test]
    fn times_are_read_with_and_without_a_zone() {
        assert_eq!(parse("2026-11-01"), parse("2026-11-01T00:00:00Z"));
        assert_eq!(parse("2026-11-01T01:00:00+01:00"), parse("2026-11-01"));
        assert_eq!(parse("2026-11-01T00:00:00"), parse("2026-11-01"));
        assert_eq!(parse("1969-12-31T23:59:59.9999999Z"), Some(-1));
        assert_eq!(parse("2026-13-01"), None);
        assert_eq!(parse("yesterday"), None);
    }
}
