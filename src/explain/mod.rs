//! Explains one device: its disposition under a policy, and the reason as a sentence.

use std::path::PathBuf;

use crate::error::Result;
use crate::estate::{Column, DeviceId, DeviceType, Disposition, Party, Reason, SmiStatus, time};
use crate::policy::{Boundary, JudgedRow, PartyField, Policy, RoleField, Rules};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::scan::duplicates::each_id;
use crate::scan::{RangeReader, Scan, values};
use crate::shown;
use crate::snapshot::{AsOf, Snapshot};

/// A row of the device, with its values as stored in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedRow {
    /// The row's zero-based number within the snapshot.
    pub row: u64,
    /// The type as stored.
    pub device_type: Option<String>,
    /// The status as stored.
    pub smi_status: Option<String>,
    /// The party under its name in manifests; as stored if it is not a valid party.
    pub party: Option<String>,
    /// The role as stored.
    pub role: Option<String>,
    /// The values that the rule judges.
    pub judged: JudgedRow,
    /// The decision.
    pub disposition: Disposition,
    /// The reason, as a sentence.
    pub because: String,
}

/// What [`explain_device`] explains.
#[derive(Debug, Clone, Copy)]
pub struct ExplainRequest<'a> {
    /// Files and folders of the snapshot.
    pub snapshot: &'a [PathBuf],
    /// The policy to judge by.
    pub policy: &'a Policy,
    /// The moment to judge by.
    pub as_of: AsOf,
    /// The device.
    pub device: DeviceId,
    /// Whether a due device is quarantined whose Device ID occurs anywhere else in the snapshot.
    pub unique: bool,
}

/// The rows of a device in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The as-of moment, UTC microseconds since 1970.
    pub as_of: i64,
    /// Rows of the snapshot.
    pub snapshot_rows: u64,
    /// The rows of the device, each with its place: `FILE, row N`, from 0.
    pub rows: Vec<(String, ExplainedRow)>,
}

/// Opens a snapshot, and explains every row of a device.
///
/// # Errors
/// A snapshot that is refused, without an as-of moment, or changed meanwhile; and those of [`explain`].
pub fn explain_device(request: &ExplainRequest<'_>, pool: &Pool, progress: &dyn Progress) -> Result<Explanation> {
    let ExplainRequest { policy, device, unique, .. } = *request;
    let snapshot = Snapshot::open(request.snapshot, &policy.spellings, pool, progress)?;
    let (as_of, _) = snapshot.as_of(request.as_of)?;
    let found = explain(&Scan::new(&snapshot, pool, progress), policy, as_of, device, unique)?;
    snapshot.unchanged()?;
    let place =
        |row: u64| snapshot.locate(row).map_or_else(String::new, |(file, row)| format!("{}, row {row}", file.name));
    let rows = found.into_iter().map(|row| (place(row.row), row)).collect();
    Ok(Explanation { as_of, snapshot_rows: snapshot.rows(), rows })
}

/// Finds every row of a device and explains its disposition. `as_of` is in UTC microseconds since 1970. With `unique`,
/// a Device ID that occurs more than once is a duplicate even if only one of its rows is due.
///
/// # Errors
/// Damaged data, or an interruption.
pub fn explain(scan: &Scan<'_>, policy: &Policy, as_of: i64, id: DeviceId, unique: bool) -> Result<Vec<ExplainedRow>> {
    let rules = policy.bind(as_of);
    let scanned = scan.run(
        Stage::Scan,
        || (),
        |range, ()| {
            let all = range.all_rows();
            let mut rows = Vec::new();
            each_id(range, &all, |row, own| {
                if own == Some(id) {
                    rows.push(row);
                }
                Ok(())
            })?;
            rows.into_iter().map(|row| read_row(range, policy, row, id)).collect::<Result<Vec<_>>>()
        },
    )?;
    let mut found: Vec<ExplainedRow> = scanned.parts.into_iter().flatten().collect();
    // If several due rows share a Device ID, all of them are quarantined.
    let due =
        found.iter().filter(|row| rules.is_due(row.judged.status_code, row.judged.type_code, row.judged.since)).count();
    let duplicate = due > 1 || unique && found.len() > 1;
    for row in &mut found {
        row.disposition = if duplicate && rules.is_due(row.judged.status_code, row.judged.type_code, row.judged.since) {
            Disposition::Quarantined(Reason::DuplicateDeviceId)
        } else {
            rules.judge(&row.judged)
        };
        row.because = because(row, policy, &rules);
    }
    Ok(found)
}

fn read_row(range: &mut RangeReader<'_>, policy: &Policy, row: u32, id: DeviceId) -> Result<ExplainedRow> {
    let mut judged = JudgedRow {
        status_code: SmiStatus::NULL,
        type_code: DeviceType::NULL,
        since: None,
        id: Some(id),
        role: RoleField::Absent,
        party: PartyField::Missing,
    };
    let (mut device_type, mut smi_status, mut party, mut role) = (None, None, None, None);
    let dates = &range.file.dates;
    for (column, bound) in range.file.columns.iter() {
        range.values(column, &[row], |_, value| {
            let Some(bytes) = value.bytes else { return };
            let text = || String::from_utf8_lossy(bytes).into_owned();
            match column {
                Column::DeviceId | Column::CspRegion => {}
                Column::DeviceType => {
                    judged.type_code = policy.type_code(bytes);
                    device_type = Some(text());
                }
                Column::SmiStatus => {
                    judged.status_code = policy.status_code(bytes);
                    smi_status = Some(text());
                }
                Column::StatusSince => judged.since = dates.read(Some(bytes)),
                Column::NotifyingParty => {
                    let read = values::party_field(bound.form(), Some(bytes));
                    judged.party = (&read).into();
                    party = Some(read.name().map_or_else(text, str::to_owned));
                }
                Column::NotifyingRole => {
                    judged.role = RoleField::from(Some(bytes));
                    role = Some(text());
                }
            }
        })?;
    }
    let (disposition, because) = (Disposition::NotCandidate, String::new());
    let row = range.range.row_number(row);
    Ok(ExplainedRow { row, device_type, smi_status, party, role, judged, disposition, because })
}

/// The reason for a row's disposition, as a sentence.
#[must_use]
pub fn because(row: &ExplainedRow, policy: &Policy, rules: &Rules) -> String {
    let words = SentenceParts::of(row, policy, rules);
    let SentenceParts { type_name, status, since, as_of, months, due_on, swept } = &words;
    match row.disposition {
        Disposition::NotCandidate if row.judged.status_code == SmiStatus::NULL => {
            format!("A {type_name} is a Type 2 device: it has no SMI Status, and the policy sweeps {swept}.")
        }
        Disposition::NotCandidate => format!("Its status is {status}; the policy sweeps {swept}."),
        Disposition::Excluded => {
            format!("It is {status}, but {type_name} is on the exclusion list: it is never deleted, whatever its age.")
        }
        Disposition::NotDue => {
            format!("It has been {status} since {since}; {months} later is {due_on}, which {as_of} has not reached.")
        }
        Disposition::Delete { alert } => {
            let alerted = alerted(row, policy, alert);
            format!(
                "It has been {status} since {since}; {months} later is {due_on}, which {as_of} has reached; {alerted}."
            )
        }
        Disposition::Quarantined(reason) => {
            format!("It cannot be judged, and is kept: {}.", words.flaw(reason, row))
        }
    }
}

/// The clause that says who is alerted of a deletion, or why no one is.
fn alerted(row: &ExplainedRow, policy: &Policy, alert: bool) -> String {
    match row.judged.role {
        _ if alert => format!(
            "{} is alerted by an {}",
            shown::value(row.party.as_deref().unwrap_or_default()),
            policy.alerts.code
        ),
        RoleField::Known(_) => "no alert is sent, since a CSP notified it".into(),
        _ => "no alert is sent, since its type is silent under the policy".into(),
    }
}

/// The parts of sentences about a row.
struct SentenceParts {
    type_name: String,
    status: String,
    since: String,
    as_of: String,
    months: String,
    due_on: String,
    /// The candidate statuses of the policy, joined by "and".
    swept: String,
}

impl SentenceParts {
    fn of(row: &ExplainedRow, policy: &Policy, rules: &Rules) -> Self {
        let type_code = row.judged.type_code;
        let moment = |micros: i64| match rules.boundary() {
            Boundary::Date => time::format_day(time::day_of(micros)),
            Boundary::Instant => time::format_instant(micros),
        };
        let due_on = row.judged.since.and_then(|since| {
            let day = rules.due_on(type_code, time::day_of(since))?;
            let instant = time::day_start(day) + since.rem_euclid(time::DAY_MICROS);
            Some(if rules.boundary() == Boundary::Date { time::format_day(day) } else { moment(instant) })
        });
        let swept: Vec<&str> = policy.candidate_statuses.iter().map(SmiStatus::name).collect();
        Self {
            type_name: shown::value(row.device_type.as_deref().unwrap_or("(null)")).to_string(),
            status: shown::value(row.smi_status.as_deref().unwrap_or("(null)")).to_string(),
            since: row.judged.since.map_or_else(String::new, moment),
            as_of: moment(rules.as_of()),
            months: match rules.months(type_code) {
                1 => "1 month".to_owned(),
                months => format!("{months} months"),
            },
            due_on: due_on.unwrap_or_else(|| "a day beyond the calendar".into()),
            swept: swept.join(" and "),
        }
    }

    /// The clause that says why a row is quarantined.
    fn flaw(&self, reason: Reason, row: &ExplainedRow) -> String {
        let Self { type_name, status, since, as_of, due_on, .. } = self;
        match reason {
            Reason::UnknownStatus => format!("its status `{status}` is not one that the policy knows"),
            Reason::MissingStatus => format!("it has no status, and {type_name} is not a Type 2 device"),
            Reason::UnknownType => format!("its type `{type_name}` is not one that the policy knows"),
            Reason::MissingDate => format!("it is {status}, and its status date is missing or is no date"),
            Reason::FutureDate => format!("its status is {status} since {since}, which is after {as_of}"),
            Reason::ImplausibleDate => {
                format!("its status is {status} since {since}, which is before any plausible date")
            }
            Reason::BadDeviceId => "its Device ID is missing or malformed".into(),
            Reason::DuplicateDeviceId => "other rows have the same Device ID".into(),
            Reason::UnknownRole => {
                format!(
                    "the role `{}` is neither ServiceUser nor CSP",
                    shown::value(row.role.as_deref().unwrap_or_default())
                )
            }
            Reason::MissingParty => format!("it has been due since {due_on}, and there is no Notifying Party to alert"),
            Reason::BadParty => format!(
                "it has been due since {due_on}, and its Notifying Party is not text of up to {} bytes that can be seen",
                Party::MAX_BYTES
            ),
        }
    }
}
