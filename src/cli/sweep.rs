//! `smi-sweep sweep`: judge a snapshot, and publish delete and alert manifests.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::Progress;
use super::{Common, SnapshotArgs, figures, parse_time, print, print_json, remark, speak_of_left_out};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::report;
use crate::run::manifest::{self, Manifests};
use crate::run::record::EngineRecord;
use crate::run::{Record, Staging};
use crate::snapshot::{AsOfFrom, Snapshot};
use crate::sweep::{Expected, Options, Reader, Swept, unique};
use crate::watch::{Stage, Watch};

/// Judge a snapshot by a policy, and write delete and alert manifests
///
/// The run directory appears whole, or not at all. With several policies it has one run for each, in a folder of the
/// policy's name, all from one scan.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// A policy file (with a `/`, or ending in .toml), or a built-in: pre-change, scr137, secmp0060
    #[arg(long, required = true, value_name = "FILE_OR_NAME")]
    policy: Vec<String>,
    /// The moment to judge by [default: the one at which the snapshot says it was taken]
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: Option<i64>,
    /// The run directory, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Accept exactly so many deletions, whatever the guards on them say
    #[arg(long, value_name = "N")]
    expect_deletes: Option<u64>,
    /// Accept exactly so many quarantined rows, whatever the guard on them says
    #[arg(long, value_name = "N")]
    expect_quarantined: Option<u64>,
    /// Also quarantine due devices whose Device ID occurs anywhere else in the snapshot, due or not
    ///
    /// Device IDs of a large snapshot are put aside in the folder that TMPDIR names, eight bytes a row.
    #[arg(long)]
    unique: bool,
    /// How columns are read: `encoded`, the fast way, or `reference`, to check it
    #[arg(long, value_name = "READER", default_value = "encoded", hide = true, value_parser = parse_reader)]
    reader: Reader,
}

fn parse_reader(text: &str) -> std::result::Result<Reader, String> {
    match text {
        "encoded" => Ok(Reader::Encoded),
        "reference" => Ok(Reader::Reference),
        _ => Err("write encoded or reference".into()),
    }
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policies = args.policy.iter().map(|name| Policy::load(name)).collect::<Result<Vec<_>>>()?;
    let expected = Expected { deletes: args.expect_deletes, quarantined: args.expect_quarantined };
    one_expectation(&policies, expected)?;
    let staging = Staging::new(&args.out)?;
    let pool = common.pool();
    let progress = Progress::new(common);

    let snapshot = Snapshot::open(&args.snapshot.snapshot, &policies[0].spellings.columns, &pool, &progress)?;
    speak_of_left_out(common, &snapshot);
    let (as_of, as_of_from) = snapshot.as_of(args.as_of)?;
    let duplicates =
        if args.unique { unique::duplicates(&snapshot, args.reader, &pool, &progress)?.ids } else { Vec::new() };
    let options = Options { policies: &policies, as_of, expected, duplicates: &duplicates, reader: args.reader };
    let swept = crate::sweep::sweep(&snapshot, &options, &pool, &progress)?;

    if let Some(trip) = swept.iter().flat_map(|swept| &swept.trips).next() {
        progress.finish();
        for (policy, swept) in policies.iter().zip(&swept) {
            show(common, policy, swept, snapshot.rows(), expected)?;
        }
        return Err(Error::Guard(trip.clone()));
    }
    progress.begin(Stage::Write, 0);
    let mut written = Vec::new();
    for (policy, swept) in policies.iter().zip(&swept) {
        let folder = folder_of(staging.path(), policy, policies.len());
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        written.push(write_manifests(&folder, &snapshot, policy, swept, &pool)?);
    }
    let (seconds, total) = progress.finish();
    let engine = EngineRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        threads: pool.threads(),
        seconds,
        bytes_read: swept.first().map_or(0, |swept| swept.bytes_read),
    };
    let mut records = Vec::new();
    for ((policy, swept), outputs) in policies.iter().zip(&swept).zip(&written) {
        let folder = folder_of(staging.path(), policy, policies.len());
        let record = Record::new(&snapshot, as_of_from, policy, swept, outputs, engine.clone());
        record.write(&folder)?;
        report::write(&folder, &record)?;
        records.push(record);
    }
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    staging.sync(&pool)?;
    staging.publish()?;
    close(args, common, &policies, &swept, &records, snapshot.rows(), expected, total, as_of_from)
}

/// An exact number is of one policy's figures.
fn one_expectation(policies: &[Policy], expected: Expected) -> Result<()> {
    let mut names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
        return Err(Error::Usage {
            what: format!("two policies are called `{name}`"),
            remedy: "give each a name of its own: their runs are told apart by it".into(),
        });
    }
    if policies.len() > 1 && expected != Expected::default() {
        return Err(Error::Usage {
            what: "an exact number goes with one policy".into(),
            remedy: "sweep once for each policy, or raise the guards in the policies".into(),
        });
    }
    Ok(())
}

fn folder_of(root: &Path, policy: &Policy, policies: usize) -> PathBuf {
    if policies == 1 { root.to_path_buf() } else { root.join(&policy.name) }
}

fn write_manifests(
    folder: &Path,
    snapshot: &Snapshot,
    policy: &Policy,
    swept: &Swept,
    pool: &Pool,
) -> Result<Vec<manifest::Output>> {
    let manifests = Manifests {
        findings: &swept.findings,
        types: &policy.types,
        alert_code: &policy.alerts.code,
        due_on: &|type_code, day| swept.rules.due_on(type_code, day).unwrap_or(day),
        locate: &|row| snapshot.locate(row).map_or(("", row), |(file, row)| (file.name.as_str(), row)),
    };
    manifest::write(folder, &manifests, pool)
}

#[expect(clippy::too_many_arguments, reason = "everything there is to say at the end")]
fn close(
    args: &Args,
    common: &Common,
    policies: &[Policy],
    swept: &[Swept],
    records: &[Record],
    rows: u64,
    expected: Expected,
    seconds: f64,
    as_of_from: AsOfFrom,
) -> Result<()> {
    if common.json {
        let runs: Vec<Value> = policies
            .iter()
            .zip(records)
            .map(|(policy, record)| json!({ "path": folder_of(&args.out, policy, policies.len()), "record": record }))
            .collect();
        return print_json(&json!({ "runs": runs, "seconds": seconds }));
    }
    for (policy, swept) in policies.iter().zip(swept) {
        show(common, policy, swept, rows, expected)?;
    }
    let from = match as_of_from {
        AsOfFrom::Argument => "as told",
        AsOfFrom::Seal => "as the seal says",
        AsOfFrom::Files => "as the files say",
    };
    remark(
        common,
        &format!(
            "as of {} ({from}), {} rows in {seconds:.2} s",
            records.first().map_or("", |record| &record.as_of),
            figures::count(rows),
        ),
    );
    print(&format!("{}\n", args.out.display()))
}

/// Prints what a policy came to, on standard error: data is what goes to standard output.
fn show(common: &Common, policy: &Policy, swept: &Swept, rows: u64, expected: Expected) -> Result<()> {
    let total = swept.findings.by_type.total();
    if common.json && !swept.trips.is_empty() {
        let counts = crate::run::record::Counts::from(&total);
        return print_json(&json!({ "policy": policy.name, "published": false, "tally": counts }));
    }
    remark(common, &format!("policy {} version {}", policy.name, policy.version));
    remark(common, &figures::dispositions(&swept.findings.by_type, &policy.types).to_string());
    remark(common, &figures::guards(policy, &total, rows, expected).to_string());
    Ok(())
}
