//! The prepared statements of a load: the guarded delete of a range of the manifest, and the record of what it kept.
//!
//! A row that another session has locked is never waited for longer than the lock timeout. The batch is then tried in a
//! second form, which skips such rows; they are recorded as `locked`, and tried again at the end.

use std::ops::Range;

use postgres::types::ToSql;
use postgres::{Statement, Transaction};

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
    written: Statement,
    spellings: GuardSpellings,
    alert_code: String,
    load_id: i32,
    /// The device table, as an SQL name.
    table: String,
    names: LoadTables,
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
            written: prepare(&text.written(&of_range))?,
            spellings: GuardSpellings::of(&plan.policy),
            alert_code: plan.policy.alerts.code.clone(),
            load_id,
            table: table.name.clone(),
            names: names.clone(),
        })
    }

    /// Deletes what is still due of a range of the manifest, records what is kept, moves the load's `done`, and counts
    /// what was written. Unless it returns [`BatchEnd::Done`], the transaction must not be committed.
    pub(super) fn delete(&self, work: &mut Transaction<'_>, attempt: &Attempt) -> Result<BatchEnd, BatchError> {
        let Attempt { range, locked, done } = attempt;
        let statement = if *locked == LockedRows::Wait { &self.waiting } else { &self.skipping };
        let GuardSpellings { candidates, types, type_names } = &self.spellings;
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &range.start,
            &range.end,
            candidates,
            types,
            type_names,
            &self.load_id,
            &self.alert_code,
            &done.start,
            &done.end,
        ];
        let Some(row) = work.query_opt(statement, &parameters)? else { return Err(self.not_advanced(work)?) };
        let (deleted, alerts, free): (i64, i64, Option<i64>) = (row.get(0), row.get(1), row.get(2));
        let mut kept = Vec::new();
        if deleted < range.end - range.start {
            kept = work.query(&self.keep, &parameters[..6])?.iter().map(Kept::of).collect::<Result<Vec<_>, _>>()?;
            kept.sort_unstable_by_key(|kept| kept.ord);
        }
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
