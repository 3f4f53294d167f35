//! `smi-sweep regress`: run regression cases, and hand over evidence.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::{TerminalProgress, now};
use super::{Common, figures, print, print_json, remark};
use crate::error::{Error, Result};
use crate::estate::time::format_instant;
use crate::output::{Existing, OutputFile, check_writable, folder_of};
use crate::regress::evidence::{Evidence, junit, page};
use crate::regress::{Case, Outcome, Statements, Trace, bless, is_case, run};

/// Run regression cases through the whole matrix of storage forms and threads
///
/// A case is a folder with case.toml, snapshot.csv and expected.csv. A case that differs, or a statement of which passing
/// cases do not show all that it needs, is exit code 6. Of a single case only the names of its statements are checked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A case, or a folder of cases
    #[arg(value_name = "DIR", default_value = "fixtures/cases")]
    dir: PathBuf,
    /// The statements that cases speak for [default: requirements.toml beside the folder of cases, where it is there]
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,
    /// Write a JUnit report, which must not exist yet
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a page for people, which must not exist yet
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Take what came as what is expected from now on, and show which lines changed
    #[arg(long, conflicts_with_all = ["junit", "html", "json"])]
    bless: bool,
    /// Sweep each case in the plainest form only: a first look while writing cases, and no evidence
    #[arg(long, conflicts_with_all = ["junit", "html"])]
    quick: bool,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    for report in [&args.junit, &args.html].into_iter().flatten() {
        writable(report)?;
    }
    // Of `.` the parent, and of a case the name, are known only from the whole path.
    let dir = fs::canonicalize(&args.dir).map_err(Error::io("read", &args.dir))?;
    let cases = Case::read_all(&dir, args.bless)?;
    let single = is_case(&dir);
    let (statements, not_traced) = statements(args, &dir, single)?;
    if let Some(statements) = &statements {
        statements.know(&cases)?;
    }
    let progress = TerminalProgress::new(common);
    let outcomes = run(cases, args.quick, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if args.bless {
        for outcome in outcomes.iter().filter(|outcome| !outcome.blessable()) {
            print(&failure(outcome, |difference| !difference.blessable))?;
        }
        return print(&bless(&outcomes)?);
    }
    let evidence = Evidence {
        outcomes: &outcomes,
        statements: statements.as_ref().filter(|_| !single),
        not_traced: &not_traced,
        version: env!("CARGO_PKG_VERSION"),
        binary: program(),
        at: now(),
        seconds,
    };
    if let Some(path) = &args.junit {
        let text = junit(&evidence).map_err(|what| Error::Usage {
            what: format!("a case cannot be put into a JUnit report: {what}"),
            remedy: "remove control characters from its texts".into(),
        })?;
        write_new(path, &text)?;
    }
    if let Some(path) = &args.html {
        write_new(path, &page(&evidence))?;
    }
    show(&evidence, common)
}

/// Refuses a file that could not be written once everything has run.
fn writable(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(Error::Usage {
            what: format!("{} exists already", path.display()),
            remedy: "name a file that does not exist yet; nothing is ever replaced".into(),
        });
    }
    check_writable(folder_of(path))
}

/// The statements, and why cases are not traced to them where they are not.
fn statements(args: &Args, dir: &Path, single: bool) -> Result<(Option<Statements>, String)> {
    let above = |path: &Path| path.parent().map(Path::to_path_buf).unwrap_or_default();
    let home = if single { above(&above(dir)) } else { above(dir) };
    let path = args.requirements.clone().unwrap_or_else(|| home.join("requirements.toml"));
    if args.requirements.is_none() && !path.exists() {
        let beside = if single { "the folder of the case" } else { "DIR" };
        return Ok((None, format!("statements not checked: no requirements.toml beside {beside}")));
    }
    let statements = Statements::read(&path)?;
    Ok((Some(statements), "a single case: only the names of its statements are checked".into()))
}

/// BLAKE3 of the program that runs, so that evidence says which one it was.
fn program() -> Option<String> {
    let bytes = fs::read(std::env::current_exe().ok()?).ok()?;
    Some(blake3::hash(&bytes).to_hex().to_string())
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    OutputFile::atomic(path, Existing::Refuse)?.finish_with(text.as_bytes()).map(drop)
}

/// A case with those of its differences that are asked for.
fn failure(outcome: &Outcome, which: impl Fn(&crate::regress::Difference) -> bool) -> String {
    let mut text = format!("{}: {}\n", outcome.case.name, outcome.case.title);
    for difference in outcome.differences.iter().filter(|difference| which(difference)) {
        text.push_str(&format!("  {}\n", difference.what));
    }
    text
}

fn show(evidence: &Evidence<'_>, common: &Common) -> Result<()> {
    let traced = evidence.statements.map(|statements| statements.trace(evidence.outcomes)).unwrap_or_default();
    let without = traced.iter().filter(|(_, trace)| !trace.shown()).count();
    if common.json {
        print_json(&document(evidence, &traced))?;
    } else {
        let mut text: String = evidence.failed().map(|outcome| failure(outcome, |_| true)).collect();
        for (statement, trace) in traced.iter().filter(|(_, trace)| !trace.shown()) {
            let missing = trace.missing.join(", ");
            text.push_str(&format!("{}: no passing case shows {missing}: {}\n", statement.id, statement.says));
        }
        text.push_str(&format!("{}\n", evidence.verdict()));
        print(&text)?;
        let sweeps = figures::count(evidence.sweeps() as u64);
        let only = if evidence.outcomes.iter().all(|outcome| outcome.cells.len() == 1) {
            ", in the plainest form only"
        } else {
            ""
        };
        remark(common, &format!("{sweeps} sweeps in {:.1} s{only}", evidence.seconds));
    }
    let failed = evidence.failed().count();
    if failed == 0 && without == 0 {
        return Ok(());
    }
    let cases = if failed == 1 { "1 case fails".to_owned() } else { format!("{failed} cases fail") };
    let statements = match without {
        0 => String::new(),
        1 => ", 1 statement is not shown".to_owned(),
        _ => format!(", {without} statements are not shown"),
    };
    let remedy = match (failed, without) {
        (0, _) => "tag a case that shows what the statement needs, or write one",
        _ => "see above what differs; where other endings are meant, --bless takes them as they came",
    };
    Err(Error::Regression { what: format!("{cases}{statements}"), remedy })
}

fn document(evidence: &Evidence<'_>, traced: &[(&crate::regress::Statement, Trace<'_>)]) -> Value {
    let cases: Vec<Value> = evidence
        .outcomes
        .iter()
        .map(|outcome| {
            let case = &outcome.case;
            let endings: Vec<Value> = outcome
                .got
                .iter()
                .map(|got| {
                    let ending = &got.ending;
                    json!({
                        "device_id": ending.device_id, "disposition": ending.disposition, "reason": ending.reason,
                        "alert": ending.alert, "recipient": ending.recipient, "due_on": ending.due_on,
                        "told_by": got.source.name(),
                    })
                })
                .collect();
            let differences: Vec<&str> =
                outcome.differences.iter().map(|difference| difference.what.as_str()).collect();
            json!({
                "case": case.name,
                "title": case.title,
                "requirements": case.requirements,
                "policy": { "name": case.policy.name, "version": case.policy.version, "digest": case.policy.digest() },
                "as_of": format_instant(case.as_of),
                "files_digest": case.digest,
                "stopped_by": case.stopped_by,
                "cells": outcome.cells.len(),
                "seconds": outcome.took.as_secs_f64(),
                "passed": outcome.passed(),
                "differences": differences,
                "endings": endings,
            })
        })
        .collect();
    let statements: Vec<Value> = traced
        .iter()
        .map(|(statement, trace)| {
            let cases: Vec<Value> = trace
                .cases
                .iter()
                .map(|outcome| json!({ "case": outcome.case.name, "passed": outcome.passed() }))
                .collect();
            json!({
                "id": statement.id, "section": statement.section, "says": statement.says, "needs": statement.needs,
                "shown": trace.shown(), "missing": trace.missing, "cases": cases,
            })
        })
        .collect();
    json!({
        "engine": { "version": evidence.version, "digest": evidence.binary },
        "at": format_instant(evidence.at),
        "seconds": evidence.seconds,
        "cases": cases,
        "statements": evidence.statements.map(|_| statements),
        "statements_not_checked": evidence.statements.is_none().then_some(evidence.not_traced),
    })
}
