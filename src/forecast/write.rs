//! A forecast as files: tables for spreadsheets and query engines, one JSON document, a page.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array, StringArray, UInt32Array};
use arrow_schema::{Field, Schema};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use super::backtest::Backtest;
use super::outcome::{Forecast, Outlook, Series, Spread};
use super::page;
use super::simulate::Measure;
use crate::error::Result;
use crate::estate::time::format_day;
use crate::output::parquet::{ArrowSchema, ParquetFile};
use crate::output::{OutputFile, csv as table};

/// Bytes of a gigabyte, as it is paid for.
pub const GIGABYTE: f64 = 1e9;

/// A number that follows from a measure.
#[derive(Debug, Clone, Copy)]
struct Derived {
    name: &'static str,
    of: Measure,
    factor: f64,
}

/// One line of the table: what, where, when, and its spread; the last three are differences from the first policy.
struct Line<'a> {
    policy: &'a str,
    month: u32,
    day: i32,
    device_type: &'a str,
    measure: &'static str,
    numbers: [f64; 6],
}

/// What a forecast says of storage, and of money where there is a price.
fn derived(forecast: &Forecast, price: Option<f64>) -> Vec<Derived> {
    let bytes = forecast.bytes_per_row;
    let mut derived = vec![
        Derived { name: "bytes", of: Measure::Rows, factor: bytes },
        Derived { name: "retained_bytes", of: Measure::Retained, factor: bytes },
    ];
    if let Some(price) = price {
        derived.push(Derived { name: "pounds", of: Measure::Rows, factor: bytes / GIGABYTE * price });
        derived.push(Derived { name: "retained_pounds", of: Measure::Retained, factor: bytes / GIGABYTE * price });
    }
    derived
}

fn lines(forecast: &Forecast, price: Option<f64>) -> impl Iterator<Item = Line<'_>> {
    let plain = Measure::ALL.map(|of| Derived { name: of.name(), of, factor: 1.0 });
    let measures: Vec<Derived> = plain.into_iter().chain(derived(forecast, price)).collect();
    forecast.outlooks.iter().flat_map(move |outlook| {
        let measures = measures.clone();
        outlook.series.iter().flat_map(move |series| {
            let measures = measures.clone();
            (0..series.months.len()).flat_map(move |month| {
                let line = move |derived: Derived| Line {
                    policy: &outlook.policy,
                    month: month as u32,
                    day: forecast.days.get(month).copied().unwrap_or_default(),
                    device_type: &series.name,
                    measure: derived.name,
                    numbers: numbers(series, month, derived),
                };
                measures.clone().into_iter().map(line)
            })
        })
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn numbers(series: &Series, month: usize, derived: Derived) -> [f64; 6] {
    let three = |spread: &Spread| [spread.low, spread.median, spread.high].map(|number| number as f64 * derived.factor);
    let own = three(&series.months[month][derived.of as usize]);
    let difference = three(&series.differences[month][derived.of as usize]);
    [own[0], own[1], own[2], difference[0], difference[1], difference[2]]
}

/// A number for a spreadsheet: whole where it is.
fn plain(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// Writes `forecast.csv`, `forecast.parquet`, `parties.csv`, `rates.csv`, `arrivals.csv`, `forecast.json` and
/// `report.html` into a folder. `price` is that of a gigabyte for a month, in pounds.
///
/// # Errors
/// Where a file cannot be written.
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
    let rows = lines(forecast, price).map(|line| {
        let [low, median, high, difference_low, difference_median, difference_high] = line.numbers.map(plain);
        let (policy, device_type) = (line.policy.to_owned(), line.device_type.to_owned());
        let (month, date, measure) = (line.month.to_string(), format_day(line.day), line.measure.to_owned());
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
    parquet(&folder.join("forecast.parquet"), header, &lines(forecast, price).collect::<Vec<_>>())?;
    parties(folder, forecast)?;
    rates(folder, forecast)?;
    text(&folder.join("forecast.json"), &format!("{:#}\n", document(forecast, price)))?;
    text(&folder.join("report.html"), &page::forecast(forecast, price))
}

fn text(path: &Path, text: &str) -> Result<()> {
    OutputFile::create(path)?.finish_with(text.as_bytes()).map(drop)
}

fn parquet(path: &Path, header: [&str; 11], lines: &[Line<'_>]) -> Result<()> {
    let number = |index: usize| -> ArrayRef {
        Arc::new(lines.iter().map(|line| Some(line.numbers[index])).collect::<Float64Array>())
    };
    let word = |word: &dyn Fn(&Line<'_>) -> String| -> ArrayRef {
        Arc::new(lines.iter().map(|line| Some(word(line))).collect::<StringArray>())
    };
    let mut columns = vec![
        word(&|line| line.policy.to_owned()),
        Arc::new(lines.iter().map(|line| Some(line.month)).collect::<UInt32Array>()),
        Arc::new(lines.iter().map(|line| Some(line.day)).collect::<Date32Array>()),
        word(&|line| line.device_type.to_owned()),
        word(&|line| line.measure.to_owned()),
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

fn parties(folder: &Path, forecast: &Forecast) -> Result<()> {
    let header = ["policy", "notifying_party", "month", "date", "expected_alerts"];
    let rows = forecast.outlooks.iter().flat_map(|outlook| {
        outlook.parties.iter().flat_map(move |party| {
            let some = party.alerts.iter().enumerate().filter(|(_, alerts)| **alerts > 0.0);
            some.map(move |(month, alerts)| {
                let date = format_day(forecast.days.get(month).copied().unwrap_or_default());
                [outlook.policy.clone(), party.party.clone(), month.to_string(), date, format!("{alerts:.2}")]
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
    let header = ["device_type", "arrivals_per_month", "months_observed", "dispersion", "basis", "other_per_month"];
    let rows = forecast.rates.iter().map(|(name, rates)| {
        let arrivals = rates.arrivals;
        [
            name.clone(),
            format!("{:.2}", arrivals.mean),
            if arrivals.months.is_finite() { arrivals.months.to_string() } else { String::new() },
            format!("{:.3}", arrivals.dispersion),
            rates.arrival_basis.name().to_owned(),
            format!("{:.2}", rates.other),
        ]
    });
    table::write(&folder.join("arrivals.csv"), header, rows)
}

/// A forecast as one document.
#[must_use]
pub fn document(forecast: &Forecast, price: Option<f64>) -> Value {
    let outlooks: Vec<Value> =
        forecast.outlooks.iter().map(|outlook| outlook_document(forecast, outlook, price)).collect();
    let rates: serde_json::Map<String, Value> = forecast
        .rates
        .iter()
        .map(|(name, rates)| {
            let hazards: Vec<Value> = rates
                .bands
                .iter()
                .map(|band| {
                    json!({ "from_age": band.from, "until_age": band.until, "exposure": band.exposure, "events": band.events, "hazard": band.hazard })
                })
                .collect();
            let own = json!({
                "hazard": hazards, "hazard_basis": rates.hazard_basis.name(),
                "arrivals_per_month": rates.arrivals.mean, "arrival_basis": rates.arrival_basis.name(),
                "other_per_month": rates.other,
            });
            (name.clone(), own)
        })
        .collect();
    json!({
        "schema": "smi-sweep/forecast/1",
        "estate": forecast.estate,
        "synthetic": forecast.synthetic,
        "dates": forecast.days.iter().map(|&day| format_day(day)).collect::<Vec<_>>(),
        "bytes_per_row": forecast.bytes_per_row,
        "bytes_from": forecast.bytes_from.name(),
        "price_per_gb_month": price,
        "rates": rates,
        "policies": outlooks,
    })
}

fn outlook_document(forecast: &Forecast, outlook: &Outlook, price: Option<f64>) -> Value {
    let series = |series: &Series| -> Value {
        let measures = Measure::ALL.map(|measure| {
            let all = |of: &dyn Fn(&Spread) -> i64, differences: bool| -> Vec<i64> {
                let months = if differences { &series.differences } else { &series.months };
                months.iter().map(|month| of(&month[measure as usize])).collect()
            };
            let own = json!({
                "low": all(&|spread| spread.low, false),
                "median": all(&|spread| spread.median, false),
                "high": all(&|spread| spread.high, false),
                "difference_median": all(&|spread| spread.median, true),
            });
            (measure.name().to_owned(), own)
        });
        Value::Object(measures.into_iter().collect())
    };
    let by_type: serde_json::Map<String, Value> =
        outlook.series.iter().map(|own| (own.name.clone(), series(own))).collect();
    let summary = outlook.all().map(|all| {
        let last = |measure: Measure| all.medians(measure).last().unwrap_or_default();
        let (peak, alerts) = all.peak(Measure::Alerts);
        #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
        let bytes = |measure: Measure| last(measure) as f64 * forecast.bytes_per_row;
        json!({
            "deleted": all.total(Measure::Deleted),
            "alerts": all.total(Measure::Alerts),
            "peak_alerts": alerts,
            "peak_month": peak,
            "retained_at_end": last(Measure::Retained),
            "retained_bytes_at_end": bytes(Measure::Retained),
            "rows_at_end": last(Measure::Rows),
            "bytes_at_end": bytes(Measure::Rows),
            "pounds_per_month_at_end": price.map(|price| bytes(Measure::Rows) / GIGABYTE * price),
        })
    });
    let parties: Vec<Value> = outlook
        .parties
        .iter()
        .map(|party| {
            let (month, alerts) = party.peak();
            json!({ "party": party.party, "expected_alerts": party.total(), "peak_month": month, "peak_alerts": alerts })
        })
        .collect();
    json!({ "policy": outlook.policy, "summary": summary, "series": by_type, "parties": parties })
}

/// Writes `backtest.csv`, `backtest.json` and `report.html` into a folder.
///
/// # Errors
/// Where a file cannot be written.
pub fn backtest(folder: &Path, backtest: &Backtest) -> Result<()> {
    let header = ["horizon", "date", "device_type", "measure", "low", "median", "high", "actual", "held"];
    let rows = backtest.points.iter().map(|point| {
        let spread = point.forecast;
        let counts = [spread.low, spread.median, spread.high, point.actual].map(|count| count.to_string());
        let [low, median, high, actual] = counts;
        let held = spread.holds(point.actual).to_string();
        let (device_type, measure) = (point.device_type.clone(), point.measure.name().to_owned());
        [point.horizon.to_string(), format_day(point.day), device_type, measure, low, median, high, actual, held]
    });
    table::write(&folder.join("backtest.csv"), header, rows)?;
    text(&folder.join("backtest.json"), &format!("{:#}\n", backtest_document(backtest)))?;
    text(&folder.join("report.html"), &page::backtest(backtest))
}

/// A backtest as one document.
#[must_use]
pub fn backtest_document(backtest: &Backtest) -> Value {
    let horizons: Vec<Value> = backtest
        .horizons()
        .iter()
        .map(|horizon| {
            json!({
                "months": horizon.months, "points": horizon.points, "median_error": horizon.median_error,
                "worst_error": horizon.worst_error, "held": horizon.held,
            })
        })
        .collect();
    json!({
        "schema": "smi-sweep/backtest/1", "ledgers_used": backtest.used, "points": backtest.points.len(),
        "held": backtest.held(), "band": 0.8, "horizons": horizons,
    })
}
