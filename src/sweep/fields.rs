//! Identifiers as snapshots store them: Device IDs, parties and roles.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::findings::{Parties, PartyRegister};
use super::lanes::Value;
use crate::estate::{DeviceId, Party, Reason};
use crate::policy::PartyField;
use crate::snapshot::Form;

/// The Device ID of a stored value; `None` where it is malformed.
#[must_use]
#[inline]
pub fn device_id(form: Form, bytes: &[u8]) -> Option<DeviceId> {
    match form {
        Form::Number => Some(DeviceId(u64::from_le_bytes(bytes.try_into().ok()?))),
        Form::Fixed8 => DeviceId::from_bytes(bytes),
        // Bytes without an annotation are an EUI-64 if there are eight, and text otherwise.
        Form::Raw if bytes.len() == 8 => DeviceId::from_bytes(bytes),
        _ => DeviceId::from_text(bytes),
    }
}

/// A Device ID as text, as it was found: bytes and numbers in canonical form, text as it is.
#[must_use]
pub fn id_as_found(form: Form, bytes: &[u8]) -> String {
    match (form, device_id(form, bytes)) {
        (Form::Text, _) | (_, None) => String::from_utf8_lossy(bytes).into_owned(),
        (Form::Raw, Some(_)) if bytes.len() != 8 => String::from_utf8_lossy(bytes).into_owned(),
        (_, Some(id)) => id.to_string(),
    }
}

/// The user id that a stored party is, where it is stored as one and not as text.
///
/// Of eight bytes without an annotation nobody says which of the two they are. Where all are printable they are text: a
/// user id has other bytes among its eight but for very few.
fn user_id(form: Form, bytes: &[u8]) -> Option<DeviceId> {
    match form {
        // Blanks are what an export pads an empty field with.
        Form::Fixed8 if bytes.iter().all(|&byte| byte == b' ') => None,
        Form::Raw if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => None,
        Form::Raw if bytes.len() != 8 => None,
        Form::Number | Form::Fixed8 | Form::Raw => device_id(form, bytes),
        _ => None,
    }
}

/// What a stored value says of the Notifying Party. All that speak of parties ask here.
#[must_use]
pub fn party_field(form: Form, bytes: Option<&[u8]>) -> Party<'_> {
    let Some(bytes) = bytes else { return Party::Missing };
    match (form, user_id(form, bytes)) {
        (_, Some(id)) => Party::of_id(id),
        (Form::Text | Form::Raw | Form::Fixed8, None) => Party::of(bytes),
        _ => Party::Bad,
    }
}

/// A party as it was found: user ids that are stored as bytes or numbers in canonical form, text as it is. `None` where
/// it is not text.
#[must_use]
pub fn party_as_found(form: Form, bytes: &[u8]) -> Option<Cow<'_, str>> {
    match user_id(form, bytes) {
        Some(id) => Some(id.to_string().into()),
        None => std::str::from_utf8(bytes).ok().map(Cow::from),
    }
}

/// What a due row says of who is to be told, as the one number that [`Due::party`](super::Due::party) holds during a
/// sweep: that of a party in the register, or one of those at the end that no party has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// A party, by its number in the register.
    Party(u32),
    /// Nobody.
    Missing,
    /// Something that names nobody.
    Bad,
    /// The role of whoever it is, is neither of the two: the party does not matter any more.
    UnknownRole,
}

impl Noted {
    /// As a number.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u32 {
        match self {
            Self::Party(number) => number,
            Self::Missing => Parties::NONE,
            Self::Bad => Parties::NONE - 1,
            Self::UnknownRole => Parties::NONE - 2,
        }
    }

    /// From its number.
    #[must_use]
    #[inline]
    pub const fn of(number: u32) -> Self {
        match Parties::NONE - number {
            0 => Self::Missing,
            1 => Self::Bad,
            2 => Self::UnknownRole,
            _ => Self::Party(number),
        }
    }

    /// What keeps the row's device from being deleted, by whether that raises an alert.
    #[must_use]
    #[inline]
    pub const fn flaw(self, alert: bool) -> Option<Reason> {
        match self {
            Self::Party(_) => None,
            Self::Missing => PartyField::Missing.flaw(alert),
            Self::Bad => PartyField::Bad.flaw(alert),
            Self::UnknownRole => Some(Reason::UnknownRole),
        }
    }
}

/// Turns stored parties into the numbers of a register that all workers share.
#[derive(Debug, Default)]
pub struct PartyNumbers {
    by_code: Vec<Option<u32>>,
    by_bytes: HashMap<Box<[u8]>, u32>,
}

/// How many plain parties a worker remembers by itself; beyond, it asks the register.
const REMEMBERED: usize = 4096;

impl PartyNumbers {
    /// A new column chunk begins: codes mean something else now.
    pub fn begin_chunk(&mut self) {
        self.by_code.clear();
    }

    /// The number of a stored party.
    pub fn number(&mut self, form: Form, value: Value<'_>, register: &Mutex<PartyRegister>) -> u32 {
        let Some(bytes) = value.bytes else { return Noted::Missing.number() };
        if let Some(code) = value.code {
            let code = code as usize;
            if let Some(Some(number)) = self.by_code.get(code) {
                return *number;
            }
            let number = number(form, bytes, register);
            if self.by_code.len() <= code {
                self.by_code.resize(code + 1, None);
            }
            self.by_code[code] = Some(number);
            return number;
        }
        if let Some(number) = self.by_bytes.get(bytes) {
            return *number;
        }
        let number = number(form, bytes, register);
        if self.by_bytes.len() < REMEMBERED {
            self.by_bytes.insert(bytes.into(), number);
        }
        number
    }
}

fn number(form: Form, bytes: &[u8], register: &Mutex<PartyRegister>) -> u32 {
    let noted = match party_field(form, Some(bytes)) {
        Party::Missing => Noted::Missing,
        Party::Bad => Noted::Bad,
        Party::Named(name) => Noted::Party(register.lock().unwrap_or_else(PoisonError::into_inner).number(&name)),
    };
    noted.number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_are_text_where_all_can_be_printed() {
        let named = |form, bytes: &'static [u8]| party_field(form, Some(bytes)).name().map(str::to_owned);
        assert_eq!(named(Form::Raw, b"PARTY001").as_deref(), Some("PARTY001"));
        assert_eq!(named(Form::Raw, b"Acme    ").as_deref(), Some("Acme"));
        assert_eq!(named(Form::Raw, b"90-b3-d5-1f-30-00-00-01").as_deref(), Some("90-B3-D5-1F-30-00-00-01"));
        let id: &[u8] = &[0x90, 0xB3, 0xD5, 0x1F, 0x30, 0, 0, 1];
        assert_eq!(named(Form::Raw, id).as_deref(), Some("90-B3-D5-1F-30-00-00-01"));
        assert_eq!(named(Form::Fixed8, b"PARTY001").as_deref(), Some("50-41-52-54-59-30-30-31"));
        for form in [Form::Raw, Form::Fixed8, Form::Text] {
            assert_eq!(party_field(form, Some(b"        ")), Party::Missing, "{form:?}");
        }
        assert_eq!(party_field(Form::Raw, Some(b"\xFF\xFE")), Party::Bad);
        assert_eq!(party_field(Form::Null, Some(b"Acme")), Party::Bad);
        assert_eq!(party_field(Form::Text, None), Party::Missing);
    }

    #[test]
    fn what_is_noted_is_read_back() {
        for noted in [Noted::Party(0), Noted::Party(7), Noted::Missing, Noted::Bad, Noted::UnknownRole] {
            assert_eq!(Noted::of(noted.number()), noted);
        }
        assert_eq!(Noted::Missing.number(), Parties::NONE, "what is left of it after settling");
    }
}
