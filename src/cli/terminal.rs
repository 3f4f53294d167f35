//! Standard output and standard error: the only place that writes to them.
//!
//! What is printed may contain text from outside. Whatever a terminal would act upon is escaped here, also where the caller
//! forgot it; see [`shown`]. Values inside sentences are escaped by the caller, because a line end in a value must not begin
//! a line of its own.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;

use super::{Common, figures};
use crate::error::{Error, ExitCode, Result};
use crate::shown;

/// Characters of an error or of its remedy that are printed.
const LONGEST_MESSAGE: usize = 4096;

/// Whether standard error is a terminal.
#[must_use]
pub fn watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes bytes to standard output. A closed pipe is no error.
fn write_out(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "write", path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Writes lines of text to standard output. A closed pipe is no error.
///
/// # Errors
/// Where standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<()> {
    write_out(&shown::lines(text))
}

/// Writes lines of data to standard output: exactly as they are, for the next program; escaped where standard output is a
/// terminal.
///
/// # Errors
/// As [`print()`].
pub fn print_data(text: &str) -> Result<()> {
    let text = if io::stdout().is_terminal() { shown::lines(text) } else { Cow::Borrowed(text) };
    write_out(&text)
}

/// Writes one JSON document to standard output, its keys in alphabetical order.
///
/// # Errors
/// As [`print()`], and a document that has no form in JSON.
pub fn print_json(document: &impl Serialize) -> Result<()> {
    let unwritable = |error| Error::io("write", "standard output")(io::Error::other(error));
    let document = serde_json::to_value(document).map_err(unwritable)?;
    write_out(&shown::json(&format!("{document:#}\n")))
}

/// Prints a remark on standard error, unless `--quiet` is given.
pub fn remark(common: &Common, text: &str) {
    if !common.quiet {
        say(text);
    }
}

/// Prints text on standard error, even with `--quiet`.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", figures::wrapped(&shown::lines(text), 2));
}

/// Whether a question can be asked: a person sees it, and can answer.
pub fn can_ask() -> bool {
    watched() && io::stdin().is_terminal()
}

/// Asks for one line at the terminal.
///
/// # Errors
/// Where standard input cannot be read.
pub fn ask(question: &str) -> Result<String> {
    // Not locked while it waits: a signal is reported meanwhile.
    let _ = write!(io::stderr(), "{} ", shown::lines(question)).and_then(|()| io::stderr().flush());
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Error::io("read", "standard input"))?;
    Ok(line)
}

/// Prints an error on one line and its remedy on a second one. Returns the exit code.
#[must_use]
pub fn report(error: &Error) -> ExitCode {
    print_error(&error.to_string(), &error.remedy());
    error.exit_code()
}

/// Prints an error of the command line, as `clap` words it, or the help text that was asked for. Returns the exit code.
#[must_use]
pub fn report_usage(error: &clap::Error) -> u8 {
    if error.use_stderr() {
        let _ = write!(io::stderr(), "{}", shown::lines(&error.render().to_string()));
    } else {
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(ExitCode::Usage as u8)
}

/// Prints an error that is a defect of this program: a panic.
pub(super) fn report_defect(what: &str) {
    print_error(&format!("internal error: {what}"), "please report this, with what was run");
}

pub(super) fn print_error(what: &str, remedy: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "smi-sweep: {}", shown::message(&one_line(what), LONGEST_MESSAGE));
    if !remedy.is_empty() {
        let _ = writeln!(err, "  help: {}", shown::message(&one_line(remedy), LONGEST_MESSAGE));
    }
}

/// The text on one line: messages of the system and of libraries may have several.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
