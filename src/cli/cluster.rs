//! `smi-sweep cluster`: judge a snapshot on Apache Spark, and publish the run here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{Common, figures, parse_time, print, print_json, remark, say};
use crate::cluster::{ClusterRequest, sweep_on_cluster};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::run::{PreviousRun, Publication, Record};
use crate::shown;
use crate::sweep::Expected;

/// Judge a snapshot on Apache Spark by a policy, and write delete and alert manifests here
///
/// The policy is compiled to one SQL query; see `policy sql`. The cluster counts every row, guards are held against the
/// counts, and then the rows to be deleted and the quarantined rows come back. The run is like that of `sweep`: it appears
/// whole or not at all, and the same commands verify, approve and load it. Java 17 and a Python with pyspark are needed
/// here.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep cluster [OPTIONS] --master <MASTER>\n                         --policy <FILE_OR_NAME> --as-of <T>\n                         --out <DIR> <SNAPSHOT>..."
)]
pub struct Args {
    /// Parquet files, or folders of them, as Spark names them; all machines of the cluster must reach them
    #[arg(required = true, value_name = "SNAPSHOT")]
    snapshot: Vec<String>,
    /// The master: spark://HOST:PORT, local[N], yarn, k8s://...
    #[arg(long, value_name = "MASTER")]
    master: String,
    /// A policy file (with a `/`, or ending in .toml), or a built-in: pre-change, scr137, secmp0060
    #[arg(long, value_name = "FILE_OR_NAME")]
    policy: String,
    /// The moment to judge by
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: i64,
    /// The run directory, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Accept a run with exactly so many deletions, in place of the guards on deletions
    #[arg(long, value_name = "N")]
    expect_deletes: Option<u64>,
    /// Accept a run with exactly so many quarantined rows, in place of the guards on them
    #[arg(long, value_name = "N")]
    expect_quarantined: Option<u64>,
    /// Accept a snapshot with exactly so many rows, in place of the guard on growth
    #[arg(long, value_name = "N")]
    expect_rows: Option<u64>,
    /// The run to compare with, in place of the one that the policy names
    #[arg(long, value_name = "RUN")]
    previous: Option<PathBuf>,
    /// There is no previous run: the estate was never swept
    #[arg(long, conflicts_with = "previous")]
    first_run: bool,
    /// A folder that all machines of the cluster reach under this path, for the rows that come back [default: beside the
    /// run directory]
    #[arg(long, value_name = "DIR")]
    staging: Option<PathBuf>,
    /// A Python with pyspark
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// A further setting of Spark; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    conf: Vec<(String, String)>,
}

fn parse_setting(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The JSON document of a published run.
#[derive(Serialize)]
struct ClusterDocument<'a> {
    path: &'a Path,
    published: bool,
    record: &'a Record,
    seconds: f64,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let settings: BTreeMap<String, String> = args.conf.iter().cloned().collect();
    let expected =
        Expected { deletes: args.expect_deletes, quarantined: args.expect_quarantined, rows: args.expect_rows };
    let previous = match &args.previous {
        Some(run) => PreviousRun::Run(run),
        None if args.first_run => PreviousRun::First,
        None => PreviousRun::OfPolicy,
    };
    let request = ClusterRequest {
        master: &args.master,
        python: &args.python,
        settings: &settings,
        snapshot: &args.snapshot,
        policy: &policy,
        as_of: args.as_of,
        expected,
        previous,
        staging: args.staging.as_deref(),
        out: &args.out,
    };
    let progress = TerminalProgress::new(common);
    let outcome = sweep_on_cluster(&request, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    let by_type = &outcome.swept.findings.by_type;
    let text = format!(
        "policy {} version {}\n{}\n\n{}\n",
        policy.name,
        policy.version,
        figures::dispositions(by_type, &policy.types),
        figures::guards(&policy, &outcome.swept)
    );
    match &outcome.publication {
        Publication::Stopped(stopped) => {
            say(&text);
            Err(Error::Guard(stopped.clone()))
        }
        Publication::Published(runs) => {
            let Some(run) = runs.first() else { return Ok(()) };
            if common.json {
                let document = ClusterDocument { path: &run.path, published: true, record: &run.record, seconds };
                return print_json(&document);
            }
            remark(common, &text);
            let engine = &run.record.engine;
            let rows = figures::counted(run.record.snapshot.rows, "row");
            remark(common, &format!("as of {}, {rows} by {} in {seconds:.1} s", run.record.as_of, engine.kernel));
            print(&format!("{}\n", shown::path(&args.out)))
        }
    }
}
