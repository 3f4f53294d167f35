//! Manifests handed over to a real PostgreSQL: `COPY` takes the CSV as it is, and the SQL deletes exactly what is still due.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::estates::text_id;
use crate::common::server::{Database, Server};
use crate::common::{at, run};
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use smi_sweep::estate::time::DAY_MICROS;
use tempfile::TempDir;

const AS_OF: &str = "2026-11-01";
/// Devices of one transaction.
const BATCH: usize = 50;
/// Names that a statement put together without care would trip over.
const PARTIES: [Option<&str>; 8] = [
    Some("00-DB-12-34-56-78-90-A0"),
    Some("O'Brien"),
    Some("back\\slash \"quoted\", comma"),
    Some("a;b|c"),
    Some("'); DROP TABLE device; --"),
    Some("NULL"),
    Some("\\."),
    None,
];
const POLICY: &str = r#"
name = "p"
version = 1
[threshold]
default = 12
[guard]
max_deletes = 100000
max_delete_share = 1.0
max_quarantined = 100000
[snapshot.columns]
'Device "EUI"' = "device_id"
kind = "device_type"
state = "smi_status"
since = "status_since"
party = "notifying_party"
[snapshot.statuses]
"it's pending" = "Pending"
[snapshot.types]
"Type 1 'E'" = "ESME"
"#;
/// The device table of an estate that spells everything its own way, and has a column that the engine does not know.
const DEVICE: &str = r#"
CREATE TYPE state AS ENUM ('Pending', 'it''s pending', 'Commissioned');
CREATE TABLE device (
    "Device ""EUI""" varchar(23) PRIMARY KEY, kind text, state state, since timestamp, party varchar(64),
    note text DEFAULT 'kept with the row'
);
"#;

/// A device, in the spelling of its estate.
#[derive(serde::Serialize)]
struct Device {
    id: String,
    kind: &'static str,
    state: &'static str,
    since: i64,
    party: Option<&'static str>,
}

fn estate() -> Vec<Device> {
    (0..2000u64)
        .map(|n| {
            let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            Device {
                id: text_id(0x00DB_1234_0000_0000 | (mixed % 0xFFFF_FFFF)),
                kind: ["Type 1 'E'", "ESME", "CHF", "PPMID"][mixed as usize % 4],
                state: ["it's pending", "Pending", "Commissioned"][(mixed as usize >> 3) % 3],
                since: at(AS_OF) - (mixed as i64 % 1500) * DAY_MICROS - mixed as i64 % 1_234_567,
                party: PARTIES[(mixed as usize >> 7) % 8],
            }
        })
        .collect()
}

/// A run over that estate, handed over, and a server that has the estate.
struct Trial {
    home: TempDir,
    database: Database,
}

impl Trial {
    fn new(name: &str) -> Self {
        let trial = Self { home: tempfile::tempdir().unwrap(), database: Server::shared().database(name, None) };
        let estate = estate();
        trial.snapshot(&estate);
        let (snapshot, policy, source) = (trial.text("snapshot.parquet"), trial.text("p.toml"), trial.text("run"));
        fs::write(&policy, POLICY).unwrap();
        ok(&["sweep", &snapshot, "--policy", &policy, "--as-of", AS_OF, "--out", &source]);
        ok(&["manifest", "export", &source, "--format", "csv", "--out", &trial.text("csv")]);
        let batch = BATCH.to_string();
        ok(&["manifest", "export", &source, "--format", "sql", "--batch", &batch, "--out", &trial.text("sql")]);
        trial.database.ask(DEVICE);
        let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/smi/migrations/001_load.sql");
        let names = [
            "schema=public",
            "removed=device_removed",
            "removed_index=device_removed_load_ord",
            "outbox=alert_outbox",
            "inventory=public.device",
        ];
        trial.database.run_file(&tables, &names).unwrap();
        let json = estate.iter().map(|device| serde_json::to_string(device).unwrap()).collect::<Vec<_>>().join(",");
        trial.database.ask(&format!(
            "INSERT INTO device SELECT id, kind, state, timestamp '1970-01-01' + since * interval '1 microsecond', party \
             FROM json_to_recordset($$[{json}]$$) AS e(id text, kind text, state state, since bigint, party text)"
        ));
        trial.planned();
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn snapshot(&self, estate: &[Device]) {
        let text = |of: &dyn Fn(&Device) -> Option<String>| -> ArrayRef {
            Arc::new(estate.iter().map(of).collect::<StringArray>())
        };
        let columns: [(&str, ArrayRef); 5] = [
            ("Device \"EUI\"", text(&|device| Some(device.id.clone()))),
            ("kind", text(&|device| Some(device.kind.into()))),
            ("state", text(&|device| Some(device.state.into()))),
            ("since", Arc::new(estate.iter().map(|device| Some(device.since)).collect::<TimestampMicrosecondArray>())),
            ("party", text(&|device| device.party.map(str::to_owned))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = File::create(self.path("snapshot.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Loads the CSV as its guide says: what was planned, for the tests to compare with.
    fn planned(&self) {
        self.database.ask(
            "CREATE TABLE planned (device_id text PRIMARY KEY, device_type text NOT NULL, smi_status text NOT NULL, \
             status_since timestamptz NOT NULL, due_on date NOT NULL, notifying_party text, alert boolean NOT NULL)",
        );
        self.database
            .ask(&format!("\\copy planned FROM '{}' WITH (FORMAT csv, HEADER)", self.path("csv/delete.csv").display()));
    }

    fn load(&self) {
        self.database.run_file(&self.path("sql/load.sql"), &["max_age_days=100000"]).unwrap();
    }

    /// The state of a load: which devices are there, which were removed, what is alerted, and what the load records.
    fn state(&self) -> Vec<Vec<String>> {
        [
            "SELECT row_to_json(device) FROM device ORDER BY 1::text",
            "SELECT to_jsonb(device_removed) - 'removed_at' FROM device_removed ORDER BY load_ord",
            "SELECT to_jsonb(alert_outbox) - 'created_at' FROM alert_outbox ORDER BY load_ord",
            "SELECT to_jsonb(sweep_load_kept) FROM sweep_load_kept ORDER BY load_ord",
            "SELECT state, planned, done, deleted, alerts, finished_at IS NULL FROM sweep_load",
        ]
        .map(|query| self.database.ask(query))
        .into()
    }

    fn number(&self, query: &str) -> usize {
        self.database.ask(query)[0].parse().unwrap()
    }
}

fn ok(arguments: &[&str]) {
    let (code, _, err) = run(arguments);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn copy_takes_the_csv_as_it_is() {
    let trial = Trial::new("copied");
    let rows = trial.database.ask(
        "SELECT to_jsonb(planned) || jsonb_build_object('status_since', \
         to_char(status_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00:00\"')) \
         FROM planned ORDER BY device_id COLLATE \"C\"",
    );
    let found: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    ok(&["manifest", "export", &trial.text("run"), "--format", "ndjson", "--out", &trial.text("ndjson")]);
    let text = fs::read_to_string(trial.path("ndjson/delete.ndjson")).unwrap();
    let wanted: Vec<Value> = text
        .lines()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let since = at(row["status_since"].as_str().unwrap());
            let (seconds, micros) = (since.div_euclid(1_000_000), since.rem_euclid(1_000_000));
            let whole = smi_sweep::estate::time::format_instant(seconds * 1_000_000);
            row["status_since"] = format!("{}.{micros:06}+00:00", whole.replace('T', " ").trim_end_matches('Z')).into();
            row
        })
        .collect();
    assert!(found.len() > 500);
    assert_eq!(found, wanted);
    let parties: BTreeSet<Option<&str>> = found.iter().map(|row| row["notifying_party"].as_str()).collect();
    assert_eq!(parties, PARTIES.into_iter().collect(), "each party came through, and null as null");
}

#[test]
fn what_is_still_due_goes_whole_and_is_alerted_and_nothing_else() {
    let trial = Trial::new("script");
    let planned = trial.number("SELECT count(*) FROM planned");
    let key = "\"Device \"\"EUI\"\"\"";
    // The estate moves on, in each way that there is.
    for (place, change) in [
        "UPDATE device SET since = since + interval '1 microsecond'",
        "UPDATE device SET state = 'Commissioned'",
        "UPDATE device SET kind = 'CHF'",
        "UPDATE device SET party = 'somebody else'",
        "DELETE FROM device",
    ]
    .into_iter()
    .enumerate()
    {
        let of = if place == 2 { "device_type <> 'CHF'" } else { "alert" };
        let some =
            format!("SELECT device_id FROM planned WHERE {of} ORDER BY md5(device_id) OFFSET {} LIMIT 10", place * 10);
        trial.database.ask(&format!("{change} WHERE {key} IN ({some})"));
    }
    // In another spelling of the same: still due.
    trial.database.ask("UPDATE device SET kind = 'ESME' WHERE kind = 'Type 1 ''E'''");
    let standing = format!(
        "planned AS p JOIN device AS d ON d.{key} = p.device_id WHERE d.since AT TIME ZONE 'UTC' = p.status_since \
         AND d.state IN ('Pending', 'it''s pending') AND d.kind = p.device_type AND (NOT p.alert OR d.party = p.notifying_party)"
    );
    trial.database.ask(&format!("CREATE TABLE due AS SELECT d.*, p.alert, p.due_on FROM {standing}"));
    trial.database.ask("CREATE TABLE before AS SELECT * FROM device");
    let due = trial.number("SELECT count(*) FROM due");
    assert!(due < planned - 40 && due > planned / 2, "{due} of {planned}");

    trial.load();
    // Each device that is gone was due, and is archived whole; each device that was due is gone.
    let columns = format!("{key}, kind, state, since, party, note");
    for (what, query) in [
        ("gone and not due", format!("(TABLE before EXCEPT TABLE device) EXCEPT SELECT {columns} FROM due")),
        ("due and still there", format!("SELECT {columns} FROM due INTERSECT TABLE device")),
        (
            "gone and not kept",
            format!("(TABLE before EXCEPT TABLE device) EXCEPT SELECT {columns} FROM device_removed"),
        ),
        (
            "alerted wrongly",
            format!(
                "SELECT device_id, notifying_party, due_on FROM alert_outbox EXCEPT SELECT {key}, party, due_on FROM due WHERE alert"
            ),
        ),
        (
            "not alerted",
            format!(
                "SELECT {key}, party, due_on FROM due WHERE alert EXCEPT SELECT device_id, notifying_party, due_on FROM alert_outbox"
            ),
        ),
    ] {
        assert!(trial.database.ask(&query).is_empty(), "{what}: {:?}", trial.database.ask(&query));
    }
    let alerts = trial.number("SELECT count(*) FROM due WHERE alert");
    assert_eq!(trial.number("SELECT count(*) FROM alert_outbox WHERE alert_code = 'N8' AND sent_at IS NULL"), alerts);
    assert_eq!(trial.number("SELECT count(*) FROM device_removed"), due);
    assert_eq!(trial.number("SELECT count(DISTINCT removed_at) FROM device_removed"), planned.div_ceil(BATCH));
    let ledger = trial.database.ask("SELECT state, planned, done, deleted, alerts FROM sweep_load");
    assert_eq!(ledger, [format!("loaded|{planned}|{planned}|{due}|{alerts}")]);

    // Run once more, also after a device has come back: nothing is deleted.
    trial.database.ask(&format!("INSERT INTO device SELECT {columns} FROM due LIMIT 5"));
    let state = trial.state();
    trial.load();
    assert_eq!(trial.state(), state);
}

/// A file that was copied in part, or a connection that was lost: the half that is there does whole transactions, and the
/// file that is run again does the rest.
#[test]
fn a_script_that_breaks_off_anywhere_is_run_again() {
    let trial = Trial::new("cut_off");
    let whole = fs::read(trial.path("sql/load.sql")).unwrap();
    trial.database.ask("CREATE TABLE before AS SELECT * FROM device");
    trial.load();
    let wanted = trial.state();
    let part = trial.path("part.sql");
    // Anywhere, and where the half of a statement may be taken for a whole one: at the ends of lines.
    let anywhere = (0..whole.len()).step_by(whole.len() / 9);
    let line_ends = (0..whole.len()).rev().filter(|place| whole[*place] == b'\n').take(12);
    for place in anywhere.chain(line_ends) {
        trial.database.ask(
            "TRUNCATE device, device_removed, alert_outbox, sweep_load_kept, sweep_load RESTART IDENTITY; INSERT INTO device TABLE before; \
             INSERT INTO sweep_load (run_id, inventory, as_of, state, planned) OVERRIDING SYSTEM VALUE VALUES ('other', 'device', now(), 'loading', 1)",
        );
        trial
            .database
            .ask("ALTER SEQUENCE sweep_load_load_id_seq RESTART WITH 1; UPDATE sweep_load SET load_id = DEFAULT");
        fs::write(&part, &whole[..place]).unwrap();
        let _ = trial.database.run_file(&part, &["max_age_days=100000"]);
        assert_eq!(
            trial.number("SELECT count(*) FROM device_removed"),
            trial.number("SELECT coalesce(sum(deleted), 0) FROM sweep_load"),
            "cut off at {place}"
        );
        assert_eq!(trial.database.ask("SELECT state, done FROM sweep_load WHERE run_id = 'other'"), ["loading|0"]);
        trial.database.ask("DELETE FROM sweep_load WHERE run_id = 'other'");
        trial.load();
        let mut state = trial.state();
        for rows in &mut state {
            for row in rows {
                *row = row.replace("\"load_id\": 2", "\"load_id\": 1");
            }
        }
        assert_eq!(state, wanted, "cut off at {place}");
    }
}
