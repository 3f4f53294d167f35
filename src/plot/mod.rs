//! Pictures of numbers for pages: bars, pyramids and lines, as SVG that stands in the page itself.
//!
//! A picture is made of a [`Caption`] and series of numbers, and comes back as text. It needs no script and no network,
//! takes the colour of text and paper from the page around it, in the light, in the dark and in print, and says each of
//! its numbers to whoever points at it. What it says in words is its title and its description; a page that must be
//! readable without pictures puts a table beside it.
//!
//! ```
//! use smi_sweep::plot::{Arrangement, Caption, Series, Unit, columns};
//!
//! let caption = Caption {
//!     title: "Alerts by month",
//!     description: "Two parties over three months",
//!     values: "alerts",
//!     along: "month",
//!     unit: Unit::Count,
//! };
//! let months = ["2026-11", "2026-12", "2027-01"].map(String::from);
//! let series = [Series::new("A", vec![3.0, 5.0, 4.0]), Series::new("B", vec![1.0, 0.0, 2.0])];
//! assert!(columns(&caption, &months, &series, Arrangement::Stacked).starts_with("<figure"));
//! ```

#![expect(clippy::cast_precision_loss, reason = "places on paper are counted in hundreds")]

mod columns;
mod frame;
mod lines;
mod rows;
mod scale;

pub use columns::columns;
pub use lines::lines;
pub use rows::{bars, pyramid};

/// What a picture is of.
#[derive(Debug, Clone, Copy)]
pub struct Caption<'a> {
    /// Its heading.
    pub title: &'a str,
    /// What is to be seen, in a sentence, for those who cannot see it.
    pub description: &'a str,
    /// What the numbers are: `devices`.
    pub values: &'a str,
    /// What they are of: `month`, `age in months`.
    pub along: &'a str,
    /// How the numbers are written.
    pub unit: Unit,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole things: no tick lies between two of them.
    Count,
    /// Bytes, in powers of a thousand: `1.5 GB`.
    Bytes,
    /// Pounds sterling.
    Pounds,
    /// A part of one, written in per cent.
    Share,
}

/// Numbers of one kind, one for each place along the picture. What is not finite is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// The numbers.
    pub values: Vec<f64>,
}

impl Series {
    /// A series.
    #[must_use]
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self { name: name.into(), values }
    }

    /// The number at a place; zero where there is none.
    fn at(&self, place: usize) -> f64 {
        self.values.get(place).copied().filter(|value| value.is_finite()).unwrap_or_default()
    }
}

/// Whether the bars of one place stand beside or upon each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// Beside each other.
    Grouped,
    /// Upon each other, so that their sum can be seen: numbers below zero go the other way.
    Stacked,
}

/// A line: a number for each place, and where it is uncertain between which numbers it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct LineSeries {
    /// What the legend calls it.
    pub name: String,
    /// The numbers; one that is not finite leaves a gap.
    pub values: Vec<f64>,
    /// Lowest and highest for each place, drawn as a band behind the line; empty where there is none.
    pub band: Vec<(f64, f64)>,
    /// Whether a number holds until the next place, instead of changing towards it.
    pub step: bool,
}

/// Colours that are told apart by people who see few of them, on light and dark paper alike; after them they begin again.
const COLOURS: [&str; 8] = ["#2f7fc1", "#e08a1e", "#2a9d76", "#c2528b", "#8a6fd1", "#7f8c8d", "#b8a021", "#d1495b"];

/// The colour of a series.
const fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPTION: Caption<'_> = Caption {
        title: "Hubs & <boxes>",
        description: "what \"is\" there",
        values: "hubs",
        along: "month",
        unit: Unit::Count,
    };

    fn every_picture(places: &[String], series: &[Series], unit: Unit) -> Vec<String> {
        let caption = Caption { unit, ..CAPTION };
        let line = |series: &Series, step| LineSeries {
            name: series.name.clone(),
            values: series.values.clone(),
            band: series.values.iter().map(|value| (value * 0.9, value * 1.1)).collect(),
            step,
        };
        let plain: Vec<LineSeries> = series.iter().map(|series| line(series, false)).collect();
        let steps: Vec<LineSeries> = series.iter().map(|series| line(series, true)).collect();
        vec![
            columns(&caption, places, series, Arrangement::Stacked),
            columns(&caption, places, series, Arrangement::Grouped),
            bars(&caption, places, series),
            pyramid(&caption, places, series, series),
            lines(&caption, places, &plain),
            lines(&caption, places, &steps),
        ]
    }

    #[test]
    fn what_comes_from_data_is_escaped() {
        let places = ["<script>".to_owned()];
        for picture in every_picture(&places, &[Series::new("a & <b>", vec![1.0])], Unit::Count) {
            assert!(!picture.contains("<script>") && !picture.contains("<b>") && !picture.contains("<boxes>"));
            assert!(picture.contains("Hubs &amp; &lt;boxes&gt;"));
        }
    }

    #[test]
    fn nothing_to_show_is_a_picture_too() {
        for picture in every_picture(&[], &[], Unit::Bytes) {
            assert!(picture.ends_with("</svg></figure>\n"), "{picture}");
        }
    }

    proptest! {
        /// Whatever the numbers are, every coordinate is a number, and every element that opens closes.
        #[test]
        fn pictures_are_well_formed(
            values in prop::collection::vec(prop::collection::vec(
                prop_oneof![6 => -1e3f64..1e9, 1 => Just(0.0), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => any::<f64>()],
                0..14,
            ), 0..10),
            places in prop::collection::vec("[ -~]{0,40}", 0..14),
            unit in prop::sample::select(&[Unit::Count, Unit::Bytes, Unit::Pounds, Unit::Share][..]),
        ) {
            let series: Vec<Series> = values.into_iter().map(|values| Series::new("s", values)).collect();
            for picture in every_picture(&places, &series, unit) {
                for attribute in ["x=", "y=", "width=", "height=", "x1=", "x2=", "y1=", "y2="] {
                    for after in picture.split(&format!(" {attribute}\"")).skip(1) {
                        let number: f64 = after.split('"').next().unwrap().parse().unwrap();
                        prop_assert!(number.is_finite() && (-1.0..=4000.0).contains(&number), "{attribute}{number}");
                    }
                }
                for after in picture.split(" d=\"").skip(1) {
                    let path = after.split('"').next().unwrap();
                    prop_assert!(!path.contains("NaN") && !path.contains("inf"), "{}", path);
                }
                for element in ["svg", "figure", "text", "title", "desc", "g"] {
                    let opened = picture.matches(&format!("<{element}>")).count()
                        + picture.matches(&format!("<{element} ")).count();
                    prop_assert_eq!(opened, picture.matches(&format!("</{element}>")).count(), "{}", element);
                }
            }
        }
    }
}
