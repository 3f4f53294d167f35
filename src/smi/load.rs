//! The guarded load of a run: batch by batch, as a dry run or executed, continuing where an earlier attempt stopped.
//!
//! The same statements run either way; a dry run rolls each transaction back. Where the database refuses a batch because of
//! single rows, the batch is halved until such a row is alone, and that row is recorded as failed.

use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;

use super::batch::{Attempt, Batch, BatchEnd, BatchError, LOADING, end_of};
use super::config::Config;
use super::entry::{LoadEntry, LoadState};
use super::fault::{failed, inventory};
use super::guarded_delete::{LoadTables, LockedRows};
use super::options::LoadOptions;
use super::outcome::{self, Account, Kept, KeptRows, LoadOutcome};
use super::preflight::Preflight;
use super::session::Session;
use super::shape::ArchiveShape;
use super::stage;
use super::table::DeviceTable;
use super::undo_trial::UndoTrial;
use crate::approval::RequiredApprovals;
use crate::error::{Error, Result};
use crate::progress::{Progress, Stage};
use crate::shown;

/// How often a batch is tried that locks of other sessions stop, and how often locked rows are tried again at the end.
const ATTEMPTS: u32 = 6;
/// The first wait between such attempts; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The result of a load.
#[derive(Debug)]
pub struct Loaded {
    /// Whether it was executed; otherwise it was a dry run.
    pub executed: bool,
    /// Whether the run had been loaded before, so that nothing was done now.
    pub already: bool,
    /// Planned devices that an earlier attempt had tried.
    pub resumed_at: u64,
    /// The outcomes of all planned devices; in a dry run, of those from `resumed_at` on.
    pub account: Account,
    /// The device table: schema and name.
    pub table: String,
    /// What surrounds it; `None` where nothing was to be done.
    pub preflight: Option<Preflight>,
}

/// Loads a run: deletes the devices that are still due, archives their rows, writes their alerts, and writes `load.json` and
/// `load-outcome.parquet` into the run directory. Without `execute` it is a dry run, which changes nothing.
///
/// Progress and cancellation: `progress` is asked between two transactions.
///
/// # Errors
/// A server that cannot be reached or refuses, another load of the table, a run that is too old, superseded, undone or not
/// approved, more failed devices than `max_failed`. Committed transactions stay committed, and the next attempt continues
/// from there: [`Error::Halted`] after an interruption, [`Error::PartlyLoaded`] after any other error say how many there
/// are. Both files are written for such a load too, as far as it has come.
pub fn load(options: &LoadOptions<'_>, progress: &dyn Progress) -> Result<Loaded> {
    let LoadOptions { plan, target, config, execute, .. } = *options;
    let needed = config.approvals.as_ref().map_or(0, RequiredApprovals::needed);
    if plan.approvals.len() < needed {
        let what = format!("{}: its approvals were not checked, and {needed} are needed", shown::path(&plan.path));
        return Err(Error::Usage {
            what,
            remedy: "make the plan by Plan::for_load, with the required approvals".into(),
        });
    }
    let mut session = Session::begin(*options)?;
    if let Some(entry) = session.entry()? {
        match entry.state {
            LoadState::Staged | LoadState::Loading => {}
            LoadState::Loaded => return already_loaded(session, &entry),
            LoadState::Undoing | LoadState::Undone => {
                let what = "was loaded and undone".into();
                return Err(Error::Verification { path: plan.path.clone(), what });
            }
        }
    }
    if let Err(error) = session.must_be_timely() {
        return Err(stopped(session, error));
    }
    let entry = session.entry_or_new()?;
    match attempt(&mut session, &entry, progress) {
        Ok(loaded) => Ok(loaded),
        Err(error) if execute => Err(stopped(session, error)),
        Err(error) => {
            // The connection may be lost, hence a new one. Should it fail too, the first error is the one to report.
            let names = LoadTables::of(config);
            let _ = target.connect().and_then(|mut client| LoadEntry::remove_staged(&mut client, config, &names, plan));
            Err(error)
        }
    }
}

/// Adds to an error what the load has committed so far, if anything, and writes the account as far as the load has come. Where
/// the database does not answer any more, the error stays as it is: it promises nothing.
fn stopped(mut session: Session<'_>, error: Error) -> Error {
    let options = session.options;
    let mut entry = session.entry();
    if entry.is_err() {
        entry = Session::begin(options).and_then(|again| {
            session = again;
            session.entry()
        });
    }
    let Ok(Some(entry)) = entry else { return error };
    if entry.done == 0 {
        return error;
    }
    if options.execute {
        // What could not be written now is written by the next attempt.
        let _ = outcome::write(&mut session, &entry, None);
    }
    if matches!(error, Error::Halted { .. }) {
        return error;
    }
    let [done, planned, deleted, alerts] = [entry.done, entry.planned, entry.deleted, entry.alerts]
        .map(|number| u64::try_from(number).unwrap_or_default());
    Error::PartlyLoaded { cause: Box::new(error), done, planned, deleted, alerts }
}

fn already_loaded(mut session: Session<'_>, entry: &LoadEntry) -> Result<Loaded> {
    let LoadOptions { plan, execute, .. } = session.options;
    let account = if execute {
        // An earlier attempt may have been killed after its last transaction and before it wrote the files.
        outcome::write(&mut session, entry, None)?
    } else {
        outcome::recorded_account(&mut session, entry)?
    };
    let table = session.table.shown;
    Ok(Loaded { executed: execute, already: true, resumed_at: plan.planned, account, table, preflight: None })
}

fn attempt(session: &mut Session<'_>, entry: &LoadEntry, progress: &dyn Progress) -> Result<Loaded> {
    let LoadOptions { plan, config, execute, .. } = session.options;
    let shape = ArchiveShape::of(&mut session.client, &session.table, &session.names)?;
    if let (LoadState::Loading, Some(recorded)) = (entry.state, &entry.columns) {
        shape.must_equal(recorded, &session.table)?;
    }
    if !stage::is_complete(&mut session.client, config, plan)? {
        stage::fill(&mut session.client, config, &session.table, plan, progress)?;
    }
    session.look_around()?;
    set_timeouts(session, config)?;
    session.plan_by_index()?;
    if execute {
        entry.set_loading(&mut session.client, &session.names, &shape.columns)?;
        stage::drop_leftovers(&mut session.client, config, &session.names, plan, &session.table);
    }
    let batch = Batch::prepare(session, entry.load_id)?;
    let trial = UndoTrial::prepare(session, entry.load_id)?;
    let mut load = RunningLoad {
        session,
        batch,
        trial,
        shape,
        load_id: entry.load_id,
        base: entry.done,
        kept: Vec::new(),
        failed: 0,
        timeout_message: None,
    };
    let began = load.session.clock()?;
    load.all(entry.done..entry.planned, progress)?;
    let seconds = load.session.clock()? - began;
    load.find_by_pass()?;
    let account = if execute {
        load.retry_locked(entry.planned)?;
        load.finish()?
    } else {
        let kept = std::mem::take(&mut load.kept);
        let tried = entry.done..entry.planned;
        let account = Account::of(plan, &tried, KeptRows::DryRun(kept.into_iter()), |_, _, _| Ok(()))?;
        load.session.remove_staged()?;
        account
    };
    let resumed_at = u64::try_from(entry.done).unwrap_or_default();
    let mut preflight = load.session.preflight.take();
    if let (Some(preflight), false) = (&mut preflight, execute) {
        preflight.estimated_seconds = Some(seconds);
    }
    let table = load.session.table.shown.clone();
    Ok(Loaded { executed: execute, already: false, resumed_at, account, table, preflight })
}

fn set_timeouts(session: &mut Session<'_>, config: &Config) -> Result<()> {
    let statement = config.load.statement_timeout_ms;
    // Otherwise a locked row would be taken for a slow statement.
    let lock = config.load.lock_timeout_ms.min(statement / 2).max(1);
    let settings = format!("SET lock_timeout = {lock}; SET statement_timeout = {statement}");
    session.client.batch_execute(&settings).map_err(failed(LOADING))
}

/// A load whose statements are prepared.
struct RunningLoad<'s, 'a> {
    session: &'s mut Session<'a>,
    batch: Batch,
    trial: UndoTrial,
    shape: ArchiveShape,
    load_id: i32,
    /// `done` as an earlier attempt left it. In a dry run it never advances.
    base: i64,
    /// The devices that a dry run would keep.
    kept: Vec<Kept>,
    /// Single devices that the database refused to delete.
    failed: u64,
    /// The message of a statement that exceeds its timeout, once it is known.
    timeout_message: Option<String>,
}

impl RunningLoad<'_, '_> {
    fn all(&mut self, range: Range<i64>, progress: &dyn Progress) -> Result<()> {
        let LoadOptions { config, execute, .. } = self.session.options;
        let (mut at, end) = (range.start, range.end);
        progress.begin(Stage::Load, u64::try_from(end - at).unwrap_or_default());
        while at < end {
            if progress.interrupted() {
                let [done, planned] = [at, end].map(|place| u64::try_from(place).unwrap_or_default());
                return Err(if execute { Error::Halted { done, planned } } else { Error::Interrupted });
            }
            let next = end.min(at + i64::from(config.load.batch));
            self.range(at..next)?;
            progress.advance(u64::try_from(next - at).unwrap_or_default());
            at = next;
            if at < end && config.load.pause_ms > 0 {
                sleep(config.load.pause());
            }
        }
        Ok(())
    }

    /// Loads a range, in halves where the whole is refused or takes too long.
    fn range(&mut self, range: Range<i64>) -> Result<()> {
        let mut left = vec![range];
        while let Some(range) = left.pop() {
            let middle = i64::midpoint(range.start, range.end);
            match self.until_unlocked(&range)? {
                BatchEnd::Done(_) => {}
                _ if range.start < middle => left.extend([middle..range.end, range.start..middle]),
                BatchEnd::Refused(reason) => self.record_failed(range.start, &range, reason)?,
                BatchEnd::TooSlow(error) => return Err(inventory(LOADING, &error)),
                BatchEnd::Locked => return Err(locked()),
            }
        }
        Ok(())
    }

    /// Tries a range up to [`ATTEMPTS`] times while locks stop it. The first time it waits for each lock.
    fn until_unlocked(&mut self, range: &Range<i64>) -> Result<BatchEnd> {
        let done = if self.session.options.execute { range.clone() } else { self.base..range.end };
        let mut attempt = Attempt { range: range.clone(), locked: LockedRows::Wait, done };
        let mut wait = FIRST_WAIT;
        for _ in 0..ATTEMPTS {
            match self.once(&attempt)? {
                BatchEnd::Locked => attempt.locked = LockedRows::Skip,
                end => return Ok(end),
            }
            sleep(wait);
            wait *= 2;
        }
        Ok(BatchEnd::Locked)
    }

    /// One transaction.
    fn once(&mut self, attempt: &Attempt) -> Result<BatchEnd> {
        match self.transact(attempt) {
            Ok(BatchEnd::Done(kept)) if !self.session.options.execute => {
                self.kept.extend(kept);
                Ok(BatchEnd::Done(Vec::new()))
            }
            Ok(end) => Ok(end),
            Err(BatchError::Stop(error)) => Err(error),
            Err(BatchError::Server(error)) => end_of(error, |message| self.is_timeout(message)),
        }
    }

    fn transact(&mut self, attempt: &Attempt) -> Result<BatchEnd, BatchError> {
        let Session { client, names, options, table, .. } = &mut *self.session;
        let mut work = client.transaction()?;
        if !self.shape.holds(&mut work)? {
            let difference = ArchiveShape::of(&mut work, table, names).err();
            return Err(BatchError::Stop(difference.unwrap_or_else(|| table_changed(table))));
        }
        if attempt.done.is_empty() {
            // The record of the first attempt is replaced: where the device is kept again, it is written again.
            let clear = format!("DELETE FROM {} WHERE load_id = $1 AND load_ord >= $2 AND load_ord < $3", names.kept);
            work.execute(&clear, &[&self.load_id, &attempt.range.start, &attempt.range.end])?;
        }
        let mut end = self.batch.delete(&mut work, attempt)?;
        if matches!(end, BatchEnd::Done(_))
            && let Some(refused) = self.trial.run(&mut work, &attempt.range)?
        {
            end = refused;
        }
        if options.execute && matches!(end, BatchEnd::Done(_)) {
            work.commit()?;
        } else {
            work.rollback()?;
        }
        Ok(end)
    }

    /// Whether the message of a canceled statement is that of the statement timeout. Its text depends on the language of the
    /// server, and SQLSTATE 57014 is also that of `pg_cancel_backend`. So a statement that surely times out is asked first.
    fn is_timeout(&mut self, message: &str) -> Result<bool> {
        if self.timeout_message.is_none() {
            let slow = "SET LOCAL statement_timeout = 1; SELECT pg_catalog.pg_sleep(1)";
            let mut work = self.session.client.transaction().map_err(failed(LOADING))?;
            self.timeout_message = match work.batch_execute(slow) {
                Ok(()) => None,
                Err(error) => Some(error.as_db_error().ok_or_else(|| inventory(LOADING, &error))?.message().to_owned()),
            };
            work.rollback().map_err(failed(LOADING))?;
        }
        Ok(self.timeout_message.as_deref() == Some(message))
    }

    /// Records a device that the database refuses to delete, and advances the load by `done`.
    fn record_failed(&mut self, ord: i64, done: &Range<i64>, reason: String) -> Result<()> {
        let Session { client, names, options, .. } = &mut *self.session;
        self.failed += 1;
        if self.failed > options.config.load.max_failed {
            return Err(Error::Inventory {
                what: format!("the database refused {} single deletions, the last with: {reason}", self.failed),
                remedy: "fix the cause, or raise max_failed of [load]; then run the same command again".into(),
            });
        }
        if !options.execute {
            self.kept.push(Kept::failed(ord, reason));
            return Ok(());
        }
        let record = format!(
            "INSERT INTO {} (load_id, load_ord, outcome, reason) VALUES ($1, $2, 'failed', $3) \
             ON CONFLICT (load_id, load_ord) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason",
            names.kept
        );
        let mut work = client.transaction().map_err(failed(LOADING))?;
        work.execute(&record, &[&self.load_id, &ord, &reason]).map_err(failed(LOADING))?;
        // An empty range deletes nothing, and advances `done`.
        let advance = Attempt { range: ord..ord, locked: LockedRows::Wait, done: done.clone() };
        match self.batch.delete(&mut work, &advance) {
            Ok(_) => work.commit().map_err(failed(LOADING)),
            Err(BatchError::Stop(error)) => Err(error),
            Err(BatchError::Server(error)) => Err(inventory(LOADING, &error)),
        }
    }

    /// Looks once more for devices that no index has found: one pass over the inventory, where there are any. Those that are
    /// there in another spelling are tried again.
    fn find_by_pass(&mut self) -> Result<()> {
        let Session { client, names, options, .. } = &mut *self.session;
        if !options.execute {
            let gone = |kept: &&Kept| kept.outcome == LoadOutcome::Gone;
            let gone: Vec<i64> = self.kept.iter().filter(gone).map(|kept| kept.ord).collect();
            let found = self.batch.find_by_pass(client, &gone).map_err(failed(LOADING))?;
            self.kept.retain(|kept| found.binary_search(&kept.ord).is_err());
            for ord in found {
                self.range(ord..ord + 1)?;
            }
            self.kept.sort_unstable_by_key(|kept| kept.ord);
            return Ok(());
        }
        let list = format!("SELECT load_ord FROM {} WHERE load_id = $1 AND outcome = 'gone'", names.kept);
        let gone = client.query(&list, &[&self.load_id]).map_err(failed(LOADING))?;
        let gone: Vec<i64> = gone.iter().map(|row| row.get(0)).collect();
        let found = self.batch.find_by_pass(client, &gone).map_err(failed(LOADING))?;
        // They are tried again as rows are that another session had locked.
        let again = format!(
            "UPDATE {} SET outcome = 'locked', reason = 'spelled otherwise' WHERE load_id = $1 AND load_ord = ANY($2)",
            names.kept
        );
        client.execute(&again, &[&self.load_id, &found]).map(drop).map_err(failed(LOADING))
    }

    /// Tries the rows again that other sessions had locked. Those that stay locked have failed.
    fn retry_locked(&mut self, planned: i64) -> Result<()> {
        let kept = &self.session.names.kept;
        let list = format!("SELECT load_ord FROM {kept} WHERE load_id = $1 AND outcome = 'locked' ORDER BY load_ord");
        let fail = format!(
            "UPDATE {kept} SET outcome = 'failed', reason = 'held by others' WHERE load_id = $1 AND outcome = 'locked'"
        );
        let mut wait = FIRST_WAIT;
        for _ in 0..ATTEMPTS {
            let rows = self.session.client.query(&list, &[&self.load_id]).map_err(failed(LOADING))?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let ord: i64 = row.get(0);
                let attempt = Attempt { range: ord..ord + 1, locked: LockedRows::Skip, done: planned..planned };
                match self.once(&attempt)? {
                    BatchEnd::Done(_) | BatchEnd::Locked => {}
                    BatchEnd::TooSlow(error) => return Err(inventory(LOADING, &error)),
                    BatchEnd::Refused(reason) => self.record_failed(ord, &(planned..planned), reason)?,
                }
            }
            sleep(wait);
            wait *= 2;
        }
        self.session.client.execute(&fail, &[&self.load_id]).map(drop).map_err(failed(LOADING))
    }

    /// Ends an executed load: checks its counts, sets its state, drops the staging table, and writes the account.
    fn finish(&mut self) -> Result<Account> {
        let Session { client, names, options, .. } = &mut *self.session;
        client.batch_execute("SET statement_timeout = 0").map_err(failed(LOADING))?;
        let count = format!("SELECT count(*) FROM {} WHERE load_id = $1", names.removed);
        let removed: i64 = client.query_one(&count, &[&self.load_id]).map_err(failed(LOADING))?.get(0);
        let mut work = client.transaction().map_err(failed(LOADING))?;
        let counted = format!("SELECT deleted FROM {} WHERE load_id = $1", names.loads);
        let deleted: i64 = work.query_one(&counted, &[&self.load_id]).map_err(failed(LOADING))?.get(0);
        if removed != deleted {
            return Err(outcome::disagree(&format!("{removed} rows are archived, the load counted {deleted}")));
        }
        LoadEntry::set_state(&mut work, names, self.load_id, LoadState::Loaded)?;
        stage::drop_stage(&mut work, options.config, options.plan)?;
        work.commit().map_err(failed(LOADING))?;
        let entry = self.session.entry_or_new()?;
        outcome::write(self.session, &entry, None)
    }
}

fn table_changed(table: &DeviceTable) -> Error {
    Error::Inventory {
        what: format!("{LOADING}: table {}, or its archive, was altered while the load ran", table.shown),
        remedy: "run the same command again: it compares the tables anew".into(),
    }
}

fn locked() -> Error {
    Error::Inventory {
        what: format!("{LOADING}: rows are locked by other sessions, after {ATTEMPTS} attempts"),
        remedy: "run the same command again when there is less traffic: it continues from there".into(),
    }
}
