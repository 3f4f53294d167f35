//! Tests of the library, room by room: snapshots, sweeps, runs, ledgers, forecasts, stock, regression cases.

#[path = "../common/mod.rs"]
mod common;

mod approvals;
mod changing;
mod forecast;
mod forecast_history;
mod forms;
mod fuzz;
mod guards;
mod lakes;
mod laws;
mod ledger;
mod manifest_export;
mod moments;
mod parties;
mod queries;
mod recluster;
mod records;
mod regress;
mod runs;
mod same_bytes;
mod scan;
mod seals;
mod snapshots;
mod stock;
mod stock_laws;
mod tidy;
mod tolerance;
mod unique;
mod unreadable;
mod worlds;
mod writers;
