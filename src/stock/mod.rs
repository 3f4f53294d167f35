//! Comms Hubs in stock: delivered and accepted, not commissioned, at a count date; and who is charged for them.
//!
//! The inventory alone cannot say: it does not know who ordered a hub, and what housekeeping deleted is lost to it. So
//! the count begins with the order book. Every hub of it lands in exactly one [`Bucket`], by what the order book, the
//! returns, the inventory and past runs say; [`StockRules`] say which buckets are charged, a [`Tariff`] what a hub costs.
//! [`count`] is the whole of it; [`write()`] puts the result into a directory.

mod book;
mod book_parquet;
mod bucket;
mod files;
mod inventory;
mod money;
mod page;
pub mod record;
mod region;
mod returns;
mod rules;
mod table;
mod tariff;

use std::path::PathBuf;

pub use book::{Book, Group, Hub};
pub use bucket::{Bucket, Marks};
pub use files::{Output, write};
pub use inventory::{Deletions, Inventory, PastRun, Stray};
pub use money::Money;
pub use page::{PAGE, grouped, write as write_page};
pub use record::Record;
pub use region::Region;
pub use returns::{FAULT_REASONS, FAULT_TYPES, NO_FAULT_TYPES, Refusal, Return};
pub use rules::{Charges, StockRules};
pub use table::Day;
pub use tariff::Tariff;

use crate::error::{DocumentKind, DocumentPlace, Error, Result};
use crate::estate::{SmiStatus, time};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::snapshot::Snapshot;

/// What is counted from besides the snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// Files of the order book.
    pub orders: &'a [PathBuf],
    /// Files of returns.
    pub returns: &'a [PathBuf],
    /// Directories of past runs, or folders of them.
    pub runs: &'a [PathBuf],
    /// Whether to count as if those runs had been loaded: rows that they delete are taken for gone.
    pub as_if_loaded: bool,
}

/// How it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Knows how the snapshot spells things; nothing else of it matters here.
    pub policy: &'a Policy,
    /// What is charged.
    pub rules: &'a StockRules,
    /// What it costs.
    pub tariff: Option<&'a Tariff>,
    /// The count date, days since 1970-01-01. What happened on the day counts.
    pub count_day: i32,
}

/// Ages of stock, in whole months since acceptance: each band ends where the next begins.
pub const AGES: [&str; 4] = ["under 3 months", "3 to 5 months", "6 to 11 months", "12 months and longer"];
const AGE_ENDS: [u32; 3] = [3, 6, 12];

/// What became of the hubs of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hubs by bucket.
    pub buckets: [u64; Bucket::COUNT],
    /// Hubs that are charged, by age.
    pub ages: [u64; AGES.len()],
    /// What a hub costs, where there is a tariff.
    pub rate: Option<Money>,
}

/// What was counted.
#[derive(Debug)]
pub struct Stock {
    /// The order book.
    pub book: Book,
    /// What was seen of each of its hubs.
    pub marks: Vec<Marks>,
    /// The returns, answered, by file and line.
    pub returns: Vec<Return>,
    /// What the inventory says.
    pub inventory: Inventory,
    /// What past runs deleted.
    pub deletions: Deletions,
    /// Whether those runs were taken for loaded.
    pub as_if_loaded: bool,
    /// The count date.
    pub count: Day,
    /// The rules.
    pub rules: StockRules,
    /// Counts of each of the book's groups.
    pub groups: Vec<Counts>,
    /// From a count of the inventory to the stock that is charged.
    pub bridge: Bridge,
}

/// How a count of the inventory alone leads to the stock that is charged. Every line of it is counted by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Rows of hubs in a charged status: what a count of the inventory comes to.
    pub smi_only: u64,
    /// Of those, rows whose hub nobody ordered: there is nobody to charge.
    pub not_ordered: u64,
    /// Of those, rows that repeat a hub.
    pub repeated: u64,
    /// Of those, hubs in another bucket than [`Bucket::InStock`], by bucket.
    pub elsewhere: [u64; Bucket::COUNT],
}

impl Stock {
    /// The bucket of a hub, by its index.
    #[must_use]
    pub fn bucket(&self, index: usize) -> Bucket {
        let hub = &self.book.hubs[index];
        Bucket::of(self.marks[index], hub.delivered, hub.accepted, self.count)
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

impl Counts {
    /// Hubs that are charged.
    #[must_use]
    pub fn charged(&self, rules: &StockRules) -> u64 {
        Bucket::ALL.into_iter().filter(|bucket| rules.charges(*bucket)).map(|bucket| self.of(bucket)).sum()
    }

    /// Hubs that are charged, and that a count of the inventory alone does not see.
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

/// Counts the stock.
///
/// # Errors
/// A table, a run, the snapshot or the tariff that is refused; an interruption.
pub fn count(
    snapshot: &Snapshot,
    sources: Sources<'_>,
    terms: Terms<'_>,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Stock> {
    let Terms { rules, tariff, count_day, .. } = terms;
    let count = Day::new(count_day).ok_or_else(|| Error::Usage {
        what: format!("{} is not a day on which stock can be counted", time::format_day(count_day)),
        remedy: "name a day from 2000 to 2179".into(),
    })?;
    progress.begin(Stage::Tables, 0);
    [sources.orders, sources.returns, sources.runs].into_iter().try_for_each(table::named_once)?;
    let book = Book::read(sources.orders, pool, progress)?;
    let mut returns = returns::read(sources.returns, &book)?;
    let past = inventory::past(sources.runs, pool)?;
    let gone = if sources.as_if_loaded { &past.gone[..] } else { &[] };
    let (inventory, mut marks) = inventory::read(snapshot, terms, &book, gone, pool, progress)?;
    let deletions = Deletions::mark(past, &book, &mut marks);
    returns::settle(&mut returns, &book, &mut marks, count_day);
    let mut stock = Stock {
        groups: vec![Counts::default(); book.groups.len()],
        bridge: Bridge::default(),
        book,
        marks,
        returns,
        inventory,
        deletions,
        as_if_loaded: sources.as_if_loaded,
        count,
        rules: *rules,
    };
    add_up(&mut stock)?;
    if let Some(tariff) = tariff {
        price(&mut stock, tariff, count_day)?;
    }
    Ok(stock)
}

/// Puts every hub into its bucket, and works the bridge out.
fn add_up(stock: &mut Stock) -> Result<()> {
    let mut ages = Ages::new(stock.count);
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
        if stock.marks[index].has(Marks::IN_STOCK) {
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
    bridge.not_ordered = charged_rows(&stock.inventory.strays_by_status);
    bridge.repeated = (bridge.smi_only - bridge.not_ordered)
        .checked_sub(seen)
        .ok_or_else(|| Error::Unbalanced(format!("{seen} hubs were marked by fewer rows of the inventory")))?;
    stock.bridge = bridge;

    let buckets = stock.buckets();
    let (sum, hubs) = (buckets.iter().sum::<u64>(), stock.book.hubs.len() as u64);
    if sum != hubs {
        return Err(Error::Unbalanced(format!("{sum} hubs were counted of {hubs}")));
    }
    let away = bridge.not_ordered + bridge.repeated + bridge.elsewhere.iter().sum::<u64>();
    let in_stock = buckets[Bucket::InStock as usize];
    if bridge.smi_only != away + in_stock {
        let what =
            format!("{} rows of the inventory lead to {in_stock} hubs in stock and {away} others", bridge.smi_only);
        return Err(Error::Unbalanced(what));
    }
    Ok(())
}

/// Gives every group its rate. A group with hubs to charge must have one.
fn price(stock: &mut Stock, tariff: &Tariff, count_day: i32) -> Result<()> {
    for (group, counts) in stock.book.groups.iter().zip(&mut stock.groups) {
        counts.rate = tariff.rate(group.region, &group.variant, count_day);
        if counts.rate.is_none() && counts.charged(&stock.rules) > 0 {
            let Group { region, variant, .. } = group;
            return Err(DocumentPlace::whole(DocumentKind::Tariff, &tariff.source).refuse(
                format!("no rate for {region}, variant `{variant}` on {}", stock.count.text()),
                "add a [[rate]] that has begun by then; one without regions and variants is for all",
            ));
        }
    }
    Ok(())
}

/// Bands of ages. Stock was accepted on few different days, so that each is worked out once.
struct Ages {
    until: i64,
    known: Vec<Option<u8>>,
}

impl Ages {
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
