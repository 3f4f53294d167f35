//! A scenario: the policies to compare, and assumptions about rates and storage. TOML; every error is refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::scenario_values::{HazardValue, OneOrMany};
use crate::config::{self, Document, Number, Section, Spanned, Whole, in_text_order};
use crate::error::{DocumentKind, Error, Position, Result};
use crate::estate::time::{day_of, parse as parse_time};
use crate::estate::{TypeNames, TypeSet};
use crate::policy::Policy;

/// The name under `[[history]]` for a time in which housekeeping did not run.
const NO_POLICY: &str = "none";
/// The longest forecast, in months.
pub const LONGEST: u32 = 600;

/// A scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Months to forecast.
    pub months: u32,
    /// The policies to compare; differences are relative to the first.
    pub policies: Vec<Policy>,
    /// Number of simulated futures.
    pub simulations: u32,
    /// Seed of the random numbers.
    pub seed: u64,
    /// The policies of housekeeping while the ledgers were taken, by the day from which each was in force, ascending.
    /// Empty: the ledgers show whether housekeeping ran.
    pub history: Vec<HousekeepingPeriod>,
    /// The months of ledgers that rates are estimated from; `None`: all.
    pub window: Option<u32>,
    /// Arrivals in a month, by type code; they replace estimates.
    pub arrivals: BTreeMap<u8, f64>,
    /// Hazards by type code.
    pub hazards: BTreeMap<u8, HazardSource>,
    /// Growth of arrivals in a year: 0.02 is two per cent. It replaces an estimated trend.
    pub growth: Option<f64>,
    /// Changes of rates from some month on.
    pub changes: Vec<ScenarioChange>,
    /// Thresholds that a policy has from some month on, in the order of their months.
    pub phases: Vec<Phase>,
    /// Bytes of a row; `None`: those of the snapshot's files.
    pub bytes_per_row: Option<f64>,
    /// Whether `bytes_per_row` was measured in the live inventory.
    pub bytes_are_live: bool,
    /// Price of a gigabyte (10^9 bytes) for a month, in pounds.
    pub price_per_gb_month: Option<f64>,
}

/// A policy of housekeeping, and the day from which it was in force.
#[derive(Debug, Clone, PartialEq)]
pub struct HousekeepingPeriod {
    /// The first day, days since 1970-01-01; `i32::MIN` for a policy that was always in force.
    pub from: i32,
    /// The policy; `None` if housekeeping did not run.
    pub policy: Option<Policy>,
}

/// Where hazards come from that are not estimated.
#[derive(Debug, Clone, PartialEq)]
pub enum HazardSource {
    /// Hazards (0 to 1) by age in months; they replace estimates. The last is for all higher ages.
    ByAge(Vec<f64>),
    /// Ages that no ledger shows have the hazards of the type with this code.
    Like(u8),
}

/// A threshold that a policy has from some month on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// The index of the policy in the scenario.
    pub policy: usize,
    /// The first month; 0 is that of the ledger.
    pub from: u32,
    /// The threshold of all types that the policy does not exclude, in months.
    pub months: u32,
}

/// A change of rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScenarioChange {
    /// The first month in which it applies; months count from 1.
    pub from: u32,
    /// The types that it applies to.
    pub types: TypeSet,
    /// Factor on arrivals.
    pub arrivals: f64,
    /// Factor on the hazard.
    pub hazard: f64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "scenario".into(),
            months: 60,
            policies: Vec::new(),
            simulations: 1000,
            seed: 1,
            history: Vec::new(),
            window: None,
            arrivals: BTreeMap::new(),
            hazards: BTreeMap::new(),
            growth: None,
            changes: Vec::new(),
            phases: Vec::new(),
            bytes_per_row: None,
            bytes_are_live: false,
            price_per_gb_month: None,
        }
    }
}

impl Scenario {
    /// Loads a scenario from a file. `types` are those of the ledgers.
    ///
    /// # Errors
    /// A file that cannot be read, or an invalid scenario.
    pub fn load(path: &str, types: &TypeNames) -> Result<Self> {
        Self::parse(&config::read_file(DocumentKind::Scenario, Path::new(path))?, path, types)
    }

    /// Reads a scenario from TOML. `source` is its name in errors.
    ///
    /// # Errors
    /// The first error, with its line and column.
    pub fn parse(text: &str, source: &str, types: &TypeNames) -> Result<Self> {
        let document = Document { kind: DocumentKind::Scenario, source, text };
        scenario(&document, document.read()?, types)
    }
}

/// The document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    name: String,
    months: Whole<1, { LONGEST as i64 }>,
    policies: Spanned<Vec<Spanned<String>>>,
    simulations: Option<Whole<10, 10_000>>,
    seed: Option<Whole<0, { i64::MAX }>>,
    window: Option<Whole<1, { LONGEST as i64 }>>,
    history: Option<OneOrMany<HistorySection>>,
    arrivals: Option<BTreeMap<Spanned<String>, Number<0, 1_000_000_000>>>,
    hazard: Option<BTreeMap<Spanned<String>, Spanned<HazardValue>>>,
    growth: Option<Section<GrowthSection>>,
    change: Option<Vec<Section<ChangeSection>>>,
    phase: Option<Vec<Section<PhaseSection>>>,
    storage: Option<Section<StorageSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistorySection {
    from: Option<Spanned<String>>,
    policy: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseSection {
    policy: Option<Spanned<String>>,
    from: Whole<0, { LONGEST as i64 }>,
    months: Whole<1, { LONGEST as i64 }>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrowthSection {
    arrivals: Number<-1, 10>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeSection {
    from: Whole<1, { LONGEST as i64 }>,
    types: Option<Vec<Spanned<String>>>,
    arrivals: Option<Number<0, 1000>>,
    hazard: Option<Number<0, 1000>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StorageSection {
    bytes_per_row: Option<Spanned<Number<0, 1_000_000_000>>>,
    price_per_gb_month: Option<Number<0, 1_000_000_000>>,
}

fn scenario(document: &Document<'_>, file: ScenarioFile, types: &TypeNames) -> Result<Scenario> {
    let default = Scenario::default();
    let arrivals = file.arrivals.iter().flat_map(in_text_order).map(|(name, number)| (name, number.get()));
    let storage = file.storage.as_deref();
    let policies = policies(document, &file.policies)?;
    let phases = file.phase.iter().flatten().map(|section| phase(document, section, &policies));
    let mut phases = phases.collect::<Result<Vec<_>>>()?;
    phases.sort_by_key(|phase| (phase.policy, phase.from));
    Ok(Scenario {
        name: file.name,
        months: file.months.get_u32(),
        policies,
        phases,
        window: file.window.map(Whole::get_u32),
        simulations: file.simulations.map_or(default.simulations, Whole::get_u32),
        seed: file.seed.map_or(default.seed, Whole::get),
        history: file.history.as_ref().map(|sections| history(document, &sections.0)).transpose()?.unwrap_or_default(),
        arrivals: by_type(document, types, arrivals)?,
        hazards: by_type(document, types, hazards(document, types, file.hazard.as_ref())?)?,
        growth: file.growth.map(|section| section.arrivals.get()),
        changes: file.change.iter().flatten().map(|section| change(document, section, types)).collect::<Result<_>>()?,
        bytes_per_row: storage
            .and_then(|storage| storage.bytes_per_row.as_ref())
            .map(|bytes| bytes_per_row(document, bytes))
            .transpose()?,
        bytes_are_live: false,
        price_per_gb_month: storage.and_then(|storage| storage.price_per_gb_month).map(Number::get),
    })
}

fn policies(document: &Document<'_>, names: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<Policy>> {
    let list = names.get_ref();
    if list.is_empty() || list.len() > 20 {
        let what = format!("{} policies", list.len());
        return Err(document.refuse(names.span(), what, "name from 1 to 20 policies to compare"));
    }
    let mut policies: Vec<Policy> = Vec::new();
    for name in list {
        let policy = policy(document, name)?;
        if policies.iter().any(|other| other.name == policy.name) {
            let what = format!("a second policy called `{}`", policy.name);
            return Err(document.refuse(name.span(), what, "give each a name of its own"));
        }
        policies.push(policy);
    }
    Ok(policies)
}

/// A policy by its name or file. An error within its file keeps its own place.
fn policy(document: &Document<'_>, name: &Spanned<String>) -> Result<Policy> {
    Policy::load(name.get_ref()).map_err(|error| match error {
        Error::Document { place, what, remedy } if place.position == Position::Whole => {
            document.refuse(name.span(), format!("policy `{}`: {what}", name.get_ref()), remedy)
        }
        other => other,
    })
}

/// The policies of housekeeping, in the order of their days. One alone needs no day.
fn history(document: &Document<'_>, sections: &[Section<HistorySection>]) -> Result<Vec<HousekeepingPeriod>> {
    let mut periods: Vec<HousekeepingPeriod> = Vec::new();
    for section in sections {
        let from = match &section.from {
            Some(from) => parse_time(from.get_ref()).map(day_of).ok_or_else(|| {
                let what = format!("`{}` is not a date", from.get_ref());
                document.refuse(from.span(), what, "write it as \"2024-11-01\"")
            })?,
            None if sections.len() == 1 => i32::MIN,
            None => return Err(document.refuse(section.span.clone(), "lacks `from`", "add `from`, its first day")),
        };
        if periods.last().is_some_and(|last| last.from >= from) {
            let remedy = "write the periods in the order of their days";
            return Err(document.refuse(section.span.clone(), "is not later than the period before it", remedy));
        }
        let name = &section.policy;
        let policy = if name.get_ref() == NO_POLICY { None } else { Some(policy(document, name)?) };
        periods.push(HousekeepingPeriod { from, policy });
    }
    Ok(periods)
}

fn phase(document: &Document<'_>, section: &Section<PhaseSection>, policies: &[Policy]) -> Result<Phase> {
    let policy = match &section.policy {
        Some(name) => policies.iter().position(|policy| policy.name == *name.get_ref()).ok_or_else(|| {
            let known = policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>().join(", ");
            let what = format!("policy `{}` is not compared", name.get_ref());
            document.refuse(name.span(), what, format!("there are {known}"))
        })?,
        None if policies.len() == 1 => 0,
        None => return Err(document.refuse(section.span.clone(), "lacks `policy`", "add `policy`, the name of one")),
    };
    Ok(Phase { policy, from: section.from.get_u32(), months: section.months.get_u32() })
}

/// The hazards of each name. None may be empty.
fn hazards<'f>(
    document: &Document<'_>,
    types: &TypeNames,
    table: Option<&'f BTreeMap<Spanned<String>, Spanned<HazardValue>>>,
) -> Result<Vec<(&'f Spanned<String>, HazardSource)>> {
    let hazards = |(name, value): (&'f Spanned<String>, &Spanned<HazardValue>)| match value.get_ref() {
        HazardValue::ByAge(hazards) if hazards.is_empty() => {
            let remedy = "write one for each month of age, as in [0.2, 0.1]";
            Err(document.refuse(value.span(), "no hazard", remedy))
        }
        HazardValue::ByAge(hazards) => Ok((name, HazardSource::ByAge(hazards.clone()))),
        HazardValue::Like(other) => {
            let known = || types.iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ");
            let unknown = || {
                let what = format!("unknown device type `{other}`");
                document.refuse(value.span(), what, format!("there are {}; or write hazards by age", known()))
            };
            Ok((name, HazardSource::Like(types.get(other).ok_or_else(unknown)?.code())))
        }
    };
    table.into_iter().flat_map(in_text_order).map(hazards).collect()
}

/// The values by type code. An alias gives its value to both of its types.
fn by_type<'f, T: Clone>(
    document: &Document<'_>,
    types: &TypeNames,
    values: impl IntoIterator<Item = (&'f Spanned<String>, T)>,
) -> Result<BTreeMap<u8, T>> {
    let mut all = BTreeMap::new();
    for (name, value) in values {
        for device_type in document.types_of(name, types, &[])?.iter() {
            if all.insert(device_type.code(), value.clone()).is_some() {
                let what = format!("a second value for {}", types.name(device_type.code()));
                return Err(document.refuse(name.span(), what, "give each type one"));
            }
        }
    }
    Ok(all)
}

fn change(document: &Document<'_>, section: &Section<ChangeSection>, types: &TypeNames) -> Result<ScenarioChange> {
    if section.arrivals.is_none() && section.hazard.is_none() {
        let missing = "`arrivals` or `hazard`, a factor";
        return Err(document.refuse(section.span.clone(), format!("lacks {missing}"), format!("add {missing}")));
    }
    Ok(ScenarioChange {
        from: section.from.get_u32(),
        types: match &section.types {
            Some(names) => document.type_set(names, types)?,
            None => types.iter().map(|(device_type, _)| device_type).collect(),
        },
        arrivals: section.arrivals.map_or(1.0, Number::get),
        hazard: section.hazard.map_or(1.0, Number::get),
    })
}

/// Bytes of a row, at least 0.001.
fn bytes_per_row(document: &Document<'_>, bytes: &Spanned<Number<0, 1_000_000_000>>) -> Result<f64> {
    let number = bytes.get_ref().get();
    if number < 0.001 {
        return Err(document.refuse(bytes.span(), "a row of no bytes", "write a number from 0.001 to 1000000000"));
    }
    Ok(number)
}
