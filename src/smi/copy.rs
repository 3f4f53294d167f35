//! Reads binary COPY (PostgreSQL, COPY, Binary Format), and converts times to and from it.
//!
//! Format: a signature, flags and an extension; then for each row a count of fields and for each field its length and
//! bytes, everything big-endian; then a count of -1. Rows are borrowed from the buffer of the connection; the reader of the
//! `postgres` crate makes a value of each field.

use std::io::BufRead;
use std::ops::Range;

use crate::error::{Error, Result};

use super::fault::failed_io;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Microseconds from 1970, our epoch, to 2000, PostgreSQL's epoch.
const EPOCH: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;

/// A timestamp as UTC microseconds since 1970. Values out of range, `infinity` included, become the largest.
pub(super) fn instant(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes).saturating_add(EPOCH)
}

/// UTC microseconds since 1970 as the number that a `timestamptz` is sent as.
pub(super) const fn instant_on_wire(micros: i64) -> i64 {
    micros.saturating_sub(EPOCH)
}

/// Days since 1970 as the number that a `date` is sent as.
pub(super) const fn days_on_wire(days: i32) -> i32 {
    days.saturating_sub(EPOCH_DAYS)
}

/// Reads rows of `N` fields.
pub(super) struct CopyRows<R, const N: usize> {
    reader: R,
    /// Bytes of a row that is not complete yet.
    pending: Vec<u8>,
    /// How many bytes of `pending` have been consumed.
    used: usize,
    begun: bool,
    ended: bool,
}

/// What the available bytes begin with.
enum CopyItem<const N: usize> {
    /// A row, and how many bytes it takes.
    Row([Option<Range<usize>>; N], usize),
    /// The header, of so many bytes.
    Skip(usize),
    /// The end of the rows.
    End,
    /// More bytes are needed.
    More,
}

impl<R: BufRead, const N: usize> CopyRows<R, N> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, pending: Vec::new(), used: 0, begun: false, ended: false }
    }

    /// Calls `take` with the next row; `false` after the last.
    pub(super) fn next_row(&mut self, mut take: impl FnMut([Option<&[u8]>; N])) -> Result<bool> {
        while !self.ended {
            if self.used < self.pending.len() || !self.pending.is_empty() {
                let at = self.used;
                match next_item(&self.pending[at..], self.begun)? {
                    CopyItem::Row(fields, length) => {
                        let bytes = &self.pending[at..];
                        take(fields.map(|field| field.map(|field| &bytes[field])));
                        self.used += length;
                        self.release();
                        return Ok(true);
                    }
                    CopyItem::Skip(length) => {
                        self.begun = true;
                        self.used += length;
                        self.release();
                        continue;
                    }
                    CopyItem::End => self.ended = true,
                    CopyItem::More => {
                        let more = self.reader.fill_buf().map_err(failed_io(READING))?;
                        let length = more.len();
                        self.pending.extend_from_slice(more);
                        self.reader.consume(length);
                        cut_short(length)?;
                    }
                }
                continue;
            }
            let bytes = self.reader.fill_buf().map_err(failed_io(READING))?;
            cut_short(bytes.len())?;
            match next_item(bytes, self.begun)? {
                CopyItem::Row(fields, length) => {
                    take(fields.map(|field| field.map(|field| &bytes[field])));
                    self.reader.consume(length);
                    return Ok(true);
                }
                CopyItem::Skip(length) => {
                    self.begun = true;
                    self.reader.consume(length);
                }
                CopyItem::End => self.ended = true,
                CopyItem::More => {
                    let length = bytes.len();
                    self.pending.extend_from_slice(bytes);
                    self.reader.consume(length);
                }
            }
        }
        // The server reports after the end whether the copy succeeded.
        let rest = self.reader.fill_buf().map_err(failed_io(READING))?.len();
        self.reader.consume(rest);
        Ok(false)
    }

    fn release(&mut self) {
        if self.used == self.pending.len() {
            self.pending.clear();
            self.used = 0;
        }
    }
}

const READING: &str = "cannot read the inventory";

fn cut_short(length: usize) -> Result<()> {
    if length > 0 { Ok(()) } else { Err(damaged("the rows end too early")) }
}

fn damaged(what: &str) -> Error {
    Error::Inventory { what: format!("{READING}: {what}"), remedy: "export again".into() }
}

fn next_item<const N: usize>(bytes: &[u8], begun: bool) -> Result<CopyItem<N>> {
    if !begun {
        let Some(extension) = bytes.get(15..19).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(CopyItem::More);
        };
        if !bytes.starts_with(SIGNATURE) {
            return Err(damaged("not a binary copy"));
        }
        let length = 19 + u32::from_be_bytes(extension) as usize;
        return Ok(if bytes.len() < length { CopyItem::More } else { CopyItem::Skip(length) });
    }
    let Some(count) = bytes.first_chunk().map(|count| i16::from_be_bytes(*count)) else { return Ok(CopyItem::More) };
    if count == -1 {
        return Ok(CopyItem::End);
    }
    if usize::try_from(count) != Ok(N) {
        return Err(damaged("a row with another number of fields"));
    }
    let mut at = 2;
    let mut fields = [const { None }; N];
    for field in &mut fields {
        let Some(length) = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(CopyItem::More);
        };
        at += 4;
        if let Ok(length) = usize::try_from(i32::from_be_bytes(length)) {
            if bytes.len() < at + length {
                return Ok(CopyItem::More);
            }
            *field = Some(at..at + length);
            at += length;
        }
    }
    Ok(CopyItem::Row(fields, at))
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;

    /// Returns at most so many bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let some = self.1.min(buffer.len());
            self.0.read(&mut buffer[..some])
        }
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<[Option<Vec<u8>>; 3]>> {
        let mut rows = CopyRows::<_, 3>::new(BufReader::with_capacity(piece, Trickle(bytes, piece)));
        let mut found = Vec::new();
        while rows.next_row(|row| found.push(row.map(|field| field.map(<[u8]>::to_vec))))? {}
        Ok(found)
    }

    fn encoded(rows: &[[Option<Vec<u8>>; 3]]) -> Vec<u8> {
        let mut bytes = [&SIGNATURE[..], &[0; 8]].concat();
        for row in rows {
            bytes.extend(3i16.to_be_bytes());
            for field in row {
                bytes.extend(field.as_ref().map_or(-1, |field| field.len() as i32).to_be_bytes());
                bytes.extend(field.iter().flatten());
            }
        }
        bytes.extend((-1i16).to_be_bytes());
        bytes
    }

    proptest! {
        #[test]
        fn rows_are_read_however_the_bytes_are_cut(
            rows in prop::collection::vec((any::<i64>(), prop::option::of("[a-z]{0,9}"), any::<bool>()), 0..20),
            piece in 1usize..70,
        ) {
            let rows: Vec<[Option<Vec<u8>>; 3]> = rows.into_iter().map(|(number, text, flag)| {
                [Some(number.to_be_bytes().to_vec()), text.map(String::into_bytes), Some(vec![u8::from(flag)])]
            }).collect();
            let bytes = encoded(&rows);
            prop_assert_eq!(read(&bytes, piece).unwrap(), rows);
            // A copy that is cut short anywhere is an error.
            for end in 0..bytes.len() - 1 {
                prop_assert!(read(&bytes[..end], piece).is_err());
            }
        }
    }

    #[test]
    fn times_are_counted_from_1970() {
        assert_eq!(instant(0i64.to_be_bytes()), 946_684_800_000_000);
        assert_eq!(instant(i64::MAX.to_be_bytes()), i64::MAX);
        assert_eq!((instant_on_wire(EPOCH), days_on_wire(EPOCH_DAYS)), (0, 0));
    }
}
