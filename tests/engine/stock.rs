//! The count of stock: a worked example whose figures were calculated by hand, and inputs that are refused.

use std::fs;
use std::path::Path;

use std::sync::Arc;

use crate::common::estates::{Ids, Layout, Row, write};
use crate::common::{Workspace, at, fixtures, run};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type};
use arrow_array::{Array, ArrayRef, Date32Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use smi_sweep::ExitCode;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::stock::Book;
use tempfile::TempDir;

const LAYOUT: Layout = Layout { group_rows: 4, page_rows: 3, statistics: 2, roles: false, ..Layout::PLAIN };

/// A temporary directory with the worked example: its inventory as Parquet, and a past run.
struct StockExample {
    home: TempDir,
}

impl Workspace for StockExample {
    fn home(&self) -> &Path {
        self.home.path()
    }
}

impl StockExample {
    fn new() -> Self {
        let scratch = Self { home: tempfile::tempdir().unwrap() };
        for (name, layout) in [("before", LAYOUT), ("inventory", Layout { ids: Ids::Bytes, ..LAYOUT })] {
            fs::create_dir(scratch.path(name)).unwrap();
            let rows = inventory(&fixtures().join("stock").join(format!("{name}.csv")));
            write(&scratch.path(name).join("part.parquet"), &rows, &layout);
        }
        // The past run, under the policy before the Change: five devices are to be deleted, four of them hubs.
        let (code, _, err) = run(&[
            "sweep",
            &scratch.text("before"),
            "--policy",
            "pre-change",
            "--as-of",
            "2026-06-01",
            "--out",
            &scratch.text("past"),
            "--expect-deletes",
            "5",
        ]);
        assert_eq!(code, 0, "{err}");
        scratch
    }

    /// Counts the example. `others` replaces the files of flags. Returns exit code, output and error.
    fn stock(&self, out: &str, others: &[(&str, &str)], more: &[&str]) -> (i32, String, String) {
        let mut arguments = vec!["stock".to_owned(), self.text("inventory")];
        for (flag, file) in [
            ("--orders", fixture("orders.csv")),
            ("--returns", fixture("returns.csv")),
            ("--tariff", fixture("tariff.toml")),
            ("--runs", self.text("past")),
            ("--as-of", "2026-11-01".into()),
        ] {
            let other = others.iter().find(|(name, _)| *name == flag).map(|(_, file)| (*file).to_owned());
            arguments.extend([flag.to_owned(), other.unwrap_or(file)]);
        }
        arguments.extend(["--out".into(), self.text(out)]);
        arguments.extend(more.iter().map(|&text| text.to_owned()));
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn record(&self, out: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(out).join("stock.json")).unwrap()).unwrap()
    }
}

fn fixture(name: &str) -> String {
    fixtures().join("stock").join(name).to_str().unwrap().to_owned()
}

fn inventory(path: &Path) -> Vec<Row> {
    let text = |cell: Option<&str>| cell.filter(|cell| !cell.is_empty()).map(str::to_owned);
    let mut reader = csv::Reader::from_path(path).unwrap();
    let rows = reader.records().map(|record| {
        let record = record.unwrap();
        Row {
            id: text(record.get(0)),
            device_type: text(record.get(1)),
            status: text(record.get(2)),
            since: text(record.get(3)).map(|since| at(&since)),
            party: text(record.get(4)),
            role: None,
        }
    });
    rows.collect()
}

fn lines(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// The last two digits of a Device ID of the example.
fn short(id: &str) -> &str {
    &id[id.len() - 2..]
}

/// The buckets of sixteen hubs, found by hand:
///
/// 07 was not delivered. 05, 13 and 14 were returned, 14 on the count date; 15 was returned after it. 06 was not accepted, and
/// 08 was accepted a day after the count date. 03 is commissioned; 09 was commissioned two days after the count date. 01, 02,
/// 12, 15 and 16 are in stock: 01 was deleted by the run, and notified again. 04 was deleted by the run. 10 is not in the
/// inventory for an unknown reason. 11 is both Pending and Commissioned.
#[test]
fn every_hub_of_the_worked_example_is_in_the_bucket_found_by_hand() {
    let scratch = StockExample::new();
    let (code, out, err) = scratch.stock("count", &[], &[]);
    assert_eq!((code, out), (0, format!("{}\n", scratch.text("count"))), "{err}");
    let record = scratch.record("count");
    let buckets: Vec<(&str, u64, bool)> = record["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| (b["bucket"].as_str().unwrap(), b["hubs"].as_u64().unwrap(), b["charged"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        buckets,
        [
            ("not_delivered", 1, false),
            ("returned", 3, false),
            ("not_accepted", 2, false),
            ("commissioned", 1, false),
            ("commissioned_later", 1, true),
            ("exempt", 0, false),
            ("in_stock", 5, true),
            ("deleted", 1, true),
            ("unknown", 1, true),
            ("unclear", 1, false),
        ]
    );
    assert_eq!(record["hubs"], 16);
    // 3 x 0.4525 (01, 02, 16) + 2 x 0.55 (04, 12) + 0.40 (15) + 2 x 0.55 (09, 10)
    assert_eq!(record["charged"], json!({ "hubs": 8, "pounds": "3.9575" }));
    assert_eq!(record["missed"], json!({ "hubs": 3, "pounds": "1.65" }));

    let file = fs::File::open(scratch.path("count/hubs.parquet")).unwrap();
    let batches: Vec<RecordBatch> =
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect();
    let mut hubs = Vec::new();
    for batch in &batches {
        let bucket = batch["bucket"].as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
        let deleted = batch["deleted_as_of"].as_primitive::<Date32Type>();
        for row in 0..batch.num_rows() {
            let id = batch["device_id"].as_string::<i32>().value(row).to_owned();
            hubs.push((short(&id).to_owned(), bucket.into_iter().nth(row).flatten().unwrap(), deleted.is_valid(row)));
        }
    }
    let expected = [
        ("01", "in_stock", true),
        ("02", "in_stock", false),
        ("03", "commissioned", false),
        ("04", "deleted", true),
        ("05", "returned", true),
        ("06", "not_accepted", false),
        ("07", "not_delivered", false),
        ("08", "not_accepted", false),
        ("09", "commissioned_later", false),
        ("10", "unknown", false),
        ("11", "unclear", false),
        ("12", "in_stock", false),
        ("13", "returned", false),
        ("14", "returned", false),
        ("15", "in_stock", false),
        ("16", "in_stock", false),
    ];
    assert_eq!(hubs, expected.map(|(id, bucket, deleted)| (id.to_owned(), bucket, deleted)));
}

/// The inventory has 13 rows of hubs in charged statuses: of 01, 02, 06, 07, 08, 11, 12, 14, 15, of 16 twice, of 91,
/// and one without a Device ID.
#[test]
fn the_bridge_leads_from_the_inventory_to_the_charge() {
    let scratch = StockExample::new();
    scratch.stock("count", &[], &[]);
    let record = scratch.record("count");
    let steps: Vec<(&str, i64)> = record["bridge"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["hubs"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        steps,
        [
            ("counted in the SMI alone", 13),
            ("less hubs that nobody ordered", -2),
            ("less rows that repeat a hub", -1),
            ("less hubs not delivered", -1),
            ("less hubs returned", -1),
            ("less hubs delivered, not accepted", -2),
            ("less hubs in the SMI, status unclear", -1),
            ("in stock, and in the SMI", 5),
            ("plus hubs commissioned after the count date", 1),
            ("plus hubs in stock, deleted from the SMI", 1),
            ("plus hubs in stock, not in the SMI", 1),
            ("charged", 8),
        ]
    );
    let missed: Vec<(String, String, String)> = lines(&scratch.path("count/missed.csv"))[1..]
        .iter()
        .map(|line| (short(&line[0]).to_owned(), line[6].clone(), line[7].clone()))
        .collect();
    let row = |id: &str, bucket: &str, day: &str| (id.to_owned(), bucket.to_owned(), day.to_owned());
    assert_eq!(
        missed,
        [row("04", "deleted", "2026-06-01"), row("09", "commissioned_later", ""), row("10", "unknown", "")]
    );
    assert_eq!(record["sources"]["runs"][0]["hubs"], 4);
    assert_eq!(record["sources"]["deleted_not_ordered"], 1);
    assert_eq!(record["sources"]["deleted_still_there"], 1);
    assert_eq!(record["inventory"]["not_ordered"], json!({ "Pending": 2, "Commissioned": 1 }));
    assert_eq!(record["inventory"]["untyped_rows"], 1);
    let strays = lines(&scratch.path("count/not_ordered.csv"));
    assert_eq!(
        strays[1..],
        [
            ["", "Pending", "2026-01-01T00:00:00Z"].map(String::from),
            ["00-DB-00-00-00-00-00-91", "Pending", "2026-01-01T00:00:00Z"].map(String::from)
        ]
    );
}

/// Whole months from acceptance to the count date: 01 has 19, 04 has 18, 16 has exactly 12, 10 has 9, 09 has 5, 12 has exactly
/// 3, 02 has 1 and 15 has 0.
#[test]
fn parties_kinds_and_ages_add_up_to_the_charge() {
    let scratch = StockExample::new();
    scratch.stock("count", &[], &[]);
    let record = scratch.record("count");
    let ages = |under_3, under_6, under_12, older| {
        json!({
            "under 3 months": under_3, "3 to 5 months": under_6, "6 to 11 months": under_12,
            "12 months and longer": older,
        })
    };
    assert_eq!(
        record["by_party"],
        json!([
            {
                "party": "90-B3-D5-1F-30-00-00-01", "hubs": 8, "charged": { "hubs": 6, "pounds": "2.8575" },
                "missed": { "hubs": 1, "pounds": "0.55" }, "by_age": ages(2, 1, 0, 3),
            },
            {
                "party": "Blue Power", "hubs": 8, "charged": { "hubs": 2, "pounds": "1.10" },
                "missed": { "hubs": 2, "pounds": "1.10" }, "by_age": ages(0, 1, 1, 0),
            },
        ])
    );
    let stock: Vec<String> = lines(&scratch.path("count/stock.csv"))[1..].iter().map(|line| line.join(",")).collect();
    assert_eq!(
        stock,
        [
            "90-B3-D5-1F-30-00-00-01,North,Dual Band,in_stock,true,1,0.55,0.55",
            "90-B3-D5-1F-30-00-00-01,North,Dual Band,deleted,true,1,0.55,0.55",
            "90-B3-D5-1F-30-00-00-01,North,Dual Band,unclear,false,1,,",
            "90-B3-D5-1F-30-00-00-01,North,Standard,commissioned,false,1,,",
            "90-B3-D5-1F-30-00-00-01,North,Standard,in_stock,true,3,0.4525,1.3575",
            "90-B3-D5-1F-30-00-00-01,4G North,Standard,in_stock,true,1,0.40,0.40",
            "Blue Power,South,Dual Band,commissioned_later,true,1,0.55,0.55",
            "Blue Power,South,Dual Band,unknown,true,1,0.55,0.55",
            "Blue Power,South,Standard,not_delivered,false,1,,",
            "Blue Power,South,Standard,returned,false,2,,",
            "Blue Power,South,Standard,not_accepted,false,2,,",
            "Blue Power,4G South,Dual Band,returned,false,1,,",
        ]
    );
}

#[test]
fn every_line_of_a_return_file_gets_its_answer() {
    let scratch = StockExample::new();
    scratch.stock("count", &[], &[]);
    let answers: Vec<String> = lines(&scratch.path("count/responses.csv"))[1..]
        .iter()
        .map(|line| format!("{} {} {} {}", line[1], short(&line[2]), line[6], line[7]).trim_end().to_owned())
        .collect();
    assert_eq!(
        answers,
        [
            "2 05 refused already_returned",
            "3 05 accepted",
            "4 13 accepted",
            "5 14 accepted",
            "6 15 accepted",
            "7 99 refused unknown_hub",
            "8 03 refused commissioned",
            "9 01 refused date_before_delivery",
            "10 07 refused not_delivered",
            "11 01 refused bad_type",
            "12 01 refused bad_reason",
            "13 01 refused bad_reason",
            "14 01 refused bad_date",
            "15 00 refused bad_device_id",
            "16 01 refused bad_line",
        ]
    );
    let record = scratch.record("count");
    assert_eq!(record["returns"]["lines"], 15);
    assert_eq!(record["returns"]["accepted"], 4);
}

/// Assumptions are rules that can be changed; each change moves hubs as documented.
#[test]
fn rules_move_what_is_charged() {
    let scratch = StockExample::new();
    for (name, rules, hubs, pounds) in [
        ("strict", "[charge]\ndeleted = false\nunknown = false\ncommissioned_later = false\n", 5, "2.3075"),
        ("unclear", "[charge]\nunclear = true\n", 9, "4.5075"),
        // 12 is installed and no longer charged; 02 is Whitelisted.
        ("pending", "[statuses]\ncharged = [\"Pending\"]\n", 6, "2.955"),
    ] {
        let rules = scratch.write(&format!("{name}.toml"), rules);
        let (code, _, err) = scratch.stock(name, &[], &["--rules", &rules]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(scratch.record(name)["charged"], json!({ "hubs": hubs, "pounds": pounds }), "{name}");
    }
    // One day earlier, 14 has not been returned yet.
    let (code, _, err) = scratch.stock("earlier", &[("--as-of", "2026-10-31")], &[]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(scratch.record("earlier")["charged"], json!({ "hubs": 9, "pounds": "4.5075" }));
}

/// The example's order book as Parquet, its columns in other forms and another order.
fn orders_in_parquet(path: &Path) {
    let orders = lines(Path::new(&fixture("orders.csv")));
    let cell = |line: &Vec<String>, column: usize| Some(line[column].clone()).filter(|cell| !cell.is_empty());
    let text = |column: usize| -> ArrayRef {
        Arc::new(orders[1..].iter().map(|line| cell(line, column)).collect::<StringArray>())
    };
    let day = |line: &Vec<String>, column: usize| cell(line, column).map(|text| at(&text));
    let id = |line: &Vec<String>| u64::from_str_radix(&line[0].replace('-', ""), 16).unwrap();
    let delivered = orders[1..].iter().map(|line| day(line, 4).map(|micros| micros / 1000));
    let accepted = orders[1..].iter().map(|line| day(line, 5).map(|micros| (micros / 86_400_000_000) as i32));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("accepted", Arc::new(accepted.collect::<Date32Array>()) as ArrayRef, true),
        ("device_id", Arc::new(orders[1..].iter().map(id).collect::<UInt64Array>()) as ArrayRef, false),
        ("ordering_party", text(1), true),
        ("region", text(2), true),
        ("variant", text(3), true),
        ("delivered", Arc::new(delivered.collect::<TimestampMillisecondArray>()) as ArrayRef, true),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn an_order_book_in_parquet_gives_the_same_count() {
    let scratch = StockExample::new();
    scratch.stock("csv", &[], &[]);
    orders_in_parquet(&scratch.path("orders.parquet"));
    let (code, _, err) = scratch.stock("parquet", &[("--orders", &scratch.text("orders.parquet"))], &[]);
    assert_eq!(code, 0, "{err}");
    for file in ["stock.csv", "missed.csv", "hubs.parquet", "not_ordered.csv", "responses.csv"] {
        let read = |out: &str| fs::read(scratch.path(out).join(file)).unwrap();
        assert!(read("csv") == read("parquet"), "{file}");
    }
}

/// A flipped bit is refused, or gives another valid value. It never causes a panic.
#[test]
fn a_damaged_order_book_in_parquet_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("orders.parquet");
    orders_in_parquet(&path);
    let whole = fs::read(&path).unwrap();
    let pool = Pool::new(Some(1));
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        match Book::read(std::slice::from_ref(&path), &pool, &NoProgress) {
            Ok(book) => assert!(book.hubs.len() <= 16),
            Err(error) => {
                assert_eq!(error.exit_code(), ExitCode::Snapshot, "byte {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > whole.len() / 4, "{refused} of {}", whole.len());
}

/// Replaces one piece of the example's order book.
fn with_error(from: &str, to: &str) -> String {
    let text = fs::read_to_string(fixture("orders.csv")).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn an_invalid_order_book_is_refused_with_line_and_field() {
    let scratch = StockExample::new();
    let twice = with_error("00-DB-00-00-00-00-00-12,", "00-db-00-00-00-00-00-02,");
    for (book, says) in [
        (twice, "orders.csv:13, field `device_id`: 00-DB-00-00-00-00-00-02 is ordered twice, first at"),
        (
            with_error("00-DB-00-00-00-00-00-02", "00-DB-00-02"),
            "orders.csv:3, field `device_id`: `00-DB-00-02` is not a Device ID",
        ),
        (
            with_error("North,Standard,2026-09-01", "Nroth,Standard,2026-09-01"),
            "orders.csv:3, field `region`: `Nroth` is not a region",
        ),
        (
            with_error("2026-09-01,2026-09-03", "2026-09-04,2026-09-03"),
            "orders.csv:3, field `accepted`: accepted on 2026-09-03, before it was delivered on 2026-09-04",
        ),
        (
            with_error("2026-09-01,2026-09-03", ",2026-09-03"),
            "orders.csv:3, field `accepted`: accepted on 2026-09-03 and never delivered",
        ),
        (
            with_error("2026-09-01,2026-09-03", "01/09/2026,2026-09-03"),
            "orders.csv:3, field `delivered`: `01/09/2026` is not a date",
        ),
        (
            with_error("2026-09-01,2026-09-03", "1926-09-01,2026-09-03"),
            "orders.csv:3, field `delivered`: 1926-09-01 is not a plausible day",
        ),
        (
            with_error("Blue Power,South,Standard,2025-03-20", " ,South,Standard,2025-03-20"),
            "orders.csv:6, field `ordering_party`: is empty",
        ),
        (with_error("South,Standard,2025-03-20", "South,,2025-03-20"), "orders.csv:6, field `variant`: is empty"),
        (with_error("2026-10-30,", "2026-10-30"), "orders.csv:7: has 5 cells where the header has 6"),
        (with_error("variant", "varient"), "orders.csv:1, field `varient`: unknown column"),
        (with_error("variant,", ""), "orders.csv:1, field `variant`: the column is missing"),
        (with_error("variant", "region"), "orders.csv:1, field `region`: the column occurs twice"),
        (with_error("accepted", "accepted,note"), "orders.csv:1, field `note`: unknown column"),
        (String::new(), "orders.csv:1: the file is empty"),
        (
            "device_id,ordering_party,region,variant,delivered,accepted\n".into(),
            "orders.csv: the order book has no hubs",
        ),
    ] {
        let path = scratch.write("orders.csv", book);
        let (code, out, err) = scratch.stock("count", &[("--orders", &path)], &[]);
        assert_eq!((code, out.as_str()), (3, ""), "{err}");
        assert!(err.contains(says), "{says}\n{err}");
        assert!(err.lines().any(|line| line.starts_with("  help: ")), "{err}");
        assert!(!scratch.path("count").exists());
    }
    let (code, _, err) = scratch.stock("count", &[], &["--orders", &fixture("orders.csv")]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("orders.csv: the file is named twice"), "{err}");
    let missing = scratch.text("nowhere.csv");
    assert_eq!(scratch.stock("count", &[("--orders", &missing)], &[]).0, 1);
}

#[test]
fn invalid_tariffs_returns_and_runs_are_refused() {
    let scratch = StockExample::new();
    let tariff = fs::read_to_string(fixture("tariff.toml")).unwrap();
    for (text, says) in [
        (tariff.replacen("\"0.40\"", "\"-0.40\"", 1), "tariff.toml:7:11: per_hub `-0.40` is negative"),
        (tariff.replacen("\"Standard\"", "\"Standrad\"", 1), "no rate for 4G North, variant `Standard` on 2026-11-01"),
    ] {
        let path = scratch.write("tariff.toml", text);
        let (code, _, err) = scratch.stock("count", &[("--tariff", &path)], &[]);
        assert_eq!(code, 4, "{err}");
        assert!(err.contains(says), "{says}\n{err}");
    }
    let returns = scratch.write("returns.csv", "device_id,return_type,reason,returned\n");
    let (code, _, err) = scratch.stock("count", &[("--returns", &returns)], &[]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("returns.csv:1, field `reason`: unknown column"), "{err}");

    let manifest = scratch.path("past/delete.parquet");
    let mut bytes = fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&manifest, bytes).unwrap();
    let (code, _, err) = scratch.stock("count", &[], &[]);
    assert_eq!(code, 6, "{err}");
    assert!(!scratch.path("count").exists());
}
