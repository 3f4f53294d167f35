//! HTML pages: self-contained, with styles for print and for dark mode. `maud` escapes the markup of all inserted text, and
//! [`page`] whatever cannot be seen or changes the direction of text.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use indicatif::HumanCount;

use crate::shown;

/// The style sheet of every page.
const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
.lead { font-size: 1.1rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; } .wide:not(.words) td:first-child { white-space: nowrap; }
.words th, .words td { text-align: left; vertical-align: top; }
th { font-weight: 600; vertical-align: bottom; } .words td { min-width: 6rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; padding: 0; }
.tiles div { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .75rem; }
.tiles b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; width: 8rem; height: .6rem; border: 1px solid var(--line); }
.bar i { display: block; height: 100%; background: #2a6fb0; }
.sign { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 2.5rem 2rem; margin: 2.5rem 0; }
.sign div { border-top: 1px solid currentColor; padding-top: .25rem; }
@media (max-width: 40rem) {
  th, td { padding: .25rem .4rem; } .words td { min-width: 0; } .bar { width: 4rem; }
  .cards thead { display: none; } .cards tr, .cards td { display: block; } .cards td { border: 0; padding: 0 .25rem; }
  .cards tr { border-bottom: 1px solid var(--line); padding: .5rem 0; } .cards td:first-child { font-weight: 600; }
}
@media print {
  :root { color-scheme: light; } @page { margin: 15mm; }
  body { font-size: 9.5pt; max-width: none; margin: 0; padding: 0; } .wide { overflow: visible; }
  h2 { break-after: avoid; margin-top: 1.5rem; } tr, .tiles, .sign { break-inside: avoid; }
  th, td { padding: .15rem .4rem; } .bar i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
tr.total { font-weight: 600; } tr.failed td { background: #d3302f2e; } code { font-size: .85em; word-break: break-all; }
.plot { margin: 1.5rem 0; overflow-x: auto; break-inside: avoid; print-color-adjust: exact; }
.plot svg { display: block; width: 100%; min-width: 34rem; max-width: 60rem; }
.alarm { color: #c62828; font-weight: 600; } p.alarm { border-left: .3rem solid; padding-left: .6rem; }
h3 { font-size: 1rem; margin-top: 2rem; } p, li { overflow-wrap: anywhere; }
.sign { width: 100%; } .sign td { height: 2.5rem; border: 1px solid var(--line); }
";

/// A whole page: title, one sentence with the result, and body.
#[must_use]
pub fn page(title: &str, lead: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p.lead { (lead) }
                (body)
            }
        }
    };
    shown::lines(&(page.into_string() + "\n")).into_owned()
}

/// How the cells of a table are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableStyle {
    /// Figures, to the right.
    Figures,
    /// Words, to the left.
    Words,
    /// Words, and rows that become cards on a narrow screen.
    Cards,
}

/// A table; `rows` are its `<tr>` elements, such as [`row`] gives.
#[must_use]
pub fn table(style: TableStyle, header: &[&str], rows: &Markup) -> Markup {
    let class = match style {
        TableStyle::Figures => "wide",
        TableStyle::Words => "wide words",
        TableStyle::Cards => "wide words cards",
    };
    html! {
        div class=(class) {
            table {
                thead { tr { @for name in header { th { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A row of a table: its name, then its cells.
#[must_use]
pub fn row(name: &str, cells: &[String]) -> Markup {
    html! { tr { td { (name) } @for cell in cells { td { (cell) } } } }
}

/// A row of totals.
#[must_use]
pub fn total_row(name: &str, cells: &[String]) -> Markup {
    html! { tr.total { td { (name) } @for cell in cells { td { (cell) } } } }
}

/// Text as it is written in SVG.
#[must_use]
pub fn escape(text: &str) -> String {
    html! { (text) }.into_string()
}

/// A count with a comma before each three digits: `1,234`.
#[must_use]
pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A count with what is counted: `1 row`, `2 rows`.
#[must_use]
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_data_is_escaped() {
        let rows = row("<script>alert('x')</script>", &["a & \"b\"".into()]);
        let page = page("title", "lead", &table(TableStyle::Figures, &["<b>"], &rows));
        assert!(!page.contains("<script>") && !page.contains("<b>"));
        assert!(page.contains("a &amp; &quot;b&quot;"));
    }

    #[test]
    fn what_cannot_be_seen_or_turns_text_around_is_escaped() {
        let page = page("a\u{202e}b", "\0\u{7}", &row("\u{2066}x", &["\u{200b}\u{9b}\r".into()]));
        assert!(page.chars().all(|c| c == '\n' || shown::is_plain(c)), "{page}");
        assert!(page.contains("a\\u{202e}b") && page.contains("\\u{2066}x"));
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "row"), counted(1000, "row")], ["1 row", "1,000 rows"]);
    }
}
