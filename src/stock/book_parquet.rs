//! Order books in Parquet, in the physical types that snapshots may have.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

use super::order::{COLUMNS, Order, OrderField, TakeOrder};
use super::table::columns;
use crate::error::{DocumentPlace, Error, Position, Result};
use crate::estate::{DeviceId, time};
use crate::snapshot::flat_file::FlatFile;
use crate::system::input;

/// Rows in memory at a time.
const BATCH_ROWS: usize = 64 * 1024;

/// Calls `take` with every order of a file.
///
/// # Errors
/// Columns that are missing or of another type, damage, or the first error of `take`.
pub fn each_order(path: &Path, take: TakeOrder<'_>) -> Result<()> {
    let file = input::open(path).map_err(Error::io("read", path))?;
    let damaged = |what: String| DocumentPlace::table(path).refuse(what, "export or copy the file again");
    let file = FlatFile::of(file).map_err(damaged)?;
    let batches = file.batches(BATCH_ROWS).map_err(|what| damaged(format!("cannot be read: {what}")))?;
    let names: Vec<String> = batches.schema().fields().iter().map(|field| field.name().clone()).collect();
    let order = columns(&names, &COLUMNS, &|| DocumentPlace::table(path))?;
    let mut before = 0;
    for batch in batches {
        let batch = batch.map_err(|what| damaged(format!("cannot be read: {what}")))?;
        let columns = OrderColumns::of(&batch, &order, path)?;
        for row in 0..batch.num_rows() {
            let place = || DocumentPlace::table(path).at(Position::Row(before + row as u64 + 1));
            take(&columns.order(row), &place)?;
        }
        before += batch.num_rows() as u64;
    }
    Ok(())
}

/// The columns of a batch.
struct OrderColumns {
    device: ColumnValues,
    group: [ColumnValues; 3],
    delivered: ColumnValues,
    accepted: ColumnValues,
}

/// A column in one of the supported types.
enum ColumnValues {
    Bytes(BinaryArray),
    Ids(Vec<Option<DeviceId>>),
    Days(Vec<Option<i32>>),
}

impl OrderColumns {
    fn of(batch: &RecordBatch, order: &[usize], path: &Path) -> Result<Self> {
        let column = |name: usize| -> Result<ColumnValues> {
            let array = order.get(name).map(|index| batch.column(*index));
            let field = COLUMNS[name];
            let refuse = |found: String| {
                let remedy = "export Device IDs as text, 8 bytes or 64-bit numbers, dates as dates, the rest as text";
                DocumentPlace::table(path).field(field).refuse(format!("is {found}"), remedy)
            };
            let array = array.ok_or_else(|| refuse("missing".into()))?;
            match name {
                0 => ids(array),
                4 | 5 => days(array),
                _ => bytes(array),
            }
            .ok_or_else(|| refuse(array.data_type().to_string()))
        };
        Ok(Self {
            device: column(0)?,
            group: [column(1)?, column(2)?, column(3)?],
            delivered: column(4)?,
            accepted: column(5)?,
        })
    }

    fn order(&self, row: usize) -> Order<'_> {
        let [party, region, variant] = &self.group;
        Order {
            device: self.device.cell(row),
            group: [party.bytes(row), region.bytes(row), variant.bytes(row)],
            delivered: self.delivered.cell(row),
            accepted: self.accepted.cell(row),
        }
    }
}

impl ColumnValues {
    fn bytes(&self, row: usize) -> &[u8] {
        match self {
            Self::Bytes(array) if array.is_valid(row) => array.value(row),
            _ => b"",
        }
    }

    fn cell(&self, row: usize) -> OrderField<'_> {
        let found = match self {
            Self::Bytes(_) => None,
            Self::Ids(ids) => ids.get(row).copied().flatten().map(OrderField::Id),
            Self::Days(days) => days.get(row).copied().flatten().map(OrderField::Day),
        };
        found.unwrap_or_else(|| OrderField::Text(self.bytes(row)))
    }
}

fn bytes(array: &ArrayRef) -> Option<ColumnValues> {
    match array.data_type() {
        DataType::Utf8 => Some(ColumnValues::Bytes(array.as_string::<i32>().clone().into())),
        DataType::Binary => Some(ColumnValues::Bytes(array.as_binary::<i32>().clone())),
        _ => None,
    }
}

fn ids(array: &ArrayRef) -> Option<ColumnValues> {
    let ids = match array.data_type() {
        DataType::FixedSizeBinary(8) => {
            array.as_fixed_size_binary().iter().map(|id| id.and_then(DeviceId::from_bytes)).collect()
        }
        DataType::Binary => {
            let id = |bytes: &[u8]| DeviceId::from_bytes(bytes).or_else(|| DeviceId::from_text(bytes));
            array.as_binary::<i32>().iter().map(|bytes| bytes.and_then(id)).collect()
        }
        DataType::UInt64 => array.as_primitive::<UInt64Type>().iter().map(|id| id.map(DeviceId)).collect(),
        DataType::Int64 => {
            array.as_primitive::<Int64Type>().iter().map(|id| id.map(|id| DeviceId(id as u64))).collect()
        }
        _ => return bytes(array),
    };
    Some(ColumnValues::Ids(ids))
}

fn days(array: &ArrayRef) -> Option<ColumnValues> {
    fn scaled<T: arrow_array::ArrowPrimitiveType<Native = i64>>(
        array: &PrimitiveArray<T>,
        micros: impl Fn(i64) -> i64,
    ) -> Vec<Option<i32>> {
        array.iter().map(|value| value.map(|value| time::day_of(micros(value)))).collect()
    }
    let days = match array.data_type() {
        DataType::Date32 => array.as_primitive::<Date32Type>().iter().collect(),
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled(array.as_primitive::<TimestampSecondType>(), |value| value.saturating_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled(array.as_primitive::<TimestampMillisecondType>(), |value| value.saturating_mul(1000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            scaled(array.as_primitive::<TimestampMicrosecondType>(), |v| v)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            scaled(array.as_primitive::<TimestampNanosecondType>(), |value| value.div_euclid(1000))
        }
        _ => return bytes(array),
    };
    Some(ColumnValues::Days(days))
}
