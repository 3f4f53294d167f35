//! What a seal guarantees: its files, and itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::common::columns::{Columns, meters, write_at};
use crate::common::estates::{Row, mixed, mixed_rows};
use crate::common::{Workspace, at, fixtures, run, text_of, unguarded};
use arrow_array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use serde_json::{Value, json};
use smi_sweep::error::ExitCode;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::snapshot::{Io, SEAL_FILE, Snapshot};
use smi_sweep::sweep::{Expected, Findings, SweepOptions, Uniqueness};

/// A sealed folder with two files, and the text of its seal.
fn sealed(home: &Path) -> String {
    for number in 0..2 {
        write_at(&home.join(format!("{number}.parquet")), meters(number), Some("2026-11-01"));
    }
    let (code, _, err) = run(&["check", &text_of(home), "--seal"]);
    assert_eq!(code, 0, "{err}");
    fs::read_to_string(home.join(SEAL_FILE)).unwrap()
}

/// Sweeps the folder into a new run, by a policy without limits.
fn sweep(home: &tempfile::TempDir, out: &str) -> (i32, Option<Value>, String) {
    let policy = home.policy("open", "[threshold]\ndefault = 12");
    let out = home.path().join(out);
    let (code, _, err) = run(&["sweep", &home.text("estate"), "--policy", &policy, "--out", &text_of(&out)]);
    let record = fs::read(out.join("run.json")).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap());
    (code, record, err)
}

/// `taken_at` was edited from 2026 to 2126, and 2,343 devices were to be deleted where 362 were due.
#[test]
fn an_edited_seal_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let text = sealed(&home.path().join("estate"));
    let path = home.path().join("estate").join(SEAL_FILE);
    let (code, record, err) = sweep(&home, "run");
    assert_eq!(code, 0, "{err}");
    let seal: Value = serde_json::from_str(&text).unwrap();
    // An approval signs the record, and so the digest of the seal.
    assert_eq!(
        record.unwrap()["snapshot"]["seals"],
        json!([{ "path": SEAL_FILE, "schema": "smi-sweep/snapshot/2", "blake3": seal["blake3"] }])
    );

    let (own, unknown) = ("differs from its own digest", "unknown field");
    let zeros = "0".repeat(64);
    for (pointer, key, value, words) in [
        ("", "taken_at", json!("2126-11-01T00:00:00Z"), own),
        ("", "device_id_columns", json!(["eui"]), own),
        ("", "blake3", json!(zeros), own),
        ("", "note", json!(""), unknown),
        ("/files/0", "blake3", json!(zeros), own),
        ("/files/0", "path", json!("2.parquet"), own),
        ("/files/1", "rows", json!(3), own),
        ("/files/1", "bytes", json!(3), own),
        ("/files/1", "mode", json!(3), unknown),
    ] {
        let mut edited = seal.clone();
        edited.pointer_mut(pointer).unwrap()[key] = value;
        fs::write(&path, edited.to_string()).unwrap();
        let (code, record, err) = sweep(&home, "edited");
        assert!(code == 3 && err.contains(SEAL_FILE) && err.contains(words), "{edited}\n{err}");
        assert!(record.is_none());
    }
    for key in ["taken_at", "device_ids", "device_id_columns", "blake3"] {
        let mut edited = seal.clone();
        edited.as_object_mut().unwrap().remove(key);
        fs::write(&path, edited.to_string()).unwrap();
        assert_eq!(sweep(&home, "edited").0, 3, "without {key}");
    }
    // A key twice: readers differ in which one counts.
    let twice = text.replacen('{', r#"{ "taken_at": "2126-11-01T00:00:00Z","#, 1);
    fs::write(&path, twice).unwrap();
    assert_eq!(sweep(&home, "edited").0, 3);
    // White space and the order of keys carry nothing.
    fs::write(&path, seal.to_string()).unwrap();
    let (code, _, err) = sweep(&home, "again");
    assert_eq!(code, 0, "{err}");
}

/// Seals of the earlier schema are read. They cannot state what that schema lacks.
#[test]
fn a_seal_of_the_earlier_schema_is_read_with_a_note() {
    let home = tempfile::tempdir().unwrap();
    let mut seal: Value = serde_json::from_str(&sealed(&home.path().join("estate"))).unwrap();
    let path = home.path().join("estate").join(SEAL_FILE);
    let whole = seal.as_object_mut().unwrap();
    whole.insert("schema".into(), json!("smi-sweep/snapshot/1"));
    fs::write(&path, json!(whole).to_string()).unwrap();
    let (code, _, err) = sweep(&home, "run");
    assert!(code == 3 && err.contains("keys that its schema lacks"), "{err}");
    for key in ["device_ids", "device_id_columns", "blake3"] {
        whole.remove(key);
    }
    fs::write(&path, seal.to_string()).unwrap();
    let (code, record, err) = sweep(&home, "run");
    assert!(code == 0 && err.contains("note: sealed in an earlier format"), "{err}");
    let seals = &record.unwrap()["snapshot"]["seals"];
    assert_eq!(seals[0]["schema"], "smi-sweep/snapshot/1");
    assert_eq!(seals[0]["blake3"].as_str().map(str::len), Some(64));
    seal["schema"] = json!("smi-sweep/snapshot/3");
    fs::write(&path, seal.to_string()).unwrap();
    let (code, _, err) = sweep(&home, "later");
    assert!(code == 3 && err.contains("its schema is `smi-sweep/snapshot/3`"), "{err}");
}

/// Rows of every kind, with a long column between the others that no rule reads.
fn with_remarks(rows: u64) -> Columns {
    let all = mixed_rows(rows, &["Acme"]);
    let text =
        |value: fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(all.iter().map(value).collect::<StringArray>()) };
    let remarks: StringArray = (0..rows).map(|row| Some(format!("{:0>60}", mixed(row)))).collect();
    let since: TimestampMicrosecondArray = all.iter().map(|row| row.since).collect();
    vec![
        ("device_id", text(|row| row.id.clone())),
        ("device_type", text(|row| row.device_type.clone())),
        ("remarks", Arc::new(remarks)),
        ("smi_status", text(|row| row.status.clone())),
        ("status_since", Arc::new(since)),
        ("notifying_party", text(|row| row.party.clone())),
    ]
}

/// A flipped bit anywhere in a sealed file is refused, or was not read: then the result is that of the file that was
/// sealed. A check reads all.
#[test]
fn a_flipped_bit_is_refused_or_decides_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (wide, estate) = (home.path().join("wide/a.parquet"), home.path().join("estate/a.parquet"));
    write_at(&wide, with_remarks(4_000), None);
    fs::create_dir(home.path().join("estate")).unwrap();
    fs::copy(fixtures().join("estate/part-00000.parquet"), &estate).unwrap();
    let (mut refused, mut unread) = (0, 0);
    for path in [wide, estate] {
        let folder = path.parent().unwrap();
        assert_eq!(run(&["check", &text_of(folder), "--seal", "--taken-at", "2026-11-01"]).0, 0);
        let (whole, rest) = swept(folder, Io::Read, Reader::Encoded).unwrap();
        rest.unwrap();
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 60).chain([bytes.len() - 1]) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            fs::write(&path, flipped).unwrap();
            let io = if at % 3 == 0 { Io::Read } else { Io::Mmap };
            match swept(folder, io, if at % 2 == 0 { Reader::Encoded } else { Reader::Reference }) {
                Err(error) => {
                    assert_eq!(error.exit_code(), ExitCode::Snapshot, "{path:?} {at}: {error}");
                    refused += 1;
                }
                Ok((findings, rest)) => {
                    assert!(findings == whole, "{path:?} {at}");
                    assert!(rest.unwrap_err().to_string().contains("differs from its seal"), "{path:?} {at}");
                    unread += 1;
                }
            }
        }
    }
    assert!(refused > 60 && unread > 10, "{refused} were refused, {unread} not read");
}

/// Sweeps a folder, and then verifies what was not read.
fn swept(folder: &Path, io: Io, reader: Reader) -> smi_sweep::Result<(Findings, smi_sweep::Result<()>)> {
    let (policy, pool) = (unguarded("pre-change"), Pool::new(Some(2)));
    let snapshot = Snapshot::open_by(io, &[folder.to_path_buf()], &policy.spellings, &pool, &NoProgress)?;
    let (policies, as_of, expected) = (std::slice::from_ref(&policy), at("2026-11-01"), Expected::default());
    let options = SweepOptions { policies, as_of, expected, uniqueness: Uniqueness::Unproven, previous: &[] };
    let scan = Scan::new(&snapshot, &pool, &NoProgress).with_reader(reader);
    let findings = smi_sweep::sweep::sweep(&scan, &options)?.remove(0).findings;
    Ok((findings, snapshot.verify_rest(&pool, &NoProgress)))
}
