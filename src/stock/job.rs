//! Counts the stock and writes its folder, in one call.

use std::path::{Path, PathBuf};

use super::count::count;
use super::inputs::{StockInputs, file_names};
use super::record::StockRecord;
use super::{files, page};
use crate::error::{Error, Result};
use crate::estate::time;
use crate::output::OutputDirectory;
use crate::pool::Pool;
use crate::progress::Progress;
use crate::scan::Scan;
use crate::snapshot::{AsOf, AsOfFrom, Snapshot};

/// Arguments of [`count_to_folder`].
#[derive(Debug, Clone, Copy)]
pub struct StockOptions<'a> {
    /// Parquet files of the inventory, or folders of them.
    pub snapshot: &'a [PathBuf],
    /// What is counted with.
    pub inputs: StockInputs<'a>,
    /// The moment whose UTC date is the count date.
    pub as_of: AsOf,
    /// The folder to write. It must not exist, and appears whole or not at all.
    pub out: &'a Path,
}

/// A count that was written.
#[derive(Debug)]
pub struct CountedStock {
    /// Its record.
    pub record: StockRecord,
    /// Where the count date comes from.
    pub as_of_from: AsOfFrom,
}

/// Counts the stock, and writes tables, record and page.
///
/// # Errors
/// A folder that exists or cannot be written; a table, a run, the snapshot or the tariff that is refused; an
/// interruption.
pub fn count_to_folder(options: &StockOptions<'_>, pool: &Pool, progress: &dyn Progress) -> Result<CountedStock> {
    let StockOptions { inputs, .. } = options;
    let directory = OutputDirectory::create(options.out)?;
    let snapshot = Snapshot::open(options.snapshot, &inputs.policy.spellings, pool, progress)?;
    let (as_of, as_of_from) = snapshot.as_of(options.as_of)?;
    let counted = count(&Scan::new(&snapshot, pool, progress), inputs, time::day_of(as_of))?;
    let files = files::write(directory.path(), &counted, &file_names(inputs.returns), progress)?;
    let record = StockRecord::new(&counted, inputs, snapshot.rows(), &files);
    record.write(directory.path())?;
    page::write(directory.path(), &record)?;
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    directory.publish(pool)?;
    Ok(CountedStock { record, as_of_from })
}
