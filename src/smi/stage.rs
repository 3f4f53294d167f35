//! A run on its way into the inventory: verified, approved, and its delete manifest handed over by binary COPY.
//!
//! The staging table is of this run alone, and unlogged: after a crash of the server it is empty, which is noticed, and
//! filled again. It is dropped when the run is loaded.

use std::path::{Path, PathBuf};

use arrow_array::Array;
use postgres::Client;

use super::config::Config;
use super::copy::{CopyWriter, Value};
use super::fault::failed;
use super::guarded_delete::DeviceSql;
use super::table::{Table, qualified, quoted};
use crate::approval::{self, Approval, RequiredApprovals};
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, time};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::run::manifest::DELETE;
use crate::run::read::{Batches, Deletes, text};
use crate::run::record::{RECORD, Record};
use crate::run::verify::{Verified, digest, verify};

/// A run that may be loaded, as far as the run itself tells.
#[derive(Debug)]
pub struct Plan {
    /// The run directory.
    pub path: PathBuf,
    /// Its record.
    pub record: Record,
    /// The policy that it was judged by.
    pub policy: Policy,
    /// What tells it from all others.
    pub id: String,
    /// The moment that it judged by, UTC microseconds.
    pub as_of: i64,
    /// Devices to delete.
    pub planned: u64,
    /// Who has approved it, where that is asked for.
    pub approvals: Vec<Approval>,
}

impl Plan {
    /// Verifies a run, row by row, and asks whether it is approved where approvals are required.
    ///
    /// # Errors
    /// A run that is not what its record says, several at once, too few approvals.
    pub fn of(run: &Path, required: Option<&RequiredApprovals>, pool: &Pool) -> Result<Self> {
        let mut verified = verify(run, pool)?;
        let (Some(Verified { path, record }), true) = (verified.pop(), verified.is_empty()) else {
            return Err(Error::Usage {
                what: format!("{}: has runs of several policies", run.display()),
                remedy: "name the one run directory that is to be loaded".into(),
            });
        };
        let approvals = match required {
            Some(required) => approval::check(&path, required)?,
            None => Vec::new(),
        };
        let refuse = |what: String| Error::Verification { path: path.join(RECORD), what };
        let policy = Policy::from_json(&record.policy, RECORD)?;
        let as_of = time::parse(&record.as_of).ok_or_else(|| refuse("as_of is not a time".into()))?;
        Ok(Self { id: record.id(), as_of, planned: record.tally.delete, policy, approvals, path, record })
    }

    /// What confirms this run and no other.
    #[must_use]
    pub fn confirmation(&self) -> String {
        format!("{}:{}", self.id, self.planned)
    }
}

/// The staging table of a run, quoted.
pub(super) fn table_of(config: &Config, run_id: &str) -> String {
    qualified(&config.load.schema, &format!("sweep_stage_{run_id}"))
}

/// Whether the staging table holds all that is still to be done.
pub(super) fn is_whole(client: &mut Client, config: &Config, plan: &Plan, done: i64) -> Result<bool> {
    let trying = "cannot look at the staging table";
    let exists = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = $1::text AND c.relname = $2::text)";
    let name = format!("sweep_stage_{}", plan.id);
    let found: bool = client.query_one(exists, &[&config.load.schema, &name]).map_err(failed(trying))?.get(0);
    if !found {
        return Ok(false);
    }
    let count = format!("SELECT count(*) FROM {} WHERE ord >= $1", table_of(config, &plan.id));
    let rows: i64 = client.query_one(&count, &[&done]).map_err(failed(trying))?.get(0);
    Ok(u64::try_from(rows + done) == Ok(plan.planned))
}

/// Hands the delete manifest over, all of it or nothing.
pub(super) fn fill(
    client: &mut Client,
    config: &Config,
    table: &Table,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<()> {
    let trying = "cannot hand the manifest over";
    let (stage, key) = (table_of(config, &plan.id), table.column(Column::DeviceId)?);
    let mut work = client.transaction().map_err(failed(trying))?;
    let create = DeviceSql::of(table)?.create_stage(&format!("CREATE UNLOGGED TABLE {stage}"));
    work.batch_execute(&format!("DROP TABLE IF EXISTS {stage}")).map_err(failed(trying))?;
    work.batch_execute(&create).map_err(failed(trying))?;
    let copy = work.copy_in(&format!("COPY {stage} FROM STDIN (FORMAT binary)")).map_err(failed(trying))?;
    let mut rows = CopyWriter::new(copy);
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
            let length = table.key(key.form, id, &mut buffer);
            rows.row(&[
                Value::Integer(ord),
                Value::Bytes(&buffer[..length]),
                Value::Bytes(batch.device_type.value(row).as_bytes()),
                Value::Instant(batch.since.value(row)),
                Value::Day(batch.due_on.value(row)),
                text(&batch.party, row).map_or(Value::Null, |party| Value::Bytes(party.as_bytes())),
                Value::Flag(batch.alert.value(row)),
            ])?;
            ord += 1;
        }
        progress.advance(batch.id.len() as u64);
    }
    let written = rows.finish()?.finish().map_err(failed(trying))?;
    // What was handed over is what was verified.
    digest(&plan.path, &plan.record, DELETE)?;
    if written != plan.planned || u64::try_from(ord) != Ok(plan.planned) {
        return Err(Error::Unbalanced(format!("{written} rows were handed over of {}", plan.planned)));
    }
    let index = format!("CREATE UNIQUE INDEX {} ON {stage} (ord)", quoted(&format!("sweep_stage_{}_ord", plan.id)));
    work.batch_execute(&index).map_err(failed(trying))?;
    work.batch_execute(&format!("ANALYZE {stage}")).map_err(failed(trying))?;
    work.commit().map_err(failed(trying))
}
