//! `smi-sweep diff`: compares the deletions of two runs, or of two policies on one snapshot.

mod change;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::figures::{count, counted, table, wrapped};
use super::{Common, parse_time, print, print_data, print_json, remark};
use crate::error::{Error, Result};
use crate::estate::time::{format_day, format_instant};
use crate::run::Record;
use crate::run::diff::{DifferenceGroup, OneSidedDeletion, RunDifference, Side, diff};
use crate::shown;

/// Compare two runs, or two policies on one snapshot: the devices that only one of them deletes
///
/// The difference of two runs is by type, party, and the reason why the other run keeps a device, as far as the records
/// show it. Two policies judge a snapshot in one scan; the difference is by type, party and months.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Two run directories; with --policy, a snapshot
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The policy before, then the policy after: files, or names of built-ins
    #[arg(long, value_name = "FILE_OR_NAME")]
    policy: Vec<String>,
    /// The moment to judge by, with --policy [default: when the snapshot was taken]
    #[arg(long, value_name = "T", value_parser = parse_time, requires = "policy")]
    as_of: Option<i64>,
    /// Accept an --as-of after the moment at which the snapshot was taken
    #[arg(long, requires = "as_of")]
    as_of_later: bool,
    /// Compare the result with a file that --json printed earlier; exit code 6 where they differ
    #[arg(long, value_name = "FILE", requires = "policy")]
    expect: Option<PathBuf>,
    /// List the devices on standard output, and print the figures on standard error
    #[arg(long, value_name = "FORMAT", conflicts_with = "policy")]
    list: Option<ListFormat>,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum ListFormat {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object for each line
    Ndjson,
}

/// Bytes of listed text that are printed at a time.
const LIST_BYTES: usize = 1 << 16;

/// How many parties the text lists; the rest is one line.
const PARTIES: usize = 20;

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    if !args.policy.is_empty() {
        return change::exec(args, common);
    }
    let [a, b] = &args.paths[..] else {
        return Err(Error::Usage {
            what: format!("diff compares two runs, and {} are named", args.paths.len()),
            remedy: "name two run directories, or a snapshot and --policy twice".into(),
        });
    };
    if common.json && args.list.is_some() {
        return Err(Error::Usage {
            what: "--json and --list both print to standard output".into(),
            remedy: "use --list ndjson for the devices as JSON, or --json for the figures".into(),
        });
    }
    let mut text = String::new();
    if args.list == Some(ListFormat::Csv) {
        text.push_str("deleted_by,device_id,device_type,notifying_party,status_since,due_on,reason\n");
    }
    let difference = diff(a, b, &mut |only| {
        match args.list {
            None => return Ok(()),
            Some(ListFormat::Csv) => csv(only, &mut text),
            Some(ListFormat::Ndjson) => text.push_str(&format!("{}\n", json_line(only)?)),
        }
        if text.len() < LIST_BYTES {
            return Ok(());
        }
        print_data(&std::mem::take(&mut text))
    })?;
    print_data(&text)?;
    if common.json {
        return print_json(&DiffDocument::new([a, b], &difference));
    }
    let figures = figures([a, b], &difference);
    if args.list.is_some() {
        remark(common, figures.trim_end());
        return Ok(());
    }
    print(&wrapped(&figures, 3))
}

const fn letter(side: Side) -> &'static str {
    match side {
        Side::A => "a",
        Side::B => "b",
    }
}

fn csv(only: &OneSidedDeletion<'_>, text: &mut String) {
    text.push_str(letter(only.side));
    let (since, due_on) = (format_instant(only.since), format_day(only.due_on));
    let why = only.why.name();
    for field in [&only.id.to_string(), only.device_type, only.party.unwrap_or_default(), &since, &due_on, &why] {
        text.push(',');
        if field.contains([',', '"', '\n', '\r']) {
            let _ = write!(text, "\"{}\"", field.replace('"', "\"\""));
        } else {
            text.push_str(field);
        }
    }
    text.push('\n');
}

/// A device in the list, its keys in alphabetical order.
#[derive(Serialize)]
struct ListedDevice<'a> {
    deleted_by: &'static str,
    device_id: String,
    device_type: &'a str,
    due_on: String,
    notifying_party: Option<&'a str>,
    reason: String,
    status_since: String,
}

fn json_line(only: &OneSidedDeletion<'_>) -> Result<String> {
    let device = ListedDevice {
        deleted_by: letter(only.side),
        device_id: only.id.to_string(),
        device_type: only.device_type,
        due_on: format_day(only.due_on),
        notifying_party: only.party,
        reason: only.why.name(),
        status_since: format_instant(only.since),
    };
    serde_json::to_string(&device).map_err(|error| Error::io("write", "standard output")(error.into()))
}

#[derive(Serialize)]
struct DiffDocument<'a> {
    a: ComparedRun<'a>,
    b: ComparedRun<'a>,
    both: u64,
    only: Vec<OnlyGroup<'a>>,
}

#[derive(Serialize)]
struct ComparedRun<'a> {
    path: &'a Path,
    policy: &'a Value,
    policy_digest: &'a Value,
    as_of: &'a str,
    delete: u64,
    only: u64,
}

#[derive(Serialize)]
struct OnlyGroup<'a> {
    deleted_by: &'static str,
    device_type: &'a str,
    notifying_party: Option<&'a str>,
    reason: String,
    devices: u64,
}

impl<'a> DiffDocument<'a> {
    fn new([a, b]: [&'a PathBuf; 2], difference: &'a RunDifference) -> Self {
        let run = |path, record: &'a Record, side| ComparedRun {
            path,
            policy: &record.policy["name"],
            policy_digest: &record.policy["digest"],
            as_of: &record.as_of,
            delete: record.tally.delete,
            only: difference.only(side),
        };
        let group = |(group, &devices): (&'a DifferenceGroup, &u64)| OnlyGroup {
            deleted_by: letter(group.side),
            device_type: &group.device_type,
            notifying_party: group.party.as_deref(),
            reason: group.why.name(),
            devices,
        };
        Self {
            a: run(a, &difference.a, Side::A),
            b: run(b, &difference.b, Side::B),
            both: difference.both,
            only: difference.only.iter().map(group).collect(),
        }
    }
}

fn figures([a, b]: [&PathBuf; 2], difference: &RunDifference) -> String {
    let mut text = String::new();
    for (side, path, record) in [(Side::A, a, &difference.a), (Side::B, b, &difference.b)] {
        let _ = writeln!(
            text,
            "{}: {}: {} as of {}: {}, {} of them only here",
            letter(side),
            shown::path(&path),
            shown::value(record.policy["name"].as_str().unwrap_or_default()),
            shown::value(&record.as_of),
            counted(record.tally.delete, "deletion"),
            count(difference.only(side)),
        );
    }
    let _ = writeln!(text, "to delete in both: {}", counted(difference.both, "device"));
    if difference.only.is_empty() {
        return text;
    }
    let by_type = summed(difference, |group| (letter(group.side), group.device_type.as_str(), group.why.name()));
    let rows = by_type
        .into_iter()
        .map(|((side, device_type, why), devices)| vec![side.into(), device_type.into(), why, count(devices)]);
    let _ = writeln!(text, "\n{}", table(&["deleted by", "type", "why the other does not", "devices"], rows));

    let mut by_party: Vec<_> =
        summed(difference, |group| (letter(group.side), group.party.as_deref().unwrap_or("(none)")))
            .into_iter()
            .collect();
    by_party.sort_by_key(|(_, devices)| Reverse(*devices));
    let (listed, rest) = by_party.split_at(by_party.len().min(PARTIES));
    let rows = listed.iter().map(|((side, party), devices)| vec![(*side).into(), (*party).into(), count(*devices)]);
    let _ = writeln!(text, "\n{}", table(&["deleted by", "party", "devices"], rows));
    if !rest.is_empty() {
        let devices = rest.iter().map(|(_, devices)| devices).sum();
        let _ = writeln!(
            text,
            "and {} of {} more; --json has them all",
            counted(devices, "device"),
            count(rest.len() as u64)
        );
    }
    text
}

/// The devices of a difference, summed over a part of their group.
fn summed<'d, K: Ord>(difference: &'d RunDifference, key: impl Fn(&'d DifferenceGroup) -> K) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (group, devices) in &difference.only {
        *sums.entry(key(group)).or_default() += devices;
    }
    sums
}
