//! The JSON document of a regression run, as `regress --json` prints it.

use serde::Serialize;

use super::record::Evidence;
use crate::estate::time::format_instant;
use crate::regress::published::ActualOutcome;
use crate::regress::statements::{Trace, TraceableStatement};
use crate::regress::suite::CaseResult;

/// A regression run: its cases, and the statements that they are traced to.
#[derive(Debug, Serialize)]
pub struct EvidenceDocument<'a> {
    engine: EngineEntry<'a>,
    at: String,
    seconds: f64,
    cases: Vec<CaseEntry<'a>>,
    statements: Option<Vec<StatementEntry<'a>>>,
    statements_not_checked: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct EngineEntry<'a> {
    version: &'a str,
    digest: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct CaseEntry<'a> {
    case: &'a str,
    title: &'a str,
    requirements: &'a [String],
    policy: PolicyEntry<'a>,
    as_of: String,
    files_digest: &'a str,
    stopped_by: Option<&'a str>,
    cells: usize,
    seconds: f64,
    passed: bool,
    differences: Vec<&'a str>,
    endings: Vec<OutcomeEntry<'a>>,
}

#[derive(Debug, Serialize)]
struct PolicyEntry<'a> {
    name: &'a str,
    version: u32,
    digest: String,
}

#[derive(Debug, Serialize)]
struct OutcomeEntry<'a> {
    device_id: &'a str,
    disposition: &'a str,
    reason: &'a str,
    alert: &'a str,
    recipient: &'a str,
    due_on: &'a str,
    told_by: &'a str,
}

#[derive(Debug, Serialize)]
struct StatementEntry<'a> {
    id: &'a str,
    section: &'a str,
    says: &'a str,
    needs: &'a [String],
    shown: bool,
    missing: Vec<&'a str>,
    cases: Vec<TracedCase<'a>>,
}

#[derive(Debug, Serialize)]
struct TracedCase<'a> {
    case: &'a str,
    passed: bool,
}

impl<'a> EvidenceDocument<'a> {
    /// The document of a run.
    #[must_use]
    pub fn new(evidence: &'a Evidence<'_>) -> Self {
        let statements = evidence.statements.map(|statements| statements.trace(evidence.results));
        Self {
            engine: EngineEntry { version: evidence.version, digest: evidence.binary.as_deref() },
            at: format_instant(evidence.at),
            seconds: evidence.seconds,
            cases: evidence.results.iter().map(CaseEntry::new).collect(),
            statements: statements.map(|traced| traced.into_iter().map(StatementEntry::new).collect()),
            statements_not_checked: evidence.statements.is_none().then_some(evidence.not_traced),
        }
    }
}

impl<'a> CaseEntry<'a> {
    fn new(result: &'a CaseResult) -> Self {
        let case = &result.case;
        let policy =
            PolicyEntry { name: &case.policy.name, version: case.policy.version, digest: case.policy.digest() };
        Self {
            case: &case.name,
            title: &case.title,
            requirements: &case.requirements,
            policy,
            as_of: format_instant(case.as_of),
            files_digest: &case.digest,
            stopped_by: case.stopped_by.as_deref(),
            cells: result.cells.len(),
            seconds: result.took.as_secs_f64(),
            passed: result.passed(),
            differences: result.differences.iter().map(|difference| difference.what.as_str()).collect(),
            endings: result.actual.iter().map(OutcomeEntry::new).collect(),
        }
    }
}

impl<'a> OutcomeEntry<'a> {
    fn new(actual: &'a ActualOutcome) -> Self {
        let [device_id, disposition, reason, alert, recipient, due_on] = actual.outcome.fields();
        Self { device_id, disposition, reason, alert, recipient, due_on, told_by: actual.source.name() }
    }
}

impl<'a> StatementEntry<'a> {
    fn new((statement, trace): (&'a TraceableStatement, Trace<'a>)) -> Self {
        let TraceableStatement { id, section, says, needs } = statement;
        let case = |result: &&'a CaseResult| TracedCase { case: &result.case.name, passed: result.passed() };
        Self {
            id,
            section,
            says,
            needs,
            shown: trace.shown(),
            cases: trace.cases.iter().map(case).collect(),
            missing: trace.missing,
        }
    }
}
