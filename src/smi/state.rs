//! What the database knows of loads: its own tables, which run is where, and that one load is at work at a time.

use std::collections::BTreeSet;

use postgres::{Client, GenericClient};

use super::config::Config;
use super::connect::Target;
use super::fault::{failed, inventory};
use super::guarded_delete::LoadTables;
use super::outcome;
use super::stage::{Plan, table_of};
use super::table::{Table, quoted};
use crate::error::{Error, Result};
use crate::estate::time::{self, DAY_MICROS};
use crate::policy::Policy;

/// The statements that make the tables, for `psql` as for us.
pub const MIGRATION: &str = include_str!("migrations/001_load.sql");

/// Makes the tables of a load where they are missing, and adds to the table of removed rows the columns that the
/// inventory got since. What is there stays as it is.
///
/// # Errors
/// A server that refuses, a device table that is not as configured.
pub fn init(target: &Target, config: &Config, policy: &Policy) -> Result<String> {
    let mut client = target.connect()?;
    let table = Table::find(&mut client, config, policy)?;
    let trying = "cannot make the tables of a load";
    let mut work = client.transaction().map_err(failed(trying))?;
    let sql = with_names(
        MIGRATION,
        &[
            (":inventory", &table.name),
            (":removed", &quoted(&config.load.removed)),
            (":outbox", &quoted(&config.load.outbox)),
            (":schema", &quoted(&config.load.schema)),
        ],
    );
    work.batch_execute("SET LOCAL client_min_messages = warning").map_err(failed(trying))?;
    work.batch_execute(&sql).map_err(failed(trying))?;
    for (name, type_name) in missing(&mut work, config, &table)? {
        let add = format!("ALTER TABLE {} ADD COLUMN {} {type_name}", LoadTables::of(config).removed, quoted(&name));
        work.batch_execute(&add).map_err(failed(trying))?;
    }
    work.commit().map_err(failed(trying))?;
    Ok(table.shown)
}

/// Puts names for words, in one pass, so that a name with such a word in it stays what it is.
fn with_names(sql: &str, names: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(':') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = names.iter().find(|(word, _)| rest.starts_with(word));
        let (put, length) = known.map_or((&rest[..1], 1), |(word, name)| (*name, word.len()));
        out.push_str(put);
        rest = &rest[length..];
        // A cast has two colons, of which neither begins a word.
        if known.is_none() && rest.starts_with(':') {
            out.push(':');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Columns of the inventory that the table of removed rows lacks, with their types.
fn missing(client: &mut impl GenericClient, config: &Config, table: &Table) -> Result<Vec<(String, String)>> {
    const COLUMNS: &str = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
                           JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                           WHERE n.nspname = $1::text AND c.relname = $2::text AND a.attnum > 0 AND NOT a.attisdropped \
                           ORDER BY a.attnum";
    let mut columns = |schema: &str, name: &str| -> Result<Vec<(String, String)>> {
        let rows = client.query(COLUMNS, &[&schema, &name]).map_err(failed("cannot look at the tables of a load"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    let there: BTreeSet<String> =
        columns(&config.load.schema, &config.load.removed)?.into_iter().map(|(name, _)| name).collect();
    let mut wanted = columns(&config.inventory.schema, &config.inventory.table)?;
    wanted.retain(|(name, _)| table.writable.contains(&quoted(name)) && !there.contains(name));
    Ok(wanted)
}

/// Whether the tables of a load are there, with every column of the inventory.
fn must_be_ready(client: &mut Client, config: &Config, table: &Table) -> Result<()> {
    const THERE: &str = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                         WHERE n.nspname = $1::text AND c.relname = ANY($2::text[])";
    let load = &config.load;
    let tables = ["sweep_load", "sweep_load_kept", &load.outbox, &load.removed].map(str::to_owned).to_vec();
    let looking = "cannot look at the tables of a load";
    let there: i64 = client.query_one(THERE, &[&load.schema, &tables]).map_err(failed(looking))?.get(0);
    let refuse = |what: String| Err(Error::Inventory { what, remedy: "run `smi-sweep load --init` once".into() });
    if there < 4 {
        return refuse(format!("not all of the tables {} are in schema `{}`", tables.join(", "), load.schema));
    }
    match missing(client, config, table)?.first() {
        Some((name, _)) => refuse(format!("table {} has no column `{name}`, which the inventory has", load.removed)),
        None => Ok(()),
    }
}

/// A load, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) load_id: i32,
    pub(super) state: String,
    pub(super) planned: i64,
    pub(super) done: i64,
    pub(super) deleted: i64,
    pub(super) alerts: i64,
    pub(super) started_at: String,
    pub(super) finished_at: Option<String>,
    pub(super) undone_at: Option<String>,
}

impl Entry {
    /// The entry of a run, where it has one.
    pub(super) fn find(client: &mut Client, names: &LoadTables, plan: &Plan) -> Result<Option<Self>> {
        const MICROS: &str = "(extract(epoch FROM started_at) * 1000000)::bigint, \
                              (extract(epoch FROM finished_at) * 1000000)::bigint, \
                              (extract(epoch FROM undone_at) * 1000000)::bigint";
        let sql = format!(
            "SELECT load_id, state, planned, done, deleted, alerts, {MICROS} FROM {} WHERE run_id = $1",
            names.loads
        );
        let row = client.query_opt(&sql, &[&plan.id]).map_err(failed("cannot look at earlier loads"))?;
        let time = |micros: Option<i64>| micros.map(time::format_instant);
        Ok(row.map(|row| Self {
            load_id: row.get(0),
            state: row.get(1),
            planned: row.get(2),
            done: row.get(3),
            deleted: row.get(4),
            alerts: row.get(5),
            started_at: time(row.get(6)).unwrap_or_default(),
            finished_at: time(row.get(7)),
            undone_at: time(row.get(8)),
        }))
    }

    /// The entry of a run, made where there is none.
    pub(super) fn begin(client: &mut Client, names: &LoadTables, table: &Table, plan: &Plan) -> Result<Self> {
        let sql = format!(
            "INSERT INTO {} (run_id, inventory, as_of, state, planned) VALUES ($1, $2, \
             timestamptz 'epoch' + $3::bigint * interval '1 microsecond', 'staged', $4) ON CONFLICT (run_id) DO NOTHING",
            names.loads
        );
        let planned = i64::try_from(plan.planned).unwrap_or(i64::MAX);
        client
            .execute(&sql, &[&plan.id, &table.shown, &plan.as_of, &planned])
            .map_err(failed("cannot begin a load"))?;
        Self::find(client, names, plan)?.ok_or_else(|| Error::Unbalanced("the load that was begun is not there".into()))
    }

    /// Sets the state.
    pub(super) fn turn(client: &mut impl GenericClient, names: &LoadTables, load_id: i32, state: &str) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET state = $2, finished_at = CASE WHEN $2 = 'loaded' THEN clock_timestamp() ELSE finished_at END, \
             undone_at = CASE WHEN $2 = 'undone' THEN clock_timestamp() ELSE undone_at END WHERE load_id = $1",
            names.loads
        );
        client.execute(&sql, &[&load_id, &state]).map(drop).map_err(failed("cannot note the state of the load"))
    }

    /// Forgets a load of which nothing was done, and its staging table.
    pub(super) fn forget(client: &mut Client, config: &Config, names: &LoadTables, plan: &Plan) -> Result<()> {
        let trying = "cannot clear up after the rehearsal";
        let sql = format!("DELETE FROM {} WHERE run_id = $1 AND state = 'staged'", names.loads);
        if client.execute(&sql, &[&plan.id]).map_err(failed(trying))? > 0 {
            drop_stage(client, config, plan)?;
        }
        Ok(())
    }
}

/// Drops the staging table.
pub(super) fn drop_stage(client: &mut impl GenericClient, config: &Config, plan: &Plan) -> Result<()> {
    let sql = format!("DROP TABLE IF EXISTS {}", table_of(config, &plan.id));
    client.batch_execute("SET client_min_messages = warning").map_err(failed("cannot drop the staging table"))?;
    client.batch_execute(&sql).map_err(failed("cannot drop the staging table"))
}

/// Where a run is loaded or taken back: a connection that is alone at it, the device table, and the names of what is kept
/// beside it.
pub(super) struct Desk {
    pub(super) client: Client,
    pub(super) table: Table,
    pub(super) names: LoadTables,
}

impl Desk {
    /// Looks at everything that must be so before a row is touched, the same for both ways.
    pub(super) fn enter(
        plan: &Plan,
        target: &Target,
        config: &Config,
        execute: bool,
        wait_seconds: u32,
    ) -> Result<Self> {
        if execute {
            outcome::must_be_writable(&plan.path)?;
        }
        let mut client = target.connect()?;
        let table = Table::find(&mut client, config, &plan.policy)?;
        table.must_be_unique(&mut client)?;
        must_be_ready(&mut client, config, &table)?;
        alone(&mut client, &table, wait_seconds)?;
        Ok(Self { client, table, names: LoadTables::of(config) })
    }
}

/// Waits until no other load is at work on the table, and keeps others out until the connection ends.
///
/// # Errors
/// Where another is at work for longer.
fn alone(client: &mut Client, table: &Table, wait_seconds: u32) -> Result<()> {
    // The word SMIS, and the table.
    let lock = "SELECT pg_advisory_lock(1397573971, $1)";
    let wait = format!("SET lock_timeout = {}", u64::from(wait_seconds.max(1)) * 1000);
    client.batch_execute(&wait).map_err(failed("cannot begin a load"))?;
    match client.execute(lock, &[&table.oid.cast_signed()]) {
        Ok(_) => Ok(()),
        Err(error) if error.code().is_some_and(|code| code.code() == "55P03") => Err(Error::Inventory {
            what: format!("another load is at work on table {}", table.shown),
            remedy: "wait until it is done; nothing was changed".into(),
        }),
        Err(error) => Err(inventory("cannot begin a load", &error)),
    }
}

/// Has every batch planned for its own size, and by index: what a batch costs is not to grow with the inventory.
pub(super) fn by_index(client: &mut Client) -> Result<()> {
    let settings = "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
                    SET enable_mergejoin = off; SET jit = off; SET default_transaction_isolation = 'read committed'";
    client.batch_execute(settings).map_err(failed("cannot begin a load"))
}

/// Refuses a run that is too old by the database's clock, or that a later one has superseded.
pub(super) fn must_be_timely(
    client: &mut Client,
    names: &LoadTables,
    table: &Table,
    plan: &Plan,
    max_age_days: u32,
) -> Result<()> {
    let refuse = |what: String| Err(Error::Verification { path: plan.path.clone(), what });
    let sql = format!(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
         (SELECT max(extract(epoch FROM as_of) * 1000000)::bigint FROM {} \
         WHERE inventory = $1 AND state <> 'staged' AND run_id <> $2)",
        names.loads
    );
    let row = client.query_one(&sql, &[&table.shown, &plan.id]).map_err(failed("cannot look at earlier loads"))?;
    let (now, latest): (i64, Option<i64>) = (row.get(0), row.get(1));
    if plan.as_of > now {
        return refuse(format!("judges as of {}, which is yet to come by the database's clock", plan.record.as_of));
    }
    if now - plan.as_of > i64::from(max_age_days) * DAY_MICROS {
        let now = time::format_instant(now);
        return refuse(format!("judges as of {}; it is {now}, and {max_age_days} days are allowed", plan.record.as_of));
    }
    match latest {
        Some(latest) if latest > plan.as_of => {
            refuse(format!("a later run, as of {}, has been loaded already", time::format_instant(latest)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_once() {
        let names = [(":removed", "\":outbox\""), (":outbox", "\"o\"")];
        assert_eq!(
            with_names("x :removed.:outbox 0::integer :removed", &names),
            "x \":outbox\".\"o\" 0::integer \":outbox\""
        );
    }
}
