//! The prepared statements of a load: the guarded delete of a range of the manifest, and the record of what it kept.
//!
//! A row that another session has locked is never waited for longer than the lock timeout. The batch is then tried in a
//! second form, which skips such rows; they are recorded as `locked`, and tried again at the end.

use std::ops::Range;

use postgres::types::ToSql;
use postgres::{Statement, Transaction};

use super::fault::{failed, inventory};
use super::guarded_delete::{DeleteParameters, DeviceSql, GuardSpellings, GuardedDelete, LockedRows};
use super::outcome::Kept;
use super::session::Session;
use super::stage::stage_name;
use crate::error::Result;

/// How a transaction of a load ended.
#[derive(Debug)]
pub(super) enum BatchEnd {
    /// Committed; in a dry run, rolled back after all checks.
    Done,
    /// Locks of other sessions: try again, or skip the locked rows.
    Locked,
    /// The statement timeout: try fewer devices.
    TooSlow(postgres::Error),
    /// The database refuses to delete a row of the range: SQLSTATE and message, at most 200 characters.
    Refused(String),
}

/// The statements of a load.
#[derive(Debug)]
pub(super) struct Batch {
    waiting: Statement,
    skipping: Statement,
    keep: Statement,
    spellings: GuardSpellings,
    alert_code: String,
    load_id: i32,
}

impl Batch {
    pub(super) fn prepare(session: &mut Session<'_>, load_id: i32) -> Result<Self> {
        let Session { client, table, names, options } = session;
        let plan = options.plan;
        let (devices, stage) = (DeviceSql::of(table)?, stage_name(options.config, &plan.id));
        let text = GuardedDelete { devices: &devices, tables: names, stage: &stage };
        let parameters = DeleteParameters::bound();
        let count = "RETURNING (SELECT count(*) FROM gone)";
        let mut prepare = |sql: &str| client.prepare(sql).map_err(failed("cannot prepare the load"));
        Ok(Self {
            waiting: prepare(&format!("{} {count}", text.delete(LockedRows::Wait, &parameters)))?,
            skipping: prepare(&format!("{} {count}", text.delete(LockedRows::Skip, &parameters)))?,
            keep: prepare(&format!("{} RETURNING {}", text.keep(&parameters), Kept::FIELDS))?,
            spellings: GuardSpellings::of(&plan.policy),
            alert_code: plan.policy.alerts.code.clone(),
            load_id,
        })
    }

    /// Deletes what is still due of a range of the manifest, records what is kept, and moves the load's `done` from the
    /// start of `done` to its end. Returns what was kept, in order; `None` where `done` was elsewhere, so that the
    /// transaction must not be committed.
    pub(super) fn delete(
        &self,
        work: &mut Transaction<'_>,
        range: &Range<i64>,
        locked: LockedRows,
        done: &Range<i64>,
    ) -> Result<Option<Vec<Kept>>, postgres::Error> {
        let statement = if locked == LockedRows::Wait { &self.waiting } else { &self.skipping };
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
        let Some(row) = work.query_opt(statement, &parameters)? else { return Ok(None) };
        let (deleted, mut kept) = (row.get::<_, i64>(0), Vec::new());
        if deleted < range.end - range.start {
            kept = work.query(&self.keep, &parameters[..6])?.iter().map(Kept::of).collect::<Result<Vec<_>, _>>()?;
            kept.sort_unstable_by_key(|kept| kept.ord);
        }
        Ok(Some(kept))
    }
}

/// How a batch ended that failed with `error`, where something can be done about it; otherwise the error.
pub(super) fn end_of(error: postgres::Error) -> Result<BatchEnd> {
    let Some(server_error) = error.as_db_error() else { return Err(inventory(LOADING, &error)) };
    let code = server_error.code().code();
    match code {
        // lock_not_available, deadlock_detected, serialization_failure
        "55P03" | "40P01" | "40001" => Ok(BatchEnd::Locked),
        // query_canceled
        "57014" => Ok(BatchEnd::TooSlow(error)),
        // Violated constraints, data exceptions, and exceptions of triggers.
        _ if code.starts_with("23") || code.starts_with("22") || code == "P0001" => {
            Ok(BatchEnd::Refused(format!("{code} {}", server_error.message()).chars().take(200).collect()))
        }
        _ => Err(inventory(LOADING, &error)),
    }
}

pub(super) const LOADING: &str = "cannot load";
