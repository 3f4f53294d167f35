//! Converts status dates from their stored forms to microseconds.

use crate::estate::time::DAY_MICROS;
use crate::snapshot::{PhysicalForm, TimestampUnit};

/// A null date. [`micros`] returns it for no stored value.
pub const NULL: i64 = i64::MIN;

/// Julian day number of 1970-01-01: INT96 timestamps store Julian days.
const JULIAN_EPOCH: i64 = 2_440_588;

/// A stored date in UTC microseconds since 1970, rounded down. A date outside of the range of `i64` microseconds
/// becomes the nearest value in range, which is a future or an implausible date.
#[must_use]
pub fn micros(form: PhysicalForm, bytes: &[u8]) -> i64 {
    let value = match (form, bytes.len()) {
        (PhysicalForm::Date, 4..) => i64::from(i32::from_le_bytes(first(bytes))).saturating_mul(DAY_MICROS),
        (PhysicalForm::Timestamp(unit), 8..) => scale(unit, i64::from_le_bytes(first(bytes))),
        (PhysicalForm::Int96, 12..) => {
            let nanos = i64::from_le_bytes(first(bytes));
            let julian = i64::from(i32::from_le_bytes(first(&bytes[8..])));
            (julian - JULIAN_EPOCH).saturating_mul(DAY_MICROS).saturating_add(nanos.div_euclid(1000))
        }
        _ => NULL,
    };
    value.max(NULL + 1)
}

fn scale(unit: TimestampUnit, value: i64) -> i64 {
    match unit {
        TimestampUnit::Second => value.saturating_mul(1_000_000),
        TimestampUnit::Milli => value.saturating_mul(1000),
        TimestampUnit::Micro => value,
        TimestampUnit::Nano => value.div_euclid(1000),
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_one_moment_is_the_same_microsecond() {
        let micro = 1_700_000_000_123_456_i64;
        assert_eq!(micros(PhysicalForm::Timestamp(TimestampUnit::Micro), &micro.to_le_bytes()), micro);
        assert_eq!(micros(PhysicalForm::Timestamp(TimestampUnit::Nano), &(micro * 1000 + 999).to_le_bytes()), micro);
        assert_eq!(
            micros(PhysicalForm::Timestamp(TimestampUnit::Milli), &(micro / 1000).to_le_bytes()),
            micro / 1000 * 1000
        );
        assert_eq!(
            micros(PhysicalForm::Timestamp(TimestampUnit::Second), &(micro / 1_000_000).to_le_bytes()),
            1_700_000_000_000_000
        );
        assert_eq!(micros(PhysicalForm::Date, &19_675_i32.to_le_bytes()), 19_675 * DAY_MICROS);
        let mut int96 = (micro.rem_euclid(DAY_MICROS) * 1000).to_le_bytes().to_vec();
        int96.extend(((micro / DAY_MICROS + JULIAN_EPOCH) as i32).to_le_bytes());
        assert_eq!(micros(PhysicalForm::Int96, &int96), micro);
    }

    #[test]
    fn beyond_the_range_is_its_end_and_never_null() {
        assert_eq!(micros(PhysicalForm::Timestamp(TimestampUnit::Second), &i64::MAX.to_le_bytes()), i64::MAX);
        assert_eq!(micros(PhysicalForm::Timestamp(TimestampUnit::Second), &i64::MIN.to_le_bytes()), NULL + 1);
        assert_eq!(micros(PhysicalForm::Timestamp(TimestampUnit::Nano), &(-1i64).to_le_bytes()), -1);
    }
}
