//! Undo is part of what a load promises: what would make it impossible is refused before the first deletion, and what goes
//! wrong later is reported row by row.

use std::fs;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::prepared::{PLANNED, Prepared};
use crate::common::server::failed;

const DEVICES: u32 = 1_500;

fn output(prepared: &Prepared, more: &[&str]) -> Output {
    prepared.database.command(&prepared.load(more)).output().unwrap()
}

/// Dry run and load are both refused with this message, and nothing is deleted.
#[track_caller]
fn refused(prepared: &Prepared, confirm: &str, says: &str) {
    failed(&output(prepared, &[]), 1, "the load could not be undone");
    failed(&output(prepared, &[]), 1, says);
    failed(&output(prepared, &["--execute", "--confirm", confirm]), 1, says);
    assert_eq!(prepared.number("SELECT count(*) FROM device"), i64::from(DEVICES));
    assert_eq!(prepared.number("SELECT count(*) FROM device_removed"), 0);
}

/// The load goes well, its undo too, and the table is as before.
#[track_caller]
fn there_and_back(prepared: &Prepared) {
    prepared.remember();
    let deleted = prepared.executed()["total"]["deleted"].clone();
    let (code, document, err) = prepared.undone();
    assert_eq!((code, &document["undone"]["restored"]), (0, &deleted), "{err}");
    assert_eq!(prepared.differing(), 0);
    assert_eq!(prepared.database.text("SELECT state FROM sweep_load"), "undone");
}

/// The archive is in a publication, and an UPDATE of a published table needs a replica identity. The load went well, and its
/// undo could not mark a single row.
#[test]
fn a_published_archive_without_replica_identity() {
    let prepared = Prepared::new("undo_published", DEVICES);
    prepared.database.sql("ALTER TABLE device_removed REPLICA IDENTITY NOTHING");
    let confirm = prepared.confirm();
    prepared.database.sql("CREATE PUBLICATION everything FOR ALL TABLES");
    refused(&prepared, &confirm, "55000");
    prepared.database.sql("ALTER TABLE device_removed REPLICA IDENTITY FULL");
    there_and_back(&prepared);
}

/// ON CONFLICT does not work with a deferrable key.
#[test]
fn a_deferrable_key() {
    there_and_back(&Prepared::with(
        "undo_deferrable",
        DEVICES,
        "ALTER TABLE device DROP CONSTRAINT device_pkey; \
         ALTER TABLE device ADD PRIMARY KEY (device_id) DEFERRABLE INITIALLY DEFERRED",
    ));
}

/// A rule makes nothing of every INSERT, or a second statement.
#[test]
fn a_rule_on_insert() {
    let prepared = Prepared::new("undo_rule_nothing", DEVICES);
    let confirm = prepared.confirm();
    prepared.database.sql("CREATE RULE nothing AS ON INSERT TO device DO INSTEAD NOTHING");
    refused(&prepared, &confirm, "the row is not in");
    refused(&prepared, &confirm, "rule nothing");
    let also = "CREATE TABLE seen (id text); \
                CREATE RULE also AS ON INSERT TO device DO ALSO INSERT INTO seen VALUES (new.device_id)";
    there_and_back(&Prepared::with("undo_rule_also", DEVICES, also));
}

/// Triggers that keep a row out, send it to another table, or change it.
#[test]
fn triggers_on_insert() {
    let trigger = |body: &str| {
        format!(
            "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN {body} END $$; \
             CREATE TRIGGER change BEFORE INSERT ON device FOR EACH ROW EXECUTE FUNCTION change()"
        )
    };
    let routes = "INSERT INTO elsewhere SELECT new.*; RETURN NULL;";
    let stamps = "new.model := 'stamped'; RETURN new;";
    for (name, body, says) in [
        ("undo_swallows", "RETURN NULL;", "the row is not in"),
        ("undo_routes", routes, "the row is not in"),
        ("undo_stamps", stamps, "`model` is not what was archived: trigger change"),
    ] {
        let prepared = Prepared::with(name, DEVICES, "CREATE TABLE elsewhere (LIKE device)");
        let confirm = prepared.confirm();
        prepared.database.sql(&trigger(body));
        refused(&prepared, &confirm, says);
        assert_eq!(prepared.number("SELECT count(*) FROM elsewhere"), 0);
    }

    // A column that a trigger sets is named in the configuration, and need not come back as it was.
    let prepared = Prepared::with("undo_stamped", DEVICES, &trigger("new.weight := 7; RETURN new;"));
    let config = prepared.folder.path().join("load.toml");
    fs::write(&config, "[load]\ntrigger_columns = [\"weight\"]\n").unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let confirm = prepared.loaded(&config)["confirm"].as_str().unwrap().to_owned();
    let execute = [&config[..], &["--execute", "--confirm", &confirm]].concat();
    let deleted = prepared.loaded(&execute)["total"]["deleted"].clone();
    assert_eq!(prepared.loaded(&[&execute[..], &["--undo"]].concat())["undone"]["restored"], deleted);
    assert_eq!(deleted, prepared.number("SELECT count(*) FROM device WHERE weight = 7"));
}

/// Triggers of the load's own tables that keep an alert in the outbox, or a restored row unmarked.
#[test]
fn triggers_of_the_archive_and_of_the_outbox() {
    for (name, event, table, says) in [
        ("undo_alert_stays", "DELETE", "alert_outbox", "the alert was not withdrawn: trigger stay of"),
        (
            "undo_unmarked",
            "UPDATE",
            "device_removed",
            "the row is not in \"public\".\"device\" afterwards: trigger stay of",
        ),
    ] {
        let prepared = Prepared::new(name, DEVICES);
        let confirm = prepared.confirm();
        prepared.database.sql(&format!(
            "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
             CREATE TRIGGER stay BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION stay()"
        ));
        refused(&prepared, &confirm, says);
    }
}

/// A constraint that was added later, and does not hold for all rows: such a row could be deleted, and never restored. It is
/// kept, and the others are deleted, the same in the dry run and in the load.
#[test]
fn a_row_that_could_not_be_restored_is_kept() {
    let prepared = Prepared::new("undo_not_valid", DEVICES);
    prepared.database.sql(&format!(
        "UPDATE device SET model = 'forbidden' WHERE device_id IN ({PLANNED} LIMIT 2); \
         ALTER TABLE device ADD CONSTRAINT allowed CHECK (model <> 'forbidden') NOT VALID; \
         CREATE TABLE models (model text PRIMARY KEY); INSERT INTO models SELECT DISTINCT model FROM device; \
         UPDATE device SET model = 'unlisted' WHERE device_id IN ({PLANNED} OFFSET 2 LIMIT 2); \
         ALTER TABLE device ADD CONSTRAINT listed FOREIGN KEY (model) REFERENCES models NOT VALID"
    ));
    prepared.remember();
    let dry_run = prepared.loaded(&[]);
    let document = prepared.executed();
    for account in [&dry_run, &document] {
        assert_eq!(account["total"]["failed"], 4, "{account}");
        let reasons = account["reasons"].to_string();
        assert!(
            reasons.contains("could not be restored: 23514") && reasons.contains("could not be restored: 23503"),
            "{reasons}"
        );
    }
    assert_eq!(prepared.number("SELECT count(*) FROM device WHERE model IN ('forbidden', 'unlisted')"), 4);
    let (code, undone, err) = prepared.undone();
    assert_eq!((code, &undone["undone"]["restored"]), (0, &document["total"]["deleted"]), "{err}");
    assert_eq!(prepared.differing(), 0);
}

/// After the load a model is dropped that two devices had, another device takes a number that was unique, and a column is
/// added. What can be restored is restored, and the rest is named.
#[test]
fn rows_that_cannot_be_restored_are_named_and_the_others_are_restored() {
    let prepared = Prepared::with(
        "undo_rows",
        DEVICES,
        &format!(
            "CREATE TABLE models (model text PRIMARY KEY); INSERT INTO models SELECT DISTINCT model FROM device; \
             INSERT INTO models VALUES ('rare'); UPDATE device SET model = 'rare' WHERE device_id IN ({PLANNED} LIMIT 2); \
             ALTER TABLE device ADD CONSTRAINT listed FOREIGN KEY (model) REFERENCES models; \
             ALTER TABLE device ADD CONSTRAINT weighed UNIQUE (weight); CREATE TABLE first AS {PLANNED} LIMIT 9"
        ),
    );
    prepared.remember();
    let deleted = prepared.executed()["total"]["deleted"].as_i64().unwrap();
    prepared.database.sql(
        "DELETE FROM models WHERE model = 'rare'; \
         INSERT INTO device (device_id, device_type, weight) SELECT '00-00-00-00-00-00-00-01', 'IHD', weight FROM device_removed \
         WHERE model <> 'rare' ORDER BY load_ord LIMIT 1; \
         ALTER TABLE device ADD COLUMN added text NOT NULL DEFAULT 'new'",
    );
    prepared.database.well(&["load", "--init", "--to", "URL"]);
    let (code, document, err) = prepared.undone();
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("3 rows could not be restored"), "{err}");
    assert_eq!(document["undone"]["restored"], deleted - 3);
    let failures = document["undone"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 3, "{document}");
    assert_eq!(failures.iter().filter(|row| row["reason"].as_str().unwrap().starts_with("23503")).count(), 2);
    assert_eq!(failures.iter().filter(|row| row["reason"].as_str().unwrap().starts_with("23505")).count(), 1);
    let rare = prepared.database.text("SELECT device_id FROM device_removed WHERE model = 'rare' ORDER BY 1 LIMIT 1");
    assert!(failures.iter().any(|row| row["device_id"] == rare.as_str()), "{document}");
    assert_eq!(prepared.database.text("SELECT state FROM sweep_load"), "undoing");
    assert_eq!(prepared.document()["undone"]["failed"], 3);
    assert_eq!(prepared.number("SELECT count(*) FROM device WHERE added = 'new'"), i64::from(DEVICES) - 3 + 1);

    // Their alerts are still to be sent or withdrawn; once the cause is fixed, the same command does the rest.
    prepared
        .database
        .sql("INSERT INTO models VALUES ('rare'); DELETE FROM device WHERE device_id = '00-00-00-00-00-00-00-01'");
    let (code, document, err) = prepared.undone();
    assert_eq!((code, &document["undone"]["restored"]), (0, &3.into()), "{err}");
    prepared.database.sql("ALTER TABLE device DROP COLUMN added");
    assert_eq!(prepared.differing(), 0);
    assert_eq!(prepared.number("SELECT count(*) FROM alert_outbox"), 0);
    assert_eq!(prepared.database.text("SELECT state FROM sweep_load"), "undone");
}

/// A column that may not be null was added after the load, and has no default: no row has a value for it.
#[test]
fn a_required_column_that_was_added_after_the_load() {
    let prepared = Prepared::new("undo_required", DEVICES);
    prepared.remember();
    let deleted = prepared.executed()["total"]["deleted"].clone();
    prepared.database.sql(
        "ALTER TABLE device ADD COLUMN owner text NOT NULL DEFAULT 'x'; ALTER TABLE device ALTER owner DROP DEFAULT",
    );
    let (code, document, err) = prepared.undone();
    assert_eq!((code, &document["undone"]["restored"]), (1, &0.into()), "{err}");
    assert!(document["undone"]["failures"][0]["reason"].as_str().unwrap().starts_with("23502"), "{document}");
    prepared.database.sql("ALTER TABLE device ALTER owner SET DEFAULT 'not known'");
    let (code, document, err) = prepared.undone();
    assert_eq!((code, &document["undone"]["restored"]), (0, &deleted), "{err}");
    assert_eq!(deleted, prepared.number("SELECT count(*) FROM device WHERE owner = 'not known'"));
}

/// A column was renamed after the load. Its values were restored as null.
#[test]
fn a_column_that_was_renamed_after_the_load() {
    let prepared = Prepared::new("undo_renamed", DEVICES);
    prepared.remember();
    prepared.executed();
    prepared.database.sql("ALTER TABLE device RENAME model TO product");
    let (code, _, err) = prepared.undone();
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("values of `model`, and table public.device has no such column"), "{err}");
    prepared.database.sql("ALTER TABLE device_removed RENAME model TO product");
    let (code, _, err) = prepared.undone();
    assert_eq!(code, 0, "{err}");
    assert_eq!(prepared.differing(), 0);
}

/// A column was narrowed after the load: a value that no longer fits is not rounded.
#[test]
fn a_column_that_was_narrowed_after_the_load() {
    let prepared = Prepared::new("undo_narrowed", DEVICES);
    let deleted = prepared.executed()["total"]["deleted"].as_i64().unwrap();
    prepared.database.sql("ALTER TABLE device ALTER weight TYPE numeric(9, 2)");
    let exact = prepared.number("SELECT count(*) FROM device_removed WHERE weight = round(weight, 2)");
    let (code, document, err) = prepared.undone();
    assert_eq!(code, 1, "{err}");
    assert_eq!(document["undone"]["restored"], exact, "{document}");
    assert_eq!(document["undone"]["failed"], deleted - exact);
}

/// A meter names its hub in the same table; the hub comes later in the manifest and is in another batch.
#[test]
fn devices_that_refer_to_each_other() {
    let prepared = Prepared::with(
        "undo_self",
        DEVICES,
        &format!(
            "ALTER TABLE device ADD COLUMN hub text REFERENCES device; CREATE TABLE p AS {PLANNED}; \
             UPDATE device SET hub = (SELECT max(device_id) FROM p) WHERE device_id IN (SELECT device_id FROM p ORDER BY 1 LIMIT 3); \
             DROP TABLE p"
        ),
    );
    prepared.remember();
    let confirm = prepared.confirm();
    let execute = ["--batch", "5", "--execute", "--confirm", &confirm];
    let deleted = prepared.loaded(&execute)["total"]["deleted"].clone();
    let undone = prepared.loaded(&[&execute[..], &["--undo"]].concat());
    assert_eq!(undone["undone"]["restored"], deleted);
    assert_eq!(prepared.differing(), 0);
}

/// Killed at any moment, the undo continues, and ends as an undisturbed one: each row is restored once, each alert withdrawn.
#[test]
fn an_undo_that_is_killed_continues() {
    let prepared = Prepared::new("undo_killed", 6_000);
    prepared.remember();
    let confirm = prepared.confirm();
    let execute = ["--batch", "10", "--pause", "4", "--execute", "--confirm", &confirm];
    let deleted = prepared.loaded(&execute)["total"]["deleted"].as_i64().unwrap();
    let undo = prepared.load(&[&execute[..], &["--undo"]].concat());
    let (mut kills, mut wait) = (0, 40);
    let restored = "SELECT count(*) FROM device_removed WHERE restored_at IS NOT NULL";
    while kills < 20 {
        let mut child = prepared.database.command(&undo).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        if child.wait().unwrap().code().is_none() {
            kills += 1;
        }
        // Archive, table and outbox agree after every kill; each in one query, because a commit may be under way.
        let others = format!("SELECT (SELECT count(*) FROM device) - ({restored})");
        assert_eq!(prepared.number(&others), 6_000 - deleted);
        let alerts = "SELECT count(*) FROM alert_outbox JOIN device_removed USING (load_id, load_ord) WHERE restored_at IS NOT NULL";
        assert_eq!(prepared.number(alerts), 0);
        if prepared.number(restored) == deleted {
            break;
        }
        wait = 40 + (wait * 7) % 60;
    }
    assert!(kills > 5, "it was over too soon: {kills}");
    prepared.loaded(&[&execute[..], &["--undo"]].concat());
    assert_eq!(prepared.differing(), 0);
    assert_eq!((prepared.number(restored), prepared.number("SELECT count(*) FROM alert_outbox")), (deleted, 0));
    assert_eq!(prepared.database.text("SELECT state FROM sweep_load"), "undone");
}

/// One plan joined the batch with itself: 20,000 rows took 23 seconds, and a million half an hour.
#[test]
fn an_undo_is_linear_in_its_batch() {
    let server = crate::common::server::Server::shared();
    let database = server.database("undo_linear", None);
    database.estate(10);
    database.sql(
        "TRUNCATE device; INSERT INTO device \
         SELECT upper(regexp_replace(substr(md5(i::text), 1, 16), '(..)(?!$)', '\\1-', 'g')), 'ESME', 'Pending', \
         now() - interval '400 days', '90-B3-D5-1F-30-00-00-01' FROM generate_series(1, 20000) AS i; ANALYZE device",
    );
    let prepared = Prepared::of(database);
    prepared.remember();
    let confirm = prepared.confirm();
    let execute = ["--batch", "20000", "--execute", "--confirm", &confirm];
    let began = Instant::now();
    assert_eq!(prepared.loaded(&execute)["total"]["deleted"], 20_000);
    let load = began.elapsed();
    let began = Instant::now();
    assert_eq!(prepared.loaded(&[&execute[..], &["--undo"]].concat())["undone"]["restored"], 20_000);
    let undo = began.elapsed();
    assert_eq!(prepared.differing(), 0);
    assert!(undo < load * 3, "undo {undo:?}, load {load:?}");
}
