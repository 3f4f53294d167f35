//! The page of a run: what a data manager reads before signing it off.

use std::fmt::Write;
use std::path::Path;

use super::advice::advice;
use super::record::{Counts, CutoffRecord, Record};
use crate::error::Result;
use crate::estate::{DeviceType, Reason, SmiStatus};
use crate::output::OutputFile;
use crate::output::html::{Page, count, counted};
use crate::policy::{Boundary, Policy};
use crate::sweep::guard::{self, Measure};

/// How many parties, and how many files, are listed; the rest is summed up.
const LISTED: usize = 50;

/// Name of the page within a run directory.
pub const PAGE: &str = "report.html";

/// Writes the page of a run into its directory.
///
/// # Errors
/// Where the file cannot be written, or the record has a policy that cannot be read.
pub(super) fn write(folder: &Path, record: &Record) -> Result<()> {
    OutputFile::create(&folder.join(PAGE))?.finish_with(render(record)?.as_bytes()).map(drop)
}

/// Renders the page.
fn render(record: &Record) -> Result<String> {
    let policy = Policy::from_json(&record.policy, "run.json")?;
    let tally = &record.tally;
    let lead = format!(
        "As of {}, {} of {} are deleted: {} with an alert to their Notifying Party, {} silently. {} cannot be judged, and {} kept.",
        record.as_of,
        count(tally.delete),
        counted(tally.rows, "device"),
        count(tally.alerts),
        count(tally.silent_deletes),
        counted(tally.quarantined, "row"),
        if tally.quarantined == 1 { "is" } else { "are" },
    );
    let mut page = Page::new(&format!("Sweep by {} version {}", policy.name, policy.version), &lead);
    moment(&mut page, record);
    tiles(&mut page, tally);
    guards(&mut page, record, &policy);
    dispositions(&mut page, record, &policy);
    rule(&mut page, record, &policy);
    quarantine(&mut page, tally);
    parties(&mut page, record);
    evidence(&mut page, record);
    sign_off(&mut page, record);
    Ok(page.finish())
}

/// What a reader must know of the moment: it decides everything.
fn moment(page: &mut Page, record: &Record) {
    let snapshot = &record.snapshot;
    match &snapshot.taken_at {
        Some(taken_at) if *taken_at != record.as_of => page.paragraph(&format!(
            "Note: the snapshot says that it was taken at {taken_at}; this run was told to judge as of {}.",
            record.as_of
        )),
        None => page.paragraph("Note: the snapshot does not say when it was taken; this run was told the moment."),
        Some(_) => {}
    }
}

fn tiles(page: &mut Page, tally: &Counts) {
    page.raw("<div class=\"tiles\">");
    let kept = tally.rows - tally.delete;
    for (name, figure) in [
        ("deleted", tally.delete),
        ("told by an alert", tally.alerts),
        ("deleted silently", tally.silent_deletes),
        ("kept", kept),
        ("of these: cannot be judged", tally.quarantined),
    ] {
        page.raw("<div><b>");
        page.text(&count(figure));
        page.raw("</b>");
        page.text(name);
        page.raw("</div>");
    }
    page.raw("</div>\n");
}

fn guards(page: &mut Page, record: &Record, policy: &Policy) {
    page.heading("How far from its guards the run is");
    page.begin_table(&["guard", "reached", "limit", "used", ""]);
    for headroom in guard::headroom(policy, (&record.tally).into(), record.options.into()) {
        let (name, used, bar) = match headroom.measure {
            Measure::Exact => {
                (format!("{}, in place of the policy's guard", headroom.guard), "as expected".into(), None)
            }
            Measure::Count | Measure::Share => {
                let share = if headroom.limit > 0.0 { headroom.reached / headroom.limit } else { 0.0 };
                (headroom.guard.to_owned(), headroom.used(), Some((share * 100.0).clamp(0.0, 100.0)))
            }
        };
        page.raw("<tr>");
        for cell in [&name, &headroom.figure(headroom.reached), &headroom.figure(headroom.limit), &used] {
            page.raw("<td>");
            page.text(cell);
            page.raw("</td>");
        }
        let bar = bar.map_or_else(String::new, |percent| {
            format!("<span class=\"bar\"><i style=\"width:{percent:.1}%\"></i></span>")
        });
        page.raw(&format!("<td>{bar}</td></tr>\n"));
    }
    page.end_table();
}

/// A column of the table: its name, and its figure for a row.
type Figure = (&'static str, fn(&Counts) -> u64);

fn dispositions(page: &mut Page, record: &Record, policy: &Policy) {
    page.heading("What becomes of each device type");
    let columns: [Figure; 8] = [
        ("rows", |counts| counts.rows),
        ("not candidate", |counts| counts.not_candidate),
        ("excluded", |counts| counts.excluded),
        ("not due", |counts| counts.not_due),
        ("delete", |counts| counts.delete),
        ("with alert", |counts| counts.alerts),
        ("silent", |counts| counts.silent_deletes),
        ("quarantined", |counts| counts.quarantined),
    ];
    page.begin_table(&["type"].into_iter().chain(columns.iter().map(|(name, _)| *name)).collect::<Vec<_>>());
    let row = |page: &mut Page, class: &str, name: &str, counts: &Counts| {
        page.row(class, name, &columns.map(|(_, figure)| count(figure(counts))));
    };
    // In the order of the types, and behind them what is none.
    let known = policy
        .types
        .iter()
        .map(|(_, name)| name)
        .chain([DeviceType::UNKNOWN, DeviceType::NULL].map(|code| policy.types.name(code)));
    for (name, counts) in known.filter_map(|name| record.by_type.get_key_value(name)) {
        row(page, "", name, counts);
    }
    row(page, "total", "all", &record.tally);
    page.end_table();
}

fn rule(page: &mut Page, record: &Record, policy: &Policy) {
    page.heading("The rule that decided");
    let statuses: Vec<&str> = policy.candidate_statuses.iter().map(SmiStatus::name).collect();
    let listed = |types: Vec<&str>| if types.is_empty() { "no type".to_owned() } else { types.join(", ") };
    let compared = match policy.boundary {
        Boundary::Date => "UTC calendar dates are compared",
        Boundary::Instant => "instants are compared, to the microsecond",
    };
    page.paragraph(&format!(
        "Devices are swept whose status is {}. They are due when the status has applied for their type's calendar months or \
         longer; {compared}. Never deleted: {}. Deleted without an alert, where no role says otherwise: {}. The alert is {}.",
        statuses.join(" or "),
        listed(policy.types.names_of(policy.exclude).collect()),
        listed(policy.types.names_of(policy.alerts.silent_types.without(policy.exclude)).collect()),
        policy.alerts.code,
    ));
    if record.options.unique {
        page.paragraph(
            "Due devices were quarantined whose Device ID occurs anywhere else in the snapshot, due or not.",
        );
    }
    page.begin_cards(&["types", "months", "deleted if the status has applied since"]);
    for (types, cutoff) in alike(record, policy) {
        let months = if cutoff.excluded { String::new() } else { counted(u64::from(cutoff.months), "month") };
        page.row("", &types, &[months, since(cutoff)]);
    }
    page.end_table();
}

/// Types with the same threshold, in the order of the types, so that the few that differ are seen.
fn alike<'r>(record: &'r Record, policy: &Policy) -> Vec<(String, &'r CutoffRecord)> {
    let mut groups: Vec<(String, &CutoffRecord)> = Vec::new();
    for (_, name) in policy.types.iter() {
        let Some(cutoff) = record.cutoffs.get(name) else { continue };
        let same = |other: &CutoffRecord| if cutoff.excluded { other.excluded } else { other == cutoff };
        match groups.iter_mut().find(|(_, other)| same(other)) {
            Some((types, _)) => types.push_str(&format!(", {name}")),
            None => groups.push((name.to_owned(), cutoff)),
        }
    }
    groups
}

fn since(cutoff: &CutoffRecord) -> String {
    if cutoff.excluded {
        return "never: excluded".into();
    }
    let mut words = format!("{} or before", cutoff.due_if_since);
    for (first, last) in &cutoff.and_between {
        let _ = write!(words, ", or from {first} to {last}");
    }
    words
}

fn quarantine(page: &mut Page, tally: &Counts) {
    page.heading("Rows that cannot be judged, and what to do");
    if tally.quarantine_reasons.is_empty() {
        page.paragraph("There are none.");
        return;
    }
    page.paragraph("They are kept, and stand in quarantine.parquet as they were found, each with its file and row.");
    page.begin_cards(&["reason", "rows", "what it means", "what to do"]);
    for reason in Reason::ALL {
        let Some(rows) = tally.quarantine_reasons.get(reason.name()) else { continue };
        let (meaning, remedy) = advice(reason);
        page.row("", reason.name(), &[count(*rows), meaning.into(), remedy.into()]);
    }
    page.end_table();
}

fn parties(page: &mut Page, record: &Record) {
    page.heading("Whose devices are deleted, and who is told");
    let mut parties: Vec<_> = record.by_party.iter().collect();
    parties.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.deletes));
    page.begin_table(&["Notifying Party", "deletions", "alerts"]);
    for (name, counts) in parties.iter().take(LISTED) {
        page.row("", name, &[count(counts.deletes), count(counts.alerts)]);
    }
    if let Some(rest) = parties.get(LISTED..).filter(|rest| !rest.is_empty()) {
        let (deletes, alerts) = rest.iter().fold((0, 0), |(d, a), (_, c)| (d + c.deletes, a + c.alerts));
        page.row(
            "",
            &format!("and {} more, all in run.json", count(rest.len() as u64)),
            &[count(deletes), count(alerts)],
        );
    }
    let without = &record.without_party;
    if without.deletes > 0 {
        page.row("", "(without a party)", &[count(without.deletes), count(without.alerts)]);
    }
    page.row("total", "all", &[count(record.tally.delete), count(record.tally.alerts)]);
    page.end_table();
}

fn evidence(page: &mut Page, record: &Record) {
    page.heading("Evidence");
    page.begin_table(&["manifest", "rows", "bytes", "BLAKE3"]);
    for output in &record.outputs {
        digested(page, &output.path, output.rows, output.bytes, Some(&output.blake3));
    }
    page.end_table();
    let snapshot = &record.snapshot;
    page.paragraph(&format!(
        "The snapshot: {} in {}, {} bytes.{}",
        counted(snapshot.rows, "row"),
        counted(snapshot.files.len() as u64, "file"),
        count(snapshot.bytes),
        if snapshot.files.iter().all(|file| file.blake3.is_some()) {
            " Its seal was verified."
        } else {
            " Not all of it was sealed: bytes that changed before the run would not have been noticed."
        },
    ));
    page.begin_table(&["file", "rows", "bytes", "BLAKE3"]);
    for file in snapshot.files.iter().take(LISTED) {
        digested(page, &file.path, file.rows, file.bytes, file.blake3.as_ref());
    }
    page.end_table();
    if let Some(rest) = snapshot.files.len().checked_sub(LISTED).filter(|rest| *rest > 0) {
        page.paragraph(&format!("And {} more, all in run.json.", counted(rest as u64, "file")));
    }
    page.raw("<p>Digest of the policy: <code>");
    page.text(record.policy.get("digest").and_then(|digest| digest.as_str()).unwrap_or_default());
    page.raw("</code>. <code>smi-sweep verify</code> recounts every figure here from the manifests. ");
    page.text(&format!("Made by smi-sweep {}.", record.engine.version));
    page.raw("</p>\n");
}

fn digested(page: &mut Page, name: &str, rows: u64, bytes: u64, digest: Option<&String>) {
    page.raw("<tr><td>");
    page.text(name);
    page.raw(&format!("</td><td>{}</td><td>{}</td><td>", count(rows), count(bytes)));
    if let Some(digest) = digest {
        page.raw("<code>");
        page.text(digest);
        page.raw("</code>");
    } else {
        page.text("not sealed");
    }
    page.raw("</td></tr>\n");
}

/// Lines to sign on, with what is signed.
fn sign_off(page: &mut Page, record: &Record) {
    page.heading("Sign-off");
    page.paragraph(&format!(
        "I have read this page and approve {} and {} as listed in the manifests above.",
        counted(record.tally.delete, "deletion"),
        counted(record.tally.alerts, "alert"),
    ));
    page.raw("<div class=\"sign\"><div>Name</div><div>Role</div><div>Date</div><div>Signature</div></div>\n");
}
