//! Reads the columns that decide about a row, status and type, as [`Codes`].
//!
//! The classifier is called once for each entry of a chunk's dictionary, not once for each row. The stored codes are
//! then mapped through a table; runs stay runs.

use std::borrow::Cow;
use std::ops::Range;

use super::codes::{Classifier, Codes};
use super::plain::PlainWalk;
use super::reader::{ColumnReader, OpenChunk};
use super::reference;
use crate::error::Result;
use crate::kernel::{Kernel, NO_ENTRY, TABLE};
use crate::snapshot::encoded::{self, Damage, Dictionary, Page, PageCursor, Run, Runs, Validity, Values, code_at};

/// Packed numbers of more bits are mapped one by one.
const KERNEL_WIDTH: u8 = TABLE.ilog2() as u8;

impl ColumnReader<'_> {
    /// Reads the codes of `rows` (zero-based numbers within the row group) into `out`, which is cleared first.
    ///
    /// # Errors
    /// A damaged chunk.
    pub fn codes(&mut self, rows: Range<usize>, classify: Classifier<'_>, out: &mut Codes) -> Result<()> {
        let kernel = self.kernel;
        self.read(
            out,
            |out, open| {
                out.clear();
                by_pages(open, rows.clone(), CodeMapping::new(classify, kernel), out)
            },
            |out, chunk| {
                out.clear();
                reference::codes(chunk, rows.clone(), classify, out)
            },
        )
    }

    /// If the dictionary shows that no row of `rows` has a code that is `open`, returns the bytes, as stored, of the
    /// pages that need not be read. Of the data pages only the headers are read. Returns `None` for a chunk that the
    /// encoded reader does not support or that is damaged.
    ///
    /// # Errors
    /// A footer that points beyond the file.
    pub fn settled_by_dictionary(
        &mut self,
        rows: Range<usize>,
        classify: Classifier<'_>,
        open: impl Fn(u8) -> bool,
    ) -> Result<Option<u64>> {
        let Some(OpenChunk { chunk, mut cursor, .. }) = self.open()? else { return Ok(None) };
        if chunk.optional && open(classify(None)) {
            return Ok(None);
        }
        match cursor.dictionary() {
            Ok(Some(dictionary)) if !dictionary.iter().any(|value| open(classify(Some(value)))) => {}
            _ => return Ok(None),
        }
        Ok(bytes_of_coded_pages(&mut cursor, rows).unwrap_or_default())
    }
}

/// Bytes of the pages that have `rows`; `None` unless all of them are codes into the dictionary.
fn bytes_of_coded_pages(cursor: &mut PageCursor<'_, '_>, rows: Range<usize>) -> encoded::Result<Option<u64>> {
    let (mut row, mut bytes) = (rows.start, 0);
    while row < rows.end {
        let head = cursor.find(row)?;
        if !head.is_coded() {
            return Ok(None);
        }
        bytes += head.bytes() as u64;
        row = head.end();
    }
    Ok(Some(bytes))
}

fn by_pages(
    open: OpenChunk<'_>,
    rows: Range<usize>,
    mut mapping: CodeMapping<'_>,
    out: &mut Codes,
) -> encoded::Result<()> {
    let OpenChunk { mut cursor, codes, .. } = open;
    if let Some(dictionary) = cursor.dictionary()? {
        mapping.table.fill(dictionary, mapping.classify);
    }
    let mut row = rows.start;
    while row < rows.end {
        let head = cursor.find(row)?;
        let page = cursor.open(&head, |_| false)?;
        let end = page.end().min(rows.end);
        // Other pages may be before the dictionary, which the cursor then finds on its way.
        if let (Values::Codes(_, dictionary), true) = (&page.body, mapping.table.codes.is_empty()) {
            mapping.table.fill(dictionary, mapping.classify);
        }
        mapping.read(&page, row - page.first_row..end - page.first_row, codes, out)?;
        row = end;
    }
    Ok(())
}

/// Maps the values of a page to codes.
struct CodeMapping<'a> {
    table: CodeTable,
    /// The code of null.
    null: u8,
    classify: Classifier<'a>,
    kernel: Kernel,
}

impl<'a> CodeMapping<'a> {
    fn new(classify: Classifier<'a>, kernel: Kernel) -> Self {
        Self { table: CodeTable::default(), null: classify(None), classify, kernel }
    }

    /// Appends the codes of `rows`, zero-based within the page. `present` is a buffer.
    fn read(&self, page: &Page<'_>, rows: Range<usize>, present: &mut Vec<u8>, out: &mut Codes) -> encoded::Result<()> {
        let (skip, take) = (rows.start, rows.len());
        let mut out = out.append(take);
        match page.validity {
            Validity::All => match &page.body {
                Values::Codes(runs, _) => pieces(runs.clone(), skip, take, |run, start, len| match run {
                    Run::Same { code, .. } => {
                        out.same(self.table.code(code)?, len);
                        Ok(())
                    }
                    Run::Packed { bytes, .. } => out.mixed(len, |out| self.packed(bytes, runs.width(), start, out)),
                })?,
                Values::Plain(bytes) => out.mixed(take, |out| plain(bytes, skip, self.classify, out))?,
            },
            Validity::Bits { .. } if page.values == 0 => out.same(self.null, take),
            // First the codes of the rows that have a value, then one code for each row.
            Validity::Bits { words, .. } => {
                present.clear();
                present.resize(ones(words, skip..skip + take), self.null);
                self.read_present(&page.body, ones(words, 0..skip), present)?;
                let words = from_bit(words, skip);
                out.mixed(take, |out| self.kernel.spread(present, &words, self.null, out));
            }
        }
        out.finish();
        Ok(())
    }

    /// Reads the codes of the values of a page after the first `skip`.
    fn read_present(&self, body: &Values<'_>, skip: usize, out: &mut [u8]) -> encoded::Result<()> {
        let runs = match body {
            Values::Codes(runs, _) => runs,
            Values::Plain(bytes) => return plain(bytes, skip, self.classify, out),
        };
        let mut done = 0;
        pieces(runs.clone(), skip, out.len(), |run, start, len| {
            let out = &mut out[done..done + len];
            done += len;
            match run {
                Run::Same { code, .. } => {
                    out.fill(self.table.code(code)?);
                    Ok(())
                }
                Run::Packed { bytes, .. } => self.packed(bytes, runs.width(), start, out),
            }
        })
    }

    /// Codes of the packed numbers of entries from the zero-based index `start` on.
    fn packed(&self, bytes: &[u8], width: u8, start: usize, out: &mut [u8]) -> encoded::Result<()> {
        // Whole groups of eight numbers begin with a byte; before the first one numbers are read one by one.
        let groups = (1..=KERNEL_WIDTH).contains(&width);
        let singles = if groups { (start.next_multiple_of(8) - start).min(out.len()) } else { out.len() };
        let (singles, rest) = out.split_at_mut(singles);
        for (index, code) in singles.iter_mut().enumerate() {
            *code = self.table.code(code_at(bytes, width, start + index))?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let table = self.table.codes.first_chunk().ok_or_else(beyond)?;
        let packed = bytes.get(start.div_ceil(8) * usize::from(width)..).unwrap_or_default();
        if self.kernel.map_packed(packed, width, table, rest) { Ok(()) } else { Err(beyond()) }
    }
}

/// Number of ones among some bits of `words`.
fn ones(words: &[u64], bits: Range<usize>) -> usize {
    let below = |end: usize| {
        let whole = words[..end / 64].iter().map(|word| word.count_ones() as usize).sum::<usize>();
        let part = if end.is_multiple_of(64) { 0 } else { words[end / 64] & ((1 << (end % 64)) - 1) };
        whole + part.count_ones() as usize
    };
    below(bits.end) - below(bits.start)
}

/// The bits from `bit` on.
fn from_bit(words: &[u64], bit: usize) -> Cow<'_, [u64]> {
    let (rest, shift) = (&words[bit / 64..], bit % 64);
    if shift == 0 {
        return rest.into();
    }
    let high = rest.iter().skip(1).chain(&[0]).map(|word| word << (64 - shift));
    rest.iter().zip(high).map(|(low, high)| low >> shift | high).collect()
}

/// The code of each entry of the dictionary.
#[derive(Default)]
struct CodeTable {
    codes: Vec<u8>,
}

impl CodeTable {
    fn fill(&mut self, dictionary: &Dictionary, classify: Classifier<'_>) {
        self.codes.clear();
        self.codes.extend(dictionary.iter().map(|value| classify(Some(value))));
        // Every number that the kernel maps has an entry.
        if self.codes.len() < TABLE {
            self.codes.resize(TABLE, NO_ENTRY);
        }
    }

    #[inline]
    fn code(&self, entry: u32) -> encoded::Result<u8> {
        match self.codes.get(entry as usize) {
            Some(&code) if code != NO_ENTRY => Ok(code),
            _ => Err(beyond()),
        }
    }
}

fn beyond() -> Damage {
    Damage::corrupt("a code is beyond the dictionary")
}

/// Passes the runs of `take` codes after the first `skip` to `each`: a run, the index of the first code in it, and the
/// number of codes.
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

/// Codes of plain values. The classifier is called only if a value differs from the one before it.
fn plain(bytes: &[u8], skip: usize, classify: Classifier<'_>, out: &mut [u8]) -> encoded::Result<()> {
    let mut walk = PlainWalk::new(bytes);
    for _ in 0..skip {
        walk.next_value()?;
    }
    let mut last: Option<(&[u8], u8)> = None;
    for code in out {
        let value = walk.next_value()?;
        *code = match last {
            Some((same, code)) if same == value => code,
            _ => classify(Some(value)),
        };
        last = Some((value, *code));
    }
    Ok(())
}
