//! Comms Hubs in stock at a count date (delivered and accepted, not commissioned), and the parties that are charged for
//! them.
//!
//! The inventory alone does not hold these figures: it does not record who ordered a hub, and it has lost the hubs that
//! housekeeping deleted. The count therefore starts from the order book. Every hub of the book is in exactly one
//! [`Bucket`], by its order, its returns, the inventory and past runs. [`StockRules`] name the buckets that are
//! charged, a [`Tariff`] the price of a hub. [`count_to_folder`] reads the files, counts and writes a folder; [`count`]
//! only counts.

mod book;
mod book_parquet;
mod bucket;
mod count;
mod files;
mod inputs;
mod inventory;
mod job;
mod money;
mod order;
mod page;
pub mod record;
mod region;
mod returns;
mod rules;
mod table;
mod tariff;

pub use book::{Book, Hub, OrderGroup};
pub use bucket::{Bucket, HubFlags};
pub use count::{AGES, Bridge, GroupCounts, StockCount, count};
pub use files::{StockFile, write};
pub use inputs::StockInputs;
pub use inventory::{Deletions, InventoryCounts, PastRun, UnorderedHub};
pub use job::{CountedStock, StockOptions, count_to_folder};
pub use money::Money;
pub use page::{PAGE, grouped, write as write_page};
pub use record::StockRecord;
pub use region::Region;
pub use returns::{FAULT_REASONS, FAULT_TYPES, HubReturn, NO_FAULT_TYPES, ReturnRefusal};
pub use rules::{Charges, StockRules};
pub use table::Day;
pub use tariff::Tariff;
