//! The ledger: an estate counted by type, status, day and party, from which the result of every threshold and exclusion
//! list follows by adding up.
//!
//! A [`Ledger`] is taken by one scan ([`Ledger::take`]), kept as a small Parquet file ([`Ledger::write`],
//! [`Ledger::read`]), and asked by [`Ledger::tally`]. What a policy would delete is exact, down to the row: the ledger
//! holds whatever [`Rules`](crate::policy::Rules) can ask. What it cannot say is which devices they are, and what
//! happened to a device between two ledgers.

mod ages;
pub mod count;
mod file;
mod tally;

use std::collections::BTreeMap;

pub use ages::{Age, AgeOfDay, Ages};
pub use count::CandidateCounts;
use count::count_candidates;
pub use file::SCHEMA;
pub use tally::Tallied;

use crate::error::Result;
use crate::estate::{StatusSet, TypeNames};
use crate::policy::Policy;
use crate::scan::Scan;
use crate::snapshot::Snapshot;

/// The key under which files say which estate they are of.
pub const ESTATE_KEY: &str = "smi.estate";
/// The key under which files say that their estate is made up.
const SYNTHETIC_KEY: &str = "smi.synthetic";

/// What the columns of a snapshot weigh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weight {
    /// Rows of all files.
    pub rows: u64,
    /// Size of all files, footers and all.
    pub bytes: u64,
    /// Compressed bytes of each column, by its name in the files; those that no rule reads as well.
    pub by_column: BTreeMap<String, u64>,
}

/// A file that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its BLAKE3 digest, where the snapshot's seal was verified.
    pub digest: Option<String>,
}

/// An estate, counted as of a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// What errors call it.
    pub name: String,
    /// Which estate it is of, where somebody said so.
    pub estate: Option<String>,
    /// Whether the estate is made up.
    pub synthetic: bool,
    /// The moment, UTC microseconds.
    pub as_of: i64,
    /// The types that it knows.
    pub types: TypeNames,
    /// The statuses that are counted by day and party; the others are counted as a whole.
    pub candidates: StatusSet,
    /// The counts.
    pub census: CandidateCounts,
    /// What the snapshot weighs.
    pub weight: Weight,
    /// What was counted.
    pub sources: Vec<Source>,
}

impl Ledger {
    /// Counts a snapshot. The policy says which statuses are candidates and how things are spelt; its thresholds and
    /// exclusions have no part in it. `estate` names the estate where the files do not.
    ///
    /// # Errors
    /// Damaged data, a file that changed meanwhile, or an interruption.
    pub fn take(scan: &Scan<'_>, policy: &Policy, as_of: i64, estate: Option<&str>) -> Result<Self> {
        let snapshot = scan.snapshot;
        let census = count_candidates(scan, policy, as_of)?;
        let sources = snapshot.files().iter().map(|file| Source {
            name: file.name.clone(),
            rows: file.rows,
            digest: file.digest.clone(),
        });
        Ok(Self {
            name: "ledger".into(),
            estate: estate.or_else(|| said(snapshot, ESTATE_KEY)).map(str::to_owned),
            synthetic: said(snapshot, SYNTHETIC_KEY) == Some("true"),
            as_of,
            types: policy.types.clone(),
            candidates: policy.candidate_statuses,
            census,
            weight: weigh(snapshot),
            sources: sources.collect(),
        })
    }

    /// Bytes of a row of the snapshot, as it was stored; `None` for an estate without rows.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bytes of an estate fit into the mantissa")]
    pub fn bytes_per_row(&self) -> Option<f64> {
        (self.weight.rows > 0).then(|| self.weight.bytes as f64 / self.weight.rows as f64)
    }
}

/// What all files of a snapshot say under a key, where they agree.
fn said<'s>(snapshot: &'s Snapshot, key: &str) -> Option<&'s str> {
    let mut values = snapshot.files().iter().map(|file| {
        let pairs = file.footer.file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    });
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

/// Weighs a snapshot by its footers.
fn weigh(snapshot: &Snapshot) -> Weight {
    let mut by_column: BTreeMap<String, u64> = BTreeMap::new();
    for file in snapshot.files() {
        for group in file.footer.row_groups() {
            for column in group.columns() {
                let bytes = u64::try_from(column.compressed_size()).unwrap_or_default();
                *by_column.entry(column.column_path().string()).or_default() += bytes;
            }
        }
    }
    Weight { rows: snapshot.rows(), bytes: snapshot.bytes(), by_column }
}
