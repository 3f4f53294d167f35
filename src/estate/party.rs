//! Notifying Parties: which texts name a party that can be alerted, and its canonical name.
//!
//! A party is identified by a user id, which is an EUI-64, or by any other name. Blanks around a name are removed, and
//! a user id is written like a Device ID, so that each party has one name in a run.

use std::borrow::Cow;

use super::DeviceId;

/// The Notifying Party of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party<'a> {
    /// Null, or blanks only.
    Missing,
    /// A party, by its canonical name.
    Named(Cow<'a, str>),
    /// A value that cannot be alerted: longer than [`MAX_BYTES`](Self::MAX_BYTES), not UTF-8, or with invisible
    /// characters.
    Bad,
}

impl<'a> Party<'a> {
    /// The longest valid name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Reads the text of the column `notifying_party`.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(text) else { return Self::Bad };
        let name = text.trim();
        if name.is_empty() {
            return Self::Missing;
        }
        if let Some(id) = DeviceId::from_dashed(name.as_bytes()) {
            return Self::Named(id.to_string().into());
        }
        if name.len() > Self::MAX_BYTES || name.chars().any(is_invisible) {
            return Self::Bad;
        }
        Self::Named(name.into())
    }

    /// The party of a user id.
    #[must_use]
    pub fn of_id(id: DeviceId) -> Self {
        Self::Named(id.to_string().into())
    }

    /// The name, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Missing | Self::Bad => None,
        }
    }
}

/// Characters that are invisible: control and format characters (Unicode categories Cc and Cf), and the replacement
/// characters U+FFF9 to U+FFFD, as inclusive ranges. Two names that differ in such a character only would look the same.
pub const INVISIBLE: [(char, char); 21] = [
    ('\0', '\u{1F}'),
    ('\u{7F}', '\u{9F}'),
    ('\u{AD}', '\u{AD}'),
    ('\u{600}', '\u{605}'),
    ('\u{61C}', '\u{61C}'),
    ('\u{6DD}', '\u{6DD}'),
    ('\u{70F}', '\u{70F}'),
    ('\u{890}', '\u{891}'),
    ('\u{8E2}', '\u{8E2}'),
    ('\u{180E}', '\u{180E}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{202A}', '\u{202E}'),
    ('\u{2060}', '\u{206F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFF9}', '\u{FFFD}'),
    ('\u{110BD}', '\u{110BD}'),
    ('\u{110CD}', '\u{110CD}'),
    ('\u{13430}', '\u{1343F}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0001}', '\u{E007F}'),
];

/// Characters that are removed at both ends of a name: those with the Unicode property `White_Space`.
pub const WHITE_SPACE: [char; 25] = [
    '\t', '\n', '\u{B}', '\u{C}', '\r', ' ', '\u{85}', '\u{A0}', '\u{1680}', '\u{2000}', '\u{2001}', '\u{2002}',
    '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2007}', '\u{2008}', '\u{2009}', '\u{200A}', '\u{2028}',
    '\u{2029}', '\u{202F}', '\u{205F}', '\u{3000}',
];

fn is_invisible(c: char) -> bool {
    INVISIBLE.iter().any(|&(first, last)| (first..=last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_has_one_name_however_it_is_written() {
        for text in ["Acme", " Acme", "Acme  ", "\u{a0}Acme\n"] {
            assert_eq!(Party::of(text.as_bytes()).name(), Some("Acme"), "{text:?}");
        }
        for text in ["90-b3-d5-1f-30-00-00-01", " 90-B3-D5-1F-30-00-00-01 "] {
            assert_eq!(Party::of(text.as_bytes()).name(), Some("90-B3-D5-1F-30-00-00-01"), "{text:?}");
        }
        assert_eq!(Party::of("(none)".as_bytes()).name(), Some("(none)"));
        assert_eq!(Party::of("Électricité & Co, \"North\"".as_bytes()).name(), Some("Électricité & Co, \"North\""));
    }

    #[test]
    fn the_lists_of_characters_are_those_of_unicode() {
        for c in '\0'..=char::MAX {
            assert_eq!(WHITE_SPACE.contains(&c), c.is_whitespace(), "{c:?}");
            assert!(!c.is_control() || is_invisible(c), "{c:?}");
        }
    }

    #[test]
    fn blanks_are_missing() {
        for text in ["", " ", "        ", "\t\n", "\u{a0}\u{2003}"] {
            assert_eq!(Party::of(text.as_bytes()), Party::Missing, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_or_addressed_is_bad() {
        let long = "x".repeat(65);
        for text in
            ["\0\0", "a\0", "Ac\nme", "\u{200b}", "Acme\u{200b}", "\u{feff}Acme", "\u{202e}emcA", "a\u{fffd}", &long]
        {
            assert_eq!(Party::of(text.as_bytes()), Party::Bad, "{text:?}");
        }
        assert_eq!(Party::of(b"\xFF\xFE"), Party::Bad);
        assert_eq!(Party::of(format!(" {} ", "x".repeat(64)).as_bytes()).name().map(str::len), Some(64));
    }
}
