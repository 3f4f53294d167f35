//! The page of a schedule.

use maud::{PreEscaped, html};

use super::phase_document::{PhaseFiles, PhaseMonth};
use crate::output::html::{self, TableStyle};
use crate::plot::{self, AxisUnit, Caption, LineSeries};

/// The page.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
pub fn page(made: &PhaseFiles) -> String {
    let lead = format!(
        "The threshold is reached in month {}. At once, the first day would raise {:.0} alerts; with this schedule the \
         highest month has {:.0} in expectation.",
        made.reached_in, made.alerts_at_once, made.peak_alerts
    );
    let dates: Vec<String> = made.months.iter().map(|own| own.date.clone()).collect();
    let alerts = LineSeries {
        name: "alerts".into(),
        values: made.months.iter().map(|own| own.alerts).collect(),
        band: made.months.iter().map(|own| (own.alerts_band.0 as f64, own.alerts_band.1 as f64)).collect(),
        step: false,
    };
    let thresholds = LineSeries {
        name: "threshold".into(),
        values: made.months.iter().map(|own| own.threshold as f64).collect(),
        band: Vec::new(),
        step: true,
    };
    let caption = |title: &'static str, description: &'static str, values: &'static str| Caption {
        title,
        description,
        values,
        along: "month",
        unit: AxisUnit::Count,
    };
    let of_alerts = caption("Alerts by month", "Expected alerts, with the 80 % band", "alerts");
    let of_thresholds = caption("Threshold by month", "The threshold that is in force", "months");
    let header = ["month", "date", "threshold", "alerts", "80 % band", "most to a party", "deletions"];
    let row = |own: &PhaseMonth| {
        let cells = [
            own.date.clone(),
            own.threshold.to_string(),
            format!("{:.0}", own.alerts),
            format!("{} to {}", own.alerts_band.0, own.alerts_band.1),
            format!("{:.0}", own.most_to_a_party),
            format!("{:.0}", own.deletes),
        ];
        html::row(&own.month.to_string(), &cells)
    };
    let rows = html! { @for own in &made.months { (row(own)) } };
    let body = html! {
        @if !made.findings.is_empty() {
            h2 { "Before you use this schedule" }
            ul { @for finding in &made.findings { li { (finding) "." } } }
        }
        (PreEscaped(plot::lines(&of_thresholds, &dates, &[thresholds])))
        (PreEscaped(plot::lines(&of_alerts, &dates, &[alerts])))
        (html::table(TableStyle::Figures, &header, &rows))
        h2 { "Policies for change control" }
        ul { @for policy in &made.policies { li { (policy.from) ": " (policy.name) ", " (policy.months) " months" } } }
    };
    html::page("A lower threshold in steps", &lead, &body)
}
