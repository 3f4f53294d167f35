//! Random draws: rates from the uncertainty of their estimates, and counts from rates.

use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Binomial, Distribution, Gamma, Hypergeometric, Poisson, StandardNormal};

use super::arrivals::ArrivalRate;
use super::rates::TypeRates;

/// The rates of a type in one future.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnRates {
    /// The hazard of each age in months.
    pub hazards: Vec<f64>,
    /// Expected arrivals of each month, from month 1.
    pub arrivals: Vec<f64>,
    /// Variance of a month's arrivals divided by their mean.
    pub dispersion: f64,
}

impl DrawnRates {
    /// Draws the rates of a type. `widths` are the days of each month, as a multiple of an average month.
    #[must_use]
    pub fn new(rates: &TypeRates, oldest: usize, widths: &[f64], rng: &mut ChaCha8Rng) -> Self {
        Self {
            hazards: hazards(rates, oldest, rng),
            arrivals: means(&rates.arrivals, widths, rng),
            dispersion: rates.arrivals.dispersion,
        }
    }
}

/// A hazard for each age up to `oldest`, drawn from the posterior of each band, and beyond the observed ages from the
/// uncertainty of their extrapolation.
fn hazards(rates: &TypeRates, oldest: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut hazards = Vec::with_capacity(oldest + 1);
    let mut last = 0.0;
    for band in &rates.bands {
        let drawn = if band.trials.is_finite() && band.trials > 0.0 {
            let (gone, stayed) = (band.hazard * band.trials, (1.0 - band.hazard) * band.trials);
            // Jeffreys' prior: half an event and half a survivor are added to those observed.
            Beta::new(gone + 0.5, stayed + 0.5).map_or(band.hazard, |beta| beta.sample(rng))
        } else {
            band.hazard
        };
        let until = band.until.map_or(oldest + 1, |until| (until as usize).min(oldest + 1));
        hazards.resize(until.max(hazards.len()), drawn);
        last = drawn;
    }
    hazards.resize(oldest + 1, last);
    if let Some(unobserved) = &rates.unobserved {
        let deviations = [StandardNormal.sample(rng), StandardNormal.sample(rng)];
        for (age, hazard) in hazards.iter_mut().enumerate().skip(unobserved.from as usize) {
            *hazard = unobserved.at(age, deviations, last);
        }
    }
    hazards
}

/// The expected arrivals of each month.
fn means(rate: &ArrivalRate, widths: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    if let Some(pattern) = &rate.pattern {
        let normals: Vec<f64> = (0..pattern.coefficients()).map(|_| StandardNormal.sample(rng)).collect();
        let pattern = pattern.drawn(&normals);
        let month = |(month, width): (usize, &f64)| {
            #[expect(clippy::cast_precision_loss, reason = "months are few")]
            let years = (month as f64 + 0.5) / 12.0;
            pattern.rate(years) * width
        };
        return widths.iter().enumerate().map(month).collect();
    }
    let mean = if !rate.months.is_finite() || rate.months <= 0.0 {
        rate.mean
    } else {
        // The posterior of the mean, given the observed months and their dispersion.
        let shape = rate.mean * rate.months / rate.dispersion + 0.5;
        Gamma::new(shape, rate.dispersion / rate.months).map_or(rate.mean, |gamma| gamma.sample(rng))
    };
    widths.iter().map(|width| mean * width).collect()
}

/// Arrivals of a month: Poisson, or with a Gamma-distributed mean where the observed months vary more than that.
pub fn arrivals(mean: f64, dispersion: f64, rng: &mut ChaCha8Rng) -> u64 {
    let mean = if dispersion > 1.0 && mean > 0.0 {
        Gamma::new(mean / (dispersion - 1.0), dispersion - 1.0).map_or(mean, |gamma| gamma.sample(rng))
    } else {
        mean
    };
    if mean <= 0.0 {
        return 0;
    }
    Poisson::new(mean).map_or(0, |poisson| poisson.sample(rng) as u64)
}

/// Successes among `trials` that succeed with probability `share`.
pub fn binomial(trials: u64, share: f64, rng: &mut ChaCha8Rng) -> u64 {
    if share >= 1.0 {
        return trials;
    }
    if trials == 0 || share <= 0.0 {
        return 0;
    }
    Binomial::new(trials, share).map_or(0, |binomial| binomial.sample(rng)).min(trials)
}

/// Marked ones among `drawn` of `all`, of which `marked` are marked. `drawn` is not more than `all`.
pub fn hypergeometric(all: u64, marked: u64, drawn: u64, rng: &mut ChaCha8Rng) -> u64 {
    if drawn == all {
        return marked;
    }
    if marked == 0 || drawn == 0 {
        return 0;
    }
    Hypergeometric::new(all, marked, drawn).map_or(0, |own| own.sample(rng)).min(drawn)
}
