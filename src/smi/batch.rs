//! One transaction of a load: the guarded delete of a range of the manifest, and what it left recorded.
//!
//! A row that another session has locked is never waited for longer than the lock timeout. The batch is then tried in a
//! second form, which skips such rows; they are recorded as `locked`, and tried again at the end.

use std::ops::Range;

use postgres::types::ToSql;
use postgres::{Client, Statement, Transaction};

use super::config::Config;
use super::fault::{failed, inventory};
use super::guarded_delete::{DeleteParameters, DeviceSql, GuardSpellings, GuardedDelete, LoadTables, LockedRows};
use super::outcome::Kept;
use super::stage::{Plan, table_of};
use super::table::Table;
use crate::error::Result;

/// Why a batch did not go through, where something can be done about it.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Locks of others: try again, or pass over the rows.
    Busy,
    /// It took too long: try less at a time.
    Slow(postgres::Error),
    /// The database does not accept the deletion of a row: which one, and why.
    Row(String),
}

/// What a batch came to.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) deleted: i64,
    /// What was not deleted, in order.
    pub(super) kept: Vec<Kept>,
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
    pub(super) fn prepare(
        client: &mut Client,
        config: &Config,
        table: &Table,
        plan: &Plan,
        tables: &LoadTables,
        load_id: i32,
    ) -> Result<Self> {
        let (devices, stage) = (DeviceSql::of(table)?, table_of(config, &plan.id));
        let text = GuardedDelete { devices: &devices, tables, stage: &stage };
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

    /// Deletes what is still due of a range of the manifest, records what is not, and moves `done` from the start of `done`
    /// to its end; `None` where it was elsewhere, so that the transaction must not be committed.
    pub(super) fn delete(
        &self,
        work: &mut Transaction<'_>,
        range: &Range<i64>,
        locked: LockedRows,
        done: &Range<i64>,
    ) -> Result<Option<Tried>, postgres::Error> {
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
        let mut tried = Tried { deleted: row.get(0), kept: Vec::new() };
        if tried.deleted < range.end - range.start {
            tried.kept = work.query(&self.keep, &parameters[..6])?.iter().map(Kept::of).collect();
            tried.kept.sort_unstable_by_key(|kept| kept.ord);
        }
        Ok(Some(tried))
    }
}

/// What can be done about an error; the error as one line where nothing can.
pub(super) fn refusal(error: postgres::Error) -> Result<Refusal> {
    let Some(said) = error.as_db_error() else { return Err(inventory(LOADING, &error)) };
    let code = said.code().code();
    match code {
        "55P03" | "40P01" | "40001" => Ok(Refusal::Busy),
        "57014" => Ok(Refusal::Slow(error)),
        // Constraints, triggers and rules that speak up for a row.
        _ if code.starts_with("23") || code.starts_with("22") || code == "P0001" => {
            Ok(Refusal::Row(format!("{code} {}", said.message()).chars().take(200).collect()))
        }
        _ => Err(inventory(LOADING, &error)),
    }
}

pub(super) const LOADING: &str = "cannot load";
