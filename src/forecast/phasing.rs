//! The fastest way from one threshold to a lower one that keeps every month under some limits.
//!
//! A schedule gives each month a threshold that is never higher than that of the month before. What a month deletes
//! depends on the month and on the two thresholds only, so that schedules are paths through a grid of months and
//! thresholds. All points that can be reached are found month by month (dynamic programming), with the least possible
//! highest month on the way to each. The result is that of a search through all schedules.

/// Expected deletions of a month by age: for each limited figure the number of devices of each age or older that
/// housekeeping would find, if it had not deleted any.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MonthFlows {
    /// For each figure: devices of the age of the index or older, in months.
    pub at_least: Vec<Vec<f64>>,
}

/// The question.
#[derive(Debug, Clone, PartialEq)]
pub struct PhasingProblem {
    /// By month, from month 0: the day of the ledger.
    pub months: Vec<MonthFlows>,
    /// The threshold that is in force, in months.
    pub from: usize,
    /// The threshold to reach.
    pub to: usize,
    /// The most of each figure that a month may have; infinite for no limit.
    pub limits: Vec<f64>,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct PhasePlan {
    /// The threshold of each month up to the first with the threshold to reach.
    pub thresholds: Vec<usize>,
    /// The highest month of the first figure.
    pub peak: f64,
}

/// A point of the grid that can be reached: the highest month on the way, and the threshold of the month before.
#[derive(Debug, Clone, Copy)]
struct Reached {
    peak: f64,
    before: usize,
}

impl PhasingProblem {
    /// Devices of a figure that a month deletes, if the threshold was `before` and is `threshold` now. In month 0 every
    /// older device goes.
    #[must_use]
    pub fn deleted(&self, (month, figure): (usize, usize), before: usize, threshold: usize) -> f64 {
        let at = |age: usize| {
            let counts = self.months.get(month).and_then(|flows| flows.at_least.get(figure));
            counts.and_then(|counts| counts.get(age)).copied().unwrap_or_default()
        };
        let older = if month == 0 { 0.0 } else { at(before + 1) };
        (at(threshold) - older).max(0.0)
    }

    fn fits(&self, month: usize, before: usize, threshold: usize) -> bool {
        let figures = 0..self.limits.len();
        figures.into_iter().all(|figure| self.deleted((month, figure), before, threshold) <= self.limits[figure] + 1e-9)
    }

    /// Whether all months from one on keep the limits at the threshold to reach.
    fn steady_from(&self, month: usize) -> bool {
        (month..self.months.len()).all(|month| self.fits(month, self.to, self.to))
    }

    /// The fastest schedule; of several, the one with the lowest highest month. `None` if there is none within the
    /// months of the problem.
    #[must_use]
    pub fn solve(&self) -> Option<PhasePlan> {
        let mut grid: Vec<Vec<Option<Reached>>> = Vec::new();
        for month in 0..self.months.len() {
            let row: Vec<Option<Reached>> =
                (self.to..=self.from).map(|threshold| self.reach(grid.last(), month, threshold)).collect();
            let there = row.first().copied().flatten();
            grid.push(row);
            if let (Some(there), true) = (there, self.steady_from(month + 1)) {
                return Some(self.plan(&grid, there));
            }
        }
        None
    }

    /// The best way to a threshold in a month, from those of the month before.
    fn reach(&self, before: Option<&Vec<Option<Reached>>>, month: usize, threshold: usize) -> Option<Reached> {
        let first = [Some(Reached { peak: 0.0, before: self.from })];
        let ways: Vec<(usize, f64)> = match before {
            None => first.iter().flatten().map(|start| (self.from, start.peak)).collect(),
            Some(row) => {
                let own = (self.to..=self.from).zip(row).filter(|(before, _)| *before >= threshold);
                own.filter_map(|(before, reached)| Some((before, reached.as_ref()?.peak))).collect()
            }
        };
        let fitting = ways.into_iter().filter(|(before, _)| self.fits(month, *before, threshold));
        let reached = fitting
            .map(|(before, peak)| Reached { peak: peak.max(self.deleted((month, 0), before, threshold)), before });
        reached.min_by(|one, other| one.peak.total_cmp(&other.peak))
    }

    fn plan(&self, grid: &[Vec<Option<Reached>>], last: Reached) -> PhasePlan {
        let mut thresholds = vec![self.to];
        let mut before = last.before;
        for row in grid.iter().rev().skip(1) {
            thresholds.push(before);
            before = row.get(before - self.to).copied().flatten().map_or(self.from, |reached| reached.before);
        }
        thresholds.reverse();
        PhasePlan { thresholds, peak: last.peak }
    }

    /// The least limit on the first figure under which there is a schedule, the other limits as they are; `None` if the
    /// others allow none.
    #[must_use]
    pub fn least_limit(&self) -> Option<f64> {
        let with = |limit: f64| {
            let limits = std::iter::once(limit).chain(self.limits.iter().skip(1).copied()).collect();
            Self { limits, ..self.clone() }.solve()
        };
        let (mut low, mut high) = (0.0, with(f64::INFINITY).map(|plan| plan.peak)?);
        let steady = (1..self.months.len()).map(|month| self.deleted((month, 0), self.to, self.to));
        high = steady.fold(high, f64::max);
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if with(middle).is_some() {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every schedule of a problem, by trial: the number of months of the fastest one, and its lowest highest month.
    fn by_trial(problem: &PhasingProblem, thresholds: &mut Vec<usize>, best: &mut Option<(usize, f64)>) {
        let month = thresholds.len();
        let before = thresholds.last().copied().unwrap_or(problem.from);
        for threshold in problem.to..=before {
            if month >= problem.months.len() || !problem.fits(month, before, threshold) {
                continue;
            }
            thresholds.push(threshold);
            if threshold == problem.to {
                let steady = (month + 1..problem.months.len()).all(|later| problem.fits(later, threshold, threshold));
                let peak = (0..=month).map(|at| {
                    let before = if at == 0 { problem.from } else { thresholds[at - 1] };
                    problem.deleted((at, 0), before, thresholds[at])
                });
                let own = (month, peak.fold(0.0, f64::max));
                if steady && best.is_none_or(|best| (own.0, own.1) < best) {
                    *best = Some(own);
                }
            } else {
                by_trial(problem, thresholds, best);
            }
            thresholds.pop();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// On small problems the schedule is as fast as the fastest of all schedules, and its highest month is as low.
        #[test]
        fn the_schedule_is_that_of_an_exhaustive_search(
            ages in prop::collection::vec(prop::collection::vec(0u32..40, 9), 6),
            silent in prop::collection::vec(0u32..20, 9),
            limit in 5.0f64..150.0,
            other in 20.0f64..300.0,
        ) {
            let at_least = |counts: &mut dyn DoubleEndedIterator<Item = f64>| -> Vec<f64> {
                let mut sum = 0.0;
                let mut all: Vec<f64> = counts.rev().map(|own| { sum += own; sum }).collect();
                all.reverse();
                all
            };
            let months: Vec<MonthFlows> = ages
                .iter()
                .map(|own| MonthFlows {
                    at_least: vec![
                        at_least(&mut own.iter().map(|own| f64::from(*own))),
                        at_least(&mut own.iter().zip(&silent).map(|(own, more)| f64::from(own + more))),
                    ],
                })
                .collect();
            let problem = PhasingProblem { months, from: 7, to: 3, limits: vec![limit, other] };
            let mut best = None;
            by_trial(&problem, &mut Vec::new(), &mut best);
            let plan = problem.solve();
            prop_assert_eq!(plan.as_ref().map(|plan| plan.thresholds.len() - 1), best.map(|best| best.0));
            if let (Some(plan), Some(best)) = (plan, best) {
                prop_assert!((plan.peak - best.1).abs() < 1e-9);
                prop_assert!(plan.thresholds.is_sorted_by(|one, next| one >= next));
            }
        }
    }
}
