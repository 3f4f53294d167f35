//! Policies from TOML. Every slip is refused with its line and column, and with the nearest right name.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Alerts, Boundary, Guard, Policy, Spellings, Thresholds};
use crate::error::{Error, PolicyPlace, Result, nearest};
use crate::estate::{Column, DeviceType, SmiStatus, StatusSet, TypeNames, TypeSet};

/// Reads a policy.
pub(super) fn parse(text: &str, source: &str) -> Result<Policy> {
    let document = Document { text, source };
    let root = DeTable::parse(text).map_err(|error| {
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        document.refuse(error.span().unwrap_or(0..0), what, "a policy is written in TOML")
    })?;
    let root = Section { document: &document, name: "", table: root.get_ref(), span: 0..0 };
    if root.table.is_empty() {
        return Err(document.refuse(0..0, "the policy is empty", "begin with name, version and [threshold]"));
    }
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

/// The text that errors point into.
struct Document<'a> {
    text: &'a str,
    source: &'a str,
}

impl Document<'_> {
    fn refuse(&self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::Policy {
            place: PolicyPlace { source: self.source.into(), line_column: Some((line, column)) },
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// A table of the document.
struct Section<'a> {
    document: &'a Document<'a>,
    name: &'a str,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// A key of a table.
struct Key<'a> {
    document: &'a Document<'a>,
    name: &'a str,
    span: Range<usize>,
}

/// A value of a table or a list.
struct Value<'a> {
    document: &'a Document<'a>,
    spanned: &'a Spanned<DeValue<'a>>,
    /// What errors call it.
    name: String,
}

impl<'a> Section<'a> {
    fn entries(&self) -> impl Iterator<Item = (Key<'a>, Value<'a>)> {
        let document = self.document;
        // In the order of the text, so that the first slip of several is the one that is reported.
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(move |(key, value)| {
            let name: &str = key.get_ref();
            (Key { document, name, span: key.span() }, Value { document, spanned: value, name: name.into() })
        })
    }

    fn only(&self, known: &[&'static str]) -> Result<()> {
        for (key, _) in self.entries() {
            if !known.contains(&key.name) {
                let section = if self.name.is_empty() { "a policy".into() } else { format!("[{}]", self.name) };
                let near = did_you_mean(key.name, known.iter().copied());
                return Err(key.refuse(
                    format!("unknown key `{}` in {section}", key.name),
                    format!("{near}{section} may have {}", known.join(", ")),
                ));
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.entries().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    fn required(&self, name: &str) -> Result<Value<'a>> {
        self.get(name).ok_or_else(|| {
            let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            self.missing(&format!("`{name}`{place}"))
        })
    }

    fn missing(&self, what: &str) -> Error {
        self.document.refuse(self.span.clone(), format!("lacks {what}"), format!("add {what}"))
    }

    fn section(&self, name: &'static str) -> Result<Option<Section<'a>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.spanned.get_ref() {
            DeValue::Table(table) => {
                Ok(Some(Section { document: self.document, name, table, span: value.spanned.span() }))
            }
            other => Err(value.wrong_kind("a table", other)),
        }
    }
}

impl Key<'_> {
    fn refuse(&self, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        self.document.refuse(self.span.clone(), what, remedy)
    }

    /// Whether the spelling is this word, in whatever case.
    fn says(&self, word: &str) -> bool {
        self.name.eq_ignore_ascii_case(word)
    }

    /// A spelling that has a meaning of its own, in whatever case, is never given another: devices would be judged as
    /// what they are not. One that is blank, or that nobody can tell from another by looking at it, is no spelling.
    fn must_not_mean<T: PartialEq>(&self, what: &str, own: Option<T>, mapped: T) -> Result<()> {
        if self.name.is_empty() || self.name.trim() != self.name {
            let what = format!("`{}` is blank, or begins or ends blank: not a spelling of a {what}", self.name);
            return Err(self.refuse(what, "export the column without padding, and map what is left"));
        }
        if own.is_some_and(|own| own != mapped) {
            let what = format!("`{}` is a {what} already, and keeps its meaning", self.name);
            return Err(self.refuse(what, "map other spellings only"));
        }
        Ok(())
    }

    fn type_set(&self, types: &TypeNames, besides: &[&str]) -> Result<TypeSet> {
        type_set(self.name, types)
            .ok_or_else(|| unknown_type(self.document, self.span.clone(), self.name, types, besides))
    }
}

impl<'a> Value<'a> {
    fn refuse(&self, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        self.document.refuse(self.spanned.span(), what, remedy)
    }

    fn wrong_kind(&self, wanted: &str, found: &DeValue<'_>) -> Error {
        self.refuse(format!("`{}` is a {}", self.name, found.type_str()), format!("write {wanted}"))
    }

    fn unknown<const N: usize>(&self, what: &str, found: &str, known: [&str; N]) -> Error {
        let near = did_you_mean(found, known);
        self.refuse(format!("unknown {what} `{found}`"), format!("{near}there are {}", known.join(", ")))
    }

    fn unknown_type(&self, name: &str, types: &TypeNames, besides: &[&str]) -> Error {
        unknown_type(self.document, self.spanned.span(), name, types, besides)
    }

    fn text(&self) -> Result<&'a str> {
        match self.spanned.get_ref() {
            DeValue::String(text) => Ok(text),
            other => Err(self.wrong_kind("text in quotes", other)),
        }
    }

    fn list(&self) -> Result<Vec<Value<'a>>> {
        match self.spanned.get_ref() {
            DeValue::Array(items) => Ok(items
                .iter()
                .map(|value| Value {
                    document: self.document,
                    spanned: value,
                    name: format!("an entry of {}", self.name),
                })
                .collect()),
            other => Err(self.wrong_kind("a list in brackets", other)),
        }
    }

    fn number(&self, lowest: i64, highest: i64) -> Result<i64> {
        let DeValue::Integer(number) = self.spanned.get_ref() else {
            return Err(self.wrong_kind("a whole number", self.spanned.get_ref()));
        };
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
        value.filter(|value| (lowest..=highest).contains(value)).ok_or_else(|| {
            let range = if highest == i64::MAX {
                format!("write a whole number of {lowest} or more")
            } else {
                format!("write a whole number from {lowest} to {highest}")
            };
            self.refuse(format!("`{}` is {number}, which makes no sense", self.name), range)
        })
    }

    fn share(&self) -> Result<f64> {
        let value = match self.spanned.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            other => return Err(self.wrong_kind("a share from 0 to 1", other)),
        };
        value.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
            self.refuse(format!("`{}` is not a share", self.name), "write a share from 0 to 1, as in 0.05")
        })
    }

    fn status(&self) -> Result<SmiStatus> {
        let name = self.text()?;
        SmiStatus::from_name(name).ok_or_else(|| self.unknown("status", name, SmiStatus::ALL.map(SmiStatus::name)))
    }

    fn type_set(&self, types: &TypeNames) -> Result<TypeSet> {
        self.list()?.iter().try_fold(TypeSet::EMPTY, |set, value| {
            let name = value.text()?;
            let named = type_set(name, types).ok_or_else(|| value.unknown_type(name, types, &[]))?;
            Ok(set.union(named))
        })
    }
}

/// The types that a name stands for: one, or those of an alias.
fn type_set(name: &str, types: &TypeNames) -> Option<TypeSet> {
    if name == TypeNames::COMMS_HUB {
        return Some(TypeSet::COMMS_HUB);
    }
    types.get(name).map(|device_type: DeviceType| [device_type].into_iter().collect())
}

fn unknown_type(document: &Document<'_>, span: Range<usize>, name: &str, types: &TypeNames, besides: &[&str]) -> Error {
    let known: Vec<&str> =
        types.iter().map(|(_, name)| name).chain([TypeNames::COMMS_HUB]).chain(besides.iter().copied()).collect();
    let near = did_you_mean(name, known.iter().copied());
    document.refuse(
        span,
        format!("unknown device type `{name}`"),
        format!("{near}there are {}; a new one is listed under [types] extra", known.join(", ")),
    )
}

fn did_you_mean<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    nearest(found, known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default()
}
