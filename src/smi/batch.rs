//! The prepared statements of a load: the guarded delete of a range of the manifest, and the record of what it kept.
//!
//! A row that another session has locked is never waited for longer than the lock timeout. The batch is then tried in a
//! second form, which skips such rows; they are recorded as `locked`, and tried again at the end.

use std::ops::Range;

use postgres::types::ToSql;
use postgres::{Client, Statement, Transaction};

use super::fault::{NOT_OF_A_ROW, failed, inventory};
use super::guarded_delete::{DeleteParameters, DeviceSql, GuardSpellings, GuardedDelete, LoadTables, LockedRows};
use super::outcome::{Kept, LoadOutcome};
use super::session::Session;
use super::stage::stage_name;
use super::triggers::{TriggerEvent, acting_on};
use crate::error::{Error, Result};

/// How a transaction of a load ended.
#[derive(Debug)]
pub(super) enum BatchEnd {
    /// Committed; in a dry run, rolled back after all checks. Devices that were kept, in order.
    Done(Vec<Kept>),
    /// Locks of other sessions: try again, or skip the locked rows.
    Locked,
    /// The statement timeout: try fewer devices.
    TooSlow(postgres::Error),
    /// The database refuses to delete a row of the range: SQLSTATE and message, or the trigger; at most 200 characters.
    Refused(String),
}

impl BatchEnd {
    pub(super) fn refused(reason: &str) -> Self {
        Self::Refused(reason.chars().take(200).collect())
    }
}

/// The statements of a load.
#[derive(Debug)]
pub(super) struct Batch {
    waiting: Statement,
    skipping: Statement,
    keep: Statement,
    respell: Option<Statement>,
    written: Statement,
    spellings: GuardSpellings,
    alert_code: String,
    load_id: i32,
    /// Finds devices in any spelling by one pass over the inventory.
    by_pass: Option<String>,
    /// The device table, as an SQL name.
    table: String,
    names: LoadTables,
}

/// What a guarded delete has done.
#[derive(Debug)]
struct DeletedCount {
    deleted: i64,
    alerts: i64,
    /// Rows that were due and not locked; `None` where the statement waited for locks.
    free: Option<i64>,
}

impl DeletedCount {
    fn add(&mut self, more: &Self) {
        self.deleted += more.deleted;
        self.alerts += more.alerts;
        self.free = self.free.zip(more.free).map(|(free, more)| free + more);
    }
}

/// The places of the manifest that a transaction tries, and how.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) range: Range<i64>,
    pub(super) locked: LockedRows,
    /// Where the load's `done` is before and after it; empty where rows are tried again.
    pub(super) done: Range<i64>,
}

impl Batch {
    pub(super) fn prepare(session: &mut Session<'_>, load_id: i32) -> Result<Self> {
        let Session { client, table, names, options, .. } = session;
        let plan = options.plan;
        let (devices, stage) = (DeviceSql::of(table)?, stage_name(options.config, &plan.id));
        let text = GuardedDelete { devices: &devices, tables: names, stage: &stage };
        let parameters = DeleteParameters::bound();
        let of_range = DeleteParameters { load_id: "$3::integer".into(), ..DeleteParameters::bound() };
        let mut prepare = |sql: &str| client.prepare(sql).map_err(failed("cannot prepare the load"));
        Ok(Self {
            waiting: prepare(&text.counted(LockedRows::Wait, &parameters))?,
            skipping: prepare(&text.counted(LockedRows::Skip, &parameters))?,
            keep: prepare(&format!("{} RETURNING {}", text.keep(&parameters), Kept::FIELDS))?,
            respell: text.respell(&of_range).map(|sql| prepare(&sql)).transpose()?,
            written: prepare(&text.written(&of_range))?,
            spellings: GuardSpellings::of(&plan.policy),
            alert_code: plan.policy.alerts.code.clone(),
            load_id,
            by_pass: text.respell_by_pass(),
            table: table.name.clone(),
            names: names.clone(),
        })
    }

    /// Deletes what is still due of a range of the manifest, records what is kept, moves the load's `done`, and counts
    /// what was written. Unless it returns [`BatchEnd::Done`], the transaction must not be committed.
    pub(super) fn delete(&self, work: &mut Transaction<'_>, attempt: &Attempt) -> Result<BatchEnd, BatchError> {
        let range = &attempt.range;
        let Some(mut count) = self.delete_found(work, attempt)? else { return Err(self.not_advanced(work)?) };
        let mut kept = Vec::new();
        if count.deleted < range.end - range.start {
            // What was not found may be spelled in another way.
            let respelled = match &self.respell {
                Some(respell) => work.execute(respell, &[&range.start, &range.end, &self.load_id])?,
                None => 0,
            };
            if respelled > 0 {
                let again = Attempt { done: attempt.done.end..attempt.done.end, ..attempt.clone() };
                let Some(more) = self.delete_found(work, &again)? else { return Err(self.not_advanced(work)?) };
                count.add(&more);
            }
            kept = self.keep(work, range)?;
        }
        let DeletedCount { deleted, alerts, free } = count;
        // A row that was due, and was not locked by another session, is in place.
        let in_place = kept.iter().any(|kept| kept.outcome == LoadOutcome::Locked);
        if in_place
            && free.is_none_or(|free| free > deleted)
            && let Some(by) = acting_on(work, &self.table, TriggerEvent::BeforeDelete)?
        {
            return Ok(BatchEnd::refused(&format!("left in place by {by} of {}", self.table)));
        }
        // Deferred triggers and constraints act now, so that the counts include what they do.
        work.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?;
        match self.not_written(work, range, [deleted, alerts, range.end - range.start - deleted, 0])? {
            Some(reason) => Ok(BatchEnd::refused(&reason)),
            None => Ok(BatchEnd::Done(kept)),
        }
    }

    /// Looks for devices that no index has found, in any spelling, by one pass over the inventory; returns the places of those
    /// that are there. The staging table then has their spelling. It takes as long as it takes.
    pub(super) fn find_by_pass(&self, client: &mut Client, gone: &[i64]) -> Result<Vec<i64>, postgres::Error> {
        let (Some(sql), false) = (&self.by_pass, gone.is_empty()) else { return Ok(Vec::new()) };
        let mut work = client.transaction()?;
        work.batch_execute(
            "SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; \
             SET LOCAL enable_mergejoin = on",
        )?;
        let mut found: Vec<i64> = work.query(sql, &[&gone])?.iter().map(|row| row.get(0)).collect();
        work.commit()?;
        found.sort_unstable();
        Ok(found)
    }

    /// Deletes what is due and found by its key; `None` where `done` is elsewhere.
    fn delete_found(
        &self,
        work: &mut Transaction<'_>,
        attempt: &Attempt,
    ) -> Result<Option<DeletedCount>, postgres::Error> {
        let Attempt { range, locked, done } = attempt;
        let statement = if *locked == LockedRows::Wait { &self.waiting } else { &self.skipping };
        let row = self.of_guard(range, |of_guard| {
            let rest: [&(dyn ToSql + Sync); 3] = [&self.alert_code, &done.start, &done.end];
            work.query_opt(statement, &[of_guard, &rest].concat())
        })?;
        Ok(row.map(|row| DeletedCount { deleted: row.get(0), alerts: row.get(1), free: row.get(2) }))
    }

    /// Records what is kept of a range, and returns it in order.
    fn keep(&self, work: &mut Transaction<'_>, range: &Range<i64>) -> Result<Vec<Kept>, postgres::Error> {
        let rows = self.of_guard(range, |of_guard| work.query(&self.keep, of_guard))?;
        let mut kept = rows.iter().map(Kept::of).collect::<Result<Vec<_>, _>>()?;
        kept.sort_unstable_by_key(|kept| kept.ord);
        Ok(kept)
    }

    /// Calls with the parameters of the guard, in the order of [`DeleteParameters::bound`].
    fn of_guard<T>(&self, range: &Range<i64>, call: impl FnOnce(&[&(dyn ToSql + Sync)]) -> T) -> T {
        let GuardSpellings { candidates, types, type_names, silent } = &self.spellings;
        call(&[&range.start, &range.end, candidates, types, type_names, silent, &self.load_id])
    }

    /// Compares what was written for a range with what should be: archived rows, alerts, kept devices, and devices that
    /// are in the inventory again. The reason, where they differ.
    fn not_written(
        &self,
        work: &mut Transaction<'_>,
        range: &Range<i64>,
        wanted: [i64; 4],
    ) -> Result<Option<String>, BatchError> {
        let row = work.query_one(&self.written, &[&range.start, &range.end, &self.load_id])?;
        let written: [i64; 4] = std::array::from_fn(|place| row.get(place));
        let Some(place) = (0..4).find(|place| written[*place] != wanted[*place]) else { return Ok(None) };
        let LoadTables { outbox, removed, kept, .. } = &self.names;
        let (what, table, event) = [
            ("the row was not archived", removed, TriggerEvent::Insert),
            ("the alert was not written", outbox, TriggerEvent::Insert),
            ("the outcome was not recorded", kept, TriggerEvent::Insert),
            ("the device was inserted again", &self.table, TriggerEvent::Delete),
        ][place];
        let by = acting_on(work, table, event)?.unwrap_or_else(|| "no trigger or rule".into());
        let reason = format!("{what}: {by} of {table}");
        // Without the record of kept devices there is no account, of this device or of another one.
        if *table == *kept { Err(BatchError::Stop(stopped(&reason))) } else { Ok(Some(reason)) }
    }

    /// Why `done` could not be moved.
    fn not_advanced(&self, work: &mut Transaction<'_>) -> Result<BatchError, postgres::Error> {
        let loads = &self.names.loads;
        let by = acting_on(work, loads, TriggerEvent::Update)?;
        Ok(BatchError::Stop(match by {
            Some(by) => stopped(&format!("the progress was not recorded: {by} of {loads}")),
            None => Error::Inventory {
                what: format!("{LOADING}: another session has advanced this load"),
                remedy: "see which session loads this run, or undoes it; no device was deleted twice".into(),
            },
        }))
    }
}

fn stopped(reason: &str) -> Error {
    Error::Inventory {
        what: format!("{LOADING}: {reason}"),
        remedy: "remove what keeps rows out of that table; then run the same command again".into(),
    }
}

/// Why a transaction failed.
#[derive(Debug)]
pub(super) enum BatchError {
    /// The server's answer, which [`end_of`] classifies.
    Server(postgres::Error),
    /// The load must stop.
    Stop(Error),
}

impl From<postgres::Error> for BatchError {
    fn from(error: postgres::Error) -> Self {
        Self::Server(error)
    }
}

/// How a batch ended that failed with `error`, where something can be done about it; otherwise the error. `timed_out` tells
/// whether the message of an error is that of the statement timeout.
pub(super) fn end_of(error: postgres::Error, timed_out: impl FnOnce(&str) -> Result<bool>) -> Result<BatchEnd> {
    let Some(server_error) = error.as_db_error() else { return Err(inventory(LOADING, &error)) };
    let code = server_error.code().code();
    // PL/pgSQL's RAISE (`pl_exec.c`): a trigger refuses the row, whatever SQLSTATE it takes.
    if server_error.routine() == Some("exec_stmt_raise") {
        return Ok(BatchEnd::refused(&format!("{code} {}", server_error.message())));
    }
    match code {
        // lock_not_available, deadlock_detected, serialization_failure
        "55P03" | "40P01" | "40001" => Ok(BatchEnd::Locked),
        // query_canceled: by the timeout, or by an administrator
        "57014" if timed_out(server_error.message())? => Ok(BatchEnd::TooSlow(error)),
        "57014" => Err(Error::Canceled(format!("{LOADING}: {} ({code})", server_error.message()))),
        _ if NOT_OF_A_ROW.iter().any(|class| code.starts_with(class)) => Err(inventory(LOADING, &error)),
        _ => Ok(BatchEnd::refused(&format!("{code} {}", server_error.message()))),
    }
}

pub(super) const LOADING: &str = "cannot load";
