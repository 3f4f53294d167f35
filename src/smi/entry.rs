//! What the database records of a load: its row in `sweep_load`.

use postgres::{Client, GenericClient};

use super::config::Config;
use super::fault::failed;
use super::guarded_delete::LoadTables;
use super::shape::{TableColumns, parse};
use super::stage::{Plan, drop_stage};
use super::table::DeviceTable;
use crate::error::{Error, Result};
use crate::estate::time;

/// How far a load has come: the column `state` of `sweep_load`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadState {
    /// The manifest is copied; nothing is committed.
    Staged,
    /// Some batches are committed.
    Loading,
    /// Every planned device is accounted for.
    Loaded,
    /// An undo has begun.
    Undoing,
    /// Every removed row is restored, or its device has come back.
    Undone,
}

impl LoadState {
    const ALL: [Self; 5] = [Self::Staged, Self::Loading, Self::Loaded, Self::Undoing, Self::Undone];

    /// The text in the database and in `load.json`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| Error::Inventory {
            what: format!("sweep_load has a load in the unknown state `{name}`"),
            remedy: "see which program wrote it".into(),
        })
    }
}

/// A row of `sweep_load`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoadEntry {
    pub(super) load_id: i32,
    pub(super) state: LoadState,
    /// Devices in the delete manifest.
    pub(super) planned: i64,
    /// How many of them have been tried, in the manifest's order.
    pub(super) done: i64,
    /// Devices that were deleted.
    pub(super) deleted: i64,
    /// Alerts that were written.
    pub(super) alerts: i64,
    /// Times by the database's clock, RFC 3339.
    pub(super) started_at: String,
    pub(super) finished_at: Option<String>,
    pub(super) undone_at: Option<String>,
    /// The columns that the load archives. `None` before its first transaction, and for loads of earlier versions.
    pub(super) columns: Option<TableColumns>,
}

impl LoadEntry {
    /// The row of a run; `None` where it has none. A run that was loaded into another table is refused: its rows are neither
    /// deleted from this one nor restored to it.
    pub(super) fn find(
        client: &mut Client,
        names: &LoadTables,
        table: &DeviceTable,
        plan: &Plan,
    ) -> Result<Option<Self>> {
        const MICROS: &str = "(extract(epoch FROM started_at) * 1000000)::bigint, \
                              (extract(epoch FROM finished_at) * 1000000)::bigint, \
                              (extract(epoch FROM undone_at) * 1000000)::bigint";
        let sql = format!(
            "SELECT load_id, state, planned, done, deleted, alerts, {MICROS}, columns::text, inventory FROM {} WHERE run_id = $1",
            names.loads
        );
        let row = client.query_opt(&sql, &[&plan.id]).map_err(failed("cannot read earlier loads"))?;
        let Some(row) = row else { return Ok(None) };
        let inventory: &str = row.get(10);
        if inventory != table.shown {
            return Err(Error::Inventory {
                what: format!(
                    "the load of this run is of table {inventory}, and the configuration names {}",
                    table.shown
                ),
                remedy: "name the table that the run was loaded into under [inventory]".into(),
            });
        }
        let time = |micros: Option<i64>| micros.map(time::format_instant);
        Ok(Some(Self {
            load_id: row.get(0),
            state: LoadState::from_name(row.get(1))?,
            planned: row.get(2),
            done: row.get(3),
            deleted: row.get(4),
            alerts: row.get(5),
            started_at: time(row.get(6)).unwrap_or_default(),
            finished_at: time(row.get(7)),
            undone_at: time(row.get(8)),
            columns: row.get::<_, Option<&str>>(9).map(parse).transpose()?,
        }))
    }

    /// The row of a run, made where there is none.
    pub(super) fn begin(client: &mut Client, names: &LoadTables, table: &DeviceTable, plan: &Plan) -> Result<Self> {
        let sql = format!(
            "INSERT INTO {} (run_id, inventory, as_of, state, planned) VALUES ($1, $2, \
             timestamptz 'epoch' + $3::bigint * interval '1 microsecond', 'staged', $4) ON CONFLICT (run_id) DO NOTHING",
            names.loads
        );
        let planned = i64::try_from(plan.planned).unwrap_or(i64::MAX);
        client
            .execute(&sql, &[&plan.id, &table.shown, &plan.as_of, &planned])
            .map_err(failed("cannot begin a load"))?;
        Self::find(client, names, table, plan)?
            .ok_or_else(|| Error::Unbalanced("the load that was begun is not in sweep_load".into()))
    }

    /// Begins the transactions of a load whose device table has these columns.
    pub(super) fn set_loading(&self, client: &mut Client, names: &LoadTables, columns: &TableColumns) -> Result<()> {
        let recording = "cannot record the state of the load";
        let columns = serde_json::to_string(columns).map_err(|error| Error::Unbalanced(error.to_string()))?;
        let sql =
            format!("UPDATE {} SET columns = $2::text::jsonb WHERE load_id = $1 AND state = 'staged'", names.loads);
        let mut work = client.transaction().map_err(failed(recording))?;
        work.execute(&sql, &[&self.load_id, &columns]).map_err(failed(recording))?;
        Self::set_state(&mut work, names, self.load_id, LoadState::Loading)?;
        work.commit().map_err(failed(recording))
    }

    /// Sets the state, and with `Loaded` and `Undone` the time.
    pub(super) fn set_state(
        client: &mut impl GenericClient,
        names: &LoadTables,
        load_id: i32,
        state: LoadState,
    ) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET state = $2, finished_at = CASE WHEN $2 = 'loaded' THEN clock_timestamp() ELSE finished_at END, \
             undone_at = CASE WHEN $2 = 'undone' THEN clock_timestamp() ELSE undone_at END WHERE load_id = $1",
            names.loads
        );
        let set = client.execute(&sql, &[&load_id, &state.name()]);
        set.map(drop).map_err(failed("cannot record the state of the load"))
    }

    /// Deletes the row of a load of which nothing is committed, and its staging table.
    pub(super) fn remove_staged(client: &mut Client, config: &Config, names: &LoadTables, plan: &Plan) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE run_id = $1 AND state = 'staged'", names.loads);
        if client.execute(&sql, &[&plan.id]).map_err(failed("cannot clean up after the dry run"))? > 0 {
            drop_stage(client, config, plan)?;
        }
        Ok(())
    }
}
