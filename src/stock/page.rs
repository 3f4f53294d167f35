//! The page of a count.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use super::count::AGES;
use super::record::{Charge, PartyRecord, StockRecord};
use crate::error::Result;
use crate::output::OutputFile;
use crate::output::html::{self, TableStyle, count};
use crate::plot::{self, Arrangement, AxisUnit, Caption, Series};

/// Name of the page within the directory.
pub const PAGE: &str = "stock.html";

/// Parties that the chart shows; all others are one bar.
const DRAWN: usize = 15;
/// The most variants for which there is a picture: more colours cannot be distinguished.
const VARIANTS: usize = 8;

/// Writes the page into the directory.
///
/// # Errors
/// If the file cannot be written.
pub fn write(folder: &Path, record: &StockRecord) -> Result<()> {
    let path = folder.join(PAGE);
    OutputFile::create(&path)?.finish_with(render(record).as_bytes()).map(drop)
}

/// Renders the page.
fn render(record: &StockRecord) -> String {
    let mut lead = format!(
        "On {}, {} of {} hubs of the order book are charged as stock",
        record.counted_on,
        count(record.charged.hubs),
        count(record.hubs)
    );
    if let Some(pounds) = &record.charged.pounds {
        lead.push_str(&format!(", £{} in all", grouped(pounds)));
    }
    lead.push_str(&format!(". A count of the inventory alone would have missed {} of them", count(record.missed.hubs)));
    if let Some(pounds) = &record.missed.pounds {
        lead.push_str(&format!(", £{}", grouped(pounds)));
    }
    lead.push('.');
    let body = html! {
        (bridge(record))
        (buckets(record))
        (parties(record))
        (regions_and_variants(record))
        (returns(record))
        (inventory(record))
        (evidence(record))
    };
    html::page(&format!("Comms Hub stock on {}", record.counted_on), &lead, &body)
}

fn bridge(record: &StockRecord) -> Markup {
    let rows = html! {
        @for step in &record.bridge {
            @let hubs = [signed(step.hubs, step.total)];
            @if step.total { (html::total_row(&step.step, &hubs)) } @else { (html::row(&step.step, &hubs)) }
        }
    };
    html! {
        h2 { "From a count of the inventory to the charge" }
        (html::table(TableStyle::Figures, &["step", "hubs"], &rows))
    }
}

/// A step with its sign, as it is added.
fn signed(hubs: i64, total: bool) -> String {
    let sign = if hubs < 0 {
        "\u{2212}"
    } else if total {
        ""
    } else {
        "+"
    };
    format!("{sign}{}", count(hubs.unsigned_abs()))
}

fn buckets(record: &StockRecord) -> Markup {
    let rows = html! {
        @for bucket in &record.buckets {
            @let charged = if bucket.charged { bucket.hubs } else { 0 };
            (html::row(bucket.means, &[count(bucket.hubs), count(charged)]))
        }
        (html::total_row("all", &[count(record.hubs), count(record.charged.hubs)]))
    };
    html! {
        h2 { "Hubs of the order book by bucket" }
        (html::table(TableStyle::Figures, &["hubs that are", "hubs", "of which charged"], &rows))
    }
}

fn parties(record: &StockRecord) -> Markup {
    let mut parties: Vec<&PartyRecord> = record.by_party.iter().filter(|party| party.charged.hubs > 0).collect();
    parties.sort_by_key(|party| std::cmp::Reverse(party.charged.hubs));
    let mut header = vec!["charged party", "hubs charged"];
    header.extend(AGES);
    header.extend(["missed by the SMI", "pounds"]);
    let row = |party: &PartyRecord| {
        let mut cells = vec![count(party.charged.hubs)];
        cells.extend(AGES.map(|age| count(hubs_of_age(party, age))));
        cells.extend([count(party.missed.hubs), pounds(&party.charged)]);
        html::row(&party.party, &cells)
    };
    let rows = html! { @for party in &parties { (row(party)) } };
    html! {
        h2 { "Charged parties" }
        @if parties.is_empty() {
            p { "No party is charged." }
        } @else {
            (PreEscaped(party_bars(&parties)))
            (html::table(TableStyle::Figures, &header, &rows))
        }
    }
}

/// Hubs of a party that are charged and are of an age.
fn hubs_of_age(party: &PartyRecord, age: &str) -> u64 {
    party.by_age.get(age).copied().unwrap_or_default()
}

/// The picture of the charged parties, those with the most hubs first.
fn party_bars(parties: &[&PartyRecord]) -> String {
    let (drawn, rest) = parties.split_at(parties.len().min(DRAWN));
    let mut names: Vec<String> = drawn.iter().map(|party| party.party.clone()).collect();
    if !rest.is_empty() {
        names.push(format!("{} others", rest.len()));
    }
    let series: Vec<Series> = AGES
        .into_iter()
        .map(|age| {
            let mut values: Vec<f64> = drawn.iter().map(|party| about(hubs_of_age(party, age))).collect();
            if !rest.is_empty() {
                values.push(about(rest.iter().map(|party| hubs_of_age(party, age)).sum()));
            }
            Series::new(age, values)
        })
        .collect();
    let caption = Caption {
        title: "Stock by charged party and age",
        description: "Hubs that are charged, by the party that ordered them and by the time since they were accepted. \
                      The table below has the same figures.",
        values: "hubs",
        along: "charged party",
        unit: AxisUnit::Count,
    };
    plot::bars(&caption, &names, &series)
}

fn regions_and_variants(record: &StockRecord) -> Markup {
    let header = ["region, variant", "hubs ordered", "hubs charged", "pounds for each", "pounds"];
    let rows = html! {
        @for kind in &record.by_region_and_variant {
            @let rate = kind.pounds_per_hub.clone().unwrap_or_default();
            (html::row(
                &format!("{}, {}", kind.region, kind.variant),
                &[count(kind.hubs), count(kind.charged.hubs), rate, pounds(&kind.charged)],
            ))
        }
        (html::total_row(
            "all",
            &[count(record.hubs), count(record.charged.hubs), String::new(), pounds(&record.charged)],
        ))
    };
    html! {
        h2 { "Regions and variants" }
        (PreEscaped(region_columns(record)))
        (html::table(TableStyle::Figures, &header, &rows))
    }
}

/// The picture of regions and variants; empty if there are more than [`VARIANTS`] variants.
fn region_columns(record: &StockRecord) -> String {
    let mut regions: Vec<String> = record.by_region_and_variant.iter().map(|kind| kind.region.to_owned()).collect();
    regions.dedup();
    let mut variants: Vec<&str> = record.by_region_and_variant.iter().map(|kind| kind.variant.as_str()).collect();
    variants.sort_unstable();
    variants.dedup();
    if variants.len() > VARIANTS {
        return String::new();
    }
    let of_kind = |region: &str, variant: &str| {
        let mut kinds = record.by_region_and_variant.iter();
        let kind = kinds.find(|kind| kind.region == region && kind.variant == variant);
        about(kind.map_or(0, |kind| kind.charged.hubs))
    };
    let series: Vec<Series> = variants
        .into_iter()
        .map(|variant| Series::new(variant, regions.iter().map(|region| of_kind(region, variant)).collect()))
        .collect();
    let caption = Caption {
        title: "Stock by region and variant",
        description: "Hubs that are charged, by region and hub variant. The table below has the same figures.",
        values: "hubs",
        along: "region",
        unit: AxisUnit::Count,
    };
    plot::columns(&caption, &regions, &series, Arrangement::Stacked)
}

fn returns(record: &StockRecord) -> Markup {
    let rows = html! {
        (html::row("accepted", &[count(record.returns.accepted)]))
        @for (reason, lines) in &record.returns.refused {
            (html::row(&format!("refused: {}", reason.replace('_', " ")), &[count(*lines)]))
        }
        (html::total_row("all", &[count(record.returns.lines)]))
    };
    html! {
        @if record.returns.lines > 0 {
            h2 { "Returns" }
            (html::table(TableStyle::Figures, &["answer", "lines"], &rows))
        }
    }
}

fn inventory(record: &StockRecord) -> Markup {
    let inventory = &record.inventory;
    let strays = |status: &str| inventory.not_ordered.get(status).copied().unwrap_or_default();
    let all: u64 = inventory.by_status.values().sum();
    let all_strays: u64 = inventory.by_status.keys().map(|status| strays(status)).sum();
    let rows = html! {
        @for (status, rows) in &inventory.by_status { (html::row(status, &[count(*rows), count(strays(status))])) }
        (html::total_row("all", &[count(all), count(all_strays)]))
    };
    html! {
        h2 { "Hubs of the inventory" }
        (html::table(TableStyle::Figures, &["status", "rows", "of which not ordered"], &rows))
        @if inventory.untyped_rows > 0 {
            p { (count(inventory.untyped_rows)) " more rows have no type, or one that is not known: they may be hubs." }
        }
    }
}

fn evidence(record: &StockRecord) -> Markup {
    let (rules, sources) = (&record.rules, &record.sources);
    let rows = html! {
        @for output in &record.outputs {
            (html::row(output.path, &[count(output.rows), count(output.written.bytes), output.written.blake3.clone()]))
        }
    };
    html! {
        h2 { "Evidence" }
        (html::table(TableStyle::Figures, &["file", "rows", "bytes", "BLAKE3"], &rows))
        p {
            "Charged statuses: " (rules.charged.join(", ")) ". Commissioned statuses: " (rules.commissioned.join(", "))
            ". Order book: " (sources.orders.join(", ")) ". Snapshot of " (count(sources.snapshot_rows)) " rows. "
            @if let Some(name) = &record.tariff { "Tariff: " (name) "." } @else { "No tariff." }
        }
        @for run in &sources.runs {
            p { "Past run as of " (run.as_of) " by " (run.policy) ": " (count(run.hubs)) " hubs deleted." }
        }
    }
}

fn pounds(charge: &Charge) -> String {
    charge.pounds.as_deref().map_or_else(String::new, grouped)
}

/// An amount with separators.
#[must_use]
pub fn grouped(pounds: &str) -> String {
    let (whole, parts) = pounds.split_once('.').unwrap_or((pounds, "00"));
    format!("{}.{parts}", whole.parse().map_or_else(|_| whole.to_owned(), count))
}

#[expect(clippy::cast_precision_loss, reason = "a picture has fewer points than the mantissa has bits")]
const fn about(hubs: u64) -> f64 {
    hubs as f64
}
