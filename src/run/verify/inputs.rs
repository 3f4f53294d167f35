//! Verifies what the record says of its inputs: the snapshot, its moment, the previous run, the policy as a document.

use std::collections::{BTreeMap, BTreeSet};

use crate::estate::{Column, Reason, TypeNames, time};
use crate::policy::Policy;
use crate::run::record::{PreviousRecord, Record, SnapshotRecord};
use crate::shown;
use crate::snapshot::{AsOfFrom, OwnMoment};

/// Refuses statements on the inputs that contradict each other, or that a sweep does not write.
pub(super) fn inputs(record: &Record, policy: &Policy) -> Result<(), String> {
    let as_of = moment("as_of", &record.as_of)?;
    policy_document(record, policy)?;
    own_moment(record, as_of)?;
    files(&record.snapshot)?;
    names(record, &policy.types)?;
    let compares = policy.guard.max_growth.is_some() || policy.guard.previous.is_some();
    match &record.previous {
        Some(_) if record.options.first_run => Err("the first run was compared with another".into()),
        Some(previous) => previous_run(previous, as_of),
        None if compares && !record.options.first_run => {
            Err("the policy compares runs, and this one was compared with none".into())
        }
        None => Ok(()),
    }
}

/// The moment, UTC microseconds since 1970. It must be written as a record writes moments.
fn moment(field: &str, text: &str) -> Result<i64, String> {
    let micros = time::parse(text).filter(|micros| time::format_instant(*micros) == text);
    micros.ok_or_else(|| format!("{field} is `{}`, which is not a moment as records have it", shown::value(text)))
}

/// Refuses a document that differs from the policy that was read from it.
fn policy_document(record: &Record, policy: &Policy) -> Result<(), String> {
    let mut document = policy.to_json();
    document["digest"] = policy.digest().into();
    if document == record.policy { Ok(()) } else { Err("the policy is not written as records have it".into()) }
}

/// Compares the as-of moment with the moment of the snapshot.
fn own_moment(record: &Record, as_of: i64) -> Result<(), String> {
    let SnapshotRecord { as_of_from, taken_at, own_moment, seals, .. } = &record.snapshot;
    let taken_at = taken_at.as_deref().map(|text| moment("taken_at", text)).transpose()?;
    if *as_of_from != AsOfFrom::Argument && taken_at != Some(as_of) {
        return Err("as_of is not the moment of the snapshot, where it comes from".into());
    }
    // Records of earlier versions do not say more.
    let Some(own_moment) = own_moment else { return Ok(()) };
    if (*own_moment == OwnMoment::Stated) != taken_at.is_some() {
        return Err("own_moment and taken_at contradict each other".into());
    }
    if *as_of_from == AsOfFrom::Seal && seals.is_empty() {
        return Err("as_of comes from a seal, and there is none".into());
    }
    if !record.options.as_of_later && taken_at.is_some_and(|taken_at| as_of > taken_at) {
        return Err("as_of is after the moment of the snapshot, and that was not accepted".into());
    }
    if record.options.as_of_later && *as_of_from != AsOfFrom::Argument {
        return Err("a later as_of was accepted, and none was given".into());
    }
    Ok(())
}

fn files(snapshot: &SnapshotRecord) -> Result<(), String> {
    let mut paths = BTreeSet::new();
    for file in &snapshot.files {
        let shown = shown::value(&file.path);
        if !paths.insert(&file.path) {
            return Err(format!("the snapshot has the file {shown} twice"));
        }
        if file.blake3.as_deref().is_some_and(|digest| !is_digest(digest)) {
            return Err(format!("the digest of {shown} is none"));
        }
        if file.folder_columns.keys().any(|name| Column::ALL.iter().all(|column| column.name() != name)) {
            return Err(format!("{shown} has a column that no policy reads"));
        }
    }
    if snapshot.files.array_windows().any(|[one, other]| one.role_column != other.role_column) {
        return Err("some files have a column of roles, and some do not".into());
    }
    match snapshot.seals.iter().find(|seal| !is_digest(&seal.blake3)) {
        Some(seal) => Err(format!("the digest of the seal {} is none", shown::value(&seal.path))),
        None => Ok(()),
    }
}

/// Refuses types and reasons that do not exist, and counts of nothing.
fn names(record: &Record, types: &TypeNames) -> Result<(), String> {
    let none = ["(unknown)", "(null)"];
    for (name, counts) in &record.by_type {
        let known = types.get(name).is_some() || none.contains(&name.as_str());
        if !known || counts.rows == 0 {
            return Err(format!("by_type has {}, of which there is no row", shown::value(name)));
        }
    }
    let reasons = |counts: &BTreeMap<String, u64>| {
        counts.iter().all(|(name, rows)| *rows > 0 && Reason::ALL.iter().any(|reason| reason.name() == name))
    };
    if !record.by_type.values().chain([&record.tally]).all(|counts| reasons(&counts.quarantine_reasons)) {
        return Err("there are reasons for quarantine that no row has".into());
    }
    match record.by_party.iter().find(|(_, counts)| counts.deletes == 0) {
        Some((name, _)) => Err(format!("by_party has {}, of which nothing is deleted", shown::value(name))),
        None => Ok(()),
    }
}

fn previous_run(previous: &PreviousRecord, as_of: i64) -> Result<(), String> {
    if moment("as_of of the previous run", &previous.as_of)? > as_of {
        return Err("the previous run is of a later moment".into());
    }
    let figures = previous.figures;
    let id = previous.run.len() == 16 && previous.run.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !id || figures.deletes.saturating_add(figures.quarantined) > figures.rows {
        return Err("the previous run has an identifier or figures that no run has".into());
    }
    Ok(())
}

/// Whether a text is a BLAKE3 digest in hex.
fn is_digest(text: &str) -> bool {
    blake3::Hash::from_hex(text).is_ok_and(|hash| hash.to_hex().as_str() == text)
}
