//! `stock.json`: the record of a count, with its inputs, rules and figures.
//!
//! The same tables, snapshot and rules give the same record, whatever the order of files and lines.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::bucket::Bucket;
use super::count::{AGES, StockCount};
use super::files::StockFile;
use super::inputs::{StockInputs, file_names};
use super::inventory::PastRun;
use super::money::Money;
use super::region::Region;
use super::returns::ReturnRefusal;
use super::rules::Charges;
use crate::error::Result;
use crate::estate::{SmiStatus, StatusSet};
use crate::output::{OutputFile, json};

/// Name of the record within the directory.
pub const RECORD: &str = "stock.json";
/// The version of the format.
pub const SCHEMA: &str = "smi-sweep/stock/1";

/// The record of a count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StockRecord {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The count date, as `2026-11-01`.
    pub counted_on: String,
    /// The rules.
    pub rules: RulesRecord,
    /// Name of the tariff, if there is one.
    pub tariff: Option<String>,
    /// The inputs.
    pub sources: SourcesRecord,
    /// Hubs of the order book.
    pub hubs: u64,
    /// By bucket, in order; the hubs of all add up to those of the order book.
    pub buckets: Vec<BucketRecord>,
    /// All charged hubs.
    pub charged: Charge,
    /// Charged hubs that a count of the inventory alone misses.
    pub missed: Charge,
    /// The steps from a count of the inventory alone to the charged hubs.
    pub bridge: Vec<BridgeStep>,
    /// By charged party, in the order of the names.
    pub by_party: Vec<PartyRecord>,
    /// By region and variant.
    pub by_region_and_variant: Vec<RegionVariantRecord>,
    /// Answers to returns.
    pub returns: ReturnsRecord,
    /// Hubs of the inventory.
    pub inventory: HubInventoryRecord,
    /// The tables.
    pub outputs: Vec<StockFile>,
}

/// The rules of a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulesRecord {
    /// Commissioned statuses.
    pub commissioned: Vec<&'static str>,
    /// Charged statuses.
    pub charged: Vec<&'static str>,
    /// Statuses in which a return is refused.
    pub in_service: Vec<&'static str>,
    /// Buckets that are charged besides hubs in stock in the inventory.
    pub charge: Charges,
}

/// The inputs of a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourcesRecord {
    /// Rows of the snapshot.
    pub snapshot_rows: u64,
    /// Names of the order book's files.
    pub orders: Vec<String>,
    /// Names of the files of returns.
    pub returns: Vec<String>,
    /// Past runs, whose deletions are taken into account.
    pub runs: Vec<PastRun>,
    /// Whether the count was made as if the runs had been loaded.
    pub as_if_loaded: bool,
    /// Hubs that runs deleted and that are not in the order book.
    pub deleted_not_ordered: u64,
    /// Hubs that runs deleted and that are in the inventory.
    pub deleted_still_there: u64,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketRecord {
    /// Its name.
    pub bucket: &'static str,
    /// Its description.
    pub means: &'static str,
    /// Hubs in it.
    pub hubs: u64,
    /// Whether they are charged.
    pub charged: bool,
}

/// Charged hubs and their price.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Charge {
    /// Hubs.
    pub hubs: u64,
    /// Price of all of them in pounds, if there is a tariff.
    pub pounds: Option<String>,
}

/// A step of the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BridgeStep {
    /// Its description.
    pub step: String,
    /// Hubs that it adds (negative: that it takes away), or the total.
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
    /// Charged hubs.
    pub charged: Charge,
    /// Charged hubs that a count of the inventory alone misses.
    pub missed: Charge,
    /// Charged hubs by age band.
    pub by_age: BTreeMap<&'static str, u64>,
}

/// Hubs of a region and a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionVariantRecord {
    /// The region.
    pub region: &'static str,
    /// The variant.
    pub variant: String,
    /// Hubs that were ordered.
    pub hubs: u64,
    /// Price of a hub in pounds, if there is a tariff.
    pub pounds_per_hub: Option<String>,
    /// Charged hubs.
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
pub struct HubInventoryRecord {
    /// Rows of hubs, by status.
    pub by_status: BTreeMap<&'static str, u64>,
    /// Of those, rows that are not in the order book, by status.
    pub not_ordered: BTreeMap<&'static str, u64>,
    /// Rows whose type is null or unknown. They may be hubs.
    pub untyped_rows: u64,
}

/// A sum of hubs and their price.
#[derive(Debug, Clone, Copy, Default)]
struct PricedHubs {
    hubs: u64,
    money: Money,
}

impl PricedHubs {
    fn add(&mut self, hubs: u64, rate: Option<Money>) {
        self.hubs += hubs;
        self.money += rate.unwrap_or_default().times(hubs);
    }

    fn charge(self, priced: bool) -> Charge {
        Charge { hubs: self.hubs, pounds: priced.then(|| self.money.to_string()) }
    }
}

impl StockRecord {
    /// The record of a count of a snapshot of `snapshot_rows` rows.
    #[must_use]
    pub fn new(stock: &StockCount, inputs: &StockInputs<'_>, snapshot_rows: u64, files: &[StockFile]) -> Self {
        let priced = inputs.tariff.is_some();
        let (mut charged, mut missed) = (PricedHubs::default(), PricedHubs::default());
        for counts in &stock.groups {
            charged.add(counts.charged(&stock.rules), counts.rate);
            missed.add(counts.missed(&stock.rules), counts.rate);
        }
        let sorted_names = |paths| {
            let mut names = file_names(paths);
            names.sort_unstable();
            names
        };
        Self {
            schema: SCHEMA,
            counted_on: stock.count.text(),
            rules: rules(stock),
            tariff: inputs.tariff.map(|tariff| tariff.name.clone()),
            sources: SourcesRecord {
                snapshot_rows,
                orders: sorted_names(inputs.orders),
                returns: sorted_names(inputs.returns),
                runs: stock.deletions.runs.clone(),
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
            by_region_and_variant: by_region_and_variant(stock, priced),
            returns: answers(stock),
            inventory: HubInventoryRecord {
                by_status: by_status(&stock.inventory.by_status),
                not_ordered: by_status(&stock.inventory.unordered_by_status),
                untyped_rows: stock.inventory.untyped,
            },
            outputs: files.to_vec(),
        }
    }

    /// Writes the record into the directory.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        json::write(OutputFile::create(&folder.join(RECORD))?, self).map(drop)
    }
}

fn rules(stock: &StockCount) -> RulesRecord {
    let names = |set: StatusSet| set.iter().map(SmiStatus::name).collect();
    RulesRecord {
        commissioned: names(stock.rules.commissioned),
        charged: names(stock.rules.charged),
        in_service: names(stock.rules.in_service),
        charge: stock.rules.charges,
    }
}

fn buckets(stock: &StockCount) -> Vec<BucketRecord> {
    let record = |(bucket, hubs): (Bucket, u64)| BucketRecord {
        bucket: bucket.name(),
        means: bucket.meaning(),
        hubs,
        charged: stock.rules.charges(bucket),
    };
    Bucket::ALL.into_iter().zip(stock.buckets()).map(record).collect()
}

/// The bridge without its empty steps.
fn bridge(stock: &StockCount) -> Vec<BridgeStep> {
    let bridge = &stock.bridge;
    let mut steps: Vec<BridgeStep> = Vec::new();
    let mut step = |text: String, hubs: i64, total: bool| {
        if total || hubs != 0 {
            steps.push(BridgeStep { step: text, hubs, total });
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

fn by_party(stock: &StockCount, priced: bool) -> Vec<PartyRecord> {
    #[derive(Default)]
    struct PartyTotals {
        hubs: u64,
        charged: PricedHubs,
        missed: PricedHubs,
        ages: [u64; AGES.len()],
    }
    let mut parties: BTreeMap<&str, PartyTotals> = BTreeMap::new();
    for (group, counts) in stock.book.groups.iter().zip(&stock.groups) {
        let own = parties.entry(&group.party).or_default();
        own.hubs += counts.buckets.iter().sum::<u64>();
        own.charged.add(counts.charged(&stock.rules), counts.rate);
        own.missed.add(counts.missed(&stock.rules), counts.rate);
        for (sum, hubs) in own.ages.iter_mut().zip(counts.ages) {
            *sum += hubs;
        }
    }
    let record = |(party, own): (&str, PartyTotals)| PartyRecord {
        party: party.into(),
        hubs: own.hubs,
        charged: own.charged.charge(priced),
        missed: own.missed.charge(priced),
        by_age: AGES.into_iter().zip(own.ages).collect(),
    };
    parties.into_iter().map(record).collect()
}

fn by_region_and_variant(stock: &StockCount, priced: bool) -> Vec<RegionVariantRecord> {
    let mut kinds: BTreeMap<(Region, &str), (u64, PricedHubs, Option<Money>)> = BTreeMap::new();
    for (group, counts) in stock.book.groups.iter().zip(&stock.groups) {
        let (hubs, charged, rate) = kinds.entry((group.region, &group.variant)).or_default();
        *hubs += counts.buckets.iter().sum::<u64>();
        charged.add(counts.charged(&stock.rules), counts.rate);
        // The price depends on region and variant only, so it is the same for all parties.
        *rate = counts.rate;
    }
    let record = |((region, variant), (hubs, charged, rate)): ((Region, &str), (u64, PricedHubs, Option<Money>))| {
        RegionVariantRecord {
            region: region.name(),
            variant: variant.into(),
            hubs,
            pounds_per_hub: rate.map(|rate| rate.to_string()),
            charged: charged.charge(priced),
        }
    };
    kinds.into_iter().map(record).collect()
}

fn answers(stock: &StockCount) -> ReturnsRecord {
    let mut refused: BTreeMap<&'static str, u64> = BTreeMap::new();
    for refusal in stock.returns.iter().filter_map(|entry| entry.refusal) {
        *refused.entry(ReturnRefusal::name(refusal)).or_default() += 1;
    }
    let lines = stock.returns.len() as u64;
    ReturnsRecord { lines, accepted: lines - refused.values().sum::<u64>(), refused }
}

fn by_status(counts: &[u64; SmiStatus::CODES]) -> BTreeMap<&'static str, u64> {
    let mut named: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (code, rows) in counts.iter().enumerate().filter(|(_, rows)| **rows > 0) {
        *named.entry(SmiStatus::code_name(code as u8)).or_default() += rows;
    }
    named
}
