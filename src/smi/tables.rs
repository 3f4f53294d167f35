//! The tables that a load keeps beside the inventory: `smi-sweep load --init` makes them, every load checks them.

use std::collections::BTreeSet;

use postgres::{Client, GenericClient};

use super::config::Config;
use super::connect::Target;
use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::table::{DeviceTable, quoted};
use crate::error::{Error, Result};
use crate::policy::Policy;

/// The statements that make the tables. Names that begin with a colon are variables, as in `psql`.
pub const MIGRATION: &str = include_str!("migrations/001_load.sql");

/// Makes the tables of a load where they are missing, and adds to the table of removed rows the columns that the device
/// table has gained since. Existing tables and rows are not changed. Returns the name of the device table.
///
/// The policy gives the names of the columns where the configuration gives none.
///
/// # Errors
/// A server that cannot be reached or refuses, a device table that is not as configured.
pub fn init(target: &Target, config: &Config, policy: &Policy) -> Result<String> {
    let mut client = target.connect()?;
    let table = DeviceTable::find(&mut client, config, policy)?;
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
    work.batch_execute(&sql).map_err(failed(trying))?;
    for (name, type_name) in missing(&mut work, config, &table)? {
        let add = format!("ALTER TABLE {} ADD COLUMN {} {type_name}", LoadTables::of(config).removed, quoted(&name));
        work.batch_execute(&add).map_err(failed(trying))?;
    }
    work.commit().map_err(failed(trying))?;
    Ok(table.shown)
}

/// Replaces variables by names, in one pass, so that a name that contains a variable is not replaced again.
fn with_names(sql: &str, names: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(':') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = names.iter().find(|(word, _)| rest.starts_with(word));
        let (name, length) = known.map_or((&rest[..1], 1), |(word, name)| (*name, word.len()));
        out.push_str(name);
        rest = &rest[length..];
        // A cast has two colons, and neither begins a variable.
        if known.is_none() && rest.starts_with(':') {
            out.push(':');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Columns of the device table that the table of removed rows does not have: name and type.
fn missing(client: &mut impl GenericClient, config: &Config, table: &DeviceTable) -> Result<Vec<(String, String)>> {
    const COLUMNS: &str = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
                           JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                           WHERE n.nspname = $1::text AND c.relname = $2::text AND a.attnum > 0 AND NOT a.attisdropped \
                           ORDER BY a.attnum";
    let mut columns = |schema: &str, name: &str| -> Result<Vec<(String, String)>> {
        let rows = client.query(COLUMNS, &[&schema, &name]).map_err(failed("cannot inspect the tables of a load"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    let there: BTreeSet<String> =
        columns(&config.load.schema, &config.load.removed)?.into_iter().map(|(name, _)| name).collect();
    let mut wanted = columns(&config.inventory.schema, &config.inventory.table)?;
    wanted.retain(|(name, _)| table.writable.contains(&quoted(name)) && !there.contains(name));
    Ok(wanted)
}

/// Refuses where a table of a load is missing.
pub(super) fn must_be_there(client: &mut Client, config: &Config) -> Result<()> {
    const THERE: &str = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                         WHERE n.nspname = $1::text AND c.relname = ANY($2::text[])";
    let load = &config.load;
    let tables = ["sweep_load", "sweep_load_kept", &load.outbox, &load.removed].map(str::to_owned).to_vec();
    let looking = "cannot inspect the tables of a load";
    let there: i64 = client.query_one(THERE, &[&load.schema, &tables]).map_err(failed(looking))?.get(0);
    if there < 4 {
        return Err(not_ready(format!("not all of the tables {} are in schema `{}`", tables.join(", "), load.schema)));
    }
    Ok(())
}

/// Refuses where the table of removed rows lacks a column of the device table.
pub(super) fn must_hold_whole_rows(client: &mut Client, config: &Config, table: &DeviceTable) -> Result<()> {
    match missing(client, config, table)?.first() {
        Some((name, _)) => {
            let what = format!("table {} has no column `{name}`, which the inventory has", config.load.removed);
            Err(not_ready(what))
        }
        None => Ok(()),
    }
}

fn not_ready(what: String) -> Error {
    Error::Inventory { what, remedy: "run `smi-sweep load --init` once".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_contains_a_variable_is_not_replaced_again() {
        let names = [(":removed", "\":outbox\""), (":outbox", "\"o\"")];
        assert_eq!(
            with_names("x :removed.:outbox 0::integer :removed", &names),
            "x \":outbox\".\"o\" 0::integer \":outbox\""
        );
    }
}
