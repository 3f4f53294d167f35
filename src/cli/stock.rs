//! `smi-sweep stock`: Comms Hubs in stock, and the parties that are charged for them.

use std::path::PathBuf;

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{AsOfArgs, Common, SnapshotArgs, figures, print, print_json, remark};
use crate::error::Result;
use crate::policy::Policy;
use crate::shown;
use crate::snapshot::AsOfFrom;
use crate::stock::{self, StockInputs, StockOptions, StockRecord, StockRules, Tariff, count_to_folder};

/// Count Comms Hubs that were delivered and accepted but not commissioned, and the charge of each party
///
/// The count starts from the order book, so that hubs which housekeeping deleted are included. The directory appears whole
/// or not at all.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep stock [OPTIONS] --orders <FILE>\n                       --out <DIR> <SNAPSHOT>..."
)]
pub struct Args {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// The order book, CSV or .parquet: device_id, ordering_party, region, variant, delivered, accepted
    #[arg(long, required = true, value_name = "FILE")]
    orders: Vec<PathBuf>,
    /// Returns, CSV: device_id, return_type, fault_reason, returned; each row gets a response
    #[arg(long, value_name = "FILE")]
    returns: Vec<PathBuf>,
    /// Past runs: their deletions explain why a hub is not in the inventory
    #[arg(long, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Count as if the runs were loaded, to see the effect of a policy before a run is signed
    #[arg(long, requires = "runs")]
    as_if_loaded: bool,
    /// The tariff, TOML: pounds for each hub by region, variant and start date
    #[arg(long, value_name = "FILE")]
    tariff: Option<PathBuf>,
    /// Rules of the count, TOML: the statuses that are charged, and more [default: see docs/stock.md]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// The policy that maps columns and spellings of the snapshot
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    #[command(flatten)]
    as_of: AsOfArgs,
    /// The directory to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The JSON document of `stock`.
#[derive(Serialize)]
struct StockDocument<'a> {
    path: &'a PathBuf,
    record: &'a StockRecord,
    seconds: f64,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let rules = args.rules.as_deref().map_or_else(|| Ok(StockRules::default()), StockRules::load)?;
    let tariff = args.tariff.as_deref().map(Tariff::load).transpose()?;
    let options = StockOptions {
        snapshot: &args.snapshot.snapshot,
        inputs: StockInputs {
            orders: &args.orders,
            returns: &args.returns,
            runs: &args.runs,
            as_if_loaded: args.as_if_loaded,
            policy: &policy,
            rules: &rules,
            tariff: tariff.as_ref(),
        },
        as_of: args.as_of.asked(),
        out: &args.out,
    };
    let progress = TerminalProgress::new(common);
    let counted = count_to_folder(&options, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    let record = &counted.record;
    if common.json {
        return print_json(&StockDocument { path: &args.out, record, seconds });
    }
    show(common, record);
    let from = match counted.as_of_from {
        AsOfFrom::Argument => "as given",
        AsOfFrom::Seal => "as the seal says",
        AsOfFrom::Files => "as the files say",
    };
    let rows = figures::count(record.sources.snapshot_rows);
    remark(common, &format!("counted on {} ({from}), {rows} rows in {seconds:.2} s", record.counted_on));
    print(&format!("{}\n", shown::path(&args.out)))
}

/// Prints the figures of the count on standard error.
fn show(common: &Common, record: &StockRecord) {
    let buckets = record.buckets.iter().filter(|bucket| bucket.hubs > 0).map(|bucket| {
        let charged = if bucket.charged { bucket.hubs } else { 0 };
        vec![bucket.means.to_owned(), figures::count(bucket.hubs), figures::count(charged)]
    });
    let all = vec!["all".to_owned(), figures::count(record.hubs), figures::count(record.charged.hubs)];
    remark(common, &figures::table(&["hubs that are", "hubs", "charged"], buckets.chain([all])));
    let steps = record.bridge.iter().map(|step| {
        let sign = if step.hubs < 0 { "-" } else { "" };
        vec![step.step.clone(), format!("{sign}{}", figures::count(step.hubs.unsigned_abs()))]
    });
    remark(common, &figures::table(&["from the SMI to the charge", "hubs"], steps));
    if record.returns.lines > 0 {
        let refused = record.returns.lines - record.returns.accepted;
        let (accepted, refused) = (figures::count(record.returns.accepted), figures::count(refused));
        remark(common, &format!("returns: {accepted} accepted, {refused} refused"));
    }
    let missed = figures::count(record.missed.hubs);
    let mut line = format!("a count of the SMI alone misses {missed} charged hubs");
    if let (Some(all), Some(part)) = (&record.charged.pounds, &record.missed.pounds) {
        line = format!("£{} in total; {line}, £{}", stock::grouped(all), stock::grouped(part));
    }
    remark(common, &line);
    if record.sources.deleted_still_there > 0 {
        let hubs = figures::count(record.sources.deleted_still_there);
        remark(common, &format!("{hubs} hubs that runs deleted are in the snapshot; check that the runs were loaded"));
    }
}
