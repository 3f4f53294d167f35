//! `smi-sweep explain`: what becomes of one device, and why.

use serde_json::json;

use super::progress::Progress;
use super::{Common, SnapshotArgs, parse_time, print, print_json};
use crate::error::{Error, Result};
use crate::estate::{DeviceId, Disposition, time};
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::sweep::explain;

/// Say what becomes of one device under a policy, and why, with the dates worked out
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The Device ID, as in 00-DB-12-34-56-78-90-A0
    #[arg(value_name = "DEVICE_ID")]
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

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let pool = common.pool();
    let progress = Progress::new(common);
    let snapshot = Snapshot::open(&args.snapshot.snapshot, &policy.spellings.columns, &pool, &progress)?;
    let (as_of, _) = snapshot.as_of(args.as_of)?;
    let found = explain::explain(&snapshot, &policy, as_of, args.device, args.unique, &pool, &progress)?;
    snapshot.unchanged()?;
    progress.finish();
    if found.is_empty() {
        return Err(Error::Usage {
            what: format!("{} is not in this snapshot", args.device),
            remedy: "check the Device ID and the snapshot; a device that is not there cannot be deleted".into(),
        });
    }
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
    for row in &found {
        let kind = row.device_type.as_deref().unwrap_or("(null)");
        let verdict = row.disposition.name().replace('_', " ");
        text.push_str(&format!("{} ({kind}; {}): {verdict}\n  {}\n", args.device, place(row.row), row.because));
    }
    print(&text)
}
