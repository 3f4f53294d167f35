//! Undoes a load: removed rows return to the device table, and alerts that were not sent are withdrawn.
//!
//! A device that has come back meanwhile stays as it is; its removed row stays in the archive. Restored rows are marked in the
//! transaction that restores them, so that each is restored once, however often the command runs.

use std::ops::Range;

use postgres::{Client, Statement};
use serde::Serialize;

use super::entry::LoadState;
use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::outcome::{self, UndoneRows};
use super::session::{LoadOptions, Session};
use super::table::DeviceTable;
use crate::error::{Error, Result};
use crate::estate::Column;
use crate::progress::{Progress, Stage};
use crate::shown;

/// What an undo has done; in a dry run, what it would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Rows that are in the device table again.
    pub restored: u64,
    /// Devices that had come back before: left as they are.
    pub come_back: u64,
    /// Alerts that were withdrawn.
    pub withdrawn: u64,
    /// Alerts of restored devices that had been sent.
    pub already_sent: u64,
}

const UNDOING: &str = "cannot undo the load";

/// Undoes the load of a run, and writes `load.json` and `load-outcome.parquet` again. Without `execute` it is a dry run, which
/// changes nothing. Approvals are not needed.
///
/// # Errors
/// A run that was not loaded, a server that cannot be reached or refuses, another load of the table. [`Error::Halted`] after
/// an interruption. Committed transactions stay committed, and the next attempt continues from there.
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
    let again = entry.state == LoadState::Undone;
    if execute && !again {
        session.set_state(&entry, LoadState::Undoing)?;
        session.drop_stage()?;
    }
    let statement =
        session.client.prepare(&restore_statement(&session.table, &session.names)?).map_err(failed(UNDOING))?;
    let restore = Restore { statement, load_id: entry.load_id, execute };
    let (mut undone, mut at) = (Undone::default(), 0);
    progress.begin(Stage::Load, plan.planned);
    while at < entry.planned {
        if progress.interrupted() {
            let (done, planned) = (u64::try_from(at).unwrap_or_default(), plan.planned);
            return Err(if execute { Error::Halted { done, planned } } else { Error::Interrupted });
        }
        let end = entry.planned.min(at + i64::from(config.load.batch));
        let batch = restore.with_retries(&mut session, &(at..end))?;
        undone.add(batch);
        progress.advance(u64::try_from(end - at).unwrap_or_default());
        at = end;
    }
    if execute {
        if !again {
            session.set_state(&entry, LoadState::Undone)?;
        }
        write(&mut session)?;
    }
    Ok(undone)
}

/// Writes the account again. Where a load was undone before it was complete, the devices that it had not tried are open.
fn write(session: &mut Session<'_>) -> Result<()> {
    let Some(entry) = session.entry()? else { return Ok(()) };
    let count = format!(
        "SELECT count(*) FILTER (WHERE restored_at IS NOT NULL), count(*) FILTER (WHERE restored_at IS NULL) \
         FROM {} WHERE load_id = $1",
        session.names.removed
    );
    let row = session.client.query_one(&count, &[&entry.load_id]).map_err(failed(UNDOING))?;
    let undone = UndoneRows { restored: row.get(0), come_back: row.get(1) };
    outcome::write(session, &entry, Some(undone)).map(drop)
}

impl Undone {
    const fn add(&mut self, batch: Self) {
        self.restored += batch.restored;
        self.come_back += batch.come_back;
        self.withdrawn += batch.withdrawn;
        self.already_sent += batch.already_sent;
    }
}

/// The prepared statement that restores a range, and whether it is committed.
struct Restore {
    statement: Statement,
    load_id: i32,
    execute: bool,
}

impl Restore {
    /// A range, again where a device came back while its transaction ran.
    fn with_retries(&self, session: &mut Session<'_>, range: &Range<i64>) -> Result<Undone> {
        for _ in 0..ATTEMPTS {
            if let Some(undone) = self.once(&mut session.client, range)? {
                return Ok(undone);
            }
        }
        Err(Error::Inventory {
            what: format!("{UNDOING}: table {} does not accept all rows", session.table.shown),
            remedy: "another unique constraint of the table refuses some; see which devices share a value".into(),
        })
    }

    /// One transaction; `None` where a device came back while it ran, so that it was rolled back.
    fn once(&self, client: &mut Client, range: &Range<i64>) -> Result<Option<Undone>> {
        let mut work = client.transaction().map_err(failed(UNDOING))?;
        let parameters: [&(dyn postgres::types::ToSql + Sync); 3] = [&self.load_id, &range.start, &range.end];
        let row = work.query_one(&self.statement, &parameters).map_err(failed(UNDOING))?;
        let [left, marked, restored, withdrawn, already_sent] =
            std::array::from_fn(|place| u64::try_from(row.get::<_, i64>(place)).unwrap_or_default());
        if marked != restored {
            return work.rollback().map(|()| None).map_err(failed(UNDOING));
        }
        let ended = if self.execute { work.commit() } else { work.rollback() };
        ended.map_err(failed(UNDOING))?;
        Ok(Some(Undone { restored, come_back: left - restored, withdrawn, already_sent }))
    }
}

/// How often a range is tried.
const ATTEMPTS: u32 = 5;

/// The statement that restores a range: `$1` is the load, `$2` and `$3` the range. Its result: rows not restored before,
/// rows marked, rows restored, alerts withdrawn, alerts already sent.
///
/// The rows to insert come from the UPDATE that marks them, so that exactly the marked rows are restored.
fn restore_statement(table: &DeviceTable, names: &LoadTables) -> Result<String> {
    let id = table.column(Column::DeviceId)?;
    let columns = table.writable.join(", ");
    let fields = table.writable.iter().map(|name| format!("r.{name}")).collect::<Vec<_>>().join(", ");
    let places = (0..table.writable.len()).map(|place| format!("c{place}")).collect::<Vec<_>>().join(", ");
    let range = "r.load_id = $1 AND r.load_ord >= $2 AND r.load_ord < $3 AND r.restored_at IS NULL";
    let alerted = "o.load_id = $1 AND o.load_ord >= $2 AND o.load_ord < $3 AND o.load_ord IN (SELECT ord FROM marked)";
    Ok(format!(
        "WITH marked(ord, {places}) AS (UPDATE {removed} AS r SET restored_at = now() WHERE {range} \
         AND NOT EXISTS (SELECT FROM {inventory} AS d WHERE {id_of_d} = {id_of_r}) RETURNING r.load_ord, {fields}), \
         back AS (INSERT INTO {inventory} ({columns}) OVERRIDING SYSTEM VALUE SELECT {places} FROM marked \
         ON CONFLICT DO NOTHING RETURNING 1), \
         withdrawn AS (DELETE FROM {outbox} AS o WHERE {alerted} AND o.sent_at IS NULL RETURNING 1) \
         SELECT (SELECT count(*) FROM {removed} AS r WHERE {range}), (SELECT count(*) FROM marked), \
         (SELECT count(*) FROM back), (SELECT count(*) FROM withdrawn), \
         (SELECT count(*) FROM {outbox} AS o WHERE {alerted} AND o.sent_at IS NOT NULL)",
        inventory = table.name,
        removed = names.removed,
        outbox = names.outbox,
        id_of_d = id.of("d"),
        id_of_r = id.of("r"),
    ))
}
