//! Synthetic estates of any size, from a seed. They have no data of real devices.
//!
//! The proportions follow public figures of Great Britain's estate where there are any, and are assumptions elsewhere;
//! see `estate`. Each row is a function of the seed and its number, so that the same seed gives the same rows in every
//! layout and with any number of threads. One thing depends on the layout: a malformed Device ID is null where
//! identifiers are stored as bytes.
//!
//! For: tests, examples, benchmarks. Not for: planning, since the shares are assumptions.

mod estate;
mod history;
mod layout;
pub mod orders;

use std::fs;
use std::path::Path;

pub use estate::{Estate, SynthRow};
pub use history::{History, HistorySnapshot, HistoryTruth, hazard};
pub use layout::Layout;

use crate::error::{Error, Result};
use crate::estate::time;
use crate::output::{OutputDirectory, OutputFile, json};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use layout::RowSource;

/// The files that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynthSummary {
    /// Number of Parquet files.
    pub files: usize,
    /// Rows of all files; of a history, those of the last snapshot.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Rows of an estate must be fewer: Device IDs have 40 bits for the row.
const MOST_ROWS: u64 = 1 << 40;
/// Rows that a file has at most, where the number of files is not given.
const FILE_ROWS: u64 = 10_000_000;

/// The default number of files of an estate with so many rows.
#[must_use]
pub const fn default_files(rows: u64) -> usize {
    let files = rows.div_ceil(FILE_ROWS);
    if files == 0 { 1 } else { files as usize }
}

/// The files of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EstateFiles {
    /// How rows are stored.
    pub layout: Layout,
    /// How many files there are; 0 is 1.
    pub count: usize,
}

/// What [`write_into`] writes.
#[derive(Debug, Clone, Copy)]
pub struct SynthRequest<'a> {
    /// The estate, or the first snapshot of a history.
    pub estate: Estate,
    /// The files of each snapshot.
    pub files: EstateFiles,
    /// The number of months of a history; `None`: a single snapshot.
    pub months: Option<u32>,
    /// The policy of housekeeping in a history, if there is any.
    pub housekeeping: Option<&'a Policy>,
}

/// Writes an estate or a history into the folder `out`, which must not exist and appears whole or not at all.
///
/// # Errors
/// As [`write()`] and [`History::new`]; too many rows for Device IDs; an `out` that exists.
pub fn write_into(
    request: &SynthRequest<'_>,
    out: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<SynthSummary> {
    let SynthRequest { estate, files, months, housekeeping } = *request;
    if estate.rows >= MOST_ROWS {
        return Err(Error::Usage {
            what: "more devices than identifiers".into(),
            remedy: "ask for fewer than 1,099,511,627,776 rows".into(),
        });
    }
    let staging = OutputDirectory::create(out)?;
    let summary = match months {
        None => write(&estate, files, staging.path(), pool, progress)?,
        Some(months) => {
            write_history(&History::new(estate, months, housekeeping)?, files, staging.path(), pool, progress)?
        }
    };
    staging.publish(pool)?;
    Ok(summary)
}

/// Writes an estate into an empty folder, as `part-00000.parquet` and so on.
///
/// # Errors
/// Where a file cannot be written, or on an interruption.
pub fn write(
    estate: &Estate,
    files: EstateFiles,
    folder: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<SynthSummary> {
    write_rows(estate, files, folder, pool, progress)
}

/// Name of the file in a history's folder with the true rates, to compare a forecast with.
pub const TRUTH: &str = "truth.json";

/// Writes a history into an empty folder: each snapshot into a folder named by its date, and [`TRUTH`] beside them.
///
/// # Errors
/// As [`write()`].
pub fn write_history(
    history: &History,
    files: EstateFiles,
    folder: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<SynthSummary> {
    let mut all = SynthSummary { files: 0, rows: 0, bytes: 0 };
    for month in 0..history.snapshots() {
        let snapshot = history.at(month);
        let path = folder.join(time::format_day(time::day_of(snapshot.as_of())));
        fs::create_dir(&path).map_err(Error::io("create", &path))?;
        let own = write_rows(&snapshot, files, &path, pool, progress)?;
        all = SynthSummary { files: all.files + own.files, rows: own.rows, bytes: all.bytes + own.bytes };
    }
    let path = folder.join(TRUTH);
    json::write(OutputFile::create(&path)?, &history.truth())?;
    Ok(all)
}

fn write_rows(
    estate: &dyn RowSource,
    files: EstateFiles,
    folder: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<SynthSummary> {
    let count = files.count.max(1) as u64;
    let rows = estate.rows();
    let parts: Vec<(u64, std::ops::Range<u64>)> =
        (0..count).map(|part| (part, rows * part / count..rows * (part + 1) / count)).collect();
    progress.begin(Stage::Write, rows);
    let sizes = pool.map(parts, |(part, rows)| {
        let path = folder.join(format!("part-{part:05}.parquet"));
        layout::write_file(estate, files.layout, rows, &path, progress)
    })?;
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    Ok(SynthSummary { files: count as usize, rows, bytes: sizes.into_iter().sum() })
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::estate::DeviceId;
    use crate::progress::NoProgress;

    fn estate(rows: u64, defects: bool) -> Estate {
        Estate { seed: 7, rows, as_of: time::parse("2026-11-01").unwrap(), defects }
    }

    #[test]
    fn every_device_has_an_id_of_its_own() {
        let estate = estate(200_000, false);
        let ids: HashSet<String> = (0..estate.rows).map(|row| estate.row(row).device_id.unwrap()).collect();
        assert_eq!(ids.len() as u64, estate.rows);
        assert!(ids.iter().all(|id| DeviceId::from_text(id.as_bytes()).is_some()));
    }

    #[test]
    fn the_proportions_are_those_that_are_documented() {
        let estate = estate(200_000, false);
        let (mut types, mut pending, mut late) = (HashMap::new(), 0u32, 0u32);
        for row in (0..estate.rows).map(|row| estate.row(row)) {
            *types.entry(row.device_type.unwrap()).or_insert(0u32) += 1;
            assert_eq!(row.smi_status.is_none(), matches!(row.device_type, Some("IHD" | "CAD")));
            if row.smi_status == Some("Pending") {
                pending += 1;
                late += u32::from(row.status_since.unwrap() < estate.as_of - 365 * time::DAY_MICROS);
            }
        }
        let share = |count: u32| f64::from(count) / 200_000.0;
        for (name, expected) in
            [("CHF", 0.21), ("GPF", 0.21), ("ESME", 0.21), ("GSME", 0.14), ("PPMID", 0.17), ("IHD", 0.04)]
        {
            assert!((share(types[name]) - expected).abs() < 0.01, "{name}");
        }
        assert!((share(pending) - 0.038).abs() < 0.01);
        assert!(late > pending / 20 && late < pending / 3, "{late} of {pending}");
    }

    #[test]
    fn defects_of_every_kind_occur() {
        let estate = estate(100_000, true);
        let rows: Vec<SynthRow> = (0..estate.rows).map(|row| estate.row(row)).collect();
        let some = |test: &dyn Fn(&SynthRow) -> bool| rows.iter().any(test);
        assert!(some(&|row| row.device_id.is_none()));
        assert!(some(&|row| row.device_id.as_ref().is_some_and(|id| id.parse::<DeviceId>().is_err())));
        assert!(some(&|row| row.device_id.as_ref().is_some_and(|id| id.contains('a'))));
        assert!(some(&|row| row.device_type.is_none()));
        assert!(some(&|row| row.smi_status.is_none() && row.device_type == Some("ESME")));
        assert!(some(&|row| row.status_since.is_none() && row.smi_status == Some("Pending")));
        assert!(some(&|row| row.status_since.is_some_and(|since| since > estate.as_of)));
        assert!(some(&|row| row.notifying_party.is_none()));
        assert!(some(&|row| row.notifying_role == Some("ServiceUser") && row.device_type == Some("CHF")));
        let mut seen = HashSet::new();
        assert!(rows.iter().filter_map(|row| row.device_id.as_ref()).any(|id| !seen.insert(id)));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_with_any_number_of_threads() {
        let estate = estate(3_000, true);
        for layout in Layout::ALL {
            let bytes = |threads| {
                let folder = tempfile::tempdir().unwrap();
                let files = EstateFiles { layout, count: 2 };
                write(&estate, files, folder.path(), &Pool::new(Some(threads)), &NoProgress).unwrap();
                (0..2)
                    .map(|n| std::fs::read(folder.path().join(format!("part-0000{n}.parquet"))).unwrap())
                    .collect::<Vec<_>>()
            };
            assert_eq!(bytes(1), bytes(2));
        }
    }
}
