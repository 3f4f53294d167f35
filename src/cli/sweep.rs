//! `smi-sweep sweep`: judge a snapshot, and publish delete and alert manifests.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{AsOfArgs, Common, SnapshotArgs, figures, print, print_json, remark, remark_seals, say, zone_note};
use crate::error::{Error, GuardTrip, Result, Stopped};
use crate::policy::Policy;
use crate::run::record::TallyRecord;
use crate::run::{PreviousRun, Publication, PublishedRun, Record, SweepRequest, sweep_into};
use crate::scan::Reader;
use crate::shown;
use crate::snapshot::{AsOfFrom, Io, OwnMoment};
use crate::sweep::guard::{self, Measure};
use crate::sweep::{Expected, Headroom, Swept, Uniqueness};

/// Judge a snapshot by a policy, and write delete and alert manifests
///
/// The run directory appears whole or not at all. Several policies share one scan; each gets a run in a folder with its
/// name.
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
    #[command(flatten)]
    as_of: AsOfArgs,
    /// The run directory, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Accept a run with exactly so many deletions, in place of the guards on deletions
    #[arg(long, value_name = "N")]
    expect_deletes: Option<u64>,
    /// Accept a run with exactly so many quarantined rows, in place of the guards on them
    #[arg(long, value_name = "N")]
    expect_quarantined: Option<u64>,
    /// Accept a snapshot with exactly so many rows, in place of the guards on them
    #[arg(long, value_name = "N")]
    expect_rows: Option<u64>,
    /// Compare with this run, in place of the one that the policy names: it is verified first
    #[arg(long, value_name = "RUN")]
    previous: Option<PathBuf>,
    /// Compare with no run: the estate was never swept
    #[arg(long, conflicts_with = "previous")]
    first_run: bool,
    /// Also quarantine a due device where any other row of the snapshot has its Device ID
    ///
    /// All Device IDs are read once more. A snapshot whose seal states that they are unique does not need it.
    #[arg(long)]
    unique: bool,
    /// Refuse a snapshot that is not sealed: exit code 3
    #[arg(long)]
    require_sealed: bool,
    /// How files come into memory: `mmap`, or `read` (slower), which decodes the very bytes that were compared with the seal
    ///
    /// With `mmap` another program can write to a file between the two; that is noticed by the time of its last change.
    #[arg(long, value_name = "IO", default_value = "mmap", value_parser = parse_io)]
    io: Io,
    /// How columns are read: `encoded` (fast), or `reference` (slow, to check the other)
    #[arg(long, value_name = "READER", default_value = "encoded", hide = true, value_parser = parse_reader)]
    reader: Reader,
}

impl Args {
    fn previous(&self) -> PreviousRun<'_> {
        match &self.previous {
            Some(run) => PreviousRun::Run(run),
            None if self.first_run => PreviousRun::First,
            None => PreviousRun::OfPolicy,
        }
    }
}

fn parse_io(text: &str) -> std::result::Result<Io, String> {
    match text {
        "mmap" => Ok(Io::Mmap),
        "read" => Ok(Io::Read),
        _ => Err("write mmap or read".into()),
    }
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
    let request = SweepRequest {
        snapshot: &args.snapshot.snapshot,
        policies: &policies,
        as_of: args.as_of.asked(),
        expected: Expected {
            deletes: args.expect_deletes,
            quarantined: args.expect_quarantined,
            rows: args.expect_rows,
        },
        previous: args.previous(),
        unique: args.unique,
        require_sealed: args.require_sealed,
        accept_unreadable: false,
        io: args.io,
        reader: args.reader,
        out: &args.out,
    };
    let progress = TerminalProgress::new(common);
    let outcome = sweep_into(&request, &common.pool(), &progress)?;
    let (_, seconds) = progress.finish();
    remark_seals(common, &outcome.snapshot);
    match &outcome.publication {
        Publication::Published(runs) => show_runs(&request, common, &outcome.swept, runs, seconds)?,
        Publication::Stopped(stopped) => return refuse(&request, common, &outcome.swept, stopped),
    }
    // The process ends here; leaving the memory to the system is faster than freeing it.
    std::mem::forget(outcome);
    Ok(())
}

/// The document of `--json`: one entry for each policy.
#[derive(Serialize)]
#[serde(untagged)]
enum SweepDocument<'a> {
    Published { runs: Vec<RunDocument<'a>>, seconds: f64 },
    Stopped { runs: Vec<StoppedDocument<'a>>, stopped: String, way_on: String },
}

#[derive(Serialize)]
struct RunDocument<'a> {
    path: &'a Path,
    published: bool,
    record: &'a Record,
}

#[derive(Serialize)]
struct StoppedDocument<'a> {
    policy: &'a str,
    published: bool,
    tally: TallyRecord,
    trips: Vec<TripDocument<'a>>,
}

#[derive(Serialize)]
struct TripDocument<'a> {
    guard: &'a str,
    reached: GuardFigure,
    limit: GuardFigure,
    way_on: &'a str,
}

/// A number of rows, or a share of them.
#[derive(Serialize)]
#[serde(untagged)]
enum GuardFigure {
    Rows(u64),
    Share(f64),
}

impl GuardFigure {
    fn of(measure: Measure, value: f64) -> Self {
        match measure {
            Measure::Share => Self::Share(value),
            Measure::Count | Measure::AtLeast | Measure::Exact => Self::Rows(value as u64),
        }
    }
}

/// Prints the figures of the published runs.
fn show_runs(
    request: &SweepRequest<'_>,
    common: &Common,
    swept: &[Swept],
    runs: &[PublishedRun],
    seconds: f64,
) -> Result<()> {
    if common.json {
        let runs = runs.iter().map(|run| RunDocument { path: &run.path, published: true, record: &run.record });
        return print_json(&SweepDocument::Published { runs: runs.collect(), seconds });
    }
    for (policy, swept) in request.policies.iter().zip(swept) {
        remark(common, &came_to(policy, swept));
    }
    if let Some(run) = runs.first() {
        remark(common, &moment(&run.record, seconds));
        if run.record.uniqueness() == Uniqueness::Unproven {
            remark(common, UNPROVEN);
        }
    }
    print(&format!("{}\n", shown::path(&request.out)))
}

/// The remark on a run of a snapshot in which a due device may have a second row.
const UNPROVEN: &str = "note: it is not proven that Device IDs are unique: another row may have a device that is deleted here; \
                        seal the snapshot with `smi-sweep check --seal`, or sweep with --unique";

fn moment(record: &Record, seconds: f64) -> String {
    let Record { as_of, snapshot, .. } = record;
    let from = match snapshot.as_of_from {
        AsOfFrom::Seal => "as the seal says",
        AsOfFrom::Files => "as the files say",
        AsOfFrom::Argument => "as given",
    };
    let mut text = format!("as of {as_of} ({from}), {} in {seconds:.2} s", figures::counted(snapshot.rows, "row"));
    if let Some(taken_at) = snapshot.taken_at.as_ref().filter(|taken_at| *taken_at != as_of) {
        text.push_str(&format!("\nnote: the snapshot says it was taken at {}", shown::value(taken_at)));
    }
    if let Some(zone) = &snapshot.assumed_zone {
        text.push_str(&format!("\n{}", zone_note(zone)));
    }
    if snapshot.own_moment == Some(OwnMoment::None) {
        text.push_str("\nnote: the snapshot does not say when it was taken");
    }
    text
}

/// Prints the figures of runs that a guard stopped, even with `--quiet`, and returns the error.
fn refuse(request: &SweepRequest<'_>, common: &Common, swept: &[Swept], stopped: &Stopped) -> Result<()> {
    let swept = request.policies.iter().zip(swept);
    if common.json {
        let runs = swept.map(|(policy, swept)| stopped_document(policy, swept)).collect();
        print_json(&SweepDocument::Stopped { runs, stopped: stopped.to_string(), way_on: stopped.remedy() })?;
    } else {
        swept.for_each(|(policy, swept)| say(&came_to(policy, swept)));
    }
    Err(Error::Guard(stopped.clone()))
}

fn stopped_document<'a>(policy: &'a Policy, swept: &'a Swept) -> StoppedDocument<'a> {
    let total = swept.findings.by_type.total();
    let headroom = guard::headroom(policy, &(&swept.findings.by_type).into(), swept.terms);
    let tripped = headroom.iter().filter(|headroom| headroom.tripped);
    let trip = |(headroom, trip): (&Headroom, &'a GuardTrip)| TripDocument {
        guard: &trip.guard,
        reached: GuardFigure::of(headroom.measure, headroom.reached),
        limit: GuardFigure::of(headroom.measure, headroom.limit),
        way_on: &trip.flag,
    };
    let trips = tripped.zip(&swept.trips).map(trip).collect();
    StoppedDocument { policy: &policy.name, published: false, tally: TallyRecord::from(&total), trips }
}

/// The figures of a run, as text.
fn came_to(policy: &Policy, swept: &Swept) -> String {
    format!(
        "policy {} version {}\n{}\n\n{}\n",
        policy.name,
        policy.version,
        figures::dispositions(&swept.findings.by_type, &policy.types),
        figures::guards(policy, swept)
    )
}
