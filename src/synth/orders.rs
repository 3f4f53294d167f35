//! A synthetic order book for the hubs of a snapshot, with returns and a tariff, so that stock can be counted.
//!
//! Who ordered a hub, for which region, when it was delivered and accepted: all of it is made up from the seed and the
//! Device ID. The snapshot may be of any estate; what it says of a hub only sets the dates. A few hubs of the snapshot
//! were ordered by nobody, and a few that were ordered are not in it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use super::estate::{Dice, mix, pick, service_user};
use crate::error::{Error, Result};
use crate::estate::{DeviceId, DeviceType, SmiStatus, TypeSet, time};
use crate::output::OutputFile;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::scan::Scan;
use crate::scan::types::{TypeBuffers, TypedDevice, scan_types};
use crate::snapshot::Snapshot;

/// Name of the order book.
pub const ORDERS: &str = "orders.csv";
/// Name of the file of returns.
pub const RETURNS: &str = "returns.csv";
/// Name of the tariff.
pub const TARIFF: &str = "tariff.toml";

/// Hundredths of each region.
const REGIONS: [(&str, u64); 7] =
    [("North", 27), ("Central", 30), ("South", 27), ("4G North", 4), ("4G Central", 5), ("4G South", 4), ("SMETS1", 3)];
/// Hundredths of each variant.
const VARIANTS: [(&str, u64); 2] = [("Single Band", 72), ("Dual Band", 28)];
/// One hub of the snapshot in so many was ordered by nobody.
const STRAY_ONE_IN: u64 = 500;
/// For one hub of the snapshot in so many there is another that was ordered, and that the snapshot lacks.
const EXTRA_ONE_IN: u64 = 400;
/// One hub in so many that is not commissioned was returned.
const RETURNED_ONE_IN: u64 = 60;
/// With defects, one return in so many cannot be accepted.
const DEFECT_ONE_IN: u64 = 8;

/// Types and reasons of returns.
const KINDS: [(&str, &str); 6] = [
    ("Fault identified prior to installation", "Damaged case"),
    ("Fault identified prior to installation", "LED Fault"),
    ("Fault identified post installation", "SM WAN Fault"),
    ("No Fault Return (general)", ""),
    ("No Fault Return (dual supplier HAN variant replacement)", ""),
    ("Lost or Stolen Hub", ""),
];

const RATES: &str = r#"# Synthetic: no rate in it is anybody's.
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

/// How orders are made up.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// Knows how the snapshot spells things.
    pub policy: &'a Policy,
    /// What all randomness comes from.
    pub seed: u64,
    /// The last day of which the book can know, days since 1970-01-01.
    pub today: i32,
    /// Whether some returns cannot be accepted.
    pub defects: bool,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Hubs of the order book.
    pub orders: u64,
    /// Lines of the file of returns.
    pub returns: u64,
}

/// Writes an order book, returns and a tariff into a folder.
///
/// # Errors
/// Damaged data, a file that cannot be written, or an interruption.
pub fn write(
    snapshot: &Snapshot,
    making: Making<'_>,
    folder: &Path,
    pool: &Pool,
    progress: &dyn Progress,
) -> Result<Written> {
    progress.begin(Stage::Scan, snapshot.rows());
    let create = |name: &str, header: &str| -> Result<OutputFile> {
        let mut file = OutputFile::create(&folder.join(name))?;
        file.write_all(header.as_bytes()).map_err(Error::io("write", file.path()))?;
        Ok(file)
    };
    let mut orders = create(ORDERS, "device_id,ordering_party,region,variant,delivered,accepted\n")?;
    let mut returns = create(RETURNS, "device_id,return_type,fault_reason,returned\n")?;
    let mut written = Written::default();
    // Some row groups at a time: the text of all would not fit into memory.
    let scan = Scan::new(snapshot, pool, progress);
    let hubs: TypeSet = [DeviceType::CHF].into_iter().collect();
    for some in scan.ranges().chunks(pool.threads() * 4) {
        let texts = scan.run_ranges(some.to_vec(), TypeBuffers::default, |range, buffers| {
            let mut text = Text::default();
            scan_types(range, making.policy, hubs, buffers)?;
            buffers.devices.iter().for_each(|hub| making.hub(hub, &mut text));
            Ok(text)
        })?;
        for text in texts.parts {
            orders.write_all(text.orders.as_bytes()).map_err(Error::io("write", folder.join(ORDERS)))?;
            returns.write_all(text.returns.as_bytes()).map_err(Error::io("write", folder.join(RETURNS)))?;
            written.orders += text.written.orders;
            written.returns += text.written.returns;
        }
    }
    orders.finish()?;
    returns.finish()?;
    create(TARIFF, RATES)?.finish()?;
    Ok(written)
}

#[derive(Default)]
struct Text {
    orders: String,
    returns: String,
    written: Written,
}

impl Making<'_> {
    fn hub(&self, hub: &TypedDevice, text: &mut Text) {
        let Some(id) = hub.id else { return };
        let mut dice = Dice(mix(self.seed ^ 0x4F52_4445_5253 ^ mix(id.0)));
        if dice.below(STRAY_ONE_IN) == 0 {
            return;
        }
        let waits = [SmiStatus::Pending, SmiStatus::Whitelisted, SmiStatus::InstalledNotCommissioned];
        let waits = waits.iter().any(|status| status.code() == hub.status);
        let since = hub.since.map_or(self.today - 400, time::day_of);
        // Hubs are notified as they are delivered, and commissioned some time after.
        let delivered = if waits { since + dice.below(12) as i32 } else { since - 20 - dice.below(400) as i32 };
        let delivered = self.order(id, delivered, &mut dice, text);
        if let Some(delivered) = delivered
            && waits
            && dice.below(RETURNED_ONE_IN) == 0
        {
            self.give_back(id, delivered, &mut dice, text);
        }
        if dice.below(EXTRA_ONE_IN) == 0 {
            // The bits are beyond those that tell synthetic devices apart.
            let other = DeviceId(id.0 | 3 << 56);
            let ahead = dice.below(600) as i32 - 550;
            self.order(other, self.today + ahead, &mut dice, text);
        }
    }

    /// Writes an order, and says when the hub was delivered, if it was.
    fn order(&self, id: DeviceId, delivered: i32, dice: &mut Dice, text: &mut Text) -> Option<i32> {
        let party = service_user(dice);
        let region = pick(&REGIONS, dice.below(100));
        let variant = pick(&VARIANTS, dice.below(100));
        let accepted = delivered + dice.below(6) as i32;
        let known = |day: i32| if day <= self.today { time::format_day(day) } else { String::new() };
        let (arrived, taken) = (known(delivered), known(accepted));
        let _ = writeln!(text.orders, "{id},{party},{region},{variant},{arrived},{taken}");
        text.written.orders += 1;
        (delivered <= self.today).then_some(delivered)
    }

    fn give_back(&self, id: DeviceId, delivered: i32, dice: &mut Dice, text: &mut Text) {
        let days = u64::try_from(self.today - delivered).unwrap_or_default() + 1;
        let day = time::format_day(delivered + dice.below(days) as i32);
        let (kind, reason) = KINDS[dice.below(KINDS.len() as u64) as usize];
        let line = if self.defects && dice.below(DEFECT_ONE_IN) == 0 {
            match dice.below(5) {
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
