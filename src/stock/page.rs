//! The page of a count: for those who sign the charge, and for those who are charged.

use std::path::Path;

use super::AGES;
use super::record::{Charge, PartyRecord, Record};
use crate::error::Result;
use crate::output::OutputFile;
use crate::output::html::{Page, count};
use crate::plot::{self, Arrangement, Caption, Series, Unit};

/// Name of the page within the directory.
pub const PAGE: &str = "stock.html";

/// How many parties a picture shows; the rest is summed up.
const DRAWN: usize = 15;
/// How many variants a picture tells apart.
const VARIANTS: usize = 8;

/// Writes the page into the directory.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(folder: &Path, record: &Record) -> Result<()> {
    let path = folder.join(PAGE);
    OutputFile::create(&path)?.finish_with(render(record).as_bytes()).map(drop)
}

/// Renders the page.
fn render(record: &Record) -> String {
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
    let mut page = Page::new(&format!("Comms Hub stock on {}", record.counted_on), &lead);
    bridge(&mut page, record);
    buckets(&mut page, record);
    parties(&mut page, record);
    kinds(&mut page, record);
    returns(&mut page, record);
    inventory(&mut page, record);
    evidence(&mut page, record);
    page.finish()
}

fn bridge(page: &mut Page, record: &Record) {
    page.heading("From a count of the inventory to the charge");
    page.begin_table(&["step", "hubs"]);
    for step in &record.bridge {
        page.row(if step.total { "total" } else { "" }, &step.step, &[signed(step.hubs, step.total)]);
    }
    page.end_table();
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

fn buckets(page: &mut Page, record: &Record) {
    page.heading("Every hub of the order book, in one place each");
    page.begin_table(&["hubs that are", "hubs", "of which charged"]);
    for bucket in &record.buckets {
        let charged = if bucket.charged { bucket.hubs } else { 0 };
        page.row("", bucket.means, &[count(bucket.hubs), count(charged)]);
    }
    page.row("total", "all", &[count(record.hubs), count(record.charged.hubs)]);
    page.end_table();
}

fn parties(page: &mut Page, record: &Record) {
    page.heading("Charged parties");
    let mut parties: Vec<&PartyRecord> = record.by_party.iter().filter(|party| party.charged.hubs > 0).collect();
    parties.sort_by_key(|party| std::cmp::Reverse(party.charged.hubs));
    if parties.is_empty() {
        page.paragraph("Nobody is charged.");
        return;
    }
    let (drawn, rest) = parties.split_at(parties.len().min(DRAWN));
    let mut names: Vec<String> = drawn.iter().map(|party| party.party.clone()).collect();
    if !rest.is_empty() {
        names.push(format!("{} others", rest.len()));
    }
    let of_age = |party: &&PartyRecord, age: &str| party.by_age.get(age).copied().unwrap_or_default();
    let series: Vec<Series> = AGES
        .into_iter()
        .map(|age| {
            let mut values: Vec<f64> = drawn.iter().map(|party| about(of_age(party, age))).collect();
            if !rest.is_empty() {
                values.push(about(rest.iter().map(|party| of_age(party, age)).sum()));
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
        unit: Unit::Count,
    };
    page.raw(&plot::bars(&caption, &names, &series));
    let mut header = vec!["charged party", "hubs charged"];
    header.extend(AGES);
    header.extend(["missed by the SMI", "pounds"]);
    page.begin_table(&header);
    for party in parties {
        let mut cells = vec![count(party.charged.hubs)];
        cells.extend(AGES.map(|age| count(of_age(&party, age))));
        cells.extend([count(party.missed.hubs), pounds(&party.charged)]);
        page.row("", &party.party, &cells);
    }
    page.end_table();
}

fn kinds(page: &mut Page, record: &Record) {
    page.heading("Regions and variants");
    let mut regions: Vec<String> = record.by_region_and_variant.iter().map(|kind| kind.region.to_owned()).collect();
    regions.dedup();
    let mut variants: Vec<&str> = record.by_region_and_variant.iter().map(|kind| kind.variant.as_str()).collect();
    variants.sort_unstable();
    variants.dedup();
    // Beyond a few, colours tell nothing: the table does.
    if variants.len() <= VARIANTS {
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
            unit: Unit::Count,
        };
        page.raw(&plot::columns(&caption, &regions, &series, Arrangement::Stacked));
    }
    page.begin_table(&["region, variant", "hubs ordered", "hubs charged", "pounds for each", "pounds"]);
    for kind in &record.by_region_and_variant {
        let name = format!("{}, {}", kind.region, kind.variant);
        let rate = kind.pounds_per_hub.clone().unwrap_or_default();
        page.row("", &name, &[count(kind.hubs), count(kind.charged.hubs), rate, pounds(&kind.charged)]);
    }
    page.row("total", "all", &[count(record.hubs), count(record.charged.hubs), String::new(), pounds(&record.charged)]);
    page.end_table();
}

fn returns(page: &mut Page, record: &Record) {
    if record.returns.lines == 0 {
        return;
    }
    page.heading("Returns");
    page.begin_table(&["answer", "lines"]);
    page.row("", "accepted", &[count(record.returns.accepted)]);
    for (reason, lines) in &record.returns.refused {
        page.row("", &format!("refused: {}", reason.replace('_', " ")), &[count(*lines)]);
    }
    page.row("total", "all", &[count(record.returns.lines)]);
    page.end_table();
}

fn inventory(page: &mut Page, record: &Record) {
    page.heading("Hubs of the inventory");
    page.begin_table(&["status", "rows", "of which nobody ordered"]);
    let (mut all, mut strays) = (0, 0);
    for (status, rows) in &record.inventory.by_status {
        let stray = record.inventory.not_ordered.get(status).copied().unwrap_or_default();
        (all, strays) = (all + rows, strays + stray);
        page.row("", status, &[count(*rows), count(stray)]);
    }
    page.row("total", "all", &[count(all), count(strays)]);
    page.end_table();
    if record.inventory.untyped_rows > 0 {
        page.paragraph(&format!(
            "{} more rows have no type, or one that is not known: they may be hubs.",
            count(record.inventory.untyped_rows)
        ));
    }
}

fn evidence(page: &mut Page, record: &Record) {
    page.heading("Evidence");
    page.begin_table(&["file", "rows", "bytes", "BLAKE3"]);
    for output in &record.outputs {
        page.row("", output.path, &[count(output.rows), count(output.bytes), output.blake3.clone()]);
    }
    page.end_table();
    let rules = &record.rules;
    page.paragraph(&format!(
        "Charged statuses: {}. Commissioned statuses: {}. Order book: {}. Snapshot of {} rows. {}",
        rules.charged.join(", "),
        rules.commissioned.join(", "),
        record.sources.orders.join(", "),
        count(record.sources.snapshot_rows),
        record.tariff.as_ref().map_or_else(|| "No tariff.".into(), |name| format!("Tariff: {name}.")),
    ));
    for run in &record.sources.runs {
        page.paragraph(&format!("Past run as of {} by {}: {} hubs deleted.", run.as_of, run.policy, count(run.hubs)));
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
