//! Runs cases: every cell of the matrix, compared with what the case expects and with the first cell.

use std::time::Duration;

use super::case::Case;
use super::cells::{MatrixCell, cells};
use super::compare::{CaseDifference, between_cells, compare, disagreement};
use super::judge::{CellResult, StoredCase, Workspace};
use super::published::ActualOutcome;
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};

/// The result of a case.
#[derive(Debug)]
pub struct CaseResult {
    /// The case.
    pub case: Case,
    /// The cells of the matrix that were swept.
    pub cells: Vec<MatrixCell>,
    /// The outcome of each device in the first cell; empty where the engine failed there.
    pub actual: Vec<ActualOutcome>,
    /// Differences from what is expected, and between cells. Empty where the case passes.
    pub differences: Vec<CaseDifference>,
    /// How long it took; zero where the [`Progress`] takes no time.
    pub took: Duration,
}

impl CaseResult {
    /// Whether the case passes, in every cell.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// Whether it would pass with another `expected.csv`.
    #[must_use]
    pub fn blessable(&self) -> bool {
        self.differences.iter().all(|difference| difference.blessable)
    }
}

/// Runs cases in every cell of the matrix, or, with `quick`, in the first cell only. Results are in the order of the cases.
///
/// # Errors
/// A cell that cannot be stored, or an interruption. A case that fails is no error: see [`CaseResult::differences`].
pub fn run(cases: Vec<Case>, quick: bool, pool: &Pool, progress: &dyn Progress) -> Result<Vec<CaseResult>> {
    progress.begin(Stage::Cases, cases.len() as u64);
    pool.map_with(
        cases,
        || None,
        |workspace: &mut Option<Workspace>, case| {
            let workspace = match workspace {
                Some(workspace) => workspace,
                None => workspace.insert(Workspace::new()?),
            };
            let result = run_case(case, quick, workspace, progress)?;
            progress.advance(1);
            Ok(result)
        },
    )
}

fn run_case(case: Case, quick: bool, workspace: &Workspace, progress: &dyn Progress) -> Result<CaseResult> {
    let began = progress.elapsed();
    let mut cells = cells(&case.devices);
    if quick {
        cells.truncate(1);
    }
    let mut first: Option<CellResult> = None;
    let mut differences = Vec::new();
    let mut disagreements = Vec::new();
    for cell in &cells {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let stored = StoredCase::new(workspace, &case.devices, cell)?;
        let found = match stored.sweep(&case, cell) {
            Ok(found) => found,
            Err(error @ (Error::Io { .. } | Error::Write { .. })) => return Err(error),
            Err(error) => {
                disagreements.push((*cell, format!("the engine ends with an error: {error}")));
                continue;
            }
        };
        if let Some(first) = &first {
            let because = |row| stored.because(&case, row).unwrap_or_default();
            disagreements.extend(disagreement(first, &found, &because).map(|what| (*cell, what)));
        } else {
            differences = explained(compare(&case, &found), &stored, &case)?;
            first = Some(found);
        }
    }
    differences.extend(between_cells(&disagreements, &cells).into_iter().map(CaseDifference::not_blessable));
    let actual = first.map(|found| found.reconciliation.actual).unwrap_or_default();
    Ok(CaseResult { cells, actual, differences, took: progress.elapsed().saturating_sub(began), case })
}

/// Adds the engine's explanation to each difference that is about a device.
fn explained(
    mut differences: Vec<CaseDifference>,
    stored: &StoredCase<'_>,
    case: &Case,
) -> Result<Vec<CaseDifference>> {
    for difference in &mut differences {
        let because = difference.row.map(|row| stored.because(case, row)).transpose()?.unwrap_or_default();
        if !because.is_empty() {
            difference.what = format!("{}. The engine: {because}", difference.what);
        }
    }
    Ok(differences)
}
