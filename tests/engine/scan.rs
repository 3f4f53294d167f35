//! The results of a scan do not depend on how row groups are cut into ranges, nor on the reader.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::common::estates::{Ids, Layout, Row, text_id, write};
use crate::common::{at, fixtures, open, sweep_by, unguarded};
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::TimeUnit;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{WriterProperties, WriterVersion};
use smi_sweep::check::check;
use smi_sweep::estate::time::DAY_MICROS;
use smi_sweep::estate::{Column, DeviceId};
use smi_sweep::explain::explain;
use smi_sweep::kernel::Kernel;
use smi_sweep::ledger::count::count_candidates;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::{NoProgress, Stage};
use smi_sweep::recluster::fingerprint_of;
use smi_sweep::run::manifest::{self, Manifests};
use smi_sweep::scan::duplicates::duplicates;
use smi_sweep::scan::repeated::repeated;
use smi_sweep::scan::types::{TypeBuffers, scan_types};
use smi_sweep::scan::{Reader, Scan, SkipReason};
use smi_sweep::snapshot::encoded::PageWalk;
use smi_sweep::snapshot::{Io, Snapshot};

const AS_OF: &str = "2026-11-01";

/// Rows of every kind, some of which share a Device ID.
fn rows(count: u64) -> Vec<Row> {
    let pick = |words: &[&str], n: u64| words[(n % words.len() as u64) as usize].to_owned();
    (0..count)
        .map(|n| {
            let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            Row {
                id: (n % 53 != 0).then(|| text_id(0x00DB_1234_0000_0000 | (mixed % 0xFFF))),
                device_type: Some(pick(&["ESME", "GSME", "GPF", "CHF", "PPMID", "SAPC"], mixed >> 3)),
                status: (n % 41 != 0).then(|| pick(&["Pending", "Pending", "Commissioned", "pending"], mixed >> 5)),
                since: (n % 97 != 0).then(|| at(AS_OF) - (mixed as i64 % 1500) * DAY_MICROS),
                party: (n % 31 != 0).then(|| pick(&["P3", "A Party", "P1"], mixed >> 7)),
                role: None,
            }
        })
        .collect()
}

/// One row group of pages of 32 rows.
fn layout(codec: u8, dictionary: bool) -> Layout {
    Layout {
        ids: Ids::Text,
        unit: TimeUnit::Microsecond,
        days: false,
        dictionary,
        v2: dictionary,
        codec,
        group_rows: 10_000,
        page_rows: 32,
        statistics: 2,
        roles: false,
    }
}

/// The results of all consumers of a scan, and the bytes of the manifests.
fn all_results(scan: &Scan<'_>, policy: &Policy, folder: &Path) -> (String, Vec<Vec<u8>>) {
    let swept = sweep_by(scan, policy, at(AS_OF));
    let locate = |row| scan.snapshot.locate(row).map_or(("", row), |(file, row)| (file.name.as_str(), row));
    let manifests = Manifests::new(policy, &swept, locate);
    fs::create_dir(folder).unwrap();
    manifest::write(folder, &manifests, scan.pool).unwrap();
    let names = [manifest::DELETE, manifest::ALERTS, manifest::QUARANTINE];
    let bytes = names.map(|name| fs::read(folder.join(name)).unwrap()).to_vec();
    fs::remove_dir_all(folder).unwrap();

    let duplicates = duplicates(scan).unwrap();
    // The search for some IDs agrees with the search for all.
    let mut due: Vec<DeviceId> = swept.findings.due.iter().map(|due| due.id).chain(duplicates.ids.clone()).collect();
    due.sort_unstable();
    due.dedup();
    assert_eq!(repeated(scan, &due).unwrap(), duplicates.ids);
    let explained = duplicates.ids.first().map(|id| explain(scan, policy, at(AS_OF), *id, true).unwrap());
    let checked = check(scan, policy, Some(at(AS_OF))).unwrap();
    let counted = count_candidates(scan, policy, at(AS_OF)).unwrap();
    let fingerprint = fingerprint_of(scan).unwrap();
    let typed = scan
        .run(Stage::Scan, TypeBuffers::default, |range, buffers| {
            let hubs = policy.types.get("CHF").into_iter().collect();
            let untyped = scan_types(range, policy, hubs, buffers)?;
            Ok((untyped, buffers.devices.clone()))
        })
        .unwrap();
    let untyped: u64 = typed.parts.iter().map(|(untyped, _)| untyped).sum();
    let devices: Vec<_> = typed.parts.into_iter().flat_map(|(_, devices)| devices).collect();
    let findings = &swept.findings;
    let text = format!(
        "{findings:?} {duplicates:?} {explained:?} {checked:?} {counted:?} {fingerprint} {untyped} {devices:?}"
    );
    (text, bytes)
}

#[test]
fn the_size_of_ranges_leaves_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let mut snapshots = vec![fixtures().join("estate")];
    for (codec, dictionary) in [(0, false), (1, true), (2, true), (3, false)] {
        let path = home.path().join(format!("{codec}.parquet"));
        write(&path, &rows(1500), &layout(codec, dictionary));
        snapshots.push(path);
    }
    let policy = unguarded("pre-change");
    for path in snapshots {
        let snapshot = open(std::slice::from_ref(&path), &policy);
        // The same bytes, read instead of mapped.
        let one = Pool::new(Some(1));
        let read =
            Snapshot::open_by(Io::Read, std::slice::from_ref(&path), &policy.spellings, &one, &NoProgress).unwrap();
        let mut first = None;
        // Small ranges of a large estate take too long.
        let small = if snapshot.rows() < 5_000 { 7 } else { 777 };
        let [fastest, .., portable] = &[&Kernel::available()[..], &[Kernel::PORTABLE]].concat()[..] else {
            unreachable!()
        };
        for (reader, kernel, range_rows, threads) in [
            (Reader::Encoded, fastest, None, 1),
            (Reader::Encoded, portable, None, 2),
            (Reader::Encoded, fastest, Some(small), 2),
            (Reader::Encoded, portable, Some(1_000), 3),
            (Reader::Reference, portable, Some(333), 2),
        ] {
            let pool = Pool::new(Some(threads));
            let snapshot = if threads > 1 { &read } else { &snapshot };
            let scan = Scan::new(snapshot, &pool, &NoProgress).with_reader(reader).with_kernel(*kernel);
            let scan = range_rows.map_or(scan, |rows| scan.with_range_rows(rows));
            let results = all_results(&scan, &policy, &home.path().join("run"));
            let first = first.get_or_insert_with(|| results.clone());
            assert!(results.1 == first.1, "manifests of {path:?}, {reader:?}, ranges of {range_rows:?}");
            assert!(results.0 == first.0, "{path:?}, {reader:?}, ranges of {range_rows:?}");
        }
    }
}

/// A dictionary that grew too large is followed by delta pages, which only the reference reader supports. Rows of the pages
/// before them were read twice, so that `check` and `--unique` found every one of their Device IDs duplicated.
#[test]
fn a_chunk_that_changes_its_encoding_gives_each_row_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let count = 4000;
    let ids: StringArray = (0..count).map(|n| Some(text_id(0x00DB_1234_0000_0000 + n))).collect();
    let same = |word: &'static str| Arc::new(StringArray::from_iter_values((0..count).map(|_| word))) as ArrayRef;
    let since = TimestampMicrosecondArray::from_iter_values((0..count).map(|_| at("2020-01-01"))).with_timezone("UTC");
    let batch = RecordBatch::try_from_iter([
        ("device_id", Arc::new(ids) as ArrayRef),
        ("device_type", same("ESME")),
        ("smi_status", same("Pending")),
        ("status_since", Arc::new(since)),
        ("notifying_party", same("P1")),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_page_size_limit(20_000)
        .set_data_page_row_count_limit(200)
        .set_write_batch_size(100)
        .build();
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let policy = unguarded("pre-change");
    let snapshot = open(&[path], &policy);
    let file = &snapshot.files()[0];
    let pages = file.pages(0, file.bound(Column::DeviceId).unwrap()).unwrap();
    let mut walk = PageWalk::new(&pages);
    let mut encodings = Vec::new();
    while let Some((header, _)) = walk.next_page().unwrap() {
        encodings.push(header.encoding);
    }
    encodings.dedup();
    assert!(encodings.len() >= 3, "no page falls back: {encodings:?}");
    let pool = Pool::new(Some(1));
    for scan in
        [Scan::new(&snapshot, &pool, &NoProgress), Scan::new(&snapshot, &pool, &NoProgress).with_range_rows(300)]
    {
        assert_eq!(duplicates(&scan).unwrap().rows, 0);
        assert!(check(&scan, &policy, Some(at(AS_OF))).unwrap().findings.is_empty());
        assert_eq!(fingerprint_of(&scan).unwrap().rows, count);
        let id = text_id(0x00DB_1234_0000_0000).parse().unwrap();
        assert_eq!(explain(&scan, &policy, at(AS_OF), id, true).unwrap().len(), 1);
        assert_eq!(sweep_by(&scan, &policy, at(AS_OF)).findings.due.len() as u64, count);
    }
}

/// 40 row groups of 100 rows each: 30 of one status that is no candidate, 10 of candidates whose dates ascend.
fn sorted_by_status(path: &Path) {
    let row = |n: u64| Row {
        id: Some(text_id(0x00DB_1234_0000_0000 + n)),
        device_type: Some("ESME".into()),
        status: Some(if n < 3000 { "Commissioned" } else { "Pending" }.into()),
        since: Some(at(AS_OF) - (4000 - n as i64) * DAY_MICROS),
        party: Some("P1".into()),
        role: None,
    };
    write(path, &(0..4000).map(row).collect::<Vec<_>>(), &Layout { group_rows: 100, ..layout(0, true) });
}

#[test]
fn what_is_skipped_is_counted_with_its_reason() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    sorted_by_status(&path);
    let policy = unguarded("pre-change");
    let snapshot = open(&[path], &policy);
    let pool = Pool::new(Some(1));
    let scan = Scan::new(&snapshot, &pool, &NoProgress);
    let whole = sweep_by(&scan, &policy, at(AS_OF)).metrics;
    let cut = sweep_by(&scan.with_range_rows(30), &policy, at(AS_OF)).metrics;
    for metrics in [whole, cut] {
        assert_eq!(metrics.rows, 4000);
        assert!(metrics.bytes_read > 0);
        let by_status = metrics.skipped(SkipReason::StatusStatistics);
        assert!((by_status.row_groups, by_status.rows) == (30, 3000) && by_status.bytes > 0, "{by_status:?}");
        assert_eq!(by_status, whole.skipped(SkipReason::StatusStatistics));
        // 365 days before the as-of time: 4 of the 10 row groups have no date that is due, and pages of one do.
        let by_date = metrics.skipped(SkipReason::DateStatistics);
        assert!((by_date.row_groups, by_date.rows) == (3, 300) && by_date.bytes > 0, "{by_date:?}");
        let by_page = metrics.skipped(SkipReason::DatePageIndex);
        assert!(by_page.pages > 0 && by_page.rows > 0 && by_page.bytes > 0, "{by_page:?}");
    }
}
