//! throwaway
use crate::estate::*;
use std::collections::BTreeMap;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    Date,
    Instant,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    NotCandidate,
    Excluded,
    Quarantine(Reason),
    Judge,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateVerdict {
    NotDue,
    Due,
    Quarantine(Reason),
}
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spellings {
    pub columns: BTreeMap<String, Column>,
    pub statuses: BTreeMap<String, SmiStatus>,
    pub types: BTreeMap<String, DeviceType>,
}
#[derive(Debug, Clone)]
pub struct Guard {
    pub max_deletes: u64,
    pub max_delete_share: f64,
    pub max_quarantined: u64,
}
#[derive(Debug, Clone)]
pub struct Alerts {
    pub code: String,
    pub silent_types: TypeSet,
}
#[derive(Debug, Clone)]
pub struct Policy {
    pub name: String,
    pub candidate_statuses: StatusSet,
    pub boundary: Boundary,
    pub months: u32,
    pub exclude: TypeSet,
    pub alerts: Alerts,
    pub guard: Guard,
    pub types: TypeNames,
    pub spellings: Spellings,
}
impl Policy {
    pub fn demo() -> Self {
        Self {
            name: "secmp0060".into(),
            candidate_statuses: [SmiStatus::Pending].into_iter().collect(),
            boundary: Boundary::Date,
            months: 12,
            exclude: TypeSet::COMMS_HUB,
            alerts: Alerts { code: "N8".into(), silent_types: TypeSet::COMMS_HUB },
            guard: Guard { max_deletes: 1 << 40, max_delete_share: 1.0, max_quarantined: 1 << 40 },
            types: TypeNames::default(),
            spellings: Spellings::default(),
        }
    }
    pub fn status_code(&self, s: &[u8]) -> u8 {
        std::str::from_utf8(s).ok().and_then(SmiStatus::from_name).map_or(SmiStatus::UNKNOWN, |s| s.code())
    }
    pub fn type_code(&self, s: &[u8]) -> u8 {
        std::str::from_utf8(s).ok().and_then(|s| self.types.get(s)).map_or(DeviceType::UNKNOWN, |s| s.code())
    }
    pub fn bind(&self, as_of: i64) -> Rules {
        let d = time::day_of(as_of);
        let mut c = d;
        while time::add_months(c, self.months).unwrap() > d {
            c -= 1;
        }
        Rules { as_of, cut: time::day_start(c + 1) - 1, p: self.clone() }
    }
}
#[derive(Debug, Clone)]
pub struct Rules {
    as_of: i64,
    cut: i64,
    p: Policy,
}
impl Rules {
    pub fn pair(&self, s: u8, t: u8) -> Pair {
        if s == SmiStatus::UNKNOWN {
            return Pair::Quarantine(Reason::UnknownStatus);
        }
        if s == SmiStatus::NULL {
            return if TypeSet::TYPE_2.contains_code(t) {
                Pair::NotCandidate
            } else {
                Pair::Quarantine(Reason::MissingStatus)
            };
        }
        if !self.p.candidate_statuses.contains_code(s) {
            return Pair::NotCandidate;
        }
        if self.p.exclude.contains_code(t) {
            return Pair::Excluded;
        }
        if t >= 62 {
            return Pair::Quarantine(Reason::UnknownType);
        }
        Pair::Judge
    }
    pub fn judge_date(&self, _t: u8, s: Option<i64>) -> DateVerdict {
        match s {
            None => DateVerdict::Quarantine(Reason::MissingDate),
            Some(s) if s >= time::day_start(time::day_of(self.as_of) + 1) => {
                DateVerdict::Quarantine(Reason::FutureDate)
            }
            Some(s) if s <= self.cut => DateVerdict::Due,
            _ => DateVerdict::NotDue,
        }
    }
    pub fn latest_due(&self) -> i64 {
        self.cut
    }
    pub fn as_of(&self) -> i64 {
        self.as_of
    }
    pub fn alerts(&self, t: u8, r: Option<Role>) -> bool {
        match r {
            Some(Role::Csp) => false,
            Some(_) => true,
            None => !self.p.alerts.silent_types.contains_code(t),
        }
    }
}
