//! `smi-sweep explain`: shows what a policy decides for one device, and why.

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{AsOfArgs, Common, SnapshotArgs, figures, print, print_json};
use crate::error::Result;
use crate::estate::{DeviceId, Disposition, time};
use crate::explain::{ExplainRequest, ExplainedRow, explain_device};
use crate::policy::Policy;
use crate::shown;

/// Show what a policy decides for one device, and why, with the dates
///
/// A device that is not in the snapshot is no error.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep explain [OPTIONS] --policy <FILE_OR_NAME>\n                         <DEVICE_ID> <SNAPSHOT>..."
)]
pub struct Args {
    /// The Device ID, as in 00-DB-12-34-56-78-90-A0
    #[arg(value_name = "DEVICE_ID", value_parser = parse_device)]
    device: DeviceId,
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// A policy file (with a `/`, or ending in .toml), or a built-in: pre-change, scr137, secmp0060
    #[arg(long, value_name = "FILE_OR_NAME")]
    policy: String,
    #[command(flatten)]
    as_of: AsOfArgs,
    /// Judge as `sweep --unique`: a due device is quarantined where another row has its Device ID
    #[arg(long)]
    unique: bool,
}

/// Reads a Device ID. Where only the hyphens are wrong, the error has the right form.
fn parse_device(text: &str) -> std::result::Result<DeviceId, String> {
    text.parse::<DeviceId>().map_err(|error| {
        let digits: Vec<char> = text.chars().filter(|character| !matches!(character, ':' | ' ' | '-')).collect();
        let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
        match pairs.join("-").parse::<DeviceId>() {
            Ok(id) => format!("eight pairs are joined by `-`: write {id}"),
            Err(_) => error.to_string(),
        }
    })
}

#[derive(Serialize)]
struct ExplainDocument<'a> {
    device_id: String,
    policy: &'a str,
    as_of: String,
    rows: Vec<RowDocument<'a>>,
}

#[derive(Serialize)]
struct RowDocument<'a> {
    place: &'a str,
    device_type: Option<&'a str>,
    smi_status: Option<&'a str>,
    status_since: Option<String>,
    notifying_party: Option<&'a str>,
    notifying_role: Option<&'a str>,
    disposition: &'static str,
    alert: bool,
    reason: Option<&'static str>,
    because: &'a str,
}

impl<'a> RowDocument<'a> {
    fn new(row: &'a ExplainedRow, place: &'a str) -> Self {
        let (alert, reason) = match row.disposition {
            Disposition::Delete { alert } => (alert, None),
            Disposition::Quarantined(reason) => (false, Some(reason.name())),
            _ => (false, None),
        };
        Self {
            place,
            device_type: row.device_type.as_deref(),
            smi_status: row.smi_status.as_deref(),
            status_since: row.judged.since.map(time::format_instant),
            notifying_party: row.party.as_deref(),
            notifying_role: row.role.as_deref(),
            disposition: row.disposition.name(),
            alert,
            reason,
            because: &row.because,
        }
    }
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let progress = TerminalProgress::new(common);
    let request = ExplainRequest {
        snapshot: &args.snapshot.snapshot,
        policy: &policy,
        as_of: args.as_of.asked(),
        device: args.device,
        unique: args.unique,
    };
    let found = explain_device(&request, &common.pool(), &progress)?;
    progress.finish();
    if common.json {
        return print_json(&ExplainDocument {
            device_id: args.device.to_string(),
            policy: &policy.name,
            as_of: time::format_instant(found.as_of),
            rows: found.rows.iter().map(|(place, row)| RowDocument::new(row, place)).collect(),
        });
    }
    let mut text = String::new();
    if found.rows.is_empty() {
        let rows = figures::counted(found.snapshot_rows, "row");
        text = format!(
            "{}: not in this snapshot\n  None of its {rows} has this Device ID, so that nothing is done.\n",
            args.device
        );
    }
    for (place, row) in &found.rows {
        let device_type = shown::value(row.device_type.as_deref().unwrap_or("(null)"));
        let verdict = row.disposition.name().replace('_', " ");
        text.push_str(&format!(
            "{} ({device_type}; {}): {verdict}\n  {}\n",
            args.device,
            shown::path(place),
            row.because
        ));
    }
    print(&figures::wrapped(&text, 2))
}
