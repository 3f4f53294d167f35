//! The contents of a ledger, and how it is counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::count::{CandidateCounts, RowClass, count_candidates};
use crate::error::Result;
use crate::estate::{DeviceType, StatusSet, TypeNames};
use crate::policy::Policy;
use crate::scan::Scan;
use crate::snapshot::Snapshot;

/// Key of the Parquet key-value metadata that names the estate of a file.
pub const ESTATE_KEY: &str = "smi.estate";
/// Key of the Parquet key-value metadata that is `true` in files of a synthetic estate.
const SYNTHETIC_KEY: &str = "smi.synthetic";

/// How much storage a snapshot takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSize {
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files, footers included.
    pub bytes: u64,
    /// Compressed bytes of each column, by its name in the files. Columns that no rule reads are included.
    #[serde(rename = "bytes_by_column")]
    pub by_column: BTreeMap<String, u64>,
}

/// A file that was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSource {
    /// Its path below the snapshot.
    #[serde(rename = "path")]
    pub name: String,
    /// Rows of the file.
    pub rows: u64,
    /// BLAKE3 digest in hex, where the snapshot's seal was verified.
    #[serde(rename = "blake3")]
    pub digest: Option<String>,
}

/// An estate, counted as of a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// Its name in error messages: the path of its file, or `ledger`.
    pub name: String,
    /// Name of the estate, if the files or the caller give one.
    pub estate: Option<String>,
    /// Whether the estate is synthetic.
    pub synthetic: bool,
    /// The as-of moment, UTC microseconds.
    pub as_of: i64,
    /// The device types that type codes refer to.
    pub types: TypeNames,
    /// The statuses whose rows are counted by day and party. Of rows in other statuses only type and status are
    /// counted.
    pub candidates: StatusSet,
    /// The counts.
    pub counts: CandidateCounts,
    /// Storage that the snapshot takes.
    pub size: StoredSize,
    /// The files that were counted.
    pub sources: Vec<LedgerSource>,
}

impl Ledger {
    /// Counts a snapshot in one scan. The policy gives the candidate statuses and the spellings; its thresholds and
    /// exclusions are not used. `as_of` is in UTC microseconds. `estate` names the estate; without it, the name is the
    /// value under [`ESTATE_KEY`] in the files.
    ///
    /// # Errors
    /// Damaged data, a file that changed during the scan, or an interruption.
    pub fn take(scan: &Scan<'_>, policy: &Policy, as_of: i64, estate: Option<&str>) -> Result<Self> {
        let snapshot = scan.snapshot;
        let counts = count_candidates(scan, policy, as_of)?;
        let sources = snapshot.files().iter().map(|file| LedgerSource {
            name: file.name.clone(),
            rows: file.rows,
            digest: file.digest.clone(),
        });
        Ok(Self {
            name: "ledger".into(),
            estate: estate.or_else(|| common_value(snapshot, ESTATE_KEY)).map(str::to_owned),
            synthetic: common_value(snapshot, SYNTHETIC_KEY) == Some("true"),
            as_of,
            types: policy.types.clone(),
            candidates: policy.candidate_statuses,
            counts,
            size: stored_size(snapshot)?,
            sources: sources.collect(),
        })
    }

    /// Bytes of the snapshot's files by row; `None` for a snapshot without rows.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bytes of an estate fit into the mantissa")]
    pub fn bytes_per_row(&self) -> Option<f64> {
        (self.size.rows > 0).then(|| self.size.bytes as f64 / self.size.rows as f64)
    }

    /// Whether rows of this cell have a recognised type and a status that is counted by day.
    #[must_use]
    pub fn is_candidate(&self, cell: &RowClass) -> bool {
        self.candidates.contains_code(cell.status_code) && DeviceType::from_code(cell.type_code).is_some()
    }

    /// All cells of candidates of a recognised type, with their rows. Rows that share a Device ID come one by one.
    pub fn candidates(&self) -> impl Iterator<Item = (&RowClass, u64)> {
        let single = self.counts.cells.iter().map(|(cell, rows)| (cell, *rows));
        let shared = self.counts.shared.iter().map(|(_, cell)| (cell, 1));
        single.chain(shared).filter(|(cell, _)| self.is_candidate(cell))
    }

    /// The name of a party, by its index; `(none)` for [`Parties::NONE`](crate::scan::Parties::NONE).
    #[must_use]
    pub fn party_name(&self, party: u32) -> &str {
        self.counts.parties.name(party).unwrap_or("(none)")
    }
}

/// The value under a key of the files' metadata, where all files have the same.
fn common_value<'s>(snapshot: &'s Snapshot, key: &str) -> Option<&'s str> {
    let mut values = snapshot.files().iter().map(|file| file.metadata(key));
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

/// Storage of a snapshot, from the footers of its files.
fn stored_size(snapshot: &Snapshot) -> Result<StoredSize> {
    let mut by_column: BTreeMap<String, u64> = BTreeMap::new();
    for file in snapshot.files() {
        for (column, bytes) in file.column_bytes()? {
            *by_column.entry(column).or_default() += bytes;
        }
    }
    Ok(StoredSize { rows: snapshot.rows(), bytes: snapshot.bytes(), by_column })
}
