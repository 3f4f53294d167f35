//! What was expected against what came, in sentences: device by device, type by type, cell by cell.

use std::collections::BTreeMap;

use super::case::{Case, Ending};
use super::cells::{Cell, in_common};
use super::judge::Said;
use super::published::{Got, judged};
use crate::estate::{Reason, TallyByType};
use crate::sweep::guard;

/// Something that is not as it was to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What, in a sentence.
    pub what: String,
    /// Whether other expectations of the devices would make it right. All else is beyond blessing.
    pub blessable: bool,
    /// The device that it is about, by its place in the snapshot.
    pub row: Option<usize>,
}

impl Difference {
    pub(super) fn beyond_blessing(what: impl Into<String>) -> Self {
        Self { what: what.into(), blessable: false, row: None }
    }
}

/// Everything in which what a cell said is not what the case expects.
pub(super) fn compare(case: &Case, said: &Said) -> Vec<Difference> {
    let stopped = said.manifests.is_none();
    let mut differences: Vec<Difference> = guards(case, said).into_iter().map(Difference::beyond_blessing).collect();
    if let Some(wanted) = case.policy_digest.as_ref().filter(|wanted| **wanted != case.policy.digest()) {
        let what = format!("the policy's digest was to be {wanted}, and is {}", case.policy.digest());
        differences.push(Difference::beyond_blessing(what));
    }
    differences.extend(endings(case, &said.account.got, stopped));
    differences.extend(said.account.faults.iter().map(Difference::beyond_blessing));
    let got = counts(case, stopped, said.account.got.iter().map(|got| &got.ending));
    let counted = counted(case, stopped, &said.by_type);
    for what in miscounted("the manifests and the rule", &got, &counted) {
        differences.push(Difference::beyond_blessing(what));
    }
    // With one line for each device they are what the endings are, and are said only where those say nothing.
    if differences.is_empty() {
        let expected = counts(case, stopped, case.expected.iter().map(|expectation| &expectation.ending));
        differences
            .extend(miscounted("expected.csv", &expected, &counted).into_iter().map(Difference::beyond_blessing));
    }
    differences
}

fn guards(case: &Case, said: &Said) -> Vec<String> {
    let figures = |name: &str| {
        let all = guard::headroom(&case.policy, (&said.total()).into(), case.accept);
        all.iter().find(|headroom| headroom.guard == name).map_or_else(
            || ", since its figure is accepted otherwise".to_owned(),
            |own| format!(": {} where {} is the limit", own.figure(own.reached), own.figure(own.limit)),
        )
    };
    let wanted = case.stopped_by.as_deref();
    let mut wrong: Vec<String> = Vec::new();
    for trip in said.trips.iter().filter(|trip| wanted != Some(trip.guard)) {
        wrong.push(format!("the guard {} stopped the run{}", trip.guard, figures(trip.guard)));
    }
    if let Some(wanted) = wanted.filter(|wanted| said.trips.iter().all(|trip| trip.guard != *wanted)) {
        wrong.push(format!("the guard {wanted} was to stop the run, and did not{}", figures(wanted)));
    }
    wrong
}

fn endings(case: &Case, got: &[Got], stopped: bool) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut say = |row, what| differences.push(Difference { what, blessable: true, row });
    for (row, Got { ending, .. }) in got.iter().enumerate() {
        let device = named(&ending.device_id);
        let Some(expected) = case.expected.get(row) else {
            say(Some(row), format!("{device}: expected.csv has no line for it"));
            continue;
        };
        let (line, expected) = (expected.line, &expected.ending);
        if expected.device_id != ending.device_id {
            let other = named(&expected.device_id);
            say(Some(row), format!("{device}: line {line} of expected.csv is of {other}"));
            continue;
        }
        let wrong = apart(expected, ending, stopped);
        if !wrong.is_empty() {
            say(Some(row), format!("{device} (line {line} of expected.csv): {}", wrong.join("; ")));
        }
    }
    for extra in case.expected.iter().skip(got.len()) {
        let device = named(&extra.ending.device_id);
        say(None, format!("{device}: in line {} of expected.csv, and not in snapshot.csv", extra.line));
    }
    differences
}

/// How an ending is not the one that was expected. What follows from another disposition is not said again.
fn apart(expected: &Ending, got: &Ending, stopped: bool) -> Vec<String> {
    // What a guard stops is published to nobody.
    let cells = if stopped { 3 } else { Ending::COLUMNS.len() };
    let (wanted, found) = (expected.cells(), got.cells());
    let column = |column: usize| {
        let (wanted, found, name) = (quoted(wanted[column]), quoted(found[column]), Ending::COLUMNS[column]);
        format!("{name} was to be {wanted}, and is {found}")
    };
    if wanted[1] == found[1] {
        return (2..cells).filter(|&index| wanted[index] != found[index]).map(column).collect();
    }
    let reason = if got.reason.is_empty() { String::new() } else { format!(" for the reason `{}`", got.reason) };
    vec![column(1) + &reason]
}

/// How many devices of a type meet which end.
type Counts = BTreeMap<(String, String), u64>;

/// Endings, counted as the engine counts them: quarantined by reason, deletions by whether somebody is told.
fn counts<'e>(case: &Case, stopped: bool, endings: impl Iterator<Item = &'e Ending>) -> Counts {
    let mut counts = Counts::new();
    for (device, ending) in case.devices.iter().zip(endings) {
        let what = match ending.disposition.as_str() {
            "quarantined" => format!("quarantined for {}", quoted(&ending.reason)),
            "delete" if stopped => "deleted".into(),
            "delete" if ending.alert.is_empty() => "deleted silently".into(),
            "delete" => "deleted with an alert".into(),
            other => other.to_owned(),
        };
        let type_name = case.policy.types.name(judged(device, &case.policy).type_code).to_owned();
        *counts.entry((type_name, what)).or_default() += 1;
    }
    counts
}

/// The engine's own counts, in the same words.
fn counted(case: &Case, stopped: bool, by_type: &TallyByType) -> Counts {
    let mut counts = Counts::new();
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

/// Types of which the engine counted others than there are: who is in no manifest may still be miscounted.
fn miscounted(who: &str, wanted: &Counts, counted: &Counts) -> Vec<String> {
    let mut keys: Vec<_> = wanted.keys().chain(counted.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |counts: &Counts, key| counts.get(key).copied().unwrap_or_default();
    keys.into_iter()
        .filter(|key| of(wanted, key) != of(counted, key))
        .map(|key| {
            let (type_name, what) = key;
            format!("{type_name}: {who} have {} {what}, and {} were counted", of(wanted, key), of(counted, key))
        })
        .collect()
}

/// In what a cell says something else than the plainest, in a sentence; `None` where both say the same.
///
/// `because` is asked for the engine's own words on a device of the other cell.
pub(super) fn disagreement(plainest: &Said, other: &Said, because: &dyn Fn(usize) -> String) -> Option<String> {
    if plainest == other {
        return None;
    }
    let both = plainest.account.got.iter().zip(&other.account.got);
    if let Some((row, (one, two))) = both.enumerate().find(|(_, (one, two))| one.ending != two.ending) {
        let wrong = apart(&one.ending, &two.ending, false).join("; ");
        let because = because(row);
        let because = if because.is_empty() { because } else { format!(". The engine there: {because}") };
        return Some(format!("{}: {wrong}{because}", named(&one.ending.device_id)));
    }
    let guards = |said: &Said| said.trips.iter().map(|trip| trip.guard).collect::<Vec<_>>().join(" and ");
    if guards(plainest) != guards(other) {
        return Some(format!("stopped by {} and not by {}", quoted(&guards(other)), quoted(&guards(plainest))));
    }
    if let Some(fault) = other.account.faults.iter().find(|fault| !plainest.account.faults.contains(fault)) {
        return Some(fault.clone());
    }
    if plainest.by_type != other.by_type {
        return Some("the devices are counted otherwise".into());
    }
    Some("the manifests list the same, and their bytes differ".into())
}

/// Cells that disagree with the plainest, each kind of disagreement in one sentence that names what its cells share.
pub(super) fn between_cells(disagreements: &[(Cell, String)], all: &[Cell]) -> Vec<String> {
    let mut kinds: Vec<(&str, Vec<Cell>)> = Vec::new();
    for (cell, what) in disagreements {
        match kinds.iter_mut().find(|(kind, _)| kind == what) {
            Some((_, cells)) => cells.push(*cell),
            None => kinds.push((what, vec![*cell])),
        }
    }
    kinds
        .into_iter()
        .map(|(what, cells)| format!("{} do not say what the plainest cell says: {what}", in_common(&cells, all)))
        .collect()
}

pub(super) fn named(device_id: &str) -> &str {
    if device_id.is_empty() { "(no Device ID)" } else { device_id }
}

fn quoted(cell: &str) -> String {
    if cell.is_empty() { "nothing".into() } else { format!("`{cell}`") }
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::published::{Account, Source};
    use super::*;

    fn said(dispositions: &[&str], bytes: &[u8]) -> Said {
        let got = dispositions.iter().enumerate().map(|(row, disposition)| Got {
            ending: Ending {
                device_id: format!("device {row}"),
                disposition: (*disposition).into(),
                ..Ending::default()
            },
            source: Source::Counts,
        });
        Said {
            manifests: Some([bytes.to_vec(), Vec::new()]),
            trips: Vec::new(),
            by_type: TallyByType::default(),
            account: Account { got: got.collect(), faults: Vec::new() },
        }
    }

    #[test]
    fn cells_that_differ_are_told_by_device_and_by_what_they_share() {
        let plainest = said(&["delete", "not_due"], b"one");
        let why = |row: usize| format!("row {row}");
        assert_eq!(disagreement(&plainest, &plainest.clone(), &why), None);
        let other = disagreement(&plainest, &said(&["delete", "excluded"], b"one"), &why).unwrap();
        assert_eq!(other, "device 1: disposition was to be `not_due`, and is `excluded`. The engine there: row 1");
        let bytes = disagreement(&plainest, &said(&["delete", "not_due"], b"two"), &why).unwrap();
        assert!(bytes.contains("bytes differ"), "{bytes}");

        let all = cells(&[]);
        let four: Vec<(Cell, String)> =
            all.iter().filter(|cell| cell.threads == 4).map(|cell| (*cell, other.clone())).collect();
        let told = between_cells(&four, &all);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("all with 4 threads do not say") && told[0].contains("device 1"), "{told:?}");
    }
}
