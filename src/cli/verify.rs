//! `smi-sweep verify`: checks run directories against their records.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::approve::{ApprovalEntry, line};
use super::figures::{count, counted};
use super::{Common, print, print_json};
use crate::approval::{self, ApprovalFile};
use crate::error::{Error, Result};
use crate::run::record::{OutputRecord, TallyRecord};
use crate::run::verify::{Verified, verify};
use crate::shown;

/// Check run directories, row by row, against their records
///
/// Counts and digests are computed again. Exit code 6 at the first difference, and for a void approval. In a folder with
/// a run for each policy, every run is checked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Run directories
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
}

#[derive(Serialize)]
struct VerifyDocument<'a> {
    runs: Vec<VerifiedRun<'a>>,
}

#[derive(Serialize)]
struct VerifiedRun<'a> {
    path: &'a Path,
    verified: bool,
    policy: &'a Value,
    as_of: &'a str,
    tally: &'a TallyRecord,
    outputs: &'a [OutputRecord],
    approvals: Vec<ApprovalEntry<'a>>,
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
            .map(|(Verified { path, record }, approvals)| VerifiedRun {
                path,
                verified: true,
                policy: &record.policy["name"],
                as_of: &record.as_of,
                tally: &record.tally,
                outputs: &record.outputs,
                approvals: approvals.iter().map(|found| ApprovalEntry::new(found, None)).collect(),
            })
            .collect();
        return print_json(&VerifyDocument { runs });
    }
    let lines = verified.iter().zip(&approvals).map(|(Verified { path, record }, approvals)| {
        let tally = &record.tally;
        let approvals: Vec<_> = approvals.iter().flat_map(|found| ["  ".into(), line(found, None)]).collect();
        format!(
            "{}: verified: {}, {}, {} quarantined\n{}",
            shown::path(&path),
            counted(tally.delete, "deletion"),
            counted(tally.alerts, "alert"),
            count(tally.quarantined),
            approvals.concat(),
        )
    });
    print(&lines.collect::<String>())
}

/// Refuses a void approval: the run was changed after it was signed, or the approval was not made for it.
fn none_void(found: &ApprovalFile) -> Result<()> {
    match &found.approval {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::Approval {
            path: found.path.clone(),
            what: format!("is void: {why}"),
            remedy: "find out what was changed since it was signed, and by whom".into(),
        }),
    }
}
