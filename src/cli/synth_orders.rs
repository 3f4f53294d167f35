//! `smi-sweep synth-orders`: a synthetic order book for the hubs of a snapshot.

use std::path::PathBuf;

use serde_json::json;

use super::progress::TerminalProgress;
use super::{Common, SnapshotArgs, figures, parse_time, print, print_json, remark};
use crate::error::Result;
use crate::estate::time;
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::synth::orders::{self, Making};

/// Make up an order book for the hubs of a snapshot, with returns and a tariff, to count stock with
///
/// Nothing in it is anybody's order, return or rate. The same seed gives the same orders.
#[derive(clap::Args, Debug)]
#[command(override_usage = "smi-sweep synth-orders [OPTIONS]\n                              --out <DIR> <SNAPSHOT>...")]
pub struct Args {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// The folder to write, which must not exist yet: orders.csv, returns.csv, tariff.toml
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What all randomness comes from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Mix in returns that cannot be accepted, about one in eight
    #[arg(long)]
    defects: bool,
    /// The policy that knows how the snapshot spells things
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    /// The last day of which the book can know [default: when the snapshot says it was taken]
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: Option<i64>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let staging = OutputDirectory::create(&args.out)?;
    let pool = common.pool();
    let progress = TerminalProgress::new(common);
    let snapshot = Snapshot::open(&args.snapshot.snapshot, &policy.spellings.columns, &pool, &progress)?;
    let (as_of, _) = snapshot.as_of(args.as_of)?;
    let making = Making { policy: &policy, seed: args.seed, today: time::day_of(as_of), defects: args.defects };
    let written = orders::write(&snapshot, making, staging.path(), &pool, &progress)?;
    let (_, seconds) = progress.finish();
    staging.publish(&pool)?;
    if common.json {
        return print_json(&json!({
            "path": args.out, "synthetic": true, "orders": written.orders, "returns": written.returns,
            "seed": args.seed,
        }));
    }
    let (orders, returns) = (figures::count(written.orders), figures::count(written.returns));
    remark(common, &format!("a synthetic order book of {orders} hubs, {returns} returns, {seconds:.1} s"));
    print(&format!("{}\n", args.out.display()))
}
