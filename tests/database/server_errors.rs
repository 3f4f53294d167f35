//! Errors of the server, each provoked on a real one: the message has the SQLSTATE, the help says what to do about it.

use std::fs;
use std::process::Output;

use crate::common::outcome;
use crate::common::server::{Database, POLICY, Server, confirmation};

/// Asserts exit code 1, an SQLSTATE and the help for it.
#[track_caller]
fn explained(output: &Output, state: &str, help: &str) {
    let (code, _, err) = outcome(output);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(&format!("({state})")), "{state}: {err}");
    assert!(err.lines().any(|line| line.starts_with("  help: ") && line.contains(help)), "{state}: {err}");
}

fn run(database: &Database, arguments: &[&str]) -> Output {
    database.command(arguments).output().unwrap()
}

#[test]
fn a_wrong_password_names_the_places_of_passwords() {
    let server = Server::start(&["password_encryption=scram-sha-256"]);
    let database = server.database("login", None);
    database.sql("CREATE ROLE loader LOGIN PASSWORD 'right'");
    fs::write(server.path("data/pg_hba.conf"), "local all loader scram-sha-256\nlocal all all trust\n").unwrap();
    database.text("SELECT pg_reload_conf()::text");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let url = database.url().replace("smi@", "loader:wrong@");
    let out = server.path("out");
    let output = run(&database, &["export", "--from", &url, "--out", out.to_str().unwrap()]);
    explained(&output, "28P01", "PGPASSWORD, .pgpass or the URL");
}

#[test]
fn what_is_missing_or_forbidden_is_named() {
    let server = Server::shared();
    let database = server.database("explained", None);
    database.estate(600);
    database.well(&["load", "--init", "--to", "URL"]);
    let folder = tempfile::tempdir().unwrap();
    let plan = database.swept(folder.path(), POLICY, &[]).to_str().unwrap().to_owned();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let load = ["load", &plan, "--to", "URL"];
    let confirm = confirmation(&database, &load);

    let absent = database.url().replace("/explained?", "/no_such_database?");
    explained(&run(&database, &["export", "--from", &absent, "--out", out]), "3D000", "the name of the database");

    database.sql("CREATE ROLE weak LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak");
    let weak = database.url().replace("smi@", "weak@");
    explained(&run(&database, &["load", &plan, "--to", &weak]), "42501", "docs/load.md lists what a load needs");

    database.sql("CREATE ROLE single LOGIN CONNECTION LIMIT 1; GRANT SELECT ON device TO single");
    let single = database.url().replace("smi@", "single@");
    let export = ["export", "--from", &single, "--out", out, "--connections", "3"];
    explained(&run(&database, &export), "53300", "use fewer --connections");

    // A trigger of the device table writes into a table that is gone.
    database.sql(
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (1); RETURN old; END $$; \
         CREATE TRIGGER audit BEFORE DELETE ON device FOR EACH ROW EXECUTE FUNCTION audit()",
    );
    explained(&run(&database, &load), "42P01", "load --init");
    database.sql("DROP TRIGGER audit ON device");

    database.sql("ALTER DATABASE explained SET default_transaction_read_only = on");
    explained(&run(&database, &load), "25006", "this server is read-only");
    database
        .ask("SET default_transaction_read_only = off; ALTER DATABASE explained RESET default_transaction_read_only");

    // An undo waits for rows ten times as long as a load, and then gives up.
    let execute = ["--execute", "--confirm", &confirm];
    database.well(&[&load[..], &execute].concat());
    let mut holder = database.client();
    let mut held = holder.transaction().unwrap();
    held.execute("SELECT FROM device_removed FOR UPDATE", &[]).unwrap();
    let undo = [&load[..], &["--undo", "--lock-timeout", "10"], &execute].concat();
    explained(&run(&database, &undo), "55P03", "raise --lock-timeout");
    held.rollback().unwrap();
    database.well(&undo);
    assert_eq!(database.number("SELECT count(*) FROM device"), 600);
    assert!(!folder.path().join("out").exists());
}
