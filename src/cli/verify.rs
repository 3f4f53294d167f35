//! `smi-sweep verify`: whether run directories are what their records say.

use std::path::PathBuf;

use serde_json::json;

use super::figures::{count, counted};
use super::{Common, print, print_json};
use crate::error::Result;
use crate::run::verify::{Verified, verify};

/// Recount and digest run directories, row by row, against their records
///
/// Exit code 6 at the first difference. A folder with a run for each policy is verified run by run.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Run directories
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let pool = common.pool();
    let mut verified = Vec::new();
    for run in &args.runs {
        verified.extend(verify(run, &pool)?);
    }
    if common.json {
        let runs: Vec<_> = verified
            .iter()
            .map(|Verified { path, record }| {
                json!({
                    "path": path,
                    "verified": true,
                    "policy": record.policy["name"],
                    "as_of": record.as_of,
                    "tally": record.tally,
                    "outputs": record.outputs,
                })
            })
            .collect();
        return print_json(&json!({ "runs": runs }));
    }
    let lines = verified.iter().map(|Verified { path, record }| {
        let tally = &record.tally;
        format!(
            "{}: verified: {}, {}, {} quarantined\n",
            path.display(),
            counted(tally.delete, "deletion"),
            counted(tally.alerts, "alert"),
            count(tally.quarantined),
        )
    });
    print(&lines.collect::<String>())
}
