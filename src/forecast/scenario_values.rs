//! Values of a scenario that have two forms.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::config::{Number, Section};

/// A table, or a list of tables.
pub struct OneOrMany<T>(pub Vec<Section<T>>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, or a list of tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(OneOrMany(vec![Section::without_place(T::deserialize(MapAccessDeserializer::new(map))?)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(next) = list.next_element()? {
            all.push(next);
        }
        Ok(OneOrMany(all))
    }
}

/// The hazards of a type: by age, or those of another type.
pub enum HazardValue {
    /// Hazards from 0 to 1, by age in months.
    ByAge(Vec<f64>),
    /// The name of another type.
    Like(String),
}

impl<'de> Deserialize<'de> for HazardValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HazardVisitor)
    }
}

struct HazardVisitor;

impl<'de> Visitor<'de> for HazardVisitor {
    type Value = HazardValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hazards, or the name of another type")
    }

    fn visit_str<E>(self, name: &str) -> Result<HazardValue, E> {
        Ok(HazardValue::Like(name.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<HazardValue, A::Error> {
        let mut hazards = Vec::new();
        while let Some(next) = list.next_element::<Number<0, 1>>()? {
            hazards.push(next.get());
        }
        Ok(HazardValue::ByAge(hazards))
    }
}
