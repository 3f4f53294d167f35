//! Guards: limits in the policy that stop a run, whole, before anything is published.

use crate::error::GuardTrip;
use crate::estate::Tally;
use crate::policy::Policy;

/// Exact numbers that the user expects. Each takes the place of the guards on its figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Deletions: takes the place of `max_deletes` and `max_delete_share`.
    pub deletes: Option<u64>,
    /// Quarantined rows: takes the place of `max_quarantined`.
    pub quarantined: Option<u64>,
}

/// A guard of a policy, with how far a run has come towards it.
#[derive(Debug, Clone, PartialEq)]
pub struct Headroom {
    /// The guard's key in the policy, or the flag that took its place.
    pub guard: &'static str,
    /// What the run came to.
    pub reached: f64,
    /// What is allowed.
    pub limit: f64,
    /// Whether both are shares of the snapshot's rows.
    pub is_share: bool,
    /// Whether the run must stop.
    pub tripped: bool,
}

/// The guards of a policy, held against the figures of a run.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "figures for people; what trips is decided on whole numbers")]
pub fn headroom(policy: &Policy, tally: &Tally, rows: u64, expected: Expected) -> Vec<Headroom> {
    let guard = &policy.guard;
    let count = |name, reached: u64, limit: u64, tripped: bool| Headroom {
        guard: name,
        reached: reached as f64,
        limit: limit as f64,
        is_share: false,
        tripped,
    };
    let mut all = Vec::new();
    let deletes = tally.deletes();
    if let Some(exact) = expected.deletes {
        all.push(count("--expect-deletes", deletes, exact, deletes != exact));
    } else {
        all.push(count("max_deletes", deletes, guard.max_deletes, deletes > guard.max_deletes));
        let share = if rows == 0 { 0.0 } else { deletes as f64 / rows as f64 };
        all.push(Headroom {
            guard: "max_delete_share",
            reached: share,
            limit: guard.max_delete_share,
            is_share: true,
            tripped: share > guard.max_delete_share,
        });
    }
    let quarantined = tally.quarantined();
    all.push(match expected.quarantined {
        Some(exact) => count("--expect-quarantined", quarantined, exact, quarantined != exact),
        None => count("max_quarantined", quarantined, guard.max_quarantined, quarantined > guard.max_quarantined),
    });
    all
}

/// The guards that a run with these figures would pass.
#[must_use]
pub fn trips(policy: &Policy, tally: &Tally, rows: u64, expected: Expected) -> Vec<GuardTrip> {
    headroom(policy, tally, rows, expected)
        .into_iter()
        .filter(|headroom| headroom.tripped)
        .map(|headroom| {
            let way_on = if headroom.guard.ends_with("quarantined") {
                format!("if every one of them is accounted for: --expect-quarantined {}", tally.quarantined())
            } else {
                format!("if every one of them is meant: --expect-deletes {}", tally.deletes())
            };
            GuardTrip {
                policy: policy.name.clone(),
                guard: headroom.guard,
                reached: headroom.figure(headroom.reached),
                limit: headroom.figure(headroom.limit),
                way_on,
            }
        })
        .collect()
}

impl Headroom {
    /// A figure of this guard as text.
    #[must_use]
    pub fn figure(&self, value: f64) -> String {
        if self.is_share { format!("{:.4} %", value * 100.0) } else { format!("{value:.0}") }
    }
}
