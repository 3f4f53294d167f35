//! `smi-sweep sweep`: judge a snapshot, and publish delete and alert manifests.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::TerminalProgress;
use super::{Common, SnapshotArgs, figures, parse_time, print, print_json, remark, say, speak_of_left_out};
use crate::error::{Error, Result, Stopped};
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::progress::{Progress, Stage};
use crate::report;
use crate::run::Record;
use crate::run::manifest::{self, Manifests};
use crate::run::record::{Counts, EngineRecord, OptionsRecord};
use crate::scan::duplicates::duplicates;
use crate::scan::{Reader, Scan};
use crate::snapshot::Snapshot;
use crate::sweep::guard::{self, Measure};
use crate::sweep::{Expected, Headroom, Options, Swept};

/// Judge a snapshot by a policy, and write delete and alert manifests
///
/// The run directory appears whole, or not at all. With several policies it has one run for each, in a folder of the
/// policy's name, all from one scan.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "smi-sweep sweep [OPTIONS] --policy <FILE_OR_NAME>\n                       --out <DIR> <SNAPSHOT>..."
)]
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

/// What one policy came to, and where that is published.
struct Published<'a> {
    policy: &'a Policy,
    swept: &'a Swept,
    record: Record,
    path: PathBuf,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policies = args.policy.iter().map(|name| Policy::load(name)).collect::<Result<Vec<_>>>()?;
    let expected = Expected { deletes: args.expect_deletes, quarantined: args.expect_quarantined };
    one_expectation(&policies, expected)?;
    let staging = OutputDirectory::create_outside(&args.out, &args.snapshot.snapshot)?;
    let pool = common.pool();
    let progress = TerminalProgress::new(common);

    let snapshot = Snapshot::open(&args.snapshot.snapshot, &policies[0].spellings.columns, &pool, &progress)?;
    speak_of_left_out(common, &snapshot);
    let (as_of, as_of_from) = snapshot.as_of(args.as_of)?;
    let scan = Scan::new(&snapshot, &pool, &progress).with_reader(args.reader);
    let duplicates = if args.unique { duplicates(&scan)?.ids } else { Vec::new() };
    let options = Options { policies: &policies, as_of, expected, duplicates: &duplicates };
    let swept = crate::sweep::sweep(&scan, &options)?;
    if swept.iter().any(|swept| !swept.trips.is_empty()) {
        progress.finish();
        return stop(common, &policies, &swept, expected);
    }

    progress.begin(Stage::Write, 0);
    let below =
        |root: &Path, policy: &Policy| if policies.len() == 1 { root.to_path_buf() } else { root.join(&policy.name) };
    let mut written = Vec::new();
    for (policy, swept) in policies.iter().zip(&swept) {
        let folder = below(staging.path(), policy);
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        written.push(write_manifests(&folder, &snapshot, policy, swept, &pool)?);
    }
    let (seconds, total) = progress.finish();
    let engine = EngineRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        threads: pool.threads(),
        seconds,
        bytes_read: swept.first().map_or(0, |swept| swept.metrics.bytes_read),
    };
    let asked = OptionsRecord {
        unique: args.unique,
        expect_deletes: args.expect_deletes,
        expect_quarantined: args.expect_quarantined,
    };
    let mut published = Vec::new();
    for ((policy, swept), outputs) in policies.iter().zip(&swept).zip(&written) {
        let folder = below(staging.path(), policy);
        let record = Record::new(&snapshot, as_of_from, policy, asked, swept, outputs, engine.clone());
        record.write(&folder)?;
        report::write(&folder, &record)?;
        published.push(Published { policy, swept, record, path: below(&args.out, policy) });
    }
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    staging.publish(&pool)?;
    close(args, common, &published, total)?;
    drop(published);
    // The process ends here, and the system takes memory back faster than an allocator gives it.
    std::mem::forget(swept);
    Ok(())
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

/// Says what came of it.
fn close(args: &Args, common: &Common, published: &[Published<'_>], seconds: f64) -> Result<()> {
    if common.json {
        let runs: Vec<Value> =
            published.iter().map(|run| json!({ "path": run.path, "published": true, "record": run.record })).collect();
        return print_json(&json!({ "runs": runs, "seconds": seconds }));
    }
    let expected = Expected { deletes: args.expect_deletes, quarantined: args.expect_quarantined };
    for run in published {
        remark(common, &came_to(run.policy, run.swept, expected));
    }
    if let Some(Published { record, .. }) = published.first() {
        remark(common, &moment(record, seconds));
    }
    print(&format!("{}\n", args.out.display()))
}

fn moment(record: &Record, seconds: f64) -> String {
    let Record { as_of, snapshot, .. } = record;
    let from = match snapshot.as_of_from.as_str() {
        "seal" => "as the seal says",
        "files" => "as the files say",
        _ => "as told",
    };
    let mut text = format!("as of {as_of} ({from}), {} in {seconds:.2} s", figures::counted(snapshot.rows, "row"));
    if let Some(taken_at) = snapshot.taken_at.as_ref().filter(|taken_at| *taken_at != as_of) {
        text.push_str(&format!("\nnote: the snapshot says it was taken at {taken_at}"));
    }
    text
}

/// Shows what guards stopped, quiet or not, and refuses.
fn stop(common: &Common, policies: &[Policy], swept: &[Swept], expected: Expected) -> Result<()> {
    let stopped =
        Stopped { trips: swept.iter().flat_map(|swept| swept.trips.clone()).collect(), policies: policies.len() };
    if common.json {
        let runs: Vec<Value> =
            policies.iter().zip(swept).map(|(policy, swept)| unpublished(policy, swept, expected)).collect();
        print_json(&json!({ "runs": runs, "stopped": stopped.to_string(), "way_on": stopped.remedy() }))?;
    } else {
        policies.iter().zip(swept).for_each(|(policy, swept)| say(&came_to(policy, swept, expected)));
    }
    Err(Error::Guard(stopped))
}

fn unpublished(policy: &Policy, swept: &Swept, expected: Expected) -> Value {
    let total = swept.findings.by_type.total();
    let number = |headroom: &Headroom, value: f64| match headroom.measure {
        Measure::Share => json!(value),
        Measure::Count | Measure::Exact => json!(value as u64),
    };
    let headroom = guard::headroom(policy, (&total).into(), expected);
    let tripped = headroom.iter().filter(|headroom| headroom.tripped);
    let trips: Vec<Value> = tripped
        .zip(&swept.trips)
        .map(|(headroom, trip)| {
            json!({
                "guard": trip.guard,
                "reached": number(headroom, headroom.reached),
                "limit": number(headroom, headroom.limit),
                "way_on": trip.flag,
            })
        })
        .collect();
    json!({ "policy": policy.name, "published": false, "tally": Counts::from(&total), "trips": trips })
}

/// What a policy came to, in figures.
fn came_to(policy: &Policy, swept: &Swept, expected: Expected) -> String {
    format!(
        "policy {} version {}\n{}\n\n{}\n",
        policy.name,
        policy.version,
        figures::dispositions(&swept.findings.by_type, &policy.types),
        figures::guards(policy, &swept.findings.by_type.total(), expected)
    )
}
