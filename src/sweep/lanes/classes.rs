//! The deciding columns, status and type, as one small code for each row.
//!
//! A classifier is asked once for each entry of a chunk's dictionary, not once for each row; the packed codes are then
//! mapped through a table. Runs stay runs: where a file is clustered, a million equal rows are one [`Span`].

use std::ops::Range;

use super::{Lane, LaneBuffers, Reader, plain::PlainWalk, reference};
use crate::error::Result;
use crate::snapshot::encoded::{
    self, Chunk, Damage, Dictionary, Page, PageCursor, Run, Runs, Validity, Values, code_at, unpack,
};

/// A stretch of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All of one class.
    Same {
        /// The class.
        class: u8,
        /// How many rows.
        len: usize,
    },
    /// Each of its own: the next `len` bytes of [`Classes::bytes`].
    Mixed {
        /// How many rows.
        len: usize,
    },
}

impl Span {
    /// How many rows.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "spans are never empty")]
    pub const fn len(&self) -> usize {
        match *self {
            Self::Same { len, .. } | Self::Mixed { len } => len,
        }
    }
}

/// Runs shorter than this are expanded: a span costs more than so many bytes.
const SHORTEST_RUN: usize = 64;

/// The classes of a slab of rows.
#[derive(Debug, Default)]
pub struct Classes {
    /// In the order of the rows.
    pub spans: Vec<Span>,
    /// Classes of the mixed spans, one after the other.
    pub bytes: Vec<u8>,
}

impl Classes {
    /// Forgets everything, but keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.bytes.clear();
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.spans.iter().map(Span::len).sum()
    }

    /// Adds `len` rows of one class.
    pub fn push_same(&mut self, class: u8, len: usize) {
        match self.spans.last_mut() {
            _ if len == 0 => {}
            Some(Span::Same { class: last, len: total }) if *last == class => *total += len,
            _ if len < SHORTEST_RUN => self.push_mixed(len).fill(class),
            _ => self.spans.push(Span::Same { class, len }),
        }
    }

    /// Adds `len` rows, whose classes the caller writes.
    pub fn push_mixed(&mut self, len: usize) -> &mut [u8] {
        if let Some(Span::Mixed { len: total }) = self.spans.last_mut() {
            *total += len;
        } else if len > 0 {
            self.spans.push(Span::Mixed { len });
        }
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        &mut self.bytes[start..]
    }

    /// The class of each row, for those who do not mind the cost.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let mut at = 0;
        self.spans.iter().flat_map(move |span| match *span {
            Span::Same { class, len } => Either::Same(std::iter::repeat_n(class, len)),
            Span::Mixed { len } => {
                at += len;
                Either::Mixed(self.bytes[at - len..at].iter().copied())
            }
        })
    }
}

enum Either<A, B> {
    Same(A),
    Mixed(B),
}

impl<A: Iterator<Item = u8>, B: Iterator<Item = u8>> Iterator for Either<A, B> {
    type Item = u8;
    fn next(&mut self) -> Option<u8> {
        match self {
            Self::Same(a) => a.next(),
            Self::Mixed(b) => b.next(),
        }
    }
}

/// Stands for a code that the dictionary does not have. No classifier returns it.
const BEYOND: u8 = 0xFF;

/// Reads the classes of `rows` into `out`, which is cleared first. The classifier gets a value's bytes, or `None` for
/// null, and must return less than 255.
///
/// # Errors
/// A damaged chunk.
pub fn read(
    lane: Lane<'_>,
    rows: Range<usize>,
    reader: Reader,
    classify: &dyn Fn(Option<&[u8]>) -> u8,
    buffers: &mut LaneBuffers,
    out: &mut Classes,
) -> Result<()> {
    lane.read(
        reader,
        &mut (buffers, out),
        |(buffers, out), chunk| {
            out.clear();
            by_pages(chunk, rows.clone(), classify, buffers, out)
        },
        |(_, out)| {
            out.clear();
            reference::classes(lane, rows.clone(), classify, out)
        },
    )
}

/// Whether no row of a chunk can have a class for which `open` holds, as told by its dictionary alone: the data pages
/// are counted, not read.
///
/// # Errors
/// A damaged page. A chunk that is left to the reference reader is simply not settled.
pub fn settled_by_dictionary(
    chunk: Chunk<'_>,
    classify: &dyn Fn(Option<&[u8]>) -> u8,
    open: impl Fn(u8) -> bool,
    buffers: &mut LaneBuffers,
) -> encoded::Result<bool> {
    if chunk.optional && open(classify(None)) {
        return Ok(false);
    }
    let mut cursor = PageCursor::new(chunk, &mut buffers.pages);
    match cursor.dictionary() {
        Ok(Some(dictionary)) if !dictionary.iter().any(|value| open(classify(Some(value)))) => {}
        Err(Damage::Corrupt(what)) => return Err(Damage::Corrupt(what)),
        _ => return Ok(false),
    }
    let mut rows = 0;
    while rows < chunk.rows {
        let head = cursor.find(rows)?;
        if !head.is_coded() {
            return Ok(false);
        }
        rows = head.end();
    }
    Ok(true)
}

fn by_pages(
    chunk: Chunk<'_>,
    rows: Range<usize>,
    classify: &dyn Fn(Option<&[u8]>) -> u8,
    buffers: &mut LaneBuffers,
    out: &mut Classes,
) -> encoded::Result<()> {
    let LaneBuffers { pages, codes } = buffers;
    let null = classify(None);
    let mut table = Table { classes: Vec::new() };
    let mut cursor: PageCursor<'_, '_> = PageCursor::new(chunk, pages);
    if let Some(dictionary) = cursor.dictionary()? {
        table.fill(dictionary, classify);
    }
    let mut row = rows.start;
    while row < rows.end {
        let head = cursor.find(row)?;
        let page = cursor.open(&head, |_| false)?;
        let skip = row - page.first_row;
        let take = page.end().min(rows.end) - row;
        read_page(&page, skip, take, &table, null, classify, codes, out)?;
        row += take;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one page, what to take of it, and where to put it")]
fn read_page(
    page: &Page<'_>,
    skip: usize,
    take: usize,
    table: &Table,
    null: u8,
    classify: &dyn Fn(Option<&[u8]>) -> u8,
    present: &mut Vec<u8>,
    out: &mut Classes,
) -> encoded::Result<()> {
    let Validity::Bits { words, .. } = page.validity else {
        return match &page.body {
            Values::Codes(runs, _) => pieces(runs.clone(), skip, take, |run, start, len| match run {
                Run::Same { code, .. } => {
                    out.push_same(table.class(code)?, len);
                    Ok(())
                }
                Run::Packed { bytes, .. } => packed(bytes, runs.width(), start, table, out.push_mixed(len)),
            }),
            Values::Plain(bytes) => plain(bytes, skip, classify, out.push_mixed(take)),
        };
    };
    if page.values == 0 {
        out.push_same(null, take);
        return Ok(());
    }
    // Classes of the rows that have a value, then spread over the rows.
    let before = (0..skip).filter(|&row| bit(words, row)).count();
    let count = (skip..skip + take).filter(|&row| bit(words, row)).count();
    present.clear();
    // One more than there are, so that spreading may look at the next without asking whether there is one.
    present.resize(count + 1, null);
    match &page.body {
        Values::Codes(runs, _) => {
            let mut done = 0;
            pieces(runs.clone(), before, count, |run, start, len| {
                let out = &mut present[done..done + len];
                done += len;
                match run {
                    Run::Same { code, .. } => {
                        out.fill(table.class(code)?);
                        Ok(())
                    }
                    Run::Packed { bytes, .. } => packed(bytes, runs.width(), start, table, out),
                }
            })?;
        }
        Values::Plain(bytes) => plain(bytes, before, classify, &mut present[..count])?,
    }
    let mut next = 0;
    for (row, class) in out.push_mixed(take).iter_mut().enumerate() {
        let has = bit(words, skip + row);
        *class = if has { present[next] } else { null };
        next += usize::from(has);
    }
    Ok(())
}

#[inline]
fn bit(words: &[u64], row: usize) -> bool {
    words[row / 64] >> (row % 64) & 1 != 0
}

/// Classes of dictionary codes.
struct Table {
    classes: Vec<u8>,
}

impl Table {
    fn fill(&mut self, dictionary: &Dictionary, classify: &dyn Fn(Option<&[u8]>) -> u8) {
        self.classes.clear();
        self.classes.extend(dictionary.iter().map(|value| classify(Some(value))));
        // Codes of up to 8 bits can then be looked up without a bound to check.
        if self.classes.len() < 256 {
            self.classes.resize(256, BEYOND);
        }
    }

    #[inline]
    fn class(&self, code: u32) -> encoded::Result<u8> {
        match self.classes.get(code as usize) {
            Some(&class) if class != BEYOND => Ok(class),
            _ => Err(beyond()),
        }
    }

    /// Maps codes of up to 8 bits to classes, in place.
    fn map(&self, codes: &mut [u8]) -> encoded::Result<()> {
        let table: &[u8; 256] = self.classes.first_chunk().ok_or_else(beyond)?;
        let mut highest = 0;
        for code in codes {
            let class = table[usize::from(*code)];
            highest = highest.max(class);
            *code = class;
        }
        if highest == BEYOND { Err(beyond()) } else { Ok(()) }
    }
}

fn beyond() -> Damage {
    Damage::corrupt("a code is beyond the dictionary")
}

/// Hands over `take` codes after the first `skip`: each run with where to start in it, and how many to take.
fn pieces<'p>(
    mut runs: Runs<'p>,
    mut skip: usize,
    mut take: usize,
    mut each: impl FnMut(Run<'p>, usize, usize) -> encoded::Result<()>,
) -> encoded::Result<()> {
    while take > 0 {
        let run = runs.next_run()?.ok_or_else(|| Damage::corrupt("a page has fewer codes than values"))?;
        if run.len() <= skip {
            skip -= run.len();
            continue;
        }
        let len = (run.len() - skip).min(take);
        each(run, skip, len)?;
        take -= len;
        skip = 0;
    }
    Ok(())
}

fn packed(bytes: &[u8], width: u8, start: usize, table: &Table, out: &mut [u8]) -> encoded::Result<()> {
    if width <= 8 {
        unpack(bytes, width, start, out);
        return table.map(out);
    }
    for (index, class) in out.iter_mut().enumerate() {
        *class = table.class(code_at(bytes, width, start + index))?;
    }
    Ok(())
}

/// Classes of plain values: the classifier is asked again only where a value differs from the one before it.
fn plain(bytes: &[u8], skip: usize, classify: &dyn Fn(Option<&[u8]>) -> u8, out: &mut [u8]) -> encoded::Result<()> {
    let mut walk = PlainWalk::new(bytes);
    for _ in 0..skip {
        walk.next_value()?;
    }
    let mut last: Option<(&[u8], u8)> = None;
    for class in out {
        let value = walk.next_value()?;
        *class = match last {
            Some((same, class)) if same == value => class,
            _ => classify(Some(value)),
        };
        last = Some((value, *class));
    }
    Ok(())
}
