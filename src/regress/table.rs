//! Reads the CSV files of a case: a header, comments, and the line of each row for errors.

use std::path::Path;

use crate::error::{DocumentKind, DocumentPlace, Error, Position, Result};
use crate::shown;
use crate::system::input;

/// The cell that means text without characters. An empty cell is a null.
pub(super) const EMPTY: &str = "(empty)";

/// A row of a CSV file.
#[derive(Debug, Clone)]
pub(super) struct CsvRow {
    /// The line of the file where it begins, from 1.
    pub line: usize,
    /// Its cells, without surrounding blanks.
    pub cells: Vec<String>,
}

/// An error at a line of a case's file.
pub(super) fn refuse(path: &Path, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Error {
    let place = DocumentPlace::whole(DocumentKind::Case, shown::path(&path).to_string());
    place.at(Position::Line(line as u64)).refuse(what, remedy)
}

/// The text of a case's file.
///
/// # Errors
/// A missing file, and one that is not UTF-8, with the first line that is not.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let bytes = input::read(path).map_err(|error| match error.kind() {
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

/// Whether a line has no row: it is blank, or a comment.
pub(super) fn is_comment(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

/// The rows of a CSV file with these columns; the last `optional` of them may be missing.
///
/// # Errors
/// Another header, or a row with more or fewer cells than the header.
pub(super) fn read(path: &Path, columns: &[&str], optional: usize) -> Result<Vec<CsvRow>> {
    let text = read_text(path)?;
    let line_at = |byte: u64| {
        let before = text.get(..byte as usize).unwrap_or(&text);
        let comments = text[before.len()..].lines().take_while(|line| is_comment(line)).count();
        before.matches('\n').count() + 1 + comments
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
        let what = format!("the header is {found}, and must be {}", wanted.join(","));
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
        lines.push(CsvRow { line, cells: record.iter().map(str::to_owned).collect() });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::fs;

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
