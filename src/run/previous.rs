//! The run that a new one is compared with: an estate seldom changes much from one run to the next.

use std::path::Path;

use super::record::{PreviousRecord, Record};
use super::verify::verify;
use crate::error::{Error, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::shown;

/// Which run a new one is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreviousRun<'a> {
    /// The one that the policy names as `previous` in `[guard]`, if it names one.
    #[default]
    OfPolicy,
    /// This run directory, or the run of the same policy in this folder of runs.
    Run(&'a Path),
    /// None: this is the first run of its estate.
    First,
}

/// Verifies the previous run of a policy, and takes its figures; `None` where there is no previous run.
///
/// # Errors
/// [`Error::Usage`] for a policy that limits growth and has no previous run, and for a folder without a run of the
/// policy; those of [`verify`].
pub fn previous(asked: PreviousRun<'_>, policy: &Policy, pool: &Pool) -> Result<Option<PreviousRecord>> {
    let folder = match (asked, &policy.guard.previous) {
        (PreviousRun::Run(folder), _) => folder,
        (PreviousRun::OfPolicy, Some(folder)) => Path::new(folder),
        (PreviousRun::OfPolicy, None) if policy.guard.max_growth.is_some() => {
            return Err(Error::Usage {
                what: format!("policy `{}` limits growth, and no previous run is named", policy.name),
                remedy: "add --previous RUN, or --first-run where the estate was never swept".into(),
            });
        }
        (PreviousRun::First, _) | (PreviousRun::OfPolicy, None) => return Ok(None),
    };
    let mut records: Vec<Record> = verify(folder, pool)?.into_iter().map(|verified| verified.record).collect();
    if records.len() > 1 {
        records.retain(|record| record.policy["name"] == *policy.name);
    }
    let record = records.pop().ok_or_else(|| Error::Usage {
        what: format!("{}: none of these runs is by the policy `{}`", shown::path(folder), policy.name),
        remedy: "name one run directory".into(),
    })?;
    Ok(Some(PreviousRecord { run: record.id(), as_of: record.as_of, figures: (&record.tally).into() }))
}

/// Refuses a previous run that is of a later moment.
///
/// # Errors
/// [`Error::Usage`] where it is.
pub fn must_be_earlier(previous: &PreviousRecord, as_of: i64) -> Result<()> {
    match time::parse(&previous.as_of) {
        Some(earlier) if earlier <= as_of => Ok(()),
        _ => Err(Error::Usage {
            what: format!(
                "the previous run is as of {}, and this one as of {}",
                previous.as_of,
                time::format_instant(as_of)
            ),
            remedy: "name a run of an earlier moment".into(),
        }),
    }
}
