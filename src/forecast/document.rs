//! The JSON documents of a forecast and of a backtest.

use std::collections::BTreeMap;

use serde::Serialize;

use super::backtest::Backtest;
use super::finding::Finding;
use super::outcome::{Forecast, GIGABYTE, PolicyForecast, TypeForecast};
use super::parties::PartyAlerts;
use super::quantiles::Quantiles;
use super::rates::TypeRates;
use super::simulate::{ForecastMeasure, MEASURES};
use crate::estate::time::format_day;

/// A forecast as a document: schema `smi-sweep/forecast/1`.
#[derive(Debug, Serialize)]
pub struct ForecastDocument {
    schema: &'static str,
    estate: Option<String>,
    synthetic: bool,
    dates: Vec<String>,
    bytes_per_row: f64,
    bytes_from: &'static str,
    price_per_gb_month: Option<f64>,
    /// What a reader must know before the figures are used.
    findings: Vec<FindingDocument>,
    /// Whether the two devices of a hub are drawn together.
    hubs_paired: bool,
    rates: BTreeMap<String, RatesDocument>,
    policies: Vec<PolicyForecastDocument>,
}

#[derive(Debug, Serialize)]
struct FindingDocument {
    kind: &'static str,
    /// Whether figures or bands may be wrong.
    warning: bool,
    text: String,
    /// The part of the figure that rests on ages never observed, 0 to 1.
    share: Option<f64>,
    /// A window of months to use instead of all ledgers.
    window: Option<u32>,
}

/// Low to high is the 80 % band.
#[derive(Debug, Serialize)]
struct BandOf {
    low: i64,
    median: i64,
    high: i64,
}

#[derive(Debug, Serialize)]
struct RatesDocument {
    hazard: Vec<BandDocument>,
    /// The first age in months that no ledger shows.
    unobserved_from: Option<u32>,
    hazard_basis: &'static str,
    arrivals_per_month: f64,
    arrival_basis: &'static str,
    other_per_month: f64,
}

#[derive(Debug, Serialize)]
struct BandDocument {
    from_age: u32,
    until_age: Option<u32>,
    exposure: f64,
    events: f64,
    hazard: f64,
}

#[derive(Debug, Serialize)]
struct PolicyForecastDocument {
    policy: String,
    summary: Option<SummaryDocument>,
    series: BTreeMap<String, BTreeMap<&'static str, MeasureDocument>>,
    /// Comms Hubs as boxes.
    boxes: Option<BTreeMap<&'static str, MeasureDocument>>,
    parties: Vec<PartyDocument>,
}

/// The figures of all types together.
#[derive(Debug, Serialize)]
struct SummaryDocument {
    deleted: i64,
    deleted_band: BandOf,
    alerts: i64,
    alerts_band: BandOf,
    peak_alerts: i64,
    peak_alerts_band: BandOf,
    peak_month: usize,
    retained_at_end: i64,
    retained_at_end_band: BandOf,
    /// The part of the retained devices that rests on ages never observed, 0 to 1.
    retained_unobserved_share: f64,
    /// Comms Hubs retained, as boxes.
    retained_boxes_at_end: Option<BandOf>,
    retained_bytes_at_end: f64,
    rows_at_end: i64,
    bytes_at_end: f64,
    pounds_per_month_at_end: Option<f64>,
}

/// A measure by month.
#[derive(Debug, Serialize)]
struct MeasureDocument {
    low: Vec<i64>,
    median: Vec<i64>,
    high: Vec<i64>,
    difference_median: Vec<i64>,
    /// The sum over all months.
    total: BandOf,
}

#[derive(Debug, Serialize)]
struct PartyDocument {
    /// Null for devices without a party.
    party: Option<String>,
    expected_alerts: f64,
    alerts_band: BandOf,
    peak_month: usize,
    peak_alerts: f64,
}

impl ForecastDocument {
    /// The document of a forecast. `price` is pounds for a gigabyte and month.
    #[must_use]
    pub fn new(forecast: &Forecast, price: Option<f64>) -> Self {
        Self {
            schema: "smi-sweep/forecast/1",
            estate: forecast.estate.clone(),
            synthetic: forecast.synthetic,
            dates: forecast.days.iter().map(|&day| format_day(day)).collect(),
            bytes_per_row: forecast.bytes_per_row,
            bytes_from: forecast.bytes_from.name(),
            price_per_gb_month: price,
            findings: forecast.findings.iter().map(FindingDocument::new).collect(),
            hubs_paired: forecast.hubs_paired,
            rates: forecast.rates.iter().map(|(name, rates)| (name.clone(), RatesDocument::new(rates))).collect(),
            policies: forecast
                .policies
                .iter()
                .map(|policy| PolicyForecastDocument::new(policy, forecast.bytes_per_row, price))
                .collect(),
        }
    }
}

impl FindingDocument {
    fn new(finding: &Finding) -> Self {
        let (share, window) = match finding {
            Finding::Unobserved { share, .. } => (Some(*share), None),
            Finding::Break { months, .. } => (None, Some(*months)),
            _ => (None, None),
        };
        Self { kind: finding.kind(), warning: finding.warns(), text: finding.to_string(), share, window }
    }
}

impl From<Quantiles> for BandOf {
    fn from(own: Quantiles) -> Self {
        Self { low: own.low, median: own.median, high: own.high }
    }
}

impl RatesDocument {
    fn new(rates: &TypeRates) -> Self {
        let bands = rates.bands.iter().map(|band| BandDocument {
            from_age: band.from,
            until_age: band.until,
            exposure: band.exposure,
            events: band.events,
            hazard: band.hazard,
        });
        Self {
            hazard: bands.collect(),
            unobserved_from: rates.unobserved.as_ref().map(|own| own.from),
            hazard_basis: rates.hazard_basis.name(),
            arrivals_per_month: rates.arrivals.mean,
            arrival_basis: rates.arrival_basis.name(),
            other_per_month: rates.other,
        }
    }
}

impl PolicyForecastDocument {
    fn new(forecast: &PolicyForecast, bytes_per_row: f64, price: Option<f64>) -> Self {
        let of_type =
            |own: &TypeForecast| ForecastMeasure::ALL.map(|of| (of.name(), MeasureDocument::new(own, of))).into();
        Self {
            policy: forecast.policy.clone(),
            summary: forecast.all().map(|all| SummaryDocument {
                retained_boxes_at_end: forecast.boxes.as_ref().map(|own| own.last(ForecastMeasure::Retained).into()),
                ..SummaryDocument::new(all, bytes_per_row, price)
            }),
            boxes: forecast.boxes.as_ref().map(of_type),
            series: forecast.types.iter().map(|own| (own.name.clone(), of_type(own))).collect(),
            parties: forecast.parties.iter().map(PartyDocument::new).collect(),
        }
    }
}

impl SummaryDocument {
    fn new(all: &TypeForecast, bytes_per_row: f64, price: Option<f64>) -> Self {
        let last = |measure: ForecastMeasure| all.last(measure).median;
        #[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
        let bytes = |measure: ForecastMeasure| last(measure) as f64 * bytes_per_row;
        let (peak_month, peak_alerts) = all.peak(ForecastMeasure::Alerts);
        Self {
            deleted: all.total(ForecastMeasure::Deleted).median,
            deleted_band: all.total(ForecastMeasure::Deleted).into(),
            alerts: all.total(ForecastMeasure::Alerts).median,
            alerts_band: all.total(ForecastMeasure::Alerts).into(),
            peak_alerts: peak_alerts.median,
            peak_alerts_band: peak_alerts.into(),
            peak_month,
            retained_at_end: last(ForecastMeasure::Retained),
            retained_at_end_band: all.last(ForecastMeasure::Retained).into(),
            retained_unobserved_share: all.unobserved_share(),
            retained_boxes_at_end: None,
            retained_bytes_at_end: bytes(ForecastMeasure::Retained),
            rows_at_end: last(ForecastMeasure::Rows),
            bytes_at_end: bytes(ForecastMeasure::Rows),
            pounds_per_month_at_end: price.map(|price| bytes(ForecastMeasure::Rows) / GIGABYTE * price),
        }
    }
}

impl MeasureDocument {
    fn new(own: &TypeForecast, measure: ForecastMeasure) -> Self {
        let by_month = |months: &[[Quantiles; MEASURES]], of: fn(&Quantiles) -> i64| -> Vec<i64> {
            months.iter().map(|month| of(&month[measure as usize])).collect()
        };
        Self {
            low: by_month(&own.months, |quantiles| quantiles.low),
            median: by_month(&own.months, |quantiles| quantiles.median),
            high: by_month(&own.months, |quantiles| quantiles.high),
            difference_median: by_month(&own.differences, |quantiles| quantiles.median),
            total: own.total(measure).into(),
        }
    }
}

impl PartyDocument {
    fn new(party: &PartyAlerts) -> Self {
        let (peak_month, peak_alerts) = party.peak();
        Self {
            party: party.party.clone(),
            expected_alerts: party.expected(),
            alerts_band: party.total.into(),
            peak_month,
            peak_alerts,
        }
    }
}

/// A backtest as a document: schema `smi-sweep/backtest/1`.
#[derive(Debug, Serialize)]
pub struct BacktestDocument {
    schema: &'static str,
    ledgers_used: usize,
    points: usize,
    held: f64,
    /// The share of figures that the band is built to contain.
    band: f64,
    horizons: Vec<HorizonDocument>,
}

#[derive(Debug, Serialize)]
struct HorizonDocument {
    months: u32,
    points: usize,
    median_error: f64,
    worst_error: f64,
    held: f64,
}

impl BacktestDocument {
    /// The document of a backtest.
    #[must_use]
    pub fn new(backtest: &Backtest) -> Self {
        let horizons = backtest.horizons().into_iter().map(|horizon| HorizonDocument {
            months: horizon.months,
            points: horizon.points,
            median_error: horizon.median_error,
            worst_error: horizon.worst_error,
            held: horizon.coverage,
        });
        Self {
            schema: "smi-sweep/backtest/1",
            ledgers_used: backtest.used,
            points: backtest.points.len(),
            held: backtest.coverage(),
            band: 0.8,
            horizons: horizons.collect(),
        }
    }
}
