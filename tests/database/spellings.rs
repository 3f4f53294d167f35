//! The guard of a load compares values as a sweep does, however the inventory spells them, and always by index.

use serde_json::Value;

use crate::common::prepared::{PLANNED, Prepared};
use crate::common::server::{Server, failed};

/// How Device IDs are stored: name of the test, type, and the value from the canonical text `id`.
const FORMS: [(&str, &str, &str); 9] = [
    ("text", "text", "id"),
    ("lower", "text", "lower(id)"),
    ("some_lower", "varchar(40)", "CASE WHEN i % 3 = 0 THEN lower(id) ELSE id END"),
    ("char23", "char(23)", "id"),
    ("char30", "char(30)", "CASE WHEN i % 3 = 0 THEN lower(id) ELSE id END"),
    ("citext", "citext", "initcap(id)"),
    ("domain", "eui", "id"),
    ("bytea", "bytea", "decode(replace(id, '-', ''), 'hex')"),
    ("bigint", "bigint", "('x' || replace(id, '-', ''))::bit(64)::bigint"),
];

impl Prepared {
    /// Sequential scans of the device table so far.
    fn scans(&self) -> i64 {
        self.number("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'device'")
    }

    /// Executes the load with more arguments.
    #[track_caller]
    fn execute_well(&self, more: &[&str]) -> Value {
        let confirm = self.confirm();
        self.loaded(&[&["--execute", "--confirm", &confirm], more].concat())
    }
}

/// A third of the planned devices is gone. A batch looked for each of them by reading the whole table, where the type of the
/// Device ID was not that of the comparison.
#[test]
fn no_form_of_a_device_id_makes_a_batch_read_the_table() {
    for (name, kind, value) in FORMS {
        let database = Server::shared().database(&format!("spelled_{name}"), None);
        database.estate(20_000);
        database.sql(&format!(
            "CREATE EXTENSION citext; CREATE DOMAIN eui AS varchar(30); ALTER TABLE device RENAME TO canonical; \
             CREATE TABLE device (device_id {kind} PRIMARY KEY, device_type text, smi_status text, status_since timestamptz, \
             notifying_party text, notifying_role text); \
             INSERT INTO device SELECT {value}, device_type, smi_status, status_since, notifying_party, notifying_role \
             FROM (SELECT device_id AS id, row_number() OVER () AS i, * FROM canonical) AS c; ANALYZE device"
        ));
        let prepared = Prepared::of(database);
        let due = "smi_status = 'Pending' AND device_type <> 'CHF' AND status_since < now() - interval '13 months'";
        let gone = prepared.number(&format!(
            "WITH d AS (DELETE FROM device WHERE {due} AND device_type = 'ESME' RETURNING 1) SELECT count(*) FROM d"
        ));
        assert!(gone > 100);
        let before = prepared.scans();
        let document = prepared.execute_well(&["--batch", "50"]);
        assert_eq!(document["total"]["gone"], gone, "{name}: {document}");
        let total = |key: &str| document["total"][key].as_i64().unwrap();
        assert_eq!(total("planned"), total("deleted") + total("gone"), "{name}: {document}");
        // One pass of the dry run and one of the load, where Device IDs are texts, for those that no index finds. The server
        // may count those of earlier sessions late.
        let passes = prepared.scans() - before;
        assert!(passes <= 4, "{name}: {passes} scans of {} batches", total("planned") / 50);
        // Whatever the inventory writes, alerts have the canonical form.
        let odd = "SELECT count(*) FROM alert_outbox WHERE device_id !~ '^([0-9A-F]{2}-){7}[0-9A-F]{2}$'";
        assert_eq!(prepared.number(odd), 0, "{name}");
        prepared.loaded(&["--undo", "--execute", "--confirm", document["confirm"].as_str().unwrap()]);
        assert_eq!(prepared.number("SELECT count(*) FROM device"), 20_000 - gone, "{name}");
    }
}

/// Mixed case, which no index on the column finds: one pass at the end does.
#[test]
fn device_ids_in_mixed_case_are_found_at_the_end() {
    let prepared = Prepared::new("mixed_case", 3_000);
    prepared.database.sql(&format!(
        "UPDATE device SET device_id = initcap(device_id) WHERE device_id IN ({PLANNED} LIMIT 5); \
         DELETE FROM device WHERE device_id = ({PLANNED} OFFSET 6 LIMIT 1); \
         INSERT INTO device (device_id, device_type) VALUES ('00:DB-00-00-00-00-00-01', 'ESME'), ('no id at all', 'ESME')"
    ));
    let dry_run = prepared.loaded(&[]);
    let document = prepared.execute_well(&[]);
    assert_eq!(dry_run["total"], document["total"]);
    prepared.is_exact(&document);
    assert_eq!(
        (document["total"]["gone"].as_i64(), document["total"]["changed"].as_i64()),
        (Some(1), Some(0)),
        "{document}"
    );
    assert_eq!(
        prepared.number("SELECT count(*) FROM device WHERE device_id <> upper(device_id) AND smi_status = 'Pending'"),
        0
    );
}

/// Parties and roles: other spellings of the same are the same, anything else has changed since the snapshot.
#[test]
fn a_change_of_party_or_role_is_a_change() {
    let prepared = Prepared::new("parties", 3_000);
    let at = |place: usize| format!("device_id = ({PLANNED} OFFSET {place} LIMIT 1)");
    // The plan is made before these changes; each changes one device that is due.
    let planned: Vec<String> = (0..6)
        .map(|place| prepared.database.text(&format!("SELECT device_id FROM device WHERE {}", at(place))))
        .collect();
    let silent = "SELECT device_id FROM device WHERE smi_status = 'Pending' AND device_type = 'GPF' AND notifying_role IS NULL \
                  AND status_since < now() - interval '2 years' ORDER BY device_id";
    let quiet: Vec<String> =
        (0..3).map(|place| prepared.database.text(&format!("{silent} OFFSET {place} LIMIT 1"))).collect();
    for (device, change) in [
        (&planned[0], "notifying_party = ' ' || lower(notifying_party) || E'\\u00a0'"),
        (&planned[1], "notifying_party = 'Another Party'"),
        (&planned[2], "notifying_party = NULL"),
        (&planned[3], "notifying_role = 'CSP'"),
        (&planned[4], "notifying_role = 'serviceuser'"),
        (&planned[5], "notifying_role = 'ServiceUser'"),
        (&quiet[0], "notifying_role = 'ServiceUser'"),
        (&quiet[1], "notifying_party = 'Another CSP'"),
        (&quiet[2], "notifying_role = 'CSP'"),
    ] {
        prepared.database.sql(&format!("UPDATE device SET {change} WHERE device_id = '{device}'"));
    }
    let document = prepared.execute_well(&[]);
    prepared.is_exact(&document);
    let kept =
        |device: &String| prepared.number(&format!("SELECT count(*) FROM device WHERE device_id = '{device}'")) == 1;
    assert_eq!(planned.iter().map(kept).collect::<Vec<_>>(), [false, true, true, true, true, false]);
    assert_eq!(quiet.iter().map(kept).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(document["reasons"]["changed: notifying_role"], 3, "{document}");
    assert_eq!(document["reasons"]["changed: notifying_party"], 3, "{document}");
}

/// Names of parties that are not user ids differ by case; blanks around them do not matter.
#[test]
fn names_of_parties_differ_by_case() {
    let database = Server::shared().database("party_names", None);
    database.estate(3_000);
    database.sql("UPDATE device SET notifying_party = 'Acme'");
    let prepared = Prepared::of(database);
    prepared.database.sql(&format!(
        "UPDATE device SET notifying_party = E'\\tAcme  ' WHERE device_id IN ({PLANNED} LIMIT 4); \
         UPDATE device SET notifying_party = 'ACME' WHERE device_id IN ({PLANNED} OFFSET 4 LIMIT 3)"
    ));
    let document = prepared.execute_well(&[]);
    prepared.is_exact(&document);
    assert_eq!(document["total"]["changed"], 3, "{document}");
}

/// An index that compares in another way than the column does finds no device: that is said before the load.
#[test]
fn an_index_that_does_not_serve_is_refused() {
    let prepared = Prepared::new("other_index", 900);
    prepared.database.sql(
        "ALTER TABLE device DROP CONSTRAINT device_pkey; CREATE UNIQUE INDEX ON device (device_id COLLATE \"POSIX\"); \
         CREATE UNIQUE INDEX ON device (lower(device_id))",
    );
    let output = prepared.database.command(&prepared.load(&[])).output().unwrap();
    failed(&output, 1, "no unique index on `device_id` alone that compares as the column does");
}
