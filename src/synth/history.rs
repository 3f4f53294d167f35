//! An estate that changes month by month, so that what a forecast finds can be held against what is known.
//!
//! Each month devices arrive as Pending, and each device that is Pending leaves with a probability that depends on its
//! type and its age in whole months; it is Commissioned then. Both are written beside the snapshots. Housekeeping may run
//! on the day of each snapshot, before it is taken. Like the estate itself, all of it is made up.

use std::collections::{BTreeMap, HashMap};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Poisson};
use serde_json::{Value, json};

use super::estate::{Dice, Estate, SynthRow, TYPES, mix};
use super::layout::Rows;
use crate::error::{Error, Result};
use crate::estate::time::{DAY_MICROS, add_months, civil, day_of, day_start, format_day, format_instant, whole_months};
use crate::estate::{DeviceType, SmiStatus, TypeSet};
use crate::policy::{DateVerdict, Pair, Policy};

/// Ages from which a hazard holds, and the hazard: the part of the devices that leaves in a month.
const HAZARDS: [(u32, f64); 5] = [(0, 0.30), (3, 0.20), (6, 0.12), (12, 0.06), (24, 0.03)];
/// How many times the hazard of other devices that of Comms Hubs is.
const HUBS: f64 = 0.75;
/// Arrivals of a month, as a part of the estate's devices of the type.
const ARRIVALS: f64 = 0.009;
/// Regions, in equal parts.
const REGIONS: [&str; 3] = ["North", "Central", "South"];
/// The last day of a month on which ages grow by one from snapshot to snapshot, whatever the month's length.
const LAST_DAY: i8 = 27;

/// The hazard that devices of a type have at an age in months.
#[must_use]
pub fn hazard(device_type: DeviceType, age: u32) -> f64 {
    let hazard = HAZARDS.iter().rev().find(|(from, _)| *from <= age).map_or(0.0, |(_, hazard)| *hazard);
    if TypeSet::COMMS_HUB.contains(device_type) { hazard * HUBS } else { hazard }
}

/// How a device that was Pending goes on.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// The first snapshot that has it.
    from: u32,
    /// Its number within the estate, from which all else about it follows.
    number: u64,
    device_type: DeviceType,
    /// From when it has been Pending, UTC microseconds.
    since: i64,
    /// The first snapshot in which it is Commissioned, and from when.
    left: Option<(u32, i64)>,
    /// The first snapshot that lacks it, because housekeeping took it away.
    deleted: Option<u32>,
}

/// An estate, and what becomes of it.
#[derive(Debug)]
pub struct History {
    estate: Estate,
    /// The moments of the snapshots.
    moments: Vec<i64>,
    /// Devices that were Pending at first, by their number.
    first: HashMap<u64, Life>,
    /// Devices that arrived, in the order of their numbers.
    arrived: Vec<Life>,
    /// How many arrive in each month on average, by type.
    arrivals: BTreeMap<DeviceType, f64>,
}

impl History {
    /// Lets an estate change for so many months. Where there is a policy, housekeeping runs by it on each day of a
    /// snapshot.
    ///
    /// # Errors
    /// A first day that months of different lengths do not all have.
    pub fn new(estate: Estate, months: u32, housekeeping: Option<&Policy>) -> Result<Self> {
        let day = civil(day_of(estate.as_of)).map_or(31, jiff::civil::Date::day);
        if day > LAST_DAY {
            return Err(Error::Usage {
                what: format!("a history from {}", format_instant(estate.as_of)),
                remedy: format!("begin on one of the days 1 to {LAST_DAY} of a month, which every month has"),
            });
        }
        let today = day_of(estate.as_of);
        let moments: Vec<i64> = (0..=months).filter_map(|month| add_months(today, month)).map(day_start).collect();
        let mut history =
            Self { estate, moments, first: HashMap::new(), arrived: Vec::new(), arrivals: BTreeMap::new() };
        let deletes = Deletes::new(&history.moments, housekeeping);
        for number in 0..estate.rows {
            let row = estate.row(number);
            let pending = row.smi_status == Some(SmiStatus::Pending.name());
            if let (true, Some(since), Some(device_type)) =
                (pending, row.status_since, row.device_type.and_then(of_name))
            {
                let life = history.life(number, 0, device_type, since, &deletes);
                history.first.insert(number, life);
            }
        }
        history.arrive(&deletes);
        Ok(history)
    }

    #[expect(clippy::cast_precision_loss, reason = "an expectation of counts")]
    fn arrive(&mut self, deletes: &Deletes) {
        let mut chance = ChaCha8Rng::seed_from_u64(self.estate.seed ^ 0x4152_5249_5645);
        let mut number = self.estate.rows;
        for (device_type, share) in TYPES.into_iter().filter(|(own, _)| !TypeSet::TYPE_2.contains(*own)) {
            self.arrivals.insert(device_type, self.estate.rows as f64 * share as f64 / 1000.0 * ARRIVALS);
        }
        for month in 1..self.moments.len() {
            for (&device_type, &mean) in &self.arrivals.clone() {
                let count = Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut chance) as u64);
                for _ in 0..count {
                    let mut dice = self.dice(number, 0);
                    // On a day after the snapshot before, up to the day of this one.
                    let (before, until) = (day_of(self.moments[month - 1]), day_of(self.moments[month]));
                    let day = before + 1 + dice.below((until - before) as u64) as i32;
                    let since = if day == until {
                        day_start(day)
                    } else {
                        day_start(day) + dice.below(DAY_MICROS as u64) as i64
                    };
                    self.arrived.push(self.life(number, month as u32, device_type, since, deletes));
                    number += 1;
                }
            }
        }
    }

    fn dice(&self, number: u64, what: u64) -> Dice {
        Dice(mix(self.estate.seed ^ 0x4C49_4645 ^ what) ^ mix(number))
    }

    /// Follows a device from the first snapshot that has it.
    fn life(&self, number: u64, from: u32, device_type: DeviceType, since: i64, deletes: &Deletes) -> Life {
        let mut life = Life { from, number, device_type, since, left: None, deleted: None };
        let mut dice = self.dice(number, 1);
        let first = whole_months(since, self.moments[from as usize]);
        for (month, age) in (from..self.moments.len() as u32).zip(first..) {
            if deletes.takes(month, device_type, since) {
                life.deleted = Some(month);
                return life;
            }
            if dice.unit() < hazard(device_type, age) {
                let here = self.moments[month as usize];
                let next = self.moments.get(month as usize + 1).copied().unwrap_or(here + DAY_MICROS);
                life.left = Some((month + 1, here + 1 + dice.below((next - here) as u64) as i64));
                return life;
            }
        }
        life
    }

    /// How many snapshots there are.
    #[must_use]
    pub fn snapshots(&self) -> u32 {
        self.moments.len() as u32
    }

    /// The estate at a snapshot, from 0.
    #[must_use]
    pub fn at(&self, month: u32) -> Moment<'_> {
        let gone = |life: &Life| life.deleted.is_some_and(|deleted| deleted <= month);
        let first = (0..self.estate.rows).filter(|number| !self.first.get(number).is_some_and(gone));
        let arrived = self.arrived.iter().filter(|life| life.from <= month && !gone(life)).map(|life| life.number);
        Moment { history: self, month, numbers: first.chain(arrived).collect() }
    }

    /// What a forecast should find.
    #[must_use]
    pub fn truth(&self) -> Value {
        let lives = || self.first.values().chain(&self.arrived);
        let by_type = |count: &dyn Fn(&Life) -> bool| -> BTreeMap<&str, u64> {
            let mut counts = BTreeMap::new();
            for life in lives().filter(|life| count(life)) {
                *counts.entry(name(life.device_type)).or_default() += 1;
            }
            counts
        };
        let months: Vec<Value> = (0..self.snapshots())
            .map(|month| {
                let here = |life: &Life| {
                    life.from <= month
                        && life.left.is_none_or(|(left, _)| left > month)
                        && life.deleted.is_none_or(|deleted| deleted > month)
                };
                json!({
                    "date": format_day(day_of(self.moments[month as usize])),
                    "pending": by_type(&here),
                    "arrived": by_type(&|life| month > 0 && life.from == month),
                    "left": by_type(&|life| life.left.is_some_and(|(left, _)| left == month)),
                    "deleted": by_type(&|life| life.deleted == Some(month)),
                })
            })
            .collect();
        let hazards: BTreeMap<&str, Vec<Value>> = self
            .arrivals
            .keys()
            .map(|&own| {
                let steps = HAZARDS.iter().map(|&(age, _)| json!({ "from_age": age, "hazard": hazard(own, age) }));
                (name(own), steps.collect())
            })
            .collect();
        let arrivals: BTreeMap<&str, f64> = self.arrivals.iter().map(|(&own, &mean)| (name(own), mean)).collect();
        json!({
            "schema": "smi-sweep/synthetic-history/1", "synthetic": true, "seed": self.estate.seed,
            "hazard": hazards, "arrivals_per_month": arrivals, "months": months,
        })
    }
}

/// The types that come by this name.
fn of_name(name: &str) -> Option<DeviceType> {
    TYPES.into_iter().map(|(own, _)| own).find(|own| self::name(*own) == name)
}

fn name(device_type: DeviceType) -> &'static str {
    DeviceType::BUILT_IN.get(usize::from(device_type.code())).copied().unwrap_or("(unknown)")
}

/// What housekeeping takes away on each day of a snapshot.
struct Deletes(Vec<crate::policy::Rules>);

impl Deletes {
    fn new(moments: &[i64], policy: Option<&Policy>) -> Self {
        Self(policy.map(|policy| moments.iter().map(|&moment| policy.bind(moment)).collect()).unwrap_or_default())
    }

    fn takes(&self, month: u32, device_type: DeviceType, since: i64) -> bool {
        self.0.get(month as usize).is_some_and(|rules| {
            rules.pair(SmiStatus::Pending.code(), device_type.code()) == Pair::Judge
                && rules.judge_date(device_type.code(), Some(since)) == DateVerdict::Due
        })
    }
}

/// An estate at one of its snapshots.
#[derive(Debug)]
pub struct Moment<'a> {
    history: &'a History,
    month: u32,
    /// Of the devices that are there.
    numbers: Vec<u64>,
}

impl Moment<'_> {
    /// When it is taken, UTC microseconds.
    #[must_use]
    pub fn as_of(&self) -> i64 {
        self.history.moments[self.month as usize]
    }

    /// A device, by its number within the estate.
    fn device(&self, number: u64) -> SynthRow {
        let History { estate, first, arrived, .. } = self.history;
        let life = match number.checked_sub(estate.rows) {
            Some(index) => arrived.get(index as usize),
            None => first.get(&number),
        };
        let mut row = estate.row(number);
        row.csp_region = Some(REGIONS[(mix(estate.seed ^ 0x5245_4749 ^ mix(number)) % REGIONS.len() as u64) as usize]);
        let Some(life) = life else { return row };
        if life.from > 0 {
            estate.as_type(number, life.device_type, &mut row);
        }
        let (status, since) = match life.left {
            Some((left, since)) if left <= self.month => (SmiStatus::Commissioned, since),
            _ => (SmiStatus::Pending, life.since),
        };
        (row.smi_status, row.status_since) = (Some(status.name()), Some(since));
        row
    }
}

impl Rows for Moment<'_> {
    fn rows(&self) -> u64 {
        self.numbers.len() as u64
    }

    fn row(&self, index: u64) -> SynthRow {
        self.numbers.get(index as usize).map_or_else(SynthRow::default, |&number| self.device(number))
    }

    fn as_of(&self) -> i64 {
        Moment::as_of(self)
    }

    fn estate(&self) -> Option<String> {
        Some(format!("synthetic, seed {}", self.history.estate.seed))
    }

    fn roles(&self) -> bool {
        false
    }

    fn regions(&self) -> bool {
        true
    }
}
