//! placeholder
mod findings;
pub use findings::{Due, Findings, Parties, PartyRegister, Quarantined};
