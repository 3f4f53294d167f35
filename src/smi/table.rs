//! The device table as the catalogue of the server describes it: name, columns, types; and SQL that converts its values.

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

/// A text as a literal, under standard conforming strings.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Texts as a literal array.
pub(crate) fn literals(texts: &[String]) -> String {
    format!("ARRAY[{}]::text[]", texts.iter().map(|text| literal(text)).collect::<Vec<_>>().join(", "))
}

/// A query for the object ids of a table, its partitions, and the tables that inherit from it. `table` is an SQL name.
pub(super) fn tree(table: &str) -> String {
    format!(
        "WITH RECURSIVE tree(oid) AS (SELECT {name}::pg_catalog.regclass::oid UNION SELECT i.inhrelid \
         FROM pg_catalog.pg_inherits AS i JOIN tree ON i.inhparent = tree.oid) SELECT oid FROM tree",
        name = literal(table),
    )
}

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredForm {
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

impl StoredForm {
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

/// A column of the device table that is a column of the contract.
#[derive(Debug, Clone)]
pub(super) struct BoundColumn {
    pub(super) column: Column,
    pub(super) form: StoredForm,
    name: String,
    quoted: String,
}

impl BoundColumn {
    pub(super) fn new(column: Column, form: StoredForm, name: &str) -> Self {
        Self { column, form, name: name.into(), quoted: quoted(name) }
    }

    /// The value as an export reads it: text, eight bytes, or a timestamp with a zone.
    pub(super) fn exported(&self) -> String {
        match self.form {
            StoredForm::Text => format!("{}::text", self.quoted),
            StoredForm::Time => format!("{}::timestamptz", self.quoted),
            StoredForm::Bytes | StoredForm::Number | StoredForm::Mac => self.quoted.clone(),
        }
    }

    /// The column of the table whose alias is `alias`.
    pub(super) fn of(&self, alias: &str) -> String {
        format!("{alias}.{}", self.quoted)
    }

    /// The value as text, an EUI-64 in canonical form unless it is stored as text.
    pub(super) fn text_of(&self, alias: &str) -> String {
        as_text(self.form, &self.of(alias))
    }
}

/// An EUI-64, or a text, as text.
pub(super) fn as_text(form: StoredForm, value: &str) -> String {
    let pairs = |hex: String| format!("upper(regexp_replace({hex}, '(..)(?!$)', '\\1-', 'g'))");
    match form {
        StoredForm::Text | StoredForm::Time => format!("{value}::text"),
        StoredForm::Bytes => pairs(format!("encode({value}, 'hex')")),
        StoredForm::Number => pairs(format!("lpad(to_hex({value}), 16, '0')")),
        StoredForm::Mac => format!("upper(replace({value}::text, ':', '-'))"),
    }
}

/// The kinds of relation that can be a device table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    /// A table, with its partitions and the tables that inherit from it.
    Table,
    /// A view, which can be exported but not loaded into.
    View,
}

/// How the unique index on a column alone compares: the operator `equals`, the type `key_type` under the column, and whether the
/// database is encoded in UTF-8. `$1` is the table, `$2` the column's name. No row where there is no such index, or where it
/// compares by another collation than the column does.
pub(crate) const KEY: &str = "SELECT format('OPERATOR(%I.%s)', on_.nspname, o.oprname) AS equals, \
    format('%I.%I', tn.nspname, coalesce(b.typname, t.typname)) AS key_type, \
    current_setting('server_encoding') = 'UTF8' AS utf8 \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
    JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[0] \
    JOIN pg_catalog.pg_amop m ON m.amopfamily = oc.opcfamily AND m.amoplefttype = oc.opcintype \
    AND m.amoprighttype = oc.opcintype AND m.amopstrategy = 3 \
    JOIN pg_catalog.pg_operator o ON o.oid = m.amopopr JOIN pg_catalog.pg_namespace on_ ON on_.oid = o.oprnamespace \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
    JOIN pg_catalog.pg_namespace tn ON tn.oid = coalesce(b.typnamespace, t.typnamespace) \
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 \
    AND i.indpred IS NULL AND a.attname = $2::text AND i.indcollation[0] = a.attcollation LIMIT 1";

/// The device table.
#[derive(Debug, Clone)]
pub(super) struct DeviceTable {
    /// Its name, quoted.
    pub(super) name: String,
    /// Its schema and name, for messages.
    pub(super) shown: String,
    /// Its object id in the catalogue.
    pub(super) oid: u32,
    pub(super) kind: TableKind,
    /// The columns of the contract that it has, in the contract's order.
    pub(super) bound: Vec<BoundColumn>,
    /// All columns that can be written, quoted, in order.
    pub(super) writable: Vec<String>,
    letter_case: LetterCase,
    /// The operator that compares Device IDs, as the index on them does: `=`, or one with a schema.
    pub(super) equals: String,
    /// The type under the Device ID, with its schema: without modifier, and of a domain the type that it is made of.
    pub(super) key_type: String,
    /// Whether the database is encoded in UTF-8.
    pub(super) utf8: bool,
}

impl DeviceTable {
    /// Finds the table in the catalogue of the server.
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
        let inspecting = || format!("cannot inspect table {shown}");
        let refuse = |what: String, remedy: &str| Error::Inventory { what, remedy: remedy.into() };
        let found = client.query_opt(FIND, &[schema, table]).map_err(failed(&inspecting()))?;
        let Some(found) = found else {
            return Err(refuse(format!("there is no table {shown}"), "name it under [inventory] of the configuration"));
        };
        let (oid, kind): (u32, String) = (found.get(0), found.get(1));
        let kind = match kind.as_str() {
            "r" | "p" => TableKind::Table,
            "v" => TableKind::View,
            _ => return Err(refuse(format!("{shown} is neither a table nor a view"), "make a view of it")),
        };
        let rows = client.query(COLUMNS, &[&oid]).map_err(failed(&inspecting()))?;
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
            let form = StoredForm::of(type_name, *is_enum).filter(|form| form.fits(column)).ok_or_else(|| {
                let wanted = match column {
                    Column::DeviceId | Column::NotifyingParty => "text, bytea, bigint or macaddr8",
                    Column::StatusSince => "a timestamp or a date",
                    _ => "text or an enumeration",
                };
                let what = format!("column `{name}` of table {shown} is {type_name}, where {wanted} is needed");
                refuse(what, "map another column to it, or name a view that has it in such a type")
            })?;
            bound.push(BoundColumn::new(column, form, &name));
        }
        let writable = columns.iter().filter(|(.., plain)| *plain).map(|(name, ..)| quoted(name)).collect();
        let (name, letter_case) = (qualified(schema, table), config.inventory.letter_case);
        let (equals, key_type, utf8) = ("=".into(), "text".into(), true);
        Ok(Self { name, shown, oid, kind, bound, writable, letter_case, equals, key_type, utf8 })
    }

    /// A column of the contract.
    ///
    /// # Errors
    /// Where the table does not have it. Only the role may be missing.
    pub(super) fn column(&self, column: Column) -> Result<&BoundColumn> {
        self.bound.iter().find(|bound| bound.column == column).ok_or_else(|| Error::Inventory {
            what: format!("table {} has no column for {column}", self.shown),
            remedy: "map the column under [inventory.columns] of the configuration".into(),
        })
    }

    /// Writes a Device ID as the table stores it, and returns its length in bytes.
    pub(super) fn key(&self, form: StoredForm, id: DeviceId, buffer: &mut [u8; 23]) -> usize {
        if form != StoredForm::Text {
            buffer[..8].copy_from_slice(&id.0.to_be_bytes());
            return 8;
        }
        *buffer = id.to_text();
        if self.letter_case == LetterCase::Lower {
            buffer.make_ascii_lowercase();
        }
        23
    }

    /// Finds the unique index on the Device ID, and how it compares.
    ///
    /// # Errors
    /// A view, and a table without a unique index on the Device ID alone: a load into it could delete two devices instead of
    /// one.
    pub(super) fn find_key(&mut self, client: &mut impl GenericClient) -> Result<()> {
        let name = &self.column(Column::DeviceId)?.name;
        let inspecting = format!("cannot inspect the indexes of table {}", self.shown);
        let found = client.query_opt(KEY, &[&self.oid, name]).map_err(failed(&inspecting))?;
        if let (Some(row), TableKind::Table) = (found, self.kind) {
            (self.equals, self.key_type, self.utf8) = (row.get(0), row.get(1), row.get(2));
            return Ok(());
        }
        Err(Error::Inventory {
            what: format!(
                "table {} has no unique index on `{name}` alone that compares as the column does",
                self.shown
            ),
            remedy: "a load needs one, so that a Device ID names one device and is found by index".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quoted("device"), "\"device\"");
        assert_eq!(qualified("public", "x\"; DROP TABLE device; --"), "\"public\".\"x\"\"; DROP TABLE device; --\"");
    }
}
