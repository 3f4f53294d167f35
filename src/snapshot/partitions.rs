//! Columns whose value is in the name of a folder: `smi_status=Pending/part-0.parquet`, as Apache Hive lays tables out.
//!
//! Writers take such a column out of the files below the folder, so the folder's name is the only place of its value.
//! Names and values are percent-encoded, and a null is `__HIVE_DEFAULT_PARTITION__`.

use std::path::{Path, PathBuf};

use super::form::PhysicalForm;
use crate::error::{Error, Fault, Place, Result};
use crate::estate::{Column, DateSpelling};

/// The value that stands for null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A folder above a file whose name has the form `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionKey {
    /// The name, decoded.
    pub name: String,
    /// The value as the folder's name has it.
    encoded: String,
    /// The folder.
    pub folder: PathBuf,
}

impl PartitionKey {
    /// The keys of the folders above a file, from the top down: those of its path as written, and those of `real`, its
    /// path without links, which has other folders if a link was followed.
    ///
    /// # Errors
    /// A path that cannot be resolved.
    pub(super) fn above(path: &Path, real: &Path) -> Result<Vec<Self>> {
        let written = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        let mut keys: Vec<Self> = Vec::new();
        for path in [written.as_path(), real] {
            let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
            folders.reverse();
            for key in folders.into_iter().filter_map(Self::of) {
                if !keys.iter().any(|known| (&known.name, &known.encoded) == (&key.name, &key.encoded)) {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    fn of(folder: &Path) -> Option<Self> {
        let (name, value) = folder.file_name()?.to_str()?.split_once('=')?;
        let name = decode(name).unwrap_or_else(|| name.to_owned());
        Some(Self { name, encoded: value.to_owned(), folder: folder.to_path_buf() })
    }

    /// The column of the contract that the folder gives.
    ///
    /// # Errors
    /// A value that is empty or cannot be decoded, or a date that cannot be read.
    pub(super) fn column(&self, column: Column, dates: &DateSpelling, place: &Place) -> Result<FolderColumn> {
        let bad = |why: &'static str| {
            let fault = Fault::BadPartition { folder: self.folder.clone(), why };
            Err(place.clone().column(&self.name).refuse(fault))
        };
        let found = |form, text, value| FolderColumn {
            name: self.name.clone(),
            folder: self.folder.clone(),
            form,
            text,
            value,
        };
        let form = match column {
            Column::StatusSince => PhysicalForm::MICROS,
            _ => PhysicalForm::Text,
        };
        if self.encoded == NULL {
            return Ok(found(form, None, None));
        }
        let Some(text) = decode(&self.encoded) else {
            return bad("it is not percent-encoded text");
        };
        if text.is_empty() {
            return bad("it may stand for a null or for a text without characters");
        }
        if column != Column::StatusSince {
            let value = text.clone().into_bytes().into();
            return Ok(found(form, Some(text), Some(value)));
        }
        if dates.leaves_zone_open(&text) {
            return bad("it is a time without a zone");
        }
        match dates.read(text.as_bytes()) {
            Some(micros) => Ok(found(form, Some(text), Some(micros.to_le_bytes().into()))),
            None => bad("it is not a date as in 2026-11-01, or in the declared format"),
        }
    }
}

/// A column of the contract that a folder gives: one value for every row of the files below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderColumn {
    /// Its name in the folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The form of the value.
    pub form: PhysicalForm,
    /// The value as text; `None` if it is null.
    pub text: Option<String>,
    /// The value in PLAIN encoding, without a length; `None` if it is null.
    pub value: Option<Box<[u8]>>,
}

impl FolderColumn {
    /// Whether the folder lies below `root`, so that a seal of `root` covers its name.
    ///
    /// # Errors
    /// A path that cannot be resolved.
    pub(super) fn is_below(&self, root: &Path) -> Result<bool> {
        let written = std::path::absolute(root).map_err(Error::io("resolve", root))?;
        let real = std::fs::canonicalize(root).map_err(Error::io("resolve", root))?;
        Ok([written, real].iter().any(|root| self.folder != *root && self.folder.starts_with(root)))
    }
}

/// Percent-decodes text. `None` if a `%` is not followed by two hex digits, or the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_writers_encode_them() {
        for (encoded, text) in [
            ("Acme%20Energy", "Acme Energy"),
            ("a%3Db%2Fc", "a=b/c"),
            ("100%25", "100%"),
            ("%C3%89lectricit%c3%a9", "Électricité"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(decode(encoded).as_deref(), Some(text));
        }
        for encoded in ["100%", "%2", "%zz", "%+1", "%FF"] {
            assert_eq!(decode(encoded), None, "{encoded}");
        }
    }
}
