//! Where the inventory is and how a load behaves, as TOML. How it spells statuses and types is the policy's.
//!
//! Everything has a default: an inventory `public.device` whose columns are called as the contract calls them needs no
//! file at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::approval::Required;
use crate::error::{Error, Result};
use crate::estate::Column;
use crate::policy::Policy;

/// What a configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The device table.
    pub inventory: Inventory,
    /// How a load behaves.
    pub load: Load,
    /// Who must have approved a run; without this table nobody is asked.
    pub approvals: Option<Required>,
}

/// The device table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inventory {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Columns, spelled as in the table, and our names for them. Where none is given, the policy's apply.
    pub columns: BTreeMap<String, String>,
    /// How Device IDs that are stored as text are spelled.
    pub letter_case: LetterCase,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            schema: "public".into(),
            table: "device".into(),
            columns: BTreeMap::new(),
            letter_case: LetterCase::Upper,
        }
    }
}

/// How Device IDs that are stored as text are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LetterCase {
    /// `00-DB-12-34-56-78-90-A0`, the canonical form.
    Upper,
    /// `00-db-12-34-56-78-90-a0`.
    Lower,
}

/// How a load behaves. The command line overrides what it names as well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// The schema of the load's own tables.
    pub schema: String,
    /// The table of removed rows.
    pub removed: String,
    /// The table of alerts to send.
    pub outbox: String,
    /// Planned devices of one transaction.
    pub batch: u32,
    /// Milliseconds between two transactions.
    pub pause_ms: u64,
    /// Milliseconds that a statement waits for a lock before it leaves the locked row for later.
    pub lock_timeout_ms: u32,
    /// Milliseconds that a statement may take before its batch is halved.
    pub statement_timeout_ms: u32,
    /// Days for which a run may be loaded, from its as-of on.
    pub max_age_days: u32,
    /// Single devices that the database may refuse before the load stops.
    pub max_failed: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            schema: "public".into(),
            removed: "device_removed".into(),
            outbox: "alert_outbox".into(),
            batch: 10_000,
            pause_ms: 0,
            lock_timeout_ms: 1_000,
            statement_timeout_ms: 60_000,
            max_age_days: 7,
            max_failed: 1_000,
        }
    }
}

impl Load {
    /// The rest between two transactions.
    #[must_use]
    pub const fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }
}

impl Config {
    /// Reads a configuration; the default where no file is named.
    ///
    /// # Errors
    /// A file that cannot be read, and the first slip in it, with line and column.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a configuration from text. `source` is what errors call it.
    ///
    /// # Errors
    /// The first slip, with line and column.
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        let refuse = |at: Option<usize>, what: String| {
            let before = at.and_then(|at| text.get(..at));
            let place = before.map_or_else(String::new, |before| {
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                format!(":{line}:{column}")
            });
            Error::Usage { what: format!("{source}{place}: {what}"), remedy: "docs/load.md lists the keys".into() }
        };
        let config: Self = toml::from_str(text)
            .map_err(|error| refuse(error.span().map(|span| span.start), error.message().to_owned()))?;
        let zero = [("batch", config.load.batch), ("max_age_days", config.load.max_age_days)];
        if let Some((key, _)) = zero.into_iter().find(|(_, value)| *value == 0) {
            return Err(refuse(text.find(key), format!("`{key}` cannot be 0")));
        }
        for (theirs, ours) in &config.inventory.columns {
            if Column::from_name(ours).is_none() {
                let known = Column::ALL.map(Column::name).join(", ");
                let what = format!("`{theirs}` is mapped to `{ours}`, which is none of {known}");
                return Err(refuse(text.find(theirs.as_str()), what));
            }
        }
        Ok(config)
    }

    /// What the table calls a column.
    #[must_use]
    pub fn column(&self, policy: &Policy, column: Column) -> String {
        let own = self.inventory.columns.iter().find(|(_, ours)| ours.as_str() == column.name());
        let policys = || policy.spellings.columns.iter().find(|(_, ours)| **ours == column);
        match own {
            Some((theirs, _)) => theirs.clone(),
            None if self.inventory.columns.is_empty() => {
                policys().map_or_else(|| column.name().to_owned(), |(theirs, _)| theirs.clone())
            }
            None => column.name().to_owned(),
        }
    }
}
