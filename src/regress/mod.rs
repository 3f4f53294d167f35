//! Regression cases: fixtures that prove what a policy and a build do, with evidence that can be signed.
//!
//! Each [`Case`] is swept by the real engine in every cell of a matrix of storage forms and threads; all must say the
//! same, byte for byte, and what they say is held against the case's expectations. [`Statements`] trace cases to what
//! they demonstrate. [`evidence`] makes pages and reports of it. What a policy change does to a real estate is
//! [`change`]'s.

mod case;
mod cells;
pub mod change;
pub mod evidence;
mod judge;
mod statements;

use std::fs;
use std::path::Path;

use case::expected_csv;
use judge::{Said, Stored, compare};

pub use case::{Case, Device, Ending};
pub use cells::{Cell, cells};
pub use statements::{Statement, Statements};

use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::watch::{Stage, Watch};

/// What a case came to.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// How many cells of the matrix were swept.
    pub cells: usize,
    /// What became of each device.
    pub endings: Vec<Ending>,
    /// How that differs from what was expected, in sentences. None: the case passed.
    pub differences: Vec<String>,
}

impl Outcome {
    /// Whether everything was as expected, in every cell.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Runs cases through the whole matrix.
///
/// # Errors
/// A cell that cannot be stored or swept at all, or an interruption. What merely differs is in the outcomes.
pub fn run(cases: Vec<Case>, pool: &Pool, watch: &dyn Watch) -> Result<Vec<Outcome>> {
    watch.begin(Stage::Scan, cases.len() as u64);
    // Workers of the sweeps themselves, made once.
    let (alone, together) = (Pool::new(Some(1)), Pool::new(Some(4)));
    let pool_of = |cell: &Cell| if cell.threads == 1 { &alone } else { &together };
    // Nothing is removed before the end: file systems are slow to give the same place twice.
    let home = tempfile::tempdir().map_err(Error::io("create a directory in", std::env::temp_dir()))?;
    pool.map(cases, |case| {
        let outcome = run_case(case, home.path(), &pool_of, watch)?;
        watch.advance(1);
        Ok(outcome)
    })
}

fn run_case<'p>(
    case: Case,
    folder: &Path,
    pool_of: &(dyn Fn(&Cell) -> &'p Pool + Sync),
    watch: &dyn Watch,
) -> Result<Outcome> {
    let cells = cells(&case.devices);
    let mut first: Option<(Cell, Said, Vec<Ending>)> = None;
    let mut differences = Vec::new();
    let mut stored: Option<(Cell, Stored)> = None;
    for (number, cell) in cells.iter().enumerate() {
        if watch.interrupted() {
            return Err(Error::Interrupted);
        }
        let storage = match stored.take().filter(|(other, _)| cell.stores_like(other)) {
            Some((_, storage)) => storage,
            None => Stored::new(&case, cell, folder.join(&case.name).join(number.to_string()))?,
        };
        let said = storage.sweep(&case, pool_of(cell))?;
        match &first {
            None => {
                let endings = storage.endings(&case, &said, pool_of(cell))?;
                for (row, what) in compare(&case, &said, &endings) {
                    let because = row.map(|row| storage.because(&case, row)).transpose()?.unwrap_or_default();
                    differences.push(if because.is_empty() { what } else { format!("{what}. The engine: {because}") });
                }
                first = Some((*cell, said, endings));
            }
            Some((plainest, expected, _)) if said != *expected => {
                differences.push(format!("({cell}) says something else than ({plainest})"));
            }
            Some(_) => {}
        }
        stored = Some((*cell, storage));
    }
    let Some((_, _, endings)) = first else { return Err(Error::Unbalanced("a matrix without cells".into())) };
    Ok(Outcome { cells: cells.len(), endings, differences, case })
}

/// Writes what came as what is expected from now on, and says which lines changed, by file: `-` before, `+` after.
///
/// # Errors
/// Where a file cannot be written.
pub fn bless(outcomes: &[Outcome]) -> Result<Vec<String>> {
    let mut changes = Vec::new();
    for outcome in outcomes {
        let path = outcome.case.folder.join("expected.csv");
        let (before, after) = (expected_csv(&outcome.case.expected), expected_csv(&outcome.endings));
        if before == after && path.exists() {
            continue;
        }
        fs::write(&path, &after).map_err(Error::io("write", &path))?;
        changes.push(format!("{}:", path.display()));
        let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
        changes.extend(before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}")));
        changes.extend(after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}")));
    }
    Ok(changes)
}
