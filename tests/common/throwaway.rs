//! A PostgreSQL server of a test's own: made in a temporary folder, reached by a socket in it, gone with it.

use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A server that runs until it is dropped.
pub struct Server {
    home: TempDir,
    programs: PathBuf,
}

impl Server {
    /// Starts an empty server.
    pub fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let server = Self { programs: programs(), home };
        server.steward("initdb", &["-D", &server.data(), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"]);
        let options = format!("-k {} -c listen_addresses= -c fsync=off", server.socket());
        server.steward("pg_ctl", &["-D", &server.data(), "-l", &server.log(), "-o", &options, "-w", "start"]);
        server
    }

    fn data(&self) -> String {
        self.home.path().join("data").to_str().unwrap().to_owned()
    }

    fn log(&self) -> String {
        self.home.path().join("log").to_str().unwrap().to_owned()
    }

    fn socket(&self) -> &str {
        self.home.path().to_str().unwrap()
    }

    /// Runs a program of the server's, which refuses to be run by root.
    fn steward(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        // What the server writes goes to its log; a pipe would be held open for as long as it runs.
        let log = fs::OpenOptions::new().create(true).append(true).open(self.home.path().join("steward")).unwrap();
        let status = command.args(arguments).current_dir("/").stdout(log.try_clone().unwrap()).stderr(log).status();
        let said = || fs::read_to_string(self.home.path().join("steward")).unwrap_or_default();
        assert!(status.is_ok_and(|status| status.success()), "{}: {}", program.display(), said());
    }

    fn psql(&self, script: Stdio, variables: &[&str]) -> Output {
        let common =
            ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", self.socket(), "-f", "-"];
        let variables = variables.iter().flat_map(|variable| ["-v", variable]);
        let mut command = Command::new(self.programs.join("psql"));
        command.args(common).args(variables).stdin(script).output().expect("psql runs")
    }

    /// Runs statements that must succeed, and gives the rows of what they select, a line each.
    #[track_caller]
    pub fn ask(&self, sql: &str) -> Vec<String> {
        let mut script = tempfile::tempfile().unwrap();
        script.write_all(sql.as_bytes()).unwrap();
        script.rewind().unwrap();
        let output = self.psql(script.into(), &[]);
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Runs a file with variables, and says whether it succeeded.
    pub fn run_file(&self, file: &Path, variables: &[&str]) -> Result<(), String> {
        let output = self.psql(fs::File::open(file).unwrap().into(), variables);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.steward("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }
}

/// Where the newest server that is installed has its programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    found.pop().expect("PostgreSQL is installed, as scripts/test sees to: apt-get install postgresql")
}
