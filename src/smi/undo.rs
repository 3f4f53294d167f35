//! A load taken back: removed rows return to the inventory, and alerts that were not sent are withdrawn.
//!
//! A device that has come back meanwhile stays as it is; its removed row is kept where it lies. What was restored is
//! marked in the same transaction, so that it is restored once, however often the command runs.

use postgres::{Client, Statement};
use serde::Serialize;
use serde_json::json;

use super::config::Config;
use super::connect::Target;
use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::outcome;
use super::stage::Plan;
use super::state::{self, Desk, Entry};
use super::table::Table;
use crate::error::{Error, Result};
use crate::estate::Column;
use crate::progress::{Progress, Stage};

/// What taking a load back came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Rows that are in the inventory again.
    pub restored: u64,
    /// Devices that had come back by themselves: left as they are.
    pub come_back: u64,
    /// Alerts that were withdrawn.
    pub withdrawn: u64,
    /// Alerts of restored devices that had been sent.
    pub already_sent: u64,
}

const UNDOING: &str = "cannot undo the load";

/// Takes a load back: a rehearsal, or in earnest.
///
/// # Errors
/// A run that was not loaded, a server that cannot be reached or refuses, another load at work, an interruption. What
/// was done stays done.
pub fn undo(
    plan: &Plan,
    target: &Target,
    config: &Config,
    execute: bool,
    wait_seconds: u32,
    progress: &dyn Progress,
) -> Result<Undone> {
    let Desk { mut client, table, names } = Desk::enter(plan, target, config, execute, wait_seconds)?;
    let entry = Entry::find(&mut client, &names, plan)?.filter(|entry| entry.state != "staged");
    let Some(entry) = entry else {
        let what = format!("was not loaded into table {}", table.shown);
        return Err(Error::Usage { what: format!("{}: {what}", plan.path.display()), remedy: String::new() });
    };
    let timeout = format!("SET lock_timeout = {}", u64::from(config.load.lock_timeout_ms) * 10);
    client.batch_execute(&timeout).map_err(failed(UNDOING))?;
    state::by_index(&mut client)?;
    if execute && entry.state != "undone" {
        Entry::turn(&mut client, &names, entry.load_id, "undoing")?;
        state::drop_stage(&mut client, config, plan)?;
    }
    let statement = client.prepare(&restore(&table, &names)?).map_err(failed(UNDOING))?;
    let (mut undone, mut at, step) = (Undone::default(), 0, i64::from(config.load.batch));
    progress.begin(Stage::Load, plan.planned);
    while at < entry.planned {
        if progress.interrupted() {
            let (done, planned) = (u64::try_from(at).unwrap_or_default(), plan.planned);
            return Err(if execute { Error::Halted { done, planned } } else { Error::Interrupted });
        }
        let end = entry.planned.min(at + step);
        let range = Range { load_id: entry.load_id, at, end };
        let mut tries = 0;
        while !range.restore(&mut client, &statement, execute, &mut undone)? {
            tries += 1;
            if tries == TRIES {
                return Err(refused(&table));
            }
        }
        progress.advance(u64::try_from(end - at).unwrap_or_default());
        at = end;
    }
    if execute {
        if entry.state != "undone" {
            Entry::turn(&mut client, &names, entry.load_id, "undone")?;
        }
        write(&mut client, &names, plan, &table)?;
    }
    Ok(undone)
}

/// Writes `load.json` again. A load that was undone before it was done has no account of every device.
fn write(client: &mut Client, names: &LoadTables, plan: &Plan, table: &Table) -> Result<()> {
    let Some(entry) = Entry::find(client, names, plan)? else { return Ok(()) };
    if entry.done < entry.planned {
        return Ok(());
    }
    let count = format!(
        "SELECT count(*) FILTER (WHERE restored_at IS NOT NULL), count(*) FILTER (WHERE restored_at IS NULL) \
         FROM {} WHERE load_id = $1",
        names.removed
    );
    let row = client.query_one(&count, &[&entry.load_id]).map_err(failed(UNDOING))?;
    let (restored, come_back): (i64, i64) = (row.get(0), row.get(1));
    let undone = json!({ "restored": restored, "come_back": come_back });
    outcome::write(client, names, plan, &entry, &table.shown, Some(&undone)).map(drop)
}

/// A part of a load.
struct Range {
    load_id: i32,
    at: i64,
    end: i64,
}

impl Range {
    /// One transaction; `false` where a device came back while it ran, so that nothing was done.
    fn restore(&self, client: &mut Client, statement: &Statement, execute: bool, undone: &mut Undone) -> Result<bool> {
        let mut work = client.transaction().map_err(failed(UNDOING))?;
        let row = work.query_one(statement, &[&self.load_id, &self.at, &self.end]).map_err(failed(UNDOING))?;
        let [left, marked, restored, withdrawn, already_sent] =
            std::array::from_fn(|place| u64::try_from(row.get::<_, i64>(place)).unwrap_or_default());
        if marked != restored {
            return work.rollback().map(|()| false).map_err(failed(UNDOING));
        }
        let ended = if execute { work.commit() } else { work.rollback() };
        ended.map_err(failed(UNDOING))?;
        undone.restored += restored;
        undone.come_back += left - restored;
        undone.withdrawn += withdrawn;
        undone.already_sent += already_sent;
        Ok(true)
    }
}

/// How often a range is tried.
const TRIES: u32 = 5;

fn refused(table: &Table) -> Error {
    Error::Inventory {
        what: format!("{UNDOING}: table {} does not take all rows back", table.shown),
        remedy: "another unique constraint of the table is in the way; see which devices share a value".into(),
    }
}

/// Restores a range. `$1` is the load, `$2` and `$3` the range.
///
/// Rows are marked before they are put back, so that both are the same rows without a look at which they were.
fn restore(table: &Table, names: &LoadTables) -> Result<String> {
    let id = table.column(Column::DeviceId)?;
    let columns = table.writable.join(", ");
    let fields = table.writable.iter().map(|name| format!("r.{name}")).collect::<Vec<_>>().join(", ");
    let places = (0..table.writable.len()).map(|place| format!("c{place}")).collect::<Vec<_>>().join(", ");
    let range = "r.load_id = $1 AND r.load_ord >= $2 AND r.load_ord < $3 AND r.restored_at IS NULL";
    let told = "o.load_id = $1 AND o.load_ord >= $2 AND o.load_ord < $3 AND o.load_ord IN (SELECT ord FROM marked)";
    Ok(format!(
        "WITH marked(ord, {places}) AS (UPDATE {removed} AS r SET restored_at = now() WHERE {range} \
         AND NOT EXISTS (SELECT FROM {inventory} AS d WHERE {id_of_d} = {id_of_r}) RETURNING r.load_ord, {fields}), \
         back AS (INSERT INTO {inventory} ({columns}) OVERRIDING SYSTEM VALUE SELECT {places} FROM marked \
         ON CONFLICT DO NOTHING RETURNING 1), \
         withdrawn AS (DELETE FROM {outbox} AS o WHERE {told} AND o.sent_at IS NULL RETURNING 1) \
         SELECT (SELECT count(*) FROM {removed} AS r WHERE {range}), (SELECT count(*) FROM marked), \
         (SELECT count(*) FROM back), (SELECT count(*) FROM withdrawn), \
         (SELECT count(*) FROM {outbox} AS o WHERE {told} AND o.sent_at IS NOT NULL)",
        inventory = table.name,
        removed = names.removed,
        outbox = names.outbox,
        id_of_d = id.of("d"),
        id_of_r = id.of("r"),
    ))
}
