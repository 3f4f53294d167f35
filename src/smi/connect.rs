//! Connections to the database: a URL, completed as libpq does from PGPASSWORD, `.pgpass`, `sslmode` and `sslrootcert`.
//!
//! A password is sent to the server and nowhere else: neither `Display` nor `Debug` of a target contains it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use postgres::config::Host;
use postgres::error::SqlState;
use postgres::{Client, NoTls, SimpleQueryMessage};

use super::fault::inventory;
use super::password::{self, Login};
use super::settings::{self, SETTINGS};
use super::tls::{self, SslMode};
use crate::error::{Error, Result};

/// A database and how to log in to it.
#[derive(Clone)]
pub struct Target {
    config: postgres::Config,
    mode: SslMode,
    roots: Option<PathBuf>,
    shown: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The remedy where a pooler is in front of the server.
const POOLED: &str = "connect to the server itself, not through a pooler: the settings and the lock of a load belong to one \
                      connection, which a pooler gives to other clients";

fn refuse(what: String) -> Error {
    Error::Usage { what, remedy: "write postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full".into() }
}

impl Target {
    /// Parses a URL, and looks for a password where libpq does.
    ///
    /// # Errors
    /// [`Error::Usage`] for anything else. The message never contains the URL, which may contain a password.
    pub fn parse(url: &str) -> Result<Self> {
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(refuse("not the URL of a PostgreSQL database".into()));
        }
        one_at_before_the_host(url)?;
        let own = UrlParts::of(url)?;
        let mut config: postgres::Config = own.rest.parse().map_err(|error: postgres::Error| {
            let why = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
            refuse(format!("the URL of the database is invalid{why}"))
        })?;
        let setting = |given: Option<String>, variable: &str| given.or_else(|| std::env::var(variable).ok());
        let mode = setting(own.mode, "PGSSLMODE").map_or(Ok(SslMode::Prefer), |name| SslMode::from_name(&name))?;
        let roots = setting(own.roots, "PGSSLROOTCERT").map(PathBuf::from);
        if config.get_user().is_none()
            && let Ok(user) = std::env::var("PGUSER").or_else(|_| std::env::var("USER"))
        {
            config.user(&user);
        }
        let shown = shown(&config);
        if config.get_password().is_none()
            && let Some(password) = password_of(&config, own.passfile.as_deref())
        {
            config.password(password);
        }
        config.application_name("smi-sweep");
        let options = settings::startup_options(config.get_options());
        config.options(&options);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        Ok(Self { config, mode, roots, shown })
    }

    /// Connects, with settings that neither role nor database change (`docs/load.md`, The session): rows that a row-level
    /// policy would hide are an error.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses, a pooler in front of it, and a session in which triggers and foreign keys
    /// would not be checked.
    pub fn connect(&self) -> Result<Client> {
        // Like libpq: no TLS on Unix sockets.
        let mode = if self.is_local() { SslMode::Disable } else { self.mode };
        let mut client = match mode {
            SslMode::Disable => self.without_tls()?,
            SslMode::Allow => match self.without_tls() {
                Ok(client) => client,
                Err(error) => self.by_tls(SslMode::Require, postgres::config::SslMode::Require).map_err(|_| error)?,
            },
            SslMode::Prefer => self.by_tls(mode, postgres::config::SslMode::Prefer)?,
            _ => self.by_tls(mode, postgres::config::SslMode::Require)?,
        };
        self.must_have_settings(&mut client)?;
        client.batch_execute(settings::LATER_TIMEOUTS).map_err(|error| self.refused(&error))?;
        Ok(client)
    }

    /// Whether the server is reached by a socket of this machine.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.config.get_hosts().first(), None | Some(Host::Unix(_)))
    }

    /// Refuses a connection whose settings are not those that were sent, and switches triggers and foreign keys on where the
    /// role has them off.
    fn must_have_settings(&self, client: &mut Client) -> Result<()> {
        // Not a prepared statement: some poolers fail on these before they can be recognised.
        let rows = client.simple_query(&settings::current_values()).map_err(|error| self.refused(&error))?;
        let row = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let value = |place: usize| row.and_then(|row| row.get(place)).unwrap_or_default();
        let differ = SETTINGS.iter().enumerate().filter(|(place, (_, wanted))| value(*place) != *wanted);
        let differ: Vec<&str> = differ.map(|(_, (name, _))| *name).collect();
        if !differ.is_empty() {
            let what =
                format!("{}: it leaves out settings of the session: {}", self.cannot_connect(), differ.join(", "));
            return Err(Error::Inventory { what, remedy: POOLED.into() });
        }
        if value(SETTINGS.len()) == "origin" {
            return Ok(());
        }
        client.batch_execute("SET session_replication_role = origin").map_err(|error| Error::Inventory {
            what: format!(
                "{}: session_replication_role of this role is `{}`, so that foreign keys and triggers do not work: {error}",
                self.cannot_connect(),
                value(SETTINGS.len()),
            ),
            remedy: "reset it: ALTER ROLE ... RESET session_replication_role".into(),
        })
    }

    /// An error of the server while a connection begins. Poolers refuse settings as a violation of the protocol.
    fn refused(&self, error: &postgres::Error) -> Error {
        match inventory(&self.cannot_connect(), error) {
            Error::Inventory { what, .. } if error.code() == Some(&SqlState::PROTOCOL_VIOLATION) => {
                Error::Inventory { what, remedy: POOLED.into() }
            }
            other => other,
        }
    }

    fn without_tls(&self) -> Result<Client> {
        let mut config = self.config.clone();
        config.ssl_mode(postgres::config::SslMode::Disable);
        config.connect(NoTls).map_err(|error| self.refused(&error))
    }

    fn by_tls(&self, check: SslMode, ask: postgres::config::SslMode) -> Result<Client> {
        let connector = tls::connector(check, self.roots.as_deref())?;
        let mut config = self.config.clone();
        config.ssl_mode(ask);
        config.connect(connector).map_err(|error| self.refused(&error))
    }

    fn cannot_connect(&self) -> String {
        format!("cannot connect to {}", self.shown)
    }
}

/// Refuses a URL whose user and password do not end at its only `@`: a part of the password would be taken for the name of
/// a host, asked for on the network, and printed. Like libpq, the `@` is looked for before the first `/`.
fn one_at_before_the_host(url: &str) -> Result<()> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let (before_host, all) = (authority.matches('@').count(), rest.matches('@').count());
    if all == before_host && all <= 1 {
        return Ok(());
    }
    Err(Error::Usage {
        what: "it cannot be told where the password in the URL of the database ends: it has an `@` too many".into(),
        remedy: "write `@` as %40 and `/` as %2F in user, password and parameters".into(),
    })
}

/// Parameters that the client library knows.
const KNOWN: [&str; 18] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// A URL without the parameters that libpq knows and the client library does not, and these parameters.
struct UrlParts {
    rest: String,
    mode: Option<String>,
    roots: Option<String>,
    passfile: Option<PathBuf>,
}

impl UrlParts {
    fn of(url: &str) -> Result<Self> {
        // A password may contain an unescaped `?`.
        let from = url.rfind('@').unwrap_or_default();
        let Some(question) = url[from..].find('?').map(|at| from + at) else {
            return Ok(Self { rest: url.into(), mode: None, roots: None, passfile: None });
        };
        let mut own = Self { rest: url[..question].into(), mode: None, roots: None, passfile: None };
        let mut others = Vec::new();
        for pair in url[question + 1..].split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| refuse("the value of a parameter of the URL is not text".into()))?
                .into_owned();
            match key {
                "sslmode" => own.mode = Some(value),
                "sslrootcert" => own.roots = Some(value),
                "passfile" => own.passfile = Some(value.into()),
                "sslcert" | "sslkey" | "sslcrl" => {
                    return Err(refuse(format!("`{key}` is not supported: log in by password")));
                }
                // It may be the end of a password with an unescaped `&`, so it is not named.
                _ if !KNOWN.contains(&key) => {
                    let what = "the URL of the database has a parameter that is not known".to_owned();
                    let remedy = format!("write `&` as %26 in values; there are {}", KNOWN.join(", "));
                    return Err(Error::Usage { what, remedy });
                }
                _ => others.push(pair),
            }
        }
        if !others.is_empty() {
            own.rest.push('?');
            own.rest.push_str(&others.join("&"));
        }
        Ok(own)
    }
}

fn host_of(config: &postgres::Config) -> String {
    match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.to_string_lossy().into_owned(),
        None => "localhost".into(),
    }
}

fn password_of(config: &postgres::Config, passfile: Option<&Path>) -> Option<String> {
    if let Ok(password) = std::env::var("PGPASSWORD") {
        return Some(password);
    }
    let user = config.get_user().unwrap_or_default();
    let login = Login {
        host: &host_of(config),
        port: config.get_ports().first().copied().unwrap_or(5432),
        database: config.get_dbname().unwrap_or(user),
        user,
    };
    password::lookup(&passfile.map(Path::to_path_buf).or_else(password::usual_file)?, &login)
}

/// What messages show: database, host, port and user.
fn shown(config: &postgres::Config) -> String {
    let user = config.get_user().unwrap_or_default();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().unwrap_or(user);
    format!("database `{database}` at {}:{port} as {user}", host_of(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_contains_the_password() {
        for url in [
            "postgresql://loader:hunter2@db.example:5433/smi?sslmode=require&application_name=x",
            "postgresql://loader@db.example:5433/smi?password=hunter2&sslrootcert=%2Fetc%2Fca.pem",
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.config.get_password(), Some(&b"hunter2"[..]));
            assert_eq!(target.to_string(), "database `smi` at db.example:5433 as loader");
            assert!(!format!("{target:?} {:?}", target.config).contains("hunter2"));
        }
        for url in [
            "loader:hunter2@db/smi",
            "postgresql://loader:hunter2@db:port/smi",
            "postgresql://loader:hunter2@db/smi?sslmode=sometimes",
            "postgresql://loader:hunter2@db/smi?sslcert=x",
            "postgresql://loader:hunter2@db/smi?nonsense=1",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?} {}", error.remedy()).contains("hunter2"), "{error}");
        }
    }

    /// A password with an unescaped `@`: what follows it was taken for the host, and printed.
    #[test]
    fn no_part_of_a_password_is_taken_for_a_host() {
        for url in [
            "postgresql://loader:first@hunter2@db.example/smi",
            "postgresql://loader:hunter2@hunter2@hunter2/smi",
            "postgresql://loader@db.example/smi?password=first@hunter2",
            "postgresql://db.example/smi?password=first@hunter2",
            "postgresql://loader:first/hunter2@db.example/smi",
            "postgresql://loader:x@db.example/smi?password=first&hunter2",
            "postgresql://loader:x@db.example/smi?password=first&hunter2=1",
            "postgresql://loader:x@db.example/smi?hunter2=%FF",
            "postgresql://loader:hunter2/smi",
            "postgres://a@hunter2@b",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert_eq!(error.exit_code() as u8, 2);
            assert!(!format!("{error} {error:?} {}", error.remedy()).contains("hunter2"), "{url}: {error}");
        }
        let target = Target::parse("postgresql://lo%40der:fi%40rst%2Fhunter2@db.example/smi").unwrap();
        assert_eq!(target.config.get_password(), Some(&b"fi@rst/hunter2"[..]));
        assert_eq!(target.to_string(), "database `smi` at db.example:5432 as lo@der");
    }

    #[test]
    fn parameters_of_libpq_are_taken_out_of_the_url() {
        let own =
            UrlParts::of("postgresql://u:a?b@h/d?sslmode=verify-ca&port=1&sslrootcert=%2Fa%20b&passfile=/p").unwrap();
        assert_eq!(own.rest, "postgresql://u:a?b@h/d?port=1");
        assert_eq!((own.mode.as_deref(), own.roots.as_deref()), (Some("verify-ca"), Some("/a b")));
        assert_eq!(own.passfile, Some("/p".into()));
    }
}
