//! The account of a load equals the database, whatever other sessions, triggers and administrators do meanwhile.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::common::outcome;
use crate::common::prepared::{PLANNED, Prepared};
use crate::common::server::{POLICY, confirmation, failed};

/// Loads under concurrent writers.
const RUNS: usize = 4;

/// A trigger on a table, by its function's body.
fn trigger(name: &str, when: &str, body: &str) -> String {
    format!(
        "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN {body} END $$; \
         CREATE TRIGGER {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
}

impl Prepared {
    /// Executes the load, and gives what it printed.
    fn execute(&self, confirm: &str, more: &[&str]) -> Output {
        let execute = [&["--execute", "--confirm", confirm], more].concat();
        self.database.command(&self.load(&execute)).output().unwrap()
    }

    /// Nothing is deleted, archived or alerted.
    #[track_caller]
    fn is_untouched(&self, devices: i64) {
        assert_eq!(self.number("SELECT count(*) FROM device"), devices);
        assert_eq!(self.number("SELECT count(*) FROM device_removed"), 0);
        assert_eq!(self.number("SELECT count(*) FROM alert_outbox"), 0);
    }

    /// How many kept devices have a reason that contains this text.
    fn kept_for(&self, reason: &str) -> i64 {
        self.number(&format!(
            "SELECT count(*) FROM sweep_load_kept WHERE outcome = 'failed' AND reason LIKE '%{reason}%'"
        ))
    }
}

/// Rows that are locked for a while, changed or deleted by other sessions while a load runs: each device has one outcome.
#[test]
fn concurrent_writers_leave_the_account_exact() {
    for run in 0..RUNS {
        let prepared = Prepared::new(&format!("writers{run}"), 6_000);
        let confirm = prepared.confirm();
        let stop = AtomicBool::new(false);
        let output = std::thread::scope(|scope| {
            for writer in 0..3 {
                let (mut client, stop) = (prepared.database.client(), &stop);
                scope.spawn(move || {
                    let planned = client.query(PLANNED, &[]).unwrap();
                    let ids: Vec<String> = planned.iter().map(|row| row.get(0)).collect();
                    for turn in (writer..).step_by(7).take_while(|_| !stop.load(Ordering::Relaxed)) {
                        let id = &ids[(turn * 31 + run * 17) % ids.len()];
                        let mut work = client.transaction().unwrap();
                        let change = match turn % 5 {
                            0 => "DELETE FROM device WHERE device_id = $1",
                            1 => "UPDATE device SET status_since = now() WHERE device_id = $1",
                            _ => "SELECT FROM device WHERE device_id = $1 FOR UPDATE",
                        };
                        work.execute(change, &[id]).unwrap();
                        // Longer than the lock timeout, so that the row is skipped, and tried again at the end.
                        std::thread::sleep(Duration::from_millis(if turn % 3 == 0 { 350 } else { 5 }));
                        work.commit().unwrap();
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(100));
            let output = prepared.execute(&confirm, &["--lock-timeout", "200", "--batch", "40", "--pause", "20"]);
            stop.store(true, Ordering::Relaxed);
            output
        });
        let (code, out, err) = outcome(&output);
        assert_eq!(code, 0, "run {run}: {err}");
        prepared.is_exact(&serde_json::from_str(&out).unwrap());
    }
}

/// A trigger that keeps alerts or archived rows out, without an error. The deletion of such a device is rolled back, in the
/// dry run too, and the reason names the trigger.
#[test]
fn triggers_that_swallow_rows_are_noticed_in_the_transaction() {
    let third = "NEW.load_ord % 3 = 0";
    for (name, table, when, body, what) in [
        (
            "outbox",
            "alert_outbox",
            "BEFORE",
            format!("IF {third} THEN RETURN NULL; END IF; RETURN NEW;"),
            "the alert was not written",
        ),
        (
            "archive",
            "device_removed",
            "AFTER",
            format!("DELETE FROM device_removed WHERE {third} AND load_ord = NEW.load_ord; RETURN NULL;"),
            "the row was not archived",
        ),
    ] {
        let prepared = Prepared::new(&format!("swallow_{name}"), 1_500);
        prepared.database.sql(&trigger("swallow", &format!("{when} INSERT ON {table}"), &body));
        let dry_run = prepared.loaded(&[]);
        let failing = dry_run["total"]["failed"].as_i64().unwrap();
        assert!(failing > 10, "{dry_run}");
        prepared.is_untouched(1_500);
        let document = prepared.loaded(&["--execute", "--confirm", dry_run["confirm"].as_str().unwrap()]);
        prepared.is_exact(&document);
        assert_eq!(document["total"]["failed"], failing);
        assert_eq!(
            prepared.kept_for(&format!("{what}: trigger swallow of \"public\".\"{table}\"")),
            failing,
            "{document}"
        );
    }
}

/// Without the record of kept devices, or of progress, there is no account: the load stops before it commits anything.
#[test]
fn a_trigger_that_swallows_the_record_stops_the_load() {
    for (name, table, event, what) in [
        ("kept", "sweep_load_kept", "INSERT", "the outcome was not recorded"),
        ("progress", "sweep_load", "UPDATE", "the progress was not recorded"),
    ] {
        let prepared = Prepared::new(&format!("swallow_{name}"), 900);
        let confirm = prepared.confirm();
        prepared
            .database
            .sql(&format!("UPDATE device SET smi_status = 'Commissioned' WHERE device_id = ({PLANNED} LIMIT 1)"));
        prepared.database.sql(&trigger("swallow", &format!("BEFORE {event} ON {table}"), "RETURN NULL;"));
        failed(&prepared.execute(&confirm, &[]), 1, &format!("{what}: trigger swallow of"));
        prepared.is_untouched(900);
    }
}

/// A trigger that leaves some devices in place, one that makes an update of a deletion, and one that inserts the device
/// again. Nobody holds these rows: the reason is the trigger.
#[test]
fn a_trigger_that_suppresses_a_deletion_is_the_reason() {
    let some = format!("OLD.device_id IN (SELECT device_id FROM ({PLANNED}) AS p LIMIT 3)");
    let some = some.replace("SELECT device_id FROM device", "SELECT device_id FROM shadow");
    let cases = [
        ("suppress", "BEFORE DELETE", format!("IF {some} THEN RETURN NULL; END IF; RETURN OLD;"), "left in place by"),
        (
            "soften",
            "BEFORE DELETE",
            format!(
                "IF {some} THEN UPDATE device SET model = 'withdrawn' WHERE device_id = OLD.device_id; RETURN NULL; END IF; \
                 RETURN OLD;"
            ),
            "left in place by",
        ),
        (
            "revive",
            "AFTER DELETE",
            format!("IF {some} THEN INSERT INTO device SELECT OLD.*; END IF; RETURN NULL;"),
            "the device was inserted again:",
        ),
    ];
    for (name, when, body, what) in cases {
        let prepared = Prepared::new(&format!("trigger_{name}"), 1_500);
        prepared.database.sql("CREATE TABLE shadow AS SELECT * FROM device");
        prepared.database.sql(&trigger(name, &format!("{when} ON device"), &body));
        let confirm = prepared.confirm();
        let document = prepared.loaded(&["--batch", "50", "--execute", "--confirm", &confirm]);
        prepared.is_exact(&document);
        assert_eq!(document["total"]["failed"], 3, "{document}");
        assert_eq!(prepared.kept_for(&format!("{what} trigger {name} of")), 3, "{document}");
        // What the trigger did is rolled back with it.
        assert_eq!(prepared.number("SELECT count(*) FROM device WHERE model = 'withdrawn'"), 0);
    }
}

/// A trigger takes any SQLSTATE that it likes, also one that PostgreSQL uses for a session or for a cancelled statement.
#[test]
fn the_sqlstate_of_a_trigger_fails_the_row_and_not_the_load() {
    for (number, state) in ["P0002", "SM001", "42501", "57014", "XX000"].into_iter().enumerate() {
        let prepared = Prepared::new(&format!("sqlstate{number}"), 900);
        let confirm = prepared.confirm();
        prepared.database.sql(&format!("CREATE TABLE protected AS {PLANNED} LIMIT 3"));
        let body = format!(
            "IF EXISTS (SELECT FROM protected WHERE device_id = OLD.device_id) \
             THEN RAISE EXCEPTION 'protected' USING ERRCODE = '{state}'; END IF; RETURN OLD;"
        );
        prepared.database.sql(&trigger("protect", "BEFORE DELETE ON device", &body));
        let document = prepared.loaded(&["--execute", "--confirm", &confirm]);
        prepared.is_exact(&document);
        assert_eq!(
            (document["total"]["failed"].as_i64(), prepared.kept_for(&format!("{state} protected"))),
            (Some(3), 3)
        );
    }
}

/// `pg_cancel_backend` has the SQLSTATE of the statement timeout. It stops the load as Ctrl-C does, and the load continues
/// where it stopped.
#[test]
fn an_administrator_who_cancels_the_statement_stops_the_load() {
    let prepared = Prepared::new("canceled", 3_000);
    prepared.database.sql(&trigger("slow", "BEFORE DELETE ON device", "PERFORM pg_sleep(0.01); RETURN OLD;"));
    let confirm = prepared.confirm();
    let execute = ["--batch", "30", "--execute", "--confirm", &confirm];
    let mut command = prepared.database.command(&prepared.load(&execute));
    let loader = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while prepared.number("SELECT count(*) FROM sweep_load WHERE done > 30") == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                  WHERE application_name = 'smi-sweep' AND datname = 'canceled' AND state = 'active' AND query LIKE 'WITH gone%'";
    while prepared.number(cancel) == 0 {}
    let output = loader.wait_with_output().unwrap();
    let done = prepared.number("SELECT done FROM sweep_load");
    failed(&output, 130, "canceling statement due to user request (57014); before that,");
    failed(&output, 130, &format!("{done} of "));
    failed(&output, 130, "run the same command again");
    assert_eq!(prepared.document()["total"]["deleted"], prepared.number("SELECT count(*) FROM device_removed"));
    let document = prepared.loaded(&execute);
    prepared.is_exact(&document);
    assert_eq!(document["resumed_at"], done);
}

/// A failure after the first commit says what is committed, and `load.json` says it too. The load then continues.
#[test]
fn a_failure_after_the_first_commit_says_what_is_committed() {
    let prepared = Prepared::new("half", 3_000);
    let confirm = prepared.confirm();
    prepared.database.sql(&format!("CREATE TABLE last AS SELECT max(device_id) AS device_id FROM ({PLANNED}) AS p"));
    let body =
        "IF OLD.device_id >= (SELECT device_id FROM last) THEN INSERT INTO audit VALUES (1); END IF; RETURN OLD;";
    prepared.database.sql(&trigger("audit", "BEFORE DELETE ON device", body));
    let execute = ["--batch", "50"];
    let output = prepared.execute(&confirm, &execute);
    let [done, deleted, alerts] =
        ["done", "deleted", "alerts"].map(|column| prepared.number(&format!("SELECT {column} FROM sweep_load")));
    let planned: i64 = confirm.split(':').nth(1).unwrap().parse().unwrap();
    assert!(deleted > 0 && done < planned);
    failed(
        &output,
        1,
        &format!(
            "(42P01); before that, {done} of {planned} planned devices were tried: {deleted} deletions and {alerts} alerts are committed"
        ),
    );
    failed(&output, 1, "run the same command again");
    let half = prepared.document();
    assert_eq!(half["state"], "loading");
    let total = |key: &str| half["total"][key].as_i64().unwrap();
    assert_eq!((total("planned"), total("deleted"), total("open")), (planned, deleted, planned - done));
    prepared.database.well(&["verify", &prepared.run]);
    prepared.database.sql("CREATE TABLE audit (n int)");
    prepared.is_exact(&serde_json::from_str::<Value>(&outcome(&prepared.execute(&confirm, &execute)).1).unwrap());
}

/// The server crashes while a locked row waits to be tried again: the staging table is empty afterwards, as every unlogged
/// table is, although all its devices had been tried.
#[test]
fn a_locked_row_is_tried_again_after_a_crash_of_the_server() {
    let prepared = Prepared::new("crash_locked", 900);
    let confirm = prepared.confirm();
    let mut holder = prepared.database.client();
    let mut held = holder.transaction().unwrap();
    held.execute(&format!("SELECT FROM device WHERE device_id = ({PLANNED} LIMIT 1) FOR UPDATE"), &[]).unwrap();
    let execute = prepared.load(&["--lock-timeout", "20", "--execute", "--confirm", &confirm]);
    let mut loader = prepared.database.command(&execute).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while prepared.number("SELECT count(*) FROM sweep_load WHERE done = planned") == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    loader.kill().unwrap();
    loader.wait().unwrap();
    held.rollback().unwrap();
    assert_eq!(prepared.number("SELECT count(*) FROM sweep_load_kept WHERE outcome = 'locked'"), 1);
    let run = confirm.split(':').next().unwrap();
    prepared.database.sql(&format!("TRUNCATE sweep_stage_{run}"));
    let document = prepared.loaded(&["--execute", "--confirm", &confirm]);
    prepared.is_exact(&document);
    assert_eq!(document["total"]["deleted"], document["total"]["planned"]);
}

/// A load stops in the middle, and a later run is loaded. The first one is superseded: its account says what it did, and the
/// staging tables of killed loads are gone.
#[test]
fn a_superseded_load_has_its_account_and_no_staging_table_stays() {
    let prepared = Prepared::new("superseded", 3_000);
    let confirm = prepared.confirm();
    prepared.database.sql(&trigger("slow", "BEFORE DELETE ON device", "PERFORM pg_sleep(0.005); RETURN OLD;"));
    let execute = ["--batch", "20", "--execute", "--confirm", &confirm];
    let mut loader = prepared
        .database
        .command(&prepared.load(&execute))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while prepared.number("SELECT count(*) FROM sweep_load WHERE done > 20") == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    loader.kill().unwrap();
    loader.wait().unwrap();
    prepared.database.sql("DROP TRIGGER slow ON device; CREATE TABLE sweep_stage_0123456789abcdef (ord bigint)");
    std::thread::sleep(Duration::from_millis(300));
    let folder = tempfile::tempdir().unwrap();
    let later = prepared.database.swept(folder.path(), POLICY, &[]).to_str().unwrap().to_owned();
    let load = ["load", later.as_str(), "--to", "URL"];
    let of_later = confirmation(&prepared.database, &load);
    prepared.database.well(&[&load[..], &["--execute", "--confirm", &of_later]].concat());
    assert_eq!(prepared.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'sweep_stage%'"), 0);

    let output = prepared.execute(&confirm, &[]);
    failed(&output, 6, "has been loaded already; before that,");
    let half = prepared.document();
    let of_first = |column: &str| {
        let run = confirm.split(':').next().unwrap();
        prepared.number(&format!("SELECT {column} FROM sweep_load WHERE run_id = '{run}'"))
    };
    assert_eq!(half["state"], "loading");
    assert_eq!(half["total"]["deleted"], of_first("deleted"));
    assert_eq!(half["total"]["open"], of_first("planned - done"));
}

/// The account could not be written into the run directory. That was noticed after the deletions only.
#[test]
fn a_run_directory_that_cannot_be_written_is_refused_before_the_first_deletion() {
    let prepared = Prepared::new("read_only", 900);
    let confirm = prepared.confirm();
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(prepared.folder.path(), 0o777);
    mode(Path::new(&prepared.run), 0o555);
    // Root may write everywhere.
    let plain = prepared.database.command(&prepared.load(&["--execute", "--confirm", &confirm]));
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(plain.get_program()).args(plain.get_args());
    let output = if fs::metadata("/proc/self").unwrap().uid() == 0 { command } else { plain }.output().unwrap();
    failed(&output, 1, "run: cannot write into");
    prepared.is_untouched(900);
    mode(Path::new(&prepared.run), 0o755);
    prepared.is_exact(&prepared.loaded(&["--execute", "--confirm", &confirm]));
}
