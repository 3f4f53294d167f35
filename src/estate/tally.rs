//! Counts of rows by disposition, for all types and for each device type.

use std::ops::AddAssign;

use super::{DeviceType, Disposition, Reason};

/// Rows by disposition. Adding two tallies is associative; the default is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that are not candidates.
    pub not_candidate: u64,
    /// Candidates whose type is excluded.
    pub excluded: u64,
    /// Candidates whose threshold is not reached.
    pub not_due: u64,
    /// Deletions with an alert to the Notifying Party.
    pub alerts: u64,
    /// Deletions without an alert.
    pub silent_deletes: u64,
    /// Rows that cannot be judged, by [`Reason`].
    pub quarantined: [u64; Reason::ALL.len()],
}

impl Tally {
    /// Every row that was counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.not_candidate + self.excluded + self.not_due + self.deletes() + self.quarantined()
    }

    /// Rows that are due and can be deleted.
    #[must_use]
    pub const fn deletes(&self) -> u64 {
        self.alerts + self.silent_deletes
    }

    /// Rows that cannot be judged, over all reasons.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        self.quarantined.iter().sum()
    }

    /// Counts `rows` rows of one disposition.
    pub fn add(&mut self, disposition: Disposition, rows: u64) {
        let count = match disposition {
            Disposition::NotCandidate => &mut self.not_candidate,
            Disposition::Excluded => &mut self.excluded,
            Disposition::NotDue => &mut self.not_due,
            Disposition::Delete { alert: true } => &mut self.alerts,
            Disposition::Delete { alert: false } => &mut self.silent_deletes,
            Disposition::Quarantined(reason) => &mut self.quarantined[reason as usize],
        };
        *count += rows;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.not_candidate += other.not_candidate;
        self.excluded += other.excluded;
        self.not_due += other.not_due;
        self.alerts += other.alerts;
        self.silent_deletes += other.silent_deletes;
        for (mine, theirs) in self.quarantined.iter_mut().zip(other.quarantined) {
            *mine += theirs;
        }
    }
}

/// A [`Tally`] for every type code, those of unknown and null included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyByType(Box<[Tally; DeviceType::CODES]>);

impl Default for TallyByType {
    fn default() -> Self {
        Self(Box::new([Tally::default(); DeviceType::CODES]))
    }
}

impl TallyByType {
    /// The counts of one type code.
    #[must_use]
    pub fn get(&self, code: u8) -> &Tally {
        &self.0[usize::from(code) % DeviceType::CODES]
    }

    /// Counts `rows` rows of one type code and disposition.
    pub fn add(&mut self, code: u8, disposition: Disposition, rows: u64) {
        self.0[usize::from(code) % DeviceType::CODES].add(disposition, rows);
    }

    /// The counts of all types together.
    #[must_use]
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.0.iter() {
            total += *tally;
        }
        total
    }

    /// The type codes that occur, with their counts, in the order of the codes.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &Tally)> {
        self.0.iter().enumerate().filter(|(_, tally)| tally.rows() > 0).map(|(code, tally)| (code as u8, tally))
    }
}

impl AddAssign<&TallyByType> for TallyByType {
    fn add_assign(&mut self, other: &TallyByType) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            *mine += *theirs;
        }
    }
}
