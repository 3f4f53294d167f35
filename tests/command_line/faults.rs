//! Faults on our side: every call of the system that an output needs fails once, and the process is killed before each.
//!
//! The story of each: a disk is full or breaks, a signal interrupts a call, a write takes a part of its bytes, the machine
//! kills the process. What is published is whole or absent, nothing is left behind, the next run works, and the user gets one
//! line. `cargo test --test command_line faults -- --nocapture` prints the number of fault points.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{binary, copy_files};
use smi_sweep::system::faults::VARIABLE;
use tempfile::TempDir;

/// A command, and what it writes.
struct Publication {
    name: &'static str,
    /// Its arguments; `IN` stands for the folder of inputs, `OUT` for the folder that the command writes into.
    arguments: &'static [&'static str],
}

const PUBLICATIONS: [Publication; 7] = [
    Publication {
        name: "sweep",
        arguments: &["sweep", "IN/estate", "--policy", "secmp0060", "--out", "OUT/runs/2026-11/run"],
    },
    Publication {
        name: "sweep by two policies",
        arguments: &["sweep", "IN/estate", "--policy", "secmp0060", "--policy", "pre-change", "--out", "OUT/run"],
    },
    Publication { name: "ledger", arguments: &["ledger", "IN/estate", "--out", "OUT/ledgers/2026/november"] },
    Publication { name: "recluster", arguments: &["recluster", "IN/estate", "--out", "OUT/copy"] },
    Publication {
        name: "manifest export",
        arguments: &["manifest", "export", "IN/run", "--format", "csv", "--out", "OUT/new/csv"],
    },
    Publication { name: "synth", arguments: &["synth", "--rows", "50", "--out", "OUT/estate"] },
    Publication { name: "seal", arguments: &["check", "OUT/estate", "--seal", "--taken-at", "2026-11-01"] },
];

/// A tree of files below a folder: the bytes of each by its path.
type Tree = BTreeMap<PathBuf, Vec<u8>>;

fn tree(folder: &Path) -> Tree {
    let mut files = Tree::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_path_buf();
            if path.is_dir() {
                // An empty folder counts as well.
                files.insert(name.join(""), Vec::new());
                folders.push(path);
            } else {
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

struct Laboratory {
    home: TempDir,
    runs: AtomicUsize,
}

impl Laboratory {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let this = Self { home, runs: AtomicUsize::new(0) };
        fs::create_dir(this.home.path().join("in")).unwrap();
        let arguments = ["synth", "--rows", "300", "--files", "2", "--out", "IN/estate"];
        assert!(this.run(&arguments, &this.out(), None).status.success());
        let arguments = ["sweep", "IN/estate", "--policy", "secmp0060", "--out", "IN/run"];
        assert!(this.run(&arguments, &this.out(), None).status.success());
        this
    }

    /// A fresh folder for a run, with an estate to be sealed.
    fn out(&self) -> PathBuf {
        let out = self.home.path().join(self.runs.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&out).unwrap();
        out
    }

    /// One thread, so that the calls have one order.
    fn run(&self, arguments: &[&str], out: &Path, fault: Option<&str>) -> Output {
        let input = self.home.path().join("in");
        let (input, out) = (input.to_str().unwrap(), out.to_str().unwrap());
        let mut command = binary();
        command.args(
            arguments
                .iter()
                .map(|argument| argument.replace("IN/", &format!("{input}/")).replace("OUT/", &format!("{out}/"))),
        );
        command.args(["--threads", "1", "--quiet"]).envs(fault.map(|fault| (VARIABLE, fault)));
        command.output().unwrap()
    }
}

/// What is right for a publication: the files before and after it, less those that tell the time.
struct Expected<'a> {
    laboratory: &'a Laboratory,
    publication: &'a Publication,
    before: Tree,
    after: Tree,
    varying: Vec<PathBuf>,
}

impl<'a> Expected<'a> {
    fn of(laboratory: &'a Laboratory, publication: &'a Publication) -> Self {
        let mut this = Self { laboratory, publication, before: Tree::new(), after: Tree::new(), varying: Vec::new() };
        let trees = [0, 1].map(|_| {
            let out = this.prepared();
            this.before = tree(&out);
            let output = laboratory.run(publication.arguments, &out, None);
            assert!(output.status.success(), "{}: {}", publication.name, String::from_utf8_lossy(&output.stderr));
            tree(&out)
        });
        let [first, second] = trees;
        this.varying =
            first.iter().filter(|(path, bytes)| second[*path] != **bytes).map(|(path, _)| path.clone()).collect();
        assert!(this.varying.len() <= 4, "{:?}", this.varying);
        this.after = first;
        this
    }

    /// A folder to write into.
    fn prepared(&self) -> PathBuf {
        let out = self.laboratory.out();
        if self.publication.arguments.contains(&"OUT/estate") && self.publication.name == "seal" {
            copy_files(&self.laboratory.home.path().join("in/estate"), &out.join("estate"));
            let _ = fs::remove_file(out.join("estate/_snapshot.json"));
        }
        out
    }

    /// The number of calls.
    fn calls(&self) -> usize {
        let out = self.prepared();
        let trace = self.laboratory.home.path().join(format!("trace of {}", self.publication.name));
        let output = self.laboratory.run(self.publication.arguments, &out, Some(&format!("trace:{}", trace.display())));
        assert!(output.status.success());
        let text = fs::read_to_string(trace).unwrap();
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        text.lines().for_each(|kind| *kinds.entry(kind).or_default() += 1);
        println!("{}: {} calls: {kinds:?}", self.publication.name, text.lines().count());
        text.lines().count()
    }

    fn is_before(&self, found: &Tree) -> bool {
        *found == self.before
    }

    fn is_after(&self, found: &Tree) -> bool {
        found.keys().eq(self.after.keys())
            && found.iter().all(|(path, bytes)| self.varying.contains(path) || self.after[path] == *bytes)
    }

    /// A fault, and what has to be true after it.
    fn survives(&self, fault: &str) {
        let out = self.prepared();
        let output = self.laboratory.run(self.publication.arguments, &out, Some(fault));
        let found = tree(&out);
        let story = format!(
            "{} with {fault}: {:?} {}",
            self.publication.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let names = || found.keys().collect::<Vec<_>>();
        match (output.status.code(), output.status.signal()) {
            (Some(0), _) => assert!(self.is_after(&found), "{story}: not whole: {:?}", names()),
            (Some(1), _) => {
                one_line(&output, &story);
                // Where the disk fails for good, nothing can be removed either.
                assert!(self.is_before(&found) || fault.ends_with('+'), "{story}: left behind: {:?}", names());
            }
            (None, Some(9)) if fault.starts_with("KILL") => {}
            _ => panic!("{story}"),
        }
        // Whatever is left, nothing has a name that a command reads, and the next run ends as any other.
        let visible = |path: &&PathBuf| !path.iter().any(|part| part.to_string_lossy().contains(".partial-"));
        let shown: Tree =
            found.iter().filter(|(path, _)| visible(path)).map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        if self.is_after(&found) {
            return;
        }
        assert!(self.is_before(&shown), "{story}: half published: {:?}", names());
        let output = self.laboratory.run(self.publication.arguments, &out, None);
        assert!(output.status.success(), "{story}: the next run: {}", String::from_utf8_lossy(&output.stderr));
        let found = tree(&out);
        assert!(self.is_after(&found), "{story}: the next run left {:?}", found.keys().collect::<Vec<_>>());
    }
}

/// An error of one line, with at most one line of help.
fn one_line(output: &Output, story: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.first().is_some_and(|line| line.starts_with("smi-sweep: ")), "{story}");
    assert!(lines.len() <= 2 && lines[1..].iter().all(|line| line.starts_with("  help: ")), "{story}");
}

/// Tries all faults, on as many processors as there are.
fn all_survived(faults: &[(&Expected<'_>, String)]) {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((expected, fault)) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    expected.survives(fault);
                }
            });
        }
    });
}

#[test]
fn every_fault_of_the_system_is_survived() {
    let laboratory = Laboratory::new();
    let expected: Vec<Expected<'_>> = PUBLICATIONS.iter().map(|one| Expected::of(&laboratory, one)).collect();
    let mut faults = Vec::new();
    for (index, one) in expected.iter().enumerate() {
        let calls = one.calls();
        assert!(calls > 5, "{}: the calls go through the seam", one.publication.name);
        // All kinds of fault for the first publication; the others have the same writer.
        let kinds: &[&str] =
            if index == 0 { &["EIO", "EIO+", "ENOSPC", "EINTR", "SHORT", "KILL"] } else { &["EIO", "KILL"] };
        for kind in kinds {
            let (kind, more) = kind.split_at(kind.trim_end_matches('+').len());
            faults.extend((1..=calls).map(|call| (one, format!("{kind}:{call}{more}"))));
        }
    }
    println!("{} fault points, each survived", faults.len());
    all_survived(&faults);
}
