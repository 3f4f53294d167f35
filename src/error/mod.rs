//! The error type of the library: what is wrong, where, and what to do about it.
//!
//! The binary prints an [`Error`] as one line, its [`remedy`](Error::remedy) as a second, and exits with its
//! [`exit_code`](Error::exit_code). Faults of a snapshot carry a [`Place`], down to row group and column.

mod document;
mod exit;
mod fault;
mod panic;
mod stopped;
mod table_format;

use std::io;
use std::path::{Path, PathBuf};

use crate::shown;

pub use document::{DocumentKind, DocumentPlace, Position, did_you_mean, nearest};
pub use exit::{ClusterFault, ExitCode};
pub use fault::{Fault, Place};
pub use panic::{contained, expecting_panic};
pub use stopped::{GuardTrip, Stopped};
pub use table_format::TableFormat;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is not valid.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// The snapshot is refused.
    #[error("{place}: {fault}")]
    Snapshot {
        /// File, row group and column.
        place: Place,
        /// The reason.
        fault: Fault,
    },
    /// A document that users write is refused: a policy, a scenario, a tariff, a case, an order book.
    #[error("{place}: {what}")]
    Document {
        /// File, line and column.
        place: DocumentPlace,
        /// What is wrong there.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// A guard tripped; nothing was published.
    #[error("{0}")]
    Guard(Stopped),
    /// A path that should be a run directory has no `run.json`.
    #[error("{}: not a run directory: it has no run.json", shown::path(.0))]
    NoRun(PathBuf),
    /// A run directory differs from its record.
    #[error("{}: {what}", shown::path(&path))]
    Verification {
        /// The run directory, or a file in it.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A run is not approved as required, or a key cannot be used.
    #[error("{}: {what}", shown::path(&path))]
    Approval {
        /// The run directory, or a file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A result differs from a regression case, or from a file of expectations.
    #[error("{what}")]
    Regression {
        /// What differs.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The inventory cannot be reached, refuses a statement, or differs from its configuration.
    #[error("{what}")]
    Inventory {
        /// What differs, or the answer of the server.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A sweep on a cluster is refused, or the cluster stopped.
    #[error("{what}")]
    Cluster {
        /// What is at fault.
        kind: ClusterFault,
        /// What happened.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// An operation of the system failed.
    #[error("{}: cannot {action}: {source}", shown::path(&path))]
    Io {
        /// The operation, as a verb: `read`.
        action: &'static str,
        /// The path of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Data that does not fit into memory could not be written to a temporary file.
    #[error("{}: cannot write temporary data: {source}", shown::path(&path))]
    Aside {
        /// The folder for temporary files.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A Parquet file could not be written.
    #[error("{}: cannot write Parquet: {source}", shown::path(&path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the writer.
        source: parquet::errors::ParquetError,
    },
    /// The figures of a run do not add up. This is a defect of this program; no manifest is published.
    #[error("internal figures disagree: {0}; nothing was published")]
    Unbalanced(String),
    /// The user asked to stop.
    #[error("interrupted; nothing was published")]
    Interrupted,
    /// The user stopped a load. The next run of the same command continues from there.
    #[error("interrupted after {done} of {planned} planned devices; their changes are committed")]
    Halted {
        /// Devices that have been tried.
        done: u64,
        /// Devices in the manifest.
        planned: u64,
    },
    /// An administrator of the database canceled a statement of a load.
    #[error("{0}")]
    Canceled(String),
    /// A load stopped after some of its transactions were committed.
    #[error(
        "{cause}; before that, {done} of {planned} planned devices were tried: {deleted} deletions and {alerts} alerts are \
         committed"
    )]
    PartlyLoaded {
        /// Why it stopped.
        cause: Box<Error>,
        /// Devices that have been tried.
        done: u64,
        /// Devices in the manifest.
        planned: u64,
        /// Devices that were deleted.
        deleted: u64,
        /// Alerts that were written.
        alerts: u64,
    },
}

/// How to go on with a load that stopped.
const CONTINUES: &str = "run the same command again: it continues from there";

impl Place {
    /// The error that `fault` is at this place.
    #[must_use]
    pub fn refuse(self, fault: Fault) -> Error {
        Error::Snapshot { place: self, fault }
    }
}

impl DocumentPlace {
    /// The error that `what` is wrong at this place.
    pub fn refuse(self, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Document { place: self, what: what.into(), remedy: remedy.into() }
    }
}

impl Error {
    /// Wraps a system error with the operation and the path.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Wraps an error of reading a file of a run. A file that is not there, or is not a regular file, differs from what the
    /// record says. That a disk or a permission fails says nothing about the run.
    pub fn run_file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::Verification { path, what: "is missing".into() }
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Self::Verification { path, what: format!("cannot be read: {source}") }
            }
            _ => Self::Io { action: "read", path, source },
        }
    }

    /// Wraps an error of the Parquet writer. A failed write of the system stays an [`Error::Io`].
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

    /// What the user can do about it, in one line; empty if there is nothing to add.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Usage { remedy, .. }
            | Self::Document { remedy, .. }
            | Self::Approval { remedy, .. }
            | Self::Inventory { remedy, .. }
            | Self::Cluster { remedy, .. } => remedy.clone(),
            Self::Snapshot { fault, .. } => fault.remedy().into(),
            Self::Guard(stopped) => stopped.remedy(),
            Self::NoRun(_) => "name a directory that `smi-sweep sweep --out` wrote".into(),
            Self::Verification { .. } => "do not load this run; sweep again".into(),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => "free some space, or choose another --out".into(),
                io::ErrorKind::NotFound => "check the path".into(),
                io::ErrorKind::PermissionDenied => "check the permissions of the path".into(),
                io::ErrorKind::AlreadyExists => "choose a name that does not exist yet".into(),
                _ => String::new(),
            },
            Self::Aside { .. } => "name a folder with room for eight bytes a row in the variable TMPDIR".into(),
            Self::Halted { .. } => CONTINUES.into(),
            Self::Canceled(_) => "ask who canceled it, and why; then run the same command again".into(),
            Self::PartlyLoaded { cause, .. } => match cause.remedy() {
                remedy if remedy.is_empty() => CONTINUES.into(),
                remedy if remedy.contains("same command again") || matches!(**cause, Self::Verification { .. }) => {
                    remedy
                }
                remedy => format!("{remedy}; then {CONTINUES}"),
            },
            Self::Unbalanced(_) => "please report this with the snapshot's schema".into(),
            Self::Regression { remedy, .. } => (*remedy).into(),
            Self::Write { .. } | Self::Interrupted => String::new(),
        }
    }

    /// The exit code of a process that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } | Self::Cluster { kind: ClusterFault::Usage, .. } => ExitCode::Usage,
            Self::Snapshot { .. } | Self::Cluster { kind: ClusterFault::Snapshot, .. } => ExitCode::Snapshot,
            Self::Document { place, .. } => place.kind.exit_code(),
            Self::Guard(_) => ExitCode::Guard,
            Self::NoRun(_) | Self::Verification { .. } | Self::Approval { .. } | Self::Regression { .. } => {
                ExitCode::Verification
            }
            Self::Inventory { .. }
            | Self::Cluster { kind: ClusterFault::Cluster, .. }
            | Self::Io { .. }
            | Self::Aside { .. }
            | Self::Write { .. }
            | Self::Unbalanced(_) => ExitCode::Failed,
            Self::Interrupted | Self::Halted { .. } | Self::Canceled(_) => ExitCode::Interrupted,
            Self::PartlyLoaded { cause, .. } => cause.exit_code(),
        }
    }
}
