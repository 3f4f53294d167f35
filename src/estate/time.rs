//! Calendar arithmetic: instants as microseconds, dates as days, and adding calendar months.
//!
//! Everything is UTC. Months follow the corresponding-date rule (Dodds v Walker \[1981\]): the same day of the
//! month, or the last day of a month that is too short.

use jiff::{
    Span,
    civil::{Date, Time},
};

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

/// First and last microsecond of 1677-09-21 and of 2262-04-11, the days of the lowest and the highest number of
/// nanoseconds in 64 bits. Writers store these numbers for no date, also converted to other units.
pub const NO_DATES: [(i64, i64); 2] = [day_around(i64::MIN / 1000), day_around(i64::MAX / 1000)];

const fn day_around(micros: i64) -> (i64, i64) {
    let start = micros.div_euclid(DAY_MICROS) * DAY_MICROS;
    (start, start + DAY_MICROS - 1)
}

/// Whether an instant is on one of the days of [`NO_DATES`].
#[must_use]
#[inline]
pub const fn is_no_date(micros: i64) -> bool {
    let [lowest, highest] = NO_DATES;
    (lowest.0 <= micros && micros <= lowest.1) || (highest.0 <= micros && micros <= highest.1)
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

/// The day `months` calendar months after `day` (both days since 1970-01-01), by the corresponding-date rule: the same
/// day of the month, or the last day of a shorter month. `None` if either is outside of the years 1 to 9999.
#[must_use]
pub fn add_months(day: i32, months: u32) -> Option<i32> {
    let date = civil(day)?.checked_add(Span::new().try_months(months).ok()?).ok()?;
    Some(day_of_civil(date))
}

/// Whole calendar months between the UTC dates of two instants (UTC microseconds); 0 if the second is earlier.
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

/// Reads `2026-11-01` (its midnight) or an RFC 3339 time, as UTC microseconds. A time without a zone is UTC. Seconds
/// may be omitted. Digits after the microseconds are dropped. `None` for all else: names of zones, offsets of more than
/// 14 hours, second 60.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', _, _, b'-', _, _] = date.as_bytes() else {
        return None;
    };
    let date = Date::new(date[..4].parse().ok()?, digits(&date[5..7])? as i8, digits(&date[8..])? as i8).ok()?;
    let micros = day_start(day_of_civil(date)) + if rest.is_empty() { 0 } else { time_of_day(rest)? };
    civil_range(micros).then_some(micros)
}

/// As [`parse`], and dates before the year 1 too, as in `-000043-03-15`. Only damaged data has such dates.
#[must_use]
pub fn parse_any_year(text: &str) -> Option<i64> {
    parse(text).or_else(|| {
        let [year, month, day] = text.trim().strip_prefix('-')?.splitn(3, '-').collect::<Vec<_>>()[..] else {
            return None;
        };
        let year: i16 = year.parse().ok().filter(|_| year.len() == 6)?;
        let date = Date::new(-year, digits(month)? as i8, digits(day)? as i8).ok()?;
        Some(day_start(day_of_civil(date)))
    })
}

/// Reads the part after a date: `T06:30`, with optional seconds, decimals and zone. Returns microseconds since midnight
/// UTC of that date.
fn time_of_day(text: &str) -> Option<i64> {
    let time = text.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (&time[..at], offset_minutes(&time[at..])?),
        None => (time, 0),
    };
    let (clock, decimals) = time.split_once('.').map_or((time, None), |(clock, decimals)| (clock, Some(decimals)));
    let fields: Vec<i64> = clock.split(':').map(digits).collect::<Option<_>>()?;
    let (hour, minute, second) = match fields[..] {
        [hour, minute] if decimals.is_none() => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match decimals {
        None => 0,
        Some(decimals) if decimals.is_empty() || !decimals.bytes().all(|b| b.is_ascii_digit()) => return None,
        Some(decimals) => format!("{decimals:0<6}")[..6].parse::<i64>().ok()?,
    };
    Some(((hour * 60 + minute - offset) * 60 + second) * 1_000_000 + fraction)
}

/// Reads `Z`, `+01:00` or `+01`, as minutes ahead of UTC.
fn offset_minutes(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = text[1..].split_once(':').unwrap_or((&text[1..], "00"));
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let offset = hours * 60 + minutes;
    (minutes < 60 && offset <= 14 * 60).then_some(if text.starts_with('-') { -offset } else { offset })
}

/// Two digits.
fn digits(text: &str) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
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
    let of_day = micros.rem_euclid(DAY_MICROS);
    let (seconds, micro) = (of_day / 1_000_000, of_day % 1_000_000);
    let time = Time::new((seconds / 3600) as i8, (seconds / 60 % 60) as i8, (seconds % 60) as i8, micro as i32 * 1000);
    match (civil(day_of(micros)), time) {
        (Some(date), Ok(time)) => format!("{}Z", date.to_datetime(time)),
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
        assert_eq!(parse(" 2026-11-01 06:30\n"), parse("2026-11-01T06:30:00Z"));
        assert_eq!(parse("2026-11-01t06:30:00.5z"), Some(parse("2026-11-01T06:30:00").unwrap() + 500_000));
        assert_eq!(parse("2026-11-01T00:00:00+14:00"), parse("2026-10-31T10:00:00Z"));
        assert_eq!(parse("2026-11-01 00:00:00-03"), parse("2026-11-01T03:00:00Z"));
    }

    #[test]
    fn what_only_looks_like_a_time_is_none() {
        assert_eq!((parse("-000043-03-15"), parse_any_year("-43-03-15")), (None, None));
        assert!(parse_any_year("-000043-03-15").unwrap() < day_start(FIRST_DAY));
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-1-1",
            "20261101",
            "+002026-11-01",
            "-2026-11-01",
            "2026-11-01T",
            "2026-11-01T06",
            "2026-11-01T0630",
            "2026-11-01T24:00:00",
            "2026-11-01T06:60:00",
            "2026-12-31T23:59:60Z",
            "2026-11-01T06:30:00.Z",
            "2026-11-01T06:30.5",
            "2026-11-01T06:30:00+14:01",
            "2026-11-01T06:30:00+15",
            "2026-11-01T06:30:00+01:60",
            "2026-11-01T06:30:00+0100",
            "2026-11-01T06:30:00ZZ",
            "2026-11-01T06:30:00[Europe/London]",
            "2026-11-01T06:30:00Z[UTC]",
            "2026-11-01[u-ca=hebrew]",
            "2026-11-01Z",
            "2026\u{e9}11-01",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_and_the_last_moment_are_read_and_written() {
        for text in
            ["0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.5Z"]
        {
            assert_eq!(format_instant(parse(text).unwrap()), text);
        }
        assert_eq!(parse("9999-12-31"), Some(day_start(LAST_DAY)));
        assert!(format_instant(day_start(LAST_DAY + 1)).contains("microseconds"));
    }
}
