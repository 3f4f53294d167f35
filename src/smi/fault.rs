//! Errors of the server as one line with a remedy, by SQLSTATE (PostgreSQL, Appendix A).
//!
//! Messages of the server are passed on unchanged, without their detail lines: those quote values of rows.

use postgres::error::SqlState;

use crate::error::Error;

/// Maps an error of the server. `trying` begins the message, such as `cannot load`.
pub(super) fn failed(trying: &str) -> impl FnOnce(postgres::Error) -> Error {
    move |error| inventory(trying, &error)
}

/// The same for an error of a reader that contains an error of the server.
pub(super) fn failed_io(trying: &str) -> impl FnOnce(std::io::Error) -> Error {
    move |error| match error.get_ref().and_then(|inner| inner.downcast_ref::<postgres::Error>()) {
        Some(inner) => inventory(trying, inner),
        None => Error::Inventory { what: format!("{trying}: {error}"), remedy: String::new() },
    }
}

/// An error of the server, or of the connection, as one line.
pub(super) fn inventory(trying: &str, error: &postgres::Error) -> Error {
    if let Some(server_error) = error.as_db_error() {
        let what = format!("{trying}: the server says: {} ({})", server_error.message(), server_error.code().code());
        return Error::Inventory { what, remedy: remedy(server_error.code()).into() };
    }
    let gone = error.is_closed() || source_of(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    let remedy = if gone { GONE } else { "" };
    Error::Inventory { what: format!("{trying}: {}", chain(error)), remedy: remedy.into() }
}

/// Classes of SQLSTATE (PostgreSQL, Appendix A) that are about the session, the server or its catalogue, not about a row:
/// connection, feature not supported, transaction state, authorization, names, syntax, resources, prerequisite state,
/// operator intervention, system, configuration, foreign data, internal error. The script of a run knows the same.
pub(crate) const NOT_OF_A_ROW: [&str; 16] =
    ["08", "0A", "0B", "25", "28", "2D", "3D", "3F", "40", "42", "53", "55", "57", "58", "F0", "XX"];

const GONE: &str =
    "check that the server runs and can be reached; then run the same command again: it continues where it stopped";

/// The messages of an error and of its sources, each once.
fn chain(error: &postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = source_of(error);
    while let Some(inner) = source {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = inner.source();
    }
    text
}

fn source_of(error: &postgres::Error) -> Option<&(dyn std::error::Error + 'static)> {
    std::error::Error::source(error)
}

fn remedy(code: &SqlState) -> &'static str {
    match code.code() {
        "28P01" | "28000" => {
            "check the user, the password (PGPASSWORD, .pgpass or the URL) and the server's pg_hba.conf"
        }
        "3D000" => "check the name of the database in the URL",
        "42501" => "grant the user what is missing; docs/load.md lists what a load needs",
        "42P01" => {
            "check the names in the configuration; `smi-sweep load --init` makes the tables of a load; a trigger that names \
             a table without its schema needs trigger_schemas of [load]"
        }
        "42883" | "42704" => {
            "a trigger that names a function or a type without its schema needs trigger_schemas of [load], or ALTER FUNCTION \
             ... SET search_path"
        }
        "42703" => {
            "check the columns in the configuration; after a change of the inventory run `smi-sweep load --init` again"
        }
        "53300" => "use fewer --connections",
        "53100" => "free some space on the server",
        "55P03" => "another session holds a lock; try again, or raise --lock-timeout",
        "57014" => "raise --statement-timeout, or use a smaller --batch",
        "25006" => "name the primary: this server is read-only",
        "57P01" | "57P02" | "57P03" | "08000" | "08003" | "08006" => GONE,
        _ => "",
    }
}
