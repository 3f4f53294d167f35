//! Finds where ranges of rows begin in a column chunk, by its page headers alone.

use std::ops::Range;

use super::{Chunk, PageKind, PageWalk};

/// A page of a chunk at which reading can begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageStart {
    /// Byte offset of the page within the chunk.
    pub offset: usize,
    /// Zero-based number within the row group of its first row.
    pub first_row: usize,
    /// Byte offset of the dictionary page within the chunk, if there is one before this page.
    pub dictionary: Option<usize>,
}

/// Returns, for every range of `every` rows of a chunk, the page that has its first row. `passed` is called with the
/// position in the chunk of each page whose header was read, so that a caller can give the memory back.
///
/// Damage is not reported here. All ranges after a damaged page begin at that page, so that reading them reports the
/// damage.
pub fn page_starts(chunk: Chunk<'_>, every: usize, mut passed: impl FnMut(Range<usize>)) -> Vec<PageStart> {
    let count = chunk.rows.div_ceil(every.max(1)).max(1);
    // The first range also reads the pages before the first data page.
    let mut starts = vec![PageStart::default()];
    let mut walk = PageWalk::new(chunk.bytes);
    let mut here = PageStart::default();
    while starts.len() < count {
        let Ok(Some((header, _))) = walk.next_page() else { break };
        let end = chunk.bytes.len() - walk.bytes_left();
        match header.kind {
            PageKind::Other => {}
            PageKind::Dictionary if here.first_row == 0 && here.dictionary.is_none() => {
                here.dictionary = Some(here.offset);
            }
            PageKind::Dictionary => break,
            PageKind::Data | PageKind::DataV2 { .. } => {
                let next_row = here.first_row + header.values;
                if next_row > chunk.rows {
                    break;
                }
                while starts.len() < count && starts.len() * every < next_row {
                    starts.push(here);
                }
                here.first_row = next_row;
            }
        }
        passed(here.offset..end);
        here.offset = end;
    }
    starts.resize(count, here);
    starts
}

#[cfg(test)]
mod tests {
    use super::super::Codec;
    use super::*;

    /// A page of 10 values without a body: `kind` 0 is a data page, 2 a dictionary.
    fn page(kind: u8) -> Vec<u8> {
        let header = if kind == 2 { 0x4C } else { 0x2C };
        vec![0x15, kind * 2, 0x15, 0, 0x15, 0, header, 0x15, 20, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0]
    }

    fn chunk(bytes: &[u8], rows: usize) -> Chunk<'_> {
        Chunk { bytes, codec: Codec::Plain, optional: false, rows, width: None }
    }

    #[test]
    fn ranges_begin_at_the_page_that_has_their_first_row() {
        let bytes = [page(2), page(0), page(0), page(0)].concat();
        let len = page(0).len();
        let mut passed = Vec::new();
        let starts = page_starts(chunk(&bytes, 30), 7, |page| passed.push(page));
        let rows: Vec<usize> = starts.iter().map(|start| start.first_row).collect();
        assert_eq!(rows, [0, 0, 10, 20, 20], "for rows 0, 7, 14, 21 and 28");
        assert_eq!(starts[0], PageStart::default(), "the first range reads from the beginning of the chunk");
        assert_eq!(starts[4], PageStart { offset: 3 * len, first_row: 20, dictionary: Some(0) });
        assert_eq!(passed[0], 0..len);
    }

    #[test]
    fn behind_a_damaged_page_ranges_begin_at_that_page() {
        let len = page(0).len();
        for end in len..3 * len - 1 {
            let bytes = [page(0), page(0), page(0)].concat();
            let starts = page_starts(chunk(&bytes[..end], 30), 10, |_| {});
            assert_eq!(starts.len(), 3);
            assert!(starts[2].offset <= end && starts[2].first_row <= 20, "cut at {end}");
        }
        // A dictionary page in the middle is not refused here; the reader refuses it.
        let bytes = [page(2), page(0), page(2), page(0)].concat();
        let starts = page_starts(chunk(&bytes, 20), 5, |_| {});
        assert_eq!(starts[3], PageStart { offset: 2 * len, first_row: 10, dictionary: Some(0) });
        assert_eq!(page_starts(chunk(&[], 0), 5, |_| {}), [PageStart::default()]);
    }
}
