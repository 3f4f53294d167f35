//! Status dates: from their stored forms to microseconds, and pages that need not be read for them.

use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::lanes::Lane;
use crate::estate::time::DAY_MICROS;
use crate::snapshot::{Form, Unit};

/// Stands for null among dates; a stored value never becomes it.
pub const NULL: i64 = i64::MIN;

/// Day number of 1970-01-01 in the Julian count that INT96 uses.
const JULIAN_EPOCH: i64 = 2_440_588;

/// The microseconds of a stored date, UTC. Finer than that is cut off towards the past; what lies beyond the range of
/// microseconds becomes its end, which is far in the future or implausibly early.
#[must_use]
pub fn micros(form: Form, bytes: &[u8]) -> i64 {
    let value = match (form, bytes.len()) {
        (Form::Date, 4..) => i64::from(i32::from_le_bytes(first(bytes))).saturating_mul(DAY_MICROS),
        (Form::Timestamp(unit), 8..) => scale(unit, i64::from_le_bytes(first(bytes))),
        (Form::Int96, 12..) => {
            let nanos = i64::from_le_bytes(first(bytes));
            let julian = i64::from(i32::from_le_bytes(first(&bytes[8..])));
            (julian - JULIAN_EPOCH).saturating_mul(DAY_MICROS).saturating_add(nanos.div_euclid(1000))
        }
        _ => NULL,
    };
    value.max(NULL + 1)
}

fn scale(unit: Unit, value: i64) -> i64 {
    match unit {
        Unit::Second => value.saturating_mul(1_000_000),
        Unit::Milli => value.saturating_mul(1000),
        Unit::Micro => value,
        Unit::Nano => value.div_euclid(1000),
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// Lowest and highest date of some rows, none of which is null, as statistics have them.
type Bounds = (i64, i64);

/// Says which pages of a date column hold only dates that are not due, and not in the future either.
///
/// Statistics only ever spare rows from deletion here: were they wrong, a row would be kept that is due, and never the
/// other way round.
#[derive(Debug)]
pub struct NotDuePages<'a> {
    lane: Lane<'a>,
    /// The latest date that is due for any type under any policy.
    latest_due: i64,
    as_of: i64,
    whole_chunk: Option<i64>,
}

impl<'a> NotDuePages<'a> {
    /// For one date column of a row group.
    #[must_use]
    pub fn new(lane: Lane<'a>, latest_due: i64, as_of: i64) -> Self {
        let mut pages = Self { lane, latest_due, as_of, whole_chunk: None };
        pages.whole_chunk = pages.chunk_bounds().and_then(|bounds| pages.stand_in(bounds));
        pages
    }

    /// A date that is judged like every date of the whole chunk, where there is one.
    #[must_use]
    pub const fn whole_chunk(&self) -> Option<i64> {
        self.whole_chunk
    }

    /// A date that is judged like every date of a page, where there is one.
    #[must_use]
    pub fn page(&self, ordinal: usize) -> Option<i64> {
        self.page_bounds(ordinal).and_then(|bounds| self.stand_in(bounds))
    }

    fn stand_in(&self, (lowest, highest): Bounds) -> Option<i64> {
        (lowest > self.latest_due && highest <= self.as_of).then_some(lowest)
    }

    fn chunk_bounds(&self) -> Option<Bounds> {
        let statistics = self.lane.file.chunk_footer(self.lane.group, self.lane.bound).statistics()?;
        if self.lane.bound.optional && statistics.null_count_opt() != Some(0) {
            return None;
        }
        match statistics {
            Statistics::Int64(values) => {
                self.bounds(&values.min_opt()?.to_le_bytes(), &values.max_opt()?.to_le_bytes())
            }
            Statistics::Int32(values) => {
                self.bounds(&values.min_opt()?.to_le_bytes(), &values.max_opt()?.to_le_bytes())
            }
            // The order of INT96 in statistics is not defined.
            _ => None,
        }
    }

    fn page_bounds(&self, ordinal: usize) -> Option<Bounds> {
        let index = self.lane.file.footer.page_index()?.column_index(self.lane.group, self.lane.bound.leaf)?;
        if ordinal as u64 >= index.num_pages() || (self.lane.bound.optional && index.null_count(ordinal) != Some(0)) {
            return None;
        }
        match index {
            ColumnIndexMetaData::INT64(values) => {
                self.bounds(&values.min_value(ordinal)?.to_le_bytes(), &values.max_value(ordinal)?.to_le_bytes())
            }
            ColumnIndexMetaData::INT32(values) => {
                self.bounds(&values.min_value(ordinal)?.to_le_bytes(), &values.max_value(ordinal)?.to_le_bytes())
            }
            _ => None,
        }
    }

    fn bounds(&self, lowest: &[u8], highest: &[u8]) -> Option<Bounds> {
        let form = self.lane.bound.form;
        let bounds = (micros(form, lowest), micros(form, highest));
        (bounds.0 <= bounds.1).then_some(bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_one_moment_is_the_same_microsecond() {
        let micro = 1_700_000_000_123_456_i64;
        assert_eq!(micros(Form::Timestamp(Unit::Micro), &micro.to_le_bytes()), micro);
        assert_eq!(micros(Form::Timestamp(Unit::Nano), &(micro * 1000 + 999).to_le_bytes()), micro);
        assert_eq!(micros(Form::Timestamp(Unit::Milli), &(micro / 1000).to_le_bytes()), micro / 1000 * 1000);
        assert_eq!(micros(Form::Timestamp(Unit::Second), &(micro / 1_000_000).to_le_bytes()), 1_700_000_000_000_000);
        assert_eq!(micros(Form::Date, &19_675_i32.to_le_bytes()), 19_675 * DAY_MICROS);
        let mut int96 = (micro.rem_euclid(DAY_MICROS) * 1000).to_le_bytes().to_vec();
        int96.extend(((micro / DAY_MICROS + JULIAN_EPOCH) as i32).to_le_bytes());
        assert_eq!(micros(Form::Int96, &int96), micro);
    }

    #[test]
    fn beyond_the_range_is_its_end_and_never_null() {
        assert_eq!(micros(Form::Timestamp(Unit::Second), &i64::MAX.to_le_bytes()), i64::MAX);
        assert_eq!(micros(Form::Timestamp(Unit::Second), &i64::MIN.to_le_bytes()), NULL + 1);
        assert_eq!(micros(Form::Timestamp(Unit::Nano), &(-1i64).to_le_bytes()), -1);
    }
}
