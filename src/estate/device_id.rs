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
    /// Reads the text form, in either case. `None` if it is malformed.
    #[must_use]
    #[inline]
    pub fn from_text(text: &[u8]) -> Option<Self> {
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
        for joint in 0..7 {
            bad |= if text[joint * 3 + 2] == b'-' { 0 } else { 0xFF };
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

/// The text is not eight hex pairs joined by `-`.
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
    fn every_single_wrong_byte_is_malformed() {
        let good = *b"00-DB-12-34-56-78-90-A0";
        for position in 0..TEXT_LEN {
            for byte in 0..=255u8 {
                let mut text = good;
                text[position] = byte;
                let joint = position % 3 == 2;
                let fine = if joint { byte == b'-' } else { byte.is_ascii_hexdigit() };
                assert_eq!(DeviceId::from_text(&text).is_some(), fine, "byte {byte} at {position}");
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
