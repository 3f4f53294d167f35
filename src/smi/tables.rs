//! The tables that a load keeps beside the inventory: `smi-sweep load --init` makes them, every load checks them.

use postgres::Client;

use super::config::Config;
use super::connect::Target;
use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::shape::{ArchiveShape, columns_of};
use super::table::{DeviceTable, quoted};
use crate::error::{Error, Result};
use crate::policy::Policy;

/// The statements that make the tables. Names that begin with a colon are variables, as in `psql`.
pub const MIGRATION: &str = include_str!("migrations/001_load.sql");

/// Makes the tables of a load where they are missing, and adds to the table of removed rows the columns that the device
/// table has gained since. Existing columns and rows are not changed. Returns the name of the device table.
///
/// The policy gives the names of the columns where the configuration gives none.
///
/// # Errors
/// A server that cannot be reached or refuses, a device table that is not as configured, an archive that cannot keep its rows
/// whole; nothing is made then.
pub fn init(target: &Target, config: &Config, policy: &Policy) -> Result<String> {
    let mut client = target.connect()?;
    let table = DeviceTable::find(&mut client, config, policy)?;
    let trying = "cannot make the tables of a load";
    let mut work = client.transaction().map_err(failed(trying))?;
    let sql = with_names(
        MIGRATION,
        &[
            (":inventory", &table.name),
            (":removed_index", &quoted(&index_name(&config.load.removed))),
            (":removed", &quoted(&config.load.removed)),
            (":outbox", &quoted(&config.load.outbox)),
            (":schema", &quoted(&config.load.schema)),
        ],
    );
    work.batch_execute(&sql).map_err(failed(trying))?;
    let names = LoadTables::of(config);
    let archived = columns_of(&mut work, &names.removed)?;
    for (name, type_name) in
        columns_of(&mut work, &table.name)?.iter().filter(|(name, _)| !archived.contains_key(*name))
    {
        let add = format!("ALTER TABLE {} ADD COLUMN {} {type_name}", names.removed, quoted(name));
        work.batch_execute(&add).map_err(failed(trying))?;
    }
    ArchiveShape::of(&mut work, &table, &names)?;
    work.commit().map_err(failed(trying))?;
    Ok(table.shown)
}

/// The name of the archive's index. Each archive of a schema has its own; names have at most 63 bytes.
fn index_name(removed: &str) -> String {
    const END: &str = "_load_ord";
    let mut length = removed.len().min(63 - END.len());
    while !removed.is_char_boundary(length) {
        length -= 1;
    }
    format!("{}{END}", &removed[..length])
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

/// Refuses where a table of a load is missing, or is of an earlier version.
pub(super) fn must_be_there(client: &mut Client, config: &Config) -> Result<()> {
    const THERE: &str = "SELECT count(DISTINCT c.oid), bool_or(c.relname = 'sweep_load' AND a.attname = 'columns') \
                         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
                         WHERE n.nspname = $1::text AND c.relname = ANY($2::text[])";
    let load = &config.load;
    let tables = ["sweep_load", "sweep_load_kept", &load.outbox, &load.removed].map(str::to_owned).to_vec();
    let row =
        client.query_one(THERE, &[&load.schema, &tables]).map_err(failed("cannot inspect the tables of a load"))?;
    let (there, current): (i64, Option<bool>) = (row.get(0), row.get(1));
    let what = match (there, current) {
        (4, Some(true)) => return Ok(()),
        (4, _) => "table sweep_load was made by an earlier version: it has no column `columns`".to_owned(),
        _ => format!("not all of the tables {} are in schema `{}`", tables.join(", "), load.schema),
    };
    Err(Error::Inventory { what, remedy: "run `smi-sweep load --init` once".into() })
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
