//! Regression cases: fixtures that prove what a policy and a build do, with evidence that can be signed.
//!
//! Each [`Case`] is swept by the real engine in every cell of a matrix of storage forms and threads; all must say the
//! same, byte for byte, and what they say is held against the case's expectations. [`Statements`] trace cases to what
//! they demonstrate. [`evidence`] makes pages and reports of it. What a policy change does to a real estate is
//! [`change`]'s.

mod bless;
mod case;
mod cells;
pub mod change;
mod compare;
pub mod evidence;
mod judge;
mod published;
mod statements;
mod store;
mod table;

use std::time::Duration;

use compare::{between_cells, compare, disagreement};
use judge::{Bench, Said, Stored};

pub use bless::bless;
pub use case::{Case, Device, Ending, Expectation, is_case};
pub use cells::{Cell, cells};
pub use compare::Difference;
pub use published::{Got, Source};
pub use statements::{Statement, Statements, Trace};

use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};

/// What a case came to.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// The cells of the matrix that were swept.
    pub cells: Vec<Cell>,
    /// What became of each device, in the plainest cell.
    pub got: Vec<Got>,
    /// How that differs from what was expected, and cells from one another. None: the case passed.
    pub differences: Vec<Difference>,
    /// How long it took, as far as somebody takes the time.
    pub took: Duration,
}

impl Outcome {
    /// Whether everything was as expected, in every cell.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// Whether other expectations of its devices would make it pass.
    #[must_use]
    pub fn blessable(&self) -> bool {
        self.differences.iter().all(|difference| difference.blessable)
    }
}

/// Runs cases through the whole matrix, or, for a quick look, in the plainest cell only.
///
/// # Errors
/// A cell that cannot be stored, or an interruption. What merely differs is in the outcomes.
pub fn run(cases: Vec<Case>, quick: bool, pool: &Pool, progress: &dyn Progress) -> Result<Vec<Outcome>> {
    progress.begin(Stage::Cases, cases.len() as u64);
    pool.map_with(
        cases,
        || None,
        |bench: &mut Option<Bench>, case| {
            let bench = match bench {
                Some(bench) => bench,
                None => bench.insert(Bench::new()?),
            };
            let outcome = run_case(case, quick, bench, progress)?;
            progress.advance(1);
            Ok(outcome)
        },
    )
}

fn run_case(case: Case, quick: bool, bench: &Bench, progress: &dyn Progress) -> Result<Outcome> {
    let began = progress.elapsed();
    let mut cells = cells(&case.devices);
    if quick {
        cells.truncate(1);
    }
    let mut plainest: Option<Said> = None;
    let mut differences = Vec::new();
    let mut disagreements = Vec::new();
    for cell in &cells {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let stored = Stored::new(bench, &case.devices, cell)?;
        let said = match stored.sweep(&case, cell) {
            Ok(said) => said,
            Err(error @ (Error::Io { .. } | Error::Write { .. })) => return Err(error),
            Err(error) => {
                disagreements.push((*cell, format!("the engine ends with an error: {error}")));
                continue;
            }
        };
        match &plainest {
            None => {
                for mut difference in compare(&case, &said) {
                    let because = difference.row.map(|row| stored.because(&case, row)).transpose()?.unwrap_or_default();
                    if !because.is_empty() {
                        difference.what = format!("{}. The engine: {because}", difference.what);
                    }
                    differences.push(difference);
                }
                plainest = Some(said);
            }
            Some(plainest) => {
                let because = |row| stored.because(&case, row).unwrap_or_default();
                disagreements.extend(disagreement(plainest, &said, &because).map(|what| (*cell, what)));
            }
        }
    }
    differences.extend(between_cells(&disagreements, &cells).into_iter().map(Difference::beyond_blessing));
    let got = plainest.map(|said| said.account.got).unwrap_or_default();
    Ok(Outcome { cells, got, differences, took: progress.elapsed().saturating_sub(began), case })
}
