//! Codes of a range of rows: one byte for each row, with runs kept as runs.
//!
//! Where a file is clustered by status, a million equal rows are one [`CodeSpan`].

use crate::kernel::NO_ENTRY;

/// Consecutive rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeSpan {
    /// Rows that all have one code.
    Same {
        /// The code.
        code: u8,
        /// Number of rows.
        len: usize,
    },
    /// Rows with codes of their own: the next `len` bytes of [`Codes::bytes`].
    Mixed {
        /// Number of rows.
        len: usize,
    },
}

impl CodeSpan {
    /// Number of rows.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "spans are never empty")]
    pub const fn len(&self) -> usize {
        match *self {
            Self::Same { len, .. } | Self::Mixed { len } => len,
        }
    }
}

/// Runs shorter than this are expanded, because a span costs more than this number of bytes.
const SHORTEST_RUN: usize = 64;

/// The codes of a range of rows.
#[derive(Debug, Default)]
pub struct Codes {
    /// In the order of the rows.
    pub spans: Vec<CodeSpan>,
    /// Codes of the mixed spans, in the order of the rows.
    pub bytes: Vec<u8>,
}

impl Codes {
    /// Removes all codes, and keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.bytes.clear();
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.spans.iter().map(CodeSpan::len).sum()
    }

    /// Adds codes of about `rows` rows, run by run.
    pub fn append(&mut self, rows: usize) -> CodeWriter<'_> {
        let at = self.bytes.len();
        CodeWriter { codes: self, at, rows, mixed: 0 }
    }

    /// Adds `len` rows of one code.
    pub fn push_same(&mut self, code: u8, len: usize) {
        match self.spans.last_mut() {
            _ if len == 0 => {}
            Some(CodeSpan::Same { code: last, len: total }) if *last == code => *total += len,
            _ if len < SHORTEST_RUN => self.push_mixed(len).fill(code),
            _ => self.spans.push(CodeSpan::Same { code, len }),
        }
    }

    /// Adds `len` rows and returns their codes, which the caller must write: until then they are none.
    pub fn push_mixed(&mut self, len: usize) -> &mut [u8] {
        if let Some(CodeSpan::Mixed { len: total }) = self.spans.last_mut() {
            *total += len;
        } else if len > 0 {
            self.spans.push(CodeSpan::Mixed { len });
        }
        let start = self.bytes.len();
        self.bytes.resize(start + len, NO_ENTRY);
        &mut self.bytes[start..]
    }

    /// The code of each row. Slower than reading the spans.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let mut at = 0;
        self.spans.iter().flat_map(move |span| match *span {
            CodeSpan::Same { code, len } => Either::Same(std::iter::repeat_n(code, len)),
            CodeSpan::Mixed { len } => {
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

/// Appends runs to [`Codes`], with memory made ready for all of them in one step.
#[derive(Debug)]
pub struct CodeWriter<'a> {
    codes: &'a mut Codes,
    /// End of the bytes that are written. There may be more, which are not codes of rows yet.
    at: usize,
    /// Rows that are expected after it.
    rows: usize,
    /// Written bytes that no span has yet.
    mixed: usize,
}

impl CodeWriter<'_> {
    /// Adds `len` rows of one code.
    #[inline]
    pub fn same(&mut self, code: u8, len: usize) {
        if len < SHORTEST_RUN {
            // The number of bytes is constant, so that this is one or two stores. Those after the run are overwritten.
            self.ready(SHORTEST_RUN).fill(code);
            self.written(len);
            return;
        }
        self.end_mixed();
        self.rows = self.rows.saturating_sub(len);
        match self.codes.spans.last_mut() {
            Some(CodeSpan::Same { code: last, len: total }) if *last == code => *total += len,
            _ => self.codes.spans.push(CodeSpan::Same { code, len }),
        }
    }

    /// Adds `len` rows, whose codes `fill` writes.
    #[inline]
    pub fn mixed<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> T) -> T {
        let done = fill(self.ready(len));
        self.written(len);
        done
    }

    /// The next `len` bytes.
    #[inline]
    fn ready(&mut self, len: usize) -> &mut [u8] {
        let end = self.at + len;
        if self.codes.bytes.len() < end {
            self.codes.bytes.resize(end + self.rows.saturating_sub(len) + SHORTEST_RUN, NO_ENTRY);
        }
        &mut self.codes.bytes[self.at..end]
    }

    #[inline]
    fn written(&mut self, len: usize) {
        self.at += len;
        self.mixed += len;
        self.rows = self.rows.saturating_sub(len);
    }

    fn end_mixed(&mut self) {
        match self.codes.spans.last_mut() {
            _ if self.mixed == 0 => {}
            Some(CodeSpan::Mixed { len }) => *len += self.mixed,
            _ => self.codes.spans.push(CodeSpan::Mixed { len: self.mixed }),
        }
        self.mixed = 0;
    }

    /// Ends the codes with the last row that was added.
    pub fn finish(mut self) {
        self.end_mixed();
        self.codes.bytes.truncate(self.at);
    }
}

/// Gives the code of a value, or of null (`None`). The code is below 255, and the same for equal values.
pub type Classifier<'a> = &'a dyn Fn(Option<&[u8]>) -> u8;
