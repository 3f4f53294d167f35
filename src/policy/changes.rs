//! How two policies differ, in words for a change-control record.

use super::{Boundary, Policy};
use crate::estate::{SmiStatus, TypeNames, TypeSet};

/// What changes from one policy to another, a sentence each, what widens deletion first to be read like all else.
#[must_use]
pub fn changes(from: &Policy, to: &Policy) -> Vec<String> {
    let mut changes = Vec::new();
    let mut say = |what: String| changes.push(what);
    if (&from.name, from.version) != (&to.name, to.version) {
        say(format!("{} version {} becomes {} version {}.", from.name, from.version, to.name, to.version));
    }
    let names = |policy: &Policy| policy.candidate_statuses.iter().map(SmiStatus::name).collect::<Vec<_>>().join(", ");
    if from.candidate_statuses != to.candidate_statuses {
        say(format!("Swept are devices that are {}, where those that are {} were.", names(to), names(from)));
    }
    if from.boundary != to.boundary {
        let by = |boundary| if boundary == Boundary::Date { "UTC calendar dates" } else { "instants" };
        say(format!("Compared are {}, where {} were.", by(to.boundary), by(from.boundary)));
    }
    for (device_type, name) in to.types.iter() {
        let (before, after) = (from.thresholds.months(device_type), to.thresholds.months(device_type));
        if from.types.get(name).is_none() {
            say(format!("{name} is a device type from now on, with a threshold of {after} months."));
        } else if before != after {
            let way = if after < before { "shorter: more devices become due" } else { "longer" };
            say(format!("The threshold of {name} is {after} months, where it was {before}; {way}."));
        }
    }
    for (_, name) in from.types.iter().filter(|(_, name)| to.types.get(name).is_none()) {
        say(format!("{name} is no longer a device type: devices of it are quarantined."));
    }
    let list = |types: TypeSet, names: &TypeNames| {
        types.iter().map(|device_type| names.name(device_type.code()).to_owned()).collect::<Vec<_>>().join(", ")
    };
    let (added, removed) = (to.exclude.without(from.exclude), from.exclude.without(to.exclude));
    if !added.is_empty() {
        say(format!("{} joins the exclusion list: never deleted from now on.", list(added, &to.types)));
    }
    if !removed.is_empty() {
        say(format!("{} leaves the exclusion list: deleted again when due.", list(removed, &from.types)));
    }
    let (quiet, told) = (
        to.alerts.silent_types.without(from.alerts.silent_types),
        from.alerts.silent_types.without(to.alerts.silent_types),
    );
    if !quiet.is_empty() {
        say(format!("Deletions of {} become silent.", list(quiet, &to.types)));
    }
    if !told.is_empty() {
        say(format!("Deletions of {} raise an alert from now on.", list(told, &from.types)));
    }
    if from.alerts.code != to.alerts.code {
        say(format!("The alert is {}, where it was {}.", to.alerts.code, from.alerts.code));
    }
    let guards = [
        ("max_deletes", from.guard.max_deletes.to_string(), to.guard.max_deletes.to_string()),
        ("max_delete_share", from.guard.max_delete_share.to_string(), to.guard.max_delete_share.to_string()),
        ("max_quarantined", from.guard.max_quarantined.to_string(), to.guard.max_quarantined.to_string()),
    ];
    for (guard, before, after) in guards.into_iter().filter(|(_, before, after)| before != after) {
        say(format!("The guard {guard} is {after}, where it was {before}."));
    }
    if from.spellings != to.spellings {
        say("The estate's own spellings are mapped otherwise: see [snapshot].".into());
    }
    changes
}
