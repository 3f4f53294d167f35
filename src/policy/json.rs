//! A policy as JSON, for run records, and its digest.
//!
//! The document is the *effective* policy, with defaults and resolved aliases. Two policies whose files differ in
//! comments or order only have the same digest.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::guard::GuardDocument;
use super::{NO_STATUS, Policy};
use crate::error::Result;
use crate::estate::{DateFormat, DeviceType, SmiStatus, Zone, time};

/// The document.
#[derive(Serialize)]
struct PolicyDocument<'p> {
    name: &'p str,
    version: u32,
    candidate_statuses: Vec<&'static str>,
    boundary: &'static str,
    threshold: ThresholdDocument<'p>,
    exclude: TypesDocument<'p>,
    alerts: AlertsDocument<'p>,
    guard: GuardDocument<'p>,
    types: ExtraTypesDocument<'p>,
    snapshot: SpellingsDocument<'p>,
}

#[derive(Serialize)]
struct ThresholdDocument<'p> {
    default: u32,
    by_type: BTreeMap<&'p str, u32>,
}

#[derive(Serialize)]
struct TypesDocument<'p> {
    types: Vec<&'p str>,
}

#[derive(Serialize)]
struct AlertsDocument<'p> {
    code: &'p str,
    silent_types: Vec<&'p str>,
}

#[derive(Serialize)]
struct ExtraTypesDocument<'p> {
    extra: Vec<&'p str>,
}

/// Spellings of the estate, each with the DUIS name.
#[derive(Serialize)]
struct SpellingsDocument<'p> {
    columns: BTreeMap<&'p str, &'static str>,
    statuses: BTreeMap<&'p str, &'static str>,
    types: BTreeMap<&'p str, &'p str>,
    // Missing keys are left out, so that a policy without them keeps its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_format: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'p str>,
}

/// The name to which a spelling is mapped.
#[must_use]
pub fn status_name(status: Option<SmiStatus>) -> &'static str {
    status.map_or(NO_STATUS, SmiStatus::name)
}

impl Policy {
    /// The whole effective policy.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let name = |device_type: DeviceType| self.types.name(device_type.code());
        let spellings = &self.spellings;
        let document = PolicyDocument {
            name: &self.name,
            version: self.version,
            candidate_statuses: self.candidate_statuses.iter().map(SmiStatus::name).collect(),
            boundary: self.boundary.name(),
            threshold: ThresholdDocument {
                default: self.thresholds.default,
                by_type: self.thresholds.by_type.iter().map(|(&own, &months)| (name(own), months)).collect(),
            },
            exclude: TypesDocument { types: self.types.names_of(self.exclude).collect() },
            alerts: AlertsDocument {
                code: &self.alerts.code,
                silent_types: self.types.names_of(self.alerts.silent_types).collect(),
            },
            guard: (&self.guard).into(),
            types: ExtraTypesDocument {
                extra: self.types.iter().skip(DeviceType::BUILT_IN.len()).map(|(_, name)| name).collect(),
            },
            snapshot: SpellingsDocument {
                columns: spellings.columns.iter().map(|(theirs, ours)| (theirs.as_str(), ours.name())).collect(),
                statuses: spellings
                    .statuses
                    .iter()
                    .map(|(theirs, &ours)| (theirs.as_str(), status_name(ours)))
                    .collect(),
                types: spellings.types.iter().map(|(theirs, &ours)| (theirs.as_str(), name(ours))).collect(),
                earliest_date: self.earliest_date.map(time::format_day),
                date_format: spellings.dates.format.as_ref().map(DateFormat::pattern),
                timezone: spellings.dates.zone.as_ref().map(Zone::name),
            },
        };
        // The document has text, lists and finite numbers only, so serializing cannot fail.
        serde_json::to_value(document).unwrap_or_default()
    }

    /// BLAKE3 of the effective policy, in hex. Comments, order and aliases do not change it; everything that can change
    /// a decision does.
    #[must_use]
    pub fn digest(&self) -> String {
        // `serde_json` keeps objects sorted by key, which makes the text canonical.
        blake3::hash(self.to_json().to_string().as_bytes()).to_hex().to_string()
    }

    /// Reads the policy of a run record back.
    ///
    /// # Errors
    /// A document that [`to_json`](Self::to_json) could not have written.
    pub fn from_json(document: &Value, source: &str) -> Result<Self> {
        Self::parse(&toml_of(document.clone()), source)
    }

    /// The whole effective policy as a file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml_of(self.to_json())
    }
}

/// The document of a policy as TOML. A policy has no null, which TOML lacks, and inline tables of TOML can hold nested
/// objects.
fn toml_of(mut document: Value) -> String {
    if let Some(threshold) = document.get_mut("threshold").and_then(Value::as_object_mut)
        && let Some(Value::Object(by_type)) = threshold.remove("by_type")
    {
        threshold.extend(by_type);
    }
    if let Some(whole) = document.as_object_mut() {
        whole.remove("digest");
    }
    inline(&document)
}

/// A JSON object as TOML: one line for each key, nested values inline.
fn inline(document: &Value) -> String {
    let Some(entries) = document.as_object() else { return String::new() };
    let lines = entries.iter().map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), inline_value(value)));
    lines.collect::<Vec<_>>().join("\n")
}

fn inline_value(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{} = {}", Value::from(key.as_str()), inline_value(value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline_value).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
