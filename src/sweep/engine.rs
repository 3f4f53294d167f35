//! The sweep of a whole snapshot: ranges of rows in parallel, then what needs all of them.

use std::sync::PoisonError;

use super::findings::{Due, Findings};
use super::guard::Expected;
use super::judge::{Judge, JudgeBuffers, Judged};
use super::{guard, quote, settle};
use crate::error::{Error, GuardTrip, Result};
use crate::estate::{DeviceId, Reason, TallyByType};
use crate::policy::{Policy, Rules};
use crate::progress::Stage;
use crate::scan::{CandidatePlan, Parties, Purpose, Scan, ScanMetrics};

/// What to sweep by.
#[derive(Debug, Clone, Copy)]
pub struct SweepOptions<'a> {
    /// The policies; all are answered by one scan.
    pub policies: &'a [Policy],
    /// The moment to judge by, UTC microseconds.
    pub as_of: i64,
    /// Exact numbers that take the place of guards.
    pub expected: Expected,
    /// Device IDs that occur more than once anywhere in the snapshot, ascending, where that was asked for: their due
    /// rows count as duplicates.
    pub duplicates: &'a [DeviceId],
}

/// What one policy came to.
#[derive(Debug)]
pub struct Swept {
    /// The policy, bound to the moment.
    pub rules: Rules,
    /// What it found.
    pub findings: Findings,
    /// The guards that it trips; where there are any, nothing may be published.
    pub trips: Vec<GuardTrip>,
    /// What the one scan that answered all policies read and skipped.
    pub metrics: ScanMetrics,
}

/// Sweeps a snapshot under every policy, in the policies' order.
///
/// Guards that trip are reported in [`Swept::trips`], not as errors, so that the figures can be shown.
///
/// # Errors
/// Policies that read a snapshot differently, damaged data, a file that changed meanwhile, or an interruption.
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
    let room = limits.map(|limit| options.expected.quarantined.unwrap_or(limit).saturating_add(1));
    let judge = Judge::new(CandidatePlan::new(first, &rules, Purpose::Judge), room);
    let scanned = scan.run(Stage::Scan, JudgeBuffers::default, |range, buffers| judge.range(range, buffers))?;
    scan.snapshot.unchanged()?;

    scan.progress.begin(Stage::Sort, 0);
    let met = judge.plan.parties.into_inner().unwrap_or_else(PoisonError::into_inner).into_met();
    let (parties, rank) = Parties::sorted(met);
    let gathered = gather(scanned.parts, rules.len());
    let mut swept = Vec::new();
    for ((gathered, rules), policy) in gathered.into_iter().zip(rules).zip(options.policies) {
        let Gathered { by_type, due, quarantined } = gathered;
        let mut settled = settle::settle(&due, &rank, options.duplicates, scan.pool)?;
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
        let trips = guard::trips(policy, (&findings.by_type.total()).into(), options.expected);
        if trips.is_empty() {
            let rows = merged(quarantined, settled.quarantined);
            findings.quarantined = quote::quote(scan, &rows)?;
        }
        swept.push(Swept { rules, findings, trips, metrics: scanned.metrics });
    }
    // Quarantined rows were read once more.
    scan.snapshot.unchanged()?;
    Ok(swept)
}

/// What one policy made of every range, in the order of the snapshot.
#[derive(Default)]
struct Gathered {
    by_type: TallyByType,
    /// Due rows of each range by ascending Device ID.
    due: Vec<Vec<Due>>,
    quarantined: Vec<(u64, Reason)>,
}

fn gather(judged: Vec<Vec<Judged>>, policies: usize) -> Vec<Gathered> {
    let mut gathered: Vec<Gathered> = (0..policies).map(|_| Gathered::default()).collect();
    for range in judged {
        for (gathered, mut own) in gathered.iter_mut().zip(range) {
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
