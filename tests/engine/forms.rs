//! How values may be stored, and what a policy declares about that: dates that stand for none, dates as text, clocks
//! without a zone, statuses that mean none.

use std::path::Path;
use std::slice::from_ref;
use std::sync::Arc;

use crate::common::columns::{Columns, meters, text, with, write};
use crate::common::estates::{self, Layout, Row, text_id};
use crate::common::{Workspace, at, fixtures, open, run, sweep, text_of, unguarded};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, Date32Array, Date64Array, DictionaryArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use smi_sweep::check::{FlawKind, check};
use smi_sweep::error::ExitCode;
use smi_sweep::estate::{DateFormat, Reason, Zone, time};
use smi_sweep::policy::Policy;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::scan::{Reader, Scan, SkipReason};
use smi_sweep::snapshot::Snapshot;

const AS_OF: &str = "2026-11-01";

/// The result of each row in the order of the file: `delete`, a reason of quarantine, or empty for the others. It is the
/// same with both readers.
fn results(path: &Path, policy: &Policy) -> Vec<&'static str> {
    let snapshot = open(&[path.to_path_buf()], policy);
    let of = |reader| {
        let swept = sweep(&snapshot, policy, at(AS_OF), reader, 1);
        let mut rows = vec![""; usize::try_from(snapshot.rows()).unwrap()];
        swept.findings.due.iter().for_each(|due| rows[due.row as usize] = "delete");
        swept.findings.quarantined.iter().for_each(|row| rows[row.row as usize] = row.reason.name());
        rows
    };
    assert_eq!(of(Reader::Encoded), of(Reader::Reference), "{}", path.display());
    of(Reader::Encoded)
}

/// The findings of a check: kind, value, and number of rows.
fn findings(path: &Path, policy: &Policy) -> Vec<(FlawKind, Option<String>, u64)> {
    let snapshot = open(&[path.to_path_buf()], policy);
    let checked = check(&Scan::new(&snapshot, &Pool::new(Some(1)), &NoProgress), policy, Some(at(AS_OF))).unwrap();
    checked.findings.into_iter().map(|finding| (finding.kind, finding.value, finding.rows)).collect()
}

/// Two pending meters with these dates.
fn dated(path: &Path, dates: ArrayRef) {
    write(path, with(meters(0), vec![("status_since", dates)]));
}

/// Rows with the results of the fixtures that have the same 13 rows.
const FIXTURE: [(usize, &str); 8] = [
    (0, "delete"),
    (2, "delete"),
    (3, ""),
    (5, "delete"),
    (9, "missing_status"),
    (10, "missing_party"),
    (11, "delete"),
    (12, "future_date"),
];

/// NaT is stored as the lowest number. In nanoseconds and INT96 that was 1677-09-21, and the device was deleted.
#[test]
fn a_date_that_is_the_lowest_number_is_missing() {
    let policy = unguarded("secmp0060");
    for name in ["fastparquet-ns", "fastparquet-us"] {
        let path = fixtures().join(format!("faults/nat-as-lowest-number/{name}.parquet"));
        let rows = results(&path, &policy);
        assert_eq!(rows[7], "missing_date", "{name}");
        for (row, result) in FIXTURE {
            assert_eq!(rows[row], result, "{name}, row {row}");
        }
        assert!(findings(&path, &policy).iter().any(|(kind, ..)| *kind == FlawKind::MissingDate), "{name}");
    }
}

#[test]
fn the_lowest_and_highest_number_of_every_unit_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let policy = unguarded("pre-change");
    for number in [i64::MIN, i64::MIN + 1, i64::MAX] {
        let units: [ArrayRef; 5] = [
            Arc::new(TimestampSecondArray::from(vec![1_600_000_000, number])),
            Arc::new(TimestampMillisecondArray::from(vec![1_600_000_000_000, number])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_600_000_000_000_000, number])),
            Arc::new(TimestampNanosecondArray::from(vec![1_600_000_000_000_000_000, number])),
            Arc::new(Date64Array::from(vec![1_600_000_000_000, number])),
        ];
        for dates in units {
            let unit = dates.data_type().to_string();
            dated(&path, dates);
            assert_eq!(results(&path, &policy), ["delete", "missing_date"], "{unit} {number}");
        }
    }
    for number in [i32::MIN, i32::MIN + 1, i32::MAX] {
        dated(&path, Arc::new(Date32Array::from(vec![18_500, number])));
        assert_eq!(results(&path, &policy), ["delete", "missing_date"], "{number}");
    }
}

/// Statistics of a page that has such a number do not let it be skipped.
#[test]
fn a_page_with_a_date_that_stands_for_none_is_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let policy = unguarded("pre-change");
    for number in [i64::MIN, i64::MAX] {
        dated(&path, Arc::new(TimestampMicrosecondArray::from(vec![at("2026-10-01"), number])));
        assert_eq!(results(&path, &policy), ["", "missing_date"], "{number}");
    }
}

/// 0001-01-01 and 1970-01-01 were deleted without a finding.
#[test]
fn an_early_date_is_a_finding_and_quarantined_where_the_policy_says_so() {
    let path = fixtures().join("faults/date-that-stands-for-none/0001-01-01-and-1970-01-01.parquet");
    let mut policy = unguarded("secmp0060");
    let early = |policy: &Policy| -> Vec<String> {
        let early = findings(&path, policy).into_iter().filter(|(kind, ..)| *kind == FlawKind::EarlyDate);
        early.filter_map(|(_, value, _)| value).collect()
    };
    assert_eq!(early(&policy), ["0001-01-01", "1970-01-01"]);
    let before = results(&path, &policy);
    policy.earliest_date = Some(time::day_of(at("2012-01-01")));
    assert!(early(&policy).is_empty(), "they are not plausible");
    let after = results(&path, &policy);
    let implausible = |rows: &[&str]| rows.iter().filter(|row| **row == "implausible_date").count();
    assert_eq!((implausible(&before), implausible(&after)), (0, 2));
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(changed.clone().count() == 2 && changed.into_iter().all(|(before, _)| *before == "delete"));
}

/// The earliest date may be later than every cutoff. Statistics must not let a row be skipped that is then implausible.
#[test]
fn an_earliest_date_after_the_cutoff_is_applied_to_every_row() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let mut policy = unguarded("pre-change");
    dated(&path, Arc::new(TimestampMicrosecondArray::from(vec![at("2026-05-01"), at("2026-08-01")])));
    assert_eq!(results(&path, &policy), ["", ""]);
    policy.earliest_date = Some(time::day_of(at("2026-06-01")));
    assert_eq!(results(&path, &policy), ["implausible_date", ""]);
    assert_eq!(findings(&path, &policy), [(FlawKind::ImplausibleDate, None, 1)]);
    policy.earliest_date = Some(time::day_of(at("2026-05-01")));
    assert_eq!(results(&path, &policy), ["", ""], "the day itself is plausible");
}

fn with_format(pattern: &str) -> Policy {
    let mut policy = unguarded("pre-change");
    policy.spellings.dates.format = Some(DateFormat::new(pattern).unwrap());
    policy
}

#[test]
fn dates_as_text_are_read_in_the_declared_format_only() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let policy = with_format("%d/%m/%Y");
    // By the wrong order of day and month, the first would not be due.
    let plain = |values: [Option<&str>; 2]| text(values);
    let dictionary = |values: [Option<&str>; 2]| -> ArrayRef {
        Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>())
    };
    for column in [&plain as &dyn Fn([Option<&str>; 2]) -> ArrayRef, &dictionary] {
        dated(&path, column([Some("01/10/2025"), Some("02/11/2025")]));
        assert_eq!(results(&path, &policy), ["delete", ""]);
        dated(&path, column([Some("1/10/2025"), Some("31/02/2025")]));
        assert_eq!(results(&path, &policy), ["missing_date"; 2]);
        assert_eq!(
            findings(&path, &policy),
            [
                (FlawKind::UnreadableDate, Some("1/10/2025".to_owned()), 1),
                (FlawKind::UnreadableDate, Some("31/02/2025".to_owned()), 1)
            ]
        );
        dated(&path, column([None, Some("  ")]));
        assert_eq!(results(&path, &policy), ["missing_date"; 2]);
        assert_eq!(findings(&path, &policy), [(FlawKind::MissingDate, None, 2)]);
    }
    // Without a declared format, text is refused.
    let plain = unguarded("pre-change");
    let refused = Snapshot::open(from_ref(&path), &plain.spellings, &Pool::new(Some(1)), &NoProgress).unwrap_err();
    assert_eq!(refused.exit_code(), ExitCode::Snapshot);
    assert!(refused.to_string().contains("`status_since`: is text") && refused.remedy().contains("date_format"));
    // A declared format does not make another form unreadable.
    write(&path, meters(0));
    assert_eq!(results(&path, &policy), ["delete"; 2]);
}

/// An exporter that converts a NaT to text writes the day in which the lowest number of nanoseconds lies.
#[test]
fn a_text_that_stands_for_no_date_is_none() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    dated(&path, text([Some("1677-09-21"), Some("2025-10-01")]));
    assert_eq!(results(&path, &with_format("%Y-%m-%d")), ["missing_date", "delete"]);
}

fn in_zone(name: &str) -> Policy {
    let mut policy = unguarded("pre-change");
    policy.spellings.dates.zone = Zone::named(name);
    policy
}

/// Midnight in London in summer is the day before in UTC.
#[test]
fn a_clock_without_a_zone_is_read_in_the_declared_one() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let local = [at("2025-11-02T00:00:00"), at("2026-05-01T00:00:00")];
    let policy = in_zone("Europe/London");
    let since = |path: &Path, policy: &Policy| {
        let snapshot = open(&[path.to_path_buf()], policy);
        let pool = Pool::new(Some(1));
        let scan = Scan::new(&snapshot, &pool, &NoProgress);
        let id = "00-DB-12-34-56-78-00-A1".parse().unwrap();
        let explained = smi_sweep::explain::explain(&scan, policy, at(AS_OF), id, false).unwrap();
        explained[0].judged.since.map(time::format_instant)
    };
    dated(&path, Arc::new(TimestampMicrosecondArray::from(local.to_vec())));
    assert_eq!(since(&path, &unguarded("pre-change")).as_deref(), Some("2026-05-01T00:00:00Z"));
    assert_eq!(since(&path, &policy).as_deref(), Some("2026-04-30T23:00:00Z"));
    dated(&path, Arc::new(TimestampMicrosecondArray::from(local.to_vec()).with_timezone("UTC")));
    assert_eq!(since(&path, &policy).as_deref(), Some("2026-05-01T00:00:00Z"), "it has a zone");
    dated(&path, Arc::new(TimestampSecondArray::from(local.map(|micros| micros / 1_000_000).to_vec())));
    assert_eq!(since(&path, &policy).as_deref(), Some("2026-04-30T23:00:00Z"));
    dated(&path, Arc::new(Date32Array::from(local.map(time::day_of).to_vec())));
    assert_eq!(since(&path, &policy).as_deref(), Some("2026-05-01T00:00:00Z"), "a day has no clock");
    let mut text_policy = with_format("%d/%m/%Y %H:%M");
    dated(&path, text([Some("02/11/2025 00:00"), Some("01/05/2026 00:00")]));
    assert_eq!(since(&path, &text_policy).as_deref(), Some("2026-05-01T00:00:00Z"));
    text_policy.spellings.dates.zone = Zone::named("Europe/London");
    assert_eq!(since(&path, &text_policy).as_deref(), Some("2026-04-30T23:00:00Z"));
}

/// The clock skips an hour in March, and has one twice in October. Statistics do not let such a row be skipped.
#[test]
fn a_time_that_the_zone_skips_or_has_twice_is_no_date() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let policy = in_zone("Europe/London");
    let dates = |local: [&str; 2]| Arc::new(TimestampMicrosecondArray::from(local.map(at).to_vec()));
    dated(&path, dates(["2025-03-30T01:30:00", "2024-10-27T01:59:59"]));
    assert_eq!(results(&path, &policy), ["missing_date"; 2]);
    let unreadable = |text: &str| (FlawKind::UnreadableDate, Some(text.to_owned()), 1);
    assert_eq!(findings(&path, &policy), [unreadable("2024-10-27T01:59:59"), unreadable("2025-03-30T01:30:00")]);
    // None of these is due, and the first is not a time.
    dated(&path, dates(["2026-03-29T01:30:00", "2026-03-29T02:00:00"]));
    assert_eq!(results(&path, &policy), ["missing_date", ""]);
    assert_eq!(results(&path, &unguarded("pre-change")), ["", ""]);
    // A due date is never taken from statistics.
    dated(&path, dates(["2025-05-01T01:30:00", "2026-06-01T00:00:00"]));
    assert_eq!(results(&path, &policy), ["delete", ""]);
}

#[test]
fn int96_does_not_say_whether_a_declared_zone_applies() {
    let path = fixtures().join("writers/pyarrow-date-int96");
    let policy = in_zone("Europe/London");
    let refused = Snapshot::open(&[path], &policy.spellings, &Pool::new(Some(1)), &NoProgress).unwrap_err();
    assert_eq!(refused.exit_code(), ExitCode::Snapshot);
    assert!(refused.to_string().contains("INT96"), "{refused}");
}

/// A zone that is assumed is said on the terminal, in the record and on the page, once; a declared one is not.
#[test]
fn an_assumed_zone_is_said() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("estate/a.parquet");
    write(&path, meters(0));
    let assumed = home.policy("assumed", "[threshold]\ndefault = 12");
    let declared = home.policy("declared", "[threshold]\ndefault = 12\n[snapshot]\ntimezone = \"Europe/London\"");
    let note = "have times without a zone";
    for (policy, said) in [(&assumed, true), (&declared, false)] {
        let out = home.text(if said { "assumed" } else { "declared" });
        let estate = home.text("estate");
        let (code, _, notes) = run(&["sweep", &estate, "--policy", policy, "--as-of", AS_OF, "--out", &out]);
        assert_eq!((code, notes.matches(note).count()), (0, usize::from(said)), "{notes}");
        let record = std::fs::read_to_string(format!("{out}/run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["snapshot"]["assumed_zone"].as_str(), said.then_some("UTC"));
        assert_eq!(std::fs::read_to_string(format!("{out}/report.html")).unwrap().contains(note), said);
        assert_eq!(run(&["verify", &out]).0, 0);
        let (_, _, notes) = run(&["check", &estate, "--policy", policy, "--as-of", AS_OF]);
        assert_eq!(notes.contains(note), said, "{notes}");
    }
}

#[test]
fn a_status_may_be_spelled_that_means_none() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let columns = |types: [Option<&str>; 2]| -> Columns {
        let none = text([Some("NotApplicable"); 2]);
        with(meters(0), vec![("smi_status", none), ("device_type", text(types))])
    };
    let mut policy = unguarded("pre-change");
    write(&path, columns([Some("IHD"), Some("ESME")]));
    assert_eq!(results(&path, &policy), ["unknown_status"; 2]);
    policy.spellings.statuses.insert("NotApplicable".into(), None);
    assert_eq!(results(&path, &policy), ["", "missing_status"]);
    assert_eq!(findings(&path, &policy), [(FlawKind::MissingStatus, None, 1)]);
    let text = home.policy("none", "[threshold]\ndefault = 12\n[snapshot.statuses]\nNotApplicable = \"none\"");
    let (code, said, _) = run(&["policy", "show", &text]);
    assert!(code == 0 && said.contains("\"NotApplicable\" is read as none"), "{said}");
    let explain = ["explain", "00-DB-12-34-56-78-00-A0", &text_of(&path), "--policy", &text, "--as-of", AS_OF];
    let (_, said, _) = run(&explain);
    assert!(said.contains("Type 2 device"), "{said}");
}

/// What a policy declares about dates survives the record of a run, and a policy without it has the digest that it had.
#[test]
fn a_policy_keeps_what_it_declares_about_dates() {
    let snapshot =
        "[snapshot]\nearliest_date = \"2012-01-01\"\ndate_format = \"%d/%m/%Y %H:%M\"\ntimezone = \"Europe/London\"\n";
    let head = "name = \"mine\"\nversion = 1\n[threshold]\ndefault = 12\n";
    let policy = Policy::parse(&format!("{head}{snapshot}[snapshot.statuses]\nNA = \"none\"\n"), "mine").unwrap();
    let document = policy.to_json();
    assert_eq!(document["snapshot"]["earliest_date"], "2012-01-01");
    assert_eq!(document["snapshot"]["statuses"]["NA"], "none");
    assert_eq!(Policy::from_json(&document, "record").unwrap(), policy);
    let plain = Policy::parse(head, "mine").unwrap();
    assert_ne!(plain.digest(), policy.digest());
    assert!(
        plain.to_json()["snapshot"]
            .as_object()
            .unwrap()
            .keys()
            .all(|key| ["columns", "statuses", "types"].contains(&key.as_str()))
    );
    let changes = smi_sweep::policy::changes(&plain, &policy).join("\n");
    for words in [
        "earliest plausible date is 2012-01-01",
        "`%d/%m/%Y %H:%M`",
        "read in Europe/London",
        "`NA` is read as no status",
    ] {
        assert!(changes.contains(words), "`{words}` is not in: {changes}");
    }
    for (line, words) in [
        ("earliest_date = \"2012-13-01\"", "`2012-13-01` is not a date"),
        ("earliest_date = \"2012-01-01T00:00:00\"", "is not a date"),
        ("date_format = \"%d/%m\"", "`%d/%m` is not a format of dates"),
        ("timezone = \"Europe/Londn\"", "`Europe/Londn` is not a time zone"),
        ("statuses = { Pending = \"none\" }", "`Pending` is a status already"),
        ("statuses = { NA = \"None\" }", "did you mean `none`?"),
    ] {
        let error = Policy::parse(&format!("{head}[snapshot]\n{line}\n"), "mine").unwrap_err();
        let said = format!("{error} | {}", error.remedy());
        assert!(said.contains(words) && said.contains("mine:6:"), "{said}");
    }
}

#[test]
fn reasons_of_dates_follow_each_other() {
    let reasons = Reason::ALL.map(Reason::name);
    let at = |name: &str| reasons.iter().position(|reason| *reason == name).unwrap();
    assert_eq!((at("future_date"), at("implausible_date")), (at("missing_date") + 1, at("missing_date") + 2));
}

/// Device IDs without separators were all malformed, and the run passed with no deletion.
#[test]
fn a_device_id_is_one_device_however_its_digits_are_joined() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let policy = unguarded("pre-change");
    let ids = |one, other| with(meters(0), vec![("device_id", text([Some(one), Some(other)]))]);
    write(&path, ids("00db1234567890a0", "00:DB:12:34:56:78:90:A1"));
    assert_eq!(results(&path, &policy), ["delete"; 2]);
    assert!(findings(&path, &policy).is_empty());
    let swept = sweep(&open(from_ref(&path), &policy), &policy, at(AS_OF), Reader::Encoded, 1);
    let manifest: Vec<String> = swept.findings.due.iter().map(|due| due.id.to_string()).collect();
    assert_eq!(manifest, ["00-DB-12-34-56-78-90-A0", "00-DB-12-34-56-78-90-A1"]);
    write(&path, ids("00DB1234567890A0", "00-DB-12-34-56-78-90-A0"));
    assert_eq!(results(&path, &policy), ["duplicate_device_id"; 2]);
    assert_eq!(findings(&path, &policy), [(FlawKind::DuplicateDeviceId, None, 2)]);
    write(&path, ids("00:DB-12-34-56-78-90-A0", "00DB1234567890"));
    assert_eq!(results(&path, &policy), ["bad_device_id"; 2]);
    // A party of 16 digits is a name, not a user id without separators.
    let party = text([Some("1234567890123456"), Some("North")]);
    write(&path, with(ids("00db1234567890a0", "00DB1234567890A1"), vec![("notifying_party", party)]));
    let swept = sweep(&open(from_ref(&path), &policy), &policy, at(AS_OF), Reader::Encoded, 1);
    assert_eq!(swept.findings.parties.names(), ["1234567890123456", "North"]);
}

/// Statistics of the dates said that no row is null, and one is. Nothing is due, so the row was counted as not due.
#[test]
fn a_null_that_statistics_deny_is_found() {
    let path = fixtures().join("faults/null_count-0/null-row.parquet");
    let policy = unguarded("secmp0060");
    let rows = results(&path, &policy);
    assert_eq!(rows.iter().position(|result| *result == "missing_date"), Some(3), "{rows:?}");
    assert_eq!(rows.iter().filter(|result| result.is_empty()).count(), rows.len() - 1);
}

/// Where no row is null, the first bytes of the levels show it, and dates that are not due are still not read.
#[test]
fn dates_without_a_null_are_still_skipped_by_statistics() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    let policy = unguarded("pre-change");
    let row = |n: u64| Row {
        id: Some(text_id(n)),
        device_type: Some("ESME".into()),
        status: Some("Pending".into()),
        since: Some(at("2026-10-01") + n as i64),
        party: Some("North".into()),
        role: None,
    };
    let mut estate: Vec<Row> = (0..3000).map(row).collect();
    for (codec, v2) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
        let layout =
            Layout { codec, v2, statistics: 1, group_rows: 3000, page_rows: 500, dictionary: false, ..Layout::PLAIN };
        let skipped = |estate: &[Row]| {
            estates::write(&path, estate, &layout);
            let snapshot = open(from_ref(&path), &policy);
            sweep(&snapshot, &policy, at(AS_OF), Reader::Encoded, 1).metrics.skipped(SkipReason::DateStatistics).rows
        };
        assert_eq!(skipped(&estate), 3000, "codec {codec}, v2 {v2}");
        let date = estate[1700].since.take();
        assert_eq!(skipped(&estate), 0, "codec {codec}, v2 {v2}");
        estate[1700].since = date;
    }
}
