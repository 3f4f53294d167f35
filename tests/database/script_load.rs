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
        Self::with(name, "")
    }

    /// The same, after statements that change the device table before `--init`.
    fn with(name: &str, statements: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let database = Server::shared().database(name, None);
        database.estate(3_000);
        database.sql(statements);
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

impl ScriptLoad {
    /// Runs the whole script, which must fail and say so, and must not delete anything.
    #[track_caller]
    fn is_refused(&self, says: &str) {
        let before = self.number("SELECT count(*) FROM device");
        let error = self.run_script(&self.path("sql/load.sql")).unwrap_err();
        assert!(error.contains(says), "`{says}` is not in: {error}");
        assert_eq!(self.number("SELECT count(*) FROM device"), before);
        assert_eq!(self.number("SELECT count(*) FROM device_removed"), 0);
    }
}

/// A column was dropped before `--init`, and others stand in another order in the archive. The script archived by position.
#[test]
fn a_script_archives_columns_by_name() {
    let script = ScriptLoad::with(
        "script_columns",
        "ALTER TABLE device DROP COLUMN weight; ALTER TABLE device ADD COLUMN weight text DEFAULT 'heavy'; \
         ALTER TABLE device ADD COLUMN twice text GENERATED ALWAYS AS (model || model) STORED",
    );
    script.database.sql(
        "ALTER TABLE device_removed DROP COLUMN model; ALTER TABLE device_removed ADD COLUMN model text; \
         ALTER TABLE device ADD COLUMN later integer DEFAULT 7",
    );
    script.is_refused(
        "column later of table public.device has not the same type in public.device_removed, or is missing there",
    );
    script.database.well(&["load", "--init", "--to", "URL"]);
    script.run_script(&script.path("sql/load.sql")).unwrap();
    let confirm = script.confirmation();
    let account = script.account(&["--execute", "--confirm", &confirm]);
    assert_eq!(
        account["total"]["deleted"],
        script
            .number("SELECT count(*) FROM device_removed WHERE weight = 'heavy' AND later = 7 AND model LIKE 'model%'")
    );
    script.account(&["--undo", "--execute", "--confirm", &confirm]);
    let columns = "device_id, device_type, smi_status, status_since, notifying_party, notifying_role, model, notes, weight, twice";
    let differ =
        format!("SELECT count(*) FROM (SELECT {columns} FROM before EXCEPT SELECT {columns} FROM device) AS d");
    assert_eq!(script.number(&differ), 0);
}

/// A run that is too old, or that a later run has superseded, is not loaded by a script either.
#[test]
fn a_script_of_an_old_or_superseded_run_is_refused() {
    let script = ScriptLoad::new("script_old");
    script.database.sql(
        "INSERT INTO sweep_load (run_id, inventory, as_of, state, planned) VALUES ('later', 'public.device', now(), 'loaded', 0)",
    );
    script.is_refused("is superseded: a later run, as of");
    script
        .database
        .sql("DELETE FROM sweep_load WHERE run_id = 'later'; UPDATE sweep_load SET as_of = now() - interval '8 days'");
    script.is_refused("more than 7 days ago");
    script.database.sql("UPDATE sweep_load SET as_of = now() + interval '1 day'");
    script.is_refused("which is in the future");
    script.database.sql("DELETE FROM sweep_load; CREATE TABLE child (own text) INHERITS (device)");
    script.is_refused("a table inherits from table public.device");
    script.database.sql("DROP TABLE child");
    let mut other = script.database.client();
    other.execute("SELECT pg_advisory_lock(1397573971, 'device'::regclass::oid::integer)", &[]).unwrap();
    script.is_refused("another load of table public.device is running");
    drop(other);
    script.run_script(&script.path("sql/load.sql")).unwrap();
    script.is_exact(&script.account(&[]));
}

/// Rows that a foreign key or a trigger keeps in place blocked their batch for ever. They fail alone, and the account is right
/// as soon as the script has ended.
#[test]
fn a_row_that_fails_does_not_block_the_batch_of_a_script() {
    let script = ScriptLoad::new("script_fails");
    let due = "SELECT device_id FROM before WHERE smi_status = 'Pending' AND device_type = 'ESME' \
               AND status_since < now() - interval '2 years' ORDER BY device_id";
    script.database.sql(&format!(
        "CREATE TABLE meter (device_id text REFERENCES device DEFERRABLE INITIALLY DEFERRED); INSERT INTO meter {due} LIMIT 2; \
         CREATE FUNCTION protect() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN \
         IF OLD.device_id = ({due} OFFSET 3 LIMIT 1) THEN RAISE EXCEPTION 'kept' USING ERRCODE = '42501'; END IF; \
         IF OLD.device_id = ({due} OFFSET 4 LIMIT 1) THEN RETURN NULL; END IF; RETURN OLD; END $$; \
         CREATE TRIGGER protect BEFORE DELETE ON device FOR EACH ROW EXECUTE FUNCTION protect(); \
         CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN \
         IF NEW.device_id = ({due} OFFSET 5 LIMIT 1) THEN RETURN NULL; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER swallow BEFORE INSERT ON alert_outbox FOR EACH ROW EXECUTE FUNCTION swallow()"
    ));
    script.run_script(&script.path("sql/load.sql")).unwrap();
    let account = script.account(&[]);
    assert_eq!(account["already_loaded"], true);
    let reasons =
        script.database.ask("SELECT left(reason, 26) FROM sweep_load_kept WHERE outcome = 'failed' ORDER BY 1");
    assert_eq!(
        reasons,
        [
            "23503 update or delete on ",
            "23503 update or delete on ",
            "42501 kept",
            "left in place by trigger p",
            "the alert was kept out by ",
        ]
    );
    assert_eq!(account["total"]["failed"], 5, "{account}");
    assert_eq!(account["total"]["deleted"], script.number("SELECT count(*) FROM device_removed"));
    assert_eq!(account["total"]["alerts"], script.number("SELECT count(*) FROM alert_outbox"));
    assert_eq!(script.number("SELECT count(*) FROM sweep_load WHERE state = 'loaded' AND done = planned"), 1);
}

/// The script compares as the load does: other types and spellings of Device IDs.
#[test]
fn a_script_finds_device_ids_in_other_forms() {
    for (name, kind) in [("char", "char(23)"), ("citext", "citext")] {
        let script = ScriptLoad::with(
            &format!("script_{name}"),
            &format!(
                "CREATE EXTENSION citext; ALTER TABLE device ALTER COLUMN device_id TYPE {kind}; \
                 ALTER TABLE device DROP COLUMN notifying_role; UPDATE device SET device_id = lower(device_id::text) WHERE device_id::text < '4'"
            ),
        );
        script.run_script(&script.path("sql/load.sql")).unwrap();
        script.is_exact(&script.account(&[]));
    }
}
