//! Quantiles over simulated futures.

/// Quantiles of a figure over all futures. Low to high is the 80 % band.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// The 10 % quantile.
    pub low: i64,
    /// The median.
    pub median: i64,
    /// The 90 % quantile.
    pub high: i64,
}

impl Quantiles {
    /// The quantiles of some numbers, which are sorted in place.
    pub fn of(numbers: &mut [i64]) -> Self {
        numbers.sort_unstable();
        let last = numbers.len().saturating_sub(1);
        let at = |tenths: usize| numbers.get((last * tenths + 5) / 10).copied().unwrap_or_default();
        Self { low: at(1), median: at(5), high: at(9) }
    }

    /// Whether the band contains a number.
    #[must_use]
    pub const fn contains(&self, number: i64) -> bool {
        self.low <= number && number <= self.high
    }
}
