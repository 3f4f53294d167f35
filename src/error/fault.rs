//! Why a snapshot is refused, and where.

use std::fmt;
use std::path::PathBuf;

use super::TableFormat;
use crate::shown;

/// A place in a snapshot: the file, and the row group and column if they are known.
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
        write!(f, "{}", shown::path(&self.file))?;
        if let Some(row_group) = self.row_group {
            write!(f, ", row group {row_group}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column `{}`", shown::value(column))?;
        }
        Ok(())
    }
}

/// Characters of a list of names that are shown.
const LONGEST_LIST: usize = 1000;

/// Why a snapshot is refused.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file has no valid Parquet footer.
    #[error("not a Parquet file ({0})")]
    NotParquet(String),
    /// The file is Parquet, and its footer cannot be read.
    #[error("its footer cannot be read: {0}")]
    Footer(String),
    /// The path does not exist.
    #[error("no such file or folder")]
    Absent,
    /// A folder without a single snapshot file.
    #[error("no Parquet files in this folder")]
    NoFiles,
    /// A folder or file of a table format, which other data describes: a plain read would judge replaced rows.
    #[error("belongs to {format} ({evidence}), whose own log decides which rows are current")]
    TableFormat {
        /// The format.
        format: TableFormat,
        /// The file or folder that shows it.
        evidence: String,
    },
    /// The folder that Spark writes to until its job ends.
    #[error("{} exists: the job that writes these files has not ended, or has failed", shown::path(.0))]
    UnfinishedWrite(PathBuf),
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
    /// A required column, or one that the policy maps, is not in the file.
    #[error("no such column; {}the file has {}", like(nearest.as_ref()), shown::message(found, LONGEST_LIST))]
    MissingColumn {
        /// The names of the file's columns.
        found: String,
        /// The one of them that is most similar.
        nearest: Option<String>,
    },
    /// An optional column has a name that differs in case or in the characters between its words.
    #[error("is not spelled `{0}`; if it were ignored, rows would be judged without it")]
    Misspelt(&'static str),
    /// Some files of a snapshot have an optional column, and some do not.
    #[error("no such column, and {} has it; if it were ignored, other parties would be alerted", shown::path(.0))]
    InSomeFiles(PathBuf),
    /// Two columns of the file are mapped to one column of the contract.
    #[error("two columns of the file are both read as `{0}`")]
    AmbiguousColumn(&'static str),
    /// A column of the file has the name of a partition key.
    #[error("is in the file, and the folder {} gives it too: which of them is right is not certain", shown::path(.0))]
    InFolderToo(PathBuf),
    /// Two folders above a file give the same column.
    #[error("is given twice, by the folders {} and {}", shown::path(.0), shown::path(.1))]
    InTwoFolders(PathBuf, PathBuf),
    /// A folder whose name should give a value, and does not.
    #[error("the name of the folder {} gives no value: {why}", shown::path(folder))]
    BadPartition {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with its value.
        why: &'static str,
    },
    /// A folder outside of a sealed folder gives a column.
    #[error("is given by the folder {}, whose name the seal does not cover", shown::path(.0))]
    OutsideOfSeal(PathBuf),
    /// Dates as text, and no format of them.
    #[error("is text, and the policy does not say in which format its dates are")]
    TextDates,
    /// INT96 where the policy declares the zone of times without one.
    #[error("is INT96, which does not say whether its times are in UTC or in the zone that the policy declares")]
    Int96WithZone,
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
    /// More memory is needed than the limit of the process allows.
    #[error("{0} does not fit into the memory limit")]
    TooLarge(String),
    /// The as-of moment is in none of `--as-of`, the seal, and the key-value metadata of the files.
    #[error("the snapshot does not say when it was taken")]
    NoAsOf,
    /// The files of the snapshot have different as-of moments.
    #[error("taken at {found}, other files of this snapshot at {other}")]
    MixedAsOf {
        /// The moment of this file.
        found: String,
        /// The moment of an earlier file.
        other: String,
    },
    /// A date or time that cannot be read.
    #[error("`{}` is not a date or a time", shown::value(.0))]
    BadTime(String),
    /// The seal has another format or version.
    #[error("not a seal that this version can read: {0}")]
    BadSeal(String),
    /// The ledger has another format or version.
    #[error("not a ledger that this version can read: {0}")]
    BadLedger(String),
    /// Size, rows or digest of a file differ from its seal.
    #[error("differs from its seal: {what} is {found}, sealed as {sealed}")]
    SealBroken {
        /// The figure that differs.
        what: &'static str,
        /// As found now.
        found: String,
        /// As sealed.
        sealed: String,
    },
    /// Bytes of a file differ from its seal.
    #[error("differs from its seal: the BLAKE3 digest of bytes {first} to {last} of the file is another one")]
    BlockBroken {
        /// Offset of the first byte.
        first: usize,
        /// Offset of the last byte.
        last: usize,
    },
    /// A file that the seal does not name.
    #[error("is not named in the seal")]
    NotSealed,
    /// A file that the seal names does not exist.
    #[error("is named in the seal, and does not exist")]
    SealedFileMissing,
    /// A seal is required, and there is none, or one that does not cover itself. The text is what requires it.
    #[error("not sealed, and {0} requires a seal")]
    SealRequired(String),
    /// Unique Device IDs are required, and not proven. The text is what requires them.
    #[error("its Device IDs are not proven to be unique, and {0} requires that")]
    UniqueRequired(String),
    /// The file changed between opening and the end of the scan.
    #[error("changed while it was read")]
    Changed,
    /// The file was removed, or its folder, between opening and the end of the scan.
    #[error("was removed while it was read")]
    Removed,
    /// Not one value of a column can be read.
    #[error("no value of the whole snapshot can be read as {}; there are {examples}", .kind.0)]
    Unreadable {
        /// What the values should be, and what to do.
        kind: (&'static str, &'static str),
        /// Some of them, escaped and cut.
        examples: String,
    },
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
            Self::TableFormat { format, .. } => format.remedy(),
            Self::UnfinishedWrite(_) => "wait for the job to end; if it failed, export again into a new folder",
            Self::NamedTwice => "name each file or folder once; a folder must not contain a link to itself",
            Self::NotAFile => "save the data as a file first: several threads read it at once",
            Self::DeadLink => "fix the link, or remove it",
            Self::NameNotText => "rename the file",
            Self::MissingColumn { .. } | Self::Misspelt(_) => {
                "map the estate's own name under [snapshot.columns] of the policy"
            }
            Self::InSomeFiles(_) => "export the column for all files of the snapshot, or for none",
            Self::AmbiguousColumn(_) => "map one column only under [snapshot.columns] of the policy",
            Self::InFolderToo(_) => "export the column in the files or as a partition, not as both",
            Self::InTwoFolders(..) => "name the folder once on the way to a file",
            Self::TextDates => "declare it under [snapshot] of the policy, as in date_format = \"%d/%m/%Y\"",
            Self::Int96WithZone => "export the column as TIMESTAMP, or leave out `timezone` if it is in UTC",
            Self::OutsideOfSeal(_) => "seal a folder above it, with `smi-sweep check --seal`",
            Self::BadPartition { .. } => "export the column in the files, or percent-encode the value",
            Self::WrongKind { .. } => "export the column in an accepted type, or map another column to it",
            Self::Corrupt(_) | Self::Footer(_) => "export or copy the file again",
            Self::TooLarge(_) => "if the file is what it should be, raise --memory-limit",
            Self::NoAsOf => "give --as-of DATE, or seal the snapshot with `smi-sweep check --seal --taken-at TIME`",
            Self::MixedAsOf { .. } => "sweep files of one moment only, or give --as-of",
            Self::BadTime(_) => "write 2026-11-01 or 2026-11-01T06:30:00Z",
            Self::BadLedger(_) => "take it with `smi-sweep ledger SNAPSHOT --out FILE`",
            Self::BadSeal(_)
            | Self::SealBroken { .. }
            | Self::BlockBroken { .. }
            | Self::NotSealed
            | Self::SealedFileMissing => {
                "restore the snapshot, or seal it again with `smi-sweep check --seal` if the change is intended"
            }
            Self::SealRequired(_) => {
                "seal it with `smi-sweep check --seal`; a seal of an earlier version does not suffice"
            }
            Self::UniqueRequired(_) => "seal it with `smi-sweep check --seal`, or sweep with --unique",
            Self::Changed | Self::Removed => "sweep a snapshot that no other program writes to",
            Self::Unreadable { kind, .. } => kind.1,
            Self::Findings(_) => "fix the snapshot, or map the spellings in the policy",
        }
    }
}

fn like(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("did you mean `{}`? ", shown::value(nearest)))
}
