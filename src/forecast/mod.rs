//! Capacity and storage: what policies do to the inventory month by month. Pure arithmetic on ledgers; no snapshot is
//! read.
//!
//! [`history::in_order`] checks that ledgers belong together, [`estimate()`] estimates arrivals and hazards from them,
//! and [`forecast()`] simulates the cohorts of the last ledger month by month. [`backtest::backtest`] holds out
//! the last ledgers and measures the error of their forecast. [`forecast_files`] and [`backtest_files`] do all of it,
//! and write a folder of tables and a page.

mod arrivals;
pub mod backtest;
pub mod document;
mod draw;
mod estimate;
mod finding;
pub mod history;
mod housekeeping;
mod job;
mod life_table;
mod outcome;
mod page;
mod parties;
mod phase_document;
mod phase_job;
mod phase_page;
mod phasing;
mod project;
mod quantiles;
pub mod rates;
mod regression;
pub mod scenario;
mod scenario_values;
mod schedule;
mod simulate;
mod stability;
mod strata;
pub mod write;

pub use estimate::estimate;
pub use finding::Finding;
pub use job::{BacktestFiles, BacktestOptions, ForecastFiles, ForecastOptions, backtest_files, forecast_files};
pub use outcome::{Forecast, PolicyForecast, RowBytesSource, TypeForecast};
pub use page::bytes;
pub use parties::PartyAlerts;
pub use phase_document::{PhaseFiles, PhaseMonth, PhasePolicy};
pub use phase_job::{PhaseOptions, phase_files};
pub use phasing::{MonthFlows, PhasePlan, PhasingProblem};
pub use project::forecast;
pub use quantiles::Quantiles;
pub use scenario::{HousekeepingPeriod, Scenario};
pub use simulate::ForecastMeasure;
