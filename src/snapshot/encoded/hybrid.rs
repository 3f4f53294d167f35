//! The RLE / bit-packing hybrid, in which Parquet stores dictionary codes and definition levels (Parquet format,
//! Encodings.md).
//!
//! [`Runs`] returns whole runs, so that a run of a million equal codes costs as much as one of eight. Single codes of packed
//! runs are read without unpacking others; whole ones are unpacked by a [`Kernel`](crate::kernel::Kernel).

use super::{Damage, Result};

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run<'a> {
    /// The same code, `len` times.
    Same {
        /// The code.
        code: u32,
        /// Number of codes; at least one.
        len: usize,
    },
    /// Codes packed to the runs' bit width, least significant bits first.
    Packed {
        /// The packed bytes, enough for `len` codes.
        bytes: &'a [u8],
        /// Number of codes; at least one.
        len: usize,
    },
}

impl Run<'_> {
    /// Number of codes in the run.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a run has at least one code")]
    pub const fn len(&self) -> usize {
        match *self {
            Self::Same { len, .. } | Self::Packed { len, .. } => len,
        }
    }
}

/// The runs of one page.
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    rest: &'a [u8],
    width: u8,
    left: usize,
}

impl<'a> Runs<'a> {
    /// Runs of `values` codes of `width` bits each.
    ///
    /// # Errors
    /// A width of more than 32 bits.
    pub fn new(bytes: &'a [u8], width: u8, values: usize) -> Result<Self> {
        if width > 32 {
            return Err(Damage::corrupt(format!("codes of {width} bits")));
        }
        Ok(Self { rest: bytes, width, left: values })
    }

    /// Runs of the `values` dictionary codes in a data page, whose first byte is their width.
    ///
    /// # Errors
    /// An empty page that should have values, or a width of more than 32 bits.
    pub fn of_codes(bytes: &'a [u8], values: usize) -> Result<Self> {
        match bytes.split_first() {
            Some((&width, rest)) => Self::new(rest, width, values),
            None if values == 0 => Self::new(&[], 0, 0),
            None => Err(Damage::corrupt("a page of codes is empty")),
        }
    }

    /// Bits of a code.
    #[must_use]
    pub const fn width(&self) -> u8 {
        self.width
    }

    /// The next run; `None` after the last value.
    ///
    /// # Errors
    /// Runs that end before the last value.
    pub fn next_run(&mut self) -> Result<Option<Run<'a>>> {
        while self.left > 0 {
            let header = self.varint()?;
            let run = if header & 1 == 1 { self.packed(header >> 1)? } else { self.same(header >> 1)? };
            // A run may be empty, and the last one may have more codes than values are left.
            if run.len() > 0 {
                self.left -= run.len();
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    fn same(&mut self, len: usize) -> Result<Run<'a>> {
        let bytes = usize::from(self.width.div_ceil(8));
        let (code, rest) = self.rest.split_at_checked(bytes).ok_or_else(ends_early)?;
        let code = code.iter().rev().fold(0u32, |code, &byte| code << 8 | u32::from(byte));
        self.rest = rest;
        Ok(Run::Same { code, len: len.min(self.left) })
    }

    fn packed(&mut self, groups: usize) -> Result<Run<'a>> {
        let len = groups.saturating_mul(8).min(self.left);
        let width = usize::from(self.width);
        let needed = (len * width).div_ceil(8);
        // Some writers omit the padding of the last group; the codes themselves must be complete.
        let whole = groups.saturating_mul(width).min(self.rest.len());
        if whole < needed {
            return Err(ends_early());
        }
        let (bytes, rest) = self.rest.split_at(whole);
        self.rest = rest;
        Ok(Run::Packed { bytes, len })
    }

    fn varint(&mut self) -> Result<usize> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or_else(ends_early)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| Damage::corrupt("a run is too long"));
            }
        }
        Err(Damage::corrupt("the length of a run is too long"))
    }
}

fn ends_early() -> Damage {
    Damage::corrupt("the runs of a page end early")
}

/// The code at a zero-based index of packed `bytes`. Missing bytes are read as zero.
#[must_use]
#[inline]
pub fn code_at(bytes: &[u8], width: u8, index: usize) -> u32 {
    let bit = index * usize::from(width);
    let from = bytes.get(bit / 8..).unwrap_or_default();
    let word = match from.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => from.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    // 7 bits of offset and 32 bits of code fit into the word.
    ((word >> (bit % 8)) & ((1u64 << width) - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(codes: &[u32], width: u8) -> Vec<u8> {
        let mut bytes = vec![0u8; (codes.len() * usize::from(width)).div_ceil(8)];
        for (index, &code) in codes.iter().enumerate() {
            for bit in 0..usize::from(width) {
                let at = index * usize::from(width) + bit;
                bytes[at / 8] |= ((code >> bit & 1) as u8) << (at % 8);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn packed_codes_come_back(width in 1u8..=32, codes in prop::collection::vec(any::<u32>(), 1..200)) {
            let codes: Vec<u32> = codes.into_iter().map(|c| c & (u64::MAX >> (64 - width)) as u32).collect();
            let bytes = pack(&codes, width);
            for (index, &code) in codes.iter().enumerate() {
                prop_assert_eq!(code_at(&bytes, width, index), code);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_yield_too_much(bytes in prop::collection::vec(any::<u8>(), 0..100), width in 0u8..=32, values in 0usize..500) {
            let mut runs = Runs::new(&bytes, width, values).unwrap();
            let mut total = 0;
            while let Ok(Some(run)) = runs.next_run() {
                total += run.len();
                if let Run::Packed { bytes, len } = run {
                    let _ = code_at(bytes, width, len - 1);
                }
            }
            prop_assert!(total <= values);
        }
    }

    #[test]
    fn runs_of_both_kinds_alternate() {
        // 5 times code 2, then one packed group of eight 3-bit codes of which three are left to come.
        let mut bytes = vec![5 << 1, 2, 1 << 1 | 1];
        bytes.extend(pack(&[1, 2, 3, 4, 5, 6, 7, 0], 3));
        let mut runs = Runs::new(&bytes, 3, 8).unwrap();
        assert_eq!(runs.next_run().unwrap(), Some(Run::Same { code: 2, len: 5 }));
        assert!(matches!(runs.next_run().unwrap(), Some(Run::Packed { len: 3, .. })));
        assert_eq!(runs.next_run().unwrap(), None);
    }

    #[test]
    fn runs_that_end_early_are_damage() {
        assert!(Runs::new(&[5 << 1, 2], 3, 8).unwrap().next_run().is_ok());
        let mut runs = Runs::new(&[5 << 1, 2], 3, 8).unwrap();
        runs.next_run().unwrap();
        assert!(runs.next_run().is_err());
        assert!(Runs::new(&[1 << 1 | 1, 0], 3, 8).unwrap().next_run().is_err());
        assert!(Runs::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80], 3, 8).unwrap().next_run().is_err());
        assert!(Runs::of_codes(&[], 3).is_err());
        assert!(Runs::of_codes(&[33, 0], 3).is_err());
    }
}
