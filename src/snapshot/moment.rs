//! The moment at which a snapshot was taken, and the moment by which its rows are judged.
//!
//! Rows are judged by a moment that the user or the snapshot gives, never by the wall clock. A moment after the
//! snapshot's own is refused by default: a device whose status changed in between would be judged by its old status.

use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::error::{Error, Fault, Place, Result};
use crate::estate::time;

/// The moment to judge by, as the user asks for it. Moments are UTC microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AsOf {
    /// The snapshot's own moment.
    #[default]
    OfSnapshot,
    /// This moment. It is refused where it is after the snapshot's own.
    Given(i64),
    /// This moment, also where it is after the snapshot's own.
    GivenEvenLater(i64),
}

impl AsOf {
    /// The moment of `--as-of`, where it is given, and whether there is `--as-of-later`.
    #[must_use]
    pub fn from_arguments(given: Option<i64>, even_later: bool) -> Self {
        let asked = if even_later { Self::GivenEvenLater } else { Self::Given };
        given.map_or(Self::OfSnapshot, asked)
    }

    /// Whether a moment after the snapshot's own is accepted.
    #[must_use]
    pub const fn even_later(self) -> bool {
        matches!(self, Self::GivenEvenLater(_))
    }

    /// The given moment, where it may be used with a snapshot that was taken at `own`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a moment after `own`. `place` says so.
    pub fn no_later_than(self, own: i64, place: &Place) -> Result<()> {
        match self {
            Self::Given(as_of) if as_of > own => Err(Error::Usage {
                what: format!(
                    "{place}: taken at {}, and --as-of {} is later",
                    time::format_instant(own),
                    time::format_instant(as_of)
                ),
                remedy: "leave out --as-of, or take a newer snapshot; --as-of-later judges these rows by the later \
                         moment, without knowing what changed since"
                    .into(),
            }),
            _ => Ok(()),
        }
    }
}

/// Where the as-of time of a sweep comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsOfFrom {
    /// The user gave it.
    Argument,
    /// `taken_at` of `_snapshot.json`.
    Seal,
    /// The key-value `smi.taken_at` of the files.
    Files,
}

impl AsOfFrom {
    /// The name in the run record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::Seal => "seal",
            Self::Files => "files",
        }
    }
}

/// Whether a snapshot says when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnMoment {
    /// It does.
    Stated,
    /// It does not: whether the as-of moment is later cannot be known.
    None,
    /// Its seals or files contradict each other, or have a time that cannot be read.
    Contradictory,
}

impl Snapshot {
    /// When the snapshot was taken, UTC microseconds since 1970, and the source of that time.
    ///
    /// # Errors
    /// Seals or files that contradict each other, or a time that is not RFC 3339.
    pub fn taken_at(&self) -> Result<Option<(i64, AsOfFrom)>> {
        if self.seals.dated().next().is_some() {
            let seals = self.seals.dated().map(|(path, text)| (Place::file(path), Some(text)));
            let undated = self.files.iter().filter(|file| self.seals.undated.contains(&file.name));
            let micros = agree(seals.chain(undated.map(|file| (file.place(), None))))?;
            return Ok(micros.map(|micros| (micros, AsOfFrom::Seal)));
        }
        Ok(self.files_taken_at()?.map(|micros| (micros, AsOfFrom::Files)))
    }

    /// The time in the files' own metadata (`smi.taken_at`), UTC microseconds since 1970. Seals are not read.
    ///
    /// # Errors
    /// Files that contradict each other, or a time that is not RFC 3339.
    pub fn files_taken_at(&self) -> Result<Option<i64>> {
        if self.files.iter().all(|file| file.taken_at().is_none()) {
            return Ok(None);
        }
        agree(self.files.iter().map(|file| (file.place(), file.taken_at())))
    }

    /// Whether the snapshot says when it was taken.
    #[must_use]
    pub fn own_moment(&self) -> OwnMoment {
        match self.taken_at() {
            Ok(Some(_)) => OwnMoment::Stated,
            Ok(None) => OwnMoment::None,
            Err(_) => OwnMoment::Contradictory,
        }
    }

    /// The time to judge by, UTC microseconds since 1970: the user's, else the snapshot's. Never the wall clock.
    ///
    /// # Errors
    /// If neither is given; if the user's is after any of the moments that seals and files state, or cannot be compared
    /// with one; if the times of the snapshot contradict each other, and the user gives none.
    pub fn as_of(&self, asked: AsOf) -> Result<(i64, AsOfFrom)> {
        match asked {
            AsOf::OfSnapshot => self.taken_at()?.ok_or_else(|| self.place().refuse(Fault::NoAsOf)),
            AsOf::GivenEvenLater(micros) => Ok((micros, AsOfFrom::Argument)),
            AsOf::Given(micros) => {
                for (place, text) in self.moments() {
                    let own = time::parse(text);
                    let own = own.ok_or_else(|| place.clone().refuse(Fault::BadTime(text.into())))?;
                    asked.no_later_than(own, &place)?;
                }
                Ok((micros, AsOfFrom::Argument))
            }
        }
    }

    /// All moments that the snapshot states, as text: those of seals, and of the files that no seal with a moment covers.
    fn moments(&self) -> impl Iterator<Item = (Place, &str)> {
        let sealed = self.seals.dated().map(|(path, text)| (Place::file(path), text));
        let no_seals = self.seals.dated().next().is_none();
        let files = self.files.iter().filter(move |file| no_seals || self.seals.undated.contains(&file.name));
        sealed.chain(files.filter_map(|file| Some((file.place(), file.taken_at()?))))
    }
}

/// The time, UTC microseconds since 1970, if it is the same at all places; `None` for no places.
fn agree<'a>(times: impl Iterator<Item = (Place, Option<&'a str>)>) -> Result<Option<i64>> {
    let mut agreed: Option<(i64, &str)> = None;
    for (place, text) in times {
        let text = text.unwrap_or("no time at all");
        let micros = time::parse(text);
        match (agreed, micros) {
            (Some((other, _)), Some(micros)) if other == micros => {}
            (None, Some(micros)) => agreed = Some((micros, text)),
            (None, None) => return Err(place.refuse(Fault::BadTime(text.into()))),
            (Some((_, other)), _) => {
                return Err(place.refuse(Fault::MixedAsOf { found: text.into(), other: other.into() }));
            }
        }
    }
    Ok(agreed.map(|(micros, _)| micros))
}
