//! The deletions as SQL for PostgreSQL: guarded transactions of so many devices each.
//!
//! The statements are those of [`crate::smi::guarded_delete`], with literals for parameters and a temporary staging table, which
//! each transaction fills. They keep the same tables as `smi-sweep load`, which can account for what a script has loaded, go
//! on where a script stopped, and undo it.
//!
//! A transaction tries the devices of its range from `done` on, and none where an earlier range is missing or the run is
//! loaded or undone. So a script that is run twice, or again after it was cut off, does what is left. Whatever changes
//! anything ends with a COMMIT of its own, because a client may run the half of a statement that a broken file ends with.
//!
//! Each transaction has the settings of [`crate::smi::settings`] and makes its own staging table, so that nothing of it is left in
//! the session.

use std::fmt::Write as _;
use std::path::Path;

use super::export_file::{ExportFile, ExportedFile};
use super::source::ExportSource;
use super::table::{day, instant, without_nul};
use crate::error::Result;
use crate::estate::time;
use crate::policy::Policy;
use crate::run::read::{Deletes, Manifest, text};
use crate::run::record::RECORD;
use crate::smi::guarded_delete::{
    DeleteParameters, DeviceSql, GuardSpellings, GuardedDelete, LoadTables, LockedRows, literal, literals,
};
use crate::smi::settings;

/// The file.
const NAME: &str = "load.sql";
/// The schema of the device table and of the tables of a load: a variable of psql.
const SCHEMA: &str = ":\"schema\"";
/// The staging table, which ends with its transaction.
const STAGE: &str = "pg_temp.sweep_planned";

/// Writes the file.
pub(super) fn write(source: &ExportSource<'_>, batch_rows: usize, folder: &Path) -> Result<ExportedFile> {
    let script = Script::of(source)?;
    let mut file = ExportFile::create(folder, NAME, None)?;
    let mut out = script.opening(source);
    let (mut first, mut ord) = (0u64, 0u64);
    source.each::<Deletes>(|batch| {
        for row in 0..batch.len() {
            if ord == first {
                let end = source.record.tally.delete.min(first + batch_rows as u64);
                script.begin(&mut out, first, end);
            } else {
                out += ",\n";
            }
            planned(&mut out, ord, batch, row)?;
            ord += 1;
            if ord == first + batch_rows as u64 {
                script.end(&mut out, first, ord);
                first = ord;
            }
        }
        file.write(out.as_bytes(), batch.len())?;
        out.clear();
        Ok(())
    })?;
    if ord > first {
        script.end(&mut out, first, ord);
    }
    script.closing(&mut out);
    file.write(out.as_bytes(), 0)?;
    file.finish()
}

/// Writes what was planned for a device, as a row of a `VALUES` list.
fn planned(out: &mut String, ord: u64, batch: &Deletes, row: usize) -> Result<()> {
    let party = text(&batch.party, row).map(without_nul::<Deletes>).transpose()?;
    let _ = write!(
        out,
        "  ({ord}, {}, {}, TIMESTAMPTZ '{}', DATE '{}', {}, {})",
        literal(batch.id.value(row)),
        literal(without_nul::<Deletes>(batch.device_type.value(row))?),
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
    devices: DeviceSql,
    tables: LoadTables,
    spellings: GuardSpellings,
    /// The policy's alert code, as a literal.
    alert_code: String,
    /// What every transaction begins with.
    begin: String,
}

impl Script {
    fn of(source: &ExportSource<'_>) -> Result<Self> {
        let policy = Policy::from_json(&source.record.policy, RECORD)?;
        Ok(Self {
            run: literal(&source.record.id()),
            devices: DeviceSql::in_schema(SCHEMA, &policy),
            tables: LoadTables::in_schema(SCHEMA),
            spellings: GuardSpellings::of(&policy),
            alert_code: literal(&policy.alerts.code),
            begin: format!("BEGIN;\n{}", settings::for_one_transaction()),
        })
    }

    fn opening(&self, source: &ExportSource<'_>) -> String {
        let record = &source.record;
        let as_of = time::parse(&record.as_of).map(instant).unwrap_or_default();
        format!(
            "-- What run {id} deletes, as of {as_of}: {planned} devices, where they are still due.\n\
             -- psql -X -v ON_ERROR_STOP=1 -f {NAME}; the tables are made by `smi-sweep load --init`.\n\
             -- With -v schema=NAME they, and the table `device`, are in another schema than `public`.\n\
             \\if :{{?schema}}\n\\else\n\\set schema public\n\\endif\n\
             SET client_encoding TO 'UTF8';\n\
             SET standard_conforming_strings TO on;\n\
             {begin}\n\
             INSERT INTO {loads} (run_id, inventory, as_of, state, planned)\n\
             SELECT {run}, n.nspname || '.' || c.relname, TIMESTAMPTZ '{as_of}', 'loading', {planned}\n\
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace\n\
             WHERE n.nspname = :'schema' AND c.relname = 'device'\n\
             ON CONFLICT (run_id) DO NOTHING;\n\
             COMMIT;\n",
            begin = self.begin,
            loads = self.tables.loads,
            id = record.id(),
            planned = record.tally.delete,
            run = self.run,
        )
    }

    /// Whether the load of this run is open, and `done` within a range.
    fn within(&self, first: u64, end: u64) -> String {
        format!("run_id = {} AND state IN ('staged', 'loading') AND done >= {first} AND done < {end}", self.run)
    }

    /// Begins the transaction of a range, up to its rows. The lock on the run's entry keeps a second script out.
    fn begin(&self, out: &mut String, first: u64, end: u64) {
        let _ = write!(
            out,
            "{begin}\n{stage};\nUPDATE {loads} SET state = 'loading' WHERE {within};\n\
             INSERT INTO {STAGE}\nSELECT p.* FROM {loads}, (VALUES\n",
            begin = self.begin,
            stage = self.devices.create_stage(&format!("CREATE TEMPORARY TABLE {STAGE} ON COMMIT DROP")),
            loads = self.tables.loads,
            within = self.within(first, end)
        );
    }

    /// Ends the rows of a range, and the transaction.
    fn end(&self, out: &mut String, first: u64, end: u64) {
        let parameters = DeleteParameters {
            from: first.to_string(),
            to: end.to_string(),
            candidates: literals(&self.spellings.candidates),
            types: literals(&self.spellings.types),
            type_names: literals(&self.spellings.type_names),
            load_id: format!("(SELECT load_id FROM {} WHERE run_id = {})", self.tables.loads, self.run),
            alert_code: self.alert_code.clone(),
            // A range that was begun by another attempt is ended; one that comes too early or too late changes nothing.
            done_before: format!("greatest(done, {first})"),
            done_after: format!("greatest(done, {end})"),
        };
        let text = GuardedDelete { devices: &self.devices, tables: &self.tables, stage: STAGE };
        let _ = writeln!(
            out,
            "\n) AS p(ord, key, device_type, status_since, due_on, party, alert) WHERE {within} AND p.ord >= done;\n\
             {delete};\n{keep};\nCOMMIT;",
            within = self.within(first, end),
            delete = text.delete(LockedRows::Wait, &parameters),
            keep = text.keep(&parameters),
        );
    }

    fn closing(&self, out: &mut String) {
        let run = &self.run;
        let open = format!("run_id = {run} AND state IN ('staged', 'loading') AND done = planned");
        let _ = writeln!(
            out,
            "{begin}\n\
             UPDATE {kept} SET outcome = 'failed', reason = 'held by others'\n\
             WHERE outcome = 'locked' AND load_id = (SELECT load_id FROM {loads} WHERE {open});\n\
             UPDATE {loads} SET state = 'loaded', finished_at = now()\nWHERE {open};\n\
             COMMIT;",
            begin = self.begin,
            kept = self.tables.kept,
            loads = self.tables.loads,
        );
    }
}
