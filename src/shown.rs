//! Text from outside, as it is shown to people.
//!
//! A data value, a file name, a name in a policy or an answer of a server can contain anything: sequences that move the
//! cursor of a terminal, line ends that imitate a line of this program, characters that reverse the order of the text, or
//! characters that cannot be seen. None of it is obeyed: such a character is written as in a Rust literal, `\r` or
//! `\u{202e}`.
//!
//! - A value or a path that becomes part of a sentence goes through [`value`], [`quoted`] or [`path`]; line ends are escaped
//!   too, and long values are cut.
//! - Everything that is printed goes through [`lines`] or [`json`] at the end, so that a value which was forgotten cannot
//!   control the terminal.
//!
//! Escaping twice is the same as escaping once, except for [`quoted`].

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::path::Path;

/// Characters of a value that are shown. Longer values are cut.
pub const LONGEST: usize = 200;

/// Characters that count as printable, and show nothing or a blank: fillers of Hangul, and the empty Braille pattern.
const BLANKS: [char; 5] = ['\u{115F}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{FFA0}'];

/// Whether a character is shown as it is. Not so: control and format characters (they include all that change the
/// direction of text), line and paragraph separators, spaces other than U+0020, combining marks, code points without a
/// character, and `BLANKS`.
#[must_use]
pub fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        _ => !BLANKS.contains(&c) && c.escape_debug().len() == 1,
    }
}

/// Writes a character, escaped if it is not plain.
fn put(out: &mut impl Write, c: char) -> fmt::Result {
    if is_plain(c) {
        out.write_char(c)
    } else if BLANKS.contains(&c) {
        write!(out, "{}", c.escape_unicode())
    } else {
        write!(out, "{}", c.escape_debug())
    }
}

/// A value as part of a sentence: see [`value`] and [`quoted`].
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    value: &'a str,
    longest: usize,
    quoted: bool,
}

/// A value on one line: escaped, and cut after [`LONGEST`] characters, with the number of bytes that are left out.
#[must_use]
pub fn value(value: &str) -> Shown<'_> {
    Shown { value, longest: LONGEST, quoted: false }
}

/// As [`value`], in quotation marks, with quotation marks and backslashes escaped: two values that differ look different.
#[must_use]
pub fn quoted(value: &str) -> Shown<'_> {
    Shown { value, longest: LONGEST, quoted: true }
}

/// A message on one line, which may be longer than a value: cut after `longest` characters.
#[must_use]
pub fn message(value: &str, longest: usize) -> Shown<'_> {
    Shown { value, longest, quoted: false }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.value.char_indices().nth(self.longest).map_or(self.value.len(), |(at, _)| at);
        let (kept, rest) = self.value.split_at(end);
        if self.quoted {
            f.write_char('"')?;
        }
        for c in kept.chars() {
            if self.quoted && matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            put(f, c)?;
        }
        if self.quoted {
            f.write_char('"')?;
        }
        if rest.is_empty() { Ok(()) } else { write!(f, "... ({} bytes left out)", rest.len()) }
    }
}

/// A path on one line, whole: see [`path`].
#[derive(Debug, Clone, Copy)]
pub struct ShownPath<'a>(&'a Path);

/// A path on one line: escaped, and not cut. A byte that is not UTF-8 is written as `\xff`.
pub fn path<P: AsRef<Path> + ?Sized>(path: &P) -> ShownPath<'_> {
    ShownPath(path.as_ref())
}

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_os_str().as_encoded_bytes().utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| put(f, c))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Text of several lines, for a terminal or a page: all is escaped but the ends of lines.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c == '\n' || is_plain(c), escaped)
}

/// A JSON document for a terminal: the same values, with every character that is not plain as a JSON escape.
///
/// Outside of strings a document has plain characters and white space only, and inside of strings control characters are
/// escaped already.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    let escape = |out: &mut String, c: char| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    };
    replaced(document, |c| c == '\n' || is_plain(c), escape)
}

fn escaped(out: &mut String, c: char) {
    // Writing into a string does not fail.
    let _ = put(out, c);
}

fn replaced(text: &str, stays: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if text.chars().all(&stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if stays(c) { out.push(c) } else { escape(&mut out, c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// What a terminal acts upon, or does not show.
    const HOSTILE: [char; 26] = [
        '\0',
        '\x07',
        '\x08',
        '\t',
        '\n',
        '\r',
        '\x1b',
        '\x7f',
        '\u{85}',
        '\u{9b}',
        '\u{a0}',
        '\u{ad}',
        '\u{61c}',
        '\u{301}',
        '\u{3164}',
        '\u{200b}',
        '\u{200d}',
        '\u{200f}',
        '\u{2028}',
        '\u{202e}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{fe0f}',
        '\u{e0001}',
        '\u{10ffff}',
    ];

    #[test]
    fn whatever_a_terminal_acts_upon_or_does_not_show_is_escaped() {
        for c in HOSTILE {
            let text = format!("a{c}b");
            let shown = value(&text).to_string();
            assert!(shown.chars().all(|c| c.is_ascii() && !c.is_ascii_control()), "{c:?} is shown as {shown:?}");
            assert!(shown.starts_with("a\\") && shown.ends_with('b') && shown.len() > 3, "{shown}");
            assert_eq!(path(&text).to_string(), shown);
            assert_eq!(lines(&text) == text, c == '\n', "{c:?}");
            // Once more changes nothing.
            assert_eq!(lines(&shown), shown);
        }
        // Every character below U+00A0 that is not ASCII text: C0, DEL, C1.
        assert!((0..0xA0u32).filter_map(char::from_u32).all(|c| is_plain(c) == (' '..='~').contains(&c)));
    }

    #[test]
    fn plain_text_stays() {
        for text in ["", "Électricité & Co, \"North\"", "C:\\x", "£ 1,000 — 80 % 電力 ✓ 🙂", "it's"] {
            assert_eq!(value(text).to_string(), text);
            assert!(matches!(lines(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn quoted_values_that_differ_look_different() {
        assert_eq!(quoted("Pending").to_string(), "\"Pending\"");
        assert_eq!(quoted("Pending ").to_string(), "\"Pending \"");
        assert_eq!(quoted("a\n").to_string(), "\"a\\n\"");
        assert_eq!(quoted("a\\n").to_string(), "\"a\\\\n\"");
        assert_eq!(quoted("\"").to_string(), "\"\\\"\"");
    }

    #[test]
    fn long_values_are_cut_and_say_by_how_much() {
        let long = "é".repeat(500_000);
        let text = value(&long).to_string();
        assert_eq!(text, format!("{}... (999600 bytes left out)", "é".repeat(200)));
        let most = "x".repeat(LONGEST);
        assert_eq!(value(&most).to_string(), most);
        assert!(quoted(&long).to_string().ends_with("\"... (999600 bytes left out)"));
    }

    #[test]
    fn file_names_need_not_be_utf8() {
        let name = OsStr::from_bytes(b"a\xffb\xed\xa0\x80\x1b[2J/c");
        assert_eq!(path(name).to_string(), "a\\xffb\\xed\\xa0\\x80\\u{1b}[2J/c");
    }

    #[test]
    fn json_has_the_same_values() {
        let document = format!("{{\"a\": {}}}\n", serde_json::to_string(&HOSTILE.iter().collect::<String>()).unwrap());
        let escaped = json(&document);
        assert!(escaped.chars().all(|c| c == '\n' || (c.is_ascii() && !c.is_ascii_control())), "{escaped}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&escaped), read(&document));
    }
}
