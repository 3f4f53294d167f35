//! Sorting by Device ID: the one order that manifests and the search for duplicates need.
//!
//! Device IDs are numbers, and a makers' prefix makes most of their bytes the same: a radix sort that passes over
//! those bytes looks at each row four or five times, without a comparison. It is stable, so that rows which share a
//! Device ID stay as they were.

use crate::estate::DeviceId;

/// A Device ID, and where the row lies that has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Key<P> {
    pub id: u64,
    pub place: P,
}

impl<P> Key<P> {
    pub const fn new(id: DeviceId, place: P) -> Self {
        Self { id: id.0, place }
    }
}

/// Keys to be sorted, with the room for it, both kept from one sort to the next.
#[derive(Debug, Default)]
pub struct Keys<P> {
    keys: Vec<Key<P>>,
    spare: Vec<Key<P>>,
}

/// Up to here comparing is faster than counting.
const FEW: usize = 256;

impl<P: Copy + Default> Keys<P> {
    pub fn clear(&mut self) {
        self.keys.clear();
    }

    pub fn push(&mut self, key: Key<P>) {
        self.keys.push(key);
    }

    pub fn extend(&mut self, keys: impl IntoIterator<Item = Key<P>>) {
        self.keys.extend(keys);
    }

    /// Sorts the keys, and returns them.
    pub fn sorted(&mut self) -> &[Key<P>] {
        let Self { keys, spare } = self;
        if keys.len() <= FEW {
            keys.sort_by_key(|key| key.id);
            return keys;
        }
        let first = keys.first().map_or(0, |key| key.id);
        let differing = keys.iter().fold(0, |bits, key| bits | (key.id ^ first));
        spare.clear();
        spare.resize(keys.len(), Key::default());
        for shift in (0..u64::BITS).step_by(8).filter(|shift| differing >> shift & 0xFF != 0) {
            scatter(keys, spare, shift);
            std::mem::swap(keys, spare);
        }
        keys
    }
}

/// Moves the keys to where the byte at `shift` puts them; keys that agree in it keep their order.
fn scatter<P: Copy>(from: &[Key<P>], to: &mut [Key<P>], shift: u32) {
    let digit = |key: &Key<P>| usize::from((key.id >> shift) as u8);
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
            let mut keys = Keys::default();
            // Whatever was sorted before leaves no trace.
            keys.extend([Key::new(DeviceId(7), usize::MAX)]);
            keys.sorted();
            keys.clear();
            keys.extend(ids.iter().enumerate().map(|(place, &id)| Key::new(DeviceId(id), place)));
            let mut expected: Vec<(u64, usize)> = ids.iter().enumerate().map(|(place, &id)| (id, place)).collect();
            expected.sort_unstable();
            let sorted: Vec<(u64, usize)> = keys.sorted().iter().map(|key| (key.id, key.place)).collect();
            prop_assert_eq!(sorted, expected);
        }
    }
}
