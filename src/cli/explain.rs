//! `smi-sweep explain`: what becomes of one device, and why.

use serde_json::json;

use super::progress::TerminalProgress;
use super::{Common, SnapshotArgs, figures, parse_time, print, print_json};
use crate::error::Result;
use crate::estate::{DeviceId, Disposition, time};
use crate::explain::explain;
use crate::policy::Policy;
use crate::scan::Scan;
use crate::snapshot::Snapshot;

/// Say what becomes of one device under a policy, and why, with the dates worked out
///
/// That a device is not in the snapshot is an answer as well: nothing becomes of it.
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
    /// The moment to judge by [default: the one at which the snapshot says it was taken]
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: Option<i64>,
    /// As `sweep --unique` would judge it: quarantined where its Device ID occurs anywhere else, due or not
    #[arg(long)]
    unique: bool,
}

/// Reads a Device ID, and knows what it looks like without its hyphens.
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

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let pool = common.pool();
    let progress = TerminalProgress::new(common);
    let snapshot = Snapshot::open(&args.snapshot.snapshot, &policy.spellings.columns, &pool, &progress)?;
    let (as_of, _) = snapshot.as_of(args.as_of)?;
    let found = explain(&Scan::new(&snapshot, &pool, &progress), &policy, as_of, args.device, args.unique)?;
    snapshot.unchanged()?;
    progress.finish();
    let place =
        |row: u64| snapshot.locate(row).map_or_else(String::new, |(file, row)| format!("{}, row {row}", file.name));
    if common.json {
        let rows: Vec<_> = found
            .iter()
            .map(|row| {
                let (alert, reason) = match row.disposition {
                    Disposition::Delete { alert } => (alert, None),
                    Disposition::Quarantined(reason) => (false, Some(reason.name())),
                    _ => (false, None),
                };
                json!({
                    "place": place(row.row),
                    "device_type": row.device_type,
                    "smi_status": row.smi_status,
                    "status_since": row.judged.since.map(time::format_instant),
                    "notifying_party": row.party,
                    "notifying_role": row.role,
                    "disposition": row.disposition.name(),
                    "alert": alert,
                    "reason": reason,
                    "because": row.because,
                })
            })
            .collect();
        return print_json(&json!({
            "device_id": args.device.to_string(),
            "policy": policy.name,
            "as_of": time::format_instant(as_of),
            "rows": rows,
        }));
    }
    let mut text = String::new();
    if found.is_empty() {
        let rows = figures::counted(snapshot.rows(), "row");
        text = format!(
            "{}: not in this snapshot\n  None of its {rows} has this Device ID: nothing becomes of it.\n",
            args.device
        );
    }
    for row in &found {
        let kind = row.device_type.as_deref().unwrap_or("(null)");
        let verdict = row.disposition.name().replace('_', " ");
        text.push_str(&format!("{} ({kind}; {}): {verdict}\n  {}\n", args.device, place(row.row), row.because));
    }
    print(&figures::wrapped(&text, 2))
}
