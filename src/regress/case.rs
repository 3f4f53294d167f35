//! A case: a folder that a person writes with an editor, and reads without knowing any code.
//!
//! `case.toml` says what is demonstrated, `snapshot.csv` has the devices, `expected.csv` says for each of them, in the
//! same order, what becomes of it. An empty cell is a null; `(empty)` stands for text without characters.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::table::{self, EMPTY, refuse};
use crate::error::{Error, PolicyPlace, Result, nearest};
use crate::estate::{Column, DeviceId, Disposition, Reason, time};
use crate::policy::Policy;
use crate::sweep::Expected;

/// What a case may be stopped by.
const GUARDS: [&str; 5] =
    ["max_deletes", "max_delete_share", "max_quarantined", "--expect-deletes", "--expect-quarantined"];

/// The keys of `case.toml`.
const KEYS: [&str; 9] = [
    "title",
    "demonstrates",
    "requirements",
    "policy",
    "policy_digest",
    "as_of",
    "stopped_by",
    "expect_deletes",
    "expect_quarantined",
];

/// A case, as it was read.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its folder's name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What it is about, in a line.
    pub title: String,
    /// What it demonstrates, in a sentence or two.
    pub demonstrates: String,
    /// The statements that it speaks for, by id.
    pub requirements: Vec<String>,
    /// What is judged by.
    pub policy: Policy,
    /// The digest that the policy is to have, where the case pins it.
    pub policy_digest: Option<String>,
    /// When.
    pub as_of: i64,
    /// The guard that stops the run, where one is meant to.
    pub stopped_by: Option<String>,
    /// Exact numbers that take the place of guards.
    pub accept: Expected,
    /// The devices.
    pub devices: Vec<Device>,
    /// What becomes of each.
    pub expected: Vec<Expectation>,
    /// BLAKE3 of its three files.
    pub digest: String,
}

/// A device of a case: its values as they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Its Device ID as text.
    pub id: Option<String>,
    /// Its type.
    pub device_type: Option<String>,
    /// Its status.
    pub smi_status: Option<String>,
    /// From when the status has applied, UTC microseconds.
    pub since: Option<i64>,
    /// Who notified it.
    pub party: Option<String>,
    /// In what role, where the snapshot has roles.
    pub role: Option<String>,
}

impl Device {
    /// The Device ID, where it is well-formed.
    #[must_use]
    pub fn device_id(&self) -> Option<DeviceId> {
        DeviceId::from_text(self.id.as_ref()?.as_bytes())
    }

    /// What `expected.csv` calls it.
    #[must_use]
    pub fn written(&self) -> String {
        match self.id.as_deref() {
            None => String::new(),
            Some("") => EMPTY.into(),
            Some(id) => id.into(),
        }
    }
}

/// What becomes of a device, in the words of `expected.csv`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The device, as `snapshot.csv` has it.
    pub device_id: String,
    /// One of the five dispositions.
    pub disposition: String,
    /// Why it is quarantined.
    pub reason: String,
    /// The code of the alert that is raised.
    pub alert: String,
    /// Who is alerted.
    pub recipient: String,
    /// The day on which it became due, where it is deleted.
    pub due_on: String,
}

impl Ending {
    /// The columns of `expected.csv`.
    pub const COLUMNS: [&'static str; 6] = ["device_id", "disposition", "reason", "alert", "recipient", "due_on"];

    /// The cells, in the order of the columns.
    #[must_use]
    pub fn cells(&self) -> [&str; 6] {
        [&self.device_id, &self.disposition, &self.reason, &self.alert, &self.recipient, &self.due_on]
    }
}

/// A line of `expected.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The line, from 1.
    pub line: usize,
    /// What it says.
    pub ending: Ending,
}

/// `case.toml`.
#[derive(Deserialize)]
struct Manifest {
    title: String,
    demonstrates: String,
    requirements: Vec<String>,
    policy: String,
    policy_digest: Option<String>,
    as_of: toml::Value,
    stopped_by: Option<String>,
    expect_deletes: Option<u64>,
    expect_quarantined: Option<u64>,
}

impl Case {
    /// Reads the case in a folder. With `blessing`, `expected.csv` need not be there yet.
    ///
    /// # Errors
    /// The first slip, with its file and line.
    pub fn read(folder: &Path, blessing: bool) -> Result<Self> {
        let path = folder.join("case.toml");
        let text = table::read_text(&path)?;
        let manifest = manifest(&path, &text)?;
        let as_of = match &manifest.as_of {
            toml::Value::String(written) => written.clone(),
            // A date of TOML's own, without quotes, says as much.
            toml::Value::Datetime(moment) => moment.to_string(),
            other => format!("of type {}", other.type_str()),
        };
        let as_of = time::parse(&as_of).ok_or_else(|| {
            let what = format!("as_of `{as_of}` is not a date or a time");
            refuse(&path, line_of(&text, "as_of"), what, "write 2026-11-01 or 2026-11-01T06:30:00Z")
        })?;
        let policy = policy(folder, &path, &text, &manifest.policy)?;
        let devices = read_devices(&folder.join("snapshot.csv"))?;
        let expected = folder.join("expected.csv");
        let expected = if blessing && !expected.exists() {
            Vec::new()
        } else {
            read_expected(&expected, manifest.stopped_by.as_deref())?
        };
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_path_buf(),
            title: manifest.title,
            demonstrates: manifest.demonstrates.split_whitespace().collect::<Vec<_>>().join(" "),
            requirements: manifest.requirements,
            policy,
            policy_digest: manifest.policy_digest,
            as_of,
            stopped_by: manifest.stopped_by,
            accept: Expected { deletes: manifest.expect_deletes, quarantined: manifest.expect_quarantined },
            devices,
            expected,
            digest: digest(folder),
        })
    }

    /// Reads the case in a folder, or every case below it, in the order of their names.
    ///
    /// # Errors
    /// A folder without cases, a folder among cases that is none, and whatever is wrong with the first case that has a
    /// slip.
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
                what: format!("{}: no cases in this folder", folder.display()),
                remedy: "name a case, or a folder of folders that each have a case.toml".into(),
            });
        }
        folders.sort();
        if let Some(other) = folders.iter().find(|folder| !is_case(folder)) {
            return Err(Error::Usage {
                what: format!("{}: a folder among cases, and it has no case.toml", other.display()),
                remedy: "spell case.toml in lower case, and put cases side by side; move away what is no case".into(),
            });
        }
        folders.iter().map(|folder| Self::read(folder, blessing)).collect()
    }
}

/// Whether a folder is a case. File systems that do not tell case from `Case` are asked for the name itself.
#[must_use]
pub fn is_case(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name() == "case.toml")
}

fn manifest(path: &Path, text: &str) -> Result<Manifest> {
    let unreadable = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        refuse(path, line, error.message().to_owned(), "see docs/regression-cases.md for what a case has")
    };
    let table: toml::Table = toml::from_str(text).map_err(unreadable)?;
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let near = nearest(key, KEYS).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let what = format!("unknown key `{key}` in a case");
        return Err(refuse(path, line_of(text, key), what, format!("{near}a case may have {}", KEYS.join(", "))));
    }
    if table.get("policy").is_some_and(toml::Value::is_table) {
        let remedy = "write the policy's text between ''' and ''', or the name of a built-in or a file";
        return Err(refuse(path, line_of(text, "[policy]"), "policy is a table, and was to be text", remedy));
    }
    let manifest: Manifest = toml::from_str(text).map_err(unreadable)?;
    if manifest.requirements.is_empty() {
        let remedy = "name at least one statement of requirements.toml";
        return Err(refuse(path, line_of(text, "requirements"), "the case speaks for no statement", remedy));
    }
    if let Some(guard) = manifest.stopped_by.as_deref().filter(|guard| !GUARDS.contains(guard)) {
        let near = nearest(guard, GUARDS).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let what = format!("stopped_by `{guard}` is no guard");
        return Err(refuse(path, line_of(text, "stopped_by"), what, format!("{near}there are {}", GUARDS.join(", "))));
    }
    Ok(manifest)
}

/// The line on which a key stands.
fn line_of(text: &str, key: &str) -> usize {
    let stands = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('='))
    };
    text.lines().position(stands).map_or(1, |index| index + 1)
}

/// The policy of a case: a text, a file beside the case, or the name of a built-in.
fn policy(folder: &Path, path: &Path, text: &str, written: &str) -> Result<Policy> {
    let line = line_of(text, "policy");
    // A name has neither lines nor equations.
    let policy = if written.contains(['\n', '=']) {
        // The text begins on the line after the one that opens it, where that has nothing else.
        let opens = text.lines().nth(line - 1).unwrap_or_default().trim_end();
        let first = if opens.ends_with("'''") || opens.ends_with("\"\"\"") { line + 1 } else { line };
        Policy::parse(written, &path.display().to_string()).map_err(|error| match error {
            Error::Policy { place: PolicyPlace { source, line_column: Some((line, column)) }, what, remedy } => {
                let line_column = Some((line + first - 1, column));
                Error::Policy { place: PolicyPlace { source, line_column }, what, remedy }
            }
            other => other,
        })?
    } else if written.contains('/') || Path::new(written).extension().is_some_and(|extension| extension == "toml") {
        let file = folder.join(written);
        // A path with a `/` is a file, however the folder was named.
        Policy::load(&Path::new(".").join(&file).display().to_string()).map_err(|error| match error {
            Error::Policy { place: PolicyPlace { line_column, .. }, what, remedy } => {
                let source = file.display().to_string();
                Error::Policy { place: PolicyPlace { source, line_column }, what, remedy }
            }
            other => other,
        })?
    } else {
        Policy::load(written).map_err(|error| match error {
            Error::Policy { what, remedy, .. } => {
                let place = PolicyPlace { source: path.display().to_string(), line_column: Some((line, 1)) };
                Error::Policy { place, what: format!("policy `{written}`: {what}"), remedy }
            }
            other => other,
        })?
    };
    if policy.spellings.columns.is_empty() {
        return Ok(policy);
    }
    let what = "the policy maps columns, and the snapshot of a case has ours";
    Err(refuse(path, line, what, "leave [snapshot.columns] out; statuses and types may be mapped"))
}

/// BLAKE3 of the files of a case, each with its name and length.
fn digest(folder: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in ["case.toml", "snapshot.csv", "expected.csv"] {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        hasher.update(name.as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}

fn read_devices(path: &Path) -> Result<Vec<Device>> {
    let columns = Column::READ_BY_SWEEP.map(Column::name);
    let device = |line: table::Line| {
        let text = |column: Column| match line.cells.get(column as usize).map(String::as_str) {
            None | Some("") => None,
            Some(EMPTY) => Some(String::new()),
            Some(text) => Some(text.to_owned()),
        };
        let since = text(Column::StatusSince).map(|written| {
            // A date before the year 1 is one that the engine must not believe, and a case must be able to have it.
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

/// The dispositions, as expectations name them.
pub(super) fn dispositions() -> [&'static str; 5] {
    let quarantined = Disposition::Quarantined(Reason::UnknownStatus);
    let delete = Disposition::Delete { alert: false };
    [delete, Disposition::NotDue, Disposition::Excluded, Disposition::NotCandidate, quarantined].map(Disposition::name)
}

fn read_expected(path: &Path, stopped_by: Option<&str>) -> Result<Vec<Expectation>> {
    let expectation = |table::Line { line, cells }: table::Line| {
        let mut cells = cells.into_iter();
        let mut next = || cells.next().unwrap_or_default();
        let ending = Ending {
            device_id: next(),
            disposition: next(),
            reason: next(),
            alert: next(),
            recipient: next(),
            due_on: next(),
        };
        known(path, line, "disposition", &ending.disposition, &dispositions())?;
        if !ending.reason.is_empty() {
            known(path, line, "reason", &ending.reason, &Reason::ALL.map(Reason::name))?;
        }
        if let (Some(guard), false) = (stopped_by, ending.cells()[3..].iter().all(|cell| cell.is_empty())) {
            let what = format!("{guard} stops the run, so that nobody is told of anything");
            return Err(refuse(path, line, what, "leave alert, recipient and due_on empty where stopped_by is said"));
        }
        Ok(Expectation { line, ending })
    };
    table::read(path, &Ending::COLUMNS, 0)?.into_iter().map(expectation).collect()
}

/// Refuses a word that is none of those that a column may have.
fn known(path: &Path, line: usize, column: &str, found: &str, words: &[&str]) -> Result<()> {
    if words.contains(&found) {
        return Ok(());
    }
    let near = nearest(found, words.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let what = if found.is_empty() { format!("no {column}") } else { format!("unknown {column} `{found}`") };
    Err(refuse(path, line, what, format!("{near}there are {}", words.join(", "))))
}
