//! The device table as of one moment, as a sealed snapshot in the layout that sweeps fastest.
//!
//! One connection begins a transaction, locks the table against changes of its columns, and takes a snapshot that the
//! others share. Each of them reads ranges of pages, so that nothing is read twice and the server sorts nothing.
//! Rows stream into column buffers and from there into files: memory does not grow with the estate.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use postgres::Client;
use postgres::error::SqlState;

use super::config::Config;
use super::connect::Target;
use super::copy::{CopyRows, instant};
use super::fault::{failed, inventory};
use super::table::{BoundColumn, DeviceTable, StoredForm, TableKind, tree};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, time};
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::recluster::{BATCH_ROWS, BatchTarget as Files, ColumnNames as Names};
use crate::scan::Scan;
use crate::scan::duplicates::device_ids;
use crate::scan::rows::Rows;
use crate::snapshot::{Seal, SealContent, Snapshot};

/// The most rows of a part, estimated from the statistics of the server.
const PART_ROWS: u64 = 1 << 20;
/// The fewest rows of a part, unless the table has fewer.
const LEAST_ROWS: u64 = 1 << 16;
/// Rows between two checks for an interruption.
const STEP: u64 = 16 * 1024;

/// The result of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSummary {
    /// Rows of all files, which equal the rows read.
    pub rows: u64,
    /// Parquet files.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// The moment of the snapshot, by the database's clock: RFC 3339.
    pub taken_at: String,
    /// The device table: schema and name.
    pub table: String,
}

/// Pages that one query reads: of the device table, and the pages of the same numbers of each of its partitions and children.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: u64,
    /// The page after the last; `None`: up to the end.
    end: Option<u64>,
}

/// What [`export`] reads, and where it writes.
#[derive(Debug, Clone, Copy)]
pub struct ExportOptions<'a> {
    /// The database.
    pub target: &'a Target,
    /// The device table.
    pub config: &'a Config,
    /// Gives the candidate statuses, and the names of the columns in the files.
    pub policy: &'a Policy,
    /// The folder to write. It must not exist, and appears whole or not at all.
    pub out: &'a Path,
}

/// Exports the device table into a new folder, as a sealed snapshot. Every worker of `pool` has its own connection.
///
/// # Errors
/// A folder that exists or cannot be written, a server that cannot be reached or refuses, a table that is not as configured,
/// an interruption.
pub fn export(options: &ExportOptions<'_>, pool: &Pool, progress: &dyn Progress) -> Result<ExportSummary> {
    let directory = OutputDirectory::create(options.out)?;
    let summary = export_into(directory.path(), options, pool, progress)?;
    directory.publish(pool)?;
    Ok(summary)
}

fn export_into(
    folder: &Path,
    options: &ExportOptions<'_>,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<ExportSummary> {
    let ExportOptions { target, config, policy, .. } = *options;
    let mut keeper = target.connect()?;
    let table = DeviceTable::find(&mut keeper, config, policy)?;
    let beginning = || format!("cannot begin to read table {}", table.shown);
    // The lock comes first: a snapshot is taken by the first statement that reads.
    lock_when_free(&mut keeper, &table, progress)?;
    let moment = "SELECT pg_export_snapshot(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let row = keeper.query_one(moment, &[]).map_err(failed(&beginning()))?;
    let (snapshot, taken_at): (String, i64) = (row.get(0), row.get(1));
    let taken_at = time::format_instant(taken_at);

    let (parts, estimate) = parts(&mut keeper, &table, pool.threads() as u64)?;
    progress.begin(Stage::Fetch, estimate);
    let names = Names::of(policy, |column| table.bound.iter().any(|bound| bound.column == column));
    let files = Files { folder, number: 0, taken_at: Some(&taken_at), names: &names, policy };
    let read = AtomicU64::new(0);
    let numbered: Vec<(usize, Part)> = parts.into_iter().enumerate().collect();
    pool.map_with(
        numbered,
        || None,
        |connection: &mut Option<Client>, (number, part)| {
            let client = match connection {
                Some(client) => client,
                None => connection.insert(join(target, &snapshot, &table)?),
            };
            let rows = fetch(client, &table, part, Files { number: number * SUB_PARTS, ..files }, progress)?;
            read.fetch_add(rows, Ordering::Relaxed);
            Ok::<_, Error>(())
        },
    )?;
    let read = read.into_inner();
    if read == 0 {
        files.write(&Rows::default())?;
    }
    keeper.batch_execute("COMMIT").map_err(failed(&format!("cannot read table {}", table.shown)))?;

    let spellings = &policy.spellings;
    let written = Snapshot::open_unverified(&[PathBuf::from(folder)], spellings, pool, progress)?;
    if written.rows() != read {
        return Err(Error::Unbalanced(format!("{read} rows were read, {} were written", written.rows())));
    }
    let device_ids = device_ids(&Scan::new(&written, pool, progress))?;
    let content = SealContent { files: written.files(), taken_at: Some(taken_at.clone()), device_ids };
    Seal::of(folder, content, pool, progress)?.write(folder)?;
    Ok(ExportSummary { rows: read, files: written.files().len(), bytes: written.bytes(), taken_at, table: table.shown })
}

/// The most files of a part, in case the statistics of the server are wrong.
const SUB_PARTS: usize = 1_000;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Begins a transaction with a share lock on the table, its partitions and children. While another session has it locked, says
/// so and waits.
fn lock_when_free(client: &mut Client, table: &DeviceTable, progress: &dyn Progress) -> Result<()> {
    let mut said = String::new();
    while let Err(error) = client.batch_execute(&format!("{BEGIN}; {}", lock_within(table, 1))) {
        let is_locked = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        if !is_locked {
            return Err(inventory(&format!("cannot begin to read table {}", table.shown), &error));
        }
        client.batch_execute("ROLLBACK").map_err(failed("cannot wait for the device table"))?;
        let waits = format!("waiting for a lock on table {}: {}", table.shown, holders(client, table)?);
        if waits != said {
            progress.waiting(&waits);
            said = waits;
        }
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
    }
    Ok(())
}

/// The statements that take the lock, or fail after so many seconds.
fn lock_within(table: &DeviceTable, seconds: u32) -> String {
    format!(
        "SET LOCAL lock_timeout = '{seconds}s'; LOCK TABLE {} IN ACCESS SHARE MODE; SET LOCAL lock_timeout = 0",
        table.name
    )
}

/// Which sessions keep others from reading the table, or wait until they can.
fn holders(client: &mut Client, table: &DeviceTable) -> Result<String> {
    let sql = format!(
        "SELECT string_agg(DISTINCT concat_ws(' ', 'process', l.pid, 'of', coalesce(a.usename::text, 'an unknown user'), \
         nullif(format('(%s)', a.application_name), '()'), CASE WHEN l.granted THEN 'has it' ELSE 'waits for it' END), ', ') \
         FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid \
         WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation IN ({}) \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        tree(&table.name)
    );
    let found: Option<String> =
        client.query_one(&sql, &[]).map_err(failed("cannot see who has the device table locked"))?.get(0);
    Ok(found.unwrap_or_else(|| "another session has had it".into()))
}

/// Seconds that a further connection waits for its lock.
const JOIN_SECONDS: u32 = 5;

/// A connection with the snapshot of the first one. A session that asks for an exclusive lock meanwhile waits for the first
/// connection, and every further connection waits behind it.
fn join(target: &Target, snapshot: &str, table: &DeviceTable) -> Result<Client> {
    let mut client = target.connect()?;
    // The server names snapshots by hexadecimal digits and dashes.
    let begin = format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{}'", snapshot.replace('\'', "''"));
    let begin = format!("{begin}; {}", lock_within(table, JOIN_SECONDS));
    let Err(error) = client.batch_execute(&begin) else { return Ok(client) };
    let beginning = format!("cannot begin to read table {}", table.shown);
    if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
        return Err(inventory(&beginning, &error));
    }
    client.batch_execute("ROLLBACK").map_err(failed(&beginning))?;
    Err(Error::Inventory {
        what: format!("{beginning}: another session asks to lock it, {}", holders(&mut client, table)?),
        remedy: "export again when that session is done".into(),
    })
}

/// Divides the table into ranges of pages, and estimates its rows. A range takes these pages of every partition: they are read
/// through the table itself, whose privileges and policies count. Without statistics of the server, a page is assumed to have
/// 50 rows.
fn parts(client: &mut Client, table: &DeviceTable, connections: u64) -> Result<(Vec<Part>, u64)> {
    let leaves = format!(
        "SELECT c.relkind::text, CASE WHEN c.reltuples > 0 AND c.relpages > 0 \
         THEN ceil(c.reltuples / c.relpages)::bigint ELSE 50 END, \
         CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint ELSE 0 END \
         FROM ({}) AS o JOIN pg_class AS c ON c.oid = o.oid WHERE c.relkind <> 'p'",
        tree(&table.name)
    );
    let whole = Part { first: 0, end: None };
    if table.kind == TableKind::View {
        return Ok((vec![whole], 0));
    }
    let rows = client.query(&leaves, &[]).map_err(failed(&format!("cannot inspect table {}", table.shown)))?;
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    // Rows of a page, and pages, of each table that has rows.
    let tables: Vec<(u64, u64)> = rows.iter().map(|row| (count(row.get(1)), count(row.get(2)))).collect();
    let estimate = tables.iter().map(|(page_rows, pages)| page_rows * pages).sum::<u64>();
    // A foreign table has no pages.
    if rows.iter().any(|row| row.get::<_, String>(0) != "r") {
        return Ok((vec![whole], estimate));
    }
    // Twice as many parts as connections, so that connections that finish sooner take more of them.
    let share = estimate.div_ceil(connections * 2).clamp(LEAST_ROWS, PART_ROWS);
    let last = tables.iter().map(|(_, pages)| *pages).max().unwrap_or_default();
    let (mut parts, mut first) = (Vec::new(), 0);
    loop {
        let longer = tables.iter().filter(|(_, pages)| *pages > first);
        let rows_at_first = longer.map(|(page_rows, _)| page_rows).sum::<u64>().max(1);
        let end = first + share.div_ceil(rows_at_first);
        if end >= last {
            break;
        }
        parts.push(Part { first, end: Some(end) });
        first = end;
    }
    // The last part has no end: it is the rest, whatever its size is by then.
    parts.push(Part { first, end: None });
    Ok((parts, estimate))
}

/// Reads a part, writes it file by file, and returns its rows.
fn fetch(
    client: &mut Client,
    table: &DeviceTable,
    part: Part,
    mut files: Files<'_>,
    progress: &dyn Progress,
) -> Result<u64> {
    let columns: Vec<String> = Column::READ_BY_SWEEP
        .into_iter()
        .map(|column| table.column(column).map_or_else(|_| "NULL::text".into(), BoundColumn::exported))
        .collect();
    let mut query = format!("COPY (SELECT {} FROM {}", columns.join(", "), table.name);
    if part.first > 0 || part.end.is_some() {
        query += &format!(" WHERE ctid >= '({},0)'::tid", part.first);
    }
    if let Some(end) = part.end {
        query += &format!(" AND ctid < '({end},0)'::tid");
    }
    query += ") TO STDOUT (FORMAT binary)";
    let reading = format!("cannot read table {}", table.shown);
    let mut source = CopyRows::<_, 6>::new(client.copy_out(&query).map_err(failed(&reading))?);
    let kept = [Column::DeviceId, Column::NotifyingParty].map(|column| table.column(column).map(|bound| bound.form));
    let [id_form, party_form] = kept;
    let forms = (id_form?, party_form?);
    let (mut rows, mut total) = (Rows::default(), 0u64);
    let mut good = Ok(());
    while source.next_row(|fields| good = take(&mut rows, forms, fields))? {
        std::mem::replace(&mut good, Ok(()))?;
        total += 1;
        if total.is_multiple_of(STEP) {
            progress.advance(STEP);
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
        }
        if rows.len() == BATCH_ROWS {
            files.write(&rows)?;
            files.number += 1;
            rows = Rows::default();
        }
    }
    progress.advance(total % STEP);
    if !rows.is_empty() {
        files.write(&rows)?;
    }
    Ok(total)
}

/// Appends a row to the buffers.
fn take(rows: &mut Rows, (id_form, party_form): (StoredForm, StoredForm), fields: [Option<&[u8]>; 6]) -> Result<()> {
    let [id, device_type, status, since, party, role] = fields;
    let number = rows.len();
    let known = id.and_then(|bytes| match id_form {
        // A load finds text in this form only.
        StoredForm::Text => DeviceId::from_dashed(bytes),
        _ => DeviceId::from_bytes(bytes),
    });
    if let (None, Some(bytes)) = (known, id) {
        let found = if id_form == StoredForm::Text { text(bytes)?.to_owned() } else { hex(bytes) };
        rows.malformed.push((number, found.into_boxed_str()));
    }
    rows.ids.push(known);
    rows.types.push_word(device_type.map(text).transpose()?);
    rows.statuses.push_word(status.map(text).transpose()?);
    rows.since.push(since.and_then(|bytes| bytes.try_into().ok()).map(instant));
    match (party, party_form) {
        (None, _) => rows.parties.push_word(None),
        (Some(bytes), StoredForm::Text) => rows.parties.push_word(Some(text(bytes)?)),
        (Some(bytes), _) => match DeviceId::from_bytes(bytes).map(DeviceId::to_text) {
            Some(canonical) => rows.parties.push_word(Some(text(&canonical)?)),
            None => rows.parties.push_word(Some(&hex(bytes))),
        },
    }
    rows.roles.push_word(role.map(text).transpose()?);
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::Inventory {
        what: "cannot read the inventory: a text that is not UTF-8".into(),
        remedy: "fix the row, or give the database its true encoding".into(),
    })
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}
