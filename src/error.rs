//! One error for the whole library: what is wrong, where, and what to do about it.
//!
//! The binary prints an [`Error`] as one line, its [`remedy`](Error::remedy) as a second, and exits with its
//! [`exit_code`](Error::exit_code). Faults of a snapshot carry a [`Place`], down to row group and column.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the process ends. The numbers are relied on by scripts: see README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, also where nothing was due.
    Done = 0,
    /// Failed at run time: a disk full, a permission missing.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// The snapshot is refused, or a table that is read beside it.
    Snapshot = 3,
    /// The policy is refused, or what else is signed: rules of a count, a tariff.
    Policy = 4,
    /// A guard tripped; nothing was published.
    Guard = 5,
    /// A run does not verify, or is not approved.
    Verification = 6,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// Where in a snapshot something is: file, and where known row group and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Index of the row group within the file.
    pub row_group: Option<usize>,
    /// Name of the column in the file.
    pub column: Option<String>,
}

impl Place {
    /// A whole file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), row_group: None, column: None }
    }

    /// The same place, narrowed to a row group.
    #[must_use]
    pub fn row_group(mut self, index: usize) -> Self {
        self.row_group = Some(index);
        self
    }

    /// The same place, narrowed to a column.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>) -> Self {
        self.column = Some(name.into());
        self
    }

    /// The error that `fault` is at this place.
    #[must_use]
    pub fn refuse(self, fault: Fault) -> Error {
        Error::Snapshot { place: self, fault }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(row_group) = self.row_group {
            write!(f, ", row group {row_group}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        Ok(())
    }
}

/// Why a snapshot is refused.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file has no Parquet footer.
    #[error("not a Parquet file ({0})")]
    NotParquet(String),
    /// The path has neither a file nor a folder.
    #[error("no such file or folder")]
    Absent,
    /// A folder without a single snapshot file.
    #[error("no Parquet files in this folder")]
    NoFiles,
    /// The same file was named twice.
    #[error("the same file or folder is named twice, which would count its devices twice")]
    NamedTwice,
    /// A pipe, a device or a socket.
    #[error("neither a file nor a folder")]
    NotAFile,
    /// A link to something that is not there, or to itself.
    #[error("a link that leads nowhere")]
    DeadLink,
    /// A name by which manifests and seals could not tell a file from another.
    #[error("its name is not UTF-8 text")]
    NameNotText,
    /// A column of the contract is not in the file.
    #[error("no such column; {}the file has {found}", like(nearest.as_ref()))]
    MissingColumn {
        /// The names that are there.
        found: String,
        /// The one of them that is most like it.
        nearest: Option<String>,
    },
    /// A column that need not be there is, by a name that differs in case or in what joins its words.
    #[error("is written otherwise than `{0}`; were it ignored, other parties would be told")]
    Misspelt(&'static str),
    /// Some files of a snapshot have a column that need not be there, and some have not.
    #[error("no such column, and {} has it; were it ignored, other parties would be told", .0.display())]
    InSomeFiles(PathBuf),
    /// Two columns of the file lay claim to one column of the contract.
    #[error("two columns of the file are both read as `{0}`")]
    AmbiguousColumn(&'static str),
    /// A column has a type that the contract does not accept.
    #[error("is {found}, which cannot be read as {wanted}")]
    WrongKind {
        /// The Parquet type found.
        found: String,
        /// What would be accepted.
        wanted: &'static str,
    },
    /// Bytes that do not decode.
    #[error("corrupt data: {0}")]
    Corrupt(String),
    /// Neither `--as-of`, nor `_snapshot.json`, nor the key-value of the files says when it was taken.
    #[error("the snapshot does not say when it was taken")]
    NoAsOf,
    /// Files that were taken at different moments.
    #[error("taken at {found}, other files of this snapshot at {other}")]
    MixedAsOf {
        /// The moment of this file.
        found: String,
        /// The moment of an earlier file.
        other: String,
    },
    /// A date or time that cannot be read.
    #[error("`{0}` is not a date or a time")]
    BadTime(String),
    /// The seal cannot be understood.
    #[error("not a seal that this version understands: {0}")]
    BadSeal(String),
    /// A ledger cannot be understood.
    #[error("not a ledger that this version understands: {0}")]
    BadLedger(String),
    /// Bytes, rows or digest are not those sealed.
    #[error("differs from its seal: {what} is {found}, sealed as {sealed}")]
    SealBroken {
        /// Which of the sealed figures.
        what: &'static str,
        /// As found now.
        found: String,
        /// As sealed.
        sealed: String,
    },
    /// A file that the seal does not name.
    #[error("is not named in the seal: a file too many")]
    NotSealed,
    /// A file that the seal names and the folder lacks.
    #[error("is named in the seal and is not there: a file too few")]
    SealedFileMissing,
    /// The file changed between opening and the end of the scan.
    #[error("changed while it was read")]
    Changed,
    /// `check --strict` found something.
    #[error("{0} kinds of finding, and --strict accepts none")]
    Findings(usize),
}

impl Fault {
    fn remedy(&self) -> &'static str {
        match self {
            Self::NotParquet(_) => "name Parquet files, or folders of them; a truncated copy must be copied again",
            Self::Absent => "check the path",
            Self::NoFiles => "name a folder with Parquet files; hidden files and names that begin with `_` are skipped",
            Self::NamedTwice => "name each file or folder once, and link to none from below itself",
            Self::NotAFile => "save the data as a file first: it is read from several places at once",
            Self::DeadLink => "mend the link, or remove it",
            Self::NameNotText => "rename the file",
            Self::MissingColumn { .. } | Self::Misspelt(_) => {
                "map the estate's own name under [snapshot.columns] of the policy"
            }
            Self::InSomeFiles(_) => "export the column for all files of the snapshot, or for none",
            Self::AmbiguousColumn(_) => "map one column only under [snapshot.columns] of the policy",
            Self::WrongKind { .. } => "export the column in an accepted type, or map another column to it",
            Self::Corrupt(_) => "export or copy the file again",
            Self::NoAsOf => "say --as-of DATE, or seal the snapshot with `smi-sweep check --seal --taken-at TIME`",
            Self::MixedAsOf { .. } => "sweep files of one moment only, or say --as-of",
            Self::BadTime(_) => "write 2026-11-01 or 2026-11-01T06:30:00Z",
            Self::BadLedger(_) => "take it with `smi-sweep ledger SNAPSHOT --out FILE`",
            Self::BadSeal(_) | Self::SealBroken { .. } | Self::NotSealed | Self::SealedFileMissing => {
                "restore the snapshot, or seal it anew with `smi-sweep check --seal` if the change is meant"
            }
            Self::Changed => "sweep a snapshot that nobody writes to",
            Self::Findings(_) => "mend the snapshot, or map the spellings in the policy",
        }
    }
}

fn like(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("did you mean `{nearest}`? "))
}

/// The name that is most like `found`, where one is alike at all.
pub fn nearest<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&found, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// Where in a policy a slip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPlace {
    /// The file, or the name of the built-in.
    pub source: String,
    /// Line and column, both from 1, where they are known.
    pub line_column: Option<(usize, usize)>,
}

impl PolicyPlace {
    /// Where the byte at `offset` of a text stands.
    #[must_use]
    pub fn within(source: &str, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { source: source.into(), line_column: Some((line, column)) }
    }
}

impl fmt::Display for PolicyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if let Some((line, column)) = self.line_column {
            write!(f, ":{line}:{column}")?;
        }
        Ok(())
    }
}

/// Where in a table of the user's, such as an order book, something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePlace {
    /// The file.
    pub file: PathBuf,
    /// The line of a text file, or the row of a Parquet file, from 1.
    pub row: Option<TableRow>,
    /// The field, by the name of its column.
    pub field: Option<String>,
}

/// How a table counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableRow {
    /// Lines, of which the header is the first.
    Line(u64),
    /// Rows.
    Row(u64),
}

impl TablePlace {
    /// A whole file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), row: None, field: None }
    }

    /// The same place, narrowed to a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        self.field = Some(name.into());
        self
    }

    /// The error that `what` is wrong at this place.
    pub fn refuse(self, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Table { place: self, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for TablePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.row {
            Some(TableRow::Line(line)) => write!(f, ":{line}")?,
            Some(TableRow::Row(row)) => write!(f, ", row {row}")?,
            None => {}
        }
        match &self.field {
            Some(field) => write!(f, ", field `{field}`"),
            None => Ok(()),
        }
    }
}

/// A guard that stopped a run.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardTrip {
    /// The policy whose guard it is.
    pub policy: String,
    /// The guard's key in the policy, or the flag that took its place.
    pub guard: &'static str,
    /// What the run came to, and what is allowed, in words.
    pub what: String,
    /// The flag that accepts exactly this run.
    pub flag: String,
}

/// The guards that stopped a run, of whichever of its policies.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    /// At least one, in the order of the policies.
    pub trips: Vec<GuardTrip>,
    /// How many policies were asked: an exact number goes with one only.
    pub policies: usize,
}

impl Stopped {
    /// For each policy that was stopped, its name and the flags that accept exactly this run.
    fn flags(&self) -> Vec<(&str, String)> {
        let mut all: Vec<(&str, String)> = Vec::new();
        for trip in &self.trips {
            match all.last_mut().filter(|(policy, _)| *policy == trip.policy) {
                Some((_, flags)) if flags.contains(&trip.flag) => {}
                Some((_, flags)) => *flags = format!("{flags} {}", trip.flag),
                None => all.push((&trip.policy, trip.flag.clone())),
            }
        }
        all
    }

    /// How to go on, where every row that a guard stopped at is accounted for.
    #[must_use]
    pub fn way_on(&self) -> String {
        let flags = self.flags();
        if self.policies == 1 {
            let flags: Vec<&str> = flags.iter().map(|(_, flags)| flags.as_str()).collect();
            return format!("if every one of them is accounted for: {}", flags.join(" "));
        }
        let alone: Vec<String> = flags.iter().map(|(policy, flags)| format!("`{policy}` with {flags}")).collect();
        format!("if every one of them is accounted for, sweep alone by {}, or raise the guards", alone.join(", by "))
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut policy = "";
        for trip in &self.trips {
            if trip.policy == policy {
                write!(f, ", {}", trip.what)?;
            } else {
                let then = if policy.is_empty() { "" } else { "; " };
                write!(f, "{then}policy `{}`: stopped by its guards: {}", trip.policy, trip.what)?;
            }
            policy = &trip.policy;
        }
        f.write_str("; nothing was published")
    }
}

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line does not make sense.
    #[error("{what}")]
    Usage {
        /// What does not fit.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// The snapshot is refused.
    #[error("{place}: {fault}")]
    Snapshot {
        /// Where.
        place: Place,
        /// Why.
        fault: Fault,
    },
    /// The policy is refused.
    #[error("{place}: {what}")]
    Policy {
        /// Where.
        place: PolicyPlace,
        /// Why.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// A scenario is refused.
    #[error("{place}: {what}")]
    Scenario {
        /// Where.
        place: PolicyPlace,
        /// Why.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// A table that is read beside the snapshot, such as an order book, is refused.
    #[error("{place}: {what}")]
    Table {
        /// Where.
        place: TablePlace,
        /// Why.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A guard tripped; nothing was published.
    #[error("{0}")]
    Guard(Stopped),
    /// What is named as a run directory is none, or is not a whole one.
    #[error("{}: not a run directory: it has no run.json", .0.display())]
    NoRun(PathBuf),
    /// A run directory is not what its record says.
    #[error("{}: {what}", path.display())]
    Verification {
        /// The run directory, or a file in it.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A run is not approved as it must be, or a key or its table is not to be trusted.
    #[error("{}: {what}", path.display())]
    Approval {
        /// The run directory, or a file.
        path: PathBuf,
        /// What is amiss.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A regression case, or what belongs to it, cannot be understood.
    #[error("{}:{line}: {what}", path.display())]
    Case {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What does not fit.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// Something is not as a regression case, or a file of expectations, says.
    #[error("{what}")]
    Regression {
        /// What differs.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The inventory cannot be reached, refuses, or is not as its configuration says.
    #[error("{what}")]
    Inventory {
        /// What does not fit, or what the server said.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// An operation of the system failed.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Data that does not fit into memory could not be put aside.
    #[error("{}: cannot put data aside: {source}", path.display())]
    Aside {
        /// The folder for temporary files.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A Parquet file could not be written.
    #[error("{}: cannot write Parquet: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The writer's answer.
        source: parquet::errors::ParquetError,
    },
    /// The figures of a run do not add up: a defect of this program, and no manifest is published.
    #[error("internal figures disagree: {0}; nothing was published")]
    Unbalanced(String),
    /// The user asked to stop.
    #[error("interrupted; nothing was published")]
    Interrupted,
    /// The user asked a load to stop, which goes on from there the next time.
    #[error("interrupted after {done} of {planned} planned devices; what was done stays done")]
    Halted {
        /// Devices that have been tried.
        done: u64,
        /// Devices in the manifest.
        planned: u64,
    },
}

impl Error {
    /// Wraps a system error with what was tried on which path.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Wraps an error of the Parquet writer. A failed write of the system keeps its own words.
    pub fn write(path: impl AsRef<Path>) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| match source {
            parquet::errors::ParquetError::External(inner) if inner.is::<io::Error>() => {
                let source = inner.downcast::<io::Error>().map_or_else(io::Error::other, |e| *e);
                Self::Io { action: "write", path, source }
            }
            source => Self::Write { path, source },
        }
    }

    /// What the user can do about it, in one line; empty where there is nothing to add.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Usage { remedy, .. }
            | Self::Policy { remedy, .. }
            | Self::Scenario { remedy, .. }
            | Self::Table { remedy, .. }
            | Self::Case { remedy, .. }
            | Self::Approval { remedy, .. }
            | Self::Inventory { remedy, .. } => remedy.clone(),
            Self::Snapshot { fault, .. } => fault.remedy().into(),
            Self::Guard(stopped) => stopped.way_on(),
            Self::NoRun(_) => "name a directory that `smi-sweep sweep --out` wrote".into(),
            Self::Verification { .. } => "do not load this run; sweep again".into(),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => "free some space, or choose another --out".into(),
                io::ErrorKind::NotFound => "check the path".into(),
                io::ErrorKind::PermissionDenied => "check who may read and write there".into(),
                io::ErrorKind::AlreadyExists => "choose a name that does not exist yet".into(),
                _ => String::new(),
            },
            Self::Aside { .. } => "name a folder with room for eight bytes a row in the variable TMPDIR".into(),
            Self::Halted { .. } => "run the same command again: it goes on from there".into(),
            Self::Unbalanced(_) => "please report this with the snapshot's schema".into(),
            Self::Regression { remedy, .. } => (*remedy).into(),
            Self::Write { .. } | Self::Interrupted => String::new(),
        }
    }

    /// The exit code that goes with it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } | Self::Scenario { .. } | Self::Case { .. } => ExitCode::Usage,
            Self::Snapshot { .. } | Self::Table { .. } => ExitCode::Snapshot,
            Self::Policy { .. } => ExitCode::Policy,
            Self::Guard(_) => ExitCode::Guard,
            Self::NoRun(_) | Self::Verification { .. } | Self::Approval { .. } | Self::Regression { .. } => {
                ExitCode::Verification
            }
            Self::Inventory { .. }
            | Self::Io { .. }
            | Self::Aside { .. }
            | Self::Write { .. }
            | Self::Unbalanced(_) => ExitCode::Failed,
            Self::Interrupted | Self::Halted { .. } => ExitCode::Interrupted,
        }
    }
}
