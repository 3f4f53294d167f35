//! Loads that stop early, or that the database refuses in part: what is committed is accounted for, and the same command
//! continues from there.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::outcome;
use crate::common::prepared::{PLANNED, Prepared};
use crate::common::server::{confirmation, failed};

/// Five planned devices are referenced by another table, and the configuration allows two failures.
#[test]
fn a_load_stops_at_max_failed_and_continues_once_the_cause_is_fixed() {
    let prepared = Prepared::new("max_failed", 3_000);
    prepared
        .database
        .sql(&format!("CREATE TABLE meter (device_id text REFERENCES device); INSERT INTO meter {PLANNED} LIMIT 5"));
    let confirm = prepared.confirm();
    let config = prepared.folder.path().join("load.toml");
    fs::write(&config, "[load]\nmax_failed = 2\nbatch = 50\n").unwrap();
    let config = config.to_str().unwrap();

    let says = "the database refused 3 single deletions, the last with: 23503";
    let dry_run = prepared.load(&["--config", config]);
    failed(&prepared.database.command(&dry_run).output().unwrap(), 1, says);
    let all = prepared.number("SELECT count(*) FROM device");
    assert_eq!(all, 3_000, "a dry run deletes nothing");
    assert_eq!(prepared.number("SELECT count(*) FROM sweep_load"), 0, "a dry run that fails leaves no entry");

    let execute = ["--config", config, "--execute", "--confirm", &confirm];
    let output = prepared.database.command(&prepared.load(&execute)).output().unwrap();
    failed(&output, 1, says);
    failed(&output, 1, "help: fix the cause, or raise max_failed of [load]; then run the same command again");
    assert_eq!(prepared.database.text("SELECT state FROM sweep_load"), "loading");
    let done = prepared.number("SELECT done FROM sweep_load");
    assert_eq!(prepared.number("SELECT count(*) FROM sweep_load_kept WHERE outcome = 'failed'"), 2);
    assert_eq!(prepared.number("SELECT count(*) FROM device_removed"), done - 2);

    prepared.database.sql("DELETE FROM meter");
    let document = prepared.loaded(&execute);
    prepared.is_exact(&document);
    assert_eq!(document["resumed_at"], done);
    assert_eq!(document["total"]["failed"], 2, "recorded failures stay: {document}");
}

/// Each deletion takes 20 ms in a trigger: 40 devices take longer than the statement timeout, five do not.
#[test]
fn a_batch_that_exceeds_the_statement_timeout_is_halved() {
    let prepared = Prepared::new("timeout", 900);
    prepared.database.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN old; END $$; \
         CREATE TRIGGER slow BEFORE DELETE ON device FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let limits = ["--batch", "40", "--statement-timeout", "300"];
    let confirm = confirmation(&prepared.database, &[&["load", &prepared.run, "--to", "URL"], &limits[..]].concat());
    let document = prepared.loaded(&[&limits[..], &["--execute", "--confirm", &confirm]].concat());
    prepared.is_exact(&document);
    let planned = document["total"]["planned"].as_i64().unwrap();
    assert!(planned >= 40, "{document}");
    assert_eq!(document["total"]["deleted"], planned);
    // Each transaction has its own time.
    let largest = "SELECT max(n) FROM (SELECT count(*) AS n FROM device_removed GROUP BY removed_at) AS batch";
    assert!(prepared.number(largest) < 20, "no batch was halved");
}

/// Half a batch is not the answer where a single device takes too long.
#[test]
fn a_single_deletion_that_exceeds_the_statement_timeout_stops_the_load() {
    let prepared = Prepared::new("too_slow", 900);
    let confirm = prepared.confirm();
    prepared.database.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN old; END $$; \
         CREATE TRIGGER slow BEFORE DELETE ON device FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let limits = ["--statement-timeout", "100", "--execute", "--confirm", &confirm];
    let output = prepared.database.command(&prepared.load(&limits)).output().unwrap();
    failed(&output, 1, "canceling statement due to statement timeout (57014)");
    failed(&output, 1, "help: raise --statement-timeout, or use a smaller --batch");
    assert_eq!(prepared.number("SELECT count(*) FROM device"), 900);
    assert_eq!(prepared.number("SELECT done FROM sweep_load"), 0);
}

/// Ctrl-C in the middle of a load, and again in the middle of its undo.
#[test]
fn an_interrupted_load_and_its_interrupted_undo_continue() {
    let prepared = Prepared::new("interrupted", 8_000);
    prepared.database.sql(
        "UPDATE device SET smi_status = 'Commissioned' WHERE device_id LIKE '1%'; \
         DELETE FROM device WHERE device_id LIKE '2%'; CREATE TABLE before AS SELECT * FROM device",
    );
    let confirm = prepared.confirm();
    let execute = ["--batch", "10", "--pause", "10", "--execute", "--confirm", &confirm];
    let load = prepared.load(&execute);
    let planned: i64 = confirm.split(':').nth(1).unwrap().parse().unwrap();

    let output = prepared.interrupted(&prepared.load(&["--batch", "10", "--pause", "10"]), "state = 'staged'");
    failed(&output, 130, "interrupted");
    assert_eq!(prepared.number("SELECT count(*) FROM sweep_load"), 0, "a dry run leaves no entry");
    assert_eq!(prepared.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'sweep_stage%'"), 0);

    let output = prepared.interrupted(&load, "done > 0");
    let done = prepared.number("SELECT done FROM sweep_load");
    failed(
        &output,
        130,
        &format!("interrupted after {done} of {planned} planned devices; their changes are committed"),
    );
    assert!(outcome(&output).2.contains("help: run the same command again"), "{}", outcome(&output).2);
    // The account of half a load: each device that was not tried is open.
    let half = prepared.document();
    assert_eq!((&half["state"], half["total"]["open"].as_i64()), (&Value::from("loading"), Some(planned - done)));
    assert_eq!(half["total"]["deleted"], prepared.number("SELECT deleted FROM sweep_load"));
    let document = prepared.loaded(&execute);
    prepared.is_exact(&document);
    assert_eq!(document["resumed_at"], done);

    let undo = prepared.load(&["--batch", "2", "--undo", "--execute", "--confirm", &confirm]);
    let output = prepared
        .interrupted(&undo, "state = 'undoing' AND EXISTS (SELECT FROM device_removed WHERE restored_at IS NOT NULL)");
    failed(&output, 130, &format!(" of {planned} planned devices; their changes are committed"));
    let restored = prepared.number("SELECT count(*) FROM device_removed WHERE restored_at IS NOT NULL");
    let rest = prepared.loaded(&[&execute[..], &["--undo"]].concat());
    assert_eq!(rest["undone"]["restored"], document["total"]["deleted"].as_i64().unwrap() - restored);
    let differing =
        "SELECT count(*) FROM ((TABLE device EXCEPT TABLE before) UNION ALL (TABLE before EXCEPT TABLE device)) AS d";
    assert_eq!(prepared.number(differing), 0);
    assert_eq!(prepared.number("SELECT count(*) FROM alert_outbox"), 0);
}

/// A load that keeps devices for every reason is undone: the inventory is as before, and the account still says why.
#[test]
fn a_load_with_refused_rows_is_undone() {
    let prepared = Prepared::new("undo_refused", 3_000);
    prepared.database.sql(&format!(
        "CREATE TABLE meter (device_id text REFERENCES device); INSERT INTO meter {PLANNED} LIMIT 3; \
         UPDATE device SET device_id = lower(device_id) WHERE device_id = ({PLANNED} OFFSET 5 LIMIT 1); \
         UPDATE device SET smi_status = 'Commissioned' WHERE device_id = ({PLANNED} OFFSET 8 LIMIT 1); \
         DELETE FROM device WHERE device_id = ({PLANNED} OFFSET 9 LIMIT 1); CREATE TABLE before AS SELECT * FROM device"
    ));
    let confirm = prepared.confirm();
    let execute = ["--execute", "--confirm", &confirm];
    let document = prepared.loaded(&execute);
    prepared.is_exact(&document);
    assert_eq!(["failed", "changed", "gone"].map(|key| document["total"][key].as_i64().unwrap()), [3, 1, 1]);

    let deleted = &document["total"]["deleted"];
    let undone = prepared.loaded(&[&execute[..], &["--undo"]].concat());
    assert_eq!(undone["undone"]["restored"], *deleted);
    assert_eq!(undone["undone"]["come_back"], 0);
    let differing =
        "SELECT count(*) FROM ((TABLE device EXCEPT TABLE before) UNION ALL (TABLE before EXCEPT TABLE device)) AS d";
    assert_eq!(prepared.number(differing), 0);
    let file = fs::read(Path::new(&prepared.run).join("load.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!((&file["state"], &file["total"]), (&Value::from("undone"), &document["total"]));
    assert_eq!((&file["reasons"], &file["undone"]["restored"]), (&document["reasons"], deleted));
    prepared.database.well(&["verify", &prepared.run]);
    assert_eq!(prepared.loaded(&[&execute[..], &["--undo"]].concat())["undone"]["restored"], 0);
}
