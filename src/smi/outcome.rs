//! What became of every planned device: counts by type and party, and one row for each, beside the run.
//!
//! The manifest and what was kept are both in the manifest's order; they are read side by side, so that memory does not
//! grow with the run. Whatever the manifest has and nothing was kept of was deleted, and their number must be the one that
//! the load itself counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::builder::{BooleanBuilder, Date32Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use postgres::{Client, Row};
use serde::Serialize;
use serde_json::Value;

use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::stage::Plan;
use super::state::Entry;
use crate::error::{Error, Result};
use crate::output::parquet::{ArrowSchema, ParquetFile, writer_properties, zstd};
use crate::output::{Existing, OutputFile, Written, check_writable, folder_of, json};
use crate::run::read::{Batches, Deletes, text};
use crate::run::verify::LOADED;

/// The version of the format of `load.json`.
pub const SCHEMA: &str = "smi-sweep/load/1";

/// A planned device that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its place in the manifest.
    pub(super) ord: i64,
    /// `changed`, `gone`, `failed` or `locked`.
    pub(super) outcome: String,
    /// What differs, or what the database said.
    pub(super) reason: String,
    device_type: Option<String>,
    status: Option<String>,
    since: Option<i64>,
    party: Option<String>,
}

impl Kept {
    /// The fields that [`of`](Self::of) reads.
    pub(super) const FIELDS: &str = "load_ord, outcome, reason, found_type, found_status, \
         CASE WHEN isfinite(found_since) THEN (extract(epoch FROM found_since) * 1000000)::bigint END, found_party";

    pub(super) fn of(row: &Row) -> Self {
        Self {
            ord: row.get(0),
            outcome: row.get(1),
            reason: row.get(2),
            device_type: row.get(3),
            status: row.get(4),
            since: row.get(5),
            party: row.get(6),
        }
    }

    /// One that the database did not let go.
    pub(super) fn failed(ord: i64, reason: String) -> Self {
        Self { ord, outcome: "failed".into(), reason, device_type: None, status: None, since: None, party: None }
    }
}

/// What was kept, in order.
pub(super) enum KeptRows<'a> {
    /// Of a rehearsal, which leaves nothing in the database.
    Rehearsed(std::vec::IntoIter<Kept>),
    /// Of a load: read in pages.
    Stored { client: &'a mut Client, names: &'a LoadTables, load_id: i32, page: std::vec::IntoIter<Kept>, last: i64 },
}

impl KeptRows<'_> {
    const PAGE: i64 = 10_000;

    fn next_row(&mut self) -> Result<Option<Kept>> {
        match self {
            Self::Rehearsed(rows) => Ok(rows.next()),
            Self::Stored { client, names, load_id, page, last } => {
                if let Some(kept) = page.next() {
                    return Ok(Some(kept));
                }
                let sql = format!(
                    "SELECT {} FROM {} WHERE load_id = $1 AND load_ord > $2 ORDER BY load_ord LIMIT {}",
                    Kept::FIELDS,
                    names.kept,
                    Self::PAGE
                );
                let rows =
                    client.query(&sql, &[load_id, last]).map_err(failed("cannot read what became of devices"))?;
                let kept: Vec<Kept> = rows.iter().map(Kept::of).collect();
                *last = kept.last().map_or(*last, |kept| kept.ord);
                *page = kept.into_iter();
                Ok(page.next())
            }
        }
    }
}

/// What became of planned devices: `planned` is the sum of the four that follow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Devices in the manifest.
    pub planned: u64,
    /// Deleted.
    pub deleted: u64,
    /// There, and no longer as the run saw them.
    pub changed: u64,
    /// No longer there.
    pub gone: u64,
    /// Refused by the database, or held by others to the end.
    pub failed: u64,
    /// Alerts written for those deleted.
    pub alerts: u64,
}

impl Figures {
    fn count(&mut self, outcome: &str, alert: bool) {
        self.planned += 1;
        match outcome {
            DELETED => {
                self.deleted += 1;
                self.alerts += u64::from(alert);
            }
            "changed" => self.changed += 1,
            "gone" => self.gone += 1,
            _ => self.failed += 1,
        }
    }
}

const DELETED: &str = "deleted";

/// Figures of a whole load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Of all.
    pub total: Figures,
    /// Of each device type.
    pub by_type: BTreeMap<String, Figures>,
    /// Of each Notifying Party; `(none)` where there is none.
    pub by_party: BTreeMap<String, Figures>,
    /// Why devices were kept.
    pub reasons: BTreeMap<String, u64>,
}

impl Account {
    /// Reads manifest and kept rows side by side, from place `from` on, and hands each row on.
    pub(super) fn of(
        plan: &Plan,
        from: i64,
        mut kept: KeptRows<'_>,
        mut each: impl FnMut(&Deletes, usize, Option<&Kept>) -> Result<()>,
    ) -> Result<Self> {
        let mut account = Self::default();
        let mut manifest = Batches::<Deletes>::open(&plan.path)?;
        let (mut ord, mut next) = (0i64, kept.next_row()?);
        while let Some(batch) = manifest.next_batch()? {
            for row in 0..batch.id.len() {
                if ord >= from {
                    let found = if next.as_ref().is_some_and(|kept| kept.ord == ord) {
                        std::mem::replace(&mut next, kept.next_row()?)
                    } else {
                        None
                    };
                    account.count(&batch, row, found.as_ref());
                    each(&batch, row, found.as_ref())?;
                }
                ord += 1;
            }
        }
        if next.is_some() || u64::try_from(ord) != Ok(plan.planned) {
            return Err(Error::Unbalanced(format!("{ord} devices are accounted for of {}", plan.planned)));
        }
        Ok(account)
    }

    fn count(&mut self, batch: &Deletes, row: usize, kept: Option<&Kept>) {
        let outcome = kept.map_or(DELETED, |kept| kept.outcome.as_str());
        let alert = batch.alert.value(row);
        self.total.count(outcome, alert);
        for (map, key) in [
            (&mut self.by_type, batch.device_type.value(row)),
            (&mut self.by_party, text(&batch.party, row).unwrap_or("(none)")),
        ] {
            match map.get_mut(key) {
                Some(figures) => figures.count(outcome, alert),
                None => map.entry(key.to_owned()).or_default().count(outcome, alert),
            }
        }
        if let Some(kept) = kept {
            *self.reasons.entry(format!("{}: {}", kept.outcome, kept.reason)).or_default() += 1;
        }
    }
}

/// Accounts for a load that is in the database, handing each row on.
fn account(
    client: &mut Client,
    names: &LoadTables,
    plan: &Plan,
    entry: &Entry,
    each: impl FnMut(&Deletes, usize, Option<&Kept>) -> Result<()>,
) -> Result<Account> {
    let kept = KeptRows::Stored { client, names, load_id: entry.load_id, page: Vec::new().into_iter(), last: -1 };
    let account = Account::of(plan, 0, kept, each)?;
    let (deleted, alerts) = (i64::try_from(account.total.deleted), i64::try_from(account.total.alerts));
    if (deleted, alerts) == (Ok(entry.deleted), Ok(entry.alerts)) {
        return Ok(account);
    }
    Err(Error::Unbalanced(format!(
        "{} deletions and {} alerts are accounted for, the load counted {} and {}",
        account.total.deleted, account.total.alerts, entry.deleted, entry.alerts
    )))
}

/// Accounts for a load that is in the database.
pub(super) fn recall(client: &mut Client, names: &LoadTables, plan: &Plan, entry: &Entry) -> Result<Account> {
    account(client, names, plan, entry, |_, _, _| Ok(()))
}

/// Accounts for a load that is in the database, and writes `load-outcome.parquet` and `load.json` into the run directory.
pub(super) fn write(
    client: &mut Client,
    names: &LoadTables,
    plan: &Plan,
    entry: &Entry,
    shown: &str,
    undone: Option<&Value>,
) -> Result<Account> {
    let [json_name, rows_name] = LOADED;
    let mut file = OutcomeFile::new(&plan.path.join(rows_name), &plan.path)?;
    let account = account(client, names, plan, entry, |batch, row, kept| file.push(batch, row, kept))?;
    let written = file.finish()?;
    let document = serde_json::json!({
        "schema": SCHEMA,
        "run": plan.id,
        "as_of": plan.record.as_of,
        "inventory": shown,
        "state": entry.state,
        "started_at": entry.started_at,
        "finished_at": entry.finished_at,
        "undone_at": entry.undone_at,
        "total": account.total,
        "by_type": account.by_type,
        "by_party": account.by_party,
        "reasons": account.reasons,
        "undone": undone,
        "approvals": plan.approvals.iter().map(|approval| serde_json::json!({
            "name": approval.name, "key": approval.key.to_string(), "approved_at": approval.approved_at,
        })).collect::<Vec<_>>(),
        "outputs": [{
            "path": rows_name, "rows": account.total.planned, "bytes": written.bytes, "blake3": written.blake3,
        }],
    });
    let file = OutputFile::atomic_through(&beside(&plan.path)?, &plan.path.join(json_name), Existing::Replace)?;
    json::write(file, &document)?;
    Ok(account)
}

/// Whether the run directory will take what is written into it afterwards, before anything is deleted.
pub(super) fn must_be_writable(run: &Path) -> Result<()> {
    check_writable(&beside(run)?)
}

/// The folder that the run directory is in. Files are begun there: in the run directory, one that was left behind would
/// be a file too many.
fn beside(run: &Path) -> Result<PathBuf> {
    let whole = run.canonicalize().map_err(Error::io("find", run))?;
    Ok(folder_of(&whole).to_path_buf())
}

/// `load-outcome.parquet` in the making.
struct OutcomeFile {
    file: ParquetFile,
    rows: Columns,
}

#[derive(Default)]
struct Columns {
    id: StringBuilder,
    device_type: StringBuilder,
    since: TimestampMicrosecondBuilder,
    due_on: Date32Builder,
    party: StringBuilder,
    alert: BooleanBuilder,
    outcome: StringBuilder,
    reason: StringBuilder,
    found_type: StringBuilder,
    found_status: StringBuilder,
    found_since: TimestampMicrosecondBuilder,
    found_party: StringBuilder,
    held: usize,
}

const BATCH: usize = 64 * 1024;

impl OutcomeFile {
    fn new(path: &Path, run: &Path) -> Result<Self> {
        let file = OutputFile::atomic_through(&beside(run)?, path, Existing::Replace)?;
        let properties = writer_properties().set_compression(zstd(1)).build();
        let file = ParquetFile::new(file, schema(), properties, ArrowSchema::Stored)?;
        Ok(Self { file, rows: Columns::default() })
    }

    fn push(&mut self, batch: &Deletes, row: usize, kept: Option<&Kept>) -> Result<()> {
        let rows = &mut self.rows;
        rows.id.append_value(batch.id.value(row));
        rows.device_type.append_value(batch.device_type.value(row));
        rows.since.append_value(batch.since.value(row));
        rows.due_on.append_value(batch.due_on.value(row));
        rows.party.append_option(text(&batch.party, row));
        rows.alert.append_value(batch.alert.value(row));
        rows.outcome.append_value(kept.map_or(DELETED, |kept| kept.outcome.as_str()));
        rows.reason.append_option(kept.map(|kept| kept.reason.as_str()));
        rows.found_type.append_option(kept.and_then(|kept| kept.device_type.as_deref()));
        rows.found_status.append_option(kept.and_then(|kept| kept.status.as_deref()));
        rows.found_since.append_option(kept.and_then(|kept| kept.since));
        rows.found_party.append_option(kept.and_then(|kept| kept.party.as_deref()));
        rows.held += 1;
        if rows.held == BATCH { self.drain() } else { Ok(()) }
    }

    fn drain(&mut self) -> Result<()> {
        let mut rows = std::mem::take(&mut self.rows);
        self.file.write(vec![
            Arc::new(rows.id.finish()),
            Arc::new(rows.device_type.finish()),
            Arc::new(rows.since.finish().with_timezone("UTC")),
            Arc::new(rows.due_on.finish()),
            Arc::new(rows.party.finish()),
            Arc::new(rows.alert.finish()),
            Arc::new(rows.outcome.finish()),
            Arc::new(rows.reason.finish()),
            Arc::new(rows.found_type.finish()),
            Arc::new(rows.found_status.finish()),
            Arc::new(rows.found_since.finish().with_timezone("UTC")),
            Arc::new(rows.found_party.finish()),
        ])
    }

    fn finish(mut self) -> Result<Written> {
        self.drain()?;
        self.file.finish()
    }
}

fn schema() -> Arc<Schema> {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let field = |(name, kind, nullable): (&str, DataType, bool)| Field::new(name, kind, nullable);
    let fields = [
        ("device_id", DataType::Utf8, false),
        ("device_type", DataType::Utf8, false),
        ("status_since", instant(), false),
        ("due_on", DataType::Date32, false),
        ("notifying_party", DataType::Utf8, true),
        ("alert", DataType::Boolean, false),
        ("outcome", DataType::Utf8, false),
        ("reason", DataType::Utf8, true),
        ("found_type", DataType::Utf8, true),
        ("found_status", DataType::Utf8, true),
        ("found_since", instant(), true),
        ("found_party", DataType::Utf8, true),
    ];
    Arc::new(Schema::new(fields.map(field).to_vec()))
}
