//! What a load and an undo share: their options, and a connection that no other load uses at the same time.

use postgres::{Client, GenericClient};

use super::entry::{LoadEntry, LoadState};
use super::fault::{failed, inventory};
use super::guarded_delete::LoadTables;
use super::options::LoadOptions;
use super::preflight::Preflight;
use super::settings::{self, PLAN_BY_INDEX};
use super::stage::{drop_stage, stage_name};
use super::table::{DeviceTable, quoted};
use super::tables::must_be_there;
use crate::error::{Error, Result};
use crate::estate::time::{self, DAY_MICROS};
use crate::output::{check_movable, check_writable};

/// A connection that holds the lock on loads of the device table, which was checked. It is closed at the end.
pub(super) struct Session<'a> {
    pub(super) client: Client,
    pub(super) table: DeviceTable,
    pub(super) names: LoadTables,
    pub(super) options: LoadOptions<'a>,
    /// What surrounds the device table, once a load has looked at it.
    pub(super) preflight: Option<Preflight>,
}

impl<'a> Session<'a> {
    /// Connects, checks all that a load or an undo depends on, and takes the lock. No row is touched.
    pub(super) fn begin(options: LoadOptions<'a>) -> Result<Self> {
        let LoadOptions { plan, target, config, execute, wait_seconds } = options;
        if execute {
            let parent = plan.parent()?;
            check_writable(&parent)?;
            check_movable(&parent, &plan.path)?;
        }
        let mut client = target.connect()?;
        if !config.load.trigger_schemas.is_empty() {
            let schemas: Vec<String> = config.load.trigger_schemas.iter().map(|schema| quoted(schema)).collect();
            client.batch_execute(&settings::look_into(&schemas)).map_err(failed("cannot begin a load"))?;
        }
        let mut table = DeviceTable::find(&mut client, config, &plan.policy)?;
        table.find_key(&mut client)?;
        must_be_there(&mut client, config)?;
        lock_out_others(&mut client, &table, wait_seconds)?;
        Ok(Self { client, table, names: LoadTables::of(config), options, preflight: None })
    }

    /// What the database records of the run's load; `None` where it has none.
    pub(super) fn entry(&mut self) -> Result<Option<LoadEntry>> {
        LoadEntry::find(&mut self.client, &self.names, &self.table, self.options.plan)
    }

    /// The same, made where there is none.
    pub(super) fn entry_or_new(&mut self) -> Result<LoadEntry> {
        LoadEntry::begin(&mut self.client, &self.names, &self.table, self.options.plan)
    }

    pub(super) fn set_state(&mut self, entry: &LoadEntry, state: LoadState) -> Result<()> {
        LoadEntry::set_state(&mut self.client, &self.names, entry.load_id, state)
    }

    pub(super) fn drop_stage(&mut self) -> Result<()> {
        drop_stage(&mut self.client, self.options.config, self.options.plan)
    }

    /// Looks at what surrounds the device table. The staging table must be filled.
    pub(super) fn look_around(&mut self) -> Result<()> {
        let stage = stage_name(self.options.config, &self.options.plan.id);
        self.preflight = Some(Preflight::of(&mut self.client, self.options, &self.table, &stage)?);
        Ok(())
    }

    /// The time by the database's clock, in seconds.
    pub(super) fn clock(&mut self) -> Result<f64> {
        let now = "SELECT extract(epoch FROM clock_timestamp())::float8";
        self.client.query_one(now, &[]).map(|row| row.get(0)).map_err(failed("cannot read the clock of the database"))
    }

    /// Deletes what a dry run left: the load's entry and its staging table.
    pub(super) fn remove_staged(&mut self) -> Result<()> {
        LoadEntry::remove_staged(&mut self.client, self.options.config, &self.names, self.options.plan)
    }

    /// Makes the server plan every batch for its own size, and by index.
    pub(super) fn plan_by_index(&mut self) -> Result<()> {
        self.client.batch_execute(PLAN_BY_INDEX).map_err(failed("cannot begin a load"))
    }

    /// Refuses a run that is too old by the database's clock, or older than one that was loaded already.
    pub(super) fn must_be_timely(&mut self) -> Result<()> {
        let LoadOptions { plan, config, .. } = self.options;
        let refuse = |what: String| Err(Error::Verification { path: plan.path.clone(), what });
        let sql = format!(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
             (SELECT max(extract(epoch FROM as_of) * 1000000)::bigint FROM {} \
             WHERE inventory = $1 AND state <> 'staged' AND run_id <> $2)",
            self.names.loads
        );
        let row =
            self.client.query_one(&sql, &[&self.table.shown, &plan.id]).map_err(failed("cannot read earlier loads"))?;
        let (now, latest): (i64, Option<i64>) = (row.get(0), row.get(1));
        let (as_of, days) = (&plan.record.as_of, config.load.max_age_days);
        if plan.as_of > now {
            return refuse(format!("its as-of {as_of} is in the future by the database's clock"));
        }
        if now - plan.as_of > i64::from(days) * DAY_MICROS {
            let now = time::format_instant(now);
            return refuse(format!("its as-of is {as_of}; it is {now}, and {days} days are allowed"));
        }
        match latest {
            Some(latest) if latest > plan.as_of => {
                refuse(format!("a later run, as of {}, has been loaded already", time::format_instant(latest)))
            }
            _ => Ok(()),
        }
    }
}

/// Waits until no other load of the table runs, and keeps others out until the connection ends.
///
/// # Errors
/// Where another load runs for longer than `wait_seconds`.
fn lock_out_others(client: &mut impl GenericClient, table: &DeviceTable, wait_seconds: u32) -> Result<()> {
    // The first key is `SMIS` in ASCII, the second the table.
    let lock = "SELECT pg_advisory_lock(1397573971, $1)";
    let wait = format!("SET lock_timeout = {}", u64::from(wait_seconds.max(1)) * 1000);
    client.batch_execute(&wait).map_err(failed("cannot begin a load"))?;
    match client.execute(lock, &[&table.oid.cast_signed()]) {
        Ok(_) => Ok(()),
        Err(error) if error.code().is_some_and(|code| code.code() == "55P03") => Err(Error::Inventory {
            what: format!("another load of table {} is running", table.shown),
            remedy: "wait until it is done; nothing was changed".into(),
        }),
        Err(error) => Err(inventory("cannot begin a load", &error)),
    }
}
