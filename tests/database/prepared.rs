//! An inventory with a run over it, ready to be loaded: what tests of loads and undos begin with.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::outcome;
use crate::common::server::{Database, POLICY, Server, confirmation};

/// A run over a synthetic inventory of a database, and what confirms its load.
pub struct Prepared {
    pub folder: TempDir,
    pub database: Database,
    pub run: String,
}

impl Prepared {
    /// The reference table with so many devices; `more` is run before the tables of a load are made.
    pub fn new(name: &str, devices: u32, more: &str) -> Self {
        let database = Server::shared().database(name, None);
        database.estate(devices);
        database.sql(more);
        Self::of(database)
    }

    /// A run over the device table that the database has.
    pub fn of(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        database.well(&["load", "--init", "--to", "URL"]);
        let run = database.swept(folder.path(), POLICY, &[]).to_str().unwrap().to_owned();
        Self { folder, database, run }
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.database.server
    }

    pub fn confirm(&self) -> String {
        confirmation(&self.database, &["load", &self.run, "--to", "URL"])
    }

    /// The arguments of a load, with `more`.
    pub fn load<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["load", &self.run, "--to", "URL", "--json"], more].concat()
    }

    pub fn output(&self, more: &[&str]) -> Output {
        self.database.command(&self.load(more)).output().unwrap()
    }

    /// A dry run, which must succeed.
    #[track_caller]
    pub fn dry_run(&self, more: &[&str]) -> Value {
        serde_json::from_str(&self.database.well(&self.load(more))).unwrap()
    }

    /// Dry run and load, which must succeed. Gives the document of the load.
    #[track_caller]
    pub fn loaded(&self) -> Value {
        let confirm = self.confirm();
        self.dry_run(&["--execute", "--confirm", &confirm])
    }

    /// The exit code, the document and the messages of an executed undo.
    #[track_caller]
    pub fn undo(&self) -> (i32, Value, String) {
        let planned = fs::read(Path::new(&self.run).join("run.json")).unwrap();
        let record: Value = serde_json::from_slice(&planned).unwrap();
        let id = self.database.text("SELECT run_id FROM sweep_load");
        let confirm = format!("{id}:{}", record["tally"]["delete"]);
        let (code, out, err) = outcome(&self.output(&["--undo", "--execute", "--confirm", &confirm]));
        (code, serde_json::from_str(&out).unwrap_or_default(), err)
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.database.number(sql)
    }

    /// Remembers the device table, for [`is_as_before`](Self::is_as_before).
    pub fn remember(&self) {
        self.database.sql("CREATE TABLE before AS SELECT * FROM device");
    }

    /// Rows of the device table that are not as they were remembered, and the reverse.
    pub fn differing(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM ((TABLE device EXCEPT TABLE before) UNION ALL (TABLE before EXCEPT TABLE device)) AS d",
        )
    }

    #[track_caller]
    pub fn is_as_before(&self) {
        assert_eq!(self.differing(), 0, "the device table is as it was");
    }
}
