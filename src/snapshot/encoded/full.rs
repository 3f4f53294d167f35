//! Whether a page has no null, from the first bytes of its definition levels.
//!
//! Some writers store a null count of 0 for pages with nulls. Only the levels say which rows are null. Where all rows have a
//! value, writers store one run, so that a few bytes of the page suffice.

use std::io::Read;

use super::levels::StoredBody;
use super::{Codec, LevelEncoding, PageHeader, PageKind, Run, Runs};

/// Bytes of a page that are unpacked: the length of the levels and one run.
const FIRST_BYTES: usize = 16;

/// Whether the definition levels of a data page are one run of rows that have a value. `false` also where this cannot be
/// seen in the first bytes, or the page is damaged: it must then be read.
#[must_use]
pub fn is_full(header: &PageHeader, body: &[u8], codec: Codec) -> bool {
    let Ok(stored) = StoredBody::of(header, body, codec) else { return false };
    match (header.kind, stored.levels, header.levels) {
        // Some writers omit the levels if no row is null.
        (PageKind::DataV2 { nulls: Some(0), .. }, Some([]), _) => true,
        (_, Some(levels), _) => is_one_run(levels, header.values),
        (_, None, LevelEncoding::Hybrid) => {
            let mut first = [0; FIRST_BYTES];
            let count = unpack_first(stored.codec, stored.packed, &mut first);
            let Some((length, rest)) = first[..count].split_first_chunk::<4>() else { return false };
            rest.get(..u32::from_le_bytes(*length) as usize).is_some_and(|levels| is_one_run(levels, header.values))
        }
        _ => false,
    }
}

fn is_one_run(levels: &[u8], rows: usize) -> bool {
    let run = Runs::new(levels, 1, rows).and_then(|mut runs| runs.next_run());
    matches!(run, Ok(Some(Run::Same { code: 1, len })) if len == rows)
}

/// Decompresses the first bytes of a page, and returns how many; 0 for codecs that are not unpacked in part.
fn unpack_first(codec: Codec, packed: &[u8], into: &mut [u8; FIRST_BYTES]) -> usize {
    match codec {
        Codec::Plain => {
            let count = packed.len().min(FIRST_BYTES);
            into[..count].copy_from_slice(&packed[..count]);
            count
        }
        Codec::Snappy => first_of_snappy(packed, into).unwrap_or_default(),
        Codec::Zstd => first_of_zstd(packed, into).unwrap_or_default(),
        Codec::Gzip | Codec::Brotli | Codec::Lz4Hadoop | Codec::Lz4 => 0,
    }
}

fn first_of_zstd(packed: &[u8], into: &mut [u8; FIRST_BYTES]) -> std::io::Result<usize> {
    let mut stream = zstd::stream::read::Decoder::with_buffer(packed)?;
    // Pages whose window is larger than 8 MiB are read whole.
    stream.window_log_max(23)?;
    let mut count = 0;
    while count < FIRST_BYTES {
        match stream.read(&mut into[count..])? {
            0 => break,
            read => count += read,
        }
    }
    Ok(count)
}

/// Decodes the elements of snappy (google/snappy, format_description.txt) up to the first bytes. `None` if they are damaged.
fn first_of_snappy(packed: &[u8], into: &mut [u8; FIRST_BYTES]) -> Option<usize> {
    // The length of the whole page, seven bits in each byte.
    let mut rest = packed.get(packed.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1..)?;
    let mut count = 0;
    while count < FIRST_BYTES {
        let Some((&tag, after)) = rest.split_first() else { break };
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte));
        let (kind, short) = (tag % 4, usize::from(tag >> 2));
        if kind == 0 {
            let more = short.saturating_sub(59);
            let len = 1 + if more == 0 { short } else { number(after.get(..more)?) };
            let taken = len.min(FIRST_BYTES - count);
            into[count..count + taken].copy_from_slice(after.get(more..more + taken)?);
            count += taken;
            rest = after.get(more.checked_add(len)?..).unwrap_or_default();
            continue;
        }
        let (len, offset, bytes) = match kind {
            1 => ((short & 7) + 4, usize::from(tag >> 5) << 8 | number(after.get(..1)?), 1),
            2 => (short + 1, number(after.get(..2)?), 2),
            _ => (short + 1, number(after.get(..4)?), 4),
        };
        if offset == 0 || offset > count {
            return None;
        }
        for _ in 0..len.min(FIRST_BYTES - count) {
            into[count] = into[count - offset];
            count += 1;
        }
        rest = after.get(bytes..)?;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_bytes_are_those_of_the_page(
            page in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..400),
                prop::collection::vec(0u8..2, 0..400),
                (any::<u8>(), 0usize..70_000).prop_map(|(byte, len)| vec![byte; len]),
            ],
            cut in any::<prop::sample::Index>(),
        ) {
            let expected = &page[..page.len().min(FIRST_BYTES)];
            let snappy = snap::raw::Encoder::new().compress_vec(&page).unwrap();
            let zstd = zstd::bulk::compress(&page, 3).unwrap();
            for (codec, packed) in [(Codec::Plain, &page), (Codec::Snappy, &snappy), (Codec::Zstd, &zstd)] {
                let mut first = [0; FIRST_BYTES];
                let count = unpack_first(codec, packed, &mut first);
                prop_assert_eq!(&first[..count], expected, "{:?}", codec);
                // A page that is cut short is no reason to stop the process.
                let mut first = [0; FIRST_BYTES];
                let count = unpack_first(codec, &packed[..cut.index(packed.len() + 1)], &mut first);
                prop_assert!(expected.starts_with(&first[..count]), "{:?}", codec);
            }
        }
    }
}
