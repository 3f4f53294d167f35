//! How long candidates have been what they are: counts by type and age in whole calendar months.
//!
//! A device is due under a threshold of m months exactly where its age here is m or more, so that ages say what
//! thresholds mean.

use std::collections::BTreeMap;

use super::Ledger;
use super::count::RowClass;
use crate::estate::time::{FIRST_DAY, day_of, day_start, whole_months};

/// An age in whole calendar months.
pub type Age = u32;

/// Rows of each type code by age.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ages {
    /// By type code: rows of each age, from 0.
    pub by_type: BTreeMap<u8, Vec<u64>>,
    /// Candidates whose date is null, in the future, or before the year 1: they have no age.
    pub without: u64,
}

impl Ledger {
    /// Ages of all candidates of a recognised type, sound or not.
    #[must_use]
    pub fn ages(&self) -> Ages {
        let mut ages = Ages::default();
        let mut of_day = AgeOfDay::new(self.as_of);
        for (cell, rows) in self.candidates() {
            let Some(age) = of_day.age(cell.day) else {
                ages.without += rows;
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

    /// Every cell of candidates of a recognised type, those that share a Device ID one by one.
    pub fn candidates(&self) -> impl Iterator<Item = (&RowClass, u64)> {
        let single = self.census.cells.iter().map(|(cell, rows)| (cell, *rows));
        let shared = self.census.shared.iter().map(|(_, cell)| (cell, 1));
        single.chain(shared).filter(|(cell, _)| self.is_candidate(cell))
    }
}

/// The age of days, each worked out once.
#[derive(Debug, Clone)]
pub struct AgeOfDay {
    as_of: i64,
    known: BTreeMap<i32, Option<Age>>,
}

impl AgeOfDay {
    /// Ages as of a moment.
    #[must_use]
    pub const fn new(as_of: i64) -> Self {
        Self { as_of, known: BTreeMap::new() }
    }

    /// The age of a status that has applied from this day; `None` where that cannot be judged.
    pub fn age(&mut self, day: Option<i32>) -> Option<Age> {
        let (as_of, day) = (self.as_of, day?);
        *self.known.entry(day).or_insert_with(|| {
            let known = (FIRST_DAY..=day_of(as_of)).contains(&day);
            known.then(|| whole_months(day_start(day), as_of))
        })
    }
}
