//! The deletions as SQL for PostgreSQL: guarded transactions of so many devices each.
//!
//! A transaction deletes a device only where status, type and the date of the status are still what they were when the run
//! judged it, and, where an alert is due, the party is still the one to be told. It keeps the row as it was, and writes an
//! alert for what it really deleted. A file that breaks off anywhere, and one that is run twice, leaves nothing half done:
//! what is gone is not found again, and a run that was loaded or taken back is not loaded again. Whatever changes
//! anything ends with a COMMIT of its own, because a client may run the half of a statement that a broken file ends with.
//!
//! The tables are those that `smi-sweep load` keeps, so that its undo knows what such a file has done. Nothing but
//! literals and quoted names goes into the text.

use std::fmt::Write as _;
use std::path::Path;

use super::export_file::{ExportFile, ExportedFile};
use super::source::ExportSource;
use super::table::{day, instant};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceType, SmiStatus, time};
use crate::policy::Policy;
use crate::run::manifest::DELETE;
use crate::run::read::{Deletes, Manifest, text};
use crate::run::record::RECORD;

/// The file.
const NAME: &str = "load.sql";

/// Writes the file.
pub(super) fn write(source: &ExportSource<'_>, batch_rows: usize, folder: &Path) -> Result<ExportedFile> {
    let script = Script::of(source)?;
    let mut file = ExportFile::create(folder, NAME, None)?;
    let mut out = script.opening(source);
    let (mut ord, mut rows) = (0u64, 0);
    source.each::<Deletes>(|batch| {
        for row in 0..batch.len() {
            out += if rows == 0 { script.begin.as_str() } else { ",\n" };
            planned(&mut out, ord, batch, row)?;
            (ord, rows) = (ord + 1, rows + 1);
            if rows == batch_rows {
                script.end(&mut out, ord);
                rows = 0;
            }
        }
        file.write(out.as_bytes(), batch.len())?;
        out.clear();
        Ok(())
    })?;
    if rows > 0 {
        script.end(&mut out, ord);
    }
    script.closing(&mut out);
    file.write(out.as_bytes(), 0)?;
    file.finish()
}

/// Writes what was planned for a device, as a row of a `VALUES` list.
fn planned(out: &mut String, ord: u64, batch: &Deletes, row: usize) -> Result<()> {
    let party = text(&batch.party, row);
    if party.is_some_and(|party| party.contains('\0')) {
        let id = batch.id.value(row);
        return Err(Error::Usage {
            what: format!("{DELETE}: the notifying party of {id} has a NUL in it, which SQL cannot say"),
            remedy: "hand the run over as ndjson".into(),
        });
    }
    let _ = write!(
        out,
        "  ({ord}, {}, {}, {}, TIMESTAMPTZ '{}', DATE '{}', {}, {})",
        literal(batch.id.value(row)),
        literal(batch.device_type.value(row)),
        literal(batch.status.value(row)),
        instant(batch.since.value(row)),
        day(batch.due_on.value(row)),
        party.map_or("NULL".into(), literal),
        if batch.alert.value(row) { "TRUE" } else { "FALSE" },
    );
    Ok(())
}

/// The parts of the file that do not change from one transaction to the next.
struct Script {
    /// The run's id, as a literal.
    run: String,
    /// How a transaction begins.
    begin: String,
    /// What follows its rows.
    guarded: String,
}

impl Script {
    fn of(source: &ExportSource<'_>) -> Result<Self> {
        let policy = Policy::from_json(&source.record.policy, RECORD)?;
        let run = literal(&source.record.id());
        let begin = format!(
            "BEGIN;\n\
             WITH load AS (\n  SELECT load_id FROM sweep_load WHERE run_id = {run} AND state IN ('staged', 'loading')\n\
             ), planned (load_ord, device_id, device_type, smi_status, status_since, due_on, notifying_party, alert) \
             AS (VALUES\n"
        );
        let of = |column| format!("d.{}", identifier(&policy, column));
        let guarded = format!(
            "\n), gone AS (\n  DELETE FROM device AS d USING load, planned AS p\n  WHERE {id} = p.device_id\n    \
             AND ({status}::text, p.smi_status) IN ({statuses})\n    \
             AND ({device_type}::text, p.device_type) IN ({types})\n    \
             AND {since} = p.status_since\n    \
             AND (NOT p.alert OR upper({party}::text) = upper(p.notifying_party))\n  \
             RETURNING load.load_id, p.*, d AS device\n\
             ), aside AS (\n  INSERT INTO device_removed\n  \
             SELECT load_id, load_ord, now(), NULL::timestamptz, (device).* FROM gone\n\
             ), told AS (\n  INSERT INTO alert_outbox (load_id, load_ord, alert_code, notifying_party, device_id, \
             device_type, status_since, due_on)\n  \
             SELECT load_id, load_ord, {code}, notifying_party, device_id, device_type, status_since, due_on \
             FROM gone WHERE alert\n)\n\
             UPDATE sweep_load SET state = 'loading', deleted = deleted + (SELECT count(*) FROM gone),\n  \
             alerts = alerts + (SELECT count(*) FROM gone WHERE alert), done = greatest(done, ",
            id = of(Column::DeviceId),
            status = of(Column::SmiStatus),
            device_type = of(Column::DeviceType),
            since = of(Column::StatusSince),
            party = of(Column::NotifyingParty),
            statuses = pairs(&statuses(&policy)),
            types = pairs(&types(&policy)),
            code = literal(&policy.alerts.code),
        );
        Ok(Self { run, begin, guarded })
    }

    fn opening(&self, source: &ExportSource<'_>) -> String {
        let record = &source.record;
        let as_of = time::parse(&record.as_of).map(instant).unwrap_or_default();
        format!(
            "-- What run {id} deletes, as of {as_of}: {planned} devices, where they are still due.\n\
             -- psql -X -v ON_ERROR_STOP=1 -f {NAME}; the tables are made by `smi-sweep load --init`.\n\
             SET client_encoding TO 'UTF8';\n\
             SET standard_conforming_strings TO on;\n\
             SET TIME ZONE 'UTC';\n\
             BEGIN;\n\
             INSERT INTO sweep_load (run_id, inventory, as_of, state, planned)\n\
             VALUES ({run}, 'device', TIMESTAMPTZ '{as_of}', 'loading', {planned}) ON CONFLICT (run_id) DO NOTHING;\n\
             COMMIT;\n",
            id = record.id(),
            planned = record.tally.delete,
            run = self.run,
        )
    }

    /// Ends a transaction; `done` is how many devices have been tried with it.
    fn end(&self, out: &mut String, done: u64) {
        let _ = writeln!(out, "{}{done})\nWHERE load_id = (SELECT load_id FROM load);\nCOMMIT;", self.guarded);
    }

    fn closing(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "BEGIN;\n\
             UPDATE sweep_load SET state = 'loaded', finished_at = now()\n\
             WHERE run_id = {} AND state IN ('staged', 'loading');\n\
             COMMIT;",
            self.run
        );
    }
}

/// Every spelling of a status that is swept, and the status.
fn statuses(policy: &Policy) -> Vec<(String, String)> {
    let words =
        SmiStatus::ALL.iter().map(|status| status.name()).chain(policy.spellings.statuses.keys().map(String::as_str));
    let mut pairs: Vec<_> = words
        .filter_map(|word| {
            let code = policy.status_code(word.as_bytes());
            let status = policy.candidate_statuses.iter().find(|status| status.code() == code)?;
            Some((word.to_owned(), status.name().to_owned()))
        })
        .collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

/// Every spelling of a type, and the type.
fn types(policy: &Policy) -> Vec<(String, String)> {
    let words = policy.types.iter().map(|(_, name)| name).chain(policy.spellings.types.keys().map(String::as_str));
    let mut pairs: Vec<_> = words
        .map(|word| (word, policy.type_code(word.as_bytes())))
        .filter(|(_, code)| *code < DeviceType::UNKNOWN)
        .map(|(word, code)| (word.to_owned(), policy.types.name(code).to_owned()))
        .collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

fn pairs(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(one, other)| format!("({}, {})", literal(one), literal(other))).collect();
    pairs.join(", ")
}

/// What the estate calls a column, quoted.
fn identifier(policy: &Policy, column: Column) -> String {
    let theirs = policy.spellings.columns.iter().find(|(_, ours)| **ours == column);
    let name = theirs.map_or(column.name(), |(theirs, _)| theirs.as_str());
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text as a literal, under standard conforming strings.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
