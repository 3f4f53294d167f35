//! A scenario: what planners want to know, and what they assume. TOML, read as strictly as a policy.

use std::collections::BTreeMap;
use std::fs;

use crate::error::{Error, PolicyPlace, Result};
use crate::estate::{TypeNames, TypeSet};
use crate::policy::Policy;
use crate::policy::document::{Document, Section, Value};

/// The most months that a forecast looks ahead: what lies further is nobody's to say.
pub const LONGEST: u32 = 600;

/// A scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// How many months it looks ahead.
    pub months: u32,
    /// The policies to compare; differences are told from the first.
    pub policies: Vec<Policy>,
    /// How many futures are simulated.
    pub simulations: u32,
    /// What all randomness comes from.
    pub seed: u64,
    /// The policy by which housekeeping ran while the ledgers were taken; `None` where it did not run.
    pub history: Option<Policy>,
    /// Devices of a type code that arrive each month, where the ledgers do not say.
    pub arrivals: BTreeMap<u8, f64>,
    /// The hazard of a type code by age in months, where the ledgers do not say; the last goes on.
    pub hazards: BTreeMap<u8, Vec<f64>>,
    /// How much more arrives with each year: 0.02 is two per cent.
    pub growth: f64,
    /// What becomes different, and when.
    pub changes: Vec<Change>,
    /// Live bytes of a row, where they are not those of the snapshot's files.
    pub bytes_per_row: Option<f64>,
    /// Whether the scenario's bytes were measured in the live inventory instead of being said.
    pub bytes_are_live: bool,
    /// What a gigabyte (10^9 bytes) costs for a month, in pounds.
    pub price_per_gb_month: Option<f64>,
}

/// What becomes different.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// From which month on, from 1.
    pub from: u32,
    /// For which types.
    pub types: TypeSet,
    /// How many times as many arrive.
    pub arrivals: f64,
    /// How many times the hazard of leaving there is.
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
            history: None,
            arrivals: BTreeMap::new(),
            hazards: BTreeMap::new(),
            growth: 0.0,
            changes: Vec::new(),
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
    /// A file that cannot be read, or a scenario that does not make sense.
    pub fn load(path: &str, types: &TypeNames) -> Result<Self> {
        let refuse = |what: String, remedy: &str| Error::Scenario {
            place: PolicyPlace { source: path.into(), line_column: None },
            what,
            remedy: remedy.into(),
        };
        let bytes = fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}"), "check the path"))?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("is not text".into(), "name a TOML file"))?;
        Self::parse(&text, path, types)
    }

    /// Reads a scenario from TOML. `source` is what errors call it.
    ///
    /// # Errors
    /// The first slip, with its line and column.
    pub fn parse(text: &str, source: &str, types: &TypeNames) -> Result<Self> {
        let refusal = |place, what, remedy| Error::Scenario { place, what, remedy };
        let document = Document { text, source, what: "a scenario", refusal };
        let table = document.table("name, months and policies")?;
        scenario(&document.root(&table), types)
    }
}

fn scenario(root: &Section<'_>, types: &TypeNames) -> Result<Scenario> {
    root.only(&[
        "name",
        "months",
        "policies",
        "simulations",
        "seed",
        "history",
        "arrivals",
        "hazard",
        "growth",
        "change",
        "storage",
    ])?;
    let mut scenario = Scenario { name: root.required("name")?.text()?.to_owned(), ..Scenario::default() };
    scenario.months = root.required("months")?.number(1, i64::from(LONGEST))? as u32;
    scenario.policies = policies(&root.required("policies")?)?;
    if let Some(value) = root.get("simulations") {
        scenario.simulations = value.number(10, 10_000)? as u32;
    }
    if let Some(value) = root.get("seed") {
        scenario.seed = value.number(0, i64::MAX)? as u64;
    }
    if let Some(section) = root.section("history")? {
        section.only(&["policy"])?;
        scenario.history = Some(policy(&section.required("policy")?)?);
    }
    if let Some(section) = root.section("arrivals")? {
        scenario.arrivals = by_type(&section, types, |value| value.amount(0.0, 1e9))?;
    }
    if let Some(section) = root.section("hazard")? {
        scenario.hazards = by_type(&section, types, |value| {
            let list = value.list()?;
            if list.is_empty() {
                return Err(value.refuse("no hazard at all", "write one for each month of age, as in [0.2, 0.1]"));
            }
            list.iter().map(|value| value.amount(0.0, 1.0)).collect()
        })?;
    }
    if let Some(section) = root.section("growth")? {
        section.only(&["arrivals"])?;
        scenario.growth = section.required("arrivals")?.amount(-1.0, 10.0)?;
    }
    if let Some(value) = root.get("change") {
        scenario.changes =
            value.tables("[change]")?.iter().map(|section| change(section, types)).collect::<Result<_>>()?;
    }
    if let Some(section) = root.section("storage")? {
        section.only(&["bytes_per_row", "price_per_gb_month"])?;
        scenario.bytes_per_row = section.get("bytes_per_row").map(|value| value.amount(0.001, 1e9)).transpose()?;
        scenario.price_per_gb_month =
            section.get("price_per_gb_month").map(|value| value.amount(0.0, 1e9)).transpose()?;
    }
    Ok(scenario)
}

fn policies(value: &Value<'_>) -> Result<Vec<Policy>> {
    let list = value.list()?;
    if list.is_empty() || list.len() > 20 {
        return Err(value.refuse(format!("{} policies", list.len()), "name from 1 to 20 policies to compare"));
    }
    let mut policies: Vec<Policy> = Vec::new();
    for value in &list {
        let policy = policy(value)?;
        if policies.iter().any(|other| other.name == policy.name) {
            return Err(
                value.refuse(format!("a second policy called `{}`", policy.name), "give each a name of its own")
            );
        }
        policies.push(policy);
    }
    Ok(policies)
}

/// A policy by its name or file. A slip within its file keeps its own place.
fn policy(value: &Value<'_>) -> Result<Policy> {
    let name = value.text()?;
    Policy::load(name).map_err(|error| match error {
        Error::Policy { place, what, remedy } if place.line_column.is_none() => {
            value.refuse(format!("policy `{name}`: {what}"), remedy)
        }
        other => other,
    })
}

fn by_type<T: Clone>(
    section: &Section<'_>,
    types: &TypeNames,
    read: impl Fn(&Value<'_>) -> Result<T>,
) -> Result<BTreeMap<u8, T>> {
    let mut all = BTreeMap::new();
    for (key, value) in section.entries() {
        let own = read(&value)?;
        for device_type in key.type_set(types, &[])?.iter() {
            if all.insert(device_type.code(), own.clone()).is_some() {
                let name = types.name(device_type.code());
                return Err(key.refuse(format!("a second value for {name}"), "give each type one"));
            }
        }
    }
    Ok(all)
}

fn change(section: &Section<'_>, types: &TypeNames) -> Result<Change> {
    section.only(&["from", "types", "arrivals", "hazard"])?;
    let factor = |name: &str| section.get(name).map_or(Ok(1.0), |value| value.amount(0.0, 1000.0));
    let (arrivals, hazard) = (factor("arrivals")?, factor("hazard")?);
    if section.get("arrivals").is_none() && section.get("hazard").is_none() {
        return Err(section.missing("`arrivals` or `hazard`, how many times as many"));
    }
    Ok(Change {
        from: section.required("from")?.number(1, i64::from(LONGEST))? as u32,
        types: match section.get("types") {
            Some(value) => value.type_set(types)?,
            None => types.iter().map(|(device_type, _)| device_type).collect(),
        },
        arrivals,
        hazard,
    })
}
