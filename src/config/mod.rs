//! The one reader of TOML documents: policies, scenarios, tariffs, stock rules, load configurations, cases.
//!
//! A document is a `serde` type. An error names file, line and column, and suggests the most similar name for a
//! misspelt one. Types that `serde` alone would read too loosely have their own readers: [`Section`] for tables,
//! [`Whole`] and [`Number`] for numbers within a range. A value whose check needs other parts of the document is read
//! as a [`Spanned`], and refused with [`Document::refuse`].

mod names;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
pub use toml::Spanned;
use toml::de::{DeTable, Deserializer};

pub use names::named;
pub use values::{Number, Section, Whole};

use crate::error::{DocumentKind, DocumentPlace, Error, Position, Result, did_you_mean};
use crate::estate::{TypeNames, TypeSet};
use crate::shown;
use crate::system::input;

/// The text of a document, with its name and kind for error messages.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its kind, which decides the exit code.
    pub kind: DocumentKind,
    /// Its name in error messages: a path, or the name of a built-in policy.
    pub source: &'a str,
    /// The whole text.
    pub text: &'a str,
}

impl Document<'_> {
    /// Reads the text as a `T`.
    ///
    /// # Errors
    /// Text that is not TOML, or is not a `T`: the first error, with its place.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            self.refuse(error.span().unwrap_or_default(), what, format!("a {} is written in TOML", self.kind))
        })?;
        let empty = table.get_ref().is_empty();
        T::deserialize(Deserializer::from(table)).map_err(|error| {
            let (what, remedy) = explain_error(error.message(), self.kind.documentation());
            let what = if empty { format!("the {} is empty: it {what}", self.kind) } else { what };
            self.refuse(error.span().unwrap_or_default(), what, remedy)
        })
    }

    /// The place of a byte of the text.
    #[must_use]
    pub fn place(&self, offset: usize) -> DocumentPlace {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
        DocumentPlace::whole(self.kind, self.source).at(Position::LineColumn(line, column))
    }

    /// The error that something is wrong at these bytes of the text.
    pub fn refuse(&self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        self.place(span.start).refuse(what, remedy)
    }

    /// The device types of a name: one, or both of the alias `CommsHub`. `besides` are other words that are valid here,
    /// for the error message.
    ///
    /// # Errors
    /// A name that is not among `types`.
    pub fn types_of(&self, name: &Spanned<String>, types: &TypeNames, besides: &[&str]) -> Result<TypeSet> {
        let found = name.get_ref().as_str();
        if found == TypeNames::COMMS_HUB {
            return Ok(TypeSet::COMMS_HUB);
        }
        types.get(found).map(|device_type| [device_type].into_iter().collect()).ok_or_else(|| {
            let known = types.iter().map(|(_, name)| name).chain([TypeNames::COMMS_HUB]);
            let known: Vec<&str> = known.chain(besides.iter().copied()).collect();
            let near = did_you_mean(found, known.iter().copied());
            let remedy = format!("{near}there are {}; a new one is listed under [types] extra", known.join(", "));
            self.refuse(name.span(), format!("unknown device type `{found}`"), remedy)
        })
    }

    /// The device types of a list of names.
    ///
    /// # Errors
    /// The first name that is not known.
    pub fn type_set(&self, names: &[Spanned<String>], types: &TypeNames) -> Result<TypeSet> {
        names.iter().try_fold(TypeSet::EMPTY, |set, name| Ok(set.union(self.types_of(name, types, &[])?)))
    }
}

/// The text of a document's file.
///
/// # Errors
/// A file that cannot be read, or is not UTF-8.
pub fn read_file(kind: DocumentKind, path: &Path) -> Result<String> {
    let place = || DocumentPlace::whole(kind, shown::path(&path).to_string());
    let bytes =
        input::read(path).map_err(|error| place().refuse(format!("cannot be read: {error}"), "check the path"))?;
    String::from_utf8(bytes).map_err(|_| place().refuse("is not UTF-8 text", "name a TOML file"))
}

/// The entries of a table in the order of the text, so that the first of several errors is reported.
#[must_use]
pub fn in_text_order<T>(table: &BTreeMap<Spanned<String>, T>) -> Vec<(&Spanned<String>, &T)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Translates a message of `serde` for the author of a document: what is wrong, and what to write instead. `otherwise`
/// is the remedy if the message suggests none.
fn explain_error(message: &str, otherwise: &str) -> (String, String) {
    if let Some(key) = message.strip_prefix("missing field ") {
        return (format!("lacks {key}"), format!("add {key}"));
    }
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return (message.into(), otherwise.into());
    };
    if let Some((what, name)) = found.strip_prefix("unknown ").and_then(|found| found.split_once(' ')) {
        let what = match what {
            "field" => "key",
            "variant" => "name",
            other => other,
        };
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let near = did_you_mean(name.trim_matches('`'), known.iter().copied());
        return (format!("unknown {what} {name}"), format!("{near}there are {}", known.join(", ")));
    }
    let found = found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: ")).unwrap_or(found);
    let found = match found {
        "sequence" => "a list",
        "map" => "a table",
        other => other,
    };
    let expected = match expected {
        "a string" => "text in quotes",
        "a sequence" => "a list in brackets",
        "a map" => "a table",
        "a boolean" => "true or false",
        "u32" | "u64" | "usize" => "a whole number of 0 or more",
        other => other,
    };
    (format!("found {found}, expected {expected}"), format!("write {expected}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::estate::{Column, SmiStatus};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the test reads only errors")]
    struct Everything {
        name: String,
        count: Whole<1, 12>,
        share: Option<Number<0, 1>>,
        positive: Option<u32>,
        flag: Option<bool>,
        list: Option<Vec<SmiStatus>>,
        columns: Option<BTreeMap<Spanned<String>, Column>>,
        part: Option<Section<Part>>,
        parts: Option<Vec<Section<Part>>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the test reads only errors")]
    struct Part {
        month: Option<Whole<0, { i64::MAX }>>,
        text: Option<String>,
    }

    fn read(text: &str) -> Result<Everything> {
        Document { kind: DocumentKind::Scenario, source: "f", text }.read()
    }

    #[test]
    fn every_error_has_its_place_what_is_wrong_and_what_to_write() {
        for (text, what, remedy) in [
            ("", "f:1:1: the scenario is empty: it lacks `name`", "add `name`"),
            ("name = \"a\"\n", "f:1:1: lacks `count`", "add `count`"),
            ("count = 1\nnmae = 2\n", "f:2:1: unknown key `nmae`", "did you mean `name`? there are name, count"),
            ("\"a`, expected b\" = 2\n", "f:1:1: unknown key `a`, expected b`", "there are name"),
            ("count = 0\n", "f:1:9: found integer `0`, expected a whole number from 1 to 12", "write a whole number"),
            ("count = 13\n", "f:1:9: found integer `13`, expected a whole", "write a whole number from 1 to 12"),
            ("count = 2.0\n", "f:1:9: found floating point `2.0`, expected a whole", "write a whole number"),
            ("count = \"2\"\n", "f:1:9: found string \"2\", expected a whole", "write a whole number"),
            ("count = 99999999999999999999\n", "f:1:9: found integer `99999999999999999999` as i128", "write a whole"),
            ("share = 1.5\n", "f:1:9: found floating point `1.5`, expected a number from 0 to 1", "write a number"),
            ("share = nan\n", "f:1:9: found floating point `NaN`, expected a number from 0 to 1", "write a number"),
            ("share = 2\n", "f:1:9: found integer `2`, expected a number from 0 to 1", "write a number"),
            ("share = \"x\"\n", "f:1:9: found string \"x\", expected a number from 0 to 1", "write a number"),
            ("positive = -1\n", "f:1:12: found integer `-1`, expected a whole number of 0 or more", "write a whole"),
            ("name = 3\n", "f:1:8: found integer `3`, expected text in quotes", "write text in quotes"),
            ("flag = \"yes\"\n", "f:1:8: found string \"yes\", expected true or false", "write true or false"),
            ("list = \"Pending\"\n", "f:1:8: found string \"Pending\", expected a list", "write a list in brackets"),
            ("list = [\"pending\"]\n", "f:1:9: unknown status `pending`", "did you mean `Pending`? there are Pending"),
            ("[columns]\nID = \"deviceid\"\n", "f:2:6: unknown column `deviceid`", "did you mean `device_id`?"),
            ("part = 3\n", "f:1:8: found integer `3`, expected a table", "write a table"),
            ("part = [1, \"x\"]\n", "f:1:8: found a list, expected a table", "write a table"),
            ("[[part]]\nmonth = 1\n", "f:1:1: found a list, expected a table", "write a table"),
            ("[part]\nmonth = -1\n", "f:2:9: found integer `-1`, expected a whole number of 0 or more", "write a"),
            ("[[parts]]\n[[parts]]\nmont = 1\n", "f:3:1: unknown key `mont`", "did you mean `month`?"),
            ("parts = [[1]]\n", "f:1:10: found a list, expected a table", "write a table"),
            ("count = 1\ncount = 2\n", "f:2:1: duplicate key", "a scenario is written in TOML"),
            ("count = \n", "f:1:9: ", "a scenario is written in TOML"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().starts_with(what), "{text}: {error}");
            assert!(error.remedy().starts_with(remedy), "{text}: {}", error.remedy());
        }
        assert!(read("name = \"a\"\ncount = 0xC\nshare = 1\npart = { month = 1_000 }\nlist = []\n").is_ok());
    }

    #[test]
    fn entries_are_in_the_order_of_the_text() {
        let text = "b = 1\na = 2\n";
        let document = Document { kind: DocumentKind::Scenario, source: "f", text };
        let table: BTreeMap<Spanned<String>, u32> = document.read().unwrap();
        let order: Vec<_> =
            in_text_order(&table).into_iter().map(|(key, _)| (key.get_ref().as_str(), key.span())).collect();
        assert_eq!(order, [("b", 0..1), ("a", 6..7)]);
    }
}
