//! Ages of candidates: counts by type and age in whole calendar months.
//!
//! By UTC date, a device is due under a threshold of m months exactly if its age is m or more ([`age_months`]). The
//! counts by age therefore show how many devices each threshold makes due.

use std::collections::BTreeMap;

use super::data::Ledger;
use crate::estate::time::day_start;
use crate::policy::age_months;

/// Candidates by type code and age.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CandidateAges {
    /// For each type code the rows of each age in months; index 0 is an age of less than a month.
    pub by_type: BTreeMap<u8, Vec<u64>>,
    /// Candidates without an age: their date is null, in the future, or before the year 1.
    pub undated: u64,
}

impl Ledger {
    /// Ages of all candidates of a recognised type. Rows with other flaws are included.
    #[must_use]
    pub fn ages(&self) -> CandidateAges {
        let mut ages = CandidateAges::default();
        let mut cache = AgeCache::new(self.as_of);
        for (cell, rows) in self.candidates() {
            let Some(age) = cache.age(cell.day) else {
                ages.undated += rows;
                continue;
            };
            let of_type = ages.by_type.entry(cell.type_code).or_default();
            let index = age as usize;
            if of_type.len() <= index {
                of_type.resize(index + 1, 0);
            }
            of_type[index] += rows;
        }
        ages
    }
}

/// Ages by day. Each day is computed once, because a ledger has many cells of the same day.
#[derive(Debug, Clone)]
pub struct AgeCache {
    as_of: i64,
    by_day: BTreeMap<i32, Option<u32>>,
}

impl AgeCache {
    /// A cache for ages as of a moment, UTC microseconds.
    #[must_use]
    pub const fn new(as_of: i64) -> Self {
        Self { as_of, by_day: BTreeMap::new() }
    }

    /// The age in whole months of a status that has applied since a day (days since 1970-01-01); `None` if the date
    /// cannot be judged.
    pub fn age(&mut self, day: Option<i32>) -> Option<u32> {
        let (as_of, day) = (self.as_of, day?);
        *self.by_day.entry(day).or_insert_with(|| age_months(Some(day_start(day)), as_of))
    }
}
