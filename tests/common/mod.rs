//! Shared by all test binaries: temporary directories, running the binary, sweeping, estates, PostgreSQL servers.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod columns;
pub mod estates;
pub mod prepared;
pub mod queries;
pub mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use smi_sweep::estate::time;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::snapshot::Snapshot;
use smi_sweep::sweep::{self, Expected, SweepOptions, Swept, Uniqueness};

/// A test's temporary directory, and what every test does in one.
pub trait Workspace {
    /// The directory.
    fn home(&self) -> &Path;

    /// The path of a name in the directory.
    fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// The same as text, for command lines.
    fn text(&self, name: &str) -> String {
        text_of(&self.path(name))
    }

    /// Writes a file, with the folders above it. Returns its path as text.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file in the directory")).expect("folders");
        fs::write(&path, bytes).expect("a file");
        text_of(&path)
    }

    /// Writes a policy whose guards stop nothing here; `text` is the rest of it. Returns its path as text.
    fn policy(&self, name: &str, text: &str) -> String {
        let guard = "[guard]\nmax_deletes = 100000\nmax_delete_share = 1.0\nmax_quarantined = 100000\n";
        self.write(&format!("{name}.toml"), format!("name = \"{name}\"\nversion = 1\n{text}\n{guard}"))
    }
}

impl Workspace for tempfile::TempDir {
    fn home(&self) -> &Path {
        self.path()
    }
}

/// Gives a changed record the digest of its content, as a careful forger would.
pub fn with_content_digest(record: &mut serde_json::Value) {
    let mut content = record.clone();
    if let Some(fields) = content.as_object_mut().filter(|fields| fields.contains_key("digest")) {
        fields.remove("digest");
        fields.remove("engine");
        record["digest"] = blake3::hash(content.to_string().as_bytes()).to_hex().to_string().into();
    }
}

/// A path as text.
pub fn text_of(path: &Path) -> String {
    path.to_str().expect("a path of UTF-8").to_owned()
}

/// Copies the files of a folder into another, which is made with the folders above it.
pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder of files") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// The folder of fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A moment.
pub fn at(text: &str) -> i64 {
    time::parse(text).expect("a moment")
}

/// A built-in policy whose guards are out of the way.
pub fn unguarded(name: &str) -> Policy {
    let mut policy = Policy::load(name).expect("a built-in policy");
    policy.guard.max_deletes = u64::MAX;
    policy.guard.max_delete_share = 1.0;
    policy.guard.max_quarantined = u64::MAX - 1;
    policy
}

/// Opens a snapshot that is fine.
pub fn open(paths: &[PathBuf], policy: &Policy) -> Snapshot {
    Snapshot::open(paths, &policy.spellings, &Pool::new(Some(1)), &NoProgress).unwrap_or_else(|error| panic!("{error}"))
}

/// Sweeps a snapshot that is fine, by one policy.
pub fn sweep(snapshot: &Snapshot, policy: &Policy, as_of: i64, reader: Reader, threads: usize) -> Swept {
    let pool = Pool::new(Some(threads));
    sweep_by(&Scan::new(snapshot, &pool, &NoProgress).with_reader(reader), policy, as_of)
}

/// Sweeps a snapshot that is fine, by one policy and in this way of scanning.
pub fn sweep_by(scan: &Scan<'_>, policy: &Policy, as_of: i64) -> Swept {
    let policies = std::slice::from_ref(policy);
    let options = SweepOptions {
        policies,
        as_of,
        expected: Expected::default(),
        previous: &[],
        uniqueness: Uniqueness::Unproven,
    };
    let mut swept = sweep::sweep(scan, &options).unwrap_or_else(|error| panic!("{error}"));
    swept.pop().expect("one for each policy")
}

/// The binary, ready for arguments.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_smi-sweep"))
}

/// Runs the binary, and gives exit code, standard output and standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    outcome(&binary().args(arguments).output().expect("the binary runs"))
}

/// Exit code, standard output and standard error.
pub fn outcome(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
