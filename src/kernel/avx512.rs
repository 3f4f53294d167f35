//! The loops with 64 bytes at a time: AVX-512 with byte permutations (VBMI, VBMI2), as on Ice Lake, Zen 4 and later.

#![expect(unsafe_code, reason = "loads and stores of vectors take pointers; each is in a function with a slice")]

use std::arch::x86_64::{
    __m512i, __mmask64, _mm512_and_si512, _mm512_cmpeq_epi8_mask, _mm512_loadu_epi8, _mm512_mask_cmpeq_epi8_mask,
    _mm512_mask_expand_epi8, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_multishift_epi64_epi8,
    _mm512_permutexvar_epi8, _mm512_set1_epi8, _mm512_test_epi8_mask,
};

use super::{KnownTypes, NO_ENTRY, TABLE};

const LANES: usize = 64;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("bmi1")
}

/// The lowest `len` bits, at most 64.
#[inline]
const fn first(len: usize) -> __mmask64 {
    if len >= LANES { u64::MAX } else { (1 << len) - 1 }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(bytes: &[u8; LANES]) -> __m512i {
    // SAFETY: the reference is to 64 bytes.
    unsafe { _mm512_loadu_epi8(bytes.as_ptr().cast()) }
}

/// Up to 64 bytes, then zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_some(bytes: &[u8]) -> __m512i {
    // SAFETY: the mask selects bytes of the slice; bytes that it does not select are not accessed.
    unsafe { _mm512_maskz_loadu_epi8(first(bytes.len()), bytes.as_ptr().cast()) }
}

/// Stores up to 64 bytes: as many as the slice has.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store_some(vector: __m512i, out: &mut [u8]) {
    // SAFETY: the mask selects bytes of the slice; bytes that it does not select are not accessed.
    unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), first(out.len()), vector) }
}

/// How numbers of a width are unpacked.
struct Unpacking {
    /// For each of eight words of 64 bits the bytes that its eight numbers are in.
    bytes: [u8; LANES],
    /// The first bit of each number within its word.
    shifts: [u8; LANES],
}

const UNPACKING: [Unpacking; 7] = {
    let mut all = [const { Unpacking { bytes: [0; LANES], shifts: [0; LANES] } }; 7];
    let mut width = 1;
    while width < all.len() {
        let mut lane = 0;
        while lane < LANES {
            all[width].bytes[lane] = ((lane / 8) * width + lane % 8) as u8 % 64;
            all[width].shifts[lane] = ((lane % 8) * width) as u8;
            lane += 1;
        }
        width += 1;
    }
    all
};

/// 64 numbers are 8 x `width` bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
pub(super) fn map_packed(packed: &[u8], width: u8, table: &[u8; TABLE], out: &mut [u8]) -> bool {
    let width = usize::from(width).min(UNPACKING.len() - 1);
    let Unpacking { bytes, shifts } = &UNPACKING[width];
    let (bytes, shifts, table) = (load(bytes), load(shifts), load(table));
    let (number, no_entry) = (_mm512_set1_epi8((1 << width) - 1), _mm512_set1_epi8(NO_ENTRY as i8));
    let mut missing = 0;
    for (index, out) in out.chunks_mut(LANES).enumerate() {
        let from = packed.get(index * 8 * width..).unwrap_or_default();
        let from = load_some(&from[..from.len().min(LANES)]);
        let words = _mm512_permutexvar_epi8(bytes, from);
        // A permutation looks at the lowest six bits of each number.
        let numbers = _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, words), number);
        let codes = _mm512_permutexvar_epi8(numbers, table);
        missing |= _mm512_cmpeq_epi8_mask(codes, no_entry) & first(out.len());
        store_some(codes, out);
    }
    missing == 0
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
pub(super) fn spread(values: &[u8], present: &[u64], absent: u8, out: &mut [u8]) {
    let empty = _mm512_set1_epi8(absent as i8);
    let mut rest = values;
    for (out, &word) in out.chunks_mut(LANES).zip(present.iter().chain(std::iter::repeat(&0))) {
        let word = word & first(out.len());
        let count = (word.count_ones() as usize).min(rest.len());
        let (here, after) = rest.split_at(count);
        let word = if count < word.count_ones() as usize { lowest_ones(word, count) } else { word };
        store_some(_mm512_mask_expand_epi8(empty, word, load_some(here)), out);
        rest = after;
    }
}

/// The lowest `count` ones of a word.
#[cold]
fn lowest_ones(word: u64, count: usize) -> u64 {
    let mut rest = word;
    (0..count).for_each(|_| rest &= rest.wrapping_sub(1));
    word & !rest
}

#[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1")]
pub(super) fn count_types(types: &[u8], by_type: &mut [u32; TABLE]) {
    let mut counter = Counter::new();
    for types in types.chunks(LANES) {
        counter.count(types, load_some(types), first(types.len()), by_type);
    }
    counter.finish(by_type);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt,bmi1")]
pub(super) fn count_closed(
    (statuses, types): (&[u8], &[u8]),
    closed: &[bool; 16],
    by_type: &mut [u32; TABLE],
    others: &mut Vec<u32>,
) {
    let closed: [u8; LANES] = std::array::from_fn(|status| u8::from(closed[status % 16]));
    let closed = load(&closed);
    let mut counter = Counter::new();
    for (index, (statuses, types)) in statuses.chunks(LANES).zip(types.chunks(LANES)).enumerate() {
        let is_closed = _mm512_permutexvar_epi8(load_some(statuses), closed);
        let rows = first(statuses.len());
        let mask = _mm512_test_epi8_mask(is_closed, is_closed) & rows;
        counter.count(types, load_some(types), mask, by_type);
        let mut rest = !mask & rows;
        while rest != 0 {
            others.push((index * LANES) as u32 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    counter.finish(by_type);
}

/// Counts rows by comparing 64 types with each known type.
struct Counter {
    known: KnownTypes,
    rows: [u32; KnownTypes::MOST],
}

impl Counter {
    const fn new() -> Self {
        Self { known: KnownTypes::new(), rows: [0; KnownTypes::MOST] }
    }

    /// Counts the rows of `mask`. `vector` has the types of `types`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1")]
    fn count(&mut self, types: &[u8], vector: __m512i, mask: __mmask64, by_type: &mut [u32; TABLE]) {
        let mut rest = mask;
        for (&known, rows) in self.known.known().iter().zip(&mut self.rows) {
            let same = _mm512_mask_cmpeq_epi8_mask(mask, vector, _mm512_set1_epi8(known as i8));
            *rows += same.count_ones();
            rest &= !same;
        }
        while rest != 0 {
            let device_type = types[rest.trailing_zeros() as usize];
            let same = _mm512_mask_cmpeq_epi8_mask(rest, vector, _mm512_set1_epi8(device_type as i8));
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
