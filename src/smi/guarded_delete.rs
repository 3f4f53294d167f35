//! The ONE guarded delete. [`load`](fn@super::load) runs these statements, and the script of
//! [`crate::handover`] is made of them; nothing else deletes a device.
//!
//! A planned device is deleted only if its row in the inventory still is what the run judged:
//!
//! - its status is one of the policy's candidate statuses (which one does not matter: thresholds depend on the type only);
//! - `status_since` is the same, to the microsecond;
//! - its device type is the same, in any spelling that the policy knows;
//! - its role, or without a role its type, asks for an alert where one is planned, and for none where none is;
//! - its Notifying Party is the same, in any spelling that a sweep takes for the same.
//!
//! A Device ID is looked up by index in the spelling of the staging table. One that is not found there is looked up in the
//! other spellings; the staging table then takes the spelling of the inventory.
//!
//! PostgreSQL evaluates the guard on the row version that it locks, not on an earlier one (read committed isolation). In the
//! same transaction the row is archived, its alert is written, each planned device that was not deleted is recorded with what
//! was found instead, and `done` advances. A transaction that finds `done` elsewhere than expected changes nothing.
//!
//! Two things vary: the staging table, which holds the planned devices, and the parameters, which are bound or literal.

use super::config::Config;
use super::spelled::{canonical, digits, is_eui, raises_alert, same_party, spellings};
use super::table::{BoundColumn, DeviceTable, StoredForm, as_text, qualified, tree};
pub(crate) use super::table::{KEY, literal, literals};
use crate::error::Result;
use crate::estate::{Column, DeviceType, SmiStatus};
use crate::policy::Policy;

/// How the statements treat rows that another session has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockedRows {
    /// Wait, as long as the session's lock timeout allows.
    Wait,
    /// Leave them in place; they are recorded as `locked`.
    Skip,
}

/// The tables that a load keeps beside the inventory, as SQL names.
#[derive(Debug, Clone)]
pub(crate) struct LoadTables {
    /// One row for each run.
    pub(crate) loads: String,
    /// One row for each planned device that was not deleted.
    pub(crate) kept: String,
    /// Alerts to send.
    pub(crate) outbox: String,
    /// Deleted rows, whole.
    pub(crate) removed: String,
}

impl LoadTables {
    /// Qualified with the configured schema.
    pub(super) fn of(config: &Config) -> Self {
        let name = |table: &str| qualified(&config.load.schema, table);
        Self {
            loads: name("sweep_load"),
            kept: name("sweep_load_kept"),
            outbox: name(&config.load.outbox),
            removed: name(&config.load.removed),
        }
    }

    /// The default names, in a schema that is given as SQL.
    pub(crate) fn in_schema(schema: &str) -> Self {
        let name = |table: &str| format!("{schema}.{table}");
        Self {
            loads: name("sweep_load"),
            kept: name("sweep_load_kept"),
            outbox: name("alert_outbox"),
            removed: name("device_removed"),
        }
    }
}

/// The device table as SQL: expressions over one row of it, whose alias is `d`.
#[derive(Debug, Clone)]
pub(crate) struct DeviceSql {
    table: String,
    id: String,
    id_form: StoredForm,
    /// The operator that compares Device IDs by index.
    equals: String,
    /// The type under the Device ID.
    key_type: String,
    /// Whether the database is encoded in UTF-8.
    utf8: bool,
    status: String,
    since: String,
    device_type: String,
    party: String,
    /// The role, where the table has it.
    role: Option<String>,
    archive: Archive,
}

impl DeviceSql {
    /// As the catalogue of the server describes the table.
    ///
    /// # Errors
    /// Where a column is missing that a load needs.
    pub(super) fn of(table: &DeviceTable) -> Result<Self> {
        let columns =
            [Column::DeviceId, Column::SmiStatus, Column::StatusSince, Column::DeviceType, Column::NotifyingParty]
                .map(|column| table.column(column));
        let [id, status, since, device_type, party] = columns;
        let sql = Self::new(&table.name, [id?, status?, since?, device_type?, party?]);
        Ok(Self {
            archive: Archive::of(&table.writable),
            role: table.column(Column::NotifyingRole).ok().map(|role| role.text_of("d")),
            equals: table.equals.clone(),
            key_type: table.key_type.clone(),
            utf8: table.utf8,
            ..sql
        })
    }

    /// A table `device` whose columns are called as the policy maps them, and whose Device IDs are text. What else depends on
    /// the database is between two pairs of `@`, to be filled in when the statements run: `schema`, `equals`, `key_type`,
    /// `role`, and of the archived columns `columns`, `fields` and `aliases`.
    pub(crate) fn at_run_time(policy: &Policy) -> Self {
        let columns =
            [Column::DeviceId, Column::SmiStatus, Column::StatusSince, Column::DeviceType, Column::NotifyingParty];
        let [id, status, since, device_type, party] = columns.map(|column| {
            let form = if column == Column::StatusSince { StoredForm::Time } else { StoredForm::Text };
            BoundColumn::new(column, form, policy.spellings.name_of(column).unwrap_or(column.name()))
        });
        let sql = Self::new("@@schema@@.device", [&id, &status, &since, &device_type, &party]);
        Self {
            equals: "@@equals@@".into(),
            key_type: "@@key_type@@".into(),
            role: Some("@@role@@".into()),
            // Only what every encoding has.
            utf8: false,
            archive: Archive {
                names: "@@aliases@@".into(),
                values: "@@fields@@".into(),
                columns: "@@columns@@".into(),
            },
            ..sql
        }
    }

    fn new(table: &str, columns: [&BoundColumn; 5]) -> Self {
        let [id, status, since, device_type, party] = columns;
        Self {
            table: table.into(),
            id: id.of("d"),
            id_form: id.form,
            equals: "=".into(),
            key_type: "text".into(),
            utf8: true,
            status: status.text_of("d"),
            since: format!("{}::timestamptz", since.of("d")),
            device_type: device_type.text_of("d"),
            party: party.text_of("d"),
            role: None,
            archive: Archive::of(&[]),
        }
    }

    /// `CREATE ... AS` for a staging table: `ord` is the place in the delete manifest, `key` has the very type of the
    /// inventory's Device ID, so that its index serves. `create` is the statement up to the keyword `AS`.
    pub(crate) fn create_stage(&self, create: &str) -> String {
        format!(
            "{create} AS\nSELECT 0::bigint AS ord, {id} AS key, ''::text AS device_type, now() AS status_since,\n  \
             current_date AS due_on, ''::text AS party, false AS alert\nFROM {table} AS d WITH NO DATA",
            id = self.id,
            table = self.table,
        )
    }
}

/// How the inventory spells what the policy means.
#[derive(Debug)]
pub(crate) struct GuardSpellings {
    /// Every spelling of a candidate status.
    pub(crate) candidates: Vec<String>,
    /// Every spelling of a type.
    pub(crate) types: Vec<String>,
    /// The name of the type that [`types`](Self::types) has in the same place.
    pub(crate) type_names: Vec<String>,
    /// Types whose deletion raises no alert where the row has no role.
    pub(crate) silent: Vec<String>,
}

impl GuardSpellings {
    pub(crate) fn of(policy: &Policy) -> Self {
        let statuses = SmiStatus::ALL.iter().map(|status| status.name().to_owned());
        let mut candidates: Vec<String> = statuses.chain(policy.spellings.statuses.keys().cloned()).collect();
        candidates.retain(|word| policy.candidate_statuses.contains_code(policy.status_code(word.as_bytes())));
        let names = policy.types.iter().map(|(_, name)| name.to_owned());
        let mut types: Vec<String> = names.chain(policy.spellings.types.keys().cloned()).collect();
        types.retain(|word| policy.type_code(word.as_bytes()) < DeviceType::UNKNOWN);
        for words in [&mut candidates, &mut types] {
            words.sort();
            words.dedup();
        }
        let type_names =
            types.iter().map(|word| policy.types.name(policy.type_code(word.as_bytes())).to_owned()).collect();
        let silent = policy.types.names_of(policy.alerts.silent_types).map(str::to_owned).collect();
        Self { candidates, types, type_names, silent }
    }
}

/// The parameters of the statements, each an SQL expression.
#[derive(Debug, Clone)]
pub(crate) struct DeleteParameters {
    /// The first place of the manifest to try.
    pub(crate) from: String,
    /// The place after the last.
    pub(crate) to: String,
    /// [`GuardSpellings`], each an array of text.
    pub(crate) candidates: String,
    pub(crate) types: String,
    pub(crate) type_names: String,
    pub(crate) silent: String,
    /// The load, as `sweep_load` numbers it.
    pub(crate) load_id: String,
    /// The policy's alert code.
    pub(crate) alert_code: String,
    /// What `done` must be before, and what it is afterwards.
    pub(crate) done_before: String,
    pub(crate) done_after: String,
}

impl DeleteParameters {
    /// `$1` to `$10`, in the order of the fields. The statement about kept devices takes the first seven.
    pub(crate) fn bound() -> Self {
        Self {
            from: "$1::bigint".into(),
            to: "$2::bigint".into(),
            candidates: "$3::text[]".into(),
            types: "$4::text[]".into(),
            type_names: "$5::text[]".into(),
            silent: "$6::text[]".into(),
            load_id: "$7::integer".into(),
            alert_code: "$8::text".into(),
            done_before: "$9::bigint".into(),
            done_after: "$10::bigint".into(),
        }
    }
}

/// The statements, for one inventory and one staging table.
#[derive(Debug)]
pub(crate) struct GuardedDelete<'a> {
    pub(crate) devices: &'a DeviceSql,
    pub(crate) tables: &'a LoadTables,
    /// The staging table, as an SQL name.
    pub(crate) stage: &'a str,
}

impl GuardedDelete<'_> {
    /// The conditions of the guard, each with the reason that is recorded where it does not hold.
    fn conditions(&self, parameters: &DeleteParameters) -> [(&'static str, String); 5] {
        let DeviceSql { status, since, device_type, party, role, utf8, .. } = self.devices;
        let DeleteParameters { candidates, types, type_names, silent, .. } = parameters;
        // Every parameter is used, so that the server knows its type.
        let role = role.as_ref().map_or_else(
            || format!("{silent} IS NOT NULL"),
            |role| format!("({}) = s.alert", raises_alert(role, "s.device_type", silent)),
        );
        [
            ("smi_status", format!("{status} = ANY({candidates})")),
            ("status_since", format!("{since} = s.status_since")),
            ("device_type", format!("({type_names})[array_position({types}, {device_type})] = s.device_type")),
            ("notifying_role", role),
            ("notifying_party", same_party(party, "s.party", *utf8)),
        ]
    }

    /// The condition that a row of the inventory has the key of a row `s` of the staging table.
    fn same_device(&self) -> String {
        format!("{} {} s.key", self.devices.id, self.devices.equals)
    }

    /// Deletes what is still due of a range, archives it, writes its alerts and advances `done`, in one statement. It ends
    /// as an UPDATE of `sweep_load`, which updates no row where `done` is elsewhere: the caller then rolls back.
    /// [`counted`](Self::counted) may follow.
    pub(crate) fn delete(&self, locked: LockedRows, parameters: &DeleteParameters) -> String {
        let Self { devices, tables, stage } = self;
        let table = &devices.table;
        let DeleteParameters { from, to, load_id, alert_code, done_before, done_after, .. } = parameters;
        let guard = self.conditions(parameters).map(|(_, condition)| format!("\n    AND {condition}")).concat();
        let same_device = self.same_device();
        let due = format!("s.ord >= {from} AND s.ord < {to} AND {same_device}{guard}");
        let (free, source) = match locked {
            LockedRows::Wait => (String::new(), format!("USING {stage} AS s\n  WHERE {due}")),
            LockedRows::Skip => (
                format!(
                    "free AS (\n  SELECT s.*, d.tableoid AS part, d.ctid AS place FROM {stage} AS s JOIN {table} AS d ON true\n  \
                     WHERE {due} FOR UPDATE OF d SKIP LOCKED\n), "
                ),
                format!("USING free AS s\n  WHERE d.ctid = s.place AND d.tableoid = s.part AND {same_device}"),
            ),
        };
        let eui = match devices.id_form {
            StoredForm::Text => format!(
                "CASE WHEN s.key::text LIKE '__-%' THEN upper(s.key::text) ELSE {} END",
                canonical("s.key::text")
            ),
            form => as_text(form, "s.key"),
        };
        let Archive { names, values, columns } = &devices.archive;
        format!(
            "WITH {free}gone(ord, alert, party, device_type, status_since, due_on, eui, {names}) AS (\n  \
             DELETE FROM {table} AS d {source}\n  \
             RETURNING s.ord, s.alert, s.party, s.device_type, s.status_since, s.due_on, {eui}, {values}\n\
             ), archived AS (\n  INSERT INTO {removed} (load_id, load_ord, removed_at, {columns})\n  \
             SELECT {load_id}, ord, now(), {names} FROM gone\n\
             ), alerted AS (\n  INSERT INTO {outbox} (load_id, load_ord, alert_code, notifying_party, device_id,\n    \
             device_type, status_since, due_on)\n  \
             SELECT {load_id}, ord, {alert_code}, party, eui, device_type, status_since, due_on FROM gone WHERE alert\n)\n\
             UPDATE {loads} SET done = {done_after}, deleted = deleted + (SELECT count(*) FROM gone),\n  \
             alerts = alerts + (SELECT count(*) FROM gone WHERE alert)\n\
             WHERE load_id = {load_id} AND done = {done_before} AND state IN ('staged', 'loading')",
            removed = tables.removed,
            outbox = tables.outbox,
            loads = tables.loads,
        )
    }

    /// [`delete`](Self::delete) with the numbers that it returns: rows deleted, alerts written, and, with
    /// [`LockedRows::Skip`], rows that were due and free.
    pub(crate) fn counted(&self, locked: LockedRows, parameters: &DeleteParameters) -> String {
        let free = if locked == LockedRows::Skip { "(SELECT count(*) FROM free)" } else { "NULL::bigint" };
        format!(
            "{}\nRETURNING (SELECT count(*) FROM gone), (SELECT count(*) FROM gone WHERE alert), {free}",
            self.delete(locked, parameters)
        )
    }

    /// Counts what a transaction has written for a range: rows in the archive, alerts, kept devices, and devices that
    /// are archived and still in the inventory. Triggers and rules can change each of them. The last count needs a look at
    /// every device, and only a trigger can put one back, so that it is 0 without a look where the table has no trigger.
    pub(crate) fn written(&self, parameters: &DeleteParameters) -> String {
        let Self { devices, tables, stage } = self;
        let table = &devices.table;
        let DeleteParameters { from, to, load_id, .. } = parameters;
        let range = |alias: &str| {
            format!("{alias}.load_id = {load_id} AND {alias}.load_ord >= {from} AND {alias}.load_ord < {to}")
        };
        format!(
            "SELECT (SELECT count(*) FROM {removed} AS r WHERE {of_removed}),\n  \
             (SELECT count(*) FROM {outbox} AS o WHERE {of_outbox}),\n  \
             (SELECT count(*) FROM {kept} AS k WHERE {of_kept}),\n  \
             CASE WHEN {has_triggers}\n    \
             THEN (SELECT count(*) FROM {removed} AS r JOIN {stage} AS s ON s.ord = r.load_ord\n      \
             JOIN {table} AS d ON {same_device} WHERE {of_removed}) ELSE 0 END",
            same_device = self.same_device(),
            removed = tables.removed,
            outbox = tables.outbox,
            kept = tables.kept,
            of_removed = range("r"),
            of_outbox = range("o"),
            of_kept = range("k"),
            has_triggers = has_triggers(table),
        )
    }

    /// Looks up the devices of a range that are neither archived nor found by their keys in every spelling that an index can
    /// find, and gives the staging table the spelling of the inventory. `None` where there is one form only.
    pub(crate) fn respell(&self, parameters: &DeleteParameters) -> Option<String> {
        let Self { devices, tables, stage } = self;
        let DeviceSql { table, id, equals, key_type, .. } = devices;
        let DeleteParameters { from, to, load_id, .. } = parameters;
        (devices.id_form == StoredForm::Text).then(|| {
            format!(
                "UPDATE {stage} AS k SET key = f.id FROM (\n  SELECT s.ord, min({id}) AS id\n  \
                 FROM (SELECT s.ord, s.key FROM {stage} AS s WHERE s.ord >= {from} AND s.ord < {to}\n    \
                 AND NOT EXISTS (SELECT FROM {removed} AS r WHERE r.load_id = {load_id} AND r.load_ord = s.ord OFFSET 0)\n    \
                 AND NOT EXISTS (SELECT FROM {table} AS d WHERE {same_device} OFFSET 0) OFFSET 0) AS s\n  \
                 JOIN {table} AS d ON {id} {equals} ANY({spellings}) GROUP BY s.ord) AS f\nWHERE k.ord = f.ord",
                same_device = self.same_device(),
                removed = tables.removed,
                spellings = spellings("s.key::text", key_type),
            )
        })
    }

    /// The same for devices by their places, `$1`, in any spelling, by one pass over the inventory. It returns the places of
    /// those that were found.
    pub(crate) fn respell_by_pass(&self) -> Option<String> {
        let Self { devices, stage, .. } = self;
        let DeviceSql { table, id, .. } = devices;
        let text = format!("{id}::text");
        (devices.id_form == StoredForm::Text).then(|| {
            format!(
                "UPDATE {stage} AS k SET key = f.id FROM (\n  SELECT s.ord, min({id}) AS id FROM {stage} AS s \
                 JOIN {table} AS d ON {of_device} = {of_key}\n  \
                 WHERE s.ord = ANY($1::bigint[]) AND {is_eui} GROUP BY s.ord) AS f\n\
                 WHERE k.ord = f.ord RETURNING k.ord",
                of_device = digits(&text),
                of_key = digits("s.key::text"),
                is_eui = is_eui(&text),
            )
        })
    }

    /// Records what was found instead of each device of a range that was not deleted. It is a statement of its own, after
    /// the deletion and in its transaction: a statement sees rows as they were when it began, and so would see a row
    /// that changed while the deletion waited for it as still due.
    pub(crate) fn keep(&self, parameters: &DeleteParameters) -> String {
        let Self { devices, tables, stage } = self;
        let DeviceSql { table, status, since, device_type, party, .. } = devices;
        let DeleteParameters { from, to, load_id, .. } = parameters;
        let reasons = self
            .conditions(parameters)
            .map(|(reason, condition)| format!("\n    WHEN ({condition}) IS NOT TRUE THEN '{reason}'"))
            .concat();
        format!(
            "WITH found AS (\n  SELECT s.ord, CASE\n    \
             WHEN d.tableoid IS NULL THEN 'not found'{reasons}\n    ELSE 'locked' END AS reason,\n    \
             {device_type} AS found_type, {status} AS found_status, {since} AS found_since, {party} AS found_party\n  \
             FROM {stage} AS s LEFT JOIN {table} AS d ON {same_device}\n  \
             WHERE s.ord >= {from} AND s.ord < {to}\n    \
             AND NOT EXISTS (SELECT FROM {removed} AS r WHERE r.load_id = {load_id} AND r.load_ord = s.ord)\n)\n\
             INSERT INTO {kept} AS k (load_id, load_ord, outcome, reason, found_type, found_status, found_since, found_party)\n\
             SELECT {load_id}, ord, CASE reason WHEN 'not found' THEN 'gone' WHEN 'locked' THEN 'locked'\n  \
             ELSE 'changed' END, reason,\n  \
             found_type, found_status, found_since, found_party\nFROM found\n\
             ON CONFLICT (load_id, load_ord) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason,\n  \
             found_type = excluded.found_type, found_status = excluded.found_status,\n  \
             found_since = excluded.found_since, found_party = excluded.found_party",
            same_device = self.same_device(),
            removed = tables.removed,
            kept = tables.kept,
        )
    }
}

/// How removed rows go into their table: lists of SQL names.
#[derive(Debug, Clone)]
struct Archive {
    /// What the deleted values are called within the statement.
    names: String,
    /// The deleted values.
    values: String,
    /// The columns that they go into.
    columns: String,
}

impl Archive {
    /// For these columns, quoted.
    fn of(columns: &[String]) -> Self {
        Self {
            names: (0..columns.len()).map(|place| format!("c{place}")).collect::<Vec<_>>().join(", "),
            values: columns.iter().map(|name| format!("d.{name}")).collect::<Vec<_>>().join(", "),
            columns: columns.join(", "),
        }
    }
}

/// Whether a table, or a partition of it, has a trigger that was made by a user, as an SQL condition.
fn has_triggers(table: &str) -> String {
    format!(
        "EXISTS (SELECT FROM ({tree}) AS o JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal)",
        tree = tree(table)
    )
}
