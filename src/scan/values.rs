//! Reads Device IDs and parties from their stored forms.

use std::borrow::Cow;

use crate::estate::{DeviceId, Party};
use crate::snapshot::PhysicalForm;

/// The Device ID of a stored value; `None` if it is malformed.
#[must_use]
#[inline]
pub fn device_id(form: PhysicalForm, bytes: &[u8]) -> Option<DeviceId> {
    match form {
        PhysicalForm::Number => Some(DeviceId(u64::from_le_bytes(bytes.try_into().ok()?))),
        PhysicalForm::Fixed8 => DeviceId::from_bytes(bytes),
        // Byte arrays without a logical type are an EUI-64 if they have eight bytes, and text otherwise.
        PhysicalForm::Raw if bytes.len() == 8 => DeviceId::from_bytes(bytes),
        _ => DeviceId::from_text(bytes),
    }
}

/// A stored Device ID as text: bytes and numbers in canonical form, text unchanged.
#[must_use]
pub fn id_as_found(form: PhysicalForm, bytes: &[u8]) -> String {
    match (form, device_id(form, bytes)) {
        (PhysicalForm::Text, _) | (_, None) => String::from_utf8_lossy(bytes).into_owned(),
        (PhysicalForm::Raw, Some(_)) if bytes.len() != 8 => String::from_utf8_lossy(bytes).into_owned(),
        (_, Some(id)) => id.to_string(),
    }
}

/// The user ID of a stored party; `None` if the party is stored as text.
///
/// Eight bytes without a logical type may be either. If all are printable they are text, because nearly every user ID
/// has a byte that is not printable.
fn user_id(form: PhysicalForm, bytes: &[u8]) -> Option<DeviceId> {
    match form {
        // Some exports fill an empty field with blanks.
        PhysicalForm::Fixed8 if bytes.iter().all(|&byte| byte == b' ') => None,
        PhysicalForm::Raw if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => None,
        PhysicalForm::Raw if bytes.len() != 8 => None,
        PhysicalForm::Number | PhysicalForm::Fixed8 | PhysicalForm::Raw => device_id(form, bytes),
        _ => None,
    }
}

/// The Notifying Party of a stored value. All consumers use this function, so that they agree.
#[must_use]
pub fn party_field(form: PhysicalForm, bytes: Option<&[u8]>) -> Party<'_> {
    let Some(bytes) = bytes else { return Party::Missing };
    match (form, user_id(form, bytes)) {
        (_, Some(id)) => Party::of_id(id),
        (PhysicalForm::Text | PhysicalForm::Raw | PhysicalForm::Fixed8, None) => Party::of(bytes),
        _ => Party::Bad,
    }
}

/// A stored party as text: user IDs that are stored as bytes or numbers in canonical form, text unchanged. `None` if it
/// is not UTF-8.
#[must_use]
pub fn party_as_found(form: PhysicalForm, bytes: &[u8]) -> Option<Cow<'_, str>> {
    match user_id(form, bytes) {
        Some(id) => Some(id.to_string().into()),
        None => std::str::from_utf8(bytes).ok().map(Cow::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_are_text_where_all_can_be_printed() {
        let named = |form, bytes: &'static [u8]| party_field(form, Some(bytes)).name().map(str::to_owned);
        assert_eq!(named(PhysicalForm::Raw, b"PARTY001").as_deref(), Some("PARTY001"));
        assert_eq!(named(PhysicalForm::Raw, b"Acme    ").as_deref(), Some("Acme"));
        assert_eq!(named(PhysicalForm::Raw, b"90-b3-d5-1f-30-00-00-01").as_deref(), Some("90-B3-D5-1F-30-00-00-01"));
        let id: &[u8] = &[0x90, 0xB3, 0xD5, 0x1F, 0x30, 0, 0, 1];
        assert_eq!(named(PhysicalForm::Raw, id).as_deref(), Some("90-B3-D5-1F-30-00-00-01"));
        assert_eq!(named(PhysicalForm::Fixed8, b"PARTY001").as_deref(), Some("50-41-52-54-59-30-30-31"));
        for form in [PhysicalForm::Raw, PhysicalForm::Fixed8, PhysicalForm::Text] {
            assert_eq!(party_field(form, Some(b"        ")), Party::Missing, "{form:?}");
        }
        assert_eq!(party_field(PhysicalForm::Raw, Some(b"\xFF\xFE")), Party::Bad);
        assert_eq!(party_field(PhysicalForm::Null, Some(b"Acme")), Party::Bad);
        assert_eq!(party_field(PhysicalForm::Text, None), Party::Missing);
    }
}
