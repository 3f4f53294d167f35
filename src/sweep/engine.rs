//! The sweep of a whole snapshot: row groups in parallel, then what can only be said of all of them together.

use std::ops::RangeInclusive;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::fields::party;
use super::findings::{Due, Findings, Parties};
use super::guard::Expected;
use super::lanes::Reader;
use super::morsel::{Judged, Morsel, Scratch, judge};
use super::plan::Plan;
use super::{guard, quote};
use crate::error::{Error, GuardTrip, Result};
use crate::estate::{DeviceId, Disposition, Reason, TallyByType};
use crate::policy::{Policy, Rules};
use crate::pool::Pool;
use crate::snapshot::Snapshot;
use crate::watch::{Stage, Watch};

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
pub fn sweep(snapshot: &Snapshot, options: &Options<'_>, pool: &Pool, watch: &dyn Watch) -> Result<Vec<Swept>> {
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
    let plan = Plan::new(snapshot, first, &rules, options.reader, &room, watch);
    watch.begin(Stage::Scan, snapshot.rows());
    let judged = pool.map_with(morsels(snapshot), Scratch::default, |scratch, morsel| judge(&plan, morsel, scratch))?;
    snapshot.unchanged()?;

    watch.begin(Stage::Sort, 0);
    let met = std::mem::take(&mut *plan.parties.lock().unwrap_or_else(PoisonError::into_inner)).into_met();
    let (parties, rank) = Parties::sorted(met);
    let gathered = gather(judged, rules.len());
    let bytes_read = plan.bytes_read.load(Ordering::Relaxed);
    drop(plan);
    let mut swept = Vec::new();
    for ((gathered, rules), policy) in gathered.into_iter().zip(rules).zip(options.policies) {
        let (mut findings, rows) = settle(gathered, &parties, &rank, options.duplicates, pool)?;
        balance(&findings, snapshot.rows())?;
        let trips = guard::trips(policy, &findings.by_type.total(), snapshot.rows(), options.expected);
        if trips.is_empty() {
            findings.quarantined = quote::quote(snapshot, &rows, options.reader, pool)?;
        }
        swept.push(Swept { rules, findings, trips, bytes_read });
    }
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

/// Rows that are settled at a time: few enough to stay in a worker's cache while they are sorted.
const SHARE: usize = 1 << 14;

/// Sorts the due rows, tells duplicates and rows without an addressee from deletions, and counts both.
///
/// Device IDs are split into ranges with about as many rows in each. Rows that share a Device ID fall into the same
/// one, so that ranges are settled side by side.
fn settle(
    gathered: Gathered,
    parties: &Parties,
    rank: &[u32],
    duplicates: &[DeviceId],
    pool: &Pool,
) -> Result<(Findings, Vec<(u64, Reason)>)> {
    let Gathered { mut by_type, due, mut quarantined } = gathered;
    let shares = pool.map(ranges(&due), |range| {
        let mut share = Share { due: rows_of(&due, &range), ..Share::default() };
        // Ascending pieces, one from each row group: a stable sort merges them.
        share.due.sort_by_key(|due| (due.id, due.row));
        share.settle(rank, duplicates);
        Ok::<_, Error>(share)
    })?;
    drop(due);
    let mut due = Vec::new();
    due.reserve_exact(shares.iter().map(|share| share.due.len()).sum());
    for mut share in shares {
        by_type += &share.by_type;
        due.append(&mut share.due);
        quarantined.append(&mut share.quarantined);
    }
    quarantined.sort_unstable_by_key(|(row, _)| *row);
    Ok((Findings { by_type, due, parties: parties.clone(), quarantined: Vec::new() }, quarantined))
}

/// Ranges of Device IDs, ascending, that together hold every row. `due` is by ascending Device ID in each part.
fn ranges(due: &[Vec<Due>]) -> Vec<RangeInclusive<DeviceId>> {
    let rows: usize = due.iter().map(Vec::len).sum();
    let step = SHARE / 16;
    let mut sample: Vec<DeviceId> = due.iter().flat_map(|due| due.iter().step_by(step)).map(|due| due.id).collect();
    sample.sort_unstable();
    let wanted = rows.div_ceil(SHARE).max(1);
    let mut first = 0;
    let mut ranges = Vec::with_capacity(wanted);
    for id in sample.iter().step_by(sample.len().div_ceil(wanted).max(1)).skip(1) {
        if id.0 > first {
            ranges.push(DeviceId(first)..=DeviceId(id.0 - 1));
            first = id.0;
        }
    }
    ranges.push(DeviceId(first)..=DeviceId(u64::MAX));
    ranges
}

fn rows_of(due: &[Vec<Due>], range: &RangeInclusive<DeviceId>) -> Vec<Due> {
    let within = |due: &Vec<Due>| {
        due.partition_point(|due| due.id < *range.start())..due.partition_point(|due| due.id <= *range.end())
    };
    let parts: Vec<&[Due]> = due.iter().map(|due| &due[within(due)]).collect();
    parts.concat()
}

/// The due rows of a range of Device IDs, and what becomes of them.
#[derive(Default)]
struct Share {
    by_type: TallyByType,
    due: Vec<Due>,
    quarantined: Vec<(u64, Reason)>,
}

impl Share {
    /// Leaves the rows that are deleted, and counts all. They must be in the order of their Device IDs.
    fn settle(&mut self, rank: &[u32], duplicates: &[DeviceId]) {
        let due = &mut self.due;
        let mut kept = 0;
        let mut at = 0;
        while at < due.len() {
            let id = due[at].id;
            let same = due[at..].iter().take_while(|due| due.id == id).count();
            let duplicate = same > 1 || duplicates.binary_search(&id).is_ok();
            for index in at..at + same {
                let mut row = due[index];
                let flaw = if duplicate { Some(Reason::DuplicateDeviceId) } else { flaw(&row) };
                if let Some(reason) = flaw {
                    self.by_type.add(row.type_code, Disposition::Quarantined(reason), 1);
                    self.quarantined.push((row.row, reason));
                    continue;
                }
                self.by_type.add(row.type_code, Disposition::Delete { alert: row.alert }, 1);
                row.party = rank.get(row.party as usize).copied().unwrap_or(Parties::NONE);
                due[kept] = row;
                kept += 1;
            }
            at += same;
        }
        due.truncate(kept);
    }
}

/// What is wrong with a due row besides its Device ID.
fn flaw(due: &Due) -> Option<Reason> {
    match due.party {
        party::UNKNOWN_ROLE => Some(Reason::UnknownRole),
        party::MISSING if due.alert => Some(Reason::MissingParty),
        party::BAD if due.alert => Some(Reason::BadParty),
        _ => None,
    }
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
