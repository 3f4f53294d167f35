//! Walks over the pages of a chunk, and decompresses only those that the caller opens.

use std::ops::Range;

use super::{
    Codec, Damage, Dictionary, Encoding, PageHeader, PageKind, PageStart, PageWalk, Result, Run, Runs, Unpacker, snappy,
};

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
    page: Vec<u8>,
    /// The next page, if it was decompressed together with the current one.
    ahead: Vec<u8>,
    words: Vec<u64>,
    ranks: Vec<u32>,
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
    /// Zero-based number of the next data page among the data pages of the chunk.
    ordinal: usize,
    /// Number of the data page whose decompressed body is in `Buffers::ahead`.
    ahead: Option<usize>,
}

/// A data page that is not decompressed.
#[derive(Debug, Clone, Copy)]
pub struct DataPage<'a> {
    /// Zero-based number among the data pages of the chunk.
    pub ordinal: usize,
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
            ordinal: start.ordinal,
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
                    let head = DataPage { ordinal: self.ordinal, first_row: self.next_row, header, body };
                    self.ordinal += 1;
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
        let DataPage { header, body, first_row, ordinal } = *head;
        if header.encoding == Encoding::Codes && self.start.dictionary.is_some() {
            // The walk began after the dictionary page, and has not read it.
            self.dictionary()?;
        }
        header.check(body)?;
        let following = if self.ahead.is_none() { self.following_page(head, next) } else { None };
        let Buffers { unpacker, page, ahead, words, ranks, bytes_read } = &mut *self.buffers;
        *bytes_read += body.len() as u64;
        let stored = StoredBody::of(&header, body, self.chunk.codec)?;
        let unpacked: &'p [u8] = if stored.codec == Codec::Plain {
            if stored.packed.len() != stored.expected {
                return Err(Damage::corrupt("an uncompressed page is not as long as its header says"));
            }
            stored.packed
        } else {
            match (following, self.ahead.take_if(|ready| *ready == ordinal)) {
                (_, Some(_)) => std::mem::swap(page, ahead),
                (Some((body, len)), None) => {
                    let (this, ahead_outcome) =
                        snappy::unpack_two((stored.packed, stored.expected, page), (body, len, ahead));
                    this?;
                    // If the following page is damaged, opening it reports that.
                    self.ahead = ahead_outcome.is_ok().then_some(ordinal + 1);
                }
                (None, None) => unpacker.unpack(stored.codec, stored.packed, stored.expected, page)?,
            }
            &page[..stored.expected]
        };
        let (levels, values) = levels_and_values(&header, self.chunk.optional, stored.levels, unpacked)?;
        let present = match levels {
            Some(levels) => read_levels(levels, header.values, words, ranks)?,
            None => None,
        };
        let count = present.unwrap_or(header.values);
        if let PageKind::DataV2 { nulls, .. } = header.kind
            && nulls != header.values - count
        {
            return Err(Damage::corrupt("a page has another number of nulls than its header says"));
        }
        let body = match header.encoding {
            Encoding::Plain => Values::Plain(values),
            Encoding::Codes if self.has_dictionary => Values::Codes(Runs::of_codes(values, count)?, self.dictionary),
            Encoding::Codes => return Err(Damage::corrupt("codes without a dictionary")),
            Encoding::Other => return Err(Damage::Unhandled),
        };
        let validity = if present.is_some() { Validity::Bits { words, ranks } } else { Validity::All };
        Ok(Page { first_row, rows: header.values, validity, values: count, body })
    }
}

impl<'a> PageCursor<'a, '_> {
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
        (header.kind == PageKind::Data && next(rows)).then_some((body, header.uncompressed))
    }
}

/// The body of a data page as it is stored.
struct StoredBody<'p> {
    /// Definition levels, if they are stored separately: v2 pages store them uncompressed before the values, v1 pages
    /// compress levels and values together.
    levels: Option<&'p [u8]>,
    /// The rest of the body.
    packed: &'p [u8],
    /// How `packed` is compressed.
    codec: Codec,
    /// The decompressed length of `packed`.
    expected: usize,
}

impl<'p> StoredBody<'p> {
    fn of(header: &PageHeader, body: &'p [u8], codec: Codec) -> Result<Self> {
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

/// Splits a decompressed page into definition levels, if it has any, and values.
fn levels_and_values<'p>(
    header: &PageHeader,
    optional: bool,
    separate_levels: Option<&'p [u8]>,
    unpacked: &'p [u8],
) -> Result<(Option<&'p [u8]>, &'p [u8])> {
    Ok(match (header.kind, separate_levels) {
        _ if !optional => (None, unpacked),
        // Some writers omit the levels if no row is null.
        (PageKind::DataV2 { nulls: 0, .. }, Some([])) => (None, unpacked),
        (_, Some(levels)) => (Some(levels), unpacked),
        _ if !header.hybrid_levels => return Err(Damage::Unhandled),
        _ => {
            let (length, rest) = unpacked.split_first_chunk::<4>().ok_or_else(levels_too_long)?;
            let (levels, values) =
                rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(levels_too_long)?;
            (Some(levels), values)
        }
    })
}

fn second_dictionary() -> Damage {
    Damage::corrupt("a second dictionary")
}

fn levels_too_long() -> Damage {
    Damage::corrupt("the levels of a page are longer than the page")
}

/// Decodes definition levels into a bitmap with ranks. Returns the number of rows that have a value; `None` if all have
/// one.
fn read_levels(levels: &[u8], rows: usize, words: &mut Vec<u64>, ranks: &mut Vec<u32>) -> Result<Option<usize>> {
    let mut runs = Runs::new(levels, 1, rows)?;
    words.clear();
    words.resize(rows.div_ceil(64), 0);
    let mut at = 0;
    while let Some(run) = runs.next_run()? {
        match run {
            Run::Same { code: 1, len } if len == rows => return Ok(None),
            Run::Same { code: 0, .. } => {}
            Run::Same { code: 1, len } => set_bits(words, at, len),
            Run::Same { code, .. } => return Err(Damage::corrupt(format!("a definition level of {code}"))),
            Run::Packed { bytes, len } => copy_bits(words, at, bytes, len),
        }
        at += run.len();
    }
    ranks.clear();
    let mut total = 0u32;
    for word in words.iter() {
        ranks.push(total);
        total += word.count_ones();
    }
    Ok((total as usize != rows).then_some(total as usize))
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
