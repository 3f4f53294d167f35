//! A regression run as evidence: results, statements, and what ran when.

use crate::regress::statements::Statements;
use crate::regress::suite::CaseResult;

/// What evidence of a regression run states.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The results of the cases.
    pub results: &'a [CaseResult],
    /// The statements that cases are traced to; `None` where they are not traced.
    pub statements: Option<&'a Statements>,
    /// Why cases are not traced to statements, where they are not.
    pub not_traced: &'a str,
    /// The version of the engine.
    pub version: &'a str,
    /// BLAKE3 of the program's file in hex, where it can be read.
    pub binary: Option<String>,
    /// When the cases ran, UTC microseconds.
    pub at: i64,
    /// Seconds that the cases took.
    pub seconds: f64,
}

impl Evidence<'_> {
    /// The results of cases that fail.
    pub fn failed(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|result| !result.passed())
    }

    /// Sweeps of all cases together: one for each cell of each case.
    #[must_use]
    pub fn sweeps(&self) -> usize {
        self.results.iter().map(|result| result.cells.len()).sum()
    }

    /// BLAKE3 over the names and digests of all cases, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for result in self.results {
            hasher.update(result.case.name.as_bytes()).update(b"\n").update(result.case.digest.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// One line: how many cases pass, and how many statements are demonstrated.
    #[must_use]
    pub fn verdict(&self) -> String {
        let (all, failed) = (self.results.len(), self.failed().count());
        let cases = match (failed, all) {
            (0, 1) => "1 of 1 case passes".to_owned(),
            (0, _) => format!("{all} of {all} cases pass"),
            (1, _) => format!("1 case fails, {} of {all} pass", all - failed),
            _ => format!("{failed} cases fail, {} of {all} pass", all - failed),
        };
        let Some(statements) = self.statements else { return format!("{cases}; {}", self.not_traced) };
        let shown = statements.trace(self.results).iter().filter(|(_, trace)| trace.shown()).count();
        format!("{cases}; {shown} of {} statements are demonstrated", statements.all.len())
    }
}
