//! Finds Device IDs that occur more than once anywhere in a snapshot.
//!
//! IDs are distributed over buckets by their hash, and each bucket is sorted. Large buckets are moved into unnamed
//! temporary files, eight bytes for each row, so that memory stays bounded for a snapshot of any size.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::{Mutex, PoisonError};

use super::driver::{RangeReader, Scan};
use super::values;
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId};
use crate::progress::Stage;
use crate::snapshot::DeviceIds;

/// Number of buckets.
const BUCKETS: usize = 256;
/// IDs that a bucket holds in memory before they are moved into its file.
const IN_MEMORY: usize = 32 * 1024;

/// Device IDs that occur more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// The Device IDs, ascending.
    pub ids: Vec<DeviceId>,
    /// Number of rows that have one of them.
    pub rows: u64,
}

/// Finds every Device ID that occurs more than once. Null and malformed IDs do not count.
///
/// # Errors
/// Damaged data, a temporary folder that is full, or an interruption.
pub fn duplicates(scan: &Scan<'_>) -> Result<Duplicates> {
    let buckets: Vec<Mutex<Bucket>> = (0..BUCKETS).map(|_| Mutex::default()).collect();
    scan.run(Stage::Unique, BucketBuffers::default, |range, BucketBuffers { waiting }| {
        let rows = range.all_rows();
        each_id(range, &rows, |_, id| {
            let Some(id) = id else { return Ok(()) };
            let bucket = bucket_of(id);
            let waiting = &mut waiting[bucket];
            waiting.push(id.0);
            if waiting.len() < 512 { Ok(()) } else { drain(waiting, &buckets[bucket]) }
        })?;
        waiting.iter_mut().zip(&buckets).try_for_each(|(waiting, bucket)| drain(waiting, bucket))
    })?;
    let sorted = scan.pool.map(buckets, |bucket| {
        bucket.into_inner().unwrap_or_else(PoisonError::into_inner).duplicates().map_err(spill_failed)
    })?;
    let mut all = Duplicates::default();
    for bucket in sorted {
        all.ids.extend(bucket.ids);
        all.rows += bucket.rows;
    }
    all.ids.sort_unstable();
    Ok(all)
}

/// Whether Device IDs are unique, for the seal of a snapshot. The rule is that of [`duplicates`].
///
/// # Errors
/// As [`duplicates`].
pub fn device_ids(scan: &Scan<'_>) -> Result<DeviceIds> {
    let found = duplicates(scan)?;
    Ok(if found.ids.is_empty() { DeviceIds::Unique } else { DeviceIds::Duplicated })
}

/// Reads the Device IDs of `rows` (ascending), and calls `each` with the row's number within the row group and its
/// Device ID, `None` if null or malformed.
///
/// # Errors
/// Damaged data, or the first error of `each`.
pub fn each_id(
    range: &mut RangeReader<'_>,
    rows: &[u32],
    mut each: impl FnMut(u32, Option<DeviceId>) -> Result<()>,
) -> Result<()> {
    let form = range.form(Column::DeviceId)?;
    let mut outcome = Ok(());
    range.values(Column::DeviceId, rows, |index, value| {
        if outcome.is_ok() {
            let id = value.bytes.and_then(|bytes| values::device_id(form, bytes));
            outcome = each(rows[index], id);
        }
    })?;
    outcome
}

/// IDs that a worker collects for each bucket, so that it does not lock a bucket for every row.
#[derive(Debug)]
struct BucketBuffers {
    waiting: Vec<Vec<u64>>,
}

impl Default for BucketBuffers {
    fn default() -> Self {
        Self { waiting: vec![Vec::new(); BUCKETS] }
    }
}

/// The bucket of an ID. Its bits are mixed (Fibonacci hashing), because makers number their devices consecutively.
fn bucket_of(id: DeviceId) -> usize {
    (id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize % BUCKETS
}

fn drain(waiting: &mut Vec<u64>, bucket: &Mutex<Bucket>) -> Result<()> {
    let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
    bucket.take(waiting).map_err(spill_failed)
}

fn spill_failed(error: io::Error) -> Error {
    Error::Aside { path: std::env::temp_dir(), source: error }
}

#[derive(Debug, Default)]
struct Bucket {
    ids: Vec<u64>,
    spilled: Option<File>,
}

impl Bucket {
    fn take(&mut self, ids: &mut Vec<u64>) -> io::Result<()> {
        self.ids.append(ids);
        if self.ids.len() < IN_MEMORY {
            return Ok(());
        }
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        let bytes: Vec<u8> = self.ids.drain(..).flat_map(u64::to_le_bytes).collect();
        file.write_all(&bytes)
    }

    fn duplicates(self) -> io::Result<Duplicates> {
        let Self { mut ids, spilled } = self;
        if let Some(mut file) = spilled {
            file.rewind()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            ids.extend(bytes.chunks_exact(8).filter_map(|id| Some(u64::from_le_bytes(*id.first_chunk()?))));
        }
        ids.sort_unstable();
        let mut found = Duplicates::default();
        for same in ids.chunk_by(|a, b| a == b).filter(|same| same.len() > 1) {
            found.ids.push(DeviceId(same[0]));
            found.rows += same.len() as u64;
        }
        Ok(found)
    }
}
