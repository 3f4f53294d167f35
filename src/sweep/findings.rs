//! What a sweep finds: due rows, quarantined rows, counts, and the parties they refer to.
//!
//! Due rows are small and fixed in size, since there may be millions; a party's text is kept once, in [`Parties`].

use std::ops::Range;

use crate::estate::{DeviceId, Reason, TallyByType};
use crate::scan::{Parties, PartyCounts};

/// A row that is due. 32 bytes, so that sorting with a copy stays within 64 bytes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The device.
    pub id: DeviceId,
    /// From when its status has applied, UTC microseconds.
    pub since: i64,
    /// The row's number in the whole snapshot, files in path order.
    pub row: u64,
    /// Who notified it: an index into [`Parties`]; beyond them where there is none.
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
/// They come in pieces, each behind the one before it, as they were settled side by side: to put them into one would be
/// to copy them all once more.
#[derive(Debug, Clone, Default)]
pub struct DueRows {
    pieces: Vec<Vec<Due>>,
}

/// Where a row lies among [`DueRows`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spot {
    piece: u32,
    row: u32,
}

impl DueRows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows by ascending Device ID.
    pub fn iter(&self) -> impl Iterator<Item = &Due> {
        self.pieces.iter().flatten()
    }

    /// The rows with where each lies.
    pub fn spots(&self) -> impl Iterator<Item = (Spot, &Due)> {
        self.pieces.iter().enumerate().flat_map(|(piece, rows)| {
            rows.iter().enumerate().map(move |(row, due)| (Spot { piece: piece as u32, row: row as u32 }, due))
        })
    }

    /// The row that lies there. The spot must be one of these rows.
    #[must_use]
    #[inline]
    pub fn at(&self, spot: Spot) -> &Due {
        &self.pieces[spot.piece as usize][spot.row as usize]
    }

    /// Some of the rows, by their numbers in the order of all, as slices that follow each other.
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
    /// Takes pieces that ascend, each behind the one before it.
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

/// A row that cannot be judged, with its values as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The row's number in the whole snapshot, files in path order.
    pub row: u64,
    /// Why.
    pub reason: Reason,
    /// The Device ID as text: canonical where it was bytes or a number, else as found.
    pub device_id: Option<String>,
    /// The type as found.
    pub device_type: Option<String>,
    /// The status as found.
    pub smi_status: Option<String>,
    /// UTC microseconds.
    pub since: Option<i64>,
    /// The party as found.
    pub party: Option<String>,
}

/// Everything that one policy found in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Counts by device type.
    pub by_type: TallyByType,
    /// What is to be deleted.
    pub due: DueRows,
    /// What [`Due::party`] refers to.
    pub parties: Parties,
    /// For each of them, and behind them for rows without one, what is to be deleted.
    pub by_party: Vec<PartyCounts>,
    /// Quarantined rows by ascending row number. Where the guard's limit was passed these are not all of them; the
    /// counts always are.
    pub quarantined: Vec<Quarantined>,
}
