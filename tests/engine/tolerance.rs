//! Files in which something is odd that other readers accept: the rows are judged as if nothing was, by both readers.
//!
//! Unless a test says otherwise, a file of `fixtures/faults` has the same 13 rows: Device IDs that end in 00, 02, 05 and 0B
//! are due, 03 is not, 07, 09, 0A and 0C are quarantined.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{at, fixtures, open, sweep, unguarded};
use smi_sweep::estate::{Column, Reason, Spellings};
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::Reader;
use smi_sweep::snapshot::Snapshot;

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures().join("faults").join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// The last byte of the Device IDs that are due, and the reasons of quarantined rows by row number.
fn ends(file: &Path, reader: Reader) -> (Vec<u8>, Vec<(u64, Reason)>) {
    let policy = unguarded("secmp0060");
    let snapshot = open(&[file.to_path_buf()], &policy);
    let swept = sweep(&snapshot, &policy, at("2026-11-01"), reader, 1);
    let due = swept.findings.due.iter().map(|due| due.id.0 as u8).collect();
    (due, swept.findings.quarantined.iter().map(|row| (row.row, row.reason)).collect())
}

#[track_caller]
fn as_always(folder: &str) {
    let quarantined =
        [(7, Reason::MissingDate), (9, Reason::MissingStatus), (10, Reason::MissingParty), (12, Reason::FutureDate)];
    for file in files(folder) {
        for reader in [Reader::Encoded, Reader::Reference] {
            let found = ends(&file, reader);
            assert_eq!(found, (vec![0x00, 0x02, 0x05, 0x0B], quarantined.to_vec()), "{} {reader:?}", file.display());
        }
    }
}

/// Writers leave a page without rows out of the page index, so that the entries of the pages after it were taken for
/// those of their neighbours: due rows were silently not due.
#[test]
fn a_page_is_found_in_the_page_index_by_its_position() {
    for file in files("empty-page-index") {
        for reader in [Reader::Encoded, Reader::Reference] {
            let (due, quarantined) = ends(&file, reader);
            assert_eq!((due.len(), quarantined.len()), (4, 0), "{} {reader:?}", file.display());
        }
    }
}

/// Spark 4.3 and pyarrow 11 store other numbers of nulls in the headers of v2 pages than the pages have.
#[test]
fn only_the_levels_of_a_page_tell_which_rows_are_null() {
    as_always("v2-num_nulls");
}

/// Text that is not UTF-8, values that are not text, unknown numbers: in metadata and columns that no rule uses.
#[test]
fn what_is_odd_beside_our_columns_does_not_make_a_file_unreadable() {
    as_always("footer");
}

/// Old writers did not count the dictionary page, or its header, in the size of the column chunk (PARQUET-816).
#[test]
fn a_last_page_may_end_after_its_chunk_and_before_the_next() {
    as_always("chunk-size-PARQUET-816");
}

#[test]
fn a_dictionary_offset_of_zero_is_none_in_every_codec() {
    as_always("dictionary-offset-0");
}

#[test]
fn a_checksum_of_zero_is_none() {
    as_always("crc-0");
}

/// A page of codes without a value has no width of codes.
#[test]
fn a_page_of_codes_may_have_nulls_only_in_every_codec() {
    for file in files("all-null-codes") {
        for reader in [Reader::Encoded, Reader::Reference] {
            let (due, quarantined) = ends(&file, reader);
            let missing = quarantined.iter().filter(|(_, reason)| *reason == Reason::MissingParty).count();
            assert_eq!((due.len(), missing), (0, 5), "{} {reader:?}", file.display());
        }
    }
}

/// The column of which the footer does not say whether rows may be null is one of ours: its pages cannot be read with
/// certainty.
#[test]
fn a_column_of_ours_without_repetition_is_refused() {
    let file = fixtures().join("faults/footer/no-repetition_type-hyparquet.parquet");
    let columns = [("loose".to_owned(), Column::NotifyingRole)].into();
    let spellings = Spellings { columns, ..Spellings::default() };
    let said = Snapshot::open(&[file], &spellings, &Pool::new(Some(1)), &NoProgress).unwrap_err().to_string();
    assert!(said.contains("`loose`") && said.contains("whether its rows may be null"), "{said}");
}

/// A page of another kind before the dictionary, or values before it: codes that were not mapped were read as the first
/// status and the first type, so that every device was deleted.
#[test]
fn codes_are_mapped_wherever_the_dictionary_is() {
    for file in files("dictionary-behind") {
        for reader in [Reader::Encoded, Reader::Reference] {
            assert_eq!(ends(&file, reader), (Vec::new(), Vec::new()), "{} {reader:?}", file.display());
        }
    }
}
