//! The command line: one file for each subcommand, with its arguments, one call into the library, and what to print.
//!
//! Data goes to standard output, all else to standard error. Printing and the clock live here and nowhere else.

use std::io::{self, IsTerminal, Write};

use crate::error::{Error, ExitCode, Result};

/// Options that every subcommand takes.
#[derive(clap::Args, Debug, Clone)]
pub struct Common {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Worker threads [default: one for each processor]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// No progress and no closing remarks on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// Writes data to standard output. A reader that has gone away is no error.
///
/// # Errors
/// Where standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "write", path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Writes one JSON document to standard output.
///
/// # Errors
/// As [`print`].
pub fn print_json(document: &serde_json::Value) -> Result<()> {
    print(&format!("{document:#}\n"))
}

/// A remark for the person at the terminal, on standard error.
pub fn remark(common: &Common, text: &str) {
    if !common.quiet {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Prints an error as one line, with its remedy as a second, and says how to exit.
#[must_use]
pub fn report(error: &Error) -> ExitCode {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "smi-sweep: {error}");
    let remedy = error.remedy();
    if !remedy.is_empty() {
        let _ = writeln!(err, "  help: {remedy}");
    }
    error.exit_code()
}

/// Whether a person watches standard error.
#[must_use]
pub fn watched() -> bool {
    io::stderr().is_terminal()
}
