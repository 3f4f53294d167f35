//! Properties that hold for every snapshot, layout of its files and number of threads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::common::estates::{Layout, MOMENTS, Row, ends, held, layouts, policies, rows, write};
use crate::common::{at, open, sweep, sweep_by, unguarded};
use proptest::prelude::*;
use smi_sweep::estate::DeviceType;
use smi_sweep::kernel::Kernel;
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::{Reader, Scan};
use smi_sweep::snapshot::Snapshot;
use smi_sweep::sweep::{Expected, Findings, SweepOptions, Swept, Uniqueness};

/// Files of a snapshot, each in a layout of its own.
fn estates_of(as_of: i64) -> impl Strategy<Value = Vec<(Vec<Row>, Layout)>> {
    // All files of a snapshot have a role column, or none has.
    (prop::collection::vec((rows(as_of), layouts()), 1..4), any::<bool>()).prop_map(|(files, roles)| {
        let layout = |layout: Layout| Layout { roles, ..layout };
        let file = |(rows, own): (Vec<Row>, Layout)| {
            let own = layout(own);
            (rows.iter().map(|row| held(row, &own)).collect(), own)
        };
        files.into_iter().map(file).collect()
    })
}

fn written(files: &[(Vec<Row>, Layout)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let paths = files
        .iter()
        .enumerate()
        .map(|(index, (rows, layout))| {
            let path = folder.path().join(format!("part-{index}.parquet"));
            write(&path, rows, layout);
            path
        })
        .collect();
    (folder, paths)
}

/// The result for each row that the engine lists.
fn listed(swept: &Swept) -> BTreeMap<u64, String> {
    let mut all = BTreeMap::new();
    for due in swept.findings.due.iter() {
        all.insert(due.row, if due.alert { "alert" } else { "silent" }.to_owned());
    }
    for row in &swept.findings.quarantined {
        assert!(all.insert(row.row, row.reason.name().to_owned()).is_none(), "row {} meets two ends", row.row);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Every row has the disposition that the rule, applied row by row, gives it; for any reader, number of threads and size
    /// of ranges.
    #[test]
    fn the_engine_says_what_the_rule_says(
        (moment, files) in prop::sample::select(&MOMENTS[..]).prop_flat_map(|m| (Just(m), estates_of(at(m)))),
        policy in policies(),
    ) {
        let as_of = at(moment);
        let (_folder, paths) = written(&files);
        let rows: Vec<Row> = files.iter().flat_map(|(rows, _)| rows.clone()).collect();
        let expected = ends(&rows, &policy, as_of);
        let snapshot = open(&paths, &policy);
        let mut first: Option<Findings> = None;
        let ways = [
            (Reader::Encoded, 1, None),
            (Reader::Encoded, 2, None),
            (Reader::Encoded, 8, None),
            (Reader::Encoded, 2, Some(7)),
            (Reader::Encoded, 1, Some(1 + rows.len() as u32 / 3)),
            (Reader::Reference, 2, None),
            (Reader::Reference, 2, Some(7)),
        ];
        for (reader, threads, range_rows) in ways {
            let pool = Pool::new(Some(threads));
            let scan = Scan::new(&snapshot, &pool, &NoProgress).with_reader(reader);
            let scan = range_rows.map_or(scan, |rows| scan.with_range_rows(rows));
            let kernels = if reader == Reader::Encoded { Kernel::available() } else { vec![Kernel::PORTABLE] };
            let swept: Vec<Swept> =
                kernels.iter().map(|&kernel| sweep_by(&scan.with_kernel(kernel), &policy, as_of)).collect();
            for (kernel, other) in kernels.iter().zip(&swept) {
                prop_assert_eq!(&swept[0].findings, &other.findings, "{}", kernel);
            }
            let [swept, ..] = &swept[..] else { unreachable!() };
            let listed = listed(swept);
            for (row, end) in expected.iter().enumerate() {
                let counted_only = matches!(end.as_str(), "not_candidate" | "excluded" | "not_due");
                prop_assert_eq!(listed.get(&(row as u64)), (!counted_only).then_some(end), "{:?} row {} {:?}", reader, row, rows[row]);
            }
            let total = swept.findings.by_type.total();
            let count = |end: &str| expected.iter().filter(|own| *own == end).count() as u64;
            prop_assert_eq!(total.rows(), rows.len() as u64);
            prop_assert_eq!(total.not_candidate, count("not_candidate"));
            prop_assert_eq!(total.excluded, count("excluded"));
            prop_assert_eq!(total.not_due, count("not_due"));
            prop_assert!(swept.findings.due.iter().is_sorted_by_key(|due| due.id));
            if let Some(first) = &first {
                prop_assert_eq!(first, &swept.findings);
            }
            first.get_or_insert_with(|| swept.findings.clone());
        }
    }

    /// Row groups and files in another order give the same deletions.
    #[test]
    fn the_order_of_rows_and_files_does_not_matter(
        (rows, order) in rows(at(MOMENTS[0])).prop_flat_map(|rows| {
            let order: Vec<usize> = (0..rows.len()).collect();
            (Just(rows), Just(order).prop_shuffle())
        }),
        layout in layouts(),
        cut in 0usize..80,
    ) {
        let policy = unguarded("pre-change");
        let rows: Vec<Row> = rows.iter().map(|row| held(row, &layout)).collect();
        let shuffled: Vec<Row> = order.iter().map(|&index| rows[index].clone()).collect();
        let (before, after) = shuffled.split_at(cut.min(shuffled.len()));
        let (_a, one) = written(&[(rows.clone(), layout.clone())]);
        let (_b, other) = written(&[(before.to_vec(), layout.clone()), (after.to_vec(), layout)]);
        let deletions = |paths: &[PathBuf]| {
            let swept = sweep(&open(paths, &policy), &policy, at(MOMENTS[0]), Reader::Encoded, 2);
            let due: Vec<_> = swept.findings.due.iter().map(|due| (due.id, due.since, due.type_code, due.alert, due.party)).collect();
            (due, swept.findings.parties, swept.findings.by_type)
        };
        prop_assert_eq!(deletions(&one), deletions(&other));
    }

    /// More months, or more exclusions, never add a deletion.
    #[test]
    fn a_stricter_policy_never_deletes_more(
        (moment, files) in prop::sample::select(&MOMENTS[..]).prop_flat_map(|m| (Just(m), estates_of(at(m)))),
        policy in policies(),
        more in 1u32..24,
        also in 0u8..8,
    ) {
        // Each device once: duplicates are found among due rows only, so that with fewer due rows one of a pair may be deleted.
        let mut seen = std::collections::HashSet::new();
        let files: Vec<(Vec<Row>, Layout)> = files.into_iter().map(|(mut rows, layout)| {
            rows.retain(|row| row.id.as_ref().is_none_or(|id| seen.insert(id.replace(['-', ':'], "").to_uppercase())));
            (rows, layout)
        }).collect();
        let (_folder, paths) = written(&files);
        let snapshot = open(&paths, &policy);
        let deleted = |policy: &Policy| -> Vec<u64> {
            let swept = sweep(&snapshot, policy, at(moment), Reader::Encoded, 1);
            let mut rows: Vec<u64> = swept.findings.due.iter().map(|due| due.row).collect();
            rows.sort_unstable();
            rows
        };
        let before = deleted(&policy);
        let mut later = policy.clone();
        later.thresholds.default += more;
        later.thresholds.by_type.values_mut().for_each(|months| *months += more);
        let mut narrower = policy.clone();
        narrower.exclude = narrower.exclude.union(DeviceType::from_code(also).into_iter().collect());
        for stricter in [later, narrower] {
            for row in deleted(&stricter) {
                prop_assert!(before.binary_search(&row).is_ok(), "row {row} is deleted by the stricter policy only");
            }
        }
    }

    /// Several policies in one scan find what each finds alone.
    #[test]
    fn policies_together_find_what_each_finds_alone(
        files in estates_of(at(MOMENTS[1])),
        one in policies(),
        other in policies(),
    ) {
        let (_folder, paths) = written(&files);
        let snapshot = open(&paths, &one);
        let policies = [one, other];
        let options = SweepOptions { policies: &policies, as_of: at(MOMENTS[1]), expected: Expected::default(), previous: &[], uniqueness: Uniqueness::Unproven };
        let together = smi_sweep::sweep::sweep(&Scan::new(&snapshot, &Pool::new(Some(2)), &NoProgress), &options).unwrap();
        for (policy, swept) in policies.iter().zip(together) {
            let alone = sweep(&snapshot, policy, at(MOMENTS[1]), Reader::Encoded, 1);
            prop_assert_eq!(listed(&alone), listed(&swept));
            prop_assert_eq!(alone.findings.by_type, swept.findings.by_type);
        }
    }

    /// Bytes flipped anywhere in a file are refused, or change what is read; they never stop the process.
    #[test]
    fn flipped_bytes_never_panic(
        rows in rows(at(MOMENTS[0])),
        layout in layouts(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6),
    ) {
        let rows: Vec<Row> = rows.iter().map(|row| held(row, &layout)).collect();
        let (_folder, paths) = written(&[(rows, layout)]);
        let mut bytes = std::fs::read(&paths[0]).unwrap();
        for (index, flip) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= flip;
        }
        std::fs::write(&paths[0], bytes).unwrap();
        let policy = unguarded("pre-change");
        let pool = Pool::new(Some(1));
        if let Ok(snapshot) = Snapshot::open(&paths, &policy.spellings, &pool, &NoProgress) {
            let options = SweepOptions { policies: std::slice::from_ref(&policy), as_of: at(MOMENTS[0]), expected: Expected::default(), previous: &[], uniqueness: Uniqueness::Unproven };
            let _ = smi_sweep::sweep::sweep(&Scan::new(&snapshot, &pool, &NoProgress), &options);
        }
    }
}
