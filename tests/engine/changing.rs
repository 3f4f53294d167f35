//! Files of a snapshot that change, vanish or are cut short during a sweep: it is refused, and nothing is left behind.

use std::fs::{self, FileTimes, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::estates::{Ids, Layout, Row, mixed_rows, write};
use crate::common::{at, unguarded};
use smi_sweep::error::ExitCode;
use smi_sweep::pool::Pool;
use smi_sweep::progress::{Progress, Stage};
use smi_sweep::run::{PreviousRun, Publication, SweepRequest, sweep_into};
use smi_sweep::scan::Reader;
use smi_sweep::snapshot::{AsOf, Io, install_sigbus_handler};
use smi_sweep::sweep::Expected;

/// Does something at one of the steps of a sweep: when a stage begins, and when a row range is done.
struct AtStep<'a> {
    step: usize,
    steps: AtomicUsize,
    act: &'a (dyn Fn() + Sync),
}

impl AtStep<'_> {
    fn count(&self) {
        if self.steps.fetch_add(1, Ordering::Relaxed) == self.step {
            (self.act)();
        }
    }
}

impl Progress for AtStep<'_> {
    fn begin(&self, _: Stage, _: u64) {
        self.count();
    }
    fn advance(&self, _: u64) {
        self.count();
    }
    fn interrupted(&self) -> bool {
        false
    }
}

/// Sweeps `home/estate.parquet` into `home/run`, and acts at a step. Returns the number of steps, too.
fn sweep_at(home: &Path, io: Io, step: usize, act: &(dyn Fn() + Sync)) -> (usize, smi_sweep::Result<()>) {
    let mut policies = [unguarded("pre-change")];
    policies[0].guard.max_deletes = 1_000_000;
    policies[0].guard.max_quarantined = 1_000_000;
    let snapshot = [home.join("estate.parquet")];
    let request = SweepRequest {
        snapshot: &snapshot,
        policies: &policies,
        as_of: AsOf::Given(at("2026-11-01")),
        expected: Expected::default(),
        previous: PreviousRun::First,
        unique: false,
        require_sealed: false,
        accept_unreadable: false,
        io,
        reader: Reader::Encoded,
        out: &home.join("run"),
    };
    let progress = AtStep { step, steps: AtomicUsize::new(0), act };
    let outcome = sweep_into(&request, &Pool::new(Some(2)), &progress);
    let outcome = outcome.map(|outcome| assert!(matches!(outcome.publication, Publication::Published(_))));
    (progress.steps.into_inner(), outcome)
}

/// What is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file of several row groups, in a layout whose size does not depend on the values.
fn estate(path: &Path, rows: &[Row]) {
    write(path, rows, &Layout { ids: Ids::Bytes, dictionary: false, codec: 0, group_rows: 300, ..Layout::PLAIN });
}

/// The same rows with other Device IDs.
fn others(rows: &[Row]) -> Vec<Row> {
    let other = |row: &Row| Row { id: row.id.as_ref().map(|id| id.replacen("00-DB", "00-DC", 1)), ..row.clone() };
    rows.iter().map(other).collect()
}

/// Mixed content was published in nine of twenty runs: a file was overwritten by one of equal length, and its time of
/// modification restored.
#[test]
fn content_that_changes_during_a_sweep_is_never_published() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("estate.parquet");
    let rows = mixed_rows(1500, &["Acme"]);
    let later = home.path().join("later.parquet");
    estate(&later, &others(&rows));
    let new = fs::read(&later).unwrap();
    fs::remove_file(later).unwrap();
    let overwrite = || {
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        // The file is written in place, by a program that holds it open.
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&new).unwrap();
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    };
    let mut steps = 0..1;
    while let Some(step) = steps.next() {
        let io = if step % 2 == 0 { Io::Mmap } else { Io::Read };
        estate(&path, &rows);
        assert_eq!(fs::metadata(&path).unwrap().len(), new.len() as u64);
        // The clock of the file system has ticks of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (count, outcome) = sweep_at(home.path(), io, step, &overwrite);
        steps.end = count;
        // The first step is before the file is opened.
        if step == 0 {
            outcome.unwrap();
            fs::remove_dir_all(home.path().join("run")).unwrap();
            continue;
        }
        let error = outcome.expect_err("content that changed was published");
        assert_eq!(error.exit_code(), ExitCode::Snapshot, "step {step}: {error}");
        assert_eq!(names(home.path()), ["estate.parquet"], "step {step}");
    }
    assert!(steps.end >= 8, "{steps:?}");
}

#[test]
fn a_file_that_is_replaced_removed_or_cut_short_during_a_sweep_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("estate.parquet");
    let rows = mixed_rows(900, &["Acme"]);
    let remove = || fs::remove_file(&path).unwrap();
    let replace = || {
        fs::copy(&path, home.path().join("new")).unwrap();
        fs::rename(home.path().join("new"), &path).unwrap();
    };
    let cut = || OpenOptions::new().write(true).open(&path).unwrap().set_len(64).unwrap();
    let acts: [(Io, &(dyn Fn() + Sync), &str); 4] = [
        (Io::Mmap, &remove, "was removed while it was read"),
        (Io::Mmap, &replace, "changed while it was read"),
        (Io::Read, &remove, "was removed while it was read"),
        // A mapped file ends the process; see below.
        (Io::Read, &cut, "changed while it was read"),
    ];
    for (io, act, says) in acts {
        for step in 1..5 {
            estate(&path, &rows);
            let error = sweep_at(home.path(), io, step, act).1.expect_err("it was published");
            assert_eq!(error.exit_code(), ExitCode::Snapshot, "{error}");
            assert!(error.to_string().contains(says), "{error}");
            let left = names(home.path());
            assert!(left.is_empty() || left == ["estate.parquet"], "{left:?}");
        }
    }
}

/// The process that the next test starts: truncates the file during a sweep.
#[test]
fn cuts_its_own_snapshot_short() {
    let Ok(home) = std::env::var("SNAPSHOT_TO_CUT_SHORT") else { return };
    install_sigbus_handler();
    let home = PathBuf::from(home);
    let step = std::env::var("STEP").unwrap().parse().unwrap();
    let cut = || OpenOptions::new().write(true).open(home.join("estate.parquet")).unwrap().set_len(64).unwrap();
    // Where every row was read before, nothing fails until the file is inspected.
    let error = sweep_at(&home, Io::Mmap, step, &cut).1.expect_err("it was published");
    eprintln!("{error}");
    std::process::exit(error.exit_code() as i32);
}

/// The hidden directory of the run was left behind.
#[test]
fn nothing_is_left_of_a_sweep_whose_snapshot_is_cut_short() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("estate.parquet");
    let mut by_signal = 0;
    for step in 1..6 {
        estate(&path, &mixed_rows(3_000, &["Acme"]));
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "changing::cuts_its_own_snapshot_short", "--nocapture", "--test-threads", "1"])
            .env("SNAPSHOT_TO_CUT_SHORT", home.path())
            .env("STEP", step.to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(ExitCode::Snapshot as i32), "step {step}: {:?} {said}", output.status);
        assert_eq!(names(home.path()), ["estate.parquet"], "step {step}: {said}");
        by_signal += usize::from(said.contains("cut short while it was read; nothing was published"));
    }
    assert!(by_signal > 0);
}
