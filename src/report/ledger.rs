//! The page of a ledger: how old the candidates are, and what each threshold would release.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use crate::error::Result;
use crate::estate::{Tally, time};
use crate::ledger::{Ledger, Tallied};
use crate::output::OutputFile;
use crate::output::csv as table;
use crate::output::html::{self, TableStyle, count};
use crate::plot::{self, Caption, Line, Series, Unit};
use crate::policy::Policy;

/// The thresholds that are tried where nobody says which.
pub const MONTHS: (u32, u32) = (1, 60);
/// Ages of the picture; older ones are put together.
const AGES: usize = 48;
/// How many parties are listed.
const PARTIES: usize = 25;

/// A policy, and what it makes of a ledger.
#[derive(Debug)]
pub struct Asked {
    /// The policy.
    pub policy: Policy,
    /// What it makes of the ledger.
    pub tallied: Tallied,
    /// What it would make of it if its threshold were each of these months, for all types alike.
    pub cliff: Vec<(u32, Tallied)>,
}

impl Asked {
    /// Asks the ledger.
    ///
    /// # Errors
    /// As [`Ledger::tally`].
    pub fn new(ledger: &Ledger, policy: Policy, months: (u32, u32)) -> Result<Self> {
        let tallied = ledger.tally(&policy)?;
        let at = |months: u32| {
            let mut policy = policy.clone();
            policy.thresholds.default = months;
            policy.thresholds.by_type.clear();
            Ok((months, ledger.tally(&policy)?))
        };
        let cliff = (months.0..=months.1).map(at).collect::<Result<_>>()?;
        Ok(Self { policy, tallied, cliff })
    }
}

/// Writes `tally.csv`, `by-months.csv`, `ages.csv`, `parties.csv` and `report.html` into a folder.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(folder: &Path, ledger: &Ledger, asked: &[Asked]) -> Result<()> {
    tables(folder, ledger, asked)?;
    let path = folder.join("report.html");
    OutputFile::create(&path)?.finish_with(page(ledger, asked).as_bytes()).map(drop)
}

fn tables(folder: &Path, ledger: &Ledger, asked: &[Asked]) -> Result<()> {
    let of = |asked: &Asked, code: u8| [asked.policy.name.clone(), ledger.types.name(code).to_owned()];
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
    let rows = asked.iter().flat_map(|asked| {
        asked.tallied.by_type.iter().map(move |(code, tally)| {
            let [policy, device_type] = of(asked, code);
            let [rows, not_candidate, excluded, not_due, delete, alerts, silent, quarantined] =
                figures(tally).map(|figure| figure.to_string());
            [policy, device_type, rows, not_candidate, excluded, not_due, delete, alerts, silent, quarantined]
        })
    });
    table::write(&folder.join("tally.csv"), header, rows)?;

    let header = ["policy", "months", "device_type", "delete", "alerts", "silent_deletes"];
    let rows = asked.iter().flat_map(|asked| {
        asked.cliff.iter().flat_map(move |(months, tallied)| {
            tallied.by_type.iter().filter(|(_, tally)| tally.deletes() > 0).map(move |(code, tally)| {
                let [policy, device_type] = of(asked, code);
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

    let rows = asked.iter().flat_map(|asked| {
        asked.tallied.by_party.iter().map(move |(party, tally)| {
            let party = ledger.party_name(*party).to_owned();
            [asked.policy.name.clone(), party, tally.deletes.to_string(), tally.alerts.to_string()]
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

fn page(ledger: &Ledger, asked: &[Asked]) -> String {
    let said: Vec<String> = asked
        .iter()
        .map(|asked| {
            let total = asked.tallied.by_type.total();
            format!(
                "{} deletes {} and raises {} alerts",
                asked.policy.name,
                count(total.deletes()),
                count(total.alerts)
            )
        })
        .collect();
    let lead = format!(
        "As of {}, of {}{} devices: {}.",
        time::format_instant(ledger.as_of),
        count(ledger.weight.rows),
        if ledger.synthetic { " synthetic" } else { "" },
        said.join("; ")
    );
    let body = html! {
        (PreEscaped(pyramid(ledger)))
        (PreEscaped(cliff(asked)))
        @for asked in asked { (dispositions(ledger, asked)) }
        @for asked in asked { (parties(ledger, asked)) }
        p {
            "Counted from a ledger of " (ledger.sources.len()) " files, " (count(ledger.weight.rows)) " rows, "
            (count(ledger.weight.bytes)) " bytes. Each figure is what a sweep of the same snapshot counts."
        }
    };
    html::page("What a threshold releases", &lead, &body)
}

/// Candidates by age: Comms Hubs on one side, all other types on the other.
#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn pyramid(ledger: &Ledger) -> String {
    let ages = ledger.ages();
    let oldest = ages.by_type.values().map(Vec::len).max().unwrap_or_default();
    // By quarters of a year, and all that is older than the picture in one.
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
        title: "How long devices have been waiting",
        description: "Candidates by age in whole months: Comms Hubs to the left, all other types to the right",
        values: "devices",
        along: "age in months",
        unit: Unit::Count,
    };
    let names: Vec<String> = (0..places).map(name).collect();
    plot::pyramid(&caption, &names, &series(true), &series(false))
}

/// What each threshold would delete.
#[expect(clippy::cast_precision_loss, reason = "a picture of counts")]
fn cliff(asked: &[Asked]) -> String {
    let line = |name: String, of: &dyn Fn(&Tally) -> u64, asked: &Asked| Line {
        name,
        values: asked.cliff.iter().map(|(_, tallied)| of(&tallied.by_type.total()) as f64).collect(),
        band: Vec::new(),
        step: true,
    };
    let lines: Vec<Line> = asked
        .iter()
        .flat_map(|asked| {
            let name = &asked.policy.name;
            [
                line(format!("{name}: deleted"), &Tally::deletes, asked),
                line(format!("{name}: alerts"), &|tally| tally.alerts, asked),
            ]
        })
        .collect();
    let months: Vec<String> = asked
        .first()
        .map(|asked| asked.cliff.iter().map(|(months, _)| months.to_string()).collect())
        .unwrap_or_default();
    let caption = Caption {
        title: "What each threshold releases on its first day",
        description: "Deletions and alerts if the threshold of all types were so many months",
        values: "devices",
        along: "threshold in months",
        unit: Unit::Count,
    };
    plot::lines(&caption, &months, &lines)
}

fn dispositions(ledger: &Ledger, asked: &Asked) -> Markup {
    let header =
        ["type", "rows", "not candidate", "excluded", "not due", "delete", "with alert", "silent", "quarantined"];
    let rows = html! {
        @for (code, tally) in asked.tallied.by_type.iter() {
            (html::row(ledger.types.name(code), &figures(tally).map(count)))
        }
        (html::total_row("all", &figures(&asked.tallied.by_type.total()).map(count)))
    };
    html! {
        h2 { "By " (asked.policy.name) " version " (asked.policy.version) }
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

fn parties(ledger: &Ledger, asked: &Asked) -> Markup {
    let mut parties: Vec<_> = asked.tallied.by_party.iter().filter(|(_, tally)| tally.alerts > 0).collect();
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
            h2 { "Alerts by Notifying Party, by " (asked.policy.name) }
            (html::table(TableStyle::Figures, &["party", "alerts", "deletions"], &rows))
        }
    }
}
