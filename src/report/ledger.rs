//! Tables and page of a ledger: the ages of candidates, and the devices that each threshold would release.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use crate::error::Result;
use crate::estate::{Tally, time};
use crate::ledger::{Ledger, PolicyAnswer};
use crate::output::OutputFile;
use crate::output::csv as table;
use crate::output::html::{self, TableStyle, count};
use crate::plot::{self, AxisUnit, Caption, LineSeries, Series};

/// Ages, in months, that the picture shows; older devices are one group.
const AGES: usize = 48;
/// Parties that the page lists by name.
const PARTIES: usize = 25;

/// Writes `tally.csv`, `by-months.csv`, `ages.csv`, `parties.csv` and `report.html` into a folder.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(folder: &Path, ledger: &Ledger, answers: &[PolicyAnswer]) -> Result<()> {
    tables(folder, ledger, answers)?;
    let path = folder.join("report.html");
    OutputFile::create(&path)?.finish_with(page(ledger, answers).as_bytes()).map(drop)
}

fn tables(folder: &Path, ledger: &Ledger, answers: &[PolicyAnswer]) -> Result<()> {
    let of = |answer: &PolicyAnswer, code: u8| [answer.policy.name.clone(), ledger.types.name(code).to_owned()];
    let header = [
        "policy",
        "device_type",
        "rows",
        "not_candidate",
        "excluded",
        "not_due",
        "delete",
        "alerts",
        "silent_deletes",
        "quarantined",
    ];
    let rows = answers.iter().flat_map(|answer| {
        answer.tally.by_type.iter().map(move |(code, tally)| {
            let [policy, device_type] = of(answer, code);
            let [rows, not_candidate, excluded, not_due, delete, alerts, silent, quarantined] =
                figures(tally).map(|figure| figure.to_string());
            [policy, device_type, rows, not_candidate, excluded, not_due, delete, alerts, silent, quarantined]
        })
    });
    table::write(&folder.join("tally.csv"), header, rows)?;

    let header = ["policy", "months", "device_type", "delete", "alerts", "silent_deletes"];
    let rows = answers.iter().flat_map(|answer| {
        answer.by_months.iter().flat_map(move |(months, tally)| {
            tally.by_type.iter().filter(|(_, tally)| tally.deletes() > 0).map(move |(code, tally)| {
                let [policy, device_type] = of(answer, code);
                let [delete, alerts, silent] =
                    [tally.deletes(), tally.alerts, tally.silent_deletes].map(|figure| figure.to_string());
                [policy, months.to_string(), device_type, delete, alerts, silent]
            })
        })
    });
    table::write(&folder.join("by-months.csv"), header, rows)?;

    let ages = ledger.ages();
    let rows = ages.by_type.iter().flat_map(|(code, ages)| {
        ages.iter()
            .enumerate()
            .filter(|(_, rows)| **rows > 0)
            .map(move |(age, rows)| [ledger.types.name(*code).to_owned(), age.to_string(), rows.to_string()])
    });
    table::write(&folder.join("ages.csv"), ["device_type", "age_months", "rows"], rows)?;

    let rows = answers.iter().flat_map(|answer| {
        answer.tally.by_party.iter().map(move |(party, tally)| {
            let party = ledger.party_name(*party).to_owned();
            [answer.policy.name.clone(), party, tally.deletes.to_string(), tally.alerts.to_string()]
        })
    });
    table::write(&folder.join("parties.csv"), ["policy", "notifying_party", "delete", "alerts"], rows)
}

fn figures(tally: &Tally) -> [u64; 8] {
    [
        tally.rows(),
        tally.not_candidate,
        tally.excluded,
        tally.not_due,
        tally.deletes(),
        tally.alerts,
        tally.silent_deletes,
        tally.quarantined(),
    ]
}

fn page(ledger: &Ledger, answers: &[PolicyAnswer]) -> String {
    let figures_by_policy: Vec<String> = answers
        .iter()
        .map(|answer| {
            let total = answer.tally.by_type.total();
            format!(
                "under {}, {} devices are to be deleted and {} alerts raised",
                answer.policy.name,
                count(total.deletes()),
                count(total.alerts)
            )
        })
        .collect();
    let lead = format!(
        "As of {}, of {}{} devices: {}.",
        time::format_instant(ledger.as_of),
        count(ledger.size.rows),
        if ledger.synthetic { " synthetic" } else { "" },
        figures_by_policy.join("; ")
    );
    let body = html! {
        (PreEscaped(pyramid(ledger)))
        (PreEscaped(thresholds(answers)))
        @for answer in answers { (dispositions(ledger, answer)) }
        @for answer in answers { (parties(ledger, answer)) }
        p {
            "Computed from a ledger of " (ledger.sources.len()) " files, " (count(ledger.size.rows)) " rows, "
            (count(ledger.size.bytes)) " bytes. A sweep of the same snapshot gives the same counts."
        }
    };
    html::page("Devices to be deleted by threshold", &lead, &body)
}

/// Candidates by age: Comms Hubs on one side, all other types on the other.
#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn pyramid(ledger: &Ledger) -> String {
    let ages = ledger.ages();
    let oldest = ages.by_type.values().map(Vec::len).max().unwrap_or_default();
    // A bar for each quarter of a year, and one for all older devices.
    let places = oldest.min(AGES + 1).div_ceil(3);
    let name = |place: usize| {
        if place * 3 >= AGES { format!("{AGES} or more") } else { format!("{} to {}", place * 3, place * 3 + 2) }
    };
    let series = |hubs: bool| -> Vec<Series> {
        let of =
            ages.by_type.iter().filter(|(code, _)| crate::estate::TypeSet::COMMS_HUB.contains_code(**code) == hubs);
        of.map(|(code, ages)| {
            let mut values = vec![0.0; places];
            for (age, rows) in ages.iter().enumerate() {
                if let Some(value) = values.get_mut(age.min(AGES) / 3) {
                    *value += *rows as f64;
                }
            }
            Series::new(ledger.types.name(*code), values)
        })
        .collect()
    };
    let caption = Caption {
        title: "Ages of candidates",
        description: "Candidates by age in whole months: Comms Hubs to the left, all other types to the right",
        values: "devices",
        along: "age in months",
        unit: AxisUnit::Count,
    };
    let names: Vec<String> = (0..places).map(name).collect();
    plot::pyramid(&caption, &names, &series(true), &series(false))
}

/// Deletions and alerts by threshold.
#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn thresholds(answers: &[PolicyAnswer]) -> String {
    let line = |name: String, of: &dyn Fn(&Tally) -> u64, answer: &PolicyAnswer| LineSeries {
        name,
        values: answer.by_months.iter().map(|(_, tally)| of(&tally.by_type.total()) as f64).collect(),
        band: Vec::new(),
        step: true,
    };
    let lines: Vec<LineSeries> = answers
        .iter()
        .flat_map(|answer| {
            let name = &answer.policy.name;
            [
                line(format!("{name}: to be deleted"), &Tally::deletes, answer),
                line(format!("{name}: alerts"), &|tally| tally.alerts, answer),
            ]
        })
        .collect();
    let months: Vec<String> = answers
        .first()
        .map(|answer| answer.by_months.iter().map(|(months, _)| months.to_string()).collect())
        .unwrap_or_default();
    let caption = Caption {
        title: "Devices to be deleted on the first day, by threshold",
        description: "Planned deletions and alerts if all types had the threshold on the axis",
        values: "devices",
        along: "threshold in months",
        unit: AxisUnit::Count,
    };
    plot::lines(&caption, &months, &lines)
}

fn dispositions(ledger: &Ledger, answer: &PolicyAnswer) -> Markup {
    let header = [
        "type",
        "rows",
        "not candidate",
        "excluded",
        "not due",
        "to be deleted",
        "with alert",
        "silent",
        "quarantined",
    ];
    let rows = html! {
        @for (code, tally) in answer.tally.by_type.iter() {
            (html::row(ledger.types.name(code), &figures(tally).map(count)))
        }
        (html::total_row("all", &figures(&answer.tally.by_type.total()).map(count)))
    };
    html! {
        h2 { "Under " (answer.policy.name) " version " (answer.policy.version) }
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

fn parties(ledger: &Ledger, answer: &PolicyAnswer) -> Markup {
    let mut parties: Vec<_> = answer.tally.by_party.iter().filter(|(_, tally)| tally.alerts > 0).collect();
    parties.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.alerts));
    let rest = parties.get(PARTIES..).unwrap_or_default();
    let (alerts, deletes) = rest.iter().fold((0, 0), |(a, d), (_, t)| (a + t.alerts, d + t.deletes));
    let rows = html! {
        @for (party, tally) in parties.iter().take(PARTIES) {
            (html::row(ledger.party_name(**party), &[count(tally.alerts), count(tally.deletes)]))
        }
        @if !rest.is_empty() {
            (html::total_row(&format!("{} more", rest.len()), &[count(alerts), count(deletes)]))
        }
    };
    html! {
        @if !parties.is_empty() {
            h2 { "Alerts by Notifying Party, under " (answer.policy.name) }
            (html::table(TableStyle::Figures, &["party", "alerts", "to be deleted"], &rows))
        }
    }
}
