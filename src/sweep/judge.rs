//! Judges a range of rows under every policy of a sweep.
//!
//! The pair of status and type decides nearly all rows. The other rows are judged by date. Device ID, role and party
//! are read for due rows only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::findings::Due;
use crate::error::{Fault, Result};
use crate::estate::{DeviceId, DeviceType, Disposition, Reason, TallyByType};
use crate::memory::Reserved;
use crate::policy::{DateVerdict, Pair};
use crate::scan::by_id::{IdKey, IdKeys};
use crate::scan::candidates::Candidates;
use crate::scan::{CandidatePlan, RangeReader, pair_codes};
use crate::snapshot::StatusDates;

/// A range of rows, judged under one policy.
#[derive(Debug, Default)]
struct Judged {
    /// Counts of all rows except the due ones.
    by_type: TallyByType,
    listed: Listed,
}

/// The rows of a range that are listed under one policy. Duplicates among the due rows are not found yet.
#[derive(Debug, Default)]
pub struct Listed {
    /// Due rows by ascending Device ID; [`Due::party`] is a [`PartyCode`](crate::scan::PartyCode).
    pub due: Vec<Due>,
    /// Quarantined rows, by their zero-based numbers within the snapshot. Beyond the guard's limit rows are only
    /// counted.
    pub quarantined: Vec<(u64, Reason)>,
}

impl Listed {
    const fn is_empty(&self) -> bool {
        self.due.is_empty() && self.quarantined.is_empty()
    }
}

/// Memory that a due row takes until it is written: in its range, in its place by Device ID, and to sort it.
const BYTES_OF_DUE: usize = 80;

/// Buffers that a worker reuses for every range.
#[derive(Debug, Default)]
pub struct JudgeBuffers {
    candidates: Candidates,
    keys: IdKeys<u32>,
}

/// Judges ranges.
pub struct Judge<'a> {
    /// Which rows are judged one by one.
    pub plan: CandidatePlan<'a>,
    /// For each policy, the counts of all rows except the due ones. They are kept here and not for each range, because a
    /// snapshot may have a hundred thousand ranges.
    by_type: Vec<Mutex<TallyByType>>,
    /// Memory of the due rows.
    memory: Mutex<Reserved>,
    /// For each policy, how many more quarantined rows are kept. Beyond its guard's limit rows are only counted.
    room: Vec<AtomicU64>,
}

impl<'a> Judge<'a> {
    /// A judge that keeps at most `room` quarantined rows for each policy.
    pub fn new(plan: CandidatePlan<'a>, room: &[u64]) -> Self {
        let by_type = plan.rules.iter().map(|_| Mutex::default()).collect();
        Self { plan, by_type, memory: Mutex::default(), room: room.iter().copied().map(AtomicU64::new).collect() }
    }

    /// Judges a range under every policy. Returns what is listed for each policy; nothing if no policy lists a row.
    ///
    /// # Errors
    /// Damaged data, and more due rows than the memory limit allows.
    pub fn range(&self, range: &mut RangeReader<'_>, buffers: &mut JudgeBuffers) -> Result<Vec<Listed>> {
        let judged = self.judge(range, buffers)?;
        for (total, judged) in self.by_type.iter().zip(&judged) {
            *total.lock().unwrap_or_else(PoisonError::into_inner) += &judged.by_type;
        }
        let listed: Vec<Listed> = judged.into_iter().map(|judged| judged.listed).collect();
        let due = listed.iter().map(|listed| listed.due.len()).sum::<usize>();
        let reserved = self.memory.lock().unwrap_or_else(PoisonError::into_inner).add(due * BYTES_OF_DUE);
        reserved.map_err(|_| {
            let place = range.file.place().row_group(range.range.group);
            place.refuse(Fault::TooLarge("the list of due rows of the snapshot".into()))
        })?;
        Ok(if listed.iter().all(Listed::is_empty) { Vec::new() } else { listed })
    }

    /// The counts of the ranges that were judged, for each policy, and the plan.
    pub fn into_counts(self) -> (CandidatePlan<'a>, Vec<TallyByType>) {
        let counts = self.by_type.into_iter().map(|total| total.into_inner().unwrap_or_else(PoisonError::into_inner));
        (self.plan, counts.collect())
    }

    fn judge(&self, range: &mut RangeReader<'_>, buffers: &mut JudgeBuffers) -> Result<Vec<Judged>> {
        let JudgeBuffers { candidates, keys } = buffers;
        let mut judged: Vec<Judged> = self.plan.rules.iter().map(|_| Judged::default()).collect();
        candidates.read_pairs(range, &self.plan)?;
        self.count_settled(candidates, &mut judged);
        if candidates.open.rows.is_empty() {
            return Ok(judged);
        }
        candidates.read_dates(range, &self.plan)?;
        let due: Vec<PolicyDue> = judged
            .iter_mut()
            .enumerate()
            .map(|(policy, judged)| self.judge_dates(policy, range, candidates, judged))
            .collect();
        let wanted = union(&due);
        if wanted.is_empty() {
            return Ok(judged);
        }
        candidates.read_details(range, &self.plan, &wanted)?;
        let details = DueDetails { range, candidates, wanted: &wanted };
        for (due, judged) in due.iter().zip(&mut judged) {
            self.list_due(due, &details, keys, judged);
        }
        Ok(judged)
    }

    /// Counts the rows that their pair of status and type decides.
    fn count_settled(&self, candidates: &mut Candidates, judged: &mut [Judged]) {
        for (pair, rows) in candidates.counts.drain() {
            let (status, device_type) = pair_codes(pair);
            for (rules, judged) in self.plan.rules.iter().zip(judged.iter_mut()) {
                let disposition = match rules.pair(status, device_type) {
                    Pair::NotCandidate => Disposition::NotCandidate,
                    Pair::Excluded => Disposition::Excluded,
                    Pair::Quarantine(reason) => Disposition::Quarantined(reason),
                    Pair::Judge => continue,
                };
                judged.by_type.add(device_type, disposition, rows);
            }
        }
    }

    /// Judges the open rows by their dates under one policy, and returns the due ones.
    fn judge_dates(
        &self,
        policy: usize,
        range: &RangeReader<'_>,
        candidates: &Candidates,
        judged: &mut Judged,
    ) -> PolicyDue {
        let rules = &self.plan.rules[policy];
        let mut due = Vec::new();
        let mut not_due = [0u64; DeviceType::CODES];
        for (index, (&pair, &since)) in candidates.open.pairs.iter().zip(&candidates.since).enumerate() {
            let (status, device_type) = pair_codes(usize::from(pair));
            let reason = match rules.pair(status, device_type) {
                Pair::NotCandidate | Pair::Excluded => continue,
                Pair::Quarantine(reason) => reason,
                Pair::Judge => match rules.judge_date(device_type, (since != StatusDates::NULL).then_some(since)) {
                    DateVerdict::NotDue => {
                        not_due[usize::from(device_type)] += 1;
                        continue;
                    }
                    DateVerdict::Due => {
                        due.push(index as u32);
                        continue;
                    }
                    DateVerdict::Quarantine(reason) => {
                        judged.by_type.add(device_type, Disposition::Quarantined(reason), 1);
                        reason
                    }
                },
            };
            if self.keeps_quarantined(policy) {
                judged.listed.quarantined.push((range.range.row_number(candidates.open.rows[index]), reason));
            }
        }
        for (code, rows) in not_due.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
            judged.by_type.add(code as u8, Disposition::NotDue, rows);
        }
        PolicyDue { policy, indices: due }
    }

    /// Lists the due rows of one policy by Device ID, and quarantines those without one.
    fn list_due(&self, due: &PolicyDue, details: &DueDetails<'_>, keys: &mut IdKeys<u32>, judged: &mut Judged) {
        let DueDetails { range, candidates, wanted } = *details;
        let columns = &candidates.details;
        let rules = &self.plan.rules[due.policy];
        keys.clear();
        let mut at = 0;
        for &index in &due.indices {
            while wanted[at] != index {
                at += 1;
            }
            if let Some(id) = columns.ids[at] {
                keys.push(IdKey::new(id, at as u32));
                continue;
            }
            let (_, device_type) = pair_codes(usize::from(candidates.open.pairs[index as usize]));
            judged.by_type.add(device_type, Disposition::Quarantined(Reason::BadDeviceId), 1);
            if self.keeps_quarantined(due.policy) {
                judged.listed.quarantined.push((range.range.row_number(columns.rows[at]), Reason::BadDeviceId));
            }
        }
        judged.listed.due.reserve_exact(due.indices.len());
        judged.listed.due.extend(keys.sorted().iter().map(|key| {
            let at = key.place as usize;
            let index = wanted[at] as usize;
            let (status, device_type) = pair_codes(usize::from(candidates.open.pairs[index]));
            Due {
                id: DeviceId(key.id),
                since: candidates.since[index],
                row: range.range.row_number(columns.rows[at]),
                party: columns.parties[at],
                type_code: device_type,
                status_code: status,
                alert: rules.alerts(device_type, columns.roles.get(at).copied().flatten()),
            }
        }));
    }

    /// Whether to keep one more quarantined row of this policy. Reduces the room by one if so.
    fn keeps_quarantined(&self, policy: usize) -> bool {
        self.room[policy].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1)).is_ok()
    }
}

/// The rows of a range that are due under one policy.
struct PolicyDue {
    /// Index of the policy.
    policy: usize,
    /// Their indices in the open rows, ascending.
    indices: Vec<u32>,
}

/// The due rows of a range, with their details.
struct DueDetails<'a> {
    range: &'a RangeReader<'a>,
    candidates: &'a Candidates,
    /// Indices in the open rows of the rows whose details were read, ascending.
    wanted: &'a [u32],
}

/// The indices that are due under any policy, ascending.
fn union(due: &[PolicyDue]) -> Vec<u32> {
    let mut wanted: Vec<u32> = due.iter().flat_map(|due| &due.indices).copied().collect();
    if due.len() > 1 {
        wanted.sort_unstable();
        wanted.dedup();
    }
    wanted
}
