//! The house rules that a compiler does not check. Each finding names file, line and the fix.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the bottom up. A room imports from lower floors only, not from its own floor.
const FLOORS: &[&[&str]] = &[
    &["shown"],
    &["error"],
    &["progress", "pool", "kernel", "memory", "system"],
    &["estate"],
    &["config", "output"],
    &["plot", "policy", "snapshot"],
    &["scan", "query"],
    &["sweep", "check", "explain", "recluster", "ledger"],
    &["run"],
    &["approval"],
    &["report", "synth", "regress", "smi", "stock", "forecast", "cluster"],
    &["handover"],
    &["cli"],
];

/// Files that may have `unsafe`.
const UNSAFE: [&str; 5] = [
    "src/snapshot/mapping.rs",
    "src/snapshot/encoded/snappy.rs",
    "src/kernel/mod.rs",
    "src/kernel/avx2.rs",
    "src/kernel/avx512.rs",
];

/// Lines that a file may have.
const LONGEST: usize = 600;

/// Blocks that may be nested inside a function.
const DEEPEST: usize = 4;

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
fn each_of_these_has_one_place() {
    let rules: [(&str, &[&str], &str); 23] = [
        ("unsafe ", &UNSAFE, "write it without"),
        ("rayon::", &["src/pool.rs"], "go through `Pool`"),
        ("println!", &[], "print through `cli::print` and `cli::remark`"),
        ("io::stdout", &["src/cli/terminal.rs"], "print through `cli::print`"),
        ("io::stderr", &["src/cli/terminal.rs"], "print through `cli::remark`"),
        (".display()", &[], "show a path by `shown::path`, which escapes what a terminal would act upon"),
        ("Instant::now", &["src/cli/progress.rs"], "the clock belongs to the command line"),
        ("SystemTime::now", &["src/cli/"], "nothing reads the wall clock to decide"),
        ("set_created_by", &["src/output/"], "take `output::parquet::writer_properties`"),
        ("ArrowWriter::", &["src/output/"], "write through `output::parquet::ParquetFile`"),
        (" File::create", &["src/output/"], "write through `output::OutputFile`"),
        (" File::open(", &["src/system/", "src/output/"], "open an input through `system::input::open`"),
        ("fs::read(", &["src/system/"], "read an input through `system::input::read`"),
        ("fs::read_to_string(", &["src/system/"], "read an input through `system::input::read_to_string`"),
        ("fs::write(", &["src/output/"], "write through `output::OutputFile`"),
        ("NamedTempFile", &["src/output/"], "write through `output::OutputFile::atomic`"),
        ("tempfile_in(", &["src/output/"], "write through `output::OutputFile::atomic`"),
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
            for (word, places, remedy) in rules {
                let named_only = text.contains("unsafe_code");
                if text.contains(word) && !named_only && !places.iter().any(|place| file.starts_with(place)) {
                    findings.push(format!("{file}:{line}: `{word}` has no place here; {remedy}"));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn every_unsafe_block_has_a_safety_comment() {
    let mut findings = Vec::new();
    for file in UNSAFE {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let opens = line.contains("unsafe {") && !line.trim_start().starts_with("//");
            let explained = lines[index.saturating_sub(8)..index].iter().any(|line| line.contains("SAFETY:"));
            if opens && !explained {
                findings.push(format!(
                    "{file}:{}: add a comment `// SAFETY:` above it that says why it is sound",
                    index + 1
                ));
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

/// Words of an older style, and what to write instead. Only whole words are found, in either letter case.
const OLD_WORDS: [(&str, &str); 15] = [
    ("heed", "apply"),
    ("nought", "zero"),
    ("in earnest", "with --execute"),
    ("rehearsal", "dry run"),
    ("is told", "is alerted"),
    ("are told", "are alerted"),
    ("nobody", "no user, no party"),
    ("somebody", "another user, another process"),
    ("whoever", "the user who"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("desk", "session, scratch"),
    ("morsel", "row range"),
    ("slab", "row range"),
    ("census", "count"),
];

/// Files that may have some of [`OLD_WORDS`]: the tables of a stock count have a row `less hubs that nobody ordered`, which
/// other systems may read.
const KNOWN_OLD_WORDS: &[&str] = &["docs/stock.md", "src/stock/record.rs"];

/// Whether the lower-case text has the word, not as a part of another word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn words_are_plain() {
    let mut paths = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    files_below(&root().join("src"), &mut paths);
    files_below(&root().join("docs"), &mut paths);
    paths.sort();
    let mut findings = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        // Pictures and other files that are not text are skipped.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if KNOWN_OLD_WORDS.contains(&name.as_str()) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            for (word, instead) in OLD_WORDS.iter().filter(|(word, _)| has_word(&line, word)) {
                findings.push(format!("{name}:{}: `{word}`; write: {instead}", index + 1));
            }
        }
    }
    none(&findings);
}

/// The targets of relative links in the documents exist.
#[test]
fn links_have_targets() {
    let mut documents: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root().join(name)).to_vec();
    files_below(&root().join("docs"), &mut documents);
    let mut findings = Vec::new();
    for document in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(document).unwrap();
        for (index, line) in text.lines().enumerate() {
            for after in line.split("](").skip(1) {
                let target = after.split([')', '#']).next().unwrap_or_default();
                let outside = target.is_empty() || target.contains("://");
                if !outside && !document.parent().unwrap().join(target).exists() {
                    findings.push(format!("{}:{}: {target} does not exist", document.display(), index + 1));
                }
            }
        }
    }
    none(&findings);
}

/// The files that a file of the same folder imports: from `use super::name` and `use crate::folder::name`.
fn siblings_used(file: &str, lines: &[(usize, String)], siblings: &[&str]) -> Vec<(usize, String)> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let within = folder.strip_prefix("src/").unwrap_or_default().replace('/', "::");
    let mut used = Vec::new();
    for (line, text) in lines {
        for start in ["super::".to_owned(), format!("crate::{within}::")] {
            for after in text.split(start.as_str()).skip(1) {
                // `super::{a, b::c}` names several files.
                let names = after.strip_prefix('{').map_or(vec![after], |group| group.split([',', '}']).collect());
                for name in names {
                    let name: String = name
                        .trim()
                        .chars()
                        .take_while(|c| c.is_ascii_lowercase() || "_0123456789".contains(*c))
                        .collect();
                    let path = format!("{folder}/{name}.rs");
                    if path != file && siblings.contains(&path.as_str()) {
                        used.push((*line, path));
                    }
                }
            }
        }
    }
    used
}

/// Files of one folder do not import each other in a circle. A `mod.rs` and the files below it may.
#[test]
fn files_of_a_folder_have_no_cycles() {
    let sources = sources();
    let names: Vec<&str> =
        sources.iter().map(|(file, _)| file.as_str()).filter(|file| !file.ends_with("mod.rs")).collect();
    let imports: Vec<(&str, Vec<(usize, String)>)> = sources
        .iter()
        .filter(|(file, _)| names.contains(&file.as_str()))
        .map(|(file, lines)| (file.as_str(), siblings_used(file, lines, &names)))
        .collect();
    let used_by = |file: &str| -> Vec<&str> {
        let found = imports.iter().find(|(name, _)| *name == file);
        found.map(|(_, used)| used.iter().map(|(_, other)| other.as_str()).collect()).unwrap_or_default()
    };
    let mut findings = Vec::new();
    for (file, used) in &imports {
        for (line, other) in used {
            let (mut reached, mut next) = (vec![other.as_str()], 0);
            while next < reached.len() {
                let further = used_by(reached[next]);
                reached.extend(further.into_iter().filter(|one| !reached.contains(one)).collect::<Vec<_>>());
                next += 1;
            }
            if reached.contains(file) {
                findings.push(format!(
                    "{file}:{line}: imports {other}, which imports it; move what both need to a third file"
                ));
            }
        }
    }
    none(&findings);
}

/// Whether a line that ends with `{` opens a block that counts as a level, and not a struct literal or an item.
fn opens_block(line: &str) -> bool {
    let words = ["if ", "else ", "else{", "for ", "while ", "loop ", "match ", "unsafe "];
    let starts = ["=> {", "| {", "= {"];
    line == "{" || words.iter().any(|word| line.contains(word)) || starts.iter().any(|end| line.ends_with(end))
}

#[test]
fn functions_are_flat() {
    let mut findings = Vec::new();
    for (file, lines) in sources() {
        // Indentation, and whether it is a level, of every block that is open.
        let mut open: Vec<(usize, bool)> = Vec::new();
        for (line, text) in lines {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                continue;
            }
            let indent = text.len() - text.trim_start().len();
            open.retain(|(outer, _)| *outer < indent);
            if trimmed.ends_with('{') {
                let item = ["fn ", "impl ", "impl<", "mod ", "struct ", "enum ", "trait "].iter().any(|word| {
                    let rest = trimmed.trim_start_matches("pub ").trim_start_matches("pub(super) ");
                    rest.trim_start_matches("pub(crate) ").trim_start_matches("const ").starts_with(word)
                });
                open.push((indent, !item && opens_block(trimmed)));
                let depth = open.iter().filter(|(_, level)| *level).count();
                if depth > DEEPEST {
                    findings.push(format!(
                        "{file}:{line}: {depth} blocks deep; return early, or make the inner part a function"
                    ));
                }
            }
        }
    }
    none(&findings);
}

/// Names that each room may use for itself.
const SHARED_NAMES: [&str; 3] = ["Args", "Error", "Result"];

/// One name means one thing: no two rooms have a visible type of the same name.
#[test]
fn a_type_name_has_one_meaning() {
    let mut known: Vec<(String, String, usize)> = Vec::new();
    let mut findings = Vec::new();
    for (file, lines) in sources() {
        for (line, text) in lines {
            let Some(rest) = text.strip_prefix("pub") else { continue };
            let rest = rest.trim_start_matches("(crate)").trim_start_matches("(super)").trim_start();
            let item = ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| rest.strip_prefix(kind));
            let Some(item) = item else { continue };
            let name: String = item.chars().take_while(char::is_ascii_alphanumeric).collect();
            if SHARED_NAMES.contains(&name.as_str()) {
                continue;
            }
            match known.iter().find(|(other, place, _)| *other == name && room_of(place) != room_of(&file)) {
                Some((_, place, at)) => {
                    findings.push(format!(
                        "{file}:{line}: `{name}` is also at {place}:{at}; give it a name that says which"
                    ));
                }
                None => known.push((name, file.clone(), line)),
            }
        }
    }
    none(&findings);
}

/// Every promise names tests that prove it, and they exist.
#[test]
fn promises_name_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let mut findings = Vec::new();
    for promise in text.split("\n## ").skip(1) {
        let title = promise.lines().next().unwrap_or_default();
        let named: Vec<&str> = promise.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`')).collect();
        if named.is_empty() {
            findings.push(format!("docs/promises.md: `{title}` names no test"));
        }
        for test in named {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            let code = fs::read_to_string(root().join("tests").join(file)).unwrap_or_default();
            if !code.contains(&format!("fn {name}(")) {
                findings.push(format!("docs/promises.md: `{title}` names {test}, which does not exist"));
            }
        }
    }
    none(&findings);
}

/// Only the room of the live inventory may connect to anything.
#[test]
fn only_one_room_connects() {
    let mut findings = Vec::new();
    for (file, lines) in sources() {
        for (line, text) in lines {
            let connects = ["std::net", "TcpStream", "UdpSocket", "postgres::", "rustls::", "ureq::"];
            if room_of(&file) != "smi" && connects.iter().any(|word| text.contains(word)) {
                findings.push(format!("{file}:{line}: connects outside of `smi`; ask `smi` for it"));
            }
        }
    }
    none(&findings);
}
