//! Sweeps a whole snapshot: judges ranges of rows in parallel, then does what needs the rows of all ranges.

use std::sync::PoisonError;

use super::findings::{Due, Findings};
use super::guard::{Expected, GuardTerms, Guarded};
use super::judge::{Judge, JudgeBuffers, Listed};
use super::uniqueness::Uniqueness;
use super::{guard, quote, settle};
use crate::error::{Error, GuardTrip, Result};
use crate::estate::{DeviceId, Reason, TallyByType};
use crate::policy::{Policy, Rules};
use crate::progress::Stage;
use crate::scan::repeated::repeated;
use crate::scan::{CandidatePlan, Parties, Purpose, Scan, ScanMetrics};
use crate::snapshot::Snapshot;

/// How to sweep a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct SweepOptions<'a> {
    /// The policies. One scan judges the rows under all of them.
    pub policies: &'a [Policy],
    /// The as-of time, UTC microseconds since 1970.
    pub as_of: i64,
    /// Exact numbers that replace guards.
    pub expected: Expected,
    /// The figures of the previous run of each policy, in the policies' order; a policy without one is not compared.
    pub previous: &'a [Option<Guarded>],
    /// Whether due rows are compared with all rows of the snapshot, to find Device IDs that occur more than once.
    pub uniqueness: Uniqueness,
}

/// The result of a sweep under one policy.
#[derive(Debug)]
pub struct Swept {
    /// The policy, bound to the as-of time.
    pub rules: Rules,
    /// What is to be deleted, what is quarantined, and the counts.
    pub findings: Findings,
    /// What it was compared with.
    pub terms: GuardTerms,
    /// The guards that it trips. If there are any, nothing may be published.
    pub trips: Vec<GuardTrip>,
    /// What the scan read and skipped; the same for all policies.
    pub metrics: ScanMetrics,
}

/// Sweeps a snapshot under every policy, in the policies' order.
///
/// Guards that trip are reported in [`Swept::trips`], not as errors, so that the figures can be shown.
///
/// # Errors
/// [`Error::Usage`] if the policies have different spellings or types; damaged data, a file that changed meanwhile, or
/// an interruption.
pub fn sweep(scan: &Scan<'_>, options: &SweepOptions<'_>) -> Result<Vec<Swept>> {
    let Some(first) = options.policies.first() else { return Ok(Vec::new()) };
    for other in options.policies {
        if other.spellings != first.spellings || other.types != first.types {
            return Err(Error::Usage {
                what: format!("policies `{}` and `{}` read snapshots differently", first.name, other.name),
                remedy: "give them the same [snapshot] and [types] sections, or sweep once for each".into(),
            });
        }
    }
    let rules: Vec<Rules> = options.policies.iter().map(|policy| policy.bind(options.as_of)).collect();
    let limits = options.policies.iter().map(|policy| policy.guard.max_quarantined);
    let room: Vec<u64> = limits.map(|limit| options.expected.quarantined.unwrap_or(limit).saturating_add(1)).collect();
    let judge = Judge::new(CandidatePlan::new(first, &rules, Purpose::Judge), &room);
    let scanned = scan.run(Stage::Scan, JudgeBuffers::default, |range, buffers| judge.range(range, buffers))?;
    scan.snapshot.unchanged()?;

    let (plan, counts) = judge.into_counts();
    let merged = merge_ranges(scanned.parts, counts);
    let duplicates = match options.uniqueness {
        Uniqueness::Checked => repeated(scan, &due_ids(&merged))?,
        Uniqueness::Proven | Uniqueness::Unproven => Vec::new(),
    };
    scan.progress.begin(Stage::Sort, 0);
    let names = plan.parties.into_inner().unwrap_or_else(PoisonError::into_inner).into_names();
    let (parties, rank) = Parties::sorted(names);
    let mut swept = Vec::new();
    for (((judged, rules), policy), room) in merged.into_iter().zip(rules).zip(options.policies).zip(room) {
        let JudgedSnapshot { by_type, due, quarantined } = judged;
        let rules_of_rows = settle::SettleRules { rank: &rank, duplicates: &duplicates, room };
        let mut settled = settle::settle(&due, &rules_of_rows, scan.pool)?;
        drop(due);
        settled.by_type += &by_type;
        let mut findings = Findings {
            by_type: settled.by_type,
            due: settled.due,
            parties: parties.clone(),
            by_party: settled.by_party,
            quarantined: Vec::new(),
        };
        balance(&findings, scan.snapshot.rows())?;
        if options.uniqueness == Uniqueness::Proven {
            agrees_with_seal(scan.snapshot, &findings)?;
        }
        let terms =
            GuardTerms { expected: options.expected, previous: options.previous.get(swept.len()).copied().flatten() };
        let trips = guard::trips(policy, &(&findings.by_type).into(), terms);
        if trips.is_empty() {
            let rows = in_row_order(quarantined, settled.quarantined);
            findings.quarantined = quote::quote(scan, &rows)?;
        }
        swept.push(Swept { rules, findings, terms, trips, metrics: scanned.metrics });
    }
    // Quarantined rows were read again since the last check.
    scan.snapshot.unchanged()?;
    Ok(swept)
}

/// The rows of all ranges, judged under one policy.
#[derive(Default)]
struct JudgedSnapshot {
    by_type: TallyByType,
    /// Due rows of each range, by ascending Device ID; ranges are in the order of the snapshot.
    due: Vec<Vec<Due>>,
    quarantined: Vec<(u64, Reason)>,
}

fn merge_ranges(listed: Vec<Vec<Listed>>, counts: Vec<TallyByType>) -> Vec<JudgedSnapshot> {
    let snapshot = |by_type| JudgedSnapshot { by_type, ..JudgedSnapshot::default() };
    let mut merged: Vec<JudgedSnapshot> = counts.into_iter().map(snapshot).collect();
    for range in listed {
        for (merged, mut listed) in merged.iter_mut().zip(range) {
            merged.quarantined.append(&mut listed.quarantined);
            if !listed.due.is_empty() {
                merged.due.push(listed.due);
            }
        }
    }
    merged
}

/// The Device IDs of all due rows, ascending, each once.
fn due_ids(merged: &[JudgedSnapshot]) -> Vec<DeviceId> {
    let pieces = merged.iter().flat_map(|judged| &judged.due);
    let mut ids: Vec<DeviceId> = pieces.flatten().map(|due| due.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Refuses due rows that share a Device ID, where a seal states that no rows do.
fn agrees_with_seal(snapshot: &Snapshot, findings: &Findings) -> Result<()> {
    if findings.by_type.total().quarantined[Reason::DuplicateDeviceId as usize] == 0 {
        return Ok(());
    }
    Err(snapshot.not_unique())
}

/// All quarantined rows in the order of the snapshot.
fn in_row_order(mut judged: Vec<(u64, Reason)>, settled: Vec<(u64, Reason)>) -> Vec<(u64, Reason)> {
    judged.extend(settled);
    judged.sort_unstable_by_key(|(row, _)| *row);
    judged
}

/// Checks that every row was counted once, and that the counted deletions are those listed.
fn balance(findings: &Findings, rows: u64) -> Result<()> {
    let total = findings.by_type.total();
    if total.rows() != rows {
        return Err(Error::Unbalanced(format!("{} rows were judged of {rows}", total.rows())));
    }
    if total.deletes() != findings.due.len() as u64 {
        return Err(Error::Unbalanced(format!(
            "{} deletions were counted and {} are listed",
            total.deletes(),
            findings.due.len()
        )));
    }
    Ok(())
}
