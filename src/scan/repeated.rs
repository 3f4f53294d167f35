//! Finds which of some Device IDs occur more than once in a snapshot, in one pass over the column of Device IDs.
//!
//! Memory is about ten bytes for each of these IDs, and does not grow with the snapshot. To find all IDs that occur more
//! than once, see [`super::duplicates`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::driver::Scan;
use super::duplicates::each_id;
use crate::error::Result;
use crate::estate::DeviceId;
use crate::progress::Stage;

/// The IDs, of `ids`, that two or more rows have. `ids` must ascend, each once; so does the result.
///
/// # Errors
/// Damaged data, or an interruption.
pub fn repeated(scan: &Scan<'_>, ids: &[DeviceId]) -> Result<Vec<DeviceId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = IdFilter::of(ids);
    let (seen, again) = (Bits::new(ids.len()), Bits::new(ids.len()));
    scan.run(
        Stage::Unique,
        || (),
        |range, ()| {
            let rows = range.all_rows();
            each_id(range, &rows, |_, id| {
                if let Some(id) = id.filter(|id| filter.may_have(*id))
                    && let Ok(index) = ids.binary_search(&id)
                    && seen.set(index)
                {
                    again.set(index);
                }
                Ok(())
            })
        },
    )?;
    Ok(ids.iter().enumerate().filter(|(index, _)| again.has(*index)).map(|(_, id)| *id).collect())
}

/// Bits that many threads set.
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(bits: usize) -> Self {
        Self((0..bits.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit, and returns whether it was set already.
    fn set(&self, bit: usize) -> bool {
        let mask = 1 << (bit % 64);
        self.0[bit / 64].fetch_or(mask, Ordering::Relaxed) & mask != 0
    }

    fn has(&self, bit: usize) -> bool {
        self.0[bit / 64].load(Ordering::Relaxed) >> (bit % 64) & 1 == 1
    }
}

/// A Bloom filter: rules most other IDs out without a search.
struct IdFilter {
    bits: Vec<u64>,
    /// The hash is shifted right by this, to give the number of a word.
    shift: u32,
}

impl IdFilter {
    /// A filter with 16 to 32 bits for each ID.
    fn of(ids: &[DeviceId]) -> Self {
        let words = (ids.len() / 4).next_power_of_two().max(64);
        let mut filter = Self { bits: vec![0; words], shift: u64::BITS - words.trailing_zeros() };
        for &id in ids {
            let (word, mask) = filter.place(id);
            filter.bits[word] |= mask;
        }
        filter
    }

    /// The word of an ID, and two bits in it.
    #[inline]
    fn place(&self, id: DeviceId) -> (usize, u64) {
        // Fibonacci hashing: makers number their devices consecutively, so that the low bits carry the difference.
        let hash = id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((hash >> self.shift) as usize, 1 << (hash >> 20 & 63) | 1 << (hash >> 26 & 63))
    }

    #[inline]
    fn may_have(&self, id: DeviceId) -> bool {
        let (word, mask) = self.place(id);
        self.bits[word] & mask == mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_has_every_id_and_few_others() {
        for count in [1u64, 63, 5_000, 100_000] {
            let ids: Vec<DeviceId> = (0..count).map(|number| DeviceId(0x00DB_1200_0000_0000 + number * 3)).collect();
            let filter = IdFilter::of(&ids);
            assert!(ids.iter().all(|id| filter.may_have(*id)));
            let others = (0..count).filter(|number| filter.may_have(DeviceId(0x00DB_1200_0000_0001 + number * 3)));
            assert!(others.count() as u64 <= 1 + count / 20, "{count}");
        }
    }
}
