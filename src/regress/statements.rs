//! Traceability: the statements that cases demonstrate, and which statements no case demonstrates yet.
//!
//! A statement lists outcomes; each must occur in a passing case that names the statement.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::case::{Case, DispositionKind};
use super::published::{ActualOutcome, rule_row};
use super::suite::CaseResult;
use super::table::read_text;
use crate::config::{Document, Section, Spanned};
use crate::error::{DocumentKind, Result, did_you_mean};
use crate::estate::{DeviceType, Reason};
use crate::shown;

/// What a statement may need in addition to dispositions and reasons: a deletion with an alert, one without, a run that a guard
/// stopped, one that an exact number let pass, and a policy whose digest the case pins.
const OTHERS: [&str; 5] = ["alert", "silent", "stopped", "accepted", "digest"];

/// Something that cases demonstrate.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements {
    /// The statements.
    pub all: Vec<TraceableStatement>,
}

/// The document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementsFile {
    statement: Vec<Section<StatementSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementSection {
    id: Spanned<String>,
    section: String,
    says: String,
    needs: Spanned<Vec<Spanned<String>>>,
}

/// The cases of a statement, and what none of them demonstrates.
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
        let source = shown::path(&path).to_string();
        let document = Document { kind: DocumentKind::Case, source: &source, text: &text };
        let file: StatementsFile = document.read()?;
        let mut ids = BTreeSet::new();
        let mut all = Vec::new();
        for section in file.statement {
            let StatementSection { id, section, says, needs } = section.into_inner();
            if !ids.insert(id.get_ref().clone()) {
                let what = format!("two statements are called {}", id.get_ref());
                return Err(document.refuse(id.span(), what, "give each an id of its own"));
            }
            if needs.get_ref().is_empty() {
                let what = format!("{} needs nothing, so that anything would show it", id.get_ref());
                return Err(document.refuse(needs.span(), what, "name outcomes, as in needs = [\"CHF excluded\"]"));
            }
            for need in needs.get_ref() {
                let what = || format!("{} needs `{}`, which no case can have", id.get_ref(), need.get_ref());
                known(need.get_ref()).map_err(|remedy| document.refuse(need.span(), what(), remedy))?;
            }
            let needs = needs.into_inner().into_iter().map(Spanned::into_inner).collect();
            all.push(TraceableStatement { id: id.into_inner(), section, says, needs });
        }
        Ok(Self { all })
    }

    /// Checks that all statements that cases name exist.
    ///
    /// # Errors
    /// The first one that does not, with the case and the line.
    pub fn check_names(&self, cases: &[Case]) -> Result<()> {
        let ids: Vec<&str> = self.all.iter().map(|statement| statement.id.as_str()).collect();
        for case in cases {
            if let Some(index) = case.requirements.iter().position(|id| !ids.contains(&id.as_str())) {
                let id = &case.requirements[index];
                let remedy = format!("{}there are {}", did_you_mean(id, ids.iter().copied()), ids.join(", "));
                return Err(case.refuse_requirement(index, format!("no statement is called `{id}`"), remedy));
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
        format!("{}there are {}", did_you_mean(found, known.iter().copied()), known.join(", "))
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
