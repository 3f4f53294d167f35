//! Sorts rows by Device ID, the order of manifests.
//!
//! Device IDs of one maker share a prefix, so most of their bytes are equal. A radix sort that skips equal bytes moves
//! each row four or five times and compares nothing. The sort is stable: rows that share a Device ID keep their order.

use crate::estate::DeviceId;

/// A Device ID and the position of its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdKey<P> {
    /// The Device ID.
    pub id: u64,
    /// The position of the row.
    pub place: P,
}

impl<P> IdKey<P> {
    /// The key of a row.
    pub const fn new(id: DeviceId, place: P) -> Self {
        Self { id: id.0, place }
    }
}

/// Keys to be sorted, and the second buffer that the sort needs. Both are reused for the next sort.
#[derive(Debug, Default)]
pub struct IdKeys<P> {
    keys: Vec<IdKey<P>>,
    buffer: Vec<IdKey<P>>,
}

/// Up to this number of keys a comparison sort is faster.
const FEW: usize = 256;

impl<P: Copy + Default> IdKeys<P> {
    /// Removes all keys, and keeps the memory.
    pub fn clear(&mut self) {
        self.keys.clear();
    }

    /// Adds a key.
    pub fn push(&mut self, key: IdKey<P>) {
        self.keys.push(key);
    }

    /// Adds keys.
    pub fn extend(&mut self, keys: impl IntoIterator<Item = IdKey<P>>) {
        self.keys.extend(keys);
    }

    /// Sorts the keys by Device ID, and returns them.
    pub fn sorted(&mut self) -> &[IdKey<P>] {
        let Self { keys, buffer } = self;
        if keys.len() <= FEW {
            keys.sort_by_key(|key| key.id);
            return keys;
        }
        let first = keys.first().map_or(0, |key| key.id);
        let differing = keys.iter().fold(0, |bits, key| bits | (key.id ^ first));
        buffer.clear();
        buffer.resize(keys.len(), IdKey::default());
        for shift in (0..u64::BITS).step_by(8).filter(|shift| differing >> shift & 0xFF != 0) {
            scatter(keys, buffer, shift);
            std::mem::swap(keys, buffer);
        }
        keys
    }
}

/// Copies the keys in the order of the byte at bit `shift`; keys with the same byte keep their order.
fn scatter<P: Copy>(from: &[IdKey<P>], to: &mut [IdKey<P>], shift: u32) {
    let digit = |key: &IdKey<P>| usize::from((key.id >> shift) as u8);
    let mut places = [0usize; 256];
    for key in from {
        places[digit(key)] += 1;
    }
    let mut before = 0;
    for place in &mut places {
        before += std::mem::replace(place, before);
    }
    for key in from {
        let place = &mut places[digit(key)];
        to[*place] = *key;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_sorted_and_equal_ones_keep_their_order(
            ids in prop::collection::vec(prop_oneof![any::<u64>(), 0x00DB_1200_0000_0000..0x00DB_1200_0000_0400u64], 0..1500),
        ) {
            let mut keys = IdKeys::default();
            // An earlier sort with the same buffers has no effect.
            keys.extend([IdKey::new(DeviceId(7), usize::MAX)]);
            keys.sorted();
            keys.clear();
            keys.extend(ids.iter().enumerate().map(|(place, &id)| IdKey::new(DeviceId(id), place)));
            let mut expected: Vec<(u64, usize)> = ids.iter().enumerate().map(|(place, &id)| (id, place)).collect();
            expected.sort_unstable();
            let sorted: Vec<(u64, usize)> = keys.sorted().iter().map(|key| (key.id, key.place)).collect();
            prop_assert_eq!(sorted, expected);
        }
    }
}
