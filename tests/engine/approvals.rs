//! Approvals: two people approve exactly this run. A changed run, an unknown key, or the same key twice does not count.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::{Workspace, fixtures, run, with_content_digest};
use serde_json::Value;
use smi_sweep::Error;
use smi_sweep::approval::{self, KeyPair, PrivateKey, Proposal, RequiredApprovals};
use smi_sweep::pool::Pool;
use tempfile::TempDir;

const AT: &str = "2026-11-02T09:00:00Z";

/// A temporary directory with a run of the fixture estate, and keys by the names of their holders.
struct ApprovedRun {
    home: TempDir,
}

impl Workspace for ApprovedRun {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl ApprovedRun {
    fn new() -> Self {
        let scratch = Self { home: tempfile::tempdir().unwrap() };
        scratch.sweep("run", "2026-11-01");
        scratch
    }

    fn sweep(&self, name: &str, as_of: &str) {
        let (estate, out) = (fixtures().join("estate"), self.text(name));
        let arguments = ["sweep", estate.to_str().unwrap(), "--policy", "secmp0060", "--as-of", as_of, "--out", &out];
        let (code, _, err) = run(&[&arguments[..], &["--as-of-later"]].concat());
        assert_eq!(code, 0, "{err}");
    }

    /// The key of a person, made on first use.
    fn key(&self, name: &str) -> PrivateKey {
        if !self.path(name).exists() {
            KeyPair::create(&self.path(name)).unwrap();
        }
        PrivateKey::load(&self.path(name)).unwrap()
    }

    fn approve(&self, run: &str, name: &str) -> PathBuf {
        let signed = Proposal::new(&self.path(run), &Pool::new(Some(1))).unwrap().sign(&self.key(name), AT).unwrap();
        signed.path
    }

    fn required(&self, needed: usize, names: &[&str]) -> RequiredApprovals {
        let keys = names.iter().map(|name| format!("{name} = \"{}\"\n", self.key(name).public()));
        toml::from_str(&format!("needed = {needed}\n[keys]\n{}", keys.collect::<String>())).unwrap()
    }

    /// The holders of the keys whose approval counts; the error message where they are too few.
    fn check(&self, run: &str, required: &RequiredApprovals) -> Result<Vec<String>, String> {
        match approval::check(&self.path(run), required) {
            Ok(approvals) => Ok(approvals.into_iter().map(|approval| approval.name.unwrap()).collect()),
            Err(error) => {
                assert_eq!(error.exit_code() as u8, 6, "{error}");
                Err(error.to_string())
            }
        }
    }

    /// The number of valid approvals, and of void ones.
    fn valid_and_void(&self, run: &str) -> (usize, usize) {
        let found = approval::list(&self.path(run)).unwrap();
        let standing = found.iter().filter(|found| found.approval.is_ok()).count();
        (standing, found.len() - standing)
    }
}

#[test]
fn enough_listed_keys_must_approve() {
    let scratch = ApprovedRun::new();
    let required = scratch.required(2, &["ann", "ben", "cat"]);
    assert!(scratch.check("run", &required).unwrap_err().contains("0 of the 2"));
    scratch.approve("run", "ann");
    // A key that may not approve, and one that has approved already.
    scratch.approve("run", "dora");
    scratch.approve("run", "ann");
    let why = scratch.check("run", &required).unwrap_err();
    assert!(why.contains("1 of the 2") && why.contains("(by ann)"), "{why}");
    assert!(why.contains(&format!("{} is not a key that may approve", scratch.key("dora").public())), "{why}");
    scratch.approve("run", "cat");
    assert_eq!(scratch.check("run", &required).unwrap(), ["ann", "cat"]);
    assert_eq!(scratch.valid_and_void("run"), (3, 0));
}

#[test]
fn a_key_counts_once_under_any_name() {
    let scratch = ApprovedRun::new();
    let file = scratch.approve("run", "ann");
    fs::copy(&file, file.with_file_name("another.txt")).unwrap();
    assert_eq!(scratch.valid_and_void("run"), (2, 0));
    assert!(scratch.check("run", &scratch.required(2, &["ann", "ben"])).unwrap_err().contains("1 of the 2"));
    // An approval of the same key at another time, in a file with another name.
    let later = Proposal::new(&scratch.path("run"), &Pool::new(Some(1))).unwrap();
    fs::rename(&file, scratch.path("aside")).unwrap();
    fs::remove_file(file.with_file_name("another.txt")).unwrap();
    later.sign(&scratch.key("ann"), "2026-11-03T09:00:00Z").unwrap();
    fs::rename(scratch.path("aside"), file.with_file_name("earlier.txt")).unwrap();
    assert_eq!(scratch.valid_and_void("run"), (2, 0));
    assert!(scratch.check("run", &scratch.required(2, &["ann", "ben"])).unwrap_err().contains("1 of the 2"));
}

/// A changed byte at any place of an approval makes it void.
#[test]
fn every_byte_of_an_approval_matters() {
    let scratch = ApprovedRun::new();
    let file = scratch.approve("run", "ann");
    let whole = fs::read(&file).unwrap();
    for place in 0..whole.len() {
        for flip in [0x01, 0x20] {
            let mut bytes = whole.clone();
            bytes[place] ^= flip;
            fs::write(&file, &bytes).unwrap();
            assert_eq!(scratch.valid_and_void("run"), (0, 1), "byte {place}, flipped by {flip}");
        }
    }
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        fs::write(&file, &whole[..length]).unwrap();
        assert_eq!(scratch.valid_and_void("run"), (0, 1), "cut off at {length}");
    }
    for more in ["\n", "key x\n", "\0"] {
        fs::write(&file, [&whole, more.as_bytes()].concat()).unwrap();
        assert_eq!(scratch.valid_and_void("run"), (0, 1), "followed by {more:?}");
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(scratch.valid_and_void("run"), (1, 0));
}

/// A changed byte at any place of a run makes its approvals void.
#[test]
fn every_byte_of_a_run_matters() {
    let scratch = ApprovedRun::new();
    scratch.approve("run", "ann");
    let required = scratch.required(1, &["ann"]);
    assert_eq!(scratch.check("run", &required).unwrap(), ["ann"]);
    for name in ["delete.parquet", "alerts.parquet", "quarantine.parquet", "run.json"] {
        let path = scratch.path("run").join(name);
        let whole = fs::read(&path).unwrap();
        // How the run went, at the end of the record, is not signed.
        let engine = b"\"engine\"";
        let signed = whole.windows(engine.len()).position(|bytes| bytes == engine).unwrap_or(whole.len());
        for place in (0..signed).step_by(whole.len() / 40).chain([signed - 1]) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x01;
            fs::write(&path, &bytes).unwrap();
            scratch.check("run", &required).unwrap_err();
            let (code, _, _) = run(&["approve", &scratch.text("run"), "--list"]);
            if name != "run.json" {
                assert_eq!(code, 6, "byte {place} of {name}");
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    // How the run went is not signed; all else is, also where the record has a new digest of its content.
    let record = scratch.path("run/run.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen("\"threads\": ", "\"threads\": 1", 1)).unwrap();
    assert_eq!(scratch.check("run", &required).unwrap(), ["ann"]);
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["snapshot"]["bytes"] = 1.into();
    with_content_digest(&mut document);
    fs::write(&record, document.to_string()).unwrap();
    let why = scratch.check("run", &required).unwrap_err();
    assert!(why.contains("is void: it says `record "), "{why}");
    fs::write(&record, text).unwrap();
    assert_eq!(scratch.check("run", &required).unwrap(), ["ann"]);
}

#[test]
fn an_approval_is_valid_for_one_run_and_its_copies() {
    let scratch = ApprovedRun::new();
    scratch.sweep("later", "2026-11-02");
    let file = scratch.approve("run", "ann");
    let required = scratch.required(1, &["ann"]);
    // It is void in another run.
    fs::create_dir(scratch.path("later/approvals")).unwrap();
    fs::copy(&file, scratch.path("later/approvals").join(file.file_name().unwrap())).unwrap();
    let why = scratch.check("later", &required).unwrap_err();
    assert!(why.contains("is void: it says `run "), "{why}");
    let (code, _, err) = run(&["verify", &scratch.text("later")]);
    assert_eq!(code, 6, "{err}");
    // Signing again replaces it.
    scratch.approve("later", "ann");
    assert_eq!(scratch.check("later", &required).unwrap(), ["ann"]);
    // A run that is moved takes its approvals along.
    fs::rename(scratch.path("run"), scratch.path("moved")).unwrap();
    assert_eq!(scratch.check("moved", &required).unwrap(), ["ann"]);
    let (code, out, err) = run(&["verify", &scratch.text("moved"), "--json"]);
    assert_eq!(code, 0, "{err}");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["runs"][0]["approvals"][0]["key"], scratch.key("ann").public().to_string());
}

#[test]
fn a_run_that_differs_from_its_record_is_not_signed() {
    let scratch = ApprovedRun::new();
    scratch.key("ann");
    let path = scratch.path("run/delete.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let (code, out, err) = run(&["approve", &scratch.text("run"), "--key", &scratch.text("ann")]);
    assert_eq!((code, out.as_str()), (6, ""), "{err}");
    assert!(err.contains("delete.parquet: has digest"), "{err}");
    assert!(!scratch.path("run/approvals").exists());
}

#[test]
fn the_approver_is_shown_what_is_signed() {
    let scratch = ApprovedRun::new();
    scratch.key("ann");
    let (run_directory, key) = (scratch.text("run"), scratch.text("ann"));
    let record: Value = serde_json::from_slice(&fs::read(scratch.path("run/run.json")).unwrap()).unwrap();
    let deletes = record["tally"]["delete"].as_u64().unwrap();

    let wrong = (deletes + 1).to_string();
    let (code, out, err) = run(&["approve", &run_directory, "--key", &key, "--expect-deletes", &wrong]);
    assert_eq!((code, out.as_str()), (6, ""), "{err}");
    assert!(err.contains("nothing was signed") && !scratch.path("run/approvals").exists(), "{err}");

    // Without a terminal there is no question, and the number must be among the arguments.
    let (code, out, err) = run(&["approve", &run_directory, "--key", &key]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("needs --expect-deletes") && err.contains("nothing was signed"), "{err}");
    assert!(!scratch.path("run/approvals").exists());

    let right = deletes.to_string();
    let (code, out, err) = run(&["approve", &run_directory, "--key", &key, "--expect-deletes", &right]);
    assert_eq!(code, 0, "{err}");
    assert!(Path::new(out.trim()).exists());
    for shown in ["ESME", "with alert", "others", &format!("delete              {deletes}\n"), "delete.parquet      "] {
        assert!(err.contains(shown), "`{shown}` is not in: {err}");
    }
    let signed = fs::read_to_string(out.trim()).unwrap();
    let shown = &err[err.find("smi-sweep approval 2").unwrap()..];
    assert!(signed.starts_with(shown), "{signed}\n{shown}");

    // A second time: a remark, and no new file.
    let (code, again, err) = run(&["approve", &run_directory, "--key", &key, "--expect-deletes", &right, "--json"]);
    assert_eq!(code, 0, "{err}");
    let document: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(document["already"], true);
    assert_eq!(fs::read_to_string(out.trim()).unwrap(), signed);

    let (code, out, _) = run(&["verify", &run_directory]);
    assert_eq!(code, 0);
    assert!(out.contains(&format!("by {}", scratch.key("ann").public())), "{out}");
}

#[test]
fn the_list_names_approvers_and_whether_they_are_enough() {
    let scratch = ApprovedRun::new();
    let run_directory = scratch.text("run");
    let (ann, ben) = (scratch.key("ann").public(), scratch.key("ben").public());
    let config = scratch.path("load.toml");
    let table = format!("needed = 2\n[approvals.keys]\n\"Ann A\" = \"{ann}\"\nben = \"{ben}\"\n");
    fs::write(&config, format!("url = \"of no concern\"\n[approvals]\n{table}")).unwrap();
    let list = || run(&["approve", &run_directory, "--list", "--config", config.to_str().unwrap(), "--json"]);
    let document = |out: &str| serde_json::from_str::<Value>(out).unwrap();

    scratch.approve("run", "ann");
    let (code, out, err) = list();
    assert_eq!(code, 6, "{err}");
    assert_eq!(document(&out)["approved"], false);
    assert_eq!(document(&out)["approvals"][0]["name"], "Ann A");
    scratch.approve("run", "ben");
    let (code, out, err) = list();
    assert_eq!(code, 0, "{err}");
    assert_eq!(document(&out)["approved"], true);
    let (code, out, _) = run(&["approve", &run_directory, "--list"]);
    assert_eq!((code, out.lines().count()), (0, 2));
}

#[test]
fn a_key_pair_is_whole_private_and_never_replaced() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ann");
    let text = path.to_str().unwrap();
    let (code, out, err) = run(&["keygen", "--out", text]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("ed25519:") && out.len() == "ed25519:".len() + 64 + 1, "{out}");
    assert_eq!(fs::read_to_string(home.path().join("ann.pub")).unwrap(), out);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(PrivateKey::load(&path).unwrap().public().to_string(), out.trim());
    // Neither part is ever replaced, and no half of a pair is left.
    let before = fs::read(&path).unwrap();
    let (code, _, err) = run(&["keygen", "--out", text]);
    assert_ne!(code, 0);
    assert!(err.contains("exists") && err.contains("help:"), "{err}");
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_file(&path).unwrap();
    assert_ne!(run(&["keygen", "--out", text]).0, 0);
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ann.pub"]);
    // Each pair has another key.
    let (_, other, _) = run(&["keygen", "--out", home.path().join("ben").to_str().unwrap()]);
    assert_ne!(out, other);
}

#[test]
fn a_private_key_must_be_private_and_a_key() {
    let scratch = ApprovedRun::new();
    scratch.key("ann");
    let path = scratch.path("ann");
    let refused = |says: &str| {
        let (code, _, err) = run(&["approve", &scratch.text("run"), "--key", path.to_str().unwrap()]);
        assert_eq!(code, 6, "{err}");
        assert!(err.contains(says) && err.contains("help:"), "{err}");
        assert!(!scratch.path("run/approvals").exists());
    };
    for mode in [0o640, 0o604, 0o620, 0o601, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        refused(&format!("{mode:04o}"));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    PrivateKey::load(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let public = fs::read(scratch.path("ann.pub")).unwrap();
    for bytes in [&b""[..], &public, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &[0xFF; 40]] {
        fs::write(&path, bytes).unwrap();
        refused("private key");
    }
    assert_eq!(run(&["approve", &scratch.text("run"), "--key", &scratch.text("nobody")]).0, 1);
    assert_eq!(run(&["approve", &scratch.text("run")]).0, 2);
}

#[test]
fn a_table_of_approvers_that_makes_no_sense_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let key = |name: &str| KeyPair::create(&home.path().join(name)).unwrap().public.to_string();
    let (ann, ben) = (key("ann"), key("ben"));
    let weak = format!("ed25519:01{}", "00".repeat(31));
    let path = home.path().join("load.toml");
    for (text, says) in [
        (String::new(), "approvals"),
        (format!("[approvals]\nneeded = 0\n[approvals.keys]\na = \"{ann}\"\n"), "at least 1"),
        (format!("[approvals]\nneeded = 2\n[approvals.keys]\na = \"{ann}\"\n"), "there are 1 keys"),
        (format!("[approvals]\nneeded = 2\n[approvals.keys]\na = \"{ann}\"\nb = \"{ann}\"\n"), "one key is one person"),
        (format!("[approvals]\nneeded = 1\n[approvals.keys]\na = \"{weak}\"\n"), ".toml:4:"),
        (format!("[approvals]\nneeded = 1\n[approvals.keys]\na = \"{}\"\n", ben.to_uppercase()), "not a public key"),
        (format!("[approvals]\nneeded = 1\nneded = 2\n[approvals.keys]\na = \"{ann}\"\n"), "neded"),
        ("[approvals\n".into(), ".toml:1:"),
    ] {
        fs::write(&path, &text).unwrap();
        let error = RequiredApprovals::load(&path).unwrap_err();
        assert!(matches!(error, Error::Document { .. }), "{error}");
        assert!(error.to_string().contains(says), "`{says}` is not in: {error}");
    }
}
