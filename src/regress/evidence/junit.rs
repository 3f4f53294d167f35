//! The JUnit report for build servers. `docs/junit.xsd` is the subset of JUnit that it uses.

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::record::Evidence;
use crate::estate::time::format_instant;
use crate::regress::suite::CaseResult;

/// The JUnit report of a run: a suite of cases, and a suite of statements where cases are traced to them.
///
/// # Errors
/// A case with text that XML cannot hold, such as a control character.
pub fn junit(evidence: &Evidence<'_>) -> Result<String, String> {
    let mut report = Report::new("smi-sweep regress");
    let at = DateTime::from_timestamp_micros(evidence.at).unwrap_or_default().fixed_offset();
    let mut cases = TestSuite::new("cases");
    cases.set_timestamp(at);
    cases.set_time(evidence.results.iter().map(|result| result.took).sum());
    cases.add_property(("engine", evidence.version));
    cases.add_property(("case files", evidence.digest().as_str()));
    if let Some(binary) = &evidence.binary {
        cases.add_property(("engine digest", binary.as_str()));
    }
    if evidence.statements.is_none() {
        cases.add_property(("statements", evidence.not_traced));
    }
    for result in evidence.results {
        let sentences: Vec<&str> = result.differences.iter().map(|difference| difference.what.as_str()).collect();
        let mut test = TestCase::new(result.case.name.as_str(), status(&sentences));
        test.set_classname("cases").set_time(result.took).set_system_out(about(result));
        cases.add_test_case(test);
    }
    report.add_test_suite(cases);
    if let Some(statements) = evidence.statements {
        let mut traced = TestSuite::new("statements");
        traced.set_timestamp(at);
        for (statement, trace) in statements.trace(evidence.results) {
            let missing = format!("no passing case shows: {}", trace.missing.join(", "));
            let sentences = [missing.as_str()];
            let mut test = TestCase::new(statement.id.as_str(), status(&sentences[..usize::from(!trace.shown())]));
            let names: Vec<&str> = trace.cases.iter().map(|result| result.case.name.as_str()).collect();
            test.set_classname("statements")
                .set_time(trace.cases.iter().map(|result| result.took).sum())
                .set_system_out(format!("{}: {}\ncases: {}", statement.section, statement.says, names.join(", ")));
            traced.add_test_case(test);
        }
        report.add_test_suite(traced);
    }
    let text = report.to_string().map_err(|error| error.to_string())?;
    // Common JUnit schemas allow `skipped` on suites only; the first tag is that of the whole report.
    Ok(text.replacen(" skipped=\"0\"", "", 1))
}

fn about(result: &CaseResult) -> String {
    let case = &result.case;
    format!(
        "{}\n{}\npolicy {} version {}, digest {}\nas of {}, {} cells\ncase files {}",
        case.title,
        case.demonstrates,
        case.policy.name,
        case.policy.version,
        case.policy.digest(),
        format_instant(case.as_of),
        result.cells.len(),
        case.digest,
    )
}

fn status(sentences: &[&str]) -> TestCaseStatus {
    let Some(first) = sentences.first() else { return TestCaseStatus::success() };
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(*first);
    status.set_type("difference");
    status.set_description(sentences.join("\n"));
    status
}
