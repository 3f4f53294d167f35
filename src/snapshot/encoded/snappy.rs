//! Snappy decompression, one page at a time or two pages interleaved.
//!
//! In the most common layout, a sweep spends most of its time on columns of identifiers as text: short literals and
//! short copies (format: google/snappy, format_description.txt). Each element must be decoded before the start of the
//! next is known; interleaving two independent pages hides this latency. Within a page there are no unpredictable
//! branches: every element copies sixteen bytes regardless of its length, and the next element overwrites the excess.
//!
//! For that, output and input are in one buffer, the input after the output with a gap between them. An element is then
//! a copy within one buffer, and one comparison checks source and destination against its end. No length in the input
//! is trusted. Besides `mapping.rs`, this is the only file with `unsafe`.

#![expect(unsafe_code, reason = "measured: bound checks on every element cost a quarter of the time of a whole sweep")]
#![expect(
    clippy::inline_always,
    clippy::needless_bitwise_bool,
    reason = "measured: nearly all time is spent in this loop"
)]

use std::hint::select_unpredictable;

use super::{Damage, Result};

/// Bytes between output and input, and after the input: the most that an element copies or reads beyond its end.
pub(super) const GAP: usize = 64;

/// Decompresses `packed` into the beginning of `buffer`, which grows as needed and never shrinks.
///
/// # Errors
/// Bytes that are not snappy, or do not unpack to exactly `expected` bytes.
pub fn unpack(packed: &[u8], expected: usize, buffer: &mut Vec<u8>) -> Result<()> {
    Elements::begin(packed, expected, buffer)?.rest(expected)
}

/// A page to be decompressed: its bytes, the length it unpacks to, and where to.
pub type UnpackTask<'t> = (&'t [u8], usize, &'t mut Vec<u8>);

/// Decompresses two pages interleaved, each as [`unpack`] does.
///
/// # Errors
/// As [`unpack`], for each page separately: a damaged page does not affect the other.
pub fn unpack_two(first: UnpackTask<'_>, second: UnpackTask<'_>) -> (Result<()>, Result<()>) {
    let (packed_one, expected_one, into_one) = first;
    let (packed_other, expected_other, into_other) = second;
    let mut one = match Elements::begin(packed_one, expected_one, into_one) {
        Ok(one) => one,
        Err(damage) => return (Err(damage), unpack(packed_other, expected_other, into_other)),
    };
    let mut other = match Elements::begin(packed_other, expected_other, into_other) {
        Ok(other) => other,
        Err(damage) => return (one.rest(expected_one), Err(damage)),
    };
    // An invalid page stops here; `rest` then reports it.
    while one.more() & other.more() {
        if !(one.step() & other.step()) {
            break;
        }
    }
    (one.rest(expected_one), other.rest(expected_other))
}

/// How an element is decoded, by its first byte.
#[derive(Clone, Copy)]
struct Tag {
    /// Bytes of output.
    len: u8,
    /// Bytes of input, tag included.
    advance: u8,
    /// Whether this is a literal, whose bytes follow the tag, or a copy of earlier output.
    literal: bool,
    /// Copies with an offset below this overlap their own output and take the slow path; rare elements always do.
    nearest: u8,
    /// Which bits of the two bytes after the tag belong to the offset.
    mask: u16,
    /// The bits of the offset that are in the tag.
    high: u16,
}

const TAGS: [Tag; 256] = {
    let rare = Tag { len: 0, advance: 0, literal: false, nearest: 1, mask: 0, high: 0 };
    let mut tags = [rare; 256];
    let mut tag = 0;
    while tag < 256 {
        let code = (tag >> 2) as u8;
        tags[tag] = match tag & 3 {
            0 if code < 60 => {
                Tag { len: code + 1, advance: code + 2, literal: true, nearest: 1, mask: 0, high: u16::MAX }
            }
            1 => {
                let (len, high) = (4 + (code & 7), (tag as u16 >> 5) << 8);
                Tag { len, advance: 2, literal: false, nearest: len, mask: 0xFF, high }
            }
            2 => {
                let len = code + 1;
                let nearest = if len < 16 { len } else { 16 };
                Tag { len, advance: 3, literal: false, nearest, mask: 0xFFFF, high: 0 }
            }
            _ => rare,
        };
        tag += 1;
    }
    tags
};

/// The elements of a page, and how far they are decoded.
///
/// The state is small, so that the state of two pages fits into registers. An element that is too long is not detected
/// at once: it cannot leave the buffer, and [`rest`](Self::rest) checks that input and output end at the same time.
struct Elements<'b> {
    /// Output, gap, input, gap.
    buffer: &'b mut [u8],
    /// Where the next element begins.
    input: usize,
    /// Where the next byte goes.
    output: usize,
}

impl<'b> Elements<'b> {
    fn begin(packed: &[u8], expected: usize, buffer: &'b mut Vec<u8>) -> Result<Self> {
        let (claimed, elements) = preamble(packed)?;
        if claimed != expected as u64 {
            return Err(Damage::corrupt(format!("a page unpacks to {claimed} bytes where its header says {expected}")));
        }
        let input = expected + GAP;
        let input_end = input + elements.len();
        let needed = input_end + GAP;
        if buffer.len() < needed {
            let more = needed - buffer.len();
            buffer.try_reserve(more).map_err(|_| Damage::corrupt("a page is larger than memory"))?;
            buffer.resize(needed, 0);
        }
        let buffer = &mut buffer[..needed];
        buffer[input..input_end].copy_from_slice(elements);
        Ok(Self { buffer, input, output: 0 })
    }

    #[inline(always)]
    const fn more(&self) -> bool {
        self.input + GAP < self.buffer.len()
    }

    fn rest(mut self, expected: usize) -> Result<()> {
        while self.more() && self.step() {}
        let whole = self.output == expected && self.input + GAP == self.buffer.len();
        if whole { Ok(()) } else { Err(Damage::corrupt("a snappy page contradicts itself")) }
    }

    /// Decodes one element; returns `false` and leaves the state unchanged if it is invalid. Requires
    /// [`more`](Self::more).
    #[inline(always)]
    fn step(&mut self) -> bool {
        let [byte, b1, b2] = self.read::<3>(self.input);
        let tag = &TAGS[usize::from(byte)];
        let len = usize::from(tag.len);
        let offset = usize::from((u16::from_le_bytes([b1, b2]) & tag.mask) | tag.high);
        if offset < usize::from(tag.nearest) {
            return self.rare_step(byte, offset, len);
        }
        // An offset before the first byte of output wraps around to a position beyond the buffer, which is refused
        // below.
        let from = select_unpredictable(tag.literal, self.input + 1, self.output.wrapping_sub(offset));
        let last = self.buffer.len() - GAP;
        if (from > last) | (self.output > last) {
            return false;
        }
        self.write(self.output, self.read::<16>(from));
        if len > 16 {
            for at in [16, 32, 48] {
                self.write(self.output + at, self.read::<16>(from + at));
            }
        }
        self.input += usize::from(tag.advance);
        self.output += len;
        true
    }

    /// Reads bytes that begin at most [`GAP`] bytes before the end of the buffer, and end within it.
    #[inline(always)]
    fn read<const N: usize>(&self, from: usize) -> [u8; N] {
        debug_assert!(from + N <= self.buffer.len());
        // SAFETY: `step` is the only caller. It reads three bytes at `input`, after which a gap follows, as `more` has
        // checked; and up to 64 bytes in pieces from a position that it has just checked against the buffer's end less
        // the gap.
        unsafe { self.buffer.as_ptr().add(from).cast::<[u8; N]>().read_unaligned() }
    }

    /// Writes bytes that begin at most [`GAP`] bytes before the end of the buffer, and end within it.
    #[inline(always)]
    fn write<const N: usize>(&mut self, to: usize, bytes: [u8; N]) {
        debug_assert!(to + N <= self.buffer.len());
        // SAFETY: as for `read`: `step` has checked the position against the buffer's end less the gap of 64 bytes, and
        // writes at most that many bytes from it on.
        unsafe { self.buffer.as_mut_ptr().add(to).cast::<[u8; N]>().write_unaligned(bytes) }
    }

    /// A long literal, a copy with a four-byte offset, or a copy that overlaps its own output.
    #[cold]
    #[inline(never)]
    fn rare_step(&mut self, tag: u8, offset: usize, len: usize) -> bool {
        let code = usize::from(tag >> 2);
        let Some(word) = self.buffer.get(self.input + 1..).and_then(<[u8]>::first_chunk::<4>) else { return false };
        let word = u32::from_le_bytes(*word);
        match tag & 3 {
            0 => {
                let width = code.saturating_sub(59).max(1);
                let len = (word & (u32::MAX >> (32 - 8 * width))) as usize + 1;
                let from = self.input + 1 + width;
                let end = from.saturating_add(len);
                if end + GAP > self.buffer.len() || self.output + len > from {
                    return false;
                }
                self.buffer.copy_within(from..end, self.output);
                self.output += len;
                self.input = end;
                true
            }
            3 => self.pattern(word as usize, code + 1, 5),
            kind => self.pattern(offset, len, usize::from(kind) + 1),
        }
    }

    /// A copy that may overlap its own output.
    fn pattern(&mut self, offset: usize, len: usize, advance: usize) -> bool {
        let end = self.output + len;
        if offset == 0 || offset > self.output || end > self.buffer.len() {
            return false;
        }
        for to in self.output..end {
            self.buffer[to] = self.buffer[to - offset];
        }
        self.input += advance;
        self.output = end;
        true
    }
}

fn preamble(packed: &[u8]) -> Result<(u64, &[u8])> {
    let mut len = 0u64;
    for (index, &byte) in packed.iter().enumerate().take(5) {
        len |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Ok((len, &packed[index + 1..]));
        }
    }
    Err(Damage::corrupt("a snappy page without a length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text like that of identifier columns, bytes that do not compress, and repeated bytes.
    fn contents() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u32>(), 0..2000).prop_map(|ids| {
                ids.iter()
                    .flat_map(|id| {
                        let [a, b, c, d] = id.to_be_bytes();
                        format!("\x17\0\0\000-DB-12-{a:02X}-{b:02X}-{c:02X}-{d:02X}-0A").into_bytes()
                    })
                    .collect()
            }),
            prop::collection::vec(any::<u8>(), 0..5000),
            (any::<u8>(), 0usize..5000).prop_map(|(byte, len)| vec![byte; len]),
            prop::collection::vec(0u8..3, 0..5000),
        ]
    }

    fn theirs(packed: &[u8], expected: usize) -> Option<Vec<u8>> {
        (snap::raw::decompress_len(packed).ok()? == expected).then_some(())?;
        snap::raw::Decoder::new().decompress_vec(packed).ok()
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(one in contents(), other in contents()) {
            let pack = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
            let (packed_one, packed_other) = (pack(&one), pack(&other));
            let (mut a, mut b) = (Vec::new(), vec![0xEE; 100]);
            let outcome = unpack_two((&packed_one, one.len(), &mut a), (&packed_other, other.len(), &mut b));
            prop_assert_eq!(outcome, (Ok(()), Ok(())));
            prop_assert_eq!(&a[..one.len()], &one[..]);
            prop_assert_eq!(&b[..other.len()], &other[..]);
            unpack(&packed_one, one.len(), &mut b).unwrap();
            prop_assert_eq!(&b[..one.len()], &one[..]);
        }

        /// Other input gives the same bytes as the `snap` crate.
        #[test]
        fn damage_is_refused_where_the_snap_crate_refuses_it(
            content in contents(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut packed = snap::raw::Encoder::new().compress_vec(&content).unwrap();
            for (index, flip) in flips {
                let at = index.index(packed.len());
                packed[at] ^= flip;
            }
            for packed in [&packed[..], &packed[..cut.index(packed.len() + 1)]] {
                let mut ours = Vec::new();
                let outcome = unpack(packed, content.len(), &mut ours);
                let theirs = theirs(packed, content.len());
                prop_assert_eq!(outcome.is_ok(), theirs.is_some());
                if let Some(theirs) = theirs {
                    prop_assert_eq!(&ours[..content.len()], &theirs[..]);
                }
                let (mut a, mut b) = (Vec::new(), Vec::new());
                let (of_one, of_other) = unpack_two((packed, content.len(), &mut a), (packed, content.len(), &mut b));
                prop_assert_eq!(of_one.is_ok(), outcome.is_ok());
                prop_assert_eq!(of_other.is_ok(), outcome.is_ok());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), expected in 0usize..300) {
            let mut out = Vec::new();
            prop_assert_eq!(unpack(&bytes, expected, &mut out).is_ok(), theirs(&bytes, expected).is_some());
        }
    }
}
