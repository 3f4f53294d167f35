//! A forecast from the real history: dated housekeeping, ages never observed, ledgers that are not monthly, hubs as
//! boxes, and sums.

#![expect(clippy::cast_precision_loss, reason = "shares of counts")]

use std::collections::BTreeMap;

use crate::common::{at, unguarded};
use crate::worlds::{self, Truth, WORLDS, World};
use smi_sweep::estate::time::{add_months, day_of, day_start};
use smi_sweep::estate::{DeviceType, SmiStatus, TypeNames};
use smi_sweep::forecast::scenario::{HazardSource, Phase, Scenario};
use smi_sweep::forecast::{
    Finding, Forecast, ForecastMeasure, HousekeepingPeriod, Quantiles, estimate, forecast, history,
};
use smi_sweep::ledger::count::{CandidateCounts, RowClass};
use smi_sweep::ledger::{Ledger, StoredSize};
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::Parties;

fn world(name: &str) -> World {
    WORLDS.into_iter().find(|world| world.name == name).unwrap()
}

fn run(ledgers: &[Ledger], scenario: &Scenario) -> Forecast {
    let rates = estimate(ledgers, scenario).unwrap();
    forecast(ledgers.last().unwrap(), &rates, scenario, &Pool::new(None), &NoProgress).unwrap()
}

fn figure(forecast: &Forecast, name: &str, month: usize, measure: ForecastMeasure) -> Quantiles {
    let of_type = forecast.policies[0].types.iter().find(|own| own.name == name).unwrap();
    of_type.months[month][measure as usize]
}

fn period(from: i32, months: u32) -> HousekeepingPeriod {
    let mut policy = unguarded("pre-change");
    policy.thresholds.default = months;
    HousekeepingPeriod { from, policy: Some(policy) }
}

/// A ledger of a day from counts of a type by day, with commissioned devices beside them.
fn ledger(day: i32, pending: &[(DeviceType, i32, u64)]) -> Ledger {
    let class = |own: DeviceType, status: SmiStatus, day: Option<i32>| RowClass {
        type_code: own.code(),
        status_code: status.code(),
        day,
        party: if day.is_some() { 0 } else { Parties::NONE },
        region: Parties::NONE,
        role: None,
        flaw: None,
    };
    let mut cells: BTreeMap<RowClass, u64> = BTreeMap::new();
    for &(own, since, rows) in pending.iter().filter(|(_, since, _)| *since <= day) {
        *cells.entry(class(own, SmiStatus::Pending, Some(since))).or_default() += rows;
    }
    cells.insert(class(DeviceType::ESME, SmiStatus::Commissioned, None), 1000);
    let rows = cells.values().sum();
    let (parties, _) = Parties::sorted(vec!["(none)".into()]);
    Ledger {
        name: format!("ledger of day {day}"),
        estate: Some("history".into()),
        synthetic: true,
        as_of: day_start(day),
        types: TypeNames::default(),
        candidates: [SmiStatus::Pending].into_iter().collect(),
        counts: CandidateCounts {
            cells: cells.into_iter().collect(),
            parties,
            whole_days: true,
            ..CandidateCounts::default()
        },
        size: StoredSize { rows, bytes: rows * 50, by_column: BTreeMap::new() },
        sources: Vec::new(),
    }
}

/// The real history: 12 months, then 36. With both periods named the hubs retained after three years are within the
/// band in most runs, and every run says that it rests on ages never observed. One policy for all the time is refused:
/// the ledgers contradict it.
#[test]
fn twelve_months_then_thirty_six_is_a_history_of_two_periods() {
    let mut within = 0;
    for seed in 0..6 {
        let truth = Truth::new(world("12 then 36"), seed);
        let ledgers = truth.ledgers();
        let scenario = worlds::scenario(&truth, 100);
        let made = run(&ledgers, &scenario);
        let actual = truth.figure("CHF", ForecastMeasure::Retained, 36);
        within += usize::from(figure(&made, "CHF", 36, ForecastMeasure::Retained).contains(actual));
        let share = made.findings.iter().find_map(|finding| match finding {
            Finding::Unobserved { share, .. } => Some(*share),
            _ => None,
        });
        assert!(share.is_some_and(|share| share > 0.2), "{:?}", made.findings);
        for months in [12, 36] {
            let one = Scenario { history: vec![period(i32::MIN, months)], ..scenario.clone() };
            let refused = estimate(&ledgers, &one).unwrap_err().to_string();
            assert!(refused.contains("[history]"), "{refused}");
        }
        // Without any history the first period is read from the ledgers, and said.
        let none = Scenario { history: Vec::new(), ..scenario.clone() };
        let derived = estimate(&ledgers, &none).unwrap();
        let said = derived.findings.iter().any(|finding| matches!(finding, Finding::Derived { months: 12, .. }));
        assert!(said, "{:?}", derived.findings);
    }
    assert!(within >= 4, "{within} of 6 are within the band");
}

/// A history of housekeeping that is not named never gives a silent zero: hubs are retained, meters are alerted, and the
/// answer says where the threshold comes from.
#[test]
fn a_missing_history_is_read_from_the_ledgers() {
    let truth = Truth::new(world("12 months"), 3);
    let ledgers = truth.ledgers();
    let scenario = Scenario { history: Vec::new(), ..worlds::scenario(&truth, 100) };
    let made = run(&ledgers, &scenario);
    let named = run(&ledgers, &worlds::scenario(&truth, 100));
    let retained = figure(&made, "all", 24, ForecastMeasure::Retained);
    let actual = truth.figure("all", ForecastMeasure::Retained, 24);
    assert!(retained.contains(actual), "{retained:?} instead of {actual}");
    assert_eq!(retained, figure(&named, "all", 24, ForecastMeasure::Retained));
    let derived = |own: &Forecast| own.findings.iter().filter(|own| matches!(own, Finding::Derived { .. })).count();
    assert_eq!((derived(&made), derived(&named)), (1, 0));
}

/// A policy that was long in force has deleted what it deletes; a ledger that still has it contradicts the history.
#[test]
fn a_history_that_deletes_what_is_still_there_is_refused() {
    let truth = Truth::new(world("stationary"), 1);
    let scenario = Scenario { history: vec![period(i32::MIN, 12)], ..worlds::scenario(&truth, 20) };
    let refused = estimate(&truth.ledgers(), &scenario).unwrap_err().to_string();
    assert!(refused.contains("[history]") && refused.contains("12 months"), "{refused}");
}

/// Hazards of ages that no ledger shows are taken from another type where the scenario says so.
#[test]
fn hazards_never_observed_can_be_those_of_another_type() {
    let truth = Truth::new(World { name: "12 months", housekeeping: &[], ..world("stationary") }, 5);
    let policy = {
        let mut policy = unguarded("secmp0060");
        policy.exclude = [DeviceType::ESME].into_iter().collect();
        HousekeepingPeriod { from: i32::MIN, policy: Some(policy) }
    };
    // Housekeeping deleted all but ESME at 12 months.
    let rules = |ledger: &Ledger| policy.policy.as_ref().unwrap().bind(ledger.as_of);
    let mut ledgers = truth.ledgers();
    for ledger in &mut ledgers {
        let rules = rules(ledger);
        let deleted = |cell: &RowClass| {
            cell.day.is_some_and(|day| rules.is_due(cell.status_code, cell.type_code, Some(day_start(day))))
        };
        ledger.counts.cells.retain(|(cell, _)| !deleted(cell));
    }
    let own = Scenario { history: vec![policy], ..worlds::scenario(&truth, 100) };
    let chf = DeviceType::CHF.code();
    let like = BTreeMap::from([(chf, HazardSource::Like(DeviceType::ESME.code()))]);
    let taken = estimate(&ledgers, &Scenario { hazards: like, ..own.clone() }).unwrap();
    let extrapolated = estimate(&ledgers, &own).unwrap();
    // A hub leaves with three quarters of the hazard of a meter: 4.5 % a month in its second year.
    let error = |own: &smi_sweep::forecast::rates::Rates| (own.by_type[&chf].hazard(18) / 0.045 - 1.0).abs();
    assert!(error(&taken) < 0.1, "{}", taken.by_type[&chf].hazard(18));
    assert!(error(&taken) < error(&extrapolated));
}

/// Ten devices a day are 304.4 in an average month, whatever the days between the ledgers.
#[test]
fn arrivals_are_the_same_at_every_gap() {
    let today = day_of(at("2026-11-01"));
    let devices: Vec<(DeviceType, i32, u64)> = (0..600).map(|back| (DeviceType::ESME, today - back, 10)).collect();
    for gap in 14..=90 {
        for count in [2, 5] {
            let ledgers = (0..count).map(|back| ledger(today - gap * back, &devices)).collect();
            let ledgers = history::in_order(ledgers).unwrap();
            let rates = estimate(&ledgers, &Scenario::default()).unwrap();
            let own = &rates.by_type[&DeviceType::ESME.code()];
            assert!((own.arrivals.mean - 304.375).abs() < 0.1, "{gap} days: {:?}", own.arrivals);
            let months = f64::from(gap * (count - 1)) / 30.4375;
            assert!((own.arrivals.months - months).abs() < 1e-6, "{gap} days: {:?}", own.arrivals);
            assert!(own.hazard(3) < 1e-9);
        }
    }
}

/// Hazards are the same from ledgers of 14 and of 45 days.
#[test]
fn hazards_are_the_same_at_every_gap() {
    for gap in [14, 45] {
        let gaps: &'static [i32] = Vec::leak(vec![gap]);
        // Ages of a year and more have few departures, so the mean of several ages and seeds is compared.
        let mut means = [0.0; 2];
        for seed in 0..3 {
            let truth = Truth::new(World { gaps: Some(gaps), ..world("stationary") }, seed);
            let rates = estimate(&truth.ledgers(), &Scenario::default()).unwrap();
            let own = &rates.by_type[&DeviceType::CHF.code()];
            for (mean, ages) in means.iter_mut().zip([6..11, 13..23]) {
                *mean += ages.clone().map(|age| own.hazard(age)).sum::<f64>() / ages.len() as f64 / 3.0;
            }
        }
        for (mean, hazard) in means.into_iter().zip([0.09, 0.045]) {
            assert!((mean / hazard - 1.0).abs() < 0.08, "{gap} days: {means:?}");
        }
    }
}

/// A hub is a CHF and a GPF. Both are drawn together, so that the boxes are as many as each of them, and the band of all
/// devices is as wide as that of boxes twice over.
#[test]
fn the_two_devices_of_a_hub_are_one_box() {
    let truth = Truth::new(world("stationary"), 2);
    let made = run(&truth.ledgers(), &worlds::scenario(&truth, 200));
    assert!(made.hubs_paired);
    let boxes = made.policies[0].boxes.as_ref().unwrap();
    for month in [0, 12, 36] {
        for measure in [ForecastMeasure::Pending, ForecastMeasure::Retained] {
            let own = boxes.months[month][measure as usize];
            assert_eq!(own, figure(&made, "CHF", month, measure));
            assert_eq!(own, figure(&made, "GPF", month, measure));
        }
        let (own, all) = (
            boxes.months[month][ForecastMeasure::Retained as usize],
            figure(&made, "all", month, ForecastMeasure::Retained),
        );
        assert_eq!((2 * own.low, 2 * own.high), (all.low, all.high));
    }
    // Devices that have nothing to do with each other are drawn alone.
    let mut apart = truth.ledgers();
    let other = Truth::new(world("stationary"), 3).ledgers();
    for (ledger, other) in apart.iter_mut().zip(other) {
        let gpf = |(cell, _): &&(RowClass, u64)| cell.type_code == DeviceType::GPF.code();
        ledger.counts.cells.retain(|own| !gpf(&own));
        ledger.counts.cells.extend(other.counts.cells.iter().filter(gpf).copied());
        ledger.counts.cells.sort_unstable();
    }
    assert!(!run(&apart, &worlds::scenario(&truth, 20)).hubs_paired);
}

/// Half a device a month for 120 months: those of the first 108 months reach twelve months, 54 of them. The median of
/// each month is zero, and the sum is not.
#[test]
fn a_total_is_no_sum_of_medians() {
    let today = day_of(at("2026-11-01"));
    let scenario = Scenario {
        months: 120,
        policies: vec![unguarded("secmp0060")],
        simulations: 400,
        arrivals: BTreeMap::from([(DeviceType::PPMID.code(), 0.5)]),
        hazards: BTreeMap::from([(DeviceType::PPMID.code(), HazardSource::ByAge(vec![0.0]))]),
        ..Scenario::default()
    };
    let made = run(&[ledger(today, &[(DeviceType::ESME, today - 10, 5)])], &scenario);
    let own = made.policies[0].types.iter().find(|own| own.name == "PPMID").unwrap();
    let total = own.total(ForecastMeasure::Alerts);
    assert!((total.median - 54).abs() <= 2, "{total:?}");
    assert!(total.low < 50 && total.high > 58, "{total:?}");
    assert_eq!(own.medians(ForecastMeasure::Alerts).sum::<i64>(), 0);
}

/// A party that is called `(none)` is a party, and has a band.
#[test]
fn a_party_may_be_called_none() {
    let today = day_of(at("2026-11-01"));
    let devices: Vec<(DeviceType, i32, u64)> = (0..300).map(|back| (DeviceType::ESME, today - back, 3)).collect();
    let scenario = Scenario {
        months: 12,
        policies: vec![unguarded("secmp0060")],
        simulations: 50,
        hazards: BTreeMap::from([(DeviceType::ESME.code(), HazardSource::ByAge(vec![0.02]))]),
        ..Scenario::default()
    };
    let made = run(&[ledger(today, &devices)], &scenario);
    let party = &made.policies[0].parties[0];
    assert_eq!(party.party.as_deref(), Some("(none)"));
    assert!(party.total.low < party.total.high);
    assert!((party.total.low as f64) < party.expected() && party.expected() < party.total.high as f64);
}

/// Devices that appear with old dates are arrivals of that age: no departure is lost, and the answer says so.
#[test]
fn devices_with_old_dates_are_arrivals_of_their_age() {
    let truth = Truth::new(world("stationary"), 4);
    let plain = truth.ledgers();
    let mut more = plain.clone();
    let imported = add_months(plain[12].as_of.div_euclid(86_400_000_000) as i32 - 800, 0).unwrap();
    for ledger in &mut more[12..] {
        let cell = |party: u32| RowClass {
            type_code: DeviceType::ESME.code(),
            status_code: SmiStatus::Pending.code(),
            day: Some(imported),
            party,
            region: Parties::NONE,
            role: None,
            flaw: None,
        };
        ledger.counts.cells.push((cell(1), 400));
        ledger.counts.cells.sort_unstable();
        ledger.counts.cells.dedup_by(|next, first| {
            next.0 == first.0 && {
                first.1 += next.1;
                true
            }
        });
    }
    let more = history::in_order(more).unwrap();
    let scenario = Scenario::default();
    let (own, other) = (estimate(&plain, &scenario).unwrap(), estimate(&more, &scenario).unwrap());
    let said = other.findings.iter().find_map(|finding| match finding {
        Finding::Backdated { devices, recurs, .. } => Some((*devices, *recurs)),
        _ => None,
    });
    assert!(matches!(said, Some((390..=400, false))), "{:?}", other.findings);
    let code = DeviceType::ESME.code();
    let (own, other) = (&own.by_type[&code], &other.by_type[&code]);
    assert!((own.hazard(6) / other.hazard(6) - 1.0).abs() < 0.01);
    assert!((own.arrivals.mean / other.arrivals.mean - 1.0).abs() < 0.01);
}

/// A policy with phases deletes what each threshold reaches, and nothing twice.
#[test]
fn phases_lower_a_threshold_step_by_step() {
    let today = day_of(at("2026-11-01"));
    // Ten devices of each age from 0 to 35 months, none leaves, none arrives.
    let devices: Vec<(DeviceType, i32, u64)> =
        (0..36).map(|age| (DeviceType::ESME, day_of(at("2023-11-15")) + (35 - age) * 30, 10)).collect();
    let scenario = Scenario {
        months: 6,
        policies: vec![unguarded("scr137")],
        simulations: 10,
        hazards: BTreeMap::from([(DeviceType::ESME.code(), HazardSource::ByAge(vec![0.0]))]),
        arrivals: BTreeMap::from([(DeviceType::ESME.code(), 0.0)]),
        phases: vec![Phase { policy: 0, from: 1, months: 30 }, Phase { policy: 0, from: 3, months: 24 }],
        ..Scenario::default()
    };
    let own = ledger(today, &devices);
    let ages = own.ages().by_type[&DeviceType::ESME.code()].clone();
    let old = |from: usize, until: usize| ages[from.min(ages.len())..until.min(ages.len())].iter().sum::<u64>() as i64;
    let made = run(&[own], &scenario);
    let deleted: Vec<i64> =
        (0..=6).map(|month| figure(&made, "ESME", month, ForecastMeasure::Deleted).median).collect();
    // Month 1: ages that are 30 or more then; month 2: those that become 30; month 3: those that are 24 or more.
    let expected = [old(36, 99), old(29, 36), old(28, 29), old(21, 28), old(20, 21), old(19, 20), old(18, 19)];
    assert_eq!(deleted, expected);
}

/// A threshold goes from 36 months to 12 in steps: no month has more alerts than the limit, the first day is that of a
/// tally, and each step is a policy file. A limit that is too low is refused with the least that works.
#[test]
fn a_threshold_is_lowered_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let truth = Truth::new(World { housekeeping: &[(240, 36)], ..world("stationary") }, 6);
    let ledgers: Vec<String> = truth
        .ledgers()
        .iter()
        .enumerate()
        .skip(12)
        .map(|(index, ledger)| {
            let path = folder.path().join(format!("{index}.ledger"));
            ledger.write(&path).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let ledgers: Vec<&str> = ledgers.iter().map(String::as_str).collect();
    let plan = folder.path().join("plan.toml");
    std::fs::write(&plan, "name = \"p\"\nmonths = 36\npolicies = [\"secmp0060\"]\nsimulations = 20\n").unwrap();
    let phase = |limit: &str, out: &str| {
        let out = folder.path().join(out);
        let tail = [
            "--from",
            "36",
            "--to",
            "12",
            "--scenario",
            plan.to_str().unwrap(),
            "--max-alerts-per-month",
            limit,
            "--json",
            "--out",
            out.to_str().unwrap(),
        ];
        crate::common::run(&[&["phase"], &ledgers[..], &tail].concat())
    };
    let (code, document, err) = phase("60", "phases");
    assert_eq!(code, 0, "{err}");
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert!(document["alerts_at_once"].as_f64().unwrap() > 200.0, "{document}");
    assert!(document["peak_alerts"].as_f64().unwrap() <= 60.0);
    let months = document["months"].as_array().unwrap();
    assert_eq!(months[months.len() - 1]["threshold"], 12);
    let policies = document["policies"].as_array().unwrap();
    let mut files: Vec<_> = std::fs::read_dir(folder.path().join("phases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|own| own == "toml"))
        .collect();
    files.sort();
    assert_eq!(files.len(), policies.len());
    let first = smi_sweep::policy::Policy::load(files[0].to_str().unwrap()).unwrap();
    assert_eq!(u64::from(first.thresholds.default), policies[0]["months"].as_u64().unwrap());
    let tally = truth.ledgers().last().unwrap().tally(&first).unwrap();
    assert_eq!(tally.by_type.total().alerts, months[0]["alerts"].as_f64().unwrap().round() as u64);

    let (code, _, err) = phase("5", "none");
    assert_eq!(code, 2, "{err}");
    let least = err.split("--max-alerts-per-month ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(phase(&least, "least").0, 0);
    let lower = (least.parse::<u32>().unwrap() - 1).to_string();
    assert_eq!(phase(&lower, "lower").0, 2);
}
