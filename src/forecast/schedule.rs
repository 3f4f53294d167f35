//! Thresholds by month, and which ages they delete.

use std::ops::Range;

use super::scenario::Scenario;

/// The thresholds of a policy for a type, by month from month 0.
#[must_use]
pub fn thresholds(scenario: &Scenario, policy: usize, months: u32) -> Vec<u32> {
    let phases: Vec<_> = scenario.phases.iter().filter(|phase| phase.policy == policy).collect();
    let at = |month: u32| {
        let phase = phases.iter().rev().find(|phase| phase.from <= month);
        phase.map_or(months, |phase| phase.months)
    };
    (0..=scenario.months).map(at).collect()
}

/// The ages that housekeeping leaves, by month. After the housekeeping of a month, every device of the *boundary* age or
/// older is deleted. The boundary is the threshold, unless the threshold was raised: then the devices below the old one
/// have to grow older first, so the boundary rises by one in a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    thresholds: Vec<usize>,
    boundaries: Vec<usize>,
    /// One more than the oldest age.
    ages: usize,
}

impl Schedule {
    /// The schedule of thresholds in months. `oldest` is the last age that is kept apart.
    #[must_use]
    pub fn new(thresholds: &[u32], oldest: usize) -> Self {
        let thresholds: Vec<usize> = thresholds.iter().map(|months| (*months as usize).min(oldest)).collect();
        let mut boundaries = Vec::with_capacity(thresholds.len());
        let mut last = oldest + 1;
        for threshold in &thresholds {
            last = (*threshold).min(last + 1);
            boundaries.push(last);
        }
        Self { thresholds, boundaries, ages: oldest + 1 }
    }

    /// The threshold of a month.
    #[must_use]
    pub fn threshold(&self, month: usize) -> usize {
        self.thresholds.get(month).or(self.thresholds.last()).copied().unwrap_or(self.ages)
    }

    /// The first age of which no device is left after the housekeeping of a month.
    #[must_use]
    pub fn boundary(&self, month: usize) -> usize {
        self.boundaries.get(month).or(self.boundaries.last()).copied().unwrap_or(self.ages)
    }

    /// The ages that the housekeeping of a month deletes.
    #[must_use]
    pub fn deleted(&self, month: usize) -> Range<usize> {
        let from = self.boundary(month);
        let until = month.checked_sub(1).map_or(self.ages, |before| (self.boundary(before) + 1).min(self.ages));
        from..until.max(from)
    }

    /// The month in which a device is deleted that has an age at some month; `None` if that is after the last month.
    #[must_use]
    pub fn deleted_in(&self, age: usize, from: usize) -> Option<usize> {
        (from..self.thresholds.len()).find(|month| age + month - from >= self.threshold(*month))
    }
}
