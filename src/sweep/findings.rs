//! What a sweep finds: due rows, quarantined rows, counts, and the parties they speak of.
//!
//! Due rows are small and fixed in size, since there may be millions; a party's text is kept once, in [`Parties`].

use std::collections::HashMap;
use std::ops::Range;

use crate::estate::{DeviceId, Reason, TallyByType};

/// A row that is due. 32 bytes, and with its place in the order and in that of alerts 48.
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
    /// Whether the party is told.
    pub alert: bool,
}

/// Where a due row lies among pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) piece: u32,
    pub(super) row: u32,
}

impl Spot {
    #[inline]
    pub(super) fn of(self, pieces: &[Vec<Due>]) -> &Due {
        &pieces[self.piece as usize][self.row as usize]
    }
}

/// Rows that are deleted, by ascending Device ID; no two have the same.
///
/// The rows stay where their row group left them. What is sorted is where each lies, which takes a quarter of the memory
/// and of the moving.
#[derive(Debug, Clone, Default)]
pub struct DueRows {
    pieces: Vec<Vec<Due>>,
    order: Vec<Spot>,
}

impl DueRows {
    pub(super) fn new(pieces: Vec<Vec<Due>>, order: Vec<Spot>) -> Self {
        Self { pieces, order }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The rows by ascending Device ID.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Due> {
        self.range(0..self.len())
    }

    /// Some of them, by their places in that order. Places beyond the last have no rows.
    pub fn range(&self, places: Range<usize>) -> impl ExactSizeIterator<Item = &Due> {
        let end = places.end.min(self.order.len());
        self.order[places.start.min(end)..end].iter().map(|spot| spot.of(&self.pieces))
    }

    /// The rows at these places in that order, each of which must have one.
    pub fn pick(&self, places: &[u32]) -> impl ExactSizeIterator<Item = &Due> {
        places.iter().map(|&place| self.order[place as usize].of(&self.pieces))
    }
}

impl FromIterator<Due> for DueRows {
    /// Takes rows that ascend already.
    fn from_iter<I: IntoIterator<Item = Due>>(rows: I) -> Self {
        let piece: Vec<Due> = rows.into_iter().collect();
        let order = (0..piece.len() as u32).map(|row| Spot { piece: 0, row }).collect();
        Self { pieces: vec![piece], order }
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

/// The distinct parties of a run, in ascending order of their text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parties {
    names: Vec<String>,
}

impl Parties {
    /// Stands for "no party" in [`Due::party`].
    pub const NONE: u32 = u32::MAX;

    /// Takes names in the order in which they were met, and returns them sorted, with the new index of each old one.
    #[must_use]
    pub fn sorted(met: Vec<String>) -> (Self, Vec<u32>) {
        let mut order: Vec<u32> = (0..met.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| met[a as usize].cmp(&met[b as usize]));
        let mut rank = vec![0; met.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
        }
        let mut met: Vec<Option<String>> = met.into_iter().map(Some).collect();
        let names = order.iter().filter_map(|&old| met[old as usize].take()).collect();
        (Self { names }, rank)
    }

    /// The text of an index; `None` where it is that of no party.
    #[must_use]
    pub fn name(&self, index: u32) -> Option<&str> {
        self.names.get(index as usize).map(String::as_str)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names in ascending order: the position is the index.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Gives each distinct party a number in the order in which it is met.
#[derive(Debug, Default)]
pub struct PartyRegister {
    numbers: HashMap<Box<str>, u32>,
    met: Vec<String>,
}

impl PartyRegister {
    /// The number of this party.
    pub fn number(&mut self, party: &str) -> u32 {
        if let Some(&number) = self.numbers.get(party) {
            return number;
        }
        let number = self.met.len() as u32;
        self.numbers.insert(party.into(), number);
        self.met.push(party.into());
        number
    }

    /// The parties in the order in which they were met.
    #[must_use]
    pub fn into_met(self) -> Vec<String> {
        self.met
    }
}

/// Everything that one policy found in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Counts by device type.
    pub by_type: TallyByType,
    /// What is deleted.
    pub due: DueRows,
    /// What [`Due::party`] refers to.
    pub parties: Parties,
    /// Quarantined rows by ascending row number. Where the guard's limit was passed these are not all of them; the
    /// counts always are.
    pub quarantined: Vec<Quarantined>,
}
