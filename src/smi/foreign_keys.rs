//! Foreign keys that refer to the device table: what a load takes with it, and what makes it slow.

use postgres::error::SqlState;
use postgres::{Client, Row};
use serde::Serialize;

use super::fault::{failed, inventory};
use super::table::{DeviceTable, tree};
use crate::error::Result;
use crate::estate::Column;

/// A foreign key that refers to the device table, or to rows that a cascade from there deletes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReferencingKey {
    /// Its table, as an SQL name.
    pub table: String,
    /// Its name, as an SQL name.
    pub name: String,
    /// The table that it refers to, as an SQL name.
    pub refers_to: String,
    /// What happens to its rows when a row that they refer to is deleted.
    pub on_delete: OnDelete,
    /// Rows that this would happen to if all planned devices were deleted; `None` where it is a refusal, which the dry run
    /// counts, and where the user may not read the table or another session has it locked.
    pub rows: Option<u64>,
    /// Whether an index begins with its columns. Without one, each deletion reads the whole table.
    pub indexed: bool,
    /// Rows of its table, as the server estimates; `None` where the table was never analysed.
    pub table_rows: Option<u64>,
}

/// The action of a foreign key (PostgreSQL, `pg_constraint.confdeltype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The deletion is refused.
    Refuse,
    /// The rows are deleted too.
    Cascade,
    /// Their columns become null.
    SetNull,
    /// Their columns get their defaults.
    SetDefault,
}

impl OnDelete {
    fn of(letter: &str) -> Self {
        match letter {
            "c" => Self::Cascade,
            "n" => Self::SetNull,
            "d" => Self::SetDefault,
            _ => Self::Refuse,
        }
    }
}

/// Tables behind the device table that are followed: a cascade of more steps is not counted.
const DEEPEST: usize = 6;

const COUNTING: &str = "cannot count the rows that refer to the device table";

/// Keys that refer to a table, its partitions and children. A key of a partitioned table is listed once.
const KEYS: &str = "SELECT c.conrelid::regclass::text, quote_ident(c.conname), c.confrelid::regclass::text, \
     c.confdeltype::text, c.oid, \
     EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL \
     AND (string_to_array(i.indkey::text, ' ')::smallint[])[1:cardinality(c.conkey)] @> c.conkey), \
     CASE WHEN k.reltuples >= 0 THEN k.reltuples::bigint END, \
     (SELECT string_agg(format('d.%I OPERATOR(%I.%s) c.%I', r.attname, n.nspname, o.oprname, f.attname), ' AND ' ORDER BY u.place) \
     FROM unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY AS u(own, theirs, operator, place) \
     JOIN pg_attribute AS f ON f.attrelid = c.conrelid AND f.attnum = u.own \
     JOIN pg_attribute AS r ON r.attrelid = c.confrelid AND r.attnum = u.theirs \
     JOIN pg_operator AS o ON o.oid = u.operator JOIN pg_namespace AS n ON n.oid = o.oprnamespace) \
     FROM pg_constraint AS c JOIN pg_class AS k ON k.oid = c.conrelid \
     WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid IN ($TREE) ORDER BY 1, 2";

/// Rows that are deleted: a query for them, and the table that they are in.
struct Deleted {
    table: String,
    query: String,
    depth: usize,
}

/// The foreign keys that refer to the device table, with the rows that a load of the staged devices would delete or change.
pub(super) fn referencing(client: &mut Client, table: &DeviceTable, stage: &str) -> Result<Vec<ReferencingKey>> {
    let id = table.column(Column::DeviceId)?.of("d");
    let planned = format!("SELECT d.* FROM {} AS d JOIN {stage} AS s ON {id} = s.key", table.name);
    let mut left = vec![Deleted { table: table.name.clone(), query: planned, depth: 0 }];
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    while let Some(deleted) = left.pop() {
        let keys = KEYS.replace("$TREE", &tree(&deleted.table));
        for row in client.query(&keys, &[]).map_err(failed(COUNTING))? {
            let oid: u32 = row.get(4);
            if seen.contains(&oid) {
                continue;
            }
            seen.push(oid);
            let key = counted(client, &row, &deleted)?;
            if key.on_delete == OnDelete::Cascade && key.rows > Some(0) && deleted.depth < DEEPEST {
                let query = affected("c.*", &key.table, &row, &deleted);
                left.push(Deleted { table: key.table.clone(), query, depth: deleted.depth + 1 });
            }
            found.push(key);
        }
    }
    Ok(found)
}

/// A query over the rows of a key's table that refer to deleted rows.
fn affected(what: &str, table: &str, row: &Row, deleted: &Deleted) -> String {
    let condition: String = row.get(7);
    format!("SELECT {what} FROM {table} AS c WHERE EXISTS (SELECT FROM ({}) AS d WHERE {condition})", deleted.query)
}

fn counted(client: &mut Client, row: &Row, deleted: &Deleted) -> Result<ReferencingKey> {
    let (table, on_delete): (String, _) = (row.get(0), OnDelete::of(row.get(3)));
    let rows = match on_delete {
        OnDelete::Refuse => None,
        _ => count(client, &affected("count(*)", &table, row, deleted))?,
    };
    Ok(ReferencingKey {
        table,
        name: row.get(1),
        refers_to: row.get(2),
        on_delete,
        rows,
        indexed: row.get(5),
        table_rows: row.get::<_, Option<i64>>(6).and_then(|rows| u64::try_from(rows).ok()),
    })
}

/// The number that a query gives; `None` where the user may not read a table, or another session has it locked. Cascades
/// run with the rights of the table's owner, so a load needs none on it.
fn count(client: &mut Client, query: &str) -> Result<Option<u64>> {
    match client.query_one(query, &[]) {
        Ok(row) => Ok(u64::try_from(row.get::<_, i64>(0)).ok()),
        Err(error) if UNREADABLE.iter().any(|code| error.code() == Some(code)) => Ok(None),
        Err(error) => Err(inventory(COUNTING, &error)),
    }
}

const UNREADABLE: [SqlState; 2] = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::LOCK_NOT_AVAILABLE];
