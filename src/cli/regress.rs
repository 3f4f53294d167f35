//! `smi-sweep regress`: runs regression cases, and writes evidence.

use std::fs;
use std::path::{Path, PathBuf};

use super::progress::{TerminalProgress, now};
use super::{Common, figures, print, print_json, remark};
use crate::error::{Error, Result};
use crate::output::{Existing, OutputFile};
use crate::regress::evidence::{Evidence, EvidenceDocument, junit, page};
use crate::regress::{Case, CaseDifference, CaseResult, Statements, bless, is_case, run};
use crate::shown;
use crate::system::input;

/// Run regression cases in every storage form, on 1 and 4 threads
///
/// A case is a folder with case.toml, snapshot.csv and expected.csv. Exit code 6 where a case fails, or where the passing
/// cases of a statement lack an outcome that it needs. For a single case only the names of its statements are checked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A case, or a folder of cases
    #[arg(value_name = "DIR", default_value = "fixtures/cases")]
    dir: PathBuf,
    /// The statements that cases demonstrate [default: requirements.toml beside the folder of cases, if there is one]
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,
    /// Write a JUnit report to a new file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write an HTML page to a new file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the actual outcomes to expected.csv, and print the lines that changed
    #[arg(long, conflicts_with_all = ["junit", "html", "json"])]
    bless: bool,
    /// Sweep each case in one storage form only, while you write it: not sufficient as evidence
    #[arg(long, conflicts_with_all = ["junit", "html"])]
    quick: bool,
}

/// Characters of a line about a case that are shown.
const LONGEST_TEXT: usize = 1000;

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    for report in [&args.junit, &args.html].into_iter().flatten() {
        writable(report)?;
    }
    // A path such as `.` has no parent and no name.
    let dir = fs::canonicalize(&args.dir).map_err(Error::io("read", &args.dir))?;
    let cases = Case::read_all(&dir, args.bless)?;
    let single = is_case(&dir);
    let (statements, not_traced) = statements(args, &dir, single)?;
    if let Some(statements) = &statements {
        statements.check_names(&cases)?;
    }
    let progress = TerminalProgress::new(common);
    let results = run(cases, args.quick, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if args.bless {
        for result in results.iter().filter(|result| !result.blessable()) {
            print(&failure(result, |difference| !difference.blessable))?;
        }
        return print(&bless(&results)?);
    }
    let evidence = Evidence {
        results: &results,
        statements: statements.as_ref().filter(|_| !single),
        not_traced: &not_traced,
        version: env!("CARGO_PKG_VERSION"),
        binary: program(),
        at: now(),
        seconds,
    };
    if let Some(path) = &args.junit {
        let text = junit(&evidence).map_err(|what| Error::Usage {
            what: format!("a case cannot be written to a JUnit report: {what}"),
            remedy: "remove control characters from its texts".into(),
        })?;
        write_new(path, &text)?;
    }
    if let Some(path) = &args.html {
        write_new(path, &page(&evidence))?;
    }
    show(&evidence, common)
}

/// Refuses a report that could not be written, before the cases run.
fn writable(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(Error::Usage {
            what: format!("{} exists already", shown::path(&path)),
            remedy: "name a file that does not exist yet; nothing is ever replaced".into(),
        });
    }
    OutputFile::atomic(path, Existing::Refuse).map(drop)
}

/// The statements, if cases are checked against them, and a remark on what is not checked.
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

/// BLAKE3 of the file of the running program, in hex.
fn program() -> Option<String> {
    let bytes = input::read(std::env::current_exe().ok()?).ok()?;
    Some(blake3::hash(&bytes).to_hex().to_string())
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    OutputFile::atomic(path, Existing::Refuse)?.finish_with(text.as_bytes()).map(drop)
}

/// The name of a case, and those of its differences that `which` selects.
fn failure(result: &CaseResult, which: impl Fn(&CaseDifference) -> bool) -> String {
    let mut text =
        format!("{}: {}\n", shown::value(&result.case.name), shown::message(&result.case.title, LONGEST_TEXT));
    for difference in result.differences.iter().filter(|difference| which(difference)) {
        text.push_str(&format!("  {}\n", shown::message(&difference.what, LONGEST_TEXT)));
    }
    text
}

fn show(evidence: &Evidence<'_>, common: &Common) -> Result<()> {
    let traced = evidence.statements.map(|statements| statements.trace(evidence.results)).unwrap_or_default();
    let without = traced.iter().filter(|(_, trace)| !trace.shown()).count();
    if common.json {
        print_json(&EvidenceDocument::new(evidence))?;
    } else {
        let mut text: String = evidence.failed().map(|result| failure(result, |_| true)).collect();
        for (statement, trace) in traced.iter().filter(|(_, trace)| !trace.shown()) {
            let line =
                format!("{}: no passing case shows {}: {}", statement.id, trace.missing.join(", "), statement.says);
            text.push_str(&format!("{}\n", shown::message(&line, LONGEST_TEXT)));
        }
        text.push_str(&format!("{}\n", evidence.verdict()));
        print(&text)?;
        let sweeps = figures::count(evidence.sweeps() as u64);
        let only = if evidence.results.iter().all(|result| result.cells.len() == 1) {
            ", in one storage form only"
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
        1 => ", 1 statement is not demonstrated".to_owned(),
        _ => format!(", {without} statements are not demonstrated"),
    };
    let remedy = match (failed, without) {
        (0, _) => "name the statement in a case that has what it needs, or write such a case",
        _ => "see the differences above; if the actual outcomes are right, --bless makes them the expected ones",
    };
    Err(Error::Regression { what: format!("{cases}{statements}"), remedy })
}
