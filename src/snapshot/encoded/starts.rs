//! Where ranges of rows begin in a column chunk, found by its page headers alone.

use std::ops::Range;

use super::{Chunk, PageKind, PageWalk};

/// A place in a chunk from which pages can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageStart {
    /// Bytes before it in the chunk.
    pub offset: usize,
    /// Number within the row group of the first row behind it.
    pub first_row: usize,
    /// How many data pages lie before it.
    pub ordinal: usize,
    /// Bytes before the dictionary page, where the chunk begins with one that lies before this place.
    pub dictionary: Option<usize>,
}

/// For each `every` rows of a chunk, the start of the page that has the first of them. `passed` gets the bytes of each page
/// whose header was read, so that a caller can give their memory back.
///
/// Nothing is refused here. Behind a damaged page all ranges begin at that page, so that whoever reads them finds the damage.
pub fn page_starts(chunk: Chunk<'_>, every: usize, mut passed: impl FnMut(Range<usize>)) -> Vec<PageStart> {
    let count = chunk.rows.div_ceil(every.max(1)).max(1);
    // What comes before the first data page is read by the first range.
    let mut starts = vec![PageStart::default()];
    let mut walk = PageWalk::new(chunk.bytes);
    let mut here = PageStart::default();
    while starts.len() < count {
        let Ok(Some((header, _))) = walk.next_page() else { break };
        let end = chunk.bytes.len() - walk.bytes_left();
        match header.kind {
            PageKind::Other => {}
            PageKind::Dictionary if here.ordinal == 0 && here.dictionary.is_none() => {
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
                here.ordinal += 1;
            }
        }
        passed(here.offset..end);
        here.offset = end;
    }
    starts.resize(count, here);
    starts
}
