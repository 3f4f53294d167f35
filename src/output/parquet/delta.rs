//! Device IDs as DELTA_BYTE_ARRAY: for each text the length of the prefix shared with the one before, and the rest of the text.
//!
//! Manifests are sorted by Device ID, and neighbouring ids share most of their text: the encoded column has a third of the
//! plain size, to digest and to write.

use super::hybrid::{pack, varint};
use crate::estate::{DeviceId, TEXT_LEN};

/// Values of a block of DELTA_BINARY_PACKED.
const BLOCK: usize = 128;
/// Values of each of its four miniblocks.
const MINIBLOCK: usize = 32;

/// Appends the texts of Device IDs.
pub fn device_ids(ids: &[DeviceId], out: &mut Vec<u8>) {
    let mut shared = Vec::with_capacity(ids.len());
    let mut own = Vec::with_capacity(ids.len());
    // Copies whole texts of fixed length, each over the unused tail of the one before: cheaper than copies of varying length.
    let mut rest = vec![0u8; (ids.len() + 1) * TEXT_LEN];
    let mut end = 0;
    let mut before = None;
    for &id in ids {
        let common = before.replace(id).map_or(0, |before| shared_bytes(before, id));
        let mut text = [0u8; 2 * TEXT_LEN];
        text[..TEXT_LEN].copy_from_slice(&id.to_text());
        rest[end..end + TEXT_LEN].copy_from_slice(&text[common..common + TEXT_LEN]);
        end += TEXT_LEN - common;
        shared.push(common as u8);
        own.push((TEXT_LEN - common) as u8);
    }
    out.reserve(end + ids.len() + 64);
    lengths(&shared, out);
    lengths(&own, out);
    out.extend_from_slice(&rest[..end]);
}

/// How many bytes the texts of two ids have in common from the left.
fn shared_bytes(a: DeviceId, b: DeviceId) -> usize {
    let digits = (a.0 ^ b.0).leading_zeros() as usize / 4;
    // A `-` follows every second digit but the last.
    (digits + digits / 2).min(TEXT_LEN)
}

/// Appends small numbers as DELTA_BINARY_PACKED.
fn lengths(values: &[u8], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(values.len() as u64, out);
    varint(u64::from(values.first().copied().unwrap_or(0)) << 1, out);
    let mut differences = [0i32; BLOCK];
    let mut start = 1;
    while start < values.len() {
        let end = values.len().min(start + BLOCK);
        let differences = &mut differences[..end - start];
        for (difference, pair) in differences.iter_mut().zip(values[start - 1..end].windows(2)) {
            *difference = i32::from(pair[1]) - i32::from(pair[0]);
        }
        let least = differences.iter().copied().min().unwrap_or(0);
        varint(u64::from(((least << 1) ^ (least >> 31)).cast_unsigned()), out);
        block(differences, least, out);
        start = end;
    }
}

/// Appends widths and bodies of a block's miniblocks. Those without values have width 0 and no body.
fn block(differences: &[i32], least: i32, out: &mut Vec<u8>) {
    let widths = out.len();
    out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
    for (index, differences) in differences.chunks(MINIBLOCK).enumerate() {
        let mut above = [0u32; MINIBLOCK];
        for (above, difference) in above.iter_mut().zip(differences) {
            *above = (difference - least).cast_unsigned();
        }
        let highest = above.iter().copied().max().unwrap_or(0);
        let width = (u32::BITS - highest.leading_zeros()) as u8;
        out[widths + index] = width;
        if width > 0 {
            pack(&above, width, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bytes_are_those_of_the_texts() {
        let base = DeviceId(0x00DB_1234_5678_90A0);
        for bit in 0..64 {
            let other = DeviceId(base.0 ^ 1 << bit);
            let (a, b) = (base.to_text(), other.to_text());
            let expected = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            assert_eq!(shared_bytes(base, other), expected, "bit {bit}");
        }
        assert_eq!(shared_bytes(base, base), TEXT_LEN);
    }

    #[test]
    fn lengths_are_written_as_the_specification_has_them() {
        let mut out = Vec::new();
        lengths(&[7, 5, 3, 1, 2, 3, 4, 5], &mut out);
        // Its own example: deltas -2 -2 -2 1 1 1 1, of which -2 is the least, packed in two bits.
        let packed = [0b11_00_00_00u8, 0b00_11_11_11, 0, 0, 0, 0, 0, 0];
        assert_eq!(out, [&[0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0][..], &packed].concat());
    }
}
