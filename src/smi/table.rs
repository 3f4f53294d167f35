//! The device table as it is: its name, its columns and their types, and the SQL that reads them in our terms.

use postgres::GenericClient;

use super::config::{Config, LetterCase};
use super::fault::failed;
use crate::error::{Error, Result};
use crate::estate::{Column, DeviceId};
use crate::policy::Policy;

/// Quotes an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's name with its schema, quoted.
pub(super) fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text of any kind, an enumeration too.
    Text,
    /// Eight bytes.
    Bytes,
    /// A 64-bit pattern.
    Number,
    /// An EUI-64 of its own type.
    Mac,
    /// A timestamp with or without a zone, or a date.
    Time,
}

impl Form {
    fn of(type_name: &str, is_enum: bool) -> Option<Self> {
        Some(match type_name {
            _ if is_enum => Self::Text,
            "text" | "varchar" | "bpchar" | "citext" | "name" => Self::Text,
            "bytea" => Self::Bytes,
            "int8" => Self::Number,
            "macaddr8" => Self::Mac,
            "timestamptz" | "timestamp" | "date" => Self::Time,
            _ => return None,
        })
    }

    fn fits(self, column: Column) -> bool {
        match column {
            Column::DeviceId | Column::NotifyingParty => self != Self::Time,
            Column::StatusSince => self == Self::Time,
            Column::DeviceType | Column::SmiStatus | Column::NotifyingRole | Column::CspRegion => self == Self::Text,
        }
    }
}

/// A column of the device table that we know.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) column: Column,
    pub(super) form: Form,
    name: String,
    quoted: String,
}

impl Bound {
    pub(super) fn new(column: Column, form: Form, name: &str) -> Self {
        Self { column, form, name: name.into(), quoted: quoted(name) }
    }

    /// The value as COPY hands it over: text, eight bytes, or a timestamp with a zone.
    pub(super) fn exported(&self) -> String {
        match self.form {
            Form::Text => format!("{}::text", self.quoted),
            Form::Time => format!("{}::timestamptz", self.quoted),
            Form::Bytes | Form::Number | Form::Mac => self.quoted.clone(),
        }
    }

    /// The bare column of the table that is called `alias`.
    pub(super) fn of(&self, alias: &str) -> String {
        format!("{alias}.{}", self.quoted)
    }

    /// The value as text, an EUI-64 in canonical form unless it is stored as text.
    pub(super) fn text_of(&self, alias: &str) -> String {
        as_text(self.form, &self.of(alias))
    }
}

/// An EUI-64, or a text, as text.
pub(super) fn as_text(form: Form, value: &str) -> String {
    let pairs = |hex: String| format!("upper(regexp_replace({hex}, '(..)(?!$)', '\\1-', 'g'))");
    match form {
        Form::Text | Form::Time => format!("{value}::text"),
        Form::Bytes => pairs(format!("encode({value}, 'hex')")),
        Form::Number => pairs(format!("lpad(to_hex({value}), 16, '0')")),
        Form::Mac => format!("upper(replace({value}::text, ':', '-'))"),
    }
}

/// What a device table may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A table, with partitions and heirs where it has any.
    Table,
    /// A view, which can be exported.
    View,
}

/// The device table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Its name, quoted.
    pub(super) name: String,
    /// Its name, for people.
    pub(super) shown: String,
    /// Its number in the catalogue.
    pub(super) oid: u32,
    /// What it is.
    pub(super) kind: Kind,
    /// The columns of the contract that it has, in the contract's order.
    pub(super) bound: Vec<Bound>,
    /// All columns that can be written, quoted, in order.
    pub(super) writable: Vec<String>,
    letter_case: LetterCase,
}

impl Table {
    /// Looks the table up.
    ///
    /// # Errors
    /// No such table, a column that is missing, one of a type that does not fit.
    pub(super) fn find(client: &mut impl GenericClient, config: &Config, policy: &Policy) -> Result<Self> {
        const FIND: &str = "SELECT c.oid, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                            WHERE n.nspname = $1::text AND c.relname = $2::text";
        const COLUMNS: &str = "SELECT a.attname::text, coalesce(b.typname, t.typname)::text, \
                               coalesce(b.typtype, t.typtype) = 'e', a.attgenerated = '' \
                               FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                               LEFT JOIN pg_type b ON b.oid = t.typbasetype \
                               WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
        let (schema, table) = (&config.inventory.schema, &config.inventory.table);
        let shown = format!("{schema}.{table}");
        let looking = || format!("cannot look at table {shown}");
        let refuse = |what: String, remedy: &str| Error::Inventory { what, remedy: remedy.into() };
        let found = client.query_opt(FIND, &[schema, table]).map_err(failed(&looking()))?;
        let Some(found) = found else {
            return Err(refuse(format!("there is no table {shown}"), "name it under [inventory] of the configuration"));
        };
        let (oid, kind): (u32, String) = (found.get(0), found.get(1));
        let kind = match kind.as_str() {
            "r" | "p" => Kind::Table,
            "v" => Kind::View,
            _ => return Err(refuse(format!("{shown} is neither a table nor a view"), "make a view of it")),
        };
        let rows = client.query(COLUMNS, &[&oid]).map_err(failed(&looking()))?;
        let columns: Vec<(String, String, bool, bool)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
        let mut bound = Vec::new();
        for column in Column::READ_BY_SWEEP {
            let name = config.column(policy, column);
            let Some((_, type_name, is_enum, _)) = columns.iter().find(|(found, ..)| *found == name) else {
                if column.required() {
                    let there = columns.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>().join(", ");
                    let what = format!("table {shown} has no column `{name}`; it has {there}");
                    return Err(refuse(what, "map the column under [inventory.columns] of the configuration"));
                }
                continue;
            };
            let form = Form::of(type_name, *is_enum).filter(|form| form.fits(column)).ok_or_else(|| {
                let wanted = match column {
                    Column::DeviceId | Column::NotifyingParty => "text, bytea, bigint or macaddr8",
                    Column::StatusSince => "a timestamp or a date",
                    _ => "text or an enumeration",
                };
                let what = format!("column `{name}` of table {shown} is {type_name}, where {wanted} is needed");
                refuse(what, "map another column to it, or name a view that has it in such a type")
            })?;
            bound.push(Bound::new(column, form, &name));
        }
        let writable = columns.iter().filter(|(.., plain)| *plain).map(|(name, ..)| quoted(name)).collect();
        let (name, letter_case) = (qualified(schema, table), config.inventory.letter_case);
        Ok(Self { name, shown, oid, kind, bound, writable, letter_case })
    }

    /// A column of the contract.
    ///
    /// # Errors
    /// Where the table does not have it, which is so for the role only.
    pub(super) fn column(&self, column: Column) -> Result<&Bound> {
        self.bound.iter().find(|bound| bound.column == column).ok_or_else(|| Error::Inventory {
            what: format!("table {} has no column for {column}", self.shown),
            remedy: "map the column under [inventory.columns] of the configuration".into(),
        })
    }

    /// A Device ID as the table stores it.
    pub(super) fn key(&self, form: Form, id: DeviceId, buffer: &mut [u8; 23]) -> usize {
        if form != Form::Text {
            buffer[..8].copy_from_slice(&id.0.to_be_bytes());
            return 8;
        }
        *buffer = id.to_text();
        if self.letter_case == LetterCase::Lower {
            buffer.make_ascii_lowercase();
        }
        23
    }

    /// The SQL function that gives the letter case in which Device IDs are not stored.
    pub(super) const fn other_case(&self) -> &'static str {
        match self.letter_case {
            LetterCase::Upper => "lower",
            LetterCase::Lower => "upper",
        }
    }

    /// Whether a Device ID stands at most once, and can be found by it.
    ///
    /// # Errors
    /// A view, or a table without such an index: a load into it could delete two devices for one.
    pub(super) fn must_be_unique(&self, client: &mut impl GenericClient) -> Result<()> {
        const UNIQUE: &str = "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a \
                              ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
                              WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 \
                              AND i.indpred IS NULL AND a.attname = $2::text)";
        let name = &self.column(Column::DeviceId)?.name;
        let looking = format!("cannot look at the indexes of table {}", self.shown);
        let unique: bool = client.query_one(UNIQUE, &[&self.oid, name]).map_err(failed(&looking))?.get(0);
        if unique && self.kind == Kind::Table {
            return Ok(());
        }
        Err(Error::Inventory {
            what: format!("table {} has no unique index on `{name}` alone", self.shown),
            remedy: "a load needs one, so that a Device ID names one device".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_more_than_a_name() {
        assert_eq!(quoted("device"), "\"device\"");
        assert_eq!(qualified("public", "x\"; DROP TABLE device; --"), "\"public\".\"x\"\"; DROP TABLE device; --\"");
    }
}
