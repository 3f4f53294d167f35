//! `smi-sweep regress`: run regression cases, and hand over evidence.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::progress::{Progress, now};
use super::{Common, figures, print, print_json, remark};
use crate::error::{Error, Result};
use crate::regress::evidence::{About, junit, page};
use crate::regress::{Case, Outcome, Statements, bless, run};

/// Run regression cases through the whole matrix of storage forms and threads
///
/// A case is a folder with case.toml, snapshot.csv and expected.csv. A case that differs, or a statement without a
/// passing case, is exit code 6.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A case, or a folder of cases
    #[arg(value_name = "DIR", default_value = "fixtures/cases")]
    dir: PathBuf,
    /// The statements that cases speak for [default: requirements.toml beside DIR, where it is there]
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,
    /// Write a JUnit report, which must not exist yet
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a page for people, which must not exist yet
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Take what came as what is expected from now on, and show which lines changed
    #[arg(long)]
    bless: bool,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    for report in [&args.junit, &args.html].into_iter().flatten() {
        if report.exists() {
            return Err(Error::Usage {
                what: format!("{} exists already", report.display()),
                remedy: "name a file that does not exist yet; nothing is ever replaced".into(),
            });
        }
    }
    let cases = Case::read_all(&args.dir, args.bless)?;
    let statements = statements(args)?;
    let progress = Progress::new(common);
    let outcomes = run(cases, &common.pool(), &progress)?;
    if let Some(statements) = &statements {
        statements.know(&outcomes)?;
    }
    let statements = statements.unwrap_or_default();
    let (_, seconds) = progress.finish();
    if args.bless {
        let changes = bless(&outcomes)?;
        return print(&changes.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>());
    }
    let at = now();
    let about = About { version: env!("CARGO_PKG_VERSION"), at: &at, seconds };
    if let Some(path) = &args.junit {
        let text = junit(&outcomes, &statements, &about).map_err(|what| Error::Usage {
            what: format!("a case cannot be put into a JUnit report: {what}"),
            remedy: "remove control characters from its texts".into(),
        })?;
        write_new(path, &text)?;
    }
    if let Some(path) = &args.html {
        write_new(path, &page(&outcomes, &statements, &about))?;
    }
    show(&outcomes, &statements, seconds, common)
}

fn statements(args: &Args) -> Result<Option<Statements>> {
    if let Some(path) = &args.requirements {
        return Statements::read(path).map(Some);
    }
    let beside = args.dir.parent().unwrap_or(Path::new("")).join("requirements.toml");
    if beside.exists() { Statements::read(&beside).map(Some) } else { Ok(None) }
}

/// Writes a file whole or not at all, and never over another.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write into", folder))?;
    file.write_all(text.as_bytes()).map_err(Error::io("write", path))?;
    let file = file.persist_noclobber(path).map_err(|error| Error::io("write", path)(error.error))?;
    readable(&file).map_err(Error::io("set permissions of", path))
}

/// Temporary files are private; a report is as readable as any other file of the user.
fn readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn show(outcomes: &[Outcome], statements: &Statements, seconds: f64, common: &Common) -> Result<()> {
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    let without = statements.without_case(outcomes);
    let cells: usize = outcomes.iter().map(|outcome| outcome.cells).sum();
    if common.json {
        let cases: Vec<_> = outcomes
            .iter()
            .map(|outcome| {
                json!({
                    "case": outcome.case.name, "title": outcome.case.title, "requirements": outcome.case.requirements,
                    "cells": outcome.cells, "passed": outcome.passed(), "differences": outcome.differences,
                })
            })
            .collect();
        let missing: Vec<&str> = without.iter().map(|statement| statement.id.as_str()).collect();
        print_json(&json!({ "cases": cases, "statements_without_case": missing, "seconds": seconds }))?;
    } else {
        let mut text = String::new();
        for outcome in outcomes.iter().filter(|outcome| !outcome.passed()) {
            text.push_str(&format!("{}: {}\n", outcome.case.name, outcome.case.title));
            for difference in &outcome.differences {
                text.push_str(&format!("  {difference}\n"));
            }
        }
        for statement in &without {
            text.push_str(&format!("{}: no passing case speaks for it: {}\n", statement.id, statement.says));
        }
        text.push_str(&format!("{} of {} cases pass", outcomes.len() - failed, outcomes.len()));
        if !statements.all.is_empty() {
            let shown = statements.all.len() - without.len();
            text.push_str(&format!("; {shown} of {} statements are demonstrated", statements.all.len()));
        }
        text.push('\n');
        print(&text)?;
        remark(common, &format!("{} sweeps in {seconds:.1} s", figures::count(cells as u64)));
    }
    if failed == 0 && without.is_empty() {
        return Ok(());
    }
    Err(Error::Regression(format!("{failed} cases fail, {} statements are without a passing case", without.len())))
}
