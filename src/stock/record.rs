//! `stock.json`: what was counted, from what, by which rules, and what it comes to.
//!
//! The same tables, snapshot and rules give the same record, in whatever order files and lines came.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::files::{Output, status_name};
use super::{AGES, Bucket, Charges, Money, Refusal, Region, Stock, Terms};
use crate::error::Result;
use crate::estate::{SmiStatus, StatusSet};
use crate::output::{OutputFile, json};
use crate::snapshot::Snapshot;

/// Name of the record within the directory.
pub const RECORD: &str = "stock.json";
/// The version of the format.
pub const SCHEMA: &str = "smi-sweep/stock/1";

/// A count, as recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The count date.
    pub counted_on: String,
    /// The rules.
    pub rules: RulesRecord,
    /// Name of the tariff, where there is one.
    pub tariff: Option<String>,
    /// What was read.
    pub sources: SourcesRecord,
    /// Hubs of the order book.
    pub hubs: u64,
    /// By bucket, in order; the hubs of all add up to those of the order book.
    pub buckets: Vec<BucketRecord>,
    /// What is charged, in all.
    pub charged: Charge,
    /// What a count of the inventory alone would have missed of it.
    pub missed: Charge,
    /// From a count of the inventory to what is charged, step by step.
    pub bridge: Vec<Step>,
    /// By charged party, in the order of the names.
    pub by_party: Vec<PartyRecord>,
    /// By region and variant.
    pub by_region_and_variant: Vec<KindRecord>,
    /// Answers to returns.
    pub returns: ReturnsRecord,
    /// Hubs of the inventory.
    pub inventory: InventoryRecord,
    /// The files.
    pub outputs: Vec<OutputRecord>,
}

/// The rules, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulesRecord {
    /// Statuses that stand for commissioning.
    pub commissioned: Vec<&'static str>,
    /// Statuses that are charged.
    pub charged: Vec<&'static str>,
    /// Statuses in which a return is refused.
    pub in_service: Vec<&'static str>,
    /// What is charged besides.
    pub charge: Charges,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourcesRecord {
    /// Rows of the snapshot.
    pub snapshot_rows: u64,
    /// Names of the order book's files.
    pub orders: Vec<String>,
    /// Names of the files of returns.
    pub returns: Vec<String>,
    /// Past runs.
    pub runs: Vec<RunRecord>,
    /// Whether it was counted as if they had been loaded.
    pub as_if_loaded: bool,
    /// Hubs that runs deleted, and nobody ordered.
    pub deleted_not_ordered: u64,
    /// Hubs that runs deleted, and the inventory still has.
    pub deleted_still_there: u64,
}

/// A past run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRecord {
    /// The moment it was judged by.
    pub as_of: String,
    /// Its policy.
    pub policy: String,
    /// Hubs that it deleted.
    pub hubs: u64,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketRecord {
    /// Its name.
    pub bucket: &'static str,
    /// What it means.
    pub means: &'static str,
    /// Hubs in it.
    pub hubs: u64,
    /// Whether they are charged.
    pub charged: bool,
}

/// Hubs that are charged, and what they cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Charge {
    /// Hubs.
    pub hubs: u64,
    /// Pounds, where there is a tariff.
    pub pounds: Option<String>,
}

/// A step of the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is.
    pub step: String,
    /// Hubs that it adds, or takes away where it is negative; a total where it is one.
    pub hubs: i64,
    /// Whether it is a total of the steps so far.
    pub total: bool,
}

/// A charged party.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartyRecord {
    /// Its name.
    pub party: String,
    /// Hubs that it ordered.
    pub hubs: u64,
    /// What is charged.
    pub charged: Charge,
    /// What a count of the inventory alone would have missed of it.
    pub missed: Charge,
    /// Hubs that are charged, by age.
    pub by_age: BTreeMap<&'static str, u64>,
}

/// A region and a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindRecord {
    /// The region.
    pub region: &'static str,
    /// The variant.
    pub variant: String,
    /// Hubs that were ordered.
    pub hubs: u64,
    /// What a hub costs, where there is a tariff.
    pub pounds_per_hub: Option<String>,
    /// What is charged.
    pub charged: Charge,
}

/// Answers to returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReturnsRecord {
    /// Lines.
    pub lines: u64,
    /// Lines that were accepted.
    pub accepted: u64,
    /// Lines that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Hubs of the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct InventoryRecord {
    /// Rows of hubs, by status.
    pub by_status: BTreeMap<&'static str, u64>,
    /// Of those, rows that the order book does not have, by status.
    pub not_ordered: BTreeMap<&'static str, u64>,
    /// Rows of any kind without a type that is known: they may be hubs.
    pub untyped_rows: u64,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputRecord {
    /// Its name.
    pub path: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub blake3: String,
}

/// Adds hubs and their price up.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    hubs: u64,
    money: Money,
}

impl Sum {
    fn add(&mut self, hubs: u64, rate: Option<Money>) {
        self.hubs += hubs;
        self.money += rate.unwrap_or_default().times(hubs);
    }

    fn charge(self, priced: bool) -> Charge {
        Charge { hubs: self.hubs, pounds: priced.then(|| self.money.to_string()) }
    }
}

impl Record {
    /// Puts a record together. `orders` and `returns` are what the files are called.
    #[must_use]
    pub fn new(
        stock: &Stock,
        terms: Terms<'_>,
        snapshot: &Snapshot,
        orders: &[String],
        returns: &[String],
        outputs: &[Output],
    ) -> Self {
        let priced = terms.tariff.is_some();
        let (mut charged, mut missed) = (Sum::default(), Sum::default());
        for counts in &stock.groups {
            charged.add(counts.charged(&stock.rules), counts.rate);
            missed.add(counts.missed(&stock.rules), counts.rate);
        }
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names
        };
        let runs = stock.deletions.runs.iter();
        Self {
            schema: SCHEMA,
            counted_on: stock.count.text(),
            rules: rules(stock),
            tariff: terms.tariff.map(|tariff| tariff.name.clone()),
            sources: SourcesRecord {
                snapshot_rows: snapshot.rows(),
                orders: sorted(orders),
                returns: sorted(returns),
                runs: runs
                    .map(|run| RunRecord { as_of: run.as_of.clone(), policy: run.policy.clone(), hubs: run.hubs })
                    .collect(),
                as_if_loaded: stock.as_if_loaded,
                deleted_not_ordered: stock.deletions.not_ordered,
                deleted_still_there: stock.deletions.still_there,
            },
            hubs: stock.book.hubs.len() as u64,
            buckets: buckets(stock),
            charged: charged.charge(priced),
            missed: missed.charge(priced),
            bridge: bridge(stock),
            by_party: by_party(stock, priced),
            by_region_and_variant: by_kind(stock, priced),
            returns: answers(stock),
            inventory: InventoryRecord {
                by_status: by_status(&stock.inventory.by_status),
                not_ordered: by_status(&stock.inventory.strays_by_status),
                untyped_rows: stock.inventory.untyped,
            },
            outputs: outputs
                .iter()
                .map(|output| OutputRecord {
                    path: output.path,
                    rows: output.rows,
                    bytes: output.written.bytes,
                    blake3: output.written.blake3.clone(),
                })
                .collect(),
        }
    }

    /// Writes the record into the directory.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        json::write(OutputFile::create(&folder.join(RECORD))?, self).map(drop)
    }
}

fn rules(stock: &Stock) -> RulesRecord {
    let names = |set: StatusSet| set.iter().map(SmiStatus::name).collect();
    RulesRecord {
        commissioned: names(stock.rules.commissioned),
        charged: names(stock.rules.charged),
        in_service: names(stock.rules.in_service),
        charge: stock.rules.charges,
    }
}

fn buckets(stock: &Stock) -> Vec<BucketRecord> {
    let record = |(bucket, hubs): (Bucket, u64)| BucketRecord {
        bucket: bucket.name(),
        means: bucket.meaning(),
        hubs,
        charged: stock.rules.charges(bucket),
    };
    Bucket::ALL.into_iter().zip(stock.buckets()).map(record).collect()
}

/// The bridge, without steps that nobody takes.
fn bridge(stock: &Stock) -> Vec<Step> {
    let bridge = &stock.bridge;
    let mut steps: Vec<Step> = Vec::new();
    let mut step = |text: String, hubs: i64, total: bool| {
        if total || hubs != 0 {
            steps.push(Step { step: text, hubs, total });
        }
    };
    step("counted in the SMI alone".into(), bridge.smi_only as i64, true);
    step("less hubs that nobody ordered".into(), -(bridge.not_ordered as i64), false);
    step("less rows that repeat a hub".into(), -(bridge.repeated as i64), false);
    for (bucket, hubs) in Bucket::ALL.into_iter().zip(bridge.elsewhere) {
        step(format!("less hubs {}", bucket.meaning()), -(hubs as i64), false);
    }
    let buckets = stock.buckets();
    step("in stock, and in the SMI".into(), buckets[Bucket::InStock as usize] as i64, true);
    let mut charged = 0;
    for (bucket, hubs) in Bucket::ALL.into_iter().zip(buckets).filter(|(bucket, _)| stock.rules.charges(*bucket)) {
        charged += hubs as i64;
        if bucket != Bucket::InStock {
            step(format!("plus hubs {}", bucket.meaning()), hubs as i64, false);
        }
    }
    step("charged".into(), charged, true);
    steps
}

fn by_party(stock: &Stock, priced: bool) -> Vec<PartyRecord> {
    #[derive(Default)]
    struct Own {
        hubs: u64,
        charged: Sum,
        missed: Sum,
        ages: [u64; AGES.len()],
    }
    let mut parties: BTreeMap<&str, Own> = BTreeMap::new();
    for (group, counts) in stock.book.groups.iter().zip(&stock.groups) {
        let own = parties.entry(&group.party).or_default();
        own.hubs += counts.buckets.iter().sum::<u64>();
        own.charged.add(counts.charged(&stock.rules), counts.rate);
        own.missed.add(counts.missed(&stock.rules), counts.rate);
        for (sum, hubs) in own.ages.iter_mut().zip(counts.ages) {
            *sum += hubs;
        }
    }
    let record = |(party, own): (&str, Own)| PartyRecord {
        party: party.into(),
        hubs: own.hubs,
        charged: own.charged.charge(priced),
        missed: own.missed.charge(priced),
        by_age: AGES.into_iter().zip(own.ages).collect(),
    };
    parties.into_iter().map(record).collect()
}

fn by_kind(stock: &Stock, priced: bool) -> Vec<KindRecord> {
    let mut kinds: BTreeMap<(Region, &str), (u64, Sum, Option<Money>)> = BTreeMap::new();
    for (group, counts) in stock.book.groups.iter().zip(&stock.groups) {
        let (hubs, charged, rate) = kinds.entry((group.region, &group.variant)).or_default();
        *hubs += counts.buckets.iter().sum::<u64>();
        charged.add(counts.charged(&stock.rules), counts.rate);
        // The rate is one of region and variant: the same for all parties.
        *rate = counts.rate;
    }
    let record = |((region, variant), (hubs, charged, rate)): ((Region, &str), (u64, Sum, Option<Money>))| KindRecord {
        region: region.name(),
        variant: variant.into(),
        hubs,
        pounds_per_hub: rate.map(|rate| rate.to_string()),
        charged: charged.charge(priced),
    };
    kinds.into_iter().map(record).collect()
}

fn answers(stock: &Stock) -> ReturnsRecord {
    let mut refused: BTreeMap<&'static str, u64> = BTreeMap::new();
    for refusal in stock.returns.iter().filter_map(|entry| entry.refusal) {
        *refused.entry(Refusal::name(refusal)).or_default() += 1;
    }
    let lines = stock.returns.len() as u64;
    ReturnsRecord { lines, accepted: lines - refused.values().sum::<u64>(), refused }
}

fn by_status(counts: &[u64; SmiStatus::CODES]) -> BTreeMap<&'static str, u64> {
    let mut named: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (code, rows) in counts.iter().enumerate().filter(|(_, rows)| **rows > 0) {
        *named.entry(status_name(code as u8)).or_default() += rows;
    }
    named
}
