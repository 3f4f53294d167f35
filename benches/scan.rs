//! Benchmarks of a scan of whole row groups, from pages to due rows, for typical layouts.
//!
//! - *strings*: text ids, snappy, in no order: every page has a due row, and nearly all time goes into decompression.
//! - *bytes*: 8-byte ids, zstd, in no order.
//! - *clustered*: sorted by status, type and date: statistics decide most row groups.
//! - *nothing due*: *strings* with a threshold that no row reaches: no identifier is read.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smi_sweep::estate::time;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::Scan;
use smi_sweep::snapshot::Snapshot;
use smi_sweep::sweep::{Expected, SweepOptions, Uniqueness, sweep};
use smi_sweep::synth::{self, Estate, EstateFiles, Layout};

const ROWS: u64 = 1_000_000;

fn scans(criterion: &mut Criterion) {
    let as_of = time::parse("2026-11-01").expect("a date");
    let estate = Estate { seed: 5, rows: ROWS, as_of, defects: false };
    let pool = Pool::new(Some(1));
    let change = Policy::load("secmp0060").expect("a policy");
    let mut patient = change.clone();
    patient.thresholds.default = 1200;
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(ROWS));
    group.sample_size(20);
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        synth::write(&estate, EstateFiles { layout, count: 1 }, folder.path(), &pool, &NoProgress).expect("an estate");
        let paths = [folder.path().to_path_buf()];
        let snapshot = Snapshot::open(&paths, &change.spellings, &pool, &NoProgress).expect("a snapshot");
        let mut measure = |name: &str, policy: &Policy| {
            let policies = std::slice::from_ref(policy);
            let expected = Expected::default();
            let options = SweepOptions { policies, as_of, expected, previous: &[], uniqueness: Uniqueness::Unproven };
            group.bench_function(name, |bencher| {
                bencher
                    .iter(|| black_box(sweep(&Scan::new(&snapshot, &pool, &NoProgress), &options).expect("findings")));
            });
        };
        measure(layout.name(), &change);
        if layout == Layout::Strings {
            measure("nothing due", &patient);
        }
    }
    group.finish();
}

criterion_group!(benches, scans);
criterion_main!(benches);
