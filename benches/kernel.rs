//! Benchmarks of the page readers and of judging dates, for typical layouts.
//!
//! - `codes`: status and type codes of a row group. *unsorted* has rows in random order, so that every run is
//!   packed; *clustered* is sorted by status, so that a run is as long as a row group; in *nulls* one row in twenty has no
//!   status, like Type 2 devices.
//! - `values`: Device IDs of one row in ninety, as text in snappy pages and as eight bytes.
//! - `decode_only`: only decompresses the same pages: the lower bound of `values`.
//! - `cutoff`: judging dates, by date and by instant at a month's end.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smi_sweep::estate::{Column, Spellings, time};
use smi_sweep::policy::{Boundary, Cutoff, Policy};
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::columns::codes::Codes;
use smi_sweep::scan::columns::{ColumnBuffers, ColumnChunk, ColumnReader};
use smi_sweep::snapshot::Snapshot;
use smi_sweep::snapshot::encoded::{Buffers, Dictionary, PageCursor, PageStart};
use smi_sweep::synth::{self, Estate, EstateFiles, Layout};

const ROWS: u64 = 500_000;

/// A synthetic estate of one row group in a layout, kept until the process ends.
fn snapshot(layout: Layout) -> (tempfile::TempDir, Snapshot) {
    let folder = tempfile::tempdir().expect("a folder");
    let as_of = time::parse("2026-11-01").expect("a date");
    let estate = Estate { seed: 3, rows: ROWS, as_of, defects: false };
    let pool = Pool::new(Some(1));
    synth::write(&estate, EstateFiles { layout, count: 1 }, folder.path(), &pool, &NoProgress).expect("an estate");
    let path: PathBuf = folder.path().into();
    let snapshot = Snapshot::open(&[path], &Spellings::default(), &pool, &NoProgress).expect("a snapshot");
    (folder, snapshot)
}

fn chunk(snapshot: &Snapshot, column: Column) -> ColumnChunk<'_> {
    let file = &snapshot.files()[0];
    ColumnChunk { file, group: 0, bound: file.columns.in_file(column).expect("a column") }
}

fn kernel(criterion: &mut Criterion) {
    let estates = [Layout::Strings, Layout::Bytes, Layout::Clustered].map(|layout| (layout, snapshot(layout)));
    let policy = Policy::load("secmp0060").expect("a policy");

    let mut group = criterion.benchmark_group("codes");
    group.throughput(Throughput::Elements(ROWS));
    for (layout, (_folder, snapshot)) in &estates {
        let name = if *layout == Layout::Clustered { "clustered" } else { "unsorted" };
        if *layout == Layout::Bytes {
            continue;
        }
        for (column, shape) in [(Column::DeviceType, ""), (Column::SmiStatus, ", nulls")] {
            let chunk = chunk(snapshot, column);
            let (mut buffers, mut out) = (ColumnBuffers::default(), Codes::default());
            group.bench_function(format!("{column} {name}{shape}"), |bencher| {
                bencher.iter(|| {
                    let classify = |value: Option<&[u8]>| match (column, value) {
                        (_, None) => 15,
                        (Column::SmiStatus, Some(value)) => policy.status_code(value),
                        (_, Some(value)) => policy.type_code(value),
                    };
                    let rows = 0..chunk.file.group_rows(0);
                    ColumnReader::new(chunk, column, &mut buffers)
                        .expect("pages")
                        .codes(rows, &classify, &mut out)
                        .expect("codes");
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
        let chunk = chunk(snapshot, Column::DeviceId);
        let rows = chunk.file.group_rows(0);
        let picked: Vec<u32> = (0..rows as u32).step_by(90).collect();
        let mut group = criterion.benchmark_group("Device IDs");
        group.throughput(Throughput::Elements(rows as u64));
        let mut buffers = ColumnBuffers::default();
        group.bench_function(format!("values, {}", layout.name()), |bencher| {
            bencher.iter(|| {
                let mut sum = 0usize;
                ColumnReader::new(chunk, Column::DeviceId, &mut buffers)
                    .expect("pages")
                    .values(&picked, |_, value| sum += value.bytes.map_or(0, <[u8]>::len))
                    .expect("identifiers");
                black_box(sum)
            });
        });
        let (mut buffers, mut dictionary) = (Buffers::default(), Dictionary::default());
        group.bench_function(format!("decode_only, {}", layout.name()), |bencher| {
            bencher.iter(|| {
                let pages = chunk.file.pages(0, chunk.bound).expect("pages");
                let encoded = chunk.file.chunk(0, chunk.bound, &pages).expect("a chunk");
                let mut cursor = PageCursor::new(encoded, PageStart::default(), &mut buffers, &mut dictionary);
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
