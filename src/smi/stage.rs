//! A run on its way into the inventory: verified, approved, and its delete manifest copied into a staging table.
//!
//! The staging table belongs to one run, and is unlogged: after a crash of the server it is empty, which the next attempt
//! notices, and fills it again. It is dropped when the run is loaded.

use std::path::{Path, PathBuf};

use arrow_array::Array;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use postgres::{Client, GenericClient};

use super::config::Config;
use super::copy::{days_on_wire, instant_on_wire};
use super::fault::failed;
use super::guarded_delete::{DeviceSql, LoadTables};
use super::table::{DeviceTable, qualified, quoted};
use crate::approval::{self, Approval, RequiredApprovals};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, time};
use crate::output::folder_of;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::run::manifest::DELETE;
use crate::run::read::{Batches, Deletes, text};
use crate::run::record::{RECORD, Record};
use crate::run::verify::{Verified, digest, verify};
use crate::shown;

/// A verified run.
#[derive(Debug)]
pub struct Plan {
    /// The run directory.
    pub path: PathBuf,
    /// Its record.
    pub record: Record,
    /// The policy that it was judged by.
    pub policy: Policy,
    /// The run's id, which follows from what it decided: the same decisions have the same id.
    pub id: String,
    /// The moment that it judged by, UTC microseconds.
    pub as_of: i64,
    /// Devices to be deleted.
    pub planned: u64,
    /// The valid approvals, where the configuration requires some.
    pub approvals: Vec<Approval>,
}

impl Plan {
    /// Verifies a run for [`load`](fn@super::load), row by row, and its approvals where some are required.
    ///
    /// # Errors
    /// A run that is not what its record says, several runs at once, too few approvals.
    pub fn for_load(run: &Path, required: Option<&RequiredApprovals>, pool: &Pool) -> Result<Self> {
        let mut plan = Self::for_undo(run, pool)?;
        if let Some(required) = required {
            plan.approvals = approval::check(&plan.path, required)?;
        }
        Ok(plan)
    }

    /// Verifies a run for [`undo`](fn@super::undo), which needs no approval: it is how a mistake is corrected.
    ///
    /// # Errors
    /// A run that is not what its record says, several runs at once.
    pub fn for_undo(run: &Path, pool: &Pool) -> Result<Self> {
        let mut verified = verify(run, pool)?;
        let (Some(Verified { path, record }), true) = (verified.pop(), verified.is_empty()) else {
            return Err(Error::Usage {
                what: format!("{}: has runs of several policies", shown::path(&run)),
                remedy: "name the one run directory that is to be loaded".into(),
            });
        };
        let refuse = |what: String| Error::Verification { path: path.join(RECORD), what };
        let policy = Policy::from_json(&record.policy, RECORD)?;
        let as_of = time::parse(&record.as_of).ok_or_else(|| refuse("as_of is not a time".into()))?;
        let (id, planned) = (record.id(), record.tally.delete);
        Ok(Self { id, as_of, planned, policy, approvals: Vec::new(), path, record })
    }

    /// What the user must repeat to execute this load: the run's id and the devices to be deleted.
    #[must_use]
    pub fn confirmation(&self) -> String {
        format!("{}:{}", self.id, self.planned)
    }

    /// The folder that the run directory is in. Files for the run directory are begun there: a file that was left behind in
    /// the run directory itself would make it invalid.
    pub(super) fn parent(&self) -> Result<PathBuf> {
        let whole = self.path.canonicalize().map_err(Error::io("find", &self.path))?;
        Ok(folder_of(&whole).to_path_buf())
    }
}

/// The staging table of a run, quoted.
pub(super) fn stage_name(config: &Config, run_id: &str) -> String {
    qualified(&config.load.schema, &format!("sweep_stage_{run_id}"))
}

/// Drops the staging table.
pub(super) fn drop_stage(client: &mut impl GenericClient, config: &Config, plan: &Plan) -> Result<()> {
    let name = stage_name(config, &plan.id);
    let sql = format!("DROP TABLE IF EXISTS {name}");
    client.batch_execute(&sql).map_err(failed("cannot drop the staging table"))
}

/// Drops staging tables that no load will use again: those of loads that are done, of runs without an entry, and of other runs
/// of the same device table that were killed before their first transaction or are older. The caller holds the lock on loads of
/// that table. What this user may not drop stays.
pub(super) fn drop_leftovers(
    client: &mut Client,
    config: &Config,
    names: &LoadTables,
    plan: &Plan,
    table: &DeviceTable,
) {
    let leftovers = format!(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         LEFT JOIN {loads} AS l ON c.relname = 'sweep_stage_' || l.run_id \
         WHERE n.nspname = $1::text AND c.relkind = 'r' AND c.relname ~ '^sweep_stage_[0-9a-f]{{16}}$' \
         AND c.relname <> 'sweep_stage_' || $2::text AND (l.run_id IS NULL OR l.state IN ('loaded', 'undone') \
         OR l.inventory = $3::text AND (l.state = 'staged' OR l.as_of < (SELECT as_of FROM {loads} WHERE run_id = $2::text)))",
        loads = names.loads,
    );
    let found = client.query(&leftovers, &[&config.load.schema, &plan.id, &table.shown]).unwrap_or_default();
    for row in found {
        let _ = client.batch_execute(&format!("DROP TABLE IF EXISTS {}", row.get::<_, &str>(0)));
    }
}

/// Whether the staging table holds every planned device. Those that have been tried are needed too: some of them may be
/// tried again at the end.
pub(super) fn is_complete(client: &mut Client, config: &Config, plan: &Plan) -> Result<bool> {
    let trying = "cannot inspect the staging table";
    let exists = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = $1::text AND c.relname = $2::text)";
    let name = format!("sweep_stage_{}", plan.id);
    let found: bool = client.query_one(exists, &[&config.load.schema, &name]).map_err(failed(trying))?.get(0);
    if !found {
        return Ok(false);
    }
    let count = format!("SELECT count(*) FROM {}", stage_name(config, &plan.id));
    let rows: i64 = client.query_one(&count, &[]).map_err(failed(trying))?.get(0);
    Ok(u64::try_from(rows) == Ok(plan.planned))
}

const COPYING: &str = "cannot copy the manifest into the staging table";

/// The wire formats of the staging table's columns. The key's bytes are sent as they are, whatever its type. A timestamp is
/// sent as an integer of eight bytes, a date as one of four (PostgreSQL, Binary COPY).
const WIRE_TYPES: [Type; 7] = [Type::INT8, Type::BYTEA, Type::TEXT, Type::INT8, Type::INT4, Type::TEXT, Type::BOOL];

/// Makes the staging table, and copies the delete manifest into it, in one transaction.
pub(super) fn fill(
    client: &mut Client,
    config: &Config,
    table: &DeviceTable,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<()> {
    let stage = stage_name(config, &plan.id);
    let mut work = client.transaction().map_err(failed(COPYING))?;
    let create = DeviceSql::of(table)?.create_stage(&format!("CREATE UNLOGGED TABLE {stage}"));
    work.batch_execute(&format!("DROP TABLE IF EXISTS {stage}")).map_err(failed(COPYING))?;
    work.batch_execute(&create).map_err(failed(COPYING))?;
    let copy = work.copy_in(&format!("COPY {stage} FROM STDIN (FORMAT binary)")).map_err(failed(COPYING))?;
    let written = copy_manifest(BinaryCopyInWriter::new(copy, &WIRE_TYPES), table, plan, progress)?;
    // The copied bytes are those that were verified.
    digest(&plan.path, &plan.record, DELETE)?;
    if written != plan.planned {
        return Err(Error::Unbalanced(format!("{written} rows were copied of {}", plan.planned)));
    }
    let index = format!("CREATE UNIQUE INDEX {} ON {stage} (ord)", quoted(&format!("sweep_stage_{}_ord", plan.id)));
    work.batch_execute(&index).map_err(failed(COPYING))?;
    work.batch_execute(&format!("ANALYZE {stage}")).map_err(failed(COPYING))?;
    work.commit().map_err(failed(COPYING))
}

/// Writes the rows of the manifest, and returns how many the server received.
fn copy_manifest(
    mut rows: BinaryCopyInWriter<'_>,
    table: &DeviceTable,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<u64> {
    let form = table.column(Column::DeviceId)?.form;
    let mut manifest = Batches::<Deletes>::open(&plan.path)?;
    progress.begin(Stage::Stage, plan.planned);
    let (mut ord, mut buffer) = (0i64, [0; 23]);
    while let Some(batch) = manifest.next_batch()? {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        for row in 0..batch.id.len() {
            let id = DeviceId::from_text(batch.id.value(row).as_bytes()).ok_or_else(|| Error::Verification {
                path: plan.path.join(DELETE),
                what: "changed while it was read".into(),
            })?;
            let length = table.key(form, id, &mut buffer);
            let (since, due_on) = (instant_on_wire(batch.since.value(row)), days_on_wire(batch.due_on.value(row)));
            rows.write(&[
                &ord,
                &&buffer[..length],
                &batch.device_type.value(row),
                &since,
                &due_on,
                &text(&batch.party, row),
                &batch.alert.value(row),
            ])
            .map_err(failed(COPYING))?;
            ord += 1;
        }
        progress.advance(batch.id.len() as u64);
    }
    rows.finish().map_err(failed(COPYING))
}
