//! Traceability: the statements that cases demonstrate, and which are still without one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Outcome;
use crate::error::{Error, Result};

/// Something that the assessment says, and software can show.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// How cases refer to it.
    pub id: String,
    /// The section of the assessment that says so.
    pub section: String,
    /// What it says, in our words.
    pub says: String,
}

/// All statements, in the order of their file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    /// The statements.
    #[serde(rename = "statement")]
    pub all: Vec<Statement>,
}

impl Statements {
    /// Reads a file of statements.
    ///
    /// # Errors
    /// A slip, with its line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let refuse = |line: usize, what: String, remedy: &str| Error::Case {
            path: path.to_path_buf(),
            line,
            what,
            remedy: remedy.into(),
        };
        let statements: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            refuse(line, error.message().to_owned(), "each [[statement]] has an id, a section, and says something")
        })?;
        let mut ids = BTreeSet::new();
        match statements.all.iter().find(|statement| !ids.insert(&statement.id)) {
            Some(twice) => {
                Err(refuse(1, format!("two statements are called {}", twice.id), "give each an id of its own"))
            }
            None => Ok(statements),
        }
    }

    /// Refuses cases that refer to statements which are not there.
    ///
    /// # Errors
    /// The first of them.
    pub fn know(&self, outcomes: &[Outcome]) -> Result<()> {
        for outcome in outcomes {
            for id in &outcome.case.requirements {
                if !self.all.iter().any(|statement| statement.id == *id) {
                    let ids: Vec<&str> = self.all.iter().map(|statement| statement.id.as_str()).collect();
                    return Err(Error::Case {
                        path: outcome.case.folder.join("case.toml"),
                        line: 1,
                        what: format!("no statement is called `{id}`"),
                        remedy: format!("there are {}", ids.join(", ")),
                    });
                }
            }
        }
        Ok(())
    }

    /// The cases that speak for a statement.
    pub fn cases<'o>(statement: &Statement, outcomes: &'o [Outcome]) -> impl Iterator<Item = &'o Outcome> {
        let id = statement.id.clone();
        outcomes.iter().filter(move |outcome| outcome.case.requirements.contains(&id))
    }

    /// Statements that no passing case speaks for.
    #[must_use]
    pub fn without_case<'s>(&'s self, outcomes: &[Outcome]) -> Vec<&'s Statement> {
        self.all.iter().filter(|statement| !Self::cases(statement, outcomes).any(Outcome::passed)).collect()
    }
}
