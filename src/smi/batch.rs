//! One transaction of a load: what is still due is deleted, moved aside and told; what is not is noted with what was found
//! instead; and how far the load has come stands in the same transaction.
//!
//! A row that somebody else holds is never waited for longer than the lock timeout. The batch is then tried in a second
//! form, which passes over such rows; they are noted as `locked`, and tried again at the end.

use std::ops::Range;

use postgres::types::ToSql;
use postgres::{Client, Statement, Transaction};

use super::config::Config;
use super::fault::{failed, inventory};
use super::outcome::Kept;
use super::stage::{Plan, Spellings, table_of};
use super::state::Names;
use super::table::{Bound, Form as Stored, Table, as_text};
use crate::error::Result;
use crate::estate::Column;

/// How locked rows are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Waited for, as long as the lock timeout allows.
    Waiting,
    /// Passed over.
    Skipping,
}

/// Why a batch did not go through, where something can be done about it.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Locks of others: try again, or pass over the rows.
    Busy,
    /// It took too long: try less at a time.
    Slow(postgres::Error),
    /// The database does not accept the deletion of a row: which one, and why.
    Row(String),
}

/// What a batch came to.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) deleted: i64,
    pub(super) alerts: i64,
    /// What was not deleted, in order.
    pub(super) kept: Vec<Kept>,
}

/// The statements of a load.
#[derive(Debug)]
pub(super) struct Batch {
    waiting: Statement,
    skipping: Statement,
    kept: Statement,
    advance: Statement,
    spellings: Spellings,
    alert_code: String,
    load_id: i32,
}

impl Batch {
    pub(super) fn prepare(
        client: &mut Client,
        config: &Config,
        table: &Table,
        plan: &Plan,
        names: &Names,
        load_id: i32,
    ) -> Result<Self> {
        let text = Text::of(config, table, plan, names)?;
        let mut prepare = |sql: &str| client.prepare(sql).map_err(failed("cannot prepare the load"));
        Ok(Self {
            waiting: prepare(&text.delete(Form::Waiting))?,
            skipping: prepare(&text.delete(Form::Skipping))?,
            kept: prepare(&text.kept())?,
            advance: prepare(&text.advance())?,
            spellings: Spellings::of(&plan.policy),
            alert_code: plan.policy.alerts.code.clone(),
            load_id,
        })
    }

    /// Deletes what is still due of a range of the manifest.
    pub(super) fn delete(
        &self,
        work: &mut Transaction<'_>,
        range: &Range<i64>,
        form: Form,
    ) -> Result<Tried, postgres::Error> {
        let statement = if form == Form::Waiting { &self.waiting } else { &self.skipping };
        let Spellings { candidates, types, type_names } = &self.spellings;
        let guard: [&(dyn ToSql + Sync); 3] = [candidates, types, type_names];
        let bounds: [&(dyn ToSql + Sync); 2] = [&range.start, &range.end];
        let parameters = [&bounds[..], &guard[..], &[&self.load_id, &self.alert_code]].concat();
        let row = work.query_one(statement, &parameters)?;
        let rest: Vec<i64> = row.get(2);
        let mut tried = Tried { deleted: row.get(0), alerts: row.get(1), kept: Vec::new() };
        if !rest.is_empty() {
            let parameters = [&[&rest as &(dyn ToSql + Sync)][..], &guard[..], &[&self.load_id]].concat();
            tried.kept = work.query(&self.kept, &parameters)?.iter().map(Kept::of).collect();
            tried.kept.sort_unstable_by_key(|kept| kept.ord);
        }
        Ok(tried)
    }

    /// Notes how far the load has come, where it is as far as we think; whether it was.
    pub(super) fn advance(
        &self,
        work: &mut Transaction<'_>,
        from: i64,
        to: i64,
        tried: &Tried,
    ) -> Result<bool, postgres::Error> {
        let moved = work.execute(&self.advance, &[&self.load_id, &from, &to, &tried.deleted, &tried.alerts])?;
        Ok(moved == 1)
    }
}

/// What can be done about an error; the error as one line where nothing can.
pub(super) fn refusal(error: postgres::Error) -> Result<Refusal> {
    let Some(said) = error.as_db_error() else { return Err(inventory(LOADING, &error)) };
    let code = said.code().code();
    match code {
        "55P03" | "40P01" | "40001" => Ok(Refusal::Busy),
        "57014" => Ok(Refusal::Slow(error)),
        // Constraints, triggers and rules that speak up for a row.
        _ if code.starts_with("23") || code.starts_with("22") || code == "P0001" => {
            Ok(Refusal::Row(format!("{code} {}", said.message()).chars().take(200).collect()))
        }
        _ => Err(inventory(LOADING, &error)),
    }
}

pub(super) const LOADING: &str = "cannot load";

/// The parts that the statements are put together from.
struct Text<'a> {
    table: &'a Table,
    names: &'a Names,
    stage: String,
    id: &'a Bound,
    status: String,
    since: String,
    device_type: String,
    party: String,
}

impl<'a> Text<'a> {
    fn of(config: &Config, table: &'a Table, plan: &Plan, names: &'a Names) -> Result<Self> {
        let id = table.column(Column::DeviceId)?;
        Ok(Self {
            table,
            names,
            stage: table_of(config, &plan.id),
            id,
            status: table.column(Column::SmiStatus)?.text_of("d"),
            since: format!("{}::timestamptz", table.column(Column::StatusSince)?.of("d")),
            device_type: table.column(Column::DeviceType)?.text_of("d"),
            party: table.column(Column::NotifyingParty)?.text_of("d"),
        })
    }

    /// Whether device `d` is as the manifest has it, each condition with the word for its failing. The parameter `first`
    /// has the spellings of candidate statuses, the two after it the spellings of types, and their names.
    fn guards(&self, first: usize) -> [(&'static str, String); 4] {
        let (types, names, device_type) = (first + 1, first + 2, &self.device_type);
        [
            ("smi_status", format!("{} = ANY(${first}::text[])", self.status)),
            ("status_since", format!("{} = s.status_since", self.since)),
            (
                "device_type",
                format!("(${names}::text[])[array_position(${types}::text[], {device_type})] = s.device_type"),
            ),
            // An alert goes to whoever notified the device, or the device stays.
            ("notifying_party", format!("(NOT s.alert OR upper({}) = upper(s.party))", self.party)),
        ]
    }

    fn guard(&self, first: usize) -> String {
        self.guards(first).map(|(_, condition)| condition).join(" AND ")
    }

    fn delete(&self, form: Form) -> String {
        let Self { table, names, stage, .. } = self;
        let id_of_d = self.id.of("d");
        let range = "s.ord >= $1 AND s.ord < $2";
        let guard = self.guard(3);
        let source = match form {
            Form::Waiting => {
                format!("USING {stage} AS s WHERE {range} AND {id_of_d} = s.key AND {guard}")
            }
            Form::Skipping => format!(
                "USING (SELECT s.*, d.tableoid AS part, d.ctid AS place FROM {stage} AS s JOIN {inventory} AS d \
                 ON {id_of_d} = s.key WHERE {range} AND {guard} FOR UPDATE OF d SKIP LOCKED) AS s \
                 WHERE d.ctid = s.place AND d.tableoid = s.part AND {id_of_d} = s.key",
                inventory = table.name
            ),
        };
        let places: Vec<String> = (0..table.writable.len()).map(|place| format!("c{place}")).collect();
        let fields: Vec<String> = table.writable.iter().map(|name| format!("d.{name}")).collect();
        let eui = match self.id.form {
            Stored::Text => "upper(s.key::text)".into(),
            form => as_text(form, "s.key"),
        };
        format!(
            "WITH gone(ord, alert, party, device_type, status_since, due_on, eui, {places}) AS (\
             DELETE FROM {inventory} AS d {source} \
             RETURNING s.ord, s.alert, s.party, s.device_type, s.status_since, s.due_on, {eui}, {fields}), \
             aside AS (INSERT INTO {removed} (load_id, load_ord, removed_at, {columns}) \
             SELECT $6::integer, ord, now(), {places} FROM gone), \
             told AS (INSERT INTO {outbox} (load_id, load_ord, alert_code, notifying_party, device_id, device_type, \
             status_since, due_on) SELECT $6::integer, ord, $7::text, party, eui, device_type, status_since, due_on \
             FROM gone WHERE alert) \
             SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM gone WHERE alert), \
             (SELECT coalesce(array_agg(s.ord), '{{}}') FROM {stage} AS s WHERE {range} \
             AND s.ord NOT IN (SELECT ord FROM gone))",
            places = places.join(", "),
            inventory = table.name,
            fields = fields.join(", "),
            columns = table.writable.join(", "),
            removed = names.removed,
            outbox = names.outbox,
        )
    }

    /// Notes what was found instead of a device that is due. `$1` are places in the manifest.
    fn kept(&self) -> String {
        let Self { table, names, stage, .. } = self;
        let id_of_d = self.id.of("d");
        let reasons =
            self.guards(2).map(|(word, condition)| format!("WHEN ({condition}) IS NOT TRUE THEN '{word}' ")).concat();
        let (spelled, spelled_otherwise) = match self.id.form {
            Stored::Text => (
                format!(
                    "LEFT JOIN {} AS o ON {id_of_d} IS NULL AND {} = {}",
                    table.name,
                    self.id.of("o"),
                    table.other_case("s.key")
                ),
                "WHEN o.tableoid IS NOT NULL THEN 'spelled in the other letter case' ",
            ),
            _ => (String::new(), ""),
        };
        format!(
            "WITH found AS (SELECT s.ord, CASE {spelled_otherwise}WHEN d.tableoid IS NULL THEN 'not found' {reasons}\
             ELSE 'locked' END AS reason, {device_type} AS found_type, {status} AS found_status, {since} AS found_since, \
             {party} AS found_party FROM {stage} AS s LEFT JOIN {inventory} AS d ON {id_of_d} = s.key {spelled} \
             WHERE s.ord = ANY($1::bigint[])) \
             INSERT INTO {kept} AS k (load_id, load_ord, outcome, reason, found_type, found_status, found_since, found_party) \
             SELECT $5::integer, ord, CASE reason WHEN 'not found' THEN 'gone' WHEN 'locked' THEN 'locked' \
             WHEN 'spelled in the other letter case' THEN 'failed' ELSE 'changed' END, reason, found_type, found_status, \
             found_since, found_party FROM found \
             ON CONFLICT (load_id, load_ord) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, \
             found_type = excluded.found_type, found_status = excluded.found_status, \
             found_since = excluded.found_since, found_party = excluded.found_party \
             RETURNING {fields}",
            device_type = self.device_type,
            status = self.status,
            since = self.since,
            party = self.party,
            inventory = table.name,
            kept = names.kept,
            fields = Kept::FIELDS,
        )
    }

    fn advance(&self) -> String {
        format!(
            "UPDATE {} SET done = $3, deleted = deleted + $4, alerts = alerts + $5 \
             WHERE load_id = $1 AND done = $2 AND state IN ('staged', 'loading')",
            self.names.loads
        )
    }
}
