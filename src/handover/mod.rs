//! A run's manifests in the formats that other systems take: CSV, SQL, NDJSON, and DUIS alerts.
//!
//! A run is verified before any row is exported, and read batch by batch, so that memory does not grow with it. The result
//! is a folder that is whole or absent, with [`RECORD`] in it: the digests of the run's record and of each file. The
//! formats are described in `docs/manifest-formats.md`, with the statements that load them. Nothing is sent or loaded
//! here.

mod csv;
mod duis;
mod export_file;
mod ndjson;
mod source;
mod sql;
mod table;

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::output::{OutputDirectory, OutputFile, json};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::run::manifest::{ALERTS, DELETE, QUARANTINE};
use crate::run::read::{Alerts, Deletes, Quarantine};

use export_file::ExportFile;
use source::ExportSource;
use table::ManifestTable;

pub use duis::DuisHeader;
pub use export_file::ExportedFile;

/// Name of the record of an export, within its folder.
pub const RECORD: &str = "export.json";
/// The version of that record's format.
pub const SCHEMA: &str = "smi-sweep/manifest-export/1";

/// The format of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Each manifest as CSV.
    Csv,
    /// Each manifest as one JSON object a line.
    Ndjson,
    /// The deletions as transactions of so many devices each, for PostgreSQL.
    Sql {
        /// Devices of a transaction, at least 1.
        batch: usize,
    },
    /// The alerts as DUIS documents, a file for each Notifying Party.
    Duis(DuisHeader),
}

impl Format {
    /// The name on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Sql { .. } => "sql",
            Self::Duis(_) => "duis",
        }
    }
}

/// The record of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestExport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// [`Format::name`].
    pub format: &'static str,
    /// BLAKE3 of the run's `run.json`, in hex.
    pub run: String,
    /// The as-of moment of the run, RFC 3339 in UTC.
    pub as_of: String,
    /// The files, in the order in which they were written.
    pub files: Vec<ExportedFile>,
}

/// Verifies a run, and writes it into the folder `out`, which must not exist.
///
/// # Errors
/// [`Error::Verification`] where the run differs from its record; [`Error::Usage`] where `out` exists, or the run has a value
/// that the format cannot express; and where a file cannot be written.
pub fn export_manifests(
    run: &Path,
    format: &Format,
    out: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<ManifestExport> {
    let staging = OutputDirectory::create(out)?;
    let source = ExportSource::open(run, pool, progress)?;
    let folder = staging.path();
    let files = match format {
        Format::Csv | Format::Ndjson => {
            progress.begin(Stage::Write, source.rows(&[DELETE, ALERTS, QUARANTINE]));
            pool.map(vec![DELETE, ALERTS, QUARANTINE], |name| match name {
                DELETE => table::<Deletes>(&source, format, folder),
                ALERTS => table::<Alerts>(&source, format, folder),
                _ => table::<Quarantine>(&source, format, folder),
            })?
        }
        Format::Sql { batch } => {
            progress.begin(Stage::Write, source.rows(&[DELETE]));
            vec![sql::write(&source, *batch, folder)?]
        }
        Format::Duis(header) => {
            progress.begin(Stage::Write, source.rows(&[ALERTS]));
            duis::write(&source, header, folder)?
        }
    };
    let export =
        ManifestExport { schema: SCHEMA, format: format.name(), run: source.digest, as_of: source.record.as_of, files };
    json::write(OutputFile::create(&folder.join(RECORD))?, &export)?;
    staging.publish(pool)?;
    Ok(export)
}

/// Writes one manifest as CSV or NDJSON, under its own name with the other ending.
fn table<M: ManifestTable>(source: &ExportSource<'_>, format: &Format, folder: &Path) -> Result<ExportedFile> {
    let stem = M::NAME.trim_end_matches(".parquet");
    let mut file = ExportFile::create(folder, &format!("{stem}.{}", format.name()), None)?;
    let mut text = Vec::new();
    if *format == Format::Csv {
        csv::header::<M>(&mut text);
    }
    source.each::<M>(|batch| {
        for row in 0..batch.len() {
            match format {
                Format::Csv => csv::row(batch, row, &mut text)?,
                _ => ndjson::row(batch, row, &mut text).map_err(Error::io("write", folder))?,
            }
        }
        file.write(&text, batch.len())?;
        text.clear();
        Ok(())
    })?;
    // Without rows, the header is still to be written.
    file.write(&text, 0)?;
    file.finish()
}
