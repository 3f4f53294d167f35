//! Identifiers as snapshots store them: Device IDs, parties and roles.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::findings::{Parties, PartyRegister};
use super::lanes::Value;
use crate::estate::{DeviceId, PARTY_MAX_BYTES};
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

/// An identifier as text, as it was found: bytes and numbers in canonical form, text as it is.
#[must_use]
pub fn as_found(form: Form, bytes: &[u8]) -> String {
    match (form, device_id(form, bytes)) {
        (Form::Text, _) | (_, None) => String::from_utf8_lossy(bytes).into_owned(),
        (Form::Raw, Some(_)) if bytes.len() != 8 => String::from_utf8_lossy(bytes).into_owned(),
        (_, Some(id)) => id.to_string(),
    }
}

/// What a row says of its Notifying Party, as the number that [`Due::party`](super::Due::party) holds during a sweep.
pub mod party {
    use super::Parties;

    /// Null, empty or blank.
    pub const MISSING: u32 = Parties::NONE;
    /// Too long to be addressed, or not text.
    pub const BAD: u32 = u32::MAX - 1;
    /// The row's role is neither of the two. Kept here since such a row has no use for its party.
    pub const UNKNOWN_ROLE: u32 = u32::MAX - 2;
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
        let Some(bytes) = value.bytes else { return party::MISSING };
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
    let canonical;
    let name = if let Some(id) = device_id(form, bytes) {
        canonical = id.to_text();
        &canonical[..]
    } else {
        bytes
    };
    match std::str::from_utf8(name) {
        Ok(name) if name.trim().is_empty() => party::MISSING,
        Ok(name) if name.len() <= PARTY_MAX_BYTES => {
            register.lock().unwrap_or_else(PoisonError::into_inner).number(name)
        }
        _ => party::BAD,
    }
}
