//! Rates from ledgers.
//!
//! Ledgers hold counts, so some things cannot be observed: devices that arrived and left between two ledgers (arrivals
//! are net of them), and why a device left Pending (installed, withdrawn, or set to Pending again, which moves it to
//! another cohort). Devices that housekeeping may have deleted are left out of the life table.

use std::collections::{BTreeMap, BTreeSet};

use super::arrivals::{self, ArrivalCount, ArrivalRate};
use super::finding::Finding;
use super::history::{LedgerGap, MONTH_DAYS, backdated};
use super::housekeeping::{Truncation, truncations};
use super::life_table::{IntervalCohorts, LifeTable, OLDEST, assumed, band_of, cohorts};
use super::rates::{RateBasis, Rates, TypeRates, UnobservedAges};
use super::scenario::{HazardSource, Scenario};
use super::stability::hazard_break;
use crate::error::Result;
use crate::estate::time::{day_of, day_start, whole_months};
use crate::ledger::Ledger;
use crate::scan::Parties;

/// Days without a device after which a party may have stopped: three months.
const SILENT_DAYS: i32 = 91;
/// Improbability, as a negative natural logarithm, from which a silence is no chance: one in ten thousand.
const SILENCE: f64 = 9.2;
/// Months of ledgers below which seasons and trends cannot be seen.
const SHORT_MONTHS: f64 = 5.5;
/// Changes of hazards that are looked for, one before the other.
const BREAKS: usize = 3;

/// Departures and arrivals of every type, by type code.
#[derive(Default)]
struct Observed {
    tables: BTreeMap<u8, LifeTable>,
    arrivals: BTreeMap<u8, Vec<ArrivalCount>>,
    backdated: BTreeMap<u8, Vec<(usize, f64)>>,
    /// Monthly change of the rows in other statuses, besides candidates that leave.
    others: BTreeMap<u8, f64>,
    findings: Vec<Finding>,
}

/// Estimates the rates of every type. The ledgers must be in order ([`in_order`](super::history::in_order)). Rates that
/// the scenario gives replace estimates.
///
/// # Errors
/// A history that the ledgers contradict, or a policy that needs counts which the ledgers do not have.
pub fn estimate(ledgers: &[Ledger], scenario: &Scenario) -> Result<Rates> {
    let ledgers = within_window(ledgers, scenario.window);
    let Some(last) = ledgers.last() else { return Ok(Rates::default()) };
    let (truncations, findings) = truncations(ledgers, &scenario.history)?;
    let mut observed = match ledgers {
        [ledger] => profile(ledger, truncations.first().unwrap_or(&Truncation::default())),
        ledgers => observe(ledgers, &truncations),
    };
    observed.findings.splice(0..0, findings);
    let months = LedgerGap::between(ledgers[0].as_of, last.as_of).width;
    if ledgers.len() > 1 && months < SHORT_MONTHS {
        observed.findings.push(Finding::Short { months });
    }
    let basis = if ledgers.len() > 1 { RateBasis::LifeTable } else { RateBasis::AgeProfile };
    let mut by_type = BTreeMap::new();
    for (device_type, name) in last.types.iter() {
        let code = device_type.code();
        by_type.insert(code, rates_of(&mut observed, scenario, (code, name), basis));
    }
    for (code, source) in &scenario.hazards {
        if let HazardSource::Like(other) = source {
            take_like(&mut by_type, &observed.tables, *code, *other);
        }
    }
    Ok(Rates { by_type, findings: observed.findings })
}

/// The ledgers of the last months.
fn within_window(ledgers: &[Ledger], months: Option<u32>) -> &[Ledger] {
    let (Some(months), Some(last)) = (months, ledgers.last()) else { return ledgers };
    let within = |ledger: &Ledger| LedgerGap::between(ledger.as_of, last.as_of).months <= f64::from(months) + 0.1;
    let first = ledgers.iter().position(within).unwrap_or_default();
    // Two ledgers are left, so that there is an interval.
    &ledgers[first.min(ledgers.len().saturating_sub(2))..]
}

/// The rates of a type, by its code and name.
fn rates_of(observed: &mut Observed, scenario: &Scenario, (code, name): (u8, &str), basis: RateBasis) -> TypeRates {
    let mut rates = TypeRates { hazard_basis: basis, arrival_basis: basis, ..TypeRates::none() };
    match (scenario.hazards.get(&code), observed.tables.get(&code)) {
        (Some(HazardSource::ByAge(hazards)), _) => {
            (rates.bands, rates.hazard_basis) = (assumed(hazards), RateBasis::Scenario);
        }
        (_, Some(table)) => {
            rates.bands = table.bands();
            rates.unobserved = Some(unobserved(table, &rates));
        }
        (_, None) => {}
    }
    if let Some(&mean) = scenario.arrivals.get(&code) {
        (rates.arrivals, rates.arrival_basis) = (ArrivalRate::assumed(mean), RateBasis::Scenario);
    } else if let Some(counts) = observed.arrivals.get(&code) {
        let (arrivals, findings) = arrivals::estimate(name, counts, scenario.growth.is_some());
        rates.arrivals = arrivals;
        observed.findings.extend(findings);
    }
    rates.backdated = observed.backdated.remove(&code).unwrap_or_default();
    rates.other = observed.others.get(&code).copied().unwrap_or_default();
    rates
}

/// The hazards beyond the observed ages: those of the last observed band go on as a power of the age.
fn unobserved(table: &LifeTable, rates: &TypeRates) -> UnobservedAges {
    let (slope, deviation) = table.slope();
    let last = rates.bands.last();
    let first = last.map_or(0, |band| band.from as usize);
    #[expect(clippy::cast_precision_loss, reason = "ages are small")]
    let (sum, exposure) = (first..=OLDEST)
        .map(|age| (age as f64 * table.exposure[age], table.exposure[age]))
        .fold((0.0, 0.0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
    UnobservedAges {
        from: table.observed_until(),
        anchor: if exposure > 0.0 { sum / exposure } else { 0.0 },
        hazard: last.map_or(0.0, |band| band.hazard),
        slope,
        deviation,
        like: None,
    }
}

/// Takes the hazards of ages that a type does not show from another type, scaled by the departures at the ages that
/// both show (indirect standardisation).
#[expect(clippy::cast_precision_loss, reason = "ages are few")]
fn take_like(by_type: &mut BTreeMap<u8, TypeRates>, tables: &BTreeMap<u8, LifeTable>, code: u8, other: u8) {
    let (Some(table), Some(other)) = (tables.get(&code), by_type.get(&other).cloned()) else { return };
    let Some(unobserved) = by_type.get_mut(&code).and_then(|rates| rates.unobserved.as_mut()) else { return };
    let shown = (unobserved.from as usize).min(other.observed_until()).min(OLDEST);
    let (events, expected) = (0..shown)
        .fold((0.0, 0.0), |sum, age| (sum.0 + table.events[age], sum.1 + table.exposure[age] * other.hazard(age)));
    let ratio = if expected > 0.0 { events / expected } else { 1.0 };
    unobserved.like = Some((0..=OLDEST).map(|age| (ratio * other.hazard(age)).min(0.95)).collect());
    // The ratio may change with age; its change among the observed ages is not known well.
    unobserved.deviation = (1.0 / f64::max(events, 1.0) + 0.02 * (OLDEST as f64).ln() / 5.0).sqrt();
}

/// Counts departures and arrivals between ledgers.
fn observe(ledgers: &[Ledger], truncations: &[Truncation]) -> Observed {
    let mut observed = Observed::default();
    let mut intervals: BTreeMap<u8, Vec<IntervalCohorts>> = BTreeMap::new();
    let (Some(first), Some(last)) = (ledgers.first(), ledgers.last()) else { return observed };
    let months = LedgerGap::between(first.as_of, last.as_of).months;
    for ([earlier, later], truncation) in ledgers.array_windows().zip(truncations) {
        let mut cohorts = cohorts(earlier, later, truncation);
        let (was, is) = (non_candidates(earlier), non_candidates(later));
        for (device_type, _) in last.types.iter() {
            let code = device_type.code();
            let of = |counts: &BTreeMap<u8, f64>| counts.get(&code).copied().unwrap_or_default();
            let own = cohorts.remove(&code).unwrap_or_default();
            *observed.others.entry(code).or_default() += (of(&is) - of(&was) - own.left()) / months;
            if !own.cohorts.is_empty() {
                intervals.entry(code).or_default().push(own);
            }
        }
    }
    for (code, intervals) in &intervals {
        let (table, findings) = since_last_break(last, *code, intervals);
        observed.tables.insert(*code, table);
        observed.findings.extend(findings);
    }
    add_backdated(ledgers, &mut observed);
    add_arrivals(ledgers, &mut observed);
    observed
}

/// The life table of the intervals after the last change of hazards.
fn since_last_break(last: &Ledger, code: u8, intervals: &[IntervalCohorts]) -> (LifeTable, Vec<Finding>) {
    let mut kept: Vec<&IntervalCohorts> = intervals.iter().collect();
    let mut findings = Vec::new();
    for _ in 0..BREAKS {
        let Some(change) = hazard_break(&kept) else { break };
        // The change may lie within the first interval after it.
        let first = if change.interval + 4 < kept.len() { change.interval + 1 } else { change.interval };
        kept.drain(..first);
        let day = kept.first().map_or(0, |interval| interval.day);
        findings = vec![Finding::Break {
            device_type: last.types.name(code).to_owned(),
            rate: change.rate,
            day,
            factor: change.factor,
            months: (f64::from(day_of(last.as_of) - day) / MONTH_DAYS).round() as u32,
        }];
    }
    (LifeTable::of(&kept), findings)
}

/// Devices that are not candidates, by type code.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn non_candidates(ledger: &Ledger) -> BTreeMap<u8, f64> {
    let mut all = BTreeMap::new();
    for (cell, rows) in ledger.counts.cells.iter().filter(|(cell, _)| !ledger.is_candidate(cell)) {
        *all.entry(cell.type_code).or_default() += *rows as f64;
    }
    all
}

/// Adds devices that appear with dates before the ledger that should have them. Those of most intervals are expected in
/// later months too.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn add_backdated(ledgers: &[Ledger], observed: &mut Observed) {
    let mut found: BTreeMap<u8, (BTreeMap<usize, f64>, BTreeSet<i32>)> = BTreeMap::new();
    for [earlier, later] in ledgers.array_windows() {
        for ((code, day), rows) in backdated(earlier, later) {
            let age = (whole_months(day_start(day), later.as_of) as usize).min(OLDEST);
            let own = found.entry(code).or_default();
            *own.0.entry(age).or_default() += rows as f64;
            own.1.insert(day_of(later.as_of));
        }
    }
    let (Some(first), Some(last)) = (ledgers.first(), ledgers.last()) else { return };
    let months = LedgerGap::between(first.as_of, last.as_of).width;
    for (code, (by_age, days)) in found {
        let recurs = days.len() * 2 > ledgers.len() && days.len() > 1;
        observed.findings.push(Finding::Backdated {
            device_type: last.types.name(code).to_owned(),
            devices: by_age.values().sum::<f64>().round() as u64,
            day: days.last().copied().unwrap_or_default(),
            recurs,
        });
        if recurs {
            observed.backdated.insert(code, by_age.into_iter().map(|(age, rows)| (age, rows / months)).collect());
        }
    }
}

/// Arrivals between two ledgers by type code, day and party.
fn arrived<'l>(earlier: &Ledger, later: &'l Ledger) -> impl Iterator<Item = (u8, i32, &'l str, u64)> {
    let (from, until) = (day_of(earlier.as_of), day_of(later.as_of));
    later.candidates().filter_map(move |(cell, rows)| {
        let day = cell.day.filter(|day| *day > from && *day <= until)?;
        Some((cell.type_code, day, if cell.party == Parties::NONE { "" } else { later.party_name(cell.party) }, rows))
    })
}

/// The parties that have notified no device for three months, although they notified many before.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn stopped_parties(ledgers: &[Ledger]) -> Vec<Finding> {
    let mut by_party: BTreeMap<&str, (u64, i32)> = BTreeMap::new();
    for [earlier, later] in ledgers.array_windows() {
        for (_, day, party, rows) in arrived(earlier, later) {
            let own = by_party.entry(party).or_insert((0, i32::MIN));
            *own = (own.0 + rows, own.1.max(day));
        }
    }
    let (Some(first), Some(last)) = (ledgers.first(), ledgers.last()) else { return Vec::new() };
    let (from, today) = (day_of(first.as_of), day_of(last.as_of));
    let stopped = by_party.into_iter().filter_map(|(party, (devices, day))| {
        let usual = devices as f64 / f64::from((day - from).max(1)) * MONTH_DAYS;
        // Had it not stopped, each of its devices would have come on any day; all of them came before this one.
        let early = f64::from(day - from) / f64::from(today - from);
        let improbable = -early.ln() * devices as f64;
        let stopped = !party.is_empty() && today - day >= SILENT_DAYS && improbable > SILENCE;
        stopped.then(|| Finding::Stopped { party: party.to_owned(), day, usual })
    });
    stopped.collect()
}

/// Adds the arrivals of each month between ledgers: young devices, divided by their survival since. Parties that have
/// stopped are left out.
fn add_arrivals(ledgers: &[Ledger], observed: &mut Observed) {
    let stopped = stopped_parties(ledgers);
    let names: BTreeSet<&str> = stopped
        .iter()
        .filter_map(|finding| match finding {
            Finding::Stopped { party, .. } => Some(party.as_str()),
            _ => None,
        })
        .collect();
    let Some(today) = ledgers.last().map(|last| day_of(last.as_of)) else { return };
    for [earlier, later] in ledgers.array_windows() {
        let mut by_day: BTreeMap<(u8, i32), u64> = BTreeMap::new();
        for (code, day, _, rows) in arrived(earlier, later).filter(|(_, _, party, _)| !names.contains(party)) {
            *by_day.entry((code, day)).or_default() += rows;
        }
        let months = months_between(earlier, later);
        for (device_type, _) in later.types.iter() {
            let code = device_type.code();
            let hazards = observed.tables.get(&code).map(LifeTable::bands).unwrap_or_default();
            let counts = months.iter().map(|month| {
                let rows: u64 = by_day.range((code, month.from + 1)..=(code, month.until)).map(|(_, rows)| rows).sum();
                month.count(rows, &hazards, today)
            });
            observed.arrivals.entry(code).or_default().extend(counts);
        }
    }
    observed.findings.extend(stopped);
    for counts in observed.arrivals.values_mut() {
        counts.sort_by(|one, other| one.years.total_cmp(&other.years));
    }
}

/// The days between two ledgers on which devices of one age in months have arrived: after `from`, up to `until`.
struct ArrivalMonth {
    from: i32,
    until: i32,
    /// Mean age of these devices at the later ledger, in months.
    age: f64,
}

fn months_between(earlier: &Ledger, later: &Ledger) -> Vec<ArrivalMonth> {
    let (first, last) = (day_of(earlier.as_of), day_of(later.as_of));
    let mut months: Vec<ArrivalMonth> = Vec::new();
    let mut until = last;
    while until > first {
        let age = whole_months(day_start(until), later.as_of);
        let mut from = until;
        while from > first && whole_months(day_start(from), later.as_of) == age {
            from -= 1;
        }
        let middle = f64::from(last - until) + f64::from(until - from) / 2.0;
        let whole = whole_months(day_start(from), later.as_of) > age;
        let age = if whole { f64::from(age) + 0.5 } else { middle / MONTH_DAYS };
        months.push(ArrivalMonth { from, until, age });
        until = from;
    }
    months
}

impl ArrivalMonth {
    #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
    fn count(&self, rows: u64, hazards: &[super::life_table::AgeBand], today: i32) -> ArrivalCount {
        // Arrivals are net of the devices that left in the month of their arrival: at an age of half a month on average.
        let mut survival = 1.0;
        let mut months = self.age - 0.5;
        let mut age = 0;
        while months.abs() > 1e-9 {
            let step = months.min(1.0);
            survival *= (1.0 - band_of(hazards, age).map_or(0.0, |band| band.hazard).min(0.95)).powf(step);
            (months, age) = (months - step, age + 1);
            if months <= 0.0 {
                break;
            }
        }
        let width = f64::from(self.until - self.from) / MONTH_DAYS;
        let middle = f64::midpoint(f64::from(self.from), f64::from(self.until)) - f64::from(today);
        ArrivalCount { years: middle / 365.25, day: self.until, width, devices: rows as f64 / survival }
    }
}

/// The life table of a stationary estate, from the ages of one ledger: the devices of one age are the survivors of the
/// age before. Counts are scaled to months of equal length. Arrivals are those of the last month.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn profile(ledger: &Ledger, truncation: &Truncation) -> Observed {
    let mut observed = Observed::default();
    let today = day_of(ledger.as_of);
    let (mut days, mut oldest_day) = (vec![0u32; OLDEST + 2], vec![today; OLDEST + 2]);
    let mut back = 0;
    loop {
        let age = whole_months(day_start(today - back), ledger.as_of) as usize;
        if age > OLDEST + 1 {
            break;
        }
        days[age] += 1;
        oldest_day[age] = today - back;
        back += 1;
    }
    for (code, ages) in ledger.ages().by_type {
        let limit = (0..=OLDEST).find(|age| truncation.deletes(code, oldest_day[*age])).unwrap_or(OLDEST);
        let even =
            |age: usize| ages.get(age).map_or(0.0, |rows| *rows as f64 * MONTH_DAYS / f64::from(days[age].max(1)));
        let table = observed.tables.entry(code).or_default();
        for age in 0..ages.len().min(OLDEST).min(limit.saturating_sub(1)) {
            table.exposure[age] += even(age);
            table.events[age] += even(age) - even(age + 1);
            // Both counts vary, so the variance of their difference is larger than that of counted events.
            table.variance[age] += even(age) + even(age + 1);
        }
        let rows = ages.first().copied().unwrap_or_default() as f64;
        let width = f64::from(days[0]) / MONTH_DAYS;
        let month = ArrivalCount { years: -width / 24.0, day: today, width, devices: rows };
        observed.arrivals.insert(code, vec![month]);
    }
    observed
}
