//! The result of a sweep: due rows, quarantined rows, counts, and the parties that rows refer to.
//!
//! Due rows are small and of fixed size, because there may be millions. The text of each party is kept once, in
//! [`Parties`].

use std::ops::Range;

use crate::estate::{DeviceId, Reason, TallyByType};
use crate::scan::{Parties, PartyCounts};

/// A row that is due. It has 32 bytes: sorting, which needs a copy, takes 64 bytes for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The device.
    pub id: DeviceId,
    /// The start of its status, UTC microseconds since 1970.
    pub since: i64,
    /// The row's zero-based number within the snapshot, files in path order.
    pub row: u64,
    /// The Notifying Party, as an index into [`Parties`]; [`Parties::NONE`] if there is none.
    pub party: u32,
    /// Code of its [`DeviceType`](crate::estate::DeviceType).
    pub type_code: u8,
    /// Code of its [`SmiStatus`](crate::estate::SmiStatus).
    pub status_code: u8,
    /// Whether the party is alerted.
    pub alert: bool,
}

/// Rows that are to be deleted, by ascending Device ID; no two have the same.
///
/// The rows are kept in pieces, in ascending order, as parallel workers made them: joining the pieces would copy all
/// rows.
#[derive(Debug, Clone, Default)]
pub struct DueRows {
    pieces: Vec<Vec<Due>>,
}

/// The position of a row in [`DueRows`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spot {
    piece: u32,
    row: u32,
}

impl DueRows {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows by ascending Device ID.
    pub fn iter(&self) -> impl Iterator<Item = &Due> {
        self.pieces.iter().flatten()
    }

    /// The rows by ascending Device ID, each with its position.
    pub fn spots(&self) -> impl Iterator<Item = (Spot, &Due)> {
        self.pieces.iter().enumerate().flat_map(|(piece, rows)| {
            rows.iter().enumerate().map(move |(row, due)| (Spot { piece: piece as u32, row: row as u32 }, due))
        })
    }

    /// The row at a position that [`spots`](Self::spots) of these rows returned.
    #[must_use]
    #[inline]
    pub fn at(&self, spot: Spot) -> &Due {
        &self.pieces[spot.piece as usize][spot.row as usize]
    }

    /// The rows with these zero-based numbers, as consecutive slices.
    pub fn slices(&self, rows: Range<usize>) -> impl Iterator<Item = &[Due]> {
        let mut before = 0;
        self.pieces.iter().filter_map(move |piece| {
            let start = rows.start.saturating_sub(before).min(piece.len());
            let end = rows.end.saturating_sub(before).min(piece.len());
            before += piece.len();
            piece.get(start..end).filter(|slice| !slice.is_empty())
        })
    }
}

impl FromIterator<Vec<Due>> for DueRows {
    /// Takes pieces in ascending order of Device ID, within and between pieces.
    fn from_iter<I: IntoIterator<Item = Vec<Due>>>(pieces: I) -> Self {
        Self { pieces: pieces.into_iter().collect() }
    }
}

impl PartialEq for DueRows {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for DueRows {}

/// A row that cannot be judged, with its values as stored in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The row's zero-based number within the snapshot, files in path order.
    pub row: u64,
    /// Why it cannot be judged.
    pub reason: Reason,
    /// The Device ID as text: in canonical form if it is stored as bytes or a number, else as stored.
    pub device_id: Option<String>,
    /// The type as stored.
    pub device_type: Option<String>,
    /// The status as stored.
    pub smi_status: Option<String>,
    /// The start of its status, UTC microseconds since 1970.
    pub since: Option<i64>,
    /// The party as stored; in canonical form if it is stored as bytes or a number.
    pub party: Option<String>,
}

/// All results of one policy for one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Counts by device type.
    pub by_type: TallyByType,
    /// Rows that are to be deleted.
    pub due: DueRows,
    /// The parties that [`Due::party`] refers to.
    pub parties: Parties,
    /// Planned deletions and alerts of each party, in the order of `parties`; the last entry is for rows without a
    /// party.
    pub by_party: Vec<PartyCounts>,
    /// Quarantined rows by ascending row number. Empty if a guard stops the run; the counts are complete in any case.
    pub quarantined: Vec<Quarantined>,
}
