//! Quotes quarantined rows: reads their values again, as they were found.
//!
//! While rows are judged only their numbers and reasons are kept, so that a bad row costs no more than a good one. There
//! are few by the time they are quoted: the guard has let them pass.

use std::ops::Range;

use super::dates;
use super::fields;
use super::findings::Quarantined;
use super::lanes::{Lane, LaneBuffers, Reader, Value, sparse};
use crate::error::Result;
use crate::estate::{Column, Reason};
use crate::pool::Pool;
use crate::snapshot::{Form, Snapshot, SourceFile};

/// Reads the values of rows, which ascend.
///
/// # Errors
/// Damaged data.
pub fn quote(snapshot: &Snapshot, rows: &[(u64, Reason)], reader: Reader, pool: &Pool) -> Result<Vec<Quarantined>> {
    let mut tasks = Vec::new();
    let mut at = 0;
    for file in snapshot.files() {
        let mut group_rows = file.first_row..file.first_row;
        for group in 0..file.footer.num_row_groups() {
            group_rows = group_rows.end..group_rows.end + file.group_rows(group) as u64;
            let end = at + rows[at..].partition_point(|(row, _)| *row < group_rows.end);
            if at < end {
                tasks.push((file, group, group_rows.clone(), &rows[at..end]));
            }
            at = end;
        }
    }
    let quoted = pool.map_with(tasks, LaneBuffers::default, |buffers, (file, group, group_rows, rows)| {
        quote_group(file, group, &group_rows, rows, reader, buffers)
    })?;
    Ok(quoted.into_iter().flatten().collect())
}

fn quote_group(
    file: &SourceFile,
    group: usize,
    group_rows: &Range<u64>,
    rows: &[(u64, Reason)],
    reader: Reader,
    buffers: &mut LaneBuffers,
) -> Result<Vec<Quarantined>> {
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
    let numbers: Vec<u32> = rows.iter().map(|(row, _)| (row - group_rows.start) as u32).collect();
    for (column, bound) in file.columns.iter() {
        let set = |row: &mut Quarantined, form: Form, value: Value<'_>| {
            let Some(bytes) = value.bytes else { return };
            match column {
                Column::DeviceId => row.device_id = Some(fields::id_as_found(form, bytes)),
                Column::DeviceType => row.device_type = Some(String::from_utf8_lossy(bytes).into_owned()),
                Column::SmiStatus => row.smi_status = Some(String::from_utf8_lossy(bytes).into_owned()),
                Column::StatusSince => row.since = Some(dates::micros(form, bytes)),
                Column::NotifyingParty => {
                    let found = fields::party_as_found(form, bytes);
                    row.party = Some(found.unwrap_or_else(|| String::from_utf8_lossy(bytes)).into_owned());
                }
                Column::NotifyingRole | Column::CspRegion => {}
            }
        };
        let lane = Lane { file, group, bound };
        sparse::read(lane, &numbers, reader, buffers, |index, value| set(&mut quoted[index], bound.form, value))?;
    }
    Ok(quoted)
}
