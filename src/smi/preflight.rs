//! What surrounds the device table and matters to a load: triggers, rules, foreign keys, partitions, replication, disk.
//!
//! Nothing here is a reason to refuse. A dry run prints it, and a load keeps it in `load.json`.

use postgres::{Client, Row};
use serde::Serialize;

use super::config::Config;
use super::fault::failed;
use super::foreign_keys;
pub use super::foreign_keys::{OnDelete, ReferencingKey};
use super::options::LoadOptions;
use super::table::{DeviceTable, tree};
use crate::error::Result;

/// What a load should know about its surroundings. Names of objects are SQL names.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Preflight {
    /// Triggers of the device table and of its partitions, internal ones left out.
    pub triggers: Vec<TableTrigger>,
    /// Rules of the same tables.
    pub rules: Vec<TableRule>,
    /// Foreign keys that refer to the device table, and those behind them that a cascade reaches.
    pub foreign_keys: Vec<ReferencingKey>,
    /// Partitions of the device table, on all levels.
    pub partitions: u64,
    /// Tables that inherit from it and are no partitions.
    pub children: u64,
    /// Publications that have the device table or the archive.
    pub publications: Vec<TablePublication>,
    /// Servers that replicate from this one.
    pub replicas: Vec<Replica>,
    /// Replication slots.
    pub slots: Vec<ReplicationSlot>,
    /// Whether row-level security is enabled for the device table.
    pub row_security: bool,
    /// Bytes that the archive grows by, estimated from the size of the device table; `None` without statistics.
    pub archive_bytes: Option<u64>,
    /// Free bytes where the server keeps its data; `None` unless the server is on this machine and shows where that is.
    pub free_bytes: Option<u64>,
    /// How long the load takes, as the dry run took, by the database's clock: seconds; `None` where it was no dry run.
    pub estimated_seconds: Option<f64>,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableTrigger {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `before`, `after` or `instead of`, and the events: `before insert or delete`.
    pub fires: String,
    /// Its function.
    pub function: String,
    /// Whether it fires in a load.
    pub enabled: bool,
    /// Whether its function sets its own search path.
    pub own_search_path: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRule {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `select`, `update`, `insert` or `delete`.
    pub event: String,
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TablePublication {
    /// Its name.
    pub name: String,
    /// The table.
    pub table: String,
    /// Whether it publishes deletions.
    pub deletes: bool,
    /// The table's replica identity: `default`, `nothing`, `full` or `index`.
    pub replica_identity: String,
}

/// A server that replicates from this one. The server shows all but the name to members of `pg_monitor` only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// `application_name`.
    pub name: Option<String>,
    /// `streaming`, `catchup` and others.
    pub state: Option<String>,
    /// `async`, `sync`, `quorum` or `potential`.
    pub sync_state: Option<String>,
    /// Bytes of WAL that it has not replayed.
    pub lag_bytes: Option<i64>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicationSlot {
    /// Its name.
    pub name: String,
    /// Whether a client uses it.
    pub active: bool,
    /// Bytes of WAL that it keeps.
    pub retained_bytes: Option<i64>,
}

const LOOKING: &str = "cannot inspect what surrounds the device table";

impl Preflight {
    /// Looks at the surroundings of a load whose staging table, an SQL name, is filled.
    pub(super) fn of(client: &mut Client, options: LoadOptions<'_>, table: &DeviceTable, stage: &str) -> Result<Self> {
        let LoadOptions { plan, config, target, .. } = options;
        let tree = tree(&table.name);
        let mut rows = |sql: &str| client.query(sql, &[]).map_err(failed(LOOKING));
        let triggers = rows(&TRIGGERS.replace("$TREE", &tree))?.iter().map(TableTrigger::of).collect();
        let rules = rows(&RULES.replace("$TREE", &tree))?.iter().map(TableRule::of).collect();
        let kinds = &rows(&KINDS.replace("$TREE", &tree))?[0];
        let count = |place: usize| u64::try_from(kinds.get::<_, i64>(place)).unwrap_or_default();
        let (partitions, children, row_security) = (count(0), count(1), kinds.get(2));
        let bytes_per_row: Option<f64> = kinds.get(3);
        let replicas = rows(REPLICAS)?.iter().map(Replica::of).collect();
        let slots = rows(SLOTS)?.iter().map(ReplicationSlot::of).collect();
        let data = rows(DATA)?.first().map(|row| row.get::<_, String>(0));
        let publications = publications(client, config, &tree)?;
        Ok(Self {
            triggers,
            rules,
            foreign_keys: foreign_keys::referencing(client, table, stage)?,
            partitions,
            children,
            publications,
            replicas,
            slots,
            row_security,
            archive_bytes: bytes_per_row.map(|bytes| estimate(bytes, plan.planned)),
            free_bytes: data.filter(|_| target.is_local()).and_then(|path| free_bytes(&path)),
            estimated_seconds: None,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a size"
)]
fn estimate(bytes_per_row: f64, rows: u64) -> u64 {
    (bytes_per_row * rows as f64) as u64
}

/// Bytes that the file system of a path has free for users.
fn free_bytes(path: &str) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Bits of `tgtype`: PostgreSQL, `catalog/pg_trigger.h`.
const TRIGGERS: &str = "SELECT t.tgrelid::regclass::text, quote_ident(t.tgname), \
     CASE WHEN t.tgtype & 2 <> 0 THEN 'before ' WHEN t.tgtype & 64 <> 0 THEN 'instead of ' ELSE 'after ' END || \
     concat_ws(' or ', CASE WHEN t.tgtype & 4 <> 0 THEN 'insert' END, CASE WHEN t.tgtype & 8 <> 0 THEN 'delete' END, \
     CASE WHEN t.tgtype & 16 <> 0 THEN 'update' END, CASE WHEN t.tgtype & 32 <> 0 THEN 'truncate' END), \
     t.tgfoid::regproc::text, t.tgenabled IN ('O', 'A'), \
     EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE s LIKE 'search_path=%') \
     FROM ($TREE) AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid JOIN pg_proc AS p ON p.oid = t.tgfoid \
     WHERE NOT t.tgisinternal ORDER BY 1, 2";

/// `ev_type`: PostgreSQL, `pg_rewrite`.
const RULES: &str = "SELECT w.ev_class::regclass::text, quote_ident(w.rulename), \
     (ARRAY['select', 'update', 'insert', 'delete'])[w.ev_type::text::integer] \
     FROM ($TREE) AS o JOIN pg_rewrite AS w ON w.ev_class = o.oid WHERE w.rulename <> '_RETURN' ORDER BY 1, 2";

/// Partitions, other children, whether row-level security is enabled, and bytes of a row.
const KINDS: &str = "SELECT count(*) FILTER (WHERE c.relispartition), \
     count(*) FILTER (WHERE NOT c.relispartition) - 1, bool_or(c.relrowsecurity), \
     (sum(pg_table_size(c.oid)) FILTER (WHERE c.reltuples > 0) / nullif(sum(c.reltuples) FILTER (WHERE c.reltuples > 0), 0))::float8 \
     FROM ($TREE) AS o JOIN pg_class AS c ON c.oid = o.oid";

const REPLICAS: &str = "SELECT application_name, state, sync_state, \
     pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint FROM pg_stat_replication ORDER BY 1";

const SLOTS: &str = "SELECT slot_name::text, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint \
     FROM pg_replication_slots ORDER BY 1";

/// Shown to superusers and members of `pg_read_all_settings`; no row for others.
const DATA: &str = "SELECT setting FROM pg_settings WHERE name = 'data_directory' AND setting IS NOT NULL";

fn publications(client: &mut Client, config: &Config, tree: &str) -> Result<Vec<TablePublication>> {
    let sql = format!(
        "SELECT DISTINCT quote_ident(p.pubname), c.oid::regclass::text, p.pubdelete, \
         CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END \
         FROM pg_publication_tables AS t JOIN pg_publication AS p ON p.pubname = t.pubname \
         JOIN pg_namespace AS n ON n.nspname = t.schemaname \
         JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.tablename \
         WHERE c.oid IN ({tree}) OR n.nspname = $1::text AND c.relname = $2::text ORDER BY 1, 2"
    );
    let rows = client.query(&sql, &[&config.load.schema, &config.load.removed]).map_err(failed(LOOKING))?;
    let publication = |row: &Row| TablePublication {
        name: row.get(0),
        table: row.get(1),
        deletes: row.get(2),
        replica_identity: row.get(3),
    };
    Ok(rows.iter().map(publication).collect())
}

impl TableTrigger {
    fn of(row: &Row) -> Self {
        Self {
            table: row.get(0),
            name: row.get(1),
            fires: row.get(2),
            function: row.get(3),
            enabled: row.get(4),
            own_search_path: row.get(5),
        }
    }
}

impl TableRule {
    fn of(row: &Row) -> Self {
        Self { table: row.get(0), name: row.get(1), event: row.get(2) }
    }
}

impl Replica {
    fn of(row: &Row) -> Self {
        Self { name: row.get(0), state: row.get(1), sync_state: row.get(2), lag_bytes: row.get(3) }
    }
}

impl ReplicationSlot {
    fn of(row: &Row) -> Self {
        Self { name: row.get(0), active: row.get(1), retained_bytes: row.get(2) }
    }
}
