//! Reads the devices of some types, with status and date, for consumers that count devices of a few types.
//!
//! Types are read first, as codes. If a range has no device of these types, its other columns are not read.

use super::columns::codes::Codes;
use super::driver::RangeReader;
use super::values;
use crate::error::Result;
use crate::estate::{Column, DeviceId, DeviceType, SmiStatus, TypeSet};
use crate::policy::Policy;

/// A device of one of the types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypedDevice {
    /// Its Device ID; `None` if null or malformed.
    pub id: Option<DeviceId>,
    /// Code of its [`SmiStatus`].
    pub status: u8,
    /// The start of its status, UTC microseconds since 1970.
    pub since: Option<i64>,
}

/// Buffers that a worker reuses for every range.
#[derive(Debug, Default)]
pub struct TypeBuffers {
    codes: Codes,
    rows: Vec<u32>,
    /// The devices of the range that was read last, in the order of its rows.
    pub devices: Vec<TypedDevice>,
}

/// Reads the devices of these types from a range into [`TypeBuffers::devices`]. Returns the number of rows whose type
/// is null or unknown to the policy.
///
/// # Errors
/// A damaged chunk.
pub fn scan_types(
    range: &mut RangeReader<'_>,
    policy: &Policy,
    types: TypeSet,
    buffers: &mut TypeBuffers,
) -> Result<u64> {
    let TypeBuffers { codes, rows, devices } = buffers;
    rows.clear();
    devices.clear();
    let classify = |value: Option<&[u8]>| value.map_or(DeviceType::NULL, |spelling| policy.type_code(spelling));
    range.codes(Column::DeviceType, &classify, codes)?;
    let mut untyped = 0;
    for (row, code) in (range.range.rows.start..).zip(codes.iter()) {
        if types.contains_code(code) {
            rows.push(row);
        }
        untyped += u64::from(code >= DeviceType::UNKNOWN);
    }
    if rows.is_empty() {
        return Ok(untyped);
    }
    let classify = |value: Option<&[u8]>| value.map_or(SmiStatus::NULL, |spelling| policy.status_code(spelling));
    range.codes(Column::SmiStatus, &classify, codes)?;
    let mut statuses = codes.iter();
    let mut next = range.range.rows.start;
    for &row in &*rows {
        let status = statuses.nth((row - next) as usize).unwrap_or(SmiStatus::NULL);
        next = row + 1;
        devices.push(TypedDevice { id: None, status, since: None });
    }
    let form = range.form(Column::DeviceId)?;
    range.values(Column::DeviceId, rows, |index, value| {
        devices[index].id = value.bytes.and_then(|bytes| values::device_id(form, bytes));
    })?;
    let dates = &range.file.dates;
    range.values(Column::StatusSince, rows, |index, value| {
        devices[index].since = dates.read(value.bytes);
    })?;
    Ok(untyped)
}
