//! Inventories with other types, names and spellings, hostile ones included: export, sweep, load and undo work the same.

use std::fs;

use crate::common::server::{Database, Server, confirmation};
use serde_json::Value;

/// A text that does harm where it is not quoted.
const EVIL: &str = "\"; DROP TABLE device; --'); DROP TABLE device; $1 %s \\ :inventory";

/// Quoted as an identifier.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quoted as a TOML key or string.
fn toml(text: &str) -> String {
    Value::from(text).to_string()
}

/// Exports, sweeps, loads and undoes the load; the number of deletions.
#[track_caller]
fn circle(database: &Database, table: &str, policy: &str, config: &str) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let config_file = folder.path().join("load.toml");
    fs::write(&config_file, config).unwrap();
    let config = config_file.to_str().unwrap();
    let policy_file = folder.path().join("policy.toml");
    fs::write(&policy_file, policy).unwrap();
    database.well(&["load", "--init", "--to", "URL", "--config", config, "--policy", policy_file.to_str().unwrap()]);
    let run = database.swept(folder.path(), policy, &["--config", config]);
    let all = || database.text(&format!("SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} AS t"));
    let (before, devices) = (all(), database.number(&format!("SELECT count(*) FROM {table}")));
    let load = ["load", run.to_str().unwrap(), "--to", "URL", "--config", config];
    let confirm = confirmation(database, &load);
    assert_eq!(all(), before);
    let execute = ["--execute", "--confirm", &confirm, "--json"];
    let account: Value = serde_json::from_str(&database.well(&[&load[..], &execute].concat())).unwrap();
    let deleted = account["total"]["deleted"].as_i64().unwrap();
    assert_eq!(account["total"]["planned"], deleted, "{account}");
    assert_eq!(database.number(&format!("SELECT count(*) FROM {table}")), devices - deleted);
    database.well(&[&load[..], &["--undo"], &execute].concat());
    assert_eq!(all(), before);
    deleted
}

const POLICY: &str = "name = \"p\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_delete_share = 1.0\n";

#[test]
fn identifiers_and_times_in_every_form() {
    let server = Server::shared();
    let hex = "substr(md5(i::text), 1, 16)";
    let forms = [
        ("bytea", format!("decode({hex}, 'hex')")),
        ("bigint", format!("('x' || {hex})::bit(64)::bigint")),
        ("macaddr8", format!("{hex}::macaddr8")),
        ("char(23)", format!("upper(regexp_replace({hex}, '(..)(?!$)', '\\1-', 'g'))")),
        ("eui", format!("upper(regexp_replace({hex}, '(..)(?!$)', '\\1-', 'g'))::eui")),
    ];
    let times = ["timestamp", "date", "timestamptz", "timestamp", "timestamptz"];
    for (number, ((form, value), time)) in forms.into_iter().zip(times).enumerate() {
        let database = server.database(&format!("form{number}"), None);
        database.sql(&format!(
            "CREATE DOMAIN eui AS varchar(30); CREATE TYPE status AS ENUM ('Pending', 'Commissioned'); \
             CREATE TABLE device (id bigint GENERATED ALWAYS AS IDENTITY, device_id {form} PRIMARY KEY, \
             device_type varchar(8), smi_status status, status_since {time}, notifying_party {form}, \
             twice bigint GENERATED ALWAYS AS (id * 2) STORED) PARTITION BY HASH (device_id); \
             CREATE TABLE device0 PARTITION OF device FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
             CREATE TABLE device1 PARTITION OF device FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
             INSERT INTO device (device_id, device_type, smi_status, status_since, notifying_party) \
             SELECT {value}, 'ESME', CASE WHEN i % 2 = 0 THEN 'Pending' ELSE 'Commissioned' END::status, \
             now() - i * interval '1 day', {value} FROM generate_series(1, 1000) AS i"
        ));
        let deleted = circle(&database, "device", POLICY, "");
        assert!((310..325).contains(&deleted), "{form}: {deleted}");
        let loads = "SELECT count(*) FROM sweep_load";
        assert_eq!(database.number(loads), 1);
    }
}

#[test]
fn names_and_words_that_would_do_harm() {
    let server = Server::shared();
    let database = server.database("evil", None);
    let column = |name: &str| format!("{name} {EVIL}").chars().take(60).collect::<String>();
    let table: String = format!("d{EVIL}").chars().take(60).collect();
    let quoted_table = format!("{}.{}", identifier("s\"chema"), identifier(&table));
    let [id, kind, status, since, party] = ["a", "b", "c", "d", "e"].map(column);
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    database.sql(&format!(
        "CREATE SCHEMA {}; CREATE TABLE device (x int); INSERT INTO device VALUES (1); \
         CREATE TABLE {quoted_table} ({} text PRIMARY KEY, {} text, {} text, {} timestamptz, {} text, note text)",
        identifier("s\"chema"),
        identifier(&id),
        identifier(&kind),
        identifier(&status),
        identifier(&since),
        identifier(&party),
    ));
    let [pending, esme] = [format!("Pending {EVIL}"), format!("ESME {EVIL}")];
    database.sql(&format!(
        "INSERT INTO {quoted_table} SELECT upper(regexp_replace(substr(md5(i::text), 1, 16), '(..)(?!$)', '\\1-', 'g')), \
         {}, {}, now() - i * interval '1 day', left({} || i, 60), {} FROM generate_series(1, 500) AS i",
        literal(&esme),
        literal(&pending),
        literal(EVIL),
        literal(EVIL),
    ));
    // One whose Device ID is such a word: it cannot be judged, and stays.
    database.sql(&format!(
        "INSERT INTO {quoted_table} VALUES ({0}, {1}, {2}, '2001-01-01', {0}, {0})",
        literal(EVIL),
        literal(&esme),
        literal(&pending)
    ));
    let policy = format!(
        "{POLICY}[snapshot.statuses]\n{} = \"Pending\"\n[snapshot.types]\n{} = \"ESME\"\n[snapshot.columns]\n{}",
        toml(&pending),
        toml(&esme),
        [
            (&id, "device_id"),
            (&kind, "device_type"),
            (&status, "smi_status"),
            (&since, "status_since"),
            (&party, "notifying_party")
        ]
        .map(|(theirs, ours)| format!("{} = \"{ours}\"\n", toml(theirs)))
        .concat(),
    );
    let config = format!(
        "[inventory]\nschema = {}\ntable = {}\n[load]\nschema = {}\nremoved = {}\noutbox = {}\n",
        toml("s\"chema"),
        toml(&table),
        toml("s\"chema"),
        toml(&format!("r{EVIL}").chars().take(60).collect::<String>()),
        toml(&format!("o{EVIL}").chars().take(60).collect::<String>()),
    );
    let deleted = circle(&database, &quoted_table, &policy, &config);
    assert!((130..140).contains(&deleted), "{deleted}");
    assert_eq!(database.number("SELECT count(*) FROM device"), 1, "it is still there");
    assert_eq!(database.number(&format!("SELECT count(*) FROM {quoted_table}")), 501);
}

/// The bytes of a row are those that the server reports, with indexes.
#[test]
fn a_forecast_takes_the_bytes_of_a_row_from_the_inventory() {
    let server = Server::shared();
    let database = server.database("weighed", None);
    database.estate(3_000);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (estate, ledger, scenario) = (path("estate"), path("a.ledger"), path("scenario.toml"));
    database.well(&["export", "--from", "URL", "--out", &estate]);
    database.well(&["ledger", &estate, "--out", &ledger]);
    fs::write(&scenario, "name = \"s\"\nmonths = 3\npolicies = [\"secmp0060\"]\nsimulations = 10\n").unwrap();
    let asked = ["forecast", &ledger, "--scenario", &scenario, "--inventory", "URL", "--json"];
    let document: Value = serde_json::from_str(&database.well(&asked)).unwrap();
    let bytes: f64 = database.text("SELECT pg_total_relation_size('device')::text").parse().unwrap();
    assert_eq!(document["bytes_from"], "inventory");
    assert!((document["bytes_per_row"].as_f64().unwrap() - bytes / 3_000.0).abs() < 1e-9, "{document}");
    database.sql("CREATE VIEW seen AS SELECT * FROM device");
    let config = path("config.toml");
    fs::write(&config, "[inventory]\ntable = \"seen\"\n").unwrap();
    let (code, _, err) = database.run(&[&asked[..], &["--config", &config]].concat());
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("a view, which has no size of its own"), "{err}");
}
