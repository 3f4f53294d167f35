//! A lower threshold in steps: reads ledgers, finds the fastest schedule within limits, and writes it as a table, a
//! page and policies.

use std::path::{Path, PathBuf};

use super::estimate::estimate;
use super::history::in_order;
use super::outcome::Forecast;
use super::phase_document::{PhaseFiles, PhaseMonth, PhasePolicy};
use super::phase_page;
use super::phasing::{MonthFlows, PhasePlan, PhasingProblem};
use super::project::{forecast, month_widths};
use super::quantiles::Quantiles;
use super::rates::{Rates, TypeRates};
use super::scenario::{Phase, Scenario};
use super::simulate::{ForecastMeasure, Simulation};
use super::strata::{PartyStratum, PolicyEffect, StartingEstate, bind};
use crate::error::{Error, Result};
use crate::estate::time::{add_months, day_of, format_day};
use crate::ledger::Ledger;
use crate::output::{OutputDirectory, OutputFile, csv as table};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{NoProgress, Progress};

/// Months in which a schedule must reach its threshold, where no scenario says otherwise.
const MONTHS: u32 = 60;

/// Arguments of [`phase_files`].
#[derive(Debug, Clone)]
pub struct PhaseOptions<'a> {
    /// Ledgers of one estate, in any order.
    pub ledgers: &'a [PathBuf],
    /// The policy whose exclusions and alerts apply. Its thresholds are replaced.
    pub policy: Policy,
    /// The file of a scenario with assumptions; its policies are not used.
    pub scenario: Option<&'a str>,
    /// The threshold in force, in months.
    pub from: u32,
    /// The threshold to reach, lower than `from`.
    pub to: u32,
    /// The most alerts of a month.
    pub alerts: Option<u32>,
    /// The most alerts of a month to one party.
    pub party_alerts: Option<u32>,
    /// The most deletions of a month.
    pub deletes: Option<u32>,
    /// The folder to write. It must not exist, and appears whole or not at all.
    pub out: Option<&'a Path>,
}

/// Finds the fastest schedule from ledgers, and writes `schedule.csv`, `phase.json`, `report.html` and the policies where a
/// folder is named.
///
/// # Errors
/// Thresholds or limits that make no sense, limits that no schedule keeps, and those of
/// [`forecast_files`](super::forecast_files).
pub fn phase_files(options: &PhaseOptions<'_>, pool: &Pool, progress: &dyn Progress) -> Result<PhaseFiles> {
    check(options)?;
    let staging = options.out.map(OutputDirectory::create).transpose()?;
    let ledgers = in_order(options.ledgers.iter().map(|path| Ledger::read(path)).collect::<Result<Vec<_>>>()?)?;
    let Some(last) = ledgers.last() else { return Err(usage("no ledger", "name at least one")) };
    let mut scenario = match options.scenario {
        Some(path) => Scenario::load(path, &last.types)?,
        None => Scenario { months: MONTHS, ..Scenario::default() },
    };
    scenario.policies = vec![with_threshold(&options.policy, options.from)];
    scenario.phases.clear();
    let rates = estimate(&ledgers, &scenario)?;
    let problem = problem(options, (last, &rates), &scenario)?;
    let plan = problem.solve().ok_or_else(|| impossible(options, &problem))?;
    scenario.phases = phases(&plan);
    let forecast = forecast(last, &rates, &scenario, pool, progress)?;
    let made = describe(options, (&problem, &plan), last, &forecast)?;
    if let Some(staging) = staging {
        write(staging.path(), &made)?;
        staging.publish(pool)?;
    }
    Ok(made)
}

fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Usage { what: what.into(), remedy: remedy.into() }
}

fn check(options: &PhaseOptions<'_>) -> Result<()> {
    if options.to == 0 || options.to >= options.from {
        let what = format!("a threshold of {} months is not lowered to {}", options.from, options.to);
        return Err(usage(what, "name a lower threshold of at least one month: --from 36 --to 12"));
    }
    if options.alerts.is_none() && options.party_alerts.is_none() && options.deletes.is_none() {
        return Err(usage(
            "no limit",
            "give --max-alerts-per-month, --max-alerts-per-party-month or --max-deletes-per-month",
        ));
    }
    Ok(())
}

/// The policy with one threshold for all types.
fn with_threshold(policy: &Policy, months: u32) -> Policy {
    let mut policy = policy.clone();
    policy.thresholds.default = months;
    policy.thresholds.by_type.clear();
    policy
}

fn impossible(options: &PhaseOptions<'_>, problem: &PhasingProblem) -> Error {
    let months = problem.months.len() - 1;
    let what = format!(
        "no schedule reaches {} months within {months} months and keeps every month under the limits",
        options.to
    );
    let remedy = match problem.least_limit().filter(|_| options.alerts.is_some()) {
        Some(least) => {
            format!("with the other limits as they are, --max-alerts-per-month {:.0} is the least", least.ceil())
        }
        None => "raise the limits".into(),
    };
    usage(what, remedy)
}

/// The changes of threshold of a plan.
fn phases(plan: &PhasePlan) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    for (month, &months) in plan.thresholds.iter().enumerate() {
        if phases.last().is_none_or(|last| last.months as usize != months) {
            phases.push(Phase { policy: 0, from: month as u32, months: months as u32 });
        }
    }
    phases
}

/// The expected deletions of each month by age: of all alerts, of all deletions, and of the alerts of each party.
fn problem(
    options: &PhaseOptions<'_>,
    (ledger, rates): (&Ledger, &Rates),
    scenario: &Scenario,
) -> Result<PhasingProblem> {
    let rules = bind(ledger, &scenario.policies)?;
    let start = StartingEstate::new(ledger, scenario);
    let effects: Vec<PolicyEffect> = start
        .strata
        .iter()
        .map(|stratum| rules.first().map_or(PolicyEffect::Quarantine, |own| PolicyEffect::of(ledger, own, stratum.key)))
        .collect();
    let widths = month_widths(ledger, scenario.months);
    let simulation =
        Simulation { start: &start, scenario, rules: &rules, effects: Vec::new(), widths, progress: &NoProgress };
    let mut parties: Vec<u32> = start.parties.iter().map(|own| own.party).collect();
    parties.sort_unstable();
    parties.dedup();
    let limit = |limit: Option<u32>| limit.map_or(f64::INFINITY, f64::from);
    let mut limits = vec![limit(options.alerts), limit(options.deletes)];
    limits.extend(parties.iter().map(|_| limit(options.party_alerts)));
    let zeros = || vec![vec![0.0; start.oldest + 1]; limits.len()];
    let mut months: Vec<MonthFlows> = (0..=scenario.months).map(|_| MonthFlows { at_least: zeros() }).collect();
    for own in &start.parties {
        let figures = match effects.get(own.stratum) {
            Some(PolicyEffect::DeleteWithAlert) => {
                let party = parties.binary_search(&own.party).unwrap_or_default();
                vec![0, 1, 2 + party]
            }
            Some(PolicyEffect::DeleteSilently) => vec![1],
            _ => continue,
        };
        let code = start.strata[own.stratum].key.type_code;
        let Some(rates) = rates.by_type.get(&code) else { continue };
        add_expected(own, (code, rates), &simulation, |month, age, devices| {
            for figure in &figures {
                months[month].at_least[*figure][age] += devices;
            }
        });
    }
    for figure in months.iter_mut().flat_map(|month| &mut month.at_least) {
        for age in (1..figure.len()).rev() {
            figure[age - 1] += figure[age];
        }
    }
    Ok(PhasingProblem { months, from: options.from as usize, to: options.to as usize, limits })
}

/// Moves the devices of a party forward month by month in expectation, as if housekeeping did not run.
#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn add_expected(
    own: &PartyStratum,
    (code, rates): (u8, &TypeRates),
    simulation: &Simulation<'_>,
    mut add: impl FnMut(usize, usize, f64),
) {
    let mut ages: Vec<f64> = own.ages.iter().map(|rows| *rows as f64).collect();
    let oldest = ages.len() - 1;
    for month in 0..=simulation.scenario.months {
        if month > 0 {
            let factors = simulation.factors(code, month);
            let left = |age: usize| 1.0 - (rates.hazard(age) * factors.hazard).clamp(0.0, 1.0);
            let stay = ages[oldest] * left(oldest);
            for age in (1..=oldest).rev() {
                ages[age] = ages[age - 1] * left(age - 1);
            }
            ages[oldest] += stay;
            let years = (f64::from(month) - 0.5) / 12.0;
            let mean = rates.arrivals.pattern.as_ref().map_or(rates.arrivals.mean, |pattern| pattern.rate(years));
            ages[0] = mean * simulation.widths[month as usize - 1] * factors.arrivals * own.share;
        }
        for (age, devices) in ages.iter().enumerate() {
            add(month as usize, age, *devices);
        }
    }
}

/// The schedule with its figures, bands and policies.
fn describe(
    options: &PhaseOptions<'_>,
    (problem, plan): (&PhasingProblem, &PhasePlan),
    ledger: &Ledger,
    forecast: &Forecast,
) -> Result<PhaseFiles> {
    let today = day_of(ledger.as_of);
    let date = |month: usize| format_day(add_months(today, month as u32).unwrap_or(today));
    let threshold = |month: usize| plan.thresholds.get(month).copied().unwrap_or(problem.to);
    let before = |month: usize| month.checked_sub(1).map_or(problem.from, threshold);
    let deleted = |month: usize, figure: usize| problem.deleted((month, figure), before(month), threshold(month));
    let all = forecast.policies.first().and_then(|policy| policy.all());
    let month = |month: usize| {
        let own = all.and_then(|all| all.months.get(month)).map(|own| own[ForecastMeasure::Alerts as usize]);
        let Quantiles { low, high, .. } = own.unwrap_or_default();
        PhaseMonth {
            month,
            date: date(month),
            threshold: threshold(month),
            alerts: deleted(month, 0),
            alerts_band: (low, high),
            most_to_a_party: (2..problem.limits.len()).map(|figure| deleted(month, figure)).fold(0.0, f64::max),
            deletes: deleted(month, 1),
        }
    };
    let reached_in = plan.thresholds.len() - 1;
    let last = (reached_in + 1).min(problem.months.len() - 1);
    let months: Vec<PhaseMonth> = (0..=last).map(month).collect();
    let mut findings: Vec<String> =
        forecast.findings.iter().filter(|finding| finding.warns()).map(ToString::to_string).collect();
    if let Some(limit) = options.alerts {
        let over: Vec<&str> =
            months.iter().filter(|own| own.alerts_band.1 > i64::from(limit)).map(|own| own.date.as_str()).collect();
        if !over.is_empty() {
            findings.push(format!(
                "expected alerts keep the limit of {limit}; by chance the alerts of these months may exceed it in more than one future of ten: {}",
                over.join(", ")
            ));
        }
    }
    let policies = phases(plan).into_iter().enumerate().map(|(index, phase)| {
        let mut policy = with_threshold(&options.policy, phase.months);
        policy.name = format!("{}-{}", options.policy.name, phase.months);
        policy.version = options.policy.version + index as u32 + 1;
        let text = policy.to_toml();
        // What change control signs is what was computed: the text is read back.
        if Policy::parse(&text, &policy.name)?.digest() != policy.digest() {
            return Err(Error::Unbalanced(format!("policy `{}` changes when it is written", policy.name)));
        }
        let (from, months) = (date(phase.from as usize), phase.months as usize);
        let text =
            format!("# In force from {from}. Its guard and version are for change control to confirm.\n{text}\n");
        Ok(PhasePolicy { from, name: policy.name, months, text })
    });
    let peak = (0..problem.months.len()).map(|month| deleted(month, 0)).fold(0.0, f64::max);
    Ok(PhaseFiles {
        schema: "smi-sweep/phase/1",
        reached_in,
        months,
        policies: policies.collect::<Result<_>>()?,
        alerts_at_once: problem.deleted((0, 0), problem.from, problem.to),
        peak_alerts: peak,
        findings,
    })
}

fn write(folder: &Path, made: &PhaseFiles) -> Result<()> {
    let header = ["month", "date", "threshold", "alerts", "alerts_low", "alerts_high", "most_to_a_party", "deletes"];
    let rows = made.months.iter().map(|own| {
        [
            own.month.to_string(),
            own.date.clone(),
            own.threshold.to_string(),
            format!("{:.1}", own.alerts),
            own.alerts_band.0.to_string(),
            own.alerts_band.1.to_string(),
            format!("{:.1}", own.most_to_a_party),
            format!("{:.1}", own.deletes),
        ]
    });
    table::write(&folder.join("schedule.csv"), header, rows)?;
    for (index, policy) in made.policies.iter().enumerate() {
        let name = format!("policy-{:02}-{}-months.toml", index + 1, policy.months);
        OutputFile::create(&folder.join(name))?.finish_with(policy.text.as_bytes())?;
    }
    let path = folder.join("phase.json");
    let document = serde_json::to_value(made).map_err(|error| Error::io("write", &path)(error.into()))?;
    OutputFile::create(&path)?.finish_with(format!("{document:#}\n").as_bytes())?;
    let page = phase_page::page(made);
    OutputFile::create(&folder.join("report.html"))?.finish_with(page.as_bytes()).map(drop)
}
