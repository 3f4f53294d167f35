//! The Python process that runs the query on Spark, and what is said to it and by it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{ClusterFault, Error, Result};
use crate::output::OutputFile;
use crate::progress::Progress;
use crate::system::input;

/// The program, which is part of the binary.
const PROGRAM: &str = include_str!("runner.py");
/// How often the answers are looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// What the process is to do.
#[derive(Serialize)]
pub(super) struct Task<'a> {
    pub master: &'a str,
    pub settings: &'a std::collections::BTreeMap<String, String>,
    /// Files and folders, as Spark names them.
    pub snapshot: &'a [String],
    /// Columns of the contract by name, with their names in the files.
    pub columns: std::collections::BTreeMap<&'static str, &'a str>,
    pub sql: &'a str,
    /// The folder that the cluster writes listed rows to, as Spark names it.
    pub staging: &'a str,
    /// What to do where the cluster stops.
    pub remedy: &'a str,
}

/// An answer of the process.
#[derive(Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
enum Answer {
    Refused { kind: ClusterFault, what: String, remedy: String },
    Counted(Counted),
    Written { rows: u64 },
}

/// Rows that the query has counted.
#[derive(Deserialize)]
pub(super) struct Counted {
    pub counts: Vec<Count>,
    pub files: Vec<CountedFile>,
    /// Whether the snapshot has a column of roles.
    pub has_role: bool,
    /// Whether its times have no zone, and are read as UTC.
    pub assumes_utc: bool,
    /// The version of Spark.
    pub spark: String,
    /// Tasks that the cluster runs at the same time.
    pub cores: usize,
}

/// Rows of one file with one verdict.
#[derive(Deserialize)]
pub(super) struct Count {
    pub source_file: String,
    pub device_type: String,
    pub disposition: String,
    pub reason: Option<String>,
    pub alert: Option<bool>,
    #[serde(rename = "count")]
    pub rows: u64,
}

/// A file of the snapshot.
#[derive(Deserialize)]
pub(super) struct CountedFile {
    /// As Spark names it.
    pub path: String,
    pub bytes: u64,
}

/// The process. It ends when this is dropped, and the application on the cluster with it.
pub(super) struct Runner {
    child: Child,
    answers: PathBuf,
    log: PathBuf,
    /// Bytes of answers that were read.
    read: usize,
}

impl Runner {
    /// Starts the process. Its program, answers and log are in `folder`.
    pub fn start(python: &str, folder: &Path, task: &Task<'_>) -> Result<Self> {
        let [program, answers, log] = ["runner.py", "answers", "log"].map(|name| folder.join(name));
        OutputFile::create(&program)?.finish_with(PROGRAM.as_bytes())?;
        OutputFile::create(&answers)?.finish_with(b"")?;
        let log_file = || File::options().create(true).append(true).open(&log).map_err(Error::io("write", &log));
        let child = Command::new(python)
            .arg(&program)
            .arg(&answers)
            .env("PYSPARK_PYTHON", python)
            .stdin(Stdio::piped())
            .stdout(log_file()?)
            .stderr(log_file()?)
            .spawn()
            .map_err(|error| Error::Cluster {
                kind: ClusterFault::Usage,
                what: format!("{python} cannot be started: {error}"),
                remedy: "name a Python that has pyspark with --python".into(),
            })?;
        let mut runner = Self { child, answers, log, read: 0 };
        runner.say(task)?;
        Ok(runner)
    }

    /// Waits for the counts.
    pub fn counted(&mut self, progress: &dyn Progress) -> Result<Counted> {
        match self.next(progress)? {
            Answer::Counted(counted) => Ok(counted),
            _ => Err(self.stopped()),
        }
    }

    /// Lets the cluster write the listed rows, and waits for them. Returns their number.
    pub fn write(&mut self, progress: &dyn Progress) -> Result<u64> {
        self.say(&true)?;
        match self.next(progress)? {
            Answer::Written { rows } => Ok(rows),
            _ => Err(self.stopped()),
        }
    }

    fn say(&mut self, document: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(document).map_err(|error| Error::Unbalanced(error.to_string()))?;
        line.push(b'\n');
        match self.child.stdin.as_mut().map(|input| input.write_all(&line).and_then(|()| input.flush())) {
            Some(Ok(())) => Ok(()),
            // Its answer, or its end, says why.
            _ => self.next(&crate::progress::NoProgress).and_then(|_| Err(self.stopped())),
        }
    }

    /// The next answer; a refusal is an error.
    fn next(&mut self, progress: &dyn Progress) -> Result<Answer> {
        loop {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            // In this order: what a process says before it ends is read.
            let ended = self.child.try_wait().map_err(Error::io("wait for", &self.answers))?.is_some();
            let text = input::read_to_string(&self.answers).map_err(Error::io("read", &self.answers))?;
            if let Some((line, _)) = text.get(self.read..).and_then(|rest| rest.split_once('\n')) {
                self.read += line.len() + 1;
                return match serde_json::from_str(line) {
                    Ok(Answer::Refused { kind, what, remedy }) => Err(Error::Cluster { kind, what, remedy }),
                    Ok(answer) => Ok(answer),
                    Err(_) => Err(self.stopped()),
                };
            }
            if ended {
                return Err(self.stopped());
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// The error of a process that ended without an answer: the last line of its log.
    fn stopped(&self) -> Error {
        let log = input::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
        Error::Cluster {
            kind: ClusterFault::Cluster,
            what: format!("the process that runs Spark ended: {}", last.trim()),
            remedy: "check Python, Java and pyspark on this machine".into(),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Without its standard input, the Java process of the driver ends as well.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
