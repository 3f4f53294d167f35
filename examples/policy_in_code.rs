//! Builds a policy in code, and asks it which devices are due.
//!
//! ```sh
//! cargo run --example policy_in_code
//! ```

use smi_sweep::Result;
use smi_sweep::estate::{DeviceId, DeviceType, Disposition, SmiStatus, TypeSet, time};
use smi_sweep::policy::{JudgedRow, PartyField, Policy, RoleField};

fn main() -> Result<()> {
    for (since, disposition) in dispositions(&["2024-10-31", "2024-11-01", "2024-11-02"])? {
        println!("a PPMID that is Pending since {since}: {}", disposition.name());
    }
    Ok(())
}

/// A policy that starts from a built-in one: PPMIDs wait for 24 months, Comms Hubs and HCALCS are never deleted.
fn policy() -> Result<Policy> {
    let mut policy = Policy::load("secmp0060")?;
    policy.name = "patient".into();
    policy.version = 1;
    policy.thresholds.by_type.insert(DeviceType::PPMID, 24);
    policy.exclude = [DeviceType::CHF, DeviceType::GPF, DeviceType::HCALCS].into_iter().collect::<TypeSet>();
    Ok(policy)
}

/// What the policy decides on 1 November 2026 for PPMIDs with these status dates.
///
/// # Errors
/// None, as long as there is a built-in policy `secmp0060`.
pub fn dispositions<'a>(dates: &[&'a str]) -> Result<Vec<(&'a str, Disposition)>> {
    let rules = policy()?.bind(time::parse("2026-11-01").unwrap_or_default());
    let device = |since| JudgedRow {
        status_code: SmiStatus::Pending.code(),
        type_code: DeviceType::PPMID.code(),
        since: time::parse(since),
        id: Some(DeviceId(0x00DB_1234_5678_90A0)),
        role: RoleField::Absent,
        party: PartyField::Usable,
    };
    Ok(dates.iter().map(|&since| (since, rules.judge(&device(since)))).collect())
}
