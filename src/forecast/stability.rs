//! Whether hazards were the same all the time: observed departures of each interval against those that the hazards of
//! all intervals expect, for all ages and for groups of ages.
//!
//! The test statistic is the largest difference, over all times, between the standardised sums before and after; a
//! test for a change at an unknown time (Andrews 1993). Its level is strict, since many types and ages are tested.

use super::life_table::{AgeBand, IntervalCohorts, LifeTable, band_of};

/// The limit of the standardised difference. By chance it is exceeded in about one of 5,000 tests.
const LIMIT: f64 = 4.5;
/// Intervals that a test needs.
const LEAST_INTERVALS: usize = 6;
/// Groups of ages in months that are tested, besides all ages: the first age of each.
const GROUPS: [usize; 6] = [0, 1, 3, 6, 12, 24];

/// A change of hazards.
#[derive(Debug, Clone, PartialEq)]
pub struct HazardBreak {
    /// The index of the first interval after it.
    pub interval: usize,
    /// Hazards after it as a multiple of those before.
    pub factor: f64,
    /// The ages: `hazards`, or `hazards from 12 months`.
    pub rate: String,
    deviation: f64,
}

/// Departures of an interval.
#[derive(Debug, Clone, Copy, Default)]
struct Departures {
    observed: f64,
    expected: f64,
    variance: f64,
}

/// The most significant change of a type's hazards, if any is significant.
#[must_use]
pub fn hazard_break(intervals: &[&IntervalCohorts]) -> Option<HazardBreak> {
    if intervals.len() < LEAST_INTERVALS {
        return None;
    }
    let bands = LifeTable::of(intervals).bands();
    let ends = GROUPS.iter().skip(1).copied().chain([usize::MAX]);
    let groups = GROUPS.iter().copied().zip(ends);
    let all = [("hazards".to_owned(), 0, usize::MAX)].into_iter();
    let named = groups.map(|(from, until)| {
        let name = match until {
            usize::MAX => format!("hazards from {from} months"),
            until => format!("hazards from {from} to {} months", until - 1),
        };
        (name, from, until)
    });
    let breaks = all.chain(named).filter_map(|(rate, from, until)| {
        let departures: Vec<Departures> =
            intervals.iter().map(|interval| departures(interval, &bands, from..until)).collect();
        change(&departures).map(|(interval, deviation, factor)| HazardBreak { interval, factor, rate, deviation })
    });
    breaks.max_by(|one, other| one.deviation.total_cmp(&other.deviation))
}

fn departures(interval: &IntervalCohorts, bands: &[AgeBand], ages: std::ops::Range<usize>) -> Departures {
    let mut sum = Departures::default();
    for cohort in interval.cohorts.iter().filter(|cohort| ages.contains(&cohort.age)) {
        let mut alive = 1.0;
        let mut months = interval.months;
        let mut age = cohort.age;
        while months > 1e-9 {
            let hazard = band_of(bands, age).map_or(0.0, |band| band.hazard).min(0.999);
            alive *= (1.0 - hazard).powf(months.min(1.0));
            (months, age) = (months - 1.0, age + 1);
        }
        sum.observed += cohort.before - cohort.after;
        sum.expected += cohort.before * (1.0 - alive);
        sum.variance += cohort.before * alive * (1.0 - alive);
    }
    sum
}

/// The time at which departures change most: the index of the first interval after it, the deviation, and the factor.
#[expect(clippy::cast_precision_loss, reason = "intervals are few")]
fn change(departures: &[Departures]) -> Option<(usize, f64, f64)> {
    let total: f64 = departures.iter().map(|own| own.variance).sum();
    if total < 1.0 {
        return None;
    }
    let residual = |own: &Departures| (own.observed - own.expected) / own.variance.max(1e-9).sqrt();
    let tested: Vec<&Departures> = departures.iter().filter(|own| own.variance > 0.1).collect();
    let squares: f64 = tested.array_windows().map(|[one, next]| (residual(next) - residual(one)).powi(2)).sum();
    // Differences of neighbours show how much hazards vary from month to month, whether or not they change for good.
    let dispersion = (squares / (2.0 * (tested.len().max(2) - 1) as f64)).max(1.0);
    let mean: f64 = departures.iter().map(|own| own.observed - own.expected).sum::<f64>() / total;
    let (mut sum, mut before, mut best) = (0.0, 0.0, (0, 0.0));
    for (index, own) in departures.iter().enumerate().take(departures.len() - 2) {
        sum += own.observed - own.expected - mean * own.variance;
        before += own.variance;
        let variance = dispersion * before * (total - before) / total;
        let deviation = if variance > 0.0 { sum.abs() / variance.sqrt() } else { 0.0 };
        if index > 0 && deviation > best.1 {
            best = (index + 1, deviation);
        }
    }
    let ratio = |part: &[Departures]| {
        let (observed, expected) =
            part.iter().fold((0.0, 0.0), |sum, own| (sum.0 + own.observed, sum.1 + own.expected));
        f64::max(observed, 0.5) / f64::max(expected, 0.5)
    };
    let (early, late) = departures.split_at(best.0);
    (best.1 > LIMIT).then(|| (best.0, best.1, ratio(late) / ratio(early)))
}
