//! `smi-sweep check`: what is wrong with a snapshot, and sealing it.

use std::path::Path;

use serde::Serialize;

use super::progress::TerminalProgress;
use super::{AsOfArgs, Common, SnapshotArgs, figures, parse_time, print, print_json, remark, remark_seals, zone_note};
use crate::check::{CheckFinding, CheckOutcome, CheckRequest, SealRequest, check_and_seal};
use crate::error::{Fault, Place, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::shown;
use crate::snapshot::Snapshot;

/// Check a snapshot for unknown spellings, nulls, wrong dates and repeated Device IDs; and seal it
///
/// Findings are counted, with the place of the first. Only with --strict are they a failure: a sweep quarantines what it
/// cannot judge. A large snapshot needs eight bytes for each row in the folder that TMPDIR names.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// The policy with the spellings: a file (with a `/`, or ending in .toml), or a built-in
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060")]
    policy: String,
    #[command(flatten)]
    as_of: AsOfArgs,
    /// Refuse a snapshot with any finding: exit code 3
    #[arg(long)]
    strict: bool,
    /// Write _snapshot.json, with size, rows and BLAKE3 digest of each file, into the snapshot's folder
    #[arg(long)]
    seal: bool,
    /// When the snapshot was taken, for the seal [default: what its files state]
    #[arg(long, value_name = "T", requires = "seal", value_parser = parse_time)]
    taken_at: Option<i64>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let policy = Policy::load(&args.policy)?;
    let seal = SealRequest { taken_at: args.taken_at, despite_findings: !args.strict };
    let request = CheckRequest {
        snapshot: &args.snapshot.snapshot,
        policy: &policy,
        as_of: args.as_of.asked(),
        seal: args.seal.then_some(seal),
    };
    let progress = TerminalProgress::new(common);
    let outcome = check_and_seal(&request, &common.pool(), &progress)?;
    progress.finish();
    remark_seals(common, &outcome.snapshot);
    if let (Some(_), Some(taken_at)) = (&outcome.sealed, args.taken_at) {
        contradiction(common, &outcome.snapshot, taken_at);
    }
    show(common, &outcome)?;
    let findings = outcome.checked.findings.len();
    if args.strict && findings > 0 {
        return Err(Place::file(&args.snapshot.snapshot[0]).refuse(Fault::Findings(findings)));
    }
    Ok(())
}

/// Warns where the seal has another time than the files' own metadata.
fn contradiction(common: &Common, snapshot: &Snapshot, taken_at: i64) {
    let own = match snapshot.files_taken_at() {
        Ok(Some(own)) if own != taken_at => format!("that they were taken at {}", time::format_instant(own)),
        Err(_) => "different moments, or none that can be read".into(),
        Ok(_) => return,
    };
    let sealed = time::format_instant(taken_at);
    remark(common, &format!("warning: sealed as taken at {sealed}; the files themselves say {own}"));
}

/// The document of `--json`.
#[derive(Serialize)]
struct CheckDocument<'a> {
    files: usize,
    rows: u64,
    bytes: u64,
    as_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed_zone: Option<&'static str>,
    findings: Vec<FindingDocument<'a>>,
    duplicate_device_ids: u64,
    seal: Option<&'a Path>,
}

#[derive(Serialize)]
struct FindingDocument<'a> {
    kind: &'static str,
    value: Option<&'a str>,
    rows: u64,
    first: Vec<RowPlace<'a>>,
}

/// Where a row is.
#[derive(Serialize)]
struct RowPlace<'a> {
    source_file: &'a str,
    row_in_file: u64,
}

/// The first rows of a finding.
fn places<'a>(snapshot: &'a Snapshot, finding: &CheckFinding) -> Vec<RowPlace<'a>> {
    let rows = finding.first.iter().filter_map(|&row| snapshot.locate(row));
    rows.map(|(file, row)| RowPlace { source_file: &file.name, row_in_file: row }).collect()
}

fn document<'o>(outcome: &'o CheckOutcome) -> CheckDocument<'o> {
    let CheckOutcome { snapshot, as_of, checked, sealed } = outcome;
    let finding = |finding: &'o CheckFinding| FindingDocument {
        kind: finding.kind.name(),
        value: finding.value.as_deref(),
        rows: finding.rows,
        first: places(snapshot, finding),
    };
    CheckDocument {
        files: snapshot.files().len(),
        rows: snapshot.rows(),
        bytes: snapshot.bytes(),
        as_of: as_of.map(time::format_instant),
        assumed_zone: snapshot.assumed_zone(),
        findings: checked.findings.iter().map(finding).collect(),
        duplicate_device_ids: checked.duplicate_ids,
        seal: sealed.as_deref(),
    }
}

fn show(common: &Common, outcome: &CheckOutcome) -> Result<()> {
    if common.json {
        return print_json(&document(outcome));
    }
    let CheckOutcome { snapshot, as_of, checked, sealed } = outcome;
    if as_of.is_none() {
        remark(common, "nothing says when the snapshot was taken: dates in the future are not looked for");
    }
    if let Some(zone) = snapshot.assumed_zone() {
        remark(common, &zone_note(zone));
    }
    let mut text = format!(
        "{} in {}: the column contract is kept\n",
        figures::counted(snapshot.rows(), "row"),
        figures::counted(snapshot.files().len() as u64, "file")
    );
    if checked.findings.is_empty() {
        text.push_str("nothing is wrong\n");
    } else {
        let rows = checked.findings.iter().map(|finding| {
            let places = places(snapshot, finding);
            let first = places.first().map_or_else(String::new, |place| {
                format!("{}, row {}", shown::path(place.source_file), place.row_in_file)
            });
            vec![
                finding.kind.name().to_owned(),
                finding.value.as_deref().map_or_else(String::new, |value| shown::quoted(value).to_string()),
                figures::count(finding.rows),
                first,
            ]
        });
        text.push_str(&format!("{}\n", figures::table(&["finding", "value", "rows", "first"], rows)));
        if checked.duplicate_ids > 0 {
            text.push_str(&format!(
                "occurring more than once: {}\n",
                figures::counted(checked.duplicate_ids, "Device ID")
            ));
        }
    }
    if let Some(sealed) = sealed {
        text.push_str(&format!("sealed: {}\n", shown::path(&sealed)));
    }
    print(&figures::wrapped(&text, 2))
}
