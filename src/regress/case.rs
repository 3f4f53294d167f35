//! Reads a case: a folder with three text files.
//!
//! `case.toml` has the policy and what the case demonstrates, `snapshot.csv` has the devices, and `expected.csv` has, in the
//! same order, the expected outcome of each. An empty cell is a null; `(empty)` is text without characters.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::table::{self, EMPTY, refuse};
use crate::config::{Document, Spanned};
use crate::error::{DocumentKind, DocumentPlace, Error, Position, Result, did_you_mean};
use crate::estate::{Column, DeviceId, Disposition, Reason, time};
use crate::policy::Policy;
use crate::shown;
use crate::sweep::guard::headroom;
use crate::sweep::{Expected, GuardFigures, GuardTerms};
use crate::system::input;

/// Flags that `stopped_by` may name, besides the guards of the policy.
const FLAGS: [&str; 2] = ["--expect-deletes", "--expect-quarantined"];

/// A case as its folder states it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name of the folder.
    pub name: String,
    /// The path of the folder.
    pub folder: PathBuf,
    /// One line of text.
    pub title: String,
    /// What the case demonstrates, in a sentence or two, on one line.
    pub demonstrates: String,
    /// The ids of the statements that the case is evidence for; at least one.
    pub requirements: Vec<String>,
    /// The policy to sweep with.
    pub policy: Policy,
    /// The digest that the policy must have, where the case pins it.
    pub policy_digest: Option<String>,
    /// The moment to judge by, UTC microseconds.
    pub as_of: i64,
    /// The guard that must stop the run: its key in the policy, or a flag of `sweep`.
    pub stopped_by: Option<String>,
    /// Exact numbers that take the place of guards, as `sweep --expect-deletes` gives them.
    pub accept: Expected,
    /// The rows of `snapshot.csv`.
    pub devices: Vec<Device>,
    /// The rows of `expected.csv`: one for each device, in the same order, unless the file is wrong or missing.
    pub expected: Vec<ExpectedOutcome>,
    /// BLAKE3 of the three files, in hex.
    pub digest: String,
}

/// A device of a case: its values as they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// The Device ID as text, well-formed or not.
    pub id: Option<String>,
    /// The device type as it is spelt.
    pub device_type: Option<String>,
    /// The status as it is spelt.
    pub smi_status: Option<String>,
    /// From when the status has applied, UTC microseconds.
    pub since: Option<i64>,
    /// The Notifying Party.
    pub party: Option<String>,
    /// The role of the party, where the snapshot has that column.
    pub role: Option<String>,
}

impl Device {
    /// The Device ID, where it is well-formed.
    #[must_use]
    pub fn device_id(&self) -> Option<DeviceId> {
        DeviceId::from_text(self.id.as_ref()?.as_bytes())
    }

    /// The Device ID as `expected.csv` writes it: empty for a null, `(empty)` for text without characters.
    #[must_use]
    pub fn written(&self) -> String {
        match self.id.as_deref() {
            None => String::new(),
            Some("") => EMPTY.into(),
            Some(id) => id.into(),
        }
    }
}

/// A [`Disposition`] without what the other columns of `expected.csv` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispositionKind {
    /// To be deleted.
    Delete,
    /// The threshold is not reached.
    NotDue,
    /// The type is on the exclusion list.
    Excluded,
    /// The policy does not sweep the status.
    NotCandidate,
    /// The row cannot be judged.
    Quarantined,
}

impl DispositionKind {
    /// Every disposition, in the order in which messages list them.
    pub const ALL: [Self; 5] = [Self::Delete, Self::NotDue, Self::Excluded, Self::NotCandidate, Self::Quarantined];

    /// The word in `expected.csv`, which is that of [`Disposition::name`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => Disposition::Delete { alert: false }.name(),
            Self::NotDue => Disposition::NotDue.name(),
            Self::Excluded => Disposition::Excluded.name(),
            Self::NotCandidate => Disposition::NotCandidate.name(),
            Self::Quarantined => Disposition::Quarantined(Reason::UnknownStatus).name(),
        }
    }
}

impl From<Disposition> for DispositionKind {
    fn from(disposition: Disposition) -> Self {
        match disposition {
            Disposition::Delete { .. } => Self::Delete,
            Disposition::NotDue => Self::NotDue,
            Disposition::Excluded => Self::Excluded,
            Disposition::NotCandidate => Self::NotCandidate,
            Disposition::Quarantined(_) => Self::Quarantined,
        }
    }
}

/// The outcome of a device, in the columns of `expected.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOutcome {
    /// The Device ID as [`Device::written`] has it.
    pub device_id: String,
    /// The disposition.
    pub disposition: DispositionKind,
    /// Why the device is quarantined, where it is.
    pub reason: Option<Reason>,
    /// The code of the alert; empty where the deletion raises none.
    pub alert: String,
    /// The party that is alerted; empty where none is.
    pub recipient: String,
    /// The day on which the device became due, as in 2026-11-01; empty where it is not deleted.
    pub due_on: String,
}

impl DeviceOutcome {
    /// The columns of `expected.csv`.
    pub const COLUMNS: [&'static str; 6] = ["device_id", "disposition", "reason", "alert", "recipient", "due_on"];

    /// The outcome that a disposition alone gives: no alert, and no day.
    #[must_use]
    pub fn new(device_id: String, disposition: Disposition) -> Self {
        let reason = match disposition {
            Disposition::Quarantined(reason) => Some(reason),
            _ => None,
        };
        let (alert, recipient, due_on) = Default::default();
        Self { device_id, disposition: disposition.into(), reason, alert, recipient, due_on }
    }

    /// The word of the reason; empty where there is none.
    #[must_use]
    pub fn reason_name(&self) -> &'static str {
        self.reason.map_or("", Reason::name)
    }

    /// The values as text, in the order of [`Self::COLUMNS`].
    #[must_use]
    pub fn fields(&self) -> [&str; 6] {
        [&self.device_id, self.disposition.name(), self.reason_name(), &self.alert, &self.recipient, &self.due_on]
    }
}

/// A row of `expected.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedOutcome {
    /// The line of the file, from 1.
    pub line: usize,
    /// What the row states.
    pub outcome: DeviceOutcome,
}

/// `case.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    title: String,
    demonstrates: String,
    requirements: Spanned<Vec<String>>,
    policy: Spanned<String>,
    policy_digest: Option<String>,
    #[serde(deserialize_with = "moment")]
    as_of: i64,
    stopped_by: Option<Spanned<String>>,
    expect_deletes: Option<u64>,
    expect_quarantined: Option<u64>,
}

/// The requirements of `case.toml`, each with its place.
#[derive(Deserialize)]
struct RequirementsOnly {
    requirements: Vec<Spanned<String>>,
}

/// A moment, UTC microseconds: text, or a date of TOML's own, without quotes.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Datetime(moment) => moment.to_string(),
        other => other.type_str().to_owned(),
    };
    time::parse(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}`, expected 2026-11-01 or 2026-11-01T06:30:00Z")))
}

/// Refuses a name that is neither a guard of the policy nor a flag that replaces some.
fn known_guard(document: &Document<'_>, name: &Spanned<String>, policy: &Policy) -> Result<()> {
    let limits = headroom(policy, &GuardFigures::default(), GuardTerms::default());
    let known: Vec<&str> = FLAGS.into_iter().chain(limits.iter().map(|limit| limit.guard.as_str())).collect();
    let found = name.get_ref().as_str();
    if known.contains(&found) {
        return Ok(());
    }
    let remedy = format!("{}there are {}", did_you_mean(found, known.iter().copied()), known.join(", "));
    Err(document.refuse(name.span(), format!("unknown guard `{}`", shown::value(found)), remedy))
}

impl Case {
    /// The error that something is wrong with the requirement of this index.
    #[must_use]
    pub fn refuse_requirement(&self, index: usize, what: String, remedy: String) -> Error {
        let path = self.folder.join("case.toml");
        let read = || {
            let text = table::read_text(&path)?;
            let document = Document { kind: DocumentKind::Case, source: &shown::path(&path).to_string(), text: &text };
            let listed: RequirementsOnly = document.read()?;
            let span = listed.requirements.get(index).map(Spanned::span).unwrap_or_default();
            Ok(document.refuse(span, what, remedy))
        };
        read().unwrap_or_else(|error| error)
    }

    /// Reads the case in a folder. With `blessing`, `expected.csv` may be missing.
    ///
    /// # Errors
    /// The first mistake, with its file and line.
    pub fn read(folder: &Path, blessing: bool) -> Result<Self> {
        let path = folder.join("case.toml");
        let text = table::read_text(&path)?;
        let source = shown::path(&path).to_string();
        let document = Document { kind: DocumentKind::Case, source: &source, text: &text };
        let file: CaseFile = document.read()?;
        if file.requirements.get_ref().is_empty() {
            let remedy = "name at least one statement of requirements.toml";
            return Err(document.refuse(file.requirements.span(), "the case names no statement", remedy));
        }
        let policy = policy(folder, &document, &file.policy)?;
        file.stopped_by.as_ref().map_or(Ok(()), |name| known_guard(&document, name, &policy))?;
        let stopped_by = file.stopped_by.map(Spanned::into_inner);
        let devices = read_devices(&folder.join("snapshot.csv"))?;
        let expected = folder.join("expected.csv");
        let expected =
            if blessing && !expected.exists() { Vec::new() } else { read_expected(&expected, stopped_by.as_deref())? };
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_path_buf(),
            title: file.title,
            demonstrates: file.demonstrates.split_whitespace().collect::<Vec<_>>().join(" "),
            requirements: file.requirements.into_inner(),
            policy,
            policy_digest: file.policy_digest,
            as_of: file.as_of,
            stopped_by,
            accept: Expected { deletes: file.expect_deletes, quarantined: file.expect_quarantined, rows: None },
            devices,
            expected,
            digest: digest(folder),
        })
    }

    /// Reads the case in a folder, or every case below it, in the order of their names.
    ///
    /// # Errors
    /// A folder without cases, a folder among cases that is not a case, and the first mistake in a case.
    pub fn read_all(folder: &Path, blessing: bool) -> Result<Vec<Self>> {
        if is_case(folder) {
            return Ok(vec![Self::read(folder, blessing)?]);
        }
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let path = entry.map_err(Error::io("list", folder))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden {
                folders.push(path);
            }
        }
        if folders.is_empty() {
            return Err(Error::Usage {
                what: format!("{}: no cases in this folder", shown::path(&folder)),
                remedy: "name a case, or a folder of folders that each have a case.toml".into(),
            });
        }
        folders.sort();
        if let Some(other) = folders.iter().find(|folder| !is_case(folder)) {
            return Err(Error::Usage {
                what: format!("{}: a folder among cases, and it has no case.toml", shown::path(&other)),
                remedy: "spell case.toml in lower case, put cases side by side, and move other folders away".into(),
            });
        }
        folders.iter().map(|folder| Self::read(folder, blessing)).collect()
    }
}

/// Whether a folder is a case: it has a file `case.toml`. The names are compared here, because some file systems do not
/// distinguish upper from lower case.
#[must_use]
pub fn is_case(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name() == "case.toml")
}

/// The policy of a case: TOML text, a file in the case's folder, or the name of a built-in policy.
fn policy(folder: &Path, document: &Document<'_>, written: &Spanned<String>) -> Result<Policy> {
    let name = written.get_ref();
    // Neither a file name nor a built-in's name has a line break or a `=`.
    let policy = if name.contains(['\n', '=']) {
        // TOML drops a line break directly after the opening quotes.
        let opens = document.text.get(written.span()).unwrap_or_default().lines().next().unwrap_or_default();
        let begins = document.text.get(..written.span().start).unwrap_or_default().matches('\n').count() as u64
            + u64::from(opens == "'''" || opens == "\"\"\"");
        Policy::parse(name, document.source).map_err(|error| {
            moved(error, |place| match place.position {
                Position::LineColumn(line, column) => place.at(Position::LineColumn(line + begins, column)),
                _ => place,
            })
        })?
    } else if name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "toml") {
        let file = folder.join(name);
        // `Policy::load` takes a name with a `/` for a file; the folder itself may have none.
        Policy::load(&Path::new(".").join(&file).to_string_lossy())
            .map_err(|error| moved(error, |place| DocumentPlace { source: shown::path(&file).to_string(), ..place }))?
    } else {
        Policy::load(name).map_err(|error| match error {
            Error::Document { what, remedy, .. } => {
                let place = Document { kind: DocumentKind::Policy, ..*document }.place(written.span().start);
                place.refuse(format!("policy `{name}`: {what}"), remedy)
            }
            other => other,
        })?
    };
    if policy.spellings.columns.is_empty() {
        return Ok(policy);
    }
    let what = "the policy maps columns, but the snapshot of a case has the standard ones";
    Err(document.refuse(written.span(), what, "leave [snapshot.columns] out; statuses and types may be mapped"))
}

/// The same error at another place.
fn moved(error: Error, to: impl FnOnce(DocumentPlace) -> DocumentPlace) -> Error {
    match error {
        Error::Document { place, what, remedy } => to(place).refuse(what, remedy),
        other => other,
    }
}

/// BLAKE3 in hex of the files of a case, each with its name and length.
fn digest(folder: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in ["case.toml", "snapshot.csv", "expected.csv"] {
        let bytes = input::read(folder.join(name)).unwrap_or_default();
        hasher.update(name.as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}

fn read_devices(path: &Path) -> Result<Vec<Device>> {
    let columns = Column::READ_BY_SWEEP.map(Column::name);
    let device = |line: table::CsvRow| {
        let text = |column: Column| match line.cells.get(column as usize).map(String::as_str) {
            None | Some("") => None,
            Some(EMPTY) => Some(String::new()),
            Some(text) => Some(text.to_owned()),
        };
        let since = text(Column::StatusSince).map(|written| {
            // A case may have a date before the year 1, to test that the engine quarantines it.
            time::parse_any_year(&written).ok_or_else(|| {
                let what = format!("status_since `{written}` is not a date or a time");
                refuse(path, line.line, what, "write 2025-11-01 or 2025-11-01T06:30:00Z")
            })
        });
        Ok(Device {
            id: text(Column::DeviceId),
            device_type: text(Column::DeviceType),
            smi_status: text(Column::SmiStatus),
            since: since.transpose()?,
            party: text(Column::NotifyingParty),
            role: text(Column::NotifyingRole),
        })
    };
    table::read(path, &columns, 1)?.into_iter().map(device).collect()
}

fn read_expected(path: &Path, stopped_by: Option<&str>) -> Result<Vec<ExpectedOutcome>> {
    let outcome = |row: table::CsvRow| {
        let line = row.line;
        let [device_id, disposition, reason, alert, recipient, due_on] = <[String; 6]>::try_from(row.cells)
            .map_err(|_| refuse(path, line, "a row without six cells", "write the six columns of the header"))?;
        let disposition =
            one_of(path, line, ("disposition", &disposition), DispositionKind::ALL, DispositionKind::name)?;
        let reason = match reason.as_str() {
            "" => None,
            reason => Some(one_of(path, line, ("reason", reason), Reason::ALL, Reason::name)?),
        };
        let outcome = DeviceOutcome { device_id, disposition, reason, alert, recipient, due_on };
        if let (Some(guard), false) = (stopped_by, outcome.fields()[3..].iter().all(|cell| cell.is_empty())) {
            let what = format!("{guard} stops the run, so that no alert is sent");
            return Err(refuse(path, line, what, "leave alert, recipient and due_on empty in a case with stopped_by"));
        }
        Ok(ExpectedOutcome { line, outcome })
    };
    table::read(path, &DeviceOutcome::COLUMNS, 0)?.into_iter().map(outcome).collect()
}

/// The value whose word a column, `(name, found)`, has on a line.
fn one_of<T: Copy, const N: usize>(
    path: &Path,
    line: usize,
    (column, found): (&str, &str),
    all: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T> {
    if let Some(&known) = all.iter().find(|&&known| name(known) == found) {
        return Ok(known);
    }
    let words = all.map(name);
    let near = did_you_mean(found, words);
    let what = if found.is_empty() { format!("no {column}") } else { format!("unknown {column} `{found}`") };
    Err(refuse(path, line, what, format!("{near}there are {}", words.join(", "))))
}
