//! What a forecast has to say about its own figures: assumptions that the ledgers do not support.

use std::fmt;

use crate::estate::time::format_day;

/// Something that a reader must know before a figure is used.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Housekeeping was read from the ledgers, because no history is given.
    Derived {
        /// Names of the types.
        types: Vec<String>,
        /// The threshold, in months.
        months: u32,
        /// The first day, days since 1970-01-01.
        from: i32,
        /// The last day.
        until: i32,
    },
    /// A part of the figures rests on ages that no ledger shows.
    Unobserved {
        /// The policy.
        policy: String,
        /// The figure: retained devices, or alerts.
        figure: &'static str,
        /// The part of the figure, 0 to 1.
        share: f64,
        /// The types, with the first age in months that is not observed.
        types: Vec<(String, u32)>,
    },
    /// Devices appeared with dates before the ledger that should have them.
    Backdated {
        /// Name of the type.
        device_type: String,
        /// Number of devices.
        devices: u64,
        /// The day of the ledger that has them.
        day: i32,
        /// Whether such devices are expected in later months.
        recurs: bool,
    },
    /// Arrivals of a month are so many that they are left out.
    Bulk {
        /// Name of the type.
        device_type: String,
        /// Devices that arrived.
        devices: u64,
        /// Devices of a usual month.
        usual: f64,
        /// The last day of the month.
        day: i32,
    },
    /// A rate has changed at some time.
    Break {
        /// Name of the type.
        device_type: String,
        /// `hazards` or `arrivals`, with the ages.
        rate: String,
        /// The day of the change.
        day: i32,
        /// The rate after the change as a multiple of that before.
        factor: f64,
        /// Months since then: a window.
        months: u32,
    },
    /// Arrivals grow or shrink steadily.
    Trend {
        /// Name of the type.
        device_type: String,
        /// Growth in a year: 0.1 is ten per cent.
        growth: f64,
        /// Whether the forecast continues it.
        continued: bool,
    },
    /// Arrivals have a yearly season.
    Season {
        /// Name of the type.
        device_type: String,
        /// The highest month as a multiple of the lowest.
        ratio: f64,
    },
    /// Arrivals vary more than chance allows, and the ledgers are too few to tell why.
    Irregular {
        /// Name of the type.
        device_type: String,
        /// Variance divided by that of chance.
        dispersion: f64,
        /// Months of ledgers.
        months: f64,
    },
    /// A party has notified no device for some months.
    Stopped {
        /// Name of the party.
        party: String,
        /// The day of its last device.
        day: i32,
        /// Devices that it notified in a month before.
        usual: f64,
    },
    /// Ledgers cover so few months that seasons and trends cannot be seen.
    Short {
        /// Months of ledgers.
        months: f64,
    },
}

impl Finding {
    /// Its kind, in documents.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Derived { .. } => "derived_history",
            Self::Unobserved { .. } => "ages_never_observed",
            Self::Backdated { .. } => "backdated_devices",
            Self::Bulk { .. } => "bulk_arrivals",
            Self::Break { .. } => "rates_changed",
            Self::Trend { .. } => "trend",
            Self::Season { .. } => "season",
            Self::Irregular { .. } => "irregular_arrivals",
            Self::Stopped { .. } => "party_stopped",
            Self::Short { .. } => "short_history",
        }
    }

    /// Whether figures or bands may be wrong. Otherwise it says what the forecast does.
    #[must_use]
    pub const fn warns(&self) -> bool {
        !matches!(self, Self::Season { .. })
    }
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Derived { types, months, from, until } => write!(
                f,
                "no [history] is given, and no {} reaches {months} months between {} and {}: taken as deletions by housekeeping at {months} months. Confirm it with [[history]]",
                list(types),
                format_day(*from),
                format_day(*until)
            ),
            Self::Unobserved { policy, figure, share, types } => {
                let types: Vec<String> = types.iter().map(|(name, age)| format!("{name} from {age} months")).collect();
                write!(
                    f,
                    "{policy}: {:.0} % of {figure} rests on ages never observed ({}). Their hazards are extrapolated, and the band is wide. Give them under [hazard]",
                    share * 100.0,
                    list(&types)
                )
            }
            Self::Backdated { device_type, devices, day, recurs } => write!(
                f,
                "{devices} {device_type} appeared up to {} with dates before the ledger that should have them. They count as arrivals of their age{}",
                format_day(*day),
                if *recurs { ", and as many are expected in later months" } else { ", and are not expected again" }
            ),
            Self::Bulk { device_type, devices, usual, day } => write!(
                f,
                "{devices} {device_type} arrived in the month to {}, and {usual:.0} in a usual month: a bulk import? It is left out of the arrivals to come",
                format_day(*day)
            ),
            Self::Break { device_type, rate, day, factor, months } => write!(
                f,
                "{rate} of {device_type} changed about {} (times {factor:.2}). Rates since then are used. Set `window = {months}` to use these months for all rates",
                format_day(*day)
            ),
            Self::Trend { device_type, growth, continued } => write!(
                f,
                "arrivals of {device_type} change by {:+.0} % a year; {}",
                growth * 100.0,
                if *continued {
                    "the forecast continues this, and no ledger shows that it goes on"
                } else {
                    "less than two years of ledgers do not support a forecast of it. Give [growth], or a `window`"
                }
            ),
            Self::Season { device_type, ratio } => {
                write!(
                    f,
                    "arrivals of {device_type} have a yearly season: the highest month has {ratio:.1} times the lowest"
                )
            }
            Self::Irregular { device_type, dispersion, months } => write!(
                f,
                "arrivals of {device_type} vary {dispersion:.1} times as much as chance, and {months:.0} months of ledgers do not show whether that is a season or a trend. The band may be too narrow"
            ),
            Self::Stopped { party, day, usual } => write!(
                f,
                "party {party} has notified no device since {} ({usual:.1} a month before). Its arrivals are left out",
                format_day(*day)
            ),
            Self::Short { months } => write!(
                f,
                "the ledgers cover {months:.1} months: seasons and trends of arrivals cannot be seen, and the band does not contain them"
            ),
        }
    }
}
