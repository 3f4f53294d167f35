//! The RLE / bit-packing hybrid encoding of levels and codes, and LEB128 numbers (Parquet format, Encodings.md).

/// Appends an unsigned LEB128 number.
pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a run of `len` times the same code.
pub fn same(code: u32, len: usize, width: u8, out: &mut Vec<u8>) {
    varint((len as u64) << 1, out);
    out.extend_from_slice(&code.to_le_bytes()[..usize::from(width.div_ceil(8))]);
}

/// Bits of a code into a dictionary of `values` values.
pub const fn width_of(values: usize) -> u8 {
    // A dictionary of one value needs 0 bits, but not every reader accepts a width of 0.
    let bits = usize::BITS - values.saturating_sub(1).leading_zeros();
    if bits == 0 { 1 } else { bits as u8 }
}

/// Codes that repeat at least this often are written as a run.
const MIN_RUN: usize = 24;

/// Appends codes of `width` bits in the RLE / bit-packing hybrid: repeated codes as runs, those between them packed.
pub fn hybrid(codes: &[u32], width: u8, out: &mut Vec<u8>) {
    let mut at = 0;
    let mut loose = 0;
    while at < codes.len() {
        let repeats = codes[at..].iter().take_while(|&&code| code == codes[at]).count();
        // A packed run has a multiple of 8 codes, so the next run begins at such a place.
        let behind = (at - loose) % 8;
        let begin = if behind == 0 { at } else { at + 8 - behind };
        if at + repeats >= begin + MIN_RUN {
            packed(&codes[loose..begin], width, out);
            same(codes[at], at + repeats - begin, width, out);
            loose = at + repeats;
        }
        at += repeats;
    }
    packed(&codes[loose..], width, out);
}

/// A packed run; the last group is filled up with zeros.
fn packed(codes: &[u32], width: u8, out: &mut Vec<u8>) {
    if codes.is_empty() {
        return;
    }
    let groups = codes.len().div_ceil(8);
    varint((groups as u64) << 1 | 1, out);
    let end = out.len() + groups * usize::from(width);
    pack(codes, width, out);
    out.resize(end, 0);
}

/// Appends the lowest `width` bits of each value without gaps, the lowest first, filled up to a whole byte.
pub fn pack(values: &[u32], width: u8, out: &mut Vec<u8>) {
    out.reserve((values.len() * usize::from(width)).div_ceil(8) + 8);
    let (mut word, mut bits) = (0u64, 0u32);
    for &value in values {
        word |= u64::from(value) << bits;
        bits += u32::from(width);
        if bits >= 32 {
            out.extend_from_slice(&(word as u32).to_le_bytes());
            word >>= 32;
            bits -= 32;
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..(bits as usize).div_ceil(8)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::encoded::{Run, Runs, code_at};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            pieces in prop::collection::vec((0u32..200, prop_oneof![1usize..4, 20usize..60]), 0..40),
            width in 8u8..=17,
        ) {
            let codes: Vec<u32> = pieces.iter().flat_map(|&(code, len)| std::iter::repeat_n(code, len)).collect();
            let mut bytes = Vec::new();
            hybrid(&codes, width, &mut bytes);
            let mut runs = Runs::new(&bytes, width, codes.len()).unwrap();
            let mut read = Vec::new();
            while let Some(run) = runs.next_run().unwrap() {
                match run {
                    Run::Same { code, len } => read.extend(std::iter::repeat_n(code, len)),
                    Run::Packed { bytes, len } => read.extend((0..len).map(|index| code_at(bytes, width, index))),
                }
            }
            prop_assert_eq!(read, codes);
        }
    }
}
