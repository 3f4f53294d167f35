//! Inputs of a count besides the snapshot.

use std::path::PathBuf;

use super::rules::StockRules;
use super::tariff::Tariff;
use crate::policy::Policy;

/// Files, rules and options of a count.
#[derive(Debug, Clone, Copy)]
pub struct StockInputs<'a> {
    /// Files of the order book.
    pub orders: &'a [PathBuf],
    /// Files of returns.
    pub returns: &'a [PathBuf],
    /// Directories of past runs, or folders of them.
    pub runs: &'a [PathBuf],
    /// Whether to count as if those runs had been loaded: rows that they delete are left out.
    pub as_if_loaded: bool,
    /// The policy with the spellings of the snapshot. Nothing else of it is used.
    pub policy: &'a Policy,
    /// The charged statuses and buckets.
    pub rules: &'a StockRules,
    /// Prices; `None`: hubs are counted without prices.
    pub tariff: Option<&'a Tariff>,
}

/// Names of files without their folders.
pub(super) fn file_names(paths: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    paths.iter().map(name).collect()
}
