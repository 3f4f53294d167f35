//! A synthetic inventory on a real server, with a run over it that is ready to be loaded.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::outcome;
use crate::common::server::{Database, POLICY, Server, confirmation};

/// An inventory, a run over it, and the command that loads the run.
pub struct Prepared {
    pub folder: TempDir,
    pub database: Database,
    pub run: String,
}

/// Planned devices, in the order of the manifest.
pub const PLANNED: &str = "SELECT device_id FROM device WHERE smi_status = 'Pending' AND device_type = 'ESME' \
                       AND status_since < now() - interval '2 years' ORDER BY device_id";

impl Prepared {
    pub fn new(name: &str, devices: u32) -> Self {
        Self::with(name, devices, "")
    }

    /// The same, after statements that change the device table.
    pub fn with(name: &str, devices: u32, statements: &str) -> Self {
        let database = Server::shared().database(name, None);
        database.estate(devices);
        database.sql(statements);
        Self::of(database)
    }

    /// A run over the device table that a database has.
    pub fn of(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        database.well(&["load", "--init", "--to", "URL"]);
        let run = database.swept(folder.path(), POLICY, &[]).to_str().unwrap().to_owned();
        Self { folder, database, run }
    }

    /// The arguments of a load, with `more`.
    pub fn load<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["load", &self.run, "--to", "URL", "--json"], more].concat()
    }

    pub fn confirm(&self) -> String {
        confirmation(&self.database, &["load", &self.run, "--to", "URL"])
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.database.number(sql)
    }

    /// Runs a load that must succeed, and gives its document.
    #[track_caller]
    pub fn loaded(&self, more: &[&str]) -> Value {
        serde_json::from_str(&self.database.well(&self.load(more))).unwrap()
    }

    /// Dry run and load, which must succeed. Gives the document of the load.
    #[track_caller]
    pub fn executed(&self) -> Value {
        let confirm = self.confirm();
        self.loaded(&["--execute", "--confirm", &confirm])
    }

    /// The exit code, the document and the messages of an executed undo.
    #[track_caller]
    pub fn undone(&self) -> (i32, Value, String) {
        let confirm = self.database.text("SELECT run_id || ':' || planned FROM sweep_load");
        let undo = self.load(&["--undo", "--execute", "--confirm", &confirm]);
        let (code, out, err) = outcome(&self.database.command(&undo).output().unwrap());
        (code, serde_json::from_str(&out).unwrap_or_default(), err)
    }

    /// Remembers the device table, for [`differing`](Self::differing).
    pub fn remember(&self) {
        self.database.sql("CREATE TABLE before AS SELECT * FROM device");
    }

    /// Rows of the device table that are not as they were remembered, and the reverse.
    #[track_caller]
    pub fn differing(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM ((TABLE device EXCEPT TABLE before) UNION ALL (TABLE before EXCEPT TABLE device)) AS d",
        )
    }

    /// Runs a command, interrupts it once `ready` is true of the database, and gives its output.
    pub fn interrupted(&self, arguments: &[&str], ready: &str) -> Output {
        let mut command = self.database.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while self.number(&format!("SELECT count(*) FROM sweep_load WHERE {ready}")) == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        child.wait_with_output().unwrap()
    }

    /// The document equals the database: every planned device has one outcome, every deleted one a row in the archive.
    #[track_caller]
    pub fn is_exact(&self, document: &Value) {
        let total = |key: &str| document["total"][key].as_i64().unwrap();
        assert_eq!(total("planned"), ["deleted", "changed", "gone", "failed"].map(total).iter().sum::<i64>());
        assert_eq!(total("deleted"), self.number("SELECT count(*) FROM device_removed"));
        assert_eq!(total("alerts"), self.number("SELECT count(*) FROM alert_outbox"));
        assert_eq!(total("open"), 0);
        let kept = total("planned") - total("deleted");
        assert_eq!(kept, self.number("SELECT count(*) FROM sweep_load_kept"));
        assert_eq!(self.number("SELECT count(*) FROM device JOIN device_removed USING (device_id)"), 0);
        assert_eq!(self.document()["total"], document["total"]);
    }

    /// `load.json` of the run.
    #[track_caller]
    pub fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(Path::new(&self.run).join("load.json")).unwrap()).unwrap()
    }
}
