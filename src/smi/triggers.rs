//! Triggers and rules of the tables that a load writes, as the catalogue of the server lists them (PostgreSQL, `pg_trigger`
//! and `pg_rewrite`).
//!
//! A row trigger that returns NULL leaves its row unwritten, without an error. A load notices that by counting, and names
//! the triggers that can be the reason.

use postgres::GenericClient;

use super::table::tree;

/// What a trigger fires for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TriggerEvent {
    /// Before a row is deleted: the only kind that can prevent it.
    BeforeDelete,
    Delete,
    /// Before a row is inserted: it can be changed, or kept out.
    BeforeInsert,
    Insert,
    Update,
}

impl TriggerEvent {
    /// The bits of `tgtype` (PostgreSQL, `catalog/pg_trigger.h`): row 1, before 2, insert 4, delete 8, update 16.
    const fn bits(self) -> i16 {
        match self {
            Self::BeforeDelete => 1 | 2 | 8,
            Self::Delete => 8,
            Self::BeforeInsert => 1 | 2 | 4,
            Self::Insert => 4,
            Self::Update => 16,
        }
    }

    /// `ev_type` of a rule (PostgreSQL, `pg_rewrite`).
    const fn rule(self) -> &'static str {
        match self {
            Self::BeforeDelete | Self::Delete => "4",
            Self::BeforeInsert | Self::Insert => "3",
            Self::Update => "2",
        }
    }
}

/// The active triggers and the rules of a table, and of its partitions, for an event: "trigger a, rule b"; `None` where there
/// are none. `table` is an SQL name.
pub(super) fn acting_on(
    client: &mut impl GenericClient,
    table: &str,
    event: TriggerEvent,
) -> Result<Option<String>, postgres::Error> {
    let sql = format!(
        "SELECT string_agg(DISTINCT what, ', ' ORDER BY what) FROM (\
         SELECT format('trigger %I', t.tgname) AS what FROM ({tree}) AS o JOIN pg_catalog.pg_trigger t ON t.tgrelid = o.oid \
         WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & {bits} = {bits} \
         UNION SELECT format('rule %I', w.rulename) FROM ({tree}) AS o JOIN pg_catalog.pg_rewrite w ON w.ev_class = o.oid \
         WHERE w.rulename <> '_RETURN' AND w.ev_type = '{rule}') AS acting",
        tree = tree(table),
        bits = event.bits(),
        rule = event.rule(),
    );
    client.query_one(&sql, &[]).map(|row| row.get(0))
}

/// The rules of a table for an event: "rule a, rule b"; `None` where there are none. `table` is an SQL name.
pub(super) fn rules_of(
    client: &mut impl GenericClient,
    table: &str,
    event: TriggerEvent,
) -> Result<Option<String>, postgres::Error> {
    let sql = format!(
        "SELECT string_agg(format('rule %I', rulename), ', ' ORDER BY rulename) FROM pg_catalog.pg_rewrite \
         WHERE ev_class = $1::text::pg_catalog.regclass AND rulename <> '_RETURN' AND ev_type = '{}'",
        event.rule()
    );
    client.query_one(&sql, &[&table]).map(|row| row.get(0))
}
