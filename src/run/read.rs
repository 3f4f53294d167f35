//! Reads manifests in batches. The columns of a batch have the names, types and nulls of the contract.
//!
//! For: all that consumes a run. Not for: checking a run, which [`verify()`](super::verify()) does.

use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, TimeUnit};

use super::manifest::{ALERTS, DELETE, QUARANTINE};
use crate::error::{Error, Result};
use crate::snapshot::flat_file::{FlatBatches, FlatFile};
use crate::system::input::{self, ReadFailure};

/// Rows of a batch at most.
const BATCH_ROWS: usize = 16 * 1024;

/// A manifest that can be read in batches.
pub trait Manifest: Sized {
    /// Its file name.
    const NAME: &'static str;

    /// The columns of a batch.
    ///
    /// # Errors
    /// A missing column, another type, or a null where the contract allows none; in words.
    fn columns(batch: &RecordBatch) -> Result<Self, String>;

    /// The number of rows in the batch.
    fn len(&self) -> usize;

    /// Whether the batch has no rows. [`Batches`] passes over such batches.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The batches of a manifest, in order.
pub struct Batches<M> {
    path: PathBuf,
    rows: u64,
    reader: FlatBatches,
    failure: ReadFailure,
    kind: std::marker::PhantomData<M>,
}

impl<M: Manifest> Batches<M> {
    /// Opens the manifest of a run directory.
    ///
    /// # Errors
    /// [`Error::Verification`] where the file is missing or is not a Parquet file.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(M::NAME);
        let file = input::open(&path).map_err(Error::run_file(&path))?;
        let failure = file.failure();
        let unreadable = |what: String| damaged(&path, &failure, &what);
        // The Parquet types alone decide; an embedded Arrow schema does not.
        let file = FlatFile::of(file).map_err(unreadable)?;
        let (rows, reader) = (file.rows(), file.batches(BATCH_ROWS).map_err(unreadable)?);
        Ok(Self { path, rows, reader, failure, kind: std::marker::PhantomData })
    }

    /// The number of rows, as the footer states it.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The next batch that has rows; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Verification`] where the file is damaged, or its columns are not those of the contract.
    pub fn next_batch(&mut self) -> Result<Option<M>> {
        for batch in self.reader.by_ref() {
            let batch = batch.map_err(|error| damaged(&self.path, &self.failure, &error))?;
            let columns = M::columns(&batch).map_err(|what| refuse(&self.path, what))?;
            if !columns.is_empty() {
                return Ok(Some(columns));
            }
        }
        Ok(None)
    }
}

/// Damage, unless the file could not be read at all.
fn damaged(path: &Path, failure: &ReadFailure, what: &str) -> Error {
    match failure.get() {
        Some(source) => Error::io("read", path)(source),
        None => refuse(path, format!("cannot be read: {what}")),
    }
}

fn refuse(path: &Path, what: String) -> Error {
    Error::Verification { path: path.to_path_buf(), what }
}

/// Rows of the delete manifest.
pub struct Deletes {
    /// `device_id`, in canonical form.
    pub id: StringArray,
    /// `device_type`.
    pub device_type: StringArray,
    /// `smi_status`.
    pub status: StringArray,
    /// `status_since`, UTC microseconds.
    pub since: TimestampMicrosecondArray,
    /// `due_on`, days since 1970-01-01.
    pub due_on: Date32Array,
    /// `notifying_party`; null where there is none.
    pub party: StringArray,
    /// `alert`: whether the deletion raises one.
    pub alert: BooleanArray,
}

impl Manifest for Deletes {
    const NAME: &'static str = DELETE;

    fn columns(batch: &RecordBatch) -> Result<Self, String> {
        let columns = BatchColumns::of(batch, 7)?;
        Ok(Self {
            id: columns.text("device_id", false)?,
            device_type: columns.text("device_type", false)?,
            status: columns.text("smi_status", false)?,
            since: columns.instant("status_since", false)?,
            due_on: columns.date("due_on")?,
            party: columns.text("notifying_party", true)?,
            alert: columns.column("alert", &DataType::Boolean, false)?.as_boolean().clone(),
        })
    }

    fn len(&self) -> usize {
        self.id.len()
    }
}

/// Rows of the alert manifest.
pub struct Alerts {
    /// `alert_code`.
    pub code: StringArray,
    /// `notifying_party`; null where there is none.
    pub party: StringArray,
    /// `device_id`, in canonical form.
    pub id: StringArray,
    /// `device_type`.
    pub device_type: StringArray,
    /// `status_since`, UTC microseconds.
    pub since: TimestampMicrosecondArray,
    /// `due_on`, days since 1970-01-01.
    pub due_on: Date32Array,
}

impl Manifest for Alerts {
    const NAME: &'static str = ALERTS;

    fn columns(batch: &RecordBatch) -> Result<Self, String> {
        let columns = BatchColumns::of(batch, 6)?;
        Ok(Self {
            code: columns.text("alert_code", false)?,
            party: columns.text("notifying_party", false)?,
            id: columns.text("device_id", false)?,
            device_type: columns.text("device_type", false)?,
            since: columns.instant("status_since", false)?,
            due_on: columns.date("due_on")?,
        })
    }

    fn len(&self) -> usize {
        self.id.len()
    }
}

/// Rows of the quarantine manifest.
pub struct Quarantine {
    /// `reason`: the name of a [`Reason`](crate::estate::Reason).
    pub reason: StringArray,
    /// `device_id` as it was found; null where it has no form as text.
    pub id: StringArray,
    /// `device_type` as it was found.
    pub device_type: StringArray,
    /// `smi_status` as it was found.
    pub status: StringArray,
    /// `status_since`, UTC microseconds; null where there is none.
    pub since: TimestampMicrosecondArray,
    /// `notifying_party` as it was found.
    pub party: StringArray,
    /// `source_file`: its name in the snapshot.
    pub source_file: StringArray,
    /// `row_in_file`, from 0.
    pub row_in_file: Int64Array,
}

impl Manifest for Quarantine {
    const NAME: &'static str = QUARANTINE;

    fn columns(batch: &RecordBatch) -> Result<Self, String> {
        let columns = BatchColumns::of(batch, 8)?;
        Ok(Self {
            reason: columns.text("reason", false)?,
            id: columns.text("device_id", true)?,
            device_type: columns.text("device_type", true)?,
            status: columns.text("smi_status", true)?,
            since: columns.instant("status_since", true)?,
            party: columns.text("notifying_party", true)?,
            source_file: columns.text("source_file", false)?,
            row_in_file: columns.column("row_in_file", &DataType::Int64, false)?.as_primitive::<Int64Type>().clone(),
        })
    }

    fn len(&self) -> usize {
        self.reason.len()
    }
}

/// The text of a row; `None` for a null.
#[must_use]
pub fn text(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// A batch whose columns are asked for by name, type and nulls.
struct BatchColumns<'b>(&'b RecordBatch);

impl<'b> BatchColumns<'b> {
    fn of(batch: &'b RecordBatch, count: usize) -> Result<Self, String> {
        match batch.num_columns() {
            found if found == count => Ok(Self(batch)),
            found => Err(format!("has {found} columns, where the contract has {count}")),
        }
    }

    fn column(&self, name: &str, wanted: &DataType, nullable: bool) -> Result<&'b dyn Array, String> {
        let column = self.0.column_by_name(name).ok_or_else(|| format!("has no column `{name}`"))?;
        if column.data_type() != wanted {
            return Err(format!("column `{name}` is {}, where the contract has {wanted}", column.data_type()));
        }
        if !nullable && column.null_count() > 0 {
            return Err(format!("column `{name}` has nulls"));
        }
        Ok(column.as_ref())
    }

    fn text(&self, name: &str, nullable: bool) -> Result<StringArray, String> {
        Ok(self.column(name, &DataType::Utf8, nullable)?.as_string::<i32>().clone())
    }

    fn instant(&self, name: &str, nullable: bool) -> Result<TimestampMicrosecondArray, String> {
        let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Ok(self.column(name, &wanted, nullable)?.as_primitive::<TimestampMicrosecondType>().clone())
    }

    fn date(&self, name: &str) -> Result<Date32Array, String> {
        Ok(self.column(name, &DataType::Date32, false)?.as_primitive::<Date32Type>().clone())
    }
}
