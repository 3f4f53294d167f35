//! The differences between two policies, as sentences for a change-control record.

use std::collections::BTreeMap;

use super::guard::Limit;
use super::{Boundary, Guard, Policy};
use crate::estate::{DateFormat, DeviceType, SmiStatus, StatusSet, TypeNames, TypeSet, Zone, time};

/// The changes from one policy to another, a sentence for each: first those that may delete more, then all others.
#[must_use]
pub fn changes(from: &Policy, to: &Policy) -> Vec<String> {
    let mut changes = Changes::default();
    if (&from.name, from.version) != (&to.name, to.version) {
        changes.other(format!("{} version {} becomes {} version {}.", from.name, from.version, to.name, to.version));
    }
    statuses(from, to, &mut changes);
    if from.boundary != to.boundary {
        let by = |boundary| if boundary == Boundary::Date { "UTC calendar dates" } else { "instants" };
        let sentence =
            format!("Thresholds are compared by {}, where they were by {}", by(to.boundary), by(from.boundary));
        match to.boundary {
            // By date a device is due from midnight of its due day, by instant from a later time of that day.
            Boundary::Date => changes.wider(format!("{sentence}: devices become due up to a day earlier.")),
            Boundary::Instant => changes.other(format!("{sentence}: devices become due up to a day later.")),
        }
    }
    types(from, to, &mut changes);
    exclusions(from, to, &mut changes);
    thresholds(from, to, &mut changes);
    alerts(from, to, &mut changes);
    guards(from, to, &mut changes);
    spellings(from, to, &mut changes);
    dates(from, to, &mut changes);
    if from.digest() != to.digest() && (&from.name, from.version) == (&to.name, to.version) {
        let warning = "both have this name and version, and they are not the same: raise the version";
        changes.wider.insert(0, format!("{} version {}: {warning}.", from.name, from.version));
    }
    changes.wider.append(&mut changes.other);
    changes.wider
}

/// Sentences; those about changes that may delete more are kept apart.
#[derive(Default)]
struct Changes {
    wider: Vec<String>,
    other: Vec<String>,
}

impl Changes {
    fn wider(&mut self, sentence: String) {
        self.wider.push(sentence);
    }

    fn other(&mut self, sentence: String) {
        self.other.push(sentence);
    }

    fn either(&mut self, wider: bool, sentence: String) {
        if wider { self.wider(sentence) } else { self.other(sentence) }
    }
}

fn statuses(from: &Policy, to: &Policy, changes: &mut Changes) {
    let names = |set: StatusSet, other: StatusSet| {
        set.iter().filter(|status| !other.contains(*status)).map(SmiStatus::name).collect::<Vec<_>>().join(", ")
    };
    let (added, gone) =
        (names(to.candidate_statuses, from.candidate_statuses), names(from.candidate_statuses, to.candidate_statuses));
    if !added.is_empty() {
        changes.wider(format!("Devices that are {added} are swept as well."));
    }
    if !gone.is_empty() {
        changes.other(format!("Devices that are {gone} are no longer swept."));
    }
}

fn types(from: &Policy, to: &Policy, changes: &mut Changes) {
    for (device_type, name) in to.types.iter().filter(|(_, name)| from.types.get(name).is_none()) {
        let sentence = format!("{name} is a device type from now on");
        if to.exclude.contains(device_type) {
            changes.other(format!("{sentence}, and excluded."));
        } else {
            let months = months(to.thresholds.months(device_type));
            changes.wider(format!("{sentence}, and deleted after {months}, where it was quarantined."));
        }
    }
    for (_, name) in from.types.iter().filter(|(_, name)| to.types.get(name).is_none()) {
        changes.other(format!("{name} is no longer a device type: candidates of it are quarantined."));
    }
}

fn exclusions(from: &Policy, to: &Policy, changes: &mut Changes) {
    // Types that only one of the policies has are the subject of `types`.
    let known = |set: TypeSet, other: &Policy, own: &Policy| -> TypeSet {
        set.iter().filter(|one| other.types.get(own.types.name(one.code())).is_some()).collect()
    };
    let added = known(to.exclude.without(from.exclude), from, to);
    let removed = known(from.exclude.without(to.exclude), to, from);
    if !removed.is_empty() {
        let verb = if count(removed) == 1 { "leaves" } else { "leave" };
        changes.wider(format!("{} {verb} the exclusion list: deleted again when due.", list(removed, &from.types)));
    }
    if !added.is_empty() {
        let verb = if count(added) == 1 { "joins" } else { "join" };
        changes.other(format!("{} {verb} the exclusion list: never deleted from now on.", list(added, &to.types)));
    }
}

fn thresholds(from: &Policy, to: &Policy, changes: &mut Changes) {
    // Types with the same change share a sentence. A threshold has no effect on types that the later policy excludes.
    let mut effective: BTreeMap<(u32, u32), TypeSet> = BTreeMap::new();
    let mut without_effect: BTreeMap<(u32, u32), TypeSet> = BTreeMap::new();
    for (device_type, _) in to.types.iter().filter(|(_, name)| from.types.get(name).is_some()) {
        let change = (from.thresholds.months(device_type), to.thresholds.months(device_type));
        if change.0 != change.1 {
            let sets = if to.exclude.contains(device_type) { &mut without_effect } else { &mut effective };
            let set = sets.entry(change).or_default();
            *set = set.union([device_type].into_iter().collect());
        }
    }
    let subject = |set: TypeSet| {
        let all = to.types.iter().filter(|(_, name)| from.types.get(name).is_some()).count();
        if count(set) == all { "every type".to_owned() } else { list(set, &to.types) }
    };
    for ((before, after), set) in effective {
        let effect = if after < before { "shorter, so that more devices are due" } else { "longer" };
        let types = subject(set);
        changes.either(
            after < before,
            format!("The threshold of {types} is {}, where it was {before}: {effect}.", months(after)),
        );
    }
    for ((before, after), set) in without_effect {
        let types = subject(set);
        let months = months(after);
        changes.other(format!(
            "The threshold of {types} is {months}, where it was {before}: of no effect, since excluded."
        ));
    }
    let (before, after) = (from.thresholds.default, to.thresholds.default);
    if before != after && to.types.iter().all(|(one, _)| from.thresholds.months(one) == to.thresholds.months(one)) {
        changes.other(format!("The default threshold is {}, where it was {before}: no type has it.", months(after)));
    }
}

fn alerts(from: &Policy, to: &Policy, changes: &mut Changes) {
    let (silenced, alerted) = (
        to.alerts.silent_types.without(from.alerts.silent_types),
        from.alerts.silent_types.without(to.alerts.silent_types),
    );
    if !silenced.is_empty() {
        let types = list(silenced, &to.types);
        changes.wider(format!(
            "Deletions of {types} become silent, and need no party any more, where no role says otherwise."
        ));
    }
    if !alerted.is_empty() {
        let types = list(alerted, &from.types);
        changes.other(format!("Deletions of {types} raise an alert from now on, where no role says otherwise."));
    }
    if from.alerts.code != to.alerts.code {
        changes.other(format!("The alert is {}, where it was {}.", to.alerts.code, from.alerts.code));
    }
}

fn guards(from: &Policy, to: &Policy, changes: &mut Changes) {
    let (before, after) = (from.guard.limits(), to.guard.limits());
    let other = |limits: &[Limit], key: &str| limits.iter().position(|limit| limit.key == key);
    for Limit { key, text, value } in &after {
        match other(&before, key).map(|place| &before[place]) {
            None => changes.other(format!("The guard {key} is {text}, where there was none: it stops more.")),
            Some(was) if was.text == *text => {}
            Some(was) => {
                let raised = *value > was.value;
                let effect = if raised { "it stops less" } else { "it stops more" };
                changes.either(raised, format!("The guard {key} is {text}, where it was {}: {effect}.", was.text));
            }
        }
    }
    for Limit { key, text, .. } in before.iter().filter(|limit| other(&after, &limit.key).is_none()) {
        changes.wider(format!("There is no guard {key} any more, where it was {text}: it stops less."));
    }
    if from.guard.previous != to.guard.previous {
        let run = |guard: &Guard| guard.previous.as_ref().map_or_else(|| "no run".to_owned(), |run| format!("`{run}`"));
        let sentence = format!("Runs are compared with {}, where they were with {}", run(&to.guard), run(&from.guard));
        changes.either(to.guard.previous.is_none(), format!("{sentence}."));
    }
    for (key, before, after) in [
        ("require_unique", from.guard.require_unique, to.guard.require_unique),
        ("require_sealed", from.guard.require_sealed, to.guard.require_sealed),
    ] {
        if before != after {
            let now = if after { "is required" } else { "is no longer required" };
            changes.either(before, format!("The guard {key} {now}."));
        }
    }
}

fn spellings(from: &Policy, to: &Policy, changes: &mut Changes) {
    let (one, other) = (&from.spellings, &to.spellings);
    mapped(changes, "status", &one.statuses, &other.statuses, &|status: Option<SmiStatus>| {
        let candidate = status.is_some_and(|status| to.candidate_statuses.contains(status));
        (status.map_or("no status", SmiStatus::name).to_owned(), candidate)
    });
    mapped(changes, "type", &one.types, &other.types, &|device_type: DeviceType| {
        let name = to.types.name(device_type.code()).to_owned();
        (name, !to.exclude.contains(device_type))
    });
    mapped(changes, "column", &one.columns, &other.columns, &|column: crate::estate::Column| {
        (column.name().to_owned(), false)
    });
}

fn dates(from: &Policy, to: &Policy, changes: &mut Changes) {
    if from.earliest_date != to.earliest_date {
        // Without the key, dates from the year 1 on are plausible.
        let day = |policy: &Policy| policy.earliest_date.map_or_else(|| "in the year 1".into(), time::format_day);
        let wider = to.earliest_date.unwrap_or(i32::MIN) < from.earliest_date.unwrap_or(i32::MIN);
        let effect =
            if wider { "rows with older dates can be deleted" } else { "rows with older dates are quarantined" };
        changes.either(
            wider,
            format!("The earliest plausible date is {}, where it was {}: {effect}.", day(to), day(from)),
        );
    }
    let (one, other) = (&from.spellings.dates, &to.spellings.dates);
    if one.format != other.format {
        let name = |format: &Option<DateFormat>| {
            format
                .as_ref()
                .map_or_else(|| "refused".to_owned(), |format| format!("read by the format `{}`", format.pattern()))
        };
        let sentence =
            format!("Dates that are text are {}, where they were {}", name(&other.format), name(&one.format));
        changes.either(other.format.is_some(), format!("{sentence}."));
    }
    if one.zone != other.zone {
        let name = |zone: &Option<Zone>| zone.as_ref().map_or("UTC", Zone::name).to_owned();
        let sentence =
            format!("Times without a zone are read in {}, where they were in {}", name(&other.zone), name(&one.zone));
        changes.wider(format!("{sentence}: devices may become due a day earlier or later."));
    }
}

/// Spellings that are mapped differently. `meaning` gives the name of a value, and whether rows with it can be deleted.
fn mapped<T: Copy + PartialEq>(
    changes: &mut Changes,
    what: &str,
    from: &BTreeMap<String, T>,
    to: &BTreeMap<String, T>,
    meaning: &dyn Fn(T) -> (String, bool),
) {
    for (spelling, &value) in to {
        let (name, deletable) = meaning(value);
        let sentence = match from.get(spelling) {
            Some(&before) if before == value => continue,
            Some(&before) => format!("The {what} `{spelling}` is read as {name}, where it was {}", meaning(before).0),
            None => format!("The {what} `{spelling}` is read as {name}"),
        };
        if deletable {
            changes.wider(format!("{sentence}: rows with it can be deleted."));
        } else {
            changes.other(format!("{sentence}."));
        }
    }
    for (spelling, &value) in from.iter().filter(|(spelling, _)| !to.contains_key(*spelling)) {
        changes.other(format!("The {what} `{spelling}` is no longer read as {}.", meaning(value).0));
    }
}

fn months(months: u32) -> String {
    if months == 1 { "1 month".into() } else { format!("{months} months") }
}

fn count(types: TypeSet) -> usize {
    types.iter().count()
}

/// Names of types as a list in a sentence: `CHF, GPF and IHD`.
fn list(types: TypeSet, names: &TypeNames) -> String {
    let names: Vec<&str> = types.iter().map(|device_type| names.name(device_type.code())).collect();
    match &names[..] {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => names.concat(),
    }
}
