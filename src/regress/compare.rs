//! Compares the expected outcomes of a case with the engine's, by device, by type, and between cells, in sentences.

use std::collections::BTreeMap;

use super::case::{Case, DeviceOutcome, DispositionKind};
use super::cells::{MatrixCell, in_common};
use super::judge::CellResult;
use super::published::{ActualOutcome, rule_row};
use crate::estate::{Reason, TallyByType};
use crate::sweep::{GuardTerms, guard};

/// One difference for which a case fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseDifference {
    /// A sentence without a full stop.
    pub what: String,
    /// Whether another `expected.csv` would remove it.
    pub blessable: bool,
    /// The device concerned: its index in [`Case::devices`].
    pub row: Option<usize>,
}

impl CaseDifference {
    pub(super) fn not_blessable(what: impl Into<String>) -> Self {
        Self { what: what.into(), blessable: false, row: None }
    }
}

/// Every difference between what a case expects and what one cell gave.
pub(super) fn compare(case: &Case, found: &CellResult) -> Vec<CaseDifference> {
    let stopped = found.manifests.is_none();
    let mut differences: Vec<CaseDifference> =
        guards(case, found).into_iter().map(CaseDifference::not_blessable).collect();
    if let Some(wanted) = case.policy_digest.as_ref().filter(|wanted| **wanted != case.policy.digest()) {
        let what = format!("the policy's digest was to be {wanted}, and is {}", case.policy.digest());
        differences.push(CaseDifference::not_blessable(what));
    }
    let reconciliation = &found.reconciliation;
    differences.extend(by_device(case, &reconciliation.actual, stopped));
    differences.extend(reconciliation.faults.iter().map(CaseDifference::not_blessable));
    let counted = engine_counts(case, stopped, &found.by_type);
    let actual = outcome_counts(case, stopped, reconciliation.actual.iter().map(|actual| &actual.outcome));
    for what in miscounted("the manifests and the rule", &actual, &counted) {
        differences.push(CaseDifference::not_blessable(what));
    }
    // Where every device is as expected, so are the counts: they are compared only where nothing else differs.
    if differences.is_empty() {
        let expected = outcome_counts(case, stopped, case.expected.iter().map(|expected| &expected.outcome));
        let wrong = miscounted("expected.csv", &expected, &counted);
        differences.extend(wrong.into_iter().map(CaseDifference::not_blessable));
    }
    differences
}

fn guards(case: &Case, found: &CellResult) -> Vec<String> {
    let figures = |name: &str| {
        let all = guard::headroom(
            &case.policy,
            &(&found.by_type).into(),
            GuardTerms { expected: case.accept, previous: None },
        );
        all.iter().find(|headroom| headroom.guard == name).map_or_else(
            || ", since its figure is accepted otherwise".to_owned(),
            |own| format!(": {} where {} is the limit", own.figure(own.reached), own.figure(own.limit)),
        )
    };
    let wanted = case.stopped_by.as_deref();
    let mut wrong: Vec<String> = Vec::new();
    for trip in found.trips.iter().filter(|trip| wanted != Some(&trip.guard)) {
        wrong.push(format!("the guard {} stopped the run{}", trip.guard, figures(&trip.guard)));
    }
    if let Some(wanted) = wanted.filter(|wanted| found.trips.iter().all(|trip| trip.guard != *wanted)) {
        wrong.push(format!("the guard {wanted} was to stop the run, and did not{}", figures(wanted)));
    }
    wrong
}

fn by_device(case: &Case, actual: &[ActualOutcome], stopped: bool) -> Vec<CaseDifference> {
    let mut differences = Vec::new();
    let mut differs = |row, what| differences.push(CaseDifference { what, blessable: true, row });
    for (row, ActualOutcome { outcome, .. }) in actual.iter().enumerate() {
        let device = named(&outcome.device_id);
        let Some(expected) = case.expected.get(row) else {
            differs(Some(row), format!("{device}: expected.csv has no line for it"));
            continue;
        };
        let (line, expected) = (expected.line, &expected.outcome);
        if expected.device_id != outcome.device_id {
            let other = named(&expected.device_id);
            differs(Some(row), format!("{device}: line {line} of expected.csv is of {other}"));
            continue;
        }
        let wrong = columns_apart(expected, outcome, stopped);
        if !wrong.is_empty() {
            differs(Some(row), format!("{device} (line {line} of expected.csv): {}", wrong.join("; ")));
        }
    }
    for extra in case.expected.iter().skip(actual.len()) {
        let device = named(&extra.outcome.device_id);
        differs(None, format!("{device}: in line {} of expected.csv, and not in snapshot.csv", extra.line));
    }
    differences
}

/// The columns in which an outcome differs from the expected one. Another disposition explains all other columns, so
/// that only it is named then.
fn columns_apart(expected: &DeviceOutcome, actual: &DeviceOutcome, stopped: bool) -> Vec<String> {
    // A run that a guard stops publishes no alert and no day.
    let compared = if stopped { 3 } else { DeviceOutcome::COLUMNS.len() };
    let (wanted, found) = (expected.fields(), actual.fields());
    let column = |column: usize| {
        let (wanted, found, name) = (quoted(wanted[column]), quoted(found[column]), DeviceOutcome::COLUMNS[column]);
        format!("{name} was to be {wanted}, and is {found}")
    };
    if expected.disposition == actual.disposition {
        return (2..compared).filter(|&index| wanted[index] != found[index]).map(column).collect();
    }
    let reason = actual.reason.map_or_else(String::new, |reason| format!(" for the reason `{reason}`"));
    vec![column(1) + &reason]
}

/// Devices by type name and by outcome in words.
type OutcomeCounts = BTreeMap<(String, String), u64>;

/// Outcomes counted as the engine counts them: quarantined by reason, deletions by whether they raise an alert.
fn outcome_counts<'e>(case: &Case, stopped: bool, outcomes: impl Iterator<Item = &'e DeviceOutcome>) -> OutcomeCounts {
    let mut counts = OutcomeCounts::new();
    for (device, outcome) in case.devices.iter().zip(outcomes) {
        let what = match outcome.disposition {
            DispositionKind::Quarantined => format!("quarantined for {}", quoted(outcome.reason_name())),
            DispositionKind::Delete if stopped => "deleted".into(),
            DispositionKind::Delete if outcome.alert.is_empty() => "deleted silently".into(),
            DispositionKind::Delete => "deleted with an alert".into(),
            other => other.name().to_owned(),
        };
        let type_name = case.policy.types.name(rule_row(device, &case.policy).type_code).to_owned();
        *counts.entry((type_name, what)).or_default() += 1;
    }
    counts
}

/// The engine's own counts, in the words of [`outcome_counts`].
fn engine_counts(case: &Case, stopped: bool, by_type: &TallyByType) -> OutcomeCounts {
    let mut counts = OutcomeCounts::new();
    for (code, tally) in by_type.iter() {
        let mut add = |what: &str, rows: u64| {
            if rows > 0 {
                *counts.entry((case.policy.types.name(code).to_owned(), what.to_owned())).or_default() += rows;
            }
        };
        add("not_candidate", tally.not_candidate);
        add("excluded", tally.excluded);
        add("not_due", tally.not_due);
        if stopped {
            add("deleted", tally.deletes());
        } else {
            add("deleted with an alert", tally.alerts);
            add("deleted silently", tally.silent_deletes);
        }
        for (reason, rows) in Reason::ALL.into_iter().zip(tally.quarantined) {
            add(&format!("quarantined for `{reason}`"), rows);
        }
    }
    counts
}

/// The counts in which the engine differs. A device that is in no manifest can still be counted wrongly.
fn miscounted(who: &str, wanted: &OutcomeCounts, counted: &OutcomeCounts) -> Vec<String> {
    let mut keys: Vec<_> = wanted.keys().chain(counted.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |counts: &OutcomeCounts, key| counts.get(key).copied().unwrap_or_default();
    keys.into_iter()
        .filter(|key| of(wanted, key) != of(counted, key))
        .map(|key| {
            let (type_name, what) = key;
            format!("{type_name}: {who} have {} {what}, and {} were counted", of(wanted, key), of(counted, key))
        })
        .collect()
}

/// How a cell differs from the first one, in a sentence; `None` where both gave the same.
///
/// `because` gives the engine's explanation for a device, by its row, in the other cell.
pub(super) fn disagreement(
    first: &CellResult,
    other: &CellResult,
    because: &dyn Fn(usize) -> String,
) -> Option<String> {
    if first == other {
        return None;
    }
    let both = first.reconciliation.actual.iter().zip(&other.reconciliation.actual);
    if let Some((row, (one, two))) = both.enumerate().find(|(_, (one, two))| one.outcome != two.outcome) {
        let wrong = columns_apart(&one.outcome, &two.outcome, false).join("; ");
        let because = because(row);
        let because = if because.is_empty() { because } else { format!(". The engine there: {because}") };
        return Some(format!("{}: {wrong}{because}", named(&one.outcome.device_id)));
    }
    let guards =
        |cell: &CellResult| cell.trips.iter().map(|trip| trip.guard.as_str()).collect::<Vec<_>>().join(" and ");
    if guards(first) != guards(other) {
        return Some(format!("stopped by {} and not by {}", quoted(&guards(other)), quoted(&guards(first))));
    }
    let known = &first.reconciliation.faults;
    if let Some(fault) = other.reconciliation.faults.iter().find(|fault| !known.contains(fault)) {
        return Some(fault.clone());
    }
    if first.by_type != other.by_type {
        return Some("the counts by type differ".into());
    }
    Some("the manifests list the same, and their bytes differ".into())
}

/// Cells that differ from the first one: one sentence for each difference, with what its cells have in common.
pub(super) fn between_cells(disagreements: &[(MatrixCell, String)], all: &[MatrixCell]) -> Vec<String> {
    let mut kinds: Vec<(&str, Vec<MatrixCell>)> = Vec::new();
    for (cell, what) in disagreements {
        match kinds.iter_mut().find(|(kind, _)| kind == what) {
            Some((_, cells)) => cells.push(*cell),
            None => kinds.push((what, vec![*cell])),
        }
    }
    kinds
        .into_iter()
        .map(|(what, cells)| format!("{}: not the result of the first cell: {what}", in_common(&cells, all)))
        .collect()
}

fn named(device_id: &str) -> &str {
    if device_id.is_empty() { "(no Device ID)" } else { device_id }
}

fn quoted(cell: &str) -> String {
    if cell.is_empty() { "nothing".into() } else { format!("`{cell}`") }
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::published::{OutcomeSource, Reconciliation};
    use super::*;
    use crate::estate::Disposition;

    fn cell_result(dispositions: &[Disposition], bytes: &[u8]) -> CellResult {
        let actual = dispositions.iter().enumerate().map(|(row, &disposition)| ActualOutcome {
            outcome: DeviceOutcome::new(format!("device {row}"), disposition),
            source: OutcomeSource::Counts,
        });
        CellResult {
            manifests: Some([bytes.to_vec(), Vec::new()]),
            trips: Vec::new(),
            by_type: TallyByType::default(),
            reconciliation: Reconciliation { actual: actual.collect(), faults: Vec::new() },
        }
    }

    #[test]
    fn cells_that_differ_are_named_by_device_and_by_what_they_share() {
        let delete = Disposition::Delete { alert: false };
        let first = cell_result(&[delete, Disposition::NotDue], b"one");
        let why = |row: usize| format!("row {row}");
        assert_eq!(disagreement(&first, &first.clone(), &why), None);
        let other = disagreement(&first, &cell_result(&[delete, Disposition::Excluded], b"one"), &why).unwrap();
        assert_eq!(other, "device 1: disposition was to be `not_due`, and is `excluded`. The engine there: row 1");
        let bytes = disagreement(&first, &cell_result(&[delete, Disposition::NotDue], b"two"), &why).unwrap();
        assert!(bytes.contains("bytes differ"), "{bytes}");

        let all = cells(&[]);
        let four: Vec<(MatrixCell, String)> =
            all.iter().filter(|cell| cell.threads == 4).map(|cell| (*cell, other.clone())).collect();
        let sentences = between_cells(&four, &all);
        assert_eq!(sentences.len(), 1);
        let sentence = &sentences[0];
        assert!(sentence.contains("all with 4 threads: not the result") && sentence.contains("device 1"), "{sentence}");
    }
}
