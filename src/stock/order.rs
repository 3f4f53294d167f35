//! Orders as found in the files of an order book.

use crate::error::{DocumentPlace, Result};
use crate::estate::DeviceId;

/// The columns of an order book.
pub const COLUMNS: [&str; 6] = ["device_id", "ordering_party", "region", "variant", "delivered", "accepted"];

/// An order as found in a file.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The Device ID.
    pub device: OrderField<'a>,
    /// The ordering party, the region and the variant.
    pub group: [&'a [u8]; 3],
    /// The day of delivery.
    pub delivered: OrderField<'a>,
    /// The day of acceptance.
    pub accepted: OrderField<'a>,
}

/// A Device ID or a date as found in a file.
#[derive(Debug, Clone, Copy)]
pub enum OrderField<'a> {
    /// Text; empty for a null.
    Text(&'a [u8]),
    /// A Device ID as its number.
    Id(DeviceId),
    /// Days since 1970-01-01.
    Day(i32),
}

/// Takes an order and the place of its line, which errors name.
pub type TakeOrder<'a> = &'a mut dyn FnMut(&Order<'_>, &dyn Fn() -> DocumentPlace) -> Result<()>;
