//! What surrounds the device table, as lines of text.

use super::figures::count;
use crate::smi::preflight::{OnDelete, Preflight, ReferencingKey};

/// A line for each thing that a load should know about; none for what is not there.
pub fn lines(preflight: &Preflight) -> Vec<String> {
    let mut lines = Vec::new();
    for trigger in &preflight.triggers {
        let enabled = if trigger.enabled { "" } else { ", disabled" };
        let path = if trigger.own_search_path { "" } else { ", without a search path of its own" };
        lines.push(format!(
            "trigger {} of {}: {}, function {}{path}{enabled}",
            trigger.name, trigger.table, trigger.fires, trigger.function
        ));
    }
    lines.extend(preflight.rules.iter().map(|rule| format!("rule {} of {}: on {}", rule.name, rule.table, rule.event)));
    lines.extend(preflight.foreign_keys.iter().map(foreign_key));
    if preflight.partitions > 0 {
        lines.push(format!("{} partitions", count(preflight.partitions)));
    }
    if preflight.children > 0 {
        lines.push(format!("{} tables inherit from it", count(preflight.children)));
    }
    for publication in &preflight.publications {
        let deletes = if publication.deletes { "publishes its deletions" } else { "does not publish its deletions" };
        lines.push(format!(
            "publication {} has {}: {deletes}, replica identity {}",
            publication.name, publication.table, publication.replica_identity
        ));
    }
    for replica in &preflight.replicas {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "not shown to this user".into());
        let lag = replica.lag_bytes.map_or_else(String::new, |bytes| format!(", {} bytes behind", signed(bytes)));
        lines.push(format!(
            "replica {}: {}, {}{lag}",
            shown(&replica.name),
            shown(&replica.state),
            shown(&replica.sync_state)
        ));
    }
    for slot in &preflight.slots {
        let used = if slot.active { "in use" } else { "not in use" };
        let kept =
            slot.retained_bytes.map_or_else(String::new, |bytes| format!(", keeps {} bytes of WAL", signed(bytes)));
        lines.push(format!("replication slot {}: {used}{kept}", slot.name));
    }
    if preflight.row_security {
        lines.push("row-level security is enabled; rows that it hides are an error".into());
    }
    lines.extend(disk(preflight));
    if let Some(seconds) = preflight.estimated_seconds {
        lines.push(format!("the load takes up to {seconds:.1} s, as this dry run, which tried each undo too"));
    }
    lines
}

fn foreign_key(key: &ReferencingKey) -> String {
    let rows = key.rows.map_or_else(|| "an unknown number of".into(), count);
    let action = match key.on_delete {
        OnDelete::Refuse => "refuses the deletion of a row that it refers to".into(),
        OnDelete::Cascade => format!("deletes {rows} rows with them, which an undo does not restore"),
        OnDelete::SetNull => format!("sets {rows} references to null, which an undo does not restore"),
        OnDelete::SetDefault => format!("sets {rows} references to their default, which an undo does not restore"),
    };
    let index = match (key.indexed, key.table_rows) {
        (true, _) => String::new(),
        (false, Some(rows)) => {
            let rows = count(rows);
            format!("; no index begins with its columns: each deletion reads all of its about {rows} rows")
        }
        (false, None) => "; no index begins with its columns: each deletion reads the whole table".into(),
    };
    format!("foreign key {} of {}: {action}{index}", key.name, key.table)
}

fn disk(preflight: &Preflight) -> Option<String> {
    let archive = preflight.archive_bytes.map(|bytes| format!("the archive grows by about {} bytes", count(bytes)));
    let free = preflight.free_bytes.map(|bytes| format!("{} bytes are free", count(bytes)));
    match (archive, free) {
        (None, None) => None,
        (archive, free) => Some(archive.into_iter().chain(free).collect::<Vec<_>>().join("; ")),
    }
}

fn signed(bytes: i64) -> String {
    count(u64::try_from(bytes).unwrap_or_default())
}
