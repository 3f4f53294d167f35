//! The columns of the device table, and whether the archive keeps a row of it whole.
//!
//! A row that is archived into another type is rounded or cut without an error, and a column that the archive lacks is lost.
//! So both tables are compared by name, type, type modifier and collation before a load begins. Each of its transactions
//! takes the locks that it needs anyway, and then compares the catalogue with what it was: while the locks are held, no
//! column and no trigger can change (PostgreSQL, Explicit Locking: `ROW EXCLUSIVE` conflicts with every lock that
//! `ALTER TABLE` and `CREATE TRIGGER` take for that).
//!
//! Generated columns are not archived: the table computes them again. A load has one shape, which `sweep_load` records: rows of
//! one load have the same columns.

use std::collections::BTreeMap;

use postgres::{GenericClient, Transaction};

use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::table::{DeviceTable, literal, tree};
use super::triggers::{TriggerEvent, acting_on, rules_of};
use crate::error::{Error, Result};

/// TableColumns that can be written: name, and type with modifier and collation as SQL.
pub(super) type TableColumns = BTreeMap<String, String>;

/// The device table and the archive of a load, which fit each other.
#[derive(Debug, Clone)]
pub(super) struct ArchiveShape {
    /// Those of the device table. The archive has them too.
    pub(super) columns: TableColumns,
    /// Takes the locks of a batch.
    lock: String,
    /// Gives `mark`.
    mark_query: String,
    /// All of the catalogue that the comparison depends on.
    mark: String,
}

/// The columns that the archive has besides those of the device table.
const ARCHIVE_COLUMNS: [&str; 4] = ["load_id", "load_ord", "removed_at", "restored_at"];

const COMPARING: &str = "cannot compare the inventory with the archive";

impl ArchiveShape {
    /// Compares the device table with the archive.
    ///
    /// # Errors
    /// The first difference because of which a row could not be archived whole.
    pub(super) fn of(client: &mut impl GenericClient, table: &DeviceTable, names: &LoadTables) -> Result<Self> {
        must_have_no_children(client, table)?;
        must_not_follow_itself(client, table)?;
        must_be_durable(client, names)?;
        must_archive_plainly(client, table, names)?;
        let columns = columns_of(client, &table.name)?;
        if let Some(taken) = ARCHIVE_COLUMNS.into_iter().find(|own| columns.contains_key(*own)) {
            return Err(Error::Inventory {
                what: format!(
                    "table {} has a column `{taken}`, and the archive has one of its own with this name",
                    table.shown
                ),
                remedy: "rename the column of the inventory".into(),
            });
        }
        let archived = columns_of(client, &names.removed)?;
        for (name, type_name) in &columns {
            match archived.get(name) {
                Some(found) if found == type_name => {}
                Some(found) => return Err(differs(table, names, [name, type_name, found])),
                None => {
                    return Err(Error::Inventory {
                        what: format!("table {} has no column `{name}`, which the inventory has", names.removed),
                        remedy: "run `smi-sweep load --init` once: it adds the column".into(),
                    });
                }
            }
        }
        let lock = format!("LOCK TABLE {}, {} IN ROW EXCLUSIVE MODE", table.name, names.removed);
        let mark_query = mark_query(&table.name, &names.removed);
        let mark = client.query_one(&mark_query, &[]).map_err(failed(COMPARING))?.get(0);
        Ok(Self { columns, lock, mark_query, mark })
    }

    /// Takes the locks of a batch, and tells whether both tables still are as they were.
    pub(super) fn holds(&self, work: &mut Transaction<'_>) -> Result<bool, postgres::Error> {
        work.batch_execute(&self.lock)?;
        Ok(work.query_one(&self.mark_query, &[])?.get::<_, &str>(0) == self.mark)
    }

    /// Refuses to go on with a load whose first rows were archived with other columns. `recorded` are those of the load.
    pub(super) fn must_equal(&self, recorded: &TableColumns, table: &DeviceTable) -> Result<()> {
        let differing = |name: &&String| self.columns.get(*name) != recorded.get(*name);
        let Some(name) = self.columns.keys().chain(recorded.keys()).find(differing) else { return Ok(()) };
        Err(Error::Inventory {
            what: format!("column `{name}` of table {} has changed since this load began", table.shown),
            remedy: "sweep a fresh snapshot and load that; what this load has archived can still be restored by --undo"
                .into(),
        })
    }
}

/// The columns of a table that can be written. `table` is an SQL name.
pub(super) fn columns_of(client: &mut impl GenericClient, table: &str) -> Result<TableColumns> {
    let text: Option<String> =
        client.query_one(&format!("SELECT {}::text", columns_sql(table)), &[]).map_err(failed(COMPARING))?.get(0);
    parse(text.as_deref().unwrap_or("{}"))
}

/// Reads the JSON of [`columns_sql`].
pub(super) fn parse(json: &str) -> Result<TableColumns> {
    serde_json::from_str(json).map_err(|error| Error::Inventory {
        what: format!("{COMPARING}: {error}"),
        remedy: "see which program wrote the column `columns` of sweep_load".into(),
    })
}

/// The columns of a table that can be written as a JSON object of SQL: name to type. Types outside `pg_catalog` have their
/// schema, whatever the search path is.
pub(crate) fn columns_sql(table: &str) -> String {
    format!(
        "(SELECT pg_catalog.jsonb_object_agg(a.attname, \
         CASE WHEN tn.nspname = 'pg_catalog' THEN pg_catalog.format_type(a.atttypid, a.atttypmod) \
         ELSE pg_catalog.format('%I.%I', tn.nspname, t.typname) || \
         coalesce(substring(pg_catalog.format_type(a.atttypid, a.atttypmod) FROM '\\(.*\\)$'), '') END || \
         CASE WHEN l.oid IS NULL THEN '' ELSE pg_catalog.format(' COLLATE %I.%I', ln.nspname, l.collname) END) \
         FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.typnamespace \
         LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation AND a.attcollation <> t.typcollation \
         LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace \
         WHERE a.attrelid = {}::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')",
        literal(table)
    )
}

/// A query for everything that [`ArchiveShape::of`] looks at, as one text.
fn mark_query(table: &str, archive: &str) -> String {
    format!(
        "SELECT concat_ws(' | ', {of_table}, {of_archive}, \
         (SELECT string_agg(concat_ws(' ', c.oid, c.relkind, c.relispartition), ',' ORDER BY c.oid) \
         FROM ({tree}) AS o JOIN pg_catalog.pg_class AS c ON c.oid = o.oid), \
         (SELECT string_agg(concat_ws(' ', c.oid, c.relkind, c.relpersistence), ',') \
         FROM pg_catalog.pg_class AS c WHERE c.oid = {archive_name}::pg_catalog.regclass), \
         (SELECT string_agg(concat_ws(' ', t.oid, t.tgenabled), ',' ORDER BY t.oid) FROM pg_catalog.pg_trigger AS t \
         WHERE t.tgrelid = {archive_name}::pg_catalog.regclass), \
         (SELECT string_agg(r.oid::text, ',' ORDER BY r.oid) FROM pg_catalog.pg_rewrite AS r \
         WHERE r.ev_class IN ({table_name}::pg_catalog.regclass, {archive_name}::pg_catalog.regclass)))",
        of_table = columns_sql(table),
        of_archive = columns_sql(archive),
        tree = tree(table),
        table_name = literal(table),
        archive_name = literal(archive),
    )
}

/// Refuses tables that inherit from the device table: their own columns would be lost, and an undo would restore their rows into
/// the device table. Partitions are no such tables, unless they are on another server.
fn must_have_no_children(client: &mut impl GenericClient, table: &DeviceTable) -> Result<()> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relispartition FROM ({}) AS o \
         JOIN pg_catalog.pg_class AS c ON c.oid = o.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.oid <> $1 AND (NOT c.relispartition OR c.relkind = 'f') ORDER BY 1 LIMIT 1",
        tree(&table.name)
    );
    let Some(row) = client.query_opt(&sql, &[&table.oid]).map_err(failed(COMPARING))? else { return Ok(()) };
    let (name, is_partition): (String, bool) = (row.get(0), row.get(1));
    let shown = &table.shown;
    let what = if is_partition {
        format!("partition {name} of table {shown} is on another server, whose commits are not those of this one")
    } else {
        format!(
            "table {name} inherits from table {shown}: the archive cannot keep its rows, and an undo not restore them"
        )
    };
    Err(Error::Inventory { what, remedy: "detach it, or load into a table without it".into() })
}

/// Refuses a foreign key from the device table to itself that deletes or changes rows: a deletion would take other devices with
/// it, which are neither planned, nor archived, nor counted.
fn must_not_follow_itself(client: &mut impl GenericClient, table: &DeviceTable) -> Result<()> {
    let sql = format!(
        "WITH o AS ({}) SELECT pg_catalog.quote_ident(conname) FROM pg_catalog.pg_constraint WHERE contype = 'f' \
         AND confdeltype IN ('c', 'n', 'd') AND conrelid IN (SELECT oid FROM o) AND confrelid IN (SELECT oid FROM o) \
         ORDER BY 1 LIMIT 1",
        tree(&table.name)
    );
    let Some(row) = client.query_opt(&sql, &[]).map_err(failed(COMPARING))? else { return Ok(()) };
    let (name, shown): (&str, _) = (row.get(0), &table.shown);
    Err(Error::Inventory {
        what: format!(
            "the foreign key {name} of table {shown} refers to the table itself: a deletion deletes or changes others"
        ),
        remedy: "drop the key, or make it one without ON DELETE CASCADE, SET NULL and SET DEFAULT".into(),
    })
}

/// Refuses a table of the load that is not an ordinary table, or that a crash of the server would empty.
fn must_be_durable(client: &mut impl GenericClient, names: &LoadTables) -> Result<()> {
    const KIND: &str = "SELECT relkind IN ('r', 'p'), relpersistence = 'p' FROM pg_catalog.pg_class \
                        WHERE oid = $1::text::pg_catalog.regclass";
    for name in [&names.removed, &names.outbox, &names.loads, &names.kept] {
        let row = client.query_one(KIND, &[name]).map_err(failed(COMPARING))?;
        let (what, remedy) = match (row.get(0), row.get(1)) {
            (true, true) => continue,
            (true, false) => (
                format!("table {name} is unlogged or temporary: a crash of the server would empty it"),
                format!("ALTER TABLE {name} SET LOGGED"),
            ),
            (false, _) => (format!("{name} is not a table"), "name a table under [load] of the configuration".into()),
        };
        return Err(Error::Inventory { what, remedy });
    }
    Ok(())
}

/// Refuses rules, and a trigger of the archive that may change what is archived.
fn must_archive_plainly(client: &mut impl GenericClient, table: &DeviceTable, names: &LoadTables) -> Result<()> {
    let archive = &names.removed;
    let trigger = acting_on(client, archive, TriggerEvent::BeforeInsert).map_err(failed(COMPARING))?;
    if let Some(by) = trigger {
        return Err(Error::Inventory {
            what: format!("{by} of {archive} can change or keep out what is archived"),
            remedy: format!("ALTER TABLE {archive} DISABLE TRIGGER USER, or drop it"),
        });
    }
    if let Some(rule) = rules_of(client, &table.name, TriggerEvent::Delete).map_err(failed(COMPARING))? {
        return Err(Error::Inventory {
            what: format!("{rule} of {} rewrites what a load does", table.name),
            remedy: format!("DROP RULE ... ON {}", table.name),
        });
    }
    Ok(())
}

fn differs(table: &DeviceTable, names: &LoadTables, [name, wanted, found]: [&str; 3]) -> Error {
    Error::Inventory {
        what: format!(
            "column `{name}` is {wanted} in table {}, and {found} in {}: archived values could differ",
            table.shown, names.removed
        ),
        remedy:
            "name a new archive (`removed` under [load] of the configuration) and run `smi-sweep load --init`; or give \
                 the archive's column that type, where its rows allow it"
                .into(),
    }
}
