//! Reads whole rows of a snapshot, column by column, for commands that rewrite a snapshot instead of judging it.
//!
//! Each distinct text is kept once, with a number for each row. Device IDs are numbers; a malformed Device ID is kept
//! as text.

use std::borrow::Cow;

use indexmap::IndexSet;

use super::columns::ColumnValue;
use super::driver::RangeReader;
use super::values;
use crate::error::{Error, Fault, Result};
use crate::estate::{Column, DeviceId};
use crate::snapshot::PhysicalForm;

/// Reads a stored value as text; `None` if it is not text.
type AsText = fn(PhysicalForm, &[u8]) -> Option<Cow<'_, str>>;

/// A text column with few distinct values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextColumn {
    /// For each row the index of its text in `words`, or [`TextColumn::NULL`].
    pub numbers: Vec<u32>,
    /// The distinct texts, in the order of their first occurrence.
    pub words: IndexSet<Box<str>, ahash::RandomState>,
    /// The number of each code of the chunk's dictionary, once it was read.
    by_code: Vec<Option<u32>>,
}

impl TextColumn {
    /// The number of null.
    pub const NULL: u32 = u32::MAX;

    /// The text of a row; `None` if null.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&str> {
        self.words.get_index(self.numbers[row] as usize).map(|word| &**word)
    }

    /// The rank of each text in ascending order, by index in `words`.
    #[must_use]
    pub fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.words.len()).collect();
        order.sort_unstable_by_key(|&index| &self.words[index]);
        let mut ranks = vec![0; order.len()];
        for (rank, index) in order.into_iter().enumerate() {
            ranks[index] = rank as u32;
        }
        ranks
    }

    fn number(&mut self, word: &str) -> u32 {
        let number = match self.words.get_index_of(word) {
            Some(number) => number,
            None => self.words.insert_full(word.into()).0,
        };
        number as u32
    }

    /// Appends a row with this text, or null.
    pub fn push_word(&mut self, word: Option<&str>) {
        let number = word.map_or(Self::NULL, |word| self.number(word));
        self.numbers.push(number);
    }

    /// Appends a row with a stored value, which `text` reads; `false` if it is not text.
    fn push(&mut self, value: ColumnValue<'_>, text: AsText, form: PhysicalForm) -> bool {
        let Some(bytes) = value.bytes else {
            self.numbers.push(Self::NULL);
            return true;
        };
        let code = value.code.map(|code| code as usize);
        if let Some(number) = code.and_then(|code| self.by_code.get(code).copied().flatten()) {
            self.numbers.push(number);
            return true;
        }
        let Some(word) = text(form, bytes) else { return false };
        let number = self.number(&word);
        if let Some(code) = code {
            if self.by_code.len() <= code {
                self.by_code.resize(code + 1, None);
            }
            self.by_code[code] = Some(number);
        }
        self.numbers.push(number);
        true
    }
}

/// Rows, column by column; all columns have the same length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Device IDs; `None` if null or malformed.
    pub ids: Vec<Option<DeviceId>>,
    /// Malformed Device IDs as text, with the index of their row, ascending.
    pub malformed: Vec<(usize, Box<str>)>,
    /// Types as stored.
    pub types: TextColumn,
    /// Statuses as stored.
    pub statuses: TextColumn,
    /// Status dates, UTC microseconds since 1970.
    pub since: Vec<Option<i64>>,
    /// Parties as stored; in canonical form if they are stored as bytes or numbers.
    pub parties: TextColumn,
    /// Roles as stored; null if the file has no such column.
    pub roles: TextColumn,
}

impl Rows {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Appends the rows of a range.
    ///
    /// # Errors
    /// Damaged data, and text that is not UTF-8.
    pub fn read(&mut self, range: &mut RangeReader<'_>) -> Result<()> {
        let file = range.file;
        let before = self.len();
        let rows = range.all_rows();
        for (column, bound) in file.columns.iter() {
            let form = bound.form();
            let (words, text): (&mut TextColumn, AsText) = match column {
                Column::DeviceId => {
                    self.read_ids(range, &rows, form)?;
                    continue;
                }
                Column::StatusSince => {
                    range.values(column, &rows, |_, value| {
                        self.since.push(file.dates.read(value.bytes));
                    })?;
                    continue;
                }
                Column::DeviceType => (&mut self.types, plain_text),
                Column::SmiStatus => (&mut self.statuses, plain_text),
                Column::NotifyingParty => (&mut self.parties, values::party_as_found),
                Column::NotifyingRole => (&mut self.roles, plain_text),
                Column::CspRegion => continue,
            };
            words.by_code.clear();
            let mut all_text = true;
            range.values(column, &rows, |_, value| all_text &= words.push(value, text, form))?;
            if !all_text {
                let place = file.place().row_group(range.range.group).column(bound.name());
                return Err(place.refuse(Fault::Corrupt("a text that is not UTF-8".into())));
            }
        }
        // Of the columns only the role may be missing.
        self.roles.numbers.resize(self.ids.len(), TextColumn::NULL);
        let read = self.ids.len() - before;
        let columns = [&self.types, &self.statuses, &self.parties].map(|words| words.numbers.len());
        if read != rows.len() || self.since.len() != self.ids.len() || columns != [self.ids.len(); 3] {
            return Err(Error::Unbalanced(format!("{read} rows were read of {}", rows.len())));
        }
        Ok(())
    }

    fn read_ids(&mut self, range: &mut RangeReader<'_>, rows: &[u32], form: PhysicalForm) -> Result<()> {
        range.values(Column::DeviceId, rows, |_, value| {
            let id = value.bytes.and_then(|bytes| values::device_id(form, bytes));
            if let (None, Some(bytes)) = (id, value.bytes) {
                self.malformed.push((self.ids.len(), values::id_as_found(form, bytes).into_boxed_str()));
            }
            self.ids.push(id);
        })
    }
}

/// The text of a column that stores text.
fn plain_text(_: PhysicalForm, bytes: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(bytes).ok().map(Cow::from)
}
