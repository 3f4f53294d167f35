//! The schema in a footer: a tree, stored as a list of elements in depth-first order with the number of their children.

use std::sync::Arc;

use parquet::basic::{
    ConvertedType, DecimalType, IntType, LogicalType, Repetition, TimeType, TimeUnit, TimestampType, Type as Physical,
};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};

use super::super::encoded::Result;
use super::super::encoded::thrift::{Thrift, wire};

/// Limit of nesting of groups: deeper than any schema of a known writer.
const MAX_DEPTH: usize = 100;

/// The schema, as far as it is read.
pub(super) struct FooterSchema {
    /// The columns at the top; groups have no fields.
    pub descriptor: SchemaDescPtr,
    /// For each leaf of `descriptor`, its index among all leaf columns of the file.
    pub leaves: Vec<usize>,
    /// Number of leaf columns of the file.
    pub leaf_count: usize,
    /// Columns at the top that cannot be read, and why.
    pub unreadable: Vec<(String, &'static str)>,
}

/// One element, with numbers as they are stored.
#[derive(Default)]
struct Element<'a> {
    physical: Option<i64>,
    length: i64,
    repetition: Option<i64>,
    name: &'a [u8],
    children: i64,
    converted: Option<i64>,
    scale: i64,
    precision: i64,
    logical: Option<LogicalType>,
}

/// Reads the list of elements.
///
/// # Errors
/// A tree that does not match the number of its elements, or that is nested too deeply.
pub(super) fn read(mut thrift: Thrift<'_>) -> Result<FooterSchema> {
    let (mut fields, mut leaves, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    let mut tree = Tree::default();
    thrift.structs(|thrift| {
        let element = element(thrift)?;
        let (top, leaf) = (tree.open.len() == 1, tree.leaf_count);
        tree.enter(&element).map_err(|why| thrift.damage(why))?;
        if !top {
            return Ok(());
        }
        let name = String::from_utf8_lossy(element.name).into_owned();
        let field = match element.physical {
            Some(physical) => match primitive(&element, physical, &name) {
                Ok(field) => {
                    leaves.push(leaf);
                    Ok(field)
                }
                Err(why) => {
                    unreadable.push((name.clone(), why));
                    group(&name)
                }
            },
            None => group(&name),
        };
        fields.push(Arc::new(field.map_err(|error| thrift.damage(&error.to_string()))?));
        Ok(())
    })?;
    if tree.elements == 0 || !tree.open.is_empty() {
        return Err(thrift.damage("has a schema with fewer elements than it claims"));
    }
    let root = Type::group_type_builder("schema").with_fields(fields).build();
    let root = root.map_err(|error| thrift.damage(&error.to_string()))?;
    let descriptor = Arc::new(SchemaDescriptor::new(Arc::new(root)));
    Ok(FooterSchema { descriptor, leaves, leaf_count: tree.leaf_count, unreadable })
}

/// Where in the tree the list of elements is.
#[derive(Default)]
struct Tree {
    /// For the root and the groups below it that are not complete, the number of children that are missing.
    open: Vec<u64>,
    elements: usize,
    leaf_count: usize,
}

impl Tree {
    fn enter(&mut self, element: &Element<'_>) -> Result<(), &'static str> {
        match self.open.last_mut() {
            Some(missing) => *missing -= 1,
            None if self.elements > 0 => return Err("has a schema with more elements than it claims"),
            None => {}
        }
        self.elements += 1;
        let is_group = element.physical.is_none() || self.elements == 1;
        let children =
            u64::try_from(element.children).map_err(|_| "has a schema with a negative number of children")?;
        if !is_group && children > 0 {
            return Err("has a schema in which a column with a type has children");
        }
        self.leaf_count += usize::from(!is_group);
        if children > 0 {
            if self.open.len() >= MAX_DEPTH {
                return Err("has a schema that nests too deeply");
            }
            self.open.push(children);
        }
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        Ok(())
    }
}

fn group(name: &str) -> Result<Type, ParquetError> {
    Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL).build()
}

/// A column at the top of the schema.
///
/// Where logical and converted type contradict each other, the logical type decides, as the format has it. An annotation
/// that the format does not allow for the type becomes an unknown one, which no column of the contract has.
fn primitive(element: &Element<'_>, physical: i64, name: &str) -> Result<Type, &'static str> {
    let physical = match physical {
        0 => Physical::BOOLEAN,
        1 => Physical::INT32,
        2 => Physical::INT64,
        3 => Physical::INT96,
        4 => Physical::FLOAT,
        5 => Physical::DOUBLE,
        6 => Physical::BYTE_ARRAY,
        7 => Physical::FIXED_LEN_BYTE_ARRAY,
        _ => return Err("its type is not one of the format's"),
    };
    let repetition = match element.repetition {
        Some(0) => Repetition::REQUIRED,
        Some(1) => Repetition::OPTIONAL,
        Some(2) => Repetition::REPEATED,
        // Whether its pages have levels is unknown.
        _ => return Err("the footer does not say whether its rows may be null"),
    };
    let number = |value: i64| i32::try_from(value).unwrap_or(-1);
    let (scale, precision) = match &element.logical {
        Some(LogicalType::Decimal(decimal)) => (decimal.scale, decimal.precision),
        _ => (number(element.scale), number(element.precision)),
    };
    let column = || {
        Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_length(number(element.length).max(0))
            .with_scale(scale)
            .with_precision(precision)
    };
    let converted = match (&element.logical, element.converted) {
        (None, Some(number)) => converted_type(number),
        _ => Some(ConvertedType::NONE),
    };
    let built = match converted {
        Some(converted) => {
            column().with_logical_type(element.logical.clone()).with_converted_type(converted).build().ok()
        }
        None => None,
    };
    let unknown = || column().with_logical_type(Some(LogicalType::_Unknown { field_id: i16::MAX })).build();
    built.map_or_else(unknown, Ok).map_err(|_| "its type is not one of the format's")
}

fn converted_type(number: i64) -> Option<ConvertedType> {
    Some(match number {
        0 => ConvertedType::UTF8,
        4 => ConvertedType::ENUM,
        5 => ConvertedType::DECIMAL,
        6 => ConvertedType::DATE,
        7 => ConvertedType::TIME_MILLIS,
        8 => ConvertedType::TIME_MICROS,
        9 => ConvertedType::TIMESTAMP_MILLIS,
        10 => ConvertedType::TIMESTAMP_MICROS,
        11 => ConvertedType::UINT_8,
        12 => ConvertedType::UINT_16,
        13 => ConvertedType::UINT_32,
        14 => ConvertedType::UINT_64,
        15 => ConvertedType::INT_8,
        16 => ConvertedType::INT_16,
        17 => ConvertedType::INT_32,
        18 => ConvertedType::INT_64,
        19 => ConvertedType::JSON,
        20 => ConvertedType::BSON,
        21 => ConvertedType::INTERVAL,
        _ => return None,
    })
}

fn element<'a>(thrift: &mut Thrift<'a>) -> Result<Element<'a>> {
    let mut found = Element::default();
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, wire::I32) => found.physical = Some(thrift.number()?),
            (2, wire::I32) => found.length = thrift.number()?,
            (3, wire::I32) => found.repetition = Some(thrift.number()?),
            (4, wire::BINARY) => found.name = thrift.binary()?,
            (5, wire::I32) => found.children = thrift.number()?,
            (6, wire::I32) => found.converted = Some(thrift.number()?),
            (7, wire::I32) => found.scale = thrift.number()?,
            (8, wire::I32) => found.precision = thrift.number()?,
            (10, wire::STRUCT) => found.logical = logical_type(thrift)?,
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(found)
}

/// The union `LogicalType`: a struct with one field.
fn logical_type(thrift: &mut Thrift<'_>) -> Result<Option<LogicalType>> {
    let mut found = None;
    thrift.fields(|thrift, id, kind| {
        if kind != wire::STRUCT {
            return thrift.skip(kind);
        }
        let mut fields = LogicalFields::default();
        fields.read(thrift)?;
        let unknown = LogicalType::_Unknown { field_id: i16::try_from(id).unwrap_or(i16::MAX) };
        found = Some(fields.logical_type(id).unwrap_or(unknown));
        Ok(())
    })?;
    Ok(found)
}

/// The fields of the structs in the union; each has some of them.
#[derive(Default)]
struct LogicalFields {
    /// Field 1 of `DecimalType` and `IntType`.
    first: Option<i64>,
    /// Field 2 of `DecimalType`.
    second: Option<i64>,
    /// The boolean: field 1 of `TimeType` and `TimestampType`, field 2 of `IntType`.
    flag: Option<bool>,
    /// Field 2 of `TimeType` and `TimestampType`.
    unit: Option<TimeUnit>,
}

impl LogicalFields {
    fn read(&mut self, thrift: &mut Thrift<'_>) -> Result<()> {
        thrift.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, wire::I32) => self.first = Some(thrift.number()?),
                (1, wire::I8) => self.first = Some(i64::from(thrift.byte()?)),
                (2, wire::I32) => self.second = Some(thrift.number()?),
                (1 | 2, wire::TRUE | wire::FALSE) => self.flag = Some(kind == wire::TRUE),
                (2, wire::STRUCT) => thrift.fields(|thrift, id, kind| {
                    self.unit = match id {
                        1 => Some(TimeUnit::MILLIS),
                        2 => Some(TimeUnit::MICROS),
                        3 => Some(TimeUnit::NANOS),
                        _ => None,
                    };
                    thrift.skip(kind)
                })?,
                _ => thrift.skip(kind)?,
            }
            Ok(())
        })
    }

    /// The type with this number in the union; `None` if it is unknown or lacks a field.
    fn logical_type(self, id: i64) -> Option<LogicalType> {
        let number = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
        Some(match id {
            1 => LogicalType::String,
            4 => LogicalType::Enum,
            5 => LogicalType::Decimal(DecimalType {
                scale: number(self.first).unwrap_or(0),
                precision: number(self.second)?,
            }),
            6 => LogicalType::Date,
            7 => LogicalType::Time(TimeType { is_adjusted_to_u_t_c: self.flag?, unit: self.unit? }),
            8 => LogicalType::Timestamp(TimestampType { is_adjusted_to_u_t_c: self.flag?, unit: self.unit? }),
            10 => LogicalType::Integer(IntType {
                bit_width: i8::try_from(self.first?).ok().filter(|width| [8, 16, 32, 64].contains(width))?,
                is_signed: self.flag?,
            }),
            11 => LogicalType::Unknown,
            12 => LogicalType::Json,
            13 => LogicalType::Bson,
            14 => LogicalType::Uuid,
            15 => LogicalType::Float16,
            _ => return None,
        })
    }
}
