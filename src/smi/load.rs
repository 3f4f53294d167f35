//! A run into the inventory: batch by batch, in rehearsal or in earnest, going on where an earlier attempt stopped.
//!
//! The same statements run either way; a rehearsal rolls each transaction back. What the database refuses for single rows
//! is narrowed down by halving until the row is alone, and that row is noted as failed.

use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;

use postgres::Client;

use super::batch::{Batch, LOADING, Refusal, Tried, refusal};
use super::config::Config;
use super::connect::Target;
use super::fault::{failed, inventory};
use super::guarded_delete::{LoadTables, LockedRows};
use super::outcome::{self, Account, Kept, KeptRows};
use super::stage::{self, Plan};
use super::state::{self, Desk, Entry};
use super::table::Table;
use crate::error::{Error, Result};
use crate::progress::{Progress, Stage};

/// How often a batch is tried that others keep from going through, and how often rows are come back to that they hold.
const ROUNDS: u32 = 6;
/// The first rest between such attempts; it doubles.
const REST: Duration = Duration::from_millis(50);

/// What a load came to.
#[derive(Debug)]
pub struct Loaded {
    /// Whether it was in earnest.
    pub executed: bool,
    /// Whether the run had been loaded before, so that nothing was done now.
    pub already: bool,
    /// Planned devices that an earlier attempt had dealt with.
    pub resumed_at: u64,
    /// What became of planned devices; in a rehearsal, of those that are left.
    pub account: Account,
    /// The device table.
    pub table: String,
}

/// Loads a run: a rehearsal, or in earnest.
///
/// # Errors
/// A server that cannot be reached or refuses, another load at work, a run that is too old or superseded or undone, an
/// interruption. Whatever it is, what was done stays done, and the next attempt goes on from there.
pub fn load(
    plan: &Plan,
    target: &Target,
    config: &Config,
    execute: bool,
    wait_seconds: u32,
    progress: &dyn Progress,
) -> Result<Loaded> {
    let Desk { mut client, table, names } = Desk::enter(plan, target, config, execute, wait_seconds)?;
    if let Some(entry) = Entry::find(&mut client, &names, plan)? {
        match entry.state.as_str() {
            "loaded" => {
                let account = if execute {
                    // Whoever was stopped between the last transaction and this may still be without.
                    outcome::write(&mut client, &names, plan, &entry, &table.shown, None)?
                } else {
                    outcome::recall(&mut client, &names, plan, &entry)?
                };
                let resumed_at = plan.planned;
                return Ok(Loaded { executed: execute, already: true, resumed_at, account, table: table.shown });
            }
            "undoing" | "undone" => {
                let what = "was loaded and undone".into();
                return Err(Error::Verification { path: plan.path.clone(), what });
            }
            _ => {}
        }
    }
    state::must_be_timely(&mut client, &names, &table, plan, config.load.max_age_days)?;
    let entry = Entry::begin(&mut client, &names, &table, plan)?;
    let loaded = attempt(client, plan, config, &table, &names, &entry, execute, progress);
    if loaded.is_err() && !execute {
        // As little as possible is left of a rehearsal; what else there is to say, the error says.
        let _ = target.connect().and_then(|mut client| Entry::forget(&mut client, config, &names, plan));
    }
    loaded
}

#[expect(clippy::too_many_arguments, reason = "all that a load is made of")]
fn attempt(
    mut client: Client,
    plan: &Plan,
    config: &Config,
    table: &Table,
    names: &LoadTables,
    entry: &Entry,
    execute: bool,
    progress: &dyn Progress,
) -> Result<Loaded> {
    if !stage::is_whole(&mut client, config, plan, entry.done)? {
        stage::fill(&mut client, config, table, plan, progress)?;
    }
    settle(&mut client, config)?;
    if execute {
        Entry::turn(&mut client, names, entry.load_id, "loading")?;
    }
    let batch = Batch::prepare(&mut client, config, table, plan, names, entry.load_id)?;
    let mut work = Work {
        client,
        batch,
        config,
        names,
        load_id: entry.load_id,
        execute,
        base: entry.done,
        kept: Vec::new(),
        failed: 0,
    };
    work.all(entry.done..entry.planned, progress)?;
    let resumed_at = u64::try_from(entry.done).unwrap_or_default();
    if !execute {
        let Work { mut client, kept, .. } = work;
        let account = Account::of(plan, entry.done, KeptRows::Rehearsed(kept.into_iter()), |_, _, _| Ok(()))?;
        Entry::forget(&mut client, config, names, plan)?;
        return Ok(Loaded { executed: false, already: false, resumed_at, account, table: table.shown.clone() });
    }
    work.come_back(entry.planned)?;
    let Work { mut client, .. } = work;
    finish(&mut client, config, names, plan, entry)?;
    let entry = Entry::begin(&mut client, names, table, plan)?;
    let account = outcome::write(&mut client, names, plan, &entry, &table.shown, None)?;
    Ok(Loaded { executed: true, already: false, resumed_at, account, table: table.shown.clone() })
}

/// Waits for nobody longer than the configuration says.
fn settle(client: &mut Client, config: &Config) -> Result<()> {
    let (lock, statement) = (config.load.lock_timeout_ms, config.load.statement_timeout_ms);
    let settings = format!("SET lock_timeout = {lock}; SET statement_timeout = {statement}");
    client.batch_execute(&settings).map_err(failed(LOADING))?;
    state::by_index(client)
}

/// The end of a load, in one transaction.
fn finish(client: &mut Client, config: &Config, names: &LoadTables, plan: &Plan, entry: &Entry) -> Result<()> {
    client.batch_execute("SET statement_timeout = 0").map_err(failed(LOADING))?;
    let count = format!("SELECT count(*) FROM {} WHERE load_id = $1", names.removed);
    let removed: i64 = client.query_one(&count, &[&entry.load_id]).map_err(failed(LOADING))?.get(0);
    let mut work = client.transaction().map_err(failed(LOADING))?;
    let counted = format!("SELECT deleted FROM {} WHERE load_id = $1", names.loads);
    let deleted: i64 = work.query_one(&counted, &[&entry.load_id]).map_err(failed(LOADING))?.get(0);
    if removed != deleted {
        return Err(Error::Unbalanced(format!("{removed} rows were moved aside, the load counted {deleted}")));
    }
    Entry::turn(&mut work, names, entry.load_id, "loaded")?;
    state::drop_stage(&mut work, config, plan)?;
    work.commit().map_err(failed(LOADING))
}

/// A load at work.
struct Work<'a> {
    client: Client,
    batch: Batch,
    config: &'a Config,
    names: &'a LoadTables,
    load_id: i32,
    execute: bool,
    /// How far the load had come before: where a rehearsal leaves it.
    base: i64,
    /// What a rehearsal found that would be kept.
    kept: Vec<Kept>,
    /// Single rows that the database refused.
    failed: u64,
}

impl Work<'_> {
    fn all(&mut self, range: Range<i64>, progress: &dyn Progress) -> Result<()> {
        let (mut at, end) = (range.start, range.end);
        progress.begin(Stage::Load, u64::try_from(end - at).unwrap_or_default());
        while at < end {
            if progress.interrupted() {
                let [done, planned] = [at, end].map(|place| u64::try_from(place).unwrap_or_default());
                return Err(if self.execute { Error::Halted { done, planned } } else { Error::Interrupted });
            }
            let next = end.min(at + i64::from(self.config.load.batch));
            self.range(at..next)?;
            progress.advance(u64::try_from(next - at).unwrap_or_default());
            at = next;
            if at < end && self.config.load.pause_ms > 0 {
                sleep(self.config.load.pause());
            }
        }
        Ok(())
    }

    /// Loads a range, in halves where the whole does not go through.
    fn range(&mut self, range: Range<i64>) -> Result<()> {
        let mut left = vec![range];
        while let Some(range) = left.pop() {
            let middle = i64::midpoint(range.start, range.end);
            match self.patiently(&range)? {
                None => {}
                Some(_) if range.start < middle => left.extend([middle..range.end, range.start..middle]),
                Some(Refusal::Row(reason)) => self.give_up(range.start, range.start, range.end, reason)?,
                Some(Refusal::Slow(error)) => return Err(inventory(LOADING, &error)),
                Some(Refusal::Busy) => return Err(busy()),
            }
        }
        Ok(())
    }

    /// Tries a range until others let it through, the first time with some patience for each lock.
    fn patiently(&mut self, range: &Range<i64>) -> Result<Option<Refusal>> {
        let (mut locked, mut rest) = (LockedRows::Wait, REST);
        for _ in 0..ROUNDS {
            match self.once(range, locked, None)? {
                Ok(()) => return Ok(None),
                Err(Refusal::Busy) => locked = LockedRows::Skip,
                Err(refusal) => return Ok(Some(refusal)),
            }
            sleep(rest);
            rest *= 2;
        }
        Ok(Some(Refusal::Busy))
    }

    /// One transaction. `again` is where `done` is when a row is tried once more at the end.
    fn once(&mut self, range: &Range<i64>, locked: LockedRows, again: Option<i64>) -> Result<Result<(), Refusal>> {
        let done = match again {
            Some(planned) => planned..planned,
            None if self.execute => range.clone(),
            None => self.base..range.end,
        };
        match self.transact(range, locked, &done) {
            Ok(Some(tried)) => {
                if !self.execute {
                    self.kept.extend(tried.kept);
                }
                Ok(Ok(()))
            }
            Ok(None) => Err(moved_on()),
            Err(error) => refusal(error).map(Err),
        }
    }

    /// `None` where nothing was done because `done` was elsewhere.
    fn transact(
        &mut self,
        range: &Range<i64>,
        locked: LockedRows,
        done: &Range<i64>,
    ) -> Result<Option<Tried>, postgres::Error> {
        let mut work = self.client.transaction()?;
        if done.is_empty() {
            // What was recorded at the first attempt is recorded again where it still holds.
            let forget =
                format!("DELETE FROM {} WHERE load_id = $1 AND load_ord >= $2 AND load_ord < $3", self.names.kept);
            work.execute(&forget, &[&self.load_id, &range.start, &range.end])?;
        }
        let tried = self.batch.delete(&mut work, range, locked, done)?;
        if !self.execute {
            // What would only be checked at the end is checked here, before the rollback.
            work.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?;
            work.rollback()?;
        } else if tried.is_some() {
            work.commit()?;
        }
        Ok(tried)
    }

    /// Notes a row that the database refuses to let go.
    fn give_up(&mut self, ord: i64, from: i64, to: i64, reason: String) -> Result<()> {
        self.failed += 1;
        if self.failed > self.config.load.max_failed {
            return Err(Error::Inventory {
                what: format!("the database refused {} single deletions, the last with: {reason}", self.failed),
                remedy: "mend the cause, or raise max_failed of [load]; then run the same command again".into(),
            });
        }
        if !self.execute {
            self.kept.push(Kept::failed(ord, reason));
            return Ok(());
        }
        let note = format!(
            "INSERT INTO {} (load_id, load_ord, outcome, reason) VALUES ($1, $2, 'failed', $3) \
             ON CONFLICT (load_id, load_ord) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason",
            self.names.kept
        );
        let mut work = self.client.transaction().map_err(failed(LOADING))?;
        work.execute(&note, &[&self.load_id, &ord, &reason]).map_err(failed(LOADING))?;
        // An empty range deletes nothing, and advances.
        let advanced =
            self.batch.delete(&mut work, &(ord..ord), LockedRows::Wait, &(from..to)).map_err(failed(LOADING))?;
        if advanced.is_none() {
            return Err(moved_on());
        }
        work.commit().map_err(failed(LOADING))
    }

    /// Comes back to rows that others held. Those that are held to the end have failed.
    fn come_back(&mut self, planned: i64) -> Result<()> {
        let list = format!(
            "SELECT load_ord FROM {} WHERE load_id = $1 AND outcome = 'locked' ORDER BY load_ord",
            self.names.kept
        );
        let mut rest = REST;
        for _ in 0..ROUNDS {
            let held = self.client.query(&list, &[&self.load_id]).map_err(failed(LOADING))?;
            if held.is_empty() {
                return Ok(());
            }
            for row in held {
                let ord: i64 = row.get(0);
                match self.once(&(ord..ord + 1), LockedRows::Skip, Some(planned))? {
                    Ok(()) | Err(Refusal::Busy | Refusal::Slow(_)) => {}
                    Err(Refusal::Row(reason)) => self.give_up(ord, planned, planned, reason)?,
                }
            }
            sleep(rest);
            rest *= 2;
        }
        let fail = format!(
            "UPDATE {} SET outcome = 'failed', reason = 'held by others' WHERE load_id = $1 AND outcome = 'locked'",
            self.names.kept
        );
        self.client.execute(&fail, &[&self.load_id]).map(drop).map_err(failed(LOADING))
    }
}

fn moved_on() -> Error {
    Error::Inventory {
        what: "another session has advanced this load".into(),
        remedy: "see who else loads this run; nothing was done twice".into(),
    }
}

fn busy() -> Error {
    Error::Inventory {
        what: format!("{LOADING}: others hold locks, over and over"),
        remedy: "run the same command again when less is going on: it goes on from there".into(),
    }
}
