//! `smi-sweep verify`: whether run directories are what their records say.

use std::path::PathBuf;

use serde_json::json;

use super::approve::{document, line};
use super::figures::{count, counted};
use super::{Common, print, print_json};
use crate::approval::{self, Found};
use crate::error::{Error, Result};
use crate::run::verify::{Verified, verify};

/// Recount and digest run directories, row by row, against their records
///
/// Exit code 6 at the first difference, and for an approval that is void. A folder with a run for each policy is verified
/// run by run.
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
    let approvals = verified.iter().map(|run| approval::list(&run.path)).collect::<Result<Vec<_>>>()?;
    for found in approvals.iter().flatten() {
        none_void(found)?;
    }
    if common.json {
        let runs: Vec<_> = verified
            .iter()
            .zip(&approvals)
            .map(|(Verified { path, record }, approvals)| {
                json!({
                    "path": path,
                    "verified": true,
                    "policy": record.policy["name"],
                    "as_of": record.as_of,
                    "tally": record.tally,
                    "outputs": record.outputs,
                    "approvals": approvals.iter().map(|found| document(found, None)).collect::<Vec<_>>(),
                })
            })
            .collect();
        return print_json(&json!({ "runs": runs }));
    }
    let lines = verified.iter().zip(&approvals).map(|(Verified { path, record }, approvals)| {
        let tally = &record.tally;
        let approvals: Vec<_> = approvals.iter().flat_map(|found| ["  ".into(), line(found, None)]).collect();
        format!(
            "{}: verified: {}, {}, {} quarantined\n{}",
            path.display(),
            counted(tally.delete, "deletion"),
            counted(tally.alerts, "alert"),
            count(tally.quarantined),
            approvals.concat(),
        )
    });
    print(&lines.collect::<String>())
}

/// A run with an approval that is void is not what it was when somebody signed it, or never was.
fn none_void(found: &Found) -> Result<()> {
    match &found.approval {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::Approval {
            path: found.path.clone(),
            what: format!("is void: {why}"),
            remedy: "find out what was changed since it was signed, and by whom".into(),
        }),
    }
}
