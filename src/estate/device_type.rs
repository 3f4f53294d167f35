//! Device Types: the eight of DUIS, those that a policy adds, and bitmasks over them.

use std::fmt;

use crate::shown;

/// A device type as its code: below 8 the types of DUIS, above those that a policy lists under `[types] extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceType(u8);

impl DeviceType {
    /// Electricity meter.
    pub const ESME: Self = Self(0);
    /// Gas meter.
    pub const GSME: Self = Self(1);
    /// Gas Proxy Function: the second device of a Comms Hub.
    pub const GPF: Self = Self(2);
    /// Communications Hub Function.
    pub const CHF: Self = Self(3);
    /// HAN connected auxiliary load control switch.
    pub const HCALCS: Self = Self(4);
    /// Prepayment meter interface device.
    pub const PPMID: Self = Self(5);
    /// In-home display: a Type 2 device.
    pub const IHD: Self = Self(6);
    /// Consumer access device: a Type 2 device.
    pub const CAD: Self = Self(7);

    /// The names of the types that DUIS lists, in the order of the codes.
    pub const BUILT_IN: [&'static str; 8] = ["ESME", "GSME", "GPF", "CHF", "HCALCS", "PPMID", "IHD", "CAD"];
    /// How many codes there are; the last two are [`UNKNOWN`](Self::UNKNOWN) and [`NULL`](Self::NULL).
    pub const CODES: usize = 64;
    /// How many types there can be.
    pub const MAX: usize = 62;
    /// Code of a spelling that neither DUIS nor the policy has.
    pub const UNKNOWN: u8 = 62;
    /// Code of a null.
    pub const NULL: u8 = 63;

    /// Index into tables of [`CODES`](Self::CODES).
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The type of this code; `None` for the codes of unknown and null.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        if (code as usize) < Self::MAX { Some(Self(code)) } else { None }
    }
}

/// A set of device types, as a bitmask over their codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeSet(u64);

impl TypeSet {
    /// No type.
    pub const EMPTY: Self = Self(0);
    /// Both devices of a Comms Hub: the meaning of the alias `CommsHub`.
    pub const COMMS_HUB: Self = Self(1 << DeviceType::CHF.0 | 1 << DeviceType::GPF.0);
    /// Type 2 devices: the inventory keeps no SMI Status for them.
    pub const TYPE_2: Self = Self(1 << DeviceType::IHD.0 | 1 << DeviceType::CAD.0);

    /// Whether the type is in the set.
    #[must_use]
    pub const fn contains(self, device_type: DeviceType) -> bool {
        self.contains_code(device_type.0)
    }

    /// Whether the type of this code is in the set; never so for the codes of unknown and null.
    #[must_use]
    pub const fn contains_code(self, code: u8) -> bool {
        self.0 >> (code & 63) & 1 != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The types of this set that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is no type in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of the codes.
    pub fn iter(self) -> impl Iterator<Item = DeviceType> {
        (0..DeviceType::MAX as u8).map(DeviceType).filter(move |&t| self.contains(t))
    }
}

impl FromIterator<DeviceType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = DeviceType>>(types: I) -> Self {
        Self(types.into_iter().fold(0, |mask, t| mask | 1 << t.0))
    }
}

/// The types that a policy knows, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeNames {
    names: Vec<String>,
}

/// Why a type cannot be added to the [`TypeNames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotAdd {
    /// It is there already.
    #[error("is a device type already")]
    Known,
    /// All codes are used.
    #[error("is one too many: a policy knows at most {} device types", DeviceType::MAX)]
    TooMany,
    /// It is empty, begins or ends with a blank, has characters that cannot be seen, or has another meaning in policies and
    /// reports.
    #[error("is not a name for a device type")]
    BadName,
}

impl Default for TypeNames {
    fn default() -> Self {
        Self { names: DeviceType::BUILT_IN.map(String::from).to_vec() }
    }
}

impl TypeNames {
    /// The word of policies for [`TypeSet::COMMS_HUB`].
    pub const COMMS_HUB: &str = "CommsHub";

    /// Whether a name is the alias of both devices of a Comms Hub, or could be mistaken for it.
    #[must_use]
    pub const fn is_alias(name: &str) -> bool {
        name.eq_ignore_ascii_case(Self::COMMS_HUB) || name.eq_ignore_ascii_case("CommsHubs")
    }

    /// Adds a type.
    ///
    /// # Errors
    /// If the name is used already, has another meaning in a policy or a report, or no code is free.
    pub fn add(&mut self, name: &str) -> Result<DeviceType, CannotAdd> {
        let unseen = name.is_empty() || name.trim() != name || !name.chars().all(shown::is_plain);
        if unseen || name.starts_with('(') || Self::is_alias(name) || name.eq_ignore_ascii_case("default") {
            return Err(CannotAdd::BadName);
        }
        if self.get(name).is_some() {
            return Err(CannotAdd::Known);
        }
        if self.names.len() >= DeviceType::MAX {
            return Err(CannotAdd::TooMany);
        }
        self.names.push(name.into());
        Ok(DeviceType((self.names.len() - 1) as u8))
    }

    /// The type of this exact name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<DeviceType> {
        self.names.iter().position(|known| known == name).map(|code| DeviceType(code as u8))
    }

    /// The name of a code; `(null)` for [`DeviceType::NULL`], `(unknown)` for a code without a type.
    #[must_use]
    pub fn name(&self, code: u8) -> &str {
        match code {
            DeviceType::NULL => "(null)",
            code => self.names.get(usize::from(code)).map_or("(unknown)", String::as_str),
        }
    }

    /// Every type with its name, in the order of the codes.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceType, &str)> {
        self.names.iter().enumerate().map(|(code, name)| (DeviceType(code as u8), name.as_str()))
    }

    /// The names of a set, in the order of the codes.
    pub fn names_of(&self, set: TypeSet) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(t, _)| set.contains(*t)).map(|(_, name)| name)
    }
}

impl fmt::Display for TypeNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}
