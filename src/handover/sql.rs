//! The deletions as SQL for PostgreSQL: guarded transactions of so many devices each.
//!
//! The statements are those of [`crate::smi::guarded_delete`], and their parameters are those of `smi-sweep load`. They keep the
//! same tables, so that `load` can account for what a script has loaded, go on where a script stopped, and undo it.
//!
//! A transaction copies its range into a temporary staging table, and runs a block of PL/pgSQL: [`RANGE`]. That tries the
//! devices from `done` on, and none where an earlier range is missing or the run is loaded or undone. So a script that is run
//! twice, or again after it was cut off, does what is left. Whatever changes anything ends with a COMMIT of its own, because
//! a client may run the half of a statement that a broken file ends with.
//!
//! Each transaction has the settings of [`crate::smi::settings`] and makes its own staging table, so that nothing of it is left in
//! the session.

use std::fmt::Write as _;
use std::path::Path;

use super::export_file::{ExportFile, ExportedFile};
use super::source::ExportSource;
use super::table::{day, instant, without_nul};
use crate::error::{Error, Result};
use crate::estate::{Column, time};
use crate::policy::Policy;
use crate::run::read::{Deletes, Manifest, text};
use crate::run::record::RECORD;
use crate::shown;
use crate::smi::guarded_delete::{
    DeleteParameters, DeviceSql, GuardSpellings, GuardedDelete, KEY, LoadTables, LockedRows, literal, literals,
};
use crate::smi::{NOT_OF_A_ROW, columns_sql, settings};

/// The file.
const NAME: &str = "load.sql";
/// The schema of the device table and of the tables of a load: a variable of psql.
const SCHEMA: &str = ":\"schema\"";
/// The block that loads a range.
const RANGE: &str = include_str!("range.sql");
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
                script.begin(&mut out);
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
    /// [`RANGE`] without the places of the range.
    block: String,
    /// What every transaction begins with.
    begin: String,
}

impl Script {
    fn of(source: &ExportSource<'_>) -> Result<Self> {
        let policy = Policy::from_json(&source.record.policy, RECORD)?;
        // Within the dollar quotes of the block an identifier could end them.
        if let Some(name) = policy.spellings.columns.keys().find(|name| name.contains(['$', '@'])) {
            return Err(Error::Usage {
                what: format!("the policy maps column {}, whose name a script cannot quote", shown::quoted(name)),
                remedy: "load the run with `smi-sweep load`".into(),
            });
        }
        let (devices, tables) = (DeviceSql::at_run_time(&policy), LoadTables::in_schema("@@schema@@"));
        let run = literal(&source.record.id());
        Ok(Self {
            block: block(&policy, &run, &GuardedDelete { devices: &devices, tables: &tables, stage: STAGE }),
            run,
            devices,
            begin: format!(
                "BEGIN;\n{} SET LOCAL smi_sweep.schema TO :'schema'; SET LOCAL smi_sweep.max_age_days TO :'max_age_days';",
                settings::for_one_transaction()
            ),
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
             -- A run whose as-of is more than 7 days ago is refused; -v max_age_days=N allows more.\n\
             \\if :{{?max_age_days}}\n\\else\n\\set max_age_days 7\n\\endif\n\
             SET client_encoding TO 'UTF8';\n\
             SET standard_conforming_strings TO on;\n\
             {begin}\n\
             INSERT INTO {SCHEMA}.sweep_load (run_id, inventory, as_of, state, planned)\n\
             SELECT {run}, n.nspname || '.' || c.relname, TIMESTAMPTZ '{as_of}', 'staged', {planned}\n\
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace\n\
             WHERE n.nspname = :'schema' AND c.relname = 'device'\n\
             ON CONFLICT (run_id) DO NOTHING;\n\
             COMMIT;\n",
            begin = self.begin,
            id = record.id(),
            planned = record.tally.delete,
            run = self.run,
        )
    }

    /// Begins the transaction of a range, up to its rows.
    fn begin(&self, out: &mut String) {
        let create = format!("CREATE TEMPORARY TABLE {STAGE} ON COMMIT DROP");
        let stage = self.devices.create_stage(&create).replace("@@schema@@", SCHEMA);
        let _ = write!(out, "{}\n{stage};\nINSERT INTO {STAGE} VALUES\n", self.begin);
    }

    /// Ends the rows of a range, and the transaction.
    fn end(&self, out: &mut String, first: u64, end: u64) {
        let block = self.block.replace("@first@", &first.to_string()).replace("@end@", &end.to_string());
        let _ = write!(out, ";\n{block}COMMIT;\n");
    }

    fn closing(&self, out: &mut String) {
        let run = &self.run;
        let open = format!("run_id = {run} AND state IN ('staged', 'loading') AND done = planned");
        let _ = writeln!(
            out,
            "{begin}\n\
             UPDATE {SCHEMA}.sweep_load_kept SET outcome = 'failed', reason = 'held by others'\n\
             WHERE outcome = 'locked' AND load_id = (SELECT load_id FROM {SCHEMA}.sweep_load WHERE {open});\n\
             UPDATE {SCHEMA}.sweep_load SET state = 'loaded', finished_at = now()\nWHERE {open};\n\
             COMMIT;",
            begin = self.begin,
        );
    }
}

/// [`RANGE`] for a run: its statements and their parameters.
fn block(policy: &Policy, run: &str, text: &GuardedDelete<'_>) -> String {
    let bound = DeleteParameters::bound();
    let of_range = DeleteParameters { load_id: "$3::integer".into(), ..DeleteParameters::bound() };
    let GuardSpellings { candidates, types, type_names, silent } = GuardSpellings::of(policy);
    let guard = [candidates, types, type_names, silent].map(|words| in_block(&literals(&words))).join(", ");
    let of_column = |column: Column| in_block(&literal(policy.spellings.name_of(column).unwrap_or(column.name())));
    let places = [
        ("@delete@", text.counted(LockedRows::Wait, &bound)),
        ("@respell@", text.respell(&of_range).unwrap_or_default()),
        ("@keep@", text.keep(&bound)),
        ("@written@", text.written(&of_range)),
        ("@columns_of_device@", columns_sql("@@schema@@.device")),
        ("@columns_of_archive@", columns_sql("@@schema@@.device_removed")),
        ("@key@", KEY.into()),
        ("@not_of_a_row@", NOT_OF_A_ROW.map(literal).join(", ")),
        ("@guard@", guard),
        ("@run@", run.into()),
        ("@alert_code@", in_block(&literal(&policy.alerts.code))),
        ("@role_column@", of_column(Column::NotifyingRole)),
        ("@id_column@", of_column(Column::DeviceId)),
    ];
    places.iter().fold(RANGE.to_owned(), |block, (place, sql)| block.replace(place, sql))
}

/// A literal within the dollar quotes of the block, which it cannot end.
fn in_block(literal: &str) -> String {
    literal.replace('$', "'||chr(36)||'").replace('@', "'||chr(64)||'")
}
