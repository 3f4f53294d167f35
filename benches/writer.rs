//! How long the manifests of 1.1 million deletions take: encoding, digesting and writing, on one thread and on two.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use smi_sweep::estate::{DeviceId, Disposition, TypeNames, time};
use smi_sweep::pool::Pool;
use smi_sweep::run::manifest::{self, Manifests};
use smi_sweep::scan::{Parties, PartyCounts};
use smi_sweep::sweep::{Due, Findings};

const ROWS: u64 = 1_100_000;
const PARTIES: u32 = 150;

fn findings() -> Findings {
    let (parties, _) = Parties::sorted((0..PARTIES).map(|n| format!("90-B3-D5-1F-30-00-{n:02X}-00")).collect());
    let today = time::parse("2026-11-01").unwrap_or_default();
    let mut state = 1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut due: Vec<Due> = (0..ROWS)
        .map(|row| Due {
            id: DeviceId(0x00DB_1200_0000_0000 | random() >> 24),
            since: today - (random() % (1500 * 86_400)) as i64 * 1_000_000 - 380 * time::DAY_MICROS,
            row,
            party: (random() % u64::from(PARTIES)) as u32,
            type_code: (random() % 6) as u8,
            status_code: 0,
            alert: random() % 5 != 0,
        })
        .collect();
    due.sort_unstable_by_key(|due| due.id);
    due.dedup_by_key(|due| due.id);
    let mut findings = Findings { parties, ..Findings::default() };
    findings.by_party = vec![PartyCounts::default(); PARTIES as usize + 1];
    for due in &due {
        findings.by_type.add(due.type_code, Disposition::Delete { alert: due.alert }, 1);
        findings.by_party[due.party as usize].deletes += 1;
        findings.by_party[due.party as usize].alerts += u64::from(due.alert);
    }
    findings.due = [due].into_iter().collect();
    findings
}

fn writer(criterion: &mut Criterion) {
    let findings = findings();
    let types = TypeNames::default();
    let manifests = Manifests {
        findings: &findings,
        types: &types,
        alert_code: "N8",
        due_on: Box::new(|_, day| time::add_months(day, 12).unwrap_or(day)),
        locate: Box::new(|row| ("snapshot.parquet", row)),
    };
    let mut group = criterion.benchmark_group("manifests of 1.1 million deletions");
    group.sample_size(20);
    for threads in [1, 2] {
        let pool = Pool::new(Some(threads));
        group.bench_function(format!("{threads} threads"), |bencher| {
            bencher.iter_batched(
                || tempfile::tempdir().expect("a folder"),
                |folder| {
                    black_box(manifest::write(folder.path(), &manifests, &pool)).expect("manifests");
                    folder
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, writer);
criterion_main!(benches);
