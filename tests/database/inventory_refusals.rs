//! What a load and an export refuse: a clear message, the right exit code, no secret shown, and nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::outcome;
use crate::common::server::{DEVICE, Database, POLICY, Server, confirmation, failed};
use serde_json::Value;
use smi_sweep::pool::Pool;
use smi_sweep::progress::NoProgress;
use smi_sweep::smi::{self, Config, LoadOptions, Plan, Target};

/// An inventory of 3000 devices, made ready, and a run for it.
fn ready(server: &Arc<Server>, name: &str, folder: &Path) -> (Database, String) {
    let database = server.database(name, None);
    database.estate(3_000);
    database.well(&["load", "--init", "--to", "URL"]);
    let run = database.swept(folder, POLICY, &[]).to_str().unwrap().to_owned();
    (database, run)
}

/// A command that must fail with this exit code and message.
#[track_caller]
fn refused(database: &Database, arguments: &[&str], code: i32, says: &str) {
    failed(&database.command(arguments).output().unwrap(), code, says);
}

#[test]
fn passwords_are_looked_up_as_libpq_does_and_never_shown() {
    let server = Server::start(&["password_encryption=scram-sha-256"]);
    let (database, run) = ready(&server, "secrets", server.path("").as_path());
    database.sql("CREATE ROLE loader LOGIN PASSWORD 'hunter2'; GRANT ALL ON ALL TABLES IN SCHEMA public TO loader");
    database.sql("GRANT CREATE ON SCHEMA public TO loader");
    let hba = "local all loader scram-sha-256\nlocal all all trust\n";
    fs::write(server.path("data/pg_hba.conf"), hba).unwrap();
    database.text("SELECT pg_reload_conf()::text");
    std::thread::sleep(std::time::Duration::from_millis(300));

    let host = server.path("");
    let host = host.to_str().unwrap().trim_end_matches('/');
    let url = |user: &str| format!("postgresql://{user}@/secrets?host={host}");
    let load = |url: &str, set: &[(&str, &str)]| {
        let mut command = database.command(&["load", &run, "--to", url]);
        command.env("PGPASSFILE", host.to_owned() + "/none");
        for (name, value) in set {
            command.env(name, value);
        }
        command.output().unwrap()
    };
    let passfile = server.path("pgpass");
    fs::write(&passfile, format!("*:*:other:loader:wrong\n{host}:5432:secrets:loader:hunter2\n")).unwrap();
    fs::set_permissions(&passfile, fs::Permissions::from_mode(0o600)).unwrap();
    let passfile_text = passfile.to_str().unwrap();
    assert!(load(&url("loader:hunter2"), &[]).status.success());
    assert!(load(&url("loader"), &[("PGPASSWORD", "hunter2")]).status.success());
    assert!(load(&url("loader"), &[("PGPASSFILE", passfile_text)]).status.success());
    for output in [
        load(&url("loader:guess-1"), &[]),
        load(&url("loader"), &[("PGPASSWORD", "guess-1")]),
        load(&url("loader"), &[]),
    ] {
        failed(&output, 1, "as loader");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("guess-1"));
    }
    failed(&load(&url("loader:guess-1"), &[]), 1, "password authentication failed");
    // A file that others may read is ignored, as by libpq.
    fs::set_permissions(&passfile, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!load(&url("loader"), &[("PGPASSFILE", passfile_text)]).status.success());
    for file in ["run.json", "report.html"] {
        assert!(!fs::read_to_string(Path::new(&run).join(file)).unwrap().contains("hunter2"));
    }
    assert!(!fs::read_to_string(server.path("log")).unwrap().contains("hunter2"));
}

#[test]
fn an_inventory_that_is_not_as_configured() {
    let server = Server::shared();
    let folder = tempfile::tempdir().unwrap();
    let (database, run) = ready(&server, "odd", folder.path());
    let config = folder.path().join("load.toml");
    let (config_text, out) = (config.to_str().unwrap(), folder.path().join("out"));
    let out = out.to_str().unwrap();
    let with = |text: &str| fs::write(&config, text).unwrap();
    let export = ["export", "--from", "URL", "--out", out, "--config", config_text];
    let load = ["load", run.as_str(), "--to", "URL", "--config", config_text];

    with("[inventory]\ntable = \"devices\"\n");
    refused(&database, &export, 1, "no table public.devices");
    refused(&database, &load, 1, "no table public.devices");
    with("[inventory.columns]\nsince = \"status_since\"\n");
    refused(&database, &export, 1, "no column `since`; it has device_id, device_type");
    database.sql("CREATE VIEW texts AS SELECT device_id, device_type, smi_status, status_since::text, notifying_party FROM device");
    with("[inventory]\ntable = \"texts\"\n");
    refused(
        &database,
        &export,
        1,
        "`status_since` of table public.texts is text, where a timestamp or a date is needed",
    );
    with("[inventory]\ntabel = \"device\"\n");
    refused(&database, &export, 2, ":2:1: unknown key `tabel`");
    with("[inventory.columns]\nEUI = \"eui\"\n");
    refused(&database, &export, 2, ":2:7: unknown column `eui`");
    with("[load]\nbatch = 0\n");
    refused(&database, &load, 2, ":2:9: found integer `0`, expected a whole number from 1 to 4294967295");
    with("");
    refused(&database, &["export", "--from", "mysql://x:secret@y/z", "--out", out], 2, "not the URL");
    refused(
        &database,
        &["export", "--from", "postgresql://smi:secret@localhost:1/z", "--out", out],
        1,
        "cannot connect",
    );
    assert!(!Path::new(out).exists(), "nothing half-written");

    // Without a unique index a Device ID could name two devices.
    database.sql("ALTER TABLE device DROP CONSTRAINT device_pkey");
    refused(&database, &load, 1, "no unique index on `device_id` alone");
    database.sql("ALTER TABLE device ADD PRIMARY KEY (device_id)");
    database.sql("ALTER TABLE device ADD COLUMN later text DEFAULT 'x'");
    refused(&database, &load, 1, "no column `later`, which the inventory has");
    database.well(&["load", "--init", "--to", "URL"]);
    database.well(&load);

    let empty = server.database("empty", None);
    empty.sql(DEVICE);
    refused(&empty, &load, 1, "sweep_load");
    database.sql("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    let reader = database.url().replace("smi@", "reader@");
    refused(&database, &["load", &run, "--to", &reader], 1, "permission denied");
    let stranger = database.url().replace("smi@", "stranger@");
    refused(&database, &["export", "--from", &stranger, "--out", out], 1, "role \"stranger\" does not exist");
    database.sql("CREATE ROLE nobody LOGIN");
    let nobody = database.url().replace("smi@", "nobody@");
    refused(&database, &["export", "--from", &nobody, "--out", out], 1, "permission denied for table device");
    // Rows that a row-level policy hides must not be left out silently.
    database
        .sql("ALTER TABLE device ENABLE ROW LEVEL SECURITY; CREATE POLICY hidden ON device USING (device_id < '8')");
    refused(&database, &["export", "--from", &reader, "--out", out], 1, "row-level security");
    assert!(!Path::new(out).exists(), "nothing half-written");
    assert_eq!(database.number("SELECT count(*) FROM device"), 3_000);
}

#[test]
fn runs_that_may_not_be_loaded() {
    let server = Server::shared();
    let folder = tempfile::tempdir().unwrap();
    let (database, run) = ready(&server, "runs", folder.path());
    let load = ["load", run.as_str(), "--to", "URL"];
    let confirm = confirmation(&database, &load);
    let (id, count) = confirm.split_once(':').unwrap();

    for wrong in [format!("{id}:{}", count.parse::<u64>().unwrap() + 1), "x".into(), id.into()] {
        refused(&database, &[&load[..], &["--execute", "--confirm", &wrong]].concat(), 2, "is not this run");
    }
    refused(&database, &[&load[..], &["--execute"]].concat(), 2, "--execute needs --confirm");
    refused(&database, &[&load[..], &["--undo"]].concat(), 2, "was not loaded");
    for flag in ["--yes", "--force"] {
        assert_eq!(database.run(&[&load[..], &[flag]].concat()).0, 2);
    }
    // Sweeping again gives the same id; another moment another one.
    let resweep = |name: &str, as_of: &str| {
        let out = folder.path().join(name);
        let (snapshot, policy) = (folder.path().join("snapshot"), folder.path().join("policy.toml"));
        let [snapshot, policy, out] = [&snapshot, &policy, &out].map(|path| path.to_str().unwrap().to_owned());
        database.well(&["sweep", &snapshot, "--policy", &policy, "--out", &out, "--as-of", as_of, "--as-of-later"]);
        out
    };
    let record: Value = serde_json::from_slice(&fs::read(format!("{run}/run.json")).unwrap()).unwrap();
    let same = resweep("same", record["as_of"].as_str().unwrap());
    assert_eq!(confirmation(&database, &["load", &same, "--to", "URL"]), confirm);
    let days = |days: i32| database.text(&format!("SELECT to_char(now() - {days} * interval '1 day', 'YYYY-MM-DD')"));
    let old = resweep("old", &days(9));
    refused(&database, &["load", &old, "--to", "URL"], 6, "7 days are allowed");
    database.well(&["load", &old, "--to", "URL", "--max-age", "10"]);
    let future = resweep("future", &days(-2));
    refused(&database, &["load", &future, "--to", "URL"], 6, "in the future");

    // Two at once: the second waits, and is refused.
    let mut other = database.client();
    other.execute("SELECT pg_advisory_lock(1397573971, 'device'::regclass::oid::integer)", &[]).unwrap();
    refused(&database, &[&load[..], &["--wait", "1"]].concat(), 1, "another load of table public.device is running");
    drop(other);

    database.well(&[&load[..], &["--execute", "--confirm", &confirm]].concat());
    // What came before is superseded.
    let earlier = resweep("earlier", &days(3));
    refused(&database, &["load", &earlier, "--to", "URL"], 6, "a later run");
    // A changed byte is noticed.
    let manifest = Path::new(&same).join("delete.parquet");
    let mut bytes = fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&manifest, bytes).unwrap();
    refused(&database, &["load", &same, "--to", "URL"], 6, "delete.parquet");
}

#[test]
fn two_people_where_the_configuration_asks_for_them() {
    let server = Server::shared();
    let folder = tempfile::tempdir().unwrap();
    let (database, run) = ready(&server, "people", folder.path());
    let key = |name: &str| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        let out = database.well(&["keygen", "--out", &path, "--json"]);
        (path, serde_json::from_str::<Value>(&out).unwrap()["key"].as_str().unwrap().to_owned())
    };
    let ((one, one_public), (two, two_public)) = (key("one"), key("two"));
    let config = folder.path().join("load.toml");
    let text = format!("[approvals]\nneeded = 2\n[approvals.keys]\none = \"{one_public}\"\ntwo = \"{two_public}\"\n");
    fs::write(&config, text).unwrap();
    let load = ["load", run.as_str(), "--to", "URL", "--config", config.to_str().unwrap()];
    refused(&database, &load, 6, "0 of the 2 approvals");
    // A caller of the library cannot leave them out either.
    let (target, required) = (Target::parse(&database.url()).unwrap(), Config::load(Some(&config)).unwrap());
    let plan = Plan::for_undo(Path::new(&run), &Pool::new(Some(1))).unwrap();
    let options = LoadOptions { plan: &plan, target: &target, config: &required, execute: true, wait_seconds: 1 };
    let error = smi::load(&options, &NoProgress).unwrap_err();
    assert!(error.to_string().contains("its approvals were not checked, and 2 are needed"), "{error}");
    let record: Value = serde_json::from_slice(&fs::read(format!("{run}/run.json")).unwrap()).unwrap();
    let deletes = record["tally"]["delete"].to_string();
    database.well(&["approve", &run, "--key", &one, "--expect-deletes", &deletes]);
    refused(&database, &load, 6, "1 of the 2 approvals");
    database.well(&["approve", &run, "--key", &two, "--expect-deletes", &deletes]);
    let confirm = confirmation(&database, &load);
    database.well(&[&load[..], &["--execute", "--confirm", &confirm]].concat());
    let document: Value = serde_json::from_slice(&fs::read(format!("{run}/load.json")).unwrap()).unwrap();
    assert_eq!(document["approvals"].as_array().unwrap().len(), 2);
    database.well(&["verify", &run]);
}

#[test]
fn rows_that_the_database_keeps() {
    let server = Server::shared();
    let folder = tempfile::tempdir().unwrap();
    let (database, run) = ready(&server, "rows", folder.path());
    let pending = "SELECT device_id FROM device WHERE smi_status = 'Pending' AND device_type = 'ESME' \
                   AND status_since < now() - interval '2 years' ORDER BY device_id";
    database.sql(&format!(
        "CREATE TABLE meter (device_id text REFERENCES device); INSERT INTO meter {pending} LIMIT 3; \
         UPDATE device SET device_id = lower(device_id) WHERE device_id = ({pending} OFFSET 5 LIMIT 1)"
    ));
    let load = ["load", run.as_str(), "--to", "URL", "--lock-timeout", "50"];
    let confirm = confirmation(&database, &load);
    let mut holder = database.client();
    let mut held = holder.transaction().unwrap();
    held.execute(&format!("SELECT FROM device WHERE device_id = ({pending} OFFSET 8 LIMIT 1) FOR UPDATE"), &[])
        .unwrap();
    let out = database.well(&[&load[..], &["--execute", "--confirm", &confirm, "--json"]].concat());
    held.rollback().unwrap();
    let account: Value = serde_json::from_str(&out).unwrap();
    let total = |name: &str| account["total"][name].as_i64().unwrap();
    assert_eq!((total("failed"), total("deleted")), (4, total("planned") - 4), "{account}");
    let reasons = account["reasons"].as_object().unwrap();
    let of = |part: &str| {
        reasons.iter().filter(|(reason, _)| reason.contains(part)).filter_map(|(_, n)| n.as_i64()).sum::<i64>()
    };
    assert_eq!((of("23503"), of("held by others")), (3, 1), "{account}");
    assert_eq!(database.number("SELECT count(*) FROM device"), 3_000 - total("deleted"));
    assert_eq!(database.number("SELECT count(*) FROM alert_outbox"), total("alerts"));
}

/// A row that is locked while its batch runs is recorded as locked. Where it is free again when the load tries it once more
/// at the end, it is deleted, and no longer recorded as kept.
#[test]
fn a_row_that_is_free_again_at_the_end_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (database, run) = ready(&Server::shared(), "free_again", folder.path());
    let load = ["load", run.as_str(), "--to", "URL", "--lock-timeout", "20", "--batch", "50"];
    let confirm = confirmation(&database, &load);
    let mut holder = database.client();
    let mut held = holder.transaction().unwrap();
    let one = "SELECT FROM device WHERE smi_status = 'Pending' AND device_type = 'ESME' \
               AND status_since < now() - interval '2 years' ORDER BY device_id LIMIT 1 FOR UPDATE";
    assert_eq!(held.execute(one, &[]).unwrap(), 1);
    let loader = {
        let mut command = database.command(&[&load[..], &["--execute", "--confirm", &confirm, "--json"]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let until = |query: &str| {
        let reached = (0..3_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            database.number(query) > 0
        });
        assert!(reached, "{query}");
    };
    until("SELECT count(*) FROM sweep_load_kept WHERE outcome = 'locked'");
    until("SELECT count(*) FROM sweep_load WHERE done = planned");
    held.rollback().unwrap();
    let (code, out, err) = outcome(&loader.wait_with_output().unwrap());
    assert_eq!(code, 0, "{err}");
    let account: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(account["total"]["deleted"], account["total"]["planned"], "{account}");
    assert_eq!(database.number("SELECT count(*) FROM sweep_load_kept"), 0);
}

/// Makes a certificate with OpenSSL.
fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn tls_as_libpq_has_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().to_path_buf();
    let key = "-newkey rsa:2048 -nodes -days 2";
    for name in ["root", "other"] {
        openssl(&folder, &format!("req -x509 {key} -subj /CN={name} -keyout {name}.key -out {name}.crt"));
    }
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(&folder, &format!("req {key} -subj /CN=server -keyout server.key -out server.csr"));
    let sign = "x509 -req -in server.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile names -out server.crt";
    openssl(&folder, sign);
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [certificate, private] = ["server.crt", "server.key"].map(|name| folder.join(name).display().to_string());
    let options = [
        "listen_addresses=127.0.0.1".to_owned(),
        "ssl=on".into(),
        format!("port={port}"),
        format!("ssl_cert_file={certificate}"),
        format!("ssl_key_file={private}"),
    ];
    let server = Server::start_in(home, &options.each_ref().map(String::as_str));
    let database = server.database("tls", None);
    database.estate(10);
    fs::write(server.path("data/pg_hba.conf"), "local all all trust\nhostssl all all all trust\n").unwrap();
    database.text("SELECT pg_reload_conf()::text");
    std::thread::sleep(std::time::Duration::from_millis(300));

    let mut number = 0;
    let mut export = |host: &str, mode: &str| {
        number += 1;
        let url = format!("postgresql://smi@{host}:{port}/tls?{}", mode.replace("FOLDER", folder.to_str().unwrap()));
        let out = folder.join(format!("out{number}"));
        database.command(&["export", "--from", &url, "--out", out.to_str().unwrap()]).output().unwrap()
    };
    for (host, mode) in [
        ("localhost", ""),
        ("localhost", "sslmode=allow"),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=FOLDER%2Froot.crt"),
        ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/root.crt"),
    ] {
        let output = export(host, mode);
        assert!(output.status.success(), "{host} {mode}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (host, mode, says) in [
        ("localhost", "sslmode=disable", "no encryption"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=FOLDER/root.crt", "not valid for name"),
        ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/other.crt", "certificate"),
        ("localhost", "sslmode=require&sslrootcert=FOLDER/other.crt", "certificate"),
        ("localhost", "sslmode=verify-ca", "no root certificate"),
        ("localhost", "sslmode=verify-ca&sslrootcert=FOLDER/none", "none"),
    ] {
        failed(&export(host, mode), 1, says);
    }
}
