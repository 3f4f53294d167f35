//! `smi-sweep synth`: writes a synthetic estate.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{Common, figures, parse_time, print, print_json, remark};
use crate::error::Result;
use crate::estate::time;
use crate::policy::Policy;
use crate::shown;
use crate::synth::{self, Estate, EstateFiles, Layout, SynthRequest};

/// Write a synthetic estate, for tests and trials
///
/// It has no data of real devices. The same seed gives the same rows in every layout.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Number of devices
    #[arg(long, value_name = "N")]
    rows: u64,
    /// The folder to write, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of files [default: one for each ten million rows]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    files: Option<u32>,
    /// `strings`: text identifiers, snappy; `bytes`: 8-byte identifiers, zstd, page index; `clustered`: as bytes, each
    /// file sorted by status, type and date
    #[arg(long, value_name = "LAYOUT", default_value = "strings", value_parser = parse_layout)]
    layout: Layout,
    /// The seed of all random choices
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Give about one row in a hundred a defect, of every kind
    #[arg(long)]
    defects: bool,
    /// The moment at which the snapshot is taken
    #[arg(long, value_name = "T", default_value = "2026-11-01", value_parser = parse_time)]
    as_of: i64,
    /// Simulate so many months, and write a snapshot of each into a folder named by its date. `truth.json` beside them has
    /// the true arrivals and hazards, to compare forecasts with
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600), conflicts_with = "defects")]
    months: Option<u32>,
    /// The policy of a housekeeping run on the day of each snapshot [default: no run]
    #[arg(long, value_name = "FILE_OR_NAME", requires = "months")]
    policy: Option<String>,
}

#[derive(Serialize)]
struct SynthDocument<'a> {
    path: &'a Path,
    synthetic: bool,
    rows: u64,
    files: usize,
    bytes: u64,
    seed: u64,
    layout: &'static str,
    taken_at: String,
}

fn parse_layout(text: &str) -> std::result::Result<Layout, String> {
    Layout::ALL
        .into_iter()
        .find(|layout| layout.name() == text)
        .ok_or_else(|| format!("there are {}", Layout::ALL.map(Layout::name).join(", ")))
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let estate = Estate { seed: args.seed, rows: args.rows, as_of: args.as_of, defects: args.defects };
    let count = args.files.map_or_else(|| synth::default_files(args.rows), |files| files as usize);
    let files = EstateFiles { layout: args.layout, count };
    let policy = args.policy.as_ref().map(|name| Policy::load(name)).transpose()?;
    let request = SynthRequest { estate, files, months: args.months, housekeeping: policy.as_ref() };
    let progress = TerminalProgress::new(common);
    let summary = synth::write_into(&request, &args.out, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    if common.json {
        return print_json(&SynthDocument {
            path: &args.out,
            synthetic: true,
            rows: summary.rows,
            files: summary.files,
            bytes: summary.bytes,
            seed: args.seed,
            layout: args.layout.name(),
            taken_at: time::format_instant(args.as_of),
        });
    }
    remark(
        common,
        &format!(
            "a synthetic estate of {} in {}, {} bytes, {seconds:.1} s",
            figures::counted(summary.rows, "row"),
            figures::counted(summary.files as u64, "file"),
            figures::count(summary.bytes)
        ),
    );
    print(&format!("{}\n", shown::path(&args.out)))
}
