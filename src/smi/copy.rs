//! Binary COPY: rows as they come from the server, and as they go to it.
//!
//! Format: a signature, flags and an extension; then for each row a count of fields and for each field its length and
//! bytes, everything big-endian; then a count of -1.

use std::io::{BufRead, Write};
use std::ops::Range;

use crate::error::{Error, Result};

use super::fault::failed_io;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Microseconds between 1970, which we count from, and 2000, which PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;
/// Days between the two.
const EPOCH_DAYS: i32 = 10_957;

/// A timestamp as UTC microseconds since 1970. What lies beyond our range, `infinity` included, becomes its end.
pub(super) fn instant(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes).saturating_add(EPOCH)
}

/// Reads rows of `N` fields.
pub(super) struct CopyRows<R, const N: usize> {
    reader: R,
    /// Bytes of a row that has not come whole yet.
    pending: Vec<u8>,
    /// How many bytes of `pending` are done with.
    used: usize,
    begun: bool,
    ended: bool,
}

/// What the bytes at hand come to.
enum Step<const N: usize> {
    /// A row, and how many bytes it takes.
    Row([Option<Range<usize>>; N], usize),
    /// The header, or nothing yet, of so many bytes.
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

    /// Hands the next row to `take`; `false` after the last.
    pub(super) fn next_row(&mut self, mut take: impl FnMut([Option<&[u8]>; N])) -> Result<bool> {
        while !self.ended {
            if self.used < self.pending.len() || !self.pending.is_empty() {
                let at = self.used;
                match step(&self.pending[at..], self.begun)? {
                    Step::Row(fields, length) => {
                        let bytes = &self.pending[at..];
                        take(fields.map(|field| field.map(|field| &bytes[field])));
                        self.used += length;
                        self.tidy();
                        return Ok(true);
                    }
                    Step::Skip(length) => {
                        self.begun = true;
                        self.used += length;
                        self.tidy();
                        continue;
                    }
                    Step::End => self.ended = true,
                    Step::More => {
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
            match step(bytes, self.begun)? {
                Step::Row(fields, length) => {
                    take(fields.map(|field| field.map(|field| &bytes[field])));
                    self.reader.consume(length);
                    return Ok(true);
                }
                Step::Skip(length) => {
                    self.begun = true;
                    self.reader.consume(length);
                }
                Step::End => self.ended = true,
                Step::More => {
                    let length = bytes.len();
                    self.pending.extend_from_slice(bytes);
                    self.reader.consume(length);
                }
            }
        }
        // What follows the end is the server's word that all went well.
        let rest = self.reader.fill_buf().map_err(failed_io(READING))?.len();
        self.reader.consume(rest);
        Ok(false)
    }

    fn tidy(&mut self) {
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

fn step<const N: usize>(bytes: &[u8], begun: bool) -> Result<Step<N>> {
    if !begun {
        let Some(extension) = bytes.get(15..19).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(Step::More);
        };
        if !bytes.starts_with(SIGNATURE) {
            return Err(damaged("not a binary copy"));
        }
        let length = 19 + u32::from_be_bytes(extension) as usize;
        return Ok(if bytes.len() < length { Step::More } else { Step::Skip(length) });
    }
    let Some(count) = bytes.first_chunk().map(|count| i16::from_be_bytes(*count)) else { return Ok(Step::More) };
    if count == -1 {
        return Ok(Step::End);
    }
    if usize::try_from(count) != Ok(N) {
        return Err(damaged("a row with another number of fields"));
    }
    let mut at = 2;
    let mut fields = [const { None }; N];
    for field in &mut fields {
        let Some(length) = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(Step::More);
        };
        at += 4;
        if let Ok(length) = usize::try_from(i32::from_be_bytes(length)) {
            if bytes.len() < at + length {
                return Ok(Step::More);
            }
            *field = Some(at..at + length);
            at += length;
        }
    }
    Ok(Step::Row(fields, at))
}

/// Writes rows, gathered into pieces.
pub(super) struct CopyWriter<W> {
    writer: W,
    gathered: Vec<u8>,
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Bytes(&'a [u8]),
    Integer(i64),
    Instant(i64),
    Day(i32),
    Flag(bool),
}

const PIECE: usize = 64 * 1024;

impl<W: Write> CopyWriter<W> {
    pub(super) fn new(writer: W) -> Self {
        let mut gathered = Vec::with_capacity(PIECE + 1024);
        gathered.extend_from_slice(SIGNATURE);
        gathered.extend_from_slice(&[0; 8]);
        Self { writer, gathered }
    }

    pub(super) fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.gathered.extend_from_slice(&(values.len() as i16).to_be_bytes());
        for value in values {
            match *value {
                Value::Null => self.gathered.extend_from_slice(&(-1i32).to_be_bytes()),
                Value::Bytes(bytes) => self.field(bytes),
                Value::Integer(number) => self.field(&number.to_be_bytes()),
                Value::Instant(micros) => self.field(&micros.saturating_sub(EPOCH).to_be_bytes()),
                Value::Day(day) => self.field(&day.saturating_sub(EPOCH_DAYS).to_be_bytes()),
                Value::Flag(flag) => self.field(&[u8::from(flag)]),
            }
        }
        if self.gathered.len() >= PIECE { self.drain() } else { Ok(()) }
    }

    fn field(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        self.gathered.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> Result<()> {
        self.writer.write_all(&self.gathered).map_err(failed_io("cannot hand the manifest over"))?;
        self.gathered.clear();
        Ok(())
    }

    /// Writes the end, and returns what was written to.
    pub(super) fn finish(mut self) -> Result<W> {
        self.gathered.extend_from_slice(&(-1i16).to_be_bytes());
        self.drain()?;
        Ok(self.writer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;

    /// Hands out so many bytes at a time.
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

    proptest! {
        #[test]
        fn rows_go_both_ways_however_they_are_cut(
            rows in prop::collection::vec((any::<i64>(), prop::option::of("[a-z]{0,9}"), any::<bool>()), 0..20),
            piece in 1usize..70,
        ) {
            let mut writer = CopyWriter::new(Vec::new());
            for (number, text, flag) in &rows {
                let text = text.as_ref().map_or(Value::Null, |text| Value::Bytes(text.as_bytes()));
                writer.row(&[Value::Integer(*number), text, Value::Flag(*flag)]).unwrap();
            }
            let bytes = writer.finish().unwrap();
            let wanted: Vec<[Option<Vec<u8>>; 3]> = rows.into_iter().map(|(number, text, flag)| {
                [Some(number.to_be_bytes().to_vec()), text.map(String::into_bytes), Some(vec![u8::from(flag)])]
            }).collect();
            prop_assert_eq!(read(&bytes, piece).unwrap(), wanted);
            // Cut short anywhere, it is never taken for whole.
            for end in 0..bytes.len() - 1 {
                prop_assert!(read(&bytes[..end], piece).is_err());
            }
        }
    }

    #[test]
    fn times_are_counted_from_1970() {
        assert_eq!(instant(0i64.to_be_bytes()), 946_684_800_000_000);
        assert_eq!(instant(i64::MAX.to_be_bytes()), i64::MAX);
        let mut writer = CopyWriter::new(Vec::new());
        writer.row(&[Value::Instant(EPOCH), Value::Day(EPOCH_DAYS), Value::Null]).unwrap();
        let row = &read(&writer.finish().unwrap(), 999).unwrap()[0];
        assert_eq!(row, &[Some(vec![0; 8]), Some(vec![0; 4]), None]);
    }
}
