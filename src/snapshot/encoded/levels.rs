//! The two parts of a data page: definition levels, which say which rows are null, and values.

use super::{Codec, Damage, LevelEncoding, PageHeader, PageKind, Result, Run, Runs};

/// The body of a data page as it is stored.
#[derive(Debug)]
pub struct StoredBody<'p> {
    /// Definition levels, if they are stored separately: v2 pages store them uncompressed before the values, v1 pages
    /// compress levels and values together.
    pub levels: Option<&'p [u8]>,
    /// The rest of the body.
    pub packed: &'p [u8],
    /// How `packed` is compressed.
    pub codec: Codec,
    /// The decompressed length of `packed`.
    pub expected: usize,
}

impl<'p> StoredBody<'p> {
    /// Splits the body of a data page.
    ///
    /// # Errors
    /// Levels that are longer than the page.
    pub fn of(header: &PageHeader, body: &'p [u8], codec: Codec) -> Result<Self> {
        let (levels, packed, codec) = match header.kind {
            PageKind::DataV2 { repetition_bytes, definition_bytes, compressed, .. } => {
                let (levels, packed) =
                    body.split_at_checked(repetition_bytes + definition_bytes).ok_or_else(levels_too_long)?;
                let codec = if compressed && !packed.is_empty() { codec } else { Codec::Plain };
                (Some(&levels[repetition_bytes..]), packed, codec)
            }
            _ => (None, body, codec),
        };
        let expected = header.uncompressed.checked_sub(body.len() - packed.len()).ok_or_else(levels_too_long)?;
        Ok(Self { levels, packed, codec, expected })
    }
}

/// Definition levels of a page, as they are stored.
#[derive(Debug, Clone, Copy)]
pub enum StoredLevels<'p> {
    /// There are none: every row has a value.
    None,
    /// Hybrid runs.
    Hybrid(&'p [u8]),
    /// One bit for each row, in the deprecated BIT_PACKED encoding.
    Packed(&'p [u8]),
}

/// Splits a decompressed page into definition levels, if it has any, and values.
///
/// # Errors
/// Levels that are longer than the page, or in an encoding that the format does not allow.
pub fn levels_and_values<'p>(
    header: &PageHeader,
    optional: bool,
    separate_levels: Option<&'p [u8]>,
    unpacked: &'p [u8],
) -> Result<(StoredLevels<'p>, &'p [u8])> {
    Ok(match (header.kind, separate_levels, header.levels) {
        _ if !optional => (StoredLevels::None, unpacked),
        // Some writers omit the levels if no row is null.
        (PageKind::DataV2 { nulls: Some(0), .. }, Some([]), _) => (StoredLevels::None, unpacked),
        (_, Some(levels), _) => (StoredLevels::Hybrid(levels), unpacked),
        (_, None, LevelEncoding::Hybrid) => {
            let (length, rest) = unpacked.split_first_chunk::<4>().ok_or_else(levels_too_long)?;
            let (levels, values) =
                rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(levels_too_long)?;
            (StoredLevels::Hybrid(levels), values)
        }
        (_, None, LevelEncoding::BitPacked) => {
            let (levels, values) = unpacked.split_at_checked(header.values.div_ceil(8)).ok_or_else(levels_too_long)?;
            (StoredLevels::Packed(levels), values)
        }
        (_, None, LevelEncoding::Unknown) => {
            return Err(Damage::corrupt("a page does not say how its definition levels are encoded"));
        }
    })
}

fn levels_too_long() -> Damage {
    Damage::corrupt("the levels of a page are longer than the page")
}

/// Decodes definition levels into a bitmap with ranks. Returns the number of rows that have a value; `None` if all have
/// one.
///
/// # Errors
/// Levels that end early, other levels than 0 and 1, and BIT_PACKED levels that do not say with certainty which rows are
/// null: the format packs them from the most significant bit, and several writers and readers from the least.
pub fn read_levels(
    levels: StoredLevels<'_>,
    rows: usize,
    words: &mut Vec<u64>,
    ranks: &mut Vec<u32>,
) -> Result<Option<usize>> {
    match levels {
        StoredLevels::None => return Ok(None),
        StoredLevels::Hybrid(levels) => {
            if hybrid_bits(levels, rows, words)? {
                return Ok(None);
            }
        }
        StoredLevels::Packed(levels) => packed_bits(levels, rows, words)?,
    }
    ranks.clear();
    let mut total = 0u32;
    for word in words.iter() {
        ranks.push(total);
        total += word.count_ones();
    }
    Ok((total as usize != rows).then_some(total as usize))
}

fn clear(words: &mut Vec<u64>, rows: usize) {
    words.clear();
    words.resize(rows.div_ceil(64), 0);
}

/// Decodes hybrid runs; returns `true`, without bits, if all rows have a value in one run.
fn hybrid_bits(levels: &[u8], rows: usize, words: &mut Vec<u64>) -> Result<bool> {
    let mut runs = Runs::new(levels, 1, rows)?;
    let (mut at, mut first) = (0, true);
    while let Some(run) = runs.next_run()? {
        if std::mem::take(&mut first) {
            if matches!(run, Run::Same { code: 1, len } if len == rows) {
                return Ok(true);
            }
            clear(words, rows);
        }
        match run {
            Run::Same { code: 0, .. } => {}
            Run::Same { code: 1, len } => set_bits(words, at, len),
            Run::Same { code, .. } => return Err(Damage::corrupt(format!("a definition level of {code}"))),
            Run::Packed { bytes, len } => copy_bits(words, at, bytes, len),
        }
        at += run.len();
    }
    if first {
        clear(words, rows);
    }
    Ok(false)
}

/// Decodes BIT_PACKED levels, if both orders of bits give the same rows.
fn packed_bits(levels: &[u8], rows: usize, words: &mut Vec<u64>) -> Result<()> {
    clear(words, rows);
    copy_bits(words, 0, levels, rows);
    let bit = |row: usize| levels.get(row / 8).is_some_and(|byte| byte >> (7 - row % 8) & 1 == 1);
    if (0..rows).any(|row| (words[row / 64] >> (row % 64) & 1 == 1) != bit(row)) {
        return Err(Damage::corrupt(
            "its definition levels are in the deprecated BIT_PACKED encoding, whose order of bits is not certain; which \
             rows are null is unknown",
        ));
    }
    Ok(())
}

/// Sets `len` bits, from bit `at` on.
fn set_bits(words: &mut [u64], mut at: usize, len: usize) {
    let end = at + len;
    while at < end {
        let here = (64 - at % 64).min(end - at);
        words[at / 64] |= (u64::MAX >> (64 - here)) << (at % 64);
        at += here;
    }
}

/// Copies the first `len` bits of `bytes` to bit `at`, where all bits must be zero.
fn copy_bits(words: &mut [u64], at: usize, bytes: &[u8], len: usize) {
    let mut done = 0;
    while done < len {
        let here = (len - done).min(32);
        let bits = u64::from(super::code_at(bytes, 32, done / 32)) & (u64::MAX >> (64 - here));
        let (word, bit) = ((at + done) / 64, (at + done) % 64);
        words[word] |= bits << bit;
        if bit + here > 64 {
            words[word + 1] |= bits >> (64 - bit);
        }
        done += here;
    }
}
