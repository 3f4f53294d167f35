//! The rule as SQL gives every row the disposition that the rule itself gives it, on PostgreSQL.

use postgres::types::Type;

use crate::common::at;
use crate::common::estates::{MOMENTS, Row, ends, policies, rows};
use crate::common::server::Server;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use smi_sweep::estate::time::{add_months, day_of, format_day};
use smi_sweep::query::{Dialect, QueryOptions, compile};

/// The first instant that PostgreSQL can hold, and the one before the year 1, UTC microseconds.
const POSTGRES_FIRST: i64 = -210_866_803_200_000_000;
const BEFORE_YEAR_1: i64 = -62_135_596_801_000_000;

#[test]
fn the_query_says_what_the_rule_says() {
    let database = Server::shared().database("queries", None);
    let mut client = database.client();
    // The result must not depend on the zone of the session.
    client.batch_execute("SET TimeZone = 'Asia/Tokyo'").unwrap();
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for (number, moment) in MOMENTS.iter().cycle().take(48).enumerate() {
        let as_of = at(moment);
        let policy = policies().new_tree(&mut runner).unwrap().current();
        let mut estate: Vec<Row> = rows(as_of).new_tree(&mut runner).unwrap().current();
        for row in &mut estate {
            row.since = row.since.map(|since| if since < POSTGRES_FIRST { BEFORE_YEAR_1 } else { since });
        }
        // Times with a zone, and times without one, which are UTC.
        let kind = if number % 2 == 0 { "timestamptz" } else { "timestamp" };
        client
            .batch_execute(&format!(
                "DROP TABLE IF EXISTS snapshot; CREATE TABLE snapshot (\"row\" int, device_id text, device_type text, \
                 smi_status text, status_since {kind}, notifying_party text, notifying_role text)"
            ))
            .unwrap();
        let insert = client
            .prepare_typed(
                &format!(
                    "INSERT INTO snapshot VALUES ($1, $2, $3, $4, \
                     (timestamptz '1970-01-01 00:00:00+00' + make_interval(secs => floor($5 / 1000000.0)::float8) \
                      + ($5 % 1000000) * interval '1 microsecond') {}, $6, $7)",
                    if number % 2 == 0 { "" } else { "AT TIME ZONE 'UTC'" }
                ),
                &[Type::INT4, Type::TEXT, Type::TEXT, Type::TEXT, Type::INT8, Type::TEXT, Type::TEXT],
            )
            .unwrap();
        for (index, row) in estate.iter().enumerate() {
            let index = index as i32;
            client
                .execute(&insert, &[&index, &row.id, &row.device_type, &row.status, &row.since, &row.party, &row.role])
                .unwrap();
        }
        let keep = ["row".to_owned()];
        let options = QueryOptions { dialect: Dialect::Postgres, relation: "snapshot", has_role: true, keep: &keep };
        let sql = compile(&policy, as_of, &options).unwrap();
        let result = client.query(&sql, &[]).unwrap();
        let expected = ends(&estate, &policy, as_of);
        assert_eq!(result.len(), expected.len());
        for row in result {
            let index = row.get::<_, i32>("row") as usize;
            let end = match row.get::<_, String>("disposition").as_str() {
                "delete" if row.get("alert") => "alert".to_owned(),
                "delete" => "silent".to_owned(),
                "quarantined" => row.get("reason"),
                other => other.to_owned(),
            };
            assert_eq!(end, expected[index], "{:?}\n{sql}", estate[index]);
            seen.insert(end);
        }
    }
    assert!(seen.len() >= 16, "too few kinds of ends: {seen:?}");
}

/// For every day of three centuries.
#[test]
fn due_dates_are_those_of_the_calendar() {
    let database = Server::shared().database("query_dates", None);
    let mut client = database.client();
    client
        .batch_execute(
            "CREATE TABLE snapshot AS SELECT n AS \"row\", '00-00-00-00-00-' || \
             substr(regexp_replace(lpad(to_hex(n), 6, '0'), '(..)', '\\1-', 'g'), 1, 8) AS device_id, 'ESME' AS device_type, \
             'Pending' AS smi_status, timestamp '1899-12-01 23:59:59.999999' + n * interval '1 day' AS status_since, \
             'Party' AS notifying_party, NULL::text AS notifying_role FROM generate_series(0, 110000) n",
        )
        .unwrap();
    let mut policy = crate::common::unguarded("pre-change");
    let keep = ["row".to_owned()];
    for months in [1, 12, 36, 1200] {
        policy.thresholds.default = months;
        let options = QueryOptions { dialect: Dialect::Postgres, relation: "snapshot", has_role: true, keep: &keep };
        let sql = compile(&policy, at("2400-01-01"), &options).unwrap();
        let rows = client.query(&format!("SELECT \"row\", due_on::text FROM ({sql}) AS judged"), &[]).unwrap();
        assert_eq!(rows.len(), 110_001);
        for row in rows {
            let day = day_of(at("1899-12-01")) + row.get::<_, i32>(0);
            let due = format_day(add_months(day, months).unwrap());
            assert_eq!(row.get::<_, Option<String>>(1), Some(due), "{} and {months} months", format_day(day));
        }
    }
}
