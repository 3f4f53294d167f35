//! Sorting by Device ID: the one order that manifests and the search for duplicates need.
//!
//! Device IDs are numbers, and a makers' prefix makes most of their bytes the same: a radix sort that passes over
//! those bytes looks at each row four or five times, without a comparison. It is stable, so that rows which share a
//! Device ID stay as they were.

use crate::estate::DeviceId;

/// A Device ID, and where the row lies that has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdKey<P> {
    /// The Device ID.
    pub id: u64,
    /// Where the row lies.
    pub place: P,
}

impl<P> IdKey<P> {
    /// The key of a row.
    pub const fn new(id: DeviceId, place: P) -> Self {
        Self { id: id.0, place }
    }
}

/// IdKeys to be sorted, with the room for it, both kept from one sort to the next.
#[derive(Debug, Default)]
pub struct IdKeys<P> {
    keys: Vec<IdKey<P>>,
    spare: Vec<IdKey<P>>,
}

/// Up to here comparing is faster than counting.
const FEW: usize = 256;

impl<P: Copy + Default> IdKeys<P> {
    /// Forgets all keys, but keeps the memory.
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

    /// Sorts the keys, and returns them.
    pub fn sorted(&mut self) -> &[IdKey<P>] {
        let Self { keys, spare } = self;
        if keys.len() <= FEW {
            keys.sort_by_key(|key| key.id);
            return keys;
        }
        let first = keys.first().map_or(0, |key| key.id);
        let differing = keys.iter().fold(0, |bits, key| bits | (key.id ^ first));
        spare.clear();
        spare.resize(keys.len(), IdKey::default());
        for shift in (0..u64::BITS).step_by(8).filter(|shift| differing >> shift & 0xFF != 0) {
            scatter(keys, spare, shift);
            std::mem::swap(keys, spare);
        }
        keys
    }
}

/// Moves the keys to where the byte at `shift` puts them; keys that agree in it keep their order.
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
            // Whatever was sorted before leaves no trace.
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
