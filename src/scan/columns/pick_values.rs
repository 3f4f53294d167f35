//! Single values of a column, for the few rows that are asked for.
//!
//! Pages without such a row are not decompressed. In the others a plain value of fixed width is found by its position,
//! a code is picked out of its run, and a value that stores its own length is stepped up to.

use super::plain::PlainWalk;
use super::reader::{ColumnReader, ColumnValue, OpenChunk};
use super::reference;
use crate::error::Result;
use crate::snapshot::encoded::{self, Damage, DataPage, Dictionary, Page, Run, Runs, Values, code_at};

/// Given a page and the number of wanted rows in it, returns a substitute for all its values, or `None` if the page
/// must be read.
pub type Substitute<'a> = &'a mut dyn FnMut(&DataPage<'_>, usize) -> Option<i64>;

impl ColumnReader<'_> {
    /// Reads the values of `rows`, ascending zero-based numbers within the row group, and calls `take` with the index
    /// into `rows` and the value of each.
    ///
    /// # Errors
    /// A damaged chunk.
    pub fn values(&mut self, rows: &[u32], mut take: impl FnMut(usize, ColumnValue<'_>)) -> Result<()> {
        self.values_unless(rows, &mut |_, _| None, |index, value| {
            if let Ok(value) = value {
                take(index, value);
            }
        })
    }

    /// As [`values`](Self::values), but calls `substitute` for each page. If it returns a value, the page is not read,
    /// and `take` gets that value, as `Err`, for each of the page's rows.
    ///
    /// # Errors
    /// A damaged chunk.
    pub fn values_unless(
        &mut self,
        rows: &[u32],
        substitute: Substitute<'_>,
        mut take: impl FnMut(usize, Result<ColumnValue<'_>, i64>),
    ) -> Result<()> {
        // If a page is left to the reference reader, it starts after `done` rows: `take` gets each row once.
        let mut done = 0;
        self.read(
            &mut (&mut take, &mut done),
            |(take, done), open| by_pages(open, rows, substitute, done, take),
            |(take, done), chunk| {
                let before = **done;
                reference::values(chunk, &rows[before..], |index, value| take(before + index, Ok(value)))
            },
        )
    }
}

fn by_pages(
    open: OpenChunk<'_>,
    rows: &[u32],
    substitute: Substitute<'_>,
    done: &mut usize,
    mut take: impl FnMut(usize, Result<ColumnValue<'_>, i64>),
) -> encoded::Result<()> {
    let OpenChunk { chunk, mut cursor, .. } = open;
    let mut at = 0;
    while let Some(&row) = rows.get(at) {
        let head = cursor.find(row as usize)?;
        let end = at + rows[at..].partition_point(|&row| (row as usize) < head.end());
        if let Some(value) = substitute(&head, end - at) {
            (at..end).for_each(|index| take(index, Err(value)));
        } else {
            let page =
                cursor.open(&head, |behind| rows.get(end).is_some_and(|&row| behind.contains(&(row as usize))))?;
            read_page(&page, chunk.width, &rows[at..end], |index, value| take(at + index, Ok(value)))?;
        }
        at = end;
        *done = end;
    }
    Ok(())
}

/// Reads the values of `rows`, all of them in one page.
fn read_page(
    page: &Page<'_>,
    width: Option<usize>,
    rows: &[u32],
    mut take: impl FnMut(usize, ColumnValue<'_>),
) -> encoded::Result<()> {
    let positions = rows.iter().map(|&row| page.validity.position(row as usize - page.first_row)).enumerate();
    let null = ColumnValue { bytes: None, code: None };
    match (&page.body, width) {
        (Values::Plain(bytes), Some(width)) => {
            if bytes.len() < page.values.saturating_mul(width) {
                return Err(Damage::corrupt("a page of plain values ends early"));
            }
            for (index, position) in positions {
                let bytes = position.map(|position| &bytes[position * width..][..width]);
                take(index, ColumnValue { bytes, code: None });
            }
        }
        (Values::Plain(bytes), None) => {
            let mut walk = PlainWalk::new(bytes);
            for (index, position) in positions {
                let bytes = position.map(|position| walk.value(position)).transpose()?;
                take(index, ColumnValue { bytes, code: None });
            }
        }
        (Values::Codes(runs, dictionary), _) => {
            let mut walk = CodeWalk::new(runs.clone(), dictionary);
            for (index, position) in positions {
                take(index, position.map_or(Ok(null), |position| walk.value(position))?);
            }
        }
    }
    Ok(())
}

/// Reads codes of a page at ascending positions, run by run.
struct CodeWalk<'p> {
    runs: Runs<'p>,
    dictionary: &'p Dictionary,
    run: Option<Run<'p>>,
    /// Position of the first code of the run.
    start: usize,
}

impl<'p> CodeWalk<'p> {
    const fn new(runs: Runs<'p>, dictionary: &'p Dictionary) -> Self {
        Self { runs, dictionary, run: None, start: 0 }
    }

    #[inline]
    fn value(&mut self, position: usize) -> encoded::Result<ColumnValue<'p>> {
        let run = loop {
            match self.run {
                Some(run) if position < self.start + run.len() => break run,
                passed => {
                    self.start += passed.map_or(0, |run| run.len());
                    let next = self.runs.next_run()?;
                    self.run = Some(next.ok_or_else(|| Damage::corrupt("a page has fewer codes than values"))?);
                }
            }
        };
        let code = match run {
            Run::Same { code, .. } => code,
            Run::Packed { bytes, .. } => code_at(bytes, self.runs.width(), position - self.start),
        };
        Ok(ColumnValue { bytes: Some(self.dictionary.get(code)?), code: Some(code) })
    }
}
