//! Traceability: the statements that cases demonstrate, and which are still without evidence.
//!
//! A statement says which endings its cases must have between them, so that a case that happens to name it proves
//! nothing: an empty estate has no ending at all.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::case::{Case, dispositions};
use super::table::{read_text, refuse};
use super::{Outcome, published};
use crate::error::{Result, nearest};
use crate::estate::{DeviceType, Reason};

/// What a statement may need besides dispositions and reasons: a deletion that somebody is told of, one that nobody is
/// told of, a run that a guard stopped, one that an exact number let pass, and a policy whose digest the case pins.
const OTHERS: [&str; 5] = ["alert", "silent", "stopped", "accepted", "digest"];

/// Something that software can show.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// How cases refer to it.
    pub id: String,
    /// The section of the assessment that says so, or what else does.
    pub section: String,
    /// What it says, in our words.
    pub says: String,
    /// The endings that its cases must have between them: a word, or a device type and a word, as in `CHF excluded`.
    pub needs: Vec<String>,
}

/// All statements, in the order of their file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    /// The statements.
    #[serde(rename = "statement")]
    pub all: Vec<Statement>,
}

/// A statement, and what cases show of it.
#[derive(Debug)]
pub struct Trace<'o> {
    /// The cases that speak for it.
    pub cases: Vec<&'o Outcome>,
    /// What it needs and none of them that passed has.
    pub missing: Vec<&'o str>,
}

impl Trace<'_> {
    /// Whether passing cases show all that it needs.
    #[must_use]
    pub fn shown(&self) -> bool {
        self.missing.is_empty()
    }
}

impl Statements {
    /// Reads a file of statements.
    ///
    /// # Errors
    /// A slip, with its line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let statements: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let remedy = "each [[statement]] has an id, a section, says something, and needs endings";
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
                return Err(refuse(path, line(id, 0), what, "name endings, as in needs = [\"CHF excluded\"]"));
            }
            for need in &statement.needs {
                known(need).map_err(|remedy| {
                    refuse(path, line(id, 0), format!("{id} needs `{need}`, which no case can have"), remedy)
                })?;
            }
        }
        Ok(statements)
    }

    /// Refuses cases that refer to statements which are not there.
    ///
    /// # Errors
    /// The first of them.
    pub fn know(&self, cases: &[Case]) -> Result<()> {
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

    /// Each statement with what cases show of it.
    #[must_use]
    pub fn trace<'o>(&'o self, outcomes: &'o [Outcome]) -> Vec<(&'o Statement, Trace<'o>)> {
        let trace = |statement: &'o Statement| {
            let cases: Vec<&Outcome> =
                outcomes.iter().filter(|outcome| outcome.case.requirements.contains(&statement.id)).collect();
            let shown: BTreeSet<String> =
                cases.iter().filter(|outcome| outcome.passed()).flat_map(|outcome| shows(outcome)).collect();
            let missing = statement.needs.iter().filter(|need| !shown.contains(*need)).map(String::as_str).collect();
            (statement, Trace { cases, missing })
        };
        self.all.iter().map(trace).collect()
    }
}

/// Refuses a need that is no word of ours, saying which there are.
fn known(need: &str) -> std::result::Result<(), String> {
    let (device_type, word) = need.split_once(' ').map_or((None, need), |(name, word)| (Some(name), word));
    let words: Vec<&str> = dispositions().into_iter().chain(OTHERS).chain(Reason::ALL.map(Reason::name)).collect();
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

/// What a case shows, in the words of needs.
fn shows(outcome: &Outcome) -> BTreeSet<String> {
    let case = &outcome.case;
    let mut shows = BTreeSet::new();
    if case.policy_digest.is_some() {
        shows.insert("digest".to_owned());
    }
    if case.stopped_by.is_some() {
        // Nothing was published that could show more.
        shows.insert("stopped".to_owned());
        return shows;
    }
    if case.accept.deletes.is_some() || case.accept.quarantined.is_some() {
        shows.insert("accepted".to_owned());
    }
    for (device, got) in case.devices.iter().zip(&outcome.got) {
        let ending = &got.ending;
        let told = match (ending.disposition.as_str(), ending.alert.is_empty()) {
            ("delete", true) => "silent",
            ("delete", false) => "alert",
            _ => ending.reason.as_str(),
        };
        let type_name = case.policy.types.name(published::judged(device, &case.policy).type_code);
        for word in [ending.disposition.as_str(), told].into_iter().filter(|word| !word.is_empty()) {
            shows.insert(word.to_owned());
            shows.insert(format!("{type_name} {word}"));
        }
    }
    shows
}
