//! A schedule of thresholds, as it is printed and written.

use serde::Serialize;

/// A month of a schedule.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseMonth {
    /// The month, 0 is that of the ledger.
    pub month: usize,
    /// Its date.
    pub date: String,
    /// The threshold, in months.
    pub threshold: usize,
    /// Expected alerts.
    pub alerts: f64,
    /// The 80 % band of the alerts.
    pub alerts_band: (i64, i64),
    /// Expected alerts of the party with the most.
    pub most_to_a_party: f64,
    /// Expected deletions.
    pub deletes: f64,
}

/// A policy of the schedule.
#[derive(Debug, Clone, Serialize)]
pub struct PhasePolicy {
    /// The first day on which it is in force.
    pub from: String,
    /// Its name.
    pub name: String,
    /// Its threshold, in months.
    pub months: usize,
    /// The whole policy as TOML.
    #[serde(skip)]
    pub text: String,
}

/// A schedule from files.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseFiles {
    /// Schema `smi-sweep/phase/1`.
    pub schema: &'static str,
    /// The first month with the threshold to reach.
    pub reached_in: usize,
    /// Each month until then, and one more.
    pub months: Vec<PhaseMonth>,
    /// The policies, in the order of their days.
    pub policies: Vec<PhasePolicy>,
    /// Expected alerts of the first day if the threshold were lowered at once.
    pub alerts_at_once: f64,
    /// The highest expected month of alerts, after the schedule included.
    pub peak_alerts: f64,
    /// What a reader must know.
    pub findings: Vec<String>,
}
