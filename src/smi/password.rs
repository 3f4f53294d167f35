//! `.pgpass`, as libpq reads it: lines `host:port:database:user:password`; `*` matches any value, `\` escapes `:` and `\`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::system::input;

/// The fields that select a line of `.pgpass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The file that PGPASSFILE names, else `.pgpass` in the home directory.
pub(super) fn usual_file() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("PGPASSFILE") {
        return Some(path.into());
    }
    std::env::home_dir().map(|home| home.join(".pgpass"))
}

/// The permission bits of group and others.
const OTHERS: u32 = 0o077;

/// The password of a login. Like libpq, it ignores a file that group or others may access.
pub(super) fn lookup(file: &Path, login: &Login<'_>) -> Option<String> {
    let private = fs::metadata(file).is_ok_and(|of| of.is_file() && of.permissions().mode() & OTHERS == 0);
    if !private {
        return None;
    }
    find(&input::read_to_string(file).ok()?, login)
}

fn find(text: &str, login: &Login<'_>) -> Option<String> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.database, login.user];
    text.lines().filter(|line| !line.starts_with('#')).map(fields).find_map(|mut fields| {
        let matches = fields.len() == 5 && fields.iter().zip(wanted).all(|(field, want)| field == "*" || field == want);
        if matches { fields.pop() } else { None }
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == ':' && fields.len() < 5 {
            fields.push(String::new());
            continue;
        }
        let character = if character == '\\' { characters.next().unwrap_or(character) } else { character };
        if let Some(field) = fields.last_mut() {
            field.push(character);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_counts() {
        let login = Login { host: "db.example", port: 5432, database: "smi", user: "load:er" };
        let text = "# db.example:5432:smi:load\\:er:comment\nother:*:*:*:a\ndb.example:*:smi:load\\:er:p:\\\\q\n*:*:*:*:last\n";
        assert_eq!(find(text, &login).as_deref(), Some("p:\\q"));
        assert_eq!(find(text, &Login { user: "x", ..login.clone() }).as_deref(), Some("last"));
        assert_eq!(find("a:b\n", &login), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        let login = Login { host: "h", port: 1, database: "d", user: "u" };
        fs::write(&file, "*:*:*:*:secret\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(lookup(&file, &login), None);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(lookup(&file, &login).as_deref(), Some("secret"));
        assert_eq!(lookup(&folder.path().join("none"), &login), None);
    }
}
