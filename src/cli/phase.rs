//! `smi-sweep phase`: a lower threshold in steps, within limits for every month.

use std::path::PathBuf;

use super::progress::TerminalProgress;
use super::{Common, figures, print, print_json, remark};
use crate::error::Result;
use crate::forecast::{PhaseFiles, PhaseMonth, PhaseOptions, phase_files};
use crate::policy::Policy;

/// Find the fastest schedule of thresholds that keeps every month under limits of alerts and deletions
///
/// The figures are expectations, from the same rates as those of `smi-sweep forecast`; the band is printed beside them.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep phase [OPTIONS] --from <MONTHS>\n                       --to <MONTHS> <LEDGER>..."
)]
pub struct Args {
    /// Ledgers of one estate, made by `smi-sweep ledger`
    #[arg(required = true, value_name = "LEDGER")]
    ledger: Vec<PathBuf>,
    /// The threshold in force, in months
    #[arg(long, value_name = "MONTHS", value_parser = clap::value_parser!(u32).range(2..=600))]
    from: u32,
    /// The threshold to reach, in months
    #[arg(long, value_name = "MONTHS", value_parser = clap::value_parser!(u32).range(1..=600))]
    to: u32,
    /// The most alerts of a month
    #[arg(long, value_name = "N")]
    max_alerts_per_month: Option<u32>,
    /// The most alerts of a month to one party
    #[arg(long, value_name = "N")]
    max_alerts_per_party_month: Option<u32>,
    /// The most deletions of a month, with and without an alert
    #[arg(long, value_name = "N")]
    max_deletes_per_month: Option<u32>,
    /// The policy whose exclusions and alerts apply; its thresholds are replaced
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    /// A scenario with assumptions ([[history]], [hazard], [growth], ..) and the months to plan [default: 60 months]
    #[arg(long, value_name = "FILE")]
    scenario: Option<String>,
    /// The folder to write, which must not exist yet: the schedule (CSV, JSON), a page, and a policy file for each step
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let options = PhaseOptions {
        ledgers: &args.ledger,
        policy: Policy::load(&args.policy)?,
        scenario: args.scenario.as_deref(),
        from: args.from,
        to: args.to,
        alerts: args.max_alerts_per_month,
        party_alerts: args.max_alerts_per_party_month,
        deletes: args.max_deletes_per_month,
        out: args.out.as_deref(),
    };
    let progress = TerminalProgress::new(common);
    let made = phase_files(&options, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&made);
    }
    remark(common, &format!("{} ledgers, {seconds:.2} s", args.ledger.len()));
    print(&schedule(&made, args.to))
}

fn schedule(made: &PhaseFiles, to: u32) -> String {
    let header = ["month", "date", "threshold", "alerts", "80 % band", "most to a party", "deletions"];
    let row = |own: &PhaseMonth| {
        vec![
            own.month.to_string(),
            own.date.clone(),
            own.threshold.to_string(),
            format!("{:.0}", own.alerts),
            format!("{} to {}", own.alerts_band.0, own.alerts_band.1),
            format!("{:.0}", own.most_to_a_party),
            format!("{:.0}", own.deletes),
        ]
    };
    let mut text = format!(
        "{}\n{to} months are reached in month {}. At once, the first day would raise {:.0} alerts; the highest month of \
         this schedule has {:.0}.\nPolicies for change control:\n",
        figures::table(&header, made.months.iter().map(row)),
        made.reached_in,
        made.alerts_at_once,
        made.peak_alerts
    );
    for policy in &made.policies {
        text.push_str(&format!("  from {}: {}, {} months\n", policy.from, policy.name, policy.months));
    }
    for finding in &made.findings {
        text.push_str(&format!("warning: {finding}.\n"));
    }
    text
}
