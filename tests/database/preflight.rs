//! What surrounds the device table is counted before the first deletion, printed by the dry run, and kept in `load.json`.

use serde_json::{Value, json};

use crate::common::prepared::{PLANNED, Prepared};
use crate::common::server::Server;

#[track_caller]
fn preflight(prepared: &Prepared) -> Value {
    prepared.loaded(&[])["preflight"].clone()
}

/// Child rows went with their devices, without a word: 40 readings, their 80 values, and the devices of 7 jobs.
#[test]
fn child_rows_are_counted_before_they_are_lost() {
    let prepared = Prepared::with(
        "preflight_children",
        1_500,
        &format!(
            "CREATE TABLE reading (id int PRIMARY KEY, device_id text REFERENCES device ON DELETE CASCADE); \
             CREATE TABLE value (reading int REFERENCES reading ON DELETE CASCADE, n int); \
             CREATE INDEX ON value (reading); \
             CREATE TABLE job (id int, device_id text REFERENCES device ON DELETE SET NULL); \
             CREATE TABLE contract (device_id text PRIMARY KEY REFERENCES device); \
             INSERT INTO reading SELECT i, device_id FROM (SELECT row_number() OVER () AS n, device_id FROM ({PLANNED}) AS p) AS p, \
             generate_series(1, 10) AS g, LATERAL (SELECT (n * 10 + g)::int AS i) AS i WHERE n <= 4; \
             INSERT INTO reading SELECT 1000 + i, device_id FROM device, generate_series(1, 2) AS i WHERE smi_status = 'Commissioned' \
             AND device_id = (SELECT max(device_id) FROM device WHERE smi_status = 'Commissioned'); \
             INSERT INTO value SELECT id, n FROM reading, generate_series(1, 2) AS n; \
             INSERT INTO job SELECT n, device_id FROM ({PLANNED} LIMIT 1) AS p, generate_series(1, 7) AS n; \
             ANALYZE reading, value, job"
        ),
    );
    let found = preflight(&prepared);
    let keys = found["foreign_keys"].as_array().unwrap();
    let key = |table: &str| keys.iter().find(|key| key["table"] == table).unwrap_or_else(|| panic!("{table}: {found}"));
    assert_eq!(keys.len(), 4, "{found}");
    let reading = json!({"name": "reading_device_id_fkey", "table": "public.reading", "refers_to": "public.device",
        "on_delete": "cascade", "rows": 40, "indexed": false, "table_rows": 42});
    assert_eq!(*key("public.reading"), reading);
    assert_eq!(key("public.value")["rows"], 80);
    assert_eq!(
        (&key("public.value")["indexed"], &key("public.value")["refers_to"]),
        (&json!(true), &json!("public.reading"))
    );
    assert_eq!((&key("public.job")["rows"], &key("public.job")["on_delete"]), (&json!(7), &json!("set_null")));
    assert_eq!(key("public.contract")["on_delete"], "refuse");

    let (code, _, err) = prepared.database.run(&["load", &prepared.run, "--to", "URL"]);
    let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, 0);
    for says in [
        "foreign key reading_device_id_fkey of public.reading: deletes 40 rows with them, which an undo does not restore",
        "no index begins with its columns: each deletion reads all of its about 42 rows",
        "foreign key job_device_id_fkey of public.job: sets 7 references to null",
    ] {
        assert!(err.contains(says), "{says}: {err}");
    }
    // As many as were counted.
    prepared.executed();
    assert_eq!(prepared.number("SELECT count(*) FROM reading"), 2);
    assert_eq!(prepared.number("SELECT count(*) FROM value"), 4);
    assert_eq!(prepared.number("SELECT count(*) FROM job WHERE device_id IS NULL"), 7);
    assert_eq!(prepared.document()["preflight"]["foreign_keys"], found["foreign_keys"]);
    // It is kept when the files are written again.
    prepared.undone();
    assert_eq!(prepared.document()["preflight"]["foreign_keys"], found["foreign_keys"]);
}

/// A loader needs no right to read the child tables, because cascades run with the rights of their owner. Then nothing is
/// counted, and the load goes on.
#[test]
fn child_tables_that_the_loader_may_not_read() {
    let prepared = Prepared::with(
        "preflight_rights",
        900,
        "CREATE SCHEMA closed; CREATE TABLE closed.reading (device_id text REFERENCES device ON DELETE CASCADE); \
         CREATE INDEX ON closed.reading (device_id); INSERT INTO closed.reading SELECT device_id FROM device",
    );
    prepared.database.sql(
        "CREATE ROLE counting LOGIN; GRANT ALL ON SCHEMA public TO counting; GRANT ALL ON ALL TABLES IN SCHEMA public TO counting; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO counting",
    );
    let url = prepared.database.url().replace("smi@", "counting@");
    let (code, out, err) = prepared.database.run(&["load", &prepared.run, "--to", &url, "--json"]);
    assert_eq!(code, 0, "{err}");
    let document: Value = serde_json::from_str(&out).unwrap();
    let key = &document["preflight"]["foreign_keys"][0];
    assert_eq!((&key["rows"], &key["on_delete"]), (&Value::Null, &json!("cascade")), "{document}");
    let (_, _, err) = prepared.database.run(&["load", &prepared.run, "--to", &url]);
    let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(err.contains("deletes an unknown number of rows with them"), "{err}");
}

/// A table that refers to itself, and one with two columns as its key.
#[test]
fn keys_of_other_forms_are_counted() {
    let prepared = Prepared::with(
        "preflight_forms",
        1_500,
        &format!(
            "ALTER TABLE device ADD UNIQUE (device_id, device_type); \
             ALTER TABLE device ADD COLUMN hub text REFERENCES device; \
             CREATE TABLE pair (kind text, device text, FOREIGN KEY (device, kind) REFERENCES device (device_id, device_type) \
             ON DELETE SET DEFAULT) PARTITION BY LIST (kind); \
             CREATE TABLE pair_esme PARTITION OF pair FOR VALUES IN ('ESME'); CREATE INDEX ON pair (kind, device); \
             INSERT INTO pair SELECT device_type, device_id FROM device WHERE device_id IN ({PLANNED} LIMIT 3)"
        ),
    );
    let found = preflight(&prepared);
    let keys = found["foreign_keys"].as_array().unwrap();
    let of = |table: &str| keys.iter().filter(|key| key["table"] == table).collect::<Vec<_>>();
    assert_eq!((of("public.device").len(), &of("public.device")[0]["rows"]), (1, &Value::Null), "{found}");
    assert_eq!(
        (keys.len(), &of("public.pair")[0]["rows"], &of("public.pair")[0]["indexed"]),
        (2, &json!(3), &json!(true))
    );
}

/// Everything else that surrounds the table.
#[test]
fn the_surroundings_are_listed() {
    let server = Server::start(&["wal_level=logical"]);
    let database = server.database("preflight_all", None);
    database.sql(
        "CREATE TABLE device (device_id text PRIMARY KEY, device_type text NOT NULL, smi_status text, status_since timestamptz, \
         notifying_party text) PARTITION BY HASH (device_id); \
         CREATE TABLE d0 PARTITION OF device FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
         CREATE TABLE d1 PARTITION OF device FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
         INSERT INTO device SELECT upper(regexp_replace(substr(md5(i::text), 1, 16), '(..)(?!$)', '\\1-', 'g')), 'ESME', 'Pending', \
         now() - interval '400 days', '90-B3-D5-1F-30-00-00-01' FROM generate_series(1, 500) AS i; ANALYZE device; \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER DELETE OR INSERT ON device FOR EACH ROW EXECUTE FUNCTION note(); \
         CREATE FUNCTION off() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER off AFTER UPDATE ON d0 FOR EACH ROW EXECUTE FUNCTION off(); ALTER TABLE d0 DISABLE TRIGGER off; \
         CREATE RULE hint AS ON UPDATE TO device DO ALSO NOTHING; \
         ALTER TABLE device ENABLE ROW LEVEL SECURITY; \
         CREATE PUBLICATION everything FOR TABLE device",
    );
    database.sql("SELECT pg_create_logical_replication_slot('behind', 'pgoutput')");
    let prepared = Prepared::of(database);
    let found = preflight(&prepared);
    let trigger = json!({"table": "public.device", "name": "note", "fires": "after insert or delete",
        "function": "public.note", "enabled": true, "own_search_path": false});
    let triggers = found["triggers"].as_array().unwrap();
    assert!(triggers.contains(&trigger), "{found}");
    let off = triggers.iter().find(|trigger| trigger["name"] == "off").unwrap();
    assert_eq!((&off["enabled"], &off["own_search_path"]), (&json!(false), &json!(true)));
    assert_eq!(found["rules"], json!([{"table": "public.device", "name": "hint", "event": "update"}]));
    assert_eq!(
        (&found["partitions"], &found["children"], &found["row_security"]),
        (&json!(2), &json!(0), &json!(true))
    );
    let published = found["publications"].as_array().unwrap();
    assert!(published.iter().all(|publication| publication["name"] == "everything" && publication["deletes"] == true));
    assert!(!published.is_empty());
    assert_eq!((&found["slots"][0]["name"], &found["slots"][0]["active"]), (&json!("behind"), &json!(false)));
    assert_eq!(found["replicas"], json!([]));
    assert!(found["free_bytes"].as_u64() > Some(0) && found["archive_bytes"].as_u64() > Some(10_000), "{found}");
    assert!(found["estimated_seconds"].as_f64() > Some(0.0), "{found}");
    prepared.executed();
    let kept = &prepared.document()["preflight"];
    assert_eq!((&kept["triggers"], &kept["estimated_seconds"]), (&found["triggers"], &Value::Null));
}
