//! Capacity and storage: what policies do to the inventory month by month. Pure arithmetic on ledgers; no snapshot is
//! read.
//!
//! [`history::in_order`] checks that ledgers belong together, [`rates::estimate`] estimates arrivals and hazards from
//! them, and [`forecast()`] simulates the cohorts of the last ledger month by month. [`backtest::backtest`] holds out
//! the last ledgers and measures the error of their forecast. [`forecast_files`] and [`backtest_files`] do all of it,
//! and write a folder of tables and a page.

pub mod backtest;
pub mod document;
pub mod history;
mod job;
mod outcome;
mod page;
mod parties;
mod project;
pub mod rates;
pub mod scenario;
mod simulate;
mod strata;
pub mod write;

pub use job::{BacktestFiles, BacktestOptions, ForecastFiles, ForecastOptions, backtest_files, forecast_files};
pub use outcome::{Forecast, PolicyForecast, Quantiles, RowBytesSource, TypeForecast};
pub use page::bytes;
pub use parties::PartyAlerts;
pub use project::forecast;
pub use scenario::Scenario;
pub use simulate::ForecastMeasure;
