//! PostgreSQL for tests: a server on a socket in a temporary directory, databases in it, and a synthetic inventory.
//!
//! Tests share one server and make a database each. A test that kills its server, or configures it, starts its own.

use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use postgres::{Client, NoTls};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{binary, outcome};

/// A server that ends with the last test that has it.
pub struct Server {
    home: TempDir,
    programs: PathBuf,
    /// User and group to run as, where the test runs as root.
    user: Option<(u32, u32)>,
    process: Mutex<Option<Child>>,
    options: Vec<String>,
}

/// The server that tests share. It is not kept alive from here: nothing would end it.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server of all tests that run at the same time.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Self::start(&[]);
        *shared = Arc::downgrade(&server);
        server
    }

    /// Makes a cluster and starts it. `options` are settings as `postgres -c` takes them.
    pub fn start(options: &[&str]) -> Arc<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), options)
    }

    /// The same in a directory that has files for the server already.
    pub fn start_in(home: TempDir, options: &[&str]) -> Arc<Self> {
        let programs = programs();
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(home.path(), Some(uid), Some(gid)).unwrap();
            for entry in fs::read_dir(home.path()).unwrap() {
                chown(entry.unwrap().path(), Some(uid), Some(gid)).unwrap();
            }
        }
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let server = Arc::new(Self { home, programs, user, process: Mutex::new(None), options });
        let data = server.path("data");
        let made = server
            .command("initdb")
            .args(["-U", "smi", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.resume();
        server
    }

    /// A path in the server's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program of the server's, as a user that it accepts: it refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
                command.arg(program);
                command
            }
        };
        command.current_dir(self.home.path());
        command
    }

    /// User and group that the server runs as, where the test runs as root.
    pub const fn user(&self) -> Option<(u32, u32)> {
        self.user
    }

    /// Starts the server, or starts it again, and waits until it answers.
    ///
    /// A server that was killed while it made a file of an unlogged table may end its recovery with `File exists`: seen once
    /// with 17.10. It is started once more then, as an administrator would.
    pub fn resume(&self) {
        let Err(why) = self.started() else { return };
        assert!(why.contains("File exists"), "{why}");
        self.started().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Starts the server; why it ended or does not answer, where that is so.
    fn started(&self) -> Result<(), String> {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.path("data")).arg("-k").arg(self.home.path());
        for option in ["fsync=off", "listen_addresses=", "max_connections=40", "shared_buffers=64MB"] {
            command.args(["-c", option]);
        }
        for option in &self.options {
            command.args(["-c", option]);
        }
        let log = (log.try_clone().unwrap(), log);
        let mut process = command.stdin(Stdio::null()).stdout(log.0).stderr(log.1).spawn().unwrap();
        for _ in 0..600 {
            if Client::connect(&self.url("postgres"), NoTls).is_ok() {
                *self.process.lock().unwrap() = Some(process);
                return Ok(());
            }
            if let Some(status) = process.try_wait().unwrap() {
                return Err(format!("the server ended: {status}: {}", fs::read_to_string(self.path("log")).unwrap()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = process.kill();
        let _ = process.wait();
        Err(format!("the server does not answer: {}", fs::read_to_string(self.path("log")).unwrap()))
    }

    /// Kills the server and its children, as a power failure would.
    pub fn kill(&self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut process) = process else { return };
        let mut all = vec![process.id().to_string()];
        // Its children are killed too.
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
            if parent.as_deref() == Some(&all[0]) {
                all.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        let _ = Command::new("kill").arg("-9").args(&all).stderr(Stdio::null()).status();
        process.wait().unwrap();
        // Until the last of them is gone, the server would not start again.
        while all.iter().any(|id| is_alive(id)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        let port = self.options.iter().find_map(|option| option.strip_prefix("port=")).unwrap_or("5432");
        format!("postgresql://smi@/{database}?host={}&port={port}", self.home.path().display())
    }

    /// A database, as a copy of another where one is named.
    pub fn database(self: &Arc<Self>, name: &str, template: Option<&str>) -> Database {
        let mut client = Client::connect(&self.url("postgres"), NoTls).unwrap();
        let template = template.map_or_else(String::new, |template| format!(" TEMPLATE {template}"));
        client.batch_execute(&format!("CREATE DATABASE {name}{template}")).unwrap();
        self.again(name)
    }

    /// A database that exists.
    pub fn again(self: &Arc<Self>, name: &str) -> Database {
        Database { server: Arc::clone(self), name: name.into() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_alive(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // A process that has ended and is not yet collected (state Z) holds no files.
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Where the server's programs are: where `SMI_SWEEP_POSTGRES` says, else [`installed`].
fn programs() -> PathBuf {
    std::env::var_os("SMI_SWEEP_POSTGRES").map_or_else(|| installed("initdb"), PathBuf::from)
}

/// Where a program of PostgreSQL is: the newest that Debian installed, else what the path has.
fn installed(program: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    if let Some(version) = newest {
        return PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join(program).exists())
        .expect("PostgreSQL's server programs: Debian's package `postgresql`, which scripts/test installs")
}

/// Whom to run as, where the test itself runs as root.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("id").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if id(&["-u"])? != "0" {
        return None;
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| Some((id(&["-u", name])?.parse().ok()?, id(&["-g", name])?.parse().ok()?)))
}

/// A database of the server.
pub struct Database {
    pub server: Arc<Server>,
    name: String,
}

/// The reference device table, with columns that the engine does not know.
pub const DEVICE: &str = "CREATE TABLE device (device_id text PRIMARY KEY, device_type text NOT NULL, smi_status text, \
     status_since timestamptz, notifying_party text, notifying_role text, model text, notes jsonb, weight numeric(9,3))";

impl Database {
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url(), NoTls).unwrap()
    }

    #[track_caller]
    pub fn sql(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The one number that a query gives.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        self.client().query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// The one text that a query gives; empty for null.
    #[track_caller]
    pub fn text(&self, sql: &str) -> String {
        let row = self.client().query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }

    fn psql(&self, script: Stdio, variables: &[&str]) -> Output {
        // Packages of the server alone come without psql; an older one can talk to a newer server.
        let own = self.server.programs.join("psql");
        let psql = if own.exists() { own } else { installed("psql").join("psql") };
        let mut command = Command::new(psql);
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", &self.url(), "-f", "-"]).stdin(script);
        command.args(variables.iter().flat_map(|variable| ["-v", variable])).output().expect("psql runs")
    }

    /// Runs statements by psql, which must succeed, and gives the rows of what they select, a line each.
    #[track_caller]
    pub fn ask(&self, sql: &str) -> Vec<String> {
        let mut script = tempfile::tempfile().unwrap();
        script.write_all(sql.as_bytes()).unwrap();
        script.rewind().unwrap();
        let output = self.psql(script.into(), &[]);
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Runs a file by psql with variables, and says why it failed where it did.
    pub fn run_file(&self, file: &Path, variables: &[&str]) -> Result<(), String> {
        let output = self.psql(fs::File::open(file).unwrap().into(), variables);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Fills the reference table: a fifth of the devices is pending, for up to 900 days.
    pub fn estate(&self, devices: u32) {
        self.sql(DEVICE);
        self.sql(&format!(
            "INSERT INTO device SELECT upper(regexp_replace(substr(md5(i::text), 1, 16), '(..)(?!$)', '\\1-', 'g')), \
             (ARRAY['CHF', 'GPF', 'ESME', 'GSME', 'PPMID', 'IHD'])[1 + i % 6], \
             CASE WHEN i % 6 = 5 THEN NULL WHEN i / 6 % 10 < 2 THEN 'Pending' ELSE 'Commissioned' END, \
             now() - (i % 900) * interval '1 day' - (i % 1000) * interval '1 microsecond', \
             '90-B3-D5-1F-30-00-00-0' || (i % 7), CASE WHEN i % 3 = 0 THEN 'ServiceUser' END, \
             'model ' || (i % 20), jsonb_build_object('n', i), i / 1000.0 FROM generate_series(1, {devices}) AS i; \
             ANALYZE device"
        ));
    }

    /// Runs the binary on this database, and gives exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome(&self.command(arguments).output().expect("the binary runs"))
    }

    /// The binary on this database: `URL` among the arguments stands for it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let url = self.url();
        let mut command = binary();
        command.args(arguments.iter().map(|argument| if *argument == "URL" { url.as_str() } else { argument }));
        command.env_remove("PGPASSWORD").env("HOME", self.server.home.path());
        command
    }

    /// Runs the binary on this database, which must go well, and gives standard output.
    #[track_caller]
    pub fn well(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }

    /// Exports and sweeps: the run directory.
    #[track_caller]
    pub fn swept(&self, folder: &Path, policy: &str, more: &[&str]) -> PathBuf {
        let (snapshot, run, policy_file) = (folder.join("snapshot"), folder.join("run"), folder.join("policy.toml"));
        fs::write(&policy_file, policy).unwrap();
        let policy = policy_file.to_str().unwrap();
        let export = ["export", "--from", "URL", "--policy", policy, "--out", snapshot.to_str().unwrap()];
        self.well(&[&export[..], more].concat());
        self.well(&["sweep", snapshot.to_str().unwrap(), "--policy", policy, "--out", run.to_str().unwrap()]);
        run
    }
}

/// Twelve months, Comms Hubs excluded, guards out of the way.
pub const POLICY: &str = "name = \"months12\"\nversion = 1\n[threshold]\ndefault = 12\n[exclude]\ntypes = [\"CHF\"]\n\
     [guard]\nmax_deletes = 1000000\nmax_delete_share = 1.0\nmax_quarantined = 1000\n";

/// What confirms a run: its dry run prints it.
#[track_caller]
pub fn confirmation(database: &Database, load: &[&str]) -> String {
    let out = database.well(&[load, &["--json"]].concat());
    serde_json::from_str::<Value>(&out).unwrap()["confirm"].as_str().unwrap().to_owned()
}

/// An output that must have failed with this exit code and one line of message.
#[track_caller]
pub fn failed(output: &Output, code: i32, says: &str) {
    let (found, _, err) = outcome(output);
    assert_eq!(found, code, "{err}");
    assert!(err.contains(says), "`{says}` is not in: {err}");
    assert_eq!(err.lines().filter(|line| line.starts_with("smi-sweep: ")).count(), 1, "{err}");
}
