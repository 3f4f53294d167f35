//! The rules of a count: assumptions that no public text states, with documented defaults, in TOML.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use crate::config::{self, Document, Section};
use crate::error::{DocumentKind, Result};
use crate::estate::{SmiStatus, StatusSet};
use crate::shown;

/// The rules of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockRules {
    /// Statuses of a hub that is or was commissioned.
    pub commissioned: StatusSet,
    /// Statuses of a hub in stock.
    pub charged: StatusSet,
    /// Statuses of a hub in service, for which a return is refused.
    pub in_service: StatusSet,
    /// Buckets that are charged besides [`Bucket::InStock`].
    pub charges: Charges,
}

/// Buckets that are charged besides [`Bucket::InStock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the document")]
pub struct Charges {
    /// [`Bucket::Deleted`].
    pub deleted: bool,
    /// [`Bucket::Unknown`].
    pub unknown: bool,
    /// [`Bucket::CommissionedLater`].
    pub commissioned_later: bool,
    /// [`Bucket::Unclear`].
    pub unclear: bool,
}

impl Default for Charges {
    fn default() -> Self {
        Self { deleted: true, unknown: true, commissioned_later: true, unclear: false }
    }
}

const COMMISSIONED: [SmiStatus; 6] = [
    SmiStatus::Commissioned,
    SmiStatus::Decommissioned,
    SmiStatus::Withdrawn,
    SmiStatus::Suspended,
    SmiStatus::Recovery,
    SmiStatus::Recovered,
];
const CHARGED: [SmiStatus; 3] = [SmiStatus::Pending, SmiStatus::Whitelisted, SmiStatus::InstalledNotCommissioned];
const IN_SERVICE: [SmiStatus; 4] =
    [SmiStatus::Commissioned, SmiStatus::Suspended, SmiStatus::Recovery, SmiStatus::Recovered];

impl Default for StockRules {
    fn default() -> Self {
        Self {
            commissioned: COMMISSIONED.into_iter().collect(),
            charged: CHARGED.into_iter().collect(),
            in_service: IN_SERVICE.into_iter().collect(),
            charges: Charges::default(),
        }
    }
}

/// The document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    statuses: Option<Section<StatusesSection>>,
    charge: Option<Section<Charges>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusesSection {
    commissioned: Option<Vec<SmiStatus>>,
    charged: Option<Vec<SmiStatus>>,
    in_service: Option<Vec<SmiStatus>>,
}

impl StockRules {
    /// Reads rules from a file.
    ///
    /// # Errors
    /// The first error, with its line and column.
    pub fn load(path: &Path) -> Result<Self> {
        let text = config::read_file(DocumentKind::StockRules, path)?;
        Self::parse(&text, &shown::path(&path).to_string())
    }

    /// Reads rules. `source` is their name in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        let document = Document { kind: DocumentKind::StockRules, source, text };
        let file: RulesFile = document.read()?;
        let mut rules =
            Self { charges: file.charge.map_or_else(Charges::default, Section::into_inner), ..Self::default() };
        let Some(statuses) = file.statuses else { return Ok(rules) };
        let set = |list: &Option<Vec<SmiStatus>>, default: StatusSet| {
            list.as_ref().map_or(default, |list| list.iter().copied().collect())
        };
        rules.charged = set(&statuses.charged, rules.charged);
        rules.commissioned = set(&statuses.commissioned, rules.commissioned);
        rules.in_service = set(&statuses.in_service, rules.in_service);
        let refuse = |what: String, remedy: &str| Err(document.refuse(statuses.span.clone(), what, remedy));
        if let Some(status) = rules.charged.iter().find(|status| rules.commissioned.contains(*status)) {
            let named = statuses.commissioned.is_some();
            let remedy = if named { "name it once" } else { "name the commissioned statuses as well" };
            return refuse(format!("{status} is both charged and commissioned"), remedy);
        }
        if let Some(status) = rules.in_service.iter().find(|status| !rules.commissioned.contains(*status)) {
            let what = format!("{status} is in service, and not commissioned");
            return refuse(what, "name in_service statuses among the commissioned ones");
        }
        Ok(rules)
    }

    /// Whether hubs of a bucket are charged.
    #[must_use]
    pub const fn charges(&self, bucket: Bucket) -> bool {
        match bucket {
            Bucket::InStock => true,
            Bucket::Deleted => self.charges.deleted,
            Bucket::Unknown => self.charges.unknown,
            Bucket::CommissionedLater => self.charges.commissioned_later,
            Bucket::Unclear => self.charges.unclear,
            Bucket::NotDelivered | Bucket::Returned | Bucket::NotAccepted | Bucket::Commissioned | Bucket::Exempt => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_have_their_default() {
        let rules = StockRules::parse("[charge]\nunknown = false\n", "r").unwrap();
        assert_eq!(
            rules,
            StockRules { charges: Charges { unknown: false, ..Charges::default() }, ..StockRules::default() }
        );
        assert_eq!(StockRules::parse("", "r").unwrap(), StockRules::default());
        let rules = StockRules::parse("[statuses]\ncharged = [\"Pending\"]\n", "r").unwrap();
        assert_eq!(rules.charged.iter().collect::<Vec<_>>(), [SmiStatus::Pending]);
    }

    #[test]
    fn errors_are_refused_with_their_place() {
        for (text, says) in [
            ("[charge]\nunknwon = true\n", "r:2:1: unknown key `unknwon`"),
            ("[charge]\nunknown = \"yes\"\n", "r:2:11: found string"),
            ("[statuses]\ncharged = [\"Pendign\"]\n", "r:2:12: unknown status `Pendign`"),
            ("[statuses]\ncharged = [\"Commissioned\"]\n", "r:1:1: Commissioned is both charged and commissioned"),
            ("[statuses]\nin_service = [\"Pending\"]\n", "r:1:1: Pending is in service, and not commissioned"),
            ("charge = 3\n", "r:1:10: found integer"),
        ] {
            let error = StockRules::parse(text, "r").unwrap_err();
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }
}
