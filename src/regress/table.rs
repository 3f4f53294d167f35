//! The tables of a case: comma-separated values with a header, comments, and lines that errors can point at.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Stands for text without characters in a cell, since an empty cell is a null.
pub(super) const EMPTY: &str = "(empty)";

/// A row of a table.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// On which line of the file it stands, from 1.
    pub line: usize,
    /// Its cells, without the blanks around them.
    pub cells: Vec<String>,
}

/// The error that something is wrong on a line of a case's file.
pub(super) fn refuse(path: &Path, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Case { path: path.to_path_buf(), line, what: what.into(), remedy: remedy.into() }
}

/// The text of a case's file.
///
/// # Errors
/// A file that is not there, or is not UTF-8, with the line on which it is not.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            refuse(path, 1, "the file is not there", "a case has case.toml, snapshot.csv and expected.csv")
        }
        _ => Error::io("read", path)(error),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].split(|&byte| byte == b'\n').count();
        refuse(path, line, "is not UTF-8", "save the file as UTF-8; spreadsheets call it `CSV UTF-8`")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Whether a line of a table is no row: blank, or a comment.
pub(super) fn is_remark(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

/// The rows of a table with these columns, of which `optional` may be missing at the end.
///
/// # Errors
/// Another header, or a row that has not as many cells.
pub(super) fn read(path: &Path, columns: &[&str], optional: usize) -> Result<Vec<Line>> {
    let text = read_text(path)?;
    let line_at = |byte: u64| {
        let before = text.get(..byte as usize).unwrap_or(&text);
        let remarks = text[before.len()..].lines().take_while(|line| is_remark(line)).count();
        before.matches('\n').count() + 1 + remarks
    };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).flexible(true).from_reader(text.as_bytes());
    let unreadable = |error: csv::Error| {
        let line = error.position().map_or(1, |position| line_at(position.byte()));
        refuse(path, line, error.to_string(), "write comma-separated values")
    };
    let header = reader.headers().map_err(unreadable)?.clone();
    let wanted = &columns[..header.len().clamp(columns.len() - optional, columns.len())];
    if header.iter().ne(wanted.iter().copied()) {
        let found = if header.is_empty() { "nothing".into() } else { header.iter().collect::<Vec<_>>().join(",") };
        let what = format!("the header is {found}, and was to be {}", wanted.join(","));
        let optional = if optional > 0 { "; the last may be left out" } else { "" };
        let remedy = format!("the columns are {}, with commas between them{optional}", columns.join(","));
        return Err(refuse(path, line_at(0), what, remedy));
    }
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = line_at(record.position().map_or(0, csv::Position::byte));
        if record.len() != header.len() {
            let what = format!("{} cells, where the header has {}", record.len(), header.len());
            return Err(refuse(path, line, what, "an empty cell needs its comma; text with a comma needs quotes"));
        }
        lines.push(Line { line, cells: record.iter().map(str::to_owned).collect() });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("t.csv");
        fs::write(&path, "\u{feff}# why\r\na,b\r\n\r\n# one\r\n1,\"x\r\ny\"\r\n# two\r\n\r\n2,(empty)\r\n").unwrap();
        let lines = read(&path, &["a", "b"], 0).unwrap();
        assert_eq!(lines.iter().map(|line| line.line).collect::<Vec<_>>(), [5, 9]);
        assert_eq!(lines[1].cells, ["2", "(empty)"]);
    }
}
