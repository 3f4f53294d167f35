//! Undoes a load: removed rows return to the device table, and alerts that were not sent are withdrawn.
//!
//! A device that has come back meanwhile stays as it is; its removed row stays in the archive. Restored rows are marked in the
//! transaction that restores them, so that each is restored once, however often the command runs. A batch that the
//! database refuses is halved until the rows that it cannot take are alone; these are reported, and all others restored.

use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;

use super::entry::{LoadEntry, LoadState};
use super::fault::{failed, inventory};
use super::options::LoadOptions;
use super::outcome::{self, UndoneRows};
pub use super::restore::RestoreFailure;
use super::restore::{Restore, RestoreEnd, RestoredRange, UNDOING, end_of, impossible};
use super::session::Session;
use crate::error::{Error, Result};
use crate::estate::Column;
use crate::progress::{Progress, Stage};
use crate::shown;

/// What an undo has done; in a dry run, what it would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Rows that are in the device table again, as they were archived.
    pub restored: u64,
    /// Devices that had come back before: left as they are.
    pub come_back: u64,
    /// Rows that the database does not take back.
    pub failed: u64,
    /// Alerts that were withdrawn.
    pub withdrawn: u64,
    /// Alerts of restored devices that had been sent.
    pub already_sent: u64,
    /// The failed rows.
    pub failures: Vec<RestoreFailure>,
}

/// Undoes the load of a run, and writes `load.json` and `load-outcome.parquet` again. Without `execute` it is a dry run, which
/// changes nothing. Approvals are not needed.
///
/// Rows that the database does not take back are in [`Undone::failures`]; the load is then not recorded as undone, and the
/// next attempt tries them again.
///
/// # Errors
/// A run that was not loaded, a server that cannot be reached or refuses, another load of the table, more failed rows than
/// `max_failed`. [`Error::Halted`] after an interruption. Committed transactions stay committed, and the next attempt
/// continues from there.
pub fn undo(options: &LoadOptions<'_>, progress: &dyn Progress) -> Result<Undone> {
    let LoadOptions { plan, config, execute, .. } = *options;
    let mut session = Session::begin(*options)?;
    let entry = session.entry()?.filter(|entry| entry.state != LoadState::Staged);
    let Some(entry) = entry else {
        let what = format!("was not loaded into table {}", session.table.shown);
        return Err(Error::Usage { what: format!("{}: {what}", shown::path(&plan.path)), remedy: String::new() });
    };
    let timeout = format!("SET lock_timeout = {}", u64::from(config.load.lock_timeout_ms) * 10);
    session.client.batch_execute(&timeout).map_err(failed(UNDOING))?;
    session.plan_by_index()?;
    let restore = Restore::prepare(&mut session.client, config, &session.table, entry.load_id)?;
    let again = entry.state == LoadState::Undone;
    if execute && !again {
        session.set_state(&entry, LoadState::Undoing)?;
        session.drop_stage()?;
    }
    let mut running = RunningUndo { session, restore, entry, undone: Undone::default(), first: true };
    running.all(progress)?;
    if execute {
        running.try_failures_again()?;
        running.finish()?;
    }
    Ok(running.undone)
}

/// An undo whose statements are prepared.
struct RunningUndo<'a> {
    session: Session<'a>,
    restore: Restore,
    entry: LoadEntry,
    undone: Undone,
    /// Whether no range has been tried yet.
    first: bool,
}

impl RunningUndo<'_> {
    /// Restores batch by batch, the last one first: a device that refers to another one was deleted before it.
    fn all(&mut self, progress: &dyn Progress) -> Result<()> {
        let LoadOptions { plan, config, execute, .. } = self.session.options;
        progress.begin(Stage::Load, plan.planned);
        let mut end = self.entry.planned;
        while end > 0 {
            if progress.interrupted() {
                let done = u64::try_from(self.entry.planned - end).unwrap_or_default();
                return Err(if execute { Error::Halted { done, planned: plan.planned } } else { Error::Interrupted });
            }
            let start = (end - i64::from(config.load.batch)).max(0);
            self.range(start..end)?;
            progress.advance(u64::try_from(end - start).unwrap_or_default());
            end = start;
            if end > 0 && config.load.pause_ms > 0 {
                sleep(config.load.pause());
            }
        }
        Ok(())
    }

    /// Restores a range, in halves where the whole is refused.
    fn range(&mut self, range: Range<i64>) -> Result<()> {
        let mut left = vec![range];
        while let Some(range) = left.pop() {
            let middle = i64::midpoint(range.start, range.end);
            let end = self.until_unlocked(&range)?;
            let first = std::mem::replace(&mut self.first, false);
            match end {
                RestoreEnd::Done(done) => self.undone.add(done),
                RestoreEnd::Locked(error) => return Err(inventory(UNDOING, &error)),
                RestoreEnd::Impossible(reason) => return Err(impossible(UNDOING, &reason)),
                RestoreEnd::Refused(refusal) if refusal.all && first => {
                    return Err(impossible(UNDOING, &refusal.reason));
                }
                RestoreEnd::Refused(_) if range.start < middle => {
                    left.extend([range.start..middle, middle..range.end]);
                }
                RestoreEnd::Refused(refusal) => self.record_failed(range.start, refusal.reason)?,
            }
        }
        Ok(())
    }

    /// Tries a range up to [`ATTEMPTS`] times while locks stop it.
    fn until_unlocked(&mut self, range: &Range<i64>) -> Result<RestoreEnd> {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match self.once(range)? {
                RestoreEnd::Locked(_) => {}
                end => return Ok(end),
            }
            sleep(wait);
            wait *= 2;
        }
        self.once(range)
    }

    /// One transaction.
    fn once(&mut self, range: &Range<i64>) -> Result<RestoreEnd> {
        let mut work = self.session.client.transaction().map_err(failed(UNDOING))?;
        let end = self.restore.restore(&mut work, range).or_else(end_of)?;
        let keep = self.session.options.execute && matches!(end, RestoreEnd::Done(_));
        let ended = if keep { work.commit() } else { work.rollback() };
        ended.map_err(failed(UNDOING)).map(|()| end)
    }

    fn record_failed(&mut self, ord: i64, reason: String) -> Result<()> {
        let Session { client, table, names, options, .. } = &mut self.session;
        let id = table.column(Column::DeviceId)?.text_of("r");
        let find = format!("SELECT {id} FROM {} AS r WHERE load_id = $1 AND load_ord = $2", names.removed);
        let row = client.query_one(&find, &[&self.entry.load_id, &ord]).map_err(failed(UNDOING))?;
        self.undone.failed += 1;
        if self.undone.failed > options.config.load.max_failed {
            return Err(Error::Inventory {
                what: format!(
                    "the database does not take back {} single rows, the last for: {reason}",
                    self.undone.failed
                ),
                remedy: "fix the cause, or raise max_failed of [load]; then run the same command again".into(),
            });
        }
        self.undone.failures.push(RestoreFailure { device_id: row.get(0), reason, ord });
        Ok(())
    }

    /// Tries the rows again that failed, as long as one of them is restored: it may refer to another one.
    fn try_failures_again(&mut self) -> Result<()> {
        loop {
            let failures = std::mem::take(&mut self.undone.failures);
            let before = failures.len();
            self.undone.failed = 0;
            for RestoreFailure { ord, .. } in failures {
                self.range(ord..ord + 1)?;
            }
            if self.undone.failures.is_empty() || self.undone.failures.len() == before {
                return Ok(());
            }
        }
    }

    /// Records the state, and writes the account again.
    fn finish(&mut self) -> Result<()> {
        if self.undone.failures.is_empty() && self.entry.state != LoadState::Undone {
            self.session.set_state(&self.entry, LoadState::Undone)?;
        }
        // Where a load was undone before it was complete, the devices that it had not tried are open.
        let Some(entry) = self.session.entry()? else { return Ok(()) };
        let count = format!(
            "SELECT count(*) FILTER (WHERE restored_at IS NOT NULL), count(*) FILTER (WHERE restored_at IS NULL) \
             FROM {} WHERE load_id = $1",
            self.session.names.removed
        );
        let row = self.session.client.query_one(&count, &[&entry.load_id]).map_err(failed(UNDOING))?;
        let [restored, left] = [0, 1].map(|place| u64::try_from(row.get::<_, i64>(place)).unwrap_or_default());
        let Undone { failed, failures, .. } = &self.undone;
        let undone = UndoneRows { restored, come_back: left.saturating_sub(*failed), failed: *failed, failures };
        outcome::write(&mut self.session, &entry, Some(undone)).map(drop)
    }
}

impl Undone {
    const fn add(&mut self, range: RestoredRange) {
        self.restored += range.restored;
        self.come_back += range.come_back;
        self.withdrawn += range.withdrawn;
        self.already_sent += range.already_sent;
    }
}

/// How often a range is tried that locks of other sessions stop.
const ATTEMPTS: u32 = 5;
/// The first wait between such attempts; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(50);
