//! `run.json` says only what can be derived. Every leaf of it is edited in turn, and `verify` refuses each edit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Workspace, fixtures, run, with_content_digest};
use serde_json::{Value, json};
use smi_sweep::approval::{self, KeyPair, PrivateKey, Proposal};
use smi_sweep::estate::time;
use smi_sweep::pool::Pool;
use smi_sweep::run::verify;
use tempfile::TempDir;

/// A policy with a key of every kind.
const POLICY: &str = r#"name = "p"
version = 2
[threshold]
default = 12
PPMID = 24
[exclude]
types = ["CommsHub"]
[guard]
max_quarantined_share = 0.5
max_growth = 0.5
by_type.ESME.max_deletes = 5000
[snapshot.statuses]
WAITING = "Pending"
[types]
extra = ["SAPC"]
"#;

/// Parts of a record that an edit may change unnoticed where the forger also writes the digest of the content, and why.
const NOT_IN_THE_RUN: [(&str, &str); 7] = [
    ("/snapshot/files/*/blake3", "only the snapshot has the bytes"),
    ("/snapshot/seals", "only the snapshot has its seals; two folders may have the same"),
    ("/snapshot/seals/*/blake3", "only the snapshot has the seal"),
    ("/snapshot/seals/*/path", "only the snapshot has the seal"),
    ("/previous/run", "only the previous run has its identifier"),
    ("/previous/as_of", "only the previous run has its moment"),
    ("/previous/tally/*", "only the previous run has its figures; its guards are computed again"),
];

/// A run of the fixture estate that was compared with an earlier one, in a directory of its own.
fn example() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let policy = home.write("p.toml", POLICY);
    let estate = fixtures().join("estate");
    let out = |name: &str| home.text(name);
    let sweep = |name: &str, more: &[&str]| {
        let arguments = ["sweep", estate.to_str().unwrap(), "--policy", &policy, "--out", &out(name)];
        let (code, _, err) = run(&[&arguments[..], more].concat());
        assert_eq!(code, 0, "{err}");
    };
    sweep("before", &["--first-run", "--as-of", "2026-10-31"]);
    sweep("run", &["--previous", &out("before")]);
    let run = home.path().join("run");
    (home, run)
}

fn read(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap()
}

/// The places of all values within a document, as JSON pointers; the document itself is the first.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

/// Every edit of the value at a place: in words, and the document with it.
fn edits(document: &Value, place: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut edit = |what: &str, at: &str, change: &dyn Fn(&mut Value)| {
        let mut edited = document.clone();
        change(edited.pointer_mut(place).unwrap());
        if edited != *document {
            all.push((format!("{what} {at}"), edited));
        }
    };
    match document.pointer(place).unwrap() {
        Value::Null => edit("fill", place, &|value| *value = json!(0)),
        Value::Bool(old) => edit("flip", place, &|value| *value = json!(!old)),
        Value::Number(number) => {
            edit("raise", place, &|value| match number.as_u64() {
                Some(number) => *value = json!(number.saturating_add(1)),
                None => *value = json!(number.as_f64().unwrap() / 2.0),
            });
            edit("overflow", place, &|value| *value = json!(u64::MAX));
        }
        Value::String(text) => {
            edit("lengthen", place, &|value| *value = json!(format!("{text}x")));
            if let Some(moment) = time::parse(text) {
                edit("a day earlier at", place, &|value| {
                    *value = json!(time::format_instant(moment - time::DAY_MICROS));
                });
            }
            edit("empty", place, &|value| *value = json!(""));
            let (rest, last) = text.split_at(text.char_indices().next_back().map_or(0, |(at, _)| at));
            let other = if last == "0" { "1" } else { "0" };
            edit("replace the last character of", place, &|value| *value = json!(format!("{rest}{other}")));
        }
        Value::Array(items) => {
            edit("add to", place, &|value| {
                value.as_array_mut().unwrap().push(items.first().cloned().unwrap_or(json!("x")));
            });
            edit("shorten", place, &|value| drop(value.as_array_mut().unwrap().pop()));
        }
        Value::Object(fields) => {
            edit("add a key to", place, &|value| value["zz"] = fields.values().next().cloned().unwrap_or(json!(1)));
            for key in fields.keys() {
                edit("drop", &format!("{place}/{key}"), &|value| drop(value.as_object_mut().unwrap().remove(key)));
            }
        }
    }
    all
}

/// Whether a place, after the words of an edit, is one of a pattern, in which `*` is one name.
fn is_at(edit: &str, pattern: &str) -> bool {
    let place = &edit[edit.find('/').unwrap_or(edit.len())..];
    let (place, pattern): (Vec<&str>, Vec<&str>) = (place.split('/').collect(), pattern.split('/').collect());
    place.len() == pattern.len() && place.iter().zip(pattern).all(|(name, wanted)| wanted == "*" || *name == wanted)
}

/// Verifies a run with this record; whether it is accepted. All that is refused is refused as not verified.
fn accepted(run: &Path, record: &Value, edit: &str) -> bool {
    fs::write(run.join("run.json"), record.to_string()).unwrap();
    match verify(run, &Pool::new(Some(1))) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.exit_code() as u8, 6, "{edit}: {error}");
            false
        }
    }
}

/// All edits outside of `engine`, which says how the run went and is not signed.
fn all_edits(record: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    places(record, "", &mut all);
    all.retain(|place| !place.starts_with("/engine"));
    all.iter().flat_map(|place| edits(record, place)).filter(|(edit, _)| edit != "drop /engine").collect()
}

#[test]
fn every_edit_of_a_record_is_refused() {
    let (_home, run) = example();
    let record = read(&run);
    assert!(accepted(&run, &record, "none"));
    let edits = all_edits(&record);
    assert!(edits.len() > 900, "{}", edits.len());
    let unnoticed: Vec<&String> =
        edits.iter().filter(|(edit, edited)| accepted(&run, edited, edit)).map(|(edit, _)| edit).collect();
    assert_eq!(unnoticed, Vec::<&String>::new());
}

/// A careful forger writes the digest of the edited content as well. What is then unnoticed is not in the run directory.
#[test]
fn every_edit_with_a_new_digest_is_refused_or_listed() {
    let (_home, run) = example();
    let record = read(&run);
    let mut unnoticed = BTreeSet::new();
    for (edit, mut edited) in all_edits(&record) {
        if edit == "drop /digest" {
            continue;
        }
        with_content_digest(&mut edited);
        if accepted(&run, &edited, &edit) && edited != record {
            let listed = NOT_IN_THE_RUN.iter().find(|(pattern, _)| is_at(&edit, pattern));
            assert!(listed.is_some(), "unnoticed: {edit}");
            unnoticed.insert(listed.unwrap().0);
        }
    }
    let listed: BTreeSet<&str> = NOT_IN_THE_RUN.iter().map(|(pattern, _)| *pattern).collect();
    assert_eq!(unnoticed, listed, "a pattern that is not needed any more is removed");
}

/// `engine` may differ between machines; still it has no other keys, and no other kinds of values.
#[test]
fn how_the_run_went_is_read_strictly_and_not_digested() {
    let (_home, run) = example();
    let mut record = read(&run);
    record["engine"]["threads"] = json!(99);
    assert!(accepted(&run, &record, "threads"));
    record["engine"]["threads"] = json!("many");
    assert!(!accepted(&run, &record, "threads"));
    let mut record = read(&run);
    record["engine"] = json!({});
    assert!(!accepted(&run, &record, "no engine"));
}

/// Readers of JSON take the last of two equal keys; some take the first.
#[test]
fn a_key_that_occurs_twice_is_refused() {
    let (_home, run) = example();
    let text = fs::read_to_string(run.join("run.json")).unwrap();
    for (from, to) in [
        ("\"name\": \"p\"", "\"name\": \"q\", \"name\": \"p\""),
        ("\"name\": \"p\"", "\"name\": \"p\", \"name\": \"p\""),
        ("\"threads\": ", "\"threads\": 1, \"threads\": "),
        ("\"status\": ", "\"status\": \"published\", \"status\": "),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(run.join("run.json"), text.replacen(from, to, 1)).unwrap();
        let error = verify(&run, &Pool::new(Some(1))).unwrap_err();
        assert!(error.to_string().contains("occurs twice"), "{error}");
    }
}

/// A changed byte anywhere in a manifest or the page, one in each region.
#[test]
fn every_region_of_every_file_is_verified() {
    let (_home, run) = example();
    for name in ["delete.parquet", "alerts.parquet", "quarantine.parquet", "report.html"] {
        let path = run.join(name);
        let whole = fs::read(&path).unwrap();
        for place in (0..whole.len()).step_by(whole.len() / 150 + 1).chain([whole.len() - 1]) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x20;
            fs::write(&path, &bytes).unwrap();
            let error = verify(&run, &Pool::new(Some(1))).expect_err(name);
            assert_eq!(error.exit_code() as u8, 6, "byte {place} of {name}: {error}");
        }
        fs::write(&path, whole).unwrap();
    }
    verify(&run, &Pool::new(Some(1))).unwrap();
}

/// The same input gives the same digest and the same text to sign, whatever the number of threads.
#[test]
fn the_signed_bytes_follow_from_the_input() {
    let home = tempfile::tempdir().unwrap();
    let estate = fixtures().join("estate");
    let signed: Vec<(Value, String)> = ["1", "2", "5"]
        .iter()
        .map(|threads| {
            let out = home.text(threads);
            let arguments = ["sweep", estate.to_str().unwrap(), "--policy", "secmp0060", "--threads", threads];
            let (code, _, err) = run(&[&arguments[..], &["--out", &out]].concat());
            assert_eq!(code, 0, "{err}");
            let proposal = Proposal::new(Path::new(&out), &Pool::new(Some(1))).unwrap();
            (read(Path::new(&out))["digest"].clone(), proposal.statement.text().to_owned())
        })
        .collect();
    assert!(signed[0].0.as_str().is_some_and(|digest| digest.len() == 64));
    assert!(signed.iter().all(|other| *other == signed[0]));
}

/// A run of an earlier version has no digest of its content and none of its page. It still verifies, and its approvals,
/// which sign the bytes of the file, still count.
#[test]
fn a_run_of_an_earlier_version_still_verifies() {
    let home = tempfile::tempdir().unwrap();
    let estate = fixtures().join("estate");
    let out = home.path().join("run");
    let arguments = ["sweep", estate.to_str().unwrap(), "--policy", "secmp0060", "--out", out.to_str().unwrap()];
    assert_eq!(run(&arguments).0, 0);
    let mut record = read(&out);
    for key in ["digest", "page", "uniqueness"] {
        record.as_object_mut().unwrap().remove(key).unwrap();
    }
    for key in ["own_moment", "seals"] {
        record["snapshot"].as_object_mut().unwrap().remove(key).unwrap();
    }
    for key in ["as_of_later", "first_run"] {
        record["options"].as_object_mut().unwrap().remove(key).unwrap();
    }
    record["engine"].as_object_mut().unwrap().remove("kernel").unwrap();
    assert!(accepted(&out, &record, "earlier"));
    KeyPair::create(&home.path().join("ann")).unwrap();
    let proposal = Proposal::new(&out, &Pool::new(Some(1))).unwrap();
    assert!(proposal.statement.text().starts_with("smi-sweep approval 1\n"));
    proposal.sign(&PrivateKey::load(&home.path().join("ann")).unwrap(), "2026-11-02T09:00:00Z").unwrap();
    assert!(approval::list(&out).unwrap()[0].approval.is_ok());
    record["engine"]["threads"] = json!(99);
    assert!(accepted(&out, &record, "threads"));
    assert!(approval::list(&out).unwrap()[0].approval.is_err());
}
