//! How many bytes a device takes in the live inventory: the table with its indexes and TOAST, divided by its rows.

use super::config::Config;
use super::connect::Target;
use super::fault::failed;
use super::table::{DeviceTable, TableKind};
use crate::error::{Error, Result};
use crate::policy::Policy;

/// The size of the device table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The device table: schema and name.
    pub table: String,
    /// Rows, counted.
    pub rows: u64,
    /// Its bytes by `pg_total_relation_size`, with those of its partitions and of tables that inherit from it.
    pub bytes: u64,
}

impl Weight {
    /// Bytes per row; `None` for an empty table.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sizes of an inventory fit into the mantissa")]
    pub fn per_row(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.bytes as f64 / self.rows as f64)
    }
}

/// Measures the device table. Rows are counted, not estimated: a table that was never analysed has no estimate.
///
/// # Errors
/// A server that cannot be reached or refuses, no such table, or a view, which has no size of its own.
pub fn weigh(target: &Target, config: &Config, policy: &Policy) -> Result<Weight> {
    const SIZE: &str = "WITH RECURSIVE part(oid) AS (SELECT $1::oid UNION \
                        SELECT i.inhrelid FROM pg_inherits i JOIN part ON i.inhparent = part.oid) \
                        SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM part";
    let mut client = target.connect()?;
    let table = DeviceTable::find(&mut client, config, policy)?;
    if table.kind == TableKind::View {
        return Err(Error::Inventory {
            what: format!("{} is a view, which has no size of its own", table.shown),
            remedy: "name the table, or give `bytes_per_row` under [storage] of the scenario".into(),
        });
    }
    let weighing = format!("cannot measure table {}", table.shown);
    let bytes: i64 = client.query_one(SIZE, &[&table.oid]).map_err(failed(&weighing))?.get(0);
    let count = format!("SELECT count(*) FROM {}", table.name);
    let rows: i64 = client.query_one(&count, &[]).map_err(failed(&weighing))?.get(0);
    let whole = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(Weight { rows: whole(rows), bytes: whole(bytes), table: table.shown })
}
