//! The page of a run: self-contained, without scripts, readable in print and in the dark.

use std::fmt::Write;

use crate::run::Record;
use crate::run::record::Counts;

/// How many parties are listed; the rest is summed up.
const PARTIES: usize = 50;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
.lead { font-size: 1.1rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.total { font-weight: 600; } code { font-size: .85em; word-break: break-all; }
";

/// Renders the page.
pub fn render(record: &Record) -> String {
    let mut page = Page(String::new());
    let policy = text_of(record, "name");
    let tally = &record.tally;
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Sweep by ");
    page.text(&policy);
    page.raw(&format!("</title><style>{STYLE}</style></head><body>\n<h1>Sweep by "));
    page.text(&policy);
    page.raw("</h1>\n<p class=\"lead\">");
    page.text(&format!(
        "As of {}, {} of {} devices are deleted: {} with an alert to their Notifying Party, {} silently. {} rows cannot be judged and are kept.",
        record.as_of, count(tally.delete), count(tally.rows), count(tally.alerts), count(tally.silent_deletes), count(tally.quarantined)
    ));
    page.raw("</p>\n");
    dispositions(&mut page, record);
    reasons(&mut page, tally);
    cutoffs(&mut page, record);
    parties(&mut page, record);
    files(&mut page, record);
    page.raw("</body></html>\n");
    page.0
}

fn dispositions(page: &mut Page, record: &Record) {
    page.heading("What becomes of each device type");
    page.begin_table(&[
        "type",
        "rows",
        "not candidate",
        "excluded",
        "not due",
        "delete",
        "with alert",
        "silent",
        "quarantined",
    ]);
    let row = |page: &mut Page, class: &str, name: &str, counts: &Counts| {
        let figures = [
            counts.rows,
            counts.not_candidate,
            counts.excluded,
            counts.not_due,
            counts.delete,
            counts.alerts,
            counts.silent_deletes,
            counts.quarantined,
        ];
        page.row(class, name, &figures.map(count));
    };
    for (name, counts) in &record.by_type {
        row(page, "", name, counts);
    }
    row(page, "total", "all", &record.tally);
    page.end_table();
}

fn reasons(page: &mut Page, tally: &Counts) {
    if tally.quarantine_reasons.is_empty() {
        return;
    }
    page.heading("Why rows cannot be judged");
    page.begin_table(&["reason", "rows"]);
    for (reason, rows) in &tally.quarantine_reasons {
        page.row("", reason, &[count(*rows)]);
    }
    page.end_table();
}

fn cutoffs(page: &mut Page, record: &Record) {
    page.heading("Thresholds");
    page.begin_table(&["type", "months", "due if the status has applied since", ""]);
    for (name, cutoff) in &record.cutoffs {
        let (since, note) = if cutoff.excluded {
            ("never".into(), "excluded")
        } else {
            (
                cutoff.due_if_since.clone(),
                if cutoff.and_between.is_empty() { "or longer" } else { "or longer, and at the month's end" },
            )
        };
        page.row("", name, &[cutoff.months.to_string(), since, note.into()]);
    }
    page.end_table();
}

fn parties(page: &mut Page, record: &Record) {
    page.heading("Notifying Parties");
    let mut parties: Vec<_> = record.by_party.iter().collect();
    parties.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.deletes));
    page.begin_table(&["party", "deletions", "alerts"]);
    for (name, counts) in parties.iter().take(PARTIES) {
        page.row("", name, &[count(counts.deletes), count(counts.alerts)]);
    }
    if let Some(rest) = parties.get(PARTIES..).filter(|rest| !rest.is_empty()) {
        let (deletes, alerts) = rest.iter().fold((0, 0), |(d, a), (_, c)| (d + c.deletes, a + c.alerts));
        page.row("total", &format!("{} more", rest.len()), &[count(deletes), count(alerts)]);
    }
    page.end_table();
}

fn files(page: &mut Page, record: &Record) {
    page.heading("Evidence");
    page.begin_table(&["file", "rows", "bytes", "BLAKE3"]);
    for output in &record.outputs {
        page.row("", &output.path, &[count(output.rows), count(output.bytes), output.blake3.clone()]);
    }
    page.end_table();
    page.raw("<p>");
    page.text(&format!(
        "Policy {} version {}, digest {}. Snapshot of {} files, {} rows. smi-sweep {}.",
        text_of(record, "name"),
        record.policy.get("version").map(ToString::to_string).unwrap_or_default(),
        text_of(record, "digest"),
        record.snapshot.files.len(),
        count(record.snapshot.rows),
        record.engine.version,
    ));
    page.raw("</p>\n");
}

fn text_of(record: &Record, key: &str) -> String {
    record.policy.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// A page in the making. What comes from data goes through [`text`](Self::text).
struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                other => self.0.push(other),
            }
        }
    }

    fn heading(&mut self, text: &str) {
        self.raw("<h2>");
        self.text(text);
        self.raw("</h2>\n");
    }

    fn begin_table(&mut self, header: &[&str]) {
        self.raw("<div class=\"wide\"><table><thead><tr>");
        for name in header {
            self.raw("<th>");
            self.text(name);
            self.raw("</th>");
        }
        self.raw("</tr></thead><tbody>\n");
    }

    fn row(&mut self, class: &str, name: &str, cells: &[String]) {
        let _ = write!(self.0, "<tr class=\"{class}\"><td>");
        self.text(name);
        self.raw("</td>");
        for cell in cells {
            self.raw("<td>");
            self.text(cell);
            self.raw("</td>");
        }
        self.raw("</tr>\n");
    }

    fn end_table(&mut self) {
        self.raw("</tbody></table></div>\n");
    }
}

/// A count with thin separators.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_data_is_escaped() {
        let mut page = Page(String::new());
        page.row("", "<script>alert('x')</script>", &["a & \"b\"".into()]);
        assert!(!page.0.contains("<script>"));
        assert!(page.0.contains("a &amp; &quot;b&quot;"));
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
