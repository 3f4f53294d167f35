//! One Device ID on a due row and on any other row: where that is looked for, proven absent, and required to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::columns::{Columns, meters, text, with, write_at};
use crate::common::{Workspace, run, text_of};
use arrow_array::FixedSizeBinaryArray;
use serde_json::{Value, json};
use smi_sweep::snapshot::{DeviceIds, SEAL_FILE, Seal};

/// A folder with a home for policies and runs.
struct Estate {
    home: tempfile::TempDir,
    /// The arguments of every sweep.
    options: Vec<&'static str>,
    runs: usize,
}

impl Estate {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), options: Vec::new(), runs: 0 }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("estate")
    }

    fn file(&self, name: &str, columns: Columns) {
        write_at(&self.folder().join(name), columns, Some("2026-11-01"));
    }

    /// `check --seal`, and what the seal states.
    fn seal(&self) -> Option<DeviceIds> {
        let (code, _, err) = run(&["check", &text_of(&self.folder()), "--seal"]);
        assert_eq!(code, 0, "{err}");
        Seal::read(&self.folder()).unwrap().unwrap().device_ids
    }

    /// Sweeps by a policy that ends with these lines: exit code, record and standard error.
    fn sweep(&mut self, policy: &str, snapshot: &[&Path]) -> (i32, Value, String) {
        self.runs += 1;
        let path = self.home.policy(&format!("p{}", self.runs), "threshold = { default = 12 }");
        // The last section is `[guard]`.
        fs::write(&path, fs::read_to_string(&path).unwrap() + policy).unwrap();
        let out = self.home.text(&format!("run{}", self.runs));
        let snapshot: Vec<String> = snapshot.iter().map(|path| text_of(path)).collect();
        let mut arguments = vec!["sweep", "--policy", &path, "--out", &out];
        arguments.extend(snapshot.iter().map(String::as_str));
        arguments.extend(&self.options);
        let (code, _, err) = run(&arguments);
        let record = fs::read(Path::new(&out).join("run.json"));
        let record = record.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        if code == 0 {
            assert_eq!(run(&["verify", &out]).0, 0, "{out}");
        }
        (code, record, err)
    }

    /// Deletions, quarantined rows, and what the record says of uniqueness.
    #[track_caller]
    fn ends(&mut self, policy: &str, options: &[&'static str]) -> (u64, u64, String) {
        self.options = options.to_vec();
        let folder = self.folder();
        let (code, record, err) = self.sweep(policy, &[&folder]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(err.contains("not proven that Device IDs are unique"), record["uniqueness"] == "unproven", "{err}");
        let count = |name: &str| record["tally"][name].as_u64().unwrap();
        (count("delete"), count("quarantined"), record["uniqueness"].as_str().unwrap().to_owned())
    }
}

/// Two devices that are in use: the first has the ID of the first meter of `meters(0)`, as eight bytes.
fn in_use() -> Columns {
    let ids = [0x00DB_1234_5678_00A0_u64, 0x00DB_1234_5678_01A0].map(u64::to_be_bytes);
    let ids = FixedSizeBinaryArray::try_from_iter(ids.into_iter()).unwrap();
    let status = text([Some("Commissioned"), Some("Commissioned")]);
    with(meters(1), vec![("device_id", Arc::new(ids)), ("smi_status", status)])
}

/// A device was deleted although another row of the snapshot had it as Commissioned.
#[test]
fn a_due_device_that_another_row_has_in_use_is_looked_for_or_said_not_to_be() {
    let mut estate = Estate::new();
    let lower = text([Some("00-db-12-34-56-78-00-a0"), Some("00-DB-12-34-56-78-00-A1")]);
    estate.file("a.parquet", with(meters(0), vec![("device_id", lower)]));
    estate.file("b.parquet", in_use());
    assert_eq!(estate.ends("", &[]), (2, 0, "unproven".into()));
    assert_eq!(estate.ends("", &["--unique"]), (1, 1, "checked".into()));
    assert_eq!(estate.ends("", &["--unique", "--reader", "reference"]), (1, 1, "checked".into()));
    let page = fs::read_to_string(estate.home.path().join("run1/report.html")).unwrap();
    assert!(page.contains("not proven that Device IDs are unique"), "{page}");
    // A seal of what is not unique proves nothing.
    assert_eq!(estate.seal(), Some(DeviceIds::Duplicated));
    assert_eq!(estate.ends("", &[]), (2, 0, "unproven".into()));

    let folder = estate.folder();
    let needs = "require_unique = true";
    estate.options = Vec::new();
    let (code, record, err) = estate.sweep(needs, &[&folder]);
    assert!(code == 3 && err.contains("`require_unique` of policy `p"), "{code} {err}");
    assert!(err.contains("check --seal") && err.contains("--unique") && record.is_null(), "{err}");
    assert_eq!(estate.ends(needs, &["--unique"]), (1, 1, "checked".into()));

    fs::remove_file(estate.folder().join("b.parquet")).unwrap();
    assert_eq!(estate.seal(), Some(DeviceIds::Unique));
    assert_eq!(estate.ends(needs, &[]), (2, 0, "proven".into()));
    // Who asks for it gets a search.
    assert_eq!(estate.ends("", &["--unique"]), (2, 0, "checked".into()));
}

/// The proof is about the sealed files together, and about the column that was read.
#[test]
fn a_proof_holds_for_what_was_sealed() {
    let mut estate = Estate::new();
    let old = text([Some("00-DB-12-34-56-78-0F-A0"), Some("00-DB-12-34-56-78-0F-A0")]);
    estate.file("a.parquet", with(meters(0), vec![("old_id", old)]));
    // Null and malformed IDs are no IDs: such rows are never deleted.
    estate.file("b.parquet", with(meters(2), vec![("device_id", text([None, Some("x")]))]));
    estate.file("c.parquet", with(meters(3), vec![("device_id", text([None, Some("x")]))]));
    assert_eq!(estate.seal(), Some(DeviceIds::Unique));
    assert_eq!(estate.ends("", &[]), (2, 4, "proven".into()));
    fs::remove_file(estate.folder().join("b.parquet")).unwrap();
    fs::remove_file(estate.folder().join("c.parquet")).unwrap();
    assert_eq!(estate.seal(), Some(DeviceIds::Unique));
    let folder = estate.folder();
    // Another column, in which both rows have the same ID.
    estate.options = Vec::new();
    let (code, record, err) = estate.sweep("[snapshot.columns]\nold_id = \"device_id\"", &[&folder]);
    assert_eq!((code, &record["uniqueness"]), (0, &json!("unproven")), "{err}");
    // One file of the seal, and the whole with a second snapshot.
    let (_, record, err) = estate.sweep("", &[&folder.join("a.parquet")]);
    assert_eq!(record["uniqueness"], "proven", "{err}");
    let other = estate.home.path().join("other");
    write_at(&other.join("z.parquet"), in_use(), Some("2026-11-01"));
    assert_eq!(run(&["check", &text_of(&other), "--seal"]).0, 0);
    let (_, record, err) = estate.sweep("", &[&folder, &other]);
    assert_eq!(record["uniqueness"], "unproven", "{err}");

    let copy = estate.home.text("copy");
    assert_eq!(run(&["recluster", &text_of(&other), "--out", &copy]).0, 0);
    assert_eq!(Seal::read(Path::new(&copy)).unwrap().unwrap().device_ids, Some(DeviceIds::Unique));
    assert_eq!(run(&["recluster", &text_of(&other), &text_of(&folder), "--out", &format!("{copy}2")]).0, 0);
    let both = Seal::read(Path::new(&format!("{copy}2"))).unwrap().unwrap();
    assert_eq!(both.device_ids, Some(DeviceIds::Duplicated));
}

/// A seal can be written by other programs.
#[test]
fn a_seal_that_is_wrong_about_unique_ids_is_refused() {
    let mut estate = Estate::new();
    estate.file("a.parquet", meters(0));
    estate.file("b.parquet", meters(0));
    assert_eq!(estate.seal(), Some(DeviceIds::Duplicated));
    let mut seal = Seal::read(&estate.folder()).unwrap().unwrap();
    seal.device_ids = Some(DeviceIds::Unique);
    seal.write(&estate.folder()).unwrap();
    let folder = estate.folder();
    let (code, record, err) = estate.sweep("", &[&folder]);
    assert!(code == 3 && err.contains(SEAL_FILE) && err.contains("device_ids is duplicated"), "{err}");
    assert!(record.is_null());
    let (code, _, err) = run(&["check", &text_of(&folder)]);
    assert!(code == 3 && err.contains("device_ids is duplicated"), "{err}");
    let (code, out, err) =
        run(&["explain", "00-DB-12-34-56-78-00-A0", &text_of(&folder), "--policy", "pre-change", "--unique"]);
    assert!(code == 0 && out.contains("other rows have the same Device ID"), "{err}");
}

/// A seal is required by a flag or a policy; one that does not cover itself does not suffice.
#[test]
fn a_seal_can_be_required() {
    let mut estate = Estate::new();
    estate.file("a.parquet", meters(0));
    let folder = estate.folder();
    let needs = "require_sealed = true";
    let refused = |(code, record, err): (i32, Value, String), by: &str| {
        assert!(code == 3 && record.is_null() && err.contains(&format!("not sealed, and {by}")), "{err}");
    };
    refused(estate.sweep(needs, &[&folder]), "`require_sealed` of policy");
    estate.options = vec!["--require-sealed"];
    refused(estate.sweep("", &[&folder]), "--require-sealed");
    estate.seal();
    assert_eq!(estate.ends(needs, &["--require-sealed"]), (2, 0, "proven".into()));
    let path = folder.join(SEAL_FILE);
    let mut seal: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    seal["schema"] = json!("smi-sweep/snapshot/1");
    for key in ["device_ids", "device_id_columns", "blake3"] {
        seal.as_object_mut().unwrap().remove(key);
    }
    fs::write(&path, seal.to_string()).unwrap();
    refused(estate.sweep("", &[&folder]), "--require-sealed");
}
