//! Arrivals and hazards by type and age, and where they come from.

use std::collections::BTreeMap;

use super::arrivals::ArrivalRate;
use super::finding::Finding;
use super::life_table::{AgeBand, assumed, band_of};

/// The standard deviation of the logarithm by which the level of hazards may jump beyond the observed ages.
const LEVEL_DEVIATION: f64 = 0.3;

/// How a rate was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateBasis {
    /// Estimated from two or more ledgers by a life table.
    LifeTable,
    /// Estimated from the ages in one ledger, as if the estate were stationary.
    AgeProfile,
    /// Given by the scenario.
    Scenario,
}

impl RateBasis {
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LifeTable => "ledgers",
            Self::AgeProfile => "age profile",
            Self::Scenario => "scenario",
        }
    }
}

/// Hazards of ages that no ledger shows.
#[derive(Debug, Clone, PartialEq)]
pub struct UnobservedAges {
    /// The first of these ages, in months.
    pub from: u32,
    /// The mean age of the last observed band, in months.
    pub anchor: f64,
    /// The hazard there.
    pub hazard: f64,
    /// The exponent of `age + 1` by which the hazard goes on: a power law.
    pub slope: f64,
    /// The standard deviation of the exponent; where hazards are those of another type, that of their logarithm.
    pub deviation: f64,
    /// Hazards of another type by age, scaled to the observed ages of this one.
    pub like: Option<Vec<f64>>,
}

impl UnobservedAges {
    /// The hazard at an age, so many standard deviations of the exponent and of the level from the median. `last` is the
    /// last observed hazard.
    #[must_use]
    pub fn at(&self, age: usize, [deviations, level]: [f64; 2], last: f64) -> f64 {
        if let Some(like) = &self.like {
            let own = like.get(age).or(like.last()).copied().unwrap_or_default();
            return (own * (deviations * self.deviation).exp()).clamp(0.0, 0.95);
        }
        #[expect(clippy::cast_precision_loss, reason = "ages are small")]
        let ratio = (age as f64 + 1.0) / (self.anchor + 1.0);
        (last * (level * LEVEL_DEVIATION).exp() * ratio.powf(self.slope + deviations * self.deviation)).clamp(0.0, 0.95)
    }
}

/// Hazards and arrivals of a type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeRates {
    /// Hazards by age, ascending. The first band begins at age 0, the last has no end.
    pub bands: Vec<AgeBand>,
    /// Ages that no ledger shows; `None` where the hazards of all ages are given.
    pub unobserved: Option<UnobservedAges>,
    /// How the hazards were obtained.
    pub hazard_basis: RateBasis,
    /// Arrivals.
    pub arrivals: ArrivalRate,
    /// How the arrivals were obtained.
    pub arrival_basis: RateBasis,
    /// Devices that appear in a month with an age, in months: the age and their mean number.
    pub backdated: Vec<(usize, f64)>,
    /// Monthly change of the rows in other statuses, besides candidates that leave: Type 2 devices, and devices that
    /// arrived and left between two ledgers. Negative where the inventory loses rows.
    pub other: f64,
}

impl TypeRates {
    /// No arrivals and no departures.
    #[must_use]
    pub fn none() -> Self {
        Self {
            bands: assumed(&[0.0]),
            unobserved: None,
            hazard_basis: RateBasis::Scenario,
            arrivals: ArrivalRate::assumed(0.0),
            arrival_basis: RateBasis::Scenario,
            backdated: Vec::new(),
            other: 0.0,
        }
    }

    /// The hazard at an age in months.
    #[must_use]
    pub fn hazard(&self, age: usize) -> f64 {
        match &self.unobserved {
            Some(unobserved) if age >= unobserved.from as usize => unobserved.at(age, [0.0; 2], unobserved.hazard),
            _ => self.band(age).map_or(0.0, |band| band.hazard),
        }
    }

    /// The band of an age in months.
    #[must_use]
    pub fn band(&self, age: usize) -> Option<&AgeBand> {
        band_of(&self.bands, age)
    }

    /// The first age that no ledger shows.
    #[must_use]
    pub fn observed_until(&self) -> usize {
        self.unobserved.as_ref().map_or(usize::MAX, |unobserved| unobserved.from as usize)
    }
}

/// The rates of an estate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    /// By type code.
    pub by_type: BTreeMap<u8, TypeRates>,
    /// What there is to say about them.
    pub findings: Vec<Finding>,
}
