//! Properties of the stock count: every hub is in one bucket, the bytes do not depend on the order of inputs or the number of
//! threads, and a second implementation, hub by hub, gives the same buckets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::estates::{Layout, Row, layouts, text_id, write};
use crate::common::{at, copy_files, run};
use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde_json::Value;
use smi_sweep::estate::time::{DAY_MICROS, format_day};

/// The count date, 2026-11-01, and the day of the past run, as days since 1970.
const COUNT: i32 = 20_758;
const PAST: &str = "2026-06-01";

const FAULTS: [&str; 2] = ["Fault identified prior to installation", "Fault identified post installation"];
const NO_FAULTS: [&str; 2] = ["No Fault Return (general)", "Lost or Stolen Hub"];

#[derive(Debug, Clone, PartialEq)]
struct Order {
    hub: u64,
    group: usize,
    delivered: Option<i32>,
    accepted: Option<i32>,
}

#[derive(Debug, Clone, PartialEq)]
struct Return {
    hub: u64,
    kind: &'static str,
    reason: &'static str,
    day: Option<i32>,
}

/// All inputs of a count.
#[derive(Debug, Clone)]
struct World {
    orders: Vec<Order>,
    inventory: Vec<Row>,
    deleted: Vec<u64>,
    returns: Vec<Return>,
}

fn hub_id(hub: u64) -> String {
    text_id(0x00DB_0000_0000_0000 | hub)
}

fn day() -> impl Strategy<Value = i32> {
    prop_oneof![6 => COUNT - 500..COUNT, 2 => COUNT - 1..COUNT + 2, 1 => COUNT..COUNT + 50]
}

fn orders() -> impl Strategy<Value = Vec<Order>> {
    let one = (0..6usize, prop::option::weighted(0.9, day()), prop::option::weighted(0.9, 0..20i32));
    prop::collection::btree_map(0u64..30, one, 1..25).prop_map(|hubs| {
        let order = |(hub, (group, delivered, later)): (u64, (usize, Option<i32>, Option<i32>))| Order {
            hub,
            group,
            delivered,
            accepted: delivered.and_then(|day| Some(day + later?)),
        };
        hubs.into_iter().map(order).collect()
    })
}

fn inventory() -> impl Strategy<Value = Vec<Row>> {
    let statuses = &[
        Some("Pending"),
        Some("Pending"),
        Some("Whitelisted"),
        Some("InstalledNotCommissioned"),
        Some("Commissioned"),
        Some("Commissioned"),
        Some("Decommissioned"),
        Some("Withdrawn"),
        Some("Suspended"),
        Some("Recovered"),
        Some("pending"),
        None,
    ][..];
    let row = (
        prop_oneof![12 => (0u64..36).prop_map(|hub| Some(hub_id(hub))), 1 => Just(None)],
        prop::sample::select(
            &[Some("CHF"), Some("CHF"), Some("CHF"), Some("CHF"), Some("GPF"), Some("ESME"), None][..],
        ),
        prop::sample::select(statuses),
        prop::option::weighted(0.9, day()),
    )
        .prop_map(|(id, device_type, status, since)| Row {
            id,
            device_type: device_type.map(str::to_owned),
            status: status.map(str::to_owned),
            // At noon, so that rows of the count date are within it.
            since: since.map(|day| i64::from(day) * DAY_MICROS + DAY_MICROS / 2),
            party: Some("P".into()),
            role: None,
        });
    prop::collection::vec(row, 0..50)
}

fn returns() -> impl Strategy<Value = Vec<Return>> {
    let one = (
        0u64..34,
        prop::sample::select(&[FAULTS[0], FAULTS[1], NO_FAULTS[0], NO_FAULTS[1], NO_FAULTS[0], "Returned"][..]),
        prop::sample::select(&["", "LED Fault", "Damaged case", "Broken"][..]),
        prop::option::weighted(0.95, day()),
    );
    prop::collection::vec(one.prop_map(|(hub, kind, reason, day)| Return { hub, kind, reason, day }), 0..25)
}

fn worlds() -> impl Strategy<Value = World> {
    (orders(), inventory(), prop::collection::btree_set(0u64..36, 0..12), returns()).prop_map(
        |(orders, inventory, deleted, returns)| World {
            orders,
            inventory,
            deleted: deleted.into_iter().collect(),
            returns,
        },
    )
}

/// The answer to each return, in their order. Of equal returns any may be the accepted one.
fn answers(world: &World) -> Vec<&'static str> {
    let order = |hub: u64| world.orders.iter().find(|order| order.hub == hub);
    let works = |hub: u64| {
        world.inventory.iter().any(|row| {
            let status = row.status.as_deref();
            row.id == Some(hub_id(hub))
                && row.device_type.as_deref() == Some("CHF")
                && matches!(status, Some("Commissioned" | "Suspended" | "Recovery" | "Recovered"))
        })
    };
    let alone = |entry: &Return| {
        let Some(order) = order(entry.hub) else { return "unknown_hub" };
        let fault = FAULTS.contains(&entry.kind);
        if !fault && !NO_FAULTS.contains(&entry.kind) {
            return "bad_type";
        }
        let fits = if fault { ["LED Fault", "Damaged case"].contains(&entry.reason) } else { entry.reason.is_empty() };
        match (fits, entry.day, order.delivered) {
            (false, ..) => "bad_reason",
            (_, None, _) => "bad_date",
            (_, _, None) => "not_delivered",
            (_, Some(day), Some(delivered)) if day < delivered => "date_before_delivery",
            _ if works(entry.hub) => "commissioned",
            _ => "",
        }
    };
    let mut answers: Vec<&'static str> = world.returns.iter().map(alone).collect();
    for hub in 0..40 {
        let good: Vec<usize> =
            (0..answers.len()).filter(|&at| answers[at].is_empty() && world.returns[at].hub == hub).collect();
        let rank = |at: &&usize| {
            let entry = &world.returns[**at];
            (entry.day, entry.kind, entry.reason, **at)
        };
        let first = good.iter().min_by_key(rank).copied();
        good.into_iter().filter(|at| Some(*at) != first).for_each(|at| answers[at] = "already_returned");
    }
    answers
}

/// The bucket of each hub, by its Device ID.
fn buckets(world: &World) -> BTreeMap<String, &'static str> {
    let answers = answers(world);
    let bucket = |order: &Order| {
        if order.delivered.is_none_or(|day| day > COUNT) {
            return "not_delivered";
        }
        let mut returned = world.returns.iter().zip(&answers).filter(|(entry, answer)| {
            answer.is_empty() && entry.hub == order.hub && entry.day.is_some_and(|day| day <= COUNT)
        });
        if returned.next().is_some() {
            return "returned";
        }
        if order.accepted.is_none_or(|day| day > COUNT) {
            return "not_accepted";
        }
        let mut seen: Vec<&str> = world
            .inventory
            .iter()
            .filter(|row| row.id == Some(hub_id(order.hub)) && row.device_type.as_deref() == Some("CHF"))
            .map(|row| match row.status.as_deref() {
                Some("Pending" | "Whitelisted" | "InstalledNotCommissioned") => "in_stock",
                Some("pending") | None => "unclear",
                Some(_) if row.since.is_some_and(|since| since >= i64::from(COUNT + 1) * DAY_MICROS) => {
                    "commissioned_later"
                }
                Some(_) => "commissioned",
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        match seen[..] {
            [] if world.deleted.contains(&order.hub) => "deleted",
            [] => "unknown",
            [one] => one,
            _ => "unclear",
        }
    };
    world.orders.iter().map(|order| (hub_id(order.hub), bucket(order))).collect()
}

/// Writes a world's tables into a folder, orders and inventory as two files each.
fn put(home: &Path, world: &World, layout: &Layout) {
    let text = |day: Option<i32>| day.map(format_day).unwrap_or_default();
    let order = |order: &Order| {
        let party = ["90-B3-D5-1F-30-00-00-01", "Blue Power", "Zephyr, \"Ltd\""][order.group % 3].replace('"', "\"\"");
        let (region, variant) = (["North", "4G South"][order.group % 2], ["Standard", "Dual Band"][order.group / 3]);
        format!(
            "{},\"{party}\",{region},{variant},{},{}\n",
            hub_id(order.hub),
            text(order.delivered),
            text(order.accepted)
        )
    };
    let header = "device_id,ordering_party,region,variant,delivered,accepted\n";
    let half = world.orders.len() / 2;
    for (name, part) in [("a.csv", &world.orders[..half]), ("b.csv", &world.orders[half..])] {
        fs::write(home.join(name), header.to_owned() + &part.iter().map(order).collect::<String>()).unwrap();
    }
    let line = |entry: &Return| format!("{},{},{},{}\n", hub_id(entry.hub), entry.kind, entry.reason, text(entry.day));
    let header = "device_id,return_type,fault_reason,returned\n";
    fs::write(home.join("returns.csv"), header.to_owned() + &world.returns.iter().map(line).collect::<String>())
        .unwrap();
    fs::create_dir(home.join("inventory")).unwrap();
    let half = world.inventory.len() / 2;
    for (name, part) in [("a.parquet", &world.inventory[..half]), ("b.parquet", &world.inventory[half..])] {
        write(&home.join("inventory").join(name), part, layout);
    }
    let gone = |hub: &u64| Row {
        id: Some(hub_id(*hub)),
        device_type: Some("CHF".into()),
        status: Some("Pending".into()),
        since: Some(at("2024-01-01")),
        party: Some("P".into()),
        role: None,
    };
    write(&home.join("before.parquet"), &world.deleted.iter().map(gone).collect::<Vec<_>>(), layout);
    let text = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let deletes = world.deleted.len().to_string();
    let (before, past) = (text("before.parquet"), text("past"));
    let arguments =
        ["sweep", &before, "--policy", "pre-change", "--as-of", PAST, "--out", &past, "--expect-deletes", &deletes];
    let (code, _, err) = run(&arguments);
    assert_eq!(code, 0, "{err}");
}

fn count(home: &Path, out: &str, threads: &str, orders: [&str; 2], more: &[&str]) -> Value {
    let text = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let (a, b, out) = (text(orders[0]), text(orders[1]), text(out));
    let (returns, past, inventory) = (text("returns.csv"), text("past"), text("inventory"));
    let mut arguments = vec![
        "stock",
        &inventory,
        "--as-of",
        "2026-11-01",
        "--orders",
        &a,
        "--orders",
        &b,
        "--returns",
        &returns,
        "--runs",
        &past,
        "--threads",
        threads,
        "--json",
        "--out",
        &out,
    ];
    arguments.extend(more);
    let (code, printed, err) = run(&arguments);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str::<Value>(&printed).unwrap()["record"].take()
}

fn found(home: &Path, out: &str) -> BTreeMap<String, String> {
    let file = fs::File::open(home.join(out).join("hubs.parquet")).unwrap();
    let mut found = BTreeMap::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let ids = batch["device_id"].as_string::<i32>();
        let buckets = batch["bucket"].as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
        for (id, bucket) in ids.iter().zip(buckets) {
            assert!(found.insert(id.unwrap().to_owned(), bucket.unwrap().to_owned()).is_none());
        }
    }
    found
}

fn files(home: &Path, out: &str, but: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(home.join(out)).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().to_str().unwrap().to_owned(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !but.contains(&name.as_str()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Each hub of the order book has the bucket, and each line of the returns the answer, of the documentation. The figures
    /// add up.
    #[test]
    fn every_hub_has_the_bucket_of_the_documentation(world in worlds(), layout in layouts()) {
        let layout = Layout { roles: false, days: false, ..layout };
        let home = tempfile::tempdir().unwrap();
        put(home.path(), &world, &layout);
        let record = count(home.path(), "count", "2", ["a.csv", "b.csv"], &[]);
        let expected: BTreeMap<String, String> =
            buckets(&world).into_iter().map(|(id, bucket)| (id, bucket.to_owned())).collect();
        prop_assert_eq!(&found(home.path(), "count"), &expected);

        let mut reader = csv::Reader::from_path(home.path().join("count/responses.csv")).unwrap();
        let given: Vec<String> = reader.records().map(|line| line.unwrap()[7].to_owned()).collect();
        prop_assert_eq!(given, answers(&world));

        let number = |value: &Value| value.as_u64().unwrap();
        let listed: u64 = record["buckets"].as_array().unwrap().iter().map(|bucket| number(&bucket["hubs"])).sum();
        prop_assert_eq!(listed, world.orders.len() as u64);
        let charged = ["in_stock", "deleted", "unknown", "commissioned_later"];
        let charged = expected.values().filter(|bucket| charged.contains(&bucket.as_str())).count() as u64;
        prop_assert_eq!(number(&record["charged"]["hubs"]), charged);
        let by_party: u64 =
            record["by_party"].as_array().unwrap().iter().map(|party| number(&party["charged"]["hubs"])).sum();
        prop_assert_eq!(by_party, charged);
        let mut sum = 0;
        for (index, step) in record["bridge"].as_array().unwrap().iter().enumerate() {
            let hubs = step["hubs"].as_i64().unwrap();
            let total = step["total"].as_bool().unwrap();
            prop_assert!(!total || index == 0 || sum == hubs, "{}", record["bridge"]);
            sum = if total { hubs } else { sum + hubs };
        }
        prop_assert_eq!(sum, charged as i64);
    }

    /// The order of orders and rows of the inventory, their files and the number of threads do not change the bytes. The order
    /// of returns changes only the order of lines in the file of answers.
    #[test]
    fn nothing_depends_on_the_order_of_anything(
        (world, orders, inventory, returns) in worlds().prop_flat_map(|world| (
            Just(world.clone()),
            Just(world.orders).prop_shuffle(),
            Just(world.inventory).prop_shuffle(),
            Just(world.returns).prop_shuffle(),
        )),
        layout in layouts(),
    ) {
        let layout = Layout { roles: false, days: false, ..layout };
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let turned = World { orders, inventory, ..world.clone() };
        put(one.path(), &world, &layout);
        put(other.path(), &turned, &layout);
        count(one.path(), "count", "1", ["a.csv", "b.csv"], &[]);
        count(other.path(), "count", "3", ["b.csv", "a.csv"], &[]);
        prop_assert!(files(one.path(), "count", &[]) == files(other.path(), "count", &[]));

        let third = tempfile::tempdir().unwrap();
        put(third.path(), &World { returns, ..world }, &layout);
        count(third.path(), "count", "2", ["a.csv", "b.csv"], &[]);
        let but = ["responses.csv", "stock.json", "stock.html"];
        prop_assert!(files(one.path(), "count", &but) == files(third.path(), "count", &but));
        let given = |home: &Path| {
            let mut reader = csv::Reader::from_path(home.join("count/responses.csv")).unwrap();
            let mut lines: Vec<String> = reader
                .records()
                .map(|line| line.unwrap().iter().skip(2).collect::<Vec<_>>().join(","))
                .collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(given(one.path()), given(third.path()));
    }

    /// A count as if a run had been loaded equals a count of the inventory without the rows that the run deletes.
    #[test]
    fn as_if_loaded_is_as_loaded(world in worlds(), layout in layouts()) {
        let layout = Layout { roles: false, days: false, ..layout };
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(before.path(), &world, &layout);
        // The past run is replaced by a sweep of this inventory.
        fs::remove_dir_all(before.path().join("past")).unwrap();
        let policy = before.path().join("policy.toml").to_str().unwrap().to_owned();
        fs::write(&policy, "name = \"all\"\nversion = 1\n[threshold]\ndefault = 12\n[guard]\nmax_delete_share = 1.0\n")
            .unwrap();
        let text = |name: &str| before.path().join(name).to_str().unwrap().to_owned();
        let (inventory, past) = (text("inventory"), text("past"));
        let (code, _, err) =
            run(&["sweep", &inventory, "--policy", &policy, "--as-of", "2026-11-01", "--out", &past]);
        // A column without a readable value is refused.
        prop_assume!(!err.contains("no value of the whole snapshot"));
        prop_assert_eq!(code, 0, "{}", err);

        let mut left = world.clone();
        let file = fs::File::open(before.path().join("past/delete.parquet")).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let (ids, types) = (batch["device_id"].as_string::<i32>(), batch["device_type"].as_string::<i32>());
            let since = batch["status_since"].as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                let at = left.inventory.iter().position(|own| {
                    own.id.as_deref() == Some(ids.value(row))
                        && own.device_type.as_deref() == Some(types.value(row))
                        && own.status.as_deref() == Some("Pending")
                        && own.since == Some(since.value(row))
                });
                left.inventory.remove(at.unwrap());
            }
        }
        put(after.path(), &left, &layout);
        fs::remove_dir_all(after.path().join("past")).unwrap();
        copy_files(&before.path().join("past"), &after.path().join("past"));
        count(before.path(), "count", "2", ["a.csv", "b.csv"], &["--as-if-loaded"]);
        count(after.path(), "count", "2", ["a.csv", "b.csv"], &[]);
        // The record and the page name the options of the count.
        let but = ["stock.json", "stock.html"];
        prop_assert!(files(before.path(), "count", &but) == files(after.path(), "count", &but));
    }
}
