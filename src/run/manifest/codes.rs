//! Dictionaries of the due days and parties that occur, for columns with few distinct values.

use super::input::GROUP_ROWS;
use crate::estate::{DeviceType, time};
use crate::sweep::{Due, DueRows};

/// The days on which rows became due. There are far fewer days than rows, so each is computed once for a type and a date.
pub(super) struct DueDays {
    /// The day of the earliest status date.
    earliest: i32,
    /// By type code and days from `earliest` on: the place in `days`.
    places: Vec<Vec<u32>>,
    /// Every day on which a row became due, ascending.
    pub(super) days: Vec<i32>,
}

/// With more days than this, days are written as plain values instead of dictionary codes.
pub(super) const MOST_DAYS: usize = 1 << 14;

impl DueDays {
    pub(super) fn of(due: &DueRows, due_on: &(dyn Fn(u8, i32) -> i32 + Sync)) -> Self {
        let earliest = due.iter().map(|due| due.since).min().map_or(0, time::day_of);
        let mut due_by_day: Vec<Vec<Option<i32>>> = vec![Vec::new(); DeviceType::CODES];
        for due in due.iter() {
            let day = time::day_of(due.since);
            let of_type = &mut due_by_day[usize::from(due.type_code) % DeviceType::CODES];
            let at = (day - earliest) as usize;
            if of_type.len() <= at {
                of_type.resize(at + 1, None);
            }
            of_type[at].get_or_insert_with(|| due_on(due.type_code, day));
        }
        let mut days: Vec<i32> = due_by_day.iter().flatten().copied().flatten().collect();
        days.sort_unstable();
        days.dedup();
        let place = |day: Option<i32>| days.partition_point(|&known| Some(known) < day) as u32;
        let places = due_by_day.into_iter().map(|of_type| of_type.into_iter().map(place).collect());
        Self { earliest, places: places.collect(), days }
    }

    /// The index of a row's due day in `days`.
    #[inline]
    pub(super) fn place(&self, due: &Due) -> u32 {
        let at = time::day_of(due.since) - self.earliest;
        self.places[usize::from(due.type_code) % DeviceType::CODES][at as usize]
    }
}

/// A dictionary of the parties that occur in some rows.
pub(super) struct PartyCodes {
    /// Those that occur, ascending.
    pub(super) parties: Vec<u32>,
    /// For each party of the snapshot its index in `parties`; `None` where there are too many parties, and a binary search
    /// is used.
    places: Option<Vec<u32>>,
}

impl PartyCodes {
    pub(super) fn of(due: &[Due], parties: usize) -> Self {
        if parties > GROUP_ROWS {
            let mut occurring: Vec<u32> =
                due.iter().map(|due| due.party).filter(|&party| (party as usize) < parties).collect();
            occurring.sort_unstable();
            occurring.dedup();
            return Self { parties: occurring, places: None };
        }
        let mut places = vec![u32::MAX; parties];
        for due in due {
            if let Some(place) = places.get_mut(due.party as usize) {
                *place = 0;
            }
        }
        let occurring: Vec<u32> = (0..parties as u32).filter(|&party| places[party as usize] == 0).collect();
        for (place, &party) in occurring.iter().enumerate() {
            places[party as usize] = place as u32;
        }
        Self { parties: occurring, places: Some(places) }
    }

    /// The index of a party in `parties`; `None` for [`Parties::NONE`](crate::scan::Parties::NONE).
    #[inline]
    pub(super) fn code(&self, party: u32) -> Option<u32> {
        match &self.places {
            Some(places) => places.get(party as usize).copied(),
            None => self.parties.binary_search(&party).ok().map(|place| place as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estate::DeviceId;
    use crate::scan::Parties;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parties_that_occur_are_numbered_the_same_however_many_others_there_are(
            parties in prop::collection::vec(prop_oneof![0u32..90, Just(Parties::NONE)], 0..300),
        ) {
            let row = |&party: &u32| Due {
                id: DeviceId(0), since: 0, row: 0, party, type_code: 0, status_code: 0, alert: false,
            };
            let due: Vec<Due> = parties.iter().map(row).collect();
            let (few, many) = (PartyCodes::of(&due, 90), PartyCodes::of(&due, GROUP_ROWS + 1));
            prop_assert!(few.places.is_some() && many.places.is_none());
            prop_assert_eq!(&few.parties, &many.parties);
            for party in parties {
                let code = few.code(party);
                prop_assert_eq!(code, many.code(party));
                prop_assert_eq!(code.map(|code| few.parties[code as usize]), (party != Parties::NONE).then_some(party));
            }
        }
    }
}
