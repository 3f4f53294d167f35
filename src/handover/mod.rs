//! A run's manifests in the forms that other systems take: CSV, SQL, NDJSON, and DUIS alerts.
//!
//! A run is verified before a row of it is handed over, row by row, so that memory does not grow with it. What comes of
//! it is a folder that is whole or absent, with [`RECORD`] in it: which run it is of, and the digest of each file. The
//! forms themselves are in `docs/manifest-formats.md`, with the statements that load them. Nothing is sent or loaded
//! here.

mod csv;
mod duis;
mod ndjson;
mod outlet;
mod sheet;
mod sql;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::output::{OutputDirectory, OutputFile, json};
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::run::manifest::{ALERTS, DELETE, QUARANTINE};
use crate::run::read::{Alerts, Batches, Deletes, Manifest, Quarantine};
use crate::run::{Record, verify};

use outlet::Outlet;

pub use duis::Letterhead;

/// The record of what was handed over, within its folder.
pub const RECORD: &str = "export.json";
/// The version of that record's format.
pub const SCHEMA: &str = "smi-sweep/manifest-export/1";

/// A form to hand a run over in.
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
    Duis(Letterhead),
}

impl Format {
    /// What the format is called.
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

/// What was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Handover {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The form.
    pub format: &'static str,
    /// BLAKE3 of the run's `run.json`, in hex.
    pub run: String,
    /// The moment of the run, RFC 3339.
    pub as_of: String,
    /// The files, in the order in which they were written.
    pub files: Vec<HandedFile>,
}

/// One file that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandedFile {
    /// Its name within the folder.
    pub path: String,
    /// The Notifying Party whom it is for, where it is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Rows, messages or devices in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub blake3: String,
}

/// A run that is being handed over.
struct Source<'a> {
    run: &'a Path,
    record: Record,
    /// BLAKE3 of the record, in hex.
    digest: String,
    progress: &'a dyn Progress,
}

impl Source<'_> {
    /// Hands on the batches of a manifest, in order.
    fn each<M: Manifest>(&self, mut hand_on: impl FnMut(&M) -> Result<()>) -> Result<()> {
        let mut batches = Batches::<M>::open(self.run)?;
        let mut rows = 0;
        while let Some(batch) = batches.next_batch()? {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            hand_on(&batch)?;
            rows += batch.len() as u64;
            self.progress.advance(batch.len() as u64);
        }
        let recorded = self.record.outputs.iter().find(|output| output.path == M::NAME).map_or(0, |output| output.rows);
        if rows != recorded {
            let what = format!("has {rows} rows, recorded are {recorded}: it changed while it was read");
            return Err(Error::Verification { path: self.run.join(M::NAME), what });
        }
        Ok(())
    }

    /// The rows of manifests.
    fn rows(&self, names: &[&str]) -> u64 {
        self.record
            .outputs
            .iter()
            .filter(|output| names.contains(&output.path.as_str()))
            .map(|output| output.rows)
            .sum()
    }
}

/// Verifies a run, and writes it into the folder `out`, which must not exist.
///
/// # Errors
/// [`Error::Verification`] where the run is not what its record says; [`Error::Usage`] where `out` exists, or the run has
/// something that the form cannot say; else where a file cannot be written.
pub fn hand_over(run: &Path, format: &Format, out: &Path, pool: &Pool, progress: &dyn Progress) -> Result<Handover> {
    let staging = OutputDirectory::create(out)?;
    let source = source(run, pool, progress)?;
    let folder = staging.path();
    let files = match format {
        Format::Csv | Format::Ndjson => {
            progress.begin(Stage::Write, source.rows(&[DELETE, ALERTS, QUARANTINE]));
            pool.map(vec![DELETE, ALERTS, QUARANTINE], |name| match name {
                DELETE => sheet::<Deletes>(&source, format, folder),
                ALERTS => sheet::<Alerts>(&source, format, folder),
                _ => sheet::<Quarantine>(&source, format, folder),
            })?
        }
        Format::Sql { batch } => {
            progress.begin(Stage::Write, source.rows(&[DELETE]));
            vec![sql::write(&source, *batch, folder)?]
        }
        Format::Duis(letterhead) => {
            progress.begin(Stage::Write, source.rows(&[ALERTS]));
            duis::write(&source, letterhead, folder)?
        }
    };
    let handover =
        Handover { schema: SCHEMA, format: format.name(), run: source.digest, as_of: source.record.as_of, files };
    json::write(OutputFile::create(&folder.join(RECORD))?, &handover)?;
    staging.publish(pool)?;
    Ok(handover)
}

fn source<'a>(run: &'a Path, pool: &Pool, progress: &'a dyn Progress) -> Result<Source<'a>> {
    let path: PathBuf = run.join(crate::run::record::RECORD);
    let bytes = fs::read(&path).map_err(|error| Error::Verification {
        path: run.to_path_buf(),
        what: format!("is not a single run: {} cannot be read: {error}", crate::run::record::RECORD),
    })?;
    let record = verify(run, pool)?.pop().map(|verified| verified.record);
    // Whoever replaces the record between the two has a run of another digest.
    match record.filter(|record| serde_json::from_slice::<Record>(&bytes).is_ok_and(|read| read == *record)) {
        Some(record) => Ok(Source { run, record, digest: blake3::hash(&bytes).to_hex().to_string(), progress }),
        None => Err(Error::Verification { path, what: "changed while it was read".into() }),
    }
}

/// Writes one manifest as CSV or NDJSON, under its own name with the other ending.
fn sheet<M: sheet::Sheet>(source: &Source<'_>, format: &Format, folder: &Path) -> Result<HandedFile> {
    let stem = M::NAME.trim_end_matches(".parquet");
    let mut outlet = Outlet::create(folder, &format!("{stem}.{}", format.name()), None)?;
    let mut text = Vec::new();
    if *format == Format::Csv {
        csv::header::<M>(&mut text);
    }
    source.each::<M>(|batch| {
        for row in 0..batch.len() {
            match format {
                Format::Csv => csv::row(batch, row, &mut text),
                _ => ndjson::row(batch, row, &mut text).map_err(Error::io("write", folder))?,
            }
        }
        outlet.write(&text, batch.len())?;
        text.clear();
        Ok(())
    })?;
    // Where there is no row, the header is still to be written.
    outlet.write(&text, 0)?;
    outlet.finish()
}
