//! Documents that users write: their kinds, places within them, and suggestions for misspelt names.

use std::fmt;
use std::path::Path;

use super::exit::ExitCode;
use crate::shown;

/// The known name with the smallest Damerau-Levenshtein distance to `found`, ignoring case; the first of several.
/// `None` if the distance is above 1 plus a third of the shorter name.
pub fn nearest<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let found = found.to_lowercase();
    let by_distance = known.into_iter().map(|name| (strsim::damerau_levenshtein(&found, &name.to_lowercase()), name));
    by_distance
        .filter(|(distance, name)| *distance <= 1 + name.len().min(found.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The beginning of a remedy: `did you mean` the [`nearest`] name; empty if there is none.
pub fn did_you_mean<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    nearest(found, known).map_or_else(String::new, |near| format!("did you mean `{}`? ", shown::value(near)))
}

/// The kind of a document. It decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A policy.
    Policy,
    /// Rules of a stock count.
    StockRules,
    /// A tariff.
    Tariff,
    /// A scenario of a forecast.
    Scenario,
    /// The configuration of a load.
    LoadConfig,
    /// The table of the keys that may approve a run.
    Approvals,
    /// A file of a regression case, or of the statements that cases demonstrate.
    Case,
    /// A table besides the snapshot, such as an order book.
    Table,
}

impl DocumentKind {
    /// If the keys of such a document are listed, as a remedy.
    #[must_use]
    pub const fn documentation(self) -> &'static str {
        match self {
            Self::Policy => "README.md lists the keys of a policy",
            Self::StockRules | Self::Tariff => "docs/stock.md lists the keys",
            Self::Scenario => "docs/forecast.md lists the keys",
            Self::LoadConfig => "docs/load.md lists the keys",
            Self::Approvals => {
                "[approvals] has `needed = 2`, and [approvals.keys] has the line that `keygen` prints for each key"
            }
            Self::Case => "docs/regression-cases.md lists the keys of a case",
            Self::Table => "docs/stock.md lists the columns",
        }
    }

    pub(super) const fn exit_code(self) -> ExitCode {
        match self {
            Self::Policy | Self::StockRules | Self::Tariff => ExitCode::Policy,
            Self::Scenario | Self::LoadConfig | Self::Case => ExitCode::Usage,
            Self::Approvals => ExitCode::Verification,
            Self::Table => ExitCode::Snapshot,
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "policy",
            Self::StockRules => "file of stock rules",
            Self::Tariff => "tariff",
            Self::Scenario => "scenario",
            Self::LoadConfig => "load configuration",
            Self::Approvals => "table of approvals",
            Self::Case => "case",
            Self::Table => "table",
        })
    }
}

/// Characters of the name of a document that are shown: a path can be that long.
const LONGEST_SOURCE: usize = 4096;

/// A place within a document that users write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentPlace {
    /// The kind of the document.
    pub kind: DocumentKind,
    /// The file as the user named it, or the name of a built-in.
    pub source: String,
    /// The position within it.
    pub position: Position,
    /// The field, by the name of its column.
    pub field: Option<String>,
}

/// A position within a document. All numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The document as a whole.
    Whole,
    /// A line; the header of a table is the first.
    Line(u64),
    /// A line, and a column in characters.
    LineColumn(u64, u64),
    /// A row of a Parquet file.
    Row(u64),
}

impl DocumentPlace {
    /// A whole document.
    pub fn whole(kind: DocumentKind, source: impl Into<String>) -> Self {
        Self { kind, source: source.into(), position: Position::Whole, field: None }
    }

    /// A whole table.
    #[must_use]
    pub fn table(file: &Path) -> Self {
        Self::whole(DocumentKind::Table, shown::path(&file).to_string())
    }

    /// The same document, at this position.
    #[must_use]
    pub fn at(self, position: Position) -> Self {
        Self { position, ..self }
    }

    /// The same place, narrowed to a field.
    #[must_use]
    pub fn field(self, name: impl Into<String>) -> Self {
        Self { field: Some(name.into()), ..self }
    }
}

impl fmt::Display for DocumentPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shown::message(&self.source, LONGEST_SOURCE))?;
        match self.position {
            Position::Whole => {}
            Position::Line(line) => write!(f, ":{line}")?,
            Position::LineColumn(line, column) => write!(f, ":{line}:{column}")?,
            Position::Row(row) => write!(f, ", row {row}")?,
        }
        self.field.as_ref().map_or(Ok(()), |field| write!(f, ", field `{}`", shown::value(field)))
    }
}
