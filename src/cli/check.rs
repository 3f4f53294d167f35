//! `smi-sweep check`: what is wrong with a snapshot, and sealing it.

use std::path::PathBuf;

use serde_json::json;

use super::progress::TerminalProgress;
use super::{Common, SnapshotArgs, figures, parse_time, print, print_json, remark, remark_left_out};
use crate::check::{CheckFinding, Checked, check};
use crate::error::{Error, Fault, Place, Result};
use crate::estate::time;
use crate::policy::Policy;
use crate::scan::Scan;
use crate::snapshot::{SEAL_FILE, Seal, Snapshot};

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
    /// The moment after which a date is in the future [default: when the snapshot was taken]
    #[arg(long, value_name = "T", value_parser = parse_time)]
    as_of: Option<i64>,
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
    let folder = if args.seal { Some(folder_to_seal(&args.snapshot.snapshot)?) } else { None };
    let pool = common.pool();
    let progress = TerminalProgress::new(common);
    let (paths, names) = (&args.snapshot.snapshot, &policy.spellings.columns);
    // A seal that is about to be replaced has nothing to say any more.
    let snapshot = if args.seal {
        Snapshot::open_unverified(paths, names, &pool, &progress)?
    } else {
        Snapshot::open(paths, names, &pool, &progress)?
    };
    remark_left_out(common, &snapshot);
    let as_of = match args.as_of.or(args.taken_at) {
        Some(as_of) => Some(as_of),
        None => snapshot.taken_at()?.map(|(as_of, _)| as_of),
    };
    let checked = check(&Scan::new(&snapshot, &pool, &progress), &policy, as_of)?;
    snapshot.unchanged()?;
    if args.strict && !checked.findings.is_empty() {
        progress.finish();
        show(common, &snapshot, as_of, &checked, None)?;
        return Err(Place::file(&paths[0]).refuse(Fault::Findings(checked.findings.len())));
    }
    let mut sealed = None;
    if let Some(folder) = folder {
        let taken_at = match args.taken_at {
            Some(micros) => {
                contradiction(common, &snapshot, micros);
                Some(micros)
            }
            None => snapshot.taken_at()?.map(|(micros, _)| micros),
        };
        let seal = Seal::of(folder, snapshot.files(), taken_at.map(time::format_instant), &pool, &progress)?;
        snapshot.unchanged()?;
        seal.write(folder)?;
        sealed = Some(folder.join(SEAL_FILE));
    }
    progress.finish();
    show(common, &snapshot, as_of, &checked, sealed)
}

/// Says so where files are sealed as of another moment than they give themselves.
fn contradiction(common: &Common, snapshot: &Snapshot, taken_at: i64) {
    let own = match snapshot.files_taken_at() {
        Ok(Some(own)) if own != taken_at => format!("that they were taken at {}", time::format_instant(own)),
        Err(_) => "different moments, or none that can be read".into(),
        Ok(_) => return,
    };
    let sealed = time::format_instant(taken_at);
    remark(common, &format!("warning: sealed as taken at {sealed}; the files themselves say {own}"));
}

fn folder_to_seal(paths: &[PathBuf]) -> Result<&PathBuf> {
    match paths {
        [folder] if folder.is_dir() => Ok(folder),
        _ => Err(Error::Usage {
            what: "a seal is of one folder".into(),
            remedy: "put the files of the snapshot into one folder, and name that".into(),
        }),
    }
}

fn show(
    common: &Common,
    snapshot: &Snapshot,
    as_of: Option<i64>,
    checked: &Checked,
    sealed: Option<PathBuf>,
) -> Result<()> {
    let places = |finding: &CheckFinding| -> Vec<(String, u64)> {
        finding
            .first
            .iter()
            .filter_map(|&row| snapshot.locate(row))
            .map(|(file, row)| (file.name.clone(), row))
            .collect()
    };
    if common.json {
        let findings: Vec<_> = checked
            .findings
            .iter()
            .map(|finding| {
                let first: Vec<_> = places(finding)
                    .into_iter()
                    .map(|(file, row)| json!({ "source_file": file, "row_in_file": row }))
                    .collect();
                json!({ "kind": finding.kind.name(), "value": finding.value, "rows": finding.rows, "first": first })
            })
            .collect();
        return print_json(&json!({
            "files": snapshot.files().len(),
            "rows": snapshot.rows(),
            "bytes": snapshot.bytes(),
            "as_of": as_of.map(time::format_instant),
            "findings": findings,
            "duplicate_device_ids": checked.duplicate_ids,
            "seal": sealed,
        }));
    }
    if as_of.is_none() {
        remark(common, "nothing says when the snapshot was taken: dates in the future are not looked for");
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
            let first = places(finding).first().map_or_else(String::new, |(file, row)| format!("{file}, row {row}"));
            vec![
                finding.kind.name().to_owned(),
                finding.value.clone().unwrap_or_default(),
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
        text.push_str(&format!("sealed: {}\n", sealed.display()));
    }
    print(&figures::wrapped(&text, 2))
}
