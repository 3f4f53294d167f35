//! The files of a snapshot that the cluster read: their names, and the numbers of their rows.

use std::collections::BTreeMap;

use super::runner::Counted;
use crate::run::record::FileRecord;

/// The files, in the order of their names. Their rows are numbered through all of them.
pub(super) struct Files {
    /// As Spark names them, [`plain`], with their place in the list.
    places: BTreeMap<String, usize>,
    list: Vec<NumberedFile>,
    has_role: bool,
}

struct NumberedFile {
    /// The name that manifests use.
    name: String,
    first_row: u64,
    rows: u64,
    bytes: u64,
}

impl Files {
    /// The files that were counted. A name begins after the folder that the user named, as Spark writes it.
    pub fn of(counted: &Counted, snapshot: &[String]) -> Self {
        let bytes: BTreeMap<String, u64> = counted.files.iter().map(|file| (plain(&file.path), file.bytes)).collect();
        let mut rows: BTreeMap<String, u64> = bytes.keys().map(|path| (path.clone(), 0)).collect();
        for count in &counted.counts {
            *rows.entry(plain(&count.source_file)).or_default() += count.rows;
        }
        let mut named: Vec<(String, String, u64)> =
            rows.into_iter().map(|(path, rows)| (name(&path, snapshot), path, rows)).collect();
        named.sort();
        let (mut places, mut list, mut first_row) = (BTreeMap::new(), Vec::new(), 0);
        for (place, (name, path, rows)) in named.into_iter().enumerate() {
            list.push(NumberedFile { name, first_row, rows, bytes: bytes.get(&path).copied().unwrap_or_default() });
            places.insert(path, place);
            first_row += rows;
        }
        Self { places, list, has_role: counted.has_role }
    }

    /// The number of a row in the snapshot, from its file as Spark names it and its number there; `None` if there is no such
    /// row. All numbers are from 0.
    pub fn row(&self, path: &str, row_in_file: u64) -> Option<u64> {
        let file = self.list.get(*self.places.get(&plain(path))?)?;
        (row_in_file < file.rows).then_some(file.first_row + row_in_file)
    }

    /// The file of a row of the snapshot, and the row's number there.
    pub fn locate(&self, row: u64) -> (&str, u64) {
        let place = self.list.partition_point(|file| file.first_row <= row).saturating_sub(1);
        self.list.get(place).map_or(("", row), |file| (file.name.as_str(), row.saturating_sub(file.first_row)))
    }

    /// The files, as a run records them.
    pub fn records(&self) -> Vec<FileRecord> {
        let record = |file: &NumberedFile| FileRecord {
            path: file.name.clone(),
            rows: file.rows,
            bytes: file.bytes,
            role_column: self.has_role,
            folder_columns: BTreeMap::new(),
            blake3: None,
        };
        self.list.iter().map(record).collect()
    }
}

/// A path without the scheme of local files, which Spark writes with one slash or with three.
fn plain(path: &str) -> String {
    path.trim_start_matches("file:").trim_matches('/').to_owned()
}

/// The name of a file below the folder that was named; the file's own name if the file itself was named.
fn name(path: &str, snapshot: &[String]) -> String {
    let whole = plain(path);
    let below = snapshot.iter().find_map(|root| whole.strip_prefix(&plain(root))?.strip_prefix('/').map(str::to_owned));
    below.unwrap_or_else(|| whole.rsplit('/').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_below_the_folder_that_was_named() {
        let roots = ["/data/estate/".to_owned(), "s3a://bucket/smi".to_owned(), "/data/one.parquet".to_owned()];
        for (path, wanted) in [
            ("file:///data/estate/a.parquet", "a.parquet"),
            ("file:/data/estate/smi_status=Pending/a.parquet", "smi_status=Pending/a.parquet"),
            ("s3a://bucket/smi/b.parquet", "b.parquet"),
            ("file:///data/one.parquet", "one.parquet"),
            ("file:///data/estates/c.parquet", "c.parquet"),
        ] {
            assert_eq!(name(path, &roots), wanted, "{path}");
        }
    }
}
