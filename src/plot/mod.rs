//! Charts for pages: bars, pyramids and lines, as inline SVG.
//!
//! A chart is made from a [`Caption`] and series of numbers, and returned as text. It needs no script and no network.
//! It takes the colours of text and background from the page, in light and dark mode and in print. Each number is shown
//! as a tooltip. Title and description are the text alternative; a page puts a table beside the chart.
//!
//! ```
//! use smi_sweep::plot::{Arrangement, Caption, Series, AxisUnit, columns};
//!
//! let caption = Caption {
//!     title: "Alerts by month",
//!     description: "Two parties over three months",
//!     values: "alerts",
//!     along: "month",
//!     unit: AxisUnit::Count,
//! };
//! let months = ["2026-11", "2026-12", "2027-01"].map(String::from);
//! let series = [Series::new("A", vec![3.0, 5.0, 4.0]), Series::new("B", vec![1.0, 0.0, 2.0])];
//! assert!(columns(&caption, &months, &series, Arrangement::Stacked).starts_with("<figure"));
//! ```

#![expect(clippy::cast_precision_loss, reason = "a chart has a few hundred places")]

mod columns;
mod frame;
mod lines;
mod rows;
mod scale;

pub use columns::columns;
pub use lines::lines;
pub use rows::{bars, pyramid};

/// Title, axes and unit of a chart.
#[derive(Debug, Clone, Copy)]
pub struct Caption<'a> {
    /// Its heading.
    pub title: &'a str,
    /// A sentence for readers who cannot see the chart.
    pub description: &'a str,
    /// Name of the axis of values: `devices`.
    pub values: &'a str,
    /// Name of the other axis: `month`, `age in months`.
    pub along: &'a str,
    /// Format of the numbers.
    pub unit: AxisUnit,
}

/// Format of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AxisUnit {
    /// Counts, with ticks at whole numbers only.
    Count,
    /// Bytes, in powers of a thousand: `1.5 GB`.
    Bytes,
    /// Pounds sterling.
    Pounds,
    /// A share from 0 to 1, written in per cent.
    Share,
}

/// A named series, one number for each place on the axis. Numbers that are not finite are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
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

    /// The number at a place; zero if there is none.
    fn at(&self, place: usize) -> f64 {
        self.values.get(place).copied().filter(|value| value.is_finite()).unwrap_or_default()
    }
}

/// Whether the bars of one place are grouped or stacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// Beside each other.
    Grouped,
    /// Stacked, to show their sum. Negative numbers are stacked downwards.
    Stacked,
}

/// A line, with a number for each place, and an optional band of uncertainty.
#[derive(Debug, Clone, PartialEq)]
pub struct LineSeries {
    /// Its name in the legend.
    pub name: String,
    /// The numbers. One that is not finite leaves a gap.
    pub values: Vec<f64>,
    /// Low and high for each place, drawn as a band behind the line; empty for no band.
    pub band: Vec<(f64, f64)>,
    /// Whether the line is drawn as steps instead of straight segments.
    pub step: bool,
}

/// Colours that can be distinguished by people with colour blindness, on light and dark backgrounds. They repeat after
/// the last.
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
        description: "a \"quoted\" word",
        values: "hubs",
        along: "month",
        unit: AxisUnit::Count,
    };

    fn every_picture(places: &[String], series: &[Series], unit: AxisUnit) -> Vec<String> {
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
    fn text_from_data_is_escaped() {
        let places = ["<script>".to_owned()];
        for picture in every_picture(&places, &[Series::new("a & <b>", vec![1.0])], AxisUnit::Count) {
            assert!(!picture.contains("<script>") && !picture.contains("<b>") && !picture.contains("<boxes>"));
            assert!(picture.contains("Hubs &amp; &lt;boxes&gt;"));
        }
    }

    #[test]
    fn an_empty_chart_is_well_formed() {
        for picture in every_picture(&[], &[], AxisUnit::Bytes) {
            assert!(picture.ends_with("</svg></figure>\n"), "{picture}");
        }
    }

    proptest! {
        /// For any numbers, every coordinate is finite, and every element is closed.
        #[test]
        fn pictures_are_well_formed(
            values in prop::collection::vec(prop::collection::vec(
                prop_oneof![6 => -1e3f64..1e9, 1 => Just(0.0), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => any::<f64>()],
                0..14,
            ), 0..10),
            places in prop::collection::vec("[ -~]{0,40}", 0..14),
            unit in prop::sample::select(&[AxisUnit::Count, AxisUnit::Bytes, AxisUnit::Pounds, AxisUnit::Share][..]),
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
