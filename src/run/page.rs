//! The HTML page of a run, which a data manager reads before approving it.

use std::path::Path;

use maud::{Markup, html};

use super::advice::advice;
use super::record::{CutoffRecord, PageRecord, Record, TallyRecord};
use crate::error::Result;
use crate::estate::{DeviceType, Reason, SmiStatus, time};
use crate::output::OutputFile;
use crate::output::html::{self, TableStyle, count, counted};
use crate::policy::{Boundary, Policy};
use crate::sweep::Uniqueness;
use crate::sweep::guard::{self, Headroom, Measure};

/// How many parties and how many files are listed. The others are one line.
const LISTED: usize = 50;

/// Name of the page within a run directory.
pub const PAGE: &str = "report.html";

/// Writes the page of a run into its directory.
///
/// # Errors
/// Where the file cannot be written, or the record has a policy that cannot be read.
pub(super) fn write(folder: &Path, record: &Record) -> Result<PageRecord> {
    let written = OutputFile::create(&folder.join(PAGE))?.finish_with(render(record)?.as_bytes())?;
    Ok(PageRecord { path: PAGE.into(), bytes: written.bytes, blake3: written.blake3 })
}

/// Renders the page.
fn render(record: &Record) -> Result<String> {
    let policy = Policy::from_json(&record.policy, "run.json")?;
    let tally = &record.tally;
    let lead = format!(
        "As of {}, {} of {} are to be deleted: {} with an alert to their Notifying Party, {} silently. {} cannot be judged, and {} kept.",
        record.as_of,
        count(tally.delete),
        counted(tally.rows, "device"),
        count(tally.alerts),
        count(tally.silent_deletes),
        counted(tally.quarantined, "row"),
        if tally.quarantined == 1 { "is" } else { "are" },
    );
    let body = html! {
        (moment(record))
        (assumed_zone(record))
        (tiles(tally))
        (guards(record, &policy))
        (dispositions(record, &policy))
        (rule(record, &policy))
        (quarantine(tally))
        (parties(record))
        (evidence(record))
        (sign_off(record))
    };
    Ok(html::page(&format!("Sweep by {} version {}", policy.name, policy.version), &lead, &body))
}

/// A note where the as-of moment is not the one of the snapshot, because every decision depends on it.
fn moment(record: &Record) -> Markup {
    html! {
        @match &record.snapshot.taken_at {
            Some(taken_at) if *taken_at != record.as_of => p {
                "Note: the snapshot says that it was taken at " (taken_at) "; this run was given " (record.as_of)
                " to judge by."
                @if is_later(taken_at, &record.as_of) {
                    " That is later: what changed in between was not known to this run."
                }
            },
            None => p { "Note: the snapshot does not say when it was taken; the moment was given to this run." },
            Some(_) => {},
        }
    }
}

/// A note where the zone of dates is an assumption.
fn assumed_zone(record: &Record) -> Markup {
    html! {
        @if let Some(zone) = &record.snapshot.assumed_zone {
            p { "Note: status dates have times without a zone, which were read as " (zone) ": the policy declares none." }
        }
    }
}

fn is_later(taken_at: &str, as_of: &str) -> bool {
    time::parse(taken_at).zip(time::parse(as_of)).is_some_and(|(taken_at, as_of)| as_of > taken_at)
}

fn tiles(tally: &TallyRecord) -> Markup {
    let tiles = [
        ("to be deleted", tally.delete),
        ("with an alert", tally.alerts),
        ("silently", tally.silent_deletes),
        ("kept", tally.rows - tally.delete),
        ("of these: cannot be judged", tally.quarantined),
    ];
    html! { div.tiles { @for (name, figure) in tiles { div { b { (count(figure)) } (name) } } } }
}

fn guards(record: &Record, policy: &Policy) -> Markup {
    let all = guard::headroom(policy, &record.guarded(&policy.types), record.guard_terms());
    let rows = html! { @for headroom in &all { (guard_row(headroom)) } };
    html! {
        h2 { "Guards: figures and limits" }
        @if let Some(previous) = &record.previous {
            p {
                "The previous run is " code { (previous.run) } ", as of " (previous.as_of) ": "
                (counted(previous.figures.deletes, "deletion")) ", " (count(previous.figures.quarantined))
                " quarantined, of " (counted(previous.figures.rows, "row")) "."
            }
        }
        (html::table(TableStyle::Figures, &["guard", "reached", "limit", "used", ""], &rows))
    }
}

fn guard_row(headroom: &Headroom) -> Markup {
    let share = if headroom.limit > 0.0 { headroom.reached / headroom.limit } else { 0.0 };
    let percent = (share * 100.0).clamp(0.0, 100.0);
    let exact = headroom.measure == Measure::Exact;
    html! {
        tr {
            td { (headroom.title()) @if exact { ", in place of the policy's guard" } }
            td { (headroom.figure(headroom.reached)) }
            td { (headroom.figure(headroom.limit)) }
            td { @if exact { "as expected" } @else { (headroom.used()) } }
            td { @if !exact { span.bar { i style={ "width:" (format!("{percent:.1}")) "%" } {} } } }
        }
    }
}

/// A column of the table: its name, and its figure for a row.
type FigureColumn = (&'static str, fn(&TallyRecord) -> u64);

fn dispositions(record: &Record, policy: &Policy) -> Markup {
    let columns: [FigureColumn; 8] = [
        ("rows", |counts| counts.rows),
        ("not candidate", |counts| counts.not_candidate),
        ("excluded", |counts| counts.excluded),
        ("not due", |counts| counts.not_due),
        ("delete", |counts| counts.delete),
        ("with alert", |counts| counts.alerts),
        ("silent", |counts| counts.silent_deletes),
        ("quarantined", |counts| counts.quarantined),
    ];
    let header: Vec<&str> = ["type"].into_iter().chain(columns.iter().map(|(name, _)| *name)).collect();
    let figures = |counts: &TallyRecord| columns.map(|(_, figure)| count(figure(counts)));
    // In the order of the types, then unknown types and nulls.
    let none = [DeviceType::UNKNOWN, DeviceType::NULL].map(|code| policy.types.name(code));
    let names = policy.types.iter().map(|(_, name)| name).chain(none);
    let rows = html! {
        @for (name, counts) in names.filter_map(|name| record.by_type.get_key_value(name)) {
            (html::row(name, &figures(counts)))
        }
        (html::total_row("all", &figures(&record.tally)))
    };
    html! {
        h2 { "Dispositions of each device type" }
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

fn rule(record: &Record, policy: &Policy) -> Markup {
    let statuses: Vec<&str> = policy.candidate_statuses.iter().map(SmiStatus::name).collect();
    let listed = |types: Vec<&str>| if types.is_empty() { "no type".to_owned() } else { types.join(", ") };
    let compared = match policy.boundary {
        Boundary::Date => "UTC calendar dates are compared",
        Boundary::Instant => "instants are compared, to the microsecond",
    };
    let silent = policy.alerts.silent_types.without(policy.exclude);
    let rows = html! {
        @for (types, cutoff) in same_threshold(record, policy) {
            @let months = if cutoff.excluded { String::new() } else { counted(u64::from(cutoff.months), "month") };
            (html::row(&types, &[months, since(cutoff)]))
        }
    };
    html! {
        h2 { "Policy" }
        p {
            "Devices are candidates whose status is " (statuses.join(" or ")) ". They are due when the status has applied for "
            "their type's calendar months or longer; " (compared) ". Never deleted: "
            (listed(policy.types.names_of(policy.exclude).collect())) ". Deleted without an alert, where no role says "
            "otherwise: " (listed(policy.types.names_of(silent).collect())) ". The alert is " (policy.alerts.code) "."
        }
        p { (uniqueness(record.uniqueness())) }
        (html::table(TableStyle::Cards, &["types", "months", "due if the status has applied since"], &rows))
    }
}

/// What is known about rows that share a Device ID, and what to do where it is too little.
const fn uniqueness(uniqueness: Uniqueness) -> &'static str {
    match uniqueness {
        Uniqueness::Proven => "No two rows of the snapshot have the same Device ID: its seal states so.",
        Uniqueness::Checked => {
            "Due devices were quarantined whose Device ID occurs anywhere else in the snapshot, due or not."
        }
        Uniqueness::Unproven => {
            "It is not proven that Device IDs are unique: rows that are not due were not compared with due ones, so that a \
             device may be deleted that is in use by another row. Seal the snapshot, or sweep with --unique."
        }
    }
}

/// Types with the same threshold, in the order of the types: a row for each threshold, so that differences are visible.
fn same_threshold<'r>(record: &'r Record, policy: &Policy) -> Vec<(String, &'r CutoffRecord)> {
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
        words.push_str(&format!(", or from {first} to {last}"));
    }
    words
}

fn quarantine(tally: &TallyRecord) -> Markup {
    let found = Reason::ALL.into_iter().filter_map(|reason| {
        let rows = tally.quarantine_reasons.get(reason.name())?;
        let (meaning, remedy) = advice(reason);
        Some(html::row(reason.name(), &[count(*rows), meaning.into(), remedy.into()]))
    });
    let rows = html! { @for row in found { (row) } };
    html! {
        h2 { "Rows that cannot be judged, and what to do" }
        @if tally.quarantine_reasons.is_empty() {
            p { "There are none." }
        } @else {
            p { "They are kept, and are in quarantine.parquet as they were found, each with its file and row." }
            (html::table(TableStyle::Cards, &["reason", "rows", "what it means", "what to do"], &rows))
        }
    }
}

fn parties(record: &Record) -> Markup {
    let mut parties: Vec<_> = record.by_party.iter().collect();
    parties.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.deletes));
    let rest = parties.get(LISTED..).unwrap_or_default();
    let (deletes, alerts) = rest.iter().fold((0, 0), |(d, a), (_, c)| (d + c.deletes, a + c.alerts));
    let more = format!("and {} more, all in run.json", count(rest.len() as u64));
    let without = &record.without_party;
    let rows = html! {
        @for (name, counts) in parties.iter().take(LISTED) {
            (html::row(name, &[count(counts.deletes), count(counts.alerts)]))
        }
        @if !rest.is_empty() { (html::row(&more, &[count(deletes), count(alerts)])) }
        @if without.deletes > 0 {
            (html::row("(without a party)", &[count(without.deletes), count(without.alerts)]))
        }
        (html::total_row("all", &[count(record.tally.delete), count(record.tally.alerts)]))
    };
    html! {
        h2 { "Deletions and alerts by Notifying Party" }
        (html::table(TableStyle::Figures, &["Notifying Party", "deletions", "alerts"], &rows))
    }
}

fn evidence(record: &Record) -> Markup {
    let snapshot = &record.snapshot;
    let outputs = html! {
        @for output in &record.outputs { (digested(&output.path, output.rows, output.bytes, Some(&output.blake3))) }
    };
    let files = html! {
        @for file in snapshot.files.iter().take(LISTED) {
            (digested(&file.path, file.rows, file.bytes, file.blake3.as_ref()))
        }
    };
    let sealed = snapshot.files.iter().all(|file| file.blake3.is_some());
    let more = snapshot.files.len().saturating_sub(LISTED) as u64;
    let digest = record.policy.get("digest").and_then(|digest| digest.as_str()).unwrap_or_default();
    html! {
        h2 { "Evidence" }
        (html::table(TableStyle::Figures, &["manifest", "rows", "bytes", "BLAKE3"], &outputs))
        p {
            "The snapshot: " (counted(snapshot.rows, "row")) " in " (counted(snapshot.files.len() as u64, "file")) ", "
            (count(snapshot.bytes)) " bytes. "
            @if sealed { "Its seal was verified: every byte that this run read is one that was sealed." }
            @else { "Not all of it was sealed: bytes that changed before the run would not have been noticed." }
        }
        (html::table(TableStyle::Figures, &["file", "rows", "bytes", "BLAKE3"], &files))
        @if more > 0 { p { "And " (counted(more, "more file")) ", all in run.json." } }
        p {
            "Digest of the policy: " code { (digest) } ". " code { "smi-sweep verify" }
            " recounts every figure here from the manifests. Made by smi-sweep " (record.engine.version) "."
        }
    }
}

fn digested(name: &str, rows: u64, bytes: u64, digest: Option<&String>) -> Markup {
    html! {
        tr {
            td { (name) } td { (count(rows)) } td { (count(bytes)) }
            td { @if let Some(digest) = digest { code { (digest) } } @else { "not sealed" } }
        }
    }
}

/// The text that is signed, and lines for signatures.
fn sign_off(record: &Record) -> Markup {
    html! {
        h2 { "Sign-off" }
        p {
            "I have read this page and approve " (counted(record.tally.delete, "deletion")) " and "
            (counted(record.tally.alerts, "alert")) " as listed in the manifests above."
        }
        div.sign { div { "Name" } div { "Role" } div { "Date" } div { "Signature" } }
    }
}
