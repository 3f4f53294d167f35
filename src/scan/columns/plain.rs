//! PLAIN pages of BYTE_ARRAY values (Parquet format, Encodings.md): each value follows its length, four bytes,
//! little-endian.
//!
//! The position of a value depends on the lengths of all values before it. Most columns of identifiers have values of
//! one length; then the lengths can be checked independently of each other.

use crate::snapshot::encoded::{Damage, Result};

/// Reads plain values of variable length at ascending indices.
#[derive(Debug)]
pub struct PlainWalk<'p> {
    bytes: &'p [u8],
    /// Zero-based index of the next value.
    index: usize,
    at: usize,
}

impl<'p> PlainWalk<'p> {
    /// Starts at the first value of a page.
    pub const fn new(bytes: &'p [u8]) -> Self {
        Self { bytes, index: 0, at: 0 }
    }

    /// The value at this zero-based index. Indices must ascend from call to call.
    ///
    /// # Errors
    /// A page that ends before it.
    #[inline]
    pub fn value(&mut self, index: usize) -> Result<&'p [u8]> {
        debug_assert!(index >= self.index, "a walk goes forward only");
        self.stride(index);
        while self.index < index {
            self.next_value()?;
        }
        self.next_value()
    }

    /// The next value.
    ///
    /// # Errors
    /// A page that ends before it.
    #[inline]
    pub fn next_value(&mut self) -> Result<&'p [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(ends_early)?;
        let len = u32::from_le_bytes(*len) as usize;
        let value = rest.get(..len).ok_or_else(ends_early)?;
        self.at += 4 + len;
        self.index += 1;
        Ok(value)
    }

    /// Goes to `index` in one step, if all values before it have the same length.
    #[inline]
    fn stride(&mut self, index: usize) {
        let steps = index - self.index;
        let Some(first) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<4>) else { return };
        let len = u32::from_le_bytes(*first);
        let Some(span) = (len as usize).checked_add(4).and_then(|stride| stride.checked_mul(steps)) else { return };
        let Some(passed) = self.bytes.get(self.at..).and_then(|rest| rest.get(..span)) else { return };
        let mut differing = 0;
        for value in passed.chunks_exact(len as usize + 4) {
            if let Some(stored) = value.first_chunk::<4>() {
                differing |= u32::from_le_bytes(*stored) ^ len;
            }
        }
        if differing == 0 {
            self.at += span;
            self.index = index;
        }
    }
}

fn ends_early() -> Damage {
    Damage::corrupt("a page of plain values ends early")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_found_wherever_the_walk_starts(
            values in prop::collection::vec(prop_oneof![4 => Just(vec![7u8; 23]), 1 => prop::collection::vec(any::<u8>(), 0..30)], 1..60),
            picks in prop::collection::vec(any::<bool>(), 60),
        ) {
            let mut page = Vec::new();
            for value in &values {
                page.extend((value.len() as u32).to_le_bytes());
                page.extend(value);
            }
            let mut walk = PlainWalk::new(&page);
            for (index, value) in values.iter().enumerate().filter(|(index, _)| picks[*index]) {
                prop_assert_eq!(walk.value(index).unwrap(), &value[..]);
            }
            prop_assert!(PlainWalk::new(&page).value(values.len()).is_err());
            for cut in 0..page.len() {
                let mut walk = PlainWalk::new(&page[..cut]);
                prop_assert!((0..values.len()).try_for_each(|index| walk.value(index).map(drop)).is_err());
            }
        }
    }
}
