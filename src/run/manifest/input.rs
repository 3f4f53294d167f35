//! The input of the manifest writers, and the file names and properties of all three manifests.

use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::estate::TypeNames;
use crate::output::parquet::writer_properties;
use crate::policy::Policy;
use crate::sweep::{Findings, Swept};

/// Name of the delete manifest.
pub const DELETE: &str = "delete.parquet";
/// Name of the alert manifest.
pub const ALERTS: &str = "alerts.parquet";
/// Name of the quarantine manifest.
pub const QUARANTINE: &str = "quarantine.parquet";

/// Rows of a row group.
pub(super) const GROUP_ROWS: usize = 1 << 17;

/// The input of the manifest writers.
pub struct Manifests<'a> {
    /// The findings of the sweep.
    pub findings: &'a Findings,
    /// The names of types.
    pub types: &'a TypeNames,
    /// The code of alerts.
    pub alert_code: &'a str,
    /// The day on which a device becomes due, from its type code and the day of its status date (days since 1970-01-01).
    pub due_on: Box<dyn Fn(u8, i32) -> i32 + Sync + 'a>,
    /// The name of the file that has a row of the snapshot, and the row's number in it, from the row's number in the
    /// snapshot. All numbers are from 0.
    pub locate: Box<dyn Fn(u64) -> (&'a str, u64) + 'a>,
}

impl<'a> Manifests<'a> {
    /// The manifests of what one policy found in a snapshot, whose rows `locate` finds.
    #[must_use]
    pub fn new(policy: &'a Policy, swept: &'a Swept, locate: impl Fn(u64) -> (&'a str, u64) + 'a) -> Self {
        Self {
            findings: &swept.findings,
            types: &policy.types,
            alert_code: &policy.alerts.code,
            due_on: Box::new(|type_code, day| swept.rules.due_on(type_code, day).unwrap_or(day)),
            locate: Box::new(locate),
        }
    }
}

/// Properties of all manifests.
pub(super) fn properties() -> WriterProperties {
    writer_properties().set_writer_version(WriterVersion::PARQUET_1_0).build()
}
