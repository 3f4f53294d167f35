//! Pages and tables for people, made from ledgers.

mod ledger;
pub mod tally;
