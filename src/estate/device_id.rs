//! Device IDs: EUI-64, written by DUIS as eight hex pairs joined by `-`.

use std::fmt;
use std::str::FromStr;

/// Length of the text form, `00-DB-12-34-56-78-90-A0`.
pub const TEXT_LEN: usize = 23;

/// An EUI-64 as its big-endian number, so that numeric order is the order of the canonical text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u64);

/// Value of a hex digit in either case; 0xFF for every other byte.
const HEX_VALUE: [u8; 256] = {
    let mut table = [0xFF; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

impl DeviceId {
    /// Reads a text form: eight hex pairs joined by `-` or by `:`, or 16 hex digits; in either case. `None` if it is
    /// malformed.
    #[must_use]
    #[inline]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        match text.len() {
            TEXT_LEN => Self::joined_by(if text[2] == b':' { b':' } else { b'-' }, text),
            16 => Self::from_digits(text),
            _ => None,
        }
    }

    /// Reads the form of DUIS, eight hex pairs joined by `-`, in either case. `None` for all else.
    #[must_use]
    #[inline]
    pub fn from_dashed(text: &[u8]) -> Option<Self> {
        Self::joined_by(b'-', text)
    }

    #[inline]
    fn joined_by(joint: u8, text: &[u8]) -> Option<Self> {
        let text: &[u8; TEXT_LEN] = text.try_into().ok()?;
        let mut value = 0u64;
        // A bad digit has its high bits set. They are collected, so that there is one branch at the end.
        let mut bad = 0u8;
        for pair in 0..8 {
            let high = HEX_VALUE[text[pair * 3] as usize];
            let low = HEX_VALUE[text[pair * 3 + 1] as usize];
            bad |= high | low;
            value = value << 8 | u64::from(high << 4 | low & 0x0F);
        }
        for place in 0..7 {
            bad |= if text[place * 3 + 2] == joint { 0 } else { 0xFF };
        }
        (bad <= 0x0F).then_some(Self(value))
    }

    fn from_digits(text: &[u8]) -> Option<Self> {
        let mut value = 0u64;
        let mut bad = 0u8;
        for &byte in text {
            let digit = HEX_VALUE[byte as usize];
            bad |= digit;
            value = value << 4 | u64::from(digit & 0x0F);
        }
        (bad <= 0x0F).then_some(Self(value))
    }

    /// Reads the eight bytes of the EUI-64, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// The canonical text: upper case, joined by `-`.
    #[must_use]
    #[inline]
    pub fn to_text(self) -> [u8; TEXT_LEN] {
        let mut text = [b'-'; TEXT_LEN];
        for (pair, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            text[pair * 3] = DIGITS[usize::from(byte >> 4)];
            text[pair * 3 + 1] = DIGITS[usize::from(byte & 0x0F)];
        }
        text
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.to_text() {
            fmt::Write::write_char(f, char::from(byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is neither eight hex pairs joined by `-` or `:`, nor 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Device ID: eight hex pairs joined by `-` are wanted, as in 00-DB-12-34-56-78-90-A0")]
pub struct Malformed;

impl FromStr for DeviceId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::from_text(text.as_bytes()).ok_or(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways_in_either_case() {
        let id: DeviceId = "00-db-12-34-56-78-90-a0".parse().unwrap();
        assert_eq!(id, DeviceId(0x00DB_1234_5678_90A0));
        assert_eq!(id.to_string(), "00-DB-12-34-56-78-90-A0");
    }

    #[test]
    fn digits_with_colons_or_without_separators_are_the_same() {
        let id = DeviceId(0x00DB_1234_5678_90A0);
        for text in ["00:DB:12:34:56:78:90:A0", "00:db:12:34:56:78:90:a0", "00DB1234567890A0", "00db1234567890a0"] {
            assert_eq!(DeviceId::from_text(text.as_bytes()), Some(id), "{text}");
            assert_eq!(DeviceId::from_dashed(text.as_bytes()), None, "{text}");
        }
        for text in [
            "00:DB-12:34:56:78:90:A0",
            "00-DB:12:34:56:78:90:A0",
            "00 DB 12 34 56 78 90 A0",
            "00DB1234567890A",
            "00DB1234567890AG",
            "0x00DB1234567890",
            "00DB-1234-5678-90A0",
            " 0DB1234567890A0",
        ] {
            assert_eq!(DeviceId::from_text(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_single_wrong_byte_is_malformed() {
        let good = *b"00-DB-12-34-56-78-90-A0";
        for position in 0..TEXT_LEN {
            for byte in 0..=255u8 {
                let mut text = good;
                text[position] = byte;
                let joint = position % 3 == 2;
                let fine = if joint { byte == b'-' } else { byte.is_ascii_hexdigit() };
                assert_eq!(DeviceId::from_text(&text).is_some(), fine, "byte {byte} at {position}");
                assert_eq!(DeviceId::from_dashed(&text).is_some(), fine, "byte {byte} at {position}");
            }
        }
        assert!(DeviceId::from_text(&good[..22]).is_none());
        assert!(DeviceId::from_text(b"").is_none());
        assert!(DeviceId::from_text(b"00-DB-12-34-56-78-90-A0 ").is_none());
    }

    #[test]
    fn numeric_order_is_text_order() {
        let ids = [0, 1, 0x0F, 0x10, 0xFF, 1 << 32, u64::MAX / 2, u64::MAX].map(DeviceId);
        assert!(ids.map(DeviceId::to_text).is_sorted());
    }
}
