//! A synthetic order book for the Comms Hubs of a snapshot, with returns and a tariff, for stock counts.
//!
//! Ordering party, region, delivery and acceptance follow from the seed and the Device ID; the status date of a hub in the
//! snapshot sets the dates. A few hubs of the snapshot are not in the order book, and a few orders are not in the
//! snapshot.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::estate::{SplitMix64, mix, pick, service_user};
use crate::error::{Error, Result};
use crate::estate::{DeviceId, DeviceType, SmiStatus, TypeSet, time};
use crate::output::{OutputDirectory, OutputFile};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::scan::Scan;
use crate::scan::types::{TypeBuffers, TypedDevice, scan_types};
use crate::snapshot::{AsOf, Snapshot};

/// Name of the order book.
pub const ORDERS: &str = "orders.csv";
/// Name of the file of returns.
pub const RETURNS: &str = "returns.csv";
/// Name of the tariff.
pub const TARIFF: &str = "tariff.toml";

/// Regions and their shares in hundredths.
const REGIONS: [(&str, u64); 7] =
    [("North", 27), ("Central", 30), ("South", 27), ("4G North", 4), ("4G Central", 5), ("4G South", 4), ("SMETS1", 3)];
/// Variants and their shares in hundredths.
const VARIANTS: [(&str, u64); 2] = [("Single Band", 72), ("Dual Band", 28)];
/// One in this many hubs of the snapshot is not in the order book.
const STRAY_ONE_IN: u64 = 500;
/// For one in this many hubs of the snapshot, the order book has an additional hub that the snapshot lacks.
const EXTRA_ONE_IN: u64 = 400;
/// One in this many hubs that are not commissioned is returned.
const RETURNED_ONE_IN: u64 = 60;
/// With defects, one in this many returns has a mistake.
const DEFECT_ONE_IN: u64 = 8;

/// Types and fault reasons of returns.
const RETURN_TYPES: [(&str, &str); 6] = [
    ("Fault identified prior to installation", "Damaged case"),
    ("Fault identified prior to installation", "LED Fault"),
    ("Fault identified post installation", "SM WAN Fault"),
    ("No Fault Return (general)", ""),
    ("No Fault Return (dual supplier HAN variant replacement)", ""),
    ("Lost or Stolen Hub", ""),
];

const TARIFF_TEXT: &str = r#"# Synthetic: no rate in it is anybody's.
name = "synthetic"

[[rate]]
from = "2020-04-01"
variants = ["Single Band"]
per_hub = "0.40"

[[rate]]
from = "2020-04-01"
variants = ["Dual Band"]
per_hub = "0.55"

[[rate]]
from = "2026-04-01"
regions = ["4G North", "4G Central", "4G South"]
variants = ["Single Band"]
per_hub = "0.4725"
"#;

/// Arguments of [`write_orders`].
#[derive(Debug, Clone, Copy)]
pub struct SynthOrders<'a> {
    /// Parquet files of the inventory whose hubs are ordered, or folders of them.
    pub snapshot: &'a [PathBuf],
    /// The policy that maps the spellings of the snapshot.
    pub policy: &'a Policy,
    /// The seed of all random choices.
    pub seed: u64,
    /// The moment on whose UTC day something is delivered, accepted or returned last.
    pub as_of: AsOf,
    /// Whether some returns have mistakes.
    pub defects: bool,
    /// The folder to write. It must not exist, and appears whole or not at all.
    pub out: &'a Path,
}

/// How much was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// Hubs of the order book.
    pub orders: u64,
    /// Rows of the file of returns.
    pub returns: u64,
}

/// Writes an order book, returns and a tariff into a new folder.
///
/// # Errors
/// A folder that exists or cannot be written, a snapshot that is refused, or an interruption.
pub fn write_orders(options: &SynthOrders<'_>, pool: &Pool, progress: &dyn Progress) -> Result<OrderCounts> {
    let directory = OutputDirectory::create(options.out)?;
    let snapshot = Snapshot::open(options.snapshot, &options.policy.spellings, pool, progress)?;
    let (as_of, _) = snapshot.as_of(options.as_of)?;
    let maker = OrderMaker { seed: options.seed, today: time::day_of(as_of), defects: options.defects };
    let written = maker.write(&Scan::new(&snapshot, pool, progress), options.policy, directory.path())?;
    directory.publish(pool)?;
    Ok(written)
}

/// What the orders follow from, in addition to the hubs.
#[derive(Clone, Copy)]
struct OrderMaker {
    seed: u64,
    /// Days since 1970-01-01.
    today: i32,
    defects: bool,
}

#[derive(Default)]
struct OrderText {
    orders: String,
    returns: String,
    written: OrderCounts,
}

impl OrderMaker {
    fn write(&self, scan: &Scan<'_>, policy: &Policy, folder: &Path) -> Result<OrderCounts> {
        scan.progress.begin(Stage::Scan, scan.snapshot.rows());
        let create = |name: &str, header: &str| -> Result<OutputFile> {
            let mut file = OutputFile::create(&folder.join(name))?;
            file.write_all(header.as_bytes()).map_err(Error::io("write", file.path()))?;
            Ok(file)
        };
        let mut order_file = create(ORDERS, "device_id,ordering_party,region,variant,delivered,accepted\n")?;
        let mut return_file = create(RETURNS, "device_id,return_type,fault_reason,returned\n")?;
        let mut written = OrderCounts::default();
        // A few ranges at a time: the text of all would not fit into memory.
        let hubs: TypeSet = [DeviceType::CHF].into_iter().collect();
        for some in scan.ranges().chunks(scan.pool.threads() * 4) {
            let texts = scan.run_ranges(some, TypeBuffers::default, |range, buffers| {
                let mut text = OrderText::default();
                scan_types(range, policy, hubs, buffers)?;
                buffers.devices.iter().for_each(|hub| self.hub(hub, &mut text));
                Ok(text)
            })?;
            for text in texts.parts {
                order_file.write_all(text.orders.as_bytes()).map_err(Error::io("write", folder.join(ORDERS)))?;
                return_file.write_all(text.returns.as_bytes()).map_err(Error::io("write", folder.join(RETURNS)))?;
                written.orders += text.written.orders;
                written.returns += text.written.returns;
            }
        }
        order_file.finish()?;
        return_file.finish()?;
        create(TARIFF, TARIFF_TEXT)?.finish()?;
        Ok(written)
    }

    fn hub(&self, hub: &TypedDevice, text: &mut OrderText) {
        let Some(id) = hub.id else { return };
        let mut random = SplitMix64(mix(self.seed ^ 0x4F52_4445_5253 ^ mix(id.0)));
        if random.below(STRAY_ONE_IN) == 0 {
            return;
        }
        let waits = [SmiStatus::Pending, SmiStatus::Whitelisted, SmiStatus::InstalledNotCommissioned];
        let waits = waits.iter().any(|status| status.code() == hub.status);
        let since = hub.since.map_or(self.today - 400, time::day_of);
        // A hub is notified when it is delivered, and commissioned later.
        let delivered = if waits { since + random.below(12) as i32 } else { since - 20 - random.below(400) as i32 };
        let delivered = self.order(id, delivered, &mut random, text);
        if let Some(delivered) = delivered
            && waits
            && random.below(RETURNED_ONE_IN) == 0
        {
            self.give_back(id, delivered, &mut random, text);
        }
        if random.below(EXTRA_ONE_IN) == 0 {
            // No synthetic device has these bits.
            let other = DeviceId(id.0 | 3 << 56);
            let ahead = random.below(600) as i32 - 550;
            self.order(other, self.today + ahead, &mut random, text);
        }
    }

    /// Writes an order. Returns the day of delivery, if it is not in the future.
    fn order(&self, id: DeviceId, delivered: i32, random: &mut SplitMix64, text: &mut OrderText) -> Option<i32> {
        let party = service_user(random);
        let region = pick(&REGIONS, random.below(100));
        let variant = pick(&VARIANTS, random.below(100));
        let accepted = delivered + random.below(6) as i32;
        let known = |day: i32| if day <= self.today { time::format_day(day) } else { String::new() };
        let (arrived, taken) = (known(delivered), known(accepted));
        let _ = writeln!(text.orders, "{id},{party},{region},{variant},{arrived},{taken}");
        text.written.orders += 1;
        (delivered <= self.today).then_some(delivered)
    }

    fn give_back(&self, id: DeviceId, delivered: i32, random: &mut SplitMix64, text: &mut OrderText) {
        let days = u64::try_from(self.today - delivered).unwrap_or_default() + 1;
        let day = time::format_day(delivered + random.below(days) as i32);
        let (kind, reason) = RETURN_TYPES[random.below(RETURN_TYPES.len() as u64) as usize];
        let line = if self.defects && random.below(DEFECT_ONE_IN) == 0 {
            match random.below(5) {
                0 => format!("{},{kind},{reason},{day}", DeviceId(!id.0)),
                1 => format!("{id},Return,{reason},{day}"),
                2 => format!("{id},{kind},Broken,{day}"),
                3 => format!("{id},{kind},{reason},{}", time::format_day(delivered - 5)),
                _ => {
                    text.written.returns += 1;
                    format!("{id},{kind},{reason},{day}\n{id},{kind},{reason},{day}")
                }
            }
        } else {
            format!("{id},{kind},{reason},{day}")
        };
        let _ = writeln!(text.returns, "{line}");
        text.written.returns += 1;
    }
}
