//! The price of a hub in stock: rates by region and variant, each from a date on.
//!
//! A rate without regions or variants is for all of them. Of the rates for a region and a variant, the latest that has
//! begun applies. Two rates for the same hubs that begin on the same day are refused.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::money::Money;
use super::region::Region;
use crate::config::{self, Document, Section, Spanned, named};
use crate::error::{DocumentKind, Result};
use crate::estate::time;
use crate::shown;

/// A tariff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// Its name.
    pub name: String,
    /// Its name in messages.
    pub source: String,
    rates: Vec<TariffRate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TariffRate {
    from: i32,
    /// `None`: all.
    regions: Option<Vec<Region>>,
    /// `None`: all.
    variants: Option<Vec<String>>,
    per_hub: Money,
}

/// The document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TariffFile {
    name: String,
    rate: Vec<Section<RateSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateSection {
    from: Spanned<String>,
    regions: Option<Vec<Region>>,
    variants: Option<Vec<String>>,
    per_hub: Spanned<String>,
}

impl Tariff {
    /// Reads a tariff from a file.
    ///
    /// # Errors
    /// The first error, with its line and column.
    pub fn load(path: &Path) -> Result<Self> {
        let text = config::read_file(DocumentKind::Tariff, path)?;
        Self::parse(&text, &shown::path(&path).to_string())
    }

    /// Reads a tariff. `source` is its name in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        let document = Document { kind: DocumentKind::Tariff, source, text };
        let file: TariffFile = document.read()?;
        let mut rates: Vec<TariffRate> = Vec::new();
        for entry in &file.rate {
            let rate = rate(&document, entry)?;
            if rates.iter().any(|other| other.from == rate.from && other.overlaps(&rate)) {
                let what = format!("two rates from {} are for the same hubs", entry.from.get_ref());
                return Err(document.refuse(entry.from.span(), what, "give them other dates, regions or variants"));
            }
            rates.push(rate);
        }
        Ok(Self { name: file.name, source: source.into(), rates })
    }

    /// The price of a hub of a region and a variant on a day (since 1970-01-01), where the tariff has one.
    #[must_use]
    pub fn rate(&self, region: Region, variant: &str, day: i32) -> Option<Money> {
        let applies = self.rates.iter().filter(|rate| rate.from <= day && rate.is_for(region, variant));
        applies.max_by_key(|rate| rate.from).map(|rate| rate.per_hub)
    }
}

impl TariffRate {
    fn is_for(&self, region: Region, variant: &str) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.contains(&region))
            && self.variants.as_ref().is_none_or(|variants| variants.iter().any(|own| own == variant))
    }

    fn overlaps(&self, other: &Self) -> bool {
        share(self.regions.as_deref(), other.regions.as_deref())
            && share(self.variants.as_deref(), other.variants.as_deref())
    }
}

fn share<T: PartialEq>(a: Option<&[T]>, b: Option<&[T]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.iter().any(|item| b.contains(item)),
        _ => true,
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, "region", Self::NAMES.into_iter().filter_map(|name| Some((name, Self::from_name(name)?))))
    }
}

fn rate(document: &Document<'_>, entry: &RateSection) -> Result<TariffRate> {
    let date = entry.from.get_ref();
    let from = time::parse(date).map(time::day_of).ok_or_else(|| {
        document.refuse(entry.from.span(), format!("from `{date}` is not a date"), "write \"2026-04-01\"")
    })?;
    let amount = entry.per_hub.get_ref();
    let per_hub = Money::parse(amount).map_err(|why| {
        let remedy = "write pounds with up to four decimals, as in \"0.42\"";
        document.refuse(entry.per_hub.span(), format!("per_hub `{amount}` {why}"), remedy)
    })?;
    Ok(TariffRate { from, regions: entry.regions.clone(), variants: entry.variants.clone(), per_hub })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "t"
[[rate]]
from = "2026-04-01"
per_hub = "0.40"
[[rate]]
from = "2026-06-01"
regions = ["North", "4G North"]
variants = ["Dual Band"]
per_hub = "0.5"
"#;

    #[test]
    fn the_latest_rate_that_has_begun_applies() {
        let tariff = Tariff::parse(TEXT, "t").unwrap();
        let rate = |region: &str, variant: &str, date: &str| {
            let day = time::day_of(time::parse(date).unwrap());
            tariff.rate(Region::from_name(region).unwrap(), variant, day).map(|rate| rate.to_string())
        };
        assert_eq!(rate("North", "Dual Band", "2026-03-31"), None);
        assert_eq!(rate("North", "Dual Band", "2026-04-01").unwrap(), "0.40");
        assert_eq!(rate("North", "Dual Band", "2026-06-01").unwrap(), "0.50");
        assert_eq!(rate("North", "Single Band", "2026-06-01").unwrap(), "0.40");
        assert_eq!(rate("South", "Dual Band", "2026-06-01").unwrap(), "0.40");
    }

    #[test]
    fn errors_are_refused_with_their_place() {
        for (from, to, says) in [
            ("\"0.40\"", "\"-0.40\"", "t:5:11: per_hub `-0.40` is negative"),
            ("\"0.40\"", "0.40", "t:5:11: found floating point `0.4`, expected text in quotes"),
            ("\"4G North\"", "\"5G North\"", "t:8:21: unknown region `5G North`"),
            ("2026-06-01", "2026-06-31", "t:7:8: from `2026-06-31` is not a date"),
            ("2026-06-01", "2026-04-01", "t:7:8: two rates from 2026-04-01 are for the same hubs"),
            ("variants", "variant", "t:9:1: unknown key `variant`"),
            ("name = \"t\"", "", "t:1:1: lacks `name`"),
        ] {
            let error = Tariff::parse(&TEXT.replacen(from, to, 1), "t").unwrap_err();
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }
}
