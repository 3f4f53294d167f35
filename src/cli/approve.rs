//! `smi-sweep approve`: look at a run's figures, and sign them; or see who has.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::figures::{count, table};
use super::progress::now;
use super::{Common, print, print_json, remark, watched};
use crate::approval::{self, Found, PrivateKey, Proposal, Required};
use crate::error::{Error, Result};
use crate::estate::time::format_instant;
use crate::run::Record;

/// Parties that are named one by one: those who lose most.
const NAMED: usize = 5;

/// Verify a run, look at what it does, and sign it
///
/// The run is verified, its figures are shown, and the digest of every file is signed together with the exact counts.
/// At a terminal the number of deletions must be typed first. The approval is written into the run directory, and is void
/// once a byte of the run changes. The same key approves a run once. Exit code 6 where a run or a key is refused.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The private part of your key, as `keygen` makes it
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    key: Option<PathBuf>,
    /// Sign only if the run deletes exactly so many devices; nothing is asked then
    #[arg(long, value_name = "N")]
    expect_deletes: Option<u64>,
    /// Sign nothing, and show who has approved
    #[arg(long, conflicts_with_all = ["key", "expect_deletes"])]
    list: bool,
    /// A file with [approvals]: exit code 6 unless enough of those whose approval counts have approved
    #[arg(long, value_name = "FILE", requires = "list")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let Some(key) = &args.key else { return list(&args.run, args.config.as_deref(), common) };
    let key = PrivateKey::load(key)?;
    let proposal = Proposal::new(&args.run, &common.pool())?;
    show(&args.run, &proposal, common);
    confirm(&args.run, args.expect_deletes, proposal.record.tally.delete)?;
    let signed = proposal.sign(&key, &format_instant(now()))?;
    if common.json {
        return print_json(&json!({
            "run": args.run,
            "path": signed.path,
            "key": signed.approval.key,
            "approved_at": signed.approval.approved_at,
            "already": signed.already,
            "tally": proposal.record.tally,
            "statement": proposal.statement.text(),
        }));
    }
    if signed.already {
        remark(common, &format!("this key approved the run at {}; it counts once", signed.approval.approved_at));
    }
    print(&format!("{}\n", signed.path.display()))
}

/// What is about to be signed, for whoever signs it.
fn show(run: &Path, proposal: &Proposal, common: &Common) {
    let Record { by_type, by_party, tally, .. } = &proposal.record;
    let row = |name: &str, deletes, alerts, silent, quarantined| {
        let mut cells = vec![name.to_owned()];
        cells.extend([deletes, alerts, silent, quarantined].map(count));
        cells
    };
    let types = by_type.iter().filter(|(_, counts)| counts.delete + counts.quarantined > 0);
    let rows = types.map(|(name, of)| row(name, of.delete, of.alerts, of.silent_deletes, of.quarantined));
    let all = row("all", tally.delete, tally.alerts, tally.silent_deletes, tally.quarantined);
    let header = ["type", "delete", "of which told", "silent", "quarantined"];
    remark(common, &format!("{}: verified, of {} rows", run.display(), count(tally.rows)));
    remark(common, &table(&header, rows.chain([all])));

    let mut parties: Vec<_> = by_party.iter().collect();
    parties.sort_by_key(|(_, of)| std::cmp::Reverse(of.deletes));
    let others = parties.get(NAMED..).unwrap_or_default();
    let mut rows: Vec<_> = parties
        .iter()
        .take(NAMED)
        .map(|(name, of)| vec![name.escape_debug().to_string(), count(of.deletes), count(of.alerts)])
        .collect();
    if !others.is_empty() {
        let (deletes, alerts) =
            others.iter().fold((0, 0), |(deletes, alerts), (_, of)| (deletes + of.deletes, alerts + of.alerts));
        rows.push(vec![format!("{} others", others.len()), count(deletes), count(alerts)]);
    }
    remark(common, &table(&["party", "delete", "of which told"], rows));
    remark(common, &format!("to be signed:\n{}", proposal.statement.text().trim_end()));
}

/// Asks a person at a terminal for the number of deletions. Who runs a script has made up their mind.
fn confirm(run: &Path, expected: Option<u64>, deletes: u64) -> Result<()> {
    let said = match expected {
        Some(number) => Some(number),
        None if watched() && io::stdin().is_terminal() => {
            let mut err = io::stderr().lock();
            let _ = write!(err, "number of deletions that you sign for: ").and_then(|()| err.flush());
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer).map_err(Error::io("read", "standard input"))?;
            number(&answer)
        }
        None => return Ok(()),
    };
    if said == Some(deletes) {
        return Ok(());
    }
    let said = said.map_or("no number was given".into(), |number| format!("you said {}", count(number)));
    Err(Error::Approval {
        path: run.into(),
        what: format!("deletes {} devices, and {said}; nothing was signed", count(deletes)),
        remedy: "look at the run's report before you sign".into(),
    })
}

/// A number as people write it, with separators or without.
fn number(text: &str) -> Option<u64> {
    text.trim().replace([',', '_', ' ', '\''], "").parse().ok()
}

fn list(run: &Path, config: Option<&Path>, common: &Common) -> Result<()> {
    let required = config.map(Required::load).transpose()?;
    let found = approval::list(run)?;
    let checked = required.as_ref().map(|required| approval::check(run, required)).transpose();
    let name = |found: &Found| {
        let key = found.approval.as_ref().ok().map(|approval| &approval.key)?;
        required.as_ref()?.name(key)
    };
    if common.json {
        let approvals: Vec<Value> = found.iter().map(|found| document(found, name(found))).collect();
        let mut whole = json!({ "run": run, "approvals": approvals });
        if let Some(required) = &required {
            whole["needed"] = json!(required.needed());
            whole["approved"] = json!(checked.is_ok());
        }
        print_json(&whole)?;
    } else {
        if found.is_empty() {
            remark(common, &format!("{}: nobody has approved it", run.display()));
        }
        print(&found.iter().map(|found| line(found, name(found))).collect::<String>())?;
    }
    checked.map(|_| ())
}

/// An approval as a line; its name where it is known.
pub(super) fn line(found: &Found, name: Option<&str>) -> String {
    match &found.approval {
        Ok(approval) => {
            let name = name.map(|name| format!(" ({})", name.escape_debug())).unwrap_or_default();
            format!("approved {} by {}{name}\n", approval.approved_at, approval.key)
        }
        Err(why) => format!("void {}: {why}\n", found.path.display()),
    }
}

/// An approval as part of a document.
pub(super) fn document(found: &Found, name: Option<&str>) -> Value {
    match &found.approval {
        Ok(approval) => json!({
            "path": found.path, "key": approval.key, "name": name, "approved_at": approval.approved_at, "void": null,
        }),
        Err(why) => json!({ "path": found.path, "key": null, "name": null, "approved_at": null, "void": why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_people_write_it() {
        assert_eq!(number("8,612\n"), Some(8612));
        assert_eq!(number(" 8612 "), Some(8612));
        assert_eq!(number("\n"), None);
        assert_eq!(number("yes"), None);
        assert_eq!(number("-1"), None);
    }
}
