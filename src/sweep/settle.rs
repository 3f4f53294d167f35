//! What needs all due rows together: their order, which of them share a Device ID, and which need an alert and have no
//! party to send it to.
//!
//! Device IDs are split into ranges with about as many rows in each. Rows that share a Device ID fall into the same one,
//! so that ranges are settled side by side.

use super::findings::{Due, DueRows};
use crate::error::{Error, Result};
use crate::estate::{DeviceId, Disposition, Reason, TallyByType};
use crate::pool::Pool;
use crate::scan::by_id::{IdKey, IdKeys};
use crate::scan::{Parties, PartyCode, PartyCounts, key_ranges};

/// What became of the due rows.
#[derive(Debug, Default)]
pub struct Settled {
    /// Counts of all of them.
    pub by_type: TallyByType,
    /// Counts of those that are to be deleted, for each party and behind them for none.
    pub by_party: Vec<PartyCounts>,
    /// Those that are to be deleted.
    pub due: DueRows,
    /// The others, as numbers within the snapshot.
    pub quarantined: Vec<(u64, Reason)>,
}

/// Sorts due rows, and tells duplicates and rows without a party to alert from deletions.
///
/// `pieces` has the due rows of each range by ascending Device ID, `rank` the place of each party in their order.
/// Device IDs of `duplicates`, which ascend, count as duplicates even on a single row.
///
/// # Errors
/// None of its own.
pub fn settle(pieces: &[Vec<Due>], rank: &[u32], duplicates: &[DeviceId], pool: &Pool) -> Result<Settled> {
    let shares = pool.map_with(key_ranges::ranges(pieces, |due| due.id), IdKeys::default, |keys, range| {
        keys.clear();
        for (number, piece) in pieces.iter().enumerate() {
            let spot = |row: usize| (number as u32, row as u32);
            keys.extend(range.of(piece, |due| due.id).map(|row| IdKey::new(piece[row].id, spot(row))));
        }
        let mut share = Share { by_party: vec![PartyCounts::default(); rank.len() + 1], ..Share::default() };
        share.settle(keys.sorted(), pieces, rank, duplicates);
        Ok::<_, Error>(share)
    })?;
    let mut settled = Settled { by_party: vec![PartyCounts::default(); rank.len() + 1], ..Settled::default() };
    for share in &shares {
        settled.by_type += &share.by_type;
        for (all, own) in settled.by_party.iter_mut().zip(&share.by_party) {
            all.deletes += own.deletes;
            all.alerts += own.alerts;
        }
        settled.quarantined.extend(&share.quarantined);
    }
    settled.due = shares.into_iter().map(|share| share.due).collect();
    Ok(settled)
}

/// The due rows of a range of Device IDs, and what becomes of them.
#[derive(Default)]
struct Share {
    by_type: TallyByType,
    by_party: Vec<PartyCounts>,
    due: Vec<Due>,
    quarantined: Vec<(u64, Reason)>,
}

impl Share {
    fn settle(&mut self, keys: &[IdKey<(u32, u32)>], pieces: &[Vec<Due>], rank: &[u32], duplicates: &[DeviceId]) {
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
                    self.quarantined.push((due.row, reason));
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
