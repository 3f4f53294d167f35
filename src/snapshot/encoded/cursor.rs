//! Walks over the pages of a chunk, and decompresses only those that the caller opens.

use std::ops::Range;

use super::codec::justify;
use super::levels::{StoredBody, levels_and_values, read_levels};
use super::{
    Codec, Damage, Dictionary, Encoding, PageBuffer, PageHeader, PageKind, PageStart, PageWalk, Result, Runs, Unpacker,
    snappy,
};
use crate::memory::Reserved;

/// One column chunk as stored in the file.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The bytes of all of its pages.
    pub bytes: &'a [u8],
    /// How page bodies are compressed.
    pub codec: Codec,
    /// Whether rows may be null.
    pub optional: bool,
    /// Number of rows, according to the footer.
    pub rows: usize,
    /// Bytes of a value in PLAIN encoding; `None` if each value is stored with its length.
    pub width: Option<usize>,
}

/// A decompressed data page, with its definition levels decoded.
#[derive(Debug)]
pub struct Page<'p> {
    /// Zero-based number of its first row within the row group.
    pub first_row: usize,
    /// Number of its rows.
    pub rows: usize,
    /// Which of its rows have a value.
    pub validity: Validity<'p>,
    /// Number of rows that have a value.
    pub values: usize,
    /// The values of these rows.
    pub body: Values<'p>,
}

impl Page<'_> {
    /// Number of the row after its last.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.first_row + self.rows
    }
}

/// Which rows of a page have a value.
#[derive(Debug, Clone, Copy)]
pub enum Validity<'p> {
    /// All rows.
    All,
    /// The rows whose bit is set.
    Bits {
        /// One bit for each row, least significant bit first.
        words: &'p [u64],
        /// For each word, the number of bits that are set in the words before it.
        ranks: &'p [u32],
    },
}

impl Validity<'_> {
    /// The zero-based position of a row's value among the values of the page; `None` if the row is null. `row` is
    /// zero-based within the page.
    #[must_use]
    #[inline]
    pub fn position(&self, row: usize) -> Option<usize> {
        match self {
            Self::All => Some(row),
            Self::Bits { words, ranks } => {
                let (word, bit) = (words[row / 64], row % 64);
                let before = (word & ((1u64 << bit) - 1)).count_ones();
                (word >> bit & 1 == 1).then(|| (ranks[row / 64] + before) as usize)
            }
        }
    }
}

/// The values of a page.
#[derive(Debug, Clone)]
pub enum Values<'p> {
    /// Values in PLAIN encoding.
    Plain(&'p [u8]),
    /// Codes into the dictionary.
    Codes(Runs<'p>, &'p Dictionary),
}

/// Buffers of a [`PageCursor`], reused for the next chunk.
#[derive(Debug, Default)]
pub struct Buffers {
    unpacker: Unpacker,
    page: PageBuffer,
    /// The next page, if it was decompressed together with the current one.
    ahead: PageBuffer,
    words: Vec<u64>,
    ranks: Vec<u32>,
    /// Memory of `words` and `ranks`.
    levels: Reserved,
    bytes_read: u64,
}

impl Buffers {
    /// Takes the number of bytes, as stored, of the pages that were opened since the last call.
    pub fn take_bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_read)
    }
}

/// Walks over the data pages of a chunk.
#[derive(Debug)]
pub struct PageCursor<'a, 'b> {
    chunk: Chunk<'a>,
    walk: PageWalk<'a>,
    buffers: &'b mut Buffers,
    dictionary: &'b mut Dictionary,
    /// Whether `dictionary` is the dictionary of this chunk.
    has_dictionary: bool,
    /// Where the walk began.
    start: PageStart,
    /// First row of the next data page.
    next_row: usize,
    /// Offset within the chunk of the data page whose decompressed body is in `Buffers::ahead`.
    ahead: Option<usize>,
}

/// A data page that is not decompressed.
#[derive(Debug, Clone, Copy)]
pub struct DataPage<'a> {
    /// Byte offset of its header within the chunk.
    pub offset: usize,
    /// Zero-based number of its first row within the row group.
    pub first_row: usize,
    header: PageHeader,
    body: &'a [u8],
}

impl DataPage<'_> {
    /// Whether its values are codes into the dictionary.
    #[must_use]
    pub fn is_coded(&self) -> bool {
        self.header.encoding == Encoding::Codes
    }

    /// Number of the row after its last.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.first_row + self.header.values
    }

    /// Bytes of its body, as stored.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Whether its levels show, in their first bytes, that no row is null.
    #[must_use]
    pub fn is_full(&self, codec: Codec) -> bool {
        super::is_full(&self.header, self.body, codec)
    }
}

impl<'a, 'b> PageCursor<'a, 'b> {
    /// Begins at a start that [`page_starts`](super::page_starts) returned for this chunk; the default is the first
    /// page.
    pub fn new(chunk: Chunk<'a>, start: PageStart, buffers: &'b mut Buffers, dictionary: &'b mut Dictionary) -> Self {
        Self {
            chunk,
            walk: PageWalk::new(chunk.bytes.get(start.offset..).unwrap_or_default()),
            buffers,
            dictionary,
            has_dictionary: false,
            start,
            next_row: start.first_row,
            ahead: None,
        }
    }

    /// Reads the dictionary page, if the chunk begins with one, and no data page.
    ///
    /// # Errors
    /// A damaged page.
    pub fn dictionary(&mut self) -> Result<Option<&Dictionary>> {
        if let (false, Some(offset)) = (self.has_dictionary, self.start.dictionary) {
            let bytes = self.chunk.bytes.get(offset..).unwrap_or_default();
            if let Some((header, body)) = PageWalk::new(bytes).next_page()? {
                self.read_dictionary(&header, body)?;
            }
        } else if !self.has_dictionary {
            let mut ahead = self.walk.clone();
            if let Some((header, body)) = ahead.next_page()?
                && header.kind == PageKind::Dictionary
            {
                self.read_dictionary(&header, body)?;
                self.walk = ahead;
            }
        }
        Ok(self.has_dictionary.then_some(&*self.dictionary))
    }

    /// Goes to the page that has `row`, zero-based within the row group, without decompressing the pages before it.
    /// Rows must not descend from call to call.
    ///
    /// # Errors
    /// A damaged page, or a chunk that ends before that row.
    pub fn find(&mut self, row: usize) -> Result<DataPage<'a>> {
        loop {
            let offset = self.chunk.bytes.len() - self.walk.bytes_left();
            let Some((header, body)) = self.walk.next_page()? else {
                return Err(Damage::corrupt(format!(
                    "the pages end after {} rows of {}",
                    self.next_row, self.chunk.rows
                )));
            };
            match header.kind {
                PageKind::Other => {}
                PageKind::Dictionary if self.start.dictionary.is_some() => return Err(second_dictionary()),
                PageKind::Dictionary => self.read_dictionary(&header, body)?,
                PageKind::Data | PageKind::DataV2 { .. } => {
                    let head = DataPage { offset, first_row: self.next_row, header, body };
                    // Flat columns have as many values as rows.
                    self.next_row += header.values;
                    if self.next_row > self.chunk.rows {
                        return Err(Damage::corrupt(format!("the pages have more than {} rows", self.chunk.rows)));
                    }
                    if row < self.next_row {
                        debug_assert!(head.first_row <= row, "a page cannot be found twice");
                        return Ok(head);
                    }
                }
            }
        }
    }

    fn read_dictionary(&mut self, header: &PageHeader, body: &[u8]) -> Result<()> {
        if self.has_dictionary {
            return Err(second_dictionary());
        }
        let Buffers { unpacker, bytes_read, .. } = &mut *self.buffers;
        *bytes_read += self.dictionary.decode(header, body, unpacker, (self.chunk.codec, self.chunk.width))?;
        self.has_dictionary = true;
        Ok(())
    }

    /// Decompresses a page and decodes its definition levels. `next` is called with the rows of the page after it, and
    /// returns whether that page will be opened, too; both may then be decompressed together.
    ///
    /// # Errors
    /// A damaged page, or one in a form that is not supported.
    pub fn open<'p>(&'p mut self, head: &DataPage<'p>, next: impl FnOnce(Range<usize>) -> bool) -> Result<Page<'p>> {
        let DataPage { header, body, first_row, offset } = *head;
        if header.encoding == Encoding::Codes && self.start.dictionary.is_some() {
            // The walk began after the dictionary page, and has not read it.
            self.dictionary()?;
        }
        header.check(body)?;
        let next_offset = self.chunk.bytes.len() - self.walk.bytes_left();
        let following = if self.ahead.is_none() { self.following_page(head, next) } else { None };
        self.reserve_levels(header.values)?;
        let Buffers { unpacker, page, ahead, words, ranks, bytes_read, .. } = &mut *self.buffers;
        *bytes_read += body.len() as u64;
        let stored = StoredBody::of(&header, body, self.chunk.codec)?;
        let unpacked: &'p [u8] = if stored.codec == Codec::Plain {
            if stored.packed.len() != stored.expected {
                return Err(Damage::corrupt("an uncompressed page is not as long as its header says"));
            }
            stored.packed
        } else {
            match (following, self.ahead.take_if(|ready| *ready == offset)) {
                (_, Some(_)) => std::mem::swap(page, ahead),
                (Some((body, len)), None) => {
                    let page = page.for_snappy(stored.packed.len(), stored.expected)?;
                    let ahead = ahead.for_snappy(body.len(), len)?;
                    let (this, ahead_outcome) =
                        snappy::unpack_two((stored.packed, stored.expected, page), (body, len, ahead));
                    this?;
                    // If the following page is damaged, opening it reports that.
                    self.ahead = ahead_outcome.is_ok().then_some(next_offset);
                }
                (None, None) => unpacker.unpack(stored.codec, stored.packed, stored.expected, page)?,
            }
            &page.as_slice()[..stored.expected]
        };
        let (levels, values) = levels_and_values(&header, self.chunk.optional, stored.levels, unpacked)?;
        let present = read_levels(levels, header.values, words, ranks)?;
        let count = present.unwrap_or(header.values);
        let body = match header.encoding {
            Encoding::Plain => Values::Plain(values),
            Encoding::Codes if self.has_dictionary => Values::Codes(Runs::of_codes(values, count)?, self.dictionary),
            Encoding::Codes => return Err(Damage::corrupt("codes without a dictionary")),
            Encoding::Other(_) => return Err(Damage::Unhandled),
        };
        let validity = if present.is_some() { Validity::Bits { words, ranks } } else { Validity::All };
        Ok(Page { first_row, rows: header.values, validity, values: count, body })
    }
}

impl<'a> PageCursor<'a, '_> {
    /// Reserves memory for the definition levels of a page of so many rows: 12 bytes for 64 rows.
    fn reserve_levels(&mut self, rows: usize) -> Result<()> {
        if !self.chunk.optional {
            return Ok(());
        }
        let bytes = rows.div_ceil(64) * 12;
        self.buffers.levels.grow_to(bytes).map_err(|_| Damage::too_large(bytes))
    }

    /// The body of the page after this one and its decompressed length, if both can be decompressed together.
    fn following_page(
        &self,
        head: &DataPage<'_>,
        next: impl FnOnce(Range<usize>) -> bool,
    ) -> Option<(&'a [u8], usize)> {
        if self.chunk.codec != Codec::Snappy || head.header.kind != PageKind::Data {
            return None;
        }
        let (header, body) = self.walk.clone().next_page().ok()??;
        let rows = self.next_row..self.next_row + header.values;
        let both = header.kind == PageKind::Data
            && [head.header, header]
                .iter()
                .all(|header| justify(Codec::Snappy, header.compressed, header.uncompressed).is_ok());
        (both && next(rows)).then_some((body, header.uncompressed))
    }
}

fn second_dictionary() -> Damage {
    Damage::corrupt("a second dictionary")
}
