//! Statuses and columns, by the names that documents write.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::estate::{Column, SmiStatus};

/// Reads one of several names. `what` says in errors what they name: `status`, `column`.
///
/// # Errors
/// Anything that is not exactly one of the names.
pub fn named<'de, D, T, N>(deserializer: D, what: &'static str, known: N) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    N: IntoIterator<Item = (&'static str, T)>,
{
    deserializer.deserialize_str(NameVisitor { what, known })
}

/// Refuses an unknown name in the visitor, so that the error has the place of the name within a list.
struct NameVisitor<N> {
    what: &'static str,
    known: N,
}

impl<T, N: IntoIterator<Item = (&'static str, T)>> Visitor<'_> for NameVisitor<N> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<T, E> {
        let mut names = Vec::new();
        for (name, value) in self.known {
            if name == found {
                return Ok(value);
            }
            names.push(format!("`{name}`"));
        }
        Err(E::custom(format!("unknown {} `{found}`, expected one of {}", self.what, names.join(", "))))
    }
}

impl<'de> Deserialize<'de> for SmiStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, "status", Self::ALL.map(|status| (status.name(), status)))
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, "column", Self::ALL.map(|column| (column.name(), column)))
    }
}
