//! The column contract: which Parquet types each column may have, and how a file's columns are bound to it.
//!
//! The Parquet types alone decide how a column is read, with one exception: `arrow` writers store seconds and `Date64`
//! as plain INT64, and give the unit only in the Arrow schema that is embedded in the file.

use std::collections::BTreeMap;

use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit as ParquetUnit, Type as Physical};
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

use super::form::{PhysicalForm, TimestampUnit};
use super::partitions::{FolderColumn, PartitionKey};
use crate::error::{Error, Fault, Place, Result, nearest};
use crate::estate::{Column, DateSpelling, Spellings};

/// A column of the contract in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileColumn {
    /// Zero-based index among the file's leaf columns.
    pub leaf: usize,
    /// Its name in the file.
    pub name: String,
    /// Its physical form.
    pub form: PhysicalForm,
    /// Whether values may be null.
    pub optional: bool,
}

/// Where the values of a column are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnSource {
    /// In the file.
    File(FileColumn),
    /// In the name of a folder above the file.
    Folder(FolderColumn),
}

impl ColumnSource {
    /// The form of the values.
    #[must_use]
    pub const fn form(&self) -> PhysicalForm {
        match self {
            Self::File(column) => column.form,
            Self::Folder(column) => column.form,
        }
    }

    /// The name in the file, or in the folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::File(column) => &column.name,
            Self::Folder(column) => &column.name,
        }
    }
}

/// The columns of one file, by [`Column`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns([Option<ColumnSource>; Column::ALL.len()]);

impl Columns {
    /// The column, if the file or a folder above it has it. Only the role and the region may be missing.
    #[must_use]
    pub const fn get(&self, column: Column) -> Option<&ColumnSource> {
        self.0[column as usize].as_ref()
    }

    /// The column, if the file itself has it.
    #[must_use]
    pub const fn in_file(&self, column: Column) -> Option<&FileColumn> {
        match self.get(column) {
            Some(ColumnSource::File(column)) => Some(column),
            _ => None,
        }
    }

    /// The column, if a folder above the file gives it.
    #[must_use]
    pub const fn in_folder(&self, column: Column) -> Option<&FolderColumn> {
        match self.get(column) {
            Some(ColumnSource::Folder(column)) => Some(column),
            _ => None,
        }
    }

    /// The columns that folders give, by the contract's name, with their values as text; `None` is null.
    #[must_use]
    pub fn folder_texts(&self) -> BTreeMap<String, Option<String>> {
        let given = Column::ALL.into_iter().filter_map(|column| Some((column, self.in_folder(column)?)));
        given.map(|(column, folder)| (column.name().to_owned(), folder.text.clone())).collect()
    }

    /// The columns of [`Column::READ_BY_SWEEP`] that there are.
    pub fn iter(&self) -> impl Iterator<Item = (Column, &ColumnSource)> {
        Column::READ_BY_SWEEP.into_iter().filter_map(|column| Some((column, self.get(column)?)))
    }

    /// Finds the columns of the contract in a file and in the names of the folders above it. A column that the
    /// spellings map is found under its mapped name only, and is required.
    ///
    /// # Errors
    /// A required column that is missing; a column that occurs twice or has a type that the contract does not accept;
    /// an optional column whose name is misspelt; a folder's name that gives no value.
    pub fn bind(file: &FileMetaData, keys: &[PartitionKey], spellings: &Spellings, place: &Place) -> Result<Self> {
        let mut columns: [Option<ColumnSource>; Column::ALL.len()] = Default::default();
        for column in Column::ALL {
            let names = Names { file, keys, column, spellings };
            columns[column as usize] = match names.in_folders(place)? {
                Some(column) => Some(ColumnSource::Folder(column)),
                None => match names.in_file(place)? {
                    Some(column) => Some(ColumnSource::File(column)),
                    None => names.missing(place)?,
                },
            };
        }
        Ok(Self(columns))
    }
}

/// The names in which a column is searched.
struct Names<'a> {
    file: &'a FileMetaData,
    keys: &'a [PartitionKey],
    column: Column,
    spellings: &'a Spellings,
}

impl<'a> Names<'a> {
    fn wanted(&self) -> &'a str {
        self.spellings.name_of(self.column).unwrap_or(self.column.name())
    }

    /// All names of the file, then those of the folders.
    fn all(&self) -> impl Iterator<Item = &'a str> {
        let fields = self.file.schema().get_fields().iter().map(|field| field.name());
        fields.chain(self.keys.iter().map(|key| key.name.as_str()))
    }

    fn in_folders(&self, place: &Place) -> Result<Option<FolderColumn>> {
        let mut found = self.keys.iter().filter(|key| key.name == self.wanted());
        let Some(key) = found.next() else { return self.none_alike(place) };
        if let Some(other) = found.next() {
            let fault = Fault::InTwoFolders(key.folder.clone(), other.folder.clone());
            return Err(place.clone().column(&key.name).refuse(fault));
        }
        let alike = self.file.schema().get_fields().iter().find(|field| same_letters(field.name(), &key.name));
        if let Some(field) = alike {
            return Err(place.clone().column(field.name()).refuse(Fault::InFolderToo(key.folder.clone())));
        }
        key.column(self.column, &self.spellings.dates, place).map(Some)
    }

    /// Refuses a folder whose name is nearly that of the column, or is the contract's name of a column that the policy maps:
    /// the column in the file may contradict it.
    fn none_alike(&self, place: &Place) -> Result<Option<FolderColumn>> {
        let names = [self.wanted(), self.column.name()];
        let alike = self.keys.iter().find(|key| names.iter().any(|name| same_letters(&key.name, name)));
        match alike {
            // No rule reads the region, and another column may have a similar name.
            Some(key) if self.column != Column::CspRegion => {
                Err(place.clone().column(&key.name).refuse(Fault::Misspelt(self.column.name())))
            }
            _ => Ok(None),
        }
    }

    /// `None` if the column may be missing; else an error that says which name is meant.
    fn missing(&self, place: &Place) -> Result<Option<ColumnSource>> {
        let wanted = self.wanted();
        if self.spellings.name_of(self.column).is_none() && !self.column.required() {
            return match self.all().find(|name| same_letters(name, wanted)) {
                // No rule reads the region, and another column may have a similar name.
                _ if self.column == Column::CspRegion => Ok(None),
                Some(name) => Err(place.clone().column(name).refuse(Fault::Misspelt(self.column.name()))),
                None => Ok(None),
            };
        }
        let found = match self.all().collect::<Vec<_>>() {
            names if names.is_empty() => "no columns".into(),
            names => names.join(", "),
        };
        let nearest = nearest(wanted, self.all()).map(Into::into);
        Err(place.clone().column(wanted).refuse(Fault::MissingColumn { found, nearest }))
    }

    fn in_file(&self, place: &Place) -> Result<Option<FileColumn>> {
        let (file, column) = (self.file, self.column);
        let mut found = file.schema().get_fields().iter().filter(|field| field.name() == self.wanted());
        let (Some(field), second) = (found.next(), found.next()) else { return Ok(None) };
        if second.is_some() {
            return Err(place.clone().column(field.name()).refuse(Fault::AmbiguousColumn(column.name())));
        }
        let refuse = |found: String| -> Error {
            place.clone().column(field.name()).refuse(Fault::WrongKind { found, wanted: accepted(column) })
        };
        if field.is_group() {
            return Err(refuse("a nested column".into()));
        }
        let schema = file.schema_descr();
        let leaf = (0..schema.num_columns())
            .find(|&leaf| schema.column(leaf).path().parts() == [field.name()])
            .ok_or_else(|| refuse("a nested column".into()))?;
        let descriptor = schema.column(leaf);
        if descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 {
            return Err(refuse("a repeated column".into()));
        }
        let form = form_of(column, &descriptor, file, leaf).ok_or_else(|| refuse(describe(&descriptor)))?;
        if column == Column::StatusSince {
            declared(form, &self.spellings.dates).map_err(|fault| place.clone().column(field.name()).refuse(fault))?;
        }
        Ok(Some(FileColumn { leaf, name: field.name().into(), form, optional: descriptor.max_def_level() == 1 }))
    }
}

/// Checks that the policy declares what the form of a date leaves open.
fn declared(form: PhysicalForm, dates: &DateSpelling) -> Result<(), Fault> {
    match (form, dates) {
        (PhysicalForm::Text | PhysicalForm::Raw, DateSpelling { format: None, .. }) => Err(Fault::TextDates),
        // Some writers store UTC in INT96, others the time of a clock, and nothing says which.
        (PhysicalForm::Int96, DateSpelling { zone: Some(_), .. }) => Err(Fault::Int96WithZone),
        _ => Ok(()),
    }
}

/// Whether two names are equal except for case and characters that are not letters or digits.
fn same_letters(one: &str, other: &str) -> bool {
    let letters =
        |name: &str| -> String { name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    letters(one) == letters(other)
}

/// The types that the contract accepts, for an error.
const fn accepted(column: Column) -> &'static str {
    match column {
        Column::DeviceId => "a Device ID: text, 8 bytes, or a 64-bit integer",
        Column::DeviceType | Column::SmiStatus | Column::NotifyingRole | Column::CspRegion => "text",
        Column::StatusSince => "a date: TIMESTAMP, INT96 or DATE",
        Column::NotifyingParty => "a party: text, 8 bytes, or a 64-bit integer",
    }
}

fn form_of(column: Column, descriptor: &ColumnDescriptor, file: &FileMetaData, leaf: usize) -> Option<PhysicalForm> {
    let text = text_form(descriptor);
    let id = || match descriptor.physical_type() {
        Physical::FIXED_LEN_BYTE_ARRAY if descriptor.type_length() == 8 && unannotated(descriptor) => {
            Some(PhysicalForm::Fixed8)
        }
        Physical::INT64 if is_integer(descriptor) => Some(PhysicalForm::Number),
        _ => None,
    };
    // Null is a legal value of these columns, so a column of Parquet's null type is accepted: every row is null.
    let null = || is_null(descriptor).then_some(PhysicalForm::Null);
    match column {
        Column::DeviceType => text,
        Column::SmiStatus | Column::NotifyingRole | Column::CspRegion => text.or_else(null),
        Column::DeviceId => text.or_else(id),
        Column::NotifyingParty => text.or_else(id).or_else(null),
        Column::StatusSince => match descriptor.physical_type() {
            Physical::INT96 => Some(PhysicalForm::Int96),
            Physical::INT32 if is_date(descriptor) => Some(PhysicalForm::Date),
            Physical::INT64 => timestamp(descriptor, file, leaf),
            Physical::BYTE_ARRAY => text,
            _ => None,
        },
    }
}

fn unannotated(descriptor: &ColumnDescriptor) -> bool {
    descriptor.logical_type_ref().is_none() && descriptor.converted_type() == ConvertedType::NONE
}

fn text_form(descriptor: &ColumnDescriptor) -> Option<PhysicalForm> {
    if descriptor.physical_type() != Physical::BYTE_ARRAY {
        return None;
    }
    match (descriptor.logical_type_ref(), descriptor.converted_type()) {
        (Some(LogicalType::String | LogicalType::Enum), _) | (None, ConvertedType::UTF8 | ConvertedType::ENUM) => {
            Some(PhysicalForm::Text)
        }
        (None, ConvertedType::NONE) => Some(PhysicalForm::Raw),
        _ => None,
    }
}

fn is_integer(descriptor: &ColumnDescriptor) -> bool {
    match descriptor.logical_type_ref() {
        Some(logical) => matches!(logical, LogicalType::Integer(_)),
        None => {
            matches!(descriptor.converted_type(), ConvertedType::NONE | ConvertedType::INT_64 | ConvertedType::UINT_64)
        }
    }
}

fn is_null(descriptor: &ColumnDescriptor) -> bool {
    descriptor.physical_type() == Physical::INT32
        && matches!(descriptor.logical_type_ref(), Some(LogicalType::Unknown))
        && descriptor.max_def_level() == 1
}

fn is_date(descriptor: &ColumnDescriptor) -> bool {
    matches!(descriptor.logical_type_ref(), Some(LogicalType::Date))
        || descriptor.converted_type() == ConvertedType::DATE
}

fn timestamp(descriptor: &ColumnDescriptor, file: &FileMetaData, leaf: usize) -> Option<PhysicalForm> {
    match (descriptor.logical_type_ref(), descriptor.converted_type()) {
        (Some(LogicalType::Timestamp(timestamp)), _) => {
            let unit = match timestamp.unit {
                ParquetUnit::MILLIS => TimestampUnit::Milli,
                ParquetUnit::MICROS => TimestampUnit::Micro,
                ParquetUnit::NANOS => TimestampUnit::Nano,
            };
            let is_utc = timestamp.is_adjusted_to_u_t_c;
            Some(if is_utc { PhysicalForm::Timestamp(unit) } else { PhysicalForm::LocalTimestamp(unit) })
        }
        // The converted types are in UTC (Parquet format, LogicalTypes.md).
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some(PhysicalForm::Timestamp(TimestampUnit::Milli)),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some(PhysicalForm::Timestamp(TimestampUnit::Micro)),
        (None, ConvertedType::NONE) => hinted_timestamp(file, leaf),
        _ => None,
    }
}

/// The form of a plain INT64 by the embedded Arrow schema.
fn hinted_timestamp(file: &FileMetaData, leaf: usize) -> Option<PhysicalForm> {
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).ok()?;
    let name = file.schema_descr().column(leaf).name().to_owned();
    match schema.field_with_name(&name).ok()?.data_type() {
        DataType::Timestamp(TimeUnit::Second, Some(_)) => Some(PhysicalForm::Timestamp(TimestampUnit::Second)),
        DataType::Timestamp(TimeUnit::Second, None) => Some(PhysicalForm::LocalTimestamp(TimestampUnit::Second)),
        // A date: its days are those of the calendar, not of a clock.
        DataType::Date64 => Some(PhysicalForm::Timestamp(TimestampUnit::Milli)),
        _ => None,
    }
}

/// The type of a column, for an error.
fn describe(column: &ColumnDescriptor) -> String {
    let physical = match column.physical_type() {
        Physical::FIXED_LEN_BYTE_ARRAY => format!("FIXED_LEN_BYTE_ARRAY({})", column.type_length()),
        physical => physical.to_string(),
    };
    match meaning(column) {
        Some(meaning) => format!("{physical} ({meaning})"),
        None => format!("a plain {physical}"),
    }
}

fn meaning(column: &ColumnDescriptor) -> Option<String> {
    Some(match column.logical_type_ref() {
        Some(LogicalType::String) => "text".into(),
        Some(LogicalType::Enum) => "an enumeration".into(),
        Some(LogicalType::Integer(integer)) => {
            format!("{} integer of {} bits", if integer.is_signed { "signed" } else { "unsigned" }, integer.bit_width)
        }
        Some(LogicalType::Decimal(decimal)) => {
            format!("decimal of {} digits, {} of them after the point", decimal.precision, decimal.scale)
        }
        Some(LogicalType::Date) => "date".into(),
        Some(LogicalType::Time(_)) => "time of day".into(),
        Some(LogicalType::Timestamp(_)) => "timestamp".into(),
        Some(LogicalType::Unknown) => "of no type: every row is null".into(),
        Some(LogicalType::Json) => "JSON".into(),
        Some(LogicalType::Bson) => "BSON".into(),
        Some(LogicalType::Uuid) => "UUID".into(),
        Some(LogicalType::Float16) => "16-bit float".into(),
        Some(_) => "a type that no column of the contract has".into(),
        None if column.converted_type() == ConvertedType::NONE => return None,
        None => column.converted_type().to_string().to_lowercase().replace('_', " "),
    })
}
