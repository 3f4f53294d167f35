//! Reads the compact protocol of Thrift, in which Parquet stores footers, page indexes and page headers
//! (apache/thrift, doc/specs/thrift-compact-protocol.md).
//!
//! Input is not trusted. Nothing is recursive, every element of a collection takes at least one byte, and a number of
//! elements is compared with the bytes that are left before anything is done with it. So the work is bounded by the
//! number of bytes, and the depth by [`MAX_DEPTH`].

use super::{Damage, Result};

/// Field types of the compact protocol.
pub mod wire {
    /// The end of a struct.
    pub const STOP: u8 = 0;
    /// A field that is true; in a collection, a boolean.
    pub const TRUE: u8 = 1;
    /// A field that is false; in a collection, a boolean.
    pub const FALSE: u8 = 2;
    /// One byte.
    pub const I8: u8 = 3;
    /// A zigzag varint, as are the next two.
    pub const I16: u8 = 4;
    /// See [`I16`].
    pub const I32: u8 = 5;
    /// See [`I16`].
    pub const I64: u8 = 6;
    /// Eight bytes.
    pub const DOUBLE: u8 = 7;
    /// Bytes after their length.
    pub const BINARY: u8 = 8;
    /// Elements after their type and number.
    pub const LIST: u8 = 9;
    /// As a list.
    pub const SET: u8 = 10;
    /// Pairs after their number and types.
    pub const MAP: u8 = 11;
    /// Fields until [`STOP`].
    pub const STRUCT: u8 = 12;
    /// Sixteen bytes.
    pub const UUID: u8 = 13;
}

/// Limit of nesting in what is skipped: deeper than any footer of a known writer.
pub const MAX_DEPTH: usize = 32;

/// Reads a struct from bytes that may be longer than the struct.
#[derive(Debug, Clone, Copy)]
pub struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The name of the struct in errors, with its article.
    what: &'static str,
}

/// What is left to skip on one level of nesting.
#[derive(Clone, Copy)]
enum Frame {
    Fields,
    /// Elements, whose types alternate; both are the same in a list.
    Items {
        left: u64,
        kinds: [u8; 2],
    },
}

impl<'a> Thrift<'a> {
    /// Begins at the first byte. `what` names the struct in errors, with its article.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    /// Begins at a position that [`position`](Self::position) returned for the same bytes.
    #[must_use]
    pub const fn at(self, position: usize) -> Self {
        Self { at: position, ..self }
    }

    /// Number of bytes that were read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Calls `field` with the number and type of each field of a struct, until its end. `field` reads or skips it.
    ///
    /// # Errors
    /// Bytes that end early, and the errors of `field`.
    pub fn fields(&mut self, mut field: impl FnMut(&mut Self, i64, u8) -> Result<()>) -> Result<()> {
        let mut id = 0i64;
        loop {
            let byte = self.byte()?;
            let kind = byte & 0x0F;
            if kind == wire::STOP {
                return Ok(());
            }
            id = match byte >> 4 {
                0 => self.number()?,
                delta => id.wrapping_add(i64::from(delta)),
            };
            field(self, id, kind)?;
        }
    }

    /// The type and number of the elements of a list that follows.
    ///
    /// # Errors
    /// More elements than bytes that are left.
    pub fn list(&mut self) -> Result<(u8, usize)> {
        let head = self.byte()?;
        let items = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        let items = self.plausible(items)?;
        Ok((head & 0x0F, items as usize))
    }

    /// Calls `item` for each element of a list of structs; a list of another type is skipped.
    ///
    /// # Errors
    /// More elements than bytes that are left, and the errors of `item`.
    pub fn structs(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let before = self.at;
        let (kind, items) = self.list()?;
        if kind != wire::STRUCT {
            self.at = before;
            return self.skip(wire::LIST);
        }
        (0..items).try_for_each(|_| item(self))
    }

    /// The bytes of a binary value or text.
    ///
    /// # Errors
    /// A length beyond the bytes that are left.
    pub fn binary(&mut self) -> Result<&'a [u8]> {
        let len = self.varint()?;
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let found = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| self.ends_early())?;
        self.at += found.len();
        Ok(found)
    }

    /// A number of up to 64 bits, of a field or element of type `I16`, `I32` or `I64`.
    ///
    /// # Errors
    /// A number of more than 64 bits.
    pub fn number(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The next byte.
    ///
    /// # Errors
    /// No byte left.
    pub fn byte(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| self.ends_early())?;
        self.at += 1;
        Ok(byte)
    }

    /// Skips a field of this type.
    ///
    /// # Errors
    /// Bytes that end early, unknown types, and nesting deeper than [`MAX_DEPTH`].
    pub fn skip(&mut self, kind: u8) -> Result<()> {
        let mut frames = [Frame::Fields; MAX_DEPTH];
        let mut depth = 0;
        let mut next = Some(self.skip_value(kind, false)?);
        loop {
            if let Some(Some(frame)) = next {
                *frames.get_mut(depth).ok_or_else(|| self.damage("nests too deeply"))? = frame;
                depth += 1;
            }
            let Some(frame) = frames[..depth].last_mut() else { return Ok(()) };
            next = self.skip_next(frame)?;
            if next.is_none() {
                depth -= 1;
            }
        }
    }

    /// Skips the next element of a frame; `None` at its end, `Some(Some(..))` for what is nested in it.
    #[expect(clippy::option_option, reason = "the end of a frame, and an element with nothing nested in it")]
    fn skip_next(&mut self, frame: &mut Frame) -> Result<Option<Option<Frame>>> {
        let (kind, in_collection) = match frame {
            Frame::Fields => {
                let byte = self.byte()?;
                if byte & 0x0F == wire::STOP {
                    return Ok(None);
                }
                if byte >> 4 == 0 {
                    self.number()?;
                }
                (byte & 0x0F, false)
            }
            Frame::Items { left: 0, .. } => return Ok(None),
            Frame::Items { left, kinds } => {
                *left -= 1;
                kinds.swap(0, 1);
                (kinds[1], true)
            }
        };
        self.skip_value(kind, in_collection).map(Some)
    }

    /// Skips a value, or the head of a value that others are nested in.
    fn skip_value(&mut self, kind: u8, in_collection: bool) -> Result<Option<Frame>> {
        let nested = match kind {
            // In a collection a boolean takes a byte, unlike in a struct.
            wire::TRUE | wire::FALSE if in_collection => return self.advance(1),
            wire::TRUE | wire::FALSE => return Ok(None),
            wire::I8 => return self.advance(1),
            wire::I16 | wire::I32 | wire::I64 => return self.varint().map(|_| None),
            wire::DOUBLE => return self.advance(8),
            wire::UUID => return self.advance(16),
            wire::BINARY => return self.binary().map(|_| None),
            wire::LIST | wire::SET => {
                let (kind, items) = self.list()?;
                Frame::Items { left: items as u64, kinds: [kind; 2] }
            }
            wire::MAP => {
                let pairs = self.varint()?;
                let items = self.plausible(pairs.saturating_mul(2))?;
                let kinds = if items == 0 { 0 } else { self.byte()? };
                Frame::Items { left: items, kinds: [kinds >> 4, kinds & 0x0F] }
            }
            wire::STRUCT => Frame::Fields,
            _ => return Err(self.damage("has a field of an unknown type")),
        };
        Ok(Some(nested))
    }

    /// Checks a number of elements: each takes at least a byte.
    fn plausible(&self, items: u64) -> Result<u64> {
        if items > (self.bytes.len() - self.at) as u64 {
            return Err(self.damage(&format!("claims {items} elements in {} bytes", self.bytes.len() - self.at)));
        }
        Ok(items)
    }

    fn advance(&mut self, bytes: usize) -> Result<Option<Frame>> {
        let at = self.at.checked_add(bytes).filter(|&at| at <= self.bytes.len());
        self.at = at.ok_or_else(|| self.ends_early())?;
        Ok(None)
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
        Err(self.damage("has a number that is too long"))
    }

    /// Damage with this reason, which follows the name of the struct.
    #[must_use]
    pub fn damage(&self, why: &str) -> Damage {
        Damage::corrupt(format!("{} {why}", self.what))
    }

    fn ends_early(&self) -> Damage {
        self.damage("ends early")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_million_booleans_in_four_bytes_are_refused_at_once() {
        let bytes = [0xF1, 0xC0, 0x84, 0x3D];
        let outcome = Thrift::new(&bytes, "the footer").skip(wire::LIST);
        assert_eq!(outcome, Err(Damage::corrupt("the footer claims 1000000 elements in 0 bytes")));
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| [vec![0x1C; depth], vec![0; depth + 1]].concat();
        assert_eq!(Thrift::new(&nested(MAX_DEPTH - 1), "the footer").skip(wire::STRUCT), Ok(()));
        let outcome = Thrift::new(&nested(MAX_DEPTH), "the footer").skip(wire::STRUCT);
        assert_eq!(outcome, Err(Damage::corrupt("the footer nests too deeply")));
        // Lists of lists, too.
        let outcome = Thrift::new(&[0x19; 10_000], "the footer").skip(wire::LIST);
        assert!(outcome.is_err());
    }

    #[test]
    fn maps_are_skipped_by_pairs() {
        // Two pairs of a byte and a text, and a byte after them.
        let bytes = [2, 0x38, 7, 2, b'a', b'b', 8, 0, 9];
        let mut thrift = Thrift::new(&bytes, "the footer");
        thrift.skip(wire::MAP).unwrap();
        assert_eq!(thrift.byte(), Ok(9));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..16) {
            let mut thrift = Thrift::new(&bytes, "the footer");
            let _ = thrift.skip(kind);
            prop_assert!(thrift.position() <= bytes.len());
        }
    }
}
