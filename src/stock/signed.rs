//! Files that somebody signs (rules of the count, tariffs): TOML, every slip with its line and column.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, PolicyPlace, Result};

/// The text that errors point into.
#[derive(Debug)]
pub struct Signed<'a> {
    /// What errors call it.
    pub source: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl Signed<'_> {
    /// Understands the text. `remedy` is what to do where it cannot be understood.
    ///
    /// # Errors
    /// The first slip.
    pub fn parse<T: DeserializeOwned>(&self, remedy: &str) -> Result<T> {
        toml::from_str(self.text).map_err(|error| {
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            self.refuse(error.span().unwrap_or(0..0), what, remedy)
        })
    }

    /// The error that `what` is wrong at a place.
    pub fn refuse(&self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Policy {
            place: PolicyPlace::within(self.source, self.text, span.start),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// Reads a file that is signed.
///
/// # Errors
/// Where it cannot be read, or is not text.
pub fn read(path: &Path) -> Result<String> {
    let refuse = |what: String| Error::Policy {
        place: PolicyPlace { source: path.display().to_string(), line_column: None },
        what,
        remedy: "name a TOML file".into(),
    };
    let bytes = fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| refuse("is not text".into()))
}

/// `did you mean` the nearest of the names, where one is near.
pub fn did_you_mean<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let near = names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    near.map_or_else(String::new, |(_, name)| format!("did you mean `{name}`? "))
}
