//! The kernel by itself, in the shapes that estates come in.
//!
//! - `classes`: status and type codes of a row group. *unsorted* stands for an estate in no order, where every run is
//!   packed; *clustered* for one sorted by status, where a run is a row group long; *nulls* has one row in twenty without
//!   a status, as Type 2 devices have none.
//! - `sparse`: Device IDs of one row in ninety, as text in snappy pages and as eight bytes: what due rows cost.
//! - `decode_only`: the same pages merely decompressed: the floor under `sparse`.
//! - `cutoff`: judging dates, by date and by instant at a month's end.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smi_sweep::estate::{Column, time};
use smi_sweep::policy::{Boundary, Cutoff, Policy};
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::snapshot::Snapshot;
use smi_sweep::snapshot::encoded::{Buffers, PageCursor};
use smi_sweep::sweep::Reader;
use smi_sweep::sweep::lanes::classes::{self, Classes};
use smi_sweep::sweep::lanes::{Lane, LaneBuffers, sparse};
use smi_sweep::synth::{self, Estate, Layout};

const ROWS: u64 = 500_000;

/// A synthetic estate of one row group in a layout, kept until the process ends.
fn snapshot(layout: Layout) -> (tempfile::TempDir, Snapshot) {
    let folder = tempfile::tempdir().expect("a folder");
    let as_of = time::parse("2026-11-01").expect("a date");
    let estate = Estate { seed: 3, rows: ROWS, as_of, defects: false };
    let pool = Pool::new(Some(1));
    synth::write(&estate, layout, 1, folder.path(), &pool, &NoProgress).expect("an estate");
    let path: PathBuf = folder.path().into();
    let snapshot = Snapshot::open(&[path], &std::collections::BTreeMap::new(), &pool, &NoProgress).expect("a snapshot");
    (folder, snapshot)
}

fn lane(snapshot: &Snapshot, column: Column) -> Lane<'_> {
    let file = &snapshot.files()[0];
    Lane { file, group: 0, bound: file.columns.get(column).expect("a column") }
}

fn kernel(criterion: &mut Criterion) {
    let estates = [Layout::Strings, Layout::Bytes, Layout::Clustered].map(|layout| (layout, snapshot(layout)));
    let policy = Policy::load("secmp0060").expect("a policy");

    let mut group = criterion.benchmark_group("classes");
    group.throughput(Throughput::Elements(ROWS));
    for (layout, (_folder, snapshot)) in &estates {
        let name = if *layout == Layout::Clustered { "clustered" } else { "unsorted" };
        if *layout == Layout::Bytes {
            continue;
        }
        for (column, shape) in [(Column::DeviceType, ""), (Column::SmiStatus, ", nulls")] {
            let lane = lane(snapshot, column);
            let (mut buffers, mut out) = (LaneBuffers::default(), Classes::default());
            group.bench_function(format!("{column} {name}{shape}"), |bencher| {
                bencher.iter(|| {
                    let classify = |value: Option<&[u8]>| match (column, value) {
                        (_, None) => 15,
                        (Column::SmiStatus, Some(value)) => policy.status_code(value),
                        (_, Some(value)) => policy.type_code(value),
                    };
                    let rows = 0..lane.file.group_rows(0);
                    classes::read(lane, rows, Reader::Encoded, &classify, &mut buffers, &mut out).expect("classes");
                    black_box(&out);
                });
            });
        }
    }
    group.finish();

    for (layout, (_folder, snapshot)) in &estates {
        if *layout == Layout::Clustered {
            continue;
        }
        let lane = lane(snapshot, Column::DeviceId);
        let rows = lane.file.group_rows(0);
        let picked: Vec<u32> = (0..rows as u32).step_by(90).collect();
        let mut group = criterion.benchmark_group("Device IDs");
        group.throughput(Throughput::Elements(rows as u64));
        let mut buffers = LaneBuffers::default();
        group.bench_function(format!("sparse, {}", layout.name()), |bencher| {
            bencher.iter(|| {
                let mut sum = 0usize;
                sparse::read(lane, &picked, Reader::Encoded, &mut buffers, |_, value| {
                    sum += value.bytes.map_or(0, <[u8]>::len);
                })
                .expect("identifiers");
                black_box(sum)
            });
        });
        let mut buffers = Buffers::default();
        group.bench_function(format!("decode_only, {}", layout.name()), |bencher| {
            bencher.iter(|| {
                let chunk = lane.file.chunk(0, lane.bound).expect("a chunk").expect("an encoded chunk");
                let mut cursor = PageCursor::new(chunk, &mut buffers);
                let mut row = 0;
                while row < rows {
                    let head = cursor.find(row).expect("a page");
                    row = cursor.open(&head, |_| true).expect("a page").end();
                }
            });
        });
        group.finish();
    }
}

fn rule(criterion: &mut Criterion) {
    let as_of = time::parse("2025-02-28T10:30:00Z").expect("a moment");
    let dates: Vec<i64> = (0..100_000).map(|n| as_of - n * 7 * 3_600_000_000).collect();
    let mut group = criterion.benchmark_group("cutoff");
    group.throughput(Throughput::Elements(dates.len() as u64));
    for boundary in [Boundary::Date, Boundary::Instant] {
        let cutoff = Cutoff::new(as_of, 12, boundary);
        group.bench_function(boundary.name(), |bencher| {
            bencher.iter(|| dates.iter().filter(|&&since| cutoff.is_due(since)).count());
        });
    }
    group.bench_function("made", |bencher| bencher.iter(|| Cutoff::new(black_box(as_of), 12, Boundary::Instant)));
    group.finish();
}

criterion_group!(benches, kernel, rule);
criterion_main!(benches);
