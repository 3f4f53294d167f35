//! Pages and tables for people, made from ledgers.

pub mod ledger;
