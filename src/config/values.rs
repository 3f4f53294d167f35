//! Values that `serde` alone would accept too loosely, or refuse with messages for programmers.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use toml::Spanned;

/// A table within a document, with its place. A list is refused: `serde` would take its items for the values of the
/// keys, in the order in which the type declares them.
#[derive(Debug, Clone)]
pub struct Section<T> {
    /// Byte range of its header, or of the whole table if it is inline.
    pub span: Range<usize>,
    value: T,
}

impl<T> Section<T> {
    /// A table whose place is not known; errors within it have their own.
    pub const fn without_place(value: T) -> Self {
        Self { span: 0..0, value }
    }

    /// The value of the table.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Section<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Spanned::<TableOnly<T>>::deserialize(deserializer)?;
        Ok(Self { span: table.span(), value: table.into_inner().0 })
    }
}

struct TableOnly<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TableOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor(PhantomData)).map(Self)
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A whole number from `LOWEST` to `HIGHEST`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const LOWEST: i64, const HIGHEST: i64>(i64);

impl<const LOWEST: i64, const HIGHEST: i64> Whole<LOWEST, HIGHEST> {
    /// The number, as an unsigned one: `LOWEST` is not negative.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// The number, where `HIGHEST` fits into 32 bits.
    #[must_use]
    pub const fn get_u32(self) -> u32 {
        const { assert!(LOWEST >= 0 && HIGHEST <= u32::MAX as i64) };
        self.0 as u32
    }
}

impl<const LOWEST: i64, const HIGHEST: i64> Visitor<'_> for Whole<LOWEST, HIGHEST> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if HIGHEST == i64::MAX {
            write!(f, "a whole number of {LOWEST} or more")
        } else {
            write!(f, "a whole number from {LOWEST} to {HIGHEST}")
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self, E> {
        let fits = (LOWEST..=HIGHEST).contains(&number);
        fits.then_some(Self(number)).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

impl<'de, const LOWEST: i64, const HIGHEST: i64> Deserialize<'de> for Whole<LOWEST, HIGHEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Self(0))
    }
}

/// A number, whole or not, from `LOWEST` to `HIGHEST`, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number<const LOWEST: i64, const HIGHEST: i64>(f64);

impl<const LOWEST: i64, const HIGHEST: i64> Number<LOWEST, HIGHEST> {
    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    #[expect(clippy::cast_precision_loss, reason = "limits are small whole numbers")]
    fn within<E: Error>(self, number: f64, found: Unexpected<'_>) -> Result<Self, E> {
        let fits = (LOWEST as f64..=HIGHEST as f64).contains(&number);
        fits.then_some(Self(number)).ok_or_else(|| E::invalid_value(found, &self))
    }
}

impl<const LOWEST: i64, const HIGHEST: i64> Visitor<'_> for Number<LOWEST, HIGHEST> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {LOWEST} to {HIGHEST}")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self, E> {
        self.within(number, Unexpected::Float(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "a number that is rounded is out of range")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self, E> {
        self.within(number as f64, Unexpected::Signed(number))
    }
}

impl<'de, const LOWEST: i64, const HIGHEST: i64> Deserialize<'de> for Number<LOWEST, HIGHEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(Self(0.0))
    }
}
