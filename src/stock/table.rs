//! CSV files with known columns, and days in two bytes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use crate::error::{DocumentPlace, Error, Position, Result, did_you_mean};
use crate::estate::time;
use crate::system::input::{self, InputFile};

/// A day from 2000-01-01 to 2179-06-05, or none. It takes two bytes, because a book has tens of millions of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u16);

/// Days from 1970-01-01 to 2000-01-01.
const FIRST: i32 = 10_957;

impl Day {
    /// No day. It sorts after all days.
    pub const NONE: Self = Self(u16::MAX);

    /// The day of a number of days since 1970-01-01; `None` if it is out of range.
    #[must_use]
    pub fn new(day: i32) -> Option<Self> {
        u16::try_from(day.checked_sub(FIRST)?).ok().map(Self).filter(|day| *day != Self::NONE)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn get(self) -> Option<i32> {
        (self != Self::NONE).then(|| i32::from(self.0) + FIRST)
    }

    /// Whether it is a day, and not after another.
    #[must_use]
    pub fn is_by(self, other: Self) -> bool {
        self != Self::NONE && self <= other
    }

    /// As `2026-11-01`; empty for none.
    #[must_use]
    pub fn text(self) -> String {
        self.get().map_or_else(String::new, time::format_day)
    }
}

/// Parses dates, and caches them: a table has few different dates.
#[derive(Debug, Default)]
pub struct Days(HashMap<[u8; 10], i32>);

impl Days {
    /// Days since 1970-01-01 of a date or a time.
    pub fn read(&mut self, text: &[u8]) -> Option<i32> {
        let date: Option<[u8; 10]> = text.try_into().ok();
        if let Some(day) = date.and_then(|date| self.0.get(&date)) {
            return Some(*day);
        }
        let day = time::day_of(time::parse(std::str::from_utf8(text).ok()?)?);
        if let Some(date) = date {
            self.0.insert(date, day);
        }
        Some(day)
    }
}

/// A CSV file with known columns.
pub struct CsvTable {
    path: PathBuf,
    reader: Reader<BufReader<InputFile>>,
    names: &'static [&'static str],
    /// For each name the index of its column in the file.
    columns: Vec<usize>,
    /// Number of columns of the file.
    width: usize,
    /// Byte position of the end of the last line, if it has no line feed.
    open_end: Option<u64>,
}

impl std::fmt::Debug for CsvTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvTable").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CsvTable {
    /// Opens a file that has exactly these columns, in any order. A byte order mark, as spreadsheets write it, is
    /// skipped.
    ///
    /// # Errors
    /// A file that cannot be read, or that has other columns.
    pub fn open(path: &Path, names: &'static [&'static str]) -> Result<Self> {
        let mut file = input::open(path).map_err(Error::io("read", path))?;
        let open_end = begin(&mut file).map_err(Error::io("read", path))?;
        let file = BufReader::with_capacity(1 << 18, file);
        // Only a line feed ends a line; a carriage return before it is trimmed. So line numbers are those of an editor.
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).terminator(Terminator::Any(b'\n')).from_reader(file);
        let mut header = ByteRecord::new();
        let there = reader.read_byte_record(&mut header).map_err(|error| unreadable(path, error))?;
        let place = || DocumentPlace::table(path).at(Position::Line(1));
        if !there {
            let remedy = format!("begin with the line {}", names.join(","));
            return Err(place().refuse("the file is empty", remedy));
        }
        let header: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned()).collect();
        let columns = columns(&header, names, &place)?;
        Ok(Self { path: path.to_path_buf(), reader, names, columns, width: header.len(), open_end })
    }

    /// Reads the next line; `false` at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&mut self, line: &mut CsvLine) -> Result<bool> {
        loop {
            let there =
                self.reader.read_byte_record(&mut line.record).map_err(|error| unreadable(&self.path, error))?;
            let end = self.reader.position();
            // The reader reports the first of the blank lines before a line, so the number is counted back from the
            // end.
            let ended = u64::from(self.open_end != Some(end.byte()));
            let within = line.record.as_slice().split(|byte| *byte == b'\n').skip(1).count() as u64;
            line.number = end.line().saturating_sub(ended + within);
            if !there || line.record.len() > 1 || line.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                return Ok(there);
            }
        }
    }

    /// The trimmed cell of a line, by the index of its column's name; empty if the line is too short.
    #[must_use]
    pub fn cell<'l>(&self, line: &'l CsvLine, name: usize) -> &'l [u8] {
        self.columns.get(name).and_then(|column| line.record.get(*column)).unwrap_or_default().trim_ascii()
    }

    /// Whether a line has as many cells as the header.
    #[must_use]
    pub fn is_whole(&self, line: &CsvLine) -> bool {
        line.record.len() == self.width
    }

    /// The place of a line.
    #[must_use]
    pub fn place(&self, line: &CsvLine) -> DocumentPlace {
        DocumentPlace::table(&self.path).at(Position::Line(line.number))
    }

    /// The error for a line that is not [whole](Self::is_whole).
    #[must_use]
    pub fn ragged(&self, line: &CsvLine) -> Error {
        let (cells, width) = (line.record.len(), self.width);
        let what = format!("has {cells} cells where the header has {width}");
        self.place(line).refuse(what, format!("write one cell for each of {}", self.names.join(", ")))
    }
}

/// A line of a [`CsvTable`].
#[derive(Debug, Default)]
pub struct CsvLine {
    record: ByteRecord,
    /// Its number in the file, from 1.
    pub number: u64,
}

/// Refuses a file that is named twice, because its lines would count twice.
///
/// # Errors
/// The first such file, or one that does not exist.
pub fn named_once(paths: &[PathBuf]) -> Result<()> {
    let mut seen = HashSet::new();
    for path in paths {
        let real = fs::canonicalize(path).map_err(Error::io("read", path))?;
        if !seen.insert(real) {
            return Err(DocumentPlace::table(path).refuse("the file is named twice", "name each file once"));
        }
    }
    Ok(())
}

/// For each of the names the index of its column among those found.
///
/// # Errors
/// A column that is missing, unknown, or occurs twice.
pub fn columns(
    found: &[String],
    names: &'static [&'static str],
    place: &dyn Fn() -> DocumentPlace,
) -> Result<Vec<usize>> {
    let all = || format!("the columns are {}", names.join(", "));
    for (index, name) in found.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            let near = did_you_mean(name, names.iter().copied());
            return Err(place().field(name).refuse("unknown column", format!("{near}{}", all())));
        }
        if found[..index].contains(name) {
            return Err(place().field(name).refuse("the column occurs twice", all()));
        }
    }
    let column = |name: &&'static str| {
        let index = found.iter().position(|own| own == name);
        index.ok_or_else(|| place().field(*name).refuse("the column is missing", all()))
    };
    names.iter().map(column).collect()
}

fn unreadable(path: &Path, error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io("read", path)(source),
        other => DocumentPlace::table(path).refuse(format!("{other:?}"), "name a CSV file"),
    }
}

/// Skips a byte order mark. Returns the end of the last line, counted from there, if it has no line feed.
fn begin(file: &mut InputFile) -> std::io::Result<Option<u64>> {
    let mut mark = Vec::new();
    file.by_ref().take(3).read_to_end(&mut mark)?;
    let start = if mark == b"\xEF\xBB\xBF" { 3 } else { 0 };
    let end = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if end > start {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    file.seek(SeekFrom::Start(start))?;
    Ok((last != *b"\n").then(|| end - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_fit_into_two_bytes() {
        let day = |text: &str| Day::new(time::day_of(time::parse(text).unwrap()));
        assert_eq!(day("2000-01-01").unwrap().text(), "2000-01-01");
        assert_eq!(day("2179-06-05").unwrap().text(), "2179-06-05");
        assert!(day("1999-12-31").is_none() && day("2179-06-06").is_none());
        assert!(day("2026-11-01").unwrap().is_by(day("2026-11-01").unwrap()));
        assert!(!Day::NONE.is_by(day("2026-11-01").unwrap()) && Day::NONE.text().is_empty());
    }

    #[test]
    fn lines_have_the_numbers_that_an_editor_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "\u{feff}b,a\r\n1, x \r\n\r\n\n\"2\n2\",y\r\n3\r\n4,z").unwrap();
        let mut table = CsvTable::open(&path, &["a", "b"]).unwrap();
        let (mut line, mut seen) = (CsvLine::default(), Vec::new());
        while table.read(&mut line).unwrap() {
            let cell = |name| String::from_utf8_lossy(table.cell(&line, name)).into_owned();
            seen.push((line.number, cell(0), cell(1), table.is_whole(&line)));
        }
        let row = |number, a: &str, b: &str, whole| (number, a.to_owned(), b.to_owned(), whole);
        assert_eq!(
            seen,
            [row(2, "x", "1", true), row(5, "y", "2\n2", true), row(7, "", "3", false), row(8, "z", "4", true)]
        );
    }
}
