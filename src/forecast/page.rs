//! The pages of a forecast and of a backtest.

use maud::{Markup, PreEscaped, html};

use super::backtest::Backtest;
use super::outcome::{Forecast, Outlook, Spread};
use super::simulate::Measure;
use super::write::GIGABYTE;
use crate::estate::time::format_day;
use crate::output::html::{self, TableStyle, count};
use crate::plot::{self, Arrangement, Caption, Line, Unit};

/// How many parties are listed and drawn.
const PARTIES: usize = 12;
/// Parties that a picture tells apart; the others are put together.
const DRAWN: usize = 6;

fn number(number: i64) -> String {
    if number < 0 { format!("-{}", count(number.unsigned_abs())) } else { count(number.unsigned_abs()) }
}

fn with_band(spread: Spread) -> String {
    let middle = number(spread.median);
    if spread.low == spread.high {
        middle
    } else {
        format!("{middle} ({} to {})", number(spread.low), number(spread.high))
    }
}

/// Bytes in the unit that makes them short.
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
        "{}{} months from {}, under {} {}: the median of many futures, and the band that holds eight of ten.",
        if forecast.synthetic { "A synthetic estate. " } else { "" },
        months,
        day(0),
        forecast.outlooks.len(),
        if forecast.outlooks.len() == 1 { "policy" } else { "policies" }
    );
    let dates: Vec<String> = forecast.days.iter().map(|&day| format_day(day)).collect();
    let picture = |measure, factor, caption| PreEscaped(lines(forecast, &dates, measure, factor, caption));
    let body = html! {
        (summary(forecast, price))
        (picture(Measure::Retained, 1.0, &RETAINED))
        (picture(Measure::Rows, forecast.bytes_per_row, &STORAGE))
        (picture(Measure::Pending, 1.0, &PENDING))
        (picture(Measure::Alerts, 1.0, &ALERTS))
        @for outlook in &forecast.outlooks {
            (types(outlook, &dates))
            (parties(outlook, &dates))
        }
        (rates(forecast))
        p {
            "A row takes " (format!("{:.1}", forecast.bytes_per_row)) " bytes, " (forecast.bytes_from.words())
            ". Deletions of the first month are what has been waiting: the same that a sweep of that day finds."
        }
    };
    html::page("What policies do to the inventory", &lead, &body)
}

const RETAINED: Caption<'static> = Caption {
    title: "Devices that an exclusion retains beyond its threshold",
    description: "Devices past their threshold whose type is excluded, at each month's end, with the band of eight in ten",
    values: "devices",
    along: "month",
    unit: Unit::Count,
};
const STORAGE: Caption<'static> = Caption {
    title: "Storage of the inventory",
    description: "Bytes of all rows at each month's end, with the band of eight in ten",
    values: "bytes",
    along: "month",
    unit: Unit::Bytes,
};
const PENDING: Caption<'static> = Caption {
    title: "Devices waiting",
    description: "Candidates at each month's end, after housekeeping, with the band of eight in ten",
    values: "devices",
    along: "month",
    unit: Unit::Count,
};
const ALERTS: Caption<'static> = Caption {
    title: "Alerts of each month",
    description: "Alerts to Notifying Parties in each month, with the band of eight in ten",
    values: "alerts",
    along: "month",
    unit: Unit::Count,
};

#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn lines(forecast: &Forecast, dates: &[String], measure: Measure, factor: f64, caption: &Caption<'_>) -> String {
    let line = |outlook: &Outlook| -> Option<Line> {
        let months = outlook.all()?.months.iter().map(|month| month[measure as usize]);
        let scaled = |number: i64| number as f64 * factor;
        Some(Line {
            name: outlook.policy.clone(),
            values: months.clone().map(|spread| scaled(spread.median)).collect(),
            band: months.map(|spread| (scaled(spread.low), scaled(spread.high))).collect(),
            step: false,
        })
    };
    let lines: Vec<Line> = forecast.outlooks.iter().filter_map(line).collect();
    plot::lines(caption, dates, &lines)
}

#[expect(clippy::cast_precision_loss, reason = "counts of an estate fit into the mantissa")]
fn summary(forecast: &Forecast, price: Option<f64>) -> Markup {
    let mut header = vec![
        "policy",
        "deleted on the first day",
        "deleted in all",
        "alerts in all",
        "most alerts in a month",
        "retained at the end",
        "their bytes",
        "rows at the end",
        "bytes",
    ];
    if price.is_some() {
        header.push("pounds a month");
    }
    let row = |outlook: &Outlook| {
        let all = outlook.all()?;
        let last = |measure: Measure| all.months.last().map_or(Spread::default(), |month| month[measure as usize]);
        let first = all.months.first().map_or(Spread::default(), |month| month[Measure::Deleted as usize]);
        let (peak, alerts) = all.peak(Measure::Alerts);
        let weight = |measure: Measure| last(measure).median as f64 * forecast.bytes_per_row;
        let mut cells = vec![
            number(first.median),
            number(all.total(Measure::Deleted)),
            number(all.total(Measure::Alerts)),
            format!("{} ({})", number(alerts), format_day(forecast.days.get(peak).copied().unwrap_or_default())),
            with_band(last(Measure::Retained)),
            bytes(weight(Measure::Retained)),
            with_band(last(Measure::Rows)),
            bytes(weight(Measure::Rows)),
        ];
        if let Some(price) = price {
            cells.push(format!("{:.4}", weight(Measure::Rows) / GIGABYTE * price));
        }
        Some(html::row(&outlook.policy, &cells))
    };
    let rows = html! { @for outlook in &forecast.outlooks { @if let Some(row) = row(outlook) { (row) } } };
    html! {
        h2 { "At the end, and over all months" }
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

fn types(outlook: &Outlook, dates: &[String]) -> Markup {
    let header = ["type", "waiting", "deleted in all", "alerts in all", "most alerts in", "retained", "rows"];
    let row = |series: &super::outcome::Series| {
        let last = |measure: Measure| series.months.last().map_or(Spread::default(), |month| month[measure as usize]);
        let (peak, alerts) = series.peak(Measure::Alerts);
        let cells = [
            with_band(last(Measure::Pending)),
            number(series.total(Measure::Deleted)),
            number(series.total(Measure::Alerts)),
            if alerts > 0 { dates.get(peak).cloned().unwrap_or_default() } else { String::new() },
            with_band(last(Measure::Retained)),
            with_band(last(Measure::Rows)),
        ];
        if series.name == "all" { html::total_row("all", &cells) } else { html::row(&series.name, &cells) }
    };
    let rows = html! { @for series in &outlook.series { (row(series)) } };
    html! {
        h2 { "By " (outlook.policy) ", at the end" }
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

fn parties(outlook: &Outlook, dates: &[String]) -> Markup {
    let row = |party: &super::parties::PartyOutlook| {
        let (month, alerts) = party.peak();
        let month = dates.get(month).cloned().unwrap_or_default();
        html::row(&party.party, &[format!("{:.0}", party.total()), format!("{alerts:.0}"), month])
    };
    let header = ["party", "expected alerts", "most in a month", "in"];
    let rows = html! { @for party in outlook.parties.iter().take(PARTIES) { (row(party)) } };
    html! {
        @if !outlook.parties.is_empty() {
            (PreEscaped(party_columns(outlook, dates)))
            (html::table(TableStyle::Figures, &header, &rows))
        }
    }
}

fn party_columns(outlook: &Outlook, dates: &[String]) -> String {
    let mut series: Vec<plot::Series> =
        outlook.parties.iter().take(DRAWN).map(|party| plot::Series::new(&party.party, party.alerts.clone())).collect();
    if let Some(others) = outlook.parties.get(DRAWN..).filter(|others| !others.is_empty()) {
        let month = |month: usize| others.iter().filter_map(|party| party.alerts.get(month)).sum();
        series.push(plot::Series::new(format!("{} more", others.len()), (0..dates.len()).map(month).collect()));
    }
    let title = format!("Alerts of each month and party, by {}", outlook.policy);
    let caption = Caption {
        title: &title,
        description: "Expected alerts of each month, upon each other by party",
        values: "alerts",
        along: "month",
        unit: Unit::Count,
    };
    plot::columns(&caption, dates, &series, Arrangement::Stacked)
}

fn rates(forecast: &Forecast) -> Markup {
    let header = ["type", "arrive each month", "from", "leave each month, at age 0", "6", "12", "24", "from"];
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
        h2 { "What is assumed of arrivals and of leaving" }
        (html::table(TableStyle::Figures, &header, &rows))
        p {
            "Arrivals are net of devices that came and went between two ledgers. Ages that were never observed have the "
            "hazard of the oldest that was."
        }
    }
}

/// The page of a backtest.
#[must_use]
pub fn backtest(backtest: &Backtest) -> String {
    let lead = format!(
        "From {} ledgers, {} numbers of later ones were forecast. The band of eight in ten held {:.0} % of them.",
        backtest.used,
        backtest.points.len(),
        backtest.held() * 100.0
    );
    let header = ["months ahead", "numbers", "half are off by at most", "worst", "the band held"];
    let rows = backtest.horizons().into_iter().map(|horizon| {
        let cells = [
            count(horizon.points as u64),
            format!("{:.1} %", horizon.median_error * 100.0),
            format!("{:.1} %", horizon.worst_error * 100.0),
            format!("{:.0} %", horizon.held * 100.0),
        ];
        html::row(&horizon.months.to_string(), &cells)
    });
    let rows = html! { @for row in rows { (row) } };
    let mut kinds: Vec<(&str, Measure)> =
        backtest.points.iter().map(|point| (point.device_type.as_str(), point.measure)).collect();
    kinds.sort_by_key(|(name, measure)| (*name, *measure as usize));
    kinds.dedup();
    let body = html! {
        (html::table(TableStyle::Figures, &header, &rows))
        @for (device_type, measure) in kinds { (PreEscaped(came(backtest, device_type, measure))) }
    };
    html::page("The forecast, held against what came", &lead, &body)
}

#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn came(backtest: &Backtest, device_type: &str, measure: Measure) -> String {
    let points: Vec<_> =
        backtest.points.iter().filter(|point| point.device_type == device_type && point.measure == measure).collect();
    let title = format!("{device_type}: {}", measure.name());
    let caption = Caption {
        title: &title,
        description: "What was forecast, with its band, and what came",
        values: "devices",
        along: "month",
        unit: Unit::Count,
    };
    let lines = [
        Line {
            name: "forecast".into(),
            values: points.iter().map(|point| point.forecast.median as f64).collect(),
            band: points.iter().map(|point| (point.forecast.low as f64, point.forecast.high as f64)).collect(),
            step: false,
        },
        Line {
            name: "came".into(),
            values: points.iter().map(|point| point.actual as f64).collect(),
            band: Vec::new(),
            step: false,
        },
    ];
    let dates: Vec<String> = points.iter().map(|point| format_day(point.day)).collect();
    plot::lines(&caption, &dates, &lines)
}
