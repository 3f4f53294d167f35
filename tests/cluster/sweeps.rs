//! A sweep on Spark publishes the same manifests, byte for byte, as a sweep here; or it says why not, and publishes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::queries::python;
use crate::common::{binary, fixtures, outcome, run};

const MANIFESTS: [&str; 3] = ["delete.parquet", "alerts.parquet", "quarantine.parquet"];

/// A folder for runs.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A sweep on the cluster into `cluster`.
    fn command(&self, snapshot: &Path, more: &[&str]) -> Command {
        let master = std::env::var("SPARK_MASTER").unwrap_or_else(|_| "local[2]".into());
        let mut command = binary();
        command.args(["cluster", "--master", &master, "--policy", "pre-change", "--as-of", "2026-11-01"]);
        if !more.contains(&"--python") {
            command.args(["--python", &python("requirements-spark.txt")]);
        }
        command.arg("--out").arg(self.path("cluster")).args(more).arg(snapshot);
        command
    }

    /// A sweep on the cluster, and one here. Both have the same manifests, and the first one verifies.
    fn same(&self, snapshot: &Path, more: &[&str]) {
        let (code, _, err) = outcome(&self.command(snapshot, more).output().unwrap());
        assert_eq!(code, 0, "{err}");
        self.same_as_here(snapshot);
    }

    fn same_as_here(&self, snapshot: &Path) {
        let (here, there) = (self.path("here"), self.path("cluster"));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (code, _, err) =
            run(&["sweep", &text(snapshot), "--policy", "pre-change", "--as-of", "2026-11-01", "--out", &text(&here)]);
        assert_eq!(code, 0, "{err}");
        for manifest in MANIFESTS {
            assert!(fs::read(here.join(manifest)).unwrap() == fs::read(there.join(manifest)).unwrap(), "{manifest}");
        }
        let (code, _, err) = run(&["verify", &text(&there)]);
        assert_eq!(code, 0, "{err}");
        let (code, out, err) = run(&["diff", &text(&here), &text(&there)]);
        assert_eq!(code, 0, "{out}{err}");
    }

    /// A sweep that is refused: its exit code and error. Nothing is left behind.
    fn refused(&self, mut command: Command) -> (i32, String) {
        let (code, _, err) = outcome(&command.output().unwrap());
        self.nothing_is_left();
        (code, err)
    }

    fn nothing_is_left(&self) {
        let left: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "estate"), "{left:?}");
    }

    fn synthetic(&self, layout: &str, rows: &str) -> PathBuf {
        let estate = self.path("estate");
        let to = estate.to_str().unwrap().to_owned();
        let (code, _, err) =
            run(&["synth", "--rows", rows, "--files", "3", "--layout", layout, "--defects", "--out", &to]);
        assert_eq!(code, 0, "{err}");
        estate
    }
}

#[test]
fn the_fixture_estate_is_swept_as_here() {
    Home::new().same(&fixtures().join("estate"), &[]);
}

/// Device IDs as bytes; times without a zone are UTC, whatever the session's zone.
#[test]
fn zones_and_bytes_leave_no_trace() {
    let home = Home::new();
    let estate = home.synthetic("bytes", "20000");
    let mut command = home.command(&estate, &["--conf", "spark.sql.session.timeZone=Europe/Oslo"]);
    let (code, _, err) = outcome(&command.env("TZ", "Europe/Oslo").output().unwrap());
    assert_eq!(code, 0, "{err}");
    home.same_as_here(&estate);
}

#[test]
fn a_guard_stops_the_run_before_anything_is_written() {
    let home = Home::new();
    let (code, err) = home.refused(home.command(&fixtures().join("estate"), &["--expect-deletes", "7"]));
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("where exactly 7 were expected"), "{err}");
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let home = Home::new();
    let estate = fixtures().join("estate");
    let (code, err) = home.refused(home.command(Path::new("/no/such/estate"), &[]));
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("the snapshot cannot be read: "), "{err}");

    let (code, err) = home.refused(home.command(&estate, &["--python", "/no/python"]));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("/no/python cannot be started"), "{err}");

    let bare = home.path("estate");
    assert!(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&bare).status().unwrap().success());
    let bare = bare.join("bin/python").to_str().unwrap().to_owned();
    let (code, err) = home.refused(home.command(&estate, &["--python", &bare]));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("has no pyspark"), "{err}");

    let mut command = home.command(&estate, &[]);
    command.env("JAVA_HOME", "/no/java").env("PATH", "/usr/bin:/bin");
    let (code, err) = home.refused(command);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("Java 17"), "{err}");
}

/// The other worker does the rest.
#[test]
fn a_worker_that_is_killed_changes_nothing() {
    let home = Home::new();
    let Ok(folder) = std::env::var("SPARK_CLUSTER_DIR") else {
        panic!("run scripts/test-cluster: it starts the workers")
    };
    let estate = home.synthetic("strings", "300000");
    let child = home.command(&estate, &["--conf", "spark.sql.shuffle.partitions=64"]).spawn().unwrap();
    let executors = || {
        let all = Command::new("pgrep").args(["-f", "CoarseGrainedExecutorBackend"]).output().unwrap();
        String::from_utf8(all.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(wait_for(|| executors().len() >= 2), "no executors");
    let worker = fs::read_to_string(Path::new(&folder).join("worker-2.pid")).unwrap();
    assert!(Command::new("pkill").args(["-KILL", "-P", worker.trim()]).status().is_ok());
    assert!(Command::new("kill").args(["-KILL", worker.trim()]).status().unwrap().success());
    let (code, _, err) = outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{err}");
    home.same_as_here(&estate);
}

#[test]
fn a_driver_that_is_killed_publishes_nothing() {
    let home = Home::new();
    let estate = home.synthetic("strings", "300000");
    let mut child: Child = home.command(&estate, &[]).stderr(Stdio::null()).spawn().unwrap();
    let python = || Command::new("pgrep").args(["-P", &child.id().to_string()]).output().unwrap().stdout;
    assert!(wait_for(|| !python().is_empty()), "no driver");
    std::thread::sleep(Duration::from_secs(8));
    let driver = String::from_utf8(python()).unwrap();
    assert!(Command::new("kill").args(["-KILL", driver.trim()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    home.nothing_is_left();
}

fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_mins(2) {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    false
}
