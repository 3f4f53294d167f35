//! The same rows give the same manifests, byte for byte, however they are stored and however many workers there are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::estates::{Layout, Row, mixed, mixed_rows, pick, text_id, write};
use crate::common::{binary, fixtures, outcome, run};
use smi_sweep::kernel::Kernel;

const MANIFESTS: [&str; 2] = ["delete.parquet", "alerts.parquet"];

/// Manifests of a sweep; the third is the quarantine manifest.
fn manifests(home: &Path, snapshot: &Path, more: &[&str]) -> [Vec<u8>; 3] {
    let policy = home.join("policy.toml");
    fs::write(
        &policy,
        "name = \"open\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_deletes = 1000000\n\
         max_delete_share = 1.0\nmax_quarantined = 1000000\n",
    )
    .unwrap();
    let out = home.join("run");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (snapshot, policy, to) = (text(snapshot), text(&policy), text(&out));
    let mut arguments = vec!["sweep", &snapshot, "--policy", &policy, "--as-of", "2026-11-01", "--out", &to];
    arguments.extend(more);
    let (code, _, err) = run(&arguments);
    assert_eq!(code, 0, "{err}");
    let bytes =
        [MANIFESTS[0], MANIFESTS[1], "quarantine.parquet"].map(|manifest| fs::read(out.join(manifest)).unwrap());
    fs::remove_dir_all(out).unwrap();
    bytes
}

#[test]
fn threads_readers_and_the_folders_name_leave_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let estate = fixtures().join("estate");
    let first = manifests(home.path(), &estate, &["--threads", "1"]);
    for more in [&["--threads", "2"][..], &["--threads", "8"], &["--reader", "reference"]] {
        assert!(manifests(home.path(), &estate, more) == first, "{more:?}");
    }
    let copy = home.path().join("a copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&estate).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    assert!(manifests(home.path(), &copy, &[]) == first);
}

#[test]
fn the_processors_instructions_leave_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let estate = fixtures().join("estate");
    let sweep = |kernel: &str, out: &Path| {
        let arguments = ["sweep", "--policy", "secmp0060", "--as-of", "2026-11-01", "--out"];
        outcome(&binary().env("SMI_SWEEP_KERNEL", kernel).args(arguments).arg(out).arg(&estate).output().unwrap())
    };
    let mut first = None;
    for kernel in Kernel::available() {
        let out = home.path().join(kernel.name());
        let (code, _, err) = sweep(kernel.name(), &out);
        assert_eq!(code, 0, "{err}");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
        assert_eq!(record["engine"]["kernel"], kernel.name());
        let manifests = MANIFESTS.map(|manifest| fs::read(out.join(manifest)).unwrap());
        assert!(*first.get_or_insert_with(|| manifests.clone()) == manifests, "{kernel}");
    }
    let (code, _, err) = sweep("abacus", &home.path().join("none"));
    assert_eq!(code, 2);
    assert!(err.contains("SMI_SWEEP_KERNEL is \"abacus\", which this processor cannot run"), "{err}");
    assert!(err.contains("portable"), "{err}");
}

#[test]
fn layouts_leave_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let mut first = None;
    for (layout, files) in [("strings", "1"), ("strings", "3"), ("bytes", "2"), ("clustered", "2")] {
        let folder = home.path().join(format!("{layout}{files}"));
        let to = folder.to_str().unwrap();
        let (code, _, err) = run(&["synth", "--rows", "30000", "--files", files, "--layout", layout, "--out", to]);
        assert_eq!(code, 0, "{err}");
        let [deletes, alerts, _] = manifests(home.path(), &folder, &[]);
        assert!(deletes.len() > 4000);
        let first = first.get_or_insert_with(|| (deletes.clone(), alerts.clone()));
        assert!((deletes, alerts) == *first, "{layout}, {files} files");
    }
}

/// Rows of every kind, with duplicate Device IDs.
fn rows() -> Vec<Row> {
    let row = |(n, row): (u64, Row)| {
        let mixed = mixed(n);
        Row {
            id: (n % 53 != 0).then(|| text_id(0x00DB_1234_0000_0000 | (mixed % 0x3FFF))),
            device_type: Some(pick(&["ESME", "GSME", "GPF", "CHF", "PPMID", "SAPC"], mixed >> 3)),
            status: Some(pick(&["Pending", "Pending", "Commissioned", "pending"], mixed >> 5)),
            role: None,
            ..row
        }
    };
    (0..).zip(mixed_rows(4000, &["P3", "A Party", "P1"])).map(row).collect()
}

#[test]
fn shuffled_files_and_row_groups_leave_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let layout = |group_rows| Layout { group_rows, page_rows: 64, statistics: 1, roles: false, ..Layout::PLAIN };
    let store = |name: &str, rows: &[Row], files: usize, group_rows: usize| -> PathBuf {
        let folder = home.path().join(name);
        fs::create_dir(&folder).unwrap();
        for (file, rows) in rows.chunks(rows.len().div_ceil(files)).enumerate() {
            write(&folder.join(format!("{file}.parquet")), rows, &layout(group_rows));
        }
        folder
    };
    let rows = rows();
    let [deletes, alerts, _] = manifests(home.path(), &store("as they are", &rows, 1, 4000), &[]);
    let mut turned = rows.clone();
    turned.reverse();
    let mut dealt: Vec<Row> = (0..7).flat_map(|hand| rows.iter().skip(hand).step_by(7).cloned()).collect();
    dealt.rotate_left(1234);
    for (name, rows, files, group_rows) in [("turned", turned, 3, 100), ("dealt", dealt, 5, 333)] {
        let [other_deletes, other_alerts, _] = manifests(home.path(), &store(name, &rows, files, group_rows), &[]);
        assert!(other_deletes == deletes && other_alerts == alerts, "{name}");
    }
}
