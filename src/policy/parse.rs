//! Reads policies from TOML. Every error is refused with its line and column.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::guard::{GuardSection, guard};
use super::{AlertPolicy, Boundary, NO_STATUS, Policy, Thresholds};
use crate::config::{Document, Section, Spanned, Whole, in_text_order, named};
use crate::error::{DocumentKind, Result};
use crate::estate::{
    Column, DateFormat, DateSpelling, SmiStatus, Spellings, StatusSet, TypeNames, TypeSet, Zone, time,
};

/// Months of a threshold.
type Months = Whole<1, { Thresholds::LONGEST as i64 }>;

/// The document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    name: Spanned<String>,
    version: Whole<1, { u32::MAX as i64 }>,
    candidate_statuses: Option<Spanned<Vec<SmiStatus>>>,
    boundary: Option<Boundary>,
    threshold: Section<BTreeMap<Spanned<String>, Months>>,
    exclude: Option<Section<ExcludeSection>>,
    alerts: Option<Section<AlertsSection>>,
    guard: Option<Section<GuardSection>>,
    snapshot: Option<Section<SnapshotSection>>,
    types: Option<Section<TypesSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExcludeSection {
    types: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertsSection {
    code: Option<Spanned<String>>,
    silent_types: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotSection {
    columns: Option<BTreeMap<Spanned<String>, Spanned<Column>>>,
    statuses: Option<BTreeMap<Spanned<String>, MappedStatus>>,
    types: Option<BTreeMap<Spanned<String>, Spanned<String>>>,
    earliest_date: Option<Spanned<String>>,
    date_format: Option<Spanned<String>>,
    timezone: Option<Spanned<String>>,
}

/// A status, or [`NO_STATUS`].
#[derive(Clone, Copy)]
struct MappedStatus(Option<SmiStatus>);

impl<'de> Deserialize<'de> for MappedStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let statuses = SmiStatus::ALL.map(|status| (status.name(), Self(Some(status))));
        named(deserializer, "status", statuses.into_iter().chain([(NO_STATUS, Self(None))]))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypesSection {
    extra: Vec<Spanned<String>>,
}

impl<'de> Deserialize<'de> for Boundary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, "boundary", Self::ALL.map(|boundary| (boundary.name(), boundary)))
    }
}

/// Reads a policy.
pub(super) fn parse(text: &str, source: &str) -> Result<Policy> {
    let document = Document { kind: DocumentKind::Policy, source, text };
    let file: PolicyFile = document.read()?;
    let types = types(&document, file.types)?;
    let snapshot = file.snapshot.as_deref();
    Ok(Policy {
        name: name(&document, file.name)?,
        version: file.version.get_u32(),
        candidate_statuses: candidate_statuses(&document, file.candidate_statuses)?,
        boundary: file.boundary.unwrap_or(Boundary::Date),
        thresholds: thresholds(&document, &file.threshold, &types)?,
        exclude: match &file.exclude {
            Some(exclude) => document.type_set(&exclude.types, &types)?,
            None => TypeSet::EMPTY,
        },
        alerts: alerts(&document, file.alerts, &types)?,
        guard: guard(&document, file.guard, &types)?,
        earliest_date: earliest_date(&document, snapshot)?,
        spellings: spellings(&document, snapshot, &types)?,
        types,
    })
}

fn name(document: &Document<'_>, name: Spanned<String>) -> Result<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = name.get_ref();
    if text.is_empty() || text.starts_with('.') || !text.chars().all(fits) {
        let what = format!("`{text}` is not a name for a policy");
        return Err(document.refuse(name.span(), what, "use letters, digits, `-`, `_` and `.`"));
    }
    Ok(name.into_inner())
}

fn types(document: &Document<'_>, section: Option<Section<TypesSection>>) -> Result<TypeNames> {
    let mut types = TypeNames::default();
    for extra in section.map(|section| section.into_inner().extra).unwrap_or_default() {
        let name = extra.get_ref();
        if let Some((_, known)) = types.iter().find(|(_, known)| *known != name && known.eq_ignore_ascii_case(name)) {
            let what = format!("`{name}` differs from the device type {known} in case only");
            return Err(document.refuse(extra.span(), what, "map the spelling under [snapshot.types] instead"));
        }
        types
            .add(name)
            .map_err(|why| document.refuse(extra.span(), format!("`{name}` {why}"), "list each new type once"))?;
    }
    Ok(types)
}

fn candidate_statuses(document: &Document<'_>, list: Option<Spanned<Vec<SmiStatus>>>) -> Result<StatusSet> {
    match list {
        None => Ok([SmiStatus::Pending].into_iter().collect()),
        Some(list) if list.get_ref().is_empty() => {
            Err(document.refuse(list.span(), "no candidate statuses", "name at least one, as in [\"Pending\"]"))
        }
        Some(list) => Ok(list.into_inner().into_iter().collect()),
    }
}

fn thresholds(
    document: &Document<'_>,
    section: &Section<BTreeMap<Spanned<String>, Months>>,
    types: &TypeNames,
) -> Result<Thresholds> {
    let (mut default, mut by_type) = (None, BTreeMap::new());
    for (key, months) in in_text_order(section) {
        if key.get_ref() == "default" {
            default = Some(months.get_u32());
            continue;
        }
        for device_type in document.types_of(key, types, &["default"])?.iter() {
            if by_type.insert(device_type, months.get_u32()).is_some() {
                let what = format!("a second threshold for {}", types.name(device_type.code()));
                return Err(document.refuse(key.span(), what, "give each type one threshold"));
            }
        }
    }
    let default = default.ok_or_else(|| {
        document.refuse(section.span.clone(), "lacks `default` in [threshold]", "add `default` in [threshold]")
    })?;
    Ok(Thresholds { default, by_type })
}

fn alerts(document: &Document<'_>, section: Option<Section<AlertsSection>>, types: &TypeNames) -> Result<AlertPolicy> {
    let mut alerts = AlertPolicy { code: "N8".into(), silent_types: TypeSet::COMMS_HUB };
    let Some(AlertsSection { code, silent_types }) = section.map(Section::into_inner) else { return Ok(alerts) };
    if let Some(code) = code {
        let text = code.get_ref();
        if text.is_empty() || text.len() > 8 || !text.chars().all(|c| c.is_ascii_alphanumeric()) {
            let what = format!("`{text}` is not an alert code");
            return Err(document.refuse(code.span(), what, "write it as DUIS does, as in N8"));
        }
        alerts.code = code.into_inner();
    }
    if let Some(silent_types) = silent_types {
        alerts.silent_types = document.type_set(&silent_types, types)?;
    }
    Ok(alerts)
}

fn spellings(document: &Document<'_>, section: Option<&SnapshotSection>, types: &TypeNames) -> Result<Spellings> {
    let mut spellings = Spellings::default();
    let Some(section) = section else { return Ok(spellings) };
    for (theirs, column) in section.columns.iter().flat_map(in_text_order) {
        let ours = *column.get_ref();
        if spellings.columns.values().any(|&taken| taken == ours) {
            let what = format!("a second column is read as `{ours}`");
            return Err(document.refuse(column.span(), what, "map one column to it"));
        }
        spellings.columns.insert(theirs.get_ref().clone(), ours);
    }
    spellings.dates = dates(document, section)?;
    for (theirs, &MappedStatus(status)) in section.statuses.iter().flat_map(in_text_order) {
        let own = SmiStatus::ALL.into_iter().find(|own| own.name().eq_ignore_ascii_case(theirs.get_ref()));
        keeps_its_meaning(document, theirs, "status", own.map(Some), status)?;
        spellings.statuses.insert(theirs.get_ref().clone(), status);
    }
    for (theirs, ours) in section.types.iter().flat_map(in_text_order) {
        let spelling = theirs.get_ref();
        let both = |name: &str| format!("`{name}` is an alias of two device types, CHF and GPF");
        let Some(device_type) = types.get(ours.get_ref()) else {
            // `types_of` accepts the alias CommsHub, but a spelling can be mapped to one type only.
            document.types_of(ours, types, &[])?;
            return Err(document.refuse(ours.span(), both(ours.get_ref()), "name one of them"));
        };
        if TypeNames::is_alias(spelling) {
            return Err(document.refuse(theirs.span(), both(spelling), "map spellings that mean one type"));
        }
        let own = types.iter().find(|(_, known)| known.eq_ignore_ascii_case(spelling)).map(|(own, _)| own);
        keeps_its_meaning(document, theirs, "device type", own, device_type)?;
        spellings.types.insert(spelling.clone(), device_type);
    }
    Ok(spellings)
}

fn earliest_date(document: &Document<'_>, section: Option<&SnapshotSection>) -> Result<Option<i32>> {
    let Some(earliest) = section.and_then(|section| section.earliest_date.as_ref()) else { return Ok(None) };
    let text = earliest.get_ref();
    match time::parse(text).filter(|_| text.len() == "2026-11-01".len()) {
        Some(micros) => Ok(Some(time::day_of(micros))),
        None => {
            Err(document.refuse(earliest.span(), format!("`{text}` is not a date"), "write it as in \"2012-01-01\""))
        }
    }
}

fn dates(document: &Document<'_>, section: &SnapshotSection) -> Result<DateSpelling> {
    let mut dates = DateSpelling::default();
    if let Some(format) = &section.date_format {
        let text = format.get_ref();
        let read = DateFormat::new(text).map_err(|why| {
            let what = format!("`{text}` is not a format of dates: {why}");
            document.refuse(format.span(), what, "write it as `strptime` does, as in \"%d/%m/%Y %H:%M:%S\"")
        })?;
        dates.format = Some(read);
    }
    if let Some(zone) = &section.timezone {
        let text = zone.get_ref();
        let named = Zone::named(text).ok_or_else(|| {
            let what = format!("`{text}` is not a time zone of the IANA database");
            document.refuse(zone.span(), what, "write it as in \"Europe/London\" or \"UTC\"")
        })?;
        dates.zone = Some(named);
    }
    Ok(dates)
}

/// Refuses a mapping that would give a DUIS name, in any case, another meaning: devices would be judged by a wrong
/// status or type. A spelling that is blank, or padded with blanks, is refused too, because it looks like another
/// spelling.
fn keeps_its_meaning<T: Copy + PartialEq>(
    document: &Document<'_>,
    spelling: &Spanned<String>,
    what: &str,
    own: Option<T>,
    mapped: T,
) -> Result<()> {
    let text = spelling.get_ref();
    if text.is_empty() || text.trim() != text {
        let what = format!("`{text}` is blank, or begins or ends with a blank: not a spelling of a {what}");
        return Err(document.refuse(
            spelling.span(),
            what,
            "export the column without padding, and map the values without blanks",
        ));
    }
    if own.is_some_and(|own| own != mapped) {
        let what = format!("`{text}` is a {what} already, and keeps its meaning");
        return Err(document.refuse(spelling.span(), what, "map other spellings only"));
    }
    Ok(())
}
