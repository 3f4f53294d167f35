//! What can only be said of all due rows together: their order, which of them share a Device ID, and which lack somebody
//! to send their alert to.
//!
//! Device IDs are split into ranges with about as many rows in each. Rows that share a Device ID fall into the same one,
//! so that ranges are settled side by side.

use std::ops::RangeInclusive;

use super::by_id::{Key, Keys};
use super::fields::party;
use super::findings::{Due, DueRows, Spot};
use crate::error::{Error, Result};
use crate::estate::{DeviceId, Disposition, Reason, TallyByType};
use crate::pool::Pool;

/// Rows that are settled at a time: few enough to stay in a worker's cache while they are sorted.
const SHARE: usize = 1 << 14;

/// What became of the due rows.
#[derive(Debug, Default)]
pub struct Settled {
    /// Counts of all of them.
    pub by_type: TallyByType,
    /// Those that are deleted.
    pub due: DueRows,
    /// The others, as numbers within the snapshot.
    pub quarantined: Vec<(u64, Reason)>,
}

/// Sorts due rows, and tells duplicates and rows without an addressee from deletions.
///
/// `pieces` has the due rows of each row group by ascending Device ID, `rank` the place of each party in their order.
/// Device IDs of `duplicates`, which ascend, count as duplicates even on a single row.
///
/// # Errors
/// None of its own.
pub fn settle(pieces: Vec<Vec<Due>>, rank: &[u32], duplicates: &[DeviceId], pool: &Pool) -> Result<Settled> {
    let pieces = pool.map(pieces, |mut piece| {
        for due in &mut piece {
            // What is no party but says why there is none stays as it is.
            due.party = rank.get(due.party as usize).copied().unwrap_or(due.party);
        }
        Ok::<_, Error>(piece)
    })?;
    let shares = pool.map_with(ranges(&pieces), Keys::default, |keys, range| {
        keys.clear();
        for (number, piece) in pieces.iter().enumerate() {
            let first = piece.partition_point(|due| due.id < *range.start());
            let last = piece.partition_point(|due| due.id <= *range.end());
            let spot = |row: usize| Spot { piece: number as u32, row: row as u32 };
            keys.extend((first..last).map(|row| Key::new(piece[row].id, spot(row))));
        }
        Ok::<_, Error>(Share::of(keys.sorted(), &pieces, duplicates))
    })?;
    let mut settled = Settled::default();
    let mut order = Vec::new();
    order.reserve_exact(shares.iter().map(|share| share.order.len()).sum());
    for mut share in shares {
        settled.by_type += &share.by_type;
        order.append(&mut share.order);
        settled.quarantined.append(&mut share.quarantined);
    }
    settled.due = DueRows::new(pieces, order);
    Ok(settled)
}

/// Ranges of Device IDs, ascending, that together hold every row. `pieces` ascend each for itself.
fn ranges(pieces: &[Vec<Due>]) -> Vec<RangeInclusive<DeviceId>> {
    let rows: usize = pieces.iter().map(Vec::len).sum();
    let step = SHARE / 16;
    let mut sample: Vec<DeviceId> = pieces.iter().flat_map(|due| due.iter().step_by(step)).map(|due| due.id).collect();
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

/// The due rows of a range of Device IDs, and what becomes of them.
#[derive(Default)]
struct Share {
    by_type: TallyByType,
    order: Vec<Spot>,
    quarantined: Vec<(u64, Reason)>,
}

impl Share {
    fn of(keys: &[Key<Spot>], pieces: &[Vec<Due>], duplicates: &[DeviceId]) -> Self {
        let mut share = Self { order: Vec::with_capacity(keys.len()), ..Self::default() };
        for same in keys.chunk_by(|one, other| one.id == other.id) {
            let duplicate = same.len() > 1 || duplicates.binary_search(&DeviceId(same[0].id)).is_ok();
            for key in same {
                let due = key.place.of(pieces);
                let flaw = if duplicate { Some(Reason::DuplicateDeviceId) } else { flaw(due) };
                if let Some(reason) = flaw {
                    share.by_type.add(due.type_code, Disposition::Quarantined(reason), 1);
                    share.quarantined.push((due.row, reason));
                } else {
                    share.by_type.add(due.type_code, Disposition::Delete { alert: due.alert }, 1);
                    share.order.push(key.place);
                }
            }
        }
        share
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
