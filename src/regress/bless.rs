//! Blessing: what came is taken as what is expected from now on, and a person is shown which lines changed.

use std::collections::HashMap;

use similar::{ChangeTag, TextDiff};

use super::case::Ending;
use super::{Outcome, table};
use crate::error::{Error, Result};
use crate::output::{Existing, OutputFile};

/// Writes what came into `expected.csv` of every case, and says which lines changed, by file: `-` before, `+` after.
/// Comments stay with the device that they stand above.
///
/// # Errors
/// A case that fails for more than its endings, where nothing at all is written; or a file that cannot be written.
pub fn bless(outcomes: &[Outcome]) -> Result<String> {
    let refused: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.blessable()).map(|outcome| outcome.case.name.as_str()).collect();
    if !refused.is_empty() {
        return Err(Error::Regression {
            what: format!(
                "nothing is blessed: {} fails for more than what is expected of its devices",
                refused.join(", ")
            ),
            remedy: "mend stopped_by, the policy, or the engine; only endings can be blessed",
        });
    }
    let mut changes = String::new();
    for outcome in outcomes {
        let path = outcome.case.folder.join("expected.csv");
        let before = if path.exists() { table::read_text(&path)? } else { String::new() };
        let expected = outcome.case.expected.iter().map(|expectation| &expectation.ending);
        if path.exists() && expected.eq(outcome.got.iter().map(|got| &got.ending)) {
            continue;
        }
        let after = rewritten(&before, outcome);
        OutputFile::atomic(&path, Existing::Replace)?.finish_with(after.as_bytes())?;
        changes.push_str(&format!("{}:\n", path.display()));
        for change in TextDiff::from_lines(&before, &after).iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => continue,
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            changes.push_str(&format!("{sign} {}\n", change.value().trim_end()));
        }
    }
    Ok(changes)
}

/// `expected.csv` of what came, with the comments of the file as it is.
fn rewritten(before: &str, outcome: &Outcome) -> String {
    let lines: Vec<&str> = before.lines().collect();
    let mut at = 0;
    let mut remarks_before = |line: usize| -> String {
        let mut remarks = String::new();
        for text in lines[at..line.min(lines.len())].iter().filter(|text| table::is_remark(text)) {
            remarks.extend([text, "\n"]);
        }
        at = line.min(lines.len());
        remarks
    };
    let header = lines.iter().position(|line| !table::is_remark(line)).unwrap_or(lines.len());
    let mut text = remarks_before(header) + &row(&Ending::COLUMNS);
    // Of devices that share their Device ID, the first takes the first's comments.
    let mut remarks: HashMap<&str, Vec<String>> = HashMap::new();
    for expectation in &outcome.case.expected {
        let above = remarks_before(expectation.line - 1);
        remarks.entry(expectation.ending.device_id.as_str()).or_default().push(above);
    }
    let last = remarks_before(lines.len());
    for got in &outcome.got {
        if let Some(above) = remarks.get_mut(got.ending.device_id.as_str()).filter(|above| !above.is_empty()) {
            text.push_str(&above.remove(0));
        }
        text.push_str(&row(&got.ending.cells()));
    }
    // What stood above devices that are gone is kept at the end.
    for expectation in &outcome.case.expected {
        for above in remarks.remove(expectation.ending.device_id.as_str()).unwrap_or_default() {
            text.push_str(&above);
        }
    }
    text + &last
}

/// A row of a table as text.
fn row(cells: &[&str]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into memory does not fail.
    let _ = writer.write_record(cells);
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}
