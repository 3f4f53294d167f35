//! The whole circle on a real server: export, sweep, load while others write, load again, undo.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::server::{Database, POLICY, Server, confirmation};
use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use postgres::Client;
use serde_json::Value;

/// A trigger records every change of a device: the row before, and the application that changed it.
const HISTORY: &str = "CREATE TABLE history (op text, by_whom text, was device); \
     CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN \
     INSERT INTO history VALUES (tg_op, current_setting('application_name'), old); RETURN NULL; END $$; \
     CREATE TRIGGER note AFTER UPDATE OR DELETE ON device FOR EACH ROW EXECUTE FUNCTION note()";

/// Whether a device is due, as independent SQL: as of the moment of the run, by UTC dates.
const DUE: &str = "smi_status = 'Pending' AND device_type <> 'CHF' \
     AND ((status_since AT TIME ZONE 'UTC')::date + interval '12 months')::date <= (as_of AT TIME ZONE 'UTC')::date";

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Writes to the inventory like live traffic, mostly to planned devices.
fn live_traffic(client: &mut Client, seed: u64, stop: &AtomicBool) -> u64 {
    let planned: Vec<String> = client
        .query("SELECT device_id FROM device WHERE smi_status = 'Pending' ORDER BY device_id", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let (mut dice, mut writes) = (Dice(seed), 0);
    while !stop.load(Ordering::Relaxed) {
        let id = &planned[dice.roll(planned.len() as u64) as usize];
        let statement = match dice.roll(6) {
            0 => "UPDATE device SET smi_status = 'Commissioned', status_since = now() WHERE device_id = $1",
            1 => "UPDATE device SET status_since = now(), notifying_party = 'somebody else' WHERE device_id = $1",
            2 => "DELETE FROM device WHERE device_id = $1",
            // Changed, and still due.
            3 => "UPDATE device SET model = model || '+' WHERE device_id = $1",
            4 => "UPDATE device SET notifying_party = 'a new owner' WHERE device_id = $1",
            _ => "SELECT FROM device WHERE device_id = $1 FOR UPDATE",
        };
        let mut work = client.transaction().unwrap();
        work.execute(statement, &[id]).unwrap();
        if dice.roll(20) == 0 {
            // A row stays locked for a while.
            std::thread::sleep(Duration::from_millis(60));
        }
        work.commit().unwrap();
        writes += 1;
    }
    writes
}

#[test]
fn the_circle_under_live_traffic() {
    let server = Server::shared();
    let database = server.database("circle", None);
    database.estate(200_000);
    let folder = tempfile::tempdir().unwrap();
    database.well(&["load", "--init", "--to", "URL"]);
    let run = database.swept(folder.path(), POLICY, &["--connections", "3"]);
    let record: Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    let as_of = record["as_of"].as_str().unwrap();
    database.sql(&format!("CREATE VIEW moment AS SELECT timestamptz '{as_of}' AS as_of"));
    assert_eq!(record["tally"]["rows"], 200_000);
    assert_eq!(record["tally"]["quarantined"], 0);
    let planned = database.number(&format!("SELECT count(*) FROM device, moment WHERE {DUE}"));
    assert_eq!(record["tally"]["delete"], planned);
    assert!(planned > 10_000);

    let run = run.to_str().unwrap();
    let load = ["load", run, "--to", "URL", "--batch", "300", "--lock-timeout", "20"];
    let before = state(&database);
    let confirm = confirmation(&database, &load);
    assert_eq!(state(&database), before, "a dry run leaves nothing");

    database.sql(HISTORY);
    let (stop, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let out = std::thread::scope(|scope| {
        for seed in 0..3 {
            let mut client = database.client();
            let (stop, writes) = (&stop, &writes);
            scope.spawn(move || writes.fetch_add(live_traffic(&mut client, seed, stop), Ordering::Relaxed));
        }
        std::thread::sleep(Duration::from_millis(300));
        let paced = ["--pause", "15", "--execute", "--confirm", &confirm, "--json"];
        let out = database.run(&[&load[..], &paced].concat());
        stop.store(true, Ordering::Relaxed);
        out
    });
    assert_eq!(out.0, 0, "{}", out.2);
    assert!(writes.load(Ordering::Relaxed) > 200, "live traffic was live");
    let account: Value = serde_json::from_str(&out.1).unwrap();
    accounted(&database, &account, planned);
    outcome_file(run, &account["total"]);

    // A second time nothing is deleted, and no party is alerted.
    let after = state(&database);
    let again = database.well(&[&load[..], &["--execute", "--confirm", &confirm]].concat());
    assert!(again.contains("loaded already"), "{again}");
    assert_eq!(state(&database), after);
    database.well(&["verify", run]);
    undone(&database, &load, &confirm);
}

/// All that a load changes, as one text.
fn state(database: &Database) -> String {
    let tables = ["device", "device_removed", "alert_outbox", "sweep_load", "sweep_load_kept"];
    let sum =
        |table| database.text(&format!("SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} AS t"));
    let stages = database.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'sweep_stage%'");
    tables.map(sum).join(" ") + &stages.to_string()
}

/// No device was deleted that was not due, each alert is written once, and the figures add up.
fn accounted(database: &Database, account: &Value, planned: i64) {
    let total = |name: &str| account["total"][name].as_i64().unwrap();
    let ours = "op = 'DELETE' AND by_whom = 'smi-sweep'";
    let wrongly = format!(
        "SELECT count(*) FROM (SELECT (was).*, as_of FROM history, moment WHERE {ours}) AS h WHERE ({DUE}) IS NOT TRUE"
    );
    assert_eq!(database.number(&wrongly), 0);
    assert_eq!(database.number(&format!("SELECT count(*) FROM history WHERE {ours}")), total("deleted"));
    assert_eq!(total("planned"), planned);
    assert_eq!(total("planned"), total("deleted") + total("changed") + total("gone") + total("failed"));
    for name in ["deleted", "changed", "gone"] {
        assert!(total(name) > 0, "{name}: {account}");
    }
    for by in ["by_type", "by_party"] {
        let sum =
            |name: &str| account[by].as_object().unwrap().values().map(|f| f[name].as_i64().unwrap()).sum::<i64>();
        for name in ["planned", "deleted", "changed", "gone", "failed", "alerts"] {
            assert_eq!(sum(name), total(name), "{by} {name}");
        }
    }
    // The archived rows are those that were deleted, and the outbox has those of them that are alerted. A Gas Proxy
    // Function is alerted only where its row says that a Service User notified it.
    let differs = |one: &str, other: &str| {
        database.number(&format!("SELECT count(*) FROM (({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})) AS d"))
    };
    let columns =
        "device_id, device_type, smi_status, status_since, notifying_party, notifying_role, model, notes, weight";
    let removed = format!("SELECT {columns} FROM device_removed");
    let deleted = format!("SELECT {columns} FROM (SELECT (was).* FROM history WHERE {ours}) AS h");
    assert_eq!(differs(&removed, &deleted), 0);
    let alerted = "SELECT device_id, notifying_party FROM device_removed WHERE device_type <> 'GPF' OR notifying_role = 'ServiceUser'";
    assert_eq!(differs("SELECT device_id, notifying_party FROM alert_outbox WHERE alert_code = 'N8'", alerted), 0);
    assert_eq!(database.number("SELECT count(*) FROM alert_outbox"), total("alerts"));
    let silent = "SELECT count(*) FROM device_removed WHERE device_type = 'GPF' AND notifying_role IS NULL";
    assert!(database.number(silent) > 0, "some go silently");
    // A device that the load kept is unchanged, or another session deleted it.
    assert_eq!(database.number("SELECT count(*) FROM sweep_load_kept WHERE outcome = 'gone'"), total("gone"),);
    assert_eq!(database.number("SELECT count(*) FROM device JOIN device_removed USING (device_id)"), 0);
}

/// A row for each planned device, with what was found instead.
fn outcome_file(run: &str, total: &Value) {
    let file = File::open(format!("{run}/load-outcome.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut counts = std::collections::BTreeMap::<String, i64>::new();
    for batch in reader {
        let batch = batch.unwrap();
        let outcome = batch.column_by_name("outcome").unwrap().as_string::<i32>();
        let reason = batch.column_by_name("reason").unwrap().as_string::<i32>();
        for row in 0..batch.num_rows() {
            *counts.entry(outcome.value(row).to_owned()).or_default() += 1;
            assert_eq!(outcome.value(row) == "deleted", reason.value(row).is_empty());
        }
    }
    for name in ["deleted", "changed", "gone", "failed"] {
        assert_eq!(counts.get(name).copied().unwrap_or_default(), total[name].as_i64().unwrap(), "{name}");
    }
}

/// Exactly the devices that have not come back are restored, and the alerts that were not sent are withdrawn.
fn undone(database: &Database, load: &[&str], confirm: &str) {
    let removed = database.number("SELECT count(*) FROM device_removed");
    database.sql(
        "UPDATE alert_outbox SET sent_at = now() WHERE load_ord % 3 = 0; \
         INSERT INTO device (device_id, device_type, smi_status, status_since, model) \
         SELECT device_id, device_type, 'Pending', now(), 'come back' FROM device_removed WHERE load_ord % 10 = 0",
    );
    let back = database.number("SELECT count(*) FROM device WHERE model = 'come back'");
    let sent = database.number("SELECT count(*) FROM alert_outbox WHERE sent_at IS NOT NULL");
    let others = database.number("SELECT count(*) FROM device") - back;
    let unsent_of_returned =
        database.number("SELECT count(*) FROM alert_outbox WHERE sent_at IS NULL AND load_ord % 10 = 0");
    let before = state(database);
    database.well(&[load, &["--undo"]].concat());
    assert_eq!(state(database), before, "a dry run leaves nothing");

    let execute = ["--undo", "--execute", "--confirm", confirm, "--json"];
    let first: Value = serde_json::from_str(&database.well(&[load, &execute[..]].concat())).unwrap();
    assert_eq!(first["undone"]["restored"], removed - back);
    assert_eq!(first["undone"]["come_back"], back);
    assert_eq!(database.number("SELECT count(*) FROM device"), others + removed);
    assert_eq!(database.number("SELECT count(*) FROM device WHERE model = 'come back'"), back);
    let differing = "SELECT count(*) FROM device_removed AS r JOIN device AS d USING (device_id) WHERE restored_at IS NOT NULL \
                     AND (d.device_type, d.smi_status, d.status_since, d.notifying_party, d.notifying_role, d.model, d.notes, d.weight) \
                     IS DISTINCT FROM \
                     (r.device_type, r.smi_status, r.status_since, r.notifying_party, r.notifying_role, r.model, r.notes, r.weight)";
    assert_eq!(database.number(differing), 0);
    assert_eq!(database.number("SELECT count(*) FROM alert_outbox WHERE sent_at IS NOT NULL"), sent);
    assert_eq!(database.number("SELECT count(*) FROM alert_outbox WHERE sent_at IS NULL"), unsent_of_returned);

    let after = state(database);
    let second: Value = serde_json::from_str(&database.well(&[load, &execute[..]].concat())).unwrap();
    assert_eq!(second["undone"]["restored"], 0);
    assert_eq!(state(database).split(' ').next(), after.split(' ').next());
    // What was undone is not loaded again.
    let (code, _, err) = database.run(load);
    assert_eq!((code, err.contains("undone")), (6, true), "{err}");
}
