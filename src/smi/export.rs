//! The device table as of one moment, as a sealed snapshot in the layout that sweeps fastest.
//!
//! One connection begins a transaction, locks the table against a change of its shape, and takes a snapshot that the
//! others share. Each of them reads ranges of pages, so that nothing is read twice and nothing is sorted by the server.
//! Rows stream into column buffers and from there into files: memory does not grow with the estate.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use postgres::Client;

use super::config::Config;
use super::connect::Target;
use super::copy::{CopyRows, instant};
use super::fault::failed;
use super::table::{Bound, Form, Kind, Table, qualified};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, time};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::recluster::{BATCH_ROWS, BatchTarget as Files, ColumnNames as Names};
use crate::scan::rows::Rows;
use crate::snapshot::{Seal, Snapshot};

/// Rows of a part that a connection reads at a time, as far as the statistics of the server tell.
const PART_ROWS: u64 = 1 << 20;
/// Fewer rows than that are not worth a part.
const LEAST_ROWS: u64 = 1 << 16;
/// Rows between two looks at whether the user wants to stop.
const STEP: u64 = 16 * 1024;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// The moment, by the database's clock: RFC 3339.
    pub taken_at: String,
    /// The table.
    pub table: String,
}

/// Pages of a table that one query reads.
#[derive(Debug, Clone)]
struct Part {
    /// The table that has them, quoted; `ONLY` where it has children.
    from: String,
    first: u64,
    /// The page after the last; none for all that follow.
    end: Option<u64>,
}

/// Exports the device table into an empty folder, and seals it.
///
/// The policy says which statuses are candidates and what the columns of the files are called. `pool` has as many
/// workers as there are connections.
///
/// # Errors
/// A server that cannot be reached or refuses, a table that is not as configured, a folder that cannot be written, an
/// interruption.
pub fn export(
    target: &Target,
    config: &Config,
    policy: &Policy,
    folder: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Summary> {
    let mut keeper = target.connect()?;
    let table = Table::find(&mut keeper, config, policy)?;
    let beginning = || format!("cannot begin to read table {}", table.shown);
    // The lock comes first: a snapshot is taken by the first statement that reads.
    let begin =
        format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {} IN ACCESS SHARE MODE", table.name);
    keeper.batch_execute(&begin).map_err(failed(&beginning()))?;
    let moment = "SELECT pg_export_snapshot(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let row = keeper.query_one(moment, &[]).map_err(failed(&beginning()))?;
    let (snapshot, taken_at): (String, i64) = (row.get(0), row.get(1));
    let taken_at = time::format_instant(taken_at);

    let (parts, estimate) = parts(&mut keeper, config, &table, pool.threads() as u64)?;
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
            let rows = fetch(client, &table, &part, Files { number: number * SUB_PARTS, ..files }, progress)?;
            read.fetch_add(rows, Ordering::Relaxed);
            Ok::<_, Error>(())
        },
    )?;
    let read = read.into_inner();
    if read == 0 {
        files.write(&Rows::default())?;
    }
    keeper.batch_execute("COMMIT").map_err(failed(&format!("cannot read table {}", table.shown)))?;

    let columns = &policy.spellings.columns;
    let written = Snapshot::open_unverified(&[PathBuf::from(folder)], columns, pool, progress)?;
    if written.rows() != read {
        return Err(Error::Unbalanced(format!("{read} rows were read, {} were written", written.rows())));
    }
    Seal::of(folder, written.files(), Some(taken_at.clone()), pool, progress)?.write(folder)?;
    Ok(Summary { rows: read, files: written.files().len(), bytes: written.bytes(), taken_at, table: table.shown })
}

/// How many files a part can come to, should the statistics of the server be far off.
const SUB_PARTS: usize = 1_000;

/// A connection that sees what the first one sees.
fn join(target: &Target, snapshot: &str, table: &Table) -> Result<Client> {
    let mut client = target.connect()?;
    // The name of a snapshot is the server's own: hexadecimal digits and dashes.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
        snapshot.replace('\'', "''")
    );
    client.batch_execute(&begin).map_err(failed(&format!("cannot begin to read table {}", table.shown)))?;
    Ok(client)
}

/// Cuts the table, its partitions and what inherits from it into ranges of pages, and says how many rows there may be.
///
/// Where the server has no statistics, a page is taken to have 50.
fn parts(client: &mut Client, config: &Config, table: &Table, connections: u64) -> Result<(Vec<Part>, u64)> {
    const LEAVES: &str = "WITH RECURSIVE tree(oid) AS (SELECT $1::oid UNION SELECT i.inhrelid FROM pg_inherits i \
                          JOIN tree ON i.inhparent = tree.oid) \
                          SELECT n.nspname::text, c.relname::text, c.relkind::text, \
                          CASE WHEN c.reltuples > 0 AND c.relpages > 0 \
                          THEN ceil(c.reltuples / c.relpages)::bigint ELSE 50 END, \
                          CASE WHEN c.relkind = 'r' \
                          THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint ELSE 0 END \
                          FROM tree JOIN pg_class c ON c.oid = tree.oid \
                          JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind <> 'p' ORDER BY c.oid";
    if table.kind == Kind::View {
        return Ok((vec![Part { from: table.name.clone(), first: 0, end: None }], 0));
    }
    let looking = format!("cannot look at table {}.{}", config.inventory.schema, config.inventory.table);
    let (mut parts, mut estimate) = (Vec::new(), 0);
    for row in client.query(LEAVES, &[&table.oid]).map_err(failed(&looking))? {
        let (schema, name, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let [page_rows, pages] = [row.get(3), row.get(4)].map(|number: i64| u64::try_from(number).unwrap_or_default());
        let from = format!("ONLY {}", qualified(&schema, &name));
        if kind != "r" {
            parts.push(Part { from, first: 0, end: None });
            continue;
        }
        // Every connection gets some of it, and those that are done sooner get more.
        let share = (page_rows * pages).div_ceil(connections * 2);
        let step = share.clamp(LEAST_ROWS, PART_ROWS).div_ceil(page_rows.max(1));
        estimate += page_rows * pages;
        let mut first = 0;
        while first + step < pages {
            parts.push(Part { from: from.clone(), first, end: Some(first + step) });
            first += step;
        }
        // The last is open: should the table have grown, its new rows are not seen anyway, and the others are.
        parts.push(Part { from, first, end: None });
    }
    Ok((parts, estimate))
}

/// Reads a part, and writes it file by file.
fn fetch(
    client: &mut Client,
    table: &Table,
    part: &Part,
    mut files: Files<'_>,
    progress: &dyn Progress,
) -> Result<u64> {
    let columns: Vec<String> = Column::READ_BY_SWEEP
        .into_iter()
        .map(|column| table.column(column).map_or_else(|_| "NULL::text".into(), Bound::exported))
        .collect();
    let mut query = format!("COPY (SELECT {} FROM {}", columns.join(", "), part.from);
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

/// Puts a row into the buffers.
fn take(rows: &mut Rows, (id_form, party_form): (Form, Form), fields: [Option<&[u8]>; 6]) -> Result<()> {
    let [id, device_type, status, since, party, role] = fields;
    let number = rows.len();
    let known = id.and_then(|bytes| match id_form {
        Form::Text => DeviceId::from_text(bytes),
        _ => DeviceId::from_bytes(bytes),
    });
    if let (None, Some(bytes)) = (known, id) {
        let found = if id_form == Form::Text { text(bytes)?.to_owned() } else { hex(bytes) };
        rows.malformed.push((number, found.into_boxed_str()));
    }
    rows.ids.push(known);
    rows.types.push_word(device_type.map(text).transpose()?);
    rows.statuses.push_word(status.map(text).transpose()?);
    rows.since.push(since.and_then(|bytes| bytes.try_into().ok()).map(instant));
    match (party, party_form) {
        (None, _) => rows.parties.push_word(None),
        (Some(bytes), Form::Text) => rows.parties.push_word(Some(text(bytes)?)),
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
        remedy: "mend the row, or give the database its true encoding".into(),
    })
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}
