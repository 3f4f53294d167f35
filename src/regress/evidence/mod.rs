//! Evidence of a regression run: a report that build servers read, and a page that a test manager signs.

mod junit;
mod page;

pub use junit::junit;
pub use page::page;

use super::{Outcome, Statements};

/// A regression run, as far as evidence speaks of it.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What the cases came to.
    pub outcomes: &'a [Outcome],
    /// The statements that they are traced to, where they are.
    pub statements: Option<&'a Statements>,
    /// Why they are not, where they are not.
    pub not_traced: &'a str,
    /// The version of the engine.
    pub version: &'a str,
    /// BLAKE3 of the program that ran, where it can be read.
    pub binary: Option<String>,
    /// When the run was made, UTC microseconds.
    pub at: i64,
    /// How long it took.
    pub seconds: f64,
}

impl Evidence<'_> {
    /// Cases that fail.
    pub fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| !outcome.passed())
    }

    /// Sweeps of all cases together.
    #[must_use]
    pub fn sweeps(&self) -> usize {
        self.outcomes.iter().map(|outcome| outcome.cells.len()).sum()
    }

    /// One digest of the files of all cases.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for outcome in self.outcomes {
            hasher.update(outcome.case.name.as_bytes()).update(b"\n").update(outcome.case.digest.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// In a few words, whether everything is as it was to be.
    #[must_use]
    pub fn verdict(&self) -> String {
        let (all, failed) = (self.outcomes.len(), self.failed().count());
        let cases = match (failed, all) {
            (0, 1) => "1 of 1 case passes".to_owned(),
            (0, _) => format!("{all} of {all} cases pass"),
            (1, _) => format!("1 case fails, {} of {all} pass", all - failed),
            _ => format!("{failed} cases fail, {} of {all} pass", all - failed),
        };
        let Some(statements) = self.statements else { return format!("{cases}; {}", self.not_traced) };
        let shown = statements.trace(self.outcomes).iter().filter(|(_, trace)| trace.shown()).count();
        format!("{cases}; {shown} of {} statements are demonstrated", statements.all.len())
    }
}
