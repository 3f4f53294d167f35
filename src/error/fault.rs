//! Why a snapshot is refused, and where.

use std::fmt;
use std::path::PathBuf;

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
    /// A link to a file that does not exist, or to itself.
    #[error("a link whose target does not exist")]
    DeadLink,
    /// A name that is not UTF-8: manifests and seals could not record it.
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
    /// An optional column has a name that differs in case or in the characters between its words.
    #[error("is not spelled `{0}`; if it were ignored, other parties would be alerted")]
    Misspelt(&'static str),
    /// Some files of a snapshot have an optional column, and some do not.
    #[error("no such column, and {} has it; if it were ignored, other parties would be alerted", .0.display())]
    InSomeFiles(PathBuf),
    /// Two columns of the file are mapped to one column of the contract.
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
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::NotParquet(_) => "name Parquet files, or folders of them; a truncated copy must be copied again",
            Self::Absent => "check the path",
            Self::NoFiles => "name a folder with Parquet files; hidden files and names that begin with `_` are skipped",
            Self::NamedTwice => "name each file or folder once, and link to none from below itself",
            Self::NotAFile => "save the data as a file first: it is read from several places at once",
            Self::DeadLink => "fix the link, or remove it",
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
            Self::Findings(_) => "fix the snapshot, or map the spellings in the policy",
        }
    }
}

fn like(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("did you mean `{nearest}`? "))
}
