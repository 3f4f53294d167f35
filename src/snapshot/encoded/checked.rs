//! The pages of a column chunk for the decoders of the `parquet` crate.
//!
//! Page headers are read here, not by the crate: both readers find the same pages, and accept and refuse the same ones.
//! What the crate takes from a page without a check is checked before: the number of values in a dictionary and in a
//! delta encoding, for which it allocates memory, and the number of nulls, which several writers get wrong.

use std::ops::Range;

use bytes::Bytes;
use parquet::basic::Encoding as CrateEncoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as CrateResult};

use super::codec::justify;
use super::levels::{StoredBody, levels_and_values, read_levels};
use super::{Chunk, Codec, Damage, Encoding, LevelEncoding, PageHeader, PageKind, PageWalk, Result, foreign};

/// The pages of one column chunk.
pub struct CheckedPages {
    /// The bytes of the chunk.
    bytes: Bytes,
    codec: Codec,
    optional: bool,
    width: Option<usize>,
    has_dictionary: bool,
    /// Offset of the next page in `bytes`.
    at: usize,
    /// Rows of the chunk that are in pages not passed yet.
    rows_left: usize,
    words: Vec<u64>,
    ranks: Vec<u32>,
}

/// A page whose header was read.
struct NextPage {
    header: PageHeader,
    /// The body in the bytes of the chunk.
    body: Range<usize>,
}

impl CheckedPages {
    /// The pages of a chunk; `bytes` are those of `chunk`, with shared ownership.
    #[must_use]
    pub fn new(chunk: Chunk<'_>, bytes: Bytes) -> Self {
        let Chunk { codec, optional, rows, width, .. } = chunk;
        let (words, ranks) = (Vec::new(), Vec::new());
        Self { bytes, codec, optional, width, has_dictionary: false, at: 0, rows_left: rows, words, ranks }
    }

    /// Reads the header of the next page that has values, and does not pass the page. After the last row there is none.
    fn peek(&mut self) -> Result<Option<NextPage>> {
        while self.rows_left > 0 {
            let rest = &self.bytes[self.at..];
            let mut walk = PageWalk::new(rest);
            let Some((header, body)) = walk.next_page()? else { return Ok(None) };
            let end = self.at + rest.len() - walk.bytes_left();
            if header.kind == PageKind::Other {
                self.at = end;
                continue;
            }
            if header.kind != PageKind::Dictionary && header.values > self.rows_left {
                return Err(Damage::corrupt("the pages have more rows than the row group"));
            }
            return Ok(Some(NextPage { header, body: end - body.len()..end }));
        }
        Ok(None)
    }

    fn pass(&mut self, page: &NextPage) {
        self.at = page.body.end;
        if page.header.kind != PageKind::Dictionary {
            self.rows_left -= page.header.values.min(self.rows_left);
        }
    }

    fn next_page(&mut self) -> Result<Option<Page>> {
        let Some(page) = self.peek()? else { return Ok(None) };
        self.pass(&page);
        let header = page.header;
        let body = self.bytes.slice(page.body);
        header.check(&body)?;
        if header.kind == PageKind::Dictionary {
            return self.dictionary(&header, &body).map(Some);
        }
        self.data(&header, &body).map(Some)
    }

    fn dictionary(&mut self, header: &PageHeader, body: &Bytes) -> Result<Page> {
        let buf = unpack(self.codec, body, header.uncompressed)?;
        if header.values > buf.len() / self.width.unwrap_or(4).max(1) {
            return Err(Damage::corrupt("the dictionary is shorter than its values"));
        }
        self.has_dictionary = true;
        let num_values = header.values as u32;
        Ok(Page::DictionaryPage { buf, num_values, encoding: CrateEncoding::PLAIN, is_sorted: false })
    }

    fn data(&mut self, header: &PageHeader, body: &Bytes) -> Result<Page> {
        let stored = StoredBody::of(header, body, self.codec)?;
        let separate = body.len() - stored.packed.len();
        let unpacked = unpack(stored.codec, &body.slice(separate..), stored.expected)?;
        let (levels, values) = levels_and_values(header, self.optional, stored.levels, &unpacked)?;
        let present = read_levels(levels, header.values, &mut self.words, &mut self.ranks)?.unwrap_or(header.values);
        let encoding = encoding(header, present)?;
        if encoding == CrateEncoding::RLE_DICTIONARY && !self.has_dictionary {
            return Err(Damage::corrupt("codes without a dictionary"));
        }
        check_counts(encoding, values, present)?;
        // Without a value, what follows the levels has no meaning.
        let end = if present == 0 { unpacked.len() - values.len() } else { unpacked.len() };
        let unpacked = unpacked.slice(..end);
        let num_values = header.values as u32;
        let PageKind::DataV2 { repetition_bytes, definition_bytes, .. } = header.kind else {
            let levels = if header.levels == LevelEncoding::BitPacked { BIT_PACKED } else { CrateEncoding::RLE };
            return Ok(Page::DataPage {
                buf: unpacked,
                num_values,
                encoding,
                def_level_encoding: levels,
                rep_level_encoding: CrateEncoding::RLE,
                statistics: None,
            });
        };
        let whole = if separate == 0 { unpacked } else { Bytes::from([&body[..separate], &unpacked].concat()) };
        Ok(Page::DataPageV2 {
            buf: whole,
            num_values,
            encoding,
            num_nulls: num_values - present as u32,
            num_rows: num_values,
            def_levels_byte_len: definition_bytes as u32,
            rep_levels_byte_len: repetition_bytes as u32,
            is_compressed: false,
            statistics: None,
        })
    }
}

#[expect(deprecated, reason = "old files have it")]
const BIT_PACKED: CrateEncoding = CrateEncoding::BIT_PACKED;

/// Decompresses a body, which is shared if it is not compressed.
fn unpack(codec: Codec, packed: &Bytes, expected: usize) -> Result<Bytes> {
    justify(codec, packed.len(), expected)?;
    let unpacked = if codec == Codec::Plain { packed.clone() } else { foreign::unpack(codec, packed, expected)? };
    if unpacked.len() != expected {
        let found = unpacked.len();
        return Err(Damage::corrupt(format!("a page unpacks to {found} bytes where its header says {expected}")));
    }
    Ok(unpacked)
}

/// The encoding of a page with so many values that are not null.
fn encoding(header: &PageHeader, present: usize) -> Result<CrateEncoding> {
    Ok(match header.encoding {
        // Without a value there is nothing to decode, not even the width of codes.
        _ if present == 0 => CrateEncoding::PLAIN,
        Encoding::Plain => CrateEncoding::PLAIN,
        Encoding::Codes => CrateEncoding::RLE_DICTIONARY,
        Encoding::Other(5) => CrateEncoding::DELTA_BINARY_PACKED,
        Encoding::Other(6) => CrateEncoding::DELTA_LENGTH_BYTE_ARRAY,
        Encoding::Other(7) => CrateEncoding::DELTA_BYTE_ARRAY,
        Encoding::Other(9) => CrateEncoding::BYTE_STREAM_SPLIT,
        Encoding::Other(number) => {
            return Err(Damage::corrupt(format!("a page has encoding {number}, which no reader supports")));
        }
    })
}

/// Checks the numbers of values in delta encodings, for which the crate allocates memory.
fn check_counts(encoding: CrateEncoding, values: &[u8], present: usize) -> Result<()> {
    let same = |found: usize| {
        if found == present { Ok(()) } else { Err(Damage::corrupt("a page has another number of values than it says")) }
    };
    match encoding {
        CrateEncoding::DELTA_BINARY_PACKED | CrateEncoding::DELTA_LENGTH_BYTE_ARRAY => same(delta_end(values)?.0),
        CrateEncoding::DELTA_BYTE_ARRAY => {
            let (prefixes, end) = delta_end(values)?;
            same(prefixes)?;
            same(delta_end(values.get(end..).unwrap_or_default())?.0)
        }
        _ => Ok(()),
    }
}

/// Number of values of a DELTA_BINARY_PACKED sequence, and its length in bytes.
fn delta_end(bytes: &[u8]) -> Result<(usize, usize)> {
    let wrong = || Damage::corrupt("a delta-encoded page contradicts itself");
    let mut at = 0;
    let number = |at: &mut usize| {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(*at).ok_or_else(wrong)?;
            *at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| wrong());
            }
        }
        Err(wrong())
    };
    let (block, miniblocks, total) = (number(&mut at)?, number(&mut at)?, number(&mut at)?);
    number(&mut at)?;
    let per_miniblock = block.checked_div(miniblocks).filter(|&values| values > 0).ok_or_else(wrong)?;
    let mut left = total.saturating_sub(1);
    while left > 0 {
        number(&mut at)?;
        let widths = bytes.get(at..).and_then(|rest| rest.get(..miniblocks)).ok_or_else(wrong)?;
        at += miniblocks;
        for &width in widths {
            if left == 0 {
                break;
            }
            at = usize::from(width)
                .checked_mul(per_miniblock)
                .and_then(|bits| at.checked_add(bits / 8))
                .ok_or_else(wrong)?;
            left = left.saturating_sub(per_miniblock);
        }
    }
    Ok((total, at))
}

fn refused(damage: Damage) -> ParquetError {
    ParquetError::General(match damage {
        Damage::Corrupt(what) => what,
        other => other.into_fault().to_string(),
    })
}

impl Iterator for CheckedPages {
    type Item = CrateResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> CrateResult<Option<Page>> {
        self.next_page().map_err(refused)
    }

    fn peek_next_page(&mut self) -> CrateResult<Option<PageMetadata>> {
        let page = self.peek().map_err(refused)?;
        Ok(page.map(|page| {
            let is_dict = page.header.kind == PageKind::Dictionary;
            let rows = (!is_dict).then_some(page.header.values);
            PageMetadata { num_rows: rows, num_levels: rows, is_dict }
        }))
    }

    fn skip_next_page(&mut self) -> CrateResult<()> {
        if let Some(page) = self.peek().map_err(refused)? {
            self.pass(&page);
        }
        Ok(())
    }
}
