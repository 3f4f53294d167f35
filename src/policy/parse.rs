//! Policies from TOML. Every slip is refused with its line and column, and with the nearest right name.

use std::collections::BTreeMap;

use super::document::{Document, Section, Value};
use super::{Alerts, Boundary, Guard, Policy, Spellings, Thresholds};
use crate::error::{Error, Result};
use crate::estate::{Column, SmiStatus, StatusSet, TypeNames, TypeSet};

/// Reads a policy.
pub(super) fn parse(text: &str, source: &str) -> Result<Policy> {
    let refusal = |place, what, remedy| Error::Policy { place, what, remedy };
    let document = Document { text, source, what: "a policy", refusal };
    let table = document.table("name, version and [threshold]")?;
    let root = document.root(&table);
    policy(&root)
}

fn policy(root: &Section<'_>) -> Result<Policy> {
    root.only(&[
        "name",
        "version",
        "candidate_statuses",
        "boundary",
        "threshold",
        "exclude",
        "alerts",
        "guard",
        "snapshot",
        "types",
    ])?;
    let types = types(root)?;
    Ok(Policy {
        name: name(root)?.into(),
        version: root.required("version")?.number(1, i64::from(u32::MAX))? as u32,
        candidate_statuses: candidate_statuses(root)?,
        boundary: boundary(root)?,
        thresholds: thresholds(root, &types)?,
        exclude: exclude(root, &types)?,
        alerts: alerts(root, &types)?,
        guard: guard(root)?,
        spellings: spellings(root, &types)?,
        types,
    })
}

fn name<'a>(root: &Section<'a>) -> Result<&'a str> {
    let value = root.required("name")?;
    let name = value.text()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        return Err(
            value.refuse(format!("`{name}` is not a name for a policy"), "use letters, digits, `-`, `_` and `.`")
        );
    }
    Ok(name)
}

fn types(root: &Section<'_>) -> Result<TypeNames> {
    let mut types = TypeNames::default();
    let Some(section) = root.section("types")? else { return Ok(types) };
    section.only(&["extra"])?;
    for extra in section.required("extra")?.list()? {
        let name = extra.text()?;
        if let Some((_, known)) = types.iter().find(|(_, known)| *known != name && known.eq_ignore_ascii_case(name)) {
            let what = format!("`{name}` differs from the device type {known} in case only");
            return Err(extra.refuse(what, "map the spelling under [snapshot.types] instead"));
        }
        types.add(name).map_err(|why| extra.refuse(format!("`{name}` {why}"), "list each new type once"))?;
    }
    Ok(types)
}

fn candidate_statuses(root: &Section<'_>) -> Result<StatusSet> {
    let Some(value) = root.get("candidate_statuses") else { return Ok([SmiStatus::Pending].into_iter().collect()) };
    let list = value.list()?;
    if list.is_empty() {
        return Err(value.refuse("no candidate statuses", "name at least one, as in [\"Pending\"]"));
    }
    list.iter().map(Value::status).collect()
}

fn boundary(root: &Section<'_>) -> Result<Boundary> {
    let Some(value) = root.get("boundary") else { return Ok(Boundary::Date) };
    let word = value.text()?;
    let known = Boundary::ALL.into_iter().find(|boundary| boundary.name() == word);
    known.ok_or_else(|| value.unknown("boundary", word, Boundary::ALL.map(Boundary::name)))
}

fn exclude(root: &Section<'_>, types: &TypeNames) -> Result<TypeSet> {
    let Some(section) = root.section("exclude")? else { return Ok(TypeSet::EMPTY) };
    section.only(&["types"])?;
    section.required("types")?.type_set(types)
}

fn thresholds(root: &Section<'_>, types: &TypeNames) -> Result<Thresholds> {
    let Some(section) = root.section("threshold")? else {
        return Err(root.missing("[threshold] with a default"));
    };
    let months = |value: &Value<'_>| value.number(1, i64::from(Thresholds::LONGEST)).map(|months| months as u32);
    // Types come first: a slip in `default` is then said of what is written, not of what is missing.
    let mut by_type = BTreeMap::new();
    for (key, value) in section.entries().filter(|(key, _)| key.name != "default") {
        let set = key.type_set(types, &["default"])?;
        for device_type in set.iter() {
            if by_type.insert(device_type, months(&value)?).is_some() {
                let name = types.name(device_type.code());
                return Err(key.refuse(format!("a second threshold for {name}"), "give each type one threshold"));
            }
        }
    }
    Ok(Thresholds { default: months(&section.required("default")?)?, by_type })
}

fn alerts(root: &Section<'_>, types: &TypeNames) -> Result<Alerts> {
    let mut alerts = Alerts { code: "N8".into(), silent_types: TypeSet::COMMS_HUB };
    let Some(section) = root.section("alerts")? else { return Ok(alerts) };
    section.only(&["code", "silent_types"])?;
    if let Some(value) = section.get("code") {
        let code = value.text()?;
        if code.is_empty() || code.len() > 8 || !code.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(value.refuse(format!("`{code}` is not an alert code"), "write it as DUIS does, as in N8"));
        }
        alerts.code = code.into();
    }
    if let Some(value) = section.get("silent_types") {
        alerts.silent_types = value.type_set(types)?;
    }
    Ok(alerts)
}

fn guard(root: &Section<'_>) -> Result<Guard> {
    let mut guard = Guard::default();
    let Some(section) = root.section("guard")? else { return Ok(guard) };
    section.only(&["max_deletes", "max_delete_share", "max_quarantined"])?;
    if let Some(value) = section.get("max_deletes") {
        guard.max_deletes = value.number(0, i64::MAX)? as u64;
    }
    if let Some(value) = section.get("max_quarantined") {
        guard.max_quarantined = value.number(0, i64::MAX)? as u64;
    }
    if let Some(value) = section.get("max_delete_share") {
        guard.max_delete_share = value.share()?;
    }
    Ok(guard)
}

fn spellings(root: &Section<'_>, types: &TypeNames) -> Result<Spellings> {
    let mut spellings = Spellings::default();
    let Some(section) = root.section("snapshot")? else { return Ok(spellings) };
    section.only(&["columns", "statuses", "types"])?;
    if let Some(columns) = section.section("columns")? {
        for (key, value) in columns.entries() {
            let name = value.text()?;
            let column =
                Column::from_name(name).ok_or_else(|| value.unknown("column", name, Column::ALL.map(Column::name)))?;
            if spellings.columns.values().any(|&taken| taken == column) {
                return Err(value.refuse(format!("a second column is read as `{column}`"), "map one column to it"));
            }
            spellings.columns.insert(key.name.into(), column);
        }
    }
    if let Some(statuses) = section.section("statuses")? {
        for (key, value) in statuses.entries() {
            let status = value.status()?;
            key.must_not_mean("status", SmiStatus::ALL.into_iter().find(|own| key.says(own.name())), status)?;
            spellings.statuses.insert(key.name.into(), status);
        }
    }
    if let Some(mapped) = section.section("types")? {
        for (key, value) in mapped.entries() {
            let name = value.text()?;
            let device_type = types.get(name).ok_or_else(|| value.unknown_type(name, types, &[]))?;
            if TypeNames::is_alias(key.name) {
                let what = format!("`{}` stands for two device types, CHF and GPF", key.name);
                return Err(key.refuse(what, "map spellings that stand for one"));
            }
            let own = types.iter().find(|(_, known)| key.says(known)).map(|(own, _)| own);
            key.must_not_mean("device type", own, device_type)?;
            spellings.types.insert(key.name.into(), device_type);
        }
    }
    Ok(spellings)
}
