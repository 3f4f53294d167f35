//! What a policy or the command line requires of a snapshot, before a row of it is judged.

use crate::error::{Fault, Result};
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::sweep::Uniqueness;

/// Refuses a snapshot that is not sealed, or whose Device IDs may occur more than once, where that is required. `flag` is
/// whether the command line requires a seal.
///
/// # Errors
/// The first requirement that is not met: those of the command line, then those of the policies in their order.
pub(super) fn required(snapshot: &Snapshot, policies: &[Policy], uniqueness: Uniqueness, flag: bool) -> Result<()> {
    let refuse = |fault| Err(snapshot.place().refuse(fault));
    if flag && !snapshot.is_sealed() {
        return refuse(Fault::SealRequired("--require-sealed".into()));
    }
    for policy in policies {
        let by = |key: &str| format!("`{key}` of policy `{}`", policy.name);
        if policy.guard.require_sealed && !snapshot.is_sealed() {
            return refuse(Fault::SealRequired(by("require_sealed")));
        }
        if policy.guard.require_unique && uniqueness == Uniqueness::Unproven {
            return refuse(Fault::UniqueRequired(by("require_unique")));
        }
    }
    Ok(())
}
