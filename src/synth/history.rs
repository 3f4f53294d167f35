//! An estate that changes month by month, with known rates, so that a forecast can be compared with them.
//!
//! Each month devices arrive as Pending. A Pending device is commissioned with a probability, the hazard, that depends on
//! its type and its age in whole months. Housekeeping may run on the day of each snapshot, before it is taken. The true
//! rates are written into a file next to the snapshots. All rates are assumptions.

use std::collections::{BTreeMap, HashMap};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Poisson};
use serde::Serialize;

use super::estate::{Estate, SplitMix64, SynthRow, TYPES, mix};
use super::layout::RowSource;
use crate::error::{Error, Result};
use crate::estate::time::{DAY_MICROS, add_months, civil, day_of, day_start, format_day, format_instant, whole_months};
use crate::estate::{DeviceType, SmiStatus, TypeSet};
use crate::policy::{Policy, Rules};

/// Ages in months from which a hazard applies, and the hazard: the share of devices that is commissioned in a month.
const HAZARDS: [(u32, f64); 5] = [(0, 0.30), (3, 0.20), (6, 0.12), (12, 0.06), (24, 0.03)];
/// The hazard of Comms Hubs, as a multiple of that of other devices.
const HUBS: f64 = 0.75;
/// Arrivals in a month, as a share of the estate's devices of the type.
const ARRIVALS: f64 = 0.009;
/// Regions, with equal shares.
const REGIONS: [&str; 3] = ["North", "Central", "South"];
/// The last day of the month for a first snapshot: the day after it, too, exists in every month, so that ages grow by one
/// month from snapshot to snapshot.
const LAST_DAY: i8 = 27;

/// The hazard of a device type at an age in whole months.
#[must_use]
pub fn hazard(device_type: DeviceType, age: u32) -> f64 {
    let hazard = HAZARDS.iter().rev().find(|(from, _)| *from <= age).map_or(0.0, |(_, hazard)| *hazard);
    if TypeSet::COMMS_HUB.contains(device_type) { hazard * HUBS } else { hazard }
}

/// A device that is Pending at some time, and how that ends.
#[derive(Debug, Clone, Copy)]
struct PendingDevice {
    /// The first snapshot that has it, from 0.
    from: u32,
    /// Its row number in the estate.
    number: u64,
    device_type: DeviceType,
    /// From when it has been Pending, UTC microseconds.
    since: i64,
    /// The first snapshot in which it is Commissioned, and from when.
    left: Option<(u32, i64)>,
    /// The first snapshot that lacks it because housekeeping deleted it.
    deleted: Option<u32>,
}

impl PendingDevice {
    const fn new(number: u64, from: u32, device_type: DeviceType, since: i64) -> Self {
        Self { from, number, device_type, since, left: None, deleted: None }
    }
}

/// An estate at a series of monthly snapshots.
#[derive(Debug)]
pub struct History {
    estate: Estate,
    /// The moments of the snapshots, UTC microseconds.
    moments: Vec<i64>,
    /// Devices that are Pending in the first snapshot, by row number.
    first: HashMap<u64, PendingDevice>,
    /// Devices that arrive later, in the order of their row numbers.
    arrived: Vec<PendingDevice>,
    /// The expected arrivals in a month, by type.
    arrivals: BTreeMap<DeviceType, f64>,
}

impl History {
    /// Simulates an estate for so many months. With a policy, housekeeping deletes what is due on the day of each
    /// snapshot.
    ///
    /// # Errors
    /// A first snapshot later than on the 27th of its month.
    pub fn new(estate: Estate, months: u32, housekeeping: Option<&Policy>) -> Result<Self> {
        let day = civil(day_of(estate.as_of)).map_or(31, jiff::civil::Date::day);
        if day > LAST_DAY {
            return Err(Error::Usage {
                what: format!("a history cannot begin at {}", format_instant(estate.as_of)),
                remedy: format!("begin on a day from 1 to {LAST_DAY}, which every month has"),
            });
        }
        let today = day_of(estate.as_of);
        let moments: Vec<i64> = (0..=months).filter_map(|month| add_months(today, month)).map(day_start).collect();
        let mut history =
            Self { estate, moments, first: HashMap::new(), arrived: Vec::new(), arrivals: BTreeMap::new() };
        let housekeeping = Housekeeping::new(&history.moments, housekeeping);
        for number in 0..estate.rows {
            let row = estate.row(number);
            let pending = row.smi_status == Some(SmiStatus::Pending.name());
            if let (true, Some(since), Some(device_type)) =
                (pending, row.status_since, row.device_type.and_then(type_of))
            {
                let device = PendingDevice::new(number, 0, device_type, since);
                let device = history.simulate(device, &housekeeping);
                history.first.insert(number, device);
            }
        }
        history.arrive(&housekeeping);
        Ok(history)
    }

    #[expect(clippy::cast_precision_loss, reason = "an expectation of counts")]
    fn arrive(&mut self, housekeeping: &Housekeeping) {
        let mut chance = ChaCha8Rng::seed_from_u64(self.estate.seed ^ 0x4152_5249_5645);
        let mut number = self.estate.rows;
        for (device_type, share) in TYPES.into_iter().filter(|(own, _)| !TypeSet::TYPE_2.contains(*own)) {
            self.arrivals.insert(device_type, self.estate.rows as f64 * share as f64 / 1000.0 * ARRIVALS);
        }
        for month in 1..self.moments.len() {
            for (&device_type, &mean) in &self.arrivals.clone() {
                let count = Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut chance) as u64);
                for _ in 0..count {
                    let mut random = self.random(number, 0);
                    // On a day after the snapshot before, up to the day of this one.
                    let (before, until) = (day_of(self.moments[month - 1]), day_of(self.moments[month]));
                    let day = before + 1 + random.below((until - before) as u64) as i32;
                    let since = if day == until {
                        day_start(day)
                    } else {
                        day_start(day) + random.below(DAY_MICROS as u64) as i64
                    };
                    let device = PendingDevice::new(number, month as u32, device_type, since);
                    self.arrived.push(self.simulate(device, housekeeping));
                    number += 1;
                }
            }
        }
    }

    fn random(&self, number: u64, what: u64) -> SplitMix64 {
        SplitMix64(mix(self.estate.seed ^ 0x4C49_4645 ^ what) ^ mix(number))
    }

    /// Simulates a device from the first snapshot that has it.
    fn simulate(&self, mut device: PendingDevice, housekeeping: &Housekeeping) -> PendingDevice {
        let PendingDevice { from, number, device_type, since, .. } = device;
        let mut random = self.random(number, 1);
        let first = whole_months(since, self.moments[from as usize]);
        for (month, age) in (from..self.moments.len() as u32).zip(first..) {
            if housekeeping.deletes(month, device_type, since) {
                device.deleted = Some(month);
                return device;
            }
            if random.unit() < hazard(device_type, age) {
                let here = self.moments[month as usize];
                let next = self.moments.get(month as usize + 1).copied().unwrap_or(here + DAY_MICROS);
                device.left = Some((month + 1, here + 1 + random.below((next - here) as u64) as i64));
                return device;
            }
        }
        device
    }

    /// The number of snapshots.
    #[must_use]
    pub fn snapshots(&self) -> u32 {
        self.moments.len() as u32
    }

    /// The snapshot of a month, from 0.
    #[must_use]
    pub fn at(&self, month: u32) -> HistorySnapshot<'_> {
        let gone = |device: &PendingDevice| device.deleted.is_some_and(|deleted| deleted <= month);
        let first = (0..self.estate.rows).filter(|number| !self.first.get(number).is_some_and(gone));
        let arrived =
            self.arrived.iter().filter(|device| device.from <= month && !gone(device)).map(|device| device.number);
        HistorySnapshot { history: self, month, numbers: first.chain(arrived).collect() }
    }

    /// The figures that a forecast should find.
    #[must_use]
    pub fn truth(&self) -> HistoryTruth {
        let hazards = |device_type| {
            HAZARDS.map(|(from_age, _)| HazardFrom { from_age, hazard: hazard(device_type, from_age) }).into()
        };
        HistoryTruth {
            arrivals_per_month: self.arrivals.iter().map(|(&own, &mean)| (name(own), mean)).collect(),
            hazard: self.arrivals.keys().map(|&own| (name(own), hazards(own))).collect(),
            months: (0..self.snapshots()).map(|month| self.true_month(month)).collect(),
            schema: "smi-sweep/synthetic-history/1",
            seed: self.estate.seed,
            synthetic: true,
        }
    }

    fn true_month(&self, month: u32) -> TrueMonth {
        let by_type = |counts: &dyn Fn(&PendingDevice) -> bool| {
            let mut by_type = BTreeMap::new();
            for device in self.first.values().chain(&self.arrived).filter(|device| counts(device)) {
                *by_type.entry(name(device.device_type)).or_default() += 1;
            }
            by_type
        };
        let pending = |device: &PendingDevice| {
            device.from <= month
                && device.left.is_none_or(|(left, _)| left > month)
                && device.deleted.is_none_or(|deleted| deleted > month)
        };
        TrueMonth {
            arrived: by_type(&|device| month > 0 && device.from == month),
            date: format_day(day_of(self.moments[month as usize])),
            deleted: by_type(&|device| device.deleted == Some(month)),
            left: by_type(&|device| device.left.is_some_and(|(left, _)| left == month)),
            pending: by_type(&pending),
        }
    }
}

/// The true rates and counts of a history: the document `truth.json`. Maps are by device type.
#[derive(Debug, Serialize)]
pub struct HistoryTruth {
    arrivals_per_month: BTreeMap<&'static str, f64>,
    hazard: BTreeMap<&'static str, Vec<HazardFrom>>,
    months: Vec<TrueMonth>,
    schema: &'static str,
    seed: u64,
    synthetic: bool,
}

#[derive(Debug, Serialize)]
struct HazardFrom {
    /// The age in months from which the hazard applies.
    from_age: u32,
    hazard: f64,
}

#[derive(Debug, Serialize)]
struct TrueMonth {
    arrived: BTreeMap<&'static str, u64>,
    date: String,
    deleted: BTreeMap<&'static str, u64>,
    left: BTreeMap<&'static str, u64>,
    pending: BTreeMap<&'static str, u64>,
}

/// The synthetic device type with this name.
fn type_of(name: &str) -> Option<DeviceType> {
    TYPES.into_iter().map(|(own, _)| own).find(|own| self::name(*own) == name)
}

fn name(device_type: DeviceType) -> &'static str {
    DeviceType::BUILT_IN.get(usize::from(device_type.code())).copied().unwrap_or("(unknown)")
}

/// The rules at the moment of each snapshot; none where housekeeping does not run.
struct Housekeeping(Vec<Rules>);

impl Housekeeping {
    fn new(moments: &[i64], policy: Option<&Policy>) -> Self {
        Self(policy.map(|policy| moments.iter().map(|&moment| policy.bind(moment)).collect()).unwrap_or_default())
    }

    fn deletes(&self, month: u32, device_type: DeviceType, since: i64) -> bool {
        let rules = self.0.get(month as usize);
        rules.is_some_and(|rules| rules.is_due(SmiStatus::Pending.code(), device_type.code(), Some(since)))
    }
}

/// The estate at one month of a history.
#[derive(Debug)]
pub struct HistorySnapshot<'a> {
    history: &'a History,
    month: u32,
    /// The row numbers of the devices in the snapshot.
    numbers: Vec<u64>,
}

impl HistorySnapshot<'_> {
    /// The moment at which it is taken, UTC microseconds.
    #[must_use]
    pub fn as_of(&self) -> i64 {
        self.history.moments[self.month as usize]
    }

    /// The row of a device, by its row number in the estate.
    fn device(&self, number: u64) -> SynthRow {
        let History { estate, first, arrived, .. } = self.history;
        let device = match number.checked_sub(estate.rows) {
            Some(index) => arrived.get(index as usize),
            None => first.get(&number),
        };
        let mut row = estate.row(number);
        row.csp_region = Some(REGIONS[(mix(estate.seed ^ 0x5245_4749 ^ mix(number)) % REGIONS.len() as u64) as usize]);
        let Some(device) = device else { return row };
        if device.from > 0 {
            estate.as_type(number, device.device_type, &mut row);
        }
        let (status, since) = match device.left {
            Some((left, since)) if left <= self.month => (SmiStatus::Commissioned, since),
            _ => (SmiStatus::Pending, device.since),
        };
        (row.smi_status, row.status_since) = (Some(status.name()), Some(since));
        row
    }
}

impl RowSource for HistorySnapshot<'_> {
    fn rows(&self) -> u64 {
        self.numbers.len() as u64
    }

    fn row(&self, index: u64) -> SynthRow {
        self.numbers.get(index as usize).map_or_else(SynthRow::default, |&number| self.device(number))
    }

    fn as_of(&self) -> i64 {
        HistorySnapshot::as_of(self)
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
