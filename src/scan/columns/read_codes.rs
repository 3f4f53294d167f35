//! Reads the columns that decide about a row, status and type, as [`Codes`].
//!
//! The classifier is called once for each entry of a chunk's dictionary, not once for each row. The stored codes are
//! then mapped through a table; runs stay runs.

use std::ops::Range;

use super::codes::{Classifier, Codes};
use super::plain::PlainWalk;
use super::reader::{ColumnReader, OpenChunk};
use super::reference;
use crate::error::Result;
use crate::snapshot::encoded::{
    self, Damage, Dictionary, Page, PageCursor, Run, Runs, Validity, Values, code_at, unpack,
};

/// Fills the code table after the last entry of the dictionary. No classifier returns it.
const NO_ENTRY: u8 = 0xFF;

impl ColumnReader<'_> {
    /// Reads the codes of `rows` (zero-based numbers within the row group) into `out`, which is cleared first.
    ///
    /// # Errors
    /// A damaged chunk.
    pub fn codes(&mut self, rows: Range<usize>, classify: Classifier<'_>, out: &mut Codes) -> Result<()> {
        self.read(
            out,
            |out, open| {
                out.clear();
                by_pages(open, rows.clone(), classify, out)
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

fn by_pages(open: OpenChunk<'_>, rows: Range<usize>, classify: Classifier<'_>, out: &mut Codes) -> encoded::Result<()> {
    let OpenChunk { mut cursor, codes, .. } = open;
    let mut mapping = CodeMapping { table: CodeTable::default(), null: classify(None), classify };
    if let Some(dictionary) = cursor.dictionary()? {
        mapping.table.fill(dictionary, classify);
    }
    let mut row = rows.start;
    while row < rows.end {
        let head = cursor.find(row)?;
        let page = cursor.open(&head, |_| false)?;
        let end = page.end().min(rows.end);
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
}

impl CodeMapping<'_> {
    /// Appends the codes of `rows`, zero-based within the page. `present` is a buffer.
    fn read(&self, page: &Page<'_>, rows: Range<usize>, present: &mut Vec<u8>, out: &mut Codes) -> encoded::Result<()> {
        let (skip, take) = (rows.start, rows.len());
        let Validity::Bits { words, .. } = page.validity else {
            return match &page.body {
                Values::Codes(runs, _) => pieces(runs.clone(), skip, take, |run, start, len| match run {
                    Run::Same { code, .. } => {
                        out.push_same(self.table.code(code)?, len);
                        Ok(())
                    }
                    Run::Packed { bytes, .. } => packed(bytes, runs.width(), start, &self.table, out.push_mixed(len)),
                }),
                Values::Plain(bytes) => plain(bytes, skip, self.classify, out.push_mixed(take)),
            };
        };
        if page.values == 0 {
            out.push_same(self.null, take);
            return Ok(());
        }
        // First the codes of the rows that have a value, then one code for each row.
        let before = (0..skip).filter(|&row| bit(words, row)).count();
        let count = (skip..skip + take).filter(|&row| bit(words, row)).count();
        present.clear();
        // One element more than values, so that `present[next]` exists after the last value.
        present.resize(count + 1, self.null);
        self.read_present(&page.body, before, &mut present[..count])?;
        let mut next = 0;
        for (row, code) in out.push_mixed(take).iter_mut().enumerate() {
            let has = bit(words, skip + row);
            *code = if has { present[next] } else { self.null };
            next += usize::from(has);
        }
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
                Run::Packed { bytes, .. } => packed(bytes, runs.width(), start, &self.table, out),
            }
        })
    }
}

#[inline]
fn bit(words: &[u64], row: usize) -> bool {
    words[row / 64] >> (row % 64) & 1 != 0
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
        // With 256 entries, an 8-bit index needs no bounds check.
        if self.codes.len() < 256 {
            self.codes.resize(256, NO_ENTRY);
        }
    }

    #[inline]
    fn code(&self, entry: u32) -> encoded::Result<u8> {
        match self.codes.get(entry as usize) {
            Some(&code) if code != NO_ENTRY => Ok(code),
            _ => Err(beyond()),
        }
    }

    /// Replaces numbers of entries, of at most 8 bits, by the entries' codes.
    fn map(&self, codes: &mut [u8]) -> encoded::Result<()> {
        let table: &[u8; 256] = self.codes.first_chunk().ok_or_else(beyond)?;
        let mut highest = 0;
        for code in codes {
            *code = table[usize::from(*code)];
            highest = highest.max(*code);
        }
        if highest == NO_ENTRY { Err(beyond()) } else { Ok(()) }
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

fn packed(bytes: &[u8], width: u8, start: usize, table: &CodeTable, out: &mut [u8]) -> encoded::Result<()> {
    if width <= 8 {
        unpack(bytes, width, start, out);
        return table.map(out);
    }
    for (index, code) in out.iter_mut().enumerate() {
        *code = table.code(code_at(bytes, width, start + index))?;
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
