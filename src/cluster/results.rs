//! The rows that the cluster lists, as the findings of a sweep.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BooleanArray, Int64Array, RecordBatch, StringArray};

use super::files::Files;
use super::runner::Counted;
use crate::error::{Error, Result};
use crate::estate::{DeviceId, DeviceType, Disposition, Reason, SmiStatus, TallyByType, TypeNames};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::run::read::text;
use crate::scan::{Parties, PartyCode, PartyRegister};
use crate::shown;
use crate::snapshot::flat_file::FlatFile;
use crate::sweep::{Due, Findings, Quarantined, SettleRules, settle};
use crate::system::input;

/// Rows of a batch at most.
const BATCH_ROWS: usize = 16 * 1024;

/// Adds up what was counted, by type.
pub(super) fn tally(counted: &Counted, types: &TypeNames) -> Result<TallyByType> {
    let mut tally = TallyByType::default();
    for count in &counted.counts {
        let reason = count.reason.as_deref();
        let disposition = match (count.disposition.as_str(), count.alert) {
            ("not_candidate", _) => Disposition::NotCandidate,
            ("excluded", _) => Disposition::Excluded,
            ("not_due", _) => Disposition::NotDue,
            ("delete", Some(alert)) => Disposition::Delete { alert },
            _ => Disposition::Quarantined(
                Reason::ALL
                    .into_iter()
                    .find(|known| Some(known.name()) == reason)
                    .ok_or_else(|| unexpected(format!("the verdict {} {reason:?}", count.disposition)))?,
            ),
        };
        tally.add(type_code(types, &count.device_type), disposition, count.rows);
    }
    Ok(tally)
}

fn type_code(types: &TypeNames, name: &str) -> u8 {
    match name {
        "(null)" => DeviceType::NULL,
        name => types.get(name).map_or(DeviceType::UNKNOWN, DeviceType::code),
    }
}

fn unexpected(what: impl std::fmt::Display) -> Error {
    Error::Unbalanced(format!("the cluster gave {what}"))
}

/// Reads the rows that the cluster has written into a folder, and checks that they are those that were counted.
pub(super) fn findings(
    folder: &Path,
    files: &Files,
    policy: &Policy,
    counted: TallyByType,
    pool: &Pool,
) -> Result<Findings> {
    let mut listed =
        Listed { policy, files, parties: PartyRegister::default(), due: Vec::new(), quarantined: Vec::new() };
    for part in parts(folder)? {
        listed.read(&part)?;
    }
    let Listed { parties, due, mut quarantined, .. } = listed;
    let (parties, rank) = Parties::sorted(parties.into_names());
    // The query has found the duplicates, so that no row is left to quarantine.
    let settled = settle(&due, &SettleRules { rank: &rank, duplicates: &[], room: 0 }, pool)?;
    let total = counted.total();
    let deletes = settled.by_type.total();
    if (deletes.alerts, deletes.silent_deletes) != (total.alerts, total.silent_deletes) || deletes.quarantined() > 0 {
        return Err(unexpected(format!("{} deletions, and counted {}", deletes.deletes(), total.deletes())));
    }
    if quarantined.len() as u64 != total.quarantined() {
        return Err(unexpected(format!("{} quarantined rows, and counted {}", quarantined.len(), total.quarantined())));
    }
    quarantined.sort_unstable_by_key(|row| row.row);
    Ok(Findings { by_type: counted, due: settled.due, parties, by_party: settled.by_party, quarantined })
}

/// The Parquet files of a folder, by name.
fn parts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("part-") {
            parts.push(path);
        }
    }
    parts.sort();
    Ok(parts)
}

struct Listed<'a> {
    policy: &'a Policy,
    files: &'a Files,
    parties: PartyRegister,
    /// The rows of each part, by ascending Device ID.
    due: Vec<Vec<Due>>,
    quarantined: Vec<Quarantined>,
}

impl Listed<'_> {
    fn read(&mut self, path: &Path) -> Result<()> {
        let refuse = |what: String| unexpected(format!("{}: {what}", shown::path(path)));
        let file = input::open(path).map_err(Error::io("open", path))?;
        let batches = FlatFile::of(file).and_then(|file| file.batches(BATCH_ROWS)).map_err(refuse)?;
        let mut due = Vec::new();
        for batch in batches {
            let batch = batch.map_err(refuse)?;
            let rows = ListedRows::of(&batch).ok_or_else(|| refuse("other columns".into()))?;
            for row in 0..batch.num_rows() {
                self.take(&rows, row, &mut due)?;
            }
        }
        due.sort_unstable_by_key(|due: &Due| due.id);
        self.due.push(due);
        Ok(())
    }

    fn take(&mut self, rows: &ListedRows, row: usize, due: &mut Vec<Due>) -> Result<()> {
        let place = (text(&rows.source_file, row), rows.row_in_file.is_valid(row).then(|| rows.row_in_file.value(row)));
        let (Some(file), Some(row_in_file)) = place else { return Err(unexpected("a row without a place")) };
        let number = self.files.row(file, row_in_file as u64).ok_or_else(|| unexpected(format!("a row of {file}")))?;
        let since = rows.since.is_valid(row).then(|| rows.since.value(row));
        if let Some(reason) = text(&rows.reason, row) {
            let reason = Reason::ALL.into_iter().find(|known| known.name() == reason);
            self.quarantined.push(Quarantined {
                row: number,
                reason: reason.ok_or_else(|| unexpected("an unknown reason"))?,
                device_id: text(&rows.id_found, row).map(str::to_owned),
                device_type: text(&rows.type_found, row).map(str::to_owned),
                smi_status: text(&rows.status_found, row).map(str::to_owned),
                since,
                party: text(&rows.party_found, row).map(str::to_owned),
            });
            return Ok(());
        }
        let id = text(&rows.id, row).and_then(|id| DeviceId::from_text(id.as_bytes()));
        let status = text(&rows.status, row).and_then(SmiStatus::from_name);
        let (Some(id), Some(since), Some(status), true) = (id, since, status, rows.alert.is_valid(row)) else {
            return Err(unexpected(format!("a deletion without its values, {file} row {row_in_file}")));
        };
        let party = match text(&rows.party, row) {
            Some(name) => PartyCode::Party(self.parties.number(name)),
            None => PartyCode::Missing,
        };
        due.push(Due {
            id,
            since,
            row: number,
            party: party.number(),
            type_code: type_code(&self.policy.types, text(&rows.device_type, row).unwrap_or_default()),
            status_code: status.code(),
            alert: rows.alert.value(row),
        });
        Ok(())
    }
}

/// The columns of a batch of listed rows.
struct ListedRows {
    source_file: StringArray,
    row_in_file: Int64Array,
    reason: StringArray,
    alert: BooleanArray,
    id: StringArray,
    device_type: StringArray,
    status: StringArray,
    since: Int64Array,
    party: StringArray,
    id_found: StringArray,
    type_found: StringArray,
    status_found: StringArray,
    party_found: StringArray,
}

impl ListedRows {
    fn of(batch: &RecordBatch) -> Option<Self> {
        let columns: BTreeMap<&str, &dyn Array> =
            batch.schema_ref().fields().iter().zip(batch.columns()).map(|(f, c)| (f.name().as_str(), &**c)).collect();
        let texts = |name: &str| columns.get(name)?.as_string_opt::<i32>().cloned();
        let numbers = |name: &str| columns.get(name)?.as_primitive_opt::<Int64Type>().cloned();
        Some(Self {
            source_file: texts("source_file")?,
            row_in_file: numbers("row_in_file")?,
            reason: texts("reason")?,
            alert: columns.get("alert")?.as_boolean_opt()?.clone(),
            id: texts("device_id")?,
            device_type: texts("device_type")?,
            status: texts("smi_status")?,
            since: numbers("status_since_us")?,
            party: texts("notifying_party")?,
            id_found: texts("device_id_found")?,
            type_found: texts("device_type_found")?,
            status_found: texts("smi_status_found")?,
            party_found: texts("notifying_party_found")?,
        })
    }
}
