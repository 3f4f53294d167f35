//! `smi-sweep synth-orders`: writes a synthetic order book for the Comms Hubs of a snapshot.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{AsOfArgs, Common, SnapshotArgs, figures, print, print_json, remark};
use crate::error::Result;
use crate::policy::Policy;
use crate::shown;
use crate::synth::orders::{SynthOrders, write_orders};

/// Write a synthetic order book for the Comms Hubs of a snapshot, with returns and a tariff
///
/// It has no real orders, returns or rates. The same seed gives the same orders.
#[derive(clap::Args, Debug)]
#[command(override_usage = "smi-sweep synth-orders [OPTIONS]\n                              --out <DIR> <SNAPSHOT>...")]
pub struct Args {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// The folder to write, which must not exist yet: orders.csv, returns.csv, tariff.toml
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The seed of all random choices
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Give about one return in eight a mistake
    #[arg(long)]
    defects: bool,
    /// The policy that maps columns and spellings of the snapshot
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    #[command(flatten)]
    as_of: AsOfArgs,
}

#[derive(Serialize)]
struct SynthOrdersDocument<'a> {
    path: &'a Path,
    synthetic: bool,
    orders: u64,
    returns: u64,
    seed: u64,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let options = SynthOrders {
        snapshot: &args.snapshot.snapshot,
        policy: &policy,
        seed: args.seed,
        as_of: args.as_of.asked(),
        defects: args.defects,
        out: &args.out,
    };
    let progress = TerminalProgress::new(common);
    let written = write_orders(&options, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&SynthOrdersDocument {
            path: &args.out,
            synthetic: true,
            orders: written.orders,
            returns: written.returns,
            seed: args.seed,
        });
    }
    let (orders, returns) = (figures::count(written.orders), figures::count(written.returns));
    remark(common, &format!("a synthetic order book of {orders} hubs, {returns} returns, {seconds:.1} s"));
    print(&format!("{}\n", shown::path(&args.out)))
}
