//! Puts removed rows back into the device table: the statements of an undo, which a load tries out before it commits.
//!
//! Every statement finds its rows by the archive's key and the device table's index, row by row, whatever the statistics of
//! the server say: `OFFSET 0` keeps a subquery from becoming a join (PostgreSQL, `convert_EXISTS_sublink_to_join`). The
//! archive of a fresh load has no statistics, and a join was quadratic in the batch.
//!
//! A restored row is read again and compared with the archive, byte by byte (PostgreSQL, Composite Type Comparison), so that
//! a trigger or a rule that changes it, or keeps it out, is noticed in the same transaction.

use std::ops::Range;

use postgres::types::ToSql;
use postgres::{Client, Statement, Transaction};
use serde::Serialize;

use super::config::Config;
use super::fault::{NOT_OF_A_ROW, failed, inventory};
use super::guarded_delete::LoadTables;
use super::table::{DeviceTable, quoted, tree};
use super::triggers::{TriggerEvent, acting_on};
use crate::error::{Error, Result};
use crate::estate::Column;

/// Rows and alerts of a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RestoredRange {
    /// Rows that were put back.
    pub(super) restored: u64,
    /// Rows whose device had come back before: left as they are.
    pub(super) come_back: u64,
    /// Alerts that were withdrawn.
    pub(super) withdrawn: u64,
    /// Alerts of restored rows that had been sent.
    pub(super) already_sent: u64,
}

/// A row that the database does not take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreFailure {
    /// The Device ID.
    pub device_id: String,
    /// SQLSTATE and message, or what differs from the archive; at most 200 characters.
    pub reason: String,
    /// Its place in the delete manifest.
    #[serde(skip)]
    pub(super) ord: i64,
}

/// How an attempt to restore a range ended.
#[derive(Debug)]
pub(super) enum RestoreEnd {
    /// Every row is as it was archived, or its device had come back.
    Done(RestoredRange),
    /// Locks of other sessions.
    Locked(postgres::Error),
    /// A row of the range cannot be restored.
    Refused(RestoreRefusal),
    /// No row can be restored, for a reason that is not of a row: SQLSTATE and message.
    Impossible(String),
}

/// Why a row of a range cannot be restored.
#[derive(Debug)]
pub(super) struct RestoreRefusal {
    /// SQLSTATE and message, or what differs; at most 200 characters.
    pub(super) reason: String,
    /// Whether every row of the range, of several, was left out or changed, or every alert left in place.
    pub(super) all: bool,
}

impl RestoreRefusal {
    fn new(reason: &str, all: bool) -> Self {
        Self { reason: reason.chars().take(200).collect(), all }
    }
}

/// The error of an undo, or of a load that tries one out, where no row can be restored.
pub(super) fn impossible(what: &str, reason: &str) -> Error {
    Error::Inventory {
        what: format!("{what}: {reason}"),
        remedy: "remove the cause first; where a trigger sets a column, name it under trigger_columns of [load]".into(),
    }
}

/// The prepared statements.
#[derive(Debug)]
pub(super) struct Restore {
    mark: Statement,
    insert: Statement,
    compare: Statement,
    /// For a range of which every row was restored now: no row needs to be looked up.
    all_alerts: AlertStatements,
    /// For other ranges.
    some_alerts: AlertStatements,
    /// Counts the rows of a range that differ, for each of `columns`.
    differing: Statement,
    /// Names of the compared columns, as they are shown.
    columns: Vec<String>,
    table: String,
    names: LoadTables,
    load_id: i32,
}

/// Statements about the alerts of restored rows.
#[derive(Debug)]
struct AlertStatements {
    /// Deletes those that were not sent.
    withdraw: Statement,
    /// Counts those that were sent, and those that should be gone.
    left: Statement,
}

const PREPARING: &str = "cannot prepare the undo";

/// The rows of a range that this transaction has restored. `restored_at` is the time at which the transaction began.
const RESTORED: &str = "r.load_id = $1 AND r.load_ord >= $2 AND r.load_ord < $3 AND r.restored_at = now()";

impl Restore {
    /// Compares the columns of table and archive, and prepares the statements.
    ///
    /// # Errors
    /// An archive with values that the table has no column for.
    pub(super) fn prepare(client: &mut Client, config: &Config, table: &DeviceTable, load_id: i32) -> Result<Self> {
        let names = LoadTables::of(config);
        let columns = ArchivedColumn::of_both(client, config, table, load_id)?;
        let text = RestoreText::new(table, &names, &columns, &config.load.trigger_columns)?;
        let mut prepare = |sql: &str| client.prepare(sql).map_err(failed(PREPARING));
        Ok(Self {
            mark: prepare(&text.mark())?,
            insert: prepare(&text.insert())?,
            compare: prepare(&text.compare())?,
            all_alerts: AlertStatements {
                withdraw: prepare(&text.withdraw(""))?,
                left: prepare(&text.alerts_left(""))?,
            },
            some_alerts: AlertStatements {
                withdraw: prepare(&text.withdraw(&text.of_restored()))?,
                left: prepare(&text.alerts_left(&text.of_restored()))?,
            },
            differing: prepare(&text.differing())?,
            columns: text.compared.iter().map(|column| column.name.clone()).collect(),
            table: table.name.clone(),
            names: names.clone(),
            load_id,
        })
    }

    /// Restores a range and compares it with the archive. Unless it returns [`RestoreEnd::Done`], the transaction must not be
    /// committed. [`end_of`] classifies its errors.
    pub(super) fn restore(
        &self,
        work: &mut Transaction<'_>,
        range: &Range<i64>,
    ) -> Result<RestoreEnd, postgres::Error> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.load_id, &range.start, &range.end];
        work.execute(&self.mark, &parameters)?;
        work.execute(&self.insert, &parameters)?;
        // Deferred triggers and constraints act now, so that the comparison includes what they do.
        work.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?;
        let row = work.query_one(&self.compare, &parameters)?;
        let [restored, come_back, missing, changed, rows] = std::array::from_fn(|place| row.get::<_, i64>(place));
        if missing > 0 || changed > 0 {
            let all = missing + changed == restored.max(missing) && missing + changed > 1;
            let reason = self.mismatch(work, range, missing > 0)?;
            return Ok(RestoreEnd::Refused(RestoreRefusal::new(&reason, all)));
        }
        let alerts = if restored == rows { &self.all_alerts } else { &self.some_alerts };
        let withdrawn = work.execute(&alerts.withdraw, &parameters)?;
        let row = work.query_one(&alerts.left, &parameters)?;
        let (already_sent, left): (i64, i64) = (row.get(0), row.get(1));
        if left > 0 {
            let by = acting(work, &[(&self.names.outbox, TriggerEvent::Delete)])?;
            let reason = format!("the alert was not withdrawn: {by}");
            return Ok(RestoreEnd::Refused(RestoreRefusal::new(&reason, withdrawn == 0 && left > 1)));
        }
        let count = |number| u64::try_from(number).unwrap_or_default();
        Ok(RestoreEnd::Done(RestoredRange {
            restored: count(restored),
            come_back: count(come_back),
            withdrawn,
            already_sent: count(already_sent),
        }))
    }

    /// Names what keeps rows out of the table, or changes them.
    fn mismatch(
        &self,
        work: &mut Transaction<'_>,
        range: &Range<i64>,
        missing: bool,
    ) -> Result<String, postgres::Error> {
        let by = acting(work, &[(&self.table, TriggerEvent::Insert), (&self.names.removed, TriggerEvent::Update)])?;
        if missing {
            return Ok(format!("the row is not in {} afterwards: {by}", self.table));
        }
        let row = work.query_one(&self.differing, &[&self.load_id, &range.start, &range.end])?;
        let differ = self.columns.iter().enumerate().filter(|(place, _)| row.get::<_, i64>(*place) > 0);
        let differ = differ.map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Ok(format!("{differ} is not what was archived: {by}"))
    }
}

/// The triggers and rules that act on events of tables: "trigger a of public.device".
fn acting(work: &mut Transaction<'_>, events: &[(&str, TriggerEvent)]) -> Result<String, postgres::Error> {
    let mut found = Vec::new();
    for (table, event) in events {
        found.extend(acting_on(work, table, *event)?.map(|by| format!("{by} of {table}")));
    }
    Ok(if found.is_empty() { "no trigger or rule".into() } else { found.join(", ") })
}

/// How an attempt ended that failed with `error`, where something can be done about it; otherwise the error.
pub(super) fn end_of(error: postgres::Error) -> Result<RestoreEnd> {
    let Some(server_error) = error.as_db_error() else { return Err(inventory(UNDOING, &error)) };
    let code = server_error.code().code();
    let reason = format!("{code} {}", server_error.message());
    let refused = RestoreEnd::Refused(RestoreRefusal::new(&reason, false));
    if server_error.routine() == Some("exec_stmt_raise") {
        return Ok(refused);
    }
    match code {
        "55P03" | "40P01" | "40001" => Ok(RestoreEnd::Locked(error)),
        "57014" => Err(Error::Canceled(format!("{UNDOING}: {} ({code})", server_error.message()))),
        // Feature not supported, names, prerequisite state: of the tables, not of a row.
        _ if ["0A", "42", "55"].iter().any(|class| code.starts_with(class)) => Ok(RestoreEnd::Impossible(reason)),
        _ if NOT_OF_A_ROW.iter().any(|class| code.starts_with(class)) => Err(inventory(UNDOING, &error)),
        _ => Ok(refused),
    }
}

/// Whether a row of the table may be one that could not be inserted now: where a trigger or a rule acts on an INSERT, or a
/// constraint was added that is not validated for the rows that were there. Otherwise what holds for some rows holds for all.
pub(super) fn depends_on_the_row(client: &mut Client, table: &DeviceTable) -> Result<bool> {
    let sql = format!(
        "WITH tables AS ({tree}) SELECT EXISTS (SELECT FROM tables AS o JOIN pg_constraint AS c ON c.conrelid = o.oid \
         WHERE NOT c.convalidated) OR EXISTS (SELECT FROM tables AS o JOIN pg_attribute AS a ON a.attrelid = o.oid \
         JOIN pg_constraint AS c ON c.contypid = a.atttypid WHERE a.attnum > 0 AND NOT c.convalidated)",
        tree = tree(&table.name),
    );
    let unvalidated: bool = client.query_one(&sql, &[]).map_err(failed(PREPARING))?.get(0);
    let acting = acting_on(client, &table.name, TriggerEvent::Insert).map_err(failed(PREPARING))?;
    Ok(unvalidated || acting.is_some())
}

/// What messages about an undo begin with.
pub(super) const UNDOING: &str = "cannot undo the load";

/// A column of the device table that the archive has.
#[derive(Debug)]
struct ArchivedColumn {
    /// As it is shown.
    name: String,
    quoted: String,
    /// Its type in the device table, and in the archive.
    type_name: String,
    archived_type: String,
    /// Its default, where it may not be null: for rows that were archived before the column was there.
    default: Option<String>,
    required: bool,
}

impl ArchivedColumn {
    /// The columns that table and archive share. A column that only the table has gets its default.
    fn of_both(client: &mut Client, config: &Config, table: &DeviceTable, load_id: i32) -> Result<Vec<Self>> {
        const SHARED: &str = "SELECT d.attname::text, format_type(d.atttypid, d.atttypmod), \
             format_type(r.atttypid, r.atttypmod), d.attnotnull, \
             CASE WHEN d.attnotnull THEN pg_get_expr(f.adbin, f.adrelid) END \
             FROM pg_attribute d JOIN pg_attribute r ON r.attname = d.attname AND r.attrelid = $2::text::regclass \
             AND r.attnum > 0 AND NOT r.attisdropped \
             LEFT JOIN pg_attrdef f ON f.adrelid = d.attrelid AND f.adnum = d.attnum \
             WHERE d.attrelid = $1 AND d.attnum > 0 AND NOT d.attisdropped AND d.attgenerated = '' ORDER BY d.attnum";
        let removed = LoadTables::of(config).removed;
        no_orphans(client, table, &removed, load_id)?;
        let rows = client.query(SHARED, &[&table.oid, &removed]).map_err(failed(PREPARING))?;
        let column = |row: &postgres::Row| {
            let name: String = row.get(0);
            Self {
                quoted: quoted(&name),
                name,
                type_name: row.get(1),
                archived_type: row.get(2),
                required: row.get(3),
                default: row.get(4),
            }
        };
        Ok(rows.iter().map(column).collect())
    }

    /// What is inserted, from the archive's row `r`.
    fn restored(&self) -> String {
        let value = format!("r.{}::{}", self.quoted, self.type_name);
        match &self.default {
            Some(default) => format!("coalesce({value}, {default})"),
            None => value,
        }
    }

    /// The restored value of the table's row `d`, in the archive's type, to be compared with [`archived`](Self::archived).
    fn found(&self) -> String {
        self.unless_younger(&format!("d.{}::{}", self.quoted, self.archived_type))
    }

    /// The value in the archive's row `r`.
    fn archived(&self) -> String {
        self.unless_younger(&format!("r.{}", self.quoted))
    }

    /// Where the archive has null and the table must not, the column is younger than the row: there is nothing to compare.
    fn unless_younger(&self, value: &str) -> String {
        if self.required { format!("CASE WHEN r.{} IS NOT NULL THEN {value} END", self.quoted) } else { value.into() }
    }
}

/// Refuses where the archive has values of the load in a column that the table does not have: it may have another name
/// there by now.
fn no_orphans(client: &mut Client, table: &DeviceTable, removed: &str, load_id: i32) -> Result<()> {
    const ONLY_ARCHIVED: &str = "SELECT r.attname::text FROM pg_attribute r WHERE r.attrelid = $2::text::regclass \
         AND r.attnum > 0 AND NOT r.attisdropped \
         AND r.attname <> ALL('{load_id,load_ord,removed_at,restored_at}'::name[]) \
         AND NOT EXISTS (SELECT FROM pg_attribute d WHERE d.attrelid = $1 AND d.attname = r.attname \
         AND d.attnum > 0 AND NOT d.attisdropped) ORDER BY r.attnum";
    for row in client.query(ONLY_ARCHIVED, &[&table.oid, &removed]).map_err(failed(PREPARING))? {
        let name: String = row.get(0);
        let count = format!("SELECT count({}) FROM {removed} WHERE load_id = $1", quoted(&name));
        let values: i64 = client.query_one(&count, &[&load_id]).map_err(failed(PREPARING))?.get(0);
        if values > 0 {
            return Err(Error::Inventory {
                what: format!(
                    "{removed} has {values} values of `{name}`, and table {} has no such column",
                    table.shown
                ),
                remedy:
                    "where the column has another name by now, rename it in the archive too; where its values are no \
                         longer wanted, drop it there"
                        .into(),
            });
        }
    }
    Ok(())
}

/// The statements as text. Of each, `$1` is the load, `$2` and `$3` the range.
struct RestoreText<'a> {
    inventory: &'a str,
    names: &'a LoadTables,
    columns: &'a [ArchivedColumn],
    /// Those that must be as archived.
    compared: Vec<&'a ArchivedColumn>,
    /// The condition that a row `d` of the table is the device of the archive's row `r`.
    same_device: String,
}

impl<'a> RestoreText<'a> {
    fn new(
        table: &'a DeviceTable,
        names: &'a LoadTables,
        columns: &'a [ArchivedColumn],
        left_out: &[String],
    ) -> Result<Self> {
        let id = table.column(Column::DeviceId)?;
        Ok(Self {
            inventory: &table.name,
            names,
            columns,
            compared: columns.iter().filter(|column| !left_out.contains(&column.name)).collect(),
            same_device: format!("{} {} {}", id.of("d"), table.equals, id.of("r")),
        })
    }

    /// Marks the archived rows of a range whose device is not in the table.
    fn mark(&self) -> String {
        format!(
            "UPDATE {removed} AS r SET restored_at = now() \
             WHERE r.load_id = $1 AND r.load_ord >= $2 AND r.load_ord < $3 AND r.restored_at IS NULL \
             AND NOT EXISTS (SELECT FROM {inventory} AS d WHERE {same_device} OFFSET 0)",
            removed = self.names.removed,
            inventory = self.inventory,
            same_device = self.same_device,
        )
    }

    /// Inserts the marked rows. It is a statement of its own: a table with rules takes no INSERT that begins with WITH.
    fn insert(&self) -> String {
        let Self { inventory, columns, .. } = self;
        let names = columns.iter().map(|column| column.quoted.as_str()).collect::<Vec<_>>().join(", ");
        let values = columns.iter().map(ArchivedColumn::restored).collect::<Vec<_>>().join(", ");
        format!(
            "INSERT INTO {inventory} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {removed} AS r WHERE {RESTORED}",
            removed = self.names.removed,
        )
    }

    /// Rows that this transaction restored, rows that are not restored, rows of both kinds whose device is not in the table,
    /// restored rows that differ from the archive, and all rows. A rule may have made nothing of the whole INSERT.
    fn compare(&self) -> String {
        let list = |value: &dyn Fn(&ArchivedColumn) -> String| -> String {
            self.compared.iter().map(|column| value(column)).collect::<Vec<_>>().join(", ")
        };
        format!(
            "SELECT count(*) FILTER (WHERE r.restored_at = now()), count(*) FILTER (WHERE r.restored_at IS NULL), \
             count(*) FILTER (WHERE (r.restored_at IS NULL OR r.restored_at = now()) AND d.there IS NULL), \
             count(*) FILTER (WHERE r.restored_at = now() AND d.there AND d.differs), count(*) \
             FROM {removed} AS r LEFT JOIN LATERAL (SELECT true AS there, \
             ROW({found})::record *<> ROW({archived})::record AS differs \
             FROM {inventory} AS d WHERE {same_device} OFFSET 0) AS d ON r.restored_at IS NULL OR r.restored_at = now() \
             WHERE r.load_id = $1 AND r.load_ord >= $2 AND r.load_ord < $3",
            removed = self.names.removed,
            inventory = self.inventory,
            same_device = self.same_device,
            found = list(&ArchivedColumn::found),
            archived = list(&ArchivedColumn::archived),
        )
    }

    fn differing(&self) -> String {
        let differs = |column: &&ArchivedColumn| {
            format!("count(*) FILTER (WHERE ROW({})::record *<> ROW({})::record)", column.found(), column.archived())
        };
        format!(
            "SELECT {} FROM {} AS r CROSS JOIN LATERAL (SELECT d.* FROM {} AS d WHERE {} OFFSET 0) AS d WHERE {RESTORED}",
            self.compared.iter().map(differs).collect::<Vec<_>>().join(", "),
            self.names.removed,
            self.inventory,
            self.same_device,
        )
    }

    /// The condition that this transaction has restored the row of an alert `o`.
    fn of_restored(&self) -> String {
        format!(
            " AND EXISTS (SELECT FROM {} AS r WHERE r.load_id = o.load_id AND r.load_ord = o.load_ord \
             AND r.restored_at = now() OFFSET 0)",
            self.names.removed,
        )
    }

    /// Deletes alerts of a range that were not sent. `which` is empty, or a condition that begins with AND.
    fn withdraw(&self, which: &str) -> String {
        format!("DELETE FROM {} AS o WHERE {ALERTS_OF_RANGE} AND o.sent_at IS NULL{which}", self.names.outbox)
    }

    /// Counts the alerts of a range that were sent, and those that were not.
    fn alerts_left(&self, which: &str) -> String {
        format!(
            "SELECT count(*) FILTER (WHERE o.sent_at IS NOT NULL), count(*) FILTER (WHERE o.sent_at IS NULL) \
             FROM {} AS o WHERE {ALERTS_OF_RANGE}{which}",
            self.names.outbox,
        )
    }
}

const ALERTS_OF_RANGE: &str = "o.load_id = $1 AND o.load_ord >= $2 AND o.load_ord < $3";
