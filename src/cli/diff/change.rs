//! `smi-sweep diff --policy A --policy B SNAPSHOT`: what a change of policy does to a real estate.

use std::fmt::Write;
use std::fs;

use serde_json::json;

use super::Args;
use crate::cli::figures::{count, table};
use crate::cli::progress::Progress;
use crate::cli::{Common, print, print_json};
use crate::error::{Error, Result};
use crate::policy::{Policy, changes};
use crate::regress::change::{Change, Devices};
use crate::snapshot::Snapshot;
use crate::sweep::{Expected, Options, Reader, sweep};

/// How many parties the text lists; the document has all.
const PARTIES: usize = 20;

/// Runs the command.
pub(super) fn exec(args: &Args, common: &Common) -> Result<()> {
    let mut policies = args.policy.iter().map(|name| Policy::load(name)).collect::<Result<Vec<_>>>()?;
    if policies.len() != 2 {
        return Err(Error::Usage {
            what: format!("a change is from one policy to another, and there are {}", policies.len()),
            remedy: "give --policy twice: before and after".into(),
        });
    }
    for policy in &mut policies {
        // Nothing is published: a question needs no guard.
        policy.guard.max_deletes = u64::MAX;
        policy.guard.max_delete_share = 1.0;
        policy.guard.max_quarantined = u64::MAX;
    }
    let pool = common.pool();
    let progress = Progress::new(common);
    let snapshot = Snapshot::open(&args.paths, &policies[0].spellings.columns, &pool, &progress)?;
    let (as_of, _) = snapshot.as_of(args.as_of)?;
    let options =
        Options { policies: &policies, as_of, expected: Expected::default(), duplicates: &[], reader: Reader::Encoded };
    let swept = sweep(&snapshot, &options, &pool, &progress)?;
    progress.finish();
    // The policies as they were signed, guards and all, are what the record speaks of.
    let signed = args.policy.iter().map(|name| Policy::load(name)).collect::<Result<Vec<_>>>()?;
    let change = Change::new(&signed, &swept, snapshot.rows())?;
    if common.json {
        print_json(&json!(change))?;
    } else {
        print(&text(&signed, &change))?;
    }
    let Some(path) = &args.expect else { return Ok(()) };
    let read = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let expected: Change = serde_json::from_str(&read).map_err(|error| Error::Usage {
        what: format!("{}:{}: {error}", path.display(), error.line()),
        remedy: "name a file that `smi-sweep diff --policy A --policy B SNAPSHOT --json` printed".into(),
    })?;
    let differs = change.differs_from(&expected);
    if differs.is_empty() {
        return Ok(());
    }
    Err(Error::Regression {
        what: format!("{}: not what was expected in {}", path.display(), differs.join(", ")),
        remedy: "x",
    })
}

fn text(policies: &[Policy], change: &Change) -> String {
    let mut text = String::new();
    if let [from, to] = policies {
        for sentence in changes(from, to) {
            let _ = writeln!(text, "{sentence}");
        }
    }
    let _ = writeln!(
        text,
        "As of {}, of {} devices, {} are deleted by both, {} newly, {} no longer.",
        change.as_of,
        count(change.rows),
        count(change.deleted_by_both),
        count(change.newly_deleted.devices),
        count(change.no_longer_deleted.devices),
    );
    for (what, devices) in [("newly deleted", &change.newly_deleted), ("no longer deleted", &change.no_longer_deleted)]
    {
        if devices.devices > 0 {
            counted(&mut text, what, devices);
        }
    }
    let mut parties: Vec<_> = change.alerts_by_party.iter().collect();
    parties.sort_by_key(|(_, (before, after))| std::cmp::Reverse(before.abs_diff(*after)));
    let rows = parties
        .iter()
        .take(PARTIES)
        .map(|(party, (before, after))| vec![(*party).clone(), count(*before), count(*after)]);
    let _ = writeln!(text, "{}", table(&["alerts to", "before", "after"], rows));
    if let Some(rest) = parties.len().checked_sub(PARTIES).filter(|rest| *rest > 0) {
        let _ = writeln!(text, "and {rest} more parties; --json has them all");
    }
    text
}

fn counted(text: &mut String, what: &str, devices: &Devices) {
    let rows = devices.by_type.iter().map(|(name, devices)| vec![name.clone(), count(*devices)]);
    let _ = writeln!(text, "{}", table(&[what, "devices"], rows));
    let rows = devices.by_months.iter().map(|(months, devices)| vec![months.to_string(), count(*devices)]);
    let _ = writeln!(text, "{}", table(&["whole months", "devices"], rows));
}
