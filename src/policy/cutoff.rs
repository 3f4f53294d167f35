//! The status dates that are due, as a cutoff, so that no age is computed for any row.
//!
//! "For m months or longer" means: the status date plus m calendar months, clamped to the last day of the month, is not
//! after the as-of moment. Adding months is monotone over *dates*: all dates up to some day are due, and none after it.
//! It is not monotone over *instants*: several days at the end of a month may become due on the as-of day, each up to
//! the time of day. A cutoff is therefore a last due instant and at most three intervals after it.

use crate::estate::time::{DAY_MICROS, FIRST_DAY, add_months, day_of, day_start};

use super::Boundary;

/// The status dates that are due for one threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutoff {
    /// The last instant, UTC microseconds, up to which every status date is due.
    last: i64,
    /// Closed intervals after `last` that are due as well, ascending.
    beyond: Vec<(i64, i64)>,
}

impl Cutoff {
    /// The cutoff of a threshold in calendar months, as of a moment in UTC microseconds.
    #[must_use]
    pub fn new(as_of: i64, months: u32, boundary: Boundary) -> Self {
        let today = day_of(as_of);
        // Outside of the years 1 to 9999 no day is due.
        let reached = |day: i32| add_months(day, months);
        // A start that is certainly due: no month has more than 31 days.
        let mut day =
            today.saturating_sub(months.saturating_mul(31).saturating_add(4).cast_signed()).max(FIRST_DAY - 1);
        while reached(day + 1).is_some_and(|due| due < today) {
            day += 1;
        }
        // `day` is the last one that became due before today. Later days become due today, or are not due.
        let mut last = day_start(day + 1) - 1;
        let mut beyond = Vec::new();
        let until = match boundary {
            Boundary::Date => DAY_MICROS - 1,
            Boundary::Instant => as_of.rem_euclid(DAY_MICROS),
        };
        while reached(day + 1) == Some(today) {
            day += 1;
            let (first, end) = (day_start(day), day_start(day) + until);
            if beyond.is_empty() && first == last + 1 { last = end } else { beyond.push((first, end)) }
        }
        Self { last, beyond }
    }

    /// Whether a status that has applied since an instant (UTC microseconds) is due.
    #[must_use]
    #[inline]
    pub fn is_due(&self, since: i64) -> bool {
        since <= self.last || self.beyond.iter().any(|&(first, last)| first <= since && since <= last)
    }

    /// The latest instant that is due, UTC microseconds.
    #[must_use]
    pub fn latest(&self) -> i64 {
        self.beyond.last().map_or(self.last, |&(_, last)| last)
    }

    /// The last instant, UTC microseconds, up to which every status date is due.
    #[must_use]
    pub const fn last(&self) -> i64 {
        self.last
    }

    /// Closed intervals after [`last`](Self::last) that are due as well, ascending.
    #[must_use]
    pub fn beyond(&self) -> &[(i64, i64)] {
        &self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estate::time::parse;

    fn at(text: &str) -> i64 {
        parse(text).unwrap()
    }

    /// The rule in its direct form: add the months, then compare.
    fn due_by_adding(since: i64, as_of: i64, months: u32, boundary: Boundary) -> bool {
        let Some(due) = add_months(day_of(since), months) else { return false };
        match boundary {
            Boundary::Date => due <= day_of(as_of),
            Boundary::Instant => day_start(due) + since.rem_euclid(DAY_MICROS) <= as_of,
        }
    }

    #[test]
    fn a_cutoff_equals_adding_months() {
        // Every day of five years, leap day included, against days and times around each month's end.
        let first = day_of(at("2023-06-01"));
        for as_of in [
            "2026-02-27",
            "2026-02-28",
            "2026-03-01",
            "2024-02-28",
            "2024-02-29",
            "2024-03-01",
            "2026-04-30",
            "2026-05-01",
            "2026-10-31",
            "2026-11-01",
            "2026-12-31",
        ] {
            for time in [0, 10 * 3_600_000_000] {
                let as_of = at(as_of) + time;
                for months in [1, 6, 12, 13, 36] {
                    for boundary in [Boundary::Date, Boundary::Instant] {
                        let cutoff = Cutoff::new(as_of, months, boundary);
                        assert!(cutoff.beyond().len() <= 3);
                        for day in first - 400..first + 1300 {
                            for time_of_day in
                                [0, 1, time.saturating_sub(1), time, (time + 1).min(DAY_MICROS - 1), DAY_MICROS - 1]
                            {
                                let since = day_start(day) + time_of_day;
                                assert_eq!(
                                    cutoff.is_due(since),
                                    due_by_adding(since, as_of, months, boundary),
                                    "since {since}, as of {as_of}, {months} months, {boundary:?}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn month_ends_by_date() {
        for (since, months, due) in [
            ("2025-01-15", 12, "2026-01-15"),
            ("2025-08-31", 6, "2026-02-28"),
            ("2024-02-29", 12, "2025-02-28"),
            ("2023-02-28", 12, "2024-02-28"),
            ("2025-01-31", 1, "2025-02-28"),
            ("2024-01-31", 1, "2024-02-29"),
            ("2024-08-31", 18, "2026-02-28"),
        ] {
            let due_day = at(due);
            // Due from the first to the last moment of that day, and not on the day before.
            for time in [0, DAY_MICROS - 1] {
                assert!(Cutoff::new(due_day, months, Boundary::Date).is_due(at(since) + time), "{since}");
                assert!(Cutoff::new(due_day + time, months, Boundary::Date).is_due(at(since)), "{since}");
                assert!(!Cutoff::new(due_day - 1, months, Boundary::Date).is_due(at(since)), "{since}");
            }
        }
    }

    #[test]
    fn instants_are_not_monotone_at_month_ends() {
        // 29 Feb 10:00 + 12 months is 28 Feb 10:00, which comes before 28 Feb 11:00 + 12 months.
        let cutoff = Cutoff::new(at("2025-02-28T10:30:00Z"), 12, Boundary::Instant);
        assert!(cutoff.is_due(at("2024-02-29T10:00:00Z")));
        assert!(!cutoff.is_due(at("2024-02-28T11:00:00Z")));
        assert!(cutoff.is_due(at("2024-02-28T10:30:00Z")));
        assert!(!cutoff.is_due(at("2024-02-28T10:30:00.000001Z")));
        assert_eq!(cutoff.beyond().len(), 1);
        assert_eq!(cutoff.latest(), at("2024-02-29T10:30:00Z"));
    }

    #[test]
    fn more_months_never_make_more_due() {
        for as_of in ["2026-02-28T12:00:00Z", "2024-02-29T00:00:00Z", "2026-03-31T23:59:59Z"] {
            for boundary in [Boundary::Date, Boundary::Instant] {
                for months in 1..60 {
                    let (fewer, more) =
                        (Cutoff::new(at(as_of), months, boundary), Cutoff::new(at(as_of), months + 1, boundary));
                    for day in day_of(more.last()) - 3..day_of(fewer.latest()) + 3 {
                        for time in [0, DAY_MICROS / 2, DAY_MICROS - 1] {
                            let since = day_start(day) + time;
                            assert!(!more.is_due(since) || fewer.is_due(since), "{since} at {as_of}, {months}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_calendar_are_no_trouble() {
        let cutoff = Cutoff::new(at("0001-01-01"), 12, Boundary::Date);
        assert!(!cutoff.is_due(at("0001-01-01")));
        let cutoff = Cutoff::new(at("9999-12-30"), 12, Boundary::Instant);
        assert!(cutoff.is_due(at("9998-12-30")) && !cutoff.is_due(at("9998-12-31")));
    }
}
