//! The page of a run.

use crate::html::{Page, count};
use crate::run::Record;
use crate::run::record::Counts;

/// How many parties are listed; the rest is summed up.
const PARTIES: usize = 50;

/// Renders the page.
pub fn render(record: &Record) -> String {
    let policy = text_of(record, "name");
    let tally = &record.tally;
    let lead = format!(
        "As of {}, {} of {} devices are deleted: {} with an alert to their Notifying Party, {} silently. {} rows cannot be judged and are kept.",
        record.as_of,
        count(tally.delete),
        count(tally.rows),
        count(tally.alerts),
        count(tally.silent_deletes),
        count(tally.quarantined)
    );
    let mut page = Page::new(&format!("Sweep by {policy}"), &lead);
    dispositions(&mut page, record);
    reasons(&mut page, tally);
    cutoffs(&mut page, record);
    parties(&mut page, record);
    files(&mut page, record);
    page.finish()
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
    page.paragraph(&format!(
        "Policy {} version {}, digest {}. Snapshot of {} files, {} rows. smi-sweep {}.",
        text_of(record, "name"),
        record.policy.get("version").map(ToString::to_string).unwrap_or_default(),
        text_of(record, "digest"),
        record.snapshot.files.len(),
        count(record.snapshot.rows),
        record.engine.version,
    ));
}

fn text_of(record: &Record, key: &str) -> String {
    record.policy.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}
