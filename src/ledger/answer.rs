//! The counts of a policy, and of the same policy at other thresholds.

use super::data::Ledger;
use super::tally::PolicyTally;
use crate::error::Result;
use crate::policy::Policy;

/// A policy and its counts.
#[derive(Debug)]
pub struct PolicyAnswer {
    /// The policy.
    pub policy: Policy,
    /// Its counts.
    pub tally: PolicyTally,
    /// Its counts if the threshold of all types were so many months.
    pub by_months: Vec<(u32, PolicyTally)>,
}

impl Ledger {
    /// Evaluates a policy as it is, and with each threshold from `months.0` to `months.1` for all types.
    ///
    /// # Errors
    /// As [`tally`](Self::tally).
    pub fn answer(&self, policy: Policy, months: (u32, u32)) -> Result<PolicyAnswer> {
        let tally = self.tally(&policy)?;
        let at = |months: u32| {
            let mut policy = policy.clone();
            policy.thresholds.default = months;
            policy.thresholds.by_type.clear();
            Ok((months, self.tally(&policy)?))
        };
        let by_months = (months.0..=months.1).map(at).collect::<Result<_>>()?;
        Ok(PolicyAnswer { policy, tally, by_months })
    }
}
