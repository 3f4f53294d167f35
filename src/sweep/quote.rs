//! Reads the values of quarantined rows again, as stored in the snapshot.
//!
//! While rows are judged, only their numbers and reasons are kept, so that a bad row costs no more than a good one. The
//! rows that are read again are few, because the guard limits their number.

use std::collections::HashMap;

use super::findings::Quarantined;
use crate::error::Result;
use crate::estate::{Column, Reason};
use crate::scan::columns::ColumnValue;
use crate::scan::{RangeReader, RowRange, Scan, values};
use crate::snapshot::PhysicalForm;

/// Reads the values of `rows`: zero-based numbers within the snapshot, ascending. Only ranges with such a row are read.
///
/// # Errors
/// Damaged data, or an interruption.
pub fn quote(scan: &Scan<'_>, rows: &[(u64, Reason)]) -> Result<Vec<Quarantined>> {
    let mut ranges = Vec::new();
    let mut of_range: HashMap<u64, &[(u64, Reason)]> = HashMap::new();
    let mut rest = rows;
    for range in scan.ranges() {
        let (inside, after) = rest.split_at(rest.partition_point(|(row, _)| *row < range.row_number(range.rows.end)));
        if !inside.is_empty() {
            of_range.insert(range.row_number(range.rows.start), inside);
            ranges.push(range);
        }
        rest = after;
    }
    let first = |range: &RowRange| range.row_number(range.rows.start);
    let quoted = scan.run_ranges(
        &ranges,
        || (),
        |range, ()| quote_range(range, of_range.get(&first(range.range)).copied().unwrap_or_default()),
    )?;
    Ok(quoted.parts.into_iter().flatten().collect())
}

fn quote_range(range: &mut RangeReader<'_>, rows: &[(u64, Reason)]) -> Result<Vec<Quarantined>> {
    let mut quoted: Vec<Quarantined> = rows
        .iter()
        .map(|&(row, reason)| Quarantined {
            row,
            reason,
            device_id: None,
            device_type: None,
            smi_status: None,
            since: None,
            party: None,
        })
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|(row, _)| (row - range.range.group_first_row) as u32).collect();
    for (column, bound) in range.file.columns.iter() {
        let dates = &range.file.dates;
        range.values(column, &numbers, |index, value| match column {
            Column::StatusSince => quoted[index].since = dates.read(value.bytes),
            column => set(&mut quoted[index], column, bound.form(), value),
        })?;
    }
    Ok(quoted)
}

/// Sets a field of the row to the value of a column other than the date, as stored.
fn set(row: &mut Quarantined, column: Column, form: PhysicalForm, value: ColumnValue<'_>) {
    let Some(bytes) = value.bytes else { return };
    match column {
        Column::DeviceId => row.device_id = Some(values::id_as_found(form, bytes)),
        Column::DeviceType => row.device_type = Some(String::from_utf8_lossy(bytes).into_owned()),
        Column::SmiStatus => row.smi_status = Some(String::from_utf8_lossy(bytes).into_owned()),
        Column::NotifyingParty => {
            let found = values::party_as_found(form, bytes);
            row.party = Some(found.unwrap_or_else(|| String::from_utf8_lossy(bytes)).into_owned());
        }
        Column::StatusSince | Column::NotifyingRole | Column::CspRegion => {}
    }
}
