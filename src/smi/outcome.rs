//! The account of a load: the outcome of every planned device, as counts by type and party, and as a file with one row each.
//!
//! The manifest and the kept rows are both in the manifest's order. They are merged row by row, so that memory does not
//! grow with the run. A planned device without a kept row was deleted; their number must equal the load's own count.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::builder::{BooleanBuilder, Date32Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use postgres::types::{FromSql, Type};
use postgres::{Client, Row};
use serde::Serialize;
use serde_json::Value;

use super::entry::LoadEntry;
use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::restore::RestoreFailure;
use super::session::Session;
use super::stage::Plan;
use crate::approval::Approval;
use crate::error::{Error, Result};
use crate::output::parquet::{ArrowSchema, ParquetFile, writer_properties, zstd};
use crate::output::{Existing, OutputFile, Written, json};
use crate::run::read::{Batches, Deletes, text};
use crate::run::verify::LOADED;
use crate::system::input;

/// The version of the format of `load.json`.
pub const SCHEMA: &str = "smi-sweep/load/1";

/// What became of a planned device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadOutcome {
    /// It has not been tried: the load is not complete.
    Open,
    /// It was still due.
    Deleted,
    /// It is in the inventory with another status, date, type or party.
    Changed,
    /// It is no longer in the inventory.
    Gone,
    /// The database refused to delete it, or it stayed locked to the end.
    Failed,
    /// Another session has locked it; it is tried again at the end of the load.
    Locked,
}

impl LoadOutcome {
    const ALL: [Self; 6] = [Self::Open, Self::Deleted, Self::Changed, Self::Gone, Self::Failed, Self::Locked];

    /// The text in the database and in the files.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Deleted => "deleted",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Failed => "failed",
            Self::Locked => "locked",
        }
    }
}

impl<'a> FromSql<'a> for LoadOutcome {
    fn from_sql(type_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let name = <&str>::from_sql(type_, raw)?;
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.name() == name)
            .ok_or_else(|| format!("the unknown outcome `{name}`").into())
    }

    fn accepts(type_: &Type) -> bool {
        <&str>::accepts(type_)
    }
}

/// A planned device that was not deleted, with what was found instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its place in the manifest.
    pub(super) ord: i64,
    pub(super) outcome: LoadOutcome,
    /// Which column differs, or the message of the database.
    pub(super) reason: String,
    device_type: Option<String>,
    status: Option<String>,
    since: Option<i64>,
    party: Option<String>,
}

impl Kept {
    /// The columns that [`of`](Self::of) reads, in order.
    pub(super) const FIELDS: &str = "load_ord, outcome, reason, found_type, found_status, \
         CASE WHEN isfinite(found_since) THEN (extract(epoch FROM found_since) * 1000000)::bigint END, found_party";

    pub(super) fn of(row: &Row) -> Result<Self, postgres::Error> {
        Ok(Self {
            ord: row.try_get(0)?,
            outcome: row.try_get(1)?,
            reason: row.try_get(2)?,
            device_type: row.try_get(3)?,
            status: row.try_get(4)?,
            since: row.try_get(5)?,
            party: row.try_get(6)?,
        })
    }

    /// A device that the database refuses to delete.
    pub(super) fn failed(ord: i64, reason: String) -> Self {
        Self { ord, outcome: LoadOutcome::Failed, reason, device_type: None, status: None, since: None, party: None }
    }

    /// Every device that was not tried.
    fn open() -> Self {
        Self { outcome: LoadOutcome::Open, ..Self::failed(-1, "not tried yet".into()) }
    }
}

/// Kept devices in the manifest's order.
pub(super) enum KeptRows<'a> {
    /// Those of a dry run, which leaves nothing in the database.
    DryRun(std::vec::IntoIter<Kept>),
    /// Those of a load: read from the database in pages.
    Stored { client: &'a mut Client, names: &'a LoadTables, load_id: i32, page: std::vec::IntoIter<Kept>, last: i64 },
}

impl KeptRows<'_> {
    const PAGE: i64 = 10_000;

    fn next_row(&mut self) -> Result<Option<Kept>> {
        match self {
            Self::DryRun(rows) => Ok(rows.next()),
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
                let kept: Result<Vec<Kept>, _> =
                    client.query(&sql, &[load_id, last]).and_then(|rows| rows.iter().map(Kept::of).collect());
                let kept = kept.map_err(failed("cannot read the kept devices"))?;
                *last = kept.last().map_or(*last, |kept| kept.ord);
                *page = kept.into_iter();
                Ok(page.next())
            }
        }
    }
}

/// Numbers of planned devices: `planned` = `deleted` + `changed` + `gone` + `failed` + `open`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Devices in the manifest.
    pub planned: u64,
    /// Devices that were deleted; in a dry run, that would be.
    pub deleted: u64,
    /// Still in the inventory, with another status, date, type or party.
    pub changed: u64,
    /// No longer in the inventory.
    pub gone: u64,
    /// The database refused to delete them, or another session kept them locked to the end.
    pub failed: u64,
    /// Not decided: not tried yet, or locked by another session when tried. 0 after a complete load.
    pub open: u64,
    /// Alerts of the deleted devices.
    pub alerts: u64,
}

impl Figures {
    fn count(&mut self, outcome: LoadOutcome, alert: bool) {
        self.planned += 1;
        match outcome {
            LoadOutcome::Deleted => {
                self.deleted += 1;
                self.alerts += u64::from(alert);
            }
            LoadOutcome::Changed => self.changed += 1,
            LoadOutcome::Gone => self.gone += 1,
            LoadOutcome::Failed => self.failed += 1,
            LoadOutcome::Open | LoadOutcome::Locked => self.open += 1,
        }
    }
}

/// The outcomes of a whole load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// All planned devices.
    pub total: Figures,
    /// By device type.
    pub by_type: BTreeMap<String, Figures>,
    /// By Notifying Party; `(none)` for devices without one.
    pub by_party: BTreeMap<String, Figures>,
    /// Devices that were kept, by `outcome: reason`.
    pub reasons: BTreeMap<String, u64>,
}

impl Account {
    /// Merges manifest and kept rows of the places that were `tried`, and calls `each` for every planned device from its
    /// first place on. Devices after its last place are open.
    pub(super) fn of(
        plan: &Plan,
        tried: &Range<i64>,
        mut kept: KeptRows<'_>,
        mut each: impl FnMut(&Deletes, usize, Option<&Kept>) -> Result<()>,
    ) -> Result<Self> {
        let mut account = Self::default();
        let mut manifest = Batches::<Deletes>::open(&plan.path)?;
        let (mut ord, mut next, open) = (0i64, kept.next_row()?, Kept::open());
        while let Some(batch) = manifest.next_batch()? {
            for row in 0..batch.id.len() {
                if ord >= tried.end {
                    account.count(&batch, row, Some(&open));
                    each(&batch, row, Some(&open))?;
                } else if ord >= tried.start {
                    let found = match &next {
                        Some(kept_row) if kept_row.ord == ord => std::mem::replace(&mut next, kept.next_row()?),
                        _ => None,
                    };
                    account.count(&batch, row, found.as_ref());
                    each(&batch, row, found.as_ref())?;
                }
                ord += 1;
            }
        }
        if next.is_some() || u64::try_from(ord) != Ok(plan.planned) {
            return Err(disagree(&format!("{ord} devices are accounted for of {}", plan.planned)));
        }
        Ok(account)
    }

    fn count(&mut self, batch: &Deletes, row: usize, kept: Option<&Kept>) {
        let outcome = kept.map_or(LoadOutcome::Deleted, |kept| kept.outcome);
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
            *self.reasons.entry(format!("{}: {}", kept.outcome.name(), kept.reason)).or_default() += 1;
        }
    }
}

/// The account of a load that the database has recorded. `each` is called for every planned device.
fn account(
    session: &mut Session<'_>,
    entry: &LoadEntry,
    each: impl FnMut(&Deletes, usize, Option<&Kept>) -> Result<()>,
) -> Result<Account> {
    let Session { client, names, options, .. } = session;
    let kept = KeptRows::Stored { client, names, load_id: entry.load_id, page: Vec::new().into_iter(), last: -1 };
    let account = Account::of(options.plan, &(0..entry.done), kept, each)?;
    let (deleted, alerts) = (i64::try_from(account.total.deleted), i64::try_from(account.total.alerts));
    if (deleted, alerts) == (Ok(entry.deleted), Ok(entry.alerts)) {
        return Ok(account);
    }
    Err(disagree(&format!(
        "{} deletions and {} alerts are accounted for, the load counted {} and {}",
        account.total.deleted, account.total.alerts, entry.deleted, entry.alerts
    )))
}

/// The tables of a load contradict each other: a defect of this program, or another program has written into them. What was
/// committed stays.
pub(super) fn disagree(what: &str) -> Error {
    Error::Inventory {
        what: format!("the figures of the load disagree: {what}"),
        remedy:
            "see whether another program writes into sweep_load, sweep_load_kept or the archive; otherwise report this"
                .into(),
    }
}

/// The account of a load that the database has recorded.
pub(super) fn recorded_account(session: &mut Session<'_>, entry: &LoadEntry) -> Result<Account> {
    account(session, entry, |_, _, _| Ok(()))
}

/// `load.json`.
#[derive(Serialize)]
struct LoadDocument<'a> {
    schema: &'static str,
    run: &'a str,
    as_of: &'a str,
    inventory: &'a str,
    state: &'static str,
    started_at: &'a str,
    finished_at: Option<&'a str>,
    undone_at: Option<&'a str>,
    #[serde(flatten)]
    account: &'a Account,
    undone: Option<UndoneRows<'a>>,
    /// What surrounded the device table when the load last began.
    preflight: Option<Value>,
    approvals: Vec<ApprovalEntry<'a>>,
    outputs: [OutcomeEntry<'a>; 1],
}

/// Rows of an undone load, in all.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct UndoneRows<'a> {
    /// In the inventory again.
    pub(super) restored: u64,
    /// Not restored, because the device had come back.
    pub(super) come_back: u64,
    /// Not restored, because the database does not take them back.
    pub(super) failed: u64,
    pub(super) failures: &'a [RestoreFailure],
}

#[derive(Serialize)]
struct ApprovalEntry<'a> {
    name: Option<&'a str>,
    key: String,
    approved_at: &'a str,
}

impl<'a> ApprovalEntry<'a> {
    fn new(approval: &'a Approval) -> Self {
        Self { name: approval.name.as_deref(), key: approval.key.to_string(), approved_at: &approval.approved_at }
    }
}

#[derive(Serialize)]
struct OutcomeEntry<'a> {
    path: &'a str,
    rows: u64,
    bytes: u64,
    blake3: &'a str,
}

/// Makes the account of a load that the database has recorded, and writes `load-outcome.parquet` and `load.json` into the run
/// directory.
pub(super) fn write(session: &mut Session<'_>, entry: &LoadEntry, undone: Option<UndoneRows<'_>>) -> Result<Account> {
    let plan = session.options.plan;
    let [json_name, rows_name] = LOADED;
    let parent = plan.parent()?;
    let mut file = OutcomeFile::create(&parent, &plan.path.join(rows_name))?;
    let account = account(session, entry, |batch, row, kept| file.push(batch, row, kept))?;
    let written = file.finish()?;
    let path = plan.path.join(json_name);
    let document = LoadDocument {
        schema: SCHEMA,
        run: &plan.id,
        as_of: &plan.record.as_of,
        inventory: &session.table.shown,
        state: entry.state.name(),
        started_at: &entry.started_at,
        finished_at: entry.finished_at.as_deref(),
        undone_at: entry.undone_at.as_deref(),
        account: &account,
        undone,
        preflight: preflight(session, &path),
        approvals: plan.approvals.iter().map(ApprovalEntry::new).collect(),
        outputs: [OutcomeEntry {
            path: rows_name,
            rows: account.total.planned,
            bytes: written.bytes,
            blake3: &written.blake3,
        }],
    };
    let file = OutputFile::atomic_through(&parent, &path, Existing::Replace)?;
    // The conversion sorts the keys, those of nested objects too.
    let document = serde_json::to_value(document).map_err(|error| Error::io("write", &path)(error.into()))?;
    json::write(file, &document)?;
    Ok(account)
}

/// What the session found around the device table, or what `load.json` already has.
fn preflight(session: &Session<'_>, path: &Path) -> Option<Value> {
    if let Some(preflight) = &session.preflight {
        return serde_json::to_value(preflight).ok();
    }
    let before: Value = serde_json::from_slice(&input::read(path).ok()?).ok()?;
    before.get("preflight").filter(|preflight| !preflight.is_null()).cloned()
}

/// `load-outcome.parquet` while it is written.
struct OutcomeFile {
    file: ParquetFile,
    rows: OutcomeColumns,
}

#[derive(Default)]
struct OutcomeColumns {
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
    fn create(parent: &Path, path: &Path) -> Result<Self> {
        let file = OutputFile::atomic_through(parent, path, Existing::Replace)?;
        let properties = writer_properties().set_compression(zstd(1)).build();
        let file = ParquetFile::new(file, schema(), properties, ArrowSchema::Stored)?;
        Ok(Self { file, rows: OutcomeColumns::default() })
    }

    fn push(&mut self, batch: &Deletes, row: usize, kept: Option<&Kept>) -> Result<()> {
        let rows = &mut self.rows;
        rows.id.append_value(batch.id.value(row));
        rows.device_type.append_value(batch.device_type.value(row));
        rows.since.append_value(batch.since.value(row));
        rows.due_on.append_value(batch.due_on.value(row));
        rows.party.append_option(text(&batch.party, row));
        rows.alert.append_value(batch.alert.value(row));
        rows.outcome.append_value(kept.map_or(LoadOutcome::Deleted, |kept| kept.outcome).name());
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
