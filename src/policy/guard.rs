//! Guards: the limits of a run. They are read from `[guard]` of a policy, and written into its document.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::{Document, Number, Section, Spanned, Whole, in_text_order};
use crate::error::Result;
use crate::estate::{TypeNames, TypeSet};
use crate::shown;

/// Limits of a run. A run that would exceed one publishes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// The most rows to be deleted.
    pub max_deletes: u64,
    /// The most rows to be deleted, as a share (0 to 1) of the rows of the snapshot.
    pub max_delete_share: f64,
    /// The most quarantined rows.
    pub max_quarantined: u64,
    /// The most quarantined rows, as a share (0 to 1) of the rows of the snapshot; `None` sets no such limit.
    pub max_quarantined_share: Option<f64>,
    /// Limits of single types, by the name in the policy: a type, or the alias of both devices of a Comms Hub, whose
    /// rows are then counted together.
    pub by_type: BTreeMap<String, TypeGuard>,
    /// Whether a snapshot is refused unless no two rows have the same Device ID, by its seal or by `--unique`.
    pub require_unique: bool,
    /// Whether a snapshot is refused unless all of its files are sealed.
    pub require_sealed: bool,
    /// The directory of the run that this one is compared with; `None` if there is none, or the command line names it.
    pub previous: Option<String>,
    /// How much more rows may be deleted or quarantined than in the previous run, and by how much the rows of the
    /// snapshot may differ, as a share: 0.25 is a quarter.
    pub max_growth: Option<f64>,
}

/// The limits of one type, or of both devices of a Comms Hub.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TypeGuard {
    /// The types whose rows are counted.
    pub types: TypeSet,
    /// Their limits.
    pub limits: TypeLimits,
}

/// Limits of the rows of a type, or of all rows; shares are of these rows. `None` sets no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TypeLimits {
    /// As [`Guard::max_deletes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<u64>,
    /// As [`Guard::max_delete_share`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delete_share: Option<f64>,
    /// As [`Guard::max_quarantined`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_quarantined: Option<u64>,
    /// As [`Guard::max_quarantined_share`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_quarantined_share: Option<f64>,
}

impl Default for Guard {
    /// The limits of a policy that sets none, so that every run has guards.
    fn default() -> Self {
        Self {
            max_deletes: 500_000,
            max_delete_share: 0.05,
            max_quarantined: 10_000,
            max_quarantined_share: None,
            by_type: BTreeMap::new(),
            require_unique: false,
            require_sealed: false,
            previous: None,
            max_growth: None,
        }
    }
}

impl Guard {
    /// The growth that is allowed where a previous run is named and the policy does not say: a quarter.
    pub const USUAL_GROWTH: f64 = 0.25;

    /// Limits that stop no run, to see what a policy would do without its guards.
    #[must_use]
    pub fn none() -> Self {
        Self { max_deletes: u64::MAX, max_delete_share: 1.0, max_quarantined: u64::MAX, ..Self::default() }
    }

    /// The limits of the whole snapshot.
    #[must_use]
    pub const fn whole(&self) -> TypeLimits {
        TypeLimits {
            max_deletes: Some(self.max_deletes),
            max_delete_share: Some(self.max_delete_share),
            max_quarantined: Some(self.max_quarantined),
            max_quarantined_share: self.max_quarantined_share,
        }
    }

    /// How much a run may differ from the previous one.
    #[must_use]
    pub fn growth(&self) -> f64 {
        self.max_growth.unwrap_or(Self::USUAL_GROWTH)
    }
}

type Rows = Whole<0, { i64::MAX }>;
type Share = Number<0, 1>;

/// `[guard]` of a policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuardSection {
    max_deletes: Option<Rows>,
    max_delete_share: Option<Share>,
    max_quarantined: Option<Rows>,
    max_quarantined_share: Option<Share>,
    by_type: Option<Section<BTreeMap<Spanned<String>, Section<TypeGuardSection>>>>,
    require_unique: Option<bool>,
    require_sealed: Option<bool>,
    previous: Option<Spanned<String>>,
    max_growth: Option<Number<0, 100>>,
}

/// `[guard.by_type.ESME]` of a policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "they are the keys of a policy")]
struct TypeGuardSection {
    max_deletes: Option<Rows>,
    max_delete_share: Option<Share>,
    max_quarantined: Option<Rows>,
    max_quarantined_share: Option<Share>,
}

impl From<&TypeGuardSection> for TypeLimits {
    fn from(section: &TypeGuardSection) -> Self {
        Self {
            max_deletes: section.max_deletes.map(Rows::get),
            max_delete_share: section.max_delete_share.map(Share::get),
            max_quarantined: section.max_quarantined.map(Rows::get),
            max_quarantined_share: section.max_quarantined_share.map(Share::get),
        }
    }
}

/// Reads the guards of a policy with these types.
pub(super) fn guard(
    document: &Document<'_>,
    section: Option<Section<GuardSection>>,
    types: &TypeNames,
) -> Result<Guard> {
    let usual = Guard::default();
    let Some(section) = section.map(Section::into_inner) else { return Ok(usual) };
    let mut by_type = BTreeMap::new();
    for (name, section) in section.by_type.iter().flat_map(|by_type| in_text_order(by_type)) {
        let limits = TypeLimits::from(&**section);
        if limits == TypeLimits::default() {
            let what = format!("sets no limit for {}", shown::value(name.get_ref()));
            return Err(document.refuse(section.span.clone(), what, "set max_deletes, or leave the table out"));
        }
        let types = document.types_of(name, types, &[])?;
        by_type.insert(name.get_ref().clone(), TypeGuard { types, limits });
    }
    if let Some(previous) = section.previous.as_ref().filter(|previous| previous.get_ref().trim().is_empty()) {
        return Err(no_name(document, previous.span()));
    }
    Ok(Guard {
        max_deletes: section.max_deletes.map_or(usual.max_deletes, Rows::get),
        max_delete_share: section.max_delete_share.map_or(usual.max_delete_share, Share::get),
        max_quarantined: section.max_quarantined.map_or(usual.max_quarantined, Rows::get),
        max_quarantined_share: section.max_quarantined_share.map(Share::get),
        by_type,
        require_unique: section.require_unique.unwrap_or_default(),
        require_sealed: section.require_sealed.unwrap_or_default(),
        previous: section.previous.map(Spanned::into_inner),
        max_growth: section.max_growth.map(Number::get),
    })
}

fn no_name(document: &Document<'_>, span: Range<usize>) -> crate::error::Error {
    document.refuse(span, "`previous` names no run", "name the directory of a run, or leave the key out")
}

/// The guards in the document of a policy. A limit that a policy does not have is left out, so that policies which
/// were written before it existed keep their digests.
#[derive(Serialize)]
pub(super) struct GuardDocument<'p> {
    max_deletes: u64,
    max_delete_share: f64,
    max_quarantined: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_quarantined_share: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_type: BTreeMap<&'p str, TypeLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_unique: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_sealed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_growth: Option<f64>,
}

impl<'p> From<&'p Guard> for GuardDocument<'p> {
    fn from(guard: &'p Guard) -> Self {
        Self {
            max_deletes: guard.max_deletes,
            max_delete_share: guard.max_delete_share,
            max_quarantined: guard.max_quarantined,
            max_quarantined_share: guard.max_quarantined_share,
            by_type: guard.by_type.iter().map(|(name, of_type)| (name.as_str(), of_type.limits)).collect(),
            require_unique: guard.require_unique.then_some(true),
            require_sealed: guard.require_sealed.then_some(true),
            previous: guard.previous.as_deref(),
            max_growth: guard.max_growth,
        }
    }
}

/// A limit as `policy show` and `policy diff` show it.
pub struct Limit {
    /// The key below `[guard]`.
    pub key: String,
    /// The value as text.
    pub text: String,
    /// The value as a number: a higher one stops less.
    pub value: f64,
}

impl Guard {
    /// Every limit that is set.
    #[expect(clippy::cast_precision_loss, reason = "limits are compared to say which is higher")]
    #[must_use]
    pub fn limits(&self) -> Vec<Limit> {
        let rows = |key: String, rows: u64| Limit { key, text: rows.to_string(), value: rows as f64 };
        let share = |key: String, share: f64| Limit { key, text: share.to_string(), value: share };
        let mut all = vec![
            rows("max_deletes".into(), self.max_deletes),
            share("max_delete_share".into(), self.max_delete_share),
            rows("max_quarantined".into(), self.max_quarantined),
        ];
        all.extend(self.max_quarantined_share.map(|limit| share("max_quarantined_share".into(), limit)));
        all.extend(self.max_growth.map(|limit| share("max_growth".into(), limit)));
        for (name, TypeGuard { limits, .. }) in &self.by_type {
            let key = |key: &str| format!("by_type.{name}.{key}");
            all.extend(limits.max_deletes.map(|limit| rows(key("max_deletes"), limit)));
            all.extend(limits.max_delete_share.map(|limit| share(key("max_delete_share"), limit)));
            all.extend(limits.max_quarantined.map(|limit| rows(key("max_quarantined"), limit)));
            all.extend(limits.max_quarantined_share.map(|limit| share(key("max_quarantined_share"), limit)));
        }
        all
    }
}
