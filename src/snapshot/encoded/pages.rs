//! Page headers, and the walk over the pages of a column chunk.
//!
//! A header is the Thrift struct `PageHeader` (Parquet format, parquet.thrift) in the compact protocol. Unknown fields
//! are skipped, so that headers of newer writers can be read.

use super::thrift::{Thrift, wire};
use super::{Damage, Result};

/// The type of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// Values of the dictionary.
    Dictionary,
    /// Rows of a v1 page: levels and values are compressed together.
    Data,
    /// Rows of a v2 page: levels are stored before the values, uncompressed.
    DataV2 {
        /// Bytes of the repetition levels.
        repetition_bytes: usize,
        /// Bytes of the definition levels.
        definition_bytes: usize,
        /// Number of null values, as the header says. Several writers store another number, so that only the levels
        /// tell which rows are null.
        nulls: Option<i64>,
        /// Whether the values are compressed.
        compressed: bool,
    },
    /// Anything else: skipped.
    Other,
}

/// How the values of a page are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One value after the other.
    Plain,
    /// Codes into the dictionary, as hybrid runs.
    Codes,
    /// Any other encoding, by its number in the format; only the reference reader supports some.
    Other(i64),
}

/// How the definition levels of a v1 page are encoded. Those of a v2 page are hybrid runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelEncoding {
    /// Hybrid runs (RLE), after their length.
    Hybrid,
    /// The deprecated BIT_PACKED: one bit for each row, without a length.
    BitPacked,
    /// Another number, or none.
    Unknown,
}

/// The header of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHeader {
    /// The type of the page.
    pub kind: PageKind,
    /// Number of values, nulls included.
    pub values: usize,
    /// How they are encoded.
    pub encoding: Encoding,
    /// How the definition levels are encoded; of no meaning where no row can be null.
    pub levels: LevelEncoding,
    /// Length of the body in the file.
    pub compressed: usize,
    /// Length of the body once decompressed.
    pub uncompressed: usize,
    /// CRC-32 of the body as stored, if the writer stored one other than 0.
    pub checksum: Option<u32>,
}

impl PageHeader {
    /// Compares the body, as stored, with its checksum, if there is one.
    ///
    /// # Errors
    /// A body that differs from its checksum.
    #[inline]
    pub fn check(&self, body: &[u8]) -> Result<()> {
        match self.checksum {
            Some(checksum) if crc32fast::hash(body) != checksum => {
                Err(Damage::corrupt("a page differs from its checksum"))
            }
            _ => Ok(()),
        }
    }
}

/// Walks over the pages of a chunk without decompressing any.
#[derive(Debug, Clone)]
pub struct PageWalk<'a> {
    rest: &'a [u8],
}

impl<'a> PageWalk<'a> {
    /// Begins at the first page of the chunk's bytes.
    #[must_use]
    pub const fn new(chunk: &'a [u8]) -> Self {
        Self { rest: chunk }
    }

    /// Bytes of the chunk after the page that was returned last.
    #[must_use]
    pub const fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    /// The next page: its header and its body as stored. `None` at the end of the chunk.
    ///
    /// # Errors
    /// A header that does not parse, or a body that is longer than the chunk.
    pub fn next_page(&mut self) -> Result<Option<(PageHeader, &'a [u8])>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut thrift = Thrift::new(self.rest, "a page header");
        let header = page_header(&mut thrift)?;
        let body = self.rest.get(thrift.position()..).and_then(|rest| rest.get(..header.compressed));
        let body = body.ok_or_else(|| Damage::corrupt("a page is longer than its column chunk"))?;
        self.rest = &self.rest[thrift.position() + header.compressed..];
        Ok(Some((header, body)))
    }
}

/// The fields of the type-specific part of a page header.
#[derive(Default)]
struct TypeFields {
    values: Option<i64>,
    nulls: Option<i64>,
    encoding: Option<i64>,
    level_encoding: Option<i64>,
    definition_bytes: i64,
    repetition_bytes: i64,
    compressed: bool,
}

fn page_header(thrift: &mut Thrift<'_>) -> Result<PageHeader> {
    let (mut page_type, mut uncompressed, mut compressed, mut checksum) = (None, None, None, None);
    let mut found = TypeFields { compressed: true, ..TypeFields::default() };
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, wire::I32) => page_type = Some(thrift.number()?),
            (2, wire::I32) => uncompressed = Some(thrift.number()?),
            (3, wire::I32) => compressed = Some(thrift.number()?),
            // The checksum is unsigned, but Thrift has signed numbers only. Some writers store 0 for none.
            (4, wire::I32) => checksum = Some(thrift.number()? as u32).filter(|&checksum| checksum != 0),
            (5 | 7, wire::STRUCT) => data_or_dictionary(thrift, &mut found)?,
            (8, wire::STRUCT) => data_v2(thrift, &mut found)?,
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    let kind = match page_type {
        Some(0) => PageKind::Data,
        Some(2) => PageKind::Dictionary,
        Some(3) => PageKind::DataV2 {
            repetition_bytes: length(Some(found.repetition_bytes))?,
            definition_bytes: length(Some(found.definition_bytes))?,
            nulls: found.nulls,
            compressed: found.compressed,
        },
        Some(_) => PageKind::Other,
        None => return Err(Damage::corrupt("a page header without a page type")),
    };
    let values = if kind == PageKind::Other { 0 } else { length(found.values)? };
    Ok(PageHeader {
        kind,
        values,
        encoding: match found.encoding {
            Some(0) => Encoding::Plain,
            // PLAIN_DICTIONARY, the older number, means plain values in a dictionary page.
            Some(2) if kind == PageKind::Dictionary => Encoding::Plain,
            Some(2 | 8) => Encoding::Codes,
            other => Encoding::Other(other.unwrap_or(-1)),
        },
        levels: match found.level_encoding {
            Some(3) => LevelEncoding::Hybrid,
            Some(4) => LevelEncoding::BitPacked,
            _ => LevelEncoding::Unknown,
        },
        compressed: length(compressed)?,
        uncompressed: length(uncompressed)?,
        checksum,
    })
}

fn data_or_dictionary(thrift: &mut Thrift<'_>, found: &mut TypeFields) -> Result<()> {
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, wire::I32) => found.values = Some(thrift.number()?),
            (2, wire::I32) => found.encoding = Some(thrift.number()?),
            (3, wire::I32) => found.level_encoding = Some(thrift.number()?),
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })
}

fn data_v2(thrift: &mut Thrift<'_>, found: &mut TypeFields) -> Result<()> {
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, wire::I32) => found.values = Some(thrift.number()?),
            (2, wire::I32) => found.nulls = Some(thrift.number()?),
            (4, wire::I32) => found.encoding = Some(thrift.number()?),
            (5, wire::I32) => found.definition_bytes = thrift.number()?,
            (6, wire::I32) => found.repetition_bytes = thrift.number()?,
            (7, wire::TRUE) => found.compressed = true,
            (7, wire::FALSE) => found.compressed = false,
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })
}

fn length(value: Option<i64>) -> Result<usize> {
    value
        .and_then(|value| i32::try_from(value).ok())
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| Damage::corrupt("a page header lacks a length, or has one that is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `DATA_PAGE`, 100 bytes stored, 200 unpacked, 50 values, codes, hybrid levels, as writers store it.
    const HEADER: [u8; 17] = [0x15, 0, 0x15, 0x90, 3, 0x15, 0xC8, 1, 0x2C, 0x15, 100, 0x15, 16, 0x15, 6, 0x15, 6];

    fn page(body: usize) -> Vec<u8> {
        let mut page = HEADER.to_vec();
        page.extend([0, 0]);
        page.resize(page.len() + body, 7);
        page
    }

    #[test]
    fn a_page_is_found_with_its_body() {
        let bytes = page(100);
        let mut walk = PageWalk::new(&bytes);
        let (header, body) = walk.next_page().unwrap().unwrap();
        assert_eq!(header.kind, PageKind::Data);
        assert_eq!((header.values, header.uncompressed, body.len()), (50, 200, 100));
        assert_eq!(header.encoding, Encoding::Codes);
        assert_eq!(header.levels, LevelEncoding::Hybrid);
        assert!(walk.next_page().unwrap().is_none());
    }

    #[test]
    fn a_page_that_differs_from_its_checksum_is_damage() {
        let body = [7u8; 100];
        let mut bytes = HEADER[..8].to_vec();
        let zigzag = |value: i32| ((value << 1) ^ (value >> 31)).cast_unsigned();
        bytes.push(0x15);
        let mut rest = zigzag(crc32fast::hash(&body).cast_signed());
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes.extend([0x1C, 0x15, 100, 0x15, 16, 0x15, 6, 0x15, 6, 0, 0]);
        bytes.extend(body);
        let (header, found) = PageWalk::new(&bytes).next_page().unwrap().unwrap();
        assert_eq!((header.values, header.checksum), (50, Some(crc32fast::hash(&body))));
        assert!(header.check(found).is_ok());
        *bytes.last_mut().unwrap() ^= 1;
        let (header, found) = PageWalk::new(&bytes).next_page().unwrap().unwrap();
        assert!(header.check(found).is_err());
    }

    #[test]
    fn every_cut_is_damage_and_no_panic() {
        let bytes = page(100);
        for end in 1..bytes.len() {
            assert!(PageWalk::new(&bytes[..end]).next_page().is_err(), "cut at {end}");
        }
    }
}
