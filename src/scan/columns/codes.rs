//! Codes of a range of rows: one byte for each row, with runs kept as runs.
//!
//! Where a file is clustered by status, a million equal rows are one [`CodeSpan`].

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

    /// Adds `len` rows of one code.
    pub fn push_same(&mut self, code: u8, len: usize) {
        match self.spans.last_mut() {
            _ if len == 0 => {}
            Some(CodeSpan::Same { code: last, len: total }) if *last == code => *total += len,
            _ if len < SHORTEST_RUN => self.push_mixed(len).fill(code),
            _ => self.spans.push(CodeSpan::Same { code, len }),
        }
    }

    /// Adds `len` rows and returns their codes, all 0, for the caller to write.
    pub fn push_mixed(&mut self, len: usize) -> &mut [u8] {
        if let Some(CodeSpan::Mixed { len: total }) = self.spans.last_mut() {
            *total += len;
        } else if len > 0 {
            self.spans.push(CodeSpan::Mixed { len });
        }
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
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

/// Gives the code of a value, or of null (`None`). The code is below 255, and the same for equal values.
pub type Classifier<'a> = &'a dyn Fn(Option<&[u8]>) -> u8;
