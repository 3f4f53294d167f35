//! The page that a test manager signs: failures first, then statements with their cases, then every case.

use std::collections::BTreeSet;

use super::record::Evidence;
use crate::estate::time::format_instant;
use crate::output::html::{Page, count};
use crate::regress::case::DeviceOutcome;
use crate::regress::statements::{Trace, TraceableStatement};
use crate::regress::suite::CaseResult;

/// The page of a run.
#[must_use]
pub fn page(evidence: &Evidence<'_>) -> String {
    let failed = evidence.failed().count();
    let traced = evidence.statements.map(|statements| statements.trace(evidence.results)).unwrap_or_default();
    let well = failed == 0 && traced.iter().all(|(_, trace)| trace.shown());
    let lead = format!(
        "{}. Each case was swept in every cell of its matrix, {} sweeps in all.",
        evidence.verdict(),
        count(evidence.sweeps() as u64)
    );
    let mut page = Page::new("Regression evidence", &lead);
    if !well {
        page.raw("<p class=\"alarm\">Not everything passes: do not sign.</p>\n");
    }
    about(&mut page, evidence);
    failures(&mut page, evidence, &traced);
    if !traced.is_empty() {
        statements(&mut page, &traced);
    }
    matrix(&mut page, evidence.results);
    page.heading("Cases");
    for result in evidence.results {
        case(&mut page, result);
    }
    signatures(&mut page);
    page.finish()
}

fn about(page: &mut Page, evidence: &Evidence<'_>) {
    page.begin_words(&["what", ""]);
    page.row("", "engine", &[format!("smi-sweep {}", evidence.version)]);
    page.row("", "run at", &[format!("{}, in {:.1} s", format_instant(evidence.at), evidence.seconds)]);
    let files = Some(evidence.digest());
    for (name, digest) in [("program", &evidence.binary), ("all case files", &files)] {
        if let Some(digest) = digest {
            page.raw("<tr><td>BLAKE3 of ");
            page.text(name);
            page.raw("</td><td><code>");
            page.text(digest);
            page.raw("</code></td></tr>\n");
        }
    }
    page.end_table();
}

fn failures(page: &mut Page, evidence: &Evidence<'_>, traced: &[(&TraceableStatement, Trace<'_>)]) {
    for result in evidence.failed() {
        page.raw("<h2 class=\"alarm\">");
        link(page, &result.case.name);
        page.text(" fails");
        page.raw("</h2>\n<ul>");
        for difference in &result.differences {
            page.raw("<li>");
            page.text(&difference.what);
            page.raw("</li>\n");
        }
        page.raw("</ul>\n");
    }
    for (statement, trace) in traced.iter().filter(|(_, trace)| !trace.shown()) {
        page.raw("<p class=\"alarm\">");
        page.text(&format!("{}: no passing case shows {}.", statement.id, trace.missing.join(", ")));
        page.raw("</p>\n");
    }
}

fn link(page: &mut Page, case: &str) {
    page.raw("<a href=\"#");
    page.text(case);
    page.raw("\">");
    page.text(case);
    page.raw("</a>");
}

fn statements(page: &mut Page, traced: &[(&TraceableStatement, Trace<'_>)]) {
    page.heading("Statements, and their cases");
    page.begin_words(&["statement", "section", "what it says, and needs", "result", "cases"]);
    for (statement, trace) in traced {
        let class = if trace.shown() { "" } else { " class=\"failed\"" };
        page.raw(&format!("<tr{class}><td>"));
        page.text(&statement.id);
        page.raw("</td><td>");
        page.text(&statement.section);
        page.raw("</td><td>");
        page.text(&statement.says);
        page.raw("<br><small>");
        page.text(&statement.needs.join(", "));
        page.raw("</small></td><td>");
        let failed = trace.cases.iter().filter(|result| !result.passed()).count();
        let result = match (trace.shown(), trace.cases.len(), failed) {
            (_, 0, _) => "no case".to_owned(),
            (true, _, 0) => "shown".to_owned(),
            (true, _, failed) => format!("shown, though {failed} fail"),
            (false, ..) => format!("lacks {}", trace.missing.join(", ")),
        };
        page.text(&result);
        page.raw("</td><td>");
        for (number, result) in trace.cases.iter().enumerate() {
            page.raw(if number > 0 { ", " } else { "" });
            link(page, &result.case.name);
            page.raw(if result.passed() { "" } else { " <strong>(fails)</strong>" });
        }
        page.raw("</td></tr>\n");
    }
    page.end_table();
}

fn matrix(page: &mut Page, results: &[CaseResult]) {
    page.heading("The storage forms");
    page.paragraph(
        "A case is stored and swept in so many cells that every two of these values meet in one of them, as far as its \
         values can be stored so.",
    );
    let all: BTreeSet<String> = results
        .iter()
        .flat_map(|result| {
            result.cells.iter().flat_map(|cell| cell.to_string().split(", ").map(str::to_owned).collect::<Vec<_>>())
        })
        .collect();
    page.paragraph(&format!("{}.", all.into_iter().collect::<Vec<_>>().join("; ")));
}

fn case(page: &mut Page, result: &CaseResult) {
    let case = &result.case;
    page.raw("<h3 id=\"");
    page.text(&case.name);
    page.raw(if result.passed() { "\">" } else { "\" class=\"alarm\">" });
    page.text(&format!("{}: {}", case.name, if result.passed() { "passes" } else { "FAILS" }));
    page.raw("</h3>\n");
    page.paragraph(&format!("{}. {}", case.title.trim_end_matches('.'), case.demonstrates));
    let digest = case.policy.digest();
    let pinned = if case.policy_digest.is_some() { " (pinned by the case)" } else { "" };
    page.paragraph(&format!(
        "Policy {} version {}, digest {digest}{pinned}, as of {}. {} cells. Evidence for {}. Case files {}.",
        case.policy.name,
        case.policy.version,
        format_instant(case.as_of),
        result.cells.len(),
        case.requirements.join(", "),
        case.digest,
    ));
    if let Some(guard) = &case.stopped_by {
        page.paragraph(&format!("{guard} must stop the run: nothing is published, and outcomes are found by counts."));
    }
    if case.devices.is_empty() {
        page.paragraph("An estate without devices.");
        return;
    }
    page.begin_words(&["device", "type", "status", "since", "party", "role", "expected", "actual", "found in"]);
    for (row, (device, actual)) in case.devices.iter().zip(&result.actual).enumerate() {
        let expected = case.expected.get(row).map(|expected| &expected.outcome);
        let text = |value: &Option<String>| match value.as_deref() {
            None => "(null)".to_owned(),
            Some("") => "(empty)".to_owned(),
            Some(text) => text.to_owned(),
        };
        let cells = [
            text(&device.device_type),
            text(&device.smi_status),
            device.since.map_or_else(|| "(null)".into(), format_instant),
            text(&device.party),
            device.role.as_ref().map_or_else(String::new, |_| text(&device.role)),
            expected.map_or_else(String::new, words),
            words(&actual.outcome),
            actual.source.name().to_owned(),
        ];
        page.row(if expected == Some(&actual.outcome) { "" } else { "failed" }, &text(&device.id), &cells);
    }
    page.end_table();
}

fn signatures(page: &mut Page) {
    page.heading("Signatures");
    page.raw("<div class=\"wide words\"><table class=\"sign\"><thead><tr>");
    page.raw("<th>name</th><th>role</th><th>date</th><th>signature</th></tr></thead><tbody>\n");
    for _ in 0..3 {
        page.raw("<tr><td>&nbsp;</td><td></td><td></td><td></td></tr>\n");
    }
    page.end_table();
}

/// An outcome in a few words.
fn words(outcome: &DeviceOutcome) -> String {
    let mut words = vec![outcome.disposition.name().to_owned()];
    words.extend(outcome.reason.map(|reason| reason.name().to_owned()));
    if !outcome.due_on.is_empty() {
        words.push(format!("due on {}", outcome.due_on));
    }
    if !outcome.alert.is_empty() {
        words.push(format!("{} to {}", outcome.alert, outcome.recipient));
    }
    words.join(", ")
}
