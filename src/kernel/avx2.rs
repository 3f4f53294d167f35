//! The loops with 32 bytes at a time: AVX2, as on nearly all servers and laptops since 2013.

#![expect(unsafe_code, reason = "loads and stores of vectors take pointers; each is in a function with a slice")]

use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
    _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_mullo_epi16, _mm256_or_si256, _mm256_packus_epi16,
    _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srl_epi16,
    _mm256_storeu_si256,
};

use super::{KnownTypes, NO_ENTRY, TABLE, portable};

const LANES: usize = 32;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi1")
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; LANES]) -> __m256i {
    // SAFETY: the reference is to 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// 16 bytes, twice.
#[inline]
#[target_feature(enable = "avx2")]
fn load_twice(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the reference is to 16 bytes.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(vector: __m256i, out: &mut [u8; LANES]) {
    // SAFETY: the reference is to 32 bytes.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), vector) }
}

/// The lowest `len` bits, at most 32.
#[inline]
const fn first(len: usize) -> u32 {
    if len >= LANES { u32::MAX } else { (1 << len) - 1 }
}

/// Up to 32 bytes, then zeros.
#[inline]
#[target_feature(enable = "avx2")]
fn load_some(bytes: &[u8]) -> __m256i {
    bytes.first_chunk().map_or_else(|| load(&padded(bytes)), |bytes| load(bytes))
}

/// Up to `N` bytes, then zeros.
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    let len = bytes.len().min(N);
    all[..len].copy_from_slice(&bytes[..len]);
    all
}

/// How sixteen numbers of a width, in twice that many bytes, are unpacked into lanes of 16 bits.
#[derive(Clone, Copy)]
struct Unpacking {
    /// The two bytes that each number is in.
    bytes: [u8; LANES],
    /// The powers of two that move each number to the upper end of its lane, as bytes.
    factors: [u8; LANES],
}

const UNPACKING: [Unpacking; 5] = {
    let mut all = [Unpacking { bytes: [0; LANES], factors: [0; LANES] }; 5];
    let mut width = 1;
    while width < all.len() {
        let mut number = 0;
        while number < 16 {
            let bit = number * width;
            all[width].bytes[2 * number] = (bit / 8) as u8;
            all[width].bytes[2 * number + 1] = (bit / 8 + 1) as u8;
            let factor = (1u16 << (16 - width - bit % 8)).to_le_bytes();
            all[width].factors[2 * number] = factor[0];
            all[width].factors[2 * number + 1] = factor[1];
            number += 1;
        }
        width += 1;
    }
    all
};

/// A table of 16 entries is one vector, so that wider numbers are mapped by the portable loop.
#[target_feature(enable = "avx2")]
pub(super) fn map_packed(packed: &[u8], width: u8, table: &[u8; TABLE], out: &mut [u8]) -> bool {
    let bits = usize::from(width);
    let (Some(Unpacking { bytes, factors }), Some(entries)) = (UNPACKING.get(bits), table.first_chunk()) else {
        return portable::map_packed(packed, width, table, out);
    };
    let (bytes, factors, entries) = (load(bytes), load(factors), load_twice(entries));
    let (down, no_entry) = (_mm_cvtsi32_si128(16 - i32::from(width)), _mm256_set1_epi8(NO_ENTRY as i8));
    let sixteen = |from: &[u8]| {
        let from = from.first_chunk().map_or_else(|| load_twice(&padded(from)), |from| load_twice(from));
        _mm256_srl_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(from, bytes), factors), down)
    };
    let thirty_two = |from: &[u8]| {
        let (low, high) = (sixteen(from), sixteen(from.get(2 * bits..).unwrap_or_default()));
        // Packing works within halves; the permutation puts the quarters in order.
        let numbers = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(low, high));
        _mm256_shuffle_epi8(entries, numbers)
    };
    let mut missing = _mm256_setzero_si256();
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let mut at = 0;
    for out in chunks {
        let codes = thirty_two(packed.get(at..).unwrap_or_default());
        missing = _mm256_or_si256(missing, _mm256_cmpeq_epi8(codes, no_entry));
        store(codes, out);
        at += 4 * bits;
    }
    let mut codes = [0; LANES];
    store(thirty_two(packed.get(at..).unwrap_or_default()), &mut codes);
    rest.copy_from_slice(&codes[..rest.len()]);
    _mm256_movemask_epi8(missing) == 0 && !rest.contains(&NO_ENTRY)
}

#[target_feature(enable = "avx2,popcnt,bmi1")]
pub(super) fn count_types(types: &[u8], by_type: &mut [u32; TABLE]) {
    let mut counter = Counter::new();
    for types in types.chunks(LANES) {
        counter.count(types, first(types.len()), by_type);
    }
    counter.finish(by_type);
}

#[target_feature(enable = "avx2,popcnt,bmi1")]
pub(super) fn count_closed(
    (statuses, types): (&[u8], &[u8]),
    closed: &[bool; 16],
    by_type: &mut [u32; TABLE],
    others: &mut Vec<u32>,
) {
    let entries = load_twice(&closed.map(|closed| if closed { 0xFF } else { 0 }));
    let lowest_bits = _mm256_set1_epi8(0x0F);
    let mut counter = Counter::new();
    for (index, (statuses, types)) in statuses.chunks(LANES).zip(types.chunks(LANES)).enumerate() {
        let rows = first(statuses.len());
        let is_closed = _mm256_shuffle_epi8(entries, _mm256_and_si256(load_some(statuses), lowest_bits));
        let mask = _mm256_movemask_epi8(is_closed) as u32 & rows;
        counter.count(types, mask, by_type);
        let mut rest = !mask & rows;
        while rest != 0 {
            others.push((index * LANES) as u32 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    counter.finish(by_type);
}

/// Counts rows by comparing 32 types with each known type.
struct Counter {
    known: KnownTypes,
    rows: [u32; KnownTypes::MOST],
}

impl Counter {
    const fn new() -> Self {
        Self { known: KnownTypes::new(), rows: [0; KnownTypes::MOST] }
    }

    /// Counts the rows of `mask`, at most 32.
    #[inline]
    #[target_feature(enable = "avx2,popcnt,bmi1")]
    fn count(&mut self, types: &[u8], mask: u32, by_type: &mut [u32; TABLE]) {
        let vector = load_some(types);
        let equal = |device_type: u8| {
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(vector, _mm256_set1_epi8(device_type as i8))) as u32
        };
        let mut rest = mask;
        for (&known, rows) in self.known.known().iter().zip(&mut self.rows) {
            let same = equal(known) & mask;
            *rows += same.count_ones();
            rest &= !same;
        }
        while rest != 0 {
            let device_type = types[rest.trailing_zeros() as usize];
            let same = equal(device_type) & rest;
            by_type[usize::from(device_type) % TABLE] += same.count_ones();
            self.known.meet(device_type);
            rest &= !same;
        }
    }

    fn finish(&self, by_type: &mut [u32; TABLE]) {
        for (&known, rows) in self.known.known().iter().zip(self.rows) {
            by_type[usize::from(known) % TABLE] += rows;
        }
    }
}
