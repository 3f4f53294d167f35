//! Figures for people: tables that fit the terminal, counts with separators.

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::estate::{Tally, TallyByType, TypeNames};
use crate::policy::Policy;
use crate::sweep::Expected;
use crate::sweep::{Headroom, guard};

pub use super::progress::count;

/// A table with a header, all columns but the first aligned to the right.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(column, text)| {
            let alignment = if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(alignment)
        }));
    }
    table
}

/// The closing table of a sweep: what became of each device type.
pub fn dispositions(by_type: &TallyByType, types: &TypeNames) -> Table {
    let header = ["type", "rows", "not candidate", "excluded", "not due", "delete", "of which N8", "quarantined"];
    let row = |name: &str, tally: &Tally| {
        let figures = [
            tally.rows(),
            tally.not_candidate,
            tally.excluded,
            tally.not_due,
            tally.deletes(),
            tally.alerts,
            tally.quarantined(),
        ];
        std::iter::once(name.to_owned()).chain(figures.map(count)).collect::<Vec<_>>()
    };
    let rows = by_type.iter().map(|(code, tally)| row(types.name(code), tally));
    table(&header, rows.chain([row("all", &by_type.total())]))
}

/// How far a run has come towards each guard.
pub fn guards(policy: &Policy, tally: &Tally, rows: u64, expected: Expected) -> Table {
    let line = |headroom: &Headroom| {
        let used = if headroom.limit > 0.0 {
            format!("{:.1} %", headroom.reached / headroom.limit * 100.0)
        } else if headroom.tripped {
            "over".into()
        } else {
            "0.0 %".into()
        };
        let verdict = if headroom.tripped { "STOPPED" } else { "passed" };
        vec![
            headroom.guard.to_owned(),
            headroom.figure(headroom.reached),
            headroom.figure(headroom.limit),
            used,
            verdict.to_owned(),
        ]
    };
    let headroom = guard::headroom(policy, tally, rows, expected);
    table(&["guard", "reached", "limit", "used", ""], headroom.iter().map(line).collect::<Vec<_>>())
}
