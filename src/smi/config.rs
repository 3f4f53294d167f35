//! The configuration of export and load, as TOML: the device table, limits, approvals. The spellings of statuses and types are
//! in the policy.
//!
//! Every key has a default: a device table `public.device` whose columns have the contract's names needs no file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::approval::RequiredApprovals;
use crate::config::{Document, Section, Whole};
use crate::error::{DocumentKind, Error, Result};
use crate::estate::Column;
use crate::policy::Policy;
use crate::shown;
use crate::system::input;

/// The configuration of export and load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The device table.
    pub inventory: Inventory,
    /// The limits and tables of a load.
    pub load: Load,
    /// The approvals that a run needs; `None`: it needs none.
    pub approvals: Option<RequiredApprovals>,
}

/// The device table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inventory {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Column of the table = column of the contract. Where it is empty, the mapping of the policy applies.
    pub columns: BTreeMap<String, Column>,
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

/// The limits and tables of a load. Options of the command line override the keys of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// The schema of the load's own tables.
    pub schema: String,
    /// The table of removed rows.
    pub removed: String,
    /// The table of alerts to send.
    pub outbox: String,
    /// Schemas in which functions of triggers look for names without a schema. Other users must not be able to create
    /// anything there: it would run with the rights of the loader.
    pub trigger_schemas: Vec<String>,
    /// Columns that triggers set when a row is inserted: an undo need not restore their values.
    pub trigger_columns: Vec<String>,
    /// Planned devices in a transaction: at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub batch: u32,
    /// Milliseconds between two transactions.
    pub pause_ms: u64,
    /// Milliseconds that a statement waits for a lock, before locked rows are skipped and tried again at the end.
    pub lock_timeout_ms: u32,
    /// Milliseconds that a statement may take before its batch is halved.
    pub statement_timeout_ms: u32,
    /// Days after its as-of within which a run may be loaded: at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub max_age_days: u32,
    /// Single devices that the database may refuse to delete; one more stops the load.
    pub max_failed: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            schema: "public".into(),
            removed: "device_removed".into(),
            outbox: "alert_outbox".into(),
            trigger_schemas: Vec::new(),
            trigger_columns: Vec::new(),
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
    /// The wait between two transactions.
    #[must_use]
    pub const fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }
}

/// The TOML document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    inventory: Option<Section<Inventory>>,
    load: Option<Section<Load>>,
    approvals: Option<RequiredApprovals>,
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Whole::<1, { u32::MAX as i64 }>::deserialize(deserializer).map(Whole::get_u32)
}

impl Config {
    /// Reads a configuration; the default where no file is named.
    ///
    /// # Errors
    /// A file that cannot be read, and the first error in it, with line and column.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = input::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text, &shown::path(&path).to_string())
    }

    /// Reads a configuration from text. `source` is its name in errors.
    ///
    /// # Errors
    /// The first error, with line and column.
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        let ConfigFile { inventory, load, approvals } =
            Document { kind: DocumentKind::LoadConfig, source, text }.read()?;
        Ok(Self {
            inventory: inventory.map(Section::into_inner).unwrap_or_default(),
            load: load.map(Section::into_inner).unwrap_or_default(),
            approvals,
        })
    }

    /// The name of a column of the contract in the device table.
    #[must_use]
    pub fn column(&self, policy: &Policy, column: Column) -> String {
        let own = self.inventory.columns.iter().find(|(_, ours)| **ours == column);
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
