//! The run that is exported: verified, and read batch by batch.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::progress::Progress;
use crate::run::read::{Batches, Manifest};
use crate::run::record::RECORD;
use crate::run::{Record, verify};
use crate::system::input;

/// A run that is being exported, verified.
pub(super) struct ExportSource<'a> {
    pub(super) run: &'a Path,
    pub(super) record: Record,
    /// BLAKE3 of the record, in hex.
    pub(super) digest: String,
    progress: &'a dyn Progress,
}

impl<'a> ExportSource<'a> {
    /// Verifies a run.
    ///
    /// # Errors
    /// [`Error::Verification`] where it differs from its record.
    pub(super) fn open(run: &'a Path, pool: &Pool, progress: &'a dyn Progress) -> Result<Self> {
        let path: PathBuf = run.join(RECORD);
        let bytes = input::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Error::Verification {
                path: run.to_path_buf(),
                what: format!("is not a single run: it has no {RECORD}"),
            },
            _ => Error::run_file(&path)(error),
        })?;
        let record = verify(run, pool)?.pop().map(|verified| verified.record);
        // Refuses a record that was replaced between the two reads.
        match record.filter(|record| Record::parse(&bytes).is_ok_and(|read| read == *record)) {
            Some(record) => Ok(Self { run, record, digest: blake3::hash(&bytes).to_hex().to_string(), progress }),
            None => Err(Error::Verification { path, what: "changed while it was read".into() }),
        }
    }

    /// Gives the batches of a manifest to `take`, in order.
    pub(super) fn each<M: Manifest>(&self, mut take: impl FnMut(&M) -> Result<()>) -> Result<()> {
        let mut batches = Batches::<M>::open(self.run)?;
        let mut rows = 0;
        while let Some(batch) = batches.next_batch()? {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            take(&batch)?;
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

    /// The sum of the rows of manifests.
    pub(super) fn rows(&self, names: &[&str]) -> u64 {
        self.record
            .outputs
            .iter()
            .filter(|output| names.contains(&output.path.as_str()))
            .map(|output| output.rows)
            .sum()
    }
}
