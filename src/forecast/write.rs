//! The files of a forecast and of a backtest: tables, a JSON document, and a page.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array, StringArray, UInt32Array};
use arrow_schema::{Field, Schema};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::Serialize;

use super::backtest::Backtest;
use super::document::{BacktestDocument, ForecastDocument};
use super::outcome::{Forecast, GIGABYTE, TypeForecast};
use super::page;
use super::quantiles::Quantiles;
use super::simulate::ForecastMeasure;
use crate::error::{Error, Result};
use crate::estate::time::format_day;
use crate::output::parquet::{ArrowSchema, ParquetFile};
use crate::output::{OutputFile, csv as table};

/// A figure of the table: a measure times a factor.
#[derive(Debug, Clone, Copy)]
struct TableFigure {
    name: &'static str,
    measure: ForecastMeasure,
    factor: f64,
}

/// A row of the table. The numbers are low, median and high, and the same of the difference from the first policy.
struct ForecastRow<'a> {
    policy: &'a str,
    month: u32,
    day: i32,
    device_type: &'a str,
    figure: &'static str,
    numbers: [f64; 6],
}

/// All figures of the table: the measures, storage, and its cost if there is a price.
fn table_figures(forecast: &Forecast, price: Option<f64>) -> Vec<TableFigure> {
    let bytes = forecast.bytes_per_row;
    let mut figures: Vec<TableFigure> =
        ForecastMeasure::ALL.map(|measure| TableFigure { name: measure.name(), measure, factor: 1.0 }).into();
    figures.extend([
        TableFigure { name: "bytes", measure: ForecastMeasure::Rows, factor: bytes },
        TableFigure { name: "retained_bytes", measure: ForecastMeasure::Retained, factor: bytes },
    ]);
    if let Some(price) = price {
        figures.push(TableFigure { name: "pounds", measure: ForecastMeasure::Rows, factor: bytes / GIGABYTE * price });
        figures.push(TableFigure {
            name: "retained_pounds",
            measure: ForecastMeasure::Retained,
            factor: bytes / GIGABYTE * price,
        });
    }
    figures
}

fn table_rows(forecast: &Forecast, price: Option<f64>) -> impl Iterator<Item = ForecastRow<'_>> {
    let figures = table_figures(forecast, price);
    forecast.policies.iter().flat_map(move |policy| {
        let figures = figures.clone();
        policy.types.iter().chain(&policy.boxes).flat_map(move |of_type| {
            let figures = figures.clone();
            (0..of_type.months.len()).flat_map(move |month| {
                let row = move |figure: TableFigure| ForecastRow {
                    policy: &policy.policy,
                    month: month as u32,
                    day: forecast.days.get(month).copied().unwrap_or_default(),
                    device_type: &of_type.name,
                    figure: figure.name,
                    numbers: numbers(of_type, month, figure),
                };
                figures.clone().into_iter().map(row)
            })
        })
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn numbers(of_type: &TypeForecast, month: usize, figure: TableFigure) -> [f64; 6] {
    let scaled = |own: &Quantiles| [own.low, own.median, own.high].map(|number| number as f64 * figure.factor);
    let [low, median, high] = scaled(&of_type.months[month][figure.measure as usize]);
    let [difference_low, difference_median, difference_high] =
        scaled(&of_type.differences[month][figure.measure as usize]);
    [low, median, high, difference_low, difference_median, difference_high]
}

/// A number for a spreadsheet, without decimals if it is whole, else with six significant digits at least.
fn plain(number: f64) -> String {
    if number.fract() == 0.0 {
        return format!("{number:.0}");
    }
    let decimals = (5 - number.abs().log10().floor() as i32).clamp(2, 15);
    format!("{number:.0$}", decimals.unsigned_abs() as usize)
}

/// Writes `forecast.csv`, `forecast.parquet`, `totals.csv`, `parties.csv`, `rates.csv`, `arrivals.csv`, `forecast.json`
/// and `report.html` into a folder. `price` is pounds for a gigabyte and month.
///
/// # Errors
/// If a file cannot be written.
pub fn forecast(folder: &Path, forecast: &Forecast, price: Option<f64>) -> Result<()> {
    let header = [
        "policy",
        "month",
        "date",
        "device_type",
        "measure",
        "low",
        "median",
        "high",
        "difference_low",
        "difference_median",
        "difference_high",
    ];
    let rows = table_rows(forecast, price).map(|row| {
        let [low, median, high, difference_low, difference_median, difference_high] = row.numbers.map(plain);
        let (policy, device_type) = (row.policy.to_owned(), row.device_type.to_owned());
        let (month, date, measure) = (row.month.to_string(), format_day(row.day), row.figure.to_owned());
        [
            policy,
            month,
            date,
            device_type,
            measure,
            low,
            median,
            high,
            difference_low,
            difference_median,
            difference_high,
        ]
    });
    table::write(&folder.join("forecast.csv"), header, rows)?;
    parquet(&folder.join("forecast.parquet"), header, &table_rows(forecast, price).collect::<Vec<_>>())?;
    totals(folder, forecast)?;
    parties(folder, forecast)?;
    rates(folder, forecast)?;
    json(&folder.join("forecast.json"), &ForecastDocument::new(forecast, price))?;
    text(&folder.join("report.html"), &page::forecast(forecast, price))
}

fn text(path: &Path, text: &str) -> Result<()> {
    OutputFile::create(path)?.finish_with(text.as_bytes()).map(drop)
}

/// Writes a document with sorted keys.
fn json(path: &Path, document: &impl Serialize) -> Result<()> {
    let document = serde_json::to_value(document).map_err(|error| Error::io("write", path)(error.into()))?;
    text(path, &format!("{document:#}\n"))
}

fn parquet(path: &Path, header: [&str; 11], rows: &[ForecastRow<'_>]) -> Result<()> {
    let number = |index: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(row.numbers[index])).collect::<Float64Array>())
    };
    let text = |text: &dyn Fn(&ForecastRow<'_>) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(text(row))).collect::<StringArray>())
    };
    let mut columns = vec![
        text(&|row| row.policy.to_owned()),
        Arc::new(rows.iter().map(|row| Some(row.month)).collect::<UInt32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.day)).collect::<Date32Array>()),
        text(&|row| row.device_type.to_owned()),
        text(&|row| row.figure.to_owned()),
    ];
    columns.extend((0..6).map(number));
    let fields: Vec<Field> =
        header.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(Schema::new(fields));
    let mut file = ParquetFile::new(OutputFile::create(path)?, schema, properties, ArrowSchema::Stored)?;
    file.write(columns)?;
    file.finish().map(drop)
}

/// Sums over all months, with their band.
fn totals(folder: &Path, forecast: &Forecast) -> Result<()> {
    let flows = [ForecastMeasure::Deleted, ForecastMeasure::Alerts];
    let header = ["policy", "device_type", "measure", "low", "median", "high"];
    let rows = forecast.policies.iter().flat_map(|policy| {
        policy.types.iter().chain(&policy.boxes).flat_map(move |own| {
            flows.map(|measure| {
                let Quantiles { low, median, high } = own.total(measure);
                let [low, median, high] = [low, median, high].map(|count| count.to_string());
                [policy.policy.clone(), own.name.clone(), measure.name().to_owned(), low, median, high]
            })
        })
    });
    table::write(&folder.join("totals.csv"), header, rows)
}

fn parties(folder: &Path, forecast: &Forecast) -> Result<()> {
    let header = ["policy", "notifying_party", "month", "date", "expected_alerts", "low", "high"];
    let rows = forecast.policies.iter().flat_map(|policy| {
        policy.parties.iter().flat_map(move |party| {
            let some = party.alerts.iter().enumerate().filter(|(_, alerts)| **alerts > 0.0);
            some.map(move |(month, alerts)| {
                let date = format_day(forecast.days.get(month).copied().unwrap_or_default());
                let band = party.months.get(month).copied().unwrap_or_default();
                // A device without a party has an empty name, so that a party may have any name.
                let name = party.party.clone().unwrap_or_default();
                let [low, high] = [band.low, band.high].map(|count| count.to_string());
                [policy.policy.clone(), name, month.to_string(), date, format!("{alerts:.2}"), low, high]
            })
        })
    });
    table::write(&folder.join("parties.csv"), header, rows)
}

fn rates(folder: &Path, forecast: &Forecast) -> Result<()> {
    let header = ["device_type", "from_age", "until_age", "exposure", "events", "hazard", "basis"];
    let rows = forecast.rates.iter().flat_map(|(name, rates)| {
        rates.bands.iter().map(move |band| {
            [
                name.clone(),
                band.from.to_string(),
                band.until.map(|until| until.to_string()).unwrap_or_default(),
                format!("{:.1}", band.exposure),
                format!("{:.1}", band.events),
                format!("{:.6}", band.hazard),
                rates.hazard_basis.name().to_owned(),
            ]
        })
    });
    table::write(&folder.join("rates.csv"), header, rows)?;
    let header = [
        "device_type",
        "arrivals_per_month",
        "months_observed",
        "dispersion",
        "pattern",
        "basis",
        "other_per_month",
        "unobserved_from_age",
    ];
    let rows = forecast.rates.iter().map(|(name, rates)| {
        let arrivals = &rates.arrivals;
        let pattern = arrivals.pattern.as_ref().map_or("level", |pattern| match pattern.kind() {
            (true, true) => "trend and season",
            (true, false) => "trend",
            (false, true) => "season",
            (false, false) => "level since a change",
        });
        [
            name.clone(),
            format!("{:.2}", arrivals.mean),
            if arrivals.months.is_finite() { format!("{:.2}", arrivals.months) } else { String::new() },
            format!("{:.3}", arrivals.dispersion),
            pattern.to_owned(),
            rates.arrival_basis.name().to_owned(),
            format!("{:.2}", rates.other),
            rates.unobserved.as_ref().map(|own| own.from.to_string()).unwrap_or_default(),
        ]
    });
    table::write(&folder.join("arrivals.csv"), header, rows)
}

/// Writes `backtest.csv`, `backtest.json` and `report.html` into a folder.
///
/// # Errors
/// If a file cannot be written.
pub fn backtest(folder: &Path, backtest: &Backtest) -> Result<()> {
    let header = ["horizon", "date", "device_type", "measure", "low", "median", "high", "actual", "held"];
    let rows = backtest.points.iter().map(|point| {
        let Quantiles { low, median, high } = point.forecast;
        let counts = [low, median, high, point.actual].map(|count| count.to_string());
        let [low, median, high, actual] = counts;
        let held = point.forecast.contains(point.actual).to_string();
        let (device_type, measure) = (point.device_type.clone(), point.measure.name().to_owned());
        [point.horizon.to_string(), format_day(point.day), device_type, measure, low, median, high, actual, held]
    });
    table::write(&folder.join("backtest.csv"), header, rows)?;
    json(&folder.join("backtest.json"), &BacktestDocument::new(backtest))?;
    text(&folder.join("report.html"), &page::backtest(backtest))
}
