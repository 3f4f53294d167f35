//! The command line: a file for each subcommand, with its arguments, a call of the library, and what is printed.
//!
//! Data goes to standard output, all else to standard error. No other module prints (only `terminal`) or reads the clock.

mod approve;
mod check;
mod cluster;
mod diff;
mod ending;
mod explain;
mod export;
mod figures;
mod forecast;
mod keygen;
mod ledger;
mod load;
mod manifest;
mod phase;
mod policy;
mod preflight;
mod progress;
mod recluster;
mod regress;
mod stock;
mod sweep;
mod synth;
mod synth_orders;
mod terminal;
mod verify;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use crate::estate::time;
use crate::kernel::{self, Kernel};
use crate::memory;
use crate::pool::Pool;
use crate::snapshot::{AsOf, SealSchema, Snapshot};

pub use crate::snapshot::install_sigbus_handler;
pub use ending::{begin_to_end, install_signal_handlers};
pub use progress::install_panic_hook;
use terminal::{print, print_data, print_json, remark, say};
pub use terminal::{report, report_usage};

/// Sweeps Parquet snapshots of a smart metering inventory: which devices housekeeping deletes, and which parties are
/// alerted
#[derive(Parser, Debug)]
#[command(name = "smi-sweep", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Sweep(sweep::Args),
    Cluster(cluster::Args),
    Check(check::Args),
    Explain(explain::Args),
    Policy(policy::Args),
    Verify(verify::Args),
    Diff(diff::Args),
    Approve(approve::Args),
    Keygen(keygen::Args),
    Manifest(manifest::Args),
    Regress(regress::Args),
    Recluster(recluster::Args),
    Export(export::Args),
    Load(load::Args),
    Ledger(ledger::Args),
    Forecast(forecast::Args),
    Phase(phase::Args),
    Stock(stock::Args),
    Synth(synth::Args),
    SynthOrders(synth_orders::Args),
}

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of the subcommand. [`report`] prints them.
    pub fn run(&self) -> Result<()> {
        let common = &self.common;
        memory::set_limit(common.memory_limit);
        check_kernel()?;
        match &self.command {
            Command::Sweep(args) => sweep::exec(args, common),
            Command::Cluster(args) => cluster::exec(args, common),
            Command::Check(args) => check::exec(args, common),
            Command::Explain(args) => explain::exec(args, common),
            Command::Policy(args) => policy::exec(args, common),
            Command::Verify(args) => verify::exec(args, common),
            Command::Diff(args) => diff::exec(args, common),
            Command::Approve(args) => approve::exec(args, common),
            Command::Keygen(args) => keygen::exec(args, common),
            Command::Manifest(args) => manifest::exec(args, common),
            Command::Regress(args) => regress::exec(args, common),
            Command::Recluster(args) => recluster::exec(args, common),
            Command::Export(args) => export::exec(args, common),
            Command::Load(args) => load::exec(args, common),
            Command::Ledger(args) => ledger::exec(args, common),
            Command::Forecast(args) => forecast::exec(args, common),
            Command::Phase(args) => phase::exec(args, common),
            Command::Stock(args) => stock::exec(args, common),
            Command::Synth(args) => synth::exec(args, common),
            Command::SynthOrders(args) => synth_orders::exec(args, common),
        }
    }
}

/// Refuses a kernel that does not exist, or that this processor cannot run.
fn check_kernel() -> Result<()> {
    let Ok(name) = std::env::var(kernel::VARIABLE) else { return Ok(()) };
    if Kernel::named(&name).is_some() {
        return Ok(());
    }
    let available: Vec<&str> = Kernel::available().into_iter().map(Kernel::name).collect();
    Err(Error::Usage {
        what: format!("{} is {name:?}, which this processor cannot run", kernel::VARIABLE),
        remedy: format!("unset it, or set it to one of {}", available.join(", ")),
    })
}

/// Options that every subcommand takes.
#[derive(clap::Args, Debug, Clone)]
pub struct Common {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Worker threads [default: one for each processor]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Memory for pages, dictionaries and lists of due rows, as 512MiB or 2GiB; a file that needs more is refused
    #[arg(long, global = true, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    pub memory_limit: u64,
    /// Print no progress and no remarks on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Common {
    fn pool(&self) -> Pool {
        Pool::new(self.threads.map(usize::from))
    }
}

/// The arguments that name a snapshot.
#[derive(clap::Args, Debug, Clone)]
pub struct SnapshotArgs {
    /// Parquet files, or folders of them
    #[arg(required = true, value_name = "SNAPSHOT")]
    snapshot: Vec<PathBuf>,
}

/// The arguments that give the moment to judge a snapshot by.
#[derive(clap::Args, Debug, Clone, Copy)]
struct AsOfArgs {
    /// The moment to judge by, UTC [default: when the snapshot was taken]
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: Option<i64>,
    /// Accept an --as-of after the moment at which the snapshot was taken
    #[arg(long, requires = "as_of")]
    as_of_later: bool,
}

impl AsOfArgs {
    fn asked(self) -> AsOf {
        AsOf::from_arguments(self.as_of, self.as_of_later)
    }
}

/// Reads a number of bytes from the command line.
fn parse_size(text: &str) -> std::result::Result<u64, String> {
    const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, bytes) = unit.unwrap_or((text, 1));
    let size = number.trim().parse().ok().and_then(|number: u64| number.checked_mul(bytes));
    size.filter(|&size| size > 0).ok_or_else(|| "not a size; write 512MiB, 2GiB or a number of bytes".into())
}

/// Reads a date or a time from the command line.
fn parse_time(text: &str) -> std::result::Result<i64, String> {
    time::parse(text).ok_or_else(|| "not a date or a time; write 2026-11-01 or 2026-11-01T06:30:00Z".into())
}

/// Remarks on what the seals of a snapshot do not cover.
fn remark_seals(common: &Common, snapshot: &Snapshot) {
    if snapshot.seals().iter().any(|seal| seal.schema == SealSchema::V1) {
        let text = "note: sealed in an earlier format: a change of the seal itself is not noticed; seal again with \
                    `smi-sweep check --seal`";
        remark(common, text);
    }
    if snapshot.left_out() > 0 {
        let left_out = figures::count(snapshot.left_out() as u64);
        remark(common, &format!("note: {left_out} files of the same seal are not part of this snapshot"));
    }
}

/// The note that times without a zone were read in a zone that the policy does not declare.
fn zone_note(zone: &str) -> String {
    format!(
        "note: status dates have times without a zone, read as {zone}; declare timezone under [snapshot] of the policy"
    )
}
