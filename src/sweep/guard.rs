//! Guards: limits in the policy, and exact numbers, that stop a whole run before anything is published.

use serde::{Deserialize, Serialize};

use crate::error::GuardTrip;
use crate::estate::{Tally, TallyByType, TypeSet};
use crate::output::html::{count, counted};
use crate::policy::{Policy, TypeGuard, TypeLimits};

/// Exact numbers that the user expects. Each replaces every guard on its figure: of the whole, of single types, and those
/// relative to the previous run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Planned deletions.
    pub deletes: Option<u64>,
    /// Quarantined rows.
    pub quarantined: Option<u64>,
    /// Rows of the snapshot.
    pub rows: Option<u64>,
}

/// Figures of a run that guards limit, of all rows or of the rows of a type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarded {
    /// All rows.
    pub rows: u64,
    /// Planned deletions.
    #[serde(rename = "delete")]
    pub deletes: u64,
    /// Rows that cannot be judged.
    pub quarantined: u64,
}

/// Figures of a run, of the whole and of each type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardFigures {
    /// Of all rows.
    pub total: Guarded,
    /// Of the rows of each type code.
    pub by_type: Vec<(u8, Guarded)>,
}

/// What a run is compared with, besides the limits of its policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuardTerms {
    /// Exact numbers.
    pub expected: Expected,
    /// The figures of the previous run.
    pub previous: Option<Guarded>,
}

/// What a guard counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A number of rows, as an upper limit.
    Count,
    /// A number of rows, as a lower limit.
    AtLeast,
    /// A number of rows that must be reached exactly.
    Exact,
    /// A share of the snapshot's rows, or of the rows of a type, 0 to 1, as an upper limit.
    Share,
}

/// The rows that a guard counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardedRows {
    /// Planned deletions.
    Deletes,
    /// Rows that cannot be judged.
    Quarantined,
    /// All rows.
    All,
}

/// A guard of a policy, with the figure that a run reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Headroom {
    /// The guard's key in the policy, or the flag that replaces it.
    pub guard: String,
    /// The rows that it counts.
    pub of: GuardedRows,
    /// The figure that the run reached.
    pub reached: f64,
    /// The figure that is allowed.
    pub limit: f64,
    /// The kind of both figures.
    pub measure: Measure,
    /// Whether the run must stop.
    pub tripped: bool,
}

impl From<&Tally> for Guarded {
    fn from(tally: &Tally) -> Self {
        Self { rows: tally.rows(), deletes: tally.deletes(), quarantined: tally.quarantined() }
    }
}

impl From<&TallyByType> for GuardFigures {
    fn from(tally: &TallyByType) -> Self {
        Self {
            total: (&tally.total()).into(),
            by_type: tally.iter().map(|(code, tally)| (code, tally.into())).collect(),
        }
    }
}

impl Guarded {
    const fn of(self, rows: GuardedRows) -> u64 {
        match rows {
            GuardedRows::Deletes => self.deletes,
            GuardedRows::Quarantined => self.quarantined,
            GuardedRows::All => self.rows,
        }
    }
}

impl GuardFigures {
    /// The figures of several types together.
    fn of_types(&self, types: TypeSet) -> Guarded {
        let of = self.by_type.iter().filter(|(code, _)| types.contains_code(*code));
        of.fold(Guarded::default(), |sum, (_, one)| Guarded {
            rows: sum.rows + one.rows,
            deletes: sum.deletes + one.deletes,
            quarantined: sum.quarantined + one.quarantined,
        })
    }
}

impl GuardedRows {
    /// The flag that accepts exactly so many rows.
    const fn flag(self) -> &'static str {
        match self {
            Self::Deletes => "--expect-deletes",
            Self::Quarantined => "--expect-quarantined",
            Self::All => "--expect-rows",
        }
    }

    /// So many rows, in words.
    fn counted(self, rows: u64) -> String {
        match self {
            Self::Deletes => counted(rows, "deletion"),
            Self::Quarantined => counted(rows, "quarantined row"),
            Self::All => counted(rows, "row"),
        }
    }
}

/// Compares the figures of a run with the guards of a policy.
#[must_use]
pub fn headroom(policy: &Policy, figures: &GuardFigures, terms: GuardTerms) -> Vec<Headroom> {
    let Expected { deletes, quarantined, rows } = terms.expected;
    let mut all = Vec::new();
    for (of, exact) in
        [(GuardedRows::Deletes, deletes), (GuardedRows::Quarantined, quarantined), (GuardedRows::All, rows)]
    {
        let reached = figures.total.of(of);
        if let Some(exact) = exact {
            all.push(counted_rows(of, of.flag().into(), (reached, exact), (Measure::Exact, reached != exact)));
            continue;
        }
        all.extend(limited(of, "", figures.total, policy.guard.whole()));
        for (name, TypeGuard { types, limits }) in &policy.guard.by_type {
            all.extend(limited(of, &format!("by_type.{name}."), figures.of_types(*types), *limits));
        }
        if let Some(previous) = terms.previous {
            all.extend(grown(of, reached, previous.of(of), policy.guard.growth()));
        }
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "the figures are only shown; counts are compared as whole numbers")]
fn counted_rows(
    of: GuardedRows,
    guard: String,
    (reached, limit): (u64, u64),
    (measure, tripped): (Measure, bool),
) -> Headroom {
    Headroom { guard, of, reached: reached as f64, limit: limit as f64, measure, tripped }
}

/// The guards on a number of rows and on their share, where these limits are set. `within` begins the guards' keys.
#[expect(clippy::cast_precision_loss, reason = "a share of more than 2^53 rows is not needed to the last row")]
fn limited(of: GuardedRows, within: &str, figures: Guarded, limits: TypeLimits) -> Vec<Headroom> {
    let (key, most, share_key, most_share) = match of {
        GuardedRows::Deletes => ("max_deletes", limits.max_deletes, "max_delete_share", limits.max_delete_share),
        GuardedRows::Quarantined => {
            ("max_quarantined", limits.max_quarantined, "max_quarantined_share", limits.max_quarantined_share)
        }
        GuardedRows::All => return Vec::new(),
    };
    let reached = figures.of(of);
    let by_count = most
        .map(|limit| counted_rows(of, format!("{within}{key}"), (reached, limit), (Measure::Count, reached > limit)));
    let share = if figures.rows == 0 { 0.0 } else { reached as f64 / figures.rows as f64 };
    let by_share = most_share.map(|limit| Headroom {
        guard: format!("{within}{share_key}"),
        of,
        reached: share,
        limit,
        measure: Measure::Share,
        tripped: share > limit,
    });
    by_count.into_iter().chain(by_share).collect()
}

/// The guards relative to the previous run: deletions and quarantined rows may be fewer, and the rows of the snapshot may
/// neither grow nor shrink by more than the share.
#[expect(clippy::cast_precision_loss, reason = "a limit above 2^53 rows is not needed to the last row")]
fn grown(of: GuardedRows, reached: u64, before: u64, growth: f64) -> impl Iterator<Item = Headroom> {
    let most = (before as f64 * (1.0 + growth)) as u64;
    let least = (before as f64 * (1.0 - growth)).ceil().max(0.0) as u64;
    let upper = counted_rows(of, "max_growth".into(), (reached, most), (Measure::Count, reached > most));
    let lower = counted_rows(of, "max_growth".into(), (reached, least), (Measure::AtLeast, reached < least));
    std::iter::once(upper).chain((of == GuardedRows::All).then_some(lower))
}

/// The guards that stop a run with these figures.
#[must_use]
pub fn trips(policy: &Policy, figures: &GuardFigures, terms: GuardTerms) -> Vec<GuardTrip> {
    let tripped = headroom(policy, figures, terms).into_iter().filter(|headroom| headroom.tripped);
    tripped
        .map(|headroom| {
            let exact = figures.total.of(headroom.of);
            let flag = format!("{} {exact}", headroom.of.flag());
            GuardTrip { policy: policy.name.clone(), what: headroom.what(terms.previous), guard: headroom.guard, flag }
        })
        .collect()
}

impl Headroom {
    /// The figure that was reached, and the limit, in words.
    fn what(&self, previous: Option<Guarded>) -> String {
        let Self { guard, of, .. } = self;
        let limit = self.figure(self.limit);
        let type_name = guard.strip_prefix("by_type.").and_then(|rest| rest.rsplit_once('.')).map(|(name, _)| name);
        let rows = match type_name {
            Some(name) => format!("{} of {name}", of.counted(self.reached as u64)),
            None => of.counted(self.reached as u64),
        };
        match self.measure {
            Measure::Exact if self.limit < 2.0 => format!("{rows} where exactly {limit} was expected"),
            Measure::Exact => format!("{rows} where exactly {limit} were expected"),
            Measure::Count | Measure::AtLeast if guard == "max_growth" => {
                let before = count(previous.unwrap_or_default().of(*of));
                let bound = if self.measure == Measure::AtLeast { "no fewer than" } else { "at most" };
                format!("{rows} where max_growth allows {bound} {limit}, after {before} in the previous run")
            }
            Measure::Count | Measure::AtLeast => format!("{rows} where {guard} allows {limit}"),
            Measure::Share => {
                let share = self.figure(self.reached);
                let among = type_name.map_or_else(|| "all rows".to_owned(), |name| format!("all rows of {name}"));
                let done = if *of == GuardedRows::Deletes { "deleted" } else { "quarantined" };
                format!("{share} of {among} {done} where {guard} allows {limit}")
            }
        }
    }

    /// The name of the guard in a table: where several guards have one key, with the rows that it counts.
    #[must_use]
    pub fn title(&self) -> String {
        match (self.guard.as_str(), self.of, self.measure) {
            ("max_growth", GuardedRows::Deletes, _) => "max_growth of deletions".into(),
            ("max_growth", GuardedRows::Quarantined, _) => "max_growth of quarantined".into(),
            ("max_growth", GuardedRows::All, Measure::AtLeast) => "max_growth of rows, least".into(),
            ("max_growth", GuardedRows::All, _) => "max_growth of rows".into(),
            (guard, _, _) => guard.into(),
        }
    }

    /// A figure of this guard as text.
    #[must_use]
    pub fn figure(&self, value: f64) -> String {
        match self.measure {
            Measure::Share => format!("{:.4}%", value * 100.0),
            Measure::Count | Measure::AtLeast | Measure::Exact => count(value as u64),
        }
    }

    /// The reached figure in percent of the limit, as text.
    #[must_use]
    pub fn used(&self) -> String {
        match self.measure {
            Measure::Exact | Measure::AtLeast => String::new(),
            _ if self.limit > 0.0 => format!("{:.1}%", self.reached / self.limit * 100.0),
            _ if self.tripped => "over".into(),
            _ => "0.0%".into(),
        }
    }
}
