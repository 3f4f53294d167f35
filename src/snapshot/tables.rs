//! Recognizes files and folders that belong to a table format.
//!
//! Such a folder holds more than the current rows: files that were replaced stay for time travel, and rows are removed
//! by files of their own. Only the log of the format says which rows are current, so a plain read would judge rows that
//! no longer exist. The evidence may be in the folder itself, below it, or above it: single files and partitions of a
//! table are refused like the whole.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use parquet::file::metadata::KeyValue;

use crate::error::{Error, Fault, Place, Result, TableFormat};
use crate::shown;

/// Entries of a folder that show that it, and all below it, belongs to a table format.
const ENTRIES: [(&str, TableFormat); 5] = [
    ("_delta_log", TableFormat::DeltaLake),
    // Written beside a Delta Lake table for engines that cannot read its log.
    ("_symlink_format_manifest", TableFormat::DeltaLake),
    (".hoodie", TableFormat::Hudi),
    // In every partition of a Hudi table, so that a partition that was copied alone is recognized.
    (".hoodie_partition_metadata", TableFormat::Hudi),
    ("_spark_metadata", TableFormat::SparkStream),
];

/// Where Spark and Hadoop collect the files of a job that has not ended.
const UNFINISHED: &str = "_temporary";

/// Keys that writers of table formats store in the footer of a data file.
const FOOTER_KEYS: [(&str, TableFormat); 3] =
    [("iceberg.", TableFormat::Iceberg), ("org.apache.hudi.", TableFormat::Hudi), ("hoodie_", TableFormat::Hudi)];

/// The folders that were checked, so that each is checked once.
#[derive(Debug, Default)]
pub(super) struct TableCheck {
    checked: HashSet<PathBuf>,
}

impl TableCheck {
    /// Checks a file or folder, and every folder above it. `real` is its path without links: a link into a table is a
    /// part of the table, and so is a file that a table's folder links to.
    ///
    /// # Errors
    /// A part of a table format, an unfinished write, or a folder that cannot be read.
    pub fn check(&mut self, path: &Path, real: &Path) -> Result<()> {
        let written = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        // With `..` in it, the path as written has folders in it that are not above the file.
        let written = (!written.components().any(|part| part == Component::ParentDir)).then_some(written);
        for path_in_full in written.as_deref().into_iter().chain([real]) {
            for above in path_in_full.ancestors() {
                if !self.checked.insert(above.to_path_buf()) {
                    break;
                }
                let fault = match fault_of_name(above) {
                    None if above.is_dir() => fault_of_folder(above)?,
                    fault => fault,
                };
                if let Some(fault) = fault {
                    return Err(Place::file(path).refuse(fault));
                }
            }
        }
        Ok(())
    }
}

/// Refuses a file whose footer says that a table format wrote it: one that was copied out of its table.
pub(super) fn check_footer(pairs: Option<&Vec<KeyValue>>, place: &Place) -> Result<()> {
    for pair in pairs.into_iter().flatten() {
        if let Some((_, format)) = FOOTER_KEYS.iter().find(|(key, _)| pair.key.starts_with(key)) {
            let evidence = format!("its footer has the key `{}`", pair.key);
            return Err(place.clone().refuse(Fault::TableFormat { format: *format, evidence }));
        }
    }
    Ok(())
}

/// Why a file or folder with this name, and everything below it, is not read.
fn fault_of_name(path: &Path) -> Option<Fault> {
    let format = format_of_name(&path.file_name()?.to_string_lossy())?;
    Some(Fault::TableFormat { format, evidence: shown::path(path).to_string() })
}

/// Why a folder, and everything below it, is not read; `None` if nothing speaks against it.
fn fault_of_folder(path: &Path) -> Result<Option<Fault>> {
    let table =
        |format, evidence: &Path| Ok(Some(Fault::TableFormat { format, evidence: shown::path(evidence).to_string() }));
    for (entry, format) in ENTRIES {
        let entry = path.join(entry);
        if exists(&entry)? {
            return table(format, &entry);
        }
    }
    if let Some(evidence) = iceberg_metadata(&path.join("metadata"))? {
        return table(TableFormat::Iceberg, &evidence);
    }
    let latest = path.join("snapshot/LATEST");
    if exists(&latest)? && exists(&path.join("manifest"))? {
        return table(TableFormat::Paimon, &latest);
    }
    let unfinished = path.join(UNFINISHED);
    Ok(exists(&unfinished)?.then_some(Fault::UnfinishedWrite(unfinished)))
}

/// The format whose files or folders have such names.
fn format_of_name(name: &str) -> Option<TableFormat> {
    if name.starts_with("ducklake-") && Path::new(name).extension().is_some_and(|extension| extension == "parquet") {
        return Some(TableFormat::DuckLake);
    }
    let rest = ["base_", "delta_", "delete_delta_"].into_iter().find_map(|prefix| name.strip_prefix(prefix))?;
    // Hive writes the number of a transaction with at least seven digits.
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits >= 7 && rest[digits..].bytes().all(|byte| byte == b'_' || byte.is_ascii_digit()))
        .then_some(TableFormat::HiveTransactional)
}

fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(Error::io("inspect", path)(error)),
    }
}

/// The first metadata file of an Iceberg table in its folder `metadata`. Some writers compress it, and add `.gz`.
fn iceberg_metadata(folder: &Path) -> Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("list", folder))?;
        let name = entry.file_name();
        if name.to_string_lossy().contains(".metadata.json") || name == "version-hint.text" {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}
