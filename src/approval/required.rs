//! The table `[approvals]` of the loader's configuration: which keys may approve, and how many must.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::key::PublicKey;
use crate::config::{Document, Section};
use crate::error::{DocumentKind, Error, Result};
use crate::shown;
use crate::system::input;

/// Whose approval counts, and how many are needed.
///
/// ```
/// use smi_sweep::approval::RequiredApprovals;
///
/// let required: RequiredApprovals = toml::from_str(
///     r#"
///     needed = 1
///     [keys]
///     "data manager" = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
///     "#,
/// )
/// .expect("a table");
/// assert_eq!(required.needed(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Section<ApprovalsSection>")]
pub struct RequiredApprovals {
    keys: BTreeMap<String, PublicKey>,
    needed: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalsSection {
    needed: usize,
    keys: BTreeMap<String, PublicKey>,
}

impl TryFrom<Section<ApprovalsSection>> for RequiredApprovals {
    type Error = String;

    fn try_from(section: Section<ApprovalsSection>) -> Result<Self, String> {
        let ApprovalsSection { needed, keys } = section.into_inner();
        let mut seen = BTreeSet::new();
        if let Some((name, _)) = keys.iter().find(|(_, key)| !seen.insert(*key)) {
            return Err(format!("`{name}` has a key that another name has: one key is one person"));
        }
        if needed == 0 || needed > keys.len() {
            return Err(format!(
                "needed is {needed}, and there are {} keys: at least 1, and no more than those",
                keys.len()
            ));
        }
        Ok(Self { keys, needed })
    }
}

impl RequiredApprovals {
    /// Reads the table `[approvals]` of a configuration file; nothing else in the file is looked at.
    ///
    /// # Errors
    /// A file that cannot be read; a missing or invalid table, with line and column.
    pub fn load(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            approvals: RequiredApprovals,
        }
        let text = input::read_to_string(path).map_err(Error::io("read", path))?;
        let source = shown::path(&path).to_string();
        let File { approvals } = Document { kind: DocumentKind::Approvals, source: &source, text: &text }.read()?;
        Ok(approvals)
    }

    /// How many keys must have approved.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// The name of a key; `None` where its approval does not count.
    #[must_use]
    pub fn name(&self, key: &PublicKey) -> Option<&str> {
        self.keys.iter().find(|(_, known)| *known == key).map(|(name, _)| name.as_str())
    }
}
