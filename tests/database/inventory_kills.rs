//! A load that is killed, or whose server is killed, at any moment: it continues, and ends in the same state as an undisturbed one.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crate::common::outcome;
use crate::common::server::{Database, POLICY, Server, confirmation};

/// Kills of each kind.
const KILLS: u32 = 32;
/// Small batches, so that there are many moments to be killed at.
const PACE: [&str; 4] = ["--batch", "20", "--pause", "4"];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// An inventory with a run for it, some of whose devices are no longer due. Each trial gets a copy.
fn base(server: &Arc<Server>, folder: &Path) -> String {
    let base = server.database("base", None);
    base.estate(8_000);
    base.well(&["load", "--init", "--to", "URL"]);
    let run = base.swept(folder, POLICY, &[]).to_str().unwrap().to_owned();
    base.sql(
        "UPDATE device SET smi_status = 'Commissioned', status_since = now() WHERE device_id LIKE '1%'; \
         UPDATE device SET status_since = now() WHERE device_id LIKE '2%'; \
         DELETE FROM device WHERE device_id LIKE '3%'; \
         CREATE TABLE model (name text PRIMARY KEY); INSERT INTO model SELECT DISTINCT model FROM device; \
         CREATE TABLE kept_by (device_id text REFERENCES device); \
         INSERT INTO kept_by SELECT device_id FROM device WHERE device_id LIKE '4A%'",
    );
    run
}

/// All that a load leaves, without times.
fn end_state(database: &Database) -> String {
    let sum = |what: &str| {
        database.text(&format!("SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM ({what}) AS t"))
    };
    [
        sum("SELECT * FROM device"),
        sum("SELECT load_ord, device_id, device_type, smi_status, status_since, notifying_party, model FROM device_removed"),
        sum("SELECT load_ord, alert_code, notifying_party, device_id, device_type, status_since, due_on FROM alert_outbox"),
        sum("SELECT load_ord, outcome, reason, found_type, found_status, found_since, found_party FROM sweep_load_kept"),
        sum("SELECT run_id, state, planned, done, deleted, alerts FROM sweep_load"),
        database.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'sweep_stage%'").to_string(),
    ]
    .join(" ")
}

/// The end state of an undisturbed load.
fn undisturbed(server: &Arc<Server>, load: &[&str]) -> String {
    let database = server.database("undisturbed", Some("base"));
    database.well(load);
    for outcome in ["changed", "gone", "failed"] {
        assert!(database.number(&format!("SELECT count(*) FROM sweep_load_kept WHERE outcome = '{outcome}'")) > 0);
    }
    assert!(database.number("SELECT deleted FROM sweep_load") > 300);
    end_state(&database)
}

#[test]
fn the_loader_is_killed() {
    let server = Server::shared();
    let folder = tempfile::tempdir().unwrap();
    let run = base(&server, folder.path());
    let confirm = {
        let dry_run = server.database("dry_run", Some("base"));
        confirmation(&dry_run, &["load", &run, "--to", "URL"])
    };
    let load = [&["load", &run, "--to", "URL", "--execute", "--confirm", &confirm][..], &PACE].concat();
    let wanted = undisturbed(&server, &load);
    let (mut dice, mut kills, mut trial) = (Dice(11), 0, 0);
    while kills < KILLS {
        trial += 1;
        let database = server.database(&format!("trial{trial}"), Some("base"));
        loop {
            let mut loader = database.command(&load).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(20 + dice.roll(250)));
            loader.kill().unwrap();
            let output = loader.wait_with_output().unwrap();
            match output.status.code() {
                None => kills += 1,
                Some(code) => {
                    assert_eq!(code, 0, "{}", outcome(&output).2);
                    break;
                }
            }
        }
        assert_eq!(end_state(&database), wanted, "after {kills} kills");
    }
}

#[test]
fn the_server_is_killed() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let run = base(&server, folder.path());
    let confirm = {
        let dry_run = server.database("dry_run", Some("base"));
        confirmation(&dry_run, &["load", &run, "--to", "URL"])
    };
    let load = [&["load", &run, "--to", "URL", "--execute", "--confirm", &confirm][..], &PACE].concat();
    let wanted = undisturbed(&server, &load);
    let (mut dice, mut kills, mut trial) = (Dice(12), 0, 0);
    while kills < KILLS {
        trial += 1;
        let name = format!("trial{trial}");
        drop(server.database(&name, Some("base")));
        loop {
            let mut loader = {
                let mut command = server.again(&name).command(&load);
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            };
            std::thread::sleep(Duration::from_millis(20 + dice.roll(250)));
            let over = loader.try_wait().unwrap().is_some();
            if !over {
                server.kill();
            }
            let (code, _, err) = outcome(&loader.wait_with_output().unwrap());
            if !over {
                server.resume();
            }
            if code == 0 {
                break;
            }
            assert!(!over, "{err}");
            // One clear line, and a remedy.
            assert_eq!((code, err.lines().count()), (1, 2), "{err}");
            assert!(err.contains("run the same command again"), "{err}");
            kills += 1;
        }
        assert_eq!(end_state(&server.again(&name)), wanted, "after {kills} kills");
    }
}
