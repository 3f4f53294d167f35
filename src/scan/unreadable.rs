//! Finds columns of which not one value can be read: they are of another form than the policy knows, and no row of the
//! snapshot can be judged by them.
//!
//! A sweep of such a snapshot deletes nothing, and looks like one in which nothing was due.

use std::sync::atomic::{AtomicBool, Ordering};

use super::columns::ColumnValue;
use super::{Scan, values};
use crate::error::{Fault, Result};
use crate::estate::{Column, DeviceType, Reason, SmiStatus, TallyByType, time};
use crate::policy::{DateVerdict, Policy, RoleField, Rules};
use crate::progress::Stage;
use crate::shown;
use crate::snapshot::{PhysicalForm, StatusDates};

/// Values that an error shows, at most.
const EXAMPLES: usize = 3;
/// Characters of such a value that are shown.
const LONGEST: usize = 40;

/// The columns that may be unreadable as a whole, by the counts of a sweep: no row was judged that needs them.
#[must_use]
pub fn suspects(by_type: &TallyByType) -> Vec<Column> {
    let total = by_type.total();
    let rows = |reasons: &[Reason]| reasons.iter().map(|&reason| total.quarantined[reason as usize]).sum::<u64>();
    let deletes = total.deletes();
    let judged = deletes + total.excluded + total.not_due;
    let untyped = total.rows() > 0 && by_type.iter().all(|(code, _)| DeviceType::from_code(code).is_none());
    [
        (Column::SmiStatus, rows(&[Reason::UnknownStatus, Reason::MissingStatus]) > 0 && judged == 0),
        (Column::DeviceType, untyped),
        (
            Column::StatusSince,
            rows(&[Reason::MissingDate, Reason::ImplausibleDate]) > 0 && deletes + total.not_due == 0,
        ),
        (Column::DeviceId, rows(&[Reason::BadDeviceId]) > 0 && deletes == 0),
        (Column::NotifyingRole, rows(&[Reason::UnknownRole]) > 0 && deletes == 0),
        (Column::NotifyingParty, rows(&[Reason::BadParty]) > 0 && total.alerts == 0),
    ]
    .into_iter()
    .filter_map(|(column, suspect)| suspect.then_some(column))
    .collect()
}

/// Refuses a snapshot in which one of these columns has no value that can be read. A column is read up to its first
/// readable value; nulls are values that cannot be read.
///
/// # Errors
/// The first such column, with three of its values; damaged data, or an interruption.
pub fn refuse_unreadable(scan: &Scan<'_>, policy: &Policy, columns: &[Column]) -> Result<()> {
    for &column in columns {
        if let Some(examples) = unreadable(scan, policy, column)? {
            let fault = Fault::Unreadable { kind: kind(column), examples: examples.join(", ") };
            return Err(scan.snapshot.place().column(column.name()).refuse(fault));
        }
    }
    Ok(())
}

/// What the values of a column are, and what to do where none can be read.
const fn kind(column: Column) -> (&'static str, &'static str) {
    match column {
        Column::DeviceId => ("a Device ID", "write Device IDs as 00-DB-12-34-56-78-90-A0, or map another column to it"),
        Column::DeviceType => ("a device type", "map its spellings under [snapshot.types] of the policy"),
        Column::SmiStatus => ("a status", "map its spellings under [snapshot.statuses] of the policy"),
        Column::StatusSince => ("a date", "export the date of the status, or map another column to it"),
        Column::NotifyingRole => ("a role", "write ServiceUser or CSP, or export the snapshot without the column"),
        Column::NotifyingParty => ("a party", "write parties as text of up to 64 bytes, or map another column to it"),
        Column::CspRegion => ("a region", "export the snapshot without the column"),
    }
}

/// Some values of a column that has none which can be read; `None` if it has one, or the snapshot has no rows.
fn unreadable(scan: &Scan<'_>, policy: &Policy, column: Column) -> Result<Option<Vec<String>>> {
    let reader = ValueReader { policy, rules: policy.bind(time::day_start(time::LAST_DAY)), column };
    let found = AtomicBool::new(false);
    let scanned = scan.run(
        Stage::Scan,
        || (),
        |range, ()| {
            let mut examples = Vec::new();
            let absent = range.file.columns.get(column).is_none() && range.file.columns.in_folder(column).is_none();
            if absent || found.load(Ordering::Relaxed) {
                return Ok(examples);
            }
            let stored = StoredAs { form: range.form(column)?, dates: &range.file.dates };
            let rows = range.all_rows();
            range.values(column, &rows, |_, value| {
                if reader.reads(&stored, &value) {
                    found.store(true, Ordering::Relaxed);
                } else if examples.len() < EXAMPLES {
                    add_example(&mut examples, reader.as_found(&stored, &value));
                }
            })?;
            Ok(examples)
        },
    )?;
    if found.into_inner() || scan.snapshot.rows() == 0 {
        return Ok(None);
    }
    let mut examples = Vec::new();
    scanned.parts.into_iter().flatten().for_each(|example| add_example(&mut examples, example));
    examples.truncate(EXAMPLES);
    Ok(Some(examples))
}

fn add_example(examples: &mut Vec<String>, example: String) {
    if !examples.contains(&example) {
        examples.push(example);
    }
}

/// How the values of a file are stored.
struct StoredAs<'f> {
    form: PhysicalForm,
    dates: &'f StatusDates,
}

/// Reads the values of one column as the rule does.
struct ValueReader<'p> {
    policy: &'p Policy,
    /// As of a late day: no date is in the future.
    rules: Rules,
    column: Column,
}

impl ValueReader<'_> {
    /// Whether a value can be read.
    fn reads(&self, stored: &StoredAs<'_>, value: &ColumnValue<'_>) -> bool {
        let Some(bytes) = value.bytes else { return false };
        let form = stored.form;
        match self.column {
            Column::DeviceId => values::device_id(form, bytes).is_some(),
            Column::DeviceType => DeviceType::from_code(self.policy.type_code(bytes)).is_some(),
            Column::SmiStatus => usize::from(self.policy.status_code(bytes)) < SmiStatus::ALL.len(),
            Column::StatusSince => {
                let verdict = self.rules.judge_date(DeviceType::UNKNOWN, stored.dates.read(value.bytes));
                !matches!(verdict, DateVerdict::Quarantine(Reason::MissingDate | Reason::ImplausibleDate))
            }
            Column::NotifyingRole => matches!(RoleField::from(Some(bytes)), RoleField::Known(_)),
            Column::NotifyingParty => values::party_field(form, Some(bytes)).name().is_some(),
            Column::CspRegion => true,
        }
    }

    /// A value as an error shows it: escaped, and cut.
    fn as_found(&self, stored: &StoredAs<'_>, value: &ColumnValue<'_>) -> String {
        let Some(bytes) = value.bytes else { return "(null)".into() };
        let text = match self.column {
            Column::StatusSince => match (stored.dates.misread(value.bytes), stored.dates.read(value.bytes)) {
                (Some(text), _) => text,
                (None, Some(since)) => time::format_instant(since),
                (None, None) => return "(no date)".into(),
            },
            _ => values::id_as_found(stored.form, bytes),
        };
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}...", shown::quoted(&text[..end])),
            None => shown::quoted(&text).to_string(),
        }
    }
}
