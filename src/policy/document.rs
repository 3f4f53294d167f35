//! TOML that errors point into: every slip is refused with its line and column, and with the nearest right name.
//!
//! Policies are read through it, and so is whatever else people write by hand and that names device types.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, PolicyPlace, Result, nearest};
use crate::estate::{DeviceType, SmiStatus, TypeNames, TypeSet};

/// The text that errors point into.
#[derive(Debug)]
pub struct Document<'a> {
    /// The whole text.
    pub text: &'a str,
    /// What errors call it.
    pub source: &'a str,
    /// What it is: `a policy`.
    pub what: &'static str,
    /// The error that a slip in it is: where, what, and what to write instead.
    pub refusal: fn(PolicyPlace, String, String) -> Error,
}

impl Document<'_> {
    /// The error that something is wrong at these bytes.
    pub fn refuse(&self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        (self.refusal)(PolicyPlace::within(self.source, self.text, span.start), what.into(), remedy.into())
    }

    /// The text as a table.
    ///
    /// # Errors
    /// Text that is not TOML, and text that says nothing.
    pub fn table(&self, begin_with: &str) -> Result<Spanned<DeTable<'_>>> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            self.refuse(error.span().unwrap_or(0..0), what, format!("{} is written in TOML", self.what))
        })?;
        if table.get_ref().is_empty() {
            let name = self.what.trim_start_matches("a ");
            return Err(self.refuse(0..0, format!("the {name} is empty"), format!("begin with {begin_with}")));
        }
        Ok(table)
    }

    /// The root of its [`table`](Self::table).
    #[must_use]
    pub fn root<'t>(&'t self, table: &'t Spanned<DeTable<'t>>) -> Section<'t> {
        Section { document: self, name: "", table: table.get_ref(), span: 0..0 }
    }
}

/// A table of the document.
#[derive(Debug)]
pub struct Section<'a> {
    document: &'a Document<'a>,
    name: &'a str,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// A key of a table.
#[derive(Debug)]
pub struct Key<'a> {
    document: &'a Document<'a>,
    /// The key itself.
    pub name: &'a str,
    span: Range<usize>,
}

/// A value of a table or a list.
#[derive(Debug)]
pub struct Value<'a> {
    document: &'a Document<'a>,
    spanned: &'a Spanned<DeValue<'a>>,
    /// What errors call it.
    name: String,
}

impl<'a> Section<'a> {
    /// Keys and values, in the order of the text.
    pub fn entries(&self) -> impl Iterator<Item = (Key<'a>, Value<'a>)> {
        let document = self.document;
        // In the order of the text, so that the first slip of several is the one that is reported.
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(move |(key, value)| {
            let name: &str = key.get_ref();
            (Key { document, name, span: key.span() }, Value { document, spanned: value, name: name.into() })
        })
    }

    /// Refuses keys other than these.
    ///
    /// # Errors
    /// The first that is not known, with the nearest right name.
    pub fn only(&self, known: &[&'static str]) -> Result<()> {
        for (key, _) in self.entries() {
            if !known.contains(&key.name) {
                let section =
                    if self.name.is_empty() { self.document.what.to_owned() } else { format!("[{}]", self.name) };
                let near = did_you_mean(key.name, known.iter().copied());
                return Err(key.refuse(
                    format!("unknown key `{}` in {section}", key.name),
                    format!("{near}{section} may have {}", known.join(", ")),
                ));
            }
        }
        Ok(())
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.entries().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// Where it is not.
    pub fn required(&self, name: &str) -> Result<Value<'a>> {
        self.get(name).ok_or_else(|| {
            let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            self.missing(&format!("`{name}`{place}"))
        })
    }

    /// The error that something is not there.
    #[must_use]
    pub fn missing(&self, what: &str) -> Error {
        self.document.refuse(self.span.clone(), format!("lacks {what}"), format!("add {what}"))
    }

    /// A table within.
    ///
    /// # Errors
    /// Where the key is there and is no table.
    pub fn section(&self, name: &'static str) -> Result<Option<Section<'a>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.spanned.get_ref() {
            DeValue::Table(table) => {
                Ok(Some(Section { document: self.document, name, table, span: value.spanned.span() }))
            }
            other => Err(value.wrong_kind("a table", other)),
        }
    }
}

impl Key<'_> {
    /// The error that something is wrong here.
    pub fn refuse(&self, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        self.document.refuse(self.span.clone(), what, remedy)
    }

    /// Whether the spelling is this word, in whatever case.
    #[must_use]
    pub fn says(&self, word: &str) -> bool {
        self.name.eq_ignore_ascii_case(word)
    }

    /// A spelling that has a meaning of its own, in whatever case, is never given another: devices would be judged as
    /// what they are not. One that is blank, or that nobody can tell from another by looking at it, is no spelling.
    ///
    /// # Errors
    /// Such a spelling.
    pub fn must_not_mean<T: Copy + PartialEq>(&self, what: &str, own: Option<T>, mapped: T) -> Result<()> {
        if self.name.is_empty() || self.name.trim() != self.name {
            let what = format!("`{}` is blank, or begins or ends blank: not a spelling of a {what}", self.name);
            return Err(self.refuse(what, "export the column without padding, and map what is left"));
        }
        if own.is_some_and(|own| own != mapped) {
            let what = format!("`{}` is a {what} already, and keeps its meaning", self.name);
            return Err(self.refuse(what, "map other spellings only"));
        }
        Ok(())
    }

    /// The types that a key stands for: one, or those of an alias. `besides` are other keys that would be right.
    ///
    /// # Errors
    /// A name that nobody knows.
    pub fn type_set(&self, types: &TypeNames, besides: &[&str]) -> Result<TypeSet> {
        type_set(self.name, types)
            .ok_or_else(|| unknown_type(self.document, self.span.clone(), self.name, types, besides))
    }
}

impl<'a> Value<'a> {
    /// The error that something is wrong here.
    pub fn refuse(&self, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        self.document.refuse(self.spanned.span(), what, remedy)
    }

    /// The error that this is a value of another kind.
    #[must_use]
    pub fn wrong_kind(&self, wanted: &str, found: &DeValue<'_>) -> Error {
        self.refuse(format!("`{}` is a {}", self.name, found.type_str()), format!("write {wanted}"))
    }

    /// The error that nobody knows this name.
    #[must_use]
    pub fn unknown<const N: usize>(&self, what: &str, found: &str, known: [&str; N]) -> Error {
        let near = did_you_mean(found, known);
        self.refuse(format!("unknown {what} `{found}`"), format!("{near}there are {}", known.join(", ")))
    }

    /// The error that nobody knows this device type.
    #[must_use]
    pub fn unknown_type(&self, name: &str, types: &TypeNames, besides: &[&str]) -> Error {
        unknown_type(self.document, self.spanned.span(), name, types, besides)
    }

    /// Text.
    ///
    /// # Errors
    /// A value of another kind.
    pub fn text(&self) -> Result<&'a str> {
        match self.spanned.get_ref() {
            DeValue::String(text) => Ok(text),
            other => Err(self.wrong_kind("text in quotes", other)),
        }
    }

    /// A list.
    ///
    /// # Errors
    /// A value of another kind.
    pub fn list(&self) -> Result<Vec<Value<'a>>> {
        match self.spanned.get_ref() {
            DeValue::Array(items) => Ok(items
                .iter()
                .map(|value| Value {
                    document: self.document,
                    spanned: value,
                    name: format!("an entry of {}", self.name),
                })
                .collect()),
            other => Err(self.wrong_kind("a list in brackets", other)),
        }
    }

    /// A whole number within a range, both ends included.
    ///
    /// # Errors
    /// A value of another kind, or out of range.
    pub fn number(&self, lowest: i64, highest: i64) -> Result<i64> {
        let DeValue::Integer(number) = self.spanned.get_ref() else {
            return Err(self.wrong_kind("a whole number", self.spanned.get_ref()));
        };
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
        value.filter(|value| (lowest..=highest).contains(value)).ok_or_else(|| {
            let range = if highest == i64::MAX {
                format!("write a whole number of {lowest} or more")
            } else {
                format!("write a whole number from {lowest} to {highest}")
            };
            self.refuse(format!("`{}` is {number}, which makes no sense", self.name), range)
        })
    }

    /// A share from 0 to 1.
    ///
    /// # Errors
    /// A value of another kind, or out of range.
    pub fn share(&self) -> Result<f64> {
        let value = match self.spanned.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            other => return Err(self.wrong_kind("a share from 0 to 1", other)),
        };
        value.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
            self.refuse(format!("`{}` is not a share", self.name), "write a share from 0 to 1, as in 0.05")
        })
    }

    /// A number, whole or not, within a range, both ends included.
    ///
    /// # Errors
    /// A value of another kind, or out of range.
    pub fn amount(&self, lowest: f64, highest: f64) -> Result<f64> {
        let value = match self.spanned.get_ref() {
            DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            other => return Err(self.wrong_kind("a number", other)),
        };
        value.filter(|value| (lowest..=highest).contains(value)).ok_or_else(|| {
            let range = if highest >= f64::MAX {
                format!("write a number of {lowest} or more")
            } else {
                format!("write a number from {lowest} to {highest}")
            };
            self.refuse(format!("`{}` is out of range", self.name), range)
        })
    }

    /// The tables of a list of tables.
    ///
    /// # Errors
    /// A value of another kind.
    pub fn tables(&self, name: &'static str) -> Result<Vec<Section<'a>>> {
        let table = |value: Value<'a>| match value.spanned.get_ref() {
            DeValue::Table(table) => Ok(Section { document: self.document, name, table, span: value.spanned.span() }),
            other => Err(value.wrong_kind("a table", other)),
        };
        self.list()?.into_iter().map(table).collect()
    }

    /// An SMI Status.
    ///
    /// # Errors
    /// A name that nobody knows.
    pub fn status(&self) -> Result<SmiStatus> {
        let name = self.text()?;
        SmiStatus::from_name(name).ok_or_else(|| self.unknown("status", name, SmiStatus::ALL.map(SmiStatus::name)))
    }

    /// A list of types and aliases.
    ///
    /// # Errors
    /// A name that nobody knows.
    pub fn type_set(&self, types: &TypeNames) -> Result<TypeSet> {
        self.list()?.iter().try_fold(TypeSet::EMPTY, |set, value| {
            let name = value.text()?;
            let named = type_set(name, types).ok_or_else(|| value.unknown_type(name, types, &[]))?;
            Ok(set.union(named))
        })
    }
}

/// The types that a name stands for: one, or those of an alias.
fn type_set(name: &str, types: &TypeNames) -> Option<TypeSet> {
    if name == TypeNames::COMMS_HUB {
        return Some(TypeSet::COMMS_HUB);
    }
    types.get(name).map(|device_type: DeviceType| [device_type].into_iter().collect())
}

fn unknown_type(document: &Document<'_>, span: Range<usize>, name: &str, types: &TypeNames, besides: &[&str]) -> Error {
    let known: Vec<&str> =
        types.iter().map(|(_, name)| name).chain([TypeNames::COMMS_HUB]).chain(besides.iter().copied()).collect();
    let near = did_you_mean(name, known.iter().copied());
    document.refuse(
        span,
        format!("unknown device type `{name}`"),
        format!("{near}there are {}; a new one is listed under [types] extra", known.join(", ")),
    )
}

fn did_you_mean<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    nearest(found, known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default()
}
