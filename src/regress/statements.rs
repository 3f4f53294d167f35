//! Traceability: the statements that cases demonstrate, and which statements no case demonstrates yet.
//!
//! A statement lists the outcomes that its passing cases must have between them. A case that only names the statement
//! proves nothing.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::case::{Case, DispositionKind};
use super::published::{ActualOutcome, rule_row};
use super::suite::CaseResult;
use super::table::{read_text, refuse};
use crate::error::{Result, nearest};
use crate::estate::{DeviceType, Reason};

/// What a statement may need besides dispositions and reasons: a deletion with an alert, one without, a run that a guard
/// stopped, one that an exact number let pass, and a policy whose digest the case pins.
const OTHERS: [&str; 5] = ["alert", "silent", "stopped", "accepted", "digest"];

/// Something that cases demonstrate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceableStatement {
    /// The id by which cases refer to it.
    pub id: String,
    /// The section of the assessment that states it, or another source.
    pub section: String,
    /// The statement, paraphrased.
    pub says: String,
    /// The outcomes that its passing cases must have between them: a word, or a device type and a word, as in
    /// `CHF excluded`.
    pub needs: Vec<String>,
}

/// All statements, in the order of their file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    /// The statements.
    #[serde(rename = "statement")]
    pub all: Vec<TraceableStatement>,
}

/// The cases of a statement, and what they leave undemonstrated.
#[derive(Debug)]
pub struct Trace<'o> {
    /// The cases that name the statement, passing or not.
    pub cases: Vec<&'o CaseResult>,
    /// What the statement needs and no passing case has.
    pub missing: Vec<&'o str>,
}

impl Trace<'_> {
    /// Whether passing cases have all that the statement needs.
    #[must_use]
    pub fn shown(&self) -> bool {
        self.missing.is_empty()
    }
}

impl Statements {
    /// Reads a file of statements.
    ///
    /// # Errors
    /// A mistake in the file, with its line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let statements: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let remedy = "each [[statement]] has an id, a section, says something, and needs outcomes";
            refuse(path, line, error.message().to_owned(), remedy)
        })?;
        let line = |id: &str, nth: usize| {
            let own = |line: &str| line.trim_start().starts_with("id") && line.contains(&format!("\"{id}\""));
            text.lines().enumerate().filter(|(_, line)| own(line)).nth(nth).map_or(1, |(index, _)| index + 1)
        };
        let mut ids = BTreeSet::new();
        for statement in &statements.all {
            let id = &statement.id;
            if !ids.insert(id) {
                return Err(refuse(
                    path,
                    line(id, 1),
                    format!("two statements are called {id}"),
                    "give each an id of its own",
                ));
            }
            if statement.needs.is_empty() {
                let what = format!("{id} needs nothing, so that anything would show it");
                return Err(refuse(path, line(id, 0), what, "name outcomes, as in needs = [\"CHF excluded\"]"));
            }
            for need in &statement.needs {
                known(need).map_err(|remedy| {
                    refuse(path, line(id, 0), format!("{id} needs `{need}`, which no case can have"), remedy)
                })?;
            }
        }
        Ok(statements)
    }

    /// Checks that all statements that cases name exist.
    ///
    /// # Errors
    /// The first one that does not, with the case and the line.
    pub fn check_names(&self, cases: &[Case]) -> Result<()> {
        let ids: Vec<&str> = self.all.iter().map(|statement| statement.id.as_str()).collect();
        for case in cases {
            if let Some(id) = case.requirements.iter().find(|id| !ids.contains(&id.as_str())) {
                let path = case.folder.join("case.toml");
                let line = read_text(&path)?.lines().position(|line| line.contains(&format!("\"{id}\"")));
                let near = nearest(id, ids.iter().copied()).map(|near| format!("did you mean `{near}`? "));
                let remedy = format!("{}there are {}", near.unwrap_or_default(), ids.join(", "));
                let what = format!("no statement is called `{id}`");
                return Err(refuse(&path, line.map_or(1, |index| index + 1), what, remedy));
            }
        }
        Ok(())
    }

    /// Each statement with its cases, in the order of the file.
    #[must_use]
    pub fn trace<'o>(&'o self, results: &'o [CaseResult]) -> Vec<(&'o TraceableStatement, Trace<'o>)> {
        let trace = |statement: &'o TraceableStatement| {
            let cases: Vec<&CaseResult> =
                results.iter().filter(|result| result.case.requirements.contains(&statement.id)).collect();
            let shown: BTreeSet<String> =
                cases.iter().filter(|result| result.passed()).flat_map(|result| shows(result)).collect();
            let missing = statement.needs.iter().filter(|need| !shown.contains(*need)).map(String::as_str).collect();
            (statement, Trace { cases, missing })
        };
        self.all.iter().map(trace).collect()
    }
}

/// Checks an entry of `needs`. The error lists the words that there are.
fn known(need: &str) -> std::result::Result<(), String> {
    let (device_type, word) = need.split_once(' ').map_or((None, need), |(name, word)| (Some(name), word));
    let words: Vec<&str> = DispositionKind::ALL
        .map(DispositionKind::name)
        .into_iter()
        .chain(OTHERS)
        .chain(Reason::ALL.map(Reason::name))
        .collect();
    let hint = |found: &str, known: &[&str]| {
        let near = nearest(found, known.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        format!("{}there are {}", near.unwrap_or_default(), known.join(", "))
    };
    if !words.contains(&word) {
        return Err(hint(word, &words));
    }
    match device_type {
        Some(name) if !DeviceType::BUILT_IN.contains(&name) => Err(hint(name, &DeviceType::BUILT_IN)),
        _ => Ok(()),
    }
}

/// What a case demonstrates, in the words of `needs`.
fn shows(result: &CaseResult) -> BTreeSet<String> {
    let case = &result.case;
    let mut shows = BTreeSet::new();
    if case.policy_digest.is_some() {
        shows.insert("digest".to_owned());
    }
    if case.stopped_by.is_some() {
        // Nothing is published, so that no outcome counts.
        shows.insert("stopped".to_owned());
        return shows;
    }
    if case.accept.deletes.is_some() || case.accept.quarantined.is_some() {
        shows.insert("accepted".to_owned());
    }
    for (device, ActualOutcome { outcome, .. }) in case.devices.iter().zip(&result.actual) {
        let detail = match (outcome.disposition, outcome.alert.is_empty()) {
            (DispositionKind::Delete, true) => "silent",
            (DispositionKind::Delete, false) => "alert",
            _ => outcome.reason_name(),
        };
        let type_name = case.policy.types.name(rule_row(device, &case.policy).type_code);
        for word in [outcome.disposition.name(), detail].into_iter().filter(|word| !word.is_empty()) {
            shows.insert(word.to_owned());
            shows.insert(format!("{type_name} {word}"));
        }
    }
    shows
}
