//! `smi-sweep diff --policy A --policy B SNAPSHOT`: the effect of a change of policy on a snapshot.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::Args;
use crate::cli::figures::{count, table};
use crate::cli::progress::TerminalProgress;
use crate::cli::{Common, print, print_json, remark};
use crate::error::{Error, Result};
use crate::policy::{Policy, changes};
use crate::regress::change::{BeforeAfter, DeviceCounts, PolicyChange};
use crate::scan::Scan;
use crate::shown;
use crate::snapshot::{AsOf, Snapshot};
use crate::system::input;

/// How many parties the text lists; the JSON document has all.
const PARTIES: usize = 20;

/// How many unexpected figures the error names. All of them are printed before it.
const NAMED: usize = 3;

/// Runs the command.
pub(super) fn exec(args: &Args, common: &Common) -> Result<()> {
    let policies = args.policy.iter().map(|name| Policy::load(name)).collect::<Result<Vec<_>>>()?;
    let [from, to] = &policies[..] else {
        return Err(Error::Usage {
            what: format!("a change needs two policies, and there are {}", policies.len()),
            remedy: "give --policy twice: before and after".into(),
        });
    };
    let expected = args.expect.as_deref().map(read_expected).transpose()?;
    let pool = common.pool();
    let progress = TerminalProgress::new(common);
    let snapshot = Snapshot::open(&args.paths, &from.spellings, &pool, &progress)?;
    let (as_of, _) = snapshot.as_of(AsOf::from_arguments(args.as_of, args.as_of_later))?;
    let change = PolicyChange::between([from, to], &Scan::new(&snapshot, &pool, &progress), as_of)?;
    progress.finish();
    if common.json {
        print_json(&change)?;
    } else {
        print(&text([from, to], &change))?;
    }
    let (Some(path), Some(expected)) = (&args.expect, expected) else { return Ok(()) };
    let differs = change.differs_from(&expected);
    if differs.is_empty() {
        remark(common, &format!("{}: as expected", shown::path(&path)));
        return Ok(());
    }
    let lines: Vec<String> = differs.iter().map(|line| shown::message(line, 1000).to_string()).collect();
    remark(common, &lines.join("\n"));
    let more = match differs.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let named = differs[..differs.len().min(NAMED)].join("; ");
    Err(Error::Regression {
        what: format!("{}: {named}{more}", shown::path(&path)),
        remedy: "if the new figures are right, write them to a new file with --json, and expect that",
    })
}

fn read_expected(path: &Path) -> Result<PolicyChange> {
    let read = input::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&read).map_err(|error| Error::Usage {
        what: format!("{}:{}: {error}", shown::path(&path), error.line()),
        remedy: "name a file that `smi-sweep diff --policy A --policy B SNAPSHOT --json` printed".into(),
    })
}

fn text([from, to]: [&Policy; 2], change: &PolicyChange) -> String {
    let mut text = String::new();
    for sentence in changes(from, to) {
        let _ = writeln!(text, "{}", shown::message(&sentence, 4096));
    }
    let _ = writeln!(
        text,
        "As of {}, of {} devices, {} are to be deleted under both policies, {} newly, {} no longer.",
        change.as_of,
        count(change.rows),
        count(change.deleted_by_both),
        count(change.newly_deleted.devices),
        count(change.no_longer_deleted.devices),
    );
    for stop in &change.would_stop {
        let (guard, reached, limit) = (&stop.guard, &stop.reached, &stop.limit);
        let _ = writeln!(text, "The guard {guard} of the policy after would stop its run: {reached}, limit {limit}.");
    }
    let (before, after) =
        change.quarantined.values().fold((0, 0), |(before, after), rows| (before + rows.before, after + rows.after));
    let _ = writeln!(text, "Rows that cannot be judged: {} before, {} after.", count(before), count(after));
    for (what, devices) in
        [("newly to delete", &change.newly_deleted), ("no longer to delete", &change.no_longer_deleted)]
    {
        if devices.devices > 0 {
            counted(&mut text, what, devices);
        }
    }
    before_and_after(&mut text, "alerts to", &change.alerts_by_party);
    let changed = change.quarantined.iter().filter(|(_, rows)| rows.before != rows.after);
    before_and_after(&mut text, "quarantined for", &changed.map(|(reason, rows)| (reason.clone(), *rows)).collect());
    text
}

/// Tables of devices by type, by party and by months.
fn counted(text: &mut String, what: &str, devices: &DeviceCounts) {
    let mut parties: Vec<_> = devices.by_party.iter().collect();
    parties.sort_by_key(|(_, devices)| std::cmp::Reverse(**devices));
    let more = parties.len().saturating_sub(PARTIES);
    parties.truncate(PARTIES);
    let tables =
        [(what.to_owned(), devices.by_type.iter().collect::<Vec<_>>()), (format!("{what}, by party"), parties)];
    for (header, figures) in tables {
        let rows = figures.into_iter().map(|(name, devices)| vec![name.clone(), count(*devices)]);
        let _ = writeln!(text, "{}", table(&[&header, "devices"], rows));
    }
    if more > 0 {
        let _ = writeln!(text, "and {more} more parties; --json has them all");
    }
    let rows = devices.by_months.iter().map(|(months, devices)| vec![months.to_string(), count(*devices)]);
    let _ = writeln!(text, "{}", table(&[&format!("{what}, by whole months"), "devices"], rows));
}

/// A table of figures before and after; those that change most come first.
fn before_and_after(text: &mut String, what: &str, figures: &BTreeMap<String, BeforeAfter>) {
    if figures.is_empty() {
        return;
    }
    let mut sorted: Vec<_> = figures.iter().collect();
    sorted.sort_by_key(|(_, figure)| std::cmp::Reverse(figure.before.abs_diff(figure.after)));
    let rows = sorted
        .iter()
        .take(PARTIES)
        .map(|(name, figure)| vec![(*name).clone(), count(figure.before), count(figure.after)]);
    let _ = writeln!(text, "{}", table(&[what, "before", "after"], rows));
    if let Some(rest) = sorted.len().checked_sub(PARTIES).filter(|rest| *rest > 0) {
        let _ = writeln!(text, "and {rest} more; --json has them all");
    }
}
