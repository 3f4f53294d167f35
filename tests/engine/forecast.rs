//! The forecast, compared with synthetic histories whose true rates are known.

#![expect(clippy::cast_precision_loss, reason = "shares of counts")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::{at, run, unguarded};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Binomial, Distribution, Poisson};
use smi_sweep::estate::time::{add_months, day_of, day_start};
use smi_sweep::estate::{DeviceType, SmiStatus, TypeNames};
use smi_sweep::forecast::backtest::backtest;
use smi_sweep::forecast::rates::RateBasis;
use smi_sweep::forecast::scenario::Scenario;
use smi_sweep::forecast::{
    Finding, ForecastMeasure, HousekeepingPeriod, PartyAlerts, TypeForecast, estimate, forecast, history,
};
use smi_sweep::ledger::count::{CandidateCounts, RowClass};
use smi_sweep::ledger::{Ledger, StoredSize};
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::Parties;
use smi_sweep::synth;

const START: &str = "2024-01-01";

/// A type of a simulated estate: its hazard by age, and its mean arrivals by month.
#[derive(Clone, Copy)]
struct Kind {
    code: DeviceType,
    hazard: fn(u32) -> f64,
    arrivals: f64,
}

const HUBS: Kind = Kind { code: DeviceType::CHF, hazard: |age| synth::hazard(DeviceType::CHF, age), arrivals: 3000.0 };
const METERS: Kind =
    Kind { code: DeviceType::ESME, hazard: |age| synth::hazard(DeviceType::ESME, age), arrivals: 2000.0 };

/// Monthly ledgers of an estate that has existed for five years before the first of them. Each cohort has one day.
fn simulated_ledgers(kinds: &[Kind], months: u32, seed: u64) -> Vec<Ledger> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start = day_of(at(START));
    let early = 60;
    let first = -early;
    let mut cohorts: BTreeMap<(u8, i32), u64> = BTreeMap::new();
    let mut others: BTreeMap<u8, u64> = kinds.iter().map(|kind| (kind.code.code(), 100_000)).collect();
    let mut ledgers = Vec::new();
    for month in first..=months as i32 {
        for kind in kinds {
            let code = kind.code.code();
            for ((_, born), rows) in cohorts.range_mut((code, i32::MIN)..=(code, i32::MAX)) {
                let age = (month - 1 - *born) as u32;
                let left = Binomial::new(*rows, (kind.hazard)(age)).unwrap().sample(&mut rng);
                *rows -= left;
                *others.get_mut(&code).unwrap() += left;
            }
            // Arrivals are in proportion to the days of the month.
            let mean = kind.arrivals * f64::from(day_of_month(month) - day_of_month(month - 1)) / 30.4375;
            cohorts.insert((code, month), Poisson::new(mean).unwrap().sample(&mut rng) as u64);
        }
        if month < 0 {
            continue;
        }
        assert_eq!(day_of_month(0), start);
        let candidate = |(&(type_code, born), &rows): (&(u8, i32), &u64)| {
            (rows > 0).then(|| (cell(type_code, SmiStatus::Pending, Some(day_of_month(born))), rows))
        };
        let mut cells: Vec<(RowClass, u64)> = cohorts.iter().filter_map(candidate).collect();
        cells.extend(others.iter().map(|(&code, &rows)| (cell(code, SmiStatus::Commissioned, None), rows)));
        cells.sort_unstable();
        ledgers.push(ledger(day_start(day_of_month(month)), cells));
    }
    ledgers
}

/// The day of a ledger. Months are counted from 2004, so that months before the first ledger have a day too.
fn day_of_month(month: i32) -> i32 {
    add_months(day_of(at("2004-01-01")), (month + 240) as u32).unwrap()
}

fn cell(type_code: u8, status: SmiStatus, day: Option<i32>) -> RowClass {
    RowClass {
        type_code,
        status_code: status.code(),
        day,
        party: if day.is_some() { 0 } else { Parties::NONE },
        region: Parties::NONE,
        role: None,
        flaw: None,
    }
}

fn ledger(as_of: i64, cells: Vec<(RowClass, u64)>) -> Ledger {
    let rows = cells.iter().map(|(_, rows)| rows).sum();
    let (parties, _) = Parties::sorted(vec!["A Party".into()]);
    Ledger {
        name: format!("ledger of day {}", day_of(as_of)),
        estate: None,
        synthetic: true,
        as_of,
        types: TypeNames::default(),
        candidates: [SmiStatus::Pending].into_iter().collect(),
        counts: CandidateCounts { cells, parties, whole_days: true, ..CandidateCounts::default() },
        size: StoredSize { rows, bytes: rows * 50, by_column: BTreeMap::new() },
        sources: Vec::new(),
    }
}

fn scenario(months: u32, simulations: u32) -> Scenario {
    let policies = ["secmp0060", "scr137"].map(unguarded).to_vec();
    Scenario { months, policies, simulations, ..Scenario::default() }
}

fn series<'s>(forecast: &'s smi_sweep::forecast::Forecast, policy: usize, name: &str) -> &'s TypeForecast {
    forecast.policies[policy].types.iter().find(|of_type| of_type.name == name).unwrap()
}

/// Departures by age, counted from the ledgers themselves.
fn events_by_age(ledgers: &[Ledger], code: DeviceType) -> BTreeMap<u32, u64> {
    let mut events = BTreeMap::new();
    for pair in ledgers.windows(2) {
        let of = |ledger: &Ledger| ledger.ages().by_type[&code.code()].clone();
        let (was, is) = (of(&pair[0]), of(&pair[1]));
        for (age, rows) in was.iter().enumerate() {
            *events.entry(age as u32).or_default() += rows - is.get(age + 1).unwrap_or(&0);
        }
    }
    events
}

#[test]
fn hazards_and_arrivals_are_recovered() {
    let ledgers = history::in_order(simulated_ledgers(&[HUBS, METERS], 36, 7)).unwrap();
    let rates = estimate(&ledgers, &Scenario::default()).unwrap();
    let mut checked = 0;
    for kind in [HUBS, METERS] {
        let own = &rates.by_type[&kind.code.code()];
        assert_eq!(own.hazard_basis, RateBasis::LifeTable);
        for (age, events) in events_by_age(&ledgers, kind.code).into_iter().filter(|(_, events)| *events > 1000) {
            let (found, truth) = (own.hazard(age as usize), (kind.hazard)(age));
            let error = (found / truth - 1.0).abs();
            assert!(error < 0.05, "age {age}, {events} events: {found} instead of {truth}, {:.1} %", error * 100.0);
            checked += 1;
        }
        assert!((own.arrivals.mean / kind.arrivals - 1.0).abs() < 0.02, "{:?}", own.arrivals);
        assert!((own.arrivals.dispersion - 1.0).abs() < 1e-9, "{:?}", own.arrivals);
        assert!(own.other.abs() < 1e-6, "departures are counted among the others: {}", own.other);
    }
    assert!(checked > 20, "{checked} ages have enough events");
}

#[test]
fn hubs_retained_in_a_year_are_forecast_within_five_per_cent() {
    for seed in 1..=5 {
        let ledgers = history::in_order(simulated_ledgers(&[HUBS, METERS], 36, seed)).unwrap();
        let (known, held_out) = ledgers.split_at(25);
        let scenario = scenario(12, 200);
        let rates = estimate(known, &scenario).unwrap();
        let forecast = forecast(known.last().unwrap(), &rates, &scenario, &Pool::new(None), &NoProgress).unwrap();
        let retained = series(&forecast, 0, "CHF").months[12][ForecastMeasure::Retained as usize];
        let truth = held_out.last().unwrap().tally(&scenario.policies[0]).unwrap();
        let excluded = truth.by_type.get(DeviceType::CHF.code()).excluded;
        let young: u64 = held_out.last().unwrap().ages().by_type[&DeviceType::CHF.code()].iter().take(12).sum();
        let error = retained.median as f64 / (excluded - young) as f64 - 1.0;
        assert!(
            error.abs() < 0.05,
            "seed {seed}: {retained:?} instead of {}: {:.1} %",
            excluded - young,
            error * 100.0
        );
    }
}

/// A hundred estates with their last months held out: the 80 % band contains 70 to 90 % of the actual counts.
#[test]
fn the_band_has_its_coverage_over_a_hundred_seeds() {
    let (mut points, mut within) = (0usize, 0.0);
    for seed in 0..100 {
        let ledgers = history::in_order(simulated_ledgers(&[HUBS, METERS], 18, 1000 + seed)).unwrap();
        let scenario = Scenario { simulations: 100, seed, ..Scenario::default() };
        let tested = backtest(&ledgers, &scenario, Some(6), &Pool::new(None), &NoProgress).unwrap();
        assert_eq!(tested.horizons().len(), 6);
        within += tested.coverage() * tested.points.len() as f64;
        points += tested.points.len();
    }
    let share = within / points as f64;
    assert!((0.70..=0.90).contains(&share), "{:.1} % of {points} figures are within the band", share * 100.0);
    println!("{:.1} % of {points} figures are within the band", share * 100.0);
}

/// Month 0 has the figures of a sweep of that day. From then on rows are only gained by arrivals and lost by deletions.
#[test]
fn arrivals_and_deletions_account_for_all_rows() {
    let ledgers = history::in_order(simulated_ledgers(&[HUBS, METERS], 6, 3)).unwrap();
    let last = ledgers.last().unwrap();
    let mut scenario = scenario(24, 50);
    scenario.policies.push(unguarded("pre-change"));
    let rates = estimate(&ledgers, &scenario).unwrap();
    let forecast = forecast(last, &rates, &scenario, &Pool::new(Some(2)), &NoProgress).unwrap();
    for (index, policy) in scenario.policies.iter().enumerate() {
        let tallied = last.tally(policy).unwrap();
        for (name, code) in [("CHF", DeviceType::CHF), ("ESME", DeviceType::ESME)] {
            let tally = tallied.by_type.get(code.code());
            let first = series(&forecast, index, name).months[0];
            let exactly = |measure: ForecastMeasure| {
                let spread = first[measure as usize];
                assert_eq!((spread.low, spread.high), (spread.median, spread.median));
                spread.median as u64
            };
            assert_eq!(exactly(ForecastMeasure::Deleted), tally.deletes());
            assert_eq!(exactly(ForecastMeasure::Alerts), tally.alerts);
            assert_eq!(exactly(ForecastMeasure::Pending), tally.excluded + tally.not_due);
            assert_eq!(exactly(ForecastMeasure::Rows), tally.rows() - tally.deletes());
        }
        let alerts: f64 = forecast.policies[index].parties.iter().map(PartyAlerts::expected).sum();
        let expected = forecast.policies[index].all().unwrap().total(ForecastMeasure::Alerts).median as f64;
        assert!((alerts - expected).abs() <= expected * 0.03 + 1.0, "{alerts} by party, {expected} in all");
    }
    // Devices that scr137 keeps and pre-change deletes are the difference between them.
    let (lax, strict) = (series(&forecast, 1, "all"), series(&forecast, 2, "all"));
    for month in 0..24 {
        let of = |series: &TypeForecast| series.months[month][ForecastMeasure::Rows as usize].median;
        assert!(of(lax) >= of(strict));
        assert!(strict.differences[month][ForecastMeasure::Rows as usize].high <= 0);
    }
}

#[test]
fn the_same_seed_gives_the_same_numbers_with_any_number_of_threads() {
    let ledgers = history::in_order(simulated_ledgers(&[HUBS], 3, 1)).unwrap();
    let scenario = scenario(12, 60);
    let rates = estimate(&ledgers, &scenario).unwrap();
    let with =
        |threads| forecast(ledgers.last().unwrap(), &rates, &scenario, &Pool::new(Some(threads)), &NoProgress).unwrap();
    assert_eq!(with(1), with(3));
    let other = Scenario { seed: 2, ..scenario.clone() };
    assert_ne!(with(1), forecast(ledgers.last().unwrap(), &rates, &other, &Pool::new(Some(1)), &NoProgress).unwrap());
}

/// One ledger of a stationary estate gives the hazards too.
#[test]
fn hazards_are_estimated_from_the_ages_of_one_ledger() {
    let ledgers = simulated_ledgers(&[HUBS], 1, 5);
    let rates = estimate(&ledgers[..1], &Scenario::default()).unwrap();
    let own = &rates.by_type[&HUBS.code.code()];
    assert_eq!(own.hazard_basis, RateBasis::AgeProfile);
    // Cohorts of one day do not fit the scaling by the length of months, so the tolerance is wide.
    for age in [0, 1, 4, 8] {
        let (found, truth) = (own.hazard(age), (HUBS.hazard)(age as u32));
        assert!((found / truth - 1.0).abs() < 0.5, "age {age}: {found} instead of {truth}");
    }
}

/// Deletions by housekeeping are no events of the life table, whether `[history]` names the policy or not.
#[test]
fn deletions_by_housekeeping_are_left_out_of_the_life_table() {
    let mut ledgers = simulated_ledgers(&[METERS], 12, 9);
    let policy = unguarded("pre-change");
    for ledger in &mut ledgers {
        let rules = policy.bind(ledger.as_of);
        ledger
            .counts
            .cells
            .retain(|(cell, _)| !matches!(cell.day, Some(day) if rules.cutoff(cell.type_code).is_due(day_start(day))));
        ledger.size.rows = ledger.counts.rows();
    }
    let with_history =
        Scenario { history: vec![HousekeepingPeriod { from: i32::MIN, policy: Some(policy) }], ..Scenario::default() };
    let hazard = |scenario: &Scenario| estimate(&ledgers, scenario).unwrap().by_type[&METERS.code.code()].hazard(11);
    // Without a history the threshold is read from the ledgers, and said.
    let derived = estimate(&ledgers, &Scenario::default()).unwrap().findings;
    assert!(matches!(derived[..], [Finding::Derived { months: 12, .. }]), "{derived:?}");
    assert!((hazard(&Scenario::default()) / hazard(&with_history) - 1.0).abs() < 1e-9);
    let truth = (METERS.hazard)(10);
    assert!((hazard(&with_history) / truth - 1.0).abs() < 0.2, "{}", hazard(&with_history));
}

#[test]
fn ledgers_that_do_not_belong_together_are_refused() {
    let ledgers = simulated_ledgers(&[HUBS], 2, 1);
    let refused = |one: Ledger, other: Ledger| history::in_order(vec![one, other]).unwrap_err().to_string();
    let [first, second, _] = ledgers.try_into().unwrap();
    assert!(refused(first.clone(), first.clone()).contains("as_of"));
    let soon = Ledger { as_of: first.as_of + 3 * 86_400_000_000, ..second.clone() };
    assert!(refused(first.clone(), soon).contains("as_of"));
    let named = Ledger { estate: Some("another".into()), ..second.clone() };
    assert!(refused(first.clone(), named).contains("estate"));
    let real = Ledger { synthetic: false, ..second.clone() };
    assert!(refused(first.clone(), real).contains("synthetic"));
    let mut more = TypeNames::default();
    more.add("SAPC").unwrap();
    assert!(refused(first.clone(), Ledger { types: more, ..second.clone() }).contains("types"));
    let wider = [SmiStatus::Pending, SmiStatus::Suspended].into_iter().collect();
    assert!(refused(first.clone(), Ledger { candidates: wider, ..second }).contains("candidate_statuses"));
    // Another estate has devices that this one never had.
    let other = simulated_ledgers(&[METERS, HUBS], 2, 77);
    assert!(refused(first, other[1].clone()).contains("status_since"));
}

fn parse(text: &str) -> Result<Scenario, (usize, usize, String)> {
    Scenario::parse(text, "plan.toml", &TypeNames::default()).map_err(|error| match &error {
        smi_sweep::Error::Document { place, what, remedy } => {
            assert!(!remedy.is_empty(), "{what}");
            let smi_sweep::error::Position::LineColumn(line, column) = place.position else { panic!("{place}") };
            (line as usize, column as usize, what.clone())
        }
        other => (0, 0, other.to_string()),
    })
}

#[test]
fn an_error_in_a_scenario_is_refused_with_its_place() {
    let good = "name = \"plan\"\nmonths = 12\npolicies = [\"secmp0060\"]\n";
    assert!(parse(good).is_ok());
    let cases = [
        ("", 1, "empty"),
        ("name = \"plan\"\npolicies = [\"secmp0060\"]\n", 1, "lacks `months`"),
        ("name = \"plan\"\nmonths = 0\npolicies = [\"secmp0060\"]\n", 2, "from 1 to 600"),
        ("name = \"plan\"\nmonths = 12\npolicies = []\n", 3, "policies"),
        ("name = \"plan\"\nmonths = 12\npolicies = [\"secmp60\"]\n", 3, "secmp60"),
        ("name = \"plan\"\nmonths = 12\npolicies = [\"scr137\", \"scr137\"]\n", 3, "second policy"),
        (&format!("{good}horizon = 3\n"), 4, "unknown key `horizon`"),
        (&format!("{good}[hazard]\nCHF = [0.1, -0.2]\n"), 5, "expected a number from"),
        (&format!("{good}[hazard]\nCHF = [0.1, 1.2]\n"), 5, "expected a number from"),
        (&format!("{good}[hazard]\nCHF = []\n"), 5, "no hazard"),
        (&format!("{good}[arrivals]\nCHF = -1\n"), 5, "expected a number from"),
        (&format!("{good}[arrivals]\nCHF = nan\n"), 5, "expected a number from"),
        (&format!("{good}[arrivals]\nCFH = 1\n"), 5, "unknown device type `CFH`"),
        (&format!("{good}[arrivals]\nCHF = 1\nCommsHub = 1\n"), 6, "a second value"),
        (&format!("{good}[growth]\narrivals = -2\n"), 5, "expected a number from"),
        (&format!("{good}[storage]\nbytes_per_row = 0\n"), 5, "no bytes"),
        (&format!("{good}[storage]\nprice = 1\n"), 5, "unknown key `price`"),
        (&format!("{good}[[change]]\nfrom = 1\n"), 4, "lacks"),
        (&format!("{good}[[change]]\nfrom = 0\nhazard = 2\n"), 5, "from 1 to 600"),
        (&format!("{good}[history]\npolicy = \"nobody\"\n"), 5, "nobody"),
    ];
    for (text, line, says) in cases {
        let (found, column, what) = parse(text).expect_err(text);
        assert_eq!(found, line, "{text}: {what}");
        assert!(column > 0 && what.contains(says), "{text}: {what}");
    }
}

fn synth_history(folder: &Path, months: &str, more: &[&str]) -> PathBuf {
    let out = folder.join(format!("history-{months}"));
    let arguments =
        ["synth", "--rows", "60000", "--months", months, "--as-of", "2026-01-01", "--out", out.to_str().unwrap()];
    let (code, _, err) = run(&[&arguments[..], more].concat());
    assert_eq!(code, 0, "{err}");
    out
}

fn snapshots(history: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(history).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    all.sort();
    all
}

/// From snapshots to ledgers, a forecast and its page. The ledgers count what the truth beside the snapshots says.
#[test]
fn from_snapshots_to_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let history = synth_history(folder.path(), "5", &[]);
    let truth: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(history.join("truth.json")).unwrap()).unwrap();
    let mut ledgers = Vec::new();
    for (month, snapshot) in snapshots(&history).iter().enumerate() {
        let out = folder.path().join(format!("{month}.ledger"));
        let (code, _, err) = run(&["ledger", snapshot.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        assert_eq!(code, 0, "{err}");
        let ledger = Ledger::read(&out).unwrap();
        assert_eq!(ledger.estate.as_deref(), Some("synthetic, seed 1"));
        assert_eq!(ledger.counts.regions.names(), ["Central", "North", "South"]);
        for (code, ages) in ledger.ages().by_type {
            let pending = truth["months"][month]["pending"][ledger.types.name(code)].as_u64();
            assert_eq!(Some(ages.iter().sum::<u64>()), pending, "month {month}");
        }
        ledgers.push(out.to_str().unwrap().to_owned());
    }
    let plan = folder.path().join("plan.toml");
    let text = "name = \"plan\"\nmonths = 24\npolicies = [\"scr137\", \"secmp0060\"]\nsimulations = 50\n[storage]\nprice_per_gb_month = 0.1\n";
    std::fs::write(&plan, text).unwrap();
    let out = folder.path().join("forecast");
    let ledgers: Vec<&str> = ledgers.iter().map(String::as_str).collect();
    let tail = ["--scenario", plan.to_str().unwrap(), "--json", "--out", out.to_str().unwrap()];
    let (code, document, err) = run(&[&["forecast"], &ledgers[..], &tail].concat());
    assert_eq!(code, 0, "{err}");
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["dates"].as_array().unwrap().len(), 25);
    assert_eq!(document["policies"][1]["policy"], "secmp0060");
    assert!(document["policies"][1]["summary"]["retained_at_end"].as_i64().unwrap() > 0);
    for file in
        ["forecast.csv", "forecast.parquet", "parties.csv", "rates.csv", "arrivals.csv", "forecast.json", "report.html"]
    {
        assert!(out.join(file).is_file(), "{file}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 5 && page.contains("A synthetic estate"));

    let out = folder.path().join("backtest");
    let (code, text, err) =
        run(&[&["forecast", "--backtest", "--holdout", "2", "--out", out.to_str().unwrap()], &ledgers[..]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(text.contains("figures are within the 80 % band"), "{text}");
    assert!(out.join("backtest.csv").is_file() && out.join("report.html").is_file());
    // A backtest of one ledger, and a forecast without a scenario, are refused.
    assert_eq!(run(&["forecast", "--backtest", ledgers[0]]).0, 2);
    assert_eq!(run(&["forecast", ledgers[0]]).0, 2);
    assert_eq!(run(&["forecast", ledgers[0], ledgers[0], "--scenario", plan.to_str().unwrap()]).0, 2);
}

/// A history with housekeeping has no due device in any snapshot.
#[test]
fn housekeeping_runs_in_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let history = synth_history(folder.path(), "3", &["--policy", "pre-change"]);
    let policy: Policy = unguarded("pre-change");
    for snapshot in snapshots(&history) {
        let out = folder.path().join(format!("{}.ledger", snapshot.file_name().unwrap().to_str().unwrap()));
        assert_eq!(run(&["ledger", snapshot.to_str().unwrap(), "--out", out.to_str().unwrap()]).0, 0);
        let ledger = Ledger::read(&out).unwrap();
        assert_eq!(ledger.tally(&policy).unwrap().by_type.total().deletes(), 0);
        assert!(ledger.ages().by_type.values().all(|ages| ages.len() <= 12));
    }
}
