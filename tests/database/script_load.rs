//! A run that is loaded by the SQL script, and then accounted for and undone by `load`.
//!
//! The script and `load` share one guarded delete and the same tables, so each can go on where the other stopped.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::server::{Database, POLICY, Server, confirmation};

/// An inventory of 3,000 devices, a run over it, and the run as an SQL script.
struct ScriptLoad {
    home: TempDir,
    database: Database,
    run: PathBuf,
}

impl ScriptLoad {
    /// Devices that the run deletes and that change before the script runs, by how they change.
    const CHANGED: i64 = 7;
    const GONE: i64 = 5;

    fn new(name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let database = Server::shared().database(name, None);
        database.estate(3_000);
        database.well(&["load", "--init", "--to", "URL"]);
        let run = database.swept(home.path(), POLICY, &[]);
        let script = Self { home, database, run };
        let export =
            ["manifest", "export", script.run(), "--format", "sql", "--batch", "40", "--out", &script.text("sql")];
        script.database.well(&export);
        let due = "SELECT device_id FROM device WHERE smi_status = 'Pending' AND device_type <> 'CHF' \
                   AND status_since < now() - interval '13 months' ORDER BY md5(device_id)";
        let (changed, gone) = (Self::CHANGED, Self::GONE);
        script.database.sql(&format!(
            "UPDATE device SET smi_status = 'Commissioned' WHERE device_id IN ({due} LIMIT {changed}); \
             DELETE FROM device WHERE device_id IN ({due} LIMIT {gone}); \
             CREATE TABLE before AS SELECT * FROM device"
        ));
        script
    }

    fn run(&self) -> &str {
        self.run.to_str().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn run_script(&self, file: &Path) -> Result<(), String> {
        self.database.run_file(file, &[])
    }

    fn number(&self, sql: &str) -> i64 {
        self.database.number(sql)
    }

    /// What `load` says of the run.
    fn account(&self, more: &[&str]) -> Value {
        let out = self.database.well(&[&["load", self.run(), "--to", "URL", "--json"], more].concat());
        serde_json::from_str(&out).unwrap()
    }

    fn confirmation(&self) -> String {
        confirmation(&self.database, &["load", self.run(), "--to", "URL"])
    }

    /// The account equals the database: every planned device is deleted, changed, gone or failed.
    #[track_caller]
    fn is_exact(&self, account: &Value) {
        let total = |key: &str| account["total"][key].as_i64().unwrap();
        assert_eq!(total("deleted"), self.number("SELECT count(*) FROM device_removed"));
        assert_eq!(total("alerts"), self.number("SELECT count(*) FROM alert_outbox"));
        assert_eq!((total("changed"), total("gone"), total("failed")), (Self::CHANGED, Self::GONE, 0));
        assert_eq!(total("planned"), total("deleted") + Self::CHANGED + Self::GONE);
        let missing = "SELECT count(*) FROM (TABLE before EXCEPT TABLE device) AS deleted";
        assert_eq!(total("deleted"), self.number(missing));
    }
}

/// A script recorded nothing of the devices that it kept. `load` then counted every planned device as deleted and ended with
/// "internal figures disagree"; `load --undo` ended so after its commits.
#[test]
fn a_script_load_is_accounted_for_and_undone() {
    let script = ScriptLoad::new("script_story");
    script.run_script(&script.path("sql/load.sql")).unwrap();

    let account = script.account(&[]);
    assert_eq!(account["already_loaded"], true);
    script.is_exact(&account);
    let confirm = script.confirmation();
    script.is_exact(&script.account(&["--execute", "--confirm", &confirm]));
    let record: Value = serde_json::from_slice(&fs::read(script.run.join("load.json")).unwrap()).unwrap();
    assert_eq!((&record["state"], &record["total"]), (&"loaded".into(), &account["total"]));

    let undone = script.account(&["--undo", "--execute", "--confirm", &confirm]);
    assert_eq!(undone["undone"]["restored"], account["total"]["deleted"]);
    let differ =
        "SELECT count(*) FROM ((TABLE before EXCEPT TABLE device) UNION ALL (TABLE device EXCEPT TABLE before)) AS d";
    assert_eq!(script.number(differ), 0, "the inventory is as it was before the load");
    assert_eq!(script.number("SELECT count(*) FROM alert_outbox"), 0);
    let record: Value = serde_json::from_slice(&fs::read(script.run.join("load.json")).unwrap()).unwrap();
    assert_eq!(record["state"], "undone");

    // A run that was undone is not loaded again, by a script either.
    script.run_script(&script.path("sql/load.sql")).unwrap();
    assert_eq!(script.number(differ), 0);
}

/// The script is cut off in the middle, and `load` does the rest: one account of both.
#[test]
fn load_goes_on_where_a_script_was_cut_off() {
    let script = ScriptLoad::new("script_cut");
    let whole = fs::read(script.path("sql/load.sql")).unwrap();
    let part = script.path("part.sql");
    fs::write(&part, &whole[..whole.len() / 2]).unwrap();
    let _ = script.run_script(&part);
    let done = script.number("SELECT done FROM sweep_load");
    assert!(done > 0 && done < script.number("SELECT planned FROM sweep_load"), "{done}");

    let confirm = script.confirmation();
    script.is_exact(&script.account(&["--execute", "--confirm", &confirm]));
    script.run_script(&script.path("sql/load.sql")).unwrap();
    script.is_exact(&script.account(&[]));
}
