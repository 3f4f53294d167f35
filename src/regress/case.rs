//! A case: a folder that a person writes with an editor, and reads without knowing any code.
//!
//! `case.toml` says what is demonstrated, `snapshot.csv` has the devices, `expected.csv` says for each of them, in the
//! same order, what becomes of it. An empty cell is a null; `(empty)` stands for text without characters.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId, time};
use crate::policy::Policy;
use crate::sweep::Expected;

/// Stands for text without characters in a cell, since an empty cell is a null.
const EMPTY: &str = "(empty)";

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
    /// When.
    pub as_of: i64,
    /// The guard that stops the run, where one is meant to.
    pub stopped_by: Option<String>,
    /// Exact numbers that take the place of guards.
    pub accept: Expected,
    /// The devices.
    pub devices: Vec<Device>,
    /// What becomes of each.
    pub expected: Vec<Ending>,
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

/// `case.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    title: String,
    demonstrates: String,
    requirements: Vec<String>,
    policy: String,
    as_of: String,
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
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let manifest: Manifest = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            refuse(&path, line, error.message().to_owned(), "see docs/regression-cases.md for what a case has")
        })?;
        let as_of = time::parse(&manifest.as_of).ok_or_else(|| {
            let what = format!("as_of `{}` is not a date or a time", manifest.as_of);
            refuse(&path, line_of(&text, "as_of"), what, "write 2026-11-01 or 2026-11-01T06:30:00Z")
        })?;
        // A policy's text has lines; a name has none.
        let policy = if manifest.policy.contains('\n') {
            let place = format!("{}, from line {}, policy", path.display(), line_of(&text, "policy"));
            Policy::parse(manifest.policy.trim_start_matches('\n'), &place)?
        } else {
            Policy::load(&manifest.policy)?
        };
        let devices = read_devices(&folder.join("snapshot.csv"))?;
        let expected = folder.join("expected.csv");
        let expected = if blessing && !expected.exists() { Vec::new() } else { read_expected(&expected)? };
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_path_buf(),
            title: manifest.title,
            demonstrates: manifest.demonstrates.split_whitespace().collect::<Vec<_>>().join(" "),
            requirements: manifest.requirements,
            policy,
            as_of,
            stopped_by: manifest.stopped_by,
            accept: Expected { deletes: manifest.expect_deletes, quarantined: manifest.expect_quarantined },
            devices,
            expected,
        })
    }

    /// Reads every case below a folder, in the order of their names.
    ///
    /// # Errors
    /// A folder without cases, and whatever is wrong with the first of them that has a slip.
    pub fn read_all(folder: &Path, blessing: bool) -> Result<Vec<Self>> {
        let mut folders = Vec::new();
        if folder.join("case.toml").exists() {
            folders.push(folder.to_path_buf());
        } else {
            for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
                let path = entry.map_err(Error::io("list", folder))?.path();
                if path.join("case.toml").exists() {
                    folders.push(path);
                }
            }
        }
        if folders.is_empty() {
            return Err(Error::Usage {
                what: format!("{}: no cases in this folder", folder.display()),
                remedy: "name a case, or a folder of folders that each have a case.toml".into(),
            });
        }
        folders.sort();
        folders.iter().map(|folder| Self::read(folder, blessing)).collect()
    }
}

fn refuse(path: &Path, line: usize, what: impl Into<String>, remedy: &str) -> Error {
    Error::Case { path: path.to_path_buf(), line, what: what.into(), remedy: remedy.into() }
}

/// The line on which a key stands.
fn line_of(text: &str, key: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(key)).map_or(1, |index| index + 1)
}

/// The rows of a CSV file with these columns, of which `optional` may be missing at the end.
fn read_rows(path: &Path, columns: &[&str], optional: usize) -> Result<Vec<(usize, Vec<String>)>> {
    let remedy = format!("the columns are {}", columns.join(","));
    let unreadable = |error: &csv::Error| {
        let line = error.position().map_or(1, |position| position.line() as usize);
        refuse(path, line, error.to_string(), &remedy)
    };
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| unreadable(&error))?.clone();
    let wanted = &columns[..header.len().clamp(columns.len() - optional, columns.len())];
    if header.iter().ne(wanted.iter().copied()) {
        return Err(refuse(
            path,
            1,
            format!("the columns are {}", header.iter().collect::<Vec<_>>().join(",")),
            &remedy,
        ));
    }
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| unreadable(&error))?;
            let line = record.position().map_or(1, |position| position.line() as usize);
            Ok((line, record.iter().map(str::to_owned).collect()))
        })
        .collect()
}

fn read_devices(path: &Path) -> Result<Vec<Device>> {
    let columns = Column::ALL.map(Column::name);
    read_rows(path, &columns, 1)?
        .into_iter()
        .map(|(line, cells)| {
            let text = |index: usize| match cells.get(index).map(String::as_str) {
                None | Some("") => None,
                Some(EMPTY) => Some(String::new()),
                Some(text) => Some(text.to_owned()),
            };
            let since = text(Column::StatusSince as usize).map(|written| {
                time::parse(&written).ok_or_else(|| {
                    let what = format!("status_since `{written}` is not a date or a time");
                    refuse(path, line, what, "write 2025-11-01 or 2025-11-01T06:30:00Z")
                })
            });
            Ok(Device {
                id: text(Column::DeviceId as usize),
                device_type: text(Column::DeviceType as usize),
                smi_status: text(Column::SmiStatus as usize),
                since: since.transpose()?,
                party: text(Column::NotifyingParty as usize),
                role: text(Column::NotifyingRole as usize),
            })
        })
        .collect()
}

fn read_expected(path: &Path) -> Result<Vec<Ending>> {
    let rows = read_rows(path, &Ending::COLUMNS, 0)?;
    Ok(rows
        .into_iter()
        .map(|(_, cells)| {
            let mut cells = cells.into_iter();
            let mut next = || cells.next().unwrap_or_default();
            Ending {
                device_id: next(),
                disposition: next(),
                reason: next(),
                alert: next(),
                recipient: next(),
                due_on: next(),
            }
        })
        .collect())
}

/// `expected.csv` of these endings.
#[must_use]
pub fn expected_csv(endings: &[Ending]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into memory does not fail.
    let _ = writer.write_record(Ending::COLUMNS);
    for ending in endings {
        let _ = writer.write_record(ending.cells());
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}
