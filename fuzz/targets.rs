//! What is fuzzed: each target is a function that takes any bytes, and must neither panic nor hang.
//!
//! `fuzz/fuzz_targets` gives them to cargo-fuzz; `tests/engine/fuzz.rs` runs each with a bounded number of mutations of a small
//! corpus, on a stable toolchain.

use std::fs;
use std::path::{Path, PathBuf};

use smi_sweep::approval::RequiredApprovals;
use smi_sweep::check::{CheckRequest, check_and_seal};
use smi_sweep::estate::TypeNames;
use smi_sweep::forecast::Scenario;
use smi_sweep::ledger::Ledger;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::regress::Case;
use smi_sweep::run::verify::verify;
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::smi::Config;
use smi_sweep::snapshot::{AsOf, Snapshot};
use smi_sweep::stock::{Book, StockRules, Tariff};
use smi_sweep::sweep::{Expected, SweepOptions, Swept, Uniqueness, sweep};

/// A target: its name, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("file", file),
    ("readers", readers),
    ("run", run),
    ("ledger", ledger),
    ("policy", policy),
    ("documents", documents),
    ("case", case),
    ("csv", csv),
    ("config", config),
];

/// 2026-11-01, UTC microseconds.
const AS_OF: i64 = 1_793_491_200_000_000;

fn in_a_file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a file");
    (folder, path)
}

fn fixtures() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package of the fuzzer is a folder of the project's.
    let root = if root.ends_with("fuzz") { root.join("..") } else { root.to_path_buf() };
    root.join("fixtures")
}

/// A copy of a folder's files with one of them replaced: the first byte says which.
fn with_one_replaced(from: &Path, names: &[&str], bytes: &[u8]) -> Option<tempfile::TempDir> {
    let (which, content) = bytes.split_first()?;
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        fs::copy(from.join(name), folder.path().join(name)).expect("a copy");
    }
    fs::write(folder.path().join(names[usize::from(*which) % names.len()]), content).expect("a file");
    Some(folder)
}

fn unguarded() -> Policy {
    let mut policy = Policy::load("pre-change").expect("a built-in policy");
    policy.guard.max_delete_share = 1.0;
    policy
}

/// A Parquet file, read by `check`: every value of every column of the contract.
pub fn file(bytes: &[u8]) {
    let (_folder, path) = in_a_file("a.parquet", bytes);
    let policy = unguarded();
    let request =
        CheckRequest { snapshot: &[path], policy: &policy, as_of: AsOf::from_arguments(Some(AS_OF), true), seal: None };
    let _ = check_and_seal(&request, &Pool::new(Some(1)), &NoProgress);
}

/// A Parquet file, swept by both readers: where both read it, they say the same.
pub fn readers(bytes: &[u8]) {
    let (_folder, path) = in_a_file("a.parquet", bytes);
    let policy = unguarded();
    let pool = Pool::new(Some(1));
    let Ok(snapshot) = Snapshot::open(&[path], &policy.spellings, &pool, &NoProgress) else { return };
    let swept = |reader| -> Option<Swept> {
        let policies = std::slice::from_ref(&policy);
        let options = SweepOptions {
            policies,
            as_of: AS_OF,
            expected: Expected::default(),
            previous: &[],
            uniqueness: Uniqueness::Unproven,
        };
        sweep(&Scan::new(&snapshot, &pool, &NoProgress).with_reader(reader), &options).ok()?.pop()
    };
    if let (Some(encoded), Some(reference)) = (swept(Reader::Encoded), swept(Reader::Reference)) {
        // One reader skips pages by their statistics and the other does not: what is to be deleted must be the same.
        assert_eq!(encoded.findings.due, reference.findings.due);
        assert_eq!(encoded.findings.by_type.total().rows(), reference.findings.by_type.total().rows());
    }
}

/// A run directory with one file replaced.
pub fn run(bytes: &[u8]) {
    let names = ["run.json", "delete.parquet", "alerts.parquet", "quarantine.parquet"];
    let Some(folder) = with_one_replaced(&fixtures().join("faults/hostile/panic-run"), &names, bytes) else { return };
    let _ = verify(folder.path(), &Pool::new(Some(1)));
}

/// A ledger.
pub fn ledger(bytes: &[u8]) {
    let (_folder, path) = in_a_file("ledger", bytes);
    let _ = Ledger::read(&path);
}

/// A policy; one that is read has a JSON form that is read as the same policy.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse(text, "fuzzed") else { return };
    let again = Policy::from_json(&policy.to_json(), "fuzzed").expect("what was written is read");
    assert_eq!(again.digest(), policy.digest());
    let _ = policy.bind(AS_OF);
}

/// Scenarios, tariffs, rules of a stock count, required approvals.
pub fn documents(bytes: &[u8]) {
    let (_folder, path) = in_a_file("approvals.toml", bytes);
    let _ = RequiredApprovals::load(&path);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Scenario::parse(text, "fuzzed", &TypeNames::default());
    let _ = Tariff::parse(text, "fuzzed");
    let _ = StockRules::parse(text, "fuzzed");
}

/// A regression case with one file replaced.
pub fn case(bytes: &[u8]) {
    let names = ["case.toml", "snapshot.csv", "expected.csv"];
    let Some(folder) = with_one_replaced(&fixtures().join("cases/alerts-by-role"), &names, bytes) else { return };
    let _ = Case::read(folder.path(), false);
}

/// An order book.
pub fn csv(bytes: &[u8]) {
    let (_folder, path) = in_a_file("orders.csv", bytes);
    let _ = Book::read(&[path], &Pool::new(Some(1)), &NoProgress);
}

/// The configuration of a load.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Config::parse(text, "fuzzed");
}
