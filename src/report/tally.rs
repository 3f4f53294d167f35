//! From the file of a ledger to the counts of policies, their tables and their page, in one call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ledger::write;
use crate::error::Result;
use crate::estate::time;
use crate::ledger::{Ledger, PolicyAnswer, PolicyTally};
use crate::output::OutputDirectory;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::run::record::TallyRecord;
use crate::scan::PartyCounts;

/// The thresholds, in months, for which tables and page show the counts where the caller names none.
pub const DEFAULT_MONTHS: (u32, u32) = (1, 60);

/// What [`tally_file`] reads, evaluates and writes.
#[derive(Debug, Clone)]
pub struct TallyOptions<'a> {
    /// The file of a ledger.
    pub ledger: &'a Path,
    /// The policies to evaluate.
    pub policies: Vec<Policy>,
    /// The first and the last threshold, in months, to evaluate for all types; `None`: [`DEFAULT_MONTHS`], in tables
    /// and page only.
    pub months: Option<(u32, u32)>,
    /// The folder for tables and page. It must not exist, and appears whole or not at all.
    pub out: Option<&'a Path>,
}

/// A ledger, and the counts of policies.
#[derive(Debug)]
pub struct LedgerAnswers {
    /// The ledger.
    pub ledger: Ledger,
    /// For each policy its counts, in the order of the options.
    pub answers: Vec<PolicyAnswer>,
}

/// Evaluates policies on a ledger, and writes tables and a page where a folder is named.
///
/// # Errors
/// A file that is not a ledger, a policy that the ledger cannot answer, or a folder that exists or cannot be written.
pub fn tally_file(options: TallyOptions<'_>, pool: &Pool) -> Result<LedgerAnswers> {
    let staging = options.out.map(OutputDirectory::create).transpose()?;
    let ledger = Ledger::read(options.ledger)?;
    let months = options.months.unwrap_or(DEFAULT_MONTHS);
    let answers =
        options.policies.into_iter().map(|policy| ledger.answer(policy, months)).collect::<Result<Vec<_>>>()?;
    if let Some(staging) = staging {
        write(staging.path(), &ledger, &answers)?;
        staging.publish(pool)?;
    }
    Ok(LedgerAnswers { ledger, answers })
}

/// The JSON document of [`LedgerAnswers`].
#[derive(Debug, Serialize)]
pub struct TallyDocument {
    ledger: PathBuf,
    as_of: String,
    estate: Option<String>,
    synthetic: bool,
    policies: Vec<PolicyDocument>,
}

#[derive(Debug, Serialize)]
struct PolicyDocument {
    policy: String,
    version: u32,
    digest: String,
    tally: TallyRecord,
    by_type: BTreeMap<String, TallyRecord>,
    by_party: BTreeMap<String, PartyCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_months: Option<Vec<MonthsDocument>>,
}

#[derive(Debug, Serialize)]
struct MonthsDocument {
    months: u32,
    delete: u64,
    alerts: u64,
    silent_deletes: u64,
}

impl LedgerAnswers {
    /// The counts as a JSON document; those of each threshold too where `with_months` is set. `path` is the ledger's file.
    #[must_use]
    pub fn document(&self, path: &Path, with_months: bool) -> TallyDocument {
        TallyDocument {
            ledger: path.to_path_buf(),
            as_of: time::format_instant(self.ledger.as_of),
            estate: self.ledger.estate.clone(),
            synthetic: self.ledger.synthetic,
            policies: self.answers.iter().map(|answer| self.policy_document(answer, with_months)).collect(),
        }
    }

    fn policy_document(&self, answer: &PolicyAnswer, with_months: bool) -> PolicyDocument {
        let PolicyTally { by_type, by_party } = &answer.tally;
        let type_name = |code| self.ledger.types.name(code).to_owned();
        let at_months = |(months, tally): &(u32, PolicyTally)| {
            let total = tally.by_type.total();
            MonthsDocument {
                months: *months,
                delete: total.deletes(),
                alerts: total.alerts,
                silent_deletes: total.silent_deletes,
            }
        };
        PolicyDocument {
            policy: answer.policy.name.clone(),
            version: answer.policy.version,
            digest: answer.policy.digest(),
            tally: TallyRecord::from(&by_type.total()),
            by_type: by_type.iter().map(|(code, tally)| (type_name(code), TallyRecord::from(tally))).collect(),
            by_party: by_party
                .iter()
                .map(|(party, counts)| (self.ledger.party_name(*party).to_owned(), *counts))
                .collect(),
            by_months: with_months.then(|| answer.by_months.iter().map(at_months).collect()),
        }
    }
}
