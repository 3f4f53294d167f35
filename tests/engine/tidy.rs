//! The house rules that a compiler does not check. Each finding names file, line and the mend.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the bottom up. A room knows those of lower floors only: its neighbours on the same floor are strangers.
const FLOORS: &[&[&str]] = &[
    &["error"],
    &["progress", "pool"],
    &["estate"],
    &["config", "output"],
    &["plot", "policy", "snapshot"],
    &["scan"],
    &["sweep", "check", "explain", "recluster", "ledger"],
    &["run"],
    &["approval"],
    &["report", "synth", "regress", "smi", "stock", "forecast", "handover"],
    &["cli"],
];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 2] = ["src/snapshot/mapping.rs", "src/snapshot/encoded/snappy.rs"];

/// Lines that a file may have: nobody wants to live in a longer one.
const LONGEST: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every source file: its path below the root, and its lines of code. Comments are left out, and so are unit tests.
fn sources() -> Vec<(String, Vec<(usize, String)>)> {
    let mut paths = Vec::new();
    files_below(&root().join("src"), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
            (name, lines.map(|(index, line)| (index + 1, line.to_owned())).collect())
        })
        .collect()
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// The room that a file belongs to: `src/sweep/engine.rs` is in `sweep`.
fn room_of(file: &str) -> &str {
    let below = file.strip_prefix("src/").unwrap_or(file);
    below.split(['/', '.']).next().unwrap_or_default()
}

#[track_caller]
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn imports_run_down() {
    let mut findings = Vec::new();
    for (file, lines) in sources() {
        let room = room_of(&file);
        if matches!(room, "lib" | "main") {
            continue;
        }
        let Some(floor) = floor_of(room) else {
            findings
                .push(format!("{file}: give the room `{room}` a floor in tests/engine/tidy.rs and in ARCHITECTURE.md"));
            continue;
        };
        for (line, text) in lines {
            for after in text.split("crate::").skip(1) {
                let other: String = after.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let goes_up = floor_of(&other).is_some_and(|other_floor| other != room && other_floor >= floor);
                if goes_up {
                    findings.push(format!("{file}:{line}: `{room}` uses `{other}`; move what both need further down"));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn what_has_one_place_stands_there() {
    let rules: [(&str, &[&str], &str); 11] = [
        ("unsafe ", &UNSAFE, "write it without"),
        ("rayon::", &["src/pool.rs"], "go through `Pool`"),
        ("println!", &[], "print through `cli::print` and `cli::remark`"),
        ("Instant::now", &["src/cli/progress.rs"], "the clock belongs to the command line"),
        ("SystemTime::now", &["src/cli/"], "nothing reads the wall clock to decide"),
        ("#[allow", &[], "use #[expect(.., reason = \"..\")]"),
        ("todo!", &[], "build it, or leave it out"),
        ("dbg!", &[], "remove it"),
        (".unwrap()", &[], "library code does not panic"),
        (".expect(", &[], "library code does not panic"),
        ("panic!(", &[], "library code does not panic"),
    ];
    let mut findings = Vec::new();
    for (file, lines) in sources() {
        // Unit tests of a whole file's length.
        if file.ends_with("/tests.rs") {
            continue;
        }
        for (line, text) in lines {
            for (word, places, mend) in rules {
                let spoken_of = text.contains("unsafe_code");
                if text.contains(word) && !spoken_of && !places.iter().any(|place| file.starts_with(place)) {
                    findings.push(format!("{file}:{line}: `{word}` has no place here; {mend}"));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn every_unsafe_block_says_who_vouches() {
    let mut findings = Vec::new();
    for file in UNSAFE {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let opens = line.contains("unsafe {") && !line.trim_start().starts_with("//");
            let vouched = lines[index.saturating_sub(8)..index].iter().any(|line| line.contains("SAFETY:"));
            if opens && !vouched {
                findings.push(format!("{file}:{}: say above it, after SAFETY:, why it is sound", index + 1));
            }
        }
    }
    none(&findings);
}

#[test]
fn files_are_short_and_open_with_their_purpose() {
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches"] {
        files_below(&root().join(folder), &mut paths);
    }
    let mut findings = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().count();
        if lines > LONGEST {
            findings.push(format!("{}: {lines} lines; split it at {LONGEST}", path.display()));
        }
        if !text.starts_with("//!") {
            findings.push(format!("{}:1: open with what it is for, after //!", path.display()));
        }
    }
    none(&findings);
}

/// Relative links of the documents lead to something that is there.
#[test]
fn links_live() {
    let mut documents = vec![root().join("README.md"), root().join("ARCHITECTURE.md"), root().join("CHANGELOG.md")];
    files_below(&root().join("docs"), &mut documents);
    let mut findings = Vec::new();
    for document in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(document).unwrap();
        for (index, line) in text.lines().enumerate() {
            for after in line.split("](").skip(1) {
                let target = after.split([')', '#']).next().unwrap_or_default();
                let outside = target.is_empty() || target.contains("://");
                if !outside && !document.parent().unwrap().join(target).exists() {
                    findings.push(format!("{}:{}: {target} is not there", document.display(), index + 1));
                }
            }
        }
    }
    none(&findings);
}
