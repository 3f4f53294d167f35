//! Codes of a range of rows: one byte for each row, with runs kept as runs.
//!
//! Where a file is clustered by status, a million equal rows are one [`CodeSpan`].

/// A stretch of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeSpan {
    /// All of one code.
    Same {
        /// The code.
        code: u8,
        /// How many rows.
        len: usize,
    },
    /// Each of its own: the next `len` bytes of [`Codes::bytes`].
    Mixed {
        /// How many rows.
        len: usize,
    },
}

impl CodeSpan {
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

/// The codes of a range of rows.
#[derive(Debug, Default)]
pub struct Codes {
    /// In the order of the rows.
    pub spans: Vec<CodeSpan>,
    /// Codes of the mixed spans, one after the other.
    pub bytes: Vec<u8>,
}

impl Codes {
    /// Forgets everything, but keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.bytes.clear();
    }

    /// How many rows there are.
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

    /// Adds `len` rows, whose codes the caller writes.
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

    /// The code of each row, for those who do not mind the cost.
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

/// Gives the code of a value, or of null. It returns less than 255, and always the same for the same value.
pub type Classifier<'a> = &'a dyn Fn(Option<&[u8]>) -> u8;
