//! `smi-sweep diff`: what one run deletes and another does not, and why; what a change of policy does to a snapshot.

mod change;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::figures::{count, counted, table, wrapped};
use super::{Common, parse_time, print, print_json, remark};
use crate::error::{Error, Result};
use crate::estate::time::{format_day, format_instant};
use crate::run::Record;
use crate::run::diff::{Difference, Group, Only, Side, diff};

/// Compare two runs, or two policies on one snapshot: which devices only one of them deletes
///
/// Of two runs the difference is by type, party and reason: why the other run does not delete them, as far as the
/// records tell. Two policies are both asked in one scan of the snapshot; the difference is by type, party and months.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Two run directories; with --policy a snapshot
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The policy before, then the policy after: files, or names of built-ins
    #[arg(long, value_name = "FILE_OR_NAME")]
    policy: Vec<String>,
    /// The moment to judge by, with --policy [default: the one at which the snapshot says it was taken]
    #[arg(long, value_name = "T", value_parser = parse_time, requires = "policy")]
    as_of: Option<i64>,
    /// Compare the consequences with those in a file that --json printed earlier; exit code 6 where they differ
    #[arg(long, value_name = "FILE", requires = "policy")]
    expect: Option<PathBuf>,
    /// List the devices themselves on standard output, and print the figures on standard error
    #[arg(long, value_name = "FORMAT", conflicts_with = "policy")]
    list: Option<Format>,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Ndjson,
}

/// Listed text is printed when so much of it has come together.
const GATHER: usize = 1 << 16;

/// How many parties the text lists; the rest is summed up.
const PARTIES: usize = 20;

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    if !args.policy.is_empty() {
        return change::exec(args, common);
    }
    let [a, b] = &args.paths[..] else {
        return Err(Error::Usage {
            what: format!("a difference is of two runs, and {} are named", args.paths.len()),
            remedy: "name two run directories, or a snapshot and --policy twice".into(),
        });
    };
    if common.json && args.list.is_some() {
        return Err(Error::Usage {
            what: "--json prints one document, and --list another".into(),
            remedy: "say --list ndjson for JSON, or --json for the figures".into(),
        });
    }
    let mut text = String::new();
    if args.list == Some(Format::Csv) {
        text.push_str("deleted_by,device_id,device_type,notifying_party,status_since,due_on,reason\n");
    }
    let difference = diff(a, b, &mut |only| {
        match args.list {
            None => return Ok(()),
            Some(Format::Csv) => csv(only, &mut text),
            Some(Format::Ndjson) => text.push_str(&format!("{}\n", object(only))),
        }
        if text.len() < GATHER {
            return Ok(());
        }
        print(&std::mem::take(&mut text))
    })?;
    print(&text)?;
    if common.json {
        return print_json(&document([a, b], &difference));
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

fn csv(only: &Only<'_>, text: &mut String) {
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

fn object(only: &Only<'_>) -> Value {
    json!({
        "deleted_by": letter(only.side),
        "device_id": only.id.to_string(),
        "device_type": only.device_type,
        "notifying_party": only.party,
        "status_since": format_instant(only.since),
        "due_on": format_day(only.due_on),
        "reason": only.why.name(),
    })
}

fn document([a, b]: [&PathBuf; 2], difference: &Difference) -> Value {
    let run = |path: &PathBuf, record: &Record, side: Side| {
        json!({
            "path": path,
            "policy": record.policy["name"],
            "policy_digest": record.policy["digest"],
            "as_of": record.as_of,
            "delete": record.tally.delete,
            "only": difference.only(side),
        })
    };
    let only: Vec<Value> = difference
        .only
        .iter()
        .map(|(group, devices)| {
            json!({
                "deleted_by": letter(group.side),
                "device_type": group.device_type,
                "notifying_party": group.party,
                "reason": group.why.name(),
                "devices": devices,
            })
        })
        .collect();
    json!({
        "a": run(a, &difference.a, Side::A),
        "b": run(b, &difference.b, Side::B),
        "both": difference.both,
        "only": only,
    })
}

fn figures([a, b]: [&PathBuf; 2], difference: &Difference) -> String {
    let mut text = String::new();
    for (side, path, record) in [(Side::A, a, &difference.a), (Side::B, b, &difference.b)] {
        let _ = writeln!(
            text,
            "{}: {}: {} as of {}: {}, {} of them here only",
            letter(side),
            path.display(),
            record.policy["name"].as_str().unwrap_or_default(),
            record.as_of,
            counted(record.tally.delete, "deletion"),
            count(difference.only(side)),
        );
    }
    let _ = writeln!(text, "deleted by both: {}", counted(difference.both, "device"));
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

/// The devices of a difference, counted by less than all that is known of them.
fn summed<'d, K: Ord>(difference: &'d Difference, key: impl Fn(&'d Group) -> K) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (group, devices) in &difference.only {
        *sums.entry(key(group)).or_default() += devices;
    }
    sums
}
