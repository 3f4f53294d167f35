//! Compares the rows of two snapshots, independently of order and layout.

use std::fmt;
use std::iter::Sum;

use crate::scan::rows::{Rows, TextColumn};

/// The number of rows, and the sum of their digests.
///
/// A row's digest is the first 16 bytes of the BLAKE3 hash over its values as the engine reads them: Device ID and
/// parties in canonical form if they are stored as bytes or numbers, dates in UTC microseconds. The sum, modulo 2^128,
/// does not depend on the order of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Number of rows.
    pub rows: u64,
    sum: u128,
}

impl Fingerprint {
    /// The fingerprint of `rows`.
    #[must_use]
    pub fn of(rows: &Rows) -> Self {
        let mut malformed = rows.malformed.iter().peekable();
        let mut text = Vec::with_capacity(256);
        let mut sum = 0u128;
        for row in 0..rows.len() {
            text.clear();
            match (rows.ids[row], malformed.next_if(|(at, _)| *at == row)) {
                (Some(id), _) => put(&mut text, b'i', &id.0.to_be_bytes()),
                (None, Some((_, found))) => put(&mut text, b'm', found.as_bytes()),
                (None, None) => put(&mut text, b'-', &[]),
            }
            match rows.since[row] {
                Some(since) => put(&mut text, b't', &since.to_be_bytes()),
                None => put(&mut text, b'-', &[]),
            }
            for words in [&rows.types, &rows.statuses, &rows.parties, &rows.roles] {
                put_word(&mut text, words, row);
            }
            let digest = blake3::hash(&text);
            let half = digest.as_bytes().first_chunk().copied().unwrap_or_default();
            sum = sum.wrapping_add(u128::from_be_bytes(half));
        }
        Self { rows: rows.len() as u64, sum }
    }
}

fn put_word(text: &mut Vec<u8>, words: &TextColumn, row: usize) {
    match words.get(row) {
        Some(word) => put(text, b'w', word.as_bytes()),
        None => put(text, b'-', &[]),
    }
}

/// Appends kind, length and bytes of a value, so that different rows never have the same text.
fn put(text: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    text.push(kind);
    text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    text.extend_from_slice(bytes);
}

impl Sum for Fingerprint {
    fn sum<I: Iterator<Item = Self>>(prints: I) -> Self {
        prints.fold(Self::default(), |a, b| Self { rows: a.rows + b.rows, sum: a.sum.wrapping_add(b.sum) })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}
