//! Ledgers of one estate in the order of time, and the checks that they belong together.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::estate::SmiStatus;
use crate::estate::time::{add_months, day_of, format_day, whole_months};
use crate::ledger::Ledger;

/// The least days between two ledgers. Monthly rates cannot be estimated from closer ones.
const LEAST_DAYS: i32 = 14;
/// Days of a month on average.
pub const MONTH_DAYS: f64 = 30.4375;
/// Devices that a later ledger of an estate without a name may add with dates before the earlier one, as a share of
/// those of the earlier ledger. More of them mean another estate.
const LARGEST_GAIN: f64 = 0.25;

/// The time from one moment to a later one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LedgerGap {
    /// In calendar months; a whole number where the day of the month is the same. Ages grow by it.
    pub months: f64,
    /// In average months, by days. Arrivals are in proportion to it.
    pub width: f64,
}

impl LedgerGap {
    /// The time between two moments (UTC microseconds), the earlier first.
    #[must_use]
    pub fn between(earlier: i64, later: i64) -> Self {
        let (from, until) = (day_of(earlier), day_of(later));
        let width = f64::from(until - from) / MONTH_DAYS;
        let whole = whole_months(earlier, later);
        let months = if add_months(from, whole) == Some(until) { f64::from(whole) } else { width };
        Self { months, width }
    }
}

/// Candidates by type code and the day (since 1970-01-01) since which their status has applied.
pub type ByDay = BTreeMap<(u8, i32), u64>;

/// The dated candidates of a ledger.
#[must_use]
pub fn by_day(ledger: &Ledger) -> ByDay {
    let mut all = ByDay::new();
    for (cell, rows) in ledger.candidates() {
        if let Some(day) = cell.day {
            *all.entry((cell.type_code, day)).or_default() += rows;
        }
    }
    all
}

/// Sorts ledgers by their moments.
///
/// # Errors
/// No ledger; two ledgers less than 14 days apart; ledgers of different estates, or counted with different policies.
/// The message names both ledgers and the field that differs.
pub fn in_order(mut ledgers: Vec<Ledger>) -> Result<Vec<Ledger>> {
    if ledgers.is_empty() {
        return Err(Error::Usage { what: "no ledger".into(), remedy: "name at least one".into() });
    }
    ledgers.sort_by_key(|ledger| ledger.as_of);
    for [earlier, later] in ledgers.array_windows() {
        follows(earlier, later)?;
    }
    Ok(ledgers)
}

fn follows(earlier: &Ledger, later: &Ledger) -> Result<()> {
    let refuse = |field: &str, one: &str, other: &str, remedy: &str| {
        Err(Error::Usage {
            what: format!("{} and {}: {field}: {one} and {other}", earlier.name, later.name),
            remedy: remedy.into(),
        })
    };
    let (from, until) = (day_of(earlier.as_of), day_of(later.as_of));
    if until - from < LEAST_DAYS {
        let remedy = "name ledgers that are about a month apart, each moment once";
        return refuse("as_of", &format_day(from), &format_day(until), remedy);
    }
    let same_estate = "name ledgers of one estate";
    if earlier.estate != later.estate {
        let name = |ledger: &Ledger| ledger.estate.clone().unwrap_or_else(|| "(no name)".into());
        return refuse("estate", &name(earlier), &name(later), same_estate);
    }
    if earlier.synthetic != later.synthetic {
        let kind = |ledger: &Ledger| if ledger.synthetic { "synthetic" } else { "not synthetic" };
        return refuse("synthetic", kind(earlier), kind(later), same_estate);
    }
    let alike = "take both ledgers with the same policy";
    if earlier.types != later.types {
        return refuse("types", &earlier.types.to_string(), &later.types.to_string(), alike);
    }
    if earlier.candidates != later.candidates {
        let names = |ledger: &Ledger| ledger.candidates.iter().map(SmiStatus::name).collect::<Vec<_>>().join(", ");
        return refuse("candidate_statuses", &names(earlier), &names(later), alike);
    }
    if earlier.estate.is_some() {
        return Ok(());
    }
    let before: u64 = by_day(earlier).values().sum();
    let gained: u64 = backdated(earlier, later).values().sum();
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    if gained > 100 && gained as f64 > before as f64 * LARGEST_GAIN {
        return Err(Error::Usage {
            what: format!(
                "{} and {}: status_since: {gained} devices of the later ledger have dates up to {}, and the earlier ledger ({before} devices) does not have them",
                earlier.name,
                later.name,
                format_day(from)
            ),
            remedy: format!("{same_estate}; if it is one estate, take its ledgers with `--estate NAME`"),
        });
    }
    Ok(())
}

/// Devices of the later ledger that the earlier one should have, by their dates, and does not have: by type code and
/// day.
#[must_use]
pub fn backdated(earlier: &Ledger, later: &Ledger) -> ByDay {
    let known = by_day(earlier);
    let from = day_of(earlier.as_of);
    let gained = by_day(later).into_iter().filter(|((_, day), _)| *day <= from).map(|(key, rows)| {
        let rows = rows.saturating_sub(known.get(&key).copied().unwrap_or_default());
        (key, rows)
    });
    gained.filter(|(_, rows)| *rows > 0).collect()
}
