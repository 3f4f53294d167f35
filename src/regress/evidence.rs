//! Evidence of a regression run: a report that build servers read, and a page that a test manager signs.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Ending, Outcome, Statements};
use crate::html::{Page, count};

/// What there is to say of a run besides its outcomes.
#[derive(Debug)]
pub struct About<'a> {
    /// The version of the engine.
    pub version: &'a str,
    /// When the run was made, as text.
    pub at: &'a str,
    /// How long it took.
    pub seconds: f64,
}

/// The JUnit report of a run.
///
/// # Errors
/// Text that XML cannot hold.
pub fn junit(outcomes: &[Outcome], statements: &Statements, about: &About<'_>) -> Result<String, String> {
    let mut report = Report::new("smi-sweep regress");
    let mut cases = TestSuite::new("cases");
    cases.add_property(("engine", about.version));
    cases.add_property(("at", about.at));
    for outcome in outcomes {
        let mut test = TestCase::new(outcome.case.name.as_str(), status(&outcome.differences));
        test.set_classname("cases");
        test.set_system_out(format!(
            "{}\n{}\npolicy {} version {}, digest {}\nas of {}, {} cells",
            outcome.case.title,
            outcome.case.demonstrates,
            outcome.case.policy.name,
            outcome.case.policy.version,
            outcome.case.policy.digest(),
            crate::estate::time::format_instant(outcome.case.as_of),
            outcome.cells,
        ));
        cases.add_test_case(test);
    }
    let mut traced = TestSuite::new("statements");
    for statement in &statements.all {
        let passed = Statements::cases(statement, outcomes).any(Outcome::passed);
        let differences = if passed { Vec::new() } else { vec!["no passing case speaks for it".to_owned()] };
        let mut test = TestCase::new(statement.id.as_str(), status(&differences));
        test.set_classname("statements");
        test.set_system_out(format!("{}: {}", statement.section, statement.says));
        traced.add_test_case(test);
    }
    report.add_test_suite(cases);
    report.add_test_suite(traced);
    let text = report.to_string().map_err(|error| error.to_string())?;
    // The schema that build servers hold reports against counts skipped cases by suite only.
    Ok(text.replacen(" skipped=\"0\"", "", 1))
}

fn status(differences: &[String]) -> TestCaseStatus {
    if differences.is_empty() {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(differences[0].as_str());
    status.set_description(differences.join("\n"));
    status
}

/// The page of a run.
#[must_use]
pub fn page(outcomes: &[Outcome], statements: &Statements, about: &About<'_>) -> String {
    let passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
    let cells: usize = outcomes.iter().map(|outcome| outcome.cells).sum();
    let without = statements.without_case(outcomes).len();
    let lead = format!(
        "{passed} of {} cases pass, each in every cell of its matrix, {} sweeps in all. {} of {} statements are demonstrated.",
        outcomes.len(),
        count(cells as u64),
        statements.all.len() - without,
        statements.all.len(),
    );
    let mut page = Page::new("Regression evidence", &lead);
    page.paragraph(&format!("smi-sweep {}, {}, {:.1} s.", about.version, about.at, about.seconds));
    matrix(&mut page, outcomes, statements);
    for outcome in outcomes {
        case(&mut page, outcome);
    }
    page.finish()
}

fn matrix(page: &mut Page, outcomes: &[Outcome], statements: &Statements) {
    page.heading("Statements and the cases that speak for them");
    page.begin_words(&["statement", "section", "what it says", "result", "cases"]);
    for statement in &statements.all {
        let cases: Vec<&Outcome> = Statements::cases(statement, outcomes).collect();
        let failed = cases.iter().filter(|outcome| !outcome.passed()).count();
        let result = match (cases.len(), failed) {
            (0, _) => "no case".to_owned(),
            (all, 0) => format!("{all} passed"),
            (all, failed) => format!("{failed} of {all} failed"),
        };
        let names: Vec<String> = cases
            .iter()
            .map(|outcome| format!("{}{}", outcome.case.name, if outcome.passed() { "" } else { " (failed)" }))
            .collect();
        let cells = [statement.section.clone(), statement.says.clone(), result, names.join(", ")];
        page.row(if failed == 0 && !cases.is_empty() { "" } else { "failed" }, &statement.id, &cells);
    }
    page.end_table();
}

fn case(page: &mut Page, outcome: &Outcome) {
    let case = &outcome.case;
    let verdict = if outcome.passed() { "passed" } else { "FAILED" };
    page.heading(&format!("{}: {verdict}", case.name));
    page.paragraph(&format!("{}. {}", case.title.trim_end_matches('.'), case.demonstrates));
    page.paragraph(&format!(
        "Policy {} version {}, digest {}, as of {}. {} cells. Speaks for {}.",
        case.policy.name,
        case.policy.version,
        case.policy.digest(),
        crate::estate::time::format_instant(case.as_of),
        outcome.cells,
        case.requirements.join(", "),
    ));
    for difference in &outcome.differences {
        page.paragraph(difference);
    }
    if outcome.endings.is_empty() {
        page.paragraph("An estate without devices.");
        return;
    }
    let header = ["device", "type", "status", "since", "expected", "got"];
    page.begin_words(&header);
    let blank = Ending::default();
    for (row, (device, ending)) in case.devices.iter().zip(&outcome.endings).enumerate() {
        let expected = case.expected.get(row).unwrap_or(&blank);
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(null)".into());
        let since = device.since.map_or_else(|| "(null)".into(), crate::estate::time::format_instant);
        let cells = [text(&device.device_type), text(&device.smi_status), since, words(expected), words(ending)];
        page.row(if expected == ending { "" } else { "failed" }, &text(&device.id), &cells);
    }
    page.end_table();
}

/// An ending in a few words.
fn words(ending: &Ending) -> String {
    let mut words = vec![ending.disposition.clone()];
    if !ending.reason.is_empty() {
        words.push(ending.reason.clone());
    }
    if !ending.due_on.is_empty() {
        words.push(format!("due on {}", ending.due_on));
    }
    if !ending.alert.is_empty() {
        words.push(format!("{} to {}", ending.alert, ending.recipient));
    }
    words.join(", ")
}
