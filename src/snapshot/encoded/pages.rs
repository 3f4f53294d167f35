//! Page headers, and the walk over the pages of a column chunk.
//!
//! A header is the Thrift struct `PageHeader` (Parquet format, parquet.thrift) in the compact protocol. Unknown fields
//! are skipped, so that headers of newer writers can be read.

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
        /// Number of null values.
        nulls: usize,
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
    /// Any other encoding, which only the reference reader supports.
    Other,
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
    /// Whether the definition levels of a v1 page are hybrid runs (RLE), as all current writers store them.
    pub hybrid_levels: bool,
    /// Length of the body in the file.
    pub compressed: usize,
    /// Length of the body once decompressed.
    pub uncompressed: usize,
    /// CRC-32 of the body as stored, if the writer stored one.
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
        let mut thrift = Thrift { bytes: self.rest, at: 0 };
        let header = thrift.page_header()?;
        let body = self.rest.get(thrift.at..).and_then(|rest| rest.get(..header.compressed));
        let body = body.ok_or_else(|| Damage::corrupt("a page is longer than its column chunk"))?;
        self.rest = &self.rest[thrift.at + header.compressed..];
        Ok(Some((header, body)))
    }
}

/// Reader of the Thrift compact protocol.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Field types of the compact protocol.
mod wire {
    pub const STOP: u8 = 0;
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const I8: u8 = 3;
    pub const I16: u8 = 4;
    pub const I32: u8 = 5;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const UUID: u8 = 13;
}

/// Limit of nesting: deeper than any valid header. It bounds the recursion for malicious input.
const MAX_DEPTH: u8 = 8;

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

impl Thrift<'_> {
    fn page_header(&mut self) -> Result<PageHeader> {
        let (mut page_type, mut uncompressed, mut compressed, mut checksum) = (None, None, None, None);
        let mut found = TypeFields { compressed: true, ..TypeFields::default() };
        self.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, wire::I32) => page_type = Some(thrift.zigzag()?),
                (2, wire::I32) => uncompressed = Some(thrift.zigzag()?),
                (3, wire::I32) => compressed = Some(thrift.zigzag()?),
                // The checksum is unsigned, but Thrift has signed numbers only.
                (4, wire::I32) => checksum = Some(thrift.zigzag()? as u32),
                (5 | 7, wire::STRUCT) => thrift.data_or_dictionary(&mut found)?,
                (8, wire::STRUCT) => thrift.data_v2(&mut found)?,
                _ => thrift.skip(kind, 0)?,
            }
            Ok(())
        })?;
        let kind = match page_type {
            Some(0) => PageKind::Data,
            Some(2) => PageKind::Dictionary,
            Some(3) => PageKind::DataV2 {
                repetition_bytes: length(Some(found.repetition_bytes))?,
                definition_bytes: length(Some(found.definition_bytes))?,
                nulls: length(found.nulls)?,
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
                _ => Encoding::Other,
            },
            hybrid_levels: found.level_encoding == Some(3),
            compressed: length(compressed)?,
            uncompressed: length(uncompressed)?,
            checksum,
        })
    }

    fn data_or_dictionary(&mut self, found: &mut TypeFields) -> Result<()> {
        self.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, wire::I32) => found.values = Some(thrift.zigzag()?),
                (2, wire::I32) => found.encoding = Some(thrift.zigzag()?),
                (3, wire::I32) => found.level_encoding = Some(thrift.zigzag()?),
                _ => thrift.skip(kind, 0)?,
            }
            Ok(())
        })
    }

    fn data_v2(&mut self, found: &mut TypeFields) -> Result<()> {
        self.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, wire::I32) => found.values = Some(thrift.zigzag()?),
                (2, wire::I32) => found.nulls = Some(thrift.zigzag()?),
                (4, wire::I32) => found.encoding = Some(thrift.zigzag()?),
                (5, wire::I32) => found.definition_bytes = thrift.zigzag()?,
                (6, wire::I32) => found.repetition_bytes = thrift.zigzag()?,
                (7, wire::TRUE) => found.compressed = true,
                (7, wire::FALSE) => found.compressed = false,
                _ => thrift.skip(kind, 0)?,
            }
            Ok(())
        })
    }

    /// Calls `field` with the number and type of each field of a struct, until its end.
    fn fields(&mut self, mut field: impl FnMut(&mut Self, i64, u8) -> Result<()>) -> Result<()> {
        let mut id = 0i64;
        loop {
            let byte = self.byte()?;
            let kind = byte & 0x0F;
            if kind == wire::STOP {
                return Ok(());
            }
            id = match byte >> 4 {
                0 => self.zigzag()?,
                delta => id + i64::from(delta),
            };
            field(self, id, kind)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Damage::corrupt("a page header nests too deeply"));
        }
        match kind {
            wire::TRUE | wire::FALSE => Ok(()),
            wire::I8 => self.advance(1),
            wire::I16 | wire::I32 | wire::I64 => self.varint().map(drop),
            wire::DOUBLE => self.advance(8),
            wire::UUID => self.advance(16),
            wire::BINARY => {
                let bytes = self.varint()?;
                self.advance(usize::try_from(bytes).map_err(|_| Damage::corrupt("a page header is too long"))?)
            }
            wire::LIST | wire::SET => {
                let head = self.byte()?;
                let items = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                self.skip_items(items, &[head & 0x0F], depth)
            }
            wire::MAP => match self.varint()? {
                0 => Ok(()),
                items => {
                    let kinds = self.byte()?;
                    self.skip_items(items, &[kinds >> 4, kinds & 0x0F], depth)
                }
            },
            wire::STRUCT => self.fields(|thrift, _, kind| thrift.skip(kind, depth + 1)),
            _ => Err(Damage::corrupt("a page header has a field of an unknown type")),
        }
    }

    fn skip_items(&mut self, items: u64, kinds: &[u8], depth: u8) -> Result<()> {
        for _ in 0..items {
            for &kind in kinds {
                match kind {
                    // In a collection a boolean takes a byte, unlike in a struct. This also bounds the loop.
                    wire::TRUE | wire::FALSE => self.advance(1)?,
                    kind => self.skip(kind, depth + 1)?,
                }
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(ends_early)?;
        self.at += 1;
        Ok(byte)
    }

    fn advance(&mut self, bytes: usize) -> Result<()> {
        let at = self.at.checked_add(bytes).filter(|&at| at <= self.bytes.len()).ok_or_else(ends_early)?;
        self.at = at;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damage::corrupt("a number in a page header is too long"))
    }

    fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

fn ends_early() -> Damage {
    Damage::corrupt("a page header ends early")
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
        assert!(header.hybrid_levels);
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
