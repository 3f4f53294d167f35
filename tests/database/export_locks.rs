//! An export reads a partitioned table through its parent, and says so when another session keeps it waiting.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::outcome;
use crate::common::server::{Database, Server, failed};

/// A table of partitions of unequal sizes: 160,000, 80,000 and no devices.
fn partitioned(name: &str) -> Database {
    let database = Server::shared().database(name, None);
    database.sql(
        "CREATE TABLE device (device_id text, device_type text, smi_status text, status_since timestamptz, notifying_party text) \
         PARTITION BY LIST (device_type); \
         CREATE TABLE esme PARTITION OF device FOR VALUES IN ('ESME'); \
         CREATE TABLE gsme PARTITION OF device FOR VALUES IN ('GSME'); \
         CREATE TABLE others PARTITION OF device DEFAULT; \
         INSERT INTO device SELECT upper(regexp_replace(substr(md5(i::text), 1, 16), '(..)(?!$)', '\\1-', 'g')), \
         CASE WHEN i % 3 = 0 THEN 'GSME' ELSE 'ESME' END, 'Commissioned', now(), '90-B3-D5-1F-30-00-00-01' \
         FROM generate_series(1, 240000) AS i; ANALYZE device; CREATE ROLE exporter_ROLE LOGIN; GRANT SELECT ON device TO exporter_ROLE"
            .replace("ROLE;", &format!("{name};"))
            .replace("exporter_ROLE", &format!("exporter_{name}"))
            .as_str(),
    );
    database
}

/// Exports as a user who may read the parent only.
#[track_caller]
fn exported(database: &Database, name: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let url = database.url().replace("smi@", &format!("exporter_{name}@"));
    let out = folder.path().join("out");
    let export = ["export", "--from", &url, "--out", out.to_str().unwrap(), "--json"];
    let document: Value = serde_json::from_str(&database.well(&[&export[..], more].concat())).unwrap();
    let checked: Value = serde_json::from_str(&database.well(&["check", out.to_str().unwrap(), "--json"])).unwrap();
    assert_eq!(checked["rows"], document["rows"], "{checked}");
    document
}

/// A user may read the table and none of its partitions. Each partition was read by its own name, and refused.
#[test]
fn a_right_to_read_the_table_is_enough_for_its_partitions() {
    let database = partitioned("parts_grant");
    for connections in ["1", "3"] {
        let document = exported(&database, "parts_grant", &["--connections", connections]);
        assert_eq!((&document["rows"], document["files"].as_u64() > Some(1)), (&240_000.into(), true), "{document}");
    }
}

/// The policies of the table count, not those of a partition.
#[test]
fn row_security_is_that_of_the_table() {
    let database = partitioned("parts_policy");
    database.sql("ALTER TABLE esme ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON esme USING (false)");
    assert_eq!(exported(&database, "parts_policy", &[])["rows"], 240_000);
    database
        .sql("ALTER TABLE device ENABLE ROW LEVEL SECURITY; CREATE POLICY part ON device USING (device_type = 'ESME')");
    let url = database.url().replace("smi@", "exporter_parts_policy@");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = database.command(&["export", "--from", &url, "--out", out.to_str().unwrap()]).output().unwrap();
    failed(&output, 1, "row-level security policy for table \"device\"");
    assert!(!out.exists());
}

/// Tables that inherit are read through their parent too.
#[test]
fn children_are_exported_with_their_parent() {
    let database = Server::shared().database("parts_children", None);
    database.estate(5_000);
    database.sql(
        "CREATE TABLE older (note text) INHERITS (device); \
         INSERT INTO older SELECT 'FF' || substr(device_id, 3), device_type, smi_status, status_since, notifying_party FROM device \
         LIMIT 700; CREATE ROLE exporter_parts_children LOGIN; GRANT SELECT ON device TO exporter_parts_children",
    );
    assert_eq!(exported(&database, "parts_children", &[])["rows"], 5_700);
}

/// A migration holds the table. The export waited without a word.
#[test]
fn an_export_that_waits_for_a_lock_says_so_and_can_be_interrupted() {
    let server = Server::shared();
    let database = server.database("parts_locked", None);
    database.estate(1_000);
    let folder = tempfile::tempdir().unwrap();
    for interrupt in [true, false] {
        let mut holder = database.client();
        let mut held = holder.transaction().unwrap();
        held.batch_execute("SET LOCAL application_name = 'migration'; LOCK TABLE device IN ACCESS EXCLUSIVE MODE")
            .unwrap();
        let out = folder.path().join(format!("out{interrupt}"));
        let mut command = database.command(&["export", "--from", "URL", "--out", out.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        let mut bytes = [0; 256];
        while !said.contains("has it") {
            let length = stderr.read(&mut bytes).unwrap();
            assert!(length > 0, "it ended: {said}");
            said.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("waiting for a lock on table public.device: process "), "{said}");
        assert!(said.contains("of smi (migration) has it"), "{said}");
        if interrupt {
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
            assert_eq!(child.wait().unwrap().code(), Some(130));
            assert!(!out.exists());
        } else {
            held.rollback().unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0));
            assert!(out.exists());
        }
    }
}

/// Between the first connection and the second one another session asks for the table. It waits for the first, and the
/// second waited behind it: for ever.
#[test]
fn a_session_that_asks_for_the_table_meanwhile_is_no_deadlock() {
    // Each new connection takes a second to begin.
    let server = Server::start(&["post_auth_delay=1"]);
    let database = server.database("parts_queue", None);
    database.estate(1_000);
    let (mut holder, mut observer) = (database.client(), database.client());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut command =
        database.command(&["export", "--from", "URL", "--out", out.to_str().unwrap(), "--connections", "1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let reads = "SELECT count(*) FROM pg_locks WHERE relation = 'device'::regclass AND mode = 'AccessShareLock' \
                 AND pid <> pg_backend_pid()";
    while observer.query_one(reads, &[]).unwrap().get::<_, i64>(0) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let waits = std::thread::spawn(move || holder.batch_execute("ALTER TABLE device ADD COLUMN more text"));
    let output = child.wait_with_output().unwrap();
    let (_, _, err) = outcome(&output);
    failed(&output, 1, "another session asks to lock it, process ");
    assert!(err.contains("waits for it"), "{err}");
    assert!(!out.exists());
    waits.join().unwrap().unwrap();
}
