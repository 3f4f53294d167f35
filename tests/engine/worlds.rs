//! Estates whose truth is known device by device, and how well a forecast from their ledgers finds it.
//!
//! A world says how devices arrive, when they leave Pending, which party notifies them, what housekeeping does, and on
//! which days ledgers are taken. Every device is simulated alone, and lives on after the last ledger, so that the
//! figures of later months are counts. The forecast knows the ledgers only. `scripts/forecast-worlds` prints the
//! table of all worlds.

#![expect(clippy::cast_precision_loss, reason = "shares of counts")]

use std::collections::BTreeMap;

use crate::common::{at, unguarded};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Poisson, Uniform};
use smi_sweep::estate::time::{add_months, day_of, day_start};
use smi_sweep::estate::{DeviceType, SmiStatus, TypeNames};
use smi_sweep::forecast::scenario::Scenario;
use smi_sweep::forecast::{Finding, Forecast, ForecastMeasure, HousekeepingPeriod, estimate, forecast, history};
use smi_sweep::ledger::count::{CandidateCounts, RowClass};
use smi_sweep::ledger::{Ledger, StoredSize};
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::Parties;
use smi_sweep::synth;

/// Days of a month on average.
pub const MONTH: f64 = 30.4375;
/// The day of the last ledger.
const TODAY: &str = "2026-11-01";
/// The months of the future of which figures are known.
const MONTHS: u32 = 36;
/// The parties of meters, and their shares of the arrivals in per cent. Hubs have the last party alone.
const PARTIES: [(&str, f64); 5] = [("A", 40.0), ("B", 30.0), ("C", 20.0), ("D", 10.0), ("Z", 0.0)];

/// What arrives together: a hub is a CHF and a GPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hub,
    Esme,
    Gsme,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Hub, Self::Esme, Self::Gsme];

    const fn types(self) -> &'static [DeviceType] {
        match self {
            Self::Hub => &[DeviceType::CHF, DeviceType::GPF],
            Self::Esme => &[DeviceType::ESME],
            Self::Gsme => &[DeviceType::GSME],
        }
    }

    const fn arrivals_per_month(self) -> f64 {
        match self {
            Self::Hub => 240.0,
            Self::Esme => 200.0,
            Self::Gsme => 90.0,
        }
    }
}

/// A world. Days are relative to that of the last ledger; months before it are negative.
#[derive(Clone, Copy)]
pub struct World {
    pub name: &'static str,
    /// Months before the last ledger in which the first devices arrived.
    pub age: u32,
    /// Months before the last ledger in which the first ledger was taken.
    pub months: u32,
    /// Days from ledger to ledger; `None`: calendar months.
    pub gaps: Option<&'static [i32]>,
    /// Factor on the arrivals of a day, by the years since the last ledger.
    pub arrivals: fn(f64) -> f64,
    /// Factor on the hazard, by the years since the last ledger.
    pub hazard: fn(f64) -> f64,
    /// Years since the last ledger from which the first party notifies no meter.
    pub stops: f64,
    /// Devices of type ESME that arrive on one day, eight months before the last ledger.
    pub bulk: u32,
    /// Housekeeping: months before the last ledger from which a threshold applies, and the threshold.
    pub housekeeping: &'static [(u32, u32)],
}

const STATIONARY: World = World {
    name: "stationary",
    age: 96,
    months: 24,
    gaps: None,
    arrivals: |_| 1.0,
    hazard: |_| 1.0,
    stops: f64::INFINITY,
    bulk: 0,
    housekeeping: &[],
};

/// Every world of the table.
pub const WORLDS: [World; 11] = [
    STATIONARY,
    World { name: "young", age: 10, months: 9, ..STATIONARY },
    World {
        name: "seasonal",
        months: 36,
        arrivals: |years| 1.0 + 0.4 * (std::f64::consts::TAU * (years - 0.1)).cos(),
        ..STATIONARY
    },
    World { name: "trend", months: 36, arrivals: |years| 1.2_f64.powf(years), ..STATIONARY },
    World { name: "hazard break", hazard: |years| if years < -0.75 { 1.0 } else { 0.6 }, ..STATIONARY },
    World { name: "party stops", stops: -0.45, ..STATIONARY },
    World { name: "12 then 36", months: 30, housekeeping: &[(120, 12), (12, 36)], ..STATIONARY },
    World { name: "12 months", housekeeping: &[(120, 12)], ..STATIONARY },
    World { name: "uneven", gaps: Some(&[28, 45, 35, 60, 30, 52, 41]), ..STATIONARY },
    World { name: "bulk import", bulk: 2500, ..STATIONARY },
    World { name: "one year", months: 12, ..STATIONARY },
];

/// A device: its kind, the day since which it is Pending, the day on which it leaves, and its party.
#[derive(Debug, Clone, Copy)]
struct Device {
    kind: Kind,
    since: i32,
    left: i32,
    party: usize,
    /// The day on which it is twelve months old.
    old: i32,
    /// The day on which housekeeping before the last ledger deletes it, if it has not left.
    deleted: i32,
}

/// A world, simulated.
pub struct Truth {
    world: World,
    today: i32,
    devices: Vec<Device>,
}

impl Truth {
    /// Simulates every device of a world.
    pub fn new(world: World, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let today = day_of(at(TODAY));
        let unit = Uniform::new(0.0, 1.0).unwrap();
        let years = |day: i32| f64::from(day - today) / 365.25;
        let mut truth = Self { world, today, devices: Vec::new() };
        let first = today - (f64::from(world.age) * MONTH) as i32;
        for day in first..=today + (f64::from(MONTHS) * MONTH) as i32 + 40 {
            let (old, deleted) = (add_months(day, 12).unwrap(), truth.deleted(day));
            for kind in Kind::ALL {
                let mean = kind.arrivals_per_month() / MONTH * (world.arrivals)(years(day));
                let mut count = Poisson::new(mean).unwrap().sample(&mut rng) as u32;
                if kind == Kind::Esme && day == today - 240 {
                    count += world.bulk;
                }
                for _ in 0..count {
                    let party = Self::party(kind, unit.sample(&mut rng));
                    if party == 0 && years(day) > world.stops {
                        continue;
                    }
                    let mut left = f64::from(day);
                    for age in 0.. {
                        let hazard = synth::hazard(kind.types()[0], age) * (world.hazard)(years(left as i32));
                        if unit.sample(&mut rng) < hazard {
                            left += unit.sample(&mut rng) * MONTH;
                            break;
                        }
                        left += MONTH;
                    }
                    truth.devices.push(Device { kind, since: day, left: left.ceil() as i32, party, old, deleted });
                }
            }
        }
        truth
    }

    fn party(kind: Kind, chance: f64) -> usize {
        if kind == Kind::Hub {
            return PARTIES.len() - 1;
        }
        let mut left = chance * 100.0;
        let stops = |(_, share): &(&str, f64)| {
            left -= share;
            left < 0.0
        };
        PARTIES.iter().position(stops).unwrap_or(PARTIES.len() - 2)
    }

    /// The day on which housekeeping before the last ledger deletes devices of a day that have not left.
    fn deleted(&self, since: i32) -> i32 {
        let periods = self.world.housekeeping;
        let month = |before: u32| self.today - (f64::from(before) * MONTH) as i32;
        let mut deleted = i32::MAX;
        for (index, &(from, months)) in periods.iter().enumerate() {
            let until = periods.get(index + 1).map_or(self.today, |next| month(next.0) - 1);
            let due = add_months(since, months).unwrap().max(month(from));
            if due <= until {
                deleted = deleted.min(due);
            }
        }
        deleted
    }

    /// The days of the ledgers.
    pub fn ledger_days(&self) -> Vec<i32> {
        let Some(gaps) = self.world.gaps else {
            let start = add_months(self.today, 0).unwrap();
            return (0..=self.world.months).rev().map(|before| months_before(start, before)).collect();
        };
        let mut days = vec![self.today];
        let mut gaps = gaps.iter().cycle();
        while let Some(day) = days.last().map(|day| day - gaps.next().unwrap()) {
            if day < self.today - (f64::from(self.world.months) * MONTH) as i32 {
                break;
            }
            days.push(day);
        }
        days.reverse();
        days
    }

    /// The ledger of a day.
    pub fn ledger(&self, day: i32) -> Ledger {
        let mut counts: BTreeMap<RowClass, u64> = BTreeMap::new();
        let kept = self.devices.iter().filter(|device| device.since <= day);
        for device in kept {
            let deleted = device.deleted;
            for own in device.kind.types() {
                let pending = device.left > day && deleted > day;
                if pending {
                    *counts.entry(class(*own, Some((device.since, device.party)))).or_default() += 1;
                } else if device.left < deleted {
                    *counts.entry(class(*own, None)).or_default() += 1;
                }
            }
        }
        let (parties, _) = Parties::sorted(PARTIES.iter().map(|(name, _)| (*name).to_owned()).collect());
        let cells: Vec<(RowClass, u64)> = counts.into_iter().collect();
        let rows = cells.iter().map(|(_, rows)| rows).sum();
        Ledger {
            name: format!("ledger of day {day}"),
            estate: Some(self.world.name.into()),
            synthetic: true,
            as_of: day_start(day),
            types: TypeNames::default(),
            candidates: [SmiStatus::Pending].into_iter().collect(),
            counts: CandidateCounts { cells, parties, whole_days: true, ..CandidateCounts::default() },
            size: StoredSize { rows, bytes: rows * 50, by_column: BTreeMap::new() },
            sources: Vec::new(),
        }
    }

    /// The ledgers of the world, in order.
    pub fn ledgers(&self) -> Vec<Ledger> {
        history::in_order(self.ledger_days().into_iter().map(|day| self.ledger(day)).collect()).unwrap()
    }

    /// The true figure of a type under [`policy`] `month` months after the last ledger (before it where negative);
    /// `all`: the sum of all types.
    pub fn figure(&self, name: &str, measure: ForecastMeasure, month: i32) -> i64 {
        let at = |month: i32| match u32::try_from(month) {
            Ok(month) => add_months(self.today, month).unwrap(),
            Err(_) => months_before(self.today, month.unsigned_abs()),
        };
        let (day, before) = (at(month), at(month - 1));
        let mut sum = 0;
        for device in self.devices.iter().filter(|device| device.since <= day) {
            let here = device.left > day && device.deleted > self.today.min(day);
            let old = device.old <= day;
            let crossed = old && device.old > before;
            if !here {
                continue;
            }
            let hub = device.kind == Kind::Hub;
            let counts = match measure {
                ForecastMeasure::Pending => hub || !old,
                ForecastMeasure::Retained => hub && old,
                _ => !hub && if month == 0 { old } else { crossed },
            };
            let types = device.kind.types().iter().filter(|own| name == "all" || name == type_name(**own));
            sum += if counts { types.count() as i64 } else { 0 };
        }
        sum
    }
}

/// The day so many months before another, both of them a first day of a month.
fn months_before(day: i32, months: u32) -> i32 {
    let guess = day - (f64::from(months) * MONTH) as i32;
    (guess - 3..=guess + 3).find(|&other| add_months(other, months) == Some(day)).unwrap_or(guess)
}

fn type_name(own: DeviceType) -> &'static str {
    DeviceType::BUILT_IN[usize::from(own.code())]
}

fn class(own: DeviceType, pending: Option<(i32, usize)>) -> RowClass {
    RowClass {
        type_code: own.code(),
        status_code: if pending.is_some() { SmiStatus::Pending.code() } else { SmiStatus::Commissioned.code() },
        day: pending.map(|(day, _)| day),
        party: pending.map_or(Parties::NONE, |(_, party)| party as u32),
        region: Parties::NONE,
        role: None,
        flaw: None,
    }
}

/// The policy that worlds are forecast under: 12 months, hubs excluded.
pub fn policy() -> Policy {
    unguarded("secmp0060")
}

/// The scenario of a world, with the history of its housekeeping.
pub fn scenario(truth: &Truth, simulations: u32) -> Scenario {
    let month = |before: u32| truth.today - (f64::from(before) * MONTH) as i32;
    let period = |&(from, months): &(u32, u32)| {
        let mut policy = unguarded("pre-change");
        policy.thresholds.default = months;
        HousekeepingPeriod { from: month(from), policy: Some(policy) }
    };
    let history = truth.world.housekeeping.iter().map(period).collect();
    Scenario { months: MONTHS, policies: vec![policy()], simulations, history, ..Scenario::default() }
}

/// Measures that are judged.
const MEASURES: [ForecastMeasure; 3] = [ForecastMeasure::Pending, ForecastMeasure::Retained, ForecastMeasure::Alerts];

/// Coverage and errors of a measure, over many seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    /// Figures of single types within the band, at 12 and 36 months, and all of them.
    within: [(u32, u32); 2],
    /// The same for the sum of all types.
    within_all: [(u32, u32); 2],
    /// Absolute errors of the sum at 1 to 12 months: of the forecast, of the last month, of exponential smoothing.
    errors: [f64; 3],
    /// The sum of the true figures.
    sum: f64,
}

/// Scores of each measure, and the kinds of warnings with the runs that have them.
#[derive(Debug, Clone, Default)]
pub struct WorldScore {
    pub measures: [Score; 3],
    pub runs: u32,
    pub warned: u32,
    pub kinds: BTreeMap<&'static str, u32>,
}

impl WorldScore {
    /// Adds a run of a world.
    pub fn add(&mut self, truth: &Truth, forecast: &Forecast) {
        let types = &forecast.policies[0].types;
        let months = truth.world.months.min(24) as i32;
        for (score, measure) in self.measures.iter_mut().zip(MEASURES) {
            for of_type in types {
                let all = of_type.name == "all";
                for (place, month) in [12usize, 36].into_iter().enumerate() {
                    let actual = truth.figure(&of_type.name, measure, month as i32);
                    let band = of_type.months[month][measure as usize];
                    if band.high == 0 && actual == 0 {
                        continue;
                    }
                    let within = if all { &mut score.within_all[place] } else { &mut score.within[place] };
                    *within = (within.0 + u32::from(band.contains(actual)), within.1 + 1);
                }
            }
            let past: Vec<i64> = (-months + 1..=0)
                .map(|month| {
                    // The flow of the month, not the stock that is due on the first day.
                    let flow = month == 0 && measure == ForecastMeasure::Alerts;
                    if flow { truth.figure("all", measure, -1) } else { truth.figure("all", measure, month) }
                })
                .collect();
            let last = *past.last().unwrap() as f64;
            let smooth = past.iter().fold(past[0] as f64, |level, own| level + 0.3 * (*own as f64 - level));
            let all = types.last().unwrap();
            for month in 1..=12usize {
                let actual = truth.figure("all", measure, month as i32) as f64;
                let median = all.months[month][measure as usize].median as f64;
                for (error, guess) in score.errors.iter_mut().zip([median, last, smooth]) {
                    *error += (guess - actual).abs();
                }
                score.sum += actual;
            }
        }
        self.runs += 1;
        self.warned += u32::from(forecast.findings.iter().any(Finding::warns));
        let kinds: std::collections::BTreeSet<&'static str> = forecast.findings.iter().map(Finding::kind).collect();
        for kind in kinds {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }
}

/// Simulates a world with some seeds, and scores its forecasts.
pub fn score(world: World, seeds: std::ops::Range<u64>, simulations: u32) -> WorldScore {
    let mut score = WorldScore::default();
    for seed in seeds {
        let truth = Truth::new(world, seed);
        let ledgers = truth.ledgers();
        let scenario = Scenario { seed, ..scenario(&truth, simulations) };
        let rates = estimate(&ledgers, &scenario).unwrap();
        let last = ledgers.last().unwrap();
        score.add(&truth, &forecast(last, &rates, &scenario, &Pool::new(None), &NoProgress).unwrap());
    }
    score
}

/// The table of all worlds. `WORLD` names one of them, `SEEDS` is the number of runs.
#[test]
#[ignore = "a table for readers: scripts/forecast-worlds"]
fn table_of_worlds() {
    let only = std::env::var("WORLD").ok();
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20);
    println!("coverage of the 80 % band after 12 and 36 months, by type and for all; error over 12 months, per cent");
    println!("of the forecast, of the last month, of exponential smoothing; runs with a warning");
    for world in WORLDS.into_iter().filter(|world| only.as_deref().is_none_or(|only| only == world.name)) {
        let score = score(world, 0..seeds, 200);
        let kinds: Vec<String> = score.kinds.iter().map(|(kind, runs)| format!("{kind} {runs}")).collect();
        println!("{}: {} of {} runs warn: {}", world.name, score.warned, score.runs, kinds.join(", "));
        for (measure, own) in MEASURES.into_iter().zip(score.measures) {
            let share = |(within, all): (u32, u32)| 100.0 * f64::from(within) / f64::from(all.max(1));
            let error = |error: f64| 100.0 * error / own.sum.max(1.0);
            println!(
                "  {:9} types {:3.0} {:3.0}  all {:3.0} {:3.0}  errors {:6.2} {:6.2} {:6.2}",
                measure.name(),
                share(own.within[0]),
                share(own.within[1]),
                share(own.within_all[0]),
                share(own.within_all[1]),
                error(own.errors[0]),
                error(own.errors[1]),
                error(own.errors[2])
            );
        }
    }
}
