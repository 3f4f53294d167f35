//! A bounded run of all fuzz targets: past crashes, and seeded mutations of a small corpus. No input stops the process, and
//! none takes long.
//!
//! `scripts/fuzz` runs the same targets under cargo-fuzz.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::fixtures;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use smi_sweep::error::expecting_panic;

#[path = "../../fuzz/targets.rs"]
mod targets;

use targets::{TARGETS, Target};

/// Mutations of each target, where `FUZZ_ROUNDS` does not say how many.
const ROUNDS: u64 = 150;
/// The longest that an input may take, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);
/// The largest file of the corpus, in bytes.
const LARGEST: u64 = 24 * 1024;

/// The small files below a folder whose names have one of these endings, sorted.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending))
                && fs::metadata(&path).unwrap().len() <= LARGEST
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What a target starts from.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let read = |paths: Vec<PathBuf>| -> Vec<Vec<u8>> { paths.iter().map(|path| fs::read(path).unwrap()).collect() };
    // The first byte of these says which of several files is replaced.
    let numbered = |folder: &str, names: &[&str]| -> Vec<Vec<u8>> {
        let bytes = |(index, name): (usize, &&str)| {
            [vec![index as u8], fs::read(fixtures().join(folder).join(name)).unwrap()].concat()
        };
        names.iter().enumerate().map(bytes).collect()
    };
    match target {
        "file" | "readers" => {
            let mut paths = files(&fixtures().join("faults"), &[".parquet"]);
            // They end with the right answer, and take seconds in a debug build: ten million rows in 647 bytes, and a page that
            // the `parquet` crate unpacks to 2 GiB before it compares the size.
            let slow = ["rle-1e7-rows.parquet", "bomb-brotli-100-bytes.parquet"];
            paths.retain(|path| !slow.iter().any(|slow| path.ends_with(slow)));
            let mut all = read(paths);
            all.extend(read(files(&fixtures().join("writers"), &[".parquet"])).into_iter().step_by(5));
            all
        }
        "run" => numbered(
            "faults/hostile/panic-run",
            &["run.json", "delete.parquet", "alerts.parquet", "quarantine.parquet"],
        ),
        "ledger" => read(files(&fixtures().join("faults"), &[".ledger"])),
        "case" => numbered("cases/alerts-by-role", &["case.toml", "snapshot.csv", "expected.csv"]),
        "csv" => read(files(&fixtures().join("stock"), &["orders.csv", "returns.csv"])),
        _ => {
            let mut all = read(files(&fixtures(), &[".toml"]));
            all.truncate(40);
            all.push(
                b"name = \"a\"\nversion = 1\n[threshold]\ndefault = 12\nPPMID = 36\n[guard]\nmax_deletes = 5\n"
                    .to_vec(),
            );
            all.push(b"[table]\nname = \"public.device\"\n[load]\nbatch = 10\n[approvals]\nneeded = 2\n".to_vec());
            all
        }
    }
}

/// Changes a few places of an input.
fn mutate(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    const NUMBERS: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'['];
    for _ in 0..=rng.next_u32() % 4 {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let at = rng.next_u32() as usize % bytes.len();
        let to = (at + 1 + rng.next_u32() as usize % 16).min(bytes.len());
        match rng.next_u32() % 6 {
            0 => bytes[at] ^= 1 << (rng.next_u32() % 8),
            1 => bytes[at] = rng.next_u32() as u8,
            2 => bytes[at..to].fill(NUMBERS[rng.next_u32() as usize % NUMBERS.len()]),
            3 => drop(bytes.drain(at..to)),
            4 => bytes.splice(at..at, bytes[at..to].to_vec()).for_each(drop),
            _ => bytes.truncate(at),
        }
    }
}

/// Runs a target on an input. A finding is kept in a file, whose path is in the message.
fn survives((name, target): Target, bytes: &[u8], story: &str) {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(bytes)));
    let took = began.elapsed();
    if outcome.is_err() || took > LONGEST {
        let path = std::env::temp_dir().join(format!("smi-sweep-fuzz-{name}-{}", blake3::hash(bytes).to_hex()));
        fs::write(&path, bytes).unwrap();
        panic!("{name}, {story}: panicked: {}, after {took:?}; the input is in {}", outcome.is_err(), path.display());
    }
}

#[test]
fn no_past_crash_and_no_mutation_stops_a_reader() {
    // Panics that the library contains, and reports as damage, are no findings.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !expecting_panic() {
            usual(panic);
        }
    }));
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    for (index, target) in TARGETS.into_iter().enumerate() {
        let corpus = corpus(target.0);
        assert!(!corpus.is_empty(), "{}", target.0);
        for (number, bytes) in corpus.iter().enumerate() {
            survives(target, bytes, &format!("file {number} of the corpus"));
        }
        for round in 0..rounds {
            let mut rng = ChaCha8Rng::seed_from_u64(index as u64 * 1_000_000_007 + round);
            let mut bytes = corpus[rng.next_u32() as usize % corpus.len()].clone();
            mutate(&mut bytes, &mut rng);
            survives(target, &bytes, &format!("round {round}"));
        }
        println!("{}: {} files and {rounds} mutations", target.0, corpus.len());
    }
}

/// Writes the corpus of a target for `scripts/fuzz`, which names both in the environment.
#[test]
fn the_corpus() {
    let (Ok(folder), Ok(target)) = (std::env::var("FUZZ_CORPUS"), std::env::var("FUZZ_TARGET")) else { return };
    for bytes in corpus(&target) {
        fs::write(Path::new(&folder).join(blake3::hash(&bytes).to_hex().as_str()), bytes).unwrap();
    }
}
