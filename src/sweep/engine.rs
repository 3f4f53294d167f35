//! The sweep of a whole snapshot: row groups in parallel, then what can only be said of all of them together.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::findings::{Due, Findings, Parties};
use super::guard::Expected;
use super::lanes::Reader;
use super::morsel::{Judged, Morsel, Scratch, judge};
use super::plan::Plan;
use super::{guard, quote, settle};
use crate::error::{Error, GuardTrip, Result};
use crate::estate::{DeviceId, Reason, TallyByType};
use crate::policy::{Policy, Rules};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::snapshot::Snapshot;

/// What to sweep by.
#[derive(Debug)]
pub struct Options<'a> {
    /// The policies; all are answered by one scan.
    pub policies: &'a [Policy],
    /// The moment to judge by, UTC microseconds.
    pub as_of: i64,
    /// Exact numbers that take the place of guards.
    pub expected: Expected,
    /// Device IDs that occur more than once anywhere in the snapshot, ascending, where that was asked for: their due
    /// rows count as duplicates.
    pub duplicates: &'a [DeviceId],
    /// Which reader is used.
    pub reader: Reader,
}

/// What one policy came to.
#[derive(Debug)]
pub struct Swept {
    /// The policy, bound to the moment.
    pub rules: Rules,
    /// What it found.
    pub findings: Findings,
    /// The guards that it would pass; where there are any, nothing may be published.
    pub trips: Vec<GuardTrip>,
    /// Bytes of the pages that were looked into, by the one scan that answered all policies.
    pub bytes_read: u64,
}

/// Sweeps a snapshot under every policy, in the policies' order.
///
/// Guards that trip are reported in [`Swept::trips`], not as errors, so that the figures can be shown.
///
/// # Errors
/// Policies that read a snapshot differently, damaged data, a file that changed meanwhile, or an interruption.
pub fn sweep(snapshot: &Snapshot, options: &Options<'_>, pool: &Pool, progress: &dyn Progress) -> Result<Vec<Swept>> {
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
    let room: Vec<u64> = options
        .policies
        .iter()
        .map(|policy| options.expected.quarantined.unwrap_or(policy.guard.max_quarantined).saturating_add(1))
        .collect();
    let plan = Plan::new(snapshot, first, &rules, options.reader, &room, progress);
    progress.begin(Stage::Scan, snapshot.rows());
    let judged = pool.map_with(morsels(snapshot), Scratch::default, |scratch, morsel| judge(&plan, morsel, scratch))?;
    snapshot.unchanged()?;

    progress.begin(Stage::Sort, 0);
    let met = std::mem::take(&mut *plan.parties.lock().unwrap_or_else(PoisonError::into_inner)).into_met();
    let (parties, rank) = Parties::sorted(met);
    let gathered = gather(judged, rules.len());
    let bytes_read = plan.bytes_read.load(Ordering::Relaxed);
    drop(plan);
    let mut swept = Vec::new();
    for ((gathered, rules), policy) in gathered.into_iter().zip(rules).zip(options.policies) {
        let Gathered { by_type, due, quarantined } = gathered;
        let mut settled = settle::settle(&due, &rank, options.duplicates, pool)?;
        drop(due);
        settled.by_type += &by_type;
        let mut findings = Findings {
            by_type: settled.by_type,
            due: settled.due,
            parties: parties.clone(),
            by_party: settled.by_party,
            quarantined: Vec::new(),
        };
        balance(&findings, snapshot.rows())?;
        let trips = guard::trips(policy, (&findings.by_type.total()).into(), options.expected);
        if trips.is_empty() {
            let rows = merged(quarantined, settled.quarantined);
            findings.quarantined = quote::quote(snapshot, &rows, options.reader, pool)?;
        }
        swept.push(Swept { rules, findings, trips, bytes_read });
    }
    // Quarantined rows were read once more.
    snapshot.unchanged()?;
    Ok(swept)
}

/// Every row group, in the order of the snapshot.
#[must_use]
pub fn morsels(snapshot: &Snapshot) -> Vec<Morsel> {
    let mut morsels = Vec::new();
    for (index, file) in snapshot.files().iter().enumerate() {
        let mut first_row = file.first_row;
        for group in 0..file.footer.num_row_groups() {
            morsels.push(Morsel { file: index, group, first_row });
            first_row += file.group_rows(group) as u64;
        }
    }
    morsels
}

/// What one policy made of every row group, in the order of the snapshot.
#[derive(Default)]
struct Gathered {
    by_type: TallyByType,
    /// Due rows of each row group by ascending Device ID.
    due: Vec<Vec<Due>>,
    quarantined: Vec<(u64, Reason)>,
}

fn gather(judged: Vec<Vec<Judged>>, policies: usize) -> Vec<Gathered> {
    let mut gathered: Vec<Gathered> = (0..policies).map(|_| Gathered::default()).collect();
    for morsel in judged {
        for (gathered, mut own) in gathered.iter_mut().zip(morsel) {
            gathered.by_type += &own.by_type;
            gathered.quarantined.append(&mut own.quarantined);
            if !own.due.is_empty() {
                gathered.due.push(own.due);
            }
        }
    }
    gathered
}

/// All quarantined rows in the order of the snapshot.
fn merged(mut judged: Vec<(u64, Reason)>, settled: Vec<(u64, Reason)>) -> Vec<(u64, Reason)> {
    judged.extend(settled);
    judged.sort_unstable_by_key(|(row, _)| *row);
    judged
}

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
