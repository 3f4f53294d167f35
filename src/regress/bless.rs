//! Blessing: writes the actual outcomes as the expected ones, and prints the changed lines.

use std::collections::HashMap;

use similar::{ChangeTag, TextDiff};

use super::case::DeviceOutcome;
use super::published::ActualOutcome;
use super::suite::CaseResult;
use super::table;
use crate::error::{Error, Result};
use crate::output::{Existing, OutputFile};
use crate::shown;

/// Writes the actual outcomes into `expected.csv` of every case. Returns the changed lines by file, with `-` for a line
/// before and `+` for one after. A comment stays above its device.
///
/// # Errors
/// A case that also fails for another reason; then nothing is written. A file that cannot be written.
pub fn bless(results: &[CaseResult]) -> Result<String> {
    let refused: Vec<&str> =
        results.iter().filter(|result| !result.blessable()).map(|result| result.case.name.as_str()).collect();
    if !refused.is_empty() {
        return Err(Error::Regression {
            what: format!(
                "nothing is blessed: {} fails for more than what is expected of its devices",
                refused.join(", ")
            ),
            remedy: "fix stopped_by, the policy, or the engine; only outcomes can be blessed",
        });
    }
    let mut changes = String::new();
    for result in results {
        let path = result.case.folder.join("expected.csv");
        let before = if path.exists() { table::read_text(&path)? } else { String::new() };
        let expected = result.case.expected.iter().map(|expected| &expected.outcome);
        if path.exists() && expected.eq(result.actual.iter().map(|actual| &actual.outcome)) {
            continue;
        }
        let after = rewritten(&before, result);
        OutputFile::atomic(&path, Existing::Replace)?.finish_with(after.as_bytes())?;
        changes.push_str(&format!("{}:\n", shown::path(&path)));
        for change in TextDiff::from_lines(&before, &after).iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => continue,
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            changes.push_str(&format!("{sign} {}\n", shown::message(change.value().trim_end(), 1000)));
        }
    }
    Ok(changes)
}

/// `expected.csv` with the actual outcomes, and the comments of the file as it is.
fn rewritten(before: &str, result: &CaseResult) -> String {
    let lines: Vec<&str> = before.lines().collect();
    let mut at = 0;
    let mut comments_before = |line: usize| -> String {
        let mut comments = String::new();
        for text in lines[at..line.min(lines.len())].iter().filter(|text| table::is_comment(text)) {
            comments.extend([text, "\n"]);
        }
        at = line.min(lines.len());
        comments
    };
    let header = lines.iter().position(|line| !table::is_comment(line)).unwrap_or(lines.len());
    let mut text = comments_before(header) + &row(&DeviceOutcome::COLUMNS);
    // Devices with the same Device ID take their comments in order.
    let mut comments: HashMap<&str, Vec<String>> = HashMap::new();
    for expected in &result.case.expected {
        let above = comments_before(expected.line - 1);
        comments.entry(expected.outcome.device_id.as_str()).or_default().push(above);
    }
    let last = comments_before(lines.len());
    for ActualOutcome { outcome, .. } in &result.actual {
        if let Some(above) = comments.get_mut(outcome.device_id.as_str()).filter(|above| !above.is_empty()) {
            text.push_str(&above.remove(0));
        }
        text.push_str(&row(&outcome.fields()));
    }
    // Comments above devices that are gone are kept at the end.
    for expected in &result.case.expected {
        for above in comments.remove(expected.outcome.device_id.as_str()).unwrap_or_default() {
            text.push_str(&above);
        }
    }
    text + &last
}

/// A row as CSV text.
fn row(cells: &[&str]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into memory cannot fail.
    let _ = writer.write_record(cells);
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}
