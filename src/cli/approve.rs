//! `smi-sweep approve`: shows a run's figures and signs them, or lists the approvals of a run.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::figures::{count, table};
use super::progress::now;
use super::terminal::{ask, can_ask};
use super::{Common, print, print_json, remark};
use crate::approval::{self, ApprovalFile, PrivateKey, Proposal, PublicKey, RequiredApprovals};
use crate::error::{Error, Result};
use crate::estate::time::format_instant;
use crate::run::Record;
use crate::run::record::TallyRecord;
use crate::shown;

/// How many parties are listed: those with the most deletions.
const NAMED: usize = 5;

/// Verify a run, show its figures, and sign it
///
/// The digest of every file is signed together with the exact counts. At a terminal you first type the number of
/// deletions; without one, --expect-deletes has it. The approval is written into the run directory, and is void once a byte of the run changes. A key approves a
/// run once. Exit code 6 where the run or the key is refused.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Your private key, from `keygen`
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    key: Option<PathBuf>,
    /// Sign only a run with exactly so many deletions, without asking; needed where there is no terminal
    #[arg(long, value_name = "N")]
    expect_deletes: Option<u64>,
    /// Sign nothing, and list the approvals
    #[arg(long, conflicts_with_all = ["key", "expect_deletes"])]
    list: bool,
    /// A file with [approvals]: exit code 6 unless enough of the listed keys have approved
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
        return print_json(&SignedDocument {
            run: &args.run,
            path: &signed.path,
            key: &signed.approval.key,
            approved_at: &signed.approval.approved_at,
            already: signed.already,
            tally: &proposal.record.tally,
            statement: proposal.statement.text(),
        });
    }
    if signed.already {
        remark(common, &format!("this key approved the run already, at {}", signed.approval.approved_at));
    }
    print(&format!("{}\n", shown::path(&signed.path)))
}

/// Prints the figures that are about to be signed.
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
    let header = ["type", "delete", "with alert", "silent", "quarantined"];
    remark(common, &format!("{}: verified, of {} rows", shown::path(&run), count(tally.rows)));
    remark(common, &table(&header, rows.chain([all])));

    let mut parties: Vec<_> = by_party.iter().collect();
    parties.sort_by_key(|(_, of)| std::cmp::Reverse(of.deletes));
    let others = parties.get(NAMED..).unwrap_or_default();
    let mut rows: Vec<_> = parties
        .iter()
        .take(NAMED)
        .map(|(name, of)| vec![(*name).clone(), count(of.deletes), count(of.alerts)])
        .collect();
    if !others.is_empty() {
        let (deletes, alerts) =
            others.iter().fold((0, 0), |(deletes, alerts), (_, of)| (deletes + of.deletes, alerts + of.alerts));
        rows.push(vec![format!("{} others", others.len()), count(deletes), count(alerts)]);
    }
    remark(common, &table(&["party", "delete", "with alert"], rows));
    remark(common, &format!("to be signed:\n{}", proposal.statement.text().trim_end()));
}

/// At a terminal, asks for the number of deletions. A script says it with `--expect-deletes`: what no one has read must
/// not be signed.
fn confirm(run: &Path, expected: Option<u64>, deletes: u64) -> Result<()> {
    let answer = match expected {
        Some(number) => Some(number),
        None if can_ask() => number(&ask("number of deletions that you sign for:")?),
        None => {
            return Err(Error::Usage {
                what: "an approval without a terminal needs --expect-deletes; nothing was signed".into(),
                remedy: "add --expect-deletes N, with the number of deletions that you sign for".into(),
            });
        }
    };
    if answer == Some(deletes) {
        return Ok(());
    }
    let answer = answer.map_or("no number was given".into(), |number| format!("the answer was {}", count(number)));
    Err(Error::Approval {
        path: run.into(),
        what: format!("has {} deletions, and {answer}; nothing was signed", count(deletes)),
        remedy: "look at the run's report before you sign".into(),
    })
}

/// Reads a number with or without separators of thousands.
fn number(text: &str) -> Option<u64> {
    text.trim().replace([',', '_', ' ', '\''], "").parse().ok()
}

fn list(run: &Path, config: Option<&Path>, common: &Common) -> Result<()> {
    let required = config.map(RequiredApprovals::load).transpose()?;
    let found = approval::list(run)?;
    let checked = required.as_ref().map(|required| approval::check(run, required)).transpose();
    let name = |found: &ApprovalFile| {
        let key = found.approval.as_ref().ok().map(|approval| &approval.key)?;
        required.as_ref()?.name(key)
    };
    if common.json {
        print_json(&ApprovalsDocument {
            run,
            approvals: found.iter().map(|found| ApprovalEntry::new(found, name(found))).collect(),
            needed: required.as_ref().map(RequiredApprovals::needed),
            approved: required.as_ref().map(|_| checked.is_ok()),
        })?;
    } else {
        if found.is_empty() {
            remark(common, &format!("{}: no approvals", shown::path(&run)));
        }
        print(&found.iter().map(|found| line(found, name(found))).collect::<String>())?;
    }
    checked.map(|_| ())
}

/// An approval as a line of text. `name` is the holder of the key, where it is known.
pub(super) fn line(found: &ApprovalFile, name: Option<&str>) -> String {
    match &found.approval {
        Ok(approval) => {
            let name = name.map(|name| format!(" ({})", shown::value(name))).unwrap_or_default();
            format!("approved {} by {}{name}\n", approval.approved_at, approval.key)
        }
        Err(why) => format!("void {}: {}\n", shown::path(&found.path), shown::message(why, 1000)),
    }
}

#[derive(Serialize)]
struct SignedDocument<'a> {
    run: &'a Path,
    path: &'a Path,
    key: &'a PublicKey,
    approved_at: &'a str,
    already: bool,
    tally: &'a TallyRecord,
    statement: &'a str,
}

#[derive(Serialize)]
struct ApprovalsDocument<'a> {
    run: &'a Path,
    approvals: Vec<ApprovalEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<bool>,
}

/// An approval in a JSON document. One that is void has only a path and the reason.
#[derive(Serialize)]
pub(super) struct ApprovalEntry<'a> {
    path: &'a Path,
    key: Option<&'a PublicKey>,
    name: Option<&'a str>,
    approved_at: Option<&'a str>,
    void: Option<&'a str>,
}

impl<'a> ApprovalEntry<'a> {
    pub(super) fn new(found: &'a ApprovalFile, name: Option<&'a str>) -> Self {
        let approval = found.approval.as_ref().ok();
        Self {
            path: &found.path,
            key: approval.map(|approval| &approval.key),
            name: name.filter(|_| approval.is_some()),
            approved_at: approval.map(|approval| approval.approved_at.as_str()),
            void: found.approval.as_ref().err().map(String::as_str),
        }
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
