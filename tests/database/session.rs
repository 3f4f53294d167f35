//! The session of a load or an export is its own: whatever the role, the database or a pooler sets, the result is the same.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use postgres::{Client, NoTls};

use crate::common::prepared::Prepared;
use crate::common::server::{DEVICE, POLICY, Server, failed};

/// What `ALTER DATABASE ... SET` and `ALTER ROLE ... SET` can do to a client that sets nothing itself.
const HOSTILE: [(&str, &str); 21] = [
    ("search_path", "trap, public"),
    ("standard_conforming_strings", "off"),
    ("DateStyle", "'SQL, DMY'"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "'Asia/Kathmandu'"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("client_encoding", "LATIN1"),
    ("transform_null_equals", "on"),
    ("quote_all_identifiers", "on"),
    ("array_nulls", "off"),
    ("exit_on_error", "on"),
    ("row_security", "on"),
    ("statement_timeout", "1"),
    ("lock_timeout", "1"),
    ("idle_in_transaction_session_timeout", "1"),
    ("idle_session_timeout", "1"),
    ("default_transaction_isolation", "serializable"),
    ("synchronous_commit", "off"),
    ("enable_indexscan", "off"),
    ("session_replication_role", "replica"),
];

fn set_all(prepared: &Prepared, of: &str) {
    let statements = HOSTILE.map(|(name, value)| format!("ALTER {of} SET {name} = {value};")).concat();
    Client::connect(&prepared.database.server.url("postgres"), NoTls).unwrap().batch_execute(&statements).unwrap();
}

/// Another user planted an operator that fits better than PostgreSQL's own, in a schema of the search path. It ran for
/// every device, with the rights of the loader.
#[test]
fn a_planted_operator_or_function_never_runs() {
    let server = Server::shared();
    let database = server.database("planted", None);
    database
        .sql(&DEVICE.replace("device_id text", "device_id varchar").replace("smi_status text", "smi_status varchar"));
    database.sql(
        "CREATE SEQUENCE runs; \
         CREATE FUNCTION public.same(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('public.runs'); RETURN $1::text OPERATOR(pg_catalog.=) $2::text; END $$; \
         CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.same); \
         CREATE FUNCTION public.upper(varchar) RETURNS text LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('public.runs'); RETURN pg_catalog.upper($1); END $$; \
         CREATE FUNCTION public.count(varchar) RETURNS bigint LANGUAGE sql AS 'SELECT nextval(''public.runs'')'; \
         INSERT INTO device SELECT upper(regexp_replace(substr(md5(i::text), 1, 16), '(..)(?!$)', '\\1-', 'g')), 'ESME', \
         'Pending', now() - interval '400 days' - i * interval '1 microsecond', '90-B3-D5-1F-30-00-00-01' \
         FROM generate_series(1, 500) AS i; ALTER DATABASE planted SET search_path = public, pg_catalog; \
         SELECT setval('public.runs', 1, false)",
    );
    let prepared = Prepared::of(database);
    prepared.remember();
    assert_eq!(prepared.executed()["total"]["deleted"], 500);
    assert_eq!(prepared.undone().1["undone"]["restored"], 500);
    assert_eq!(prepared.number("SELECT last_value FROM runs WHERE is_called UNION ALL SELECT 0 LIMIT 1"), 0);
    assert_eq!(
        prepared.number("SELECT count(*) FROM before JOIN device ON before.device_id::text = device.device_id::text"),
        500
    );
}

/// A trigger names its table without a schema, which a pinned search path does not find. The dry run says what to do.
#[test]
fn a_trigger_that_leaves_out_schemas_is_told_where_to_look() {
    let prepared = Prepared::with(
        "trigger_path",
        600,
        "CREATE TABLE history (device_id text); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO history VALUES (old.device_id); RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER DELETE ON device FOR EACH ROW EXECUTE FUNCTION note()",
    );
    let output = prepared.database.command(&prepared.load(&[])).output().unwrap();
    failed(&output, 1, "relation \"history\" does not exist (42P01)");
    failed(&output, 1, "a trigger that names a table without its schema needs trigger_schemas of [load]");
    let config = prepared.folder.path().join("load.toml");
    fs::write(&config, "[load]\ntrigger_schemas = [\"public\"]\n").unwrap();
    let config = config.to_str().unwrap();
    let confirm = prepared.loaded(&["--config", config])["confirm"].as_str().unwrap().to_owned();
    let document = prepared.loaded(&["--config", config, "--execute", "--confirm", &confirm]);
    assert_eq!(document["total"]["deleted"], prepared.number("SELECT count(*) FROM history"));
}

/// The database sets everything that it can, and the role as well.
#[test]
fn settings_of_database_and_role_change_nothing() {
    for of in ["DATABASE", "ROLE"] {
        let name = format!("hostile_{}", of.to_lowercase());
        // A setting of the role holds for the other tests' databases too, hence a server of its own.
        let server = Server::start(&[]);
        let database = server.database(&name, None);
        database.estate(3_000);
        database.sql(
            "CREATE SCHEMA trap; CREATE TABLE trap.device (device_id text); CREATE TABLE trap.sweep_load (run_id text); \
             CREATE TABLE meter (device_id text REFERENCES device); \
             INSERT INTO meter SELECT device_id FROM device WHERE smi_status = 'Pending' AND device_type = 'ESME' \
             AND status_since < now() - interval '2 years' ORDER BY device_id LIMIT 3",
        );
        let whom = if of == "DATABASE" { format!("DATABASE {name}") } else { format!("ROLE smi IN DATABASE {name}") };
        let folder = tempfile::tempdir().unwrap();
        let prepared = Prepared { folder, database, run: String::new() };
        set_all(&prepared, &whom);
        let run = prepared.database.command(&["load", "--init", "--to", "URL"]).output().unwrap();
        assert!(run.status.success(), "{of}: {}", String::from_utf8_lossy(&run.stderr));
        let run = prepared.database.swept(prepared.folder.path(), POLICY, &[]).to_str().unwrap().to_owned();
        let prepared = Prepared { run, ..prepared };
        let document = prepared.executed();
        assert_eq!(document["total"]["failed"], 3, "foreign keys are checked: {document}");
        let deleted = document["total"]["deleted"].as_i64().unwrap();
        let mut other = Client::connect(&prepared.database.server.url("postgres"), NoTls).unwrap();
        other.batch_execute(&format!("ALTER {whom} RESET ALL")).unwrap();
        assert_eq!(prepared.number("SELECT count(*) FROM device"), 3_000 - deleted);
        assert_eq!(prepared.number("SELECT count(*) FROM device_removed"), deleted);
    }
}

/// The script sets the same, for its transactions only: psql's session, or the connection of a pooler, is as it was.
#[test]
fn a_script_sets_what_it_depends_on_and_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let database = server.database("script_settings", None);
    database.estate(3_000);
    let prepared = Prepared::of(database);
    let sql = prepared.folder.path().join("sql");
    let export =
        ["manifest", "export", &prepared.run, "--format", "sql", "--batch", "40", "--out", sql.to_str().unwrap()];
    prepared.database.well(&export);
    let script = fs::read_to_string(sql.join("load.sql")).unwrap();
    prepared.database.sql("CREATE SCHEMA trap; CREATE TABLE trap.device (device_id text)");
    set_all(&prepared, "DATABASE script_settings");
    let mut other = Client::connect(&server.url("postgres"), NoTls).unwrap();
    let gentler = "ALTER DATABASE script_settings SET idle_session_timeout = 0; \
                   ALTER DATABASE script_settings SET statement_timeout = 200; \
                   ALTER DATABASE script_settings SET idle_in_transaction_session_timeout = 200";
    other.batch_execute(gentler).unwrap();
    let shown = prepared.database.ask(&format!("{script}\nSHOW search_path; SHOW DateStyle; SHOW statement_timeout;"));
    assert_eq!(shown[shown.len() - 3..], ["trap, public", "SQL, DMY", "200ms"]);
    other.batch_execute("ALTER DATABASE script_settings RESET ALL").unwrap();
    let planned = prepared.number("SELECT planned FROM sweep_load WHERE state = 'loaded'");
    assert_eq!(prepared.number("SELECT count(*) FROM device_removed"), planned);
    assert_eq!(prepared.number("SELECT count(*) FROM device"), 3_000 - planned);
}

/// What a session of ours is set to is what a trigger sees that runs in it, with the timeouts of later versions too.
#[test]
fn a_trigger_sees_the_settings_of_the_load() {
    let server = Server::start(&[]);
    let database = server.database("seen", None);
    database.estate(900);
    database.sql(
        "CREATE TABLE seen (name text, setting text); \
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO public.seen SELECT name, setting FROM pg_settings; RETURN NULL; END $$; \
         CREATE TRIGGER look AFTER DELETE ON device FOR EACH STATEMENT EXECUTE FUNCTION look(); \
         ALTER DATABASE seen SET work_mem = '5MB'",
    );
    let prepared = Prepared::of(database);
    let later = prepared.number("SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'");
    if later == 1 {
        prepared.database.sql("ALTER DATABASE seen SET transaction_timeout = '1h'");
    }
    set_all(&prepared, "DATABASE seen");
    prepared.executed();
    Client::connect(&server.url("postgres"), NoTls).unwrap().batch_execute("ALTER DATABASE seen RESET ALL").unwrap();
    let seen = |name: &str| prepared.database.text(&format!("SELECT min(setting) FROM seen WHERE name = '{name}'"));
    for (name, wanted) in [
        ("search_path", "pg_catalog, pg_temp"),
        ("idle_session_timeout", "0"),
        ("session_replication_role", "origin"),
        ("synchronous_commit", "on"),
        ("DateStyle", "ISO, YMD"),
        ("statement_timeout", "60000"),
        // What does not change the result is the database's.
        ("work_mem", "5120"),
    ] {
        assert_eq!(seen(name), wanted, "{name}");
    }
    assert_eq!(seen("transaction_timeout"), if later == 1 { "0" } else { "" });
}

/// A role that may not set it itself, and for which constraints and triggers are switched off, loads nothing.
#[test]
fn a_session_without_constraints_is_refused() {
    let server = Server::start(&[]);
    let database = server.database("replica", None);
    database.estate(600);
    let prepared = Prepared::of(database);
    prepared.database.sql(
        "CREATE ROLE loader LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO loader; \
         ALTER ROLE loader SET session_replication_role = replica",
    );
    let loader = prepared.database.url().replace("smi@", "loader@");
    let load = ["load", &prepared.run, "--to", &loader];
    failed(&prepared.database.command(&load).output().unwrap(), 1, "session_replication_role");
}

/// A pgbouncer in front of a server, with pools that give a connection to another client after each transaction.
struct Pooler {
    process: Child,
    port: u16,
    home: PathBuf,
}

impl Pooler {
    fn start(prepared: &Prepared, port: u16, settings: &str) -> Self {
        let home = prepared.database.server.path("pooler");
        fs::create_dir_all(&home).unwrap();
        let config = home.join("pgbouncer.ini");
        let socket = prepared.database.server.path("").display().to_string();
        let text = format!(
            "[databases]\n* = host={socket} port=5432\n[pgbouncer]\nlisten_addr =\nlisten_port = {port}\n\
             unix_socket_dir = {home}\nauth_type = any\nlogfile = {home}/log\npidfile = {home}/pid\n\
             default_pool_size = 1\nquery_wait_timeout = 5\n{settings}\n",
            home = home.display()
        )
        .replace("* = host", "* = user=smi host");
        fs::write(&config, text).unwrap();
        // Debian installs it where only root looks.
        let program = ["/usr/sbin/pgbouncer", "pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let program = program.unwrap_or("pgbouncer");
        let mut command = match prepared.database.server.user() {
            Some((uid, gid)) => {
                for path in [&home, &config] {
                    chown(path, Some(uid), Some(gid)).unwrap();
                }
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
                command.arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("pgbouncer: Debian's package, which scripts/test installs");
        let pooler = Self { process, port, home };
        let socket = pooler.home.join(format!(".s.PGSQL.{port}"));
        let started = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            socket.exists()
        });
        assert!(started, "pgbouncer: {}", fs::read_to_string(pooler.home.join("log")).unwrap_or_default());
        pooler
    }

    fn url(&self, database: &str) -> String {
        format!("postgresql://smi@/{database}?host={}&port={}", self.home.display(), self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Behind a pooler the lock of a load and its settings belong to a connection that the next client gets. It is refused,
/// whether the pooler refuses the settings or ignores them, and the application's connection is as it was.
#[test]
fn a_pooler_is_refused_and_nothing_leaks_through_it() {
    let server = Server::start(&[]);
    let database = server.database("pooled", None);
    database.estate(600);
    let prepared = Prepared::of(database);
    prepared.remember();
    let confirm = prepared.confirm();
    let settings = "SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings \
                    WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', \
                    'standard_conforming_strings')";
    for (port, mode) in [
        (7001, "pool_mode = transaction"),
        (7002, "pool_mode = transaction\nignore_startup_parameters = options"),
        (7003, "pool_mode = statement\nignore_startup_parameters = options"),
        (7004, "pool_mode = session\nignore_startup_parameters = options"),
    ] {
        let pooler = Pooler::start(&prepared, port, mode);
        let url = pooler.url("pooled");
        let out = prepared.folder.path().join(format!("out{port}"));
        for arguments in [
            vec!["export", "--from", &url, "--out", out.to_str().unwrap()],
            vec!["load", &prepared.run, "--to", &url],
            vec!["load", &prepared.run, "--to", &url, "--execute", "--confirm", &confirm],
            vec!["load", "--init", "--to", &url],
        ] {
            let output = prepared.database.command(&arguments).output().unwrap();
            failed(&output, 1, "help: connect to the server itself, not through a pooler");
        }
        let mut application = Client::connect(&url, NoTls).unwrap();
        let find = |client: &mut Client, sql: &str| -> Option<String> {
            let rows = client.simple_query(sql).unwrap();
            rows.iter().find_map(|row| match row {
                postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
        };
        assert_eq!(find(&mut application, settings), None, "{mode}");
        let locks = "SELECT string_agg(pid::text, ',') FROM pg_locks WHERE locktype = 'advisory'";
        assert_eq!(find(&mut application, locks), None, "{mode}");
        assert_eq!(prepared.differing(), 0);
    }
}
