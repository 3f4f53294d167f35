//! The driver of a scan: distributes ranges of rows over workers, and does for each range what all consumers need.

use super::columns::codes::{Classifier, Codes};
use super::columns::{ColumnBuffers, ColumnChunk, ColumnReader, ColumnValue, Reader};
use super::group::{RangeTask, release_group, tasks};
use super::metrics::ScanMetrics;
use super::range::{RangeSize, RowRange};
use crate::error::{Error, Result};
use crate::estate::Column;
use crate::kernel::Kernel;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::snapshot::encoded::PageStart;
use crate::snapshot::{FileBytes, PhysicalForm, Snapshot, SourceFile};

/// One pass over a snapshot: the rows, the workers that read them, and the receiver of progress.
#[derive(Clone, Copy)]
pub struct Scan<'a> {
    /// The snapshot that is read.
    pub snapshot: &'a Snapshot,
    /// The workers.
    pub pool: &'a Pool,
    /// Receives the number of rows that are done; is asked for interruption before each range.
    pub progress: &'a dyn Progress,
    reader: Reader,
    kernel: Kernel,
    size: RangeSize,
}

/// The result of a scan.
#[derive(Debug)]
pub struct Scanned<R> {
    /// The result for each range, in the order of the snapshot's rows.
    pub parts: Vec<R>,
    /// What was read and skipped.
    pub metrics: ScanMetrics,
}

impl<'a> Scan<'a> {
    /// A scan of encoded pages, with ranges of the default size.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, pool: &'a Pool, progress: &'a dyn Progress) -> Self {
        Self {
            snapshot,
            pool,
            progress,
            reader: Reader::default(),
            kernel: Kernel::default(),
            size: RangeSize::default(),
        }
    }

    /// The same scan with another reader. The results are the same.
    #[must_use]
    pub const fn with_reader(self, reader: Reader) -> Self {
        Self { reader, ..self }
    }

    /// The same scan with other instructions. The results are the same.
    #[must_use]
    pub const fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    /// The same scan with row groups cut after every `rows` rows. The results are the same, except for the number of
    /// parts.
    #[must_use]
    pub fn with_range_rows(self, rows: u32) -> Self {
        Self { size: RangeSize::exactly(rows), ..self }
    }

    /// All ranges of the snapshot, in the order of its rows.
    #[must_use]
    pub fn ranges(&self) -> Vec<RowRange> {
        self.size.ranges(self.snapshot)
    }

    /// Calls `work` with every range, in parallel. `scratch` makes the buffers that a worker reuses for every range.
    ///
    /// # Errors
    /// The error of the first range that fails, or an interruption.
    pub fn run<S: Send, R: Send>(
        &self,
        stage: Stage,
        scratch: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut RangeReader<'_>, &mut S) -> Result<R> + Sync + Send,
    ) -> Result<Scanned<R>> {
        self.progress.begin(stage, self.snapshot.rows());
        self.run_ranges(&self.ranges(), scratch, work)
    }

    /// As [`run`](Self::run), for some ranges of the snapshot, within a stage that the caller has begun.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_ranges<S: Send, R: Send>(
        &self,
        ranges: &[RowRange],
        scratch: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut RangeReader<'_>, &mut S) -> Result<R> + Sync + Send,
    ) -> Result<Scanned<R>> {
        let fresh = || (Worker::default(), scratch());
        let done = self.pool.map_with(self.tasks(ranges), fresh, |(worker, scratch), task| {
            self.visit(&task, worker, |reader| work(reader, scratch))
        })?;
        Ok(done.into_iter().collect())
    }

    /// Groups consecutive ranges into batches of at most `rows` rows, or of one larger range. For each batch calls
    /// `each` with its ranges, in order, and `finish` with its number and what `each` collected. Batches run in
    /// parallel.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_batches<B: Default, R: Send>(
        &self,
        stage: Stage,
        rows: u64,
        each: impl Fn(&mut RangeReader<'_>, &mut B) -> Result<()> + Sync + Send,
        finish: impl Fn(usize, B) -> Result<R> + Sync + Send,
    ) -> Result<Scanned<R>> {
        self.progress.begin(stage, self.snapshot.rows());
        let batches = batches(self.tasks(&self.ranges()), rows).into_iter().enumerate().collect();
        let done = self.pool.map_with(batches, Worker::default, |worker, (number, tasks)| {
            let (mut batch, mut metrics) = (B::default(), ScanMetrics::default());
            for task in &tasks {
                metrics += self.visit(task, worker, |reader| each(reader, &mut batch))?.1;
            }
            Ok::<_, Error>((finish(number, batch)?, metrics))
        })?;
        Ok(done.into_iter().collect())
    }

    fn tasks(&self, ranges: &[RowRange]) -> Vec<RangeTask> {
        tasks(ranges, self.size.rows(), |range| self.snapshot.files()[range.file].group_rows(range.group))
    }

    /// Runs `work` on one range: checks for interruption, gives the mapped pages back, reports progress, and takes the
    /// metrics.
    fn visit<R>(
        &self,
        task: &RangeTask,
        worker: &mut Worker,
        work: impl FnOnce(&mut RangeReader<'_>) -> Result<R>,
    ) -> Result<(R, ScanMetrics)> {
        if self.progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let range = &task.range;
        let file = &self.snapshot.files()[range.file];
        let Worker { buffers, group } = worker;
        if group.replace((range.file, range.group)) != Some((range.file, range.group)) {
            buffers.forget_row_group();
        }
        let result = work(&mut RangeReader { file, range, task, reader: self.reader, kernel: self.kernel, buffers })?;
        match &task.shared {
            Some(shared) => shared.release(file, range)?,
            None => release_group(file, range.group)?,
        }
        self.progress.advance(range.len() as u64);
        let mut metrics = buffers.take_metrics();
        metrics.rows += range.len() as u64;
        Ok((result, metrics))
    }
}

/// Buffers that a worker reuses for every range.
#[derive(Default)]
struct Worker {
    buffers: ColumnBuffers,
    /// File and row group of the range that it read last.
    group: Option<(usize, usize)>,
}

impl<R> FromIterator<(R, ScanMetrics)> for Scanned<R> {
    fn from_iter<I: IntoIterator<Item = (R, ScanMetrics)>>(parts: I) -> Self {
        let mut metrics = ScanMetrics::default();
        let parts = parts.into_iter().map(|(part, read)| {
            metrics += read;
            part
        });
        Self { parts: parts.collect(), metrics }
    }
}

/// Groups consecutive ranges into batches of at most `rows` rows, or of one larger range. There is at least one batch.
fn batches(tasks: Vec<RangeTask>, rows: u64) -> Vec<Vec<RangeTask>> {
    let mut batches: Vec<Vec<RangeTask>> = vec![Vec::new()];
    let mut total = 0;
    for task in tasks {
        let more = task.range.len() as u64;
        if total + more > rows {
            batches.push(Vec::new());
            total = 0;
        }
        total += more;
        if let Some(batch) = batches.last_mut() {
            batch.push(task);
        }
    }
    batches
}

/// Reads columns of one range. Rows are zero-based numbers within the row group.
pub struct RangeReader<'s> {
    /// The file.
    pub file: &'s SourceFile,
    /// The range.
    pub range: &'s RowRange,
    task: &'s RangeTask,
    reader: Reader,
    /// The instructions for inner loops.
    pub(super) kernel: Kernel,
    buffers: &'s mut ColumnBuffers,
}

impl<'s> RangeReader<'s> {
    /// The pages of a column chunk, compared with the seal.
    ///
    /// # Errors
    /// Those of [`SourceFile::pages`], and a column that the file does not have.
    pub(super) fn pages(&mut self, column: Column) -> Result<FileBytes<'s>> {
        let file = self.file;
        let chunk = ColumnChunk { file, group: self.range.group, bound: file.bound(column)? };
        match &self.task.shared {
            Some(shared) => shared.pages(chunk, column),
            None => self.buffers.pages(chunk, column),
        }
    }
}

impl RangeReader<'_> {
    /// All rows of the range.
    #[must_use]
    pub fn all_rows(&self) -> Vec<u32> {
        self.range.rows.clone().collect()
    }

    /// The form of a column's values.
    ///
    /// # Errors
    /// A column that neither the file nor a folder has.
    pub fn form(&self, column: Column) -> Result<PhysicalForm> {
        match self.file.columns.in_folder(column) {
            Some(folder) => Ok(folder.form),
            None => Ok(self.file.bound(column)?.form),
        }
    }

    /// A column chunk of the row group.
    ///
    /// # Errors
    /// A column that the file does not have.
    pub fn chunk(&self, column: Column) -> Result<ColumnChunk<'_>> {
        Ok(ColumnChunk { file: self.file, group: self.range.group, bound: self.file.bound(column)? })
    }

    /// Reads the codes of all rows of the range into `out`, which is cleared first.
    ///
    /// # Errors
    /// A damaged chunk, or a column that the file does not have.
    pub fn codes(&mut self, column: Column, classify: Classifier<'_>, out: &mut Codes) -> Result<()> {
        if let Some(folder) = self.file.columns.in_folder(column) {
            out.clear();
            out.push_same(classify(folder.value.as_deref()), self.range.len());
            return Ok(());
        }
        let rows = self.range.rows.start as usize..self.range.rows.end as usize;
        self.column(column)?.codes(rows, classify, out)
    }

    /// Reads the values of `rows`, in ascending order, and calls `take` with the index into `rows` and the value of
    /// each.
    ///
    /// # Errors
    /// A damaged chunk, or a column that the file does not have.
    pub fn values(&mut self, column: Column, rows: &[u32], mut take: impl FnMut(usize, ColumnValue<'_>)) -> Result<()> {
        if let Some(folder) = self.file.columns.in_folder(column) {
            // One value is a dictionary of one entry.
            let bytes = folder.value.as_deref();
            let value = ColumnValue { bytes, code: bytes.map(|_| 0) };
            (0..rows.len()).for_each(|index| take(index, value));
            return Ok(());
        }
        self.column(column)?.values(rows, take)
    }

    /// The reader of a column.
    ///
    /// # Errors
    /// A column that the file does not have.
    pub(super) fn column(&mut self, column: Column) -> Result<ColumnReader<'_>> {
        let bound = self.file.bound(column)?;
        let chunk = ColumnChunk { file: self.file, group: self.range.group, bound };
        let pages = self.pages(column)?;
        let start = self.start(column, &pages)?;
        let (reader, kernel, buffers) = (self.reader, self.kernel, &mut *self.buffers);
        Ok(ColumnReader { chunk, pages, column, reader, kernel, buffers, start })
    }

    /// Where the range begins in a column, whose pages are `pages`.
    ///
    /// # Errors
    /// A codec that is not supported, or a column that the file does not have.
    pub(super) fn start(&self, column: Column, pages: &[u8]) -> Result<PageStart> {
        match &self.task.shared {
            Some(shared) if self.reader == Reader::Encoded => {
                shared.start(self.chunk(column)?, pages, column, self.range)
            }
            _ => Ok(PageStart::default()),
        }
    }

    /// Advises the system to read a column chunk ahead, so that a disk reads it in one sequential pass. Does nothing
    /// unless the range is the first of its row group.
    ///
    /// # Errors
    /// A footer that points beyond the file, or a column that the file does not have.
    pub fn read_ahead(&self, column: Column) -> Result<()> {
        if self.range.rows.start == 0 && self.file.columns.in_folder(column).is_none() {
            let chunk = self.chunk(column)?;
            self.file.content().will_need(self.file.chunk_range(chunk.group, chunk.bound)?);
        }
        Ok(())
    }

    /// Counts what is skipped.
    pub(super) fn metrics(&mut self) -> &mut ScanMetrics {
        &mut self.buffers.metrics
    }
}
