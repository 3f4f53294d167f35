//! The pages of a forecast and of a backtest.

use maud::{Markup, PreEscaped, html};

use super::backtest::Backtest;
use super::outcome::{Forecast, GIGABYTE, PolicyForecast, TypeForecast};
use super::parties::PartyAlerts;
use super::quantiles::Quantiles;
use super::simulate::ForecastMeasure;
use crate::estate::time::format_day;
use crate::output::html::{self, TableStyle, count};
use crate::plot::{self, Arrangement, AxisUnit, Caption, LineSeries};

/// Parties that a table lists.
const PARTIES: usize = 12;
/// Parties with their own colour in a chart; all others are one series.
const DRAWN: usize = 6;

fn number(number: i64) -> String {
    if number < 0 { format!("-{}", count(number.unsigned_abs())) } else { count(number.unsigned_abs()) }
}

fn with_band(own: Quantiles) -> String {
    let median = number(own.median);
    if own.low == own.high { median } else { format!("{median} ({} to {})", number(own.low), number(own.high)) }
}

/// Bytes with a decimal unit: `1.5 GB`.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut number, mut unit) = (bytes, 0);
    while number.abs() >= 1000.0 && unit + 1 < units.len() {
        number /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{number:.0} {}", units[unit]) } else { format!("{number:.1} {}", units[unit]) }
}

/// The page of a forecast.
#[must_use]
pub fn forecast(forecast: &Forecast, price: Option<f64>) -> String {
    let months = forecast.days.len().saturating_sub(1);
    let day = |index: usize| format_day(forecast.days.get(index).copied().unwrap_or_default());
    let lead = format!(
        "{}{} months from {}, under {} {}: medians of simulated futures, with the 80 % band.",
        if forecast.synthetic { "A synthetic estate. " } else { "" },
        months,
        day(0),
        forecast.policies.len(),
        if forecast.policies.len() == 1 { "policy" } else { "policies" }
    );
    let dates: Vec<String> = forecast.days.iter().map(|&day| format_day(day)).collect();
    let picture = |measure, factor, caption| PreEscaped(lines(forecast, &dates, measure, factor, caption));
    let body = html! {
        (findings(forecast))
        (summary(forecast, price))
        (picture(ForecastMeasure::Retained, 1.0, &RETAINED))
        (picture(ForecastMeasure::Rows, forecast.bytes_per_row, &STORAGE))
        (picture(ForecastMeasure::Pending, 1.0, &PENDING))
        (picture(ForecastMeasure::Alerts, 1.0, &ALERTS))
        @for policy in &forecast.policies {
            (types(policy, &dates))
            (parties(policy, &dates))
        }
        (rates(forecast))
        p {
            "A row takes " (format!("{:.1}", forecast.bytes_per_row)) " bytes, " (forecast.bytes_from.description())
            ". Deletions of month 0 are those that a sweep of that day finds."
        }
    };
    html::page("Forecast of the inventory by policy", &lead, &body)
}

fn findings(forecast: &Forecast) -> Markup {
    html! {
        @if !forecast.findings.is_empty() {
            h2 { "Before you use these figures" }
            ul { @for finding in &forecast.findings { li { (finding.to_string()) "." } } }
        }
    }
}

const RETAINED: Caption<'static> = Caption {
    title: "Retained devices",
    description: "Devices past their threshold that are kept because their type is excluded, by month, with the 80 % band",
    values: "devices",
    along: "month",
    unit: AxisUnit::Count,
};
const STORAGE: Caption<'static> = Caption {
    title: "Storage of the inventory",
    description: "Bytes of all rows, by month, with the 80 % band",
    values: "bytes",
    along: "month",
    unit: AxisUnit::Bytes,
};
const PENDING: Caption<'static> = Caption {
    title: "Candidates",
    description: "Candidates after housekeeping, by month, with the 80 % band",
    values: "devices",
    along: "month",
    unit: AxisUnit::Count,
};
const ALERTS: Caption<'static> = Caption {
    title: "Alerts by month",
    description: "Alerts to Notifying Parties, by month, with the 80 % band",
    values: "alerts",
    along: "month",
    unit: AxisUnit::Count,
};

#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn lines(
    forecast: &Forecast,
    dates: &[String],
    measure: ForecastMeasure,
    factor: f64,
    caption: &Caption<'_>,
) -> String {
    let line = |policy: &PolicyForecast| -> Option<LineSeries> {
        let months = policy.all()?.months.iter().map(|month| month[measure as usize]);
        let scaled = |number: i64| number as f64 * factor;
        Some(LineSeries {
            name: policy.policy.clone(),
            values: months.clone().map(|own| scaled(own.median)).collect(),
            band: months.map(|own| (scaled(own.low), scaled(own.high))).collect(),
            step: false,
        })
    };
    let lines: Vec<LineSeries> = forecast.policies.iter().filter_map(line).collect();
    plot::lines(caption, dates, &lines)
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn summary(forecast: &Forecast, price: Option<f64>) -> Markup {
    let mut header = vec![
        "policy",
        "to be deleted on the first day",
        "deletions in total",
        "alerts in total",
        "most alerts in a month",
        "devices retained at the end",
        "hubs (boxes) retained",
        "bytes retained",
        "rows at the end",
        "bytes",
    ];
    if price.is_some() {
        header.push("pounds per month");
    }
    let row = |policy: &PolicyForecast| {
        let all = policy.all()?;
        let last = |measure: ForecastMeasure| all.last(measure);
        let first = all.months.first().map_or(Quantiles::default(), |month| month[ForecastMeasure::Deleted as usize]);
        let (peak, alerts) = all.peak(ForecastMeasure::Alerts);
        let weight = |measure: ForecastMeasure| last(measure).median as f64 * forecast.bytes_per_row;
        let mut cells = vec![
            number(first.median),
            with_band(all.total(ForecastMeasure::Deleted)),
            with_band(all.total(ForecastMeasure::Alerts)),
            format!("{}, {}", with_band(alerts), format_day(forecast.days.get(peak).copied().unwrap_or_default())),
            with_band(last(ForecastMeasure::Retained)),
            policy.boxes.as_ref().map_or_else(String::new, |own| with_band(own.last(ForecastMeasure::Retained))),
            bytes(weight(ForecastMeasure::Retained)),
            with_band(last(ForecastMeasure::Rows)),
            bytes(weight(ForecastMeasure::Rows)),
        ];
        if let Some(price) = price {
            cells.push(format!("{:.4}", weight(ForecastMeasure::Rows) / GIGABYTE * price));
        }
        Some(html::row(&policy.policy, &cells))
    };
    let rows = html! { @for policy in &forecast.policies { @if let Some(row) = row(policy) { (row) } } };
    html! {
        h2 { "Summary by policy" }
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

fn types(policy: &PolicyForecast, dates: &[String]) -> Markup {
    let header = ["type", "candidates", "deletions in total", "alerts in total", "most alerts in", "retained", "rows"];
    let row = |of_type: &TypeForecast| {
        let last = |measure: ForecastMeasure| of_type.last(measure);
        let (peak, alerts) = of_type.peak(ForecastMeasure::Alerts);
        let cells = [
            with_band(last(ForecastMeasure::Pending)),
            with_band(of_type.total(ForecastMeasure::Deleted)),
            with_band(of_type.total(ForecastMeasure::Alerts)),
            if alerts.median > 0 { dates.get(peak).cloned().unwrap_or_default() } else { String::new() },
            with_band(last(ForecastMeasure::Retained)),
            with_band(last(ForecastMeasure::Rows)),
        ];
        if of_type.name == "all" { html::total_row("all", &cells) } else { html::row(&of_type.name, &cells) }
    };
    let rows = html! { @for of_type in policy.boxes.iter().chain(&policy.types) { (row(of_type)) } };
    html! {
        h2 { "Under " (policy.policy) ", at the end" }
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

fn parties(policy: &PolicyForecast, dates: &[String]) -> Markup {
    let row = |party: &PartyAlerts| {
        let (month, alerts) = party.peak();
        let month = dates.get(month).cloned().unwrap_or_default();
        let band = format!("{} to {}", number(party.total.low), number(party.total.high));
        html::row(party.name(), &[format!("{:.0}", party.expected()), band, format!("{alerts:.0}"), month])
    };
    let header = ["party", "expected alerts", "band", "most in a month", "in"];
    let rows = html! { @for party in policy.parties.iter().take(PARTIES) { (row(party)) } };
    html! {
        @if !policy.parties.is_empty() {
            (PreEscaped(party_columns(policy, dates)))
            (html::table(TableStyle::Figures, &header, &rows))
        }
    }
}

fn party_columns(policy: &PolicyForecast, dates: &[String]) -> String {
    let mut series: Vec<plot::Series> =
        policy.parties.iter().take(DRAWN).map(|party| plot::Series::new(party.name(), party.alerts.clone())).collect();
    if let Some(others) = policy.parties.get(DRAWN..).filter(|others| !others.is_empty()) {
        let month = |month: usize| others.iter().filter_map(|party| party.alerts.get(month)).sum();
        series.push(plot::Series::new(format!("{} more", others.len()), (0..dates.len()).map(month).collect()));
    }
    let title = format!("Alerts by month and party, under {}", policy.policy);
    let caption = Caption {
        title: &title,
        description: "Expected alerts by month, stacked by party",
        values: "alerts",
        along: "month",
        unit: AxisUnit::Count,
    };
    plot::columns(&caption, dates, &series, Arrangement::Stacked)
}

fn rates(forecast: &Forecast) -> Markup {
    let header = ["type", "arrivals per month", "basis", "hazard per month at age 0", "6", "12", "24", "basis"];
    let some = forecast.rates.iter().filter(|(_, rates)| rates.arrivals.mean > 0.0 || rates.hazard(0) > 0.0);
    let rows = some.map(|(name, rates)| {
        let hazard = |age: usize| format!("{:.1} %", rates.hazard(age) * 100.0);
        let cells = [
            format!("{:.0}", rates.arrivals.mean),
            rates.arrival_basis.name().to_owned(),
            hazard(0),
            hazard(6),
            hazard(12),
            hazard(24),
            rates.hazard_basis.name().to_owned(),
        ];
        html::row(name, &cells)
    });
    let rows = html! { @for row in rows { (row) } };
    html! {
        h2 { "Arrivals and hazards" }
        (html::table(TableStyle::Figures, &header, &rows))
        p {
            "The hazard is the probability to leave Pending within a month. Arrivals are net of devices that arrived and "
            "left between two ledgers. Hazards of ages that were not observed are extrapolated."
        }
    }
}

/// The page of a backtest.
#[must_use]
pub fn backtest(backtest: &Backtest) -> String {
    let lead = format!(
        "{} figures of later ledgers were forecast from {} ledgers. {:.0} % of them are within the 80 % band.",
        backtest.points.len(),
        backtest.used,
        backtest.coverage() * 100.0
    );
    let header = ["months ahead", "figures", "median error", "largest error", "within the band"];
    let rows = backtest.horizons().into_iter().map(|horizon| {
        let cells = [
            count(horizon.points as u64),
            format!("{:.1} %", horizon.median_error * 100.0),
            format!("{:.1} %", horizon.worst_error * 100.0),
            format!("{:.0} %", horizon.coverage * 100.0),
        ];
        html::row(&horizon.months.to_string(), &cells)
    });
    let rows = html! { @for row in rows { (row) } };
    let mut pictures: Vec<(&str, ForecastMeasure)> =
        backtest.points.iter().map(|point| (point.device_type.as_str(), point.measure)).collect();
    pictures.sort_by_key(|(name, measure)| (*name, *measure as usize));
    pictures.dedup();
    let body = html! {
        (html::table(TableStyle::Figures, &header, &rows))
        @for (device_type, measure) in pictures { (PreEscaped(actual_and_forecast(backtest, device_type, measure))) }
    };
    html::page("Backtest of the forecast", &lead, &body)
}

#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn actual_and_forecast(backtest: &Backtest, device_type: &str, measure: ForecastMeasure) -> String {
    let points: Vec<_> =
        backtest.points.iter().filter(|point| point.device_type == device_type && point.measure == measure).collect();
    let title = format!("{device_type}: {}", measure.name());
    let caption = Caption {
        title: &title,
        description: "The forecast with its 80 % band, and the actual count",
        values: "devices",
        along: "month",
        unit: AxisUnit::Count,
    };
    let lines = [
        LineSeries {
            name: "forecast".into(),
            values: points.iter().map(|point| point.forecast.median as f64).collect(),
            band: points.iter().map(|point| (point.forecast.low as f64, point.forecast.high as f64)).collect(),
            step: false,
        },
        LineSeries {
            name: "actual".into(),
            values: points.iter().map(|point| point.actual as f64).collect(),
            band: Vec::new(),
            step: false,
        },
    ];
    let dates: Vec<String> = points.iter().map(|point| format_day(point.day)).collect();
    plot::lines(&caption, &dates, &lines)
}
