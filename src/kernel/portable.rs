//! The loops for every processor. They state what the others must do.

use super::{NO_ENTRY, TABLE};

/// Eight numbers of `width` bits are `width` bytes, so that one word holds them.
pub(super) fn map_packed(packed: &[u8], width: u8, table: &[u8; TABLE], out: &mut [u8]) -> bool {
    match width {
        1 => map_width::<1>(packed, table, out),
        2 => map_width::<2>(packed, table, out),
        3 => map_width::<3>(packed, table, out),
        4 => map_width::<4>(packed, table, out),
        5 => map_width::<5>(packed, table, out),
        _ => map_width::<6>(packed, table, out),
    }
}

fn map_width<const WIDTH: usize>(packed: &[u8], table: &[u8; TABLE], out: &mut [u8]) -> bool {
    let mut highest = 0;
    for (index, codes) in out.chunks_mut(8).enumerate() {
        let word = word_at(packed, index * WIDTH);
        for (number, code) in codes.iter_mut().enumerate() {
            *code = table[(word >> (number * WIDTH)) as usize & ((1 << WIDTH) - 1)];
            highest = highest.max(*code);
        }
    }
    highest != NO_ENTRY
}

/// Eight bytes from `at` on; missing bytes are zero.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    let from = bytes.get(at..).unwrap_or_default();
    match from.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => from.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

pub(super) fn spread(values: &[u8], present: &[u64], absent: u8, out: &mut [u8]) {
    let mut next = 0;
    for (codes, &word) in out.chunks_mut(64).zip(present.iter().chain(std::iter::repeat(&0))) {
        for (row, code) in codes.iter_mut().enumerate() {
            let has = word >> row & 1 != 0;
            *code = if has { values.get(next).copied().unwrap_or(absent) } else { absent };
            next += usize::from(has);
        }
    }
}

/// Four tables: consecutive rows often have the same type, and with one table each increment would wait for the one
/// before it.
pub(super) fn count_types(types: &[u8], by_type: &mut [u32; TABLE]) {
    let mut tables = [[0u32; TABLE]; 4];
    for (row, &device_type) in types.iter().enumerate() {
        tables[row % 4][usize::from(device_type) % TABLE] += 1;
    }
    add(&tables, by_type);
}

pub(super) fn count_closed(
    (statuses, types): (&[u8], &[u8]),
    closed: &[bool; 16],
    by_type: &mut [u32; TABLE],
    others: &mut Vec<u32>,
) {
    let mut tables = [[0u32; TABLE]; 4];
    let mut at = others.len();
    // There is no branch on whether a row is closed, because it would be mispredicted.
    others.resize(at + statuses.len() + 1, 0);
    for (row, (&status, &device_type)) in statuses.iter().zip(types).enumerate() {
        let is_closed = closed[usize::from(status) % 16];
        tables[row % 4][usize::from(device_type) % TABLE] += u32::from(is_closed);
        others[at] = row as u32;
        at += usize::from(!is_closed);
    }
    others.truncate(at);
    add(&tables, by_type);
}

fn add(tables: &[[u32; TABLE]; 4], by_type: &mut [u32; TABLE]) {
    for table in tables {
        by_type.iter_mut().zip(table).for_each(|(total, rows)| *total += rows);
    }
}
