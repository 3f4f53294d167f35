//! Tables and text, wrapped to the width of the terminal.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};
use textwrap::{Options, WordSplitter, WrapAlgorithm};

use crate::estate::{Tally, TallyByType, TypeNames};
use crate::policy::Policy;
use crate::shown;
use crate::sweep::{Headroom, Swept, guard};

pub use crate::output::html::{count, counted};

/// The most characters of a word that a column keeps whole. Longer words are broken.
const LONGEST_WORD: usize = 26;
/// Characters of a cell that are shown.
const LONGEST_CELL: usize = 400;

/// Width of the terminal in characters, else the value of `COLUMNS`; `None` if there is neither.
pub fn width() -> Option<usize> {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let environment = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    terminal.or_else(environment).filter(|&width| width > 0)
}

/// A table with a header, all columns but the first aligned to the right. Where the terminal is too narrow texts are
/// wrapped; where that is not enough, the remaining columns follow in further tables, each with the first column
/// again.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let header: Vec<String> = header.iter().map(|name| cell(name)).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.iter().map(|text| cell(text)).collect()).collect();
    let width = width();
    let needs: Vec<usize> = (0..header.len()).map(|column| least_width(&header, &rows, column)).collect();
    let parts = parts(&needs, width.unwrap_or(usize::MAX));
    let tables = parts.iter().map(|columns| part(&header, &rows, columns, &needs, width));
    tables.collect::<Vec<_>>().join("\n\n")
}

/// The text of a cell on one line, escaped and cut: it may come from outside.
fn cell(text: &str) -> String {
    shown::message(text, LONGEST_CELL).to_string()
}

/// The narrowest that a column can be without breaking a word, its padding included.
fn least_width(header: &[&str], rows: &[Vec<String>], column: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str).chain([header[column]]);
    let longest = cells.flat_map(str::split_whitespace).map(|word| word.chars().count()).max().unwrap_or(0);
    longest.min(LONGEST_WORD) + 2
}

/// Splits the columns into tables that fit the width. Each table repeats the first column.
fn parts(needs: &[usize], width: usize) -> Vec<Vec<usize>> {
    let mut parts = vec![vec![0]];
    let mut used = needs.first().copied().unwrap_or(0);
    for (column, need) in needs.iter().enumerate().skip(1) {
        // One space between columns.
        let need = need + 1;
        if used + need > width && parts.last().is_some_and(|part| part.len() > 1) {
            parts.push(vec![0]);
            used = needs[0];
        }
        parts.last_mut().into_iter().for_each(|part| part.push(column));
        used += need;
    }
    parts
}

fn part(header: &[&str], rows: &[Vec<String>], columns: &[usize], needs: &[usize], width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    let aligned = |column: usize, text: &str| {
        Cell::new(text).set_alignment(if column == 0 { CellAlignment::Left } else { CellAlignment::Right })
    };
    table.set_header(columns.iter().map(|&column| aligned(column, header[column])));
    for row in rows {
        table.add_row(columns.iter().map(|&column| aligned(column, row.get(column).map_or("", String::as_str))));
    }
    if let Some(width) = width.and_then(|width| u16::try_from(width).ok()) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        let least = |&column: &usize| ColumnConstraint::LowerBoundary(Width::Fixed(needs[column] as u16));
        table.set_constraints(columns.iter().map(least));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Breaks lines between words where the terminal is narrower, and indents what follows by `indent`. Spaces between words
/// stay, so that columns of words stay in line.
pub fn wrapped(text: &str, indent: usize) -> String {
    let Some(width) = width() else { return text.to_owned() };
    let spaces = " ".repeat(indent);
    let options = Options::new(width)
        .subsequent_indent(&spaces)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let lines: Vec<String> = text.split('\n').map(|line| textwrap::fill(line, &options)).collect();
    lines.join("\n")
}

/// A column of the closing table: its name, and its figure for a row.
type Figure = (&'static str, fn(&Tally) -> u64);

/// The closing table of a sweep: counts of each device type by disposition. Columns with only zeros are left out.
pub fn dispositions(by_type: &TallyByType, types: &TypeNames) -> String {
    let total = by_type.total();
    let columns: [Figure; 7] = [
        ("rows", Tally::rows),
        ("not candidate", |tally| tally.not_candidate),
        ("excluded", |tally| tally.excluded),
        ("not due", |tally| tally.not_due),
        ("delete", Tally::deletes),
        ("with alert", |tally| tally.alerts),
        ("quarantined", Tally::quarantined),
    ];
    let always = ["rows", "delete", "quarantined"];
    let columns: Vec<_> =
        columns.into_iter().filter(|(name, figure)| always.contains(name) || figure(&total) > 0).collect();
    let header: Vec<&str> = ["type"].into_iter().chain(columns.iter().map(|(name, _)| *name)).collect();
    let row = |name: &str, tally: &Tally| {
        std::iter::once(name.to_owned()).chain(columns.iter().map(|(_, figure)| count(figure(tally)))).collect()
    };
    let rows: Vec<Vec<String>> = by_type.iter().map(|(code, tally)| row(types.name(code), tally)).collect();
    table(&header, rows.into_iter().chain([row("all", &total)]))
}

/// The figures of a run and the limits of its guards.
pub fn guards(policy: &Policy, swept: &Swept) -> String {
    let line = |headroom: &Headroom| {
        vec![
            headroom.title(),
            headroom.figure(headroom.reached),
            headroom.figure(headroom.limit),
            headroom.used(),
            if headroom.tripped { "STOPPED" } else { "passed" }.to_owned(),
        ]
    };
    let headroom = guard::headroom(policy, &(&swept.findings.by_type).into(), swept.terms);
    table(&["guard", "reached", "limit", "used", ""], headroom.iter().map(line).collect::<Vec<_>>())
}
