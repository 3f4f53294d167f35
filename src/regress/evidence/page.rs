//! The page that a test manager signs: failures first, then statements with their cases, then every case.

use std::collections::BTreeSet;

use maud::{Markup, PreEscaped, html};

use super::record::Evidence;
use crate::estate::time::format_instant;
use crate::output::html::{self, TableStyle, count};
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
    let body = html! {
        @if !well { p.alarm { "Not everything passes: do not sign." } }
        (about(evidence))
        (failures(evidence, &traced))
        @if !traced.is_empty() { (statements(&traced)) }
        (matrix(evidence.results))
        h2 { "Cases" }
        @for result in evidence.results { (case(result)) }
        (signatures())
    };
    html::page("Regression evidence", &lead, &body)
}

fn about(evidence: &Evidence<'_>) -> Markup {
    let files = Some(evidence.digest());
    let digests = [("program", &evidence.binary), ("all case files", &files)];
    let rows = html! {
        (html::row("engine", &[format!("smi-sweep {}", evidence.version)]))
        (html::row("run at", &[format!("{}, in {:.1} s", format_instant(evidence.at), evidence.seconds)]))
        @for (name, digest) in digests {
            @if let Some(digest) = digest { tr { td { "BLAKE3 of " (name) } td { code { (digest) } } } }
        }
    };
    html::table(TableStyle::Words, &["what", ""], &rows)
}

fn failures(evidence: &Evidence<'_>, traced: &[(&TraceableStatement, Trace<'_>)]) -> Markup {
    html! {
        @for result in evidence.failed() {
            h2.alarm { (link(&result.case.name)) " fails" }
            ul { @for difference in &result.differences { li { (difference.what) } } }
        }
        @for (statement, trace) in traced.iter().filter(|(_, trace)| !trace.shown()) {
            p.alarm { (statement.id) ": no passing case shows " (trace.missing.join(", ")) "." }
        }
    }
}

fn link(case: &str) -> Markup {
    html! { a href={ "#" (case) } { (case) } }
}

fn statements(traced: &[(&TraceableStatement, Trace<'_>)]) -> Markup {
    let header = ["statement", "section", "what it says, and needs", "result", "cases"];
    let rows = html! { @for (statement, trace) in traced { (statement_row(statement, trace)) } };
    html! {
        h2 { "Statements, and their cases" }
        (html::table(TableStyle::Words, &header, &rows))
    }
}

fn statement_row(statement: &TraceableStatement, trace: &Trace<'_>) -> Markup {
    let failed = trace.cases.iter().filter(|result| !result.passed()).count();
    let outcome = match (trace.shown(), trace.cases.len(), failed) {
        (_, 0, _) => "no case".to_owned(),
        (true, _, 0) => "shown".to_owned(),
        (true, _, failed) => format!("shown, though {failed} fail"),
        (false, ..) => format!("lacks {}", trace.missing.join(", ")),
    };
    html! {
        tr.failed[!trace.shown()] {
            td { (statement.id) }
            td { (statement.section) }
            td { (statement.says) br; small { (statement.needs.join(", ")) } }
            td { (outcome) }
            td {
                @for (number, result) in trace.cases.iter().enumerate() {
                    @if number > 0 { ", " }
                    (link(&result.case.name))
                    @if !result.passed() { " " strong { "(fails)" } }
                }
            }
        }
    }
}

fn matrix(results: &[CaseResult]) -> Markup {
    let cells = results.iter().flat_map(|result| &result.cells).map(ToString::to_string);
    let all: BTreeSet<String> =
        cells.flat_map(|cell| cell.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect();
    html! {
        h2 { "The storage forms" }
        p {
            "A case is stored and swept in so many cells that every two of these values meet in one of them, as far as its "
            "values can be stored so."
        }
        p { (all.into_iter().collect::<Vec<_>>().join("; ")) "." }
    }
}

fn case(result: &CaseResult) -> Markup {
    let case = &result.case;
    html! {
        h3.alarm[!result.passed()] id=(case.name) {
            (case.name) ": " @if result.passed() { "passes" } @else { "FAILS" }
        }
        p { (case.title.trim_end_matches('.')) ". " (case.demonstrates) }
        p {
            "Policy " (case.policy.name) " version " (case.policy.version) ", digest " (case.policy.digest())
            @if case.policy_digest.is_some() { " (pinned by the case)" }
            ", as of " (format_instant(case.as_of)) ". " (result.cells.len()) " cells. Evidence for "
            (case.requirements.join(", ")) ". Case files " (case.digest) "."
        }
        @if let Some(guard) = &case.stopped_by {
            p { (guard) " must stop the run: nothing is published, and outcomes are found by counts." }
        }
        @if case.devices.is_empty() { p { "An estate without devices." } } @else { (devices(result)) }
    }
}

fn devices(result: &CaseResult) -> Markup {
    let case = &result.case;
    let header = ["device", "type", "status", "since", "party", "role", "expected", "actual", "found in"];
    let text = |value: &Option<String>| match value.as_deref() {
        None => "(null)".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    };
    let rows = html! {
        @for (row, (device, actual)) in case.devices.iter().zip(&result.actual).enumerate() {
            @let expected = case.expected.get(row).map(|expected| &expected.outcome);
            tr.failed[expected != Some(&actual.outcome)] {
                td { (text(&device.id)) }
                td { (text(&device.device_type)) }
                td { (text(&device.smi_status)) }
                td { (device.since.map_or_else(|| "(null)".into(), format_instant)) }
                td { (text(&device.party)) }
                td { @if device.role.is_some() { (text(&device.role)) } }
                td { (expected.map_or_else(String::new, words)) }
                td { (words(&actual.outcome)) }
                td { (actual.source.name()) }
            }
        }
    };
    html::table(TableStyle::Words, &header, &rows)
}

fn signatures() -> Markup {
    html! {
        h2 { "Signatures" }
        div.wide.words {
            table.sign {
                thead { tr { th { "name" } th { "role" } th { "date" } th { "signature" } } }
                tbody { @for _ in 0..3 { tr { td { (PreEscaped("&nbsp;")) } td {} td {} td {} } } }
            }
        }
    }
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
