//! Arrivals: how many devices of a type become Pending in a month, how that changes, and what cannot be told.
//!
//! The devices that are younger than the earlier of two ledgers have arrived in between. They are counted by the months
//! of their age, each with its true width in days, and divided by their survival since. The counts are explained by a
//! level, a yearly season (one or two harmonics), a log-linear trend, and a change of level, where tests at a strict
//! level say so; seasons and trends only where two years of ledgers support them.

use super::finding::Finding;
use super::regression::{Fit, Observation, fit};

/// Years of ledgers that a season or a trend needs; two years, less a few days for ledgers that are not monthly.
const YEARS_NEEDED: f64 = 1.92;
/// Fewer counts than this are not tested.
const LEAST_COUNTS: usize = 6;
/// Limit of the likelihood ratio for one more term: one in a thousand of chi-squared.
const ONE_TERM: f64 = 10.8;
/// The same for two more terms.
const TWO_TERMS: f64 = 13.8;
/// The same for a change of level whose time is chosen from all.
const ANY_TIME: f64 = 20.0;
/// A month is left out if its arrivals are so many times those of the median month, and so many deviations more.
const BULK: (f64, f64) = (2.0, 8.0);

/// Arrivals that were counted over some days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArrivalCount {
    /// The middle of the days, in years since the last ledger: negative.
    pub years: f64,
    /// The last day, days since 1970-01-01.
    pub day: i32,
    /// The days, in average months.
    pub width: f64,
    /// Devices, divided by their survival since.
    pub devices: f64,
}

/// Arrivals of a type by month, net of devices that left before the month's end.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrivalRate {
    /// Mean number of devices in an average month: over the observed months, or over the first year of the forecast
    /// where there is a pattern.
    pub mean: f64,
    /// Observed months; infinite if the mean is assumed.
    pub months: f64,
    /// Variance divided by mean: 1 for a Poisson process.
    pub dispersion: f64,
    /// Season, trend and change of level, where arrivals have any.
    pub pattern: Option<ArrivalPattern>,
}

/// Arrivals that change with time.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrivalPattern {
    terms: Terms,
    fit: Fit,
    dispersion: f64,
}

/// The terms that explain arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Terms {
    trend: bool,
    /// Harmonics of a year: 0, 1 or 2.
    harmonics: u8,
    /// Years since the last ledger, negative, from which the level differs.
    step: Option<f64>,
}

impl Terms {
    fn at(self, years: f64) -> Vec<f64> {
        let mut terms = vec![1.0];
        if self.trend {
            terms.push(years);
        }
        for harmonic in 1..=self.harmonics {
            let angle = std::f64::consts::TAU * f64::from(harmonic) * years;
            terms.extend([angle.cos(), angle.sin()]);
        }
        terms.extend(self.step.map(|step| if years >= step { 1.0 } else { 0.0 }));
        terms
    }

    fn fit(self, counts: &[ArrivalCount]) -> Option<Fit> {
        let own = |count: &ArrivalCount| Observation {
            count: count.devices,
            exposure: count.width,
            terms: self.at(count.years),
        };
        fit(&counts.iter().map(own).collect::<Vec<_>>())
    }
}

impl ArrivalPattern {
    /// The expected arrivals of an average month at a time, in years after the last ledger.
    #[must_use]
    pub fn rate(&self, years: f64) -> f64 {
        self.fit.rate(&self.terms.at(years))
    }

    /// The expected arrivals with coefficients drawn from their uncertainty, by one standard normal number for each.
    #[must_use]
    pub fn drawn(&self, normals: &[f64]) -> Self {
        let mut own = self.clone();
        for (coefficient, row) in own.fit.coefficients.iter_mut().zip(&self.fit.root) {
            let shift: f64 = row.iter().zip(normals).map(|(root, normal)| root * normal).sum();
            *coefficient += shift * self.dispersion.sqrt();
        }
        own
    }

    /// Number of coefficients.
    #[must_use]
    pub fn coefficients(&self) -> usize {
        self.fit.coefficients.len()
    }

    /// Whether arrivals have a trend, and whether they have a season.
    #[must_use]
    pub const fn kind(&self) -> (bool, bool) {
        (self.terms.trend, self.terms.harmonics > 0)
    }
}

impl ArrivalRate {
    /// An assumed mean.
    #[must_use]
    pub const fn assumed(mean: f64) -> Self {
        Self { mean, months: f64::INFINITY, dispersion: 1.0, pattern: None }
    }
}

/// Estimates the arrivals of a type. `growth` says that the scenario gives their trend.
#[must_use]
pub fn estimate(name: &str, counts: &[ArrivalCount], growth: bool) -> (ArrivalRate, Vec<Finding>) {
    let mut findings = Vec::new();
    let kept = without_bulk(name, counts, &mut findings);
    let months: f64 = kept.iter().map(|count| count.width).sum();
    let level = level_of(&kept);
    let Some(explained) = Explained::new(&kept).filter(|_| kept.len() >= LEAST_COUNTS) else {
        return (level, findings);
    };
    let pattern = explained.pattern(months / 12.0 >= YEARS_NEEDED, growth);
    findings.extend(explained.findings(name, &pattern, months));
    if pattern == Terms::default() {
        return (level, findings);
    }
    let Some(fitted) = pattern.fit(&kept) else { return (level, findings) };
    let dispersion = explained.dispersion;
    let pattern = ArrivalPattern { terms: pattern, fit: fitted, dispersion };
    let mean = (0..12).map(|month| pattern.rate((f64::from(month) + 0.5) / 12.0)).sum::<f64>() / 12.0;
    (ArrivalRate { mean, months, dispersion, pattern: Some(pattern) }, findings)
}

/// The counts without those of a bulk import.
fn without_bulk(name: &str, counts: &[ArrivalCount], findings: &mut Vec<Finding>) -> Vec<ArrivalCount> {
    let mut rates: Vec<f64> = counts.iter().map(|count| count.devices / count.width).collect();
    let usual = median(&mut rates);
    let mut distances: Vec<f64> = rates.iter().map(|rate| (rate - usual).abs()).collect();
    // 1.4826 times the median distance is the standard deviation of normal numbers.
    let spread = 1.4826 * median(&mut distances);
    let is_bulk = |count: &ArrivalCount| {
        let deviation = spread.max((usual.max(1.0) / count.width).sqrt());
        let rate = count.devices / count.width;
        counts.len() >= LEAST_COUNTS && rate > BULK.0 * usual && rate > usual + BULK.1 * deviation
    };
    let (bulk, kept): (Vec<ArrivalCount>, Vec<ArrivalCount>) = counts.iter().partition(|count| is_bulk(count));
    findings.extend(bulk.into_iter().map(|count| Finding::Bulk {
        device_type: name.to_owned(),
        devices: count.devices.round() as u64,
        usual,
        day: count.day,
    }));
    kept
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// A level without any pattern.
#[expect(clippy::cast_precision_loss, reason = "months are few")]
fn level_of(counts: &[ArrivalCount]) -> ArrivalRate {
    let months: f64 = counts.iter().map(|count| count.width).sum();
    if months <= 0.0 {
        return ArrivalRate::assumed(0.0);
    }
    let mean = counts.iter().map(|count| count.devices).sum::<f64>() / months;
    let mut dispersion = 1.0;
    if counts.len() > 2 && mean > 0.0 {
        let free = counts.len() as f64 - 1.0;
        let squares = counts.iter().map(|count| (count.devices - mean * count.width).powi(2) / (mean * count.width));
        let ratio = squares.sum::<f64>() / free;
        // The 95 % limit of variance divided by mean for a Poisson process.
        if ratio > 1.0 + 2.0 * (2.0 / free).sqrt() {
            dispersion = ratio;
        }
    }
    ArrivalRate { mean, months, dispersion, pattern: None }
}

/// Counts, and how well terms explain them.
struct Explained<'a> {
    counts: &'a [ArrivalCount],
    /// Variance divided by mean, by the differences of neighbouring counts, so that slow changes do not enlarge it.
    dispersion: f64,
    /// Deviance of a level alone, divided by the dispersion.
    level: f64,
}

impl<'a> Explained<'a> {
    #[expect(clippy::cast_precision_loss, reason = "months are few")]
    fn new(counts: &'a [ArrivalCount]) -> Option<Self> {
        let level = Terms::default().fit(counts)?;
        let seasonal = Terms { harmonics: 1, ..Terms::default() }
            .fit(counts)
            .map(|fit| (Terms { harmonics: 1, ..Terms::default() }, fit));
        let (terms, fitted) = seasonal.unwrap_or((Terms::default(), level.clone()));
        let residuals: Vec<f64> = counts
            .iter()
            .map(|count| {
                let expected = count.width * fitted.rate(&terms.at(count.years));
                (count.devices - expected) / expected.max(1e-9).sqrt()
            })
            .collect();
        let squares: f64 = residuals.array_windows().map(|[one, next]| (next - one).powi(2)).sum();
        let dispersion = (squares / (2.0 * (residuals.len().max(2) - 1) as f64)).max(1.0);
        Some(Self { counts, dispersion, level: level.deviance / dispersion })
    }

    fn deviance(&self, terms: Terms) -> f64 {
        terms.fit(self.counts).map_or(f64::INFINITY, |fit| fit.deviance / self.dispersion)
    }

    /// The terms that explain the counts. `long`: two years support a season and a trend.
    fn pattern(&self, long: bool, growth: bool) -> Terms {
        let (mut terms, mut deviance) = (Terms::default(), self.level);
        if long {
            for harmonics in [1, 2] {
                let next = Terms { harmonics, ..terms };
                // A season is looked for beside a trend, so that neither is taken for the other.
                let beside =
                    self.deviance(Terms { trend: true, ..terms }) - self.deviance(Terms { trend: true, ..next });
                if beside > TWO_TERMS {
                    (terms, deviance) = (next, self.deviance(next));
                } else {
                    break;
                }
            }
        }
        let trend = Terms { trend: true, ..terms };
        let by_trend = if growth { f64::INFINITY } else { self.deviance(trend) };
        let (step, by_step) = self.worst_step(terms);
        let trending = deviance - by_trend > ONE_TERM;
        if deviance - by_step > ANY_TIME && (!trending || by_step + 4.0 < by_trend) {
            return step;
        }
        if trending && long { trend } else { terms }
    }

    /// The change of level that explains most, at least two counts from either end.
    fn worst_step(&self, terms: Terms) -> (Terms, f64) {
        let last = self.counts.len().saturating_sub(2);
        let steps = (2..=last).filter_map(|index| {
            let step = f64::midpoint(self.counts.get(index - 1)?.years, self.counts.get(index)?.years);
            let with = Terms { step: Some(step), ..terms };
            Some((with, self.deviance(with)))
        });
        steps.min_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or((terms, f64::INFINITY))
    }

    fn findings(&self, name: &str, terms: &Terms, months: f64) -> Vec<Finding> {
        let device_type = name.to_owned();
        let mut findings = Vec::new();
        let Some(fitted) = terms.fit(self.counts) else { return findings };
        let last = fitted.coefficients.last().copied().unwrap_or_default();
        if let Some(step) = terms.step {
            let day = self.counts.iter().find(|count| count.years >= step).map_or(0, |count| count.day);
            findings.push(Finding::Break {
                device_type: device_type.clone(),
                rate: "arrivals".into(),
                day,
                factor: last.exp(),
                months: (-step * 12.0).round().max(1.0) as u32,
            });
        }
        if terms.harmonics > 0 {
            let year = (0..12).map(|month| {
                let seasonal = Terms { trend: false, step: None, ..*terms }.at(f64::from(month) / 12.0);
                let skipped = usize::from(terms.trend);
                let own = fitted.coefficients.iter().skip(1 + skipped).zip(seasonal.iter().skip(1));
                own.map(|(coefficient, term)| coefficient * term).sum::<f64>()
            });
            let (low, high) = year.fold((f64::MAX, f64::MIN), |(low, high), own| (low.min(own), high.max(own)));
            findings.push(Finding::Season { device_type: device_type.clone(), ratio: (high - low).exp() });
        }
        if terms.trend {
            let growth = fitted.coefficients.get(1).map_or(0.0, |slope| slope.exp_m1());
            findings.push(Finding::Trend { device_type: device_type.clone(), growth, continued: true });
        }
        if *terms == Terms::default() && months / 12.0 < YEARS_NEEDED {
            findings.extend(self.unexplained(device_type, months));
        }
        findings
    }

    /// A trend or a variation that less than two years of ledgers show and do not explain.
    #[expect(clippy::cast_precision_loss, reason = "months are few")]
    fn unexplained(&self, device_type: String, months: f64) -> Option<Finding> {
        let trend = Terms { trend: true, ..Terms::default() };
        let fitted = trend.fit(self.counts)?;
        if self.level - fitted.deviance / self.dispersion > ONE_TERM {
            let growth = fitted.coefficients.get(1)?.exp_m1();
            return Some(Finding::Trend { device_type, growth, continued: false });
        }
        let free = self.counts.len() as f64 - 1.0;
        let dispersion = self.level * self.dispersion / free;
        // Three standard deviations of the dispersion of a Poisson process.
        (dispersion > 1.0 + 3.0 * (2.0 / free).sqrt()).then_some(Finding::Irregular { device_type, dispersion, months })
    }
}
