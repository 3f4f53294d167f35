//! The ONE guarded delete. [`load`](fn@super::load) runs these statements, and the script of
//! [`crate::handover`] is made of them; nothing else deletes a device.
//!
//! A planned device is deleted only if its row in the inventory still is what the run judged:
//!
//! - its status is one of the policy's candidate statuses (which one does not matter: thresholds depend on the type only);
//! - `status_since` is the same, to the microsecond;
//! - its device type is the same, in any spelling that the policy knows;
//! - where an alert is due, the Notifying Party is the same, in either letter case.
//!
//! PostgreSQL evaluates the guard on the row version that it locks, not on an earlier one (read committed isolation). In the
//! same transaction the row is archived, its alert is written, each planned device that was not deleted is recorded with what
//! was found instead, and `done` advances. A transaction that finds `done` elsewhere than expected changes nothing.
//!
//! Two things vary: the staging table, which holds the planned devices, and the parameters, which are bound or literal.

use super::config::Config;
use super::table::{BoundColumn, DeviceTable, StoredForm, as_text, qualified, tree};
pub(crate) use super::table::{literal, literals};
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
    /// The Device ID of a row whose alias is `o`.
    other_id: String,
    id_form: StoredForm,
    /// The SQL function that gives the letter case in which Device IDs are *not* stored.
    other_case: &'static str,
    status: String,
    since: String,
    device_type: String,
    party: String,
    /// The columns to archive, quoted; `None` for the whole row by position, where the columns are not known.
    archived: Option<Vec<String>>,
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
        let sql = Self::new(&table.name, [id?, status?, since?, device_type?, party?], table.other_case());
        Ok(Self { archived: Some(table.writable.clone()), ..sql })
    }

    /// A table `device`, in a schema that is given as SQL, whose columns are called as the policy maps them. Device IDs are
    /// text in upper case. The table of removed rows must have been made from it by `load --init`.
    pub(crate) fn in_schema(schema: &str, policy: &Policy) -> Self {
        let columns =
            [Column::DeviceId, Column::SmiStatus, Column::StatusSince, Column::DeviceType, Column::NotifyingParty];
        let [id, status, since, device_type, party] = columns.map(|column| {
            let form = if column == Column::StatusSince { StoredForm::Time } else { StoredForm::Text };
            let theirs = policy.spellings.columns.iter().find(|(_, ours)| **ours == column);
            BoundColumn::new(column, form, theirs.map_or(column.name(), |(theirs, _)| theirs.as_str()))
        });
        Self::new(&format!("{schema}.device"), [&id, &status, &since, &device_type, &party], "lower")
    }

    fn new(table: &str, columns: [&BoundColumn; 5], other_case: &'static str) -> Self {
        let [id, status, since, device_type, party] = columns;
        Self {
            table: table.into(),
            id: id.of("d"),
            other_id: id.of("o"),
            id_form: id.form,
            other_case,
            status: status.text_of("d"),
            since: format!("{}::timestamptz", since.of("d")),
            device_type: device_type.text_of("d"),
            party: party.text_of("d"),
            archived: None,
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
        Self { candidates, types, type_names }
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
    /// The load, as `sweep_load` numbers it.
    pub(crate) load_id: String,
    /// The policy's alert code.
    pub(crate) alert_code: String,
    /// What `done` must be before, and what it is afterwards.
    pub(crate) done_before: String,
    pub(crate) done_after: String,
}

impl DeleteParameters {
    /// `$1` to `$9`, in the order of the fields. The statement about kept devices takes the first six.
    pub(super) fn bound() -> Self {
        Self {
            from: "$1::bigint".into(),
            to: "$2::bigint".into(),
            candidates: "$3::text[]".into(),
            types: "$4::text[]".into(),
            type_names: "$5::text[]".into(),
            load_id: "$6::integer".into(),
            alert_code: "$7::text".into(),
            done_before: "$8::bigint".into(),
            done_after: "$9::bigint".into(),
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
    fn conditions(&self, parameters: &DeleteParameters) -> [(&'static str, String); 4] {
        let DeviceSql { status, since, device_type, party, .. } = self.devices;
        let DeleteParameters { candidates, types, type_names, .. } = parameters;
        [
            ("smi_status", format!("{status} = ANY({candidates})")),
            ("status_since", format!("{since} = s.status_since")),
            ("device_type", format!("({type_names})[array_position({types}, {device_type})] = s.device_type")),
            ("notifying_party", format!("(NOT s.alert OR upper({party}) = upper(s.party))")),
        ]
    }

    /// Deletes what is still due of a range, archives it, writes its alerts and advances `done`, in one statement. It ends
    /// as an UPDATE of `sweep_load`, which updates no row where `done` is elsewhere: the caller then rolls back.
    /// [`counted`](Self::counted) may follow.
    pub(crate) fn delete(&self, locked: LockedRows, parameters: &DeleteParameters) -> String {
        let Self { devices, tables, stage } = self;
        let DeviceSql { table, id, .. } = devices;
        let DeleteParameters { from, to, load_id, alert_code, done_before, done_after, .. } = parameters;
        let guard = self.conditions(parameters).map(|(_, condition)| condition).join("\n    AND ");
        let due = format!("s.ord >= {from} AND s.ord < {to} AND {id} = s.key\n    AND {guard}");
        let (free, source) = match locked {
            LockedRows::Wait => (String::new(), format!("USING {stage} AS s\n  WHERE {due}")),
            LockedRows::Skip => (
                format!(
                    "free AS (\n  SELECT s.*, d.tableoid AS part, d.ctid AS place FROM {stage} AS s JOIN {table} AS d ON true\n  \
                     WHERE {due} FOR UPDATE OF d SKIP LOCKED\n), "
                ),
                format!("USING free AS s\n  WHERE d.ctid = s.place AND d.tableoid = s.part AND {id} = s.key"),
            ),
        };
        let eui = match devices.id_form {
            StoredForm::Text => "upper(s.key::text)".into(),
            form => as_text(form, "s.key"),
        };
        let archived = self.archive();
        format!(
            "WITH {free}gone(ord, alert, party, device_type, status_since, due_on, eui, {names}) AS (\n  \
             DELETE FROM {table} AS d {source}\n  \
             RETURNING s.ord, s.alert, s.party, s.device_type, s.status_since, s.due_on, {eui}, {values}\n\
             ), archived AS (\n  INSERT INTO {removed} {columns}\n  SELECT {load_id}, ord, now(), {restored} FROM gone\n\
             ), alerted AS (\n  INSERT INTO {outbox} (load_id, load_ord, alert_code, notifying_party, device_id,\n    \
             device_type, status_since, due_on)\n  \
             SELECT {load_id}, ord, {alert_code}, party, eui, device_type, status_since, due_on FROM gone WHERE alert\n)\n\
             UPDATE {loads} SET done = {done_after}, deleted = deleted + (SELECT count(*) FROM gone),\n  \
             alerts = alerts + (SELECT count(*) FROM gone WHERE alert)\n\
             WHERE load_id = {load_id} AND done = {done_before} AND state IN ('staged', 'loading')",
            names = archived.names,
            values = archived.values,
            columns = archived.columns,
            restored = archived.selected,
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
        let DeviceSql { table, id, .. } = devices;
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
             JOIN {table} AS d ON {id} = s.key WHERE {of_removed}) ELSE 0 END",
            removed = tables.removed,
            outbox = tables.outbox,
            kept = tables.kept,
            of_removed = range("r"),
            of_outbox = range("o"),
            of_kept = range("k"),
            has_triggers = has_triggers(table),
        )
    }

    fn archive(&self) -> Archive {
        let Some(columns) = &self.devices.archived else {
            return Archive {
                names: "device".into(),
                values: "d".into(),
                columns: String::new(),
                selected: "NULL::timestamptz, (device).*".into(),
            };
        };
        let names = (0..columns.len()).map(|place| format!("c{place}")).collect::<Vec<_>>().join(", ");
        Archive {
            values: columns.iter().map(|name| format!("d.{name}")).collect::<Vec<_>>().join(", "),
            columns: format!("(load_id, load_ord, removed_at, {})", columns.join(", ")),
            selected: names.clone(),
            names,
        }
    }

    /// Records what was found instead of each device of a range that was not deleted. It is a statement of its own, after
    /// the deletion and in its transaction: a statement sees rows as they were when it began, and so would see a row
    /// that changed while the deletion waited for it as still due.
    pub(crate) fn keep(&self, parameters: &DeleteParameters) -> String {
        let Self { devices, tables, stage } = self;
        let DeviceSql { table, id, other_id, other_case, status, since, device_type, party, .. } = devices;
        let DeleteParameters { from, to, load_id, .. } = parameters;
        let reasons: String = self
            .conditions(parameters)
            .map(|(reason, condition)| format!("\n    WHEN ({condition}) IS NOT TRUE THEN '{reason}'"))
            .concat();
        let (spelled_otherwise, join) = match devices.id_form {
            StoredForm::Text => (
                "\n    WHEN o.tableoid IS NOT NULL THEN 'spelled in the other letter case'",
                format!("\n  LEFT JOIN {table} AS o ON {id} IS NULL AND {other_id} = {other_case}(s.key::text)"),
            ),
            _ => ("", String::new()),
        };
        format!(
            "WITH found AS (\n  SELECT s.ord, CASE{spelled_otherwise}\n    \
             WHEN d.tableoid IS NULL THEN 'not found'{reasons}\n    ELSE 'locked' END AS reason,\n    \
             {device_type} AS found_type, {status} AS found_status, {since} AS found_since, {party} AS found_party\n  \
             FROM {stage} AS s LEFT JOIN {table} AS d ON {id} = s.key{join}\n  \
             WHERE s.ord >= {from} AND s.ord < {to}\n    \
             AND NOT EXISTS (SELECT FROM {removed} AS r WHERE r.load_id = {load_id} AND r.load_ord = s.ord)\n)\n\
             INSERT INTO {kept} AS k (load_id, load_ord, outcome, reason, found_type, found_status, found_since, found_party)\n\
             SELECT {load_id}, ord, CASE reason WHEN 'not found' THEN 'gone' WHEN 'locked' THEN 'locked'\n  \
             WHEN 'spelled in the other letter case' THEN 'failed' ELSE 'changed' END, reason,\n  \
             found_type, found_status, found_since, found_party\nFROM found\n\
             ON CONFLICT (load_id, load_ord) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason,\n  \
             found_type = excluded.found_type, found_status = excluded.found_status,\n  \
             found_since = excluded.found_since, found_party = excluded.found_party",
            removed = tables.removed,
            kept = tables.kept,
        )
    }
}

/// How removed rows go into their table.
struct Archive {
    /// What the deleted values are called within the statement.
    names: String,
    /// The deleted values.
    values: String,
    /// The columns that they go into; empty for all by position.
    columns: String,
    /// What goes into these columns after `removed_at`.
    selected: String,
}

/// Whether a table, or a partition of it, has a trigger that was made by a user, as an SQL condition.
fn has_triggers(table: &str) -> String {
    format!(
        "EXISTS (SELECT FROM ({tree}) AS o JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal)",
        tree = tree(table)
    )
}
