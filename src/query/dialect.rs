//! How four engines write the few expressions in which their SQL differs.

use crate::estate::TEXT_LEN;

/// An engine's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// Apache Spark, with `spark.sql.session.timeZone` set to UTC.
    Spark,
    /// DuckDB.
    #[value(name = "duckdb")]
    DuckDb,
    /// PostgreSQL, in a database encoded in UTF-8.
    Postgres,
    /// Apache DataFusion.
    #[value(name = "datafusion")]
    DataFusion,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 4] = [Self::Spark, Self::DuckDb, Self::Postgres, Self::DataFusion];

    /// The word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spark => "spark",
            Self::DuckDb => "duckdb",
            Self::Postgres => "postgres",
            Self::DataFusion => "datafusion",
        }
    }

    /// A text as a literal; `None` if the engine has no text with a NUL.
    pub(super) fn text(self, text: &str) -> Option<String> {
        match self {
            Self::Postgres if text.contains('\0') => None,
            Self::Spark => Some(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))),
            _ => Some(format!("'{}'", text.replace('\'', "''"))),
        }
    }

    /// A name of a column.
    pub(super) fn identifier(self, name: &str) -> String {
        match self {
            Self::Spark => format!("`{}`", name.replace('`', "``")),
            _ => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// A date or time as UTC microseconds since 1970-01-01; null for infinity. A time without a zone is UTC.
    pub(super) fn micros(self, time: &str) -> String {
        match self {
            Self::Spark => format!("unix_micros(CAST({time} AS TIMESTAMP))"),
            Self::DuckDb => format!("CASE WHEN isfinite({time}) THEN epoch_us({time}) END"),
            Self::Postgres => {
                format!("CASE WHEN isfinite({time}) THEN floor(extract(epoch FROM {time}) * 1000000)::bigint END")
            }
            Self::DataFusion => format!("CAST(arrow_cast({time}, 'Timestamp(Microsecond, None)') AS BIGINT)"),
        }
    }

    /// The UTC date of a number of microseconds, and so many calendar months later; the last day of a shorter month.
    pub(super) fn date_plus_months(self, micros: &str, months: u32) -> String {
        match self {
            Self::Spark => format!("add_months(CAST(timestamp_micros({micros}) AS DATE), {months})"),
            Self::DuckDb => format!("CAST(CAST(make_timestamp({micros}) AS DATE) + INTERVAL {months} MONTH AS DATE)"),
            Self::Postgres => format!(
                "((timestamp 'epoch' + floor({micros} / 86400000000.0) * interval '1 day')::date \
                 + interval '{months} months')::date"
            ),
            Self::DataFusion => format!(
                "CAST(CAST(arrow_cast({micros}, 'Timestamp(Microsecond, None)') AS DATE) \
                 + INTERVAL '{months} months' AS DATE)"
            ),
        }
    }

    /// Whether a text matches a regular expression somewhere.
    pub(super) fn matches(self, text: &str, pattern: &str) -> String {
        match self {
            Self::Spark => format!("{text} RLIKE '{}'", pattern.replace('\\', "\\\\")),
            Self::DuckDb => format!("regexp_matches({text}, '{pattern}')"),
            Self::Postgres => format!("{text} ~ '{pattern}'"),
            Self::DataFusion => format!("regexp_like({text}, '{pattern}')"),
        }
    }

    /// Whether a text, which is not null, is a Device ID in the form of DUIS. The length excludes a final newline, before
    /// which `$` may match.
    pub(super) fn is_dashed_id(self, text: &str) -> String {
        let matches = self.matches(text, "^[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){7}$");
        format!("({matches} AND length({text}) = {TEXT_LEN})")
    }

    /// Whether a text, which is not null, is a Device ID in any form: pairs of hex digits joined by `-`, by `:`, or by
    /// nothing.
    pub(super) fn is_device_id(self, text: &str) -> String {
        let pair = "[0-9A-Fa-f]{2}";
        let matches = self.matches(text, &format!("^{pair}((-{pair}){{7}}|(:{pair}){{7}}|({pair}){{7}})$"));
        format!("({matches} AND length({text}) IN (16, {TEXT_LEN}))")
    }

    /// A character class of a regular expression.
    pub(super) fn class(self, ranges: &[(char, char)]) -> String {
        let one = |c: char| {
            let code = u32::from(c);
            match self {
                Self::Postgres if code > 0xFFFF => format!("\\U{code:08X}"),
                Self::Postgres => format!("\\u{code:04X}"),
                _ => format!("\\x{{{code:X}}}"),
            }
        };
        let range = |&(first, last): &(char, char)| {
            if first == last { one(first) } else { format!("{}-{}", one(first), one(last)) }
        };
        format!("[{}]", ranges.iter().map(range).collect::<Vec<_>>().concat())
    }

    /// A text without any of these characters at either end.
    pub(super) fn trim(self, text: &str, characters: &[char]) -> String {
        let codes = characters.iter().map(|&c| u32::from(c));
        if self == Self::Spark {
            let literal = codes.map(|code| format!("\\u{code:04X}")).collect::<Vec<_>>().concat();
            return format!("trim(BOTH '{literal}' FROM {text})");
        }
        let literal = codes.map(|code| format!("chr({code})")).collect::<Vec<_>>().join(" || ");
        let function = if self == Self::DuckDb { "trim" } else { "btrim" };
        format!("{function}({text}, {literal})")
    }

    /// The length of a text in bytes of UTF-8.
    pub(super) fn bytes(self, text: &str) -> String {
        match self {
            Self::DuckDb => format!("strlen({text})"),
            _ => format!("octet_length({text})"),
        }
    }
}

/// The canonical form of a text that is a Device ID.
pub(super) fn canonical_id(text: &str) -> String {
    let digits = format!("replace(replace({text}, '-', ''), ':', '')");
    let pairs = (0..8).map(|pair| format!("substr({digits}, {}, 2)", pair * 2 + 1));
    format!("upper({})", pairs.collect::<Vec<_>>().join(" || '-' || "))
}
