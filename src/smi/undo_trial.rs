//! The undo of a batch, tried in the transaction that deletes it, before it is committed.
//!
//! A dry run tries every batch. A load tries the first one, and every one where it depends on the row whether it can be
//! inserted again. What a single row prevents is a reason to keep that row; what concerns all of them stops the load.

use std::ops::Range;

use postgres::Transaction;

use super::batch::{BatchEnd, BatchError};
use super::restore::{Restore, RestoreEnd, depends_on_the_row, end_of, impossible};
use super::session::Session;
use crate::error::{Error, Result};

/// The undo of batches that are about to be committed.
#[derive(Debug)]
pub(super) struct UndoTrial {
    restore: Restore,
    /// Whether the next batch is tried.
    next: bool,
    /// Whether every batch is.
    every: bool,
    /// Whether no row has been tried yet.
    first: bool,
}

impl UndoTrial {
    pub(super) fn prepare(session: &mut Session<'_>, load_id: i32) -> Result<Self> {
        let Session { client, table, options, .. } = session;
        let restore = Restore::prepare(client, options.config, table, load_id).map_err(|error| match error {
            Error::Inventory { what, remedy } => Error::Inventory { what: format!("{CANNOT}: {what}"), remedy },
            other => other,
        })?;
        let every = !options.execute || depends_on_the_row(client, table)?;
        Ok(Self { restore, next: true, every, first: true })
    }

    /// Restores a range whose rows this transaction has deleted, and takes it back. `None` where all of it can be undone.
    pub(super) fn run(
        &mut self,
        work: &mut Transaction<'_>,
        range: &Range<i64>,
    ) -> Result<Option<BatchEnd>, BatchError> {
        if !self.next {
            return Ok(None);
        }
        let mut attempt = work.transaction()?;
        let end = match self.restore.restore(&mut attempt, range) {
            Ok(end) => end,
            // The timeouts of the load: they are treated as those of its deletions.
            Err(error)
                if error.code().is_some_and(|code| matches!(code.code(), "57014" | "55P03" | "40P01" | "40001")) =>
            {
                return Err(error.into());
            }
            Err(error) => end_of(error).map_err(BatchError::Stop)?,
        };
        attempt.rollback()?;
        match end {
            RestoreEnd::Done(done) => {
                self.first &= done.restored == 0;
                self.next = self.every || self.first;
                Ok(None)
            }
            RestoreEnd::Locked(error) => Err(error.into()),
            RestoreEnd::Impossible(reason) => Err(BatchError::Stop(impossible(CANNOT, &reason))),
            RestoreEnd::Refused(refusal) if refusal.all && self.first => {
                Err(BatchError::Stop(impossible(CANNOT, &refusal.reason)))
            }
            RestoreEnd::Refused(refusal) => {
                self.first = false;
                Ok(Some(BatchEnd::refused(&format!("could not be restored: {}", refusal.reason))))
            }
        }
    }
}

const CANNOT: &str = "the load could not be undone";
