//! Decides what needs all due rows together: sorts them, and quarantines duplicates and rows without the party that
//! must be alerted.
//!
//! Device IDs are split into ranges with about the same number of rows. Rows that share a Device ID are in the same
//! range, so that workers settle ranges in parallel.

use super::findings::{Due, DueRows};
use crate::error::{Error, Result};
use crate::estate::{DeviceId, Disposition, Reason, TallyByType};
use crate::pool::Pool;
use crate::scan::by_id::{IdKey, IdKeys};
use crate::scan::{Parties, PartyCode, PartyCounts, key_ranges};

/// The due rows of all ranges, settled.
#[derive(Debug, Default)]
pub struct Settled {
    /// Counts of all of them.
    pub by_type: TallyByType,
    /// Planned deletions and alerts of each party; the last entry is for rows without a party.
    pub by_party: Vec<PartyCounts>,
    /// The rows that are to be deleted.
    pub due: DueRows,
    /// The other rows, by their zero-based numbers within the snapshot.
    pub quarantined: Vec<(u64, Reason)>,
}

/// What due rows are settled by.
#[derive(Debug, Clone, Copy)]
pub struct SettleRules<'a> {
    /// For each number in the register of parties, the index in [`Parties`].
    pub rank: &'a [u32],
    /// Device IDs, ascending, that count as duplicates even if only one of their rows is due.
    pub duplicates: &'a [DeviceId],
    /// How many quarantined rows are kept. Beyond that they are only counted, because a guard stops the run.
    pub room: u64,
}

/// Sorts due rows by Device ID, and quarantines duplicates and rows without the party that must be alerted.
///
/// `pieces` has the due rows of each range by ascending Device ID.
///
/// # Errors
/// None: the result is that of [`Pool::map_with`].
pub fn settle(pieces: &[Vec<Due>], rules: &SettleRules<'_>, pool: &Pool) -> Result<Settled> {
    let parties = rules.rank.len() + 1;
    let settled_ranges = pool.map_with(key_ranges::ranges(pieces, |due| due.id), IdKeys::default, |keys, range| {
        keys.clear();
        for (number, piece) in pieces.iter().enumerate() {
            let spot = |row: usize| (number as u32, row as u32);
            keys.extend(range.of(piece, |due| due.id).map(|row| IdKey::new(piece[row].id, spot(row))));
        }
        let mut settled = SettledRange { by_party: vec![PartyCounts::default(); parties], ..SettledRange::default() };
        settled.settle(keys.sorted(), pieces, rules);
        Ok::<_, Error>(settled)
    })?;
    let mut settled = Settled { by_party: vec![PartyCounts::default(); parties], ..Settled::default() };
    for range in &settled_ranges {
        settled.by_type += &range.by_type;
        for (total, party) in settled.by_party.iter_mut().zip(&range.by_party) {
            total.deletes += party.deletes;
            total.alerts += party.alerts;
        }
        let room = usize::try_from(rules.room).unwrap_or(usize::MAX).saturating_sub(settled.quarantined.len());
        settled.quarantined.extend(range.quarantined.iter().take(room));
    }
    settled.due = settled_ranges.into_iter().map(|range| range.due).collect();
    Ok(settled)
}

/// The due rows of a range of Device IDs, settled.
#[derive(Default)]
struct SettledRange {
    by_type: TallyByType,
    by_party: Vec<PartyCounts>,
    due: Vec<Due>,
    quarantined: Vec<(u64, Reason)>,
}

impl SettledRange {
    fn settle(&mut self, keys: &[IdKey<(u32, u32)>], pieces: &[Vec<Due>], rules: &SettleRules<'_>) {
        let SettleRules { rank, duplicates, room } = *rules;
        self.due.reserve_exact(keys.len());
        for same in keys.chunk_by(|one, other| one.id == other.id) {
            let duplicate = same.len() > 1 || duplicates.binary_search(&DeviceId(same[0].id)).is_ok();
            for key in same {
                let (piece, row) = key.place;
                let mut due = pieces[piece as usize][row as usize];
                let flaw =
                    if duplicate { Some(Reason::DuplicateDeviceId) } else { PartyCode::of(due.party).flaw(due.alert) };
                if let Some(reason) = flaw {
                    self.by_type.add(due.type_code, Disposition::Quarantined(reason), 1);
                    if (self.quarantined.len() as u64) < room {
                        self.quarantined.push((due.row, reason));
                    }
                    continue;
                }
                self.by_type.add(due.type_code, Disposition::Delete { alert: due.alert }, 1);
                due.party = rank.get(due.party as usize).copied().unwrap_or(Parties::NONE);
                let party = &mut self.by_party[rank.len().min(due.party as usize)];
                party.deletes += 1;
                party.alerts += u64::from(due.alert);
                self.due.push(due);
            }
        }
    }
}
