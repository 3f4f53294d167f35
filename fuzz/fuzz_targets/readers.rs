//! Both readers on hostile files: neither may stop the process, and where both read a file they must say the same.
//!
//! `scripts/fuzz` starts from small files of many writers.

#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::snapshot::Snapshot;
use smi_sweep::scan::columns::reference::expecting_panic;
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::sweep::{Expected, SweepOptions, Swept, Uniqueness, sweep};
use smi_sweep::progress::NoProgress;

static HOOK: Once = Once::new();

/// Panics that the library catches, and reports as damage, are no findings.
fn only_uncaught_panics_count() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !expecting_panic() {
            usual(panic);
        }
    }));
}

fuzz_target!(|bytes: &[u8]| {
    HOOK.call_once(only_uncaught_panics_count);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    std::fs::write(&path, bytes).expect("a file");
    let mut policy = Policy::load("pre-change").expect("a built-in policy");
    policy.guard.max_delete_share = 1.0;
    let pool = Pool::new(Some(1));
    let Ok(snapshot) = Snapshot::open(&[path], &policy.spellings, &pool, &NoProgress) else { return };
    let swept = |reader| -> Option<Swept> {
        let policies = std::slice::from_ref(&policy);
        let as_of = 1_793_491_200_000_000; // 2026-11-01
        let options = SweepOptions { policies, as_of, expected: Expected::default(), previous: &[], uniqueness: Uniqueness::Unproven };
        sweep(&Scan::new(&snapshot, &pool, &NoProgress).with_reader(reader), &options).ok()?.pop()
    };
    if let (Some(encoded), Some(reference)) = (swept(Reader::Encoded), swept(Reader::Reference)) {
        // One reader skips pages by their statistics and the other does not: what is to be deleted must be the same.
        assert_eq!(encoded.findings.due, reference.findings.due);
        assert_eq!(encoded.findings.by_type.total().rows(), reference.findings.by_type.total().rows());
    }
});
