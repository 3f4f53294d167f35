//! Which snapshots are refused, before rows are judged and while they are read, and which are accepted.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice::from_ref;
use std::sync::Arc;

use crate::common::columns::{meters, text, with, without, write, write_at};
use crate::common::{at, fixtures, open, run, sweep, unguarded};
use arrow_array::{ArrayRef, FixedSizeBinaryArray, NullArray, UInt64Array};
use smi_sweep::error::ExitCode;
use smi_sweep::estate::Column;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::snapshot::{AsOf, AsOfFrom, SEAL_FILE, Seal, Snapshot, encoded::PageWalk, install_sigbus_handler};
use smi_sweep::sweep::{Expected, SweepOptions, Swept, Uniqueness};

fn open_as(paths: &[PathBuf], policy: &Policy) -> smi_sweep::error::Result<Snapshot> {
    Snapshot::open(paths, &policy.spellings, &Pool::new(Some(1)), &NoProgress)
}

/// A sweep without guards, so that only the snapshot can make it fail.
fn try_sweep(snapshot: &Snapshot, policy: &Policy, reader: Reader) -> smi_sweep::error::Result<Swept> {
    let policies = std::slice::from_ref(policy);
    let options = SweepOptions {
        policies,
        as_of: at("2026-11-01"),
        expected: Expected::default(),
        previous: &[],
        uniqueness: Uniqueness::Unproven,
    };
    Ok(smi_sweep::sweep::sweep(&Scan::new(snapshot, &Pool::new(Some(1)), &NoProgress).with_reader(reader), &options)?
        .remove(0))
}

#[track_caller]
fn says<T>(outcome: smi_sweep::error::Result<T>, words: &[&str]) {
    let Err(error) = outcome else { panic!("it is not refused") };
    let said = format!("{error} | {}", error.remedy());
    assert_eq!(error.exit_code(), ExitCode::Snapshot, "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// A role column with a slightly different name was ignored, and hubs of Service Users were deleted without an alert.
#[test]
fn a_role_that_is_there_by_another_name_is_not_ignored() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("hubs.parquet");
    let role = || text([Some("ServiceUser"), Some("ServiceUser")]);
    let refused = |columns, policy: &Policy, words: &[&str]| {
        write(&path, columns);
        says(open_as(from_ref(&path), policy), words);
    };
    let plain = unguarded("pre-change");
    for name in ["Notifying_Role", "NOTIFYING_ROLE", "NotifyingRole", "notifying role"] {
        refused(with(meters(0), vec![(name, role())]), &plain, &[name, "notifying_role", "[snapshot.columns]"]);
    }
    let mut mapped = plain.clone();
    mapped.spellings.columns.insert("ROLE".into(), Column::NotifyingRole);
    refused(with(meters(0), vec![("Role", role())]), &mapped, &["column `ROLE`", "did you mean `Role`?"]);
    refused(with(meters(0), vec![("notifying_role", role())]), &mapped, &["column `ROLE`", "no such column"]);
    let renamed = with(without(meters(0), "device_type"), vec![("DEVICE_TYPE", text([Some("CHF"), Some("CHF")]))]);
    refused(renamed, &plain, &["column `device_type`", "did you mean `DEVICE_TYPE`?"]);

    write(&path, with(meters(0), vec![("ROLE", role())]));
    assert!(open_as(from_ref(&path), &mapped).is_ok());
    let other = home.path().join("without.parquet");
    write(&other, meters(1));
    write(&path, with(meters(0), vec![("notifying_role", role())]));
    says(open_as(&[path.clone(), other], &plain), &["without.parquet", "notifying_role", "hubs.parquet has it"]);
}

#[test]
fn a_column_without_a_type_is_null_in_every_row() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("null.parquet");
    let null = || -> ArrayRef { Arc::new(NullArray::new(2)) };
    let policy = unguarded("pre-change");
    let ends = |columns| {
        write(&path, columns);
        let snapshot = open(from_ref(&path), &policy);
        let of = |reader| {
            let total = sweep(&snapshot, &policy, at("2026-11-01"), reader, 1).findings.by_type.total();
            (total.not_candidate, total.deletes(), total.quarantined())
        };
        assert_eq!(of(Reader::Encoded), of(Reader::Reference));
        of(Reader::Encoded)
    };
    assert_eq!(ends(with(meters(0), vec![("notifying_party", null())])), (0, 0, 2), "no party to alert");
    assert_eq!(ends(with(meters(0), vec![("notifying_role", null())])), (0, 2, 0), "the type decides");
    let displays = text([Some("IHD"), Some("CAD")]);
    assert_eq!(ends(with(meters(0), vec![("smi_status", null()), ("device_type", displays)])), (2, 0, 0));
    for column in ["device_id", "device_type", "status_since"] {
        write(&path, with(meters(0), vec![(column, null())]));
        says(open_as(from_ref(&path), &policy), &[column, "of no type: every row is null"]);
    }
}

#[test]
fn a_column_of_the_wrong_kind_is_described_in_plain_words() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kind.parquet");
    let long = FixedSizeBinaryArray::try_from_iter([[7u8; 23], [8; 23]].into_iter()).unwrap();
    write(&path, with(meters(0), vec![("device_id", Arc::new(long))]));
    says(open_as(from_ref(&path), &unguarded("pre-change")), &["a plain FIXED_LEN_BYTE_ARRAY(23)", "8 bytes"]);
    write(&path, with(meters(0), vec![("status_since", Arc::new(UInt64Array::from(vec![1, 2])))]));
    says(open_as(from_ref(&path), &unguarded("pre-change")), &["INT64 (unsigned integer of 64 bits)", "a date"]);
}

#[test]
fn only_files_and_folders_are_read() {
    let home = tempfile::tempdir().unwrap();
    let policy = unguarded("pre-change");
    let named = |path: &Path, words: &[&str]| says(open_as(&[path.to_path_buf()], &policy), words);
    let folder = home.path().join("folder");
    write(&folder.join("a.parquet"), meters(0));
    named(Path::new("/dev/null"), &["/dev/null", "neither a file nor a folder"]);
    // Opening a pipe without a writer would block.
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    named(&pipe, &["pipe", "neither a file nor a folder"]);
    named(&folder, &["pipe", "neither a file nor a folder"]);
    fs::remove_file(&pipe).unwrap();
    for (target, words) in [
        ("nowhere", "a link whose target does not exist"),
        ("self", "a link whose target does not exist"),
        (".", "named twice"),
    ] {
        let link = folder.join("self");
        symlink(target, &link).unwrap();
        named(&folder, &["folder/self", words]);
        fs::remove_file(&link).unwrap();
    }
    // Links to files and folders elsewhere are a common way to put a snapshot together.
    write(&home.path().join("elsewhere/b.parquet"), meters(1));
    symlink(home.path().join("elsewhere"), folder.join("north")).unwrap();
    assert_eq!(open(&[folder], &policy).rows(), 4);
}

#[test]
fn a_name_that_is_not_text_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(OsStr::from_bytes(b"\xFF.parquet"));
    write(&home.path().join("a.parquet"), meters(0));
    fs::rename(home.path().join("a.parquet"), path).unwrap();
    says(open_as(&[home.path().to_path_buf()], &unguarded("pre-change")), &["not UTF-8"]);
}

/// Seals a folder, and returns the seal.
fn seal(folder: &Path, taken_at: &str) -> Seal {
    let (code, _, err) = run(&["check", folder.to_str().unwrap(), "--seal", "--taken-at", taken_at]);
    assert_eq!(code, 0, "{err}");
    Seal::read(folder).unwrap().unwrap()
}

/// The seal of a subfolder was not verified, nor the one in the folder of files that were named one by one.
#[test]
fn a_seal_holds_wherever_its_files_are_read_from() {
    let home = tempfile::tempdir().unwrap();
    let policy = unguarded("pre-change");
    let (whole, north) = (home.path().join("whole"), home.path().join("whole/north"));
    let (a, b) = (north.join("a.parquet"), north.join("b.parquet"));
    write(&a, meters(0));
    write(&b, meters(1));
    write(&whole.join("c.parquet"), meters(2));
    seal(&north, "2026-11-01");
    let dated = |paths: &[PathBuf]| open_as(paths, &policy).and_then(|snapshot| snapshot.as_of(AsOf::OfSnapshot));
    assert_eq!(dated(from_ref(&north)).unwrap(), (at("2026-11-01"), AsOfFrom::Seal));
    // Files that are named one by one are compared with the seal; not all of its files need be present.
    let some = open_as(from_ref(&a), &policy).unwrap();
    assert_eq!((some.left_out(), some.as_of(AsOf::OfSnapshot).unwrap().0), (1, at("2026-11-01")));
    assert!(some.files()[0].digest.is_some());
    let (code, _, err) = run(&["check", a.to_str().unwrap()]);
    assert!(code == 0 && err.contains("1 files of the same seal"), "{err}");
    // A file that the seal of the subfolder does not list has no time.
    says(dated(from_ref(&whole)), &["c.parquet", "no time at all", "2026-11-01"]);
    says(dated(&[a.clone(), whole.join("c.parquet")]), &["c.parquet", "no time at all"]);

    let bytes = fs::read(&a).unwrap();
    let mut flipped = bytes.clone();
    // Within the first page.
    flipped[60] ^= 1;
    fs::write(&a, flipped).unwrap();
    for paths in [vec![whole.clone()], vec![a.clone()]] {
        says(open_as(&paths, &policy), &["a.parquet", "BLAKE3"]);
    }
    assert!(open_as(&[b], &policy).is_ok(), "of the others only those that were named are verified");
    fs::write(&a, bytes).unwrap();
    write(&north.join("new.parquet"), meters(3));
    says(open_as(&[north.join("new.parquet")], &policy), &["new.parquet", "not named in the seal"]);
    says(open_as(from_ref(&whole), &policy), &["new.parquet", "not named in the seal"]);
    fs::remove_file(north.join("new.parquet")).unwrap();
    seal(&whole, "2026-11-02");
    says(dated(&[whole]), &["2026-11-01", "2026-11-02"]);
}

#[test]
fn a_seal_is_read_with_care() {
    let home = tempfile::tempdir().unwrap();
    let policy = unguarded("pre-change");
    write_at(&home.path().join("a.parquet"), meters(0), Some("2026-11-02"));
    let sealed = seal(home.path(), "2026-11-01");
    let path = home.path().join(SEAL_FILE);
    let opened = |seal: &Seal| {
        fs::write(&path, serde_json::to_string(&seal.clone().digested()).unwrap()).unwrap();
        open_as(&[home.path().to_path_buf()], &policy).and_then(|snapshot| snapshot.as_of(AsOf::OfSnapshot))
    };
    assert_eq!(opened(&sealed).unwrap().0, at("2026-11-01"), "the seal comes before the files");
    let mut upper = sealed.clone();
    upper.files[0].blake3.make_ascii_uppercase();
    assert!(opened(&upper).is_ok());
    let mut twice = sealed.clone();
    twice.files.push(twice.files[0].clone());
    says(opened(&twice), &[SEAL_FILE, "names a.parquet twice"]);
    let mut soon = sealed.clone();
    soon.taken_at = Some("soon".into());
    says(opened(&soon), &[SEAL_FILE, "`soon` is not a date or a time"]);
    // Sealing with another time than the files have gives a warning.
    let (_, _, err) = run(&["check", home.path().to_str().unwrap(), "--seal", "--taken-at", "2026-11-01"]);
    assert!(err.contains("warning: sealed as taken at 2026-11-01") && err.contains("2026-11-02"), "{err}");
}

#[test]
fn files_say_when_they_were_taken() {
    let home = tempfile::tempdir().unwrap();
    let file = |number: u8, taken_at| {
        let path = home.path().join(format!("{number}.parquet"));
        write_at(&path, meters(number), taken_at);
        path
    };
    let one = file(1, Some("2026-11-01"));
    let same = file(2, Some("2026-11-01T01:00:00+01:00"));
    let (later, never, soon) = (file(3, Some("2026-11-02")), file(4, None), file(5, Some("soon")));
    let policy = unguarded("pre-change");
    let dated = |paths: &[&PathBuf]| {
        let paths: Vec<PathBuf> = paths.iter().map(|&path| path.clone()).collect();
        open_as(&paths, &policy).and_then(|snapshot| snapshot.as_of(AsOf::OfSnapshot))
    };
    assert_eq!(dated(&[&one, &same]).unwrap(), (at("2026-11-01"), AsOfFrom::Files));
    says(dated(&[&one, &later]), &["3.parquet", "2026-11-01", "2026-11-02", "--as-of"]);
    says(dated(&[&one, &never]), &["4.parquet", "no time at all"]);
    says(dated(&[&soon]), &["5.parquet", "`soon` is not a date or a time"]);
    says(dated(&[&never]), &["4.parquet", "does not say when"]);
    let out = home.path().join("run");
    let arguments = ["sweep", one.to_str().unwrap(), "--policy", "secmp0060", "--expect-deletes", "2", "--out"];
    let (code, _, err) = run(&[&arguments[..], &[out.to_str().unwrap()]].concat());
    assert!(code == 0 && err.contains("as the files say"), "{err}");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["as_of"], "2026-11-01T00:00:00Z");
}

#[test]
fn files_of_the_same_name_in_two_folders_are_distinguished() {
    let home = tempfile::tempdir().unwrap();
    let folders = ["north", "south"].map(|name| home.path().join(name));
    for (number, folder) in folders.iter().enumerate() {
        let bad = text([Some("x"), Some("y")]);
        write(&folder.join("part.parquet"), with(meters(number as u8), vec![("device_id", bad)]));
    }
    let snapshot = open(&folders, &unguarded("pre-change"));
    let names: Vec<&str> = snapshot.files().iter().map(|file| file.name.as_str()).collect();
    assert!(names[0].ends_with("north/part.parquet") && names[1].ends_with("south/part.parquet"), "{names:?}");
}

#[test]
fn a_file_that_changes_under_a_sweep_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    write(&path, meters(0));
    let policy = unguarded("pre-change");
    let snapshot = open(from_ref(&path), &policy);
    fs::copy(&path, home.path().join("b.parquet")).unwrap();
    fs::rename(home.path().join("b.parquet"), &path).unwrap();
    says(try_sweep(&snapshot, &policy, Reader::Encoded), &["a.parquet", "changed while it was read"]);
}

/// The process that the next test starts: opens a file, truncates it, and continues to read.
#[test]
fn reads_on_in_a_file_that_it_cut_short() {
    let Ok(path) = std::env::var("FILE_TO_CUT_SHORT") else { return };
    install_sigbus_handler();
    let policy = unguarded("pre-change");
    let snapshot = open(&[path.clone().into()], &policy);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(64).unwrap();
    let _ = try_sweep(&snapshot, &policy, Reader::Encoded);
    panic!("it read what is not there");
}

/// The system ended such a process with a signal, without a message.
#[test]
fn a_file_that_is_cut_short_ends_the_process_with_a_clear_line() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("estate.parquet");
    // Longer than a page of memory, so that whole pages are lost.
    fs::copy(fixtures().join("estate/part-00000.parquet"), &path).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "snapshots::reads_on_in_a_file_that_it_cut_short", "--nocapture", "--test-threads", "1"])
        .env("FILE_TO_CUT_SHORT", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(ExitCode::Snapshot as i32), "{:?} {said}", output.status);
    assert!(said.contains("cut short while it was read; nothing was published"), "{said}");
}

/// Checksums of pages were not verified: a flipped bit gave another device.
#[test]
fn a_flipped_bit_of_a_page_with_a_checksum_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("flipped.parquet");
    let policy = unguarded("pre-change");
    let whole = fs::read(fixtures().join("writers/pyarrow-page-checksum/part-0.parquet")).unwrap();
    fs::write(&path, &whole).unwrap();
    let mut flips = Vec::new();
    {
        let snapshot = open(from_ref(&path), &policy);
        let file = &snapshot.files()[0];
        for column in Column::READ_BY_SWEEP {
            let Some(bound) = file.columns.in_file(column) else { continue };
            for group in 0..file.groups.len() {
                let range = file.chunk_range(group, bound).unwrap();
                let mut walk = PageWalk::new(&whole[range]);
                while let Some((header, body)) = walk.next_page().unwrap() {
                    assert!(header.checksum.is_some(), "the fixture has checksums");
                    let start = body.as_ptr() as usize - whole.as_ptr() as usize;
                    flips.extend([start, start + body.len() / 2, start + body.len() - 1].map(|at| (column, at)));
                }
            }
        }
    }
    assert!(flips.len() > 15, "{}", flips.len());
    for (column, at) in flips {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let snapshot = open(from_ref(&path), &policy);
        for reader in [Reader::Encoded, Reader::Reference] {
            says(try_sweep(&snapshot, &policy, reader), &[column.name(), "corrupt"]);
        }
    }
}

/// Device IDs that do not fit into memory are written into TMPDIR; the error names a folder that does not exist.
#[test]
fn a_folder_for_temporary_files_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("many.parquet");
    // All of one Device ID, so that one bucket of many is full.
    let rows = 40_000;
    let of = |value: &str| -> ArrayRef { Arc::new(arrow_array::StringArray::from(vec![value; rows])) };
    let columns: crate::common::columns::Columns = vec![
        ("device_id", of("00-DB-12-34-56-78-90-A0")),
        ("device_type", of("ESME")),
        ("smi_status", of("Pending")),
        ("status_since", Arc::new(arrow_array::TimestampMicrosecondArray::from(vec![0; rows]))),
        ("notifying_party", of("Acme")),
    ];
    write(&path, columns);
    let output = crate::common::binary()
        .args(["check", path.to_str().unwrap()])
        .env("TMPDIR", home.path().join("nowhere"))
        .output()
        .unwrap();
    let (code, _, err) = crate::common::outcome(&output);
    assert!(code == 1 && err.contains("nowhere: cannot write temporary data") && err.contains("TMPDIR"), "{err}");
}
