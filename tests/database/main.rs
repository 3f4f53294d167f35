//! Tests against a real PostgreSQL server, which each test starts in a temporary directory.

#[path = "../common/mod.rs"]
mod common;

mod archive;
mod export_locks;
mod inventory;
mod inventory_forms;
mod inventory_kills;
mod inventory_refusals;
mod load_account;
mod load_stops;
mod manifest_export_postgres;
mod preflight;
mod queries;
mod script_load;
mod server_errors;
mod session;
mod spellings;
mod undo;
