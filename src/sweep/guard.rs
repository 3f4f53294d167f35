//! Guards: limits in the policy that stop a whole run before anything is published.

use crate::error::GuardTrip;
use crate::estate::Tally;
use crate::output::html::{count, counted};
use crate::policy::Policy;

/// Exact numbers that the user expects. Each replaces the guards on its figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Planned deletions; replaces `max_deletes` and `max_delete_share`.
    pub deletes: Option<u64>,
    /// Quarantined rows; replaces `max_quarantined`.
    pub quarantined: Option<u64>,
}

/// What a guard counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A number of rows, as an upper limit.
    Count,
    /// A number of rows that must be reached exactly.
    Exact,
    /// A share of the snapshot's rows, 0 to 1, as an upper limit.
    Share,
}

/// A guard of a policy, with the figure that a run reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Headroom {
    /// The guard's key in the policy, or the flag that replaces it.
    pub guard: &'static str,
    /// The figure that the run reached.
    pub reached: f64,
    /// The figure that is allowed.
    pub limit: f64,
    /// The kind of both figures.
    pub measure: Measure,
    /// Whether the run must stop.
    pub tripped: bool,
}

/// The figures of a run that guards limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarded {
    /// Rows of the snapshot.
    pub rows: u64,
    /// Planned deletions.
    pub deletes: u64,
    /// Rows that cannot be judged.
    pub quarantined: u64,
}

impl From<&Tally> for Guarded {
    fn from(tally: &Tally) -> Self {
        Self { rows: tally.rows(), deletes: tally.deletes(), quarantined: tally.quarantined() }
    }
}

/// Compares the figures of a run with the guards of a policy.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the figures are only shown; counts are compared as whole numbers")]
pub fn headroom(policy: &Policy, guarded: Guarded, expected: Expected) -> Vec<Headroom> {
    let guard = &policy.guard;
    let Guarded { rows, deletes, quarantined } = guarded;
    let figure = |name, reached: u64, limit: u64, tripped: bool| Headroom {
        guard: name,
        reached: reached as f64,
        limit: limit as f64,
        measure: Measure::Count,
        tripped,
    };
    let exactly = |name, reached: u64, exact: u64| Headroom {
        measure: Measure::Exact,
        ..figure(name, reached, exact, reached != exact)
    };
    let mut all = Vec::new();
    if let Some(exact) = expected.deletes {
        all.push(exactly("--expect-deletes", deletes, exact));
    } else {
        all.push(figure("max_deletes", deletes, guard.max_deletes, deletes > guard.max_deletes));
        let share = if rows == 0 { 0.0 } else { deletes as f64 / rows as f64 };
        all.push(Headroom {
            guard: "max_delete_share",
            reached: share,
            limit: guard.max_delete_share,
            measure: Measure::Share,
            tripped: share > guard.max_delete_share,
        });
    }
    all.push(match expected.quarantined {
        Some(exact) => exactly("--expect-quarantined", quarantined, exact),
        None => figure("max_quarantined", quarantined, guard.max_quarantined, quarantined > guard.max_quarantined),
    });
    all
}

/// The guards that stop a run with these figures.
#[must_use]
pub fn trips(policy: &Policy, guarded: Guarded, expected: Expected) -> Vec<GuardTrip> {
    let tripped = headroom(policy, guarded, expected).into_iter().filter(|headroom| headroom.tripped);
    tripped
        .map(|headroom| {
            let (rows, flag, exact) = if headroom.guard.ends_with("quarantined") {
                (counted(guarded.quarantined, "quarantined row"), "--expect-quarantined", guarded.quarantined)
            } else {
                (counted(guarded.deletes, "deletion"), "--expect-deletes", guarded.deletes)
            };
            let limit = headroom.figure(headroom.limit);
            let what = match headroom.measure {
                Measure::Exact if headroom.limit < 2.0 => format!("{rows} where exactly {limit} was expected"),
                Measure::Exact => format!("{rows} where exactly {limit} were expected"),
                Measure::Count => format!("{rows} where {} allows {limit}", headroom.guard),
                Measure::Share => {
                    let share = headroom.figure(headroom.reached);
                    format!("{share} of all rows deleted where {} allows {limit}", headroom.guard)
                }
            };
            GuardTrip { policy: policy.name.clone(), guard: headroom.guard, what, flag: format!("{flag} {exact}") }
        })
        .collect()
}

impl Headroom {
    /// A figure of this guard as text.
    #[must_use]
    pub fn figure(&self, value: f64) -> String {
        match self.measure {
            Measure::Share => format!("{:.4}%", value * 100.0),
            Measure::Count | Measure::Exact => count(value as u64),
        }
    }

    /// The reached figure in percent of the limit, as text.
    #[must_use]
    pub fn used(&self) -> String {
        match self.measure {
            Measure::Exact => String::new(),
            _ if self.limit > 0.0 => format!("{:.1}%", self.reached / self.limit * 100.0),
            _ if self.tripped => "over".into(),
            _ => "0.0%".into(),
        }
    }
}
