//! What a session of ours is set to, whatever `ALTER ROLE ... SET` and `ALTER DATABASE ... SET` say.
//!
//! A connection sends the settings when it starts, so that no statement runs without them. It then asks for them: a pooler
//! between client and server refuses them or leaves them out. The script of [`crate::handover`] sets the same in each of its
//! transactions.
//!
//! With this search path, names of operators and functions are PostgreSQL's own, and every table is named with its schema.
//! An operator that another user made for the types of a column would otherwise run with the rights of the loader
//! (PostgreSQL, Writing SECURITY DEFINER Functions Safely).

use std::fmt::Write as _;

/// Settings that any user may change, and their values as the server shows them. No timeout holds unless a load sets one.
///
/// `default_transaction_read_only` is not among them: where it is on, the database is not to be written to.
pub(crate) const SETTINGS: [(&str, &str); 23] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("row_security", "off"),
    ("client_min_messages", "warning"),
    ("exit_on_error", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("synchronous_commit", "on"),
    ("jit", "off"),
    ("enable_partition_pruning", "on"),
];

/// Adds schemas to the search path, quoted names, for functions of triggers that look for names there.
pub(super) fn look_into(schemas: &[String]) -> String {
    format!("SET search_path = pg_catalog, {}, pg_temp", schemas.join(", "))
}

/// Makes the server plan every batch for its own size, and by index: the cost of a batch must not grow with the inventory.
pub(super) const PLAN_BY_INDEX: &str = "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_nestloop = on; SET enable_indexscan = on; \
     SET enable_indexonlyscan = on; SET enable_bitmapscan = on; SET enable_tidscan = on";

/// The settings as the startup parameter `options`, after those of the user: `-c name=value`, spaces escaped (PostgreSQL,
/// libpq, options).
pub(super) fn startup_options(own: Option<&str>) -> String {
    let mut options = own.unwrap_or_default().to_owned();
    for (name, value) in SETTINGS {
        let _ = write!(options, " -c {name}={}", value.replace(' ', "\\ "));
    }
    options
}

/// The settings as statements for one transaction, on one line: they end with it, also where a pooler gives its connection to
/// another client.
pub(crate) fn for_one_transaction() -> String {
    let set = |(name, value): (&str, &str)| match name {
        // A list of names: in quotes it would be one name.
        "search_path" => format!("SET LOCAL {name} TO {value};"),
        _ => format!("SET LOCAL {name} TO '{value}';"),
    };
    SETTINGS.map(set).join(" ")
}

/// A query of one row with the values of [`SETTINGS`] in this session, and then of `session_replication_role`.
pub(super) fn current_values() -> String {
    let values: Vec<String> =
        SETTINGS.iter().map(|(name, _)| format!("pg_catalog.current_setting('{name}')")).collect();
    format!("SELECT {}, pg_catalog.current_setting('session_replication_role')", values.join(", "))
}

/// Timeouts that only later versions of PostgreSQL have; they are switched off where they exist.
pub(super) const LATER_TIMEOUTS: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
     WHERE name OPERATOR(pg_catalog.=) 'transaction_timeout'";
