//! Verifies the record alone: its figures add up, its cutoffs follow from the policy, and its guards pass.

use crate::estate::Reason;
use crate::policy::{Policy, Rules};
use crate::run::record::{Record, TallyRecord, cutoffs};
use crate::scan::PartyCounts;
use crate::snapshot::SealSchema;
use crate::sweep::{Uniqueness, guard};

/// Refuses figures that do not add up.
pub(super) fn figures(record: &Record) -> Result<(), String> {
    let mut sum = TallyRecord::default();
    for (name, counts) in
        record.by_type.iter().map(|(name, counts)| (name.as_str(), counts)).chain([("all", &record.tally)])
    {
        if !counts.add_up() {
            return Err(format!("the counts of {name} do not add up"));
        }
    }
    for counts in record.by_type.values() {
        add(&mut sum, counts);
    }
    if sum != record.tally {
        return Err("by_type does not add up to tally".into());
    }
    let by_party = |count: fn(&PartyCounts) -> u64| {
        record.by_party.values().chain([&record.without_party]).map(count).fold(0, u64::saturating_add)
    };
    let files: u64 = record.snapshot.files.iter().map(|file| file.rows).fold(0, u64::saturating_add);
    let bytes: u64 = record.snapshot.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    if bytes != record.snapshot.bytes {
        return Err(format!("the files of the snapshot have {bytes} bytes, recorded are {}", record.snapshot.bytes));
    }
    if record.without_party.alerts > 0 {
        return Err("deletions without a party have alerts".into());
    }
    for (what, found, wanted) in [
        ("by_party adds up to {} deletions", by_party(|party| party.deletes), record.tally.delete),
        ("by_party adds up to {} alerts", by_party(|party| party.alerts), record.tally.alerts),
        ("the snapshot has {} rows", record.snapshot.rows, record.tally.rows),
        ("the files of the snapshot have {} rows", files, record.tally.rows),
    ] {
        if found != wanted {
            return Err(format!("{}, the tally {wanted}", what.replace("{}", &found.to_string())));
        }
    }
    Ok(())
}

/// Refuses a statement on unique Device IDs that the options and seals do not bear out, and a snapshot without what the
/// policy requires.
fn agrees(record: &Record, policy: &Policy) -> Result<(), String> {
    let (options, snapshot) = (&record.options, &record.snapshot);
    let own_digests = snapshot.seals.iter().all(|seal| seal.schema != SealSchema::V1);
    let sealed = own_digests && snapshot.files.iter().all(|file| file.blake3.is_some());
    let borne_out = match record.uniqueness() {
        Uniqueness::Checked => options.unique,
        Uniqueness::Proven => !options.unique && !snapshot.seals.is_empty() && sealed,
        Uniqueness::Unproven => !options.unique,
    };
    if !borne_out {
        return Err("uniqueness does not follow from options and seals".into());
    }
    let duplicates = record.tally.quarantine_reasons.get(Reason::DuplicateDeviceId.name());
    if record.uniqueness() == Uniqueness::Proven && duplicates.is_some() {
        return Err("Device IDs are proven to be unique, and some are duplicates".into());
    }
    if policy.guard.require_unique && record.uniqueness() == Uniqueness::Unproven {
        return Err("the policy requires that Device IDs are proven to be unique".into());
    }
    if policy.guard.require_sealed && !sealed {
        return Err("the policy requires a sealed snapshot".into());
    }
    Ok(())
}

fn add(sum: &mut TallyRecord, counts: &TallyRecord) {
    sum.rows = sum.rows.saturating_add(counts.rows);
    sum.not_candidate = sum.not_candidate.saturating_add(counts.not_candidate);
    sum.excluded = sum.excluded.saturating_add(counts.excluded);
    sum.not_due = sum.not_due.saturating_add(counts.not_due);
    sum.delete = sum.delete.saturating_add(counts.delete);
    sum.quarantined = sum.quarantined.saturating_add(counts.quarantined);
    sum.alerts = sum.alerts.saturating_add(counts.alerts);
    sum.silent_deletes = sum.silent_deletes.saturating_add(counts.silent_deletes);
    for (reason, rows) in &counts.quarantine_reasons {
        let sum = sum.quarantine_reasons.entry(reason.clone()).or_default();
        *sum = sum.saturating_add(*rows);
    }
}

/// Refuses cutoffs that do not follow from the policy at the as-of moment, and figures that a guard stops.
pub(super) fn follows(record: &Record, policy: &Policy, rules: &Rules) -> Result<(), String> {
    let wanted = cutoffs(policy, rules);
    for (name, cutoff) in &wanted {
        if record.cutoffs.get(name) != Some(cutoff) {
            return Err(format!("the cutoff of {name} is not the one that follows from the policy"));
        }
    }
    if record.cutoffs.len() != wanted.len() {
        return Err("there are cutoffs of types that the policy does not know".into());
    }
    agrees(record, policy)?;
    match guard::trips(policy, &record.guarded(&policy.types), record.guard_terms()).into_iter().next() {
        None => Ok(()),
        Some(trip) => Err(format!("a guard would have stopped this run: {}", trip.what)),
    }
}
