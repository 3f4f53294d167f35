//! The count: the bucket of every hub of the order book, and the charge of each group.

use super::book::{Book, OrderGroup};
use super::bucket::{Bucket, HubFlags};
use super::inputs::StockInputs;
use super::inventory::{self, Deletions, InventoryCounts};
use super::money::Money;
use super::returns::{self, HubReturn};
use super::rules::StockRules;
use super::table::{Day, named_once};
use super::tariff::Tariff;
use crate::error::{DocumentKind, DocumentPlace, Error, Result};
use crate::estate::{SmiStatus, time};
use crate::progress::Stage;
use crate::scan::Scan;

/// Names of the age bands of stock, by whole months since acceptance.
pub const AGES: [&str; 4] = ["under 3 months", "3 to 5 months", "6 to 11 months", "12 months and longer"];
/// The months at which all bands but the last end.
const AGE_ENDS: [u32; 3] = [3, 6, 12];

/// The counts of one group of the order book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Hubs by bucket.
    pub buckets: [u64; Bucket::COUNT],
    /// Charged hubs by age band.
    pub ages: [u64; AGES.len()],
    /// Price of a hub; `None` without a tariff.
    pub rate: Option<Money>,
}

/// The result of a count.
#[derive(Debug)]
pub struct StockCount {
    /// The order book.
    pub book: Book,
    /// The flags of each of its hubs, by index.
    pub flags: Vec<HubFlags>,
    /// The returns with their answers, by file and line.
    pub returns: Vec<HubReturn>,
    /// Counts of the inventory.
    pub inventory: InventoryCounts,
    /// Hubs that past runs deleted.
    pub deletions: Deletions,
    /// Whether the count was made as if those runs had been loaded.
    pub as_if_loaded: bool,
    /// The count date.
    pub count: Day,
    /// The rules.
    pub rules: StockRules,
    /// Counts of each of the book's groups.
    pub groups: Vec<GroupCounts>,
    /// The steps from a count of the inventory alone to the charged hubs.
    pub bridge: Bridge,
}

/// The steps from a count of the inventory alone to the charged stock. Each step is counted independently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Rows of hubs in a charged status: the result of a count of the inventory alone.
    pub smi_only: u64,
    /// Of those, rows whose hub is not in the order book.
    pub not_ordered: u64,
    /// Of those, further rows of a hub that has one already.
    pub repeated: u64,
    /// Of those, hubs in a bucket other than [`Bucket::InStock`], by bucket.
    pub elsewhere: [u64; Bucket::COUNT],
}

impl StockCount {
    /// The bucket of a hub, by its index.
    #[must_use]
    pub fn bucket(&self, index: usize) -> Bucket {
        let hub = &self.book.hubs[index];
        Bucket::of(self.flags[index], hub.delivered, hub.accepted, self.count)
    }

    /// Hubs of each bucket.
    #[must_use]
    pub fn buckets(&self) -> [u64; Bucket::COUNT] {
        let mut all = [0; Bucket::COUNT];
        for group in &self.groups {
            for (sum, hubs) in all.iter_mut().zip(group.buckets) {
                *sum += hubs;
            }
        }
        all
    }
}

impl GroupCounts {
    /// Charged hubs.
    #[must_use]
    pub fn charged(&self, rules: &StockRules) -> u64 {
        Bucket::ALL.into_iter().filter(|bucket| rules.charges(*bucket)).map(|bucket| self.of(bucket)).sum()
    }

    /// Charged hubs that a count of the inventory alone misses.
    #[must_use]
    pub fn missed(&self, rules: &StockRules) -> u64 {
        let missed = |bucket: &Bucket| rules.charges(*bucket) && !bucket.is_seen_by_the_smi();
        Bucket::ALL.into_iter().filter(missed).map(|bucket| self.of(bucket)).sum()
    }

    /// Hubs of a bucket.
    #[must_use]
    pub const fn of(&self, bucket: Bucket) -> u64 {
        self.buckets[bucket as usize]
    }
}

/// Counts the stock on a day: days since 1970-01-01. Events of that day are included.
///
/// # Errors
/// A table, a run, the snapshot or the tariff that is refused; an interruption.
pub fn count(scan: &Scan<'_>, inputs: &StockInputs<'_>, count_day: i32) -> Result<StockCount> {
    let (pool, progress) = (scan.pool, scan.progress);
    let count = Day::new(count_day).ok_or_else(|| Error::Usage {
        what: format!("{} is not a valid count date", time::format_day(count_day)),
        remedy: "name a day from 2000 to 2179".into(),
    })?;
    progress.begin(Stage::Tables, 0);
    [inputs.orders, inputs.returns, inputs.runs].into_iter().try_for_each(named_once)?;
    let book = Book::read(inputs.orders, pool, progress)?;
    let mut returns = returns::read(inputs.returns, &book)?;
    let past = inventory::read_runs(inputs.runs, pool)?;
    let deleted = if inputs.as_if_loaded { &past.deleted[..] } else { &[] };
    let (inventory, mut flags) = inventory::read(scan, inputs, &book, deleted, count_day)?;
    let deletions = Deletions::mark(past, &book, &mut flags);
    returns::settle(&mut returns, &book, &mut flags, count_day);
    let mut stock = StockCount {
        groups: vec![GroupCounts::default(); book.groups.len()],
        bridge: Bridge::default(),
        book,
        flags,
        returns,
        inventory,
        deletions,
        as_if_loaded: inputs.as_if_loaded,
        count,
        rules: *inputs.rules,
    };
    add_up(&mut stock)?;
    if let Some(tariff) = inputs.tariff {
        price(&mut stock, tariff, count_day)?;
    }
    Ok(stock)
}

/// Counts every hub in its bucket, and fills in the bridge.
fn add_up(stock: &mut StockCount) -> Result<()> {
    let mut ages = AgeBands::new(stock.count);
    let mut bridge = Bridge::default();
    let mut seen = 0;
    for index in 0..stock.book.hubs.len() {
        let bucket = stock.bucket(index);
        let hub = stock.book.hubs[index];
        let counts = &mut stock.groups[hub.group as usize];
        counts.buckets[bucket as usize] += 1;
        if stock.rules.charges(bucket) {
            counts.ages[ages.band(hub.accepted)] += 1;
        }
        if stock.flags[index].has(HubFlags::IN_STOCK) {
            seen += 1;
            if bucket != Bucket::InStock {
                bridge.elsewhere[bucket as usize] += 1;
            }
        }
    }
    let charged_rows = |by_status: &[u64; SmiStatus::CODES]| -> u64 {
        stock.rules.charged.iter().map(|status| by_status[usize::from(status.code())]).sum()
    };
    bridge.smi_only = charged_rows(&stock.inventory.by_status);
    bridge.not_ordered = charged_rows(&stock.inventory.unordered_by_status);
    bridge.repeated = (bridge.smi_only - bridge.not_ordered)
        .checked_sub(seen)
        .ok_or_else(|| Error::Unbalanced(format!("{seen} hubs were matched by fewer rows of the inventory")))?;
    stock.bridge = bridge;

    let buckets = stock.buckets();
    let (sum, hubs) = (buckets.iter().sum::<u64>(), stock.book.hubs.len() as u64);
    if sum != hubs {
        return Err(Error::Unbalanced(format!("{sum} hubs were counted of {hubs}")));
    }
    let away = bridge.not_ordered + bridge.repeated + bridge.elsewhere.iter().sum::<u64>();
    let in_stock = buckets[Bucket::InStock as usize];
    if bridge.smi_only != away + in_stock {
        let what = format!("{} rows of the inventory are {in_stock} hubs in stock and {away} others", bridge.smi_only);
        return Err(Error::Unbalanced(what));
    }
    Ok(())
}

/// Sets the price of every group. A group with charged hubs must have one.
fn price(stock: &mut StockCount, tariff: &Tariff, count_day: i32) -> Result<()> {
    for (group, counts) in stock.book.groups.iter().zip(&mut stock.groups) {
        counts.rate = tariff.rate(group.region, &group.variant, count_day);
        if counts.rate.is_none() && counts.charged(&stock.rules) > 0 {
            let OrderGroup { region, variant, .. } = group;
            return Err(DocumentPlace::whole(DocumentKind::Tariff, &tariff.source).refuse(
                format!("no rate for {region}, variant `{variant}` on {}", stock.count.text()),
                "add a [[rate]] that begins on that day or before; a rate without regions and variants is for all hubs",
            ));
        }
    }
    Ok(())
}

/// Age bands by day of acceptance. Each day is computed once, because stock was accepted on few different days.
struct AgeBands {
    until: i64,
    known: Vec<Option<u8>>,
}

impl AgeBands {
    fn new(count: Day) -> Self {
        Self { until: time::day_start(count.get().unwrap_or_default()), known: Vec::new() }
    }

    fn band(&mut self, accepted: Day) -> usize {
        let Some(day) = accepted.get() else { return 0 };
        let place = usize::try_from(day).unwrap_or_default();
        if self.known.len() <= place {
            self.known.resize(place + 1, None);
        }
        let until = self.until;
        usize::from(*self.known[place].get_or_insert_with(|| {
            let months = time::whole_months(time::day_start(day), until);
            AGE_ENDS.iter().filter(|end| months >= **end).count() as u8
        }))
    }
}
